"""Marketo's REST API, as far as the connector and its tests reach. Errors are answers of status 200."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.marketo.activities import Activities
from connectors.sandbox.marketo.answers import FAILURES, PER_RECORD, Failure, Handler, Query, refusing
from connectors.sandbox.marketo.exports import Exports
from connectors.sandbox.marketo.leads import Leads
from connectors.sandbox.marketo.store import Store
from connectors.sandbox.serving import break_off, page

# What the identity service answers under a fault instead of a token.
_NO_LOGIN = {
    "unavailable": (503, "temporarily_unavailable", "The service is unavailable"),
    **dict.fromkeys(("broken", "broken_after_commit"), (500, "server_error", "Internal server error")),
    "rate_limited": (429, "rate_limited", "Too many requests"),
    "expired_session": (401, "invalid_client", "Bad client credentials"),
}
_WINDOW, _TOKEN_SECONDS = timedelta(seconds=20), 3600
_CHICAGO = ZoneInfo("America/Chicago")
_QUERY_LIMIT, _BODY_LIMIT = 8_000, 1_000_000  # bytes of an address, of a body

Endpoint = Callable[[Request], Any]


class RestApi:
    """Handlers over the store. ``requests`` counts what was asked, refused requests included."""

    def __init__(self, store: Store, faults: Faults, clock: Callable[[], datetime], secret: str) -> None:
        self.client_id, self.client_secret = "sandbox-service", secret
        self.requests = 0
        self.window, self.daily = 100, 50_000  # calls in 20 seconds, in a day
        self._used, self._day = 0, ""
        self.at_once, self.under_way = 10, 0  # requests allowed at the same moment, and those that are
        self._store, self._faults, self._clock = store, faults, clock
        self._lock = Lock()
        self._recent: deque[datetime] = deque()
        self._tokens: dict[str, datetime] = {}
        self._issued = 0
        self.activities, self.exports = Activities(store), Exports(store)
        self.app = Starlette(routes=self._routes(), exception_handlers=self._refusals())

    def _routes(self) -> list[Route]:
        leads, log, exports = Leads(self._store), self.activities, self.exports
        of_log, of_exports = "/rest/v1/activities", "/bulk/v1/leads/export"
        asked: list[tuple[str, str, Handler]] = [
            ("/rest/v1/leads/describe.json", "describe", leads.describe),
            ("/rest/v1/stats/usage.json", "usage", self._usage),
            (f"{of_log}/types.json", "types", log.types),
            (f"{of_log}/pagingtoken.json", "activities", log.paging_token),
            (f"{of_log}.json", "activities", log.activities),
            (f"{of_log}/leadchanges.json", "activities", log.changes),
            (f"{of_log}/deletedleads.json", "activities", log.deletions),
            (of_exports + "/{job}/status.json", "export", exports.status),
            (of_exports + "/{job}/file.json", "export", exports.file),
        ]
        done: list[tuple[str, str, Handler]] = [
            (f"{of_exports}/create.json", "export", exports.create),
            (of_exports + "/{job}/enqueue.json", "export", exports.enqueue),
        ]
        made = [self._asking(path, self._guarded(name, handler)) for path, name, handler in asked]
        made += [Route(path, self._guarded(name, handler), methods=["POST"]) for path, name, handler in done]
        made.append(
            self._asking("/rest/v1/leads.json", self._guarded("read", leads.read), self._guarded("write", leads.write))
        )
        made.append(Route("/identity/oauth/token", self._login, methods=["GET", "POST"]))
        return made

    def _asking(self, path: str, ask: Endpoint, do: Endpoint | None = None) -> Route:
        """What can be asked by GET, and where addresses get too long by POST that says it is one. ``do`` is any other POST."""
        post = do or self._guarded("", refusing(Failure("605", "HTTP Method not supported")))

        async def endpoint(request: Request) -> Response:
            asks = request.method != "POST" or request.query_params.get("_method") == "GET"
            answer: Response = await (ask if asks else post)(request)
            return answer

        return Route(path, endpoint, methods=["GET", "POST"])

    def _refusals(self) -> Mapping[Any, Any]:
        gone = self._guarded("", refusing(Failure("610", "Requested resource not found")))
        other = self._guarded("", refusing(Failure("605", "HTTP Method not supported")))

        async def refuse(request: Request, error: Exception) -> Response:
            status = error.status_code if isinstance(error, HTTPException) else 404
            answer: Response = await (other if status == 405 else gone)(request)
            return answer

        return {404: refuse, 405: refuse}

    @property
    def used(self) -> int:
        """Calls of the day, which ends at midnight in Chicago."""
        return self._used if self._day == self._today() else 0

    @used.setter
    def used(self, calls: int) -> None:
        self._used, self._day = calls, self._today()

    def _today(self) -> str:
        return self._clock().astimezone(_CHICAGO).date().isoformat()

    def expire_tokens(self) -> None:
        """Every token given out so far is over."""
        self._tokens.clear()

    # -- around every request -------------------------------------------------------------------------------------

    async def _login(self, request: Request) -> Response:
        given = {**request.query_params, **dict(parse_qsl((await request.body()).decode("utf-8", "replace")))}
        fault = self._faults.take("marketo", "login")
        kind = fault.kind if fault is not None else ""
        if fault is not None and kind == "slow":
            await asyncio.sleep(fault.seconds)
        if kind in _NO_LOGIN:
            status, code, words = _NO_LOGIN[kind]
            response = _json({"error": code, "error_description": words}, status)
        else:
            response = self._grant(given)  # a time-out hides it, before or after makes no difference to a client
        if kind in ("timeout", "timeout_after_commit"):
            await break_off(request)
        if fault is not None and fault.retry_after is not None:
            response.headers["Retry-After"] = f"{fault.retry_after:g}"
        return response

    def _grant(self, given: Query) -> Response:
        if (given.get("client_id"), given.get("client_secret")) != (self.client_id, self.client_secret):
            return _json({"error": "invalid_client", "error_description": "Bad client credentials"}, 401)
        with self._lock:
            self._issued += 1
            token = f"sandbox-token-{self._issued}"
            self._tokens[token] = self._clock() + timedelta(seconds=_TOKEN_SECONDS)
        return _json({"access_token": token, "token_type": "bearer", "expires_in": _TOKEN_SECONDS, "scope": "api"})

    def _guarded(self, operation: str, handler: Handler) -> Endpoint:
        async def counted(request: Request) -> Response:
            self.under_way += 1
            try:
                return await endpoint(request)
            finally:
                self.under_way -= 1

        async def endpoint(request: Request) -> Response:
            body = await request.body()
            self.requests += 1
            request_id = f"sandbox#{self.requests:x}"
            headers = {"Date": format_datetime(self._clock(), usegmt=True)}
            query: dict[str, str] = {**request.query_params, **request.path_params}
            if len(str(request.url.query)) > _QUERY_LIMIT:
                return Response(b"URI too long", 414, headers=headers)
            if len(body) > _BODY_LIMIT:
                return Response(b"Request Entity Too Large", 413, headers=headers)
            if query.pop("_method", "") == "GET":
                query |= dict(parse_qsl(body.decode()))
            fault = None
            try:
                self._authorize(request)
                self._count()
                fault = self._faults.take("marketo", operation, body)
                if fault is not None:
                    stopped = await self._faulty(fault, request, query, body, handler)
                    if stopped is not None:
                        return stopped
                result = handler(query, body, fault if fault is not None and fault.kind in PER_RECORD else None)
            except Failure as error:
                if fault is not None and fault.retry_after is not None:
                    headers["Retry-After"] = f"{fault.retry_after:g}"
                said = [{"code": error.code, "message": error.message}]
                return _json({"requestId": request_id, "success": False, "errors": said}, 200, headers)
            except msgspec.DecodeError as error:
                said = [{"code": "609", "message": f"Invalid JSON: {error}"}]
                return _json({"requestId": request_id, "success": False, "errors": said}, 200, headers)
            if isinstance(result, bytes):
                return Response(result, headers=headers, media_type="text/csv;charset=UTF-8")
            return _json({"requestId": request_id, "success": True, **result}, 200, headers)

        return counted

    async def _faulty(
        self, fault: Fault, request: Request, query: Query, body: bytes, handler: Handler
    ) -> Response | None:
        """What a fault makes of the request; None: it goes on. Raises Failure."""
        if fault.kind in ("timeout_after_commit", "broken_after_commit", "nonsense"):
            handler(query, body, None)
        if fault.kind in FAILURES:
            raise FAILURES[fault.kind]
        if fault.kind in ("nonsense", "page"):
            return page()
        if fault.kind == "expired_session":
            self.expire_tokens()
            raise Failure("602", "Access token expired")
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if fault.kind in ("timeout", "timeout_after_commit"):
            await break_off(request)
            return Response()
        return None

    def _authorize(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        until = self._tokens.get(token)
        if scheme != "Bearer" or not token:
            raise Failure("600", "Access token not specified")
        if until is None:
            raise Failure("601", "Access token invalid")
        if self._clock() >= until:
            raise Failure("602", "Access token expired")

    def _count(self) -> None:
        if self.under_way > self.at_once:
            raise FAILURES["at_once"]
        with self._lock:
            now = self._clock()
            while self._recent and now - self._recent[0] >= _WINDOW:
                self._recent.popleft()
            if self.used >= self.daily:
                raise FAILURES["daily_limit"]
            if len(self._recent) >= self.window:
                raise FAILURES["rate_limited"]
            self._recent.append(now)
            self.used += 1  # on a new day: of none

    def _usage(self, _query: Query, _body: bytes, _: Fault | None) -> Any:
        return {"result": [{"date": self._today(), "total": self.used, "users": []}]}


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers=dict(headers or {}), media_type="application/json")
