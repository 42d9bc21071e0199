"""Composite calls of the sandbox: up to 25 changes of rows in one call, each with headers of its own and a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request

from connectors.sandbox.faults import Fault

MOST = 25
_ROW = ("services", "data", "sobjects")

# Does a subrequest (method, object, id, headers, body, fault): its status and its body.
Do = Callable[[Request, bytes, Fault | None], tuple[int, Any]]


class CompositeError(Exception):
    """The call as a whole is refused."""


def run(request: Request, content: dict[str, Any], do: Do, fault: Fault | None) -> dict[str, Any]:
    """Carries the subrequests out in order. Raises CompositeError."""
    asked = content.get("compositeRequest")
    if not isinstance(asked, list) or not asked:
        raise CompositeError("compositeRequest must be a list of subrequests")
    if len(asked) > MOST:
        raise CompositeError(f"The limit for subrequests is {MOST}")
    if content.get("allOrNone"):
        raise CompositeError("the sandbox does not do allOrNone")
    if len({one.get("referenceId") for one in asked}) != len(asked):
        raise CompositeError("referenceId must be there, and unique")
    answers = []
    for index, one in enumerate(asked):
        status, body = do(_request(request, one), _encoded(one), fault if fault and fault.hits(index) else None)
        answers.append({"body": body, "httpHeaders": {}, "httpStatusCode": status, "referenceId": one["referenceId"]})
    return {"compositeResponse": answers}


def _request(outer: Request, one: dict[str, Any]) -> Request:
    """A subrequest inherits who calls, and nothing else: not even headers that the call itself has."""
    parts = str(one.get("url", "")).strip("/").split("/")
    if one.get("method") != "PATCH" or len(parts) != 6 or (parts[0], parts[1], parts[3]) != _ROW:
        raise CompositeError(f"the sandbox does only PATCH of a row, not {one.get('method')} {one.get('url')}")
    headers = [(str(k).lower().encode(), str(v).encode()) for k, v in (one.get("httpHeaders") or {}).items()]
    for name in ("accept", "authorization", "content-type"):
        if any(key == name.encode() for key, _ in headers):
            raise CompositeError(f"{name} cannot be a header of a subrequest")
    params = {"version": parts[2].removeprefix("v"), "object": parts[4], "id": parts[5]}
    scope = {**outer.scope, "headers": headers, "path": one["url"], "path_params": params, "method": "PATCH"}
    return Request(scope)


def _encoded(one: dict[str, Any]) -> bytes:
    return msgspec.json.encode(one.get("body") or {})
