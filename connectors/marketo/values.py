"""Marketo speaks JSON with types of its own: ids are numbers, times have offsets, nothing is "" or null."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from connectors.errors import Misconfigured
from connectors.mapping import Unconvertible
from connectors.marketo.settings import SYSTEM
from routing.core.model import EntityMap, Value

ACTIVITY = "activity "  # how the name of a field in fields.yaml begins that is told by activities
_LEAD_ID = re.compile(r"[1-9][0-9]{0,17}")
_TIMES = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%SZ%z")


def is_lead_id(text: str) -> bool:
    """Whether it is an id as Marketo gives them, in the one way of writing it."""
    return _LEAD_ID.fullmatch(text) is not None


def moment(text: str) -> datetime:
    """An instant as Marketo writes it: 2013-09-26T06:56:35+0000, or with Z. Raises Unconvertible."""
    for shape in _TIMES:
        try:
            return datetime.strptime(text, shape).astimezone(UTC)
        except ValueError:
            continue
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Unconvertible("is not a date and time") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def instant(at: datetime) -> str:
    """Canonical instant text."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def to_canonical(kind: str, raw: Any) -> Value:
    """A field's value as the canonical model holds it. Raises Unconvertible."""
    if raw is None or raw == "":
        return None
    if kind in ("number", "money"):
        return _number(raw)
    if kind == "boolean":
        text = str(raw).strip().lower()
        if text not in ("true", "false", "1", "0"):
            raise Unconvertible("is neither true nor false")
        return text in ("true", "1")
    if kind == "datetime":
        return instant(moment(str(raw)))
    if kind == "date":
        text = str(raw)[:10]
        try:
            return datetime.fromisoformat(text).date().isoformat()
        except ValueError:
            raise Unconvertible("is not a date") from None
    if kind == "list":
        return [part for part in str(raw).split(";") if part]
    return str(raw)


def _number(raw: Any) -> int | float:
    try:
        number = float(raw)
    except (TypeError, ValueError):
        raise Unconvertible("is not a number") from None
    if not math.isfinite(number):
        raise Unconvertible("is not a finite number")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def to_field(value: Value) -> Any:
    """A canonical value as Marketo wants it; null empties a field. Raises Unconvertible."""
    if isinstance(value, (list, tuple)):
        if any(";" in str(part) for part in value):
            raise Unconvertible("holds a semicolon within one choice, which Marketo would read as two")
        return ";".join(str(part) for part in value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Unconvertible("is not a finite number")
    return value


def lead_map(maps: Mapping[str, EntityMap]) -> EntityMap:
    """The entity that Marketo's leads are, with the fields that a lead has itself. Raises Misconfigured."""
    whole = whole_lead_map(maps)
    return replace(whole, fields={field: name for field, name in whole.fields.items() if not name.startswith(ACTIVITY)})


def whole_lead_map(maps: Mapping[str, EntityMap]) -> EntityMap:
    """As ``lead_map``, with the fields that only activities tell. Raises Misconfigured."""
    mine = [found for found in maps.values() if found.system == SYSTEM and found.remote == "leads"]
    if not mine:
        raise Misconfigured(
            "no entity in fields.yaml is Marketo's 'leads': add marketo: leads to the line 'in:' of lead", system=SYSTEM
        )
    return min(mine, key=lambda found: found.entity != "lead")
