"""The rate limits of an account, and the headers that tell about them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from threading import Lock

_WINDOW = 10.0  # seconds
_SEARCHES = 5  # a second, of a whole account; they do not count for the ten seconds


class Limits:
    """``ten_seconds`` requests in any window of ten seconds, ``daily`` in a day."""

    def __init__(self, clock: Callable[[], datetime], ten_seconds: int = 190, daily: int = 650_000) -> None:
        self.ten_seconds = ten_seconds
        self.daily = daily
        self._clock = clock
        self._lock = Lock()
        self._window_start = 0.0
        self._in_window = 0
        self._day = ""
        self._today = 0
        self.searches = _SEARCHES
        self._second = 0
        self._searched = 0

    def use(self, requests: int) -> None:
        """What somebody else has used of today's requests."""
        with self._lock:
            self._day, self._today = self._clock().date().isoformat(), requests

    def take_search(self) -> tuple[str, dict[str, str]]:
        """As ``take``, for a search: those have a limit of their own, and answers that tell nothing about it."""
        with self._lock:
            second = int(self._clock().timestamp())
            if second != self._second:
                self._second, self._searched = second, 0
            self._searched += 1
            return "SECONDLY" if self._searched > self.searches else "", {}

    def take(self) -> tuple[str, dict[str, str]]:
        """Counts one request: the name of the limit it broke ("" for none), and the headers to answer with."""
        with self._lock:
            now = self._clock()
            seconds = now.timestamp()
            if seconds - self._window_start >= _WINDOW:
                self._window_start, self._in_window = seconds, 0
            if now.date().isoformat() != self._day:
                self._day, self._today = now.date().isoformat(), 0
            self._in_window += 1
            self._today += 1
            broken = "DAILY" if self._today > self.daily else ""
            broken = broken or ("TEN_SECONDLY_ROLLING" if self._in_window > self.ten_seconds else "")
            return broken, {
                "X-HubSpot-RateLimit-Daily": str(self.daily),
                "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, self.daily - self._today)),
                "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(_WINDOW * 1000)),
                "X-HubSpot-RateLimit-Max": str(self.ten_seconds),
                "X-HubSpot-RateLimit-Remaining": str(max(0, self.ten_seconds - self._in_window)),
            }
