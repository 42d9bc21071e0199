"""HubSpot's REST API, as far as the connector and its tests reach."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
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
    missing_scope,
    rate_limited,
    refused,
)
from connectors.sandbox.hubspot.asking import Handler, kind_of, whole_number
from connectors.sandbox.hubspot.journal import Journal
from connectors.sandbox.hubspot.limits import Limits
from connectors.sandbox.hubspot.linking import Linking
from connectors.sandbox.hubspot.properties import PROPERTIES, Refusal
from connectors.sandbox.hubspot.records import Records
from connectors.sandbox.hubspot.store import Store
from connectors.sandbox.hubspot.webhooks import APP_ID, PORTAL_ID
from connectors.sandbox.hubspot.workflows import Workflows
from connectors.sandbox.serving import break_off, page

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
        self.records = Records(store, self._owner_ids, clock)
        objects = "/crm/v3/objects/{kind}"
        routes: list[tuple[str, str, str, Handler]] = [
            ("GET", "/crm/v3/owners/", "owners", self._owners_page),
            ("GET", "/crm/v3/owners", "owners", self._owners_page),
            ("GET", "/crm/v3/properties/{kind}", "properties", self._properties),
            ("GET", "/account-info/v3/details", "account", self._account),
            ("POST", "/oauth/v2/private-apps/get/access-token-info", "token", self._token),
        ]
        routes += self.records.routes(objects)
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
                fault = self._faults.take("hubspot", operation, body)
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

    # -- the account ----------------------------------------------------------------------------------------------

    def _owners_page(self, request: Request, _body: bytes, fault: Fault | None) -> Response:
        if fault is not None:
            raise HttpRefusal(500, "INTERNAL_ERROR", "internal error")
        limit, after = whole_number(request, "limit", 100), whole_number(request, "after", 0)
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


def _whole(error: Refusal) -> HttpRefusal:
    status = {"CONFLICT": 409, "OBJECT_NOT_FOUND": 404}.get(error.category, 400)
    details = [{"message": error.message, "code": error.code}] if error.code else []
    return HttpRefusal(status, error.category, error.message, errors=details)
