"""When somebody's absence begins and ends, as people write it: ``2026-12-24``, ``2026-12-24 pm``, ``2026-12-24 13:30``.

Such a text is in the person's own time zone. One that ends in ``Z`` or an offset (``2026-12-24T12:30:00Z``) names an instant.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

_LOCAL = re.compile(r"(\d{4}-\d\d-\d\d)(?:(?:\s+|T)(am|pm|(\d?\d):(\d\d)))?", re.IGNORECASE)
_NOON, _MIDNIGHT = 720, 1440
_END = datetime.max.replace(tzinfo=UTC)  # 9999-12-31 is often written for "for ever"
_LAST_DAY = (_END - timedelta(days=1)).replace(tzinfo=None)

# A day and the minute of it (1440: its end) on the person's own clock, or an instant.
Moment = tuple[date, int] | datetime


def beginning(text: str) -> Moment:
    """What begins then: a date at its midnight, ``pm`` at noon. Raises ValueError for a text that is no such moment."""
    return _moment(text, {"": 0, "am": 0, "pm": _NOON})


def ending(text: str) -> Moment:
    """What ends then: a date with that day, ``am`` at its noon. Raises ValueError for a text that is no such moment."""
    return _moment(text, {"": _MIDNIGHT, "am": _NOON, "pm": _MIDNIGHT})


def earliest(moment: Moment) -> datetime:
    """``moment`` without its zone, an instant as it is in UTC: for comparing two that are of one person."""
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).replace(tzinfo=None)
    day, minute = moment
    if minute == _MIDNIGHT and day == date.max:
        return _END.replace(tzinfo=None)
    return datetime.combine(day, time()) + timedelta(minutes=minute)


def at_the_latest(moment: Moment) -> datetime:
    """An instant by which ``moment`` has come in every time zone (they reach from 14 hours before UTC to 12 behind)."""
    if isinstance(moment, datetime):
        return moment.astimezone(UTC)
    wall = earliest(moment)
    return (wall + timedelta(hours=14) if wall < _LAST_DAY else wall).replace(tzinfo=UTC)


def _moment(text: str, halves: dict[str, int]) -> Moment:
    text = text.strip()
    found = _LOCAL.fullmatch(text)
    try:
        if found is None:
            instant = datetime.fromisoformat(text)
            if instant.tzinfo is not None:
                return instant.astimezone(UTC)
        else:
            day, minute = date.fromisoformat(found[1]), halves[""]
            if found[3] is not None:
                minute = time.fromisoformat(f"{found[3]:>02}:{found[4]}").hour * 60 + int(found[4])
            elif found[2] is not None:
                minute = halves[found[2].lower()]
            return day, minute
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"'{text}' is no moment: write 2026-12-24, 2026-12-24 pm or 2026-12-24 13:30")
