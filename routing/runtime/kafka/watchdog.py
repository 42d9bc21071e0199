"""The watchdog: a consumer that silently stopped looks alive. Lag without progress ends the process, so that it is started anew.

The end of the log is asked from the brokers by a client of its own: what the consumer believes is just what is in doubt.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import ExitStack
from typing import Any

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from routing.runtime.clock import monotonic
from routing.runtime.kafka import topics
from routing.runtime.kafka.client import CONNECT_SECONDS, reason
from routing.runtime.kafka.settler import Progress

log = structlog.get_logger()

STUCK_SECONDS = 60.0
# A partition alone, while others move: they may have a backlog that is read first.
ALONE = 10
LOOK_SECONDS = 2.0
# A leader that is new may for a moment not know how far its log is committed.
SHORT_SECONDS = 10.0


class Stuck(Exception):
    """Events wait, and nothing has moved for a minute, or the log is another one than we read. The process ends; its supervisor starts
    it anew."""


class Watchdog:
    """Measures the lag of the partitions that are held, and bites when one of them does not move, or when the log is not the one that
    was read: what is new in it would be taken for settled."""

    def __init__(
        self,
        topic: str,
        options: Callable[[], Mapping[str, Any]],
        progress: Callable[[], Mapping[int, Progress]],
        excused: Callable[[], Set[int] | None],
        settled: Callable[[str], Mapping[int, int]],
        log_id: Callable[[], str],
        stuck_seconds: float = STUCK_SECONDS,
    ) -> None:
        """``excused`` names the partitions that may stand still (they were set aside), None for all of them (the ledger is
        lost, or deciding pauses). ``settled`` asks the ledger for the next offset of each partition in a log, whoever holds it;
        ``log_id`` says which log it was when partitions were claimed last, "" when that is not known."""
        self._topic, self._options, self._progress, self._excused = topic, options, progress, excused
        self._settled, self._log_id, self._stuck_seconds = settled, log_id, stuck_seconds
        self._idle: tuple[Mapping[int, int], float] | None = (
            None  # what was settled when we last saw it move, holding nothing
        )
        self._excused_at: dict[int, float] = {}
        self._lost_at: float | None = None
        self._short_at: float | None = None
        self.unreachable = ""  # why the brokers cannot be asked, "" while they can
        self.lag: Mapping[int, int] = {}  # of each partition that is held; none while the brokers cannot be asked

    def lost_seconds(self) -> float:
        """For how long the brokers could not be asked, or the topic has not been there; 0 while all is well."""
        lost_at = self._lost_at
        return 0.0 if lost_at is None else monotonic() - lost_at

    def run(self, stop: threading.Event) -> None:
        """Looks until ``stop``. Raises Stuck. While the brokers do not answer nothing is known, and nothing is done."""
        while not stop.is_set():
            try:
                self._watch(stop)
            except (KafkaError, OSError) as error:
                log.warning("the brokers cannot be asked how far the log is", error=str(error))
                self._lost_at = monotonic() if self._lost_at is None else self._lost_at
                self.unreachable, self.lag = f"the brokers cannot be asked how far the log is: {reason(error)}", {}
                stop.wait(LOOK_SECONDS)

    def _watch(self, stop: threading.Event) -> None:
        with ExitStack() as clients:
            consumer = KafkaConsumer(**self._options(), group_id=None, enable_auto_commit=False)
            clients.callback(consumer.close, autocommit=False)
            admin = KafkaAdminClient(**self._options())
            clients.callback(admin.close)
            while not stop.wait(LOOK_SECONDS):
                # In this order: what is settled lies before the end, and whose partitions are held is what was claimed.
                held, ours = self._progress(), self._log_id()
                there = topics.log_id(admin, self._topic)
                every = held or consumer.partitions_for_topic(self._topic)
                ends = self._ends(consumer, every) if every else {}
                missing = (
                    f"the topic {self._topic} is not there: run `fingerpost topics create`, or correct the settings"
                )
                self._lost_at = None if every else self._lost_at or monotonic()
                self.unreachable = "" if every else missing
                self.same_log(held, ends, ours, there, monotonic())
                if held:
                    self._idle = None
                    self.look(ends, monotonic())
                else:
                    self.look_on(ends, there, monotonic())

    def _ends(self, consumer: KafkaConsumer, partitions: Iterable[int]) -> dict[int, int]:
        found = consumer.end_offsets([TopicPartition(self._topic, p) for p in partitions], int(CONNECT_SECONDS * 1000))
        return {here.partition: int(end) for here, end in found.items()}

    def same_log(
        self, held: Mapping[int, Progress], ends: Mapping[int, int], ours: str, there: str, now: float
    ) -> None:
        """Whether the topic is the one that partitions were claimed of, and still holds what was settled of those ``held``. Raises
        Stuck."""
        if ours and there and ours != there:
            raise Stuck(
                f"The topic {self._topic} was made anew; the process ends to be started anew, and reads it from its start."
            )
        short = sorted(p for p, one in held.items() if ends.get(p, one.next_offset) < one.next_offset)
        self._short_at = None if not short else now if self._short_at is None else self._short_at
        if self._short_at is not None and now - self._short_at >= SHORT_SECONDS:
            raise Stuck(
                f"The topic {self._topic} ends before what was settled of it, in partition(s) {', '.join(map(str, short))}: the brokers "
                "lost data, or it was made anew. The process ends to be started anew, and reads it from its start."
            )

    def look_on(self, ends: Mapping[int, int], log_id: str, now: float) -> None:
        """For a worker that holds nothing, as one more than there are partitions does. Raises Stuck when events wait all the same
        and nobody settles any: then it may be a member of the group in its own belief only."""
        self.lag = {}
        settled = self._settled(log_id)
        waiting = sum(max(0, end - settled.get(partition, 0)) for partition, end in ends.items())
        if self._idle is None or self._idle[0] != settled or not waiting or self._excused() is None:
            self._idle = settled, now
        elif now - self._idle[1] >= self._stuck_seconds:
            raise Stuck(
                f"{waiting} event(s) wait, nobody has settled any for {now - self._idle[1]:.0f} s, and this worker was given no "
                "partition. It may have left the group unnoticed; the process ends to be started anew."
            )

    def look(self, ends: Mapping[int, int], now: float) -> None:
        """Compares the ends of the log with what is settled. Raises Stuck."""
        held, excused = self._progress(), self._excused()
        self.lag = {p: max(0, ends[p] - one.next_offset) for p, one in held.items() if p in ends}
        moved = max((one.since for one in held.values()), default=now)
        for partition, one in held.items():
            if excused is None or partition in excused or not self.lag.get(partition):
                self._excused_at[partition] = now
                continue
            since = max(one.since, self._excused_at.get(partition, one.since))
            nothing_moves = now - moved >= self._stuck_seconds
            if now - since >= self._stuck_seconds * (1 if nothing_moves else ALONE):
                raise Stuck(
                    f"{self.lag[partition]} event(s) of partition {partition} wait, and none was settled for "
                    f"{now - since:.0f} s. The consumer may have stopped silently; the process ends to be started anew."
                )
