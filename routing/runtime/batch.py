"""What a batch of events comes to, gathered event by event and written down at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from routing.core.evidence import Evidence
from routing.core.model import ChangeEvent, Decision, PoolState, Record, Timer, Write
from routing.core.plan import Plan
from routing.core.settle import Settled
from routing.core.view import View
from routing.ledger import announcements, decisions, journal, outbox, timers
from routing.ledger.journal import Ending, Entry
from routing.ledger.outbox import Unechoed
from routing.ledger.schema import ref_of, to_ms
from routing.runtime.books import Book, Closed
from routing.runtime.echo import under_way
from routing.runtime.working_set import WorkingSet


class Batch:
    """What a batch has come to so far; written down by ``save`` and ``close`` in the transaction that it was read in."""

    def __init__(
        self,
        conn: Connection,
        work: WorkingSet,
        echoes: dict[int, list[Unechoed]],
        waiting: Mapping[str, Sequence[Unechoed]],
    ) -> None:
        self.conn, self.work, self.echoes, self._waiting = conn, work, echoes, waiting
        self.endings: list[Ending] = []
        self.planned: list[tuple[Entry, Plan]] = []
        self.shown: dict[int, tuple[ChangeEvent, View]] = {}  # what ``plan`` was shown, by seq
        self.decisions: list[tuple[Entry, Decision]] = []
        self.evidence: list[tuple[str, Evidence]] = []
        self.writes: list[tuple[Write, int, int]] = []
        self.timers: list[Timer] = []
        self.off_hold: set[str] = set()
        self.pools: dict[str, PoolState] = {}
        self.heard: dict[int, Unechoed] = {}
        self.undecided: set[str] = set()  # refs and e-mail keys of leads whose decision is still being made
        self.person_changed = False
        self.erased: list[tuple[ChangeEvent, int]] = []  # events whose values are not kept, nor those of earlier ones

    def end(self, entry: Entry, state: str, reason: str = "") -> None:
        self.endings.append(Ending(entry.seq, state, reason))

    def plan(self, entry: Entry, event: ChangeEvent, view: View, planned: Plan) -> None:
        """Takes a plan in, with what it was shown, and adds what the outbox knows of the record."""
        self.shown[entry.seq] = event, view
        waiting = self._waiting.get(ref_of(event.system, event.entity, event.record_id))
        if waiting:
            planned = msgspec.structs.replace(planned, under_way=under_way(waiting, planned.seen))
        self.planned.append((entry, planned))

    def note(self, entry: Entry, settled: Settled) -> None:
        """Takes in what an event came to."""
        event = entry.event
        name = ref_of(event.system, event.entity, event.record_id)
        made = settled.decision
        self.timers.extend(settled.timers)
        self.writes.extend((write, to_ms(event.occurred_at), entry.accepted_ms) for write in settled.writes)
        record = self.work.records.get(name)
        if record is not None and (made is None or made.outcome != "none" or event.kind == "tick"):
            self._remember(name, record, settled)
        if made is not None:
            self.decisions.append((entry, made))
        if settled.skipped:
            self.end(entry, "skipped", settled.skipped)
        else:
            self.end(entry, "applied")

    def _remember(self, name: str, record: Record, settled: Settled) -> None:
        made = settled.decision
        held_before = record.on_hold
        after = record
        if made is not None and made.outcome == "assign":
            after = msgspec.structs.replace(
                record, decided_owner=made.owner, decided_at=made.decided_at.isoformat(), on_hold=False, taken=False
            )
        elif held_before != settled.on_hold:
            after = msgspec.structs.replace(record, on_hold=settled.on_hold, taken=False)
        if after is not record:
            self.work.remember(after)
        if held_before and not settled.on_hold:
            self.off_hold.add(name)

    def save(self, book: Book, now: datetime) -> None:
        """Writes down what the events caused. May be put off with ``at_once``."""
        self.work.save(self.conn)
        decisions.save_pools(self.conn, self.pools.values())
        made = [(entry.seq, one) for entry, one in self.decisions]
        decisions.save(self.conn, made)
        if book.shared:
            announcements.add(self.conn, made)
        outbox.add(self.conn, self.writes, now)
        outbox.save_unechoed(self.conn, list(self.heard.values()))
        # One timer a record: a tick that comes late must not leave it with two, which would both go on for ever.
        waiting = {ref_of(timer.system, timer.entity, timer.record_id) for timer in self.timers}
        timers.clear(self.conn, self.off_hold | waiting)
        timers.save(self.conn, self.timers)

    def close(self, book: Book, taken: int, now: datetime) -> Closed:
        """Writes down how the events ended, once all else is."""
        closed = book.close(self.conn, taken, self.endings, now)
        for event, seq in self.erased:
            # Only now: what came in along with it is written down by now.
            journal.erase(self.conn, ref_of(event.system, event.entity, event.record_id), seq)
            if event.kind == "erased":
                journal.erase_unread(self.conn, event.system, event.record_id)
        return closed
