"""HubSpot's REST API, as far as the connector and its tests reach."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.hubspot.answers import (
    HttpRefusal,
    answer,
    batch,
    described,
    input_error,
    missing_scope,
    rate_limited,
    refused,
)
from connectors.sandbox.hubspot.asking import BATCH_LIMIT, INTEGRATION, Handler, kind_of, refusal_of
from connectors.sandbox.hubspot.journal import Journal
from connectors.sandbox.hubspot.limits import Limits
from connectors.sandbox.hubspot.linking import Linking
from connectors.sandbox.hubspot.properties import PROPERTIES, Refusal, validate
from connectors.sandbox.hubspot.search import SearchRequest, find
from connectors.sandbox.hubspot.store import Item, Source, Store
from connectors.sandbox.hubspot.webhooks import APP_ID, PORTAL_ID
from connectors.sandbox.hubspot.workflows import Workflows
from connectors.sandbox.serving import break_off, page
from connectors.sandbox.world import stamp

HISTORY_LIMIT = 50
_OPEN = ("journal_token", "journal_file")  # asked for without a token
_RIGHTS = dict.fromkeys(("batch_read", "search", "list", "read", "owners"), "read")
_RIGHTS |= dict.fromkeys(("batch_update", "batch_create", "batch_upsert", "create", "update", "delete"), "write")
SCOPES = [
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.objects.companies.read",
    "crm.objects.companies.write",
    "crm.objects.owners.read",
    "crm.objects.leads.read",
    "crm.objects.leads.write",
    "automation",
]


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


class RestApi:
    """Handlers over the store. ``requests`` counts what was asked, refused requests included."""

    def __init__(
        self,
        store: Store,
        owners: list[dict[str, Any]],
        faults: Faults,
        limits: Limits,
        clock: Callable[[], datetime],
        journal: Journal,
    ) -> None:
        self.requests = 0
        self.access_token = "pat-eu1-sandbox"  # noqa: S105 - it opens nothing but this sandbox
        self._store = store
        self._owners = owners
        self._owner_ids = {owner["id"] for owner in owners if not owner["archived"]}
        self._faults = faults
        self._limits = limits
        self._clock = clock
        self._journal = journal
        self.scopes = set(SCOPES)
        self.workflows = Workflows()
        self.search_lag = timedelta()  # how late the search shows a change
        objects = "/crm/v3/objects/{kind}"
        routes: list[tuple[str, str, str, Handler]] = [
            ("POST", f"{objects}/batch/read", "batch_read", self._batch_read),
            ("POST", f"{objects}/batch/update", "batch_update", self._batch_update),
            ("POST", f"{objects}/search", "search", self._search),
            ("GET", objects, "list", self._list),
            ("POST", objects, "create", self._create),
            ("GET", objects + "/{id}", "read", self._read),
            ("PATCH", objects + "/{id}", "update", self._update),
            ("DELETE", objects + "/{id}", "delete", self._delete),
            ("GET", "/crm/v3/owners/", "owners", self._owners_page),
            ("GET", "/crm/v3/owners", "owners", self._owners_page),
            ("GET", "/crm/v3/properties/{kind}", "properties", self._properties),
            ("GET", "/account-info/v3/details", "account", self._account),
            ("POST", "/oauth/v2/private-apps/get/access-token-info", "token", self._token),
        ]
        routes += Linking(store, self._owner_ids, clock).routes(objects)
        routes += journal.routes() + self.workflows.routes()
        self.app = Starlette(
            routes=[
                Route(path, self._guarded(operation, handler), methods=[method])
                for method, path, operation, handler in routes
            ],
            exception_handlers={404: self._unserved, 405: self._unserved},
        )

    async def _unserved(self, request: Request, error: Exception) -> Response:
        """An address that there is not, or not with this method."""
        wrong = isinstance(error, HTTPException) and error.status_code == 405
        said = (
            (405, "METHOD_NOT_ALLOWED", "Method not allowed")
            if wrong
            else (404, "OBJECT_NOT_FOUND", "resource not found")
        )

        def refuse(_request: Request, _body: bytes, _: Fault | None) -> Response:
            raise HttpRefusal(*said)

        answered: Response = await self._guarded("", refuse)(request)
        return answered

    def _guarded(self, operation: str, handler: Handler) -> Callable[[Request], Any]:
        """Token, limits and faults before the handler; refusals in HubSpot's shape after it."""

        async def endpoint(request: Request) -> Response:
            body = await request.body()
            self.requests += 1
            broken, headers = self._limited(operation)
            headers["Date"] = format_datetime(self._clock(), usegmt=True)
            try:
                self._authorize(request, operation)
                if broken:
                    return rate_limited(broken, headers)
                fault = self._faults.take("hubspot", operation)
                if fault is not None:
                    response = await self._faulty(fault, request, body, handler, headers)
                else:
                    response = handler(request, body, None)
                response.headers.update(headers)
            except HttpRefusal as error:
                return refused(error, headers)
            except Refusal as error:
                return refused(_whole(error), headers)
            except msgspec.DecodeError as error:
                return refused(HttpRefusal(400, "VALIDATION_ERROR", f"Invalid input JSON: {error}"), headers)
            return response

        return endpoint

    def _limited(self, operation: str) -> tuple[str, dict[str, str]]:
        if operation == "journal" or operation in _OPEN:  # these count for no limit
            return "", {}
        return self._limits.take_search() if operation == "search" else self._limits.take()

    async def _faulty(
        self, fault: Fault, request: Request, body: bytes, handler: Handler, headers: Mapping[str, str]
    ) -> Response:
        if fault.kind == "unavailable":
            raise HttpRefusal(503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable.")
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
            return handler(request, body, None)
        if fault.kind in ("timeout_after_commit", "broken_after_commit", "nonsense"):
            handler(request, body, None)
        if fault.kind in ("broken", "broken_after_commit"):
            raise HttpRefusal(500, "INTERNAL_ERROR", "internal error")
        if fault.kind == "daily_limit":
            return rate_limited("DAILY", headers, fault.retry_after)
        if fault.kind == "rate_limited":
            return rate_limited("TEN_SECONDLY_ROLLING", headers, fault.retry_after)
        if fault.kind == "forbidden":
            raise missing_scope("crm.objects.contacts.sensitive")
        if fault.kind in ("nonsense", "page"):
            return page()
        if fault.kind == "expired_session":
            raise HttpRefusal(401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired.")
        if fault.kind in ("timeout", "timeout_after_commit"):
            await break_off(request)
            return Response()
        return handler(request, body, fault)

    def _authorize(self, request: Request, operation: str) -> None:
        given = request.headers.get("authorization", "")
        good = operation != "journal" and given == f"Bearer {self.access_token}"
        # An address that there is not is told to whoever has any token.
        good = good or (operation in ("journal", "") and self._journal.authorized(given))
        if not good and operation not in _OPEN:
            message = "Authentication credentials not found. This API supports OAuth 2.0 authentication."
            raise HttpRefusal(401, "INVALID_AUTHENTICATION", message)
        needed = self._scope(request, operation)
        if needed and needed not in self.scopes:
            raise missing_scope(needed)

    @staticmethod
    def _scope(request: Request, operation: str) -> str:
        """The scope that a request needs, as far as the sandbox asks for one."""
        if operation == "workflows":
            return "automation"
        right = _RIGHTS.get(operation)
        kind = "owners" if operation == "owners" else kind_of(request) if right else ""
        # Tasks go with contacts, as in HubSpot.
        return f"crm.objects.{'contacts' if kind == 'tasks' else kind}.{right}" if right else ""

    # -- records --------------------------------------------------------------------------------------------------

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
        limit, after = _whole_number(request, "limit", 10), _whole_number(request, "after", 0)
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

    # -- the account ----------------------------------------------------------------------------------------------

    def _owners_page(self, request: Request, _body: bytes, fault: Fault | None) -> Response:
        if fault is not None:
            raise HttpRefusal(500, "INTERNAL_ERROR", "internal error")
        limit, after = _whole_number(request, "limit", 100), _whole_number(request, "after", 0)
        if not 1 <= limit <= 500:
            raise HttpRefusal(400, "VALIDATION_ERROR", f"limit must be between 1 and 500, is {limit}")
        archived = request.query_params.get("archived", "false").lower() == "true"
        chosen = [owner for owner in self._owners if owner["archived"] == archived]
        body: dict[str, Any] = {"results": chosen[after : after + limit]}
        if after + limit < len(chosen):
            body["paging"] = {"next": {"after": str(after + limit), "link": ""}}
        return answer(body)

    def _properties(self, request: Request, _body: bytes, _: Fault | None) -> Response:
        kind = kind_of(request)
        there = [one for name, one in PROPERTIES[kind].items() if name not in self._store.archived[kind]]
        return answer({"results": [one.described() for one in there]})

    def _account(self, _request: Request, _body: bytes, _: Fault | None) -> Response:
        return answer(
            {"portalId": PORTAL_ID, "accountType": "DEVELOPER_TEST", "timeZone": "UTC", "companyCurrency": "EUR"}
        )

    def _token(self, _request: Request, body: bytes, _: Fault | None) -> Response:
        asked = msgspec.json.decode(body, type=dict[str, str])
        if asked.get("tokenKey") != self.access_token:
            raise HttpRefusal(404, "OBJECT_NOT_FOUND", "The token was not found.")
        return answer({"userId": 1, "hubId": PORTAL_ID, "appId": APP_ID, "scopes": sorted(self.scopes)})


def _listed(request: Request, name: str) -> list[str]:
    return [part for text in request.query_params.getlist(name) for part in text.split(",") if part]


def _whole_number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdigit():
        raise HttpRefusal(400, "VALIDATION_ERROR", f"{name} must be a number, is {text!r}")
    return int(text)


def _whole(error: Refusal) -> HttpRefusal:
    status = {"CONFLICT": 409, "OBJECT_NOT_FOUND": 404}.get(error.category, 400)
    details = [{"message": error.message, "code": error.code}] if error.code else []
    return HttpRefusal(status, error.category, error.message, errors=details)
