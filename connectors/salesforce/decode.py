"""Change Data Capture payloads as canonical change events."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import fastavro
import msgspec
from msgspec import Struct

from connectors.contract import Maps
from connectors.errors import ConnectorBug
from connectors.mapping import Unconvertible
from connectors.salesforce.bitmap import BitmapError
from connectors.salesforce.errors import SYSTEM
from connectors.salesforce.layout import EventSchema, Layout, Slot, Told
from connectors.salesforce.values import instant_of
from routing.core.model import ChangeEvent, EntityMap, Kind, Unreadable, Values, derived_id

ALL_RECORDS = "*"  # the record id of a gap that is about every record of an entity

_KINDS: dict[str, Kind] = {
    "CREATE": "created",
    "UPDATE": "updated",
    "DELETE": "deleted",
    "UNDELETE": "restored",
    "SNAPSHOT": "snapshot",
}
_OVERFLOW_ID = "000000000000000AAA"


class RawEvent(Struct, frozen=True):
    """An event as it came, kept when it cannot be read."""

    schema_id: str
    replay_id: bytes
    payload: bytes


class Decoded(Struct, frozen=True):
    """What one event tells: its changes, one a record, and its place ``number`` (from 1) in a transaction; "" where that is not known."""

    items: Sequence[ChangeEvent | Unreadable]
    transaction: str = ""
    number: int = 0


class SchemaUnknown(Exception):
    """Salesforce does not know a schema id. Final, as far as anybody can tell."""


class EventDecoder:
    """Decodes events. ``fetch_schema`` gives the JSON of a schema by id; it may block, and raise SchemaUnknown or ConnectorError.

    Schemas are kept by id: an id never changes its meaning.
    """

    def __init__(self, maps: Maps, fetch_schema: Callable[[str], str]) -> None:
        self._maps = maps
        self._fetch_schema = fetch_schema
        self._schemas: dict[str, EventSchema] = {}
        self._known: Mapping[str, EntityMap] | None = None
        self._by_remote: dict[str, EntityMap] = {}
        self._layouts: dict[tuple[str, str], Layout] = {}

    def refresh(self) -> None:
        """Takes up the maps of the policy that is live now; to be called once per batch."""
        maps = self._maps()
        if maps is self._known:
            return
        by_remote = {entity_map.remote: entity_map for entity_map in maps.values()}
        if by_remote != self._by_remote:
            self._by_remote = by_remote
            self._layouts = {}
        self._known = maps

    def decode(self, raw: RawEvent, observed_at: datetime) -> Decoded:
        """What an event tells; no items where nothing mapped is touched.

        What cannot be read comes back as Unreadable. Raises ConnectorError when a schema cannot be had just now.
        """
        header: Mapping[str, Any] = {}
        try:
            schema = self._schema(raw.schema_id)
            record = fastavro.schemaless_reader(io.BytesIO(raw.payload), schema.avro)
            header = record["ChangeEventHeader"]
            events = self._events(raw, schema, record, header, observed_at)
            return Decoded(events, header["transactionKey"], header["sequenceNumber"])
        except SchemaUnknown:
            why = f"Salesforce knows no schema {raw.schema_id!r}, so the event cannot be decoded"
        except BitmapError as error:
            why = f"its list of changed fields is impossible: {error}"
        except Unconvertible as error:
            why = f"{error}: correct the type there"
        # fastavro raises whatever its bytes lead it to (struct.error, EOFError, IndexError, MemoryError, …).
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
            EOFError,
            MemoryError,
            OSError,
        ) as error:
            why = f"its payload does not fit its schema ({type(error).__name__})"
        ids = header.get("recordIds") or [""]
        unreadable = Unreadable(
            event_id=derived_id(SYSTEM, raw.replay_id.hex(), "unreadable"),
            system=SYSTEM,
            error=f"A Salesforce change event could not be read: {why}. Retry it after the cause is gone, "
            "or discard it and let the record be read back.",
            raw=msgspec.json.encode(raw),
            observed_at=observed_at,
            entity=str(header.get("entityName", "")),
            record_id=str(ids[0]),
        )
        return Decoded([unreadable])

    def reread(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        """Decodes what was once Unreadable. Raises ConnectorBug when it still is."""
        try:
            event = msgspec.json.decode(raw, type=RawEvent)
        except msgspec.DecodeError as error:
            raise ConnectorBug("These bytes are no parked Salesforce event. Discard it.", system=SYSTEM) from error
        self.refresh()
        found: list[ChangeEvent] = []
        for item in self.decode(event, observed_at).items:
            if isinstance(item, Unreadable):
                raise ConnectorBug(item.error, system=SYSTEM)
            found.append(item)
        return found

    def _schema(self, schema_id: str) -> EventSchema:
        schema = self._schemas.get(schema_id)
        if schema is None:
            schema = self._schemas[schema_id] = EventSchema(self._fetch_schema(schema_id))
        return schema

    def _layout(self, schema_id: str, schema: EventSchema, remote: str) -> Layout | None:
        layout = self._layouts.get((schema_id, remote))
        if layout is None:
            entity_map = self._by_remote.get(remote)
            if entity_map is None:
                return None
            layout = self._layouts[schema_id, remote] = Layout(schema, entity_map)
        return layout

    def _events(
        self,
        raw: RawEvent,
        schema: EventSchema,
        record: dict[str, Any],
        header: Mapping[str, Any],
        observed_at: datetime,
    ) -> list[ChangeEvent]:
        change_type: str = header["changeType"]
        kind = _KINDS.get(change_type, "gap")
        layout = self._layout(raw.schema_id, schema, header["entityName"])
        # Read even where nothing is mapped: an impossible bitmap is never passed over in silence.
        told = _told(schema, layout, record, header, kind)
        if layout is None or told is None:
            return []
        changed, values, complete = told
        replay = raw.replay_id.hex()
        occurred_at = instant_of(header["commitTimestamp"])
        # Both are whole numbers all the way: commitNumber is beyond what a float can hold.
        sequence: int = header["commitNumber"] + header["sequenceNumber"]
        ids: list[str] = header["recordIds"]
        if not ids or not all(len(one) in (15, 18) or "*" in one for one in ids) or not 0 <= sequence < 2**63:
            raise ValueError("a header that cannot be")
        return [
            ChangeEvent(
                event_id=derived_id(SYSTEM, replay, record_id),
                system=SYSTEM,
                entity=layout.entity,
                record_id=ALL_RECORDS if record_id == _OVERFLOW_ID or "*" in record_id else record_id,
                kind=kind,
                occurred_at=occurred_at,
                observed_at=observed_at,
                changed=changed,
                values=values,
                actor=header["commitUser"],
                origin=header["changeOrigin"],
                cursor=replay,
                sequence=sequence,
                complete=complete,
            )
            for record_id in ids
        ]


def _told(
    schema: EventSchema, layout: Layout | None, record: dict[str, Any], header: Mapping[str, Any], kind: Kind
) -> tuple[tuple[str, ...], Values, bool] | None:
    """Changed fields, values, and whether the values are all there; None for an update of nothing that is mapped."""
    if kind == "updated":
        if layout is None:
            for name in ("changedFields", "nulledFields", "diffFields"):
                schema.bits(header[name])
            return None
        plan = layout.plan(header)
        return _updated(plan, record) if plan else None
    if layout is None:
        return None
    if kind in ("deleted", "gap"):
        return (), {}, kind == "deleted"
    values = {slot.canonical: value for slot in layout.slots if (value := slot.value(record)) is not None}
    # A restored record comes with what the bus has; the rest is read back.
    return tuple(values), values, kind != "restored"


def _updated(plan: Sequence[tuple[Slot, Told]], record: dict[str, Any]) -> tuple[tuple[str, ...], Values, bool]:
    values: Values = {}
    complete = True
    for slot, told in plan:
        if told == "patch" or (slot.whole and isinstance(record[slot.top], dict)):
            # A large text comes as a patch, a name in parts: what the field now holds must be read back.
            complete = False
        elif told == "empty":
            values[slot.canonical] = None
        else:
            values[slot.canonical] = slot.value(record)
    return tuple(slot.canonical for slot, _ in plan), values, complete
