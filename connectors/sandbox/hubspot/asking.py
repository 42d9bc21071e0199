"""What all of the REST handlers read out of a request."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from connectors.sandbox.faults import Fault
from connectors.sandbox.hubspot.answers import HttpRefusal
from connectors.sandbox.hubspot.properties import PROPERTIES, Refusal
from connectors.sandbox.hubspot.store import Source
from connectors.sandbox.hubspot.webhooks import APP_ID

Handler = Callable[[Request, bytes, Fault | None], Response]
INTEGRATION = Source("INTEGRATION", str(APP_ID))
BATCH_LIMIT = 100
_KINDS = {"0-1": "contacts", "0-2": "companies", "0-27": "tasks", "0-136": "leads"}
_KINDS |= {"contact": "contacts", "company": "companies", "task": "tasks", "lead": "leads"}


def kind_of(request: Request, name: str = "kind") -> str:
    """The object that an address names. Raises HttpRefusal for unknown ones."""
    given = str(request.path_params[name])
    kind = _KINDS.get(given, given)
    if kind not in PROPERTIES:
        raise HttpRefusal(400, "VALIDATION_ERROR", f"Unable to infer object type from: {given}")
    return kind


def whole_number(request: Request, name: str, default: int) -> int:
    """A number in an address. Raises HttpRefusal."""
    text = request.query_params.get(name, str(default))
    if not text.isdigit():
        raise HttpRefusal(400, "VALIDATION_ERROR", f"{name} must be a number, is {text!r}")
    return int(text)


def refusal_of(fault: Fault) -> Refusal:
    """What a fault says of one record."""
    if fault.kind == "lock":
        return Refusal("CONFLICT", "", "The object was concurrently updated. Please retry.")
    return Refusal("VALIDATION_ERROR", "INVALID_OPTION", "A validation rule of the sandbox said no.")
