"""HubSpot says everything in strings; the canonical model does not. Both ways, by the type in ``fields.yaml``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from connectors.mapping import Unconvertible
from routing.core.model import Value

# HubSpot's own options for numbers of employees are ranges ("25-50", "1000+"): they count from their lower end.
_RANGE = re.compile(r"(\d+)\s*(?:[-–]\s*\d+|\+)")
_EPOCH = re.compile(r"-?\d{11,14}")  # milliseconds, as webhooks and older properties give instants


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            raise Unconvertible("is not a number") from None
        return int(found[1])
    if not math.isfinite(number):
        raise Unconvertible("is not a finite number")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _boolean(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in ("true", "false"):
        raise Unconvertible("is neither true nor false")
    return lowered == "true"


def instant(text: str) -> str:
    """Milliseconds or ISO-8601 text to canonical instant text. Raises Unconvertible."""
    try:
        if _EPOCH.fullmatch(text):
            moment = datetime.fromtimestamp(int(text) / 1000, UTC)
        else:
            moment = datetime.fromisoformat(text)
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        raise Unconvertible("is not a date and time") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _date(text: str) -> str:
    if len(text) == 10 and text[4:5] == "-":
        try:
            return datetime.fromisoformat(text).date().isoformat()
        except ValueError:
            raise Unconvertible("is not a date") from None
    return instant(text)[:10]  # a date property of old is midnight UTC in milliseconds


def _list(text: str) -> list[str]:
    return [part for part in text.split(";") if part]


_READERS: dict[str, Callable[[str], Value]] = {
    "number": _number,
    "money": _number,
    "boolean": _boolean,
    "date": _date,
    "datetime": instant,
    "list": _list,
}


def to_canonical(kind: str, raw: Any) -> Value:
    """A property value as the canonical model holds it. "" and null are both missing: None. Raises Unconvertible."""
    if raw is None or raw == "":
        return None
    reader = _READERS.get(kind)
    if reader is None:  # text, choice, person, reference
        return raw if isinstance(raw, str) else _plain(raw)
    return reader(raw if isinstance(raw, str) else _plain(raw))


def _plain(raw: Any) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, (int, float)):
        return str(raw)
    raise Unconvertible("is neither text nor a number")


def to_property(value: Value) -> str:
    """A canonical value as HubSpot wants it: always a string, "" to clear. Raises Unconvertible for what has no spelling."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unconvertible("is not a finite number")
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
        if any(";" in part for part in value):
            raise Unconvertible("holds a semicolon within one choice, which HubSpot would read as two")
        return ";".join(value)
    raise Unconvertible(f"is a {type(value).__name__}, which HubSpot has no property for")
