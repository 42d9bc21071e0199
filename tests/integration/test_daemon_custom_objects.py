"""Records of an object of the customer's own: heard of, corrected and given an owner like any lead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.stage import Stage, stage
from tests.integration.test_daemon_polling import ask_instead

ANA, BEN = "ana.ruiz@example.com", "miriam.vogel@example.com"
REGION = {
    "in": {"salesforce": "Region__c"},
    "fields": {
        "name": {"type": "text", "label": "Name", "salesforce": "Name"},
        "country": {"type": "text", "label": "Country", "salesforce": "Country__c"},
        "owner": {"type": "person", "label": "Owner", "salesforce": "OwnerId"},
    },
}
LADDER = {
    "entry": ['event.kind = "created"', "region.country changed"],
    "ladder": [
        {"rung": "Germany", "when": 'region.country = "DE"', "assign": "Miriam Vogel"},
        {"otherwise": "hold Somebody looks"},
    ],
}


def route_regions(world: Stage) -> None:
    """Regions go down a ladder of their own, and their countries are corrected."""
    world.salesforce.add_object("Region__c", {"Country__c": "string", "Size__c": "double"})
    for name, key, value in (("fields", "region", REGION), ("corrections", "region", {"country": "country"})):
        change(world, name, lambda held, key=key, value=value: held | {key: value})
    change(world, "engagement", with_ladder)


def change(world: Stage, name: str, how: Any) -> None:
    path = world.policy / f"{name}.yaml"
    path.write_text(yaml.safe_dump(how(yaml.safe_load(path.read_text("utf-8"))), sort_keys=False), "utf-8")


def with_ladder(held: dict[str, Any]) -> dict[str, Any]:
    lead = {name: held.pop(name) for name in ("entry", "ladder")}
    held.pop("route")
    return held | {"ladders": {"lead": lead, "region": LADDER}}


def region(world: Stage, record: str) -> tuple[str, str]:
    """Its country, and the e-mail address of its owner."""
    row = world.salesforce.record("Region__c", record)
    assert row is not None
    return row["Country__c"], world._emails.get(row["OwnerId"], "")


@pytest.mark.parametrize("changes", ["stream", "poll"])
def test_a_record_of_a_custom_object_is_corrected_and_given_an_owner(tmp_path: Path, changes: str) -> None:
    with stage(tmp_path, accounts=20, daemon=False) as world:
        route_regions(world)
        old = world.salesforce.create("Region__c", {"Name": "Old", "Country__c": "FR"})
        if changes == "poll":
            ask_instead(world)
        world.open()
        new = world.salesforce.create("Region__c", {"Name": "North", "Country__c": "Germany", "Size__c": 7})
        world.until("the new one to be routed", lambda: region(world, new) == ("DE", "miriam.vogel@example.com"))
        assert world.decisions(old) == []  # it was there before anybody listened
        world.salesforce.update("Region__c", old, {"Country__c": "Deutschland"}, actor=world.world.users[1]["Id"])
        world.until("the old one to be routed", lambda: region(world, old) == ("DE", "miriam.vogel@example.com"))
        assert [(made.outcome, made.rung) for made in world.decisions(old)] == [("assign", "Germany")]
        world.until("nothing open", lambda: not any(world.daemon.backlog()[what] for what in ("events", "writes")))
        assert world.parked() == []
        assert "Region__c" in world.command("doctor", exit_code=None).stdout
