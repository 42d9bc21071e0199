"""Reading values back: one bad record, or one bad event, holds nobody else up."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
import structlog
from msgspec.structs import replace

from connectors.contract import Snapshot
from connectors.errors import ConnectorError, Misconfigured, PermissionDenied, RecordRejected
from routing.core.merge import merge
from routing.core.model import ChangeEvent, EntityMap, Record, Unreadable, derived_id
from routing.ledger import journal, mirror
from routing.ledger.engine import Ledger
from routing.runtime.completer import Completer
from routing.runtime.feed import Feed
from routing.runtime.intake import Intake
from tests.conftest import START, ManualClock

MAPS = {"lead": EntityMap("fake", "lead", "Lead", {"email": "Email", "status": "Status"}, {})}


class Crm:
    system = "fake"

    def __init__(self) -> None:
        self.poison: dict[str, Exception] = {}
        self.reads: list[int] = []
        self.into: dict[str, str] = {}  # gone, as merged into another

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        self.reads.append(len(ids))
        for one in ids:
            if one in self.poison:
                raise self.poison[one]
        there = [one for one in ids if one not in self.into]
        return {one: Snapshot(values={"email": f"{one}@acme.example", "status": "New"}) for one in there}

    def merged_into(self, entity: str, ids: Sequence[str]) -> dict[str, str]:
        return {one: self.into[one] for one in ids}

    def backfill(self, entities: Sequence[str]) -> Iterator[list[ChangeEvent]]:
        return iter(())


OLD = {"email": "r1@acme.example", "status": "New"}


class Desk:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.crm, self.stop, self.clock = ledger, Crm(), threading.Event(), ManualClock()
        self.unread: list[Exception] = []
        self.feed = Feed()
        self.completer = Completer(
            ledger,
            self.clock,
            self.feed,
            self.crm,  # type: ignore[arg-type]
            [self._reread],
            lambda: MAPS,
            None,  # type: ignore[arg-type]
        )

    def _reread(self, raw: bytes, observed_at: Any) -> list[ChangeEvent]:
        if self.unread:
            raise self.unread[0]
        return [self.event(raw.decode(), complete=True)]

    def event(self, record: str, **more: Any) -> ChangeEvent:
        given: dict[str, Any] = {"kind": "created", "complete": False} | more
        return ChangeEvent(
            event_id=derived_id("test", record),
            system="fake",
            entity="lead",
            record_id=record,
            occurred_at=START,
            observed_at=START,
            **given,
        )

    def accept(self, *events: ChangeEvent | Unreadable) -> None:
        with self.ledger.write() as conn:
            journal.accept(conn, events, self.clock())

    def states(self) -> dict[str, str]:
        with self.ledger.read() as conn:
            rows = conn.exec_driver_sql("SELECT ref, state FROM journal").all()
        return {ref.rsplit(":", 1)[1]: state for ref, state in rows}

    def only(self) -> ChangeEvent:
        with self.ledger.read() as conn:
            [entry] = journal.next_entries(conn, "accepted", 10)
        return entry.event


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A traceback drawn for a terminal takes seconds."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def desk(ledger: Ledger) -> Desk:
    return Desk(ledger)


@pytest.mark.parametrize("error", [RecordRejected("400: bad id", system="fake"), KeyError("a bug of ours")])
def test_one_record_that_makes_the_crm_refuse_them_all_is_parked_alone(desk: Desk, error: Exception) -> None:
    desk.crm.poison = {"r7": error}
    desk.accept(*(desk.event(f"r{n}") for n in range(30)))
    assert desk.completer.complete_some(desk.stop) == 30
    states = desk.states()
    assert states.pop("r7") == "parked"
    assert set(states.values()) == {"accepted"}


def test_what_is_wrong_with_all_is_not_asked_one_by_one(desk: Desk) -> None:
    desk.crm.poison = {"r7": PermissionDenied("no access to leads", system="fake")}
    desk.accept(*(desk.event(f"r{n}") for n in range(30)))
    desk.completer.complete_some(desk.stop)
    assert desk.crm.reads == [30]
    assert set(desk.states().values()) == {"parked"}


def test_what_is_to_be_read_again_does_not_wait_for_a_lull(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leads keep coming, so that there is always something to complete; a retry is taken up all the same."""
    desk.accept(Unreadable(event_id="u", system="fake", error="?", raw=b"again", observed_at=START, record_id="raw"))
    with desk.ledger.write() as conn:
        journal.retry_parked(conn, None)
    rounds = 0
    complete = desk.completer.complete_some

    def busy(stop: threading.Event) -> int:
        nonlocal rounds
        rounds += 1
        desk.accept(desk.event(f"r{rounds}"))
        if rounds == 3:
            desk.stop.set()
        return complete(stop)

    monkeypatch.setattr(desk.completer, "complete_some", busy)
    desk.completer.run(Intake(desk.ledger, desk.clock, desk.feed), desk.stop)
    assert desk.states()["raw"] == "skipped"
    assert desk.states()["again"] == "accepted"


@pytest.mark.parametrize("error", [Misconfigured("not mapped", system="fake"), IndexError("a bug of ours")])
def test_what_still_cannot_be_read_is_parked_again(desk: Desk, error: Exception) -> None:
    desk.unread = [error]
    desk.accept(Unreadable(event_id="u", system="fake", error="?", raw=b"again", observed_at=START, record_id="raw"))
    with desk.ledger.write() as conn:
        journal.retry_parked(conn, None)
    assert desk.completer.read_again(desk.stop) == 1
    assert desk.states() == {"raw": "parked"}
    with desk.ledger.read() as conn:
        [row] = journal.parked(conn)
    assert (str(error) if isinstance(error, ConnectorError) else "IndexError") in row["reason"]


def test_an_update_whose_values_are_read_back_still_says_what_changed(desk: Desk) -> None:
    """A patch of a long text is read back whole; the status, unchanged, must not look like news to the entry criteria."""
    desk.accept(desk.event("r1", kind="updated", changed=("email",)))
    desk.completer.complete_some(desk.stop)
    assert desk.only().changed == ("email",)
    assert desk.only().values == {"email": "r1@acme.example", "status": "New"}


def test_of_what_a_source_told_in_part_the_rest_is_read(desk: Desk) -> None:
    """A patch of a long text beside a status; what is read is what counts."""
    desk.accept(desk.event("r1", kind="updated", changed=("email", "status"), values={"status": "Working"}))
    desk.completer.complete_some(desk.stop)
    assert desk.crm.reads == [1]
    assert (desk.only().changed, desk.only().values) == (("email", "status"), OLD)


def test_a_creation_keeps_what_was_told_of_it_that_reading_does_not_show(desk: Desk) -> None:
    desk.accept(desk.event("r1", values={"last_form": "Contact us"}))
    desk.completer.complete_some(desk.stop)
    assert desk.only().values == OLD | {"last_form": "Contact us"}
    assert set(desk.only().changed) == {"email", "status", "last_form"}


def known(desk: Desk, record: str, gone: int | None = None, end: str = "deleted", **values: Any) -> None:
    """What the mirror has of a record; ``gone``: that it came to its ``end`` so many seconds after the start."""
    held = Record(system="fake", entity="lead", record_id=record, values=values)
    if gone is not None:
        at = START + timedelta(seconds=gone)
        held, _ = merge(held, replace(desk.event(record, kind=end), occurred_at=at))
    with desk.ledger.write() as conn:
        mirror.save(conn, [(held, ())])


def test_a_change_that_comes_with_its_values_is_not_read_and_names_only_what_is_new(desk: Desk) -> None:
    known(desk, "r1", **OLD)
    desk.accept(desk.event("r1", kind="gap", values=OLD | {"status": "Working"}))
    desk.completer.complete_some(desk.stop)
    event = desk.only()
    assert desk.crm.reads == []
    assert (event.kind, event.complete, event.changed) == ("updated", True, ("status",))
    assert event.values == OLD | {"status": "Working"}


def test_one_that_nobody_told_us_of_is_a_creation(desk: Desk) -> None:
    desk.accept(desk.event("r1", kind="gap", values=OLD))
    desk.completer.complete_some(desk.stop)
    assert (desk.only().kind, desk.only().changed) == ("created", ("email", "status"))


def test_a_gap_names_only_what_is_new(desk: Desk) -> None:
    known(desk, "r1", **OLD | {"status": "Working"})
    desk.accept(desk.event("r1", kind="gap"))
    desk.completer.complete_some(desk.stop)
    assert desk.crm.reads == [1]
    assert desk.only().changed == ("status",)


@pytest.mark.parametrize("told", [{}, {"values": OLD}], ids=["that is read", "that comes with its values"])
def test_a_record_that_was_deleted_and_is_found_again_is_restored(desk: Desk, told: dict[str, Any]) -> None:
    known(desk, "r1", gone=-1, **OLD)
    desk.accept(desk.event("r1", kind="gap", **told))
    desk.completer.complete_some(desk.stop)
    assert (desk.only().kind, desk.only().changed, desk.only().values) == ("restored", ("email", "status"), OLD)


def test_what_was_seen_before_it_was_deleted_restores_nothing(desk: Desk) -> None:
    known(desk, "r1", gone=+1, **OLD)
    desk.accept(desk.event("r1", kind="gap", values=OLD | {"status": "Working"}))
    desk.completer.complete_some(desk.stop)
    assert desk.only().kind == "updated"


def test_what_was_erased_is_not_brought_back_by_a_gap(desk: Desk) -> None:
    known(desk, "r1", gone=-1, end="erased", **OLD)
    desk.accept(desk.event("r1", kind="gap", values=OLD))
    desk.completer.complete_some(desk.stop)
    assert desk.only().kind == "updated"
