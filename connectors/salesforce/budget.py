"""How many API calls we may make: our share of the org's day, a reserve that stays for people, and who goes first.

Salesforce counts the calls of the last 24 hours of everybody in the org and tells with each answer how many there were
(``Sforce-Limit-Info``). Ours are counted here, for this process: a restart begins its count anew, the reserve holds all the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import IntEnum
from threading import Lock

import structlog
from msgspec import Struct

from connectors.errors import RateLimited
from connectors.salesforce.errors import SYSTEM

log = structlog.get_logger(__name__)

DAY = timedelta(hours=24)
_BUCKET = timedelta(minutes=15)  # our calls are counted in quarters of an hour
_NEWS = timedelta(minutes=5)  # after so long without a call one is let through, to hear whether the org has calls again
_SAMPLE = timedelta(minutes=1)
_PACE = timedelta(hours=1)  # over which the pace is measured


class Urgency(IntEnum):
    """What a call is for. The lower, the earlier it has to wait when the budget runs short."""

    BACKGROUND = 0  # reading everything, renewing people
    NORMAL = 1
    URGENT = 2  # giving a record to its owner


# How much of our share may be used up before calls of that urgency wait.
_UP_TO = {Urgency.BACKGROUND: 0.7, Urgency.NORMAL: 0.9, Urgency.URGENT: 1.0}


class Spent(Struct, frozen=True):
    """The state of the budget: calls in the last 24 hours, all of the org's (``used`` of ``limit``) and ours (``ours`` of
    ``share``); when nothing will be left for us at the pace of the last hour, None when not within a day."""

    used: int
    limit: int
    ours: int
    share: int
    exhausted_at: datetime | None = None


class ApiBudget:
    """Lets calls through or says how long to wait. ``share`` and ``reserve`` are parts (0 to 1) of the org's daily limit."""

    def __init__(self, share: float, reserve: float, clock: Callable[[], datetime]) -> None:
        self._share, self._reserve, self._clock = share, reserve, clock
        self._lock = Lock()
        self._ours: deque[tuple[datetime, int]] = deque()  # quarter hours, oldest first
        self._heard: tuple[datetime, int, int] | None = None  # when, used, limit
        self._samples: deque[tuple[datetime, int]] = deque()
        self._warned = False

    def spend(self, urgency: Urgency) -> None:
        """Counts one call that is about to be made. Raises RateLimited when it has to wait; then nothing is counted."""
        now = self._clock()
        with self._lock:
            wait, why = self._wait(now, urgency)
            if wait is not None:
                if not self._warned:
                    self._warned = True
                    log.warning("salesforce_budget_short", why=why, urgency=urgency.name.lower(), seconds=round(wait))
                raise RateLimited(
                    f"No call was made to Salesforce: {why}. It goes on by itself; more urgent calls may go before. To change "
                    "this, set daily_share or reserve in the section salesforce.",
                    system=SYSTEM,
                    code="BUDGET",
                    retry_after=wait,
                )
            self._warned = self._warned and urgency is not Urgency.BACKGROUND
            quarter = now - timedelta(seconds=now.timestamp() % _BUCKET.total_seconds())
            if self._ours and self._ours[-1][0] >= quarter:
                self._ours[-1] = (self._ours[-1][0], self._ours[-1][1] + 1)
            else:
                self._ours.append((quarter, 1))

    def heard(self, used: int, limit: int) -> None:
        """What Salesforce told with its last answer."""
        now = self._clock()
        with self._lock:
            self._heard = (now, used, limit)
            if not self._samples or now - self._samples[-1][0] >= _SAMPLE:
                self._samples.append((now, used))
            while now - self._samples[0][0] > _PACE:
                self._samples.popleft()

    def spent(self) -> Spent | None:
        """How things stand; None before the first answer."""
        now = self._clock()
        with self._lock:
            if self._heard is None:
                return None
            _, used, limit = self._heard
            return Spent(used, limit, self._count(now), int(limit * self._share), self._exhausted_at(now, used, limit))

    def _wait(self, now: datetime, urgency: Urgency) -> tuple[float | None, str]:
        """For how many seconds a call has to wait, None for not at all; and why."""
        if self._heard is None:
            return None, ""
        at, used, limit = self._heard
        if used >= limit * (1 - self._reserve) and now - at < _NEWS:
            left = f"{limit - used:,} of {limit:,} calls of the day are left"
            return (_NEWS - (now - at)).total_seconds(), f"{left}, and the last {self._reserve:.0%} are for people"
        ours, most = self._count(now), int(limit * self._share * _UP_TO[urgency])
        if ours >= most:
            oldest = self._ours[0][0] if self._ours else now
            wait = min((oldest + _BUCKET + DAY - now).total_seconds(), _BUCKET.total_seconds())
            return max(1.0, wait), f"{ours:,} of the {int(limit * self._share):,} calls of its daily share are used up"
        return None, ""

    def _count(self, now: datetime) -> int:
        while self._ours and now - self._ours[0][0] >= DAY + _BUCKET:
            self._ours.popleft()
        return sum(number for _, number in self._ours)

    def _exhausted_at(self, now: datetime, used: int, limit: int) -> datetime | None:
        if not self._samples:
            return None
        began, before = self._samples[0]
        passed = (now - began).total_seconds()
        left = limit * (1 - self._reserve) - used
        if left <= 0:
            return now
        if passed < _SAMPLE.total_seconds() or used <= before:
            return None
        seconds = left * passed / (used - before)
        return now + timedelta(seconds=seconds) if seconds <= DAY.total_seconds() else None
