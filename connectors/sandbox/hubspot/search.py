"""A small part of HubSpot's search: equality, membership, presence. The real index lags; this one does not."""

from __future__ import annotations

import msgspec

from connectors.sandbox.hubspot.answers import HttpRefusal
from connectors.sandbox.hubspot.store import Item, Store

_PAGE_LIMIT, _TOTAL_LIMIT = 200, 10_000  # the vendor's


class Filter(msgspec.Struct, rename="camel"):
    """One condition on one property."""

    property_name: str
    operator: str
    value: str = ""
    values: list[str] = []

    def holds(self, item: Item) -> bool:
        """Raises HttpRefusal for an operator this sandbox does not know."""
        held = item.value(self.property_name)
        if self.operator == "EQ":
            return held is not None and held.lower() == self.value.lower()
        if self.operator == "IN":
            return held is not None and held.lower() in {one.lower() for one in self.values}
        if self.operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
            return bool(held) == (self.operator == "HAS_PROPERTY")
        raise HttpRefusal(400, "VALIDATION_ERROR", f"the sandbox's search does not know the operator {self.operator}")


class FilterGroup(msgspec.Struct):
    """Conditions that must all hold; one group suffices."""

    filters: list[Filter]


class SearchRequest(msgspec.Struct, rename="camel"):
    """The body of a search."""

    filter_groups: list[FilterGroup] = []
    properties: list[str] = []
    limit: int = 10
    after: str | int = 0

    def start(self) -> int:
        """Where the page begins. Raises HttpRefusal when it is not a number."""
        if not str(self.after or 0).isdigit():
            raise HttpRefusal(400, "VALIDATION_ERROR", "after must be a number")
        return int(self.after or 0)


def find(store: Store, kind: str, asked: SearchRequest) -> tuple[list[Item], int]:
    """One page, and how many there are in all. Raises HttpRefusal beyond the vendor's limits."""
    if asked.limit > _PAGE_LIMIT or asked.start() + asked.limit > _TOTAL_LIMIT:
        raise HttpRefusal(400, "VALIDATION_ERROR", f"at most {_PAGE_LIMIT} a page and {_TOTAL_LIMIT} in all")
    items, _ = store.page(kind, 0, 10**9)
    groups = asked.filter_groups or [FilterGroup([])]
    found = [item for item in items if any(all(one.holds(item) for one in group.filters) for group in groups)]
    return found[asked.start() : asked.start() + asked.limit], len(found)
