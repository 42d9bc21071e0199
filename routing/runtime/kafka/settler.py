"""The settling half of a worker: one thread that turns what was read from the log into decisions in the ledger.

It knows nothing of Faust. Messages are handed to it with ``offer``; partitions come with ``claim`` and go with ``let_go``. What it
holds in memory may be lost at any moment: the ledger knows how far each partition was settled, and reading starts there again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Protocol

import structlog
from msgspec import Struct

from routing.ledger import journal, shares
from routing.ledger.engine import Ledger
from routing.ledger.shares import Fenced, Share
from routing.runtime.bound import Bound
from routing.runtime.clock import Clock, monotonic
from routing.runtime.feed import Feed
from routing.runtime.kafka.circuit import Circuit
from routing.runtime.loop import Loop
from routing.runtime.received import Gap, Received

log = structlog.get_logger()

BATCH = 500
LEAST = 16
FLOOD = 50
GATHER_SECONDS = 0.02
# The journal is looked at this often: ticks, events read back and retries come from other processes, which cannot call us.
LOOK_SECONDS = 0.05
# So much may wait in memory before no more is taken from Kafka.
MOST_WAITING = 2 * BATCH

Decode = Callable[[int, int, bytes | None], Received]  # partition, offset, value


class Fill(Protocol):
    """Reads a range of a partition again; what is not there any more is stood in for."""

    def __call__(self, partition: int, start: int, end: int) -> Sequence[Received]: ...


class Progress(Struct, frozen=True):
    """How far a partition that is held has been settled."""

    next_offset: int
    since: float  # of the clock that never runs backwards: when it moved last


class Settler:
    """Settles what it is offered, and the journal's rows of its partitions. ``run`` is the only one to settle; all else may
    be called from any thread."""

    def __init__(
        self,
        topic: str,
        holder: str,
        ledger: Ledger,
        loop: Loop,
        decode: Decode,
        fill: Fill,
        clock: Clock,
        feed: Feed,
        *,
        bound: Bound,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """``holder`` names this process in the ledger; ``settled`` is called after each batch."""
        self.topic, self._holder, self._of, self._log_id = topic, holder, 0, ""
        self._ledger, self._loop, self._decode, self._fill = ledger, loop, decode, fill
        self._clock, self._bound, self._settled = clock, bound, settled
        self.circuit = Circuit(feed)
        self._lock = threading.Lock()
        self._shares: dict[int, Share] = {}
        self._progress: dict[int, Progress] = {}
        self._waiting: deque[Received] = deque()
        self._rooms: list[Future[None]] = []
        self._arrived = threading.Event()
        self._size = BATCH
        self.gaps = 0
        self.lost = 0
        self.idle = threading.Event()  # set while ``run`` is not running: nothing is being settled
        self.idle.set()

    # -- partitions come and go -------------------------------------------------------------------------------------------

    def claim(self, partitions: Collection[int], of: int, log_id: str = "") -> Mapping[int, int]:
        """Takes partitions over, of all that the topic has; those held and not named are let go. Returns where to read on: a topic that
        was made anew (its ``log_id`` is another one than was settled) from its start.

        Waits for a transaction of theirs that is being committed. Raises SQLAlchemyError.
        """
        with self._ledger.write() as conn:
            claimed = shares.claim(conn, self.topic, partitions, self._holder, self._clock(), log_id)
        if anew := sorted(p for p, one in claimed.items() if one.anew):
            log.critical(
                "the topic was made anew: it is read from its start",
                topic=self.topic,
                partitions=anew,
                advice="what waited in the topic of before and was not settled is not there; if nobody deleted it, the brokers lost it",
            )
        now = monotonic()
        with self._lock:
            self._shares, self._of, self._log_id = claimed, of, log_id
            self._progress = {p: Progress(share.next_offset, now) for p, share in claimed.items()}
            self._waiting = deque(one for one in self._waiting if one.partition in claimed)
        log.info("partitions are held", topic=self.topic, partitions=sorted(claimed))
        return {p: share.next_offset for p, share in claimed.items()}

    def rewind(self, partition: int, offset: int) -> None:
        """The log is shorter than what was settled: reads on from ``offset``. Events settled before are known by their ids."""
        with self._ledger.write() as conn:
            shares.check(conn, [self._shares[partition]])
            shares.advance(conn, self.topic, {partition: offset}, self._clock())
        with self._lock:
            self._progress[partition] = Progress(offset, monotonic())

    def cleared(self, partition: int, start: int) -> None:
        """The log begins at ``start`` only, behind what was settled: what stood before is told as lost, whether more comes or not.
        Blocks; raises KafkaError."""
        with self._lock:
            held = dict(self._shares)
            expected = self._progress[partition].next_offset if partition in self._progress else start
        if expected < start:
            self._mend(Gap(partition, expected, start), held)
            self._arrived.set()

    def let_go(self, partitions: Collection[int]) -> None:
        """Gives partitions up: what waits of them is dropped, a transaction under way may end."""
        gone = set(partitions)
        with self._lock:
            for partition in gone:
                self._shares.pop(partition, None)
                self._progress.pop(partition, None)
            self._waiting = deque(one for one in self._waiting if one.partition not in gone)
        self._make_room()

    def progress(self) -> Mapping[int, Progress]:
        """How far each partition that is held has been settled."""
        with self._lock:
            return dict(self._progress)

    def log_id(self) -> str:
        """Kafka's id of the topic when partitions of it were claimed last, "" when they never were, or it is not known."""
        with self._lock:
            return self._log_id

    def settled_by_all(self, log_id: str) -> dict[int, int]:
        """The next offset in that log of every partition that anybody ever held, from the ledger. Raises SQLAlchemyError."""
        with self._ledger.read() as conn:
            found = shares.positions(conn, self.topic)
        return {partition: one.next_offset for partition, one in found.items() if one.counts_in(log_id)}

    # -- what was read from the log -----------------------------------------------------------------------------------------

    def offer(self, partition: int, messages: Iterable[tuple[int, bytes | None]]) -> Future[None]:
        """Hands over messages (offset, value) of a partition, in order. The future is done once more may be offered."""
        found = [self._decode(partition, offset, value) for offset, value in messages]
        room: Future[None] = Future()
        with self._lock:
            if partition in self._shares:
                self._waiting.extend(found)
            if len(self._waiting) >= MOST_WAITING:
                self._rooms.append(room)
                self._arrived.set()
                return room
        self._arrived.set()
        room.set_result(None)
        return room

    def _make_room(self) -> None:
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                return
            rooms, self._rooms = self._rooms, []
        for room in rooms:
            if room.set_running_or_notify_cancel():
                room.set_result(None)

    # -- settling ---------------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Settles until ``stop``; finishes the batch at hand. Raises when the ledger fails; may be called again then."""
        self.idle.clear()
        try:
            while not stop.is_set():
                self._arrived.clear()
                settled = 0 if self._bound.full() else self._settle_waiting() + self._work_off()
                if settled:
                    self._settled()
                    self._make_room()
                else:
                    self._arrived.wait(LOOK_SECONDS)
                if settled < FLOOD:
                    # A transaction costs much the same for one event as for ten: let a few gather.
                    stop.wait(GATHER_SECONDS)
        finally:
            self.idle.set()

    def _settle_waiting(self) -> int:
        """One transaction with what waits at the front. Returns how many messages are done with."""
        with self._lock:
            held = dict(self._shares)
            aside = self.circuit.aside() & held.keys()
            if aside:
                # What was read of them is read again when their time has come.
                self._waiting = deque(one for one in self._waiting if one.partition not in aside)
            batch = list(islice(self._waiting, self._size))
        if not batch:
            return 0
        try:
            done = self._loop.settle_received(batch, held)
        except Fenced as fenced:
            self._fenced(fenced, held)
            return 0
        except Gap as gap:
            self._mend(gap, held)
            return 0
        # What is loaded for events behind a cut is loaded again: where cuts are many, batches are small.
        self._size = min(BATCH, 2 * self._size if done == len(batch) else max(LEAST, 2 * done))
        self._advance(batch[:done], held)
        self.circuit.watch(batch[:done], self._parked)
        return done

    def _parked(self, event_ids: Sequence[str]) -> set[str]:
        with self._ledger.read() as conn:
            return journal.known(conn, event_ids, "parked")

    def _advance(self, done: Sequence[Received], held: Mapping[int, Share]) -> None:
        now = monotonic()
        reached = {one.partition: one.offset + 1 for one in done}
        with self._lock:
            for one in done:
                # Partitions may have been let go meanwhile, and what waited of them was dropped.
                if self._waiting and self._waiting[0] is one:
                    self._waiting.popleft()
            for partition, offset in reached.items():
                known = self._progress.get(partition)
                # One that went and came back meanwhile was claimed with what this batch had settled.
                still = known is not None and self._shares.get(partition) is held.get(partition)
                if known is not None and still and offset > known.next_offset:
                    self._progress[partition] = Progress(offset, now)

    def _fenced(self, fenced: Fenced, held: Mapping[int, Share]) -> None:
        """Somebody else has them now, which is how it should be after a rebalance; this process will hear of it."""
        lost = [p for p in fenced.partitions if self._shares.get(p) is held.get(p)]
        log.info("partitions were taken over by another worker", topic=self.topic, partitions=sorted(lost))
        self.let_go(lost)

    def _mend(self, gap: Gap, held: Mapping[int, Share]) -> None:
        """Reads what is missing, and puts it in front."""
        self.gaps += 1
        log.error("a gap in the log is being filled", partition=gap.partition, expected=gap.expected, found=gap.found)
        found = self._fill(gap.partition, gap.expected, gap.found)
        for one in found:
            if one.first is not None and one.event is not None:
                self.lost += one.offset - one.first + 1
        with self._lock:
            if self._shares.get(gap.partition) is held.get(gap.partition):
                self._waiting.extendleft(reversed(found))

    def _work_off(self) -> int:
        """The journal's own rows of our partitions: ticks, what was read back, what the operator wants tried again."""
        with self._lock:
            held = {p: share for p, share in self._shares.items() if p not in self.circuit.aside()}
        if not held:
            return 0
        try:
            return self._loop.work_off(BATCH, held, self._of)
        except Fenced as fenced:
            self._fenced(fenced, held)
            return 0
