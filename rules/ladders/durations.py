"""Lengths of time in words: ``5 minutes``, ``2 hours``."""

from __future__ import annotations

import re
from datetime import timedelta

_DURATION = re.compile(r"(\d{1,6})\s*(second|minute|hour|day|week)s?", re.IGNORECASE)
SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}


def seconds_of(text: str) -> int:
    """The seconds meant, 0 when it is no length of time."""
    match = _DURATION.fullmatch(text.strip())
    return int(match.group(1)) * SECONDS[match.group(2).lower()] if match else 0


def length(distance: timedelta) -> str:
    """``30 days``, ``2 hours``."""
    seconds = round(abs(distance.total_seconds()))
    for unit, size in (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds and not seconds % size and (unit != "week" or seconds // size > 4):
            return f"{seconds // size:,} {unit}{'' if seconds == size else 's'}"
    return f"{seconds:,} second{'' if seconds == 1 else 's'}"


def length_of(seconds: int) -> str:
    """``2 hours``."""
    return length(timedelta(seconds=seconds))
