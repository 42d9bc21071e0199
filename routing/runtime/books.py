"""Where the events of a batch are written down, and their ends: the journal, or the shared log with the journal made behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct
from sqlalchemy import Connection

from routing.core.model import ChangeEvent, Unreadable
from routing.ledger import journal, shares
from routing.ledger.journal import Ending, Entry
from routing.ledger.schema import to_ms
from routing.ledger.shares import Fenced, Share
from routing.runtime.received import Gap, Received


class Closed(Struct, frozen=True):
    """What a batch came to: done with so many from the front, of which some were ``settled`` just now, the ``parked`` ones for
    these reasons."""

    front: int
    settled: int
    parked: tuple[str, ...]


class Overtaken(Exception):
    """Another process wrote down meanwhile what we did not know of: the transaction is repeated, and knows it then."""


class Book(Protocol):
    """A batch as its source has it. ``open`` and ``close`` frame the transaction; both may be called again for another try."""

    shared: bool  # whether other processes settle at the same time, and consumers are told of decisions
    merges: bool  # whether a record goes on where others were, which may be anybody's

    def __len__(self) -> int: ...

    def front(self, n: int) -> Book:
        """The first ``n`` as a book of their own."""
        ...

    def open(self, conn: Connection) -> Sequence[Entry]:
        """Locks what must be ours. Returns what is to be decided, in order."""
        ...

    def close(self, conn: Connection, taken: int, endings: Sequence[Ending], now: datetime) -> Closed:
        """Writes down how the first ``taken`` entries ended, and what stood between them."""
        ...


class JournalBook:
    """Entries that wait in the journal; with ``held``, those of the partitions that this process holds."""

    def __init__(self, entries: Sequence[Entry], held: Mapping[int, Share] | None) -> None:
        self._entries, self._held = entries, held
        self.shared = held is not None
        self.merges = any(entry.event.continues for entry in entries)

    def __len__(self) -> int:
        return len(self._entries)

    def front(self, n: int) -> JournalBook:
        return JournalBook(self._entries[:n], self._held)

    def open(self, conn: Connection) -> Sequence[Entry]:
        """Raises Fenced when a partition was lost."""
        if self._held is None:
            shares.be_alone(conn)
        else:
            shares.check(conn, self._held.values())
        return self._entries

    def close(self, conn: Connection, taken: int, endings: Sequence[Ending], now: datetime) -> Closed:
        journal.settle(conn, endings, now)
        return Closed(taken, taken, _parked(endings))


class LogBook:
    """Messages of the shared log. Their journal rows are written when they have ended, with their ends."""

    shared = True

    def __init__(self, received: Sequence[Received], held: Mapping[int, Share]) -> None:
        self._received, self._held = received, held
        self.merges = any(isinstance(one.event, ChangeEvent) and one.event.continues for one in received)
        self._due: dict[int, int] = {}  # the offsets that come next, as the ledger knows them
        self._front = 0  # how many can be settled together
        self._rows: list[tuple[int, dict[str, Any]]] = []  # new to the journal, each with its place in the batch
        self._entries: list[tuple[int, Entry]] = []
        self._completed: list[tuple[int, Entry]] = []  # waited in the journal for their values, which came this way
        self._unread: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._received)

    def front(self, n: int) -> LogBook:
        return LogBook(self._received[:n], self._held)

    def open(self, conn: Connection) -> Sequence[Entry]:
        """Raises Fenced when a partition was lost, Gap when offsets are missing at the front."""
        fresh = self._unsettled(conn)
        self._number(conn, fresh)
        return [entry for _, entry in self._entries]

    def _unsettled(self, conn: Connection) -> list[tuple[int, ChangeEvent | Unreadable]]:
        """Looks how far the front reaches. Returns what of it was not settled before, each event once."""
        touched = sorted({one.partition for one in self._received})
        lost = [p for p in touched if p not in self._held]
        if lost:
            raise Fenced(next(iter(self._held.values())).topic if self._held else "", lost)
        self._due = shares.check(conn, [self._held[p] for p in touched])
        expected = dict(self._due)
        found: dict[str, tuple[int, ChangeEvent | Unreadable]] = {}
        self._front = len(self._received)
        for n, one in enumerate(self._received):
            due = expected[one.partition]
            if one.offset < due:
                continue
            first = one.offset if one.first is None else one.first
            if first > due and n == 0:
                raise Gap(one.partition, due, first)
            # An erasure stands first: it must find written down all that came before it.
            if first > due or (n > 0 and isinstance(one.event, ChangeEvent) and one.event.kind == "erased"):
                self._front = n
                break
            expected[one.partition] = one.offset + 1
            if one.event is not None:
                found.setdefault(one.event.event_id, (n, one.event))
        return list(found.values())

    def _number(self, conn: Connection, fresh: Sequence[tuple[int, ChangeEvent | Unreadable]]) -> None:
        known = journal.waiting_or_ended(conn, [event.event_id for _, event in fresh])
        new = [(n, event) for n, event in fresh if event.event_id not in known]
        numbers = dict(zip((n for n, _ in new), journal.reserve(conn, len(new)), strict=True))
        self._rows, self._entries, self._completed, self._unread = [], [], [], {}
        for n, event in fresh:
            accepted_ms = self._received[n].accepted_ms
            before = known.get(event.event_id)
            if before is None:
                row = {"seq": numbers[n], **journal.row_of(event, accepted_ms), "settled_ms": None}
                self._rows.append((n, row))
                if row["state"] == "accepted":
                    assert isinstance(event, ChangeEvent)
                    self._entries.append((n, Entry(numbers[n], event, accepted_ms)))
                elif row["state"] == "parked":
                    self._unread[n] = row["reason"]
            elif before.state == "incomplete" and isinstance(event, ChangeEvent) and event.complete:
                entry = Entry(before.seq, event, accepted_ms, before.reason != "")
                self._entries.append((n, entry))
                self._completed.append((n, entry))

    def close(self, conn: Connection, taken: int, endings: Sequence[Ending], now: datetime) -> Closed:
        """Raises Overtaken when another process wrote one of the events down meanwhile."""
        front = self._entries[taken][0] if taken < len(self._entries) else self._front
        ends = {ending.seq: ending for ending in endings}
        rows = [_ended(row, ends.get(row["seq"]), now) for n, row in self._rows if n < front]
        if not journal.add_settled(conn, rows):
            raise Overtaken
        completed = [entry for n, entry in self._completed if n < front]
        journal.complete(conn, [(entry.seq, entry.event) for entry in completed])
        journal.settle(conn, [ends[entry.seq] for entry in completed], now)
        self._advance(conn, front, now)
        unread = [reason for n, reason in self._unread.items() if n < front]
        return Closed(front, len(endings) + len(unread), (*_parked(endings), *unread))

    def _advance(self, conn: Connection, front: int, now: datetime) -> None:
        reached = dict(self._due)
        for one in self._received[:front]:
            reached[one.partition] = max(reached[one.partition], one.offset + 1)
        moved = {p: offset for p, offset in reached.items() if offset > self._due[p]}
        if moved:
            shares.advance(conn, self._held[next(iter(moved))].topic, moved, now)


def _ended(row: dict[str, Any], ending: Ending | None, now: datetime) -> dict[str, Any]:
    if ending is None:
        return row
    return row | {"state": ending.state, "reason": ending.reason, "settled_ms": to_ms(now)}


def _parked(endings: Sequence[Ending]) -> tuple[str, ...]:
    return tuple(ending.reason for ending in endings if ending.state == "parked")
