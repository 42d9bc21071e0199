"""HubSpot's search: filters in groups, sorts, pages, and an index that shows changes late when it is told to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from connectors.sandbox.hubspot.answers import HttpRefusal
from connectors.sandbox.hubspot.properties import PROPERTIES
from connectors.sandbox.hubspot.store import Item, Store

# The vendor's: results in a page and in all, groups, filters in a group and in all.
_PAGE_LIMIT, _TOTAL_LIMIT = 200, 10_000
_GROUPS, _FILTERS, _ALL_FILTERS = 5, 10, 25

_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "GT": lambda held, asked: held > asked,
    "GTE": lambda held, asked: held >= asked,
    "LT": lambda held, asked: held < asked,
    "LTE": lambda held, asked: held <= asked,
}


class Filter(msgspec.Struct, rename="camel"):
    """One condition on one property."""

    property_name: str
    operator: str
    value: str = ""
    high_value: str = ""
    values: list[str] = []

    def holds(self, item: Item) -> bool:
        """Raises HttpRefusal for an operator this sandbox does not know."""
        held = item.value(self.property_name)
        if self.operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
            return bool(held) == (self.operator == "HAS_PROPERTY")
        if self.operator not in (*_ORDERED, "EQ", "NEQ", "IN", "NOT_IN", "BETWEEN"):
            raise HttpRefusal(
                400, "VALIDATION_ERROR", f"the sandbox's search does not know the operator {self.operator}"
            )
        if not held:
            return False  # what is not there compares with nothing
        mine = self._comparable(item.kind, held)
        if self.operator in ("IN", "NOT_IN"):
            return (mine in [self._comparable(item.kind, one) for one in self.values]) == (self.operator == "IN")
        asked = self._comparable(item.kind, self.value)
        if self.operator in ("EQ", "NEQ"):
            return bool(mine == asked) == (self.operator == "EQ")
        if self.operator == "BETWEEN":
            return bool(asked <= mine <= self._comparable(item.kind, self.high_value))
        return _ORDERED[self.operator](mine, asked)

    def _comparable(self, kind: str, text: str) -> Any:
        """Times as milliseconds, numbers as numbers, everything else without case."""
        return comparable(kind, self.property_name, text)


class FilterGroup(msgspec.Struct):
    """Conditions that must all hold; one group suffices."""

    filters: list[Filter]


class Sort(msgspec.Struct, rename="camel"):
    """One order; the vendor takes one only."""

    property_name: str
    direction: str = "ASCENDING"


class SearchRequest(msgspec.Struct, rename="camel"):
    """The body of a search."""

    filter_groups: list[FilterGroup] = []
    sorts: list[Sort] = []
    properties: list[str] = []
    limit: int = 10
    after: str | int = 0

    def start(self) -> int:
        """Where the page begins. Raises HttpRefusal when it is not a number."""
        if not str(self.after or 0).isdigit():
            raise HttpRefusal(400, "VALIDATION_ERROR", "after must be a number")
        return int(self.after or 0)

    def check(self, kind: str) -> None:
        """Raises HttpRefusal beyond the vendor's limits, and for properties that are not there."""
        if self.limit > _PAGE_LIMIT or self.start() + self.limit > _TOTAL_LIMIT:
            raise HttpRefusal(400, "VALIDATION_ERROR", f"at most {_PAGE_LIMIT} a page and {_TOTAL_LIMIT} in all")
        groups = [group.filters for group in self.filter_groups]
        if len(groups) > _GROUPS or any(len(g) > _FILTERS for g in groups) or sum(map(len, groups)) > _ALL_FILTERS:
            raise HttpRefusal(400, "VALIDATION_ERROR", "too many filters: 5 groups, 10 filters a group, 25 in all")
        if len(self.sorts) > 1:
            raise HttpRefusal(400, "VALIDATION_ERROR", "only one sort is supported")
        for name in [one.property_name for one in self.sorts] + [f.property_name for g in groups for f in g]:
            if name not in PROPERTIES[kind]:
                raise HttpRefusal(400, "VALIDATION_ERROR", f"There was a problem with the request: no property {name}")


def comparable(kind: str, name: str, text: str) -> Any:
    """A value as the index orders it."""
    definition = PROPERTIES[kind].get(name)
    if definition is not None and definition.type == "datetime":
        return int(text) if text.lstrip("-").isdigit() else round(datetime.fromisoformat(text).timestamp() * 1000)
    if definition is not None and definition.type == "number":
        try:
            return float(text)
        except ValueError:
            return float("-inf")
    return text.lower()


def find(store: Store, kind: str, asked: SearchRequest, indexed_until: datetime) -> tuple[list[Item], int]:
    """One page, and how many there are in all; the index knows nothing after ``indexed_until``.

    A record that changed since then is found as it was before only by the real one; here it is not found at all, which is the harder
    case. Raises HttpRefusal beyond the vendor's limits.
    """
    asked.check(kind)
    items, _ = store.page(kind, 0, 10**18)
    groups = asked.filter_groups or [FilterGroup([])]
    found = [
        item
        for item in items
        if item.updated_at <= indexed_until and any(all(one.holds(item) for one in group.filters) for group in groups)
    ]
    for sort in asked.sorts:
        name = sort.property_name
        found.sort(
            key=lambda item: (comparable(kind, name, item.value(name) or "0"), int(item.id)),
            reverse=sort.direction == "DESCENDING",
        )
    return found[asked.start() : asked.start() + asked.limit], len(found)
