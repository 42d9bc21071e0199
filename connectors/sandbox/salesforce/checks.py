"""What the sandbox org checks before it saves a record, with Salesforce's own words for what it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from connectors.sandbox.salesforce.objects import SandboxObject

if TYPE_CHECKING:
    from connectors.sandbox.salesforce.store import Store

Row = dict[str, Any]
WriteKind = Literal["create", "update", "delete", "undelete"]
_QUEUE = "00G"


class SaveError(Exception):
    """A record refused, in Salesforce's words. ``matches`` are the ids that a duplicate rule found."""

    def __init__(self, code: str, message: str, fields: Sequence[str] = (), matches: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = list(fields)
        self.matches = list(matches)


class Operation(Struct):
    """One record of a transaction. ``record_id`` of a create: the id that the org itself has chosen for it."""

    kind: WriteKind
    object: str
    record_id: str = ""
    fields: Row = {}
    refused: SaveError | None = None  # refused before it was tried


class DuplicateRule(Struct, frozen=True):
    """Records of ``object`` with the same ``field`` are duplicates; ``blocks``: not even a client that insists may save one."""

    object: str
    field: str = "Email"
    blocks: bool = False


def check(store: Store, operation: Operation, trusted: bool, insists: bool) -> SaveError | None:
    """Why a record may not be saved; None when it may. ``insists``: the client saves despite alerts about duplicates."""
    if operation.refused is not None:
        return operation.refused
    definition = store.objects.get(operation.object)
    if definition is None:
        return SaveError("INVALID_TYPE", f"sObject type '{operation.object}' is not supported.")
    found = None if operation.kind == "create" else _check_there(store, operation, definition, trusted)
    return (
        found
        or _check_right(store, operation, trusted)
        or _check_lock(store, operation)
        or _check_fields(store, operation, definition, trusted)
        or _check_required(operation, definition)
        or _check_member(store, operation)
        or (None if trusted else check_duplicates(store, operation, insists))
    )


def _check_there(store: Store, operation: Operation, definition: SandboxObject, trusted: bool) -> SaveError | None:
    if not operation.record_id:
        return SaveError("MISSING_ARGUMENT", "Id not specified in an update call", ["Id"])
    row = store.find(operation.object, operation.record_id)
    if operation.kind == "undelete" and (row is None or not row["IsDeleted"]):
        return SaveError("UNDELETE_FAILED", "Entity is not in the recycle bin")
    if row is None:
        if operation.record_id[:3] != definition.prefix:
            return SaveError("MALFORMED_ID", f"bad id {operation.record_id}", ["Id"])
        return SaveError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
    if row["IsDeleted"] and operation.kind != "undelete":
        return SaveError("ENTITY_IS_DELETED", "entity is deleted")
    if row.get("IsConverted") and not trusted:
        return SaveError("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
    return None


def _check_lock(store: Store, operation: Operation) -> SaveError | None:
    """A save locks the record and its parents; whoever holds one of them makes it fail."""
    if not store.locked and not store.held:
        return None
    for one in locks_of(store, operation):
        left = store.locked.get(one, 0)
        if left:
            store.locked[one] = left - 1
        elif store.is_held(one):
            store.collisions += 1
        else:
            continue
        return SaveError("UNABLE_TO_LOCK_ROW", f"unable to obtain exclusive access to this record or 1 records: {one}")
    return None


def locks_of(store: Store, operation: Operation) -> set[str]:
    """The records (15 characters of their ids) that a save locks: its own, those it hangs on, and the account above a person it is
    about."""
    row = store.find(operation.object, operation.record_id) if operation.record_id else None
    above = {*_parents(operation.fields), *_parents(row or {})}
    people = [store.find("Contact", one) for one in above] if "Contact" in store.objects else []
    above |= {one for person in people if person is not None for one in _parents(person)}
    return {one[:15] for one in (operation.record_id, *above) if one}


def _parents(fields: Row) -> Iterator[str]:
    for name in ("AccountId", "WhatId", "WhoId", "CampaignId", "LeadId", "ContactId"):
        if fields.get(name):
            yield str(fields[name])


def _check_fields(store: Store, operation: Operation, definition: SandboxObject, trusted: bool) -> SaveError | None:
    hidden = () if trusted else store.hidden.get(operation.object, ())
    for name, value in operation.fields.items():
        field = definition.fields.get(name)
        if field is None or (not trusted and name in store.invisible.get(operation.object, ())):
            return SaveError("INVALID_FIELD", f"No such column '{name}' on sobject of type {definition.name}")
        if (field.read_only and not trusted) or name in hidden:
            return SaveError(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Unable to create/update fields: {name}. Please check the security settings of this field and "
                "verify that it is read/write for your profile or permission set.",
                [name],
            )
        if not fits(field.type, value):
            return SaveError("JSON_PARSER_ERROR", f"{name}: Cannot deserialize instance of {field.type}", [name])
        if field.required and value in (None, ""):
            return SaveError("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{name}]", [name])
        if field.type not in ("textarea", "multipicklist") and isinstance(value, str) and len(value) > 255:
            return SaveError("STRING_TOO_LONG", f"{name}: data value too large (max length=255)", [name])
        if name == "OwnerId" and (error := _check_owner(store, definition.name, str(value or ""))):
            return error
    return None


def _check_right(store: Store, operation: Operation, trusted: bool) -> SaveError | None:
    if operation.kind == "create" and operation.object in store.closed and not trusted:
        return SaveError("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")
    return None


def _check_required(operation: Operation, definition: SandboxObject) -> SaveError | None:
    if operation.kind != "create":
        return None
    missing = [f.name for f in definition.fields.values() if f.required and not operation.fields.get(f.name)]
    if missing:
        return SaveError("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)
    return None


def _check_owner(store: Store, name: str, owner: str) -> SaveError | None:
    if owner.startswith(_QUEUE):
        queues = store.rows("QueueSobject").values()
        if not any(row["QueueId"][:15] == owner[:15] and row["SobjectType"] == name for row in queues):
            return SaveError(
                "INVALID_CROSS_REFERENCE_KEY", f"Queue not associated with this SObject type: {name}", ["OwnerId"]
            )
        return None
    user = store.find("User", owner)
    if user is None:
        return SaveError("INVALID_CROSS_REFERENCE_KEY", "Owner ID: id value of incorrect type: " + owner, ["OwnerId"])
    if not user["IsActive"]:
        return SaveError(
            "INACTIVE_OWNER_OR_USER",
            f"operation performed with inactive user [{owner}] as owner of {name.lower()}",
        )
    return None


def _check_member(store: Store, operation: Operation) -> SaveError | None:
    """A lead or contact is a member of a campaign once."""
    if operation.object != "CampaignMember" or operation.kind != "create":
        return None
    fields = operation.fields
    for row in store.rows("CampaignMember").values():
        same = all(row[name] == fields.get(name) for name in ("CampaignId", "LeadId", "ContactId"))
        if same and not row["IsDeleted"]:
            return SaveError("DUPLICATE_VALUE", "Already a campaign member.")
    return None


def check_duplicates(store: Store, operation: Operation, insists: bool) -> SaveError | None:
    """What a duplicate rule has against a record; None when nothing, or when the client insists and the rule only alerts."""
    for rule in store.duplicate_rules:
        value = operation.fields.get(rule.field)
        if rule.object != operation.object or not value or (insists and not rule.blocks):
            continue
        found = [
            row["Id"]
            for row in store.rows(rule.object).values()
            if not row["IsDeleted"]
            and str(row[rule.field] or "").lower() == str(value).lower()
            and row["Id"][:15] != operation.record_id[:15]
        ]
        if found:
            return SaveError("DUPLICATES_DETECTED", "Use one of these records?", matches=found)
    return None


def fits(kind: str, value: Any) -> bool:
    """Whether a value can be what the field is."""
    if value is None or value == "":
        return True
    if kind in ("int", "currency", "double"):
        return isinstance(value, int | float) and not isinstance(value, bool) and (kind != "int" or value == int(value))
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("date", "datetime"):
        try:
            return isinstance(value, str) and bool(datetime.fromisoformat(value))
        except ValueError:
            return False
    if kind == "complexvalue":
        return isinstance(value, dict)
    return isinstance(value, str) or (kind == "multipicklist" and isinstance(value, list))
