"""Timers that fell due while the daemon was down: done in the order of their due times, also those that only come up by doing one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace

import pytest
import structlog

from routing.bootstrap import process
from routing.core.model import Decision
from routing.core.sla.planning import looks, next_due
from routing.ledger import decisions, timers
from routing.ledger.engine import Ledger
from routing.runtime.feed import Feed
from tests.conftest import ManualClock
from tests.unit.core.policy import policy
from tests.unit.runtime.test_sla_loop import FILES, Desk

# After hours: First touch 1 (remind), 2 (notify), 4 (reassign). Whole: 5, to the queue.
TWO = """
clocks:
  First touch:
    start: assigned
    stop: lead.status changed
    within: 4 hours
    time: always
    steps:
      - {at: 25 %, remind: owner}
      - {at: 50 %, notify: manager}
      - {at: 100 %, reassign: yes}
  Whole:
    start: created
    stop: lead.status changed
    within: 5 hours
    time: always
    steps:
      - {at: 100 %, escalate: queue Triage}
"""


class Late(Desk):
    """A daemon that was away."""

    def __init__(self, ledger: Ledger, clock: ManualClock, sla: str = TWO, **files: str) -> None:
        super().__init__(ledger, clock, policy(**FILES | {"sla": sla} | files))
        self.fired: list[int] = []

    def fire(self, purposes: tuple[str, ...] = timers.PURPOSES) -> int:
        """What a daemon does once; returns how many timers fired."""
        by = self.policies.current
        with self.ledger.write() as conn:
            return timers.fire(
                conn,
                self.clock(),
                purposes=purposes,
                looks=looks(by, ["salesforce"]),
                next_due=partial(next_due, policy=by),
            )

    def catch_up(self, hours: float) -> None:
        """The daemon is there again after so long, and does all that is due."""
        self.clock.advance(hours * 3600)
        while n := self.fire():
            self.fired.append(n)
            self.play()

    def all_made(self) -> list[Decision]:
        with self.ledger.read() as conn:
            return decisions.recent(conn, 1000)[::-1]

    def told(self) -> list[str]:
        """What was done, in order: how long it was after the lead was created, and the step."""
        return [made.trace[0].note.partition(" with")[0] for made in self.made()[1:]]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def test_the_steps_of_two_clocks_of_a_lead_come_in_the_order_they_were_due(
    any_ledger: Ledger, clock: ManualClock
) -> None:
    """Done one clock at a time, the queue would have it before anybody else had been asked."""
    desk = Late(any_ledger, clock)
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    desk.catch_up(9)
    made = desk.made()
    assert desk.told() == ["1 hour has passed", "2 hours have passed", "4 hours are over", "5 hours are over"]
    assert [(one.outcome, one.owner) for one in made[-2:]] == [("assign", "bo@example.com"), ("assign", "")]
    # Ana, who has lost it by now, is not reminded.
    assert [[told.target for told in one.effects] for one in made[1:3]] == [[], ["mia@example.com"]]


@pytest.mark.parametrize("apart", [1, 10, 50, 90, 200])
def test_the_steps_of_many_leads_come_in_the_order_they_were_due(
    ledger: Ledger, clock: ManualClock, apart: int
) -> None:
    """However far apart (minutes) they were created, and whatever ends up in one transaction."""
    desk = Late(ledger, clock)
    for n in range(8):
        desk.play(desk.event("created", f"00Q{n}", email=f"p{n}@acme{n}.example", status="New"))
        clock.advance(apart * 60)
    desk.catch_up(6)
    with ledger.read() as conn:
        rows = conn.exec_driver_sql("SELECT occurred_ms FROM journal WHERE kind = 'tick' ORDER BY seq").scalars().all()
    assert len(rows) >= 8 * 4
    assert list(rows) == sorted(rows)
    assert [one.record_id for one in desk.all_made() if one.owner == "" and one.outcome == "assign"] == [
        f"00Q{n}" for n in range(8)
    ]


def test_what_was_fired_and_is_not_done_yet_holds_later_steps_back(ledger: Ledger, clock: ManualClock) -> None:
    """Also for another process that fires timers, and however often they look meanwhile."""
    desk = Late(ledger, clock)
    with ledger.read() as conn:
        assert timers.late(conn, clock()) == 0
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    clock.advance(9 * 3600)
    assert desk.fire() == 1
    assert [desk.fire() for _ in range(3)] == [0, 0, 0]
    with ledger.read() as conn:
        assert timers.due(conn, clock())  # so that it is looked at again soon
    desk.play()
    assert desk.fire() == 1


class Looks(threading.Event):
    """Lets a loop run for so many looks, and knows how long it would have waited before each."""

    def __init__(self, desk: Late, looks: int) -> None:
        super().__init__()
        self.waited: list[float] = []
        self._desk, self._looks = desk, looks

    def wait(self, timeout: float | None = None) -> bool:
        if len(self.waited) == self._looks:
            return True
        self.waited.append(timeout or 0.0)
        self._desk.clock.advance(timeout or 0.0)
        return False


def test_a_step_at_work_is_waited_for_less_and_less_often_and_those_after_it_are_never_late(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "CLOCKS_WAIT_SECONDS", 0.0)
    desk = Late(ledger, clock)
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    clock.advance(9 * 3600)
    daemon = SimpleNamespace(
        clock=clock, ledger=ledger, policies=desk.policies, systems=["salesforce"], feed=Feed(), look=lambda: None
    )
    stop = Looks(desk, 12)
    process.Process.run_timers(daemon, stop)  # type: ignore[arg-type]
    assert stop.waited[1] == process.CATCH_UP_SECONDS  # the first step fired: it is done soon as a rule
    assert max(stop.waited) == process.TIMER_SECONDS
    assert stop.waited[1:] == sorted(stop.waited[1:])
    assert stop.waited[6:] == [process.TIMER_SECONDS] * 6
    for done in range(3):
        desk.play()  # the step is done, whenever that is
        assert len(desk.told()) > done
        process.Process.run_timers(daemon, Looks(desk, 1))  # type: ignore[arg-type] # one usual wait, and the next one fires
    desk.play()
    assert desk.told() == ["1 hour has passed", "2 hours have passed", "4 hours are over", "5 hours are over"]


def test_a_step_that_cannot_be_decided_holds_nobody_back(any_ledger: Ledger, clock: ManualClock) -> None:
    desk = Late(any_ledger, clock)
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    clock.advance(9 * 3600)
    desk.fire()
    with any_ledger.write() as conn:
        conn.exec_driver_sql("UPDATE journal SET state = 'parked' WHERE kind = 'tick'")
    assert desk.fire() == 1
    desk.play()
    assert desk.made()[-1].trace[0].note.startswith("5 hours are over")


def test_a_step_whose_record_cannot_be_read_holds_the_others_back_for_a_minute_only(
    ledger: Ledger, clock: ManualClock
) -> None:
    """Where a field that the CRM works out itself stops the clock, it is read first; a CRM may be away for hours."""
    desk = Late(ledger, clock)
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    desk.play(desk.event("created", "00Q2", email="lu@bolt.example", status="New"))
    clock.advance(9 * 3600)
    desk.fire()
    with ledger.write() as conn:
        conn.exec_driver_sql("UPDATE journal SET state = 'incomplete' WHERE kind = 'tick' AND ref LIKE '%00Q1'")
    desk.play()
    while desk.fire():
        desk.play()
    assert len(desk.made("00Q2")) == 3  # what was due before the next step of the other one
    clock.advance(61)
    while desk.fire():
        desk.play()
    assert (len(desk.made("00Q1")), len(desk.made("00Q2"))) == (2, 5)


HOURS = """
clocks:
  First touch:
    start: assigned
    stop: lead.status changed
    within: 1 hour
    time: always
    steps: [{at: 100 %, reassign: yes}]
  Whole:
    start: created
    stop: lead.status changed
    within: 3 hours
    steps: [{at: 100 %, notify: Mia Wolf}]
"""


def test_a_step_that_comes_sooner_by_the_hours_of_who_has_it_next_comes_in_its_turn(
    ledger: Ledger, clock: ManualClock
) -> None:
    """Ana is at work for half an hour a day, Bo around the clock: with him the second clock runs out the same day."""
    begins = clock().hour
    rows = FILES["people"].replace("manager\n", "manager,hours\n").splitlines()
    rows = [rows[0], f"{rows[1]},Mon-Sun {begins}:00-{begins}:30", *(f"{row}," for row in rows[2:])]
    desk = Late(ledger, clock, HOURS, people="\n".join(rows) + "\n")
    desk.play(desk.event("created", "00Q1", email="kim@acme.example", status="New"))
    assert desk.made()[0].owner == "ana@example.com"
    clock.advance(2 * 3600)
    desk.play(desk.event("created", "00Q2", email="lu@bolt.example", status="New"))
    assert desk.made("00Q2")[0].owner == "bo@example.com"
    desk.catch_up(24)
    with ledger.read() as conn:
        rows = conn.exec_driver_sql("SELECT occurred_ms FROM journal WHERE kind = 'tick' ORDER BY seq").scalars().all()
    assert list(rows) == sorted(rows)
    steps = [one.record_id for one in desk.all_made() if one.effects]
    assert steps == ["00Q1", "00Q2"]
