"""Calls of the last day, counted by several processes."""

from __future__ import annotations

from datetime import timedelta

from routing.ledger import tallies
from routing.ledger.engine import Ledger
from tests.conftest import START


def test_calls_add_up_by_system_and_those_of_yesterday_go(ledger: Ledger) -> None:
    first, second = START.isoformat(), (START + timedelta(minutes=15)).isoformat()
    with ledger.write() as conn:
        tallies.add(conn, "salesforce", {first: 3}, START)
        tallies.add(conn, "hubspot", {first: 9}, START)
    with ledger.write() as conn:
        assert tallies.add(conn, "salesforce", {first: 1, second: 2}, START) == {first: 4, second: 2}
    later = START + timedelta(hours=25, minutes=1)
    with ledger.write() as conn:
        assert tallies.add(conn, "salesforce", {}, later) == {second: 2}
