"""Leads by field, and their writes: up to 300 in a call, each judged on its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from connectors.sandbox.faults import Fault
from connectors.sandbox.marketo.answers import PAGE, Failure, Query
from connectors.sandbox.marketo.store import FIELDS, Lead, Refusal, Store


class _Write(msgspec.Struct, rename="camel"):
    input: list[dict[str, Any]]
    action: str = "createOrUpdate"
    lookup_field: str = "email"


def _field(store: Store, name: str) -> tuple[str, bool]:
    """A field's type and whether it is read only; no type where there is none of that name."""
    return ("", False) if name in store.gone else FIELDS.get(name, ("", False))


def check(store: Store, names: Iterable[str]) -> None:
    """Raises Failure for a field that is not there."""
    for name in names:
        if not _field(store, name)[0]:
            raise Failure("1006", f"Field '{name}' not found")


class Leads:
    """Handlers of leads.json and leads/describe.json."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        """leads.json, asked: leads with one of the values."""
        by, keys = query.get("filterType", ""), [one for one in query.get("filterValues", "").split(",") if one]
        if by not in FIELDS or not keys:
            raise Failure("1003", f"filterType {by!r} is not known, or filterValues are missing")
        if len(keys) > PAGE:
            raise Failure("1003", f"Too many values ({len(keys)}) specified for filterValues; {PAGE} is the most")
        names = (query.get("fields") or "id,email,firstName,lastName,createdAt,updatedAt").split(",")
        check(self._store, names)
        wanted = {one.lower() for one in keys}
        with self._store.lock:
            found = [one for one in self._store.leads.values() if str(one.value(by) or "").lower() in wanted]
            return {"result": [{name: one.value(name) for name in {*names, "id"}} for one in found]}

    def write(self, _query: Query, body: bytes, fault: Fault | None) -> Any:
        """leads.json, posted to."""
        asked = msgspec.json.decode(body, type=_Write)
        if not 0 < len(asked.input) <= PAGE:
            raise Failure("1003", f"between 1 and {PAGE} leads are written in one call")
        if asked.action not in ("updateOnly", "createOrUpdate", "createOnly"):
            raise Failure("1003", f"Invalid value for action: {asked.action}")
        rows = []
        for place, given in enumerate(asked.input):
            try:
                if fault is not None and fault.hits(place):
                    self._strike(fault, given)
                rows.append(self._write_one(asked, given))
            except Refusal as error:
                rows.append({"status": "skipped", "reasons": [{"code": error.code, "message": error.message}]})
        return {"result": rows}

    def _strike(self, fault: Fault, given: Mapping[str, Any]) -> None:
        """What a fault does to one record. Raises Refusal."""
        if fault.kind == "lock":
            raise Refusal("1022", "Object in use")
        if fault.kind == "partial":
            raise Refusal("1003", "The sandbox said no")
        edits = {name: f"{value} (edited)" for name, value in given.items() if name != "id" and value}
        self._store.update(int(given.get("id") or 0), edits, "User", "ana@example.com")

    def _write_one(self, asked: _Write, given: Mapping[str, Any]) -> dict[str, Any]:
        key = given.get(asked.lookup_field)
        if key in (None, ""):
            raise Refusal("1003", f"Required field '{asked.lookup_field}' missing")
        values = {name: value for name, value in given.items() if name != "id"}
        for name, value in values.items():
            kind, read_only = _field(self._store, name)
            if not kind or read_only:
                raise Refusal("1006", f"Field '{name}' not found" if not kind else f"Field '{name}' is not updateable")
            if kind == "integer" and value is not None and not str(value).lstrip("-").isdigit():
                raise Refusal("1003", f"Invalid value for field '{name}'")
        with self._store.lock:
            found: list[Lead]
            if asked.lookup_field == "id":
                one = self._store.leads.get(int(str(key)) if str(key).isdigit() else 0)
                found = [one] if one else []
            else:
                found = self._store.by_email(str(key))
            if len(found) > 1:
                raise Refusal("1007", "Multiple lead match lookup criteria")
            if found:
                if asked.action == "createOnly":
                    raise Refusal("1005", "Lead already exists")
                lead = self._store.update(found[0].id, values, "Web service API", api=True)
                return {"id": lead.id, "status": "updated"}
            if asked.action == "updateOnly":
                raise Refusal("1004", "Lead not found")
            lead = self._store.create(values, "Web service API")
            lead.writes = dict.fromkeys(values, 1)
            return {"id": lead.id, "status": "created"}

    def describe(self, _query: Query, _body: bytes, _: Fault | None) -> Any:
        """leads/describe.json"""
        return {
            "result": [
                {"id": number, "displayName": name, "dataType": kind, "rest": {"name": name, "readOnly": read_only}}
                for number, (name, (kind, read_only)) in enumerate(FIELDS.items(), 1)
                if name not in self._store.gone
            ]
        }
