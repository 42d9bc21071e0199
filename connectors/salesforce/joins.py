"""Two records made one: a lead that becomes a contact of its account, and duplicates that go into one record.

Neither can be undone, and both may happen though no answer came. So the records, all of them, are read right before each try: what is so
already is done, and what a person did meanwhile is left as they did it. SOAP knows no condition: what a person changes between that look
and the call is joined all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any
from xml.etree.ElementTree import Element

from connectors.contract import Maps, WriteResult
from connectors.errors import Conflict, ConnectorError, Misconfigured
from connectors.mapping import Unconvertible, outward
from connectors.salesforce import soap
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import CONVERTED, SYSTEM, save_error
from connectors.salesforce.reader import values_of
from connectors.salesforce.values import reader_of, to_salesforce
from routing.core.model import Write

LEADS = 100  # leads a convertLead call takes
MERGES = 200  # and merges a merge call
_IDS = 200
# Salesforce moves everything that hangs on the records; it gives up by itself after ten minutes of it.
_TIMEOUT = 120.0
_CONVERTIBLE = "Lead"
_MERGEABLE = ("Lead", "Contact", "Account")
_LOOKED_AT = ("Id", "IsDeleted", "MasterRecordId", "LastModifiedById")
_CONVERSION = ("Id", "IsConverted", "ConvertedAccountId", "ConvertedContactId", "LastModifiedById")
_WHO = ("merged", "into", "seen")

Row = dict[str, Any]
Asked = Callable[[Element], None]


class Joins:
    """Safe to use from several threads. Blocks: one query, and one SOAP call for 100 leads or 200 merges; nothing is tried again."""

    def __init__(self, client: SalesforceClient, maps: Maps) -> None:
        self._client, self._maps = client, maps
        self._lock = Lock()
        self._status = client.settings.converted_status

    def convert(self, writes: Sequence[Write]) -> Iterator[WriteResult]:
        """One result a conversion. Raises ConnectorError when nothing could be learned or sent."""
        if not writes:
            return
        refused = {write.write_id: error for write in writes if (error := self._not_convertible(write)) is not None}
        sound = [write for write in writes if write.write_id not in refused]
        for write_id, error in refused.items():
            yield WriteResult(write_id, error)
        watched = [
            self._maps()[write.entity].fields[name] for write in sound for name in self._known(write, write.still)
        ]
        held = self._read("query/", _CONVERTIBLE, (*_CONVERSION, *watched), [write.record_id for write in sound])
        going: list[Write] = []
        for write in sound:
            row = held.get(write.record_id[:15])
            done = _converted(write, row) or self._moved(write, row or {}, _still(write))
            if done is None:
                going.append(write)
            else:
                yield done
        status = self._converted_status() if going else ""
        for part in _parts(going, LEADS):
            yield from self._send("convertLead", part, [_conversion(write, status) for write in part])

    def merge(self, writes: Sequence[Write]) -> Iterator[WriteResult]:
        """One result a merge. Raises ConnectorError when nothing could be learned or sent."""
        requests: dict[str, Asked] = {}
        by_entity: dict[str, list[Write]] = {}
        for write in writes:
            entity_map = self._maps().get(write.entity)
            if entity_map is None or entity_map.remote not in _MERGEABLE:
                yield WriteResult(write.write_id, _not_mergeable(write))
            else:
                by_entity.setdefault(write.entity, []).append(write)
        for entity, some in by_entity.items():
            name = self._maps()[entity].remote
            ids = [one for write in some for one in _merging(write)]
            own = self._own_fields(entity)
            more = ("IsConverted",) if name == _CONVERTIBLE else ()
            asked = {field for write in some for field in self._known(write, (*write.still, *_seen(write)))}
            watched = [self._maps()[entity].fields[field] for field in sorted(asked)]
            held = self._read("queryAll/", name, (*_LOOKED_AT, *more, *own.values(), *watched), ids)
            for write in some:
                try:
                    requests[write.write_id] = self._merger(write, name, held)
                except _Settled as settled:
                    yield settled.result
                except ConnectorError as error:
                    yield WriteResult(write.write_id, error)
        going = [write for write in writes if write.write_id in requests]
        for part in _parts(going, MERGES):
            yield from self._send("merge", part, [requests[write.write_id] for write in part])

    def _known(self, write: Write, fields: Iterable[str]) -> list[str]:
        """Those of the fields that Salesforce has."""
        return [name for name in fields if name in self._maps()[write.entity].fields]

    def _moved(self, write: Write, row: Row, may: Mapping[str, Sequence[Any]]) -> WriteResult | None:
        """Says so where a record holds something else than it may, as somebody was faster."""
        entity_map = self._maps()[write.entity]
        values, _ = values_of(entity_map, self._known(write, may), row)
        for name, value in values.items():
            if not any(_same(one, value) for one in may[name]):
                by = f"; last changed by {row['LastModifiedById']}" if row.get("LastModifiedById") else ""
                said = f"{write.entity} {row['Id']}: {name} is now {value!r}, not {may[name][0]!r}{by}"
                return WriteResult(write.write_id, overtaken=said)
        return None

    def _read(self, path: str, name: str, fields: Iterable[str], ids: Sequence[str]) -> dict[str, Row]:
        found: dict[str, Row] = {}
        columns = ", ".join(dict.fromkeys(fields))
        known = [one for one in dict.fromkeys(ids) if len(one) in (15, 18) and one.isascii() and one.isalnum()]
        for start in range(0, len(known), _IDS):
            listed = ",".join(f"'{one}'" for one in known[start : start + _IDS])
            query = f"SELECT {columns} FROM {name} WHERE Id IN ({listed})"  # noqa: S608 - ids and names of our own
            answer = self._client.query(query, path=path, what=f"looking at {len(known)} {name} records")
            found |= {row["Id"][:15]: row for row in answer["records"]}
        return found

    def _not_convertible(self, write: Write) -> ConnectorError | None:
        entity_map = self._maps().get(write.entity)
        if entity_map is None or entity_map.remote != _CONVERTIBLE:
            return Misconfigured(
                f"{write.entity} {write.record_id} cannot be converted: only Salesforce's leads can.",
                system=SYSTEM,
                code=write.entity,
            )
        return None

    def _converted_status(self) -> str:
        """The status that says converted; asked for once, of several the first in the order of Setup."""
        with self._lock:
            if not self._status:
                query = "SELECT ApiName FROM LeadStatus WHERE IsConverted = true ORDER BY SortOrder LIMIT 1"
                answer = self._client.query(query, what="asking what converted leads are called")
                if not answer["records"]:
                    raise Misconfigured(
                        "No lead status of the org means converted. Tick Converted for one of them in Setup (Lead Status), or "
                        "let the integration user see it.",
                        system=SYSTEM,
                        code="LeadStatus",
                    )
                self._status = answer["records"][0]["ApiName"]
            return self._status

    def _merger(self, write: Write, name: str, held: dict[str, Row]) -> Asked:
        """What asks for a merge. Raises _Settled where nothing is left of it, ConnectorError for a field that cannot be set."""
        master_id, *merging = _merging(write)
        master = held.get(master_id[:15])
        if master is None or master["IsDeleted"]:
            raise _Settled(WriteResult(write.write_id, overtaken=f"the {write.entity} was deleted or merged meanwhile"))
        others = [row for one in merging if (row := held.get(one[:15])) is not None]
        left = [row for row in others if not row["IsDeleted"]]
        if not left:
            if any((row["MasterRecordId"] or "")[:15] == master["Id"][:15] for row in others):
                raise _Settled(WriteResult(write.write_id, record_id=master["Id"]))
            raise _Settled(WriteResult(write.write_id, overtaken="what was to be merged was deleted meanwhile"))
        if any(row.get("IsConverted") for row in (master, *left)):
            raise _Settled(WriteResult(write.write_id, overtaken=f"the {write.entity} was converted meanwhile"))
        for row in (master, *left):
            own = row["Id"][:15] == write.record_id[:15]
            moved = self._moved(write, row, _still(write) if own else _seen(write))
            if moved is not None:
                raise _Settled(moved)
        values = self._gained(write.entity, master, left) | outward(
            write, self._maps()[write.entity], to_salesforce, _WHO
        )

        def ask(call: Element) -> None:
            request = soap.part(call, "request")
            record = soap.part(request, "masterRecord")
            soap.object_part(record, "type", name)
            for field, value in values.items():
                if value in (None, ""):
                    soap.object_part(record, "fieldsToNull", field)
            soap.object_part(record, "Id", master["Id"])
            for field, value in values.items():
                if value not in (None, ""):
                    soap.object_part(record, field, value if isinstance(value, bool) else str(value))
            for row in left:
                soap.part(request, "recordToMergeIds", row["Id"])

        return ask

    def _own_fields(self, entity: str) -> dict[str, str]:
        """The fields that a merge may fill, as Salesforce calls them."""
        found = self._maps()[entity]
        return {name: remote for name, remote in found.fields.items() if name not in found.read_only}

    def _gained(self, entity: str, master: Row, others: Sequence[Row]) -> Row:
        """What the master has no value for and one of the others has: Salesforce would let it go with them."""
        types, gained = self._maps()[entity].types, {}
        for name, remote in self._own_fields(entity).items():
            if master[remote] is None:
                found = next((row[remote] for row in others if row[remote] is not None), None)
                if found is not None:
                    try:
                        gained[remote] = to_salesforce(reader_of(types.get(name, "text"))(found))
                    except Unconvertible:  # of another type than fields.yaml says; it is kept all the same
                        gained[remote] = found
        return gained

    def _send(self, name: str, writes: Sequence[Write], asked: Sequence[Asked]) -> Iterator[WriteResult]:
        what = f"the call {name} for {len(writes)} records"
        insists = self._client.settings.save_despite_alerts
        answers = soap.call(self._client, name, asked, what=what, insists=insists, timeout=_TIMEOUT)
        for write, answer in zip(writes, answers, strict=True):
            yield _judged(write, answer)


class _Settled(Exception):
    """Nothing is left to ask for."""

    def __init__(self, result: WriteResult) -> None:
        super().__init__(result.write_id)
        self.result = result


def _converted(write: Write, row: Row | None) -> WriteResult | None:
    """What is to be said of a conversion before it is tried; None when it is to be."""
    if row is None:
        return WriteResult(write.write_id, overtaken="the lead was deleted or merged meanwhile")
    if not row["IsConverted"]:
        return None
    account, contact = row["ConvertedAccountId"] or "", row["ConvertedContactId"] or ""
    if account[:15] == str(write.fields["account"])[:15]:
        return WriteResult(write.write_id, record_id=contact)
    return WriteResult(
        write.write_id, overtaken=f"somebody converted it to the contact {contact} of the account {account}"
    )


def _conversion(write: Write, status: str) -> Asked:
    def ask(call: Element) -> None:
        # In the order of the partner WSDL, which is that of the alphabet.
        lead = soap.part(call, "leadConverts")
        soap.part(lead, "accountId", write.fields["account"])
        if write.fields.get("contact"):
            soap.part(lead, "contactId", write.fields["contact"])
        soap.part(lead, "convertedStatus", status)
        soap.part(lead, "doNotCreateOpportunity", not write.fields.get("opportunity"))
        soap.part(lead, "leadId", write.record_id)
        soap.part(lead, "overwriteLeadSource", False)
        if write.fields.get("owner"):
            soap.part(lead, "ownerId", write.fields["owner"])
        soap.part(lead, "sendNotificationEmail", False)

    return ask


def _judged(write: Write, answer: Element) -> WriteResult:
    """What one result says."""
    if soap.text_of(answer, "success") == "true":
        made = soap.text_of(answer, "contactId") if write.kind == "convert" else soap.text_of(answer, "id")
        return WriteResult(write.write_id, record_id=made)
    errors = [
        {"statusCode": soap.text_of(one, "statusCode"), "message": soap.text_of(one, "message")}
        for one in answer.iterfind("{*}errors")
    ]
    error = save_error(write.record_id, write.entity, errors)
    if write.kind == "convert" and error.code == CONVERTED:
        # Somebody was faster by a moment: the next try sees how.
        error = Conflict(str(error), system=SYSTEM, code=error.code)
    return WriteResult(write.write_id, error)


def _still(write: Write) -> dict[str, Sequence[Any]]:
    return {name: [value] for name, value in write.still.items()}


def _seen(write: Write) -> Mapping[str, Sequence[Any]]:
    found: Mapping[str, Sequence[Any]] = write.fields.get("seen", {})
    return found


def _same(one: Any, other: Any) -> bool:
    """Whether a value is what was expected; a text may have been trimmed, or put in lower case, by a correction of ours."""
    if isinstance(one, str) and isinstance(other, str):
        return one.strip().casefold() == other.strip().casefold()
    return one == other or (one in (None, "") and other in (None, ""))


def _merging(write: Write) -> list[str]:
    """The ids of the record that stays, and of those that go into it."""
    if "into" in write.fields:
        return [write.fields["into"], write.record_id]
    return [write.record_id, *write.fields["merged"]]


def _not_mergeable(write: Write) -> ConnectorError:
    return Misconfigured(
        f"{write.entity} {write.record_id} cannot be merged: only Salesforce's leads, contacts and accounts can.",
        system=SYSTEM,
        code=write.entity,
    )


def _parts(writes: Sequence[Write], size: int) -> Iterator[Sequence[Write]]:
    for start in range(0, len(writes), size):
        yield writes[start : start + size]
