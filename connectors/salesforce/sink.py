"""Writing to Salesforce: sObject Collections, up to 200 records of several objects in one call; what joins records goes by SOAP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from connectors.contract import Maps, WriteResult
from connectors.errors import ConnectorBug, ConnectorError, Misconfigured
from connectors.mapping import outward
from connectors.salesforce import conditional
from connectors.salesforce.budget import SHORT, Urgency
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.conditional import ROWS, refused
from connectors.salesforce.creations import already, found_again, row_of
from connectors.salesforce.errors import SYSTEM, malformed, save_error
from connectors.salesforce.joins import Joins
from connectors.salesforce.owners import Owners
from connectors.salesforce.values import to_salesforce
from routing.core.model import EntityMap, Write

BATCH = 200  # records a Collections call takes
RUNS = 10  # and how many runs of one object type after another

Row = dict[str, Any]
Numbered = tuple[int, Row]  # a record to be sent, with the number of its write
# What is sent together, and how: it gives the results by number.
Request = tuple[Sequence[Numbered], Callable[[], Iterable[tuple[int, WriteResult]]]]
_JOINS = ("convert", "merge")


class SalesforceSink:
    """``contract.Sink`` over a client."""

    def __init__(self, client: SalesforceClient, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._maps = maps
        self._owners = Owners(client, clock)
        self._joins = Joins(client, maps)
        self._headers = {
            # The default is TRUE: the org's own assignment rules would take the lead from whom we gave it to.
            "Sforce-Auto-Assign": "FALSE",
            # An alert about a possible duplicate must not stop an assignment; a rule that blocks still does.
            "Sforce-Duplicate-Rule-Header": f"allowSave={str(client.settings.save_despite_alerts).lower()}",
        }

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        """See ``contract.Sink.write``: one call for changes, one for creations, none where nothing can be sent; two for 100
        conversions or 200 merges.

        One more goes before where owners occur of whom nothing was heard lately. Raises ConnectorError.
        """
        if len(writes) > BATCH:
            raise ConnectorBug(f"{len(writes)} writes were handed over; Salesforce takes {BATCH}.", system=SYSTEM)
        results: dict[int, WriteResult] = {}
        changes: list[Numbered] = []
        creations: list[Numbered] = []
        for index, write in enumerate(writes):
            if write.kind in _JOINS:
                continue
            try:
                row = row_of(write, self._maps) if write.creates else _record(self._maps().get(write.entity), write)
            except ConnectorError as error:
                results[index] = WriteResult(write.write_id, error)
            else:
                (creations if write.creates else changes).append((index, row))
        for index, refusal in self._refused([*changes, *creations]).items():
            results[index] = WriteResult(writes[index].write_id, refusal)
        left = [[one for one in some if one[0] not in results] for some in (changes, creations)]
        self._send_all(writes, [*self._saves(writes, *left), *self._joining(writes)], results)
        return [results[index] for index in range(len(writes))]

    def _saves(
        self, writes: Sequence[Write], changes: Sequence[Numbered], creations: Sequence[Numbered]
    ) -> Iterator[Request]:
        """The requests that save rows: those that Salesforce is to guard, the other changes, and what is new."""
        compared = {name for name, one in self._maps().items() if one.guard == "conditional"}
        guarded = [one for one in changes if writes[one[0]].entity in compared and writes[one[0]].seen_at is not None]
        for start in range(0, len(guarded), ROWS):
            some = guarded[start : start + ROWS]
            yield some, partial(self._send_guarded, writes, some)
        apart = {index for index, _ in guarded}
        for method, rows in (("PATCH", [one for one in changes if one[0] not in apart]), ("POST", creations)):
            for part in _parts(rows):
                yield part, partial(self._send, method, writes, part)

    def _joining(self, writes: Sequence[Write]) -> Iterator[Request]:
        for kind, join in (("convert", self._joins.convert), ("merge", self._joins.merge)):
            joined: list[Numbered] = [(index, {}) for index, write in enumerate(writes) if write.kind == kind]
            if joined:
                yield joined, partial(_numbered, writes, joined, join)

    def created(self, writes: Sequence[Write], since: datetime) -> dict[str, str]:
        """See ``contract.Sink.created``. Raises ConnectorError."""
        if not writes:
            return {}
        user_id = self._client.session().user_id
        return found_again(writes, self._maps, user_id, since, self._rows)

    def _rows(self, query: str, what: str) -> Iterator[Row]:
        for page in self._client.pages(query, what=what):
            yield from page

    def _refused(self, records: Sequence[Numbered]) -> dict[int, ConnectorError]:
        """Which records name an owner that Salesforce would refuse."""
        wanted = {
            index: (str(row["attributes"]["type"]), str(row["OwnerId"])) for index, row in records if row.get("OwnerId")
        }
        refused = self._owners.refused(dict.fromkeys(wanted.values())) if wanted else {}
        return {index: refused[pair] for index, pair in wanted.items() if pair in refused}

    @staticmethod
    def _send_all(writes: Sequence[Write], requests: Sequence[Request], results: dict[int, WriteResult]) -> None:
        """Sends the requests. One of several that fails as a whole is told in the results of its writes: what became of
        the others is known. So is one that our budget puts off: what is more urgent must not wait with it."""
        for records, send in requests:
            known: dict[int, WriteResult] = {}
            try:
                known.update(send())  # keeps those that came before an error
            except ConnectorError as error:
                if len(requests) == 1 and not known and error.code != SHORT:
                    raise
                known = {index: WriteResult(writes[index].write_id, error) for index, _ in records} | known
            results |= known

    def _send_guarded(self, writes: Sequence[Write], records: list[Numbered]) -> Iterator[tuple[int, WriteResult]]:
        some = [writes[index] for index, _ in records]
        answer = self._client.call(
            "POST",
            "composite",
            body=conditional.body(some, [row for _, row in records], self._headers, self._client.settings.api_version),
            what=f"a guarded write of {len(records)} records",
            urgency=_urgency("PATCH", records),
        )
        yield from zip((index for index, _ in records), conditional.judged(some, answer), strict=True)

    def _send(self, method: str, writes: Sequence[Write], records: list[Numbered]) -> Iterator[tuple[int, WriteResult]]:
        answer = self._client.call(
            method,
            "composite/sobjects",
            body={"allOrNone": False, "records": [record for _, record in records]},
            headers=self._headers,
            what=f"a write of {len(records)} records",
            urgency=_urgency(method, records),
        )
        if not isinstance(answer, list) or len(answer) != len(records):
            raise malformed("another number of results", f"a write of {len(records)} records", writing=True)
        for (index, _), result in zip(records, answer, strict=True):
            yield index, _judged(writes[index], result)


def _urgency(method: str, records: Sequence[Numbered]) -> Urgency:
    return Urgency.URGENT if any("OwnerId" in row or method == "POST" for _, row in records) else Urgency.NORMAL


def _numbered(
    writes: Sequence[Write], records: Sequence[Numbered], join: Callable[[Sequence[Write]], Iterable[WriteResult]]
) -> Iterator[tuple[int, WriteResult]]:
    """The results of joins, with the numbers of their writes."""
    numbers = {writes[index].write_id: index for index, _ in records}
    for result in join([writes[index] for index, _ in records]):
        yield numbers[result.write_id], result


def _judged(write: Write, result: Row) -> WriteResult:
    """What one save result says."""
    if result.get("success"):
        return WriteResult(write.write_id, record_id=str(result.get("id") or "") if write.creates else "")
    entity, record_id = write.about
    error = save_error(
        record_id, f"a new {write.creates} for {entity}" if write.creates else entity, result.get("errors") or []
    )
    return refused(write, None if already(write, error) else error)


def _parts(records: Sequence[Numbered]) -> Iterator[list[Numbered]]:
    """Records in as many calls as they need: those of one object side by side, and among them those below one parent,
    since a save locks the parent too."""
    ordered = sorted(records, key=lambda numbered: (str(numbered[1]["attributes"]["type"]), _parent(numbered[1])))
    part: list[Numbered] = []
    names: list[str] = []
    for one in ordered:
        name = str(one[1]["attributes"]["type"])
        if name not in names and len(names) == RUNS:
            yield part
            part, names = [], []
        if name not in names:
            names.append(name)
        part.append(one)
    if part:
        yield part


def _parent(row: Row) -> str:
    return str(row.get("AccountId") or row.get("WhatId") or row.get("WhoId") or row.get("CampaignId") or "")


def _record(entity_map: EntityMap | None, write: Write) -> Row:
    """A change as Collections takes it. Raises Misconfigured."""
    if entity_map is None:
        raise Misconfigured(
            f"{write.entity!r} has no Salesforce object. Add one for it in fields.yaml.",
            system=SYSTEM,
            code=write.entity,
        )
    record: Row = {"attributes": {"type": entity_map.remote}, "id": write.record_id}
    return record | outward(write, entity_map, to_salesforce)
