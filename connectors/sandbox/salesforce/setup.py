"""What Setup of the sandbox org holds from the start, and a flow as its metadata tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce.objects import SandboxObject
from connectors.sandbox.salesforce.standard import CONVERTED, LEAD_STATUSES, UNTOLD

Row = dict[str, Any]
FLOW = "Give_leads_back"


def setup_rows(objects: Mapping[str, SandboxObject]) -> dict[str, list[Row]]:
    """By object: what is selected for change events, the statuses of leads, what the integration user may, and the objects themselves."""
    return {
        "PlatformEventChannelMember": [
            {"Id": salesforce_id("0v8", n), "EventChannel": "ChangeEvents", "SelectedEntity": definition.event}
            for n, (name, definition) in enumerate(sorted(objects.items()))
            if name not in UNTOLD
        ],
        "LeadStatus": [
            {"Id": salesforce_id("01J", n), "MasterLabel": one, "ApiName": one, "SortOrder": n}
            | {"IsConverted": one == CONVERTED, "IsDefault": n == 1}
            for n, one in enumerate(LEAD_STATUSES, 1)
        ],
        "UserPermissionAccess": [{"Id": salesforce_id("0Pa", 1), "PermissionsConvertLeads": True}],
        "EntityDefinition": [entity_row(name, n) for n, name in enumerate(sorted(objects))],
    }


def entity_row(name: str, number: int) -> Row:
    """What Setup says of an object, which is its ``number``th."""
    known = {"QualifiedApiName": name, "Label": _label(name), "DurableId": _durable(name, number)}
    return {"Id": salesforce_id("4ie", number), **known}


def _label(name: str) -> str:
    """What people call an object; an administrator may have renamed any."""
    return "Prospect" if name == "Lead" else name.removesuffix("__c").replace("_", " ")


def _durable(name: str, number: int) -> str:
    """By what Setup refers to an object: a custom one has an id, a standard one is known by its name."""
    return salesforce_id("01I", number)[:15] if name.endswith("__c") else name


def giving(owner: str) -> Row:
    """A flow that gives each lead to somebody, as its metadata has it."""
    set_owner = {"field": "OwnerId", "value": {"stringValue": owner}}
    update = {"name": "Give_it_back", "inputReference": "$Record", "object": None, "inputAssignments": [set_owner]}
    start = {"object": "Lead", "recordTriggerType": "CreateAndUpdate", "triggerType": "RecordAfterSave"}
    return {"processType": "AutoLaunchedFlow", "start": start, "recordUpdates": [update], "assignments": []}
