"""The whole daemon on an org without Change Data Capture: leads are found by asking, and our own writes are known as ours."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.integration.stage import Stage, stage


def ask_instead(world: Stage) -> None:
    settings = yaml.safe_load(world.config.read_text("utf-8"))
    settings["salesforce"] |= {"changes": "poll", "poll_seconds": 1}
    world.config.write_text(yaml.safe_dump(settings), "utf-8")


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
