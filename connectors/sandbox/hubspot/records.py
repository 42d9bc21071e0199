"""Records read, changed, listed and searched: the part of HubSpot's REST API that is about objects as they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from connectors.sandbox.faults import Fault
from connectors.sandbox.hubspot.answers import HttpRefusal, answer, batch, described, input_error
from connectors.sandbox.hubspot.asking import BATCH_LIMIT, INTEGRATION, Handler, kind_of, refusal_of, whole_number
from connectors.sandbox.hubspot.properties import Refusal, validate
from connectors.sandbox.hubspot.search import SearchRequest, find
from connectors.sandbox.hubspot.store import Item, Source, Store
from connectors.sandbox.world import stamp

HISTORY_LIMIT = 50


class _Reference(msgspec.Struct):
    id: str


class _BatchRead(msgspec.Struct, rename="camel"):
    inputs: list[_Reference]
    id_property: str | None = None
    properties: list[str] = []
    properties_with_history: list[str] = []


class _Input(msgspec.Struct, rename="camel"):
    id: str
    properties: dict[str, str]
    object_write_trace_id: str | None = None


class _BatchUpdate(msgspec.Struct):
    inputs: list[_Input]


class _Properties(msgspec.Struct):
    properties: dict[str, str]


class Records:
    """Handlers over the store. ``search_lag``: how late the search shows a change."""

    def __init__(self, store: Store, owner_ids: set[str], clock: Callable[[], datetime]) -> None:
        self._store, self._owner_ids, self._clock = store, owner_ids, clock
        self.search_lag = timedelta()

    def routes(self, objects: str) -> list[tuple[str, str, str, Handler]]:
        """Method, path, operation and handler, below the address of an object."""
        return [
            ("POST", f"{objects}/batch/read", "batch_read", self._batch_read),
            ("POST", f"{objects}/batch/update", "batch_update", self._batch_update),
            ("POST", f"{objects}/search", "search", self._search),
            ("GET", objects, "list", self._list),
            ("POST", objects, "create", self._create),
            ("GET", objects + "/{id}", "read", self._read),
            ("PATCH", objects + "/{id}", "update", self._update),
            ("DELETE", objects + "/{id}", "delete", self._delete),
        ]

    def _batch_read(self, request: Request, body: bytes, fault: Fault | None) -> Response:
        kind = kind_of(request)
        asked = msgspec.json.decode(body, type=_BatchRead)
        most = HISTORY_LIMIT if asked.properties_with_history else BATCH_LIMIT
        if len(asked.inputs) > most:
            kinds = "property histories" if asked.properties_with_history else "reads"
            raise HttpRefusal(
                400,
                "VALIDATION_ERROR",
                f"The maximum number of inputs supported in a batch request for {kinds} is {most}.",
            )
        results, errors = [], []
        with self._store.lock:
            for place, one in enumerate(asked.inputs):
                by_email = kind == "contacts" and asked.id_property == "email"
                item = self._store.by_email(one.id) if by_email else self._store.get(kind, one.id)
                if item is None or (fault is not None and fault.hits(place)):
                    missing = Refusal(
                        "OBJECT_NOT_FOUND", "", "Could not get some objects, they may be deleted or not exist."
                    )
                    errors.append(input_error(missing, None, one.id))
                else:
                    results.append(self._shown(item, asked.properties, asked.properties_with_history))
        return batch(results, errors, stamp(self._clock()))

    def _batch_update(self, request: Request, body: bytes, fault: Fault | None) -> Response:
        kind = kind_of(request)
        inputs = msgspec.json.decode(body, type=_BatchUpdate).inputs
        if len(inputs) > BATCH_LIMIT:
            raise HttpRefusal(
                400, "VALIDATION_ERROR", f"The maximum number of inputs supported in a batch request is {BATCH_LIMIT}."
            )
        if len({one.id for one in inputs}) < len(inputs):
            raise HttpRefusal(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input. IDs must be unique.")
        traces = [one.object_write_trace_id for one in inputs]
        traced = all(traces) and len(set(traces)) == len(traces)
        if not traced:  # without a trace id each, the first bad input fails all of them
            for one in inputs:
                validate(kind, one.properties, self._owner_ids, self._store.archived[kind])
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        unnamed = False
        with self._store.lock:
            for place, one in enumerate(inputs):
                try:
                    if fault is not None and fault.hits(place):
                        if fault.kind != "person_edits":
                            raise refusal_of(fault)
                        edits = {name: self._other(name, value) for name, value in one.properties.items()}
                        self._store.update(kind, one.id, edits, Source("CRM_UI", "userId:1", 1))
                    results.append(self._update_one(kind, one))
                except Refusal as error:
                    if traced:
                        errors.append(input_error(error, one.object_write_trace_id, one.id))
                    elif error.category == "OBJECT_NOT_FOUND":
                        unnamed = True  # the real one answers 207 and does not say for which
                    else:
                        raise
        response = batch(results, errors, stamp(self._clock()))
        if unnamed:
            response.status_code = 207
        return response

    def _other(self, name: str, value: str) -> str:
        """What a person has in mind where we have ``value``."""
        if name != "hubspot_owner_id":
            return f"{value} (edited)"
        return min((owner for owner in self._owner_ids if owner != value), default=value)

    def _update_one(self, kind: str, one: _Input) -> dict[str, Any]:
        validate(kind, one.properties, self._owner_ids, self._store.archived[kind])
        item = self._store.update(kind, one.id, one.properties, INTEGRATION, counted=True)
        found = described(item, list(one.properties))
        if one.object_write_trace_id:
            found["objectWriteTraceId"] = one.object_write_trace_id
        self._store.run_workflows(item, one.properties)
        return found

    def _create(self, request: Request, body: bytes, _: Fault | None) -> Response:
        kind = kind_of(request)
        properties = msgspec.json.decode(body, type=_Properties).properties
        validate(kind, properties, self._owner_ids, self._store.archived[kind])
        item = self._store.create(kind, properties, INTEGRATION, counted=True)
        return answer(described(item, list(properties)), 201)

    def _read(self, request: Request, _body: bytes, _: Fault | None) -> Response:
        names, histories = (_listed(request, name) for name in ("properties", "propertiesWithHistory"))
        return answer(self._shown(self._item(request), names, histories))

    def _update(self, request: Request, body: bytes, _: Fault | None) -> Response:
        kind, item = kind_of(request), self._item(request)
        properties = msgspec.json.decode(body, type=_Properties).properties
        validate(kind, properties, self._owner_ids, self._store.archived[kind])
        self._store.update(kind, item.id, properties, INTEGRATION, counted=True)
        return answer(described(item, list(properties)))

    def _delete(self, request: Request, _body: bytes, _: Fault | None) -> Response:
        kind, record_id = kind_of(request), request.path_params["id"]
        if self._store.get(kind, record_id) is not None:
            self._store.end(kind, record_id, "deletion", INTEGRATION)
        return Response(status_code=204)

    def _list(self, request: Request, _body: bytes, _: Fault | None) -> Response:
        kind = kind_of(request)
        limit, after = whole_number(request, "limit", 10), whole_number(request, "after", 0)
        if not 1 <= limit <= BATCH_LIMIT:
            raise HttpRefusal(400, "VALIDATION_ERROR", f"limit must be between 1 and {BATCH_LIMIT}, is {limit}")
        archived = request.query_params.get("archived", "false").lower() == "true"
        items, next_after = self._store.page(kind, after, limit, archived=archived)
        names = _listed(request, "properties")
        body: dict[str, Any] = {"results": [self._shown(item, names) for item in items]}
        if next_after is not None:
            body["paging"] = {"next": {"after": str(next_after), "link": ""}}
        return answer(body)

    def _search(self, request: Request, body: bytes, _: Fault | None) -> Response:
        kind = kind_of(request)
        asked = msgspec.json.decode(body, type=SearchRequest)
        found, total = find(self._store, kind, asked, self._clock() - self.search_lag)
        page: dict[str, Any] = {"total": total, "results": [self._shown(item, asked.properties) for item in found]}
        if asked.start() + len(found) < total:
            page["paging"] = {"next": {"after": str(asked.start() + len(found))}}
        return answer(page)

    def _shown(self, item: Item, names: list[str], histories: list[str] | tuple[()] = ()) -> dict[str, Any]:
        """A record without the properties that somebody archived: those are left out, not null."""
        return described(item, names, histories, self._store.archived[item.kind])

    def _item(self, request: Request) -> Item:
        item = self._store.get(kind_of(request), request.path_params["id"])
        if item is None:
            raise HttpRefusal(404, "OBJECT_NOT_FOUND", "Object not found.")
        return item


def _listed(request: Request, name: str) -> list[str]:
    return [part for text in request.query_params.getlist(name) for part in text.split(",") if part]
