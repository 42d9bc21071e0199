"""Writing to HubSpot: one batch update, each input judged on its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from connectors.contract import Maps, WriteResult
from connectors.errors import ConnectorBug, ConnectorError, Misconfigured, RecordRejected
from connectors.hubspot.client import Answer, Client
from connectors.hubspot.creating import Creator
from connectors.hubspot.errors import ErrorBody, of_input
from connectors.hubspot.objects import OWNERS, own_maps
from connectors.hubspot.settings import SYSTEM
from connectors.hubspot.values import to_property
from connectors.mapping import outward
from routing.core.model import EntityMap, Write

BATCH = 100  # inputs in one batch update; the vendor's limit


class _Updated(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    object_write_trace_id: str | None = None


class _Outcome(msgspec.Struct, frozen=True, rename="camel"):
    status: str = ""
    results: list[_Updated] = []
    errors: list[ErrorBody] = []


class HubSpotSink:
    """The writing half of the connection. Blocks; never repeats a request."""

    batch_size = BATCH

    def __init__(self, client: Client, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._maps = maps
        self._creator = Creator(client, maps, clock)

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        """See ``contract.Sink``. Writes of several entities go out as one request for each of them.

        Then a failure of one request is told in the results of its writes instead of being raised, since the others stand.
        """
        if len(writes) > BATCH:
            raise ConnectorBug(f"{len(writes)} writes in one HubSpot batch; {BATCH} is the most", system=SYSTEM)
        kinds = {write.kind for write in writes}
        if len(kinds) > 1:
            return self._each_kind(writes)
        if "create" in kinds:
            return self._creator.write(writes)
        errors: dict[str, ConnectorError | None] = {}
        groups: dict[str, list[tuple[Write, dict[str, str]]]] = {}
        maps = own_maps(self._maps())
        for write in writes:
            try:
                remote, properties = _translate(write, maps)
            except ConnectorError as error:
                errors[write.write_id] = error
            else:
                groups.setdefault(remote, []).append((write, properties))
        for remote, inputs in groups.items():
            try:
                errors |= self._send(remote, inputs)
            except ConnectorError as error:
                if len(groups) == 1 and not errors:
                    raise
                errors |= dict.fromkeys((write.write_id for write, _ in inputs), error)
        return [WriteResult(write.write_id, errors[write.write_id]) for write in writes]

    def created(self, writes: Sequence[Write]) -> dict[str, str]:
        """See ``contract.Sink.created``."""
        return self._creator.created(writes)

    def _each_kind(self, writes: Sequence[Write]) -> list[WriteResult]:
        """Writes of several kinds in one batch: a request for each kind, the failure of one told in its results."""
        results: dict[str, WriteResult] = {}
        for kind in dict.fromkeys(write.kind for write in writes):
            mine = [write for write in writes if write.kind == kind]
            try:
                results |= {result.write_id: result for result in self.write(mine)}
            except ConnectorError as error:
                results |= {write.write_id: WriteResult(write.write_id, error) for write in mine}
        return [results[write.write_id] for write in writes]

    def _send(self, remote: str, inputs: list[tuple[Write, dict[str, str]]]) -> Mapping[str, ConnectorError | None]:
        ids = [write.record_id for write, _ in inputs]
        if len(set(ids)) < len(ids):
            raise ConnectorBug(
                "a record occurs twice in one HubSpot batch, which HubSpot refuses as a whole", system=SYSTEM
            )
        what = f"updating {len(inputs)} {remote}"
        body = {
            "inputs": [
                # Without the trace id HubSpot fails the whole batch for one bad input.
                {"id": write.record_id, "objectWriteTraceId": write.write_id, "properties": properties}
                for write, properties in inputs
            ]
        }
        answer = self._client.call(what, self._client.batch.update, remote, body, writing=True)
        return _judge(answer, [write for write, _ in inputs], what)


def _translate(write: Write, maps: Mapping[str, EntityMap]) -> tuple[str, dict[str, str]]:
    found = maps.get(write.entity)
    if write.kind != "update":
        raise Misconfigured(
            f"{write.entity} {write.record_id}: Fingerpost does not {write.kind} HubSpot's records", system=SYSTEM
        )
    if found is None or found.remote == OWNERS:
        raise Misconfigured(
            f"HubSpot {write.entity} records cannot be written: fields.yaml has no object", system=SYSTEM
        )
    return found.remote, outward(write, found, to_property)


def _judge(answer: Answer, writes: list[Write], what: str) -> dict[str, ConnectorError | None]:
    """Which inputs came through: by trace id, else by record id. What is named nowhere is not known."""
    outcome = answer.decode(_Outcome, what, writing=True)
    by_record = {write.record_id: write.write_id for write in writes}
    known = set(by_record.values())
    verdicts: dict[str, ConnectorError | None] = {}
    for updated in outcome.results:
        write_id = updated.object_write_trace_id or by_record.get(updated.id, "")
        if write_id in known:
            verdicts[write_id] = None
    records = {write.write_id: write.record_id for write in writes}
    blanket: ConnectorError | None = None
    for said in outcome.errors:
        named = [name for name in _named(said.context) if name in known or name in by_record]
        for name in named:
            write_id = name if name in known else by_record[name]
            verdicts[write_id] = of_input(said, records[write_id])
        if not named:
            blanket = of_input(said, "(not named)")
    for write_id in known - verdicts.keys():
        verdicts[write_id] = _unnamed(records[write_id], answer.status, blanket)
    return verdicts


def _unnamed(record_id: str, status: int, blanket: ConnectorError | None) -> ConnectorError:
    """HubSpot can answer 207 without naming an input at all, for example for an id that does not exist."""
    said = f" It says: {blanket}" if blanket else ""
    return RecordRejected(
        f"HubSpot neither confirmed nor refused record {record_id} (status {status}); it may not exist.{said}",
        system=SYSTEM,
        code=blanket.code if blanket else "",
        outcome_unknown=True,
    )


def _named(context: Mapping[str, Any]) -> list[str]:
    """Every trace id and record id in an error's context."""
    names: list[str] = []
    for key in ("objectWriteTraceId", "id", "ids"):
        value = context.get(key)
        names.extend([value] if isinstance(value, str) else [str(name) for name in value or ()])
    return names
