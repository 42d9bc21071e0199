"""People merge contacts in HubSpot, which makes a new one of them: for everybody but HubSpot it is still the same lead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.sandbox.hubspot.webhooks import Mischief
from tests.integration.stage import Stage, stage

SLA = """
clocks:
  First touch:
    start: assigned
    stop: [first touch, accepted]
    within: 4 hours
    time: always
    steps:
      - {at: 50 %, remind: owner}
"""


@pytest.fixture(scope="module")
def one_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("merges"), accounts=60, daemon=False) as made:
        (made.policy / "sla.yaml").write_text(SLA)
        made.open()
        yield made


@pytest.fixture
def world(one_stage: Stage) -> Iterator[Stage]:
    yield one_stage
    one_stage.faults.clear()
    one_stage.hubspot.webhooks.mischief = Mischief()
    one_stage.hubspot.impose({"merge_creation": 1})


def clocks(world: Stage, record: str) -> list[str]:
    rows = world.rows("SELECT state FROM clock WHERE ref = ? ORDER BY started_ms", f"hubspot:lead:{record}")
    return [row["state"] for row in rows]


def assert_goes_on(world: Stage, new: str, old: list[str], owner: str) -> None:
    """Nothing was decided anew, and nothing is left under the old ids."""
    assert world.decisions(new) == []
    assert world.owner(new) == owner != ""
    assert clocks(world, new) == ["running"]
    assert "running" not in [state for one in old for state in clocks(world, one)]
    assert world.parked() == []
    assert world.command("ledger", "check").stdout.endswith("All is well.\n")


@pytest.mark.parametrize("merge_creation", [0, 1, 2], ids=["untold", "told before", "told after"])
def test_a_merged_contact_keeps_owner_and_clock_and_is_not_routed_again(world: Stage, merge_creation: int) -> None:
    world.hubspot.impose({"merge_creation": merge_creation})
    old = [world.contact(), world.contact()]
    world.settle()
    owner = world.owner(old[0])
    world.clock.advance(3600)
    new = world.hubspot.merge("contacts", old[0], old[1:])
    world.settle()
    assert_goes_on(world, new, old, owner)
    assert [world.times_written(new), *(len(world.decisions(one)) for one in old)] == [1, 1, 1]
    world.hubspot.update("contacts", new, {"city": "Bonn"})
    world.settle()
    assert_goes_on(world, new, old, owner)


def test_whatever_the_order_in_which_it_is_told(world: Stage) -> None:
    pairs = [[world.contact(), world.contact()] for _ in range(6)]
    world.settle()
    owners = [world.owner(first) for first, _ in pairs]
    world.hubspot.webhooks.mischief = Mischief(reorder=True, duplicate_every=2)
    new = [world.hubspot.merge("contacts", first, [second]) for first, second in pairs]
    world.settle()
    for one, old, owner in zip(new, pairs, owners, strict=True):
        assert_goes_on(world, one, old, owner)


def test_the_owner_that_was_still_to_be_written_is_written_once_under_the_new_id(world: Stage) -> None:
    world.hold_up("hubspot", "batch_update")
    old = [world.contact(), world.contact()]
    world.until("decisions", lambda: all(world.decisions(one) for one in old))
    new = world.hubspot.merge("contacts", old[0], old[1:])
    world.until("the merge", lambda: world.rows("SELECT ref FROM mirror WHERE ref = ?", f"hubspot:lead:{new}"))
    world.clock.advance(10)  # what was seen a moment ago counts as looked at
    world.faults.clear()
    world.settle()
    assert_goes_on(world, new, old, world.decision(old[0]).owner)
    assert world.times_written(new) == 1
    assert {one["state"] for one in world.owed(new)} == {"confirmed", "superseded"}


def test_contacts_merged_before_they_could_be_read_are_one_lead(world: Stage) -> None:
    world.hold_up("hubspot", "batch_read")
    old = [world.contact(), world.contact()]
    world.until("the creations", lambda: all(world.events(one) for one in old))
    new = world.hubspot.merge("contacts", old[0], old[1:])
    world.faults.clear()
    world.settle()
    assert [len(world.decisions(one)) for one in (*old, new)] == [0, 0, 1]
    assert world.owner(new) == world.decision(new).owner != ""
    assert world.times_written(new) == 1


def test_who_is_erased_after_a_merge_is_erased_under_all_ids(world: Stage) -> None:
    name = "Wintersteller-Achleitner"
    old = [world.contact(lastname=name), world.contact(lastname=name)]
    world.settle()
    new = world.hubspot.merge("contacts", old[0], old[1:])
    world.settle()
    world.hubspot.erase(new)
    world.settle()
    for table in ("journal", "mirror", "decision", "outbox"):
        assert name not in str(world.rows(f"SELECT * FROM {table}")), table
