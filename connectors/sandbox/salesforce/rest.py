"""REST of the sandbox: what simple-salesforce and the connector call, with Salesforce's own error shapes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.salesforce import composite
from connectors.sandbox.salesforce.checks import Operation, SaveError, WriteKind
from connectors.sandbox.salesforce.collections import by_fault, edit_before, save
from connectors.sandbox.salesforce.day import RollingDay
from connectors.sandbox.salesforce.reading import Reading
from connectors.sandbox.salesforce.sessions import OAuthError, Sessions
from connectors.sandbox.salesforce.shapes import ApiError, Call, answer, object_in, object_of
from connectors.sandbox.salesforce.soap import SoapApi
from connectors.sandbox.salesforce.store import Store
from connectors.sandbox.serving import page

VERSIONS = ("64.0", "65.0", "66.0")
DAILY_LIMIT = 100_000
DELIVERIES = 50_000  # what Salesforce allows the larger editions

_DATA = "/services/data"
# What the token endpoint answers under a fault instead of a token.
_NO_LOGIN = {
    "unavailable": (503, "server_error", "try again later"),
    "broken": (500, "server_error", "unexpected error"),
    "rate_limited": (400, "rate_limit_exceeded", "number of logins exceeded"),
    "expired_session": (400, "invalid_grant", "authentication failure"),
}


class RestApi:
    """The ASGI application, over a Store. ``requests`` counts our calls since the start (logins are free), ``day`` those of the last
    24 hours, everybody's; ``delivered`` counts the events.
    """

    def __init__(
        self, store: Store, sessions: Sessions, faults: Faults, clock: Callable[[], datetime], actor: str, org_id: str
    ) -> None:
        self.store = store
        self.sessions = sessions
        self.faults = faults
        self.clock = clock
        self.actor = actor
        self.org_id = org_id
        self.requests = 0
        self.day = RollingDay(clock, DAILY_LIMIT)
        self.delivered = RollingDay(clock, DELIVERIES)
        self.latency = 0.0
        self.reading = Reading(store, clock)
        self.base_url = ""
        unserved = self._guarded("", self._unserved)

        async def refuse(request: Request, _: Exception) -> Response:
            answered: Response = await unserved(request)
            return answered

        self.app = Starlette(routes=self._routes(), exception_handlers={404: refuse, 405: refuse})

    def _routes(self) -> list[Route]:
        v = _DATA + "/v{version}"
        table: list[tuple[str, str, str, Callable[..., Response]]] = [
            *self.reading.routes(v),
            ("GET", v + "/limits", "limits", self._limits),
            ("GET", v + "/limits/", "limits", self._limits),
            ("GET", v + "/sobjects/{object}/{id}", "read", self._get_row),
            ("PATCH", v + "/sobjects/{object}/{id}", "read", self._patch_row),
            ("DELETE", v + "/sobjects/{object}/{id}", "read", self._delete_row),
            ("POST", v + "/sobjects/{object}", "read", self._post_row),
            ("POST", v + "/sobjects/{object}/", "read", self._post_row),
            ("PATCH", v + "/composite/sobjects", "collections", self._collections),
            ("POST", v + "/composite/sobjects", "collections", self._collections),
            ("POST", v + "/composite", "composite", self._composite),
            ("GET", "/services/oauth2/userinfo", "login", self._userinfo),
        ]
        routes = [
            Route(path, self._guarded(operation, handler), methods=[method])
            for method, path, operation, handler in table
        ]
        # Without a session: the login itself, and the list of versions.
        routes.append(Route("/services/oauth2/token", self._token, methods=["POST"]))
        soap = SoapApi(self, _hang_up, asyncio.sleep, VERSIONS)
        routes.append(Route("/services/Soap/u/{version}", soap.endpoint, methods=["POST"]))
        routes += [Route(path, self._versions, methods=["GET"]) for path in (_DATA, _DATA + "/")]
        return routes

    def _guarded(self, operation: str, handler: Callable[..., Response]) -> Any:
        """Wraps a handler: session, armed faults, error shapes, the limits header."""

        async def endpoint(request: Request) -> Response:
            call = Call(request, await request.body())
            if self.latency:
                await asyncio.sleep(self.latency)
            fault: Fault | None = None
            try:
                self._authorize(request)
                self._count()
                fault = self.faults.take("salesforce", operation, call.body)
                if fault is None:
                    response = handler(call)
                else:
                    response = await self._faulty(fault, call, handler)
            except ApiError as error:
                response = answer(error.body, error.status)
                if error.status in (403, 503) and fault is not None and fault.retry_after is not None:
                    response.headers["Retry-After"] = f"{fault.retry_after:g}"
            if operation == "collections" and self.store.save_seconds:
                await asyncio.sleep(
                    self.store.save_seconds
                )  # the locks of the save are free before its answer is there
            used, most = self.usage
            response.headers["Sforce-Limit-Info"] = f"api-usage={used}/{most}"
            response.headers["Date"] = format_datetime(self.clock().astimezone(UTC), usegmt=True)
            return response

        return endpoint

    def _authorize(self, request: Request) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not self.sessions.live(token):
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        version = request.path_params.get("version")
        if version is not None and version not in VERSIONS:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")

    def _count(self) -> None:
        if not self.spend():
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")

    def spend(self) -> bool:
        """Counts a call of ours, unless the day's are used up."""
        used, most = self.usage
        if used < most:
            self.requests += 1
            self.day.count()
        return used < most

    @property
    def usage(self) -> tuple[int, int]:
        """The org's calls of the day, and how many there may be."""
        return self.day.used(), self.day.most

    async def _faulty(self, fault: Fault, call: Call, handler: Callable[..., Response]) -> Response:
        if fault.kind == "unavailable":
            raise ApiError(503, "SERVER_UNAVAILABLE", "Server is too busy to handle this request. Try again later.")
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
            return handler(call)
        if fault.kind in ("timeout_after_commit", "broken_after_commit", "nonsense"):
            handler(call)
        if fault.kind in ("broken", "broken_after_commit"):
            raise ApiError(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred.")
        if fault.kind in ("rate_limited", "daily_limit"):
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        if fault.kind == "forbidden":
            raise ApiError(403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.")
        if fault.kind in ("nonsense", "page"):
            return page()
        if fault.kind == "expired_session":
            self.sessions.expire()
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if fault.kind in ("timeout", "timeout_after_commit"):
            return await _hang_up(call.request)
        if handler in (self._collections, self._composite):
            return handler(call, fault)
        if fault.kind == "lock":
            raise ApiError(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
        raise ApiError(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "A validation rule of the sandbox said no", [])

    def _unserved(self, call: Call) -> Response:
        """An address that there is not, or not with this method."""
        methods = {
            method
            for route in self.app.routes
            if isinstance(route, Route) and route.matches(call.request.scope)[0] is Match.PARTIAL
            for method in route.methods or ()
        }
        if not methods:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        allowed = ",".join(sorted(methods))
        raise ApiError(
            405, "METHOD_NOT_ALLOWED", f"HTTP Method '{call.request.method}' not allowed. Allowed are {allowed}"
        )

    # Login

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        fault = self.faults.take("salesforce", "login")
        kind = fault.kind if fault is not None else ""
        if fault is not None and kind == "slow":
            await asyncio.sleep(fault.seconds)
        if kind == "timeout":
            return await _hang_up(request)
        if kind in _NO_LOGIN:
            status, code, words = _NO_LOGIN[kind]
            response = answer({"error": code, "error_description": words}, status)
        else:
            response = self._grant(request, form)
        if kind == "timeout_after_commit":
            return await _hang_up(request)
        if kind == "broken_after_commit":
            response = answer({"error": "server_error", "error_description": "unexpected error"}, 500)
        if fault is not None and fault.retry_after is not None:
            response.headers["Retry-After"] = f"{fault.retry_after:g}"
        return response

    def _grant(self, request: Request, form: dict[str, str]) -> Response:
        try:
            granted = self.sessions.grant(form, request.headers.get("authorization", ""), self.base_url, self.clock())
        except OAuthError as error:
            return answer({"error": error.error, "error_description": str(error)}, 400)
        return answer(granted)

    async def _versions(self, _: Request) -> Response:
        content = [{"label": f"v{one}", "url": f"{_DATA}/v{one}", "version": one} for one in VERSIONS]
        return answer(content, Date=format_datetime(self.clock().astimezone(UTC), usegmt=True))

    def _userinfo(self, _: Call) -> Response:
        user = self.store.find("User", self.actor) or {}
        return answer(
            {
                "user_id": self.actor,
                "organization_id": self.org_id,
                "preferred_username": user.get("Username"),
                "active": True,
            }
        )

    # Records

    def _limits(self, _: Call) -> Response:
        days = {"DailyApiRequests": self.day, "DailyDeliveredPlatformEvents": self.delivered}
        return answer({name: {"Max": day.most, "Remaining": day.left()} for name, day in days.items()})

    def _row(self, request: Request) -> tuple[str, dict[str, Any]]:
        name = object_of(self.store, request)
        row = self.store.find(name, request.path_params["id"])
        if row is None:
            raise ApiError(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: ")
        if row["IsDeleted"]:
            raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted")
        return name, row

    def _get_row(self, call: Call) -> Response:
        with self.store.lock:
            name, row = self._row(call.request)
            url = call.request.url.path
            return answer({"attributes": {"type": name, "url": url}, **row})

    # Writing

    def _options(self, request: Request) -> dict[str, Any]:
        """How the transaction is marked. The client's name reaches change events for single rows only."""
        named = dict(
            part.strip().split("=", 1)
            for part in request.headers.get("sforce-call-options", "").split(",")
            if "=" in part
        )
        client = named.get("client", "")
        origin = f"com/salesforce/api/rest/{request.path_params['version']}"
        if client and "sobjects/" in request.url.path and "composite" not in request.url.path:
            origin += f";client={client}"
        # The default is the trap: without the header, the org's own assignment rule runs.
        assign = request.headers.get("sforce-auto-assign", "TRUE").upper() != "FALSE"
        insists = "allowsave=true" in request.headers.get("sforce-duplicate-rule-header", "").lower().replace(" ", "")
        return {
            "actor": self.actor,
            "client": client,
            "origin": origin,
            "auto_assign": assign,
            "insists": insists,
        }

    def _one(self, request: Request, operation: Operation) -> str:
        [result] = self.store.transact([operation], **self._options(request))
        if isinstance(result, SaveError):
            status = 404 if result.code == "ENTITY_IS_DELETED" else 400
            raise ApiError(status, result.code, result.message, result.fields)
        return result

    def _post_row(self, call: Call) -> Response:
        created = self._one(
            call.request, Operation("create", object_of(self.store, call.request), fields=object_in(call.body))
        )
        return answer({"id": created, "success": True, "errors": []}, 201)

    def _patch_row(self, call: Call) -> Response:
        name, row = self._row(call.request)
        unmodified = call.request.headers.get("if-unmodified-since")
        if unmodified and datetime.fromisoformat(row["LastModifiedDate"]) > parsedate_to_datetime(unmodified):
            raise ApiError(412, "PRECONDITION_FAILED", "The record was modified since the given date")
        self._one(call.request, Operation("update", name, row["Id"], object_in(call.body)))
        return answer(None, 204)

    def _composite(self, call: Call, fault: Fault | None = None) -> Response:
        try:
            return answer(composite.run(call.request, object_in(call.body), self._subrequest, fault))
        except composite.CompositeError as error:
            raise ApiError(400, "INVALID_INPUT", str(error)) from error

    def _subrequest(self, request: Request, body: bytes, fault: Fault | None) -> tuple[int, Any]:
        try:
            if fault is not None and fault.kind == "person_edits":
                name, row = self._row(request)
                edited = Operation("update", name, row["Id"], object_in(body))
                edit_before(self.store, [edited], fault)
            elif fault is not None:
                refused = by_fault(fault, request.path_params["id"])
                raise ApiError(400, refused.code, refused.message, refused.fields)  # noqa: TRY301 - as the row itself does
            return self._patch_row(Call(request, body)).status_code, None
        except ApiError as error:
            return error.status, error.body

    def _delete_row(self, call: Call) -> Response:
        name, row = self._row(call.request)
        self._one(call.request, Operation("delete", name, row["Id"]))
        return answer(None, 204)

    def _collections(self, call: Call, fault: Fault | None = None) -> Response:
        kind: WriteKind = "create" if call.request.method == "POST" else "update"
        try:
            return answer(save(self.store, kind, object_in(call.body), self._options(call.request), fault))
        except SaveError as error:
            raise ApiError(400, error.code, error.message) from error


async def _hang_up(request: Request) -> Response:
    """Drops the connection without an answer."""
    request.scope["fingerpost.transport"].abort()
    await asyncio.sleep(0)  # lets the server notice that the connection is gone
    return Response()
