"""Caps, ramps and weekly hours as people write them: ``10 a day``, ``25 % for 30 days``, ``Mon-Fri 9:00-17:30``."""

from __future__ import annotations

import re
from itertools import pairwise

from rules.pools.model import Cap, Hours, Minutes, Per, Ramp

MAX_LEADS = 1_000_000  # of a cap; more is no cap
MAX_RAMP = 3_650  # days
MAX_TEXT = 500
DAY = 1_440
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_EVERY = {"daily": range(7), "every day": range(7), "weekdays": range(5), "weekend": range(5, 7)}

_CAP = re.compile(
    r"(?P<leads>[\d,]+)\s*(?:leads?\s+)?"
    r"(?:(?P<way>an?|per|each|every|in any|in)\s+(?P<per>hour|day|week|month)|(?P<open>open)(?:\s+leads?)?)"
    r"(?:\s+of\s+(?P<kind>.+))?",
    re.IGNORECASE,
)
_RAMP = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%\s+for\s+(\d{1,4})\s+(day|week|month)s?", re.IGNORECASE)
_RAMP_DAYS = {"day": 1, "week": 7, "month": 30}
_SPAN = re.compile(
    r"(\d{1,2})(?:[:.](\d{2}))?\s*(am|pm)?\s*[-–—]\s*(\d{1,2})(?:[:.](\d{2}))?\s*(am|pm)?", re.IGNORECASE
)
_GROUP = re.compile(r"([^\d]+?)[:\s]\s*(\d.*|closed)", re.IGNORECASE | re.DOTALL)


class TextError(Exception):
    """A text that says nothing: the sentence and a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def cap_of(text: str) -> Cap:
    """``10 a day``, ``3 in any hour`` (rolling), ``40 open``, ``2 a day of Enterprise``. Raises TextError."""
    match = _CAP.fullmatch(" ".join(text.split()))
    if match is None:
        raise TextError(
            f"'{text}' is no cap", "write it as '10 a day', '3 in any hour', '40 open' or '2 a week of Enterprise'"
        )
    leads = int(match["leads"].replace(",", "") or 0)
    if leads > MAX_LEADS:
        raise TextError(f"a cap is at most {MAX_LEADS:,} leads, not '{match['leads']}'")
    if match["way"] and match["way"].lower() == "in":
        raise TextError(
            f"'{text}' is no cap",
            f"write '{leads} a {match['per']}', or '{leads} in any {match['per']}' for a rolling one",
        )
    per: Per = match["per"].lower() if match["per"] else "open"  # type: ignore[assignment]
    rolling = bool(match["way"]) and match["way"].lower() == "in any"
    return Cap(leads, per, rolling, (match["kind"] or "").strip())


def ramp_of(text: str) -> Ramp:
    """``25 % for 30 days, 50 % for 30 days``: then the whole. Raises TextError."""
    steps: list[tuple[int, float]] = []
    day = 0
    for part in text.split(","):
        match = _RAMP.fullmatch(" ".join(part.split()))
        if match is None:
            raise TextError(
                f"'{part.strip()}' is no step of a ramp", "write it as '25 % for 30 days, 50 % for 4 weeks'"
            )
        share, days = float(match[1]), int(match[2]) * _RAMP_DAYS[match[3].lower()]
        if share > 100 or not days:
            raise TextError(f"'{part.strip()}': a step of a ramp is at most 100 %, and lasts a day or more")
        if steps and share / 100 < steps[-1][1]:
            raise TextError(
                f"'{part.strip()}' is less than the step before it", "a ramp grows: write the smallest first"
            )
        steps.append((day, share / 100))
        day += days
    if day > MAX_RAMP:
        raise TextError(f"a ramp lasts at most {MAX_RAMP // 365} years")
    return Ramp((*steps, (day, 1.0)))


def hours_of(text: str) -> Hours:
    """``Mon-Fri 9:00-17:30; Sat 10-14``, several spans of a day with commas, hours past midnight ``22:00-6:00``. Raises TextError."""
    if len(text) > MAX_TEXT:
        raise TextError(f"these hours have more than {MAX_TEXT} characters")
    week: list[tuple[Minutes, ...] | None] = [None] * 7
    for part in text.split(";"):
        match = _GROUP.fullmatch(part.strip())
        if match is None:
            raise TextError(f"'{part.strip()}' says no hours", "write it as 'Mon-Fri 9:00-17:30; Sat 10:00-14:00'")
        fill(week, days_of(match[1].strip(" ,:")), spans_of(match[2]))
    return whole(week)


def fill(week: list[tuple[Minutes, ...] | None], days: list[int], spans: tuple[Minutes, ...]) -> None:
    """Puts the hours of some days into a week. Raises TextError where a day has some already."""
    for day in days:
        if week[day] is not None:
            raise TextError(f"{DAYS[day]} is there twice", "join its hours with a comma: Mon 9:00-12:00, 13:00-17:00")
        week[day] = spans


def whole(week: list[tuple[Minutes, ...] | None]) -> Hours:
    """A week of which days that were not named are closed. Raises TextError where hours past midnight meet those of the next day."""
    found = tuple(day or () for day in week)
    if not any(found):
        raise TextError("these hours are never open", "write it as 'Mon-Fri 9:00-17:30'")
    for day, spans in enumerate(found):
        for _, end in spans:
            following = found[(day + 1) % 7]
            if end > DAY and following and following[0][0] < end - DAY:
                raise TextError(f"the hours of {DAYS[day]} run into those of {DAYS[(day + 1) % 7]}")
    return found


def days_of(text: str) -> list[int]:
    """``Mon-Fri``, ``Sat, Sun``, ``Sun-Thu``, ``weekdays``: Monday is 0. Raises TextError."""
    if (named := _EVERY.get(" ".join(text.lower().split()))) is not None:
        return list(named)
    found: list[int] = []
    for part in re.split(r"[,\s]+", re.sub(r"\s*[-–—]\s*", "-", text.strip())):
        ends = [_day(word) for word in part.split("-")]
        if len(ends) > 2:
            raise TextError(f"'{part}' is no days of the week", "write Mon-Fri")
        first, last = ends[0], ends[-1]
        found += [(first + n) % 7 for n in range((last - first) % 7 + 1)]
    return found


def _day(word: str) -> int:
    short = word.strip(".").lower()
    for number, name in enumerate(DAYS):
        if len(short) >= 2 and (
            name.lower().startswith(short) or short in (name[:3].lower() + "s", name.lower() + "s")
        ):
            return number
    raise TextError(f"'{word}' is no day of the week", "write Mon, Tue, Wed, Thu, Fri, Sat or Sun")


def spans_of(text: str) -> tuple[Minutes, ...]:
    """``9:00-12:30, 13:30-18``, ``closed``: minutes of the day, in order. Raises TextError."""
    if text.strip().lower() == "closed":
        return ()
    found: list[Minutes] = []
    for part in text.split(","):
        match = _SPAN.fullmatch(part.strip())
        if match is None:
            raise TextError(f"'{part.strip()}' is no time of day from … to …", "write it as 9:00-17:30")
        end_half = match[6] or ""
        start = _minute(match[1], match[2], match[3] or (end_half if _same_half(match[1], match[4]) else ""), part)
        end = _minute(match[4], match[5], end_half, part)
        if end == start:
            raise TextError(f"'{part.strip()}' begins when it ends", "for the whole day write 0:00-24:00")
        found.append((start, end if end > start else end + DAY))
    found.sort()
    for (_, end), (start, _) in pairwise(found):
        if start < end:
            raise TextError(f"the hours in '{text.strip()}' overlap")
    if found and found[-1][1] - DAY > found[0][0]:
        raise TextError(f"the hours in '{text.strip()}' overlap")
    return tuple(found)


def _same_half(start: str, end: str) -> bool:
    """In ``1-5 pm`` both are of the afternoon, in ``9-5 pm`` only the end."""
    return int(start) % 12 < int(end) % 12


def _minute(hour: str, minute: str | None, half: str, text: str) -> int:
    hours, minutes = int(hour), int(minute or 0)
    if half:
        if not 1 <= hours <= 12:
            raise TextError(f"'{text.strip()}' has no such time of day")
        hours = hours % 12 + (12 if half.lower() == "pm" else 0)
    if hours * 60 + minutes > DAY or minutes > 59:
        raise TextError(f"'{text.strip()}' has no such time of day")
    return hours * 60 + minutes
