"""The properties the sandbox account has, with the types and the read-only marks of the real ones."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from msgspec import Struct


class Property(Struct, frozen=True):
    """One property definition. ``type`` is HubSpot's: string, number, enumeration, datetime, bool."""

    name: str
    type: str = "string"
    read_only: bool = False

    def described(self) -> dict[str, Any]:
        """As the properties API answers."""
        locked = self.read_only
        return {
            "name": self.name,
            "label": self.name.replace("_", " ").capitalize(),
            "type": self.type,
            "fieldType": "text",
            "groupName": "information",
            "calculated": False,
            "hubspotDefined": True,
            "options": [],
            "modificationMetadata": {"archivable": True, "readOnlyDefinition": True, "readOnlyValue": locked},
        }


def _table(plain: str, numbers: str, choices: str, locked: str) -> dict[str, Property]:
    found = [Property(name) for name in plain.split()]
    found += [Property(name, "number") for name in numbers.split()]
    found += [Property(name, "enumeration") for name in choices.split()]
    found += [Property(name, "datetime", read_only=True) for name in locked.split()]
    found += [Property("hs_object_id", "number", read_only=True)]
    found += [Property("hs_updated_by_user_id", "number", read_only=True)]
    found += [Property("hs_merged_object_ids", "enumeration", read_only=True)]
    return {one.name: one for one in found}


# createdate can be written in the real one too; nothing here needs it.
PROPERTIES: dict[str, dict[str, Property]] = {
    "contacts": {
        **_table(
            "email firstname lastname company website phone mobilephone address country state city zip jobtitle industry",
            "",
            "numemployees hubspot_owner_id lifecyclestage hs_lead_status",
            "createdate lastmodifieddate hubspot_owner_assigneddate notes_last_contacted",
        ),
        "hs_analytics_source": Property("hs_analytics_source", "enumeration", read_only=True),
    },
    "companies": _table(
        "name domain website phone address country state city zip industry description",
        "numberofemployees annualrevenue",
        "type hubspot_owner_id lifecyclestage",
        "createdate hs_lastmodifieddate",
    ),
    "tasks": {
        **_table(
            "hs_task_subject hs_task_body",
            "",
            "hs_task_status hs_task_priority hs_task_type hubspot_owner_id",
            "hs_createdate hs_lastmodifieddate",
        ),
        "hs_timestamp": Property("hs_timestamp", "datetime"),
    },
    "leads": _table(
        "hs_lead_name",
        "",
        "hs_lead_type hs_lead_label hs_pipeline_stage hubspot_owner_id",
        "hs_createdate hs_lastmodifieddate",
    ),
}
MODIFIED = {kind: "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate" for kind in PROPERTIES}
# What a new record cannot be without; a lead beside these needs a contact.
REQUIRED = {"tasks": ("hs_timestamp",), "leads": ("hs_lead_name",)}
UNSUBSCRIBED = {
    "hs_object_id",
    "hs_updated_by_user_id",
    "hs_merged_object_ids",
    "createdate",
    "hs_createdate",
    "lastmodifieddate",
    "hs_lastmodifieddate",
}

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


class Refusal(Exception):
    """One input refused, as HubSpot words it."""

    def __init__(self, category: str, code: str, message: str) -> None:
        super().__init__(message)
        self.category = category
        self.code = code
        self.message = message


def stored(name: str, value: str) -> str:
    """As HubSpot keeps a value: e-mail addresses are trimmed and lower-cased."""
    return value.strip().lower() if name == "email" else value


def validate(kind: str, properties: dict[str, str], owners: set[str], archived: Collection[str] = ()) -> None:
    """Raises Refusal for what the API does not let in; ``archived`` properties are not there any more."""
    for name, value in properties.items():
        definition = PROPERTIES[kind].get(name)
        if definition is None or name in archived:
            raise Refusal("VALIDATION_ERROR", "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
        if definition.read_only:
            raise Refusal(
                "VALIDATION_ERROR", "READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set.'
            )
        if not value:
            continue
        if name == "hubspot_owner_id" and value not in owners:
            raise Refusal("VALIDATION_ERROR", "INVALID_OWNER", f"Owner {value} does not exist or is deactivated.")
        if name == "email" and not _EMAIL.fullmatch(value.strip()):
            raise Refusal("VALIDATION_ERROR", "INVALID_EMAIL", "Email address is invalid")
        if definition.type == "number" and not _is_number(value):
            raise Refusal("VALIDATION_ERROR", "INVALID_LONG", f"{name} was not a valid number.")
        if len(value) > 65_536:
            raise Refusal("VALIDATION_ERROR", "PROPERTY_VALUE_TOO_LONG", f"{name} is longer than 65536 characters.")


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
