"""How values are read and compared: one meaning for conditions, tables and whatever analyses them.

- Text is compared without case, without surrounding blanks, and in Unicode's composed form.
- A value is *missing* when it is None, blank text or an empty list; and, for a comparison, when it is not of the
  field's type (text where a number is declared, NaN, a date that is none). A comparison with a missing value is false,
  also ``!=`` and ``not in``. Only ``is blank`` and ``not (…)`` are true of what is missing.
- ``True`` is no number and ``1`` is not yes.
- A date is a whole day in UTC. When a date meets an instant, days are compared.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, date, datetime, timedelta
from typing import Any

Moment = date | datetime


def fold(text: str) -> str:
    """The form in which texts are compared."""
    text = text.strip()
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def spelled(text: str) -> str:
    """A folded text as people write it: codes such as ``de``, ``ca`` and ``sw1`` in capitals."""
    code = (len(text) == 2 and text.isalpha()) or (
        len(text) <= 4 and not text.isdigit() and any(map(str.isdigit, text))
    )
    return text.upper() if code else text


def is_blank(value: Any) -> bool:
    """None, blank text, an empty list."""
    if value is None:
        return True
    if type(value) is str:
        return not value or value.isspace()
    return type(value) in (list, tuple) and not value


def is_number(value: Any) -> bool:
    """An int or a float that is not NaN; a boolean is no number."""
    return type(value) is int or (type(value) is float and value == value)


def moment(value: Any) -> Moment | None:
    """A day or an aware instant from ISO text (``2026-11-22``, ``2026-11-22T18:55:03.120Z``); None when it is neither."""
    if type(value) is not str:
        return None
    try:
        if len(value) == 10:
            return date.fromisoformat(value)
        instant = datetime.fromisoformat(value)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def day(value: Moment) -> date:
    """The day of an instant in UTC; a day is itself."""
    return value.date() if isinstance(value, datetime) else value


def order(left: Moment, right: Moment) -> int:
    """-1, 0 or 1. Where one of them is a day, days are compared."""
    if isinstance(left, datetime) and isinstance(right, datetime):
        return (left > right) - (left < right)
    one, other = day(left), day(right)
    return (one > other) - (one < other)


def near(value: Moment, now: datetime, distance: timedelta) -> bool:
    """Whether ``value`` is at most ``distance`` before or after ``now``; a day is counted in whole days."""
    if isinstance(value, datetime):
        return abs(now - value) <= distance
    return abs(now.astimezone(UTC).date() - value) <= distance


def calculate(left: Any, sign: str, right: Any) -> Any:
    """``left sign right`` of numbers, moments and lengths, None where there is no such value.

    There is none where a side is missing, where something is divided by zero, and where the result is too large. A day and
    a length make a day, an instant and a length an instant; two moments differ by a number of days.
    """
    if left is None or right is None:
        return None
    try:
        if isinstance(left, date) or isinstance(right, date):
            return _calculate_moment(left, sign, right)
        if sign == "/":
            result = left / right
        else:
            result = left + right if sign == "+" else left - right if sign == "-" else left * right
        return result if math.isfinite(result) else None
    except (OverflowError, ZeroDivisionError):
        return None


def _calculate_moment(left: Any, sign: str, right: Any) -> Any:
    if isinstance(left, timedelta):
        left, right = right, left
    if isinstance(right, timedelta):
        return left + right if sign == "+" else left - right
    if isinstance(left, datetime) and isinstance(right, datetime):
        return (left - right) / timedelta(days=1)
    return (day(left) - day(right)).days
