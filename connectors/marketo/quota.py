"""The calls of the subscription's day. Marketo counts those of all its API users together, and tells the number when asked: so the
processes that share them need no count of their own. The day begins at midnight in Chicago.

What can wait (first fills) stops before the reserve; writes, the reads that guard them, and changes may use all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from msgspec import Struct

from connectors.contract import CallsToday
from connectors.errors import ConnectorBug, Misconfigured, PermissionDenied, RateLimited, RecordRejected
from connectors.marketo.client import Client
from connectors.marketo.settings import SYSTEM
from connectors.patience import Hold

log = structlog.get_logger(__name__)

_LOOK = timedelta(minutes=15)  # between two questions, each of which is a call
_LATER = 300.0  # seconds until what can wait asks again
_CHICAGO = ZoneInfo("America/Chicago")


class _Day(Struct, frozen=True):
    total: int = 0


class _Usage(Struct, frozen=True):
    result: list[_Day] = []


class Quota:
    """Safe to use from several threads."""

    def __init__(self, client: Client, clock: Callable[[], datetime]) -> None:
        self._client, self._clock = client, clock
        self.hold = Hold(SYSTEM, clock, "calls that can wait")
        self._today: CallsToday | None = None
        self._looked: datetime | None = None
        self._since: tuple[datetime, int] | None = None  # what the pace is counted from: when, and how many there were

    @property
    def limit(self) -> int:
        """As the settings say it: Marketo does not tell."""
        return self._client.settings.daily_calls

    def used(self) -> int:
        """Asks. Blocks; raises ConnectorError."""
        days = self._client.get("the use of the quota", "/rest/v1/stats/usage.json", _Usage).result
        used = days[-1].total if days else 0
        self._today = CallsToday(used, self.limit, self._none_left_at(used, self._clock()))
        return used

    def look(self) -> None:
        """Asks unless it did lately, and says when nothing will be left before the day ends. Blocks; raises ConnectorError where Marketo
        is unwell; where it does not tell, nothing else waits for that."""
        now = self._clock()
        if self._looked is not None and timedelta() <= now - self._looked < _LOOK:
            return
        try:
            self.used()
        except (PermissionDenied, Misconfigured, RecordRejected, ConnectorBug) as error:
            log.warning("marketo_calls_not_told", reason=str(error))
        self._looked = now
        if self._today is not None and self._today.none_left_at is not None:
            log.warning(
                "marketo_calls_run_out",
                used=self._today.used,
                limit=self._today.limit,
                none_left_at=self._today.none_left_at.isoformat(timespec="minutes"),
                advice="Find what else uses the quota (Admin, Web Services), or raise poll_seconds.",
            )

    def calls_today(self) -> CallsToday | None:
        """See ``contract.CallsToday``; as Marketo last told it, None before it did."""
        return self._today

    def leave_reserve(self) -> None:
        """Before what can wait: raises RateLimited when only the reserve is left of the day's calls. Blocks."""
        used, settings = self.used(), self._client.settings
        with self.hold.noticed():
            if used > settings.daily_calls * (1 - settings.daily_reserve):
                raise RateLimited(
                    f"{used} of Marketo's {settings.daily_calls} calls of today are used: the rest is kept for writes and changes",
                    system=SYSTEM,
                    retry_after=_LATER,
                )

    def _none_left_at(self, used: int, now: datetime) -> datetime | None:
        """At the pace of the last quarter of an hour or so; None where the day ends first, or began meanwhile."""
        before = self._since
        if before is None or used < before[1] or now < before[0]:
            self._since = now, used
            return None
        passed, made = now - before[0], used - before[1]
        if passed < _LOOK:
            return self._today.none_left_at if self._today is not None else None
        self._since = now, used
        at = now + passed * (max(0, self.limit - used) / made) if made else now + timedelta(days=2)
        midnight = now.astimezone(_CHICAGO).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        return at if at < midnight else None
