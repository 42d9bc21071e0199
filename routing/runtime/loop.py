"""The loop: reads a batch of events, decides, and settles everything they cause in one ledger transaction.

Both runtimes call it with a batch: of the journal, or of the shared log. Whatever the size of the batches, the decisions are the same: a batch is cut
before an event whose decision could depend on one still being made.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from routing.core.directory import Directory
from routing.core.evidence import gather
from routing.core.keys import address_of, keys
from routing.core.merge import ERASED
from routing.core.model import Decision
from routing.core.plan import plan
from routing.core.settle import settle
from routing.ledger import decisions, evidence, journal, mirror, outbox
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
MIRRORED = ("created", "updated", "deleted", "restored", "merged", "snapshot", "gap")


class Loop:
    """Decides. One instance a process, used by one thread at a time."""

    def __init__(self, ledger: Ledger, policies: Policies, clock: Clock, feed: Feed) -> None:
        self._ledger, self._policies, self._clock, self._feed = ledger, policies, clock, feed
        self._directory: tuple[Policy, bytes, Directory] | None = None

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
        return self._process(LogBook(received, shares))

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
        return self._process(JournalBook(_no_person_twice(entries), shares)) if entries else 0

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

        batch, closed = self._ledger.repeated(settle_all, Overtaken)
        self._tell(closed, batch.decisions)
        return closed.front

    def _people(self, conn: Connection, policy: Policy) -> Directory:
        version = mirror.people_version(conn)
        if self._directory is None or self._directory[:2] != (policy, version):
            self._directory = policy, version, Directory.build(policy, mirror.people(conn))
        return self._directory[2]

    def _take(self, batch: Batch, entry: Entry, policy: Policy, directory: Directory, now: datetime) -> bool:
        """Takes one event into the batch; False when it must wait for the batch before it to be settled."""
        event = entry.event
        names: set[str] = set()
        if event.entity in policy.ladders:
            names = _names(batch.work, entry)
            if names & batch.undecided:
                return False
        try:
            if event.kind == "erased":
                if batch.planned or batch.endings:
                    return False  # what the batch has come to so far must be written down to be erased
                self._erase(batch, entry, policy)
            elif event.kind == "tick":
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
            planned = batch.planned[-1][1]
            held = batch.work.records.get(ref_of(event.system, event.entity, event.record_id))
            # Who waits may stop waiting, whatever the event: the next one about them must see whether they did.
            if planned.decides or planned.on_hold or (held is not None and held.on_hold):
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
        if event.kind in ("created", "updated", "restored") and not news:
            batch.end(entry, "skipped", "nothing in it is newer than what is known")
            return
        view = batch.work.view(entry, record, before)
        batch.plan(entry, event, view, plan(event, view, policy, directory, now))

    def _tick(self, batch: Batch, entry: Entry, policy: Policy, directory: Directory, now: datetime) -> None:
        event = entry.event
        record = batch.work.records.get(ref_of(event.system, event.entity, event.record_id))
        if record is None or record.deleted or not record.on_hold:
            batch.end(entry, "skipped", "the record no longer waits")
            return
        view = batch.work.view(entry, record)
        batch.plan(entry, event, view, plan(event, view, policy, directory, now))

    def _erase(self, batch: Batch, entry: Entry, policy: Policy) -> None:
        event, conn = entry.event, batch.conn
        name = ref_of(event.system, event.entity, event.record_id)
        known = batch.work.records.get(name)
        same_person = mirror.find(conn, keys(known, policy)) if known is not None else {}
        # A stub stays in the mirror: an older change of the record that arrives only now must not bring the person back.
        batch.work.apply(entry)
        batch.erased.append((event, entry.seq))
        decisions.erase(conn, name)
        # Also those whose e-mail address was the same once.
        borrowed = evidence.erase(conn, name, {ref for found in same_person.values() for ref in found})
        decisions.erase_borrowed(conn, borrowed)
        outbox.erase(conn, name)
        batch.off_hold.add(name)
        if event.entity == "person":
            batch.person_changed = True
            evidence.erase_person(conn, event.system, event.record_id)
        batch.end(entry, "applied", "the person was erased at their request")

    def _settle(self, batch: Batch, policy: Policy, directory: Directory, now: datetime) -> None:
        named = {pool for _, planned in batch.planned for pool in planned.pools}
        pools = decisions.load_pools(batch.conn, named)
        for entry, planned in batch.planned:
            try:
                settled = settle(planned, pools, policy, directory, now)
            except Exception as error:  # noqa: BLE001 - as above
                batch.endings.append(self._parking(entry, error))
                continue
            if settled.decision is not None:
                shown = gather(now, entry.event, *batch.shown[entry.seq], [pools[name] for name in planned.pools])
                batch.evidence.append((settled.decision.decision_id, shown))
            pools |= settled.pools
            batch.pools |= settled.pools
            batch.note(entry, settled)
        new = evidence.save(batch.conn, batch.evidence, directory.roster, directory.roster_digest, now)
        if new and self._directory is not None and self._directory[1] != mirror.people_version(batch.conn):
            raise Overtaken

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
    email = {f"{kind}:{value}" for kind, value in work.wanted(entry) if kind == "email"}
    return {ref_of(event.system, event.entity, event.record_id)} | email
