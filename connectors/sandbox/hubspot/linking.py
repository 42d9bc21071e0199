"""Making records in batches, and associating them: the part of HubSpot's REST API that creates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from connectors.sandbox.faults import Fault
from connectors.sandbox.hubspot.answers import HttpRefusal, answer, batch, described, input_error
from connectors.sandbox.hubspot.asking import BATCH_LIMIT, INTEGRATION, Handler, kind_of, refusal_of
from connectors.sandbox.hubspot.properties import REQUIRED, Refusal, validate
from connectors.sandbox.hubspot.store import Item, Store
from connectors.sandbox.world import stamp

LEAD_TO_PRIMARY_CONTACT = 578
LINKED_LIMIT = 500  # associations in a page of the list
# HubSpot's own types of the plain association from one object to another.
TYPE_IDS = {
    ("tasks", "contacts"): 204,
    ("tasks", "companies"): 192,
    ("tasks", "leads"): 646,
    ("leads", "contacts"): 608,
    ("contacts", "companies"): 279,
    ("companies", "contacts"): 280,
}


class _To(msgspec.Struct):
    id: str


class _Type(msgspec.Struct, rename="camel"):
    association_category: str
    association_type_id: int


class _Association(msgspec.Struct):
    to: _To
    types: list[_Type]


class _New(msgspec.Struct, rename="camel"):
    properties: dict[str, str]
    associations: list[_Association] = []
    object_write_trace_id: str | None = None


class _Create(msgspec.Struct):
    inputs: list[_New]


class _Upserted(msgspec.Struct, rename="camel"):
    id: str
    properties: dict[str, str]
    id_property: str | None = None
    object_write_trace_id: str | None = None


class _Upsert(msgspec.Struct):
    inputs: list[_Upserted]


class _Pair(msgspec.Struct, rename={"one": "from"}):
    one: _To
    to: _To


class _Pairs(msgspec.Struct):
    inputs: list[_Pair]


class Linking:
    """Handlers over the store."""

    def __init__(self, store: Store, owner_ids: set[str], clock: Callable[[], datetime]) -> None:
        self._store, self._owner_ids, self._clock = store, owner_ids, clock

    def routes(self, objects: str) -> list[tuple[str, str, str, Handler]]:
        """``objects`` is the address of one object's records."""
        between = "/crm/v4/associations/{kind}/{to}"
        return [
            ("POST", f"{objects}/batch/create", "batch_create", self._batch_create),
            ("POST", f"{objects}/batch/upsert", "batch_upsert", self._batch_upsert),
            ("GET", "/crm/v4/objects/{kind}/{id}/associations/{to}", "associations", self._list),
            ("GET", between + "/labels", "labels", self._labels),
            ("POST", between + "/batch/associate/default", "associate", self._associate),
        ]

    def _batch_create(self, request: Request, body: bytes, fault: Fault | None) -> Response:
        kind = kind_of(request)
        inputs = msgspec.json.decode(body, type=_Create).inputs
        _check_size(len(inputs))
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        with self._store.lock:
            for place, one in enumerate(inputs):
                try:
                    if fault is not None and fault.hits(place):
                        raise refusal_of(fault)
                    item = self._make(kind, one)
                except Refusal as error:
                    if not one.object_write_trace_id:
                        raise
                    errors.append(input_error(error, one.object_write_trace_id, ""))
                else:
                    results.append(_result(item, one.properties, one.object_write_trace_id))
        return batch(results, errors, stamp(self._clock()), 201)

    def _make(self, kind: str, one: _New) -> Item:
        for name in REQUIRED.get(kind, ()):
            if not one.properties.get(name):
                raise Refusal(
                    "VALIDATION_ERROR",
                    "REQUIRED_FIELD",
                    f"Error creating {kind}. Some required properties were not set: {name}",
                )
        validate(kind, one.properties, self._owner_ids, self._store.archived[kind])
        links = [
            (self._to(kind, one_type), link.to.id, one_type) for link in one.associations for one_type in link.types
        ]
        if kind == "leads" and not any(to == "contacts" for to, _, _ in links):
            raise Refusal(
                "VALIDATION_ERROR", "MISSING_ASSOCIATION", "A lead must be associated with an existing contact."
            )
        for to, record_id, _ in links:
            if self._store.get(to, record_id) is None:
                raise Refusal("OBJECT_NOT_FOUND", "", f"Object to associate was not found: {record_id}")
        item = self._store.create(kind, one.properties, INTEGRATION, counted=True)
        for to, record_id, one_type in links:
            self._store.link((kind, item.id), (to, record_id), one_type.association_type_id)
        return item

    @staticmethod
    def _to(kind: str, given: _Type) -> str:
        if kind == "leads" and given.association_type_id == LEAD_TO_PRIMARY_CONTACT:
            return "contacts"
        for (one, other), number in TYPE_IDS.items():
            if one == kind and number == given.association_type_id:
                return other
        raise Refusal(
            "VALIDATION_ERROR", "INVALID_ASSOCIATION", f"no association {given.association_type_id} of {kind}"
        )

    def _batch_upsert(self, request: Request, body: bytes, fault: Fault | None) -> Response:
        kind = kind_of(request)
        inputs = msgspec.json.decode(body, type=_Upsert).inputs
        _check_size(len(inputs))
        if kind != "contacts" or any(one.id_property != "email" for one in inputs):
            raise HttpRefusal(400, "VALIDATION_ERROR", "idProperty must be a unique property; the sandbox knows email")
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        with self._store.lock:
            for place, one in enumerate(inputs):
                try:
                    if fault is not None and fault.hits(place):
                        raise refusal_of(fault)
                    results.append(self._upsert_one(one))
                except Refusal as error:
                    if not one.object_write_trace_id:
                        raise
                    errors.append(input_error(error, one.object_write_trace_id, one.id))
        return batch(results, errors, stamp(self._clock()))

    def _upsert_one(self, one: _Upserted) -> dict[str, Any]:
        properties = {"email": one.id, **one.properties}
        validate("contacts", properties, self._owner_ids, self._store.archived["contacts"])
        held = self._store.by_email(one.id)
        if held is None:
            item = self._store.create("contacts", properties, INTEGRATION, counted=True)
        else:
            item = self._store.update("contacts", held.id, one.properties, INTEGRATION, counted=True)
        return {**_result(item, one.properties, one.object_write_trace_id), "new": held is None}

    def _list(self, request: Request, _body: bytes, _: Fault | None) -> Response:
        kind, to = kind_of(request), kind_of(request, "to")
        record_id = request.path_params["id"]
        if self._store.get(kind, record_id) is None:
            raise HttpRefusal(404, "OBJECT_NOT_FOUND", "Object not found.")
        after = int(request.query_params.get("after", "0"))
        limit = min(int(request.query_params.get("limit", "500")), LINKED_LIMIT)
        everything = self._store.linked(kind, record_id, to)
        linked = dict(list(everything.items())[after : after + limit])
        results = [
            {
                "toObjectId": int(one),
                "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": number, "label": None}],
            }
            for one, number in linked.items()
        ]
        more = after + limit < len(everything)
        return answer({"results": results, **({"paging": {"next": {"after": str(after + limit)}}} if more else {})})

    def _labels(self, request: Request, _body: bytes, _: Fault | None) -> Response:
        kind, to = kind_of(request), kind_of(request, "to")
        number = TYPE_IDS.get((kind, to))
        results = [] if number is None else [{"category": "HUBSPOT_DEFINED", "typeId": number, "label": None}]
        if (kind, to) == ("leads", "contacts"):
            results.append({"category": "HUBSPOT_DEFINED", "typeId": LEAD_TO_PRIMARY_CONTACT, "label": "Primary"})
        return answer({"results": results})

    def _associate(self, request: Request, body: bytes, _: Fault | None) -> Response:
        kind, to = kind_of(request), kind_of(request, "to")
        pairs = msgspec.json.decode(body, type=_Pairs).inputs
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        number = TYPE_IDS.get((kind, to), 1)
        for pair in pairs:
            try:
                self._store.link((kind, pair.one.id), (to, pair.to.id), number)
            except Refusal as error:
                errors.append(input_error(error, None, pair.one.id))
            else:
                spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number}
                results.append({"from": {"id": pair.one.id}, "to": {"id": pair.to.id}, "associationSpec": spec})
        return batch(results, errors, stamp(self._clock()))


def _check_size(inputs: int) -> None:
    if inputs > BATCH_LIMIT:
        message = f"The maximum number of inputs supported in a batch request is {BATCH_LIMIT}."
        raise HttpRefusal(400, "VALIDATION_ERROR", message)


def _result(item: Item, properties: dict[str, str], trace_id: str | None) -> dict[str, Any]:
    found = described(item, list(properties))
    if trace_id:
        found["objectWriteTraceId"] = trace_id
    return found
