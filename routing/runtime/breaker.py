"""The limit of parking: a flood of events that cannot be used closes the intake, instead of being parked quietly, one and all.

What was accepted is still worked off; what is not accepted stays with its sender, who delivers it again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import structlog
from msgspec import Struct

from routing.runtime.clock import monotonic
from routing.runtime.feed import Feed, Happening

log = structlog.get_logger()

# Looked at are the last so many seconds; closed it stays as long.
WINDOW_SECONDS = 60
CLOSED_SECONDS = 60
# Fewer than this many a minute are no flood: an operator can look at them one by one …
LEAST_PARKED = 50
# … nor are those that are a small part of all that ended.
SHARE = 0.5


class _Second(Struct):
    """What ended within one second of the clock."""

    second: int
    ended: int = 0
    parked: int = 0


class Breaker:
    """Watches the feed and says whether the intake must stay closed. Any thread may call it."""

    def __init__(self, feed: Feed, clock: Callable[[], float] = monotonic) -> None:
        """``clock`` counts seconds and never runs backwards. Watches ``feed`` from now on, and tells it what it does."""
        self._feed, self._clock = feed, clock
        self._lock = threading.Lock()
        self._seconds: deque[_Second] = deque()
        self._closed_until: float | None = None
        self._reason = ""
        feed.watch(self.watch)

    def watch(self, happening: Happening) -> None:
        """Counts the events that ended, and those of them that were parked (parked writes come with more than a text)."""
        if happening.what == "settled":
            self._count(happening.count, 0)
        elif happening.what == "parked" and isinstance(happening.detail, str):
            self._count(0, happening.count)

    def why(self) -> str:
        """Why nothing may be accepted at the moment, "" while all is well. After a while it opens by itself, for a trial."""
        with self._lock:
            if self._closed_until is None:
                return ""
            if self._clock() < self._closed_until:
                return self._reason
            self._closed_until = None
        log.warning("the intake is open again for a trial", advice="it closes again should the flood go on")
        self._feed.tell("intake", 1, "The intake is open again, for a trial.")
        return ""

    def _count(self, ended: int, parked: int) -> None:
        with self._lock:
            now = self._clock()
            self._forget(now)
            if not self._seconds or self._seconds[-1].second != int(now):
                self._seconds.append(_Second(int(now)))
            self._seconds[-1].ended += ended
            self._seconds[-1].parked += parked
            # What was parked is told before the whole of what ended: only then can the two be compared.
            if not ended or self._closed_until is not None or not self._flooded():
                return
            self._closed_until = now + CLOSED_SECONDS
        log.error("the intake is closed", why=self._reason, advice="look at `fingerpost parked list`")
        self._feed.tell("intake", 1, f"The intake is closed: {self._reason}")

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0].second <= int(now) - WINDOW_SECONDS:
            self._seconds.popleft()

    def _flooded(self) -> bool:
        parked = sum(one.parked for one in self._seconds)
        ended = sum(one.ended for one in self._seconds)
        self._reason = (
            f"{parked} of the last {ended} events could not be used and were parked. Nothing is accepted for "
            f"{CLOSED_SECONDS} s; look at `fingerpost parked list` for the cause"
        )
        return parked >= LEAST_PARKED and parked >= SHARE * ended
