"""The loop: reads a batch of events, decides, and settles everything they cause in one ledger transaction.

Both runtimes call it with a batch: of the journal, or of the shared log. Whatever the size of the batches, the decisions are the same: a batch is cut
before an event whose decision could depend on one still being made.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

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
from routing.core.keys import address_of
from routing.core.model import Decision
from routing.core.settle import settle
from routing.ledger import echoed, evidence, holding, journal, mirror, open_records, people, pools, shares
from routing.ledger.engine import Ledger, is_refused
from routing.ledger.journal import Entry
from routing.ledger.schema import ref_of
from routing.ledger.shares import Fenced, Share
from routing.ledger.sql import at_once
from routing.runtime import succession
from routing.runtime.batch import Batch, parking
from routing.runtime.books import Book, Closed, JournalBook, LogBook, Overtaken
from routing.runtime.clock import Clock
from routing.runtime.echo import echoes_among
from routing.runtime.feed import Feed
from routing.runtime.intake import Intake
from routing.runtime.open_work import OpenWork
from routing.runtime.policies import Policies
from routing.runtime.received import Gap, Received
from routing.runtime.taking import take
from routing.runtime.working_set import WorkingSet
from rules.policy import Policy
from rules.pools.model import POOL

log = structlog.get_logger()

BATCH = 500
FLOOD = 50
GATHER_SECONDS = 0.02
# The journal is looked at this often even when nobody said that something arrived: the command line writes to it too.
LOOK_SECONDS = 0.5


class Loop:
    """Decides. One instance a process, used by one thread at a time."""

    def __init__(self, ledger: Ledger, policies: Policies, clock: Clock, feed: Feed) -> None:
        self._ledger, self._policies, self._clock, self._feed = ledger, policies, clock, feed
        self._directory: tuple[Policy, bytes, Directory] | None = None
        self._attendance: tuple[Directory, int, Attendance] | None = None
        self._shelf = pools.Shelf()
        self._batches = 0
        self._out_of_bound: set[tuple[str, str]] = set()

    def run(
        self,
        intake: Intake,
        owed: Callable[[], None],
        stop: threading.Event,
        held_back: Callable[[], bool] = lambda: False,
    ) -> None:
        """Works the journal off until ``stop``; finishes the batch at hand. ``owed`` is called whenever writes may be owed; while
        ``held_back`` nothing is decided, and what comes in waits in the journal."""
        while not stop.is_set():
            intake.arrived.clear()
            settled = 0 if held_back() else self.work_off(BATCH)
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
            endings = [parking(entry, failure) for entry in book.open(conn)]
            return book.close(conn, len(endings), endings, self._clock())

        self._tell(self._ledger.repeated(park, Overtaken), ())
        return 1

    def _decide(self, book: Book) -> int:
        policy = self._policies.current

        def settle_all(conn: Connection) -> tuple[Batch, Closed]:
            now = self._clock()
            if book.merges:
                shares.hold_all(
                    conn
                )  # those that went may be on the partitions of other workers, which are at them just now
            entries = succession.alone(book.open(conn))
            if entries and entries[0].event.continues:
                succession.take_over(conn, entries[0].event, policy, now)
            directory = self._people(conn, policy)
            named = [(e.seq, ref_of(e.event.system, e.event.entity, e.event.record_id), e.event) for e in entries]
            waiting = echoed.unechoed(conn, {ref for _, ref, _ in named})
            echoes = echoes_among(named, waiting)
            batch = Batch(conn, WorkingSet(conn, entries, policy, echoes), echoes, waiting)
            taken = take(batch, entries, policy, directory, now)
            with at_once(conn):
                self._settle(batch, policy, directory, now)
                batch.save(book, now)
            if batch.person_changed:
                there = self._people(conn, policy).there_again(directory)
                holding.hurry(conn, pools_served_by(policy, there), now, there)
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

    def _settle(self, batch: Batch, policy: Policy, directory: Directory, now: datetime) -> None:
        working = self._open(batch, policy, directory, now)
        open_work = OpenWork(batch.work, self._attendance[2]) if self._attendance and counting(policy) else None
        for entry, planned in batch.planned:
            if open_work is not None:
                open_work.before(entry)
            try:
                settled = settle(planned, working, policy, directory, now)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one event must not stop the others
                batch.park(entry, error)
                continue
            if settled.decision is not None:
                shown = gather(now, entry.event, *batch.shown[entry.seq], working.seen.values())
                batch.evidence[settled.decision.decision_id] = shown
            batch.follow(entry, planned, settled, policy, directory, now)
            batch.note(entry, planned, settled)
            if open_work is not None:
                open_work.after(entry)
        freed = {entry.person.removeprefix(POOL) for entry in working.entries if entry.what == "refused"}
        if open_work is not None:
            freed |= open_work.freed()
        if freed:
            holding.hurry(batch.conn, pools_served_by(policy, freed), now)
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
        moved = {turn for _, one in batch.planned for turn in (one.given_back.by, one.taken_again.by) if turn}
        working.returned = pools.returned(batch.conn, moved)
        batch.opened, batch.pools = opened, working
        return working

    def _watch(self, batch: Batch, policy: Policy) -> None:
        """Tells how far from their shares the members of the pools are that gave leads, and says so once when that is too far."""
        for (name, kind), rotation in batch.opened.rotations.items():
            pool = policy.pools.get(name)
            if pool is None or rotation.seq == batch.opened.began.get((name, kind), 0):
                continue
            worst = rotation.deviation()
            bound = pool.bound
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
                    see=f"`fingerpost pools show '{name}'`: who is owed how much, and who is away",
                )

    def _tell(self, closed: Closed, made: Sequence[tuple[Entry, Decision]]) -> None:
        for entry, decision in made:
            self._feed.tell("decided", 1, (entry, decision))
        for reason in closed.parked:
            self._feed.tell("parked", 1, reason)
        self._feed.tell("settled", closed.settled)


def _no_person_twice(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The front part in which no e-mail address becomes a lead a second time. ``take`` would end the batch there anyhow,
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
