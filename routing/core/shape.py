"""What the core needs of a policy, worked out once for each policy instead of once for each event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from routing.core.correct import Fixers, fixers_for
from routing.core.directory import FILE
from routing.core.keys import account_field

if TYPE_CHECKING:
    from rules.policy import Policy


class Shape(Struct, frozen=True):
    """Per entity: the fixes, and the fields that hold a person. ``writable`` by system and entity, ``clocked`` have SLA clocks, ``accounts`` names the
    field by which a record refers to its account, where it has one.

    ``by_event`` are the kinds of record for which a change means what it does whatever account, person or counterpart the record
    has: its entry criteria ask for the event alone, its clocks for the event and the record's own fields.
    """

    fixers: dict[str, Fixers]
    people: dict[str, tuple[str, ...]]
    writable: dict[tuple[str, str], frozenset[str]]
    clocked: frozenset[str]
    by_event: frozenset[str]
    accounts: dict[str, str]


# What is known of an event before anything else is.
_TOLD = frozenset({"event.kind", "event.system", "event.changed", "event.record_id"})
# The live policy, the one being tried, and a few that old events still refer to. Equal digests are equal policies.
_KEEP = 8
_shapes: dict[str, Shape] = {}


def shape_of(policy: Policy) -> Shape:
    """The policy's shape, from memory when it was worked out before."""
    shape = _shapes.get(policy.digest)
    if shape is None:
        shape = _build(policy)
        if len(_shapes) >= _KEEP:
            _shapes.pop(next(iter(_shapes)))
        _shapes[policy.digest] = shape
    return shape


def _build(policy: Policy) -> Shape:
    people: dict[str, tuple[str, ...]] = {}
    writable: dict[tuple[str, str], frozenset[str]] = {}
    for name, entity in policy.entities.items():
        fields = entity.fields.values()
        people[name] = tuple(field.name for field in fields if field.type == "person")
        writable[FILE, name] = frozenset(field.name for field in fields if not field.read_only)
        for system in {system for field in fields for system in field.remote}:
            writable[system, name] = frozenset(
                f.name for f in fields if system in f.remote and not f.read_only and system not in f.read_only_in
            )
    entities = {*policy.entities, "lead", "account", "contact", "opportunity", "person"}
    clocked = frozenset(clock.entity for clock in policy.clocks.values())
    by_event = frozenset(name for name in policy.ladders if _by_event(name, policy))
    accounts = {name: field for name in policy.entities if (field := account_field(name, policy))}
    return Shape({name: fixers_for(name, policy) for name in entities}, people, writable, clocked, by_event, accounts)


def _by_event(entity: str, policy: Policy) -> bool:
    if entity in policy.answers:
        return False  # an answer may send it down the ladder
    if any(path not in _TOLD for condition in policy.ladders[entity].entry for path, _ in condition.reads):
        return False
    own = {f"{entity}.{field.name}" for field in policy.entities[entity].fields.values() if field.remote}
    clocks = [clock for clock in policy.clocks.values() if clock.entity == entity]
    asked = [one.when for clock in clocks for one in (clock.start, *clock.stop) if one.when is not None]
    return all(path in own or path.startswith("event.") for condition in asked for path, _ in condition.reads)
