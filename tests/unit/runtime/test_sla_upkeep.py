"""Clocks as an operator keeps an eye on them, and when the machine's own clock cannot be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import structlog
from prometheus_client import generate_latest
from sqlalchemy import text

from routing.ledger import timers
from routing.ledger.check import examine
from routing.ledger.engine import Ledger
from routing.runtime.metrics import Metrics
from tests.conftest import ManualClock
from tests.unit.runtime.test_sla_loop import Desk, routed


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def desk(any_ledger: Ledger, clock: ManualClock) -> Desk:
    return routed(any_ledger, clock)


def found(desk: Desk) -> list[str]:
    return [one.name for one in examine(desk.ledger, desk.clock()).findings if one.name.partition(" ")[0] != "writes"]


def test_a_ledger_is_well_at_every_step_of_a_clock(desk: Desk) -> None:
    for _ in range(6):
        assert found(desk) == []
        desk.clock.advance(3600)
        with desk.ledger.write() as conn:
            timers.fire(conn, desk.clock())
        assert found(desk) == []  # fired, and not yet decided
        desk.play()
    desk.play(desk.event("deleted"))
    assert found(desk) == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("DELETE FROM timer", "clocks without timer"),
        ("UPDATE clock SET state = 'ended', closed_ms = 1", "timers without clock"),
        ("DELETE FROM clock", "timers without clock"),
        ("UPDATE clock SET state = 'ended'", "clocks half ended"),
        (
            "INSERT INTO clock SELECT 'x', ref, name, 'paused', person, pool, source, started_ms, limit_ms, spent_ms, breached_ms, "
            "closed_ms, body FROM clock",
            "clocks twice",
        ),
    ],
)
def test_what_does_not_add_up_is_found(desk: Desk, statement: str, finding: str) -> None:
    with desk.ledger.write() as conn:
        conn.execute(text(statement))
    assert finding in found(desk)


def test_what_was_not_met_is_counted_once_and_late_timers_show(desk: Desk) -> None:
    metrics = Metrics()
    desk.feed.watch(metrics.watch)
    desk.clock.advance(5 * 3600)
    with desk.ledger.read() as conn:
        assert timers.late(conn, desk.clock()) == 3 * 3600
    for _ in range(4):
        desk.wait(0)
    assert 'fingerpost_clock_breaches_total{clock="First touch"} 1.0' in generate_latest(metrics.registry).decode()
    with desk.ledger.read() as conn:
        assert timers.late(conn, desk.clock()) == 0


def test_a_machine_whose_clock_goes_back_an_hour_does_nothing_twice_and_nothing_too_soon(desk: Desk) -> None:
    desk.wait(2)
    desk.clock.advance(-3600)
    desk.wait(0)
    assert [made.outcome for made in desk.made()] == ["assign", "none"]  # the reminder, once
    desk.play(desk.event("updated", status="Working"))
    (one,) = desk.clocks()
    # Told for an hour that had passed already: no business time is given back, and none is added.
    assert (one.state, one.breached_at, one.spent) == ("stopped", None, 3600)
    assert one.closed_at == one.started_at + timedelta(hours=1)
    desk.wait(10)
    assert len(desk.made()) == 2
