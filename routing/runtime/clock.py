"""The only place that asks what time it is. Everything else is handed a time, or this."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utcnow() -> datetime:
    """The wall clock, aware, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the one place


def monotonic() -> float:
    """Seconds that never run backwards, for measuring and waiting."""
    return time.monotonic()
