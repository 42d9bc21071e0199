"""The same with workers that share a log."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import rule

from routing.core.model import ChangeEvent
from routing.ledger import shares
from routing.ledger.schema import ref_of, slot_of, to_ms
from routing.runtime.received import Gap, Received
from tests.property.simulation import SYSTEM, WORK, Simulation, Worker

TOPIC, PARTITIONS = "changes", 4


class SharedLog(Simulation):
    """Two workers on a log of four partitions. They lose and gain partitions, and learn of it only when the ledger tells them."""

    workers_wanted = 2

    def __init__(self) -> None:
        self.log: dict[int, list[tuple[ChangeEvent, int]]] = {p: [] for p in range(PARTITIONS)}
        self.holders: dict[int, Worker] = {}
        self.misses = 0  # so many messages the next reader does not get
        super().__init__()

    def born(self) -> None:
        super().born()
        for partition in range(PARTITIONS):
            self._claim(partition, partition % 2)

    def _claim(self, partition: int, worker: int) -> None:
        """The group gives a partition to a worker; whoever had it is not told."""
        with self.ledger.write() as conn:
            claimed = shares.claim(conn, TOPIC, [partition], f"worker {worker}", self.clock())
        self.holders[partition] = self.workers[worker]
        self.workers[worker].held |= claimed
        self.workers[worker].reads[partition] = claimed[partition].next_offset

    def intake(self, events: Sequence[ChangeEvent]) -> None:
        for event in events:
            partition = slot_of(ref_of(event.system, event.entity, event.record_id)) % PARTITIONS
            self.log[partition].append((event, to_ms(self.clock())))

    def check_written_down(self, known: set[str]) -> None:
        """What the log has acknowledged is in the journal once its partition was settled that far."""
        for partition, share in self._positions().items():
            settled = {event.event_id for event, _ in self.log[partition][: share.next_offset]}
            assert settled <= known, "an event of the log was passed over"

    def _positions(self) -> dict[int, shares.Share]:
        with self.ledger.read() as conn:
            return shares.positions(conn, TOPIC)

    @rule(partition=st.integers(0, PARTITIONS - 1), worker=st.integers(0, 1))
    def rebalance(self, partition: int, worker: int) -> None:
        self.attempt(lambda: self._claim(partition, worker))

    @rule(system=SYSTEM)
    def what_was_heard_goes_to_the_other_worker_before_it_is_settled(self, system: str) -> None:
        """And whoever had it, and read it, settles on."""
        self.attempt(lambda: self._hear(system, self.crms[system].coming(range(10))))
        for partition, log in self.log.items():
            if self._positions()[partition].next_offset < len(log):
                old = next(n for n, worker in enumerate(self.workers) if worker is self.holders[partition])
                self.attempt(lambda partition=partition, old=old: self._claim(partition, 1 - old))
                self.attempt(lambda old=old: self._settle(self.workers[old], 5))

    @rule(partition=st.integers(0, PARTITIONS - 1), worker=st.integers(0, 1), by=st.integers(1, 4))
    def a_worker_goes_back(self, partition: int, worker: int, by: int) -> None:
        reads = self.workers[worker].reads
        if partition in reads:
            reads[partition] = max(0, reads[partition] - by)

    @rule(by=st.integers(1, 2), acts=WORK)
    def work_with_messages_missing(self, by: int, acts: list[tuple[str, int]]) -> None:
        """A worker's consumer passes some over."""
        self.misses = by
        self._work(acts)

    @rule(worker=st.integers(0, 1))
    def a_worker_learns_of_the_policy(self, worker: int) -> None:
        self.workers[worker].policies.current = self.live

    def decide(self, size: int) -> None:
        self._settle(self.workers[size % 2], size)

    def _settle(self, worker: Worker, size: int) -> int:
        """As a worker does: what the log has, and what came past it. Returns how many were settled."""
        settled = 0
        batch = self._read(worker, size)
        try:
            while batch:
                try:
                    n = worker.loop.settle_received(batch, worker.held)
                except Gap as gap:
                    missing = range(gap.expected, gap.found)
                    batch = [self._message(gap.partition, offset) for offset in missing] + batch
                    continue
                assert n > 0
                assert all(self.holders[one.partition] is worker for one in batch[:n]), "a lost partition was settled"
                settled += n
                batch = batch[n:]
            past_the_log = worker.loop.work_off(size, worker.held, PARTITIONS)
            assert not past_the_log or all(self.holders[partition] is worker for partition in worker.held)
            return settled + past_the_log
        except shares.Fenced as fenced:
            for partition in fenced.partitions:
                worker.held.pop(partition, None)
                worker.reads.pop(partition, None)
            return settled

    def _read(self, worker: Worker, size: int) -> list[Received]:
        """Up to ``size`` messages of each partition, by turns."""
        found: list[tuple[int, int, int]] = []
        for partition, start in sorted(worker.reads.items()):
            if start + self.misses < len(self.log[partition]):
                start, self.misses = start + self.misses, 0
            end = min(start + size, len(self.log[partition]))
            found += [(offset - start, partition, offset) for offset in range(start, end)]
            worker.reads[partition] = end
        return [self._message(partition, offset) for _, partition, offset in sorted(found)]

    def _message(self, partition: int, offset: int) -> Received:
        event, accepted_ms = self.log[partition][offset]
        return Received(partition, offset, event, accepted_ms)

    def decide_all(self) -> None:
        for partition in range(PARTITIONS):
            self._claim(partition, partition % 2)
        for worker in self.workers:
            while self._settle(worker, 100):
                pass

    def _at_rest(self) -> bool:
        reached = {partition: share.next_offset for partition, share in self._positions().items()}
        return reached == {partition: len(log) for partition, log in self.log.items()} and super()._at_rest()

    def check_all(self) -> None:
        super().check_all()
        assert self.rows("SELECT count(*) FROM announcement") == self.rows("SELECT count(*) FROM decision")
