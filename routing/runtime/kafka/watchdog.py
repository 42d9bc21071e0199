"""The watchdog: a consumer that silently stopped looks alive. Lag without progress ends the process, so that it is started anew.

The end of the log is asked from the brokers by a client of its own: what the consumer believes is just what is in doubt.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Set
from typing import Any

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from routing.runtime.clock import monotonic
from routing.runtime.kafka.settler import Progress

log = structlog.get_logger()

STUCK_SECONDS = 60.0
# A partition alone, while others move: they may have a backlog that is read first.
ALONE = 10
LOOK_SECONDS = 2.0


class Stuck(Exception):
    """Events wait, and nothing has moved for a minute. The process ends; its supervisor starts it anew."""


class Watchdog:
    """Measures the lag of the partitions that are held, and bites when one of them does not move."""

    def __init__(
        self,
        topic: str,
        options: Callable[[], Mapping[str, Any]],
        progress: Callable[[], Mapping[int, Progress]],
        excused: Callable[[], Set[int] | None],
        stuck_seconds: float = STUCK_SECONDS,
    ) -> None:
        """``excused`` names the partitions that may stand still (they were set aside), None for all of them (the ledger is
        lost, or deciding pauses)."""
        self._topic, self._options, self._progress, self._excused = topic, options, progress, excused
        self._stuck_seconds = stuck_seconds
        self._excused_at: dict[int, float] = {}
        self.lag: Mapping[int, int] = {}

    def run(self, stop: threading.Event) -> None:
        """Looks until ``stop``. Raises Stuck. While the brokers do not answer nothing is known, and nothing is done."""
        while not stop.is_set():
            try:
                self._watch(stop)
            except (KafkaError, OSError) as error:
                log.warning("the brokers cannot be asked how far the log is", error=str(error))
                stop.wait(LOOK_SECONDS)

    def _watch(self, stop: threading.Event) -> None:
        consumer = KafkaConsumer(**self._options(), group_id=None, enable_auto_commit=False)
        try:
            while not stop.wait(LOOK_SECONDS):
                held = self._progress()
                ends = self._ends(consumer, held) if held else {}
                self.look(ends, monotonic())
        finally:
            consumer.close(autocommit=False)

    def _ends(self, consumer: KafkaConsumer, held: Mapping[int, Progress]) -> dict[int, int]:
        found = consumer.end_offsets([TopicPartition(self._topic, p) for p in held])
        return {here.partition: int(end) for here, end in found.items()}

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
