"""The only place that asks what time it is. Everything else is handed a time, or this."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

# How far a CRM's clock and ours may be apart. HubSpot's signatures allow the same.
SKEW = timedelta(minutes=5)


def utcnow() -> datetime:
    """The wall clock, aware, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the one place


def monotonic() -> float:
    """Seconds that never run backwards, for measuring and waiting."""
    return time.monotonic()
