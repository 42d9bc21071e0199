"""Writing to Marketo: up to 300 leads a call, each judged on its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import msgspec

from connectors.contract import Maps, WriteResult
from connectors.errors import ConnectorBug, ConnectorError, MalformedAnswer, Misconfigured, RecordRejected
from connectors.mapping import outward
from connectors.marketo.client import Client
from connectors.marketo.errors import LEAD_EXISTS, Said, of_record
from connectors.marketo.reader import LIMIT, MarketoReader
from connectors.marketo.settings import SYSTEM
from connectors.marketo.values import is_lead_id, lead_map, to_field
from routing.core.model import EntityMap, Write

_ABOUT = ("about", "about_entity")
_MOST_BYTES = 900_000  # in one call; the vendor takes 1 MB


class _Row(msgspec.Struct, frozen=True):
    status: str = ""
    id: int | str = ""
    reasons: list[Said] = []


class _Rows(msgspec.Struct, frozen=True):
    result: list[_Row] = []


class MarketoSink:
    """Blocks; never repeats a request. Creations go by e-mail address, one request at a time; a lead that is there is left as it is.

    Marketo makes two leads of two creations with one address at the same moment. Within this process a lock prevents that, and within a
    batch an address occurs once; of several processes the outbox hands creations of one address to one at a time (``outbox.locks``).
    """

    batch_size = LIMIT

    def __init__(self, client: Client, maps: Maps, reader: MarketoReader) -> None:
        self._client, self._maps, self._reader = client, maps, reader
        self._creating = threading.Lock()

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        """See ``contract.Sink``."""
        if len(writes) > LIMIT:
            raise ConnectorBug(f"{len(writes)} writes in one Marketo batch; {LIMIT} is the most", system=SYSTEM)
        found = lead_map(self._maps())
        errors: dict[str, ConnectorError] = {}
        updates: list[tuple[Write, dict[str, Any]]] = []
        creates: list[tuple[Write, dict[str, Any]]] = []
        for write in writes:
            try:
                fields = _translate(write, found)
            except ConnectorError as error:
                errors[write.write_id] = error
            else:
                (creates if write.kind == "create" else updates).append((write, fields))
        results: dict[str, WriteResult] = {}
        calls = [("updateOnly", "id", some) for some in _fitting(updates)]
        calls += [("createOnly", "email", some) for one in _apart(creates) for some in _fitting(one)]
        for action, key, rows in calls:
            try:
                results |= self._send(action, key, rows)
            except ConnectorError as error:
                if len(calls) == 1 and not errors:
                    raise
                results |= {write.write_id: WriteResult(write.write_id, error) for write, _ in rows}
        return [results.get(w.write_id) or WriteResult(w.write_id, errors.get(w.write_id)) for w in writes]

    def created(self, writes: Sequence[Write]) -> dict[str, str]:
        """See ``contract.Sink.created``."""
        found = lead_map(self._maps())
        wanted = {str(_translate(write, found)["email"]).lower(): write.write_id for write in writes}
        ids: dict[str, str] = {}
        for start in range(0, len(wanted), LIMIT):
            part = list(wanted)[start : start + LIMIT]
            for lead in self._reader.leads("looking for new leads", "email", part, ["id", "email"]):
                write_id = wanted.get(str(lead.get("email") or "").lower())
                if write_id:
                    ids[write_id] = str(lead["id"])
        return ids

    def _send(self, action: str, key: str, rows: list[tuple[Write, dict[str, Any]]]) -> dict[str, WriteResult]:
        ids = [fields[key] for _, fields in rows]
        if len(set(ids)) < len(ids):
            raise ConnectorBug("a lead occurs twice in one Marketo batch", system=SYSTEM)
        what = f"writing {len(rows)} leads"
        body = {"action": action, "lookupField": key, "input": [fields for _, fields in rows]}
        if action == "updateOnly":
            answer = self._client.post(what, "/rest/v1/leads.json", body, _Rows)
        else:
            with self._creating:
                answer = self._client.post(what, "/rest/v1/leads.json", body, _Rows)
        if len(answer.result) != len(rows):
            raise MalformedAnswer(
                f"Marketo answered {len(answer.result)} results for {len(rows)} leads",
                system=SYSTEM,
                outcome_unknown=True,
            )
        results = {}
        for (write, _), row in zip(rows, answer.result, strict=True):
            fine = row.status in ("updated", "created")
            made = str(row.id) if fine and write.kind == "create" else ""
            error = None if fine else of_record(row.reasons, write.record_id)
            results[write.write_id] = WriteResult(write.write_id, error, made)
        there = [write for write, _ in rows if write.creates and _is_there(results[write.write_id].error)]
        return results | self._those(there)

    def _those(self, writes: Sequence[Write]) -> dict[str, WriteResult]:
        """Creations of leads that are there: their ids. What people entered is not overwritten."""
        if not writes:
            return {}
        try:
            found = self.created(writes)
        except ConnectorError as error:
            return {write.write_id: WriteResult(write.write_id, error) for write in writes}
        return {write_id: WriteResult(write_id, None, record_id) for write_id, record_id in found.items()}


def _is_there(error: ConnectorError | None) -> bool:
    return error is not None and error.code == LEAD_EXISTS


def _translate(write: Write, found: EntityMap) -> dict[str, Any]:
    if write.kind in ("convert", "merge"):
        raise Misconfigured(
            f"{write.entity} {write.record_id}: Fingerpost does not {write.kind} Marketo's leads", system=SYSTEM
        )
    if write.entity != found.entity:
        raise Misconfigured(
            f"Marketo {write.entity} records cannot be written: fields.yaml has no object", system=SYSTEM
        )
    fields = outward(write, found, to_field, _ABOUT if write.creates else ())
    if write.kind == "create":
        if not fields.get("email"):
            raise RecordRejected(
                "a lead without an e-mail address is not made: after a lost answer nothing would tell whether it was",
                system=SYSTEM,
            )
        return fields
    if not is_lead_id(write.record_id):
        raise RecordRejected(f"{write.record_id!r} is no id of a Marketo lead", system=SYSTEM)
    return {"id": int(write.record_id), **fields}


def _apart(creates: list[tuple[Write, dict[str, Any]]]) -> list[list[tuple[Write, dict[str, Any]]]]:
    """As few batches as have every address once in each."""
    batches: list[dict[str, tuple[Write, dict[str, Any]]]] = []
    for write, fields in creates:
        key = str(fields["email"]).lower()
        batch = next((one for one in batches if key not in one), None)
        if batch is None:
            batches.append(batch := {})
        batch[key] = (write, fields)
    return [list(batch.values()) for batch in batches]


def _fitting(rows: list[tuple[Write, dict[str, Any]]]) -> list[list[tuple[Write, dict[str, Any]]]]:
    """As few parts, in order, as are each small enough for one call. A lead that is too large by itself goes alone, and is refused alone."""
    parts: list[list[tuple[Write, dict[str, Any]]]] = []
    room = 0
    for row in rows:
        size = len(msgspec.json.encode(row[1]))
        if not parts or size > room:
            parts.append([])
            room = _MOST_BYTES
        parts[-1].append(row)
        room -= size + 1
    return parts
