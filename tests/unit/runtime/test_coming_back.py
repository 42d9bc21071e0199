"""Who waits is looked at the moment somebody who could take it is there again, however they come back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from routing.cli.app import app
from routing.core.availability.calendars import pools_served_by
from routing.ledger import holding, people
from routing.ledger.engine import Ledger
from routing.ledger.schema import from_ms, timer
from routing.runtime.clock import utcnow
from tests.conftest import ManualClock
from tests.unit.runtime.test_sharing import ENGAGEMENT, NAMED, Shop, quiet

__all__ = ["quiet"]  # a fixture

WAITS = NAMED % ", when_away: hold"


@pytest.fixture
def ledger(any_ledger: Ledger) -> Ledger:
    return any_ledger


def pause(shop: Shop, name: str) -> Any:
    with shop.ledger.write() as conn:
        return people.enter(
            conn, f"{name}@example.com", "pause", "2020-01-01", "", author="t", reason="", now=shop.clock()
        )


def due(shop: Shop) -> list[datetime]:
    with shop.ledger.read() as conn:
        return [from_ms(at) for at in conn.scalars(select(timer.c.due_ms).where(timer.c.purpose == "hold"))]


def user(shop: Shop, name: str, **values: Any) -> Any:
    return msgspec.structs.replace(shop.event("updated", f"005{name}", **values), entity="person")


def test_a_lead_that_waits_for_the_person_a_rung_names_is_theirs_when_they_are_resumed(
    sqlite_ledger: Ledger,
) -> None:
    clock = ManualClock(utcnow())  # as the command has it
    shop = Shop(sqlite_ledger, clock, "P: {members: [Bo Li]}", engagement=WAITS)
    pause(shop, "ana")
    shop.lead(1, employees=5)
    assert shop.decisions("00Q1")[0].outcome == "hold"
    result = CliRunner().invoke(app, ["people", "resume", "Ana Diaz", "--ledger", sqlite_ledger.url])
    assert result.exit_code == 0, result.output
    clock.now = utcnow()
    shop.fire()
    assert shop.owner(1) == "ana"


def test_a_user_who_is_activated_again_in_the_crm_gets_what_waits(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz]}", engagement=WAITS)
    shop.play(user(shop, "ana", active=False))
    shop.lead(1, employees=500)
    assert "deactivated" in shop.decisions("00Q1")[0].reason
    assert min(due(shop)) > clock()
    shop.play(user(shop, "bo", active=True))  # somebody else: nothing to hurry for
    assert min(due(shop)) > clock()
    later = user(shop, "ana", active=True)
    shop.play(msgspec.structs.replace(later, occurred_at=clock()))
    shop.fire()
    assert shop.owner(1) == "ana"
    shop.sound()


def test_a_lead_that_is_given_back_makes_room_in_a_cap_for_one_that_waits(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li], member_caps: 1 a day}", engagement=ENGAGEMENT)
    for n in (1, 2, 3):
        shop.lead(n)
    assert shop.owners(1, 2, 3) == ["ana", "bo", ""]
    shop.play(shop.event("rejected", "00Q1", by="ana@example.com", because="spam"))
    shop.fire()
    assert shop.owner(3) == "ana"
    shop.sound()


def test_what_runs_over_into_a_queue_can_be_claimed_there_and_comes_back_to_whoever_returns(
    ledger: Ledger, clock: ManualClock
) -> None:
    pools = "P: {members: [Ana Diaz], overflow: Claims}\nClaims: {method: pull, members: [Bo Li]}"
    shop = Shop(ledger, clock, pools)
    off = pause(shop, "ana")
    for n in (1, 2):
        shop.lead(n)
    with ledger.write() as conn:
        assert holding.lengths(conn) == {"Claims": 2}
        claimed = shop.desk(conn, locked=True).claim("Claims", "bo@example.com")
        assert claimed is not None
        assert claimed.ref == "salesforce:lead:00Q1"
    shop.work()
    assert shop.owners(1, 2) == ["bo", ""]
    made = shop.decisions("00Q2")[0]
    assert (made.pool, [one.person for one in made.members]) == ("Claims", ["bo@example.com"])
    with ledger.write() as conn:
        people.end(conn, [off], author="t", reason="", now=clock())
        holding.hurry(conn, pools_served_by(shop.policy, {"ana@example.com"}), clock())
    shop.fire()
    assert shop.owner(2) == "ana"


def test_a_cap_of_one_kind_does_not_keep_anybody_from_claiming_another(ledger: Ledger, clock: ManualClock) -> None:
    pools = "P: {method: pull, members: [Ana Diaz], kinds: {Big: lead.employees >= 1000}, member_caps: 1 a day of Big}"
    shop = Shop(ledger, clock, pools)
    for n, size in ((1, 5000), (2, 6000), (3, 5)):
        shop.lead(n, employees=size)
        clock.advance(1)
    for n in (1, 3):
        with ledger.write() as conn:
            claimed = shop.desk(conn, locked=True).claim("P", "ana@example.com")
            assert claimed is not None
            assert claimed.ref == f"salesforce:lead:00Q{n}"
        shop.work()
        assert shop.owner(n) == "ana"
    with (
        ledger.write() as conn,
        pytest.raises(ValueError, match="Ana Diaz had 1 lead of the kind 'Big' today, the cap is 1"),
    ):
        shop.desk(conn, locked=True).claim("P", "ana@example.com")
    with ledger.read() as conn:
        assert [one.ref for one in holding.waiting(conn, "P")] == ["salesforce:lead:00Q2"]


@pytest.mark.parametrize("size", [1, 500])
def test_what_was_done_with_while_it_waited_waits_no_longer(ledger: Ledger, clock: ManualClock, size: int) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz]}")
    off = pause(shop, "ana")
    for n in (1, 2, 3):
        shop.lead(n)
    shop.lead(4, status="Closed - recycled")  # that is what it was routed with
    clock.advance(60)
    shop.play(
        shop.event("updated", "00Q1", 50, converted=True),
        shop.event("updated", "00Q2", 50, status="Closed - Not Converted"),
        shop.event("updated", "00Q3", 50, status="Working"),
        size=size,
    )
    with ledger.write() as conn:
        people.end(conn, [off], author="t", reason="", now=clock())
        holding.hurry(conn, ["P"], clock())
    shop.fire()
    assert shop.owners(1, 2, 3, 4) == ["", "", "ana", "ana"]
    with ledger.read() as conn:
        assert holding.lengths(conn) == {}
    assert due(shop) == []
    shop.sound()
