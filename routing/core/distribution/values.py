"""Reading fields of a record by their paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]

# A larger amount is a slip of somebody's: sums of such would drown all others, for good.
MOST = 1e12


def value_at(path: str, facts: Facts) -> Any:
    """The value of a field such as ``lead.country`` or ``account.parent.country``; None where there is none."""
    found: Any = facts
    for name in path.split("."):
        if not isinstance(found, (dict, Mapping)):  # dict first: it is asked quickest
            return None
        found = found.get(name)
    return found


def number_at(path: str, facts: Facts) -> float:
    """The amount in that field, at most ``MOST``; 0 where there is none, or one below 0."""
    value = value_at(path, facts)
    if isinstance(value, bool):
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return amount(number)


def amount(number: float) -> float:
    """What a number counts as where amounts are summed. One below 0 is a mistake, or a refund: it makes no room for other work."""
    return min(number, MOST) if number > 0 else 0.0
