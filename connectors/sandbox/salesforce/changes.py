"""Commits as Change Data Capture events: Avro payloads whose bitmaps say what changed."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import fastavro

from connectors.sandbox.salesforce.objects import SandboxField, SandboxObject
from connectors.sandbox.salesforce.store import Change, Commit

_CHANGE_TYPE = {"create": "CREATE", "update": "UPDATE", "delete": "DELETE", "undelete": "UNDELETE"}


def bitmaps(fields: Mapping[str, SandboxField], names: Sequence[str]) -> list[str]:
    """The bitmap list of those fields: ``0x…`` for the top level, ``parent-0x…`` for each compound."""
    top = 0
    inside: dict[int, int] = {}
    for name in names:
        place = fields[name].place
        if len(place) == 1:
            top |= 1 << place[0]
        elif place:
            inside[place[0]] = inside.get(place[0], 0) | 1 << place[1]
    found = [f"0x{top:X}"] if top else []
    return found + [f"{parent}-0x{bits:X}" for parent, bits in sorted(inside.items())]


def encode(definition: SandboxObject, header: Mapping[str, Any], row: Mapping[str, Any], names: Sequence[str]) -> bytes:
    """The payload of one event: the header and the named fields; every other field is empty."""
    record: dict[str, Any] = {"ChangeEventHeader": header}
    fields = definition.fields
    for name in names:
        field, value = fields[name], row[name]
        if value is None or not field.place:
            continue
        value = _avro_value(field.type, value)
        if field.avro_part:
            record.setdefault(field.avro_name, {})[field.avro_part] = value
        else:
            record[field.avro_name] = value
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, definition.schema, record)
    return buffer.getvalue()


def header_of(
    entity: str, ids: Sequence[str], change_type: str, *, number: int, at: datetime, sequence: int = 1, **more: Any
) -> dict[str, Any]:
    """A ChangeEventHeader; what is not given is empty."""
    return {
        "entityName": entity,
        "recordIds": list(ids),
        "changeType": change_type,
        "changeOrigin": "",
        "transactionKey": f"{number:08x}-0000-4000-8000-000000000000",
        "sequenceNumber": sequence,
        "commitTimestamp": int(at.timestamp() * 1000),
        "commitNumber": number,
        "commitUser": "",
        "nulledFields": [],
        "diffFields": [],
        "changedFields": [],
        **more,
    }


def encode_commit(objects: Mapping[str, SandboxObject], commit: Commit) -> Iterator[tuple[SandboxObject, bytes]]:
    """The events of one transaction, in order. Equal changes next to each other share one event, as in the real bus."""
    for sequence, (_, group) in enumerate(itertools.groupby(commit.changes, _alike), start=1):
        changes = list(group)
        first = changes[0]
        definition = objects[first.object]
        header = header_of(
            first.object,
            [change.record_id for change in changes],
            _CHANGE_TYPE[first.kind],
            number=commit.number,
            at=commit.at,
            sequence=sequence,
            changeOrigin=commit.origin,
            commitUser=commit.actor,
        )
        if first.kind == "update":
            header["changedFields"] = bitmaps(definition.fields, first.changed)
            header["nulledFields"] = bitmaps(definition.fields, first.nulled)
        carried = () if first.kind == "delete" else first.changed
        yield definition, encode(definition, header, first.row, carried)


def _alike(change: Change) -> tuple[Any, ...]:
    values = tuple((name, change.row[name]) for name in change.changed)
    return change.object, change.kind, values


def _avro_value(kind: str, value: Any) -> Any:
    if kind == "datetime":
        return int(datetime.fromisoformat(value).timestamp() * 1000)
    if kind == "date":
        day = date.fromisoformat(value)
        return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    if kind in ("currency", "double"):
        return float(value)
    return value if kind in ("boolean", "int") else str(value)
