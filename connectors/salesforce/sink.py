"""Writing to Salesforce: sObject Collections, up to 200 records of several objects in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.contract import Maps, WriteResult
from connectors.errors import ConnectorBug, ConnectorError, Misconfigured
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import SYSTEM, save_error
from connectors.salesforce.values import to_salesforce
from routing.core.model import EntityMap, Write

BATCH = 200  # records a Collections call takes

_HEADERS = {
    # The default is TRUE: the org's own assignment rules would take the lead from whom we gave it to.
    "Sforce-Auto-Assign": "FALSE",
    # An alert about a possible duplicate must not stop an assignment; a rule that blocks still does.
    "Sforce-Duplicate-Rule-Header": "allowSave=true",
}


class SalesforceSink:
    """``contract.Sink`` over a client."""

    def __init__(self, client: SalesforceClient, maps: Maps) -> None:
        self._client = client
        self._maps = maps

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        """See ``contract.Sink.write``; one call, none where no write can be sent. Raises ConnectorError."""
        if len(writes) > BATCH:
            raise ConnectorBug(f"{len(writes)} writes were handed over; Salesforce takes {BATCH}.", system=SYSTEM)
        maps = self._maps()
        errors: dict[int, ConnectorError] = {}
        records: list[tuple[int, dict[str, Any]]] = []
        for index, write in enumerate(writes):
            try:
                records.append((index, _record(maps.get(write.entity), write)))
            except ConnectorError as error:
                errors[index] = error
        # At most 10 runs of one object type are allowed in a call: records of a type go side by side.
        records.sort(key=lambda numbered: str(numbered[1]["attributes"]["type"]))
        if records:
            errors |= self._send(writes, records)
        return [WriteResult(write.write_id, errors.get(index)) for index, write in enumerate(writes)]

    def _send(
        self, writes: Sequence[Write], records: Sequence[tuple[int, dict[str, Any]]]
    ) -> dict[int, ConnectorError]:
        """Sends the records; the errors by index of the write."""
        answer = self._client.call(
            "PATCH",
            "composite/sobjects",
            body={"allOrNone": False, "records": [record for _, record in records]},
            headers=_HEADERS,
            what=f"a write of {len(records)} records",
        )
        if not isinstance(answer, list) or len(answer) != len(records):
            raise ConnectorBug(
                f"Salesforce answered a write of {len(records)} records with another number of results; "
                "what was written must be read back.",
                system=SYSTEM,
                outcome_unknown=True,
            )
        errors: dict[int, ConnectorError] = {}
        for (index, _), result in zip(records, answer, strict=True):
            if not result.get("success"):
                errors[index] = save_error(writes[index].record_id, writes[index].entity, result.get("errors") or [])
        return errors


def _record(entity_map: EntityMap | None, write: Write) -> dict[str, Any]:
    """A write as Collections takes it. Raises Misconfigured."""
    if entity_map is None:
        raise Misconfigured(
            f"{write.entity!r} has no Salesforce object. Add one for it in fields.yaml.",
            system=SYSTEM,
            code=write.entity,
        )
    record: dict[str, Any] = {"attributes": {"type": entity_map.remote}, "id": write.record_id}
    for name, value in write.fields.items():
        remote = entity_map.fields.get(name)
        if remote is None or name in entity_map.read_only:
            why = "has no Salesforce field" if remote is None else "is marked read only"
            raise Misconfigured(
                f"{write.entity}.{name} {why} in fields.yaml, so it cannot be written to {write.record_id}.",
                system=SYSTEM,
                code=name,
            )
        record[remote] = to_salesforce(value)
    return record
