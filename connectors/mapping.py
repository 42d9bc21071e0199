"""Records between the names and values of ``fields.yaml`` and those of a system, both ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

from connectors.errors import Misconfigured, RecordRejected
from routing.core.model import EntityMap, Value, Values, Write

# An escaped character of JSON: a whole pair of surrogates, half of one, or anything else.
_ESCAPED = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def mended(body: bytes) -> bytes:
    """JSON without the halves of characters that are left where a text was cut in the middle of an emoji: they become U+FFFD."""
    return _ESCAPED.sub(lambda found: rb"\ufffd" if found["half"] else found[0], body)


class Unconvertible(ValueError):
    """A value that does not fit the type that ``fields.yaml`` gives its field. Names the type, not the value."""


def outward(
    write: Write, found: EntityMap, spell: Callable[[Any], Any], besides: Container[str] = ()
) -> dict[str, Any]:
    """What a write sets, by the system's names and as ``spell`` writes its values; ``besides`` are fields that say something else.

    Raises Misconfigured for a field that cannot be written, RecordRejected for a value that ``spell`` finds Unconvertible.
    """
    values: dict[str, Any] = {}
    for field, value in write.fields.items():
        if field in besides:
            continue
        remote = found.fields.get(field)
        if remote is None or field in found.read_only:
            why = f"gives it no field in {found.system}" if remote is None else "marks it read only"
            record = f" ({write.record_id})" if not write.creates else ""
            raise Misconfigured(
                f"{write.entity}.{field} cannot be written{record}: fields.yaml {why}", system=found.system, code=field
            )
        try:
            values[remote] = spell(value)
        except Unconvertible as error:
            raise RecordRejected(f"the value for {write.entity}.{field} {error}", system=found.system) from error
    return values


def inward(
    found: EntityMap, fields: Iterable[str], raw: Mapping[str, Any], read: Callable[[str, Any], Value]
) -> tuple[Values, list[str]]:
    """The named canonical fields out of a record, as ``read`` takes them by their type, and a sentence for each that is Unconvertible.

    Such a field is left out of the values: what was known of it stays. So it is with one that the system did not tell at all.
    """
    values: Values = {}
    troubles: list[str] = []
    for field in fields:
        remote = found.fields.get(field)
        if remote is None or remote not in raw:
            continue
        try:
            values[field] = read(found.types.get(field, "text"), raw[remote])
        except Unconvertible as error:
            troubles.append(at_odds(found, field, error))
    return values, troubles


def at_odds(found: EntityMap, field: str, error: Unconvertible) -> str:
    """A sentence about a field whose value does not fit."""
    kind = found.types.get(field, "text")
    return f"field {found.fields[field]} {error}, but fields.yaml calls {found.entity}.{field} a {kind}"
