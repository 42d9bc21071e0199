"""Where a change event schema carries the fields we map, worked out once per schema and map."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import fastavro
from msgspec import Struct

from connectors.mapping import Unconvertible, at_odds
from connectors.salesforce.bitmap import Bits, parse
from connectors.salesforce.values import full_name, reader_of
from routing.core.model import EntityMap

Told = Literal["value", "empty", "patch"]  # how an update tells what a field now holds

_MOST_BITMAPS = 4096  # bitmap lists remembered per schema; real traffic repeats a few dozen


class EventSchema:
    """One Avro schema of a change event."""

    def __init__(self, schema_json: str) -> None:
        parsed = json.loads(schema_json)
        self.avro: Any = fastavro.parse_schema(parsed)
        compounds: dict[str, list[str]] = {}
        self.names: list[str] = []
        self.parts: list[list[str]] = []  # per top-level field: the fields inside it
        for field in parsed["fields"]:
            self.names.append(field["name"])
            self.parts.append([] if field["name"] == "ChangeEventHeader" else _parts(field["type"], compounds))
        self._widths = [len(parts) for parts in self.parts]
        self._bitmaps: dict[tuple[str, ...], Bits] = {}

    def bits(self, elements: Sequence[str]) -> Bits:
        """The fields a bitmap list names. Raises BitmapError."""
        key = tuple(elements)
        found = self._bitmaps.get(key)
        if found is None:
            if len(self._bitmaps) >= _MOST_BITMAPS:
                self._bitmaps.clear()
            found = self._bitmaps[key] = parse(elements, self._widths)
        return found


def _parts(kind: Any, compounds: dict[str, list[str]]) -> list[str]:
    """The fields inside a compound type: [null, T], [string, T], [null, string, T] or T; none for a plain type."""
    for option in kind if isinstance(kind, list) else [kind]:
        if isinstance(option, dict) and option.get("type") == "record":
            names = [field["name"] for field in option["fields"]]
            compounds[option["name"]] = names
            return names
        if isinstance(option, str) and option in compounds:  # a named type, defined by an earlier field
            return compounds[option]
    return []


def rest_name(compound: str, part: str) -> str:
    """What REST calls a part of a compound: FirstName of Name, BillingCity of BillingAddress, City of Address."""
    if compound == "Name":
        return part
    if compound.endswith("Address"):
        return compound.removesuffix("Address") + part
    if compound.endswith("__c"):  # a geolocation: Where__c holds Where__Latitude__s
        return f"{compound.removesuffix('__c')}__{part}__s"
    return compound + part


class Slot(Struct, frozen=True):
    """One mapped field of an event: its canonical name and how to get it from the decoded record.

    ``whole`` marks a name put together from parts: an update that touches some of them does not carry the rest.
    """

    canonical: str
    top: str
    part: str
    map: EntityMap
    read: Callable[[Any], Any]
    whole: bool = False

    def value(self, record: dict[str, Any]) -> Any:
        """The canonical value in a record; None when it carries none. Raises Unconvertible, with a sentence about the field."""
        found = record[self.top]
        if found is None:
            return None
        if self.part:
            found = found.get(self.part) if isinstance(found, dict) else None
        elif isinstance(found, dict):
            return full_name(found)
        try:
            return None if found is None else self.read(found)
        except Unconvertible as error:
            raise Unconvertible(at_odds(self.map, self.canonical, error)) from error


class Layout:
    """The mapped fields of one schema for one EntityMap, found by bit."""

    def __init__(self, schema: EventSchema, entity_map: EntityMap) -> None:
        self.schema = schema
        self.entity = entity_map.entity
        by_remote: dict[str, list[str]] = {}
        for canonical, remote in entity_map.fields.items():
            by_remote.setdefault(remote, []).append(canonical)
        self.slots: list[Slot] = []
        self._top: dict[int, list[Slot]] = {}
        self._inside: dict[int, dict[int, list[Slot]]] = {}
        self._top_mask = 0
        self._plans: dict[tuple[tuple[str, ...], ...], list[tuple[Slot, Told]]] = {}
        types = entity_map.types
        for position, (name, parts) in enumerate(zip(schema.names, schema.parts, strict=True)):
            whole = bool(parts)
            for canonical in by_remote.get(name, ()) if name != "ChangeEventHeader" else ():
                slot = Slot(canonical, name, "", entity_map, reader_of(types.get(canonical, "text")), whole)
                self._place(slot, position, range(len(parts)))
            for inside, part in enumerate(parts):
                for canonical in by_remote.get(rest_name(name, part), ()):
                    slot = Slot(canonical, name, part, entity_map, reader_of(types.get(canonical, "text")))
                    self._place(slot, position, (inside,))

    def _place(self, slot: Slot, position: int, inside: Sequence[int]) -> None:
        self.slots.append(slot)
        # A bit for a compound as a whole means all that is in it.
        self._top.setdefault(position, []).append(slot)
        self._top_mask |= 1 << position
        for bit in inside:
            self._inside.setdefault(position, {}).setdefault(bit, []).append(slot)

    def plan(self, header: Mapping[str, Any]) -> list[tuple[Slot, Told]]:
        """What an update tells of the mapped fields, each with how; remembered, as traffic repeats.

        Raises BitmapError.
        """
        key = (tuple(header["changedFields"]), tuple(header["nulledFields"]), tuple(header["diffFields"]))
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= _MOST_BITMAPS:
                self._plans.clear()
            found = self._plans[key] = self._plan(*(self.schema.bits(elements) for elements in key))
        return found

    def _plan(self, changed: Bits, nulled: Bits, diffed: Bits) -> list[tuple[Slot, Told]]:
        empty, patched = self.named(nulled), self.named(diffed)
        slots = self.named(changed)
        slots += [slot for slot in (*empty, *patched) if slot not in slots]
        return [(slot, "patch" if slot in patched else "empty" if slot in empty else "value") for slot in slots]

    def named(self, bits: Bits) -> list[Slot]:
        """The mapped fields that a bitmap names, each once."""
        found: list[Slot] = []
        rest = bits.top & self._top_mask
        while rest:
            low = rest & -rest
            rest ^= low
            found += self._top[low.bit_length() - 1]
        for parent, inner in bits.inside.items():
            slots = self._inside.get(parent)
            if slots and not bits.top >> parent & 1:
                for bit, placed in slots.items():
                    if inner >> bit & 1:
                        found += [slot for slot in placed if slot not in found]
        return found
