"""Reading fields of a record by their paths."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

Facts = Mapping[str, Any]


def value_at(path: str, facts: Facts) -> Any:
    """The value of a field such as ``lead.country`` or ``account.parent.country``; None where there is none."""
    found: Any = facts
    for name in path.split("."):
        if not isinstance(found, (dict, Mapping)):  # dict first: it is asked quickest
            return None
        found = found.get(name)
    return found


def number_at(path: str, facts: Facts) -> float:
    """The number in that field; 0 where there is none, or one below 0."""
    value = value_at(path, facts)
    if isinstance(value, bool):
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if isfinite(number) and number > 0 else 0.0
