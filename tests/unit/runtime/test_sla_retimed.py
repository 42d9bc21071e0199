"""Clocks that run while the policy is edited: from then on they go by the new one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import structlog

from routing.core.sla.model import ClockState
from routing.core.sla.retiming import retimed
from routing.ledger import mirror
from routing.ledger.engine import Ledger
from routing.runtime.feed import Feed
from routing.runtime.policies import Policies
from tests.conftest import ManualClock
from tests.unit.core import policy as example
from tests.unit.core.policy import policy
from tests.unit.runtime.test_sla_loop import ENDS, FILES, PEOPLE, SLA, USERS, Desk, clocked, routed

HOURS = """name,email,hours,manager
Ana Diaz,ana@example.com,Sun 9:00-10:00,mia@example.com
Bo Li,bo@example.com,,mia@example.com
Cem Kaya,cem@example.com,,mia@example.com
Mia Wolf,mia@example.com,,
"""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


class Edited(Desk):
    """A desk whose policy is a folder; Ana has had a lead since now."""

    def __init__(self, ledger: Ledger, clock: ManualClock, folder: Path) -> None:
        self.folder = folder
        usual = {"fields": example.FIELDS, "corrections": example.CORRECTIONS, "matching": example.MATCHING}
        for name, text in {**usual, **FILES}.items():
            (folder / (f"{name}.csv" if name == "people" else f"{name}.yaml")).write_text(text, "utf-8")
        self.live = Policies(folder, ledger, clock, Feed())
        super().__init__(ledger, clock, self.live.current)
        self.loop._policies = self.live  # type: ignore[assignment]
        self.play(self.event("created", email="kim@acme.example", status="New", owner="00G000000000009AAA"))
        self.play(self.event("updated", owner="005ANA"))

    def edit(self, old: str, new: str, name: str = "sla.yaml") -> None:
        path = self.folder / name
        before = path.read_text("utf-8")
        assert old in before
        path.write_text(before.replace(old, new), "utf-8")
        assert self.live.refresh()


@pytest.fixture
def desk(ledger: Ledger, clock: ManualClock, tmp_path: Path) -> Edited:
    return Edited(ledger, clock, tmp_path)


def test_a_shorter_time_counts_from_the_moment_it_goes_live(desk: Edited) -> None:
    desk.wait(0.5)
    desk.edit("within: 4 hours", "within: 1 hour")
    desk.wait(0.001)  # 50 % are over just now, and 75 % in a quarter of an hour
    assert desk.made()[-1].trace[0].note == (
        "30 minutes have passed with Ana Diaz, 30 minutes are left for 'First touch'; "
        "timed anew at 2026-11-22 09:30:00 UTC, when another policy went live"
    )
    desk.wait(0.25)
    assert desk.made()[-1].effects[0].value == "it waits"
    desk.wait(0.25)
    assert desk.made()[-1].owner == "bo@example.com"
    assert desk.made()[-1].trace[0].note.startswith("1 hour is over with Ana Diaz, and 'First touch' was not met")
    old, new = desk.clocks()
    assert (old.breached_at, new.limit, new.why) == (old.started_at + timedelta(hours=1), 3600, "")


def test_what_the_new_time_would_have_ended_before_is_over_when_it_goes_live(desk: Edited) -> None:
    desk.wait(1.5)
    desk.edit("within: 4 hours", "within: 1 hour")
    (one,) = desk.clocks()
    assert one.due_at == desk.clock() + timedelta(milliseconds=1)
    desk.wait(0.001)
    assert desk.made()[-1].owner == "bo@example.com"
    assert "late" not in desk.made()[-1].trace[0].note


def test_what_was_done_is_not_done_again_and_nothing_is_left_out(desk: Edited) -> None:
    desk.wait(2)
    desk.wait(1)
    assert [len(made.effects) for made in desk.made()[1:]] == [1, 1]  # at 50 % and 75 % of four hours
    desk.edit("within: 4 hours", "within: 1 hour")
    desk.wait(0.001)
    assert desk.made()[-1].owner == "bo@example.com"
    assert len(desk.made()) == 4


def test_a_longer_time_is_given_to_clocks_that_run(any_ledger: Ledger, clock: ManualClock, tmp_path: Path) -> None:
    desk = Edited(any_ledger, clock, tmp_path)
    desk.wait(2)
    desk.edit("within: 4 hours", "within: 8 hours")
    n = len(desk.made())
    desk.wait(3.9)
    assert len(desk.made()) == n  # it was reminded at the old 50 %, and is not at the new
    desk.wait(0.1)
    assert desk.made()[-1].effects[0].value == "it waits"
    desk.wait(2)
    assert desk.made()[-1].trace[0].note.startswith("8 hours are over with Ana Diaz")


def test_an_edit_while_the_daemon_is_down_counts_too(desk: Edited) -> None:
    path = desk.folder / "sla.yaml"
    path.write_text(SLA.replace("4 hours", "1 hour"), "utf-8")
    desk.live = Policies(desk.folder, desk.ledger, desk.clock, Feed())
    assert [one.limit for one in desk.clocks()] == [3600]


def test_a_clock_that_the_former_policy_started_meanwhile_is_timed_when_it_is_looked_at(
    ledger: Ledger, clock: ManualClock
) -> None:
    """A batch was settled by the policy that it began with, after the new one had gone live."""
    desk = routed(ledger, clock)
    desk.policies.current = clocked(SLA.replace("4 hours", "8 hours"))
    desk.wait(2)
    (one,) = desk.clocks()
    assert (len(desk.made()), one.limit, one.due_at) == (1, 28_800, one.started_at + timedelta(hours=4))
    desk.policies.current = clocked(SLA.replace("4 hours", "1 hour"))
    desk.play(desk.event("updated", company="Acme"))
    desk.wait(0.001)
    assert desk.made()[-1].owner == "bo@example.com"


def test_the_hours_of_whoever_has_it_count_as_they_are_now(desk: Edited) -> None:
    desk.edit("time: always", "time: rep")
    assert [one.why for one in desk.clocks()] == [""], "Ana works around the clock: nothing is otherwise"
    desk.edit(PEOPLE, HOURS, "people.csv")
    (one,) = desk.clocks()
    assert one.due_at == one.started_at + timedelta(weeks=1, hours=1)  # an hour each Sunday, and two are half


def test_looking_twice_changes_nothing_more(desk: Edited) -> None:
    desk.wait(0.5)
    (before,) = desk.clocks()
    after = retimed(before, clocked(SLA.replace("4 hours", "1 hour")), desk.clock())
    assert after.due_at != before.due_at
    again = retimed(after, clocked(SLA.replace("4 hours", "1 hour")), desk.clock() + timedelta(minutes=10))
    assert again is after, "each process looks once; the second has nothing to do"


def state(**values: object) -> ClockState:
    usual = {"clock_id": "c", "name": "First touch", "system": "salesforce", "entity": "lead", "record_id": "1"}
    return ClockState(**usual | values)  # type: ignore[arg-type]


def test_a_paused_clock_has_the_new_time_and_still_waits(clock: ManualClock) -> None:
    paused = state(state="paused", started_at=clock(), since=clock(), limit=14_400.0, spent=600.0, why="on hold")
    after = retimed(paused, clocked(SLA.replace("4 hours", "1 hour")), clock())
    assert (after.state, after.limit, after.spent, after.due_at, after.why) == ("paused", 3600, 600, None, "on hold")


def test_a_clock_that_holds_pause_no_more_goes_on_from_then(clock: ManualClock) -> None:
    paused = state(state="paused", started_at=clock(), since=clock(), limit=14_400.0, spent=600.0, why="on hold")
    goes_on = clocked(SLA.replace("    time: always", "    time: always\n    pauses_on_hold: no"))
    now = clock() + timedelta(hours=3)
    after = retimed(paused, goes_on, now)
    assert (after.state, after.spent, after.why) == ("running", 600, "")
    assert after.due_at == now + timedelta(hours=2) - timedelta(minutes=10)
    assert retimed(after, goes_on, now + timedelta(minutes=1)) is after


def test_a_clock_paused_by_the_former_policy_goes_on_with_the_next_event(ledger: Ledger, clock: ManualClock) -> None:
    """A batch was settled by the policy that it began with, after one had gone live by which holds pause no clock."""
    desk = Desk(ledger, clock, clocked(ENDS))
    with ledger.write() as conn:
        mirror.save(conn, [(msgspec.structs.replace(user, deleted=True), frozenset()) for user in USERS])
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    assert [one.state for one in desk.clocks()] == ["paused"]
    desk.policies.current = clocked(ENDS.replace("    within: 9 hours", "    within: 9 hours\n    pauses_on_hold: no"))
    clock.advance(60)
    desk.play(desk.event("updated", company="Acme"))
    (one,) = desk.clocks()
    assert (one.state, one.due_at) == ("running", clock() + timedelta(hours=9))


def test_a_step_at_a_fixed_time_that_was_not_due_yet_is_still_to_come(clock: ManualClock) -> None:
    fixed = SLA.replace("at: 75 %", "at: 3 hours")
    longer = policy(**FILES | {"sla": fixed.replace("within: 4 hours", "within: 8 hours")})
    now = clock() + timedelta(hours=2, minutes=30)
    half = state(started_at=clock(), since=clock(), limit=14_400.0, reached=7200.0, due_at=clock())
    after = retimed(half, longer, now)
    assert after.due_at == clock() + timedelta(hours=3)


def test_a_clock_that_is_gone_from_the_policy_or_closed_is_left_alone(clock: ManualClock) -> None:
    other = clocked(SLA.replace("First touch", "Second touch"))
    running = state(started_at=clock(), since=clock(), limit=14_400.0, due_at=clock())
    assert retimed(running, other, clock()) is running
    closed = state(state="stopped", started_at=clock(), since=clock(), limit=14_400.0, closed_at=clock())
    assert retimed(closed, clocked(SLA.replace("4 hours", "1 hour")), clock()) is closed
