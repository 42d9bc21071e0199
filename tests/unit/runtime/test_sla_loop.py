"""Clocks from the event to the timer and back: what reps and managers would notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog
from typer.testing import CliRunner

from routing.cli.app import app
from routing.core.model import ChangeEvent, Decision, Record, Write, derived_id
from routing.core.sla.model import ClockState
from routing.ledger import clocks, decisions, holding, journal, mirror, outbox, people, policies, reports, timers
from routing.ledger.engine import Ledger
from routing.ledger.schema import ref_of, to_ms
from routing.runtime.feed import Feed
from routing.runtime.loop import Loop
from routing.runtime.replay import Replay, Span
from rules.policy import Policy
from tests.conftest import ManualClock
from tests.unit.core import policy as example
from tests.unit.core.policy import person, policy

PEOPLE = """name,email,manager
Ana Diaz,ana@example.com,mia@example.com
Bo Li,bo@example.com,mia@example.com
Cem Kaya,cem@example.com,mia@example.com
Mia Wolf,mia@example.com,
"""
POOLS = """
Small: {method: round robin, members: [Ana Diaz, Bo Li, Cem Kaya]}
Big: {method: round robin, members: [Mia Wolf]}
"""
ENGAGEMENT = """
route: lead
entry: ['event.kind = "created"']
hold: {retry: 5 minutes}
queues:
  Triage: {salesforce: 00G000000000009AAA}
ladder:
  - rung: Big
    when: lead.employees >= 1000
    assign: pool Big
  - otherwise: pool Small
"""
SLA = """
answers:
  accepted: lead.status = "Accepted"
  rejected: lead.status = "Rejected"
  reason: lead.company
clocks:
  First touch:
    start: assigned
    stop: [lead.status changed, accepted]
    within: 4 hours
    time: always
    steps:
      - at: 50 %
        remind: owner
      - at: 75 %
        notify: manager
        text: it waits
      - at: 100 %
        reassign: yes
    reassignments: 1
    then: queue Triage
"""
USERS = [person("salesforce", f"005{name.upper()}", f"{name}@example.com") for name in ("ana", "bo", "cem", "mia")]


class Desk:
    """A loop on a ledger with four people, and a clock that is moved by hand."""

    def __init__(self, ledger: Ledger, clock: ManualClock, by: Policy) -> None:
        self.ledger, self.clock, self._n, self.system = ledger, clock, 0, "salesforce"
        self.policies = SimpleNamespace(current=by)
        self.feed = Feed()
        self.loop = Loop(ledger, self.policies, clock, self.feed)  # type: ignore[arg-type]
        with ledger.write() as conn:
            mirror.save(conn, [(user, frozenset()) for user in USERS])

    def event(self, kind: str, record: str = "00Q1", ago: float = 0, **values: Any) -> ChangeEvent:
        self._n += 1
        at = self.clock() - timedelta(seconds=ago)
        return ChangeEvent(
            event_id=derived_id("test", str(self._n)),
            system=self.system,
            entity="lead",
            record_id=record,
            kind=kind,  # type: ignore[arg-type]
            occurred_at=at,
            observed_at=self.clock(),
            changed=tuple(values),
            values=values,
        )

    def play(self, *events: ChangeEvent, size: int = 500) -> None:
        with self.ledger.write() as conn:
            journal.accept(conn, events, self.clock())
        while self.loop.work_off(size):
            pass

    def answer(self, kind: str, by: str, because: str = "") -> None:
        self.play(self.event(kind, by=f"{by}@example.com", because=because))

    def wait(self, hours: float) -> None:
        """So much later every timer that fell due has fired."""
        self.clock.advance(hours * 3600)
        with self.ledger.write() as conn:
            timers.fire(conn, self.clock())
        self.play()

    def made(self, record: str = "00Q1") -> list[Decision]:
        with self.ledger.read() as conn:
            return decisions.of_record(conn, record)

    def reasons(self) -> list[str]:
        return [made.reason for made in self.made()]

    def record(self) -> Record:
        with self.ledger.read() as conn:
            return mirror.load(conn, {f"{self.system}:lead:00Q1"})[f"{self.system}:lead:00Q1"]

    def clocks(self) -> list[ClockState]:
        with self.ledger.read() as conn:
            return clocks.of_record(conn, ref_of(self.system, "lead", "00Q1"))

    def ended(self) -> list[tuple[str, str]]:
        with self.ledger.read() as conn:
            rows = conn.exec_driver_sql("SELECT state, reason FROM journal ORDER BY seq").all()
        return [(state, reason) for state, reason in rows]

    def owners_written(self) -> list[str]:
        with self.ledger.read() as conn:
            writes = [one for made in self.made() for one in outbox.of_decision(conn, made.decision_id)]
        return [one["fields"]["owner"] for one in writes if one["kind"] == "update" and "owner" in one["fields"]]

    def tasks(self) -> list[Write]:
        """The tasks that are to be created, in the order they are owed."""
        with self.ledger.read() as conn:
            bodies = conn.exec_driver_sql("SELECT body FROM outbox ORDER BY seq").scalars()
            writes = [msgspec.json.decode(body, type=Write) for body in bodies]
        return [one for one in writes if one.kind == "create"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A traceback drawn for a terminal takes seconds."""
    with structlog.testing.capture_logs():
        yield


FILES = {"people": PEOPLE, "pools": POOLS, "engagement": ENGAGEMENT, "sla": SLA}


@cache
def clocked(sla: str = SLA) -> Policy:
    return policy(**FILES | {"sla": sla})


@pytest.fixture
def desk(ledger: Ledger, clock: ManualClock) -> Desk:
    return routed(ledger, clock)


def routed(ledger: Ledger, clock: ManualClock, sla: str = SLA) -> Desk:
    """With a lead that Ana has had since now."""
    made = Desk(ledger, clock, clocked(sla))
    made.play(made.event("created", email="kim@acme.example", status="New", owner="00G000000000009AAA"))
    made.play(made.event("updated", owner="005ANA"))  # the CRM confirms it
    return made


def test_the_rep_is_reminded_then_the_manager_told_then_somebody_else_has_it(
    any_ledger: Ledger, clock: ManualClock
) -> None:
    desk = routed(any_ledger, clock)
    first = desk.made()[-1].owner
    desk.wait(2)
    reminded = desk.made()[-1]
    assert (reminded.outcome, reminded.effects[0].target, reminded.effects[0].kind) == ("none", first, "notify")
    desk.wait(1)
    told = desk.made()[-1]
    assert [(one.target, one.value) for one in told.effects] == [("mia@example.com", "it waits")]
    assert len(desk.owners_written()) == 1
    desk.wait(1)
    moved = desk.made()[-1]
    assert moved.outcome == "assign"
    assert moved.owner not in (first, "")
    assert moved.trace[0].note == "4 hours are over with Ana Diaz, and 'First touch' was not met"
    assert len(desk.owners_written()) == 2
    old, new = desk.clocks()
    assert (old.state, old.breached_at is not None, new.state, new.person) == ("ended", True, "running", moved.owner)


def test_reminders_are_tasks_that_wait_for_nobody_else(desk: Desk) -> None:
    """For the rep only while they have the lead, and for anybody only while nobody did what the clock waits for."""
    desk.wait(2)
    (reminder,) = desk.tasks()
    assert reminder.fields | {"note": ""} == {
        "subject": "First touch: 2 hours have passed with Ana Diaz, 2 hours are left for 'First touch'",
        "owner": "005ANA",
        "about_entity": "lead",
        "about": "00Q1",
        "note": "",
        "due": "2026-11-22T11:00:00.000Z",
        "priority": "high",
    }
    assert reminder.still == {"owner": "005ANA", "status": "New"}
    desk.wait(1)
    told = desk.tasks()[-1]
    assert (told.fields["owner"], told.fields["subject"], told.still) == ("005MIA", "it waits", {"status": "New"})


def test_a_manager_is_told_also_when_nobody_else_can_have_the_lead(ledger: Ledger, clock: ManualClock) -> None:
    both = SLA.replace("        reassign: yes", "        reassign: yes\n        notify: [manager, Cem Kaya]")
    both = both.replace("    then: queue Triage\n", "")
    alone = FILES["pools"].replace("[Ana Diaz, Bo Li, Cem Kaya]", "[Ana Diaz]")
    desk = Desk(ledger, clock, policy(**FILES | {"pools": alone, "sla": both}))
    with ledger.write() as conn:
        mirror.save(conn, [(msgspec.structs.replace(USERS[2], deleted=True), frozenset())])
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    for hours in (2, 1, 1):
        desk.wait(hours)
    last = desk.made()[-1]
    assert (last.outcome, [one.target for one in last.effects]) == ("hold", ["mia@example.com", "cem@example.com"])
    assert [one.fields["owner"] for one in desk.tasks()][-1] == "005MIA"
    assert last.trace[-1].note == "Cem Kaya's user is deleted in Salesforce: no task was made"


def test_a_manager_who_is_not_known_is_told_of_in_the_trace(ledger: Ledger, clock: ManualClock) -> None:
    desk = Desk(
        ledger,
        clock,
        policy(**FILES | {"people": FILES["people"].replace("ana@example.com,mia@example.com", "ana@example.com,")}),
    )
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    for hours in (2, 1):
        desk.wait(hours)
    assert len(desk.tasks()) == 1  # the reminder
    assert desk.made()[-1].trace[-1].note == "people.csv names no manager of whoever had it: no task was made"


def test_an_erasure_takes_what_a_task_says_of_the_person(desk: Desk) -> None:
    desk.wait(2)
    desk.play(desk.event("erased"))
    (reminder,) = desk.tasks()
    assert (reminder.fields, reminder.still) == ({}, {})


def test_a_record_that_was_moved_often_enough_comes_to_the_end_that_was_said(desk: Desk) -> None:
    for _ in range(6):
        desk.wait(1)
        desk.wait(1)
    last = desk.made()[-1]
    assert (last.outcome, last.owner) == ("assign", "")
    assert desk.owners_written()[-1] == "00G000000000009AAA"
    assert [one.outcome for one in desk.made()].count("assign") == 3
    assert all(not one.open for one in desk.clocks())
    n = len(desk.made())
    desk.wait(100)
    assert len(desk.made()) == n


def test_what_was_done_in_time_stops_the_clock(desk: Desk) -> None:
    desk.clock.advance(3600)
    desk.play(desk.event("updated", status="Working"))
    (one,) = desk.clocks()
    assert (one.state, one.breached_at, one.spent, one.why) == ("stopped", None, 3600, "status changed")
    n = len(desk.made())
    desk.wait(10)
    assert len(desk.made()) == n


def test_the_timer_of_an_outage_is_judged_by_when_it_was_due_and_says_so(desk: Desk) -> None:
    desk.wait(3.5)
    assert desk.made()[-1].trace[0].note.endswith("; dealt with 1.5 hours late, judged by when it was due")
    desk.wait(0)
    assert desk.made()[-1].effects[0].value == "it waits (comes 30 minutes late)"
    assert desk.made()[-1].trace[0].note.endswith("; dealt with 30 minutes late, judged by when it was due")


@pytest.mark.parametrize(("minutes", "says"), [(5, ""), (6, " (comes 6 minutes late)")])
def test_what_comes_some_minutes_late_is_told_as_ever(desk: Desk, minutes: int, says: str) -> None:
    desk.wait(2 + minutes / 60)
    assert desk.tasks()[0].fields["subject"].endswith(f"2 hours are left for 'First touch'{says}")


def test_who_loses_a_lead_in_the_same_moment_is_not_reminded_of_it(desk: Desk) -> None:
    desk.clock.advance(11 * 3600)
    for _ in range(4):
        desk.wait(0)
    assert [one.trace[0].note.partition(";")[0] for one in desk.made()[1:3]] == [
        "2 hours have passed with Ana Diaz, 2 hours are left for 'First touch'",
        "3 hours have passed with Ana Diaz, 1 hour is left for 'First touch'",
    ]
    assert desk.made()[3].owner == "bo@example.com"
    assert [one.fields["subject"] for one in desk.tasks()] == ["it waits (comes 8 hours late)"]  # the manager's


def test_a_reminder_that_comes_late_to_who_keeps_the_lead_is_made(ledger: Ledger, clock: ManualClock) -> None:
    desk = routed(ledger, clock, SLA.replace("reassignments: 1", "reassignments: 0").replace("then: queue Triage", ""))
    desk.clock.advance(11 * 3600)
    for _ in range(4):
        desk.wait(0)
    reminded = desk.tasks()[0].fields["subject"]
    assert reminded.endswith("2 hours are left for 'First touch' (comes 9 hours late)")


@pytest.mark.parametrize("text", ["2 minutes", "2 hours", "2 days"])
def test_an_amount_is_told_in_one_unit(ledger: Ledger, clock: ManualClock, text: str) -> None:
    """The clock begins between two milliseconds, and its timers are due at whole ones."""
    clock.advance(0.0004)
    desk = routed(ledger, clock, SLA.replace("4 hours", text))
    due = desk.clocks()[0].due_at
    assert due is not None
    clock.advance((due - clock()).total_seconds())
    desk.wait(0)
    passed, left = desk.made()[-1].trace[0].note.split(", ")
    assert passed.split()[:2] == left.split()[:2]


def test_who_accepted_a_lead_does_not_reject_it_past_the_limit(desk: Desk) -> None:
    desk.answer("rejected", "ana")
    assert desk.record().decided_owner == "bo@example.com"
    desk.answer("accepted", "bo")
    desk.answer("rejected", "bo")
    assert desk.made()[-1].trace[1].note == "it was moved 1 time, the most that 'First touch' allows"
    assert (desk.record().decided_owner, desk.owners_written()[-1]) == ("", "00G000000000009AAA")


def test_what_was_touched_before_the_limit_counts_though_it_is_told_after_it(desk: Desk) -> None:
    """The daemon was down; the CRM's news come before the timers."""
    desk.clock.advance(5 * 3600)
    desk.play(desk.event("updated", ago=2 * 3600, status="Working"))
    (one,) = desk.clocks()
    assert (one.state, one.breached_at, one.spent) == ("stopped", None, 3 * 3600)
    desk.wait(0)
    assert [made.outcome for made in desk.made()] == ["assign"]


def test_who_rejects_a_lead_does_not_get_it_again(desk: Desk) -> None:
    had = []
    for _ in range(3):
        owner = desk.record().decided_owner
        had.append(owner)
        desk.answer("rejected", owner.partition("@")[0], "not my language")
    assert desk.reasons()[1].startswith("Bo Li is next in the pool Small")
    assert desk.made()[1].trace[0].note == "Ana Diaz rejected it: not my language"
    # One rejection moved it; the clock allows one move, so the second brings its end.
    assert had == ["ana@example.com", "bo@example.com", ""]
    assert desk.owners_written()[-1] == "00G000000000009AAA"


def test_a_lead_that_nobody_wants_waits(ledger: Ledger, clock: ManualClock) -> None:
    desk = routed(ledger, clock, 'answers: {rejected: lead.status = "Rejected"}')
    for name in ("ana", "bo", "cem"):
        assert desk.record().decided_owner == f"{name}@example.com"
        desk.answer("rejected", name, "no")
    last = desk.made()[-1]
    assert last.outcome == "hold"
    assert "had it already" in last.reason
    assert desk.record().passed == ("ana@example.com", "bo@example.com", "cem@example.com")
    desk.wait(1)
    assert desk.made()[-1] == last


def test_the_crm_shows_that_a_rep_rejects(desk: Desk) -> None:
    desk.play(desk.event("updated", status="Rejected", company="ACME"))
    last = desk.made()[-1]
    assert (last.outcome, last.owner) == ("assign", "bo@example.com")
    assert last.trace[0].note == "Ana Diaz rejected it: ACME"


def test_a_rep_who_accepts_stops_the_clock(desk: Desk) -> None:
    desk.answer("accepted", "ana")
    assert desk.reasons()[-1] == "Ana Diaz accepted it"
    (one,) = desk.clocks()
    assert (one.state, one.why) == ("stopped", "it was accepted")


def test_who_accepts_after_it_was_reassigned_is_told_who_has_it(desk: Desk) -> None:
    """Both happen at once: what was written down first counts."""
    desk.clock.advance(4 * 3600)
    for _ in range(3):
        with desk.ledger.write() as conn:
            timers.fire(conn, desk.clock())
        desk.play()
    assert desk.made()[-1].owner == "bo@example.com"
    desk.answer("accepted", "ana")
    assert desk.ended()[-1] == ("skipped", "Ana Diaz cannot answer for it: Bo Li has it by now")
    assert desk.clocks()[-1].open


def test_who_accepts_before_the_timer_keeps_it_though_both_are_decided_together(desk: Desk) -> None:
    for hours in (2, 1):
        desk.wait(hours)
    n = len(desk.made())
    desk.clock.advance(3600)
    with desk.ledger.write() as conn:
        journal.accept(conn, [desk.event("accepted", by="ana@example.com", because="")], desk.clock())
        timers.fire(conn, desk.clock())
    desk.play()
    assert [made.outcome for made in desk.made()[n:]] == ["none"]
    assert desk.ended()[-1] == ("skipped", "the clock no longer runs")
    assert desk.record().decided_owner == "ana@example.com"


def test_who_accepts_after_the_timer_has_lost_it_though_both_are_decided_together(desk: Desk) -> None:
    for hours in (2, 1):
        desk.wait(hours)
    desk.clock.advance(3600)
    with desk.ledger.write() as conn:
        timers.fire(conn, desk.clock())
        journal.accept(conn, [desk.event("accepted", by="ana@example.com", because="")], desk.clock())
    desk.play()
    assert desk.ended()[-1] == ("skipped", "Ana Diaz cannot answer for it: Bo Li has it by now")
    assert [(one.person, one.open) for one in desk.clocks()] == [("ana@example.com", False), ("bo@example.com", True)]


def test_a_record_that_goes_by_hand_to_somebody_else_has_their_clock(desk: Desk) -> None:
    desk.clock.advance(3600)
    desk.play(desk.event("updated", owner="005CEM", country="Germany"))  # which is corrected, by a decision
    old, new = desk.clocks()
    assert (old.state, old.why) == ("ended", "Cem Kaya has it now, by somebody's hand")
    assert (new.person, new.started_at) == ("cem@example.com", desk.clock())


def test_a_deleted_record_has_no_clock(desk: Desk) -> None:
    desk.play(desk.event("deleted"))
    (one,) = desk.clocks()
    assert (one.state, one.why) == ("ended", "the record is gone")
    with desk.ledger.read() as conn:
        assert timers.count(conn) == 0


def test_who_just_accepted_it_in_the_crm_when_it_is_taken_away_keeps_it(ledger: Ledger, clock: ManualClock) -> None:
    """The field that shows the answer is looked at before it is given to somebody else."""
    desk = routed(ledger, clock, 'answers: {accepted: lead.status = "Accepted"}' + ENDS)
    desk.wait(4)
    with ledger.read() as conn:
        (body,) = conn.exec_driver_sql("SELECT body FROM outbox ORDER BY seq DESC LIMIT 1").one()
    assert json.loads(body)["still"] == {"status": "New"}


def test_who_works_it_in_the_crm_while_it_is_taken_away_keeps_it(desk: Desk) -> None:
    """The write was given up, since the status was no longer as it was; then the record was read again."""
    for hours in (2, 1, 1):
        desk.wait(hours)
    moved = desk.made()[-1]
    assert moved.owner == "bo@example.com"
    with desk.ledger.read() as conn:
        (body,) = conn.exec_driver_sql("SELECT body FROM outbox ORDER BY seq DESC LIMIT 1").one()
    assert json.loads(body)["still"] == {"status": "New"}
    desk.play(desk.event("updated", owner="005ANA", status="Working"))
    assert desk.record().decided_owner == ""
    last = desk.clocks()[-1]
    assert (last.person, last.state, last.why) == ("bo@example.com", "ended", "Ana Diaz has it now, by somebody's hand")
    n = len(desk.made())
    desk.wait(10)
    assert len(desk.made()) == n


TWO = """
clocks:
  First touch:
    start: assigned
    stop: lead.status changed
    within: 1 hour
    time: always
    steps: [{at: 30 minutes, remind: owner}]
  Out of the door:
    start: created
    stop: lead.status = "Closed"
    within: 2 hours
    time: always
    steps: [{at: 50 %, priority: 5}, {at: 90 %, notify: Mia Wolf}]
"""


def test_several_clocks_run_on_one_record_and_that_of_the_record_outlives_its_owners(
    ledger: Ledger, clock: ManualClock
) -> None:
    desk = routed(ledger, clock, TWO)
    desk.wait(0.5)
    desk.wait(0.25)
    desk.play(desk.event("updated", owner="005BO"))
    states = {(one.name, one.person): one.state for one in desk.clocks()}
    assert states == {
        ("Out of the door", "bo@example.com"): "running",
        ("First touch", "ana@example.com"): "ended",
        ("First touch", "bo@example.com"): "running",
    }
    desk.wait(0.25)
    assert desk.record().priority == 5
    desk.play(desk.event("updated", status="Closed"))
    assert {one.state for one in desk.clocks()} == {"ended", "stopped"}
    assert next(one for one in desk.clocks() if one.name == "Out of the door").spent == 3600


def test_a_clock_stands_still_while_the_record_is_on_hold(ledger: Ledger, clock: ManualClock) -> None:
    desk = Desk(ledger, clock, clocked(TWO))
    with ledger.write() as conn:
        mirror.save(conn, [(msgspec.structs.replace(user, deleted=True), frozenset()) for user in USERS])
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    (one,) = desk.clocks()
    assert (one.name, one.state, one.due_at) == ("Out of the door", "paused", None)
    clock.advance(7200)
    with ledger.write() as conn:
        mirror.save(conn, [(user, frozenset()) for user in USERS])
    desk.wait(0)
    on = desk.clocks()[0]
    assert (on.state, on.spent, desk.record().on_hold) == ("running", 0.0, False)
    assert on.due_at == clock() + timedelta(hours=1)


HOT = """
clocks:
  Hot:
    start: lead.status changed to "Hot"
    stop: lead.status changed from "Hot"
    within: 2 hours
    time: always
    pauses_on_hold: no
    steps: [{at: 50 %, priority: 5}]
"""


def test_a_step_raises_the_priority_of_a_record_that_waits(ledger: Ledger, clock: ManualClock) -> None:
    desk = Desk(ledger, clock, clocked(HOT))
    with ledger.write() as conn:
        mirror.save(conn, [(msgspec.structs.replace(user, deleted=True), frozenset()) for user in USERS])
    for name in ("00Q1", "00Q2", "00Q3"):
        desk.play(desk.event("created", name, email=f"{name}@acme{name}.example", status="New"))
        clock.advance(1)
    desk.play(desk.event("updated", "00Q2", status="Hot"))
    desk.wait(1)
    with ledger.read() as conn:
        assert [one.ref[-1] for one in holding.waiting(conn, "Small")] == ["2", "1", "3"]
    with ledger.write() as conn:
        mirror.save(conn, [(user, frozenset()) for user in USERS])
        holding.hurry(conn, ["Small"], clock())
    desk.wait(0)
    assert [desk.made(f"00Q{n}")[-1].owner.partition("@")[0] for n in (1, 2, 3)] == ["bo", "ana", "cem"]


def published(desk: Desk) -> None:
    """The policy is in the ledger too, as a daemon puts it there."""
    named = {"fields": example.FIELDS, "corrections": example.CORRECTIONS, "matching": example.MATCHING} | FILES
    files = {f"{name}.{'csv' if name == 'people' else 'yaml'}": text.encode() for name, text in named.items()}
    with desk.ledger.write() as conn:
        policies.publish(conn, clocked().digest, files, desk.clock())


def test_what_clocks_decided_is_made_again(desk: Desk) -> None:
    published(desk)
    for hours in (2, 1, 1, 2):
        desk.wait(hours)
    desk.answer("rejected", "bo", "no")
    found = list(Replay(desk.ledger).run(Span()))
    assert len(found) == 6
    assert [(one.verdict, one.said) for one in found] == [("identical", "")] * 6


def test_decisions_show_tells_of_the_clock_and_of_whom_it_told(desk: Desk) -> None:
    desk.wait(2)
    told = CliRunner().invoke(app, ["decisions", "show", "00Q1", "--ledger", desk.ledger.url])
    assert told.exit_code == 0
    assert "salesforce: a task for '005ANA', due 2026-11-22 11:00 UTC: First touch: 2 hours have passed" in told.stdout
    assert "First touch for ana@example.com" in told.stdout
    assert "of 4 hours: running, next step 2026-11-22 12:00 UTC" in told.stdout


def test_decisions_show_calls_people_and_queues_by_their_names(desk: Desk) -> None:
    published(desk)
    for hours in (2, 1, 1, 2, 1, 1):
        desk.wait(hours)
    told = CliRunner().invoke(app, ["decisions", "show", "00Q1", "--ledger", desk.ledger.url]).stdout
    assert "lead 00Q1 in salesforce goes to Ana Diaz" in told
    assert "  Bo Li: 0 given, fair share 0.33" in told
    assert "lead 00Q1 in salesforce goes to the queue Triage" in told
    assert "owner = Ana Diaz (005ANA)" in told
    assert "owner = the queue Triage (00G000000000009AAA)" in told
    assert "a task for Mia Wolf (005MIA)" in told
    assert "First touch for Ana Diaz, since" in told


def test_the_fairness_of_a_pool_is_reported(desk: Desk, tmp_path: Path) -> None:
    desk.play(*[desk.event("created", f"00Q{n}", email=f"p{n}@b{n}.example") for n in range(2, 6)])
    call = ["report", "fairness", "Small", "--ledger", desk.ledger.url]
    told = CliRunner().invoke(app, [*call, "--json"])
    rows = {row["person"]: row["assigned"] for row in json.loads(told.stdout)}
    assert (told.exit_code, rows) == (0, {"ana@example.com": 2, "bo@example.com": 2, "cem@example.com": 1})
    page = tmp_path / "fair.html"
    assert CliRunner().invoke(app, [*call, "--html", str(page)]).exit_code == 0
    assert "nobody is further from the fair share than 0.67" in page.read_text()
    nobody = CliRunner().invoke(app, ["report", "fairness", "Nowhere", "--ledger", desk.ledger.url])
    assert (nobody.exit_code, "No lead went through Nowhere yet." in nobody.stderr) == (1, True)


@pytest.mark.parametrize("told", ["by the rep", "by the CRM"])
def test_who_accepts_what_was_taken_away_and_given_to_nobody_yet_keeps_it(
    ledger: Ledger, clock: ManualClock, told: str
) -> None:
    alone = FILES["pools"].replace("[Ana Diaz, Bo Li, Cem Kaya]", "[Ana Diaz]")
    waits = SLA.replace("    then: queue Triage\n", "")
    desk = Desk(ledger, clock, policy(**FILES | {"pools": alone, "sla": waits}))
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    for hours in (2, 1, 1):
        desk.wait(hours)
    assert (desk.made()[-1].outcome, desk.record().on_hold) == ("hold", True)
    assert [one.why for one in desk.clocks()] == ["it was taken away"]
    if told == "by the rep":
        desk.answer("accepted", "ana")
    else:
        desk.play(desk.event("updated", status="Accepted"))
    assert (desk.made()[-1].reason, desk.record().on_hold) == ("Ana Diaz accepted it", False)
    with ledger.read() as conn:
        assert timers.count(conn) == 0
    n = len(desk.made())
    desk.wait(10)
    assert len(desk.made()) == n


@pytest.mark.parametrize("told", ["by the rep", "by the CRM"])
def test_who_accepts_after_all_what_they_gave_back_has_had_the_turn_again(
    ledger: Ledger, clock: ManualClock, told: str
) -> None:
    alone = FILES["pools"].replace("[Ana Diaz, Bo Li, Cem Kaya]", "[Ana Diaz]")
    waits = SLA.replace("    then: queue Triage\n", "")
    desk = Desk(ledger, clock, policy(**FILES | {"pools": alone, "sla": waits}))
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    clock.advance(60)
    desk.answer("rejected", "ana", "no")
    assert (desk.record().on_hold, desk.record().gave_back) == (True, True)
    if told == "by the rep":
        desk.answer("accepted", "ana")
    else:
        desk.play(desk.event("updated", status="Accepted"))
    assert (desk.made()[-1].reason, desk.record().on_hold) == ("Ana Diaz accepted it", False)
    with ledger.read() as conn:
        entries = conn.exec_driver_sql("SELECT what FROM pool_entry ORDER BY seq").scalars().all()
        assert (entries[-1], timers.count(conn)) == ("debit", 0)


def test_a_rejection_is_no_first_touch_of_whoever_has_it_next(ledger: Ledger, clock: ManualClock) -> None:
    desk = routed(ledger, clock)
    clock.advance(60)
    desk.play(desk.event("updated", status="Rejected", company="ACME"))
    clock.advance(60)
    with ledger.read() as conn:
        (row,) = reports.speed(conn, clock() - timedelta(hours=1), clock(), "all", UTC)
    assert (row.moved, row.untouched) == (1, 1)


@pytest.mark.parametrize("size", [1, 500])
def test_a_touch_counts_for_who_had_it_though_it_is_routed_anew_in_the_same_batch(
    ledger: Ledger, clock: ManualClock, size: int
) -> None:
    desk = routed(ledger, clock)
    clock.advance(60)
    desk.play(desk.event("updated", ago=50, status="Working"), desk.event("updated", status="Rejected"), size=size)
    with ledger.read() as conn:
        given = conn.exec_driver_sql("SELECT person, touched_ms FROM assignment ORDER BY decided_ms").all()
    at = to_ms(clock() - timedelta(seconds=50))
    assert [tuple(one) for one in given] == [("ana@example.com", at), ("bo@example.com", None)]


def test_what_is_on_hold_with_nobody_is_accepted_by_nobody(ledger: Ledger, clock: ManualClock) -> None:
    desk = Desk(ledger, clock, clocked())
    with ledger.write() as conn:
        mirror.save(conn, [(msgspec.structs.replace(user, deleted=True), frozenset()) for user in USERS])
    desk.play(desk.event("created", email="kim@acme.example", status="New", owner="00G000000000009AAA"))
    clock.advance(60)
    desk.play(desk.event("updated", status="Accepted"))
    assert ([one.outcome for one in desk.made()], desk.record().on_hold) == (["hold"], True)


def test_where_a_rejection_counts_as_an_answer_it_stops_the_clock(ledger: Ledger, clock: ManualClock) -> None:
    desk = routed(ledger, clock, SLA.replace("[lead.status changed, accepted]", "[accepted, rejected]"))
    desk.clock.advance(600)
    desk.answer("rejected", "ana", "no budget")
    old, new = desk.clocks()
    assert (old.state, old.spent, old.why) == ("stopped", 600, "it was rejected")
    assert (new.state, new.person) == ("running", "bo@example.com")


def test_whoever_rejects_it_for_the_rep_is_named(desk: Desk) -> None:
    desk.play(msgspec.structs.replace(desk.event("updated", status="Rejected", company="ACME"), actor="005MIA"))
    last = desk.made()[-1]
    assert last.owner == "bo@example.com"
    assert last.trace[0].note == "Mia Wolf rejected it for Ana Diaz: ACME"
    with desk.ledger.read() as conn:
        entries = conn.exec_driver_sql("SELECT person, why FROM pool_entry WHERE what = 'refused'").all()
    assert [tuple(one) for one in entries] == [("ana@example.com", "Mia Wolf gave it back for Ana Diaz")]


ENDS = """
clocks:
  First touch:
    start: assigned
    stop: accepted
    within: 4 hours
    time: always
    steps: [{at: 100 %, reassign: yes}]
    reassignments: 1
    then: hold
  From birth:
    start: created
    stop: accepted
    within: 9 hours
    time: always
    steps: [{at: 100 %, notify: Mia Wolf}]
"""


def test_who_gave_it_back_already_is_told_so_and_it_is_no_move(ledger: Ledger, clock: ManualClock) -> None:
    desk = routed(ledger, clock, ENDS)
    desk.answer("rejected", "ana", "no")
    desk.answer("rejected", "bo", "no")
    last = desk.made()[-1]
    assert (last.outcome, last.reason) == (
        "hold",
        "Bo Li rejected it; it was moved 1 time, the most that 'First touch' allows",
    )
    desk.answer("rejected", "bo", "no, I say")
    assert desk.made()[-1] == last
    told = "it was taken from Bo Li already: it is on hold, and waits for somebody else"
    assert desk.ended()[-1] == ("skipped", told)


def test_a_clock_that_says_nothing_of_moves_limits_none(ledger: Ledger, clock: ManualClock) -> None:
    """From birth neither reassigns nor has an end: of four who reject it, each hands it on, as First touch allows."""
    many = FILES["people"] + "Dan Ito,dan@example.com,\n"
    pool = FILES["pools"].replace("Cem Kaya]", "Cem Kaya, Dan Ito]")
    users = person("salesforce", "005DAN", "dan@example.com")
    sla = ENDS.replace("reassignments: 1", "reassignments: 5")
    desk = Desk(ledger, clock, policy(**FILES | {"sla": sla, "people": many, "pools": pool}))
    with ledger.write() as conn:
        mirror.save(conn, [(users, frozenset())])
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    for name in ("ana", "bo", "cem"):
        desk.answer("rejected", name, "no")
    assert (desk.made()[-1].outcome, desk.made()[-1].owner) == ("assign", "dan@example.com")


@pytest.mark.parametrize(
    ("then", "outcome", "reason"),
    [
        ("hold", "hold", "nobody is left who has not had it"),
        ("queue Triage", "assign", "it goes to the queue Triage: First touch"),
        ("notify Mia Wolf", "hold", "nobody in the pool Small can take it (Ana Diaz had it already)"),
        ("stay", "hold", "nobody in the pool Small can take it (Ana Diaz had it already)"),
    ],
)
@pytest.mark.parametrize("rejects", [True, False])
def test_where_nobody_is_left_who_has_not_had_it_the_clock_comes_to_its_end(
    ledger: Ledger, clock: ManualClock, then: str, outcome: str, reason: str, rejects: bool
) -> None:
    alone = FILES["pools"].replace("[Ana Diaz, Bo Li, Cem Kaya]", "[Ana Diaz]")
    files = {"pools": alone, "sla": ENDS.replace("then: hold", f"then: {then}")}
    desk = Desk(ledger, clock, policy(**FILES | files))
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    if rejects:
        desk.answer("rejected", "ana", "no")
    else:
        desk.wait(4)
    last = desk.made()[-1]
    assert (last.outcome, last.owner, last.reason) == (outcome, "", reason)
    told = [one.target for one in last.effects]
    assert told == (["mia@example.com"] if then.startswith("notify") else [])


OF_ANOTHER = """
clocks:
  Touch:
    start: assigned
    stop: accepted
    within: 4 hours
    time: always
    steps: [{at: 100 %, reassign: yes}]
    reassignments: 5
  Qualified:
    start: lead.status changed to "MQL"
    stop: accepted
    within: 9 hours
    time: always
    steps: [{at: 100 %, reassign: yes}]
    reassignments: 1
    then: hold
"""


def test_what_waits_for_anybody_does_not_wait_for_the_end_of_a_clock_that_never_ran(
    ledger: Ledger, clock: ManualClock
) -> None:
    """Two moves by Touch are within its five, and nothing to Qualified."""
    desk = routed(ledger, clock, OF_ANOTHER)
    desk.wait(4)
    with ledger.write() as conn:
        off = people.enter(conn, "cem@example.com", "pause", "2020-01-01", "", author="t", reason="", now=clock())
    desk.wait(4)
    assert (desk.made()[-1].outcome, desk.record().on_hold) == ("hold", True)
    with ledger.write() as conn:
        people.end(conn, [off], author="t", reason="", now=clock())
    desk.wait(24)
    assert (desk.made()[-1].outcome, desk.made()[-1].owner) == ("assign", "cem@example.com")


def test_a_clock_that_holds_a_record_holds_it_whoever_joins(ledger: Ledger, clock: ManualClock) -> None:
    alone = FILES["pools"].replace("[Ana Diaz, Bo Li, Cem Kaya]", "[Ana Diaz]")
    files = FILES | {"pools": alone, "sla": ENDS.replace("reassignments: 1", "reassignments: 2")}
    desk = Desk(ledger, clock, policy(**files))
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    desk.wait(4)
    assert desk.made()[-1].reason == "nobody is left who has not had it"
    desk.loop._policies.current = policy(**files | {"pools": FILES["pools"]})  # type: ignore[misc]
    desk.wait(24)
    assert desk.record().on_hold
    assert "still on hold: nobody is left who has not had it" in desk.ended()[-1][1]


@pytest.mark.parametrize("last", ["Bo Li: 0", "Dan Ito: 1"])
def test_who_never_gets_anything_is_nobody_left(ledger: Ledger, clock: ManualClock, last: str) -> None:
    """Bo has no weight, Dan has left."""
    pools = f"Small: {{method: weighted, members: {{Ana Diaz: 1, {last}}}}}\nBig: {{members: [Mia Wolf]}}\n"
    header, *rows = FILES["people"].splitlines()
    roster = "\n".join([f"{header},end_date", *(f"{row}," for row in rows)]) + "\n"
    commas = header.count(",") - 1
    roster += f"Dan Ito,dan@example.com{',' * commas},2020-01-01\n"
    sla = ENDS.replace("then: hold", "then: queue Triage").replace("reassignments: 1", "reassignments: 3")
    desk = Desk(ledger, clock, policy(**FILES | {"pools": pools, "people": roster, "sla": sla}))
    with ledger.write() as conn:
        mirror.save(conn, [(person("salesforce", "005DAN", "dan@example.com"), frozenset())])
    desk.play(desk.event("created", email="kim@acme.example", status="New"))
    assert desk.made()[-1].owner == "ana@example.com"
    desk.wait(4)
    assert desk.made()[-1].reason == "it goes to the queue Triage: First touch"


@pytest.mark.parametrize("told", [True, False])
def test_what_was_converted_is_taken_from_nobody(ledger: Ledger, clock: ManualClock, told: bool) -> None:
    """Also where the mirror knows it and no event of it met the clock, as after a fill."""
    desk = routed(ledger, clock, ENDS)
    owner = desk.made()[-1].owner
    if told:
        desk.play(desk.event("updated", converted=True))
        assert {(one.state, one.why) for one in desk.clocks()} == {("ended", "it was converted")}
    else:
        kept = desk.record()
        converted = msgspec.structs.replace(kept, values={**kept.values, "converted": True})
        with ledger.write() as conn:
            mirror.save(conn, [(converted, None)], desk.loop._policies.current)
    made = len(desk.made())
    desk.wait(30)
    assert (len(desk.made()), desk.made()[-1].owner) == (made, owner)
