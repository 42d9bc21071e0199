"""What an event changed, as the rules see it: old values come from the mirror as it was before the event."""

from __future__ import annotations

from types import SimpleNamespace

from routing.ledger.engine import Ledger
from routing.runtime.loop import Loop
from tests.conftest import ManualClock
from tests.unit.core.policy import policy
from tests.unit.runtime.test_loop import Desk

BECAME = policy(
    engagement="""
entry: ['lead.status changed from "Open" to "MQL"', 'lead.employees crossed 1000']
ladder:
  - otherwise: pool Small
"""
)


def test_a_status_that_became_another_routes_the_lead_and_telling_it_again_does_not(
    ledger: Ledger, clock: ManualClock
) -> None:
    desk = Desk(ledger, clock)
    desk.loop = Loop(ledger, SimpleNamespace(current=BECAME), clock, desk.feed)  # type: ignore[arg-type]
    desk.play(desk.event("created", email="a@acme.com", status="New", employees=5))
    desk.play(desk.event("updated", seconds=1, status="Open"))
    assert desk.decisions() == []
    # Both in one batch: the second sees what the first made of the lead.
    desk.play(desk.event("updated", seconds=2, status="MQL"), desk.event("updated", seconds=3, employees=2000))
    by_status, by_size = sorted(desk.decisions(), key=lambda made: len(made.facts["event"]["changed"][0]))
    assert by_status.facts["event"]["before"] == {"status": "Open"}
    assert by_size.facts["event"]["before"] == {"employees": 5}
    desk.play(desk.event("updated", seconds=4, status="MQL"), desk.event("updated", seconds=5, employees=3000))
    assert len(desk.decisions()) == 2
