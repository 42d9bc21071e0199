"""How many API calls we may make: our share of the org's day, a reserve that stays for people, and who goes first.

Salesforce counts the calls of the last 24 hours of everybody in the org and tells with each answer how many there were
(``Sforce-Limit-Info``). Ours are counted here, and with those of our other processes and from before the last start by whoever keeps
that count (``exchange``). The reserve holds for everybody's calls together.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from math import inf
from threading import Lock

import structlog
from msgspec import Struct

from connectors.errors import RateLimited
from connectors.patience import Hold
from connectors.salesforce.errors import SYSTEM

log = structlog.get_logger(__name__)

DAY = timedelta(hours=24)
_BUCKET = timedelta(minutes=15)  # our calls are counted in quarters of an hour
_NEWS = timedelta(minutes=5)  # after so long without a call one is let through, to hear whether the org has calls again
_SAMPLE = timedelta(minutes=1)
_PACE = timedelta(hours=1)  # over which the pace is measured
SHORT = "BUDGET"  # the code of a call that was not made
_OURS = "these are Fingerpost's own calls: raise daily_share in the section salesforce, or have it read less"


class Urgency(IntEnum):
    """What a call is for. The lower, the earlier it has to wait when the budget runs short."""

    BACKGROUND = 0  # reading everything, renewing people
    NORMAL = 1
    URGENT = 2  # giving a record to its owner


# How much of our share may be used up before calls of that urgency wait.
_UP_TO = {Urgency.BACKGROUND: 0.7, Urgency.NORMAL: 0.9, Urgency.URGENT: 1.0}


class Spent(Struct, frozen=True):
    """The state of the budget: calls in the last 24 hours, all of the org's (``used`` of ``limit``) and ours (``ours`` of
    ``share``); when nothing will be left for us at the pace of the last hour, None when not within a day, and whether that is as our
    share ends (``by_us``) or the org's calls do."""

    used: int
    limit: int
    ours: int
    share: int
    exhausted_at: datetime | None = None
    by_us: bool = False


class ApiBudget:
    """Lets calls through or says how long to wait. ``share`` and ``reserve`` are parts (0 to 1) of the org's daily limit."""

    def __init__(self, share: float, reserve: float, clock: Callable[[], datetime]) -> None:
        self._share, self._reserve, self._clock = share, reserve, clock
        self._lock = Lock()
        self._new: Counter[datetime] = Counter()  # by quarter hour: those that only we know of
        self._shared: dict[datetime, int] = {}  # and all others
        self._heard: tuple[datetime, int, int] | None = None  # when, used, limit
        self._samples: deque[tuple[datetime, int]] = deque()
        self.holds = {urgency: Hold(SYSTEM, clock, f"{urgency.name.lower()} calls") for urgency in Urgency}
        self._asked = datetime.min.replace(tzinfo=UTC)  # when, in the reserve, one was let through
        self._foretold = datetime.min.replace(tzinfo=UTC)

    def spend(self, urgency: Urgency) -> None:
        """Counts one call that is about to be made. Raises RateLimited when it has to wait; then nothing is counted."""
        now, hold = self._clock(), self.holds[urgency]
        with self._lock:
            wait, why = self._wait(now, urgency)
            if wait is None:
                quarter = now - timedelta(seconds=now.timestamp() % _BUCKET.total_seconds())
                self._new[quarter] += 1
                if not self._in_reserve():  # one that goes to hear how things are ends no wait
                    hold.answered()
                return
        error = RateLimited(
            f"No call was made to Salesforce: {why}. It goes on by itself; more urgent calls may go before. To change "
            "this, set daily_share or reserve in the section salesforce.",
            system=SYSTEM,
            code=SHORT,
            retry_after=wait,
        )
        hold.unwell(error)
        raise error

    def exchange(self, add: Callable[[Mapping[str, int]], Mapping[str, int]]) -> None:
        """See ``contract.Tally``. Says, once an hour, when nothing will be left for us within a day."""
        with self._lock:
            mine = dict(self._new)
        total = add({quarter.astimezone(UTC).isoformat(): number for quarter, number in mine.items()})
        with self._lock:
            self._shared = {datetime.fromisoformat(at): number for at, number in total.items()}
            self._new -= Counter(mine)
        spent, now = self.spent(), self._clock()
        if spent is not None and spent.exhausted_at is not None and now - self._foretold >= _PACE:
            self._foretold = now
            log.warning(
                "salesforce_calls_run_out",
                used=spent.used,
                limit=spent.limit,
                ours=spent.ours,
                none_left_at=spent.exhausted_at.isoformat(timespec="minutes"),
                advice=_OURS if spent.by_us else "find out who uses them: Setup, Company Information, API usage",
            )

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
            ends, by_us = self._exhausted_at(now, used, limit)
            return Spent(used, limit, self._count(now), int(limit * self._share), ends, by_us)

    def _wait(self, now: datetime, urgency: Urgency) -> tuple[float | None, str]:
        """For how many seconds a call has to wait, None for not at all; and why."""
        if self._heard is None:
            return None, ""
        at, used, limit = self._heard
        if self._in_reserve():
            since = now - max(at, self._asked)
            if since < _NEWS:
                left = f"{limit - used:,} of {limit:,} calls of the day are left"
                return (_NEWS - since).total_seconds(), f"{left}, and the last {self._reserve:.0%} are for people"
            self._asked = now  # one goes, to hear; the others wait for what it hears
        ours, most = self._count(now), int(limit * self._share * _UP_TO[urgency])
        if ours >= most:
            oldest = min([*self._new, *self._shared], default=now)
            wait = min((oldest + _BUCKET + DAY - now).total_seconds(), _BUCKET.total_seconds())
            return max(1.0, wait), f"{ours:,} of the {int(limit * self._share):,} calls of its daily share are used up"
        return None, ""

    def _in_reserve(self) -> bool:
        return self._heard is not None and self._heard[1] >= self._heard[2] * (1 - self._reserve)

    def _count(self, now: datetime) -> int:
        for counts in (self._new, self._shared):
            for quarter in [one for one in counts if now - one >= DAY + _BUCKET]:
                del counts[quarter]
        return self._new.total() + sum(self._shared.values())

    def _exhausted_at(self, now: datetime, used: int, limit: int) -> tuple[datetime | None, bool]:
        """When nothing is left for us at the pace of the last hour: everybody's calls reach the reserve, or ours our share, which
        the second value says."""
        if not self._samples:
            return None, False
        began, before = self._samples[0]
        seconds = _until(limit * (1 - self._reserve) - used, used - before, (now - began).total_seconds())
        lately = Counter({at: n for at, n in self._shared.items() if now - at < _PACE})
        lately.update({at: n for at, n in self._new.items() if now - at < _PACE})
        passed = (now - min(lately, default=now)).total_seconds()
        ours = _until(limit * self._share - self._count(now), lately.total(), passed)
        first = min(seconds, ours)
        return (now + timedelta(seconds=first) if first <= DAY.total_seconds() else None), ours < seconds


def _until(left: float, spent: int, passed: float) -> float:
    """In how many seconds nothing is left, where ``spent`` went in those that ``passed``."""
    if left <= 0:
        return 0.0
    return inf if passed < _SAMPLE.total_seconds() or spent <= 0 else left * passed / spent
