"""Which HubSpot object is which canonical entity, worked out from the maps of the live policy."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from connectors.hubspot.settings import SYSTEM
from routing.core.model import Entity, EntityMap

OWNERS = "owners"

# The names that webhooks and addresses use for the standard objects.
TYPE_IDS = {"0-1": "contacts", "0-2": "companies", "0-3": "deals", "0-5": "tickets", "0-27": "tasks", "0-136": "leads"}
PREFIXES = {"contact": "contacts", "company": "companies", "deal": "deals", "ticket": "tickets", "lead": "leads"}

# A HubSpot object that two entities claim (contacts, as lead and as contact) speaks for the first of these.
_PRECEDENCE = ("lead", "account", "contact", "opportunity")


class Target(Struct, frozen=True):
    """A mapped object: its entity, and for each property the canonical fields it feeds with their types."""

    entity: Entity
    remote: str
    by_property: dict[str, tuple[tuple[str, str], ...]]


def own_maps(maps: Mapping[str, EntityMap]) -> dict[str, EntityMap]:
    """The maps that are for HubSpot, entity by entity, most important entity first."""
    mine = {entity: found for entity, found in maps.items() if found.system == SYSTEM}
    order = {entity: place for place, entity in enumerate(_PRECEDENCE)}
    return dict(sorted(mine.items(), key=lambda item: order.get(item[0], len(order))))


def targets(maps: Mapping[str, EntityMap]) -> dict[str, Target]:
    """Remote object name -> target."""
    found: dict[str, Target] = {}
    for entity_map in own_maps(maps).values():
        if entity_map.remote in found or entity_map.remote == OWNERS:
            continue
        by_property: dict[str, list[tuple[str, str]]] = {}
        for field, remote in entity_map.fields.items():
            by_property.setdefault(remote, []).append((field, entity_map.types.get(field, "text")))
        found[entity_map.remote] = Target(
            entity=entity_map.entity,
            remote=entity_map.remote,
            by_property={remote: tuple(fields) for remote, fields in by_property.items()},
        )
    return found
