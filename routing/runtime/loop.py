"""The loop: reads a batch of events, decides, and settles everything they cause in one ledger transaction.

Both runtimes call it with a batch: of the journal, or of the shared log. Whatever the size of the batches, the decisions are the same: a batch is cut
before an event whose decision could depend on one still being made.
"""

from __future__ import annotations

import gc
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from routing.core.availability.calendars import pools_served_by
from routing.core.availability.people import Availability
from routing.core.directory import Directory
from routing.core.distribution.attendance import Attendance
from routing.core.distribution.methods import bond_key
from routing.core.distribution.pools import Pools
from routing.core.distribution.workload import counting
from routing.core.evidence import gather
from routing.core.keys import address_of, keys
from routing.core.merge import ERASED
from routing.core.model import OURS, Decision
from routing.core.plan import READ_BACK, plan
from routing.core.settle import settle
from routing.core.sla.machine import NO_TIME, close
from routing.core.sla.planning import LOOK, SLA
from routing.ledger import (
    clocks,
    decisions,
    evidence,
    holding,
    journal,
    match_corrections,
    mirror,
    open_records,
    outbox,
    people,
    pools,
)
from routing.ledger.engine import Ledger, is_refused
from routing.ledger.journal import Ending, Entry
from routing.ledger.schema import ref_of
from routing.ledger.shares import Fenced, Share
from routing.ledger.sql import at_once
from routing.runtime.batch import Batch
from routing.runtime.books import Book, Closed, JournalBook, LogBook, Overtaken
from routing.runtime.clock import Clock
from routing.runtime.echo import echoes_among
from routing.runtime.feed import Feed
from routing.runtime.intake import Intake
from routing.runtime.open_work import OpenWork
from routing.runtime.policies import Policies
from routing.runtime.received import Gap, Received
from routing.runtime.working_set import WorkingSet
from rules.policy import Policy

log = structlog.get_logger()

BATCH = 500
FLOOD = 50
GATHER_SECONDS = 0.02
# The journal is looked at this often even when nobody said that something arrived: the command line writes to it too.
LOOK_SECONDS = 0.5
# Methods that promise everybody their share; the others put something else first.
BY_TURNS = ("round robin", "weighted", "skill")
MIRRORED = ("created", "updated", "deleted", "restored", "merged", "snapshot", "gap")


class Loop:
    """Decides. One instance a process, used by one thread at a time."""

    def __init__(self, ledger: Ledger, policies: Policies, clock: Clock, feed: Feed) -> None:
        self._ledger, self._policies, self._clock, self._feed = ledger, policies, clock, feed
        self._directory: tuple[Policy, bytes, Directory] | None = None
        self._attendance: tuple[Directory, int, Attendance] | None = None
        self._shelf = pools.Shelf()
        self._batches = 0
        self._out_of_bound: set[tuple[str, str]] = set()

    def run(self, intake: Intake, owed: Callable[[], None], stop: threading.Event) -> None:
        """Works the journal off until ``stop``; finishes the batch at hand. ``owed`` is called whenever writes may be owed."""
        while not stop.is_set():
            intake.arrived.clear()
            settled = self.work_off(BATCH)
            if settled:
                owed()
            else:
                intake.arrived.wait(LOOK_SECONDS)
            if settled < FLOOD:
                # A transaction costs much the same for one event as for ten: let a few gather.
                stop.wait(GATHER_SECONDS)

    def settle_received(self, received: Sequence[Received], shares: Mapping[int, Share]) -> int:
        """Settles the longest front part of what came out of the log that can be decided together, in one transaction.

        ``shares`` are the partitions held, as they were claimed. Returns how many from the front are settled, at least 1 (also
        those that had been settled before). Raises Fenced when a partition was lost, Gap when offsets are missing at the front;
        SQLAlchemyError when the ledger fails. Then nothing was settled.
        """
        settled = self._process(LogBook(received, shares))
        self._tidy_up()
        return settled

    def work_off(self, limit: int, shares: Mapping[int, Share] | None = None, partitions: int = 1) -> int:
        """Settles one batch from the journal: events that came past the log, or all of them where the journal is the log.

        With ``shares`` only those of the partitions held, of the ``partitions`` that the log has. Returns how many events were
        settled, 0 when nothing waits. Raises Fenced when a partition was lost, SQLAlchemyError when the ledger fails.
        """
        with self._ledger.read() as conn:
            if shares is None:
                entries = journal.next_entries(conn, "accepted", limit)
            else:
                entries = journal.next_entries(conn, "accepted", limit, partitions=partitions, of=shares.keys())
        if not entries:
            return 0
        settled = self._process(JournalBook(_no_person_twice(entries), shares))
        self._tidy_up()
        return settled

    def _tidy_up(self) -> None:
        """Has the garbage collector look around now, between batches: within one it would follow all that the batch works on, and
        find nothing to let go."""
        self._batches += 1
        gc.collect(2 if self._batches % 1_000 == 0 else 1 if self._batches % 20 == 0 else 0)

    def _process(self, book: Book) -> int:
        """Settles the longest front part of a batch that can be decided together, in one transaction.

        Returns its length, at least 1. Raises only when the ledger fails or a partition was lost; then nothing was settled.
        """
        try:
            return self._decide(book)
        except (Fenced, Gap):
            raise
        except Exception as error:
            # One row that the ledger refuses is an event's fault too; the ledger being unwell is nobody's.
            if isinstance(error, SQLAlchemyError) and not is_refused(error):
                raise
            failure = error
        if len(book) > 1:
            return self._process(book.front(len(book) // 2))

        def park(conn: Connection) -> Closed:
            endings = [self._parking(entry, failure) for entry in book.open(conn)]
            return book.close(conn, len(endings), endings, self._clock())

        self._tell(self._ledger.repeated(park, Overtaken), ())
        return 1

    def _decide(self, book: Book) -> int:
        policy = self._policies.current

        def settle_all(conn: Connection) -> tuple[Batch, Closed]:
            now = self._clock()
            entries = book.open(conn)
            directory = self._people(conn, policy)
            named = [(e.seq, ref_of(e.event.system, e.event.entity, e.event.record_id), e.event) for e in entries]
            waiting = outbox.unechoed(conn, {ref for _, ref, _ in named})
            echoes = echoes_among(named, waiting)
            batch = Batch(conn, WorkingSet(conn, entries, policy, echoes), echoes, waiting)
            taken = 0
            for entry in entries:
                if batch.person_changed or not self._take(batch, entry, policy, directory, now):
                    break
                taken += 1
            with at_once(conn):
                self._settle(batch, policy, directory, now)
                batch.save(book, now)
            return batch, batch.close(book, taken, now)

        # Where the journal is the log, its events are on the disk: what a power cut takes back is decided again. Nothing of it has
        # gone out by then, as a courier's claim of a write is flushed, and so all before it. What others read in Kafka is not taken back.
        batch, closed = self._ledger.repeated(settle_all, Overtaken, flush=book.shared)
        self._shelf.put(batch.opened)
        self._tell(closed, batch.decisions)
        for name in batch.breached:
            self._feed.tell("breached", 1, name)
        self._watch(batch, policy)
        return closed.front

    def _people(self, conn: Connection, policy: Policy) -> Directory:
        version = mirror.people_version(conn)
        if self._directory is None or self._directory[:2] != (policy, version):
            self._directory = policy, version, Directory.build(policy, mirror.people(conn))
        return self._directory[2]

    def _present(self, conn: Connection, policy: Policy, directory: Directory, now: datetime) -> Attendance:
        version = people.version(conn)
        if self._attendance is None or self._attendance[:2] != (directory, version):
            systems = sorted({system for entity in policy.entities.values() for system in entity.remote})
            available = Availability(policy, people.known(conn, now))
            self._attendance = directory, version, Attendance(policy, directory, available, systems)
        return self._attendance[2]

    def _take(self, batch: Batch, entry: Entry, policy: Policy, directory: Directory, now: datetime) -> bool:
        """Takes one event into the batch; False when it must wait for the batch before it to be settled."""
        event = entry.event
        ref = ref_of(event.system, event.entity, event.record_id)
        # What is only corrected waits for itself: its next write must know the one before.
        names = _names(batch.work, entry) if event.entity in policy.ladders else {ref}
        if names & batch.undecided:
            return False
        if event.kind in OURS and ref in batch.planned_for:
            return False  # what came before it may have moved the clocks that it is about
        try:
            if event.kind == "erased":
                if batch.planned or batch.endings:
                    return False  # what the batch has come to so far must be written down to be erased
                self._erase(batch, entry)
            elif event.kind in OURS:
                self._tick(batch, entry, policy, directory, now)
            elif event.kind in MIRRORED:
                self._change(batch, entry, policy, directory, now)
            else:
                batch.end(entry, "skipped", f"nothing is done with {event.kind!r} events")
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one event must not stop the others
            batch.endings.append(self._parking(entry, error))
            return True
        if batch.planned and batch.planned[-1][0] is entry:
            batch.planned_for.add(ref)
            planned = batch.planned[-1][1]
            held = batch.work.records.get(ref_of(event.system, event.entity, event.record_id))
            # Who waits may stop waiting, whatever the event: the next one about them must see whether they did.
            if planned.decides or planned.corrections or planned.on_hold or (held is not None and held.on_hold):
                batch.undecided |= names
        return True

    def _change(self, batch: Batch, entry: Entry, policy: Policy, directory: Directory, now: datetime) -> None:
        event = entry.event
        name = ref_of(event.system, event.entity, event.record_id)
        left = batch.echoes.get(entry.seq)
        before = batch.work.records.get(name)
        record, changed = batch.work.apply(entry)
        if ERASED in record.changed_at:
            batch.erased.append((event, entry.seq))
            batch.end(entry, "skipped", "it is older than the erasure of the person; nothing of it is kept")
            return
        if left is not None:
            batch.heard |= {one.seq: one for one in left}
            batch.end(entry, "skipped", "echo of our own write")
            return
        if event.entity == "person":
            batch.person_changed = True
        news = bool(changed) or entry.again
        if event.kind == "created" and not entry.again:
            if before is not None and before.announced and not before.deleted:
                # Told a second time: what is new in it is a change like any other, and no second reason to route it.
                told = tuple(field for field in event.changed if field in changed)
                event = msgspec.structs.replace(event, kind="updated", changed=told)
            else:
                # All its values may be known from a snapshot, or from changes told before it; that it is new is not.
                news = True
        if event.kind == "updated" and event.origin in (READ_BACK, LOOK) and not entry.again:
            # All that was read back was named as changed; what was known already did not change. An owner that was named was set
            # by somebody, though it be the one we know.
            told = tuple(one for one in event.changed if one in changed or one == "owner")
            event = msgspec.structs.replace(event, changed=told)
        if event.kind in ("created", "updated", "restored") and not news:
            batch.end(entry, "skipped", "nothing in it is newer than what is known")
            return
        view = batch.work.view(entry, record, before)
        batch.plan(entry, event, view, plan(event, view, policy, directory, now))

    def _tick(self, batch: Batch, entry: Entry, policy: Policy, directory: Directory, now: datetime) -> None:
        event = entry.event
        record = batch.work.records.get(ref_of(event.system, event.entity, event.record_id))
        waits = event.kind == "tick" and event.origin != SLA
        if record is None or record.deleted or (waits and not record.on_hold):
            batch.end(entry, "skipped", "the record no longer waits" if waits else "the record is gone, or not known")
            return
        view = batch.work.view(entry, record)
        batch.plan(entry, event, view, plan(event, view, policy, directory, now))

    def _erase(self, batch: Batch, entry: Entry) -> None:
        event, conn = entry.event, batch.conn
        name = ref_of(event.system, event.entity, event.record_id)
        known = batch.work.records.get(name)
        same_person = mirror.find(conn, keys(known)) if known is not None else {}
        # A stub stays in the mirror: an older change of the record that arrives only now must not bring the person back.
        batch.work.apply(entry)
        batch.erased.append((event, entry.seq))
        decisions.erase(conn, name)
        # Also those whose e-mail address was the same once.
        borrowed = evidence.erase(conn, name, {ref for found in same_person.values() for ref in found})
        decisions.erase_borrowed(conn, borrowed)
        outbox.erase(conn, name)
        match_corrections.erase(conn, name)
        batch.off_hold.add(name)
        still = clocks.load(conn, {name}).get(name, ())
        batch.clocks += [close(one, event.occurred_at, "ended", "the person was erased", NO_TIME) for one in still]
        if event.entity == "person":
            batch.person_changed = True
            evidence.erase_person(conn, event.system, event.record_id)
            if known is not None:
                people.forget(conn, str(known.values.get("email") or "").strip().lower())
        batch.end(entry, "applied", "the person was erased at their request")

    def _settle(self, batch: Batch, policy: Policy, directory: Directory, now: datetime) -> None:
        working = self._open(batch, policy, directory, now)
        open_work = OpenWork(batch.work, self._attendance[2]) if self._attendance and counting(policy) else None
        for entry, planned in batch.planned:
            if open_work is not None:
                open_work.before(entry)
            try:
                settled = settle(planned, working, policy, directory, now)
            except Exception as error:  # noqa: BLE001 - as above
                batch.endings.append(self._parking(entry, error))
                continue
            if settled.decision is not None:
                shown = gather(now, entry.event, *batch.shown[entry.seq], working.seen.values())
                batch.evidence[settled.decision.decision_id] = shown
            batch.follow(entry, planned, settled, policy, directory, now)
            batch.note(entry, planned, settled)
            if open_work is not None:
                open_work.after(entry)
        if open_work is not None and open_work.freed():
            holding.hurry(batch.conn, pools_served_by(policy, open_work.freed()), now)
        batch.people = directory.roster_digest
        new = evidence.save(batch.conn, batch.evidence, directory.roster, batch.people, now)
        if new and self._directory is not None and self._directory[1] != mirror.people_version(batch.conn):
            raise Overtaken

    def _open(self, batch: Batch, policy: Policy, directory: Directory, now: datetime) -> Pools:
        """The pools that the batch may touch, locked, and who is there."""
        names = {name for _, planned in batch.planned for name in planned.asked}
        names = pools.closure(policy, names)
        opened = self._shelf.take(batch.conn, policy, names, now)
        attendance = self._present(batch.conn, policy, directory, now)
        attendance.given = opened.given
        attendance.count(open_records.workload(batch.conn, policy, directory, names))
        keys = {
            bond_key(policy.pools[name], planned.account_id, planned.contact)
            for _, planned in batch.planned
            for name in planned.pools
            if policy.pools[name].sticky
        }
        bonds = pools.bonds(batch.conn, keys - {""})
        working = Pools(policy, directory, attendance, opened.rotations, bonds)
        batch.opened, batch.pools = opened, working
        return working

    def _watch(self, batch: Batch, policy: Policy) -> None:
        """Tells how far from their shares the members of the pools are that gave leads, and says so once when that is too far."""
        for (name, kind), rotation in batch.opened.rotations.items():
            pool = policy.pools.get(name)
            if pool is None or rotation.seq == batch.opened.began.get((name, kind), 0):
                continue
            worst = rotation.deviation()
            bound = pool.alarm if pool.method in BY_TURNS else None
            self._feed.tell("deviation", 1, (name, kind, worst, bound))
            if bound is None:
                continue
            if worst <= bound:
                self._out_of_bound.discard((name, kind))
            elif (name, kind) not in self._out_of_bound:
                self._out_of_bound.add((name, kind))
                log.warning(
                    "a pool is out of its bound of fairness",
                    pool=name,
                    kind=kind,
                    leads=round(worst, 3),
                    bound=bound,
                )

    @staticmethod
    def _parking(entry: Entry, error: Exception) -> Ending:
        """An event that our own code cannot decide is kept for the operator; the others go on."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"deciding failed: {type(error).__name__} at {where.filename.rsplit('/', 1)[-1]}:{where.lineno}"
        log.error("an event is parked", event_id=entry.event.event_id, reason=reason, exc_info=error)
        return Ending(entry.seq, "parked", f"{reason}. Please report it; `fingerpost parked retry` tries again.")

    def _tell(self, closed: Closed, made: Sequence[tuple[Entry, Decision]]) -> None:
        for entry, decision in made:
            self._feed.tell("decided", 1, (entry, decision))
        for reason in closed.parked:
            self._feed.tell("parked", 1, reason)
        self._feed.tell("settled", closed.settled)


def _no_person_twice(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The front part in which no e-mail address becomes a lead a second time. ``_take`` would end the batch there anyhow,
    but what was loaded for the entries behind would be loaded again."""
    seen: set[str] = set()
    for n, entry in enumerate(entries):
        if entry.event.entity == "lead" and entry.event.kind == "created":
            address = address_of(entry.event.values.get("email"))
            if address in seen:
                return entries[:n]
            if address:
                seen.add(address)
    return entries


def _names(work: WorkingSet, entry: Entry) -> set[str]:
    """By what another event of the batch could meet this record: its ref and its e-mail address."""
    event = entry.event
    found = {ref_of(event.system, event.entity, event.record_id)}
    for kind, value in work.wanted(entry):
        if kind == "email":
            found.add(f"email:{value}")
    return found
