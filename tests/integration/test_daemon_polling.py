"""The whole daemon on an org without Change Data Capture: leads are found by asking, and our own writes are known as ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import urllib3
import yaml

from tests.integration.stage import Stage, stage

WAITS = """ladder:
  - rung: Chile waits
    when: lead.country = "CL"
    hold: Ask Legal

"""


def ask_instead(world: Stage) -> None:
    settings = yaml.safe_load(world.config.read_text("utf-8"))
    settings["salesforce"] |= {"changes": "poll", "poll_seconds": 1}
    world.config.write_text(yaml.safe_dump(settings), "utf-8")


def not_read(world: Stage) -> Any:
    """What ``/healthz`` tells of what is not heard of."""
    return msgspec.json.decode(urllib3.request("GET", f"{world.url}/healthz").data)["not_read"]


def told(world: Stage, lead: str) -> list[tuple[str, str]]:
    return [(row["state"], row["reason"]) for row in world.events(lead)]


def test_leads_are_routed_and_our_own_writes_are_known(tmp_path: Path) -> None:
    with stage(tmp_path, daemon=False) as world:
        ask_instead(world)
        world.open()
        lead = world.lead(Country="Germany")
        world.until("an owner", lambda: world.times_written(lead) == 1)
        world.until("the echo", lambda: ("skipped", "echo of our own write") in told(world, lead))
        assert world.decision(lead).owner == world.owner(lead)
        erik = "erik.sandberg@example.com"
        world.give(lead, erik, by=erik)
        world.until("the change to be heard", lambda: len(told(world, lead)) >= 3)
        world.until("nothing open", lambda: not any(world.daemon.backlog()[what] for what in ("events", "writes")))
        assert world.owner(lead) == erik  # a person's hand wins
        assert world.times_written(lead) == 1
        assert world.parked() == []


def test_a_lead_that_left_the_recycle_bin_is_routed_again(tmp_path: Path) -> None:
    with stage(tmp_path, daemon=False) as world:
        world.edit("engagement.yaml", "ladder:\n", WAITS)
        ask_instead(world)
        world.open()
        lead = world.lead(Country="CL")
        world.until("hold", lambda: [one.outcome for one in world.decisions(lead)] == ["hold"])
        world.clock.advance(60)  # stamps count seconds
        world.salesforce.delete("Lead", lead)
        asked(world, "its end", lambda: "deleted" in [one["kind"] for one in world.events(lead)])
        world.publish("engagement.yaml", "hold: Ask Legal", "assign: Miriam Vogel")
        world.salesforce.undelete("Lead", lead)
        asked(world, "an owner", lambda: world.owner(lead) == "miriam.vogel@example.com")
        assert world.decisions(lead)[-1].outcome == "assign"


def asked(world: Stage, what: str, true: Callable[[], bool]) -> None:
    """Until it is so, the minutes pass: what was deleted is asked for every five of them."""

    def looked() -> bool:
        world.clock.advance(60)
        return true()

    world.until(what, looked)


def held(world: Stage, lead: str) -> str:
    """What the mirror holds of a lead."""
    return "".join(
        str(row["body"]) for row in world.rows("SELECT body FROM mirror WHERE ref = ?", f"salesforce:lead:{lead}")
    )


def test_a_field_that_is_hidden_is_left_out_and_told_and_read_again_when_it_is_back(tmp_path: Path) -> None:
    with stage(tmp_path, accounts=20, daemon=False) as world:
        ask_instead(world)
        world.open()
        assert not_read(world) == {}
        world.salesforce.revoke("Lead", "Title")
        lead = world.lead(Title="CEO")
        world.until("an owner", lambda: world.times_written(lead) == 1)
        world.until("the field to be told", lambda: not_read(world))
        [(field, why)] = not_read(world)["salesforce"].items()
        assert (field, "Lead.Title" in why) == ("lead.title", True)
        assert (
            'fingerpost_not_read{system="salesforce"} 1.0'
            in urllib3.request("GET", f"{world.url}/metrics").data.decode()
        )
        world.salesforce.allow("Lead", "Title")
        world.until("it to be taken back", lambda: not_read(world) == {})
        world.until("the title to be heard of", lambda: "CEO" in held(world, lead))
        assert (world.times_written(lead), len({one.event_id for one in world.decisions(lead)})) == (1, 1)
    told = [line for line in world.logs if line["event"].startswith("salesforce_fields_")]
    assert [(line["event"], line["entity"], line["fields"]) for line in told] == [
        ("salesforce_fields_hidden", "lead", ["Title"]),
        ("salesforce_fields_seen_again", "lead", ["Title"]),
    ]
