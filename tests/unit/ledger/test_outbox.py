"""What a courier writes down counts only for what it still holds."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from routing.core.model import Write
from routing.ledger import outbox
from routing.ledger.engine import Ledger
from routing.ledger.outbox import Fate
from tests.conftest import ManualClock

REF = "salesforce:lead:00Q1"


@pytest.fixture
def ledger(any_ledger: Ledger) -> Ledger:
    return any_ledger


@pytest.fixture
def claimed(ledger: Ledger, clock: ManualClock) -> int:
    """The number of a write that the courier ``one`` has claimed."""
    write = Write(
        write_id="w",
        decision_id="d",
        system="salesforce",
        entity="lead",
        record_id="00Q1",
        fields={"owner": "005A", "country": "FR"},
        guard={"owner": "005Q", "country": "F"},
    )
    with ledger.write() as conn:
        outbox.add(conn, [(write, 0, 0)], clock())
        [owed] = outbox.claim(conn, "salesforce", 10, clock(), "one")
    return owed.seq


def state(ledger: Ledger) -> tuple[str, str, list[str]]:
    with ledger.read() as conn:
        [(state, courier)] = conn.execute(text("SELECT state, courier FROM outbox")).all()
        waiting = outbox.unechoed(conn, {REF}).get(REF, [])
    return state, courier, [name for one in waiting for name in one.fields]


def test_what_was_not_sent_does_not_come_back(ledger: Ledger, clock: ManualClock, claimed: int) -> None:
    with ledger.write() as conn:
        outbox.end(conn, [Fate(claimed, "confirmed", sent=("owner",))], clock(), "one")
    assert state(ledger) == ("confirmed", "one", ["owner"])


@pytest.mark.parametrize("again", [True, False])
def test_a_write_taken_from_a_courier_is_not_its_to_end(
    ledger: Ledger, clock: ManualClock, claimed: int, again: bool
) -> None:
    """It was thought dead: its write waits as doubtful, or another has it already; the echo of its try may still come."""
    with ledger.write() as conn:
        assert outbox.recover(conn, clock(), 0, "salesforce", "one") == 1
        if again:
            assert len(outbox.claim(conn, "salesforce", 10, clock(), "two")) == 1
        outbox.end(conn, [Fate(claimed, "superseded", sent=())], clock(), "one")
    assert state(ledger) == (("sending", "two") if again else ("pending", "one")) + (["owner", "country"],)
