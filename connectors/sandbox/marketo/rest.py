"""Marketo's REST API, as far as the connector and its tests reach. Errors are answers of status 200."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
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
from connectors.sandbox.marketo.store import DATA_VALUE, DELETE_LEAD, FIELDS, NEW_LEAD, Lead, Refusal, Store
from connectors.sandbox.serving import break_off

PAGE = 300
# What the identity service answers under a fault instead of a token.
_NO_LOGIN = {
    "unavailable": (503, "temporarily_unavailable", "The service is unavailable"),
    **dict.fromkeys(("broken", "broken_after_commit"), (500, "server_error", "Internal server error")),
    "rate_limited": (429, "rate_limited", "Too many requests"),
    "expired_session": (401, "invalid_client", "Bad client credentials"),
}
_WINDOW, _TOKEN_SECONDS = timedelta(seconds=20), 3600
_CHICAGO = ZoneInfo("America/Chicago")
_QUERY_LIMIT = 8_000  # bytes of an address

Query = Mapping[str, str]
Handler = Callable[[Query, bytes, Fault | None], Any]


class Failure(Exception):
    """A whole request refused: a code in an answer of status 200."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


_FAILURES = {
    "unavailable": Failure("608", "API Temporarily Unavailable"),
    **dict.fromkeys(("broken", "broken_after_commit"), Failure("611", "System error")),
    "rate_limited": Failure("606", "Max rate limit '100' exceeded with in '20' secs"),
    "daily_limit": Failure("607", "Daily quota reached"),
    "at_once": Failure("615", "Concurrent access limit reached"),
}


class RestApi:
    """Handlers over the store. ``requests`` counts what was asked, refused requests included."""

    def __init__(self, store: Store, faults: Faults, clock: Callable[[], datetime], secret: str) -> None:
        self.client_id, self.client_secret = "sandbox-service", secret
        self.requests = 0
        self.window, self.daily = 100, 50_000  # calls in 20 seconds, in a day
        self._used, self._day = 0, ""
        self.at_once, self.under_way = 10, 0  # requests allowed at the same moment, and those that are
        self.page = PAGE  # activities in a page; fewer make short ones
        self._store, self._faults, self._clock = store, faults, clock
        self._lock = Lock()
        self._recent: deque[datetime] = deque()
        self._tokens: dict[str, datetime] = {}
        self._issued = 0
        self._exports: dict[str, dict[str, Any]] = {}
        activities, exports = "/rest/v1/activities", "/bulk/v1/leads/export"
        routes: list[tuple[list[str], str, str, Handler]] = [
            (["GET"], "/rest/v1/leads.json", "read", self._read),
            (["GET"], "/rest/v1/leads/describe.json", "describe", self._describe),
            (["GET"], "/rest/v1/stats/usage.json", "usage", self._usage),
            (["GET"], f"{activities}/pagingtoken.json", "activities", self._paging_token),
            (["GET"], f"{activities}/leadchanges.json", "activities", self._changes),
            (["GET"], f"{activities}/deletedleads.json", "activities", self._deletions),
            (["POST"], f"{exports}/create.json", "export", self._export_create),
            (["POST"], exports + "/{job}/enqueue.json", "export", self._export_state),
            (["GET"], exports + "/{job}/status.json", "export", self._export_state),
            (["GET"], exports + "/{job}/file.json", "export", self._export_file),
        ]
        made = [Route(path, self._guarded(name, handler), methods=methods) for methods, path, name, handler in routes]
        leads = self._guarded("write", self._write)
        read = self._guarded("read", self._read)

        async def post_leads(request: Request) -> Response:
            answer: Response = await (read if request.query_params.get("_method") == "GET" else leads)(request)
            return answer

        made.append(Route("/rest/v1/leads.json", post_leads, methods=["POST"]))
        made.append(Route("/identity/oauth/token", self._login, methods=["GET", "POST"]))
        gone = self._guarded("", _refusing(Failure("610", "Requested resource not found")))
        other = self._guarded("", _refusing(Failure("605", "HTTP Method not supported")))

        async def refuse(request: Request, error: Exception) -> Response:
            status = error.status_code if isinstance(error, HTTPException) else 404
            answer: Response = await (other if status == 405 else gone)(request)
            return answer

        self.app = Starlette(routes=made, exception_handlers={404: refuse, 405: refuse})

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

    def _guarded(self, operation: str, handler: Handler) -> Callable[[Request], Any]:
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
            if query.pop("_method", "") == "GET":
                query |= dict(parse_qsl(body.decode()))
            fault = None
            try:
                self._authorize(request)
                self._count()
                fault = self._faults.take("marketo", operation)
                if fault is not None:
                    stopped = await self._faulty(fault, request, query, body, handler)
                    if stopped is not None:
                        return stopped
                result = handler(query, body, fault if fault is not None and fault.kind in _PER_RECORD else None)
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
        if fault.kind in ("timeout_after_commit", "broken_after_commit"):
            handler(query, body, None)
        if fault.kind in _FAILURES:
            raise _FAILURES[fault.kind]
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
            raise _FAILURES["at_once"]
        with self._lock:
            now = self._clock()
            while self._recent and now - self._recent[0] >= _WINDOW:
                self._recent.popleft()
            if self.used >= self.daily:
                raise _FAILURES["daily_limit"]
            if len(self._recent) >= self.window:
                raise _FAILURES["rate_limited"]
            self._recent.append(now)
            self.used += 1  # on a new day: of none

    # -- leads ----------------------------------------------------------------------------------------------------

    def _read(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        by, keys = query.get("filterType", ""), [one for one in query.get("filterValues", "").split(",") if one]
        if by not in FIELDS or not keys:
            raise Failure("1003", f"filterType {by!r} is not known, or filterValues are missing")
        if len(keys) > PAGE:
            raise Failure("1003", f"Too many values ({len(keys)}) specified for filterValues; {PAGE} is the most")
        names = (query.get("fields") or "id,email,firstName,lastName,createdAt,updatedAt").split(",")
        for name in names:
            if name not in FIELDS:
                raise Failure("1006", f"Field '{name}' not found")
        wanted = {one.lower() for one in keys}
        with self._store.lock:
            found = [one for one in self._store.leads.values() if str(one.value(by) or "").lower() in wanted]
            return {"result": [{name: one.value(name) for name in {*names, "id"}} for one in found]}

    def _write(self, _query: Query, body: bytes, fault: Fault | None) -> Any:
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
            kind, read_only = FIELDS.get(name, ("", False))
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

    def _describe(self, _query: Query, _body: bytes, _: Fault | None) -> Any:
        return {
            "result": [
                {"id": number, "displayName": name, "dataType": kind, "rest": {"name": name, "readOnly": read_only}}
                for number, (name, (kind, read_only)) in enumerate(FIELDS.items(), 1)
            ]
        }

    def _usage(self, _query: Query, _body: bytes, _: Fault | None) -> Any:
        return {"result": [{"date": self._today(), "total": self.used, "users": []}]}

    # -- activities -----------------------------------------------------------------------------------------------

    def _paging_token(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        try:
            since = datetime.fromisoformat(query.get("sinceDatetime", ""))
        except ValueError:
            raise Failure("1003", "sinceDatetime is not a time") from None
        with self._store.lock:
            place = next((n for n, (at, _) in enumerate(self._store.log) if at >= since), len(self._store.log))
        return {"nextPageToken": _token(place)}

    def _changes(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        names = {one for one in query.get("fields", "").split(",") if one}
        if not names:
            raise Failure("1003", "fields is missing")

        def shown(activity: dict[str, Any]) -> bool:
            kind = activity["activityTypeId"]
            return kind == NEW_LEAD or (kind == DATA_VALUE and activity["fields"][0]["name"] in names)

        return self._activities(query, shown)

    def _deletions(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        return self._activities(query, lambda activity: activity["activityTypeId"] == DELETE_LEAD)

    def _activities(self, query: Query, shown: Callable[[dict[str, Any]], bool]) -> Any:
        """A page looks at so many entries of the log, whether they are shown or not: so it may be short, or empty."""
        start = _place(query.get("nextPageToken", ""))
        with self._store.lock:
            looked = self._store.log[start : start + self.page]
            more = start + len(looked) < len(self._store.log)
        result = [activity for _, activity in looked if shown(activity)]
        answer: dict[str, Any] = {"nextPageToken": _token(start + len(looked)), "moreResult": more}
        return {**answer, "result": result} if result else answer

    # -- exports --------------------------------------------------------------------------------------------------

    def _export_create(self, _query: Query, body: bytes, _: Fault | None) -> Any:
        asked = msgspec.json.decode(body, type=_Export)
        between = asked.filter["createdAt"]
        start, end = (datetime.fromisoformat(between[name]) for name in ("startAt", "endAt"))
        if end - start > timedelta(days=31):
            raise Failure("1003", "createdAt: the range is over 31 days")
        job = f"job-{len(self._exports) + 1}"
        with self._store.lock:
            rows = [
                [str(one.value(name) if one.value(name) is not None else "null") for name in asked.fields]
                for one in self._store.leads.values()
                if start <= one.created_at < end + timedelta(seconds=1)
            ]
        self._exports[job] = {"fields": asked.fields, "rows": rows, "status": "Created"}
        return {"result": [{"exportId": job, "status": "Created", "format": "CSV"}]}

    def _export_state(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        job = self._job(query)
        job["status"] = {"Created": "Queued", "Queued": "Processing"}.get(job["status"], "Completed")
        return {"result": [{"exportId": query["job"], "status": job["status"], "format": "CSV"}]}

    def _export_file(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        job = self._job(query)
        written = io.StringIO(newline="")
        csv.writer(written).writerows([job["fields"], *job["rows"]])
        return written.getvalue().encode()

    def _job(self, query: Query) -> dict[str, Any]:
        if query["job"] not in self._exports:
            raise Failure("1013", "Object not found")
        return self._exports[query["job"]]


def _refusing(failure: Failure) -> Handler:
    def handler(_query: Query, _body: bytes, _: Fault | None) -> Any:
        raise failure

    return handler


class _Write(msgspec.Struct, rename="camel"):
    input: list[dict[str, Any]]
    action: str = "createOrUpdate"
    lookup_field: str = "email"


class _Export(msgspec.Struct):
    fields: list[str]
    filter: dict[str, dict[str, str]]


_PER_RECORD = ("partial", "lock", "person_edits")


def _token(place: int) -> str:
    return base64.b32encode(f"place {place}".encode()).decode()


def _place(token: str) -> int:
    try:
        return int(base64.b32decode(token.encode()).decode().removeprefix("place "))
    except ValueError:
        raise Failure("701", "nextPageToken is not valid") from None


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers=dict(headers or {}), media_type="application/json")
