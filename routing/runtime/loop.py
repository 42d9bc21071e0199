"""The loop: reads a batch of events, decides, and settles everything they cause in one ledger transaction.

Both runtimes call ``Loop.process`` with a batch. Whatever the size of the batches, the decisions are the same: a batch is cut
before an event whose decision could depend on one still being made.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from routing.core.directory import Directory
from routing.core.keys import address_of, keys
from routing.core.merge import ERASED
from routing.core.model import Decision, PoolState, Record, Timer, Write
from routing.core.plan import Plan, plan
from routing.core.settle import Settled, settle
from routing.ledger import decisions, journal, mirror, outbox, timers
from routing.ledger.engine import Ledger
from routing.ledger.journal import Ending, Entry
from routing.ledger.outbox import Unechoed
from routing.ledger.schema import ref_of
from routing.runtime.clock import Clock
from routing.runtime.echo import echoes_among
from routing.runtime.feed import Feed
from routing.runtime.intake import Intake
from routing.runtime.policies import Policies
from routing.runtime.working_set import WorkingSet
from rules.policy import Policy

log = structlog.get_logger()

BATCH = 500
FLOOD = 50
GATHER_SECONDS = 0.02
# The journal is looked at this often even when nobody said that something arrived: the command line writes to it too.
LOOK_SECONDS = 0.5
MIRRORED = ("created", "updated", "deleted", "restored", "merged", "snapshot", "gap")


class Batch:
    """What a batch has come to so far; written down by ``commit`` in the transaction that it was read in."""

    def __init__(self, conn: Connection, work: WorkingSet, echoes: dict[int, list[Unechoed]]) -> None:
        self.conn, self.work, self.echoes = conn, work, echoes
        self.endings: list[Ending] = []
        self.planned: list[tuple[Entry, Plan]] = []
        self.decisions: list[tuple[Entry, Decision]] = []
        self.writes: list[tuple[Write, int, int]] = []
        self.timers: list[Timer] = []
        self.off_hold: set[str] = set()
        self.pools: dict[str, PoolState] = {}
        self.heard: dict[int, Unechoed] = {}
        self.undecided: set[str] = set()  # refs and e-mail keys of leads whose decision is still being made
        self.person_changed = False

    def end(self, entry: Entry, state: str, reason: str = "") -> None:
        self.endings.append(Ending(entry.seq, state, reason))

    def commit(self, now: datetime) -> None:
        self.work.save(self.conn)
        decisions.save_pools(self.conn, self.pools.values())
        decisions.save(self.conn, [(entry.seq, made) for entry, made in self.decisions])
        outbox.add(self.conn, self.writes, now)
        outbox.save_unechoed(self.conn, list(self.heard.values()))
        # One timer a record: a tick that comes late must not leave it with two, which would both go on for ever.
        waiting = {ref_of(timer.system, timer.entity, timer.record_id) for timer in self.timers}
        timers.clear(self.conn, self.off_hold | waiting)
        timers.save(self.conn, self.timers)
        journal.settle(self.conn, self.endings, now)


class Loop:
    """Decides. One instance a process; ``process`` is called by one thread at a time."""

    def __init__(self, ledger: Ledger, policies: Policies, clock: Clock, feed: Feed) -> None:
        self._ledger, self._policies, self._clock, self._feed = ledger, policies, clock, feed
        self._directory: tuple[Policy, Directory] | None = None

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

    def work_off(self, limit: int) -> int:
        """Settles one batch from the journal. Returns how many events were settled, 0 when nothing waits."""
        with self._ledger.read() as conn:
            entries = journal.next_entries(conn, "accepted", limit)
        return self.process(_no_person_twice(entries)) if entries else 0

    def process(self, entries: Sequence[Entry]) -> int:
        """Settles the longest front part of ``entries`` that can be decided together, in one transaction.

        Returns its length, at least 1. Raises only when the ledger fails; then nothing was settled.
        """
        try:
            return self._process(entries)
        except (IntegrityError, DataError) as error:  # one row that the ledger refuses, not the ledger being unwell
            failure: Exception = error
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - told below, with the event whose fault it is
            failure = error
        if len(entries) > 1:
            return self.process(entries[: len(entries) // 2])
        with self._ledger.write() as conn:
            journal.settle(conn, [self._parking(entries[0], failure)], self._clock())
        self._feed.tell("parked", 1, "an event could not be decided")
        self._feed.tell("settled", 1)
        return 1

    def _process(self, entries: Sequence[Entry]) -> int:
        policy = self._policies.current
        now = self._clock()
        with self._ledger.write() as conn:
            directory = self._people(conn, policy)
            named = [(e.seq, ref_of(e.event.system, e.event.entity, e.event.record_id), e.event) for e in entries]
            echoes = echoes_among(named, outbox.unechoed(conn, {ref for _, ref, _ in named}))
            batch = Batch(conn, WorkingSet(conn, entries, policy, echoes), echoes)
            taken = 0
            for entry in entries:
                if batch.person_changed or not self._take(batch, entry, policy, directory, now):
                    break
                taken += 1
            self._settle(batch, policy, directory, now)
            batch.commit(now)
        if batch.person_changed:
            self._directory = None
        self._tell(batch, taken)
        return taken

    def _people(self, conn: Connection, policy: Policy) -> Directory:
        known = self._directory  # another thread may take it away at any moment
        if known is None or known[0] is not policy:
            known = self._directory = (policy, Directory.build(policy, mirror.people(conn)))
        return known[1]

    def forget_people(self) -> None:
        """The people in the mirror were changed by somebody else: ask anew."""
        self._directory = None

    def _take(self, batch: Batch, entry: Entry, policy: Policy, directory: Directory, now: datetime) -> bool:
        """Takes one event into the batch; False when it must wait for the batch before it to be settled."""
        event = entry.event
        names: set[str] = set()
        if event.entity == "lead":
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
            journal.erase(batch.conn, name, entry.seq)
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
        view = batch.work.view(entry, record)
        batch.planned.append((entry, plan(event, view, policy, directory, now)))

    def _tick(self, batch: Batch, entry: Entry, policy: Policy, directory: Directory, now: datetime) -> None:
        event = entry.event
        record = batch.work.records.get(ref_of(event.system, event.entity, event.record_id))
        if record is None or record.deleted or not record.on_hold:
            batch.end(entry, "skipped", "the record no longer waits")
            return
        batch.planned.append((entry, plan(event, batch.work.view(entry, record), policy, directory, now)))

    def _erase(self, batch: Batch, entry: Entry, policy: Policy) -> None:
        event, conn = entry.event, batch.conn
        name = ref_of(event.system, event.entity, event.record_id)
        known = batch.work.records.get(name)
        same_person = mirror.find(conn, keys(known, policy)) if known is not None else {}
        # A stub stays in the mirror: an older change of the record that arrives only now must not bring the person back.
        batch.work.apply(entry)
        journal.erase(conn, name, entry.seq)
        journal.erase_unread(conn, event.system, event.record_id)
        decisions.erase(conn, name)
        decisions.erase_borrowed(conn, {ref for found in same_person.values() for ref in found} - {name})
        outbox.erase(conn, name)
        batch.off_hold.add(name)
        batch.person_changed = event.entity == "person"
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
            pools |= settled.pools
            batch.pools |= settled.pools
            self._note(batch, entry, settled)

    def _note(self, batch: Batch, entry: Entry, settled: Settled) -> None:
        event = entry.event
        name = ref_of(event.system, event.entity, event.record_id)
        made = settled.decision
        batch.timers.extend(settled.timers)
        batch.writes.extend((write, _ms(event.occurred_at), entry.accepted_ms) for write in settled.writes)
        record = batch.work.records.get(name)
        if record is not None and (made is None or made.outcome != "none" or event.kind == "tick"):
            self._remember(batch, name, record, settled)
        if made is not None:
            batch.decisions.append((entry, made))
        if settled.skipped:
            batch.end(entry, "skipped", settled.skipped)
        else:
            batch.end(entry, "applied")

    @staticmethod
    def _remember(batch: Batch, name: str, record: Record, settled: Settled) -> None:
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
            batch.work.remember(after)
        if held_before and not settled.on_hold:
            batch.off_hold.add(name)

    @staticmethod
    def _parking(entry: Entry, error: Exception) -> Ending:
        """An event that our own code cannot decide is kept for the operator; the others go on."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"deciding failed: {type(error).__name__} at {where.filename.rsplit('/', 1)[-1]}:{where.lineno}"
        log.error("an event is parked", event_id=entry.event.event_id, reason=reason, exc_info=error)
        return Ending(entry.seq, "parked", f"{reason}. Please report it; `fingerpost parked retry` tries again.")

    def _tell(self, batch: Batch, taken: int) -> None:
        for entry, made in batch.decisions:
            self._feed.tell("decided", 1, (entry, made))
        for ending in batch.endings:
            if ending.state == "parked":
                self._feed.tell("parked", 1, ending.reason)
        self._feed.tell("settled", taken)


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
    """By what another event of the batch could meet this lead: its ref and its e-mail address."""
    event = entry.event
    email = {f"{kind}:{value}" for kind, value in work.wanted(entry) if kind == "email"}
    return {ref_of(event.system, "lead", event.record_id)} | email


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
