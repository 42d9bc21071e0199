"""What a batch of events comes to, gathered event by event and written down at once."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import structlog
from sqlalchemy import Connection

from routing.core.directory import Directory
from routing.core.distribution.pools import Pools
from routing.core.evidence import Evidence
from routing.core.model import OURS, ChangeEvent, Decision, Holding, Record, Replaced, Timer, Write
from routing.core.planned import Plan
from routing.core.settle import Settled
from routing.core.sla.following import follow
from routing.core.sla.model import ClockState
from routing.core.view import View
from routing.ledger import announcements, clocks, decisions, echoed, holding, journal, outbox, pools, timers
from routing.ledger.clocks import Given
from routing.ledger.echoed import Unechoed
from routing.ledger.journal import Ending, Entry
from routing.ledger.schema import ref_of, to_ms
from routing.runtime.books import Book, Closed
from routing.runtime.echo import overtaken, replaced_before, replaced_by, same, under_way
from routing.runtime.working_set import WorkingSet
from rules.policy import Policy

log = structlog.get_logger()

# What a decision leaves with its record.
_KEPT = ("passed", "never_had", "priority", "held_by", "sent")


def parking(entry: Entry, error: Exception) -> Ending:
    """The end of an event that our own code cannot decide: it is kept for the operator; the others go on."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    reason = f"deciding failed: {type(error).__name__} at {where.filename.rsplit('/', 1)[-1]}:{where.lineno}"
    log.error("an event is parked", event_id=entry.event.event_id, reason=reason, exc_info=error)
    return Ending(entry.seq, "parked", f"{reason}. Please report it; `fingerpost parked retry` tries again.")


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
        self.clocks: list[ClockState] = []
        self.breached: list[str] = []  # the names of clocks whose limit was found passed
        self.given: list[Given] = []
        self.touched: dict[str, int] = {}  # refs that somebody touched, and when first
        self.planned: list[tuple[Entry, Plan]] = []
        self.shown: dict[int, tuple[ChangeEvent, View]] = {}  # what ``plan`` was shown, by seq
        self.decisions: list[tuple[Entry, Decision]] = []
        self.evidence: dict[str, Evidence] = {}  # by decision id
        self.people = ""  # the digest of the people the decisions knew
        self.writes: list[tuple[Write, int, int]] = []
        self.timers: list[Timer] = []
        self.off_hold: set[str] = set()
        self.not_for_pool: set[str] = set()  # refs of what goes on waiting, and no longer for a pool
        self.pools: Pools | None = None
        self.opened = pools.Opened({}, {}, {})
        self.holding: dict[str, Holding] = {}
        self.raised: dict[str, float] = {}  # refs of records that wait: what clocks have added to their priority
        self.heard: dict[int, Unechoed] = {}
        self._overtaken: dict[int, dict[int, list[str]]] = {}  # by seq: what ``echo.overtaken`` found
        self._gone: dict[int, frozenset[str]] = {}  # the same, by write
        self.given_up: dict[int, dict[str, str]] = {}  # by write: fields that are not to be sent any more, and why
        self.planned_for: set[str] = set()
        self.undecided: set[str] = set()  # refs and e-mail keys of leads whose decision is still being made
        self.person_changed = False
        self.erased: list[tuple[ChangeEvent, int]] = []  # events whose values are not kept, nor those of earlier ones

    def end(self, entry: Entry, state: str, reason: str = "") -> None:
        self.endings.append(Ending(entry.seq, state, reason))

    def park(self, entry: Entry, error: Exception) -> None:
        self._give_up(entry, None)
        self.endings.append(parking(entry, error))

    def replaced(self, entry: Entry, before: Record | None, left: Sequence[Unechoed]) -> tuple[Replaced, ...]:
        """What our own writes, whose echo the entry is, replaced that somebody had set meanwhile. It is not put back where something else was
        decided since."""
        event = entry.event
        name = ref_of(event.system, event.entity, event.record_id)
        return self._whether_back(name, replaced_by(event, before, self._pairs(name, left)))

    def hear(self, entry: Entry, left: Sequence[Unechoed]) -> None:
        """Takes in what an echo leaves to be heard. What it shows to have happened is not sent again where no answer came: it would go over
        whoever sets the field back to what was expected."""
        event = entry.event
        said = f"superseded: it was changed after this had arrived (event {event.event_id})"
        for before, one in self._pairs(ref_of(event.system, event.entity, event.record_id), left):
            if one.ended_ms is None or one.parked:
                came = before.fields.keys() - one.fields.keys()
                self.given_up.setdefault(one.seq, {}).update(dict.fromkeys(sorted(came), said))
            self.heard[one.seq] = one

    def _pairs(self, name: str, left: Sequence[Unechoed]) -> list[tuple[Unechoed, Unechoed]]:
        """Each write as it waited for an echo, and what that leaves of it."""
        waited = {one.seq: self.heard.get(one.seq, one) for one in self._waiting[name]}
        return [(waited[one.seq], one) for one in left]

    def replaced_before(self, entry: Entry, known: Record) -> tuple[Replaced, ...]:
        """The same of a change that is told only after our own writes, which replaced it, were heard back."""
        event = entry.event
        name = ref_of(event.system, event.entity, event.record_id)
        moot = all(same(event.values.get(field), known.values.get(field)) for field in event.changed)
        if moot or event.kind != "updated":
            return ()
        return self._whether_back(name, replaced_before(event, known, echoed.done(self.conn, name)))

    def _whether_back(self, name: str, found: Sequence[tuple[int, Replaced]]) -> tuple[Replaced, ...]:
        back = []
        for seq, one in found:
            since = echoed.set_since(self.conn, name, seq)
            # What it replaced may be our own newest: the older write was longer under way.
            holds = one.field not in since or same(since[one.field], one.theirs)
            back.append(msgspec.structs.replace(one, back=holds))
        return tuple(back)

    def plan(self, entry: Entry, event: ChangeEvent, view: View, planned: Plan) -> None:
        """Takes a plan in, with what it was shown, and adds what the outbox knows of the record."""
        self.shown[entry.seq] = event, view
        name = ref_of(event.system, event.entity, event.record_id)
        waiting = self._owed(name)
        if waiting:
            found = overtaken(waiting, view.record.values)
            if found:
                self._overtaken[entry.seq] = found
                self._gone |= {write: self._gone.get(write, frozenset()).union(names) for write, names in found.items()}
                waiting = self._owed(name)
            maybe = {field: value for one in waiting for field, value in (one.unheard | one.may_yet).items()}
            planned = msgspec.structs.replace(planned, under_way=under_way(waiting, planned.seen), maybe=maybe)
        self.planned.append((entry, planned))

    def _owed(self, ref: str) -> list[Unechoed]:
        """What the outbox knows of a record, after the events of the batch so far."""
        known = [self.heard.get(one.seq, one) for one in self._waiting.get(ref, ())]
        known = [one for one in known if one.fields or one.parked]
        if not self._gone:
            return known
        none = frozenset[str]()
        return [msgspec.structs.replace(one, given_up=one.given_up | self._gone.get(one.seq, none)) for one in known]

    def follow(
        self, entry: Entry, planned: Plan, settled: Settled, policy: Policy, directory: Directory, now: datetime
    ) -> None:
        """What the event does to the clocks of its record, and to what is known of how soon it was answered."""
        event, view = self.shown[entry.seq]
        name, made = ref_of(event.system, event.entity, event.record_id), settled.decision
        known = self.work.clocks.get(name, ())
        changed = follow(event, view.record, planned, settled, known, policy, directory, now)
        if changed:
            self.clocks += changed
            moved = {one.clock_id for one in changed}
            late = {one.clock_id for one in known if one.breached_at is not None}
            self.breached += [one.name for one in changed if one.breached_at is not None and one.clock_id not in late]
            after = [*(one for one in known if one.clock_id not in moved), *changed]
            self.work.clocks[name] = tuple(one for one in after if one.open)
        if made is not None and made.outcome in ("assign", "keep", "hold"):
            self.given.append(
                Given(
                    decision_id=made.decision_id,
                    ref=name,
                    person=made.owner,
                    pool=made.pool,
                    source=planned.source,
                    fresh=int(event.kind not in OURS and not planned.refused),
                    occurred_ms=to_ms(event.occurred_at),
                    decided_ms=to_ms(made.decided_at),
                )
            )
        if planned.heard.touched:
            self.touched.setdefault(name, to_ms(event.occurred_at))

    def note(self, entry: Entry, planned: Plan, settled: Settled) -> None:
        """Takes in what an event came to."""
        event = entry.event
        name = ref_of(event.system, event.entity, event.record_id)
        made = settled.decision
        self._give_up(entry, made)
        self.timers.extend(settled.timers)
        if settled.holding is not None:
            self.holding[name] = settled.holding
        elif settled.on_hold and planned.action is not None:
            self.holding.pop(name, None)
            self.not_for_pool.add(name)
        self.writes.extend((write, to_ms(event.occurred_at), entry.accepted_ms) for write in settled.writes)
        record = self.work.records.get(name)
        if record is not None and (settled.routed or planned.heard.starts) and record.changed_since != ():
            record = msgspec.structs.replace(record, changed_since=())
            self.work.remember(record)
        if record is not None and (planned.given_back.named or planned.taken_again.named):
            record = msgspec.structs.replace(record, gave_back=bool(planned.given_back.named))
            self.work.remember(record)
        if record is not None and (made is None or made.outcome != "none" or event.kind == "tick" or planned.says):
            self._remember(name, record, planned, settled)
        if made is not None:
            self.decisions.append((entry, made))
        if settled.skipped:
            self.end(entry, "skipped", settled.skipped)
        else:
            self.end(entry, "applied")

    def _give_up(self, entry: Entry, made: Decision | None) -> None:
        """What a write of before would do over a hand that was heard of meanwhile: setting it back is a hand, too."""
        by = f"decision {made.decision_id}" if made is not None else f"event {entry.event.event_id}"
        whose = f" by {entry.event.actor}" if entry.event.actor else ""
        for write, fields in self._overtaken.get(entry.seq, {}).items():
            # Not to what: it may be personal, and this is shown and logged.
            said = {name: f"superseded: {name} had been changed{whose} before this was sent ({by})" for name in fields}
            self.given_up.setdefault(write, {}).update(said)
        if made is not None and made.outcome in ("assign", "keep"):
            # Nor what an operator may have tried again of a decision before: also where this one finds its owner there, and writes nothing.
            name = ref_of(entry.event.system, entry.event.entity, entry.event.record_id)
            for one in self._waiting.get(name, ()):
                if "owner" in one.parked:
                    since = f"superseded: decision {made.decision_id} was made since"
                    self.given_up.setdefault(one.seq, {}).setdefault("owner", since)

    def _remember(self, name: str, record: Record, planned: Plan, settled: Settled) -> None:
        made = settled.decision
        held_before = record.on_hold
        after = record
        if made is not None and made.outcome == "assign":
            after = msgspec.structs.replace(
                record,
                decided_owner=made.owner,
                decided_at=made.decided_at.isoformat(),
                on_hold=False,
                held_since="",
                taken=False,
                turns=settled.turns,
                given_at=made.decided_at.isoformat() if settled.turns else "",
                given_by=made.decision_id if settled.turns else "",
                gave_back=False,
            )
        elif held_before != settled.on_hold:
            since = made.decided_at.isoformat() if settled.on_hold and made is not None else ""
            # Of what is gone it stays known: it may have gone into another record, which then waits.
            since = record.held_since if record.deleted else since
            after = msgspec.structs.replace(record, on_hold=settled.on_hold, held_since=since, taken=False)
        if planned.says:
            if record.on_hold and planned.priority != record.priority:
                self.raised[name] = planned.priority - record.priority
            after = msgspec.structs.replace(after, priority=planned.priority)
        elif made is not None:
            known = {name: getattr(planned, name) for name in _KEPT}
            if any(getattr(after, name) != value for name, value in known.items()):
                after = msgspec.structs.replace(after, **known)
        if after is not record:
            self.work.remember(after)
        if held_before and not settled.on_hold:
            self.off_hold.add(name)

    def save(self, book: Book, now: datetime) -> None:
        """Writes down what the events caused. May be put off with ``at_once``."""
        self.work.save(self.conn)
        if self.pools is not None:
            pools.save(self.conn, self.opened, self.pools.entries)
            pools.save_bonds(self.conn, self.pools.bound)
        holding.clear(self.conn, self.off_hold | self.not_for_pool)
        holding.raise_ranks(self.conn, self.raised)
        holding.save(self.conn, self.holding)
        made = [(entry.seq, one) for entry, one in self.decisions]
        decisions.save(self.conn, made, self.evidence, self.people)
        if book.shared:
            announcements.add(self.conn, made)
        outbox.add(self.conn, self.writes, now, self.work.locks([write for write, _, _ in self.writes]))
        echoed.save_unechoed(self.conn, list(self.heard.values()))
        # One timer a record: a tick that comes late must not leave it with two, which would both go on for ever.
        waiting = {ref_of(timer.system, timer.entity, timer.record_id) for timer in self.timers}
        timers.clear(self.conn, self.off_hold | waiting)
        timers.save(self.conn, self.timers)
        clocks.save(self.conn, self.clocks)
        # What routes a record ends what is taken of it into a batch: a touch answers what was given before.
        clocks.touch(self.conn, self.touched)
        clocks.give(self.conn, self.given)

    def close(self, book: Book, taken: int, now: datetime) -> Closed:
        """Writes down how the events ended, once all else is."""
        outbox.give_up(self.conn, self.given_up)  # of a write that ``save`` may have changed, too
        closed = book.close(self.conn, taken, self.endings, now)
        for event, seq in self.erased:
            # Only now: what came in along with it is written down by now.
            journal.erase(self.conn, ref_of(event.system, event.entity, event.record_id), seq)
            if event.kind == "erased":
                journal.erase_unread(self.conn, event.system, event.record_id)
        return closed
