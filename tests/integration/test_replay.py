"""What a daemon decides while it runs is decided again from its ledger, byte for byte."""

from __future__ import annotations

from pathlib import Path

from tests.integration.stage import stage


def test_all_that_a_daemon_decided_comes_out_the_same(tmp_path: Path) -> None:
    with stage(tmp_path) as world:
        world.flow(60)
        waiting = world.lead(Country="CU")
        world.activate("jonas.keller@example.com", False)
        world.settle()
        world.publish("engagement.yaml", "assign: pool Marketing desk", "assign: pool Inbound")
        erased = world.contact()
        world.contact()
        world.settle()
        world.hubspot.erase(erased)
        world.clock.advance(301)
        world.until("the tick", lambda: ("tick", "skipped") in [(e["kind"], e["state"]) for e in world.events(waiting)])
        world.settle()
        (n,) = world.rows("SELECT count(*) AS n FROM decision")
        said = world.command("replay").stderr
        assert said == f"{n['n']} decisions made again: {n['n'] - 1} identical, 1 erased, and cannot be made again.\n"
