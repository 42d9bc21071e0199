"""A write that is parked, and what is decided of the same record before an operator has it tried again."""

from __future__ import annotations

import pytest

from connectors.contract import Snapshot
from routing.delivery.guard import check
from routing.ledger import outbox
from routing.ledger.engine import Ledger
from routing.ledger.outbox import Fate, Owed
from tests.conftest import ManualClock
from tests.unit.runtime.test_sharing import Shop, quiet

__all__ = ["quiet"]  # a fixture

AGAIN = """route: lead
entry: ['event.kind = "created" or lead.status changed']
ladder:
  - otherwise: pool P
"""


def owed(shop: Shop) -> Owed:
    with shop.ledger.write() as conn:
        (found,) = outbox.claim(conn, "salesforce", 10, shop.clock(), "courier")
    return found


def ends(shop: Shop, one: Owed, state: str, *, doubtful: bool = False) -> None:
    with shop.ledger.write() as conn:
        sent = None if state == "confirmed" or doubtful else ()
        outbox.end(conn, [Fate(one.seq, state, doubtful=doubtful, sent=sent)], shop.clock(), "courier")


@pytest.mark.parametrize(("doubtful", "happened"), [(False, False), (True, False), (True, True)])
def test_the_last_decision_holds_whatever_becomes_of_an_earlier_write_that_was_parked(
    any_ledger: Ledger, clock: ManualClock, doubtful: bool, happened: bool
) -> None:
    """``happened``: the try whose answer was lost reached the CRM; otherwise nothing of it does any more."""
    shop = Shop(any_ledger, clock, "P: {members: [Ana Diaz, Bo Li]}", engagement=AGAIN)
    shop.lead(1)
    first = owed(shop)
    assert first.write.fields["owner"] == "005ana"
    ends(shop, first, "parked", doubtful=doubtful)
    held = "005ana" if happened else None
    shop.play(shop.event("updated", "00Q1", 5, status="Open"))
    assert shop.owner(1) == "bo"
    with any_ledger.write() as conn:
        assert outbox.retry_parked(conn, None, clock()) == 1
    retried = owed(shop)
    assert retried.seq == first.seq
    left = check(retried.write, Snapshot(values={"owner": held}))
    assert (left.write, left.state) == (None, "confirmed" if happened else "superseded")
    ends(shop, retried, left.state)
    last = owed(shop)
    send = check(last.write, Snapshot(values={"owner": held})).write
    assert send is not None
    assert send.fields == {"owner": "005BO"}
    # A person who was faster is not written over.
    assert check(last.write, Snapshot(values={"owner": "005cem"})).state == "superseded"
