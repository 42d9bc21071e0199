"""Answers in HubSpot's shapes."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from connectors.sandbox.hubspot.properties import Refusal
from connectors.sandbox.hubspot.store import Item
from connectors.sandbox.world import stamp

DEFAULTS = {
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    "companies": ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
    "tasks": ("hs_createdate", "hs_lastmodifieddate", "hs_object_id"),
    "leads": ("hs_createdate", "hs_lastmodifieddate", "hs_object_id"),
}
_answers = itertools.count(1)


def correlation_id() -> str:
    """What an answer is known by to support: no two have the same."""
    return f"5a4db0c5-0000-4000-8000-{next(_answers):012x}"


class HttpRefusal(Exception):
    """A request refused as a whole."""

    def __init__(self, status: int, category: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"status": "error", "message": message, "correlationId": correlation_id()}
        self.body |= {"category": category, **more}


def missing_scope(scope: str) -> HttpRefusal:
    """403: the app lacks a scope, or lost it."""
    where = "https://developers.hubspot.com/scopes"
    message = (
        "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: "
    )
    detail = {
        "message": "One or more of the following scopes are required.",
        "context": {"requiredGranularScopes": [scope]},
    }
    return HttpRefusal(403, "MISSING_SCOPES", f"{message}{where}.", errors=[detail], links={"scopes": where})


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON."""
    return Response(
        msgspec.json.encode(content), status, headers=dict(headers or {}), media_type="application/json;charset=utf-8"
    )


def refused(error: HttpRefusal, headers: Mapping[str, str]) -> Response:
    """A whole request refused."""
    return answer(error.body, error.status, headers)


def rate_limited(policy: str, headers: Mapping[str, str], retry_after: float | None = None) -> Response:
    """429, as HubSpot words it; Retry-After only where it is told to send one."""
    spoken = {"TEN_SECONDLY_ROLLING": "ten_secondly_rolling", "DAILY": "daily", "SECONDLY": "secondly"}[policy]
    body = {
        "status": "error",
        "message": f"You have reached your {spoken} limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": correlation_id(),
        "policyName": policy,
    }
    wait = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return answer(body, 429, {**headers, **wait})


def described(
    item: Item, names: Sequence[str], histories: Sequence[str] = (), archived: Collection[str] = ()
) -> dict[str, Any]:
    """One record, with the properties asked for but for ``archived`` ones; the few usual ones when none were."""
    wanted = [name for name in (*(names or DEFAULTS[item.kind]), "hs_object_id") if name not in archived]
    found: dict[str, Any] = {
        "id": item.id,
        "properties": {name: item.value(name) for name in wanted},
        "createdAt": stamp(item.created_at),
        "updatedAt": stamp(item.updated_at),
        "archived": item.archived,
    }
    if item.archived_at is not None:
        found["archivedAt"] = stamp(item.archived_at)
    if histories:
        found["propertiesWithHistory"] = {
            name: [entry.described() for entry in item.history(name)] for name in histories if name not in archived
        }
    return found


def input_error(error: Refusal, trace_id: str | None, record_id: str) -> dict[str, Any]:
    """One entry of ``errors`` in a 207."""
    context: dict[str, list[str]] = {"ids": [record_id]} if record_id else {}
    if trace_id:
        context["objectWriteTraceId"] = [trace_id]
    details = [{"message": error.message, "code": error.code}] if error.code else []
    return {
        "status": "error",
        "category": error.category,
        "message": error.message,
        "context": context,
        "errors": details,
    }


def batch(
    results: Iterable[Mapping[str, Any]], errors: Sequence[Mapping[str, Any]], now: str, status: int = 200
) -> Response:
    """A batch's answer: 207 as soon as there is an error in it."""
    body: dict[str, Any] = {"status": "COMPLETE", "results": list(results), "startedAt": now, "completedAt": now}
    if errors:
        body |= {"numErrors": len(errors), "errors": list(errors)}
    return answer(body, 207 if errors else status)
