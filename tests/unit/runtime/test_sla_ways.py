"""Every way a clock may begin, count its time and come to its end, as the policy says it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import structlog

from routing.ledger import mirror, timers
from routing.ledger.engine import Ledger
from routing.runtime.pooling import Desk as PoolDesk
from rules.policy import Policy, compile_policy
from tests.conftest import ManualClock
from tests.unit.core import policy as example
from tests.unit.core.policy import person, policy
from tests.unit.runtime.test_sla_loop import FILES, USERS, Desk


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def given(ledger: Ledger, clock: ManualClock, by: Policy) -> Desk:
    """A lead that Ana was just given (on a Sunday at 9:00 UTC)."""
    desk = Desk(ledger, clock, by)
    desk.play(desk.event("created", email="kim@acme.example", status="New", owner="00G000000000009AAA"))
    desk.play(desk.event("updated", owner="005ANA"))
    return desk


def clocked(then: str, step: str = "reassign: yes", **settings: str) -> str:
    more = "".join(f"    {name}: {value}\n" for name, value in settings.items())
    return (
        "clocks:\n  First touch:\n    start: assigned\n    stop: lead.status changed\n    within: 4 hours\n"
        f"    steps: [{{at: 100 %, {step}}}]\n    reassignments: 0\n{then and f'    then: {then}'}\n{more or '    time: always'}\n"
    )


@pytest.mark.parametrize(
    ("then", "outcome", "says", "told"),
    [
        ("", "none", "it stays where it is", []),
        ("stay", "none", "it stays where it is", []),
        ("hold", "hold", "it was moved 0 times, the most that 'First touch' allows", []),
        ("queue Triage", "assign", "it goes to the queue Triage", []),
        ("notify manager", "none", "it stays where it is", ["005MIA"]),
        ("{notify: Bo Li, text: Look at it}", "none", "it stays where it is", ["005BO"]),
    ],
)
def test_what_was_moved_often_enough_comes_to_what_the_policy_says(
    ledger: Ledger, clock: ManualClock, then: str, outcome: str, says: str, told: list[str]
) -> None:
    desk = given(ledger, clock, policy(**FILES | {"sla": clocked(then)}))
    desk.wait(4)
    last = desk.made()[-1]
    assert (last.outcome, says in last.reason) == (outcome, True), last.reason
    assert [one.fields["owner"] for one in desk.tasks()] == told
    n = len(desk.made())
    for _ in range(3):
        desk.wait(24)
    assert len(desk.made()) == n
    assert desk.record().on_hold is (outcome == "hold")


def test_what_waits_at_its_end_is_free_again_when_somebody_takes_it(ledger: Ledger, clock: ManualClock) -> None:
    desk = given(ledger, clock, policy(**FILES | {"sla": clocked("hold")}))
    for _ in range(2):
        desk.wait(4)
    assert desk.ended()[-1][1].startswith("still on hold: it was moved 0 times")
    desk.play(desk.event("updated", owner="005CEM"))
    desk.wait(1)
    assert desk.made()[-1].reason.startswith("Cem Kaya took it while it was on hold")
    assert (desk.record().on_hold, len(desk.owners_written())) == (False, 1)


def test_a_step_escalates_to_a_queue_whoever_had_the_lead(ledger: Ledger, clock: ManualClock) -> None:
    desk = given(ledger, clock, policy(**FILES | {"sla": clocked("", "escalate: queue Triage")}))
    desk.wait(4)
    assert desk.owners_written() == ["005ANA", "00G000000000009AAA"]
    assert [(one.state, one.why) for one in desk.clocks()] == [("ended", "it was taken away")]


MQL = """
clocks:
  Worked the same day:
    start: lead.status changed to "MQL"
    stop: lead.status changed from "MQL"
    within: 8 hours
    time: always
    steps: [{at: 100 %, priority: 3}]
"""


def test_what_a_clock_puts_into_a_queue_of_reps_is_claimed_from_there(ledger: Ledger, clock: ManualClock) -> None:
    sla = clocked("", "reassign: pool Big", time="always").replace("reassignments: 0", "reassignments: 2")
    by = policy(
        **FILES | {"sla": sla, "pools": FILES["pools"].replace("Big: {method: round robin", "Big: {method: pull")}
    )
    desk = given(ledger, clock, by)
    desk.wait(4)
    desk.wait(1)
    assert (desk.made()[-1].pool, desk.record().on_hold) == ("Big", True)
    with ledger.write() as conn:
        PoolDesk(conn, by, ["Big"], clock(), locked=True).claim("Big", "mia@example.com")
    desk.play()
    assert desk.made()[-1].reason == "Mia Wolf claimed it out of the pool Big: First touch"


def test_a_clock_runs_from_one_status_to_the_next_whoever_has_the_record(ledger: Ledger, clock: ManualClock) -> None:
    desk = given(ledger, clock, policy(**FILES | {"sla": MQL}))
    assert desk.clocks() == []
    desk.clock.advance(3600)
    desk.play(desk.event("updated", status="MQL"))
    desk.play(desk.event("updated", owner="005BO"))
    assert [(one.person, one.state) for one in desk.clocks()] == [("bo@example.com", "running")]
    desk.clock.advance(7200)
    desk.play(desk.event("updated", status="Working"))
    assert [(one.state, one.spent) for one in desk.clocks()] == [("stopped", 7200)]
    desk.clock.advance(60)
    desk.play(desk.event("updated", status="MQL"))
    assert [one.state for one in desk.clocks()] == ["stopped", "running"]


HOURS = """name,email,hours,time_zone
Ana Diaz,ana@example.com,Mon-Fri 9:00-17:00,Europe/Berlin
Bo Li,bo@example.com,Mon-Fri 9:00-17:00,America/New_York
Cem Kaya,cem@example.com,Mon-Sun 12:00-13:00,UTC
Mia Wolf,mia@example.com,,
"""
CALENDARS = "Office: {time_zone: Asia/Kolkata, hours: 'Mon-Sat 10:00-12:00'}\n"


@pytest.mark.parametrize(
    ("time", "hours"),
    [
        ("rep", 27),  # Monday 12:00 UTC: four hours of Ana's day in Berlin
        ("team Small", 26),  # an hour on Sunday when Cem works, then from Monday 8:00 UTC as Ana does: until 11:00
        ("calendar Office", 45.5),  # two hours on Monday, two on Tuesday until 12:00 in Kolkata
        ("always", 4),
    ],
)
def test_time_counts_while_those_work_whose_time_it_is(
    ledger: Ledger, clock: ManualClock, time: str, hours: float
) -> None:
    named = {"fields": example.FIELDS, "corrections": example.CORRECTIONS, "matching": example.MATCHING} | FILES
    named |= {"people": HOURS, "sla": clocked("", time=time), "calendars": CALENDARS}
    ladder = "  - rung: Ana\n    when: lead.email is not blank\n    assign: Ana Diaz\n"
    named["engagement"] = named["engagement"].replace("ladder:\n", f"ladder:\n{ladder}")
    by = compile_policy({f"{n}.{'csv' if n == 'people' else 'yaml'}": text.encode() for n, text in named.items()})
    desk = given(ledger, clock, by)
    (one,) = desk.clocks()
    assert one.due_at == one.started_at + timedelta(hours=hours)


def test_a_clock_that_runs_while_the_record_waits_is_with_nobody(ledger: Ledger, clock: ManualClock) -> None:
    """The CRM names whoever imported it as the owner."""
    sla = clocked("", "notify: Mia Wolf", pauses_on_hold="no", time="always").replace(
        "start: assigned", "start: created"
    )
    desk = Desk(ledger, clock, policy(**FILES | {"sla": sla}))
    away = [
        person("salesforce", f"005{name.upper()}", f"{name}@example.com", active=False) for name in ("ana", "bo", "cem")
    ]
    with ledger.write() as conn:
        mirror.save(conn, [(user, frozenset()) for user in away])
    desk.play(desk.event("created", email="kim@acme.example", status="New", owner="005MIA"))
    assert desk.made()[-1].outcome == "hold"
    desk.wait(4)
    assert desk.made()[-1].trace[0].note == "4 hours are over, and 'First touch' was not met"
    with ledger.write() as conn:
        mirror.save(conn, [(user, frozenset()) for user in USERS])
        timers.hurry(conn, "hold", clock())
    desk.wait(0.001)
    assert [(one.person, one.state) for one in desk.clocks()] == [(desk.made()[-1].owner, "running")]
