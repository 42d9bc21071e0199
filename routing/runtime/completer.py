"""Completes events that cannot be decided as they came: values are read back from the CRM, and what was unreadable is read again.

What was read is stored with the event before it is decided on, so that the decision can be explained and made again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec
import structlog

from connectors.contract import Reader, Snapshot
from connectors.errors import ConnectorError
from routing.core.model import ChangeEvent, EntityMap
from routing.delivery.retrying import until_well
from routing.ledger import journal
from routing.ledger.engine import Ledger
from routing.ledger.journal import Ending, Entry, RawEntry
from routing.runtime.clock import Clock
from routing.runtime.feed import Feed
from routing.runtime.intake import Intake

log = structlog.get_logger()

BATCH = 500
Reread = Callable[[bytes, datetime], list[ChangeEvent]]


class Completer:
    """Works ``incomplete`` and ``reread`` entries off, oldest first, so that each system's order is kept."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        feed: Feed,
        readers: Mapping[str, Reader],
        reread: Mapping[str, Sequence[Reread]],
        maps: Callable[[str], Mapping[str, EntityMap]],
    ) -> None:
        self._ledger, self._clock, self._feed = ledger, clock, feed
        self._readers, self._reread, self._maps = readers, reread, maps

    def run(self, intake: Intake, stop: threading.Event) -> None:
        """Works until ``stop``."""
        while not stop.is_set():
            if self.complete_some(stop) or self.read_again(stop):
                intake.arrived.set()
            else:
                stop.wait(0.05)

    def complete_some(self, stop: threading.Event) -> int:
        """Completes one batch. Returns how many entries it took; waits as long as a CRM is unwell."""
        with self._ledger.read() as conn:
            entries = journal.next_entries(conn, "incomplete", BATCH)
        if not entries:
            return 0
        done: list[tuple[int, ChangeEvent]] = []
        ended: list[Ending] = []
        groups: dict[tuple[str, str], list[Entry]] = {}
        for entry in entries:
            if entry.event.complete:
                done.append((entry.seq, entry.event))
            else:
                groups.setdefault((entry.event.system, entry.event.entity), []).append(entry)
        for (system, entity), group in groups.items():
            self._read_back(system, entity, group, done, ended, stop)
        if stop.is_set() and len(done) + len(ended) < len(entries):
            return 0
        with self._ledger.write() as conn:
            journal.complete(conn, sorted(done, key=lambda item: item[0]))
            journal.settle(conn, ended, self._clock())
        for ending in ended:
            self._feed.tell(ending.state, 1, ending.reason)
        return len(entries)

    def _read_back(
        self,
        system: str,
        entity: str,
        group: list[Entry],
        done: list[tuple[int, ChangeEvent]],
        ended: list[Ending],
        stop: threading.Event,
    ) -> None:
        reader, fields = self._readers.get(system), self._maps(system).get(entity)
        if reader is None or fields is None:
            why = f"its values must be read from {system}, but the policy's fields.yaml has no {entity} there"
            ended.extend(Ending(entry.seq, "parked", why) for entry in group)
            return
        ids = list(dict.fromkeys(entry.event.record_id for entry in group))
        names = list(fields.fields)
        try:
            found = until_well(
                stop, self._feed, f"reading {len(ids)} record(s) back", lambda: reader.read(entity, ids, names)
            )
        except ConnectorError as error:
            if not stop.is_set():
                ended.extend(Ending(e.seq, "parked", f"its values could not be read back: {error}") for e in group)
            return
        for entry in group:
            snapshot = found.get(entry.event.record_id)
            if snapshot is None:
                ended.append(Ending(entry.seq, "skipped", "the record was gone before its values could be read"))
            else:
                done.append((entry.seq, self._completed(entry.event, snapshot)))

    def _completed(self, event: ChangeEvent, snapshot: Snapshot) -> ChangeEvent:
        return msgspec.structs.replace(
            event,
            kind="updated" if event.kind == "gap" else event.kind,
            values=snapshot.values,
            changed=tuple(snapshot.values),
            complete=True,
            origin="read back",
            observed_at=self._clock(),
        )

    def read_again(self, stop: threading.Event) -> int:
        """Reads a batch of once unreadable entries again, each by the connectors of its system."""
        with self._ledger.read() as conn:
            entries = journal.next_raw(conn, BATCH)
        for entry in entries:
            if stop.is_set():
                break
            self._read_one(entry)
        return len(entries)

    def _read_one(self, entry: RawEntry) -> None:
        reason = f"no connector for {entry.system} is configured"
        for read in self._reread.get(entry.system, ()):
            try:
                events = read(entry.raw, self._clock())
            except ConnectorError as error:
                reason = str(error)
                continue
            with self._ledger.write() as conn:
                journal.replace_raw(conn, entry.seq, events, self._clock())
            return
        with self._ledger.write() as conn:
            journal.settle(conn, [Ending(entry.seq, "parked", reason)], self._clock())
