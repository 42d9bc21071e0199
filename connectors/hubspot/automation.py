"""Workflows of the account that may fight us: what ``fingerpost doctor`` tells of them, as HubSpot's automation API (v4) shows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from connectors.contract import Finding
from connectors.errors import Misconfigured, PermissionDenied
from connectors.hubspot.client import Client
from connectors.hubspot.objects import OWNERS, TYPE_IDS
from routing.core.model import EntityMap

CHECK = "workflows"
MOST = 50  # looked into: each costs a request
_LOOK = "In HubSpot, Automation, Workflows shows which are on; look for the actions 'Edit record' and 'Rotate record to owner'."
_CODE = "CUSTOM_CODE"  # the type of actions whose doing HubSpot does not tell


class _Listed(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    is_enabled: bool = False
    object_type_id: str = ""
    name: str = ""


class _List(msgspec.Struct, frozen=True):
    results: list[_Listed] = []
    paging: dict[str, Any] | None = None


class _Action(msgspec.Struct, frozen=True, rename="camel"):
    type: str = ""
    fields: Any = None


class _Whole(msgspec.Struct, frozen=True):
    actions: list[_Action] = []


def workflows(client: Client, maps: Mapping[str, EntityMap]) -> Finding:
    """Those that are on, of mapped objects, and whether one sets what we write. Blocks for a request, and one for each. Raises ConnectorError."""
    mapped = [one for one in maps.values() if one.remote != OWNERS]
    try:
        listed = [one for one in _listed(client) if one.is_enabled and _remote(one) in {of.remote for of in mapped}]
        whole = {one: _whole(client, one) for one in listed[:MOST]}
    except (PermissionDenied, Misconfigured) as error:
        advice = f"With the scope automation, which HubSpot has from Professional on, we could look. {_LOOK}"
        return Finding(CHECK, True, f"not looked at: {error}", advice, looked=False)
    if not listed:
        return Finding(CHECK, True, "none is on for the mapped objects")
    ours = {of.remote: {of.fields[name] for name in of.fields if name not in of.read_only} for of in mapped}
    fighting = []
    for one, actions in whole.items():
        both = sorted(_sets(actions) & ours[_remote(one)])
        fighting += [f"{one.name} sets {', '.join(both)} of {_remote(one)}"] if both else []
    more = f"; {len(listed) - len(whole)} more were not looked into" if len(listed) > len(whole) else ""
    others = ", ".join(_described(one, actions) for one, actions in whole.items()) + more
    if not fighting:
        return Finding(CHECK, True, f"on for the mapped objects: {others}")
    return Finding(
        CHECK,
        False,
        f"what we write is written by workflows too: {'; '.join(fighting)}. All that are on: {others}",
        "Each undoes what the other writes. Switch the action off, have the workflow enrol only what Fingerpost leaves alone, or mark the fields "
        "read_only in fields.yaml.",
    )


def _listed(client: Client) -> list[_Listed]:
    found: list[_Listed] = []
    path = "/automation/v4/flows?limit=100"
    after = ""
    while True:
        answer = client.get("the account's workflows", f"{path}&after={quote(after)}" if after else path)
        page = answer.decode(_List, "the account's workflows")
        found += page.results
        after = str(((page.paging or {}).get("next") or {}).get("after") or "")
        if not after:
            return found


def _whole(client: Client, one: _Listed) -> list[_Action]:
    what = f"the workflow {one.id}"
    return client.get(what, f"/automation/v4/flows/{quote(one.id)}").decode(_Whole, what).actions


def _remote(one: _Listed) -> str:
    return TYPE_IDS.get(one.object_type_id, one.object_type_id)


def _sets(actions: Collection[_Action]) -> set[str]:
    """The properties that are edited, and that of an owner in rotation where one who is there does not stay."""
    found: set[str] = set()
    for fields in (action.fields for action in actions if isinstance(action.fields, dict)):
        if fields.get("property_name"):
            found.add(str(fields["property_name"]))
        if fields.get("target_property") and not _stays(fields):
            found.add(str(fields["target_property"]))
    return found


def _stays(fields: Mapping[str, Any]) -> bool:
    return str(fields.get("overwrite_current_owner", "")).lower() == "false"


def _described(one: _Listed, actions: Collection[_Action]) -> str:
    asides = {
        "runs code, of which nothing is shown": any(action.type == _CODE for action in actions),
        "gives an owner to records without one": any(isinstance(a.fields, dict) and _stays(a.fields) for a in actions),
    }
    said = ", ".join(words for words, so in asides.items() if so)
    return f"{one.name} on {_remote(one)}" + (f" ({said})" if said else "")
