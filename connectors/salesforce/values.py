"""Values between Salesforce and the canonical model, in both directions."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from connectors.mapping import Unconvertible

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = len("2026-11-22T18:55:03.000+0000")  # as REST writes one
_BOOLEAN = {True: True, False: False, "true": True, "false": False}


def instant_of(milliseconds: int) -> datetime:
    """An instant of a change event."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def instant_text(moment: datetime) -> str:
    """The canonical text of an instant."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_instant(text: str) -> datetime:
    """An instant as REST writes it (``2026-11-22T18:55:03.000+0000``)."""
    return datetime.fromisoformat(text)


def _instant(value: Any) -> str:
    if isinstance(value, str):
        if value.endswith("+0000") and len(value) == _INSTANT:
            return value[:-5] + "Z"
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise Unconvertible("is not a date and time") from None
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
    return instant_text(value if isinstance(value, datetime) else _moment(value, "is not a date and time"))


def _date(value: Any) -> str:
    # A change event holds midnight UTC in milliseconds, REST the text.
    if not isinstance(value, str):
        return _moment(value, "is not a date").date().isoformat()
    try:
        return date.fromisoformat(value[:10]).isoformat()
    except ValueError:
        raise Unconvertible("is not a date") from None


def _moment(milliseconds: Any, otherwise: str) -> datetime:
    try:
        return instant_of(milliseconds)
    except (TypeError, OverflowError):
        raise Unconvertible(otherwise) from None


def _number(value: Any) -> int | float:
    if isinstance(value, str):  # of a bulk job, or of a field that is a text there
        try:
            value = float(value)
        except ValueError:
            raise Unconvertible("is not a number") from None
    # REST and change events write 250 and 250.0 for the same field: one number is one value.
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unconvertible("is not a finite number")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Unconvertible("is not a number")


def _boolean(value: Any) -> bool:
    found = _BOOLEAN.get(value) if isinstance(value, (str, bool)) else None
    if found is None:
        raise Unconvertible("is neither true nor false")
    return found


def _list(value: Any) -> list[str]:
    if not isinstance(value, str):
        raise Unconvertible("is not a list of choices")
    return value.split(";")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(_number(value))
    raise Unconvertible("is not a text")


_READ: dict[str, Callable[[Any], Any]] = {
    "datetime": _instant,
    "date": _date,
    "number": _number,
    "money": _number,
    "boolean": _boolean,
    "list": _list,
}


def reader_of(canonical_type: str) -> Callable[[Any], Any]:
    """How to read a value that is there (not None) of a field of that type of fields.yaml. What is given raises Unconvertible."""
    return _READ.get(canonical_type, _text)


def to_salesforce(value: Any) -> Any:
    """A canonical value as REST takes it."""
    return ";".join(value) if isinstance(value, (list, tuple)) else value


def full_name(parts: Any) -> str | None:
    """The name Salesforce shows for a person, from the parts of a name compound."""
    named = (parts.get(part) for part in ("Salutation", "FirstName", "MiddleName", "LastName", "Suffix"))
    return " ".join(part for part in named if part) or None
