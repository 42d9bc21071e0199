"""The account's workflows, as the automation API (v4) shows them. What is shown here does nothing."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from connectors.sandbox.faults import Fault
from connectors.sandbox.hubspot.answers import HttpRefusal, answer
from connectors.sandbox.hubspot.asking import Handler

_TYPES = {"contacts": "0-1", "companies": "0-2", "deals": "0-3", "leads": "0-136"}
_WHOLE = "actions"  # is not in the list


class Workflows:
    """Handlers over them; ``routes`` says where."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        """Method, path, operation and handler of each."""
        path = "/automation/v4/flows"
        return [("GET", path, "workflows", self._list), ("GET", path + "/{id}", "workflows", self._one)]

    def show(self, name: str, kind: str, *actions: dict[str, Any], on: bool = True) -> None:
        """Shows a workflow on records of ``kind``; one of that name goes."""
        self.hide(name)
        number = str(585_000_000 + len(self._known))
        self._known[name] = {
            "id": number,
            "name": name,
            "isEnabled": on,
            "flowType": "WORKFLOW",
            "objectTypeId": _TYPES[kind],
            "revisionId": "1",
            _WHOLE: list(actions),
        }

    def hide(self, name: str) -> None:
        """Shows it no longer."""
        self._known.pop(name, None)

    def _list(self, request: Request, _body: bytes, _: Fault | None) -> Response:
        limit, after = (
            int(request.query_params.get(name) or default) for name, default in (("limit", 100), ("after", 0))
        )
        shown = [{name: part for name, part in one.items() if name != _WHOLE} for one in self._known.values()]
        body: dict[str, Any] = {"results": shown[after : after + limit]}
        if after + limit < len(shown):
            body["paging"] = {"next": {"after": str(after + limit)}}
        return answer(body)

    def _one(self, request: Request, _body: bytes, _: Fault | None) -> Response:
        for one in self._known.values():
            if one["id"] == request.path_params["id"]:
                return answer(one)
        raise HttpRefusal(404, "OBJECT_NOT_FOUND", "Workflow not found.")


def setting(name: str, value: str) -> dict[str, Any]:
    """The action 'Edit record'."""
    given = {"property_name": name, "value": {"type": "STATIC_VALUE", "staticValue": value}}
    return {
        "type": "SINGLE_CONNECTION",
        "actionId": "1",
        "actionTypeId": "0-5",
        "actionTypeVersion": 0,
        "fields": given,
    }
