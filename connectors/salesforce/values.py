"""Values between Salesforce and the canonical model, in both directions."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_of(milliseconds: int) -> datetime:
    """An instant of a change event."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def instant_text(moment: datetime) -> str:
    """The canonical text of an instant."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_instant(text: str) -> datetime:
    """An instant as REST writes it (``2026-11-22T18:55:03.000+0000``)."""
    return datetime.fromisoformat(text)


def _instant(value: Any) -> Any:
    if isinstance(value, str):
        return value[:-5] + "Z" if value.endswith("+0000") else instant_text(datetime.fromisoformat(value))
    if isinstance(value, datetime):
        return instant_text(value)
    return instant_text(instant_of(value))


def _date(value: Any) -> Any:
    # A change event holds midnight UTC in milliseconds, REST the text.
    return value if isinstance(value, str) else instant_of(value).date().isoformat()


def _number(value: Any) -> Any:
    # REST and change events write 250 and 250.0 for the same field: one number is one value.
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number that is not finite")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value


def _list(value: Any) -> Any:
    return value.split(";") if isinstance(value, str) else value


def _same(value: Any) -> Any:
    return value


_READ: dict[str, Callable[[Any], Any]] = {
    "datetime": _instant,
    "date": _date,
    "number": _number,
    "money": _number,
    "list": _list,
}


def reader_of(canonical_type: str) -> Callable[[Any], Any]:
    """How to read a value that is there (not None) of a field of that type of fields.yaml."""
    return _READ.get(canonical_type, _same)


def to_salesforce(value: Any) -> Any:
    """A canonical value as REST takes it."""
    return ";".join(value) if isinstance(value, (list, tuple)) else value


def full_name(parts: Any) -> str | None:
    """The name Salesforce shows for a person, from the parts of a name compound."""
    named = (parts.get(part) for part in ("Salutation", "FirstName", "MiddleName", "LastName", "Suffix"))
    return " ".join(part for part in named if part) or None
