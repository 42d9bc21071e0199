"""What a rep has closed in the CRM is worked no more: its clocks end, and it is taken from nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import structlog
from typer.testing import CliRunner

from routing.cli.app import app
from routing.core.distribution.workload import done_since
from routing.core.model import Record
from routing.ledger import mirror
from routing.ledger.engine import Ledger
from tests.conftest import ManualClock
from tests.unit.core.policy import policy
from tests.unit.runtime.test_sla_loop import ENDS, FILES, Desk

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
    kept, at = desk.record(), (clock() + timedelta(hours=1)).isoformat()
    closed = msgspec.structs.replace(
        kept, values={**kept.values, "status": "Unqualified"}, changed_at={**kept.changed_at, "status": at}
    )
    with any_ledger.write() as conn:
        mirror.save(conn, [(closed, None)], desk.loop._policies.current)
    desk.wait(4)
    first, birth = desk.clocks()
    assert (first.state, first.why, first.breached_at) == ("ended", CLOSED, None)
    assert first.closed_at == datetime.fromisoformat(at)
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
    """It was closed when it was given; and the end of a clock goes by what was changed since."""
    recycles = FILES["engagement"].replace(
        "'event.kind = \"created\"'", "'event.kind = \"created\"', 'lead.status changed to \"Unqualified\"'"
    )
    desk = given(ledger, clock, engagement=recycles)
    clock.advance(3600)
    desk.play(desk.event("updated", ago=60, status="Unqualified"))
    assert sorted((one.name, one.person, one.state) for one in desk.clocks() if one.open) == [
        ("First touch", "bo@example.com", "running"),
        ("From birth", "bo@example.com", "running"),
    ]
    desk.play(desk.event("updated", company="Acme Ltd"))
    desk.wait(4)
    assert [one.owner for one in desk.made()][-1] == "cem@example.com"


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
    found = done_since(won, policy(), at - timedelta(hours=before))
    assert (found and found.why) == why
