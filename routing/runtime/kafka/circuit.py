"""The limit of parking, a partition at a time: one whose events cannot be used, one and all, is set aside for a while instead of
being parked quietly to its end. The others go on; what was set aside stays in the log and is tried again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence, Set

import structlog
from msgspec import Struct

from routing.core.model import Unreadable
from routing.runtime.clock import monotonic
from routing.runtime.feed import Feed, Happening
from routing.runtime.received import Received

log = structlog.get_logger()

# Looked at are the last so many seconds; set aside it stays as long.
WINDOW_SECONDS = 60
ASIDE_SECONDS = 60
# Fewer than this many within the window are no flood: an operator can look at them one by one …
LEAST_PARKED = 50
# … nor are those that are a small part of all that ended.
SHARE = 0.5


class _Ended(Struct, frozen=True):
    at: float
    ended: int
    parked: int


class Circuit:
    """Counts what ends in each partition. ``watch`` is called by the thread that settles, the rest by anybody."""

    def __init__(self, feed: Feed, clock: Callable[[], float] = monotonic) -> None:
        """``clock`` counts seconds and never runs backwards. ``feed`` tells that something was parked at all."""
        self._feed, self._clock = feed, clock
        self._lock = threading.Lock()
        self._seen: dict[int, deque[_Ended]] = {}
        self._until: dict[int, float] = {}
        self._some_parked = False
        feed.watch(self._hear)

    def _hear(self, happening: Happening) -> None:
        if happening.what == "parked" and isinstance(happening.detail, str):
            self._some_parked = True

    def watch(self, done: Sequence[Received], parked: Callable[[Sequence[str]], Set[str]]) -> None:
        """Counts a settled batch. ``parked`` tells which of the event ids were parked; asked only when something was."""
        bad: Set[str] = frozenset()
        if self._some_parked:
            self._some_parked = False
            bad = parked([one.event.event_id for one in done if one.event is not None])
        by_partition: dict[int, list[bool]] = {}
        for one in done:
            if one.event is not None:
                is_bad = isinstance(one.event, Unreadable) or one.event.event_id in bad
                by_partition.setdefault(one.partition, []).append(is_bad)
        for partition, verdicts in by_partition.items():
            self._count(partition, len(verdicts), sum(verdicts))

    def _count(self, partition: int, ended: int, parked: int) -> None:
        with self._lock:
            now = self._clock()
            seen = self._seen.setdefault(partition, deque())
            while seen and seen[0].at <= now - WINDOW_SECONDS:
                seen.popleft()
            if seen and seen[-1].at > now - 1:
                last = seen.pop()
                seen.append(_Ended(last.at, last.ended + ended, last.parked + parked))
            else:
                seen.append(_Ended(now, ended, parked))
            all_parked, all_ended = sum(one.parked for one in seen), sum(one.ended for one in seen)
            if not parked or all_parked < LEAST_PARKED or all_parked < SHARE * all_ended:
                return
            self._until[partition] = now + ASIDE_SECONDS
            seen.clear()
        log.error(
            "a partition is set aside",
            partition=partition,
            parked=all_parked,
            ended=all_ended,
            seconds=ASIDE_SECONDS,
            advice="look at `fingerpost parked list`",
        )
        why = f"Partition {partition} is set aside: {all_parked} of its last {all_ended} events could not be used."
        self._feed.tell("intake", 1, why)

    def aside(self) -> Set[int]:
        """The partitions that are set aside, until ``due`` has told of them."""
        with self._lock:
            return frozenset(self._until)

    def due(self) -> Set[int]:
        """The partitions whose time is over: to be read on from where they were left. Each is told once."""
        with self._lock:
            now = self._clock()
            over = frozenset(p for p, until in self._until.items() if until <= now)
            for partition in over:
                del self._until[partition]
        for partition in sorted(over):
            log.warning("a partition is tried again", partition=partition)
        return over
