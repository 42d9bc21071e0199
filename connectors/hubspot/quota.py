"""What HubSpot's answers tell of the account's limits. They count for all workers and all other apps' calls of this token together,
so each worker that heeds them shares the limit with the others without a word between them.

The ten seconds: while half of the requests are left, each goes at once; the other half goes evenly over what is left of the time, so that
what comes meanwhile gathers in fewer calls, instead of standing still until the next ten seconds. When fewer than one in fifty are left,
since others use them, too, one a second is sent.
The day: what can wait (first fills, searches) stops before the reserve; writes and the reads that guard them may use all of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from connectors.contract import CallsToday
from connectors.errors import RateLimited
from connectors.hubspot.settings import SYSTEM

_WINDOW = timedelta(seconds=10)  # the vendor's; told anew in X-HubSpot-RateLimit-Interval-Milliseconds
_FEW = 50
_PROBE = 1.0  # seconds between requests while few are left
_LATER = 600.0  # seconds until what can wait asks again
# What was told this long ago is not believed any more: the day may have begun anew.
_STALE = timedelta(minutes=15)


class Quota:
    """Safe to use from several threads."""

    def __init__(self, clock: Callable[[], datetime], reserve: float) -> None:
        """``reserve``: which share of the day's requests is kept for what cannot wait, and for people."""
        self._clock, self._reserve = clock, reserve
        self._lock = threading.Lock()
        self._told: datetime | None = None
        # When these ten seconds began, as far as is known, and when the last request had its turn.
        self._began = self._turn = clock()
        self._left = self._left_then = self._most = self._left_today = self._most_today = 0

    def note(self, headers: Mapping[str, str]) -> None:
        """Takes in what an answer says; answers to searches say nothing."""
        names = ("Remaining", "Max", "Daily-Remaining", "Daily")
        found = [headers.get(f"X-HubSpot-RateLimit-{name}") or "" for name in names]
        if not (found[0].isdigit() and found[1].isdigit()):
            return
        with self._lock:
            self._told = self._clock()
            if int(found[0]) > self._left + int(found[1]) // 10:  # answers overtake each other, but not by so many
                self._began = self._told
            self._left, self._most = int(found[0]), int(found[1])
            self._left_today, self._most_today = (int(text) if text.isdigit() else 0 for text in found[2:])

    def calls_today(self) -> CallsToday | None:
        """See ``contract.CallsToday``; as the last answer says, None where none said it."""
        with self._lock:
            if not self._most_today:
                return None
            return CallsToday(self._most_today - self._left_today, self._most_today)

    def turn(self) -> float:
        """For how many seconds the next request had better wait; whoever asks has that turn. At most a second."""
        with self._lock:
            now = self._clock()
            rest = self._began + _WINDOW - now
            if self._left * 2 >= self._most or not timedelta() < rest <= _WINDOW:
                return 0.0
            gone = max(1, self._left_then - self._left)  # between two turns of ours, since others take theirs
            spare = self._left - 2 * (self._most // _FEW)
            self._turn = min(now + rest, max(now, self._turn + rest * gone / max(1, spare)))
            self._left_then = self._left
            return min(_PROBE, (self._turn - now).total_seconds())

    def check(self, *, urgent: bool) -> None:
        """Raises RateLimited when the request had better not be made now."""
        with self._lock:
            age = self._clock() - self._told if self._told is not None else _STALE
            if not timedelta() <= age < _STALE:
                return
            if self._left < self._most // _FEW and age.total_seconds() < _PROBE:
                raise RateLimited(
                    f"HubSpot has {self._left} requests left in these ten seconds; one a second is sent until there are more",
                    system=SYSTEM,
                    retry_after=_PROBE - age.total_seconds(),
                )
            if not urgent and self._most_today and self._left_today < self._most_today * self._reserve:
                raise RateLimited(
                    f"HubSpot has {self._left_today} of {self._most_today} requests left today: they are kept for writes; "
                    "searches and first fills go on when there are more",
                    system=SYSTEM,
                    retry_after=_LATER,
                )


def spent_at(used: int, most: int, now: datetime) -> datetime | None:
    """When the day's requests will be used up at today's pace, ``now`` in the account's own time; None: not today, or too early to say."""
    since = now - now.replace(hour=0, minute=0, second=0, microsecond=0)
    if used <= 0 or since < timedelta(hours=1):
        return None
    end = now - since + since * (most / used)
    return end if end.date() == now.date() else None
