"""Completes events that cannot be decided as they came: values are read back from the CRM, gaps are filled, and what was
unreadable is read again.

What was read is stored with the event before it is decided on, so that the decision can be explained and made again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from connectors.contract import Connection, Snapshot
from connectors.errors import ConnectorBug, ConnectorError, RecordRejected
from routing.core.merge import DELETED, merge
from routing.core.model import OURS, ChangeEvent, EntityMap, Kind, Record, Values, derived_id
from routing.core.sla.planning import LOOK
from routing.core.times import parse_instant
from routing.delivery.retrying import as_bug, until_well
from routing.ledger import echoed, journal, mirror
from routing.ledger.echoed import Unechoed
from routing.ledger.engine import Ledger
from routing.ledger.journal import Ending, Entry, RawEntry
from routing.ledger.schema import ref_of
from routing.runtime.backfill import Backfill
from routing.runtime.clock import Clock
from routing.runtime.echo import parted
from routing.runtime.feed import Feed
from routing.runtime.intake import Intake
from routing.runtime.pause_board import PauseBoard

log = structlog.get_logger()

BATCH = 500
GATHER_SECONDS = 0.1
GATHER_MANY_SECONDS = 0.25
MANY = 20  # at once: more of them are coming
LOOK_SECONDS = 1.0  # the command line may have asked for something to be read again
FULL = 100  # HubSpot reads so many records a call
EVERY_RECORD = "*"  # the record id of a gap that is about all records of an entity
_FIRST_MOMENT = "T00:00:00.000Z"
Reread = Callable[[bytes, datetime], list[ChangeEvent]]
Known = Mapping[str, tuple[Record, Sequence[Unechoed]]]


class _Work:
    """One batch on its way: entries completed, and entries that ended instead."""

    def __init__(self) -> None:
        self.done: list[tuple[int, ChangeEvent]] = []
        self.ended: list[Ending] = []
        self.instead: list[ChangeEvent] = []


class Completer:
    """Works one system's ``incomplete`` and ``reread`` entries off, oldest first, so that their order is kept."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        feed: Feed,
        connection: Connection,
        reread: Sequence[Reread],
        maps: Callable[[], Mapping[str, EntityMap]],
        backfill: Backfill,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """``look_seconds``: how often the journal is looked at though nobody said that there is something."""
        self._look_seconds = look_seconds
        self._ledger, self._clock, self._feed = ledger, clock, feed
        self._connection, self._reread, self._maps, self._backfill = connection, reread, maps, backfill
        self._system, self._board = connection.system, PauseBoard(ledger)

    def run(self, intake: Intake, stop: threading.Event) -> None:
        """Works until ``stop``."""
        wake = intake.wake_when_incomplete()
        while not stop.is_set():
            wake.clear()
            done = self.complete_some(stop) + self.read_again(stop)
            if done:
                intake.arrived.set()
            else:
                wake.wait(self._look_seconds)
            if done < FULL:
                # What comes in meanwhile is read in one call: a trickle must not cost one each.
                stop.wait(GATHER_SECONDS if done < MANY else GATHER_MANY_SECONDS)

    def complete_some(self, stop: threading.Event) -> int:
        """Completes one batch. Returns how many entries it took; waits as long as the CRM is unwell."""
        with self._ledger.read() as conn:
            entries = journal.next_entries(conn, "incomplete", BATCH, self._system)
        if not entries:
            return 0
        work = _Work()
        groups: dict[str, list[Entry]] = {}
        told: dict[
            str, list[Entry]
        ] = {}  # a source that asks who changed has the values, and does not know what is new in them
        for entry in entries:
            if entry.event.complete or entry.event.kind in OURS:
                # A timer only waits for what is read of its record; that was due before it.
                work.done.append((entry.seq, msgspec.structs.replace(entry.event, complete=True)))
            elif entry.event.record_id == EVERY_RECORD:
                self._fill_gap(entry, work, stop)
            elif entry.event.values and entry.event.kind == "gap":
                told.setdefault(entry.event.entity, []).append(entry)
            else:
                groups.setdefault(entry.event.entity, []).append(entry)
        for entity, group in groups.items():
            self._read_back(entity, group, work, stop)
        for group in told.values():
            known = self._known(group)
            for entry in group:
                event = entry.event
                snapshot = Snapshot(values=event.values, modified_at=event.occurred_at, modified_by=event.actor)
                self._complete(entry, snapshot, known, work)
        with self._ledger.write() as conn:
            journal.complete(conn, sorted(work.done, key=lambda item: item[0]))
            journal.settle(conn, work.ended, self._clock())
            new = journal.accept(conn, work.instead, self._clock())
        self._feed.tell("accepted", new)
        self._tell(work.ended)
        return len(work.done) + len(work.ended)

    def _tell(self, ended: Sequence[Ending]) -> None:
        for ending in ended:
            self._feed.tell(ending.state, 1, ending.reason)
        if ended:
            self._feed.tell("settled", len(ended))

    def _patiently(self, what: str, stop: threading.Event, call: Callable[[], object]) -> ConnectorError | None:
        """Calls until the CRM is well. Returns why not when it refused for good, or when we are stopping."""
        try:
            until_well(stop, self._feed, what, self._board, call)
        except ConnectorError as error:
            return error
        except SQLAlchemyError:
            raise
        except Exception as error:
            # One event that our own code fails on must not stop all the others for ever.
            log.exception("reading failed", system=self._system, doing=what)
            return as_bug(error, self._system, "reading")
        return None

    def _fill_gap(self, entry: Entry, work: _Work, stop: threading.Event) -> None:
        """Nobody knows which records changed: all are read, and what nobody told us of is planned like any other change."""
        entity, counts = entry.event.entity, (0, 0, 0)

        def call() -> None:
            nonlocal counts
            counts = self._backfill.reconcile(entity)

        what = f"reading every {entity} again after a gap"
        error = self._patiently(what, stop, call)
        if error is None:
            read, new, changed = counts
            said = f"gap filled: {read} records read, {new} new, {changed} changed"
            work.ended.append(Ending(entry.seq, "applied", said))
        elif not stop.is_set():
            work.ended.append(Ending(entry.seq, "parked", f"{what} failed: {error}"))

    def _read_back(self, entity: str, group: list[Entry], work: _Work, stop: threading.Event) -> None:
        fields = self._maps().get(entity)
        if fields is None:
            why = f"its values must be read from {self._system}, but the policy's fields.yaml has no {entity} there"
            work.ended.extend(_unread(entry, why) for entry in group)
            return
        ids = list(dict.fromkeys(entry.event.record_id for entry in group))
        found: dict[str, Snapshot] = {}
        into: dict[str, str] = {}

        def call() -> None:
            found.update(self._connection.read(entity, ids, list(fields.fields)))
            gone = [entry.event.record_id for entry in group if entry.event.kind == "gap"]
            if gone := [one for one in gone if one not in found]:
                into.update(self._connection.merged_into(entity, gone))

        what = f"reading {len(ids)} {entity} record(s) back"
        error = self._patiently(what, stop, call)
        if error is None:
            known = self._known(group)
            for entry in group:
                self._complete(entry, found.get(entry.event.record_id), known, work, into)
        elif stop.is_set():
            return
        elif len(ids) > 1 and isinstance(error, RecordRejected | ConnectorBug):
            # One record can make a CRM refuse them all: the halves are tried, until it stands alone.
            middle = len(group) // 2
            self._read_back(entity, group[:middle], work, stop)
            self._read_back(entity, group[middle:], work, stop)
        else:
            work.ended.extend(_unread(entry, f"{what} failed: {error}") for entry in group)

    def _known(self, group: Sequence[Entry]) -> Known:
        """What the mirror has of the records among those with a gap, and what of our writes has not come back from them, by id."""
        refs = {_ref(entry.event) for entry in group if entry.event.kind == "gap"}
        if not refs:
            return {}
        with self._ledger.read() as conn:
            found, waiting = mirror.load(conn, refs), echoed.unechoed(conn, refs)
        return {record.record_id: (record, waiting.get(ref, ())) for ref, record in found.items()}

    def _complete(
        self,
        entry: Entry,
        snapshot: Snapshot | None,
        known: Known,
        work: _Work,
        into: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``into``: which of those that are gone were merged, and into which."""
        event, kind = entry.event, entry.event.kind
        if kind == "gap":
            kind = _found(event, snapshot, known)
        elif snapshot is None:
            work.ended.append(Ending(entry.seq, "skipped", "the record was gone before its values could be read"))
            return
        # What the source told of it, and reading it does not show, is not lost.
        values = {**event.values, **snapshot.values} if snapshot else {}
        if event.origin == LOOK:
            work.done.append((entry.seq, _looked(event, values, self._clock())))
            return
        if snapshot is not None and snapshot.into:
            self._went_on(entry, snapshot, work)
            return
        changed = event.changed
        if event.kind == "gap" and kind == "updated":
            before = known[event.record_id][0].values
            changed = tuple(name for name, value in values.items() if value != before.get(name))
        elif not (kind == "updated" and changed):
            changed = tuple(values)
        whole = msgspec.structs.replace(
            event,
            kind="merged" if event.record_id in into else kind,
            into=into.get(event.record_id, event.into),
            values=values,
            changed=changed,
            complete=True,
            origin="read back",
            observed_at=self._clock(),
            continues=event.continues or (snapshot.continues if snapshot is not None and kind == "created" else ()),
        )
        if event.kind == "gap" and kind == "updated":
            # Only what is new may count as somebody's doing: what we wrote ourselves must be known again as ours.
            whole, *ours = parted(whole, *known[event.record_id])
            work.instead += ours
        work.done.append((entry.seq, whole))

    def _went_on(self, entry: Entry, snapshot: Snapshot, work: _Work) -> None:
        """It was merged into another before its values could be read. That it is new is then told of the other: once, of however many."""
        event = entry.event
        work.ended.append(Ending(entry.seq, "skipped", f"the record went into {snapshot.into} before it could be read"))
        if event.kind == "created":
            instead = msgspec.structs.replace(
                event,
                event_id=derived_id(event.system, event.entity, snapshot.into, "made of others"),
                record_id=snapshot.into,
                values=snapshot.values,
                changed=tuple(snapshot.values),
                complete=True,
                origin="read back",
                observed_at=self._clock(),
                continues=snapshot.continues,
            )
            work.instead.append(instead)

    def read_again(self, stop: threading.Event) -> int:
        """Reads a batch of once unreadable entries again. Returns how many."""
        with self._ledger.read() as conn:
            entries = journal.next_raw(conn, BATCH, self._system)
        for entry in entries:
            if stop.is_set():
                break
            self._read_one(entry)
        return len(entries)

    def _read_one(self, entry: RawEntry) -> None:
        reason = f"nothing that reads {self._system} is configured"
        for read in self._reread:
            try:
                events = read(entry.raw, self._clock())
            except ConnectorError as error:
                reason = str(error)
                continue
            except Exception as error:
                log.exception("reading again failed", system=self._system)
                reason = str(as_bug(error, self._system, "reading it again"))
                continue
            with self._ledger.write() as conn:
                new = journal.replace_raw(conn, entry.seq, events, self._clock())
            self._feed.tell("accepted", new)
            self._feed.tell("settled", 1)
            return
        ending = Ending(entry.seq, "parked", reason)
        with self._ledger.write() as conn:
            journal.settle(conn, [ending], self._clock())
        self._tell([ending])


def _ref(event: ChangeEvent) -> str:
    return ref_of(event.system, event.entity, event.record_id)


def _found(event: ChangeEvent, snapshot: Snapshot | None, known: Known) -> Kind:
    """What must have happened to a record with a gap, by what was read of it and what the mirror has."""
    if snapshot is None:
        return "deleted"
    if event.record_id not in known:
        return "created"
    seen = msgspec.structs.replace(event, kind="updated", values=snapshot.values)
    return "restored" if DELETED in merge(known[event.record_id][0], seen)[1] else "updated"


def _unread(entry: Entry, why: str) -> Ending:
    """What could not be read waits for the operator; a clock's step goes by what was told."""
    if entry.event.origin == LOOK:
        log.warning("a step of a clock goes by what was told", record=entry.event.record_id, why=why)
        return Ending(entry.seq, "skipped", f"{why}. The clock's step goes by what was told.")
    return Ending(entry.seq, "parked", why)


def _looked(event: ChangeEvent, values: Values, now: datetime) -> ChangeEvent:
    """What was read because a clock's step is due, and of that only what was asked for: all else is told by the CRM in its turn.

    A field that holds an instant says itself when it happened, at the latest when the step was due. A day, which comes as its first
    moment, does not.
    """
    found = {name: values[name] for name in event.changed if name in values}
    texts = [value for value in found.values() if isinstance(value, str) and "T" in value]
    instants = [parse_instant(text) for text in texts if not text.endswith(_FIRST_MOMENT)]
    at = min(max(instants), event.occurred_at) if instants else event.occurred_at
    return msgspec.structs.replace(
        event, changed=tuple(found), values=found, occurred_at=at, observed_at=now, complete=True
    )
