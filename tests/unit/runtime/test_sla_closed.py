"""What a rep has closed in the CRM is worked no more: its clocks end, and it is taken from nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import structlog
from typer.testing import CliRunner

from routing.cli.app import app
from routing.core.distribution.workload import done_with
from routing.core.model import Record
from routing.core.times import iso
from routing.ledger import mirror
from routing.ledger.engine import Ledger
from routing.runtime.backfill import store_snapshots
from tests.conftest import ManualClock
from tests.unit.core.policy import person, policy
from tests.unit.runtime.test_sla_loop import ENDS, FILES, USERS, Desk

NURTURED = f"open_when: lead.status is blank or lead.status != 'Nurture'\n{FILES['pools']}"
BY_COMPANY = f"open_when: lead.company != 'Nobody Ltd'\n{FILES['pools']}"
CLOSED = "it was closed: its status is Unqualified"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def given(ledger: Ledger, clock: ManualClock, **files: str) -> Desk:
    """A lead that Ana has had for ten minutes."""
    desk = Desk(ledger, clock, policy(**FILES | {"sla": ENDS} | files))
    desk.play(desk.event("created", email="kim@acme.example", status="New", company="Acme", owner="00G000000000009AAA"))
    desk.play(desk.event("updated", owner="005ANA"))
    clock.advance(600)
    return desk


@pytest.mark.parametrize(
    ("pools", "change", "why"),
    [
        (FILES["pools"], {"status": "Unqualified"}, CLOSED),
        (FILES["pools"], {"status": "Closed - Not Converted"}, "it was closed: its status is Closed - Not Converted"),
        (NURTURED, {"status": "Nurture"}, "it was closed: its status is Nurture"),
        (BY_COMPANY, {"company": "Nobody Ltd"}, "it was closed: company changed"),
    ],
)
def test_what_was_closed_is_taken_from_nobody(
    ledger: Ledger, clock: ManualClock, pools: str, change: dict[str, str], why: str
) -> None:
    desk = given(ledger, clock, pools=pools)
    desk.play(desk.event("updated", ago=60, **change))
    assert {
        (one.name, one.state, one.why, one.closed_at and (one.closed_at - one.started_at).seconds)
        for one in desk.clocks()
    } == {
        ("First touch", "ended", why, 540),
        ("From birth", "ended", why, 540),
    }
    desk.wait(30)
    assert [(one.outcome, one.owner) for one in desk.made()] == [("assign", "ana@example.com")]
    assert not desk.tasks()


@pytest.mark.parametrize(("pools", "status"), [(FILES["pools"], "Working"), (NURTURED, "Unqualified")])
def test_what_is_still_open_work_goes_on(ledger: Ledger, clock: ManualClock, pools: str, status: str) -> None:
    """Where the policy says what is open, nothing else does."""
    desk = given(ledger, clock, pools=pools)
    desk.play(desk.event("updated", status=status))
    desk.wait(4)
    assert [one.owner for one in desk.made()] == ["ana@example.com", "bo@example.com"]


def test_what_the_mirror_learned_by_itself_counts_too(any_ledger: Ledger, clock: ManualClock) -> None:
    """As after a fill: no event of it has met the clock. That it was closed in time is no breach."""
    desk = given(any_ledger, clock)
    seen = desk.event("snapshot", ago=-3600, status="Unqualified")
    with any_ledger.write() as conn:
        store_snapshots(conn, [seen], policy=desk.loop._policies.current)
    desk.wait(4)
    first, birth = desk.clocks()
    assert (first.state, first.why, first.breached_at) == ("ended", CLOSED, None)
    assert first.closed_at == seen.occurred_at
    assert desk.ended()[-1] == ("skipped", f"{CLOSED}; nobody has anything left to do with it")
    assert len(desk.made()) == 1
    assert birth.state == "ended"


def test_the_hand_that_closes_it_may_give_it_away(ledger: Ledger, clock: ManualClock) -> None:
    """In one save: whoever keeps what is closed has no clock."""
    desk = given(ledger, clock)
    desk.play(desk.event("updated", status="Unqualified", owner="005MIA"))
    assert {one.why for one in desk.clocks()} == {CLOSED}


def test_what_is_opened_again_is_timed_again_once_it_is_given_again(ledger: Ledger, clock: ManualClock) -> None:
    again = FILES["engagement"].replace(
        "'event.kind = \"created\"'", "'event.kind = \"created\"', 'lead.status changed to \"Open\"'"
    )
    desk = given(ledger, clock, engagement=again)
    desk.play(desk.event("updated", status="Unqualified"))
    clock.advance(3600)
    desk.play(desk.event("updated", status="Working"))
    assert {one.state for one in desk.clocks()} == {"ended"}
    clock.advance(60)
    desk.play(desk.event("updated", status="Open"))
    running = [one for one in desk.clocks() if one.open]
    assert [(one.name, one.person) for one in running] == [("First touch", desk.made()[-1].owner)]
    desk.wait(4)
    assert len({one.owner for one in desk.made()}) == 3


def test_what_the_policy_gives_out_though_it_is_closed_is_timed(ledger: Ledger, clock: ManualClock) -> None:
    """It was closed when it was given; and the end of a clock goes by what was told since."""
    desk = given(ledger, clock, engagement=RECYCLES)
    clock.advance(3600)
    desk.play(desk.event("updated", ago=60, status="Unqualified"))
    assert sorted((one.name, one.person, one.state) for one in desk.clocks() if one.open) == [
        ("First touch", "bo@example.com", "running"),
        ("From birth", "bo@example.com", "running"),
    ]
    desk.play(desk.event("updated", company="Acme Ltd"))
    desk.wait(4)
    assert [one.owner for one in desk.made()][-1] == "cem@example.com"


@pytest.mark.parametrize("system", ["salesforce", "hubspot"])
@pytest.mark.parametrize(("born", "closed"), [(600, 300), (5, 2), (0, 0)])
def test_what_was_closed_before_it_was_given_and_told_after_is_taken_from_nobody(
    ledger: Ledger, clock: ManualClock, system: str, born: float, closed: float
) -> None:
    """After an outage, or where the CRM's clock is behind ours: the decision went by what was told until then."""
    desk = Desk(ledger, clock, policy(**FILES | {"sla": ENDS}))
    desk.system = system
    with ledger.write() as conn:
        mirror.save(conn, [(person("hubspot", f"7{n}", f"{n}@example.com"), frozenset()) for n in ("ana", "bo", "cem")])
    desk.play(
        desk.event("created", ago=born, email="kim@acme.example", status="New"),
        desk.event("updated", ago=closed, status="Unqualified"),
    )
    assert [(one.outcome, one.owner) for one in desk.made()] == [("assign", "ana@example.com")]
    # As of that moment, or of the clock's beginning.
    assert {(one.name, one.state, one.why, one.spent, one.breached_at) for one in desk.clocks()} == {
        ("From birth", "ended", CLOSED, born - closed, None),
        ("First touch", "ended", CLOSED, 0.0, None),
    }
    for hours in (5, 5):
        desk.wait(hours)
    assert len(desk.made()) == 1
    assert not desk.tasks()


def test_a_touch_that_the_crm_dates_before_the_decision_is_the_rep_s_and_in_time(
    ledger: Ledger, clock: ManualClock
) -> None:
    """Its clock is two seconds behind ours."""
    desk = Desk(ledger, clock, policy(**FILES))
    desk.play(desk.event("created", ago=5, email="kim@acme.example", status="New"))
    desk.play(desk.event("updated", ago=2, status="Working"))
    (one,) = desk.clocks()
    assert (one.state, one.spent, one.breached_at) == ("stopped", 0.0, None)
    assert one.closed_at == one.started_at == clock()


def test_what_its_rep_closed_just_before_it_was_taken_from_them_ends_the_next_ones_clock(
    ledger: Ledger, clock: ManualClock
) -> None:
    """The news of it come after: Bo has what is closed, and nothing to do with it."""
    desk = given(ledger, clock)
    desk.wait(4)
    both = {("First touch", "bo@example.com"), ("From birth", "bo@example.com")}
    assert {(one.name, one.person) for one in desk.clocks() if one.open} == both
    clock.advance(2)
    desk.play(desk.event("updated", ago=700, status="Unqualified"))
    assert {(one.name, one.person) for one in desk.clocks() if one.why == CLOSED} == both
    n = len(desk.made())
    desk.wait(5)
    desk.wait(5)
    assert (len(desk.made()), desk.tasks()) == (n, [])


def test_what_was_closed_before_it_was_put_on_hold_and_told_after_is_given_to_nobody(
    ledger: Ledger, clock: ManualClock
) -> None:
    desk = Desk(ledger, clock, policy(**FILES | {"sla": ENDS}))
    with ledger.write() as conn:
        mirror.save(conn, [(msgspec.structs.replace(user, deleted=True), frozenset()) for user in USERS])
    desk.play(desk.event("created", ago=60, email="kim@acme.example", status="New"))
    desk.play(desk.event("updated", ago=30, status="Unqualified"))
    with ledger.write() as conn:
        mirror.save(conn, [(user, frozenset()) for user in USERS])
    desk.wait(1)
    assert desk.ended()[-1] == ("skipped", f"no longer on hold: {CLOSED}")
    assert ([one.outcome for one in desk.made()], desk.record().on_hold) == (["hold"], False)
    assert [(one.name, one.why) for one in desk.clocks()] == [("From birth", CLOSED)]


RECYCLES = FILES["engagement"].replace(
    "'event.kind = \"created\"'", "'event.kind = \"created\"', 'lead.status changed to \"Unqualified\"'"
)


@pytest.mark.parametrize("status", ["Unqualified", "Disqualified"])
def test_what_is_worked_and_closed_again_after_it_was_given_out_closed_ends(
    ledger: Ledger, clock: ManualClock, status: str
) -> None:
    """Also in the same words, and by a CRM whose clock is behind ours."""
    desk = given(ledger, clock, engagement=RECYCLES.replace('to "Unqualified"', 'from "New" to "Unqualified"'))
    desk.play(desk.event("updated", ago=61, status="Unqualified"))
    assert [one.person for one in desk.clocks() if one.open] == ["bo@example.com"] * 2
    desk.play(desk.event("updated", ago=60, status="Working"))
    desk.play(desk.event("updated", ago=59, status=status))
    assert not [one for one in desk.clocks() if one.open]
    assert desk.clocks()[-1].why == f"it was closed: its status is {status}"
    desk.wait(9)
    assert desk.made()[-1].owner == "bo@example.com"


@pytest.mark.parametrize("size", [1, 500])
def test_a_clock_that_a_closing_begins_runs_until_the_next_one(ledger: Ledger, clock: ManualClock, size: int) -> None:
    recycle = (
        ENDS
        + """
  Recycle:
    start: lead.status changed to "Unqualified"
    stop: lead.status changed from "Unqualified"
    within: 9 hours
    time: always
    steps: [{at: 100 %, notify: Mia Wolf}]
"""
    )
    desk = given(ledger, clock, sla=recycle)
    desk.play(
        desk.event("updated", ago=60, status="Unqualified"),
        desk.event("updated", ago=50, company="Acme Ltd"),
        size=size,
    )
    assert {one.name: one.state for one in desk.clocks()} == {
        "First touch": "ended",
        "From birth": "ended",
        "Recycle": "running",
    }
    desk.wait(9)
    assert [one.fields["owner"] for one in desk.tasks()] == ["005MIA"]


@pytest.mark.parametrize(("ago", "ends"), [(60, True), (7200, False)])
def test_a_record_of_an_older_version_goes_by_when_it_was_closed(
    ledger: Ledger, clock: ManualClock, ago: float, ends: bool
) -> None:
    """Until it is routed anew nobody can know what was told by then."""
    desk = given(ledger, clock)
    known = desk.record()
    before = iso(clock() - timedelta(seconds=ago))
    old = msgspec.structs.replace(
        known,
        values=known.values | {"status": "Unqualified"},
        changed_at=known.changed_at | {"status": before},
        changed_since=None,
    )
    with ledger.write() as conn:
        mirror.save(conn, [(old, None)], desk.loop._policies.current)
    desk.play(desk.event("updated", company="Acme Ltd"))
    assert {one.state for one in desk.clocks()} == ({"ended"} if ends else {"running"})


def test_a_rejection_shown_by_a_closed_status_hands_it_on(ledger: Ledger, clock: ManualClock) -> None:
    answers = 'answers: {rejected: lead.status changed to "Disqualified"}\n' + ENDS
    desk = given(ledger, clock, sla=answers)
    desk.play(desk.event("updated", ago=60, status="Disqualified"))
    assert [one.person for one in desk.clocks() if one.open] == ["bo@example.com"] * 2
    desk.wait(4)
    assert (desk.made()[-1].outcome, desk.made()[-1].trace[0].name) == ("hold", "First touch")


def test_it_is_told_with_the_decision(ledger: Ledger, clock: ManualClock) -> None:
    desk = given(ledger, clock)
    desk.play(desk.event("updated", status="Unqualified"))
    told = CliRunner().invoke(app, ["decisions", "show", "00Q1", "--ledger", desk.ledger.url])
    assert f"10 minutes of 4 hours: ended: {CLOSED}" in " ".join(told.stdout.split())


@pytest.mark.parametrize(("before", "why"), [(1, "it was closed"), (-1, None), (0, None)])
def test_other_kinds_of_records_say_by_a_field_that_they_are_closed(before: float, why: str | None) -> None:
    at = datetime(2026, 11, 22, 9, tzinfo=UTC)
    changed_at = {"closed": at.isoformat()}
    won = Record(
        system="salesforce", entity="opportunity", record_id="0061", values={"closed": True}, changed_at=changed_at
    )
    found = done_with(won, policy(), at - timedelta(hours=before))
    assert (found and found.why) == why
