"""What every answer of the sandbox's REST is made of: a call, a JSON response, a refusal in Salesforce's shape."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from connectors.sandbox.salesforce.store import Store

_JSON = "application/json;charset=UTF-8"


class ApiError(Exception):
    """An answer that is not a success: HTTP status, Salesforce code, words."""

    def __init__(self, status: int, code: str, message: str, fields: list[str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = [{"message": message, "errorCode": code} | ({"fields": fields} if fields is not None else {})]


class Call(NamedTuple):
    """One request with its body."""

    request: Request
    body: bytes


def answer(content: Any, status: int = 200, **headers: str) -> Response:
    """A JSON response, or an empty one for None."""
    body = b"" if content is None else msgspec.json.encode(content)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(body, status, headers=named, media_type=_JSON if body else None)


def object_in(body: bytes) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ApiError(400, "JSON_PARSER_ERROR", f"Unexpected content: {error}") from error
    if not isinstance(content, dict):
        raise ApiError(400, "JSON_PARSER_ERROR", "Can not deserialize: unexpected array")
    return content


def object_of(store: Store, request: Request) -> str:
    """The object that the address names. Raises ApiError."""
    name = str(request.path_params["object"])
    if name not in store.objects:
        raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
    return name
