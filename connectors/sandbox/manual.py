"""What the admin address can be asked for, as text: made of the code itself, so that it is never behind it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import get_args

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from connectors.sandbox import faults
from connectors.sandbox.hubspot.webhooks import Mischief
from connectors.sandbox.scenario import DEEDS, SANDBOXES, WebhookOrder
from connectors.sandbox.traffic import TrafficOrder

_REQUESTS = """\
The sandbox of Fingerpost: Salesforce, HubSpot and Marketo. This is its admin address.

GET  /state                     counts: leads made, whether done, webhooks pending, faults armed
GET  /records?system=&object=   what a CRM holds, one JSON object a line: salesforce Lead …, hubspot contacts …, marketo leads
POST /traffic                   leads come in; the body is below, as for all of these
POST /faults                    one fault, or a list of them; {"clear": true} disarms all
POST /webhook                   where HubSpot's webhooks go, and what goes wrong with them
POST /do                        one deed, or a list (all or none), answered with what came of each under "did": {"system": "hubspot", "do": "erase", "with": {"record_id": "newest"}}
POST /scenario                  plays a scenario
POST /stop                      ends the process
"""


def manual() -> str:
    """Every request with what its body may hold: names, defaults, systems, operations, kinds, deeds and conditions."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _REQUESTS
    for path, form in (("traffic", TrafficOrder), ("faults", faults.Fault), ("webhook", WebhookOrder)):
        yield f"POST /{path}: {_form(form)}"
    yield f"  mischief: {_form(Mischief)}\n"
    yield f"Kinds of faults: {', '.join(get_args(faults.FaultKind))}\n"
    for system, operations in faults.OPERATIONS.items():
        yield f"Operations of {system}: {', '.join(operations)}"
    for system, names in DEEDS.items():
        sandbox, conditions = SANDBOXES[system]
        yield f"\nDeeds in {system} (record_id, and each of others, may be newest or oldest):"
        for name in names:
            method = getattr(sandbox, name)
            takes = [str(one).partition(":")[0] + _default(one) for one in _takes(method)]
            yield f"  {name}({', '.join(takes)}): {_first_sentence(method)}"
        yield f"  impose's values: {', '.join(conditions)}"
    yield ""


def _takes(method: object) -> list[inspect.Parameter]:
    return list(inspect.signature(method).parameters.values())[1:]  # type: ignore[arg-type]


def _default(one: inspect.Parameter) -> str:
    return "" if one.default is inspect.Parameter.empty else f"={_json(one.default)}"


def _first_sentence(method: object) -> str:
    said = " ".join((inspect.getdoc(method) or "").replace("``", "").split())
    return said.partition(" Raises ")[0]


def _form(form: type[Struct]) -> str:
    return ", ".join(
        one.encode_name if one.default is NODEFAULT else f"{one.encode_name}={_json(one.default)}"
        for one in fields(form)
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
