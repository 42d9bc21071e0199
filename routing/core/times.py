"""Instants as the canonical model writes them: ISO-8601 text in UTC with milliseconds, which sorts as text."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(instant: datetime) -> str:
    """``2026-11-22T18:55:03.120Z``. Raises ValueError for an instant without a time zone."""
    if instant.tzinfo is not UTC:
        if instant.tzinfo is None:
            raise ValueError(f"{instant} has no time zone, so it names no instant")
        instant = instant.astimezone(UTC)
    return instant.isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_instant(text: str) -> datetime:
    """Reads ISO-8601. Text without a time zone is taken as UTC, a bare date as its first moment. Raises ValueError."""
    instant = datetime.fromisoformat(text.strip())
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
