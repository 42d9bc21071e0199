"""What a CRM may not tell is read before a step of a clock is done: Salesforce works LastActivityDate out itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog

from connectors.contract import Snapshot
from connectors.errors import Misconfigured
from routing.core.model import EntityMap
from routing.core.sla.planning import looks
from routing.ledger import mirror, reports, timers
from routing.ledger.engine import Ledger
from routing.ledger.schema import ref_of
from routing.runtime.completer import Completer
from routing.runtime.feed import Feed
from tests.conftest import ManualClock
from tests.unit.core.policy import FIELDS, policy
from tests.unit.runtime.test_sla_loop import FILES, Desk

TOUCHED = FIELDS.replace(
    "    domain:", "    last_touch: {type: datetime, salesforce: LastActivityDate, read_only: true}\n    domain:", 1
)
SLA = """
clocks:
  First touch:
    start: assigned
    stop: [first touch, accepted]
    within: 4 hours
    time: always
    steps:
      - {at: 50 %, remind: owner}
      - {at: 100 %, reassign: yes}
"""
BY = policy(**FILES | {"fields": TOUCHED, "sla": SLA})


class Reading:
    """A desk whose CRM is asked what it holds."""

    system, batch_size, look_size = "salesforce", 200, 200

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.desk, self.holds, self.asked = Desk(ledger, clock, BY), dict[str, Any](), 0
        self.refuses: Exception | None = None
        self.gone = self.hides = False
        names = {"last_touch": "LastActivityDate", "status": "Status", "owner": "OwnerId"}
        self.completer = Completer(
            ledger,
            clock,
            Feed(),
            self,  # type: ignore[arg-type]
            (),
            lambda: {"lead": EntityMap("salesforce", "lead", "Lead", names, {})},
            SimpleNamespace(),  # type: ignore[arg-type]
        )
        self.desk.play(self.desk.event("created", email="kim@acme.example", status="New", owner="00G000000000009AAA"))
        self.desk.play(self.desk.event("updated", owner="005ANA"))

    def read(self, _entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        self.asked += 1
        if self.refuses is not None:
            raise self.refuses
        if self.hides:
            return {one: Snapshot(values={}) for one in ids}
        return {} if self.gone else {one: Snapshot(values={f: self.holds.get(f) for f in fields}) for one in ids}

    def wait(self, hours: float) -> None:
        """So much later every timer that fell due has fired, and what is to be read was."""
        desk = self.desk
        desk.clock.advance(hours * 3600)
        with desk.ledger.write() as conn:
            timers.fire(conn, desk.clock(), looks=looks(BY, ["salesforce"]))
        desk.play()
        self.completer.complete_some(threading.Event())
        desk.play()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def crm(any_ledger: Ledger, clock: ManualClock) -> Reading:
    return Reading(any_ledger, clock)


def test_only_what_a_crm_works_out_itself_is_read() -> None:
    assert looks(BY, ["salesforce", "hubspot"]) == {("salesforce", "First touch"): ("last_touch",)}
    told = FILES["sla"]
    assert looks(policy(**FILES | {"fields": TOUCHED, "sla": told}), ["salesforce"]) == {}


@pytest.mark.parametrize("day", ["2026-11-22", "2026-11-22T00:00:00.000Z"])
def test_a_rep_whose_call_was_never_told_keeps_the_lead_and_is_not_reminded(crm: Reading, day: str) -> None:
    """The call shows as a day only: it counts as if made when the step was due, so it is in time."""
    crm.holds = {"last_touch": day, "status": "Working"}
    crm.wait(2)
    (one,) = crm.desk.clocks()
    assert (one.state, one.breached_at, one.spent, one.why) == ("stopped", None, 7200, "last_touch changed")
    assert crm.desk.ended()[-1] == ("skipped", "the clock no longer runs")
    assert crm.desk.tasks() == []
    # What else it holds is told in its turn.
    assert crm.desk.record().values["status"] == "New"
    crm.wait(10)
    assert (crm.asked, crm.desk.owners_written()) == (1, ["005ANA"])


def test_a_moment_says_itself_when_it_was(crm: Reading) -> None:
    crm.holds = {"last_touch": "2026-11-22T09:20:00.000Z"}
    crm.wait(2)
    (one,) = crm.desk.clocks()
    assert (one.state, one.spent) == ("stopped", 1200)
    with crm.desk.ledger.read() as conn:
        now, day = crm.desk.clock(), timedelta(days=1)
        (row,) = reports.speed(conn, now - day, now + day, "all", UTC)
    assert row.touched.p50 == 1200


def test_after_an_outage_nobody_loses_a_lead_they_called(crm: Reading) -> None:
    crm.holds = {"last_touch": "2026-11-22"}
    crm.wait(30)
    (one,) = crm.desk.clocks()
    assert (one.state, one.breached_at, crm.desk.owners_written()) == ("stopped", None, ["005ANA"])


def test_what_the_crm_does_not_show_when_asked_is_left_as_it_was_told(crm: Reading) -> None:
    """A field that only activities tell, or one that cannot be read as its type."""
    crm.hides, old = True, "2026-11-20T09:20:00.000Z"
    later = crm.desk.event("created", "00Q2", email="jo@acme.example", status="New", last_touch=old)
    crm.desk.play(later)
    crm.desk.play(crm.desk.event("updated", "00Q2", owner="005ANA"))
    crm.wait(2)
    assert crm.asked
    with crm.desk.ledger.read() as conn:
        ref = ref_of("salesforce", "lead", "00Q2")
        assert mirror.load(conn, {ref})[ref].values["last_touch"] == old


def test_where_nothing_was_done_the_steps_are(crm: Reading) -> None:
    crm.wait(2)
    assert len(crm.desk.tasks()) == 1
    crm.wait(2)
    assert crm.desk.made()[-1].outcome == "assign"
    assert crm.desk.made()[-1].owner != "ana@example.com"
    assert crm.asked == 2


def test_a_record_that_is_gone_or_cannot_be_read_is_judged_by_what_was_told(crm: Reading) -> None:
    crm.gone = True
    crm.wait(2)
    assert len(crm.desk.tasks()) == 1
    crm.gone, crm.refuses = False, Misconfigured("no such field", system="salesforce")
    crm.wait(2)
    assert crm.desk.made()[-1].owner != "ana@example.com"
    # One refused field must not park an event for each step: that would close the intake.
    why = "reading 1 lead record(s) back failed: no such field. The clock's step goes by what was told."
    assert ("skipped", why) in crm.desk.ended()


@pytest.mark.parametrize(("status", "state"), [("New", "running"), ("Working", "stopped")])
def test_of_all_that_is_read_after_a_gap_only_what_is_new_stops_a_clock(crm: Reading, status: str, state: str) -> None:
    """Nobody knows what changed, so every field is named."""
    desk = crm.desk
    desk.policies.current = policy(
        **FILES | {"fields": TOUCHED, "sla": SLA.replace("[first touch, accepted]", "lead.status changed")}
    )
    crm.holds = {"last_touch": None, "status": status, "owner": "005ANA"}
    desk.clock.advance(60)
    desk.play(msgspec.structs.replace(desk.event("gap"), complete=False))
    crm.completer.complete_some(threading.Event())
    desk.play()
    (one,) = desk.clocks()
    assert one.state == state
