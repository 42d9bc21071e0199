"""Making records in HubSpot: writes of kind ``create``. What is made is their entity, what it is about stands in their fields.

| entity | its fields | made once because |
|---|---|---|
| task | those of ``Write`` (without ``due``: now) | its body ends with the write's id, and the record's tasks are read |
| one that fields.yaml calls HubSpot's leads | its own, ``name`` among them | a contact that has a lead object of that name gets no second one |
| one that is HubSpot's contacts | its own, ``email`` among them | it is an upsert by e-mail address; one that is there is left as it is |
| association | to_entity, to | associating twice is once |

After a lost answer the associations of the record are read, not the search, whose index would be late. Of nothing else could it be
told then whether it was made, so nothing else is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from connectors.contract import Maps, WriteResult
from connectors.errors import ConnectorError, Misconfigured, RecordRejected
from connectors.hubspot.client import Client
from connectors.hubspot.errors import ErrorBody, of_input
from connectors.hubspot.objects import OWNERS, own_maps
from connectors.hubspot.settings import SYSTEM
from connectors.hubspot.values import to_property
from connectors.mapping import outward
from routing.core.model import EntityMap, Write

LEAD_TO_PRIMARY_CONTACT = 578  # the vendor's number of the association that a lead object cannot be without
_CATEGORY = "HUBSPOT_DEFINED"
_MARK = "Fingerpost "
_LEAD_NAME = "hs_lead_name"
_OTHER_EMAILS = "hs_additional_emails"  # joined by ";"; HubSpot finds a contact by these too
_ABOUT = ("about", "about_entity")


class _Label(msgspec.Struct, frozen=True, rename="camel"):
    category: str
    type_id: int
    label: str | None = None


class _Labels(msgspec.Struct, frozen=True):
    results: list[_Label]


class _Id(msgspec.Struct, frozen=True):
    id: str = ""


class _Pair(msgspec.Struct, frozen=True, rename={"one": "from"}):
    one: _Id
    to: _Id


class _Pairs(msgspec.Struct, frozen=True):
    results: list[_Pair] = []
    errors: list[ErrorBody] = []


class _Made(msgspec.Struct, frozen=True, rename="camel"):
    id: str = ""
    object_write_trace_id: str | None = None
    properties: dict[str, Any] = {}


class _Outcome(msgspec.Struct, frozen=True):
    results: list[_Made] = []
    errors: list[ErrorBody] = []


class _Linked(msgspec.Struct, frozen=True, rename="camel"):
    to_object_id: int


class _Next(msgspec.Struct, frozen=True):
    after: str = ""


class _Paging(msgspec.Struct, frozen=True):
    next: _Next | None = None


class _Links(msgspec.Struct, frozen=True):
    results: list[_Linked]
    paging: _Paging | None = None


class Creator:
    """Safe to use from several threads. Blocks; never repeats a request."""

    def __init__(self, client: Client, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client, self._maps, self._clock = client, maps, clock
        self._types: dict[tuple[str, str], int] = {}  # HubSpot's numbers of associations do not change

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        """What is of one kind goes in one request; one result a write. Raises ConnectorError when all failed alike."""
        errors: dict[str, ConnectorError] = {}
        inputs: dict[str, dict[str, Any]] = {}
        for write in writes:
            try:
                inputs[write.write_id] = self._input(write)
            except ConnectorError as error:
                errors[write.write_id] = error
        self._refuse_known(writes, inputs, errors)
        made: dict[str, WriteResult] = {}
        kinds = {write.write_id: self._kind(write) for write in writes if write.write_id in inputs}
        for kind in dict.fromkeys(kinds.values()):
            sent = [write for write in writes if kinds.get(write.write_id) == kind]
            try:
                if kind == "association":
                    made |= self._associate(sent)
                else:
                    made |= self._send(kind, sent, [inputs[write.write_id] for write in sent])
            except ConnectorError as error:
                if len(kinds) == len(sent) and not errors:
                    raise
                made |= {write.write_id: WriteResult(write.write_id, error) for write in sent}
        return [made.get(w.write_id) or WriteResult(w.write_id, errors.get(w.write_id)) for w in writes]

    def created(self, writes: Sequence[Write]) -> dict[str, str]:
        """See ``contract.Sink.created``: two requests a write, one for a contact."""
        found: dict[str, str] = {}
        for write in writes:
            record_id = self._find(write)
            if record_id:
                found[write.write_id] = record_id
        return found

    # -- what is sent ---------------------------------------------------------------------------------------------

    def _input(self, write: Write) -> dict[str, Any]:
        kind = self._kind(write)
        if kind == "association":
            return self._pair(write)
        make = {"tasks": self._task, "leads": self._lead, "contacts": self._contact}[kind]
        return {"objectWriteTraceId": write.write_id, **make(write)}

    def _refuse_known(
        self, writes: Sequence[Write], inputs: dict[str, dict[str, Any]], errors: dict[str, ConnectorError]
    ) -> None:
        """Takes lead objects out that are there already: after a lost answer nothing else tells whether one of that name is ours.

        Raises ConnectorError; nothing is sent then.
        """
        for write in writes:
            if write.write_id not in inputs or self._kind(write) != "leads":
                continue
            there = self._find(write)
            if there:
                del inputs[write.write_id]
                name = f"contact {write.about[1]} has a lead object of that name already: {there}"
                errors[write.write_id] = RecordRejected(
                    f"{name}. Give it another name, or discard this one", system=SYSTEM
                )

    def _kind(self, write: Write) -> str:
        if write.entity in ("task", "association"):
            return {"task": "tasks"}.get(write.entity, write.entity)
        remote = self._map(write.entity).remote
        if remote not in ("contacts", "leads"):
            raise Misconfigured(
                f"Fingerpost makes no HubSpot {remote}: after a lost answer nothing would tell whether it was made",
                system=SYSTEM,
            )
        return remote

    def _task(self, write: Write) -> dict[str, Any]:
        given = write.fields
        note = f"{given['note']}<br>" if given.get("note") else ""
        properties = {
            "hs_task_subject": str(given.get("subject") or "Follow up"),
            "hs_task_body": f"{note}{_MARK}{write.write_id}",
            "hs_timestamp": str(given.get("due") or _iso(self._clock())),
            "hs_task_status": "NOT_STARTED",
            "hs_task_type": "TODO",
        }
        if given.get("owner"):
            properties["hubspot_owner_id"] = str(given["owner"])
        if given.get("priority"):
            properties["hs_task_priority"] = str(given["priority"]).upper()
        entity, record_id = write.about
        links = [_link(record_id, self._type_id("tasks", self._map(entity).remote))] if entity != "task" else []
        return {"properties": properties, "associations": links}

    def _lead(self, write: Write) -> dict[str, Any]:
        entity, record_id = write.about
        if entity == write.entity or self._map(entity).remote != "contacts":
            raise Misconfigured("a HubSpot lead object is made for a contact only: name one in about", system=SYSTEM)
        properties = self._properties(write)
        if not properties.get(_LEAD_NAME):
            raise RecordRejected(f"a HubSpot lead object needs a name: map {_LEAD_NAME} and set it", system=SYSTEM)
        return {"properties": properties, "associations": [_link(record_id, LEAD_TO_PRIMARY_CONTACT)]}

    def _contact(self, write: Write) -> dict[str, Any]:
        properties = self._properties(write)
        email = properties.pop("email", "")
        if not email:
            raise RecordRejected(
                "a contact without an e-mail address is not made: after a lost answer nothing would tell whether it was",
                system=SYSTEM,
            )
        return {"id": email, "idProperty": "email", "properties": properties}

    def _properties(self, write: Write) -> dict[str, str]:
        return outward(write, self._map(write.entity), to_property, _ABOUT)

    def _pair(self, write: Write) -> dict[str, Any]:
        return {"from": {"id": write.about[1]}, "to": {"id": str(write.fields.get("to") or "")}}

    def _send(self, remote: str, writes: Sequence[Write], inputs: list[dict[str, Any]]) -> dict[str, WriteResult]:
        held: dict[str, WriteResult] = {}
        if remote == "contacts":
            held = self._held([one["id"] for one in inputs], writes)
            left = [(write, one) for write, one in zip(writes, inputs, strict=True) if write.write_id not in held]
            if not left:
                return held
            writes, inputs = [write for write, _ in left], [one for _, one in left]
        what = f"creating {len(inputs)} {remote}"
        function = self._client.batch.upsert if remote == "contacts" else self._client.batch.create
        answer = self._client.call(what, function, remote, {"inputs": inputs}, writing=True)
        outcome = answer.decode(_Outcome, what, writing=True)
        made = {
            one.object_write_trace_id: WriteResult(one.object_write_trace_id, None, one.id)
            for one in outcome.results
            if one.object_write_trace_id
        }
        refused: dict[str, ConnectorError] = {}
        for said in outcome.errors:
            for trace in said.context.get("objectWriteTraceId") or ():
                refused[str(trace)] = of_input(said, f"(new, write {trace})")
        return held | {
            write.write_id: made.get(write.write_id)
            or WriteResult(write.write_id, refused.get(write.write_id) or _unnamed(remote, write.write_id))
            for write in writes
        }

    def _held(self, emails: list[str], writes: Sequence[Write]) -> dict[str, WriteResult]:
        """Those whose contact is there: what people entered is not overwritten by a creation."""
        there: dict[str, str] = {}
        for one in self._read("contacts", emails, ["email", _OTHER_EMAILS], by="email"):
            known = f"{one.properties.get('email') or ''};{one.properties.get(_OTHER_EMAILS) or ''}"
            there |= {email.strip().lower(): one.id for email in known.split(";") if email.strip()}
        asked = zip(writes, emails, strict=True)
        return {
            write.write_id: WriteResult(write.write_id, None, there[email.lower()])
            for write, email in asked
            if email.lower() in there
        }

    def _associate(self, writes: Sequence[Write]) -> dict[str, WriteResult]:
        """One request for each pair of objects."""
        groups: dict[tuple[str, str], list[Write]] = {}
        for write in writes:
            to_entity = str(write.fields.get("to_entity") or "")
            groups.setdefault((self._map(write.about[0]).remote, self._map(to_entity).remote), []).append(write)
        results: dict[str, WriteResult] = {}
        for (one, other), pairs in groups.items():
            what = f"associating {len(pairs)} {one} with {other}"
            path = f"/crm/v4/associations/{one}/{other}/batch/associate/default"
            body = {"inputs": [self._pair(write) for write in pairs]}
            said = self._client.post(what, path, body, writing=True).decode(_Pairs, what)
            done = {(pair.one.id, pair.to.id) for pair in said.results}
            for write in pairs:
                ids = write.about[1], str(write.fields.get("to") or "")
                # What is wrong with a pair names the ids of either side; which keys hold them is not documented.
                error = None if not said.errors or ids in done else _error_of(ids, said.errors)
                results[write.write_id] = WriteResult(write.write_id, of_input(error, ids[0]) if error else None, "")
        return results

    # -- what there is already ------------------------------------------------------------------------------------

    def _find(self, write: Write) -> str:
        kind = self._kind(write)
        if kind == "contacts":
            email = self._properties(write).get("email", "")
            found = self._read("contacts", [email], ["email"], by="email")
            return found[0].id if found else ""
        entity, record_id = write.about
        if kind == "association" or entity == write.entity:
            return ""  # may be sent again, or was never sent
        name = "hs_task_body" if kind == "tasks" else _LEAD_NAME
        wanted = f"{_MARK}{write.write_id}" if kind == "tasks" else self._properties(write).get(_LEAD_NAME, "")
        what = f"looking for the {kind} of a record"
        about = self._map(entity).remote
        for ids in self._linked(what, f"/crm/v4/objects/{about}/{record_id}/associations/{kind}?limit=500"):
            for start in range(0, len(ids), 100):
                for one in self._read(kind, ids[start : start + 100], [name]):
                    held = str(one.properties.get(name) or "")
                    if held.endswith(wanted) if kind == "tasks" else held == wanted:
                        return one.id
        return ""

    def _linked(self, what: str, path: str) -> Iterator[list[str]]:
        """The ids in a list of associations, a page of 500 each."""
        after: str | None = ""
        while after is not None:
            page = self._client.get(what, path + (f"&after={quote(after, safe='')}" if after else "")).decode(
                _Links, what
            )
            yield [str(one.to_object_id) for one in page.results]
            after = page.paging.next.after or None if page.paging and page.paging.next else None

    def _read(self, remote: str, ids: list[str], names: list[str], by: str = "") -> list[_Made]:
        what = f"reading {len(ids)} {remote}"
        body: dict[str, Any] = {
            "properties": names,
            "propertiesWithHistory": [],
            "inputs": [{"id": one} for one in ids],
        }
        if by:
            body["idProperty"] = by
        return self._client.call(what, self._client.batch.read, remote, body).decode(_Outcome, what).results

    def _type_id(self, one: str, other: str) -> int:
        if (one, other) not in self._types:
            what = f"the associations of {one} with {other}"
            labels = self._client.get(what, f"/crm/v4/associations/{one}/{other}/labels").decode(_Labels, what)
            plain = [label.type_id for label in labels.results if label.category == _CATEGORY and label.label is None]
            if not plain:
                raise Misconfigured(f"HubSpot has no association of {one} with {other}", system=SYSTEM)
            self._types[one, other] = plain[0]
        return self._types[one, other]

    def _map(self, entity: str) -> EntityMap:
        found = own_maps(self._maps()).get(entity)
        if found is None or found.remote == OWNERS:
            raise Misconfigured(f"fields.yaml gives {entity or 'nothing'!r} no object in HubSpot", system=SYSTEM)
        return found


def _link(record_id: str, type_id: int) -> Mapping[str, Any]:
    return {
        "to": {"id": record_id},
        "types": [{"associationCategory": _CATEGORY, "associationTypeId": type_id}],
    }


def _error_of(ids: tuple[str, str], errors: Sequence[ErrorBody]) -> ErrorBody:
    """Which of the errors is about that pair: the one that names most of it."""
    return max(errors, key=lambda error: sum(one in _named(error) for one in ids))


def _named(error: ErrorBody) -> set[str]:
    return {str(one) for held in error.context.values() for one in (held if isinstance(held, list) else [held])}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _unnamed(remote: str, write_id: str) -> ConnectorError:
    return RecordRejected(
        f"HubSpot neither confirmed nor refused the new record ({remote}) of write {write_id}",
        system=SYSTEM,
        outcome_unknown=True,
    )
