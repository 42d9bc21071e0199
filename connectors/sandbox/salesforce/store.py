"""The rows of the sandbox org, who wrote what when, and what each commit tells the event bus."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from threading import RLock
from typing import Any, Literal

from msgspec import Struct

from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce.objects import SandboxObject

Row = dict[str, Any]
WriteKind = Literal["create", "update", "delete"]

FIRST_NEW_RECORD = 50_000_000  # ids of new records lie far above those of the seed


class SaveError(Exception):
    """A record refused, in Salesforce's words."""

    def __init__(self, code: str, message: str, fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = list(fields)


class Operation(Struct):
    """One record of a transaction."""

    kind: WriteKind
    object: str
    record_id: str = ""
    fields: Row = {}
    refused: SaveError | None = None  # refused before it was tried


class HistoryEntry(Struct, frozen=True):
    """One write of one record, as it happened. ``client`` is what the writer called itself."""

    at: datetime
    kind: WriteKind
    actor: str
    client: str
    fields: Row


class Change(Struct, frozen=True):
    """What the event bus hears of one record of a transaction."""

    object: str
    kind: WriteKind
    record_id: str
    row: Row  # after the change
    changed: tuple[str, ...]
    nulled: tuple[str, ...]


class Commit(Struct, frozen=True):
    """One transaction as the event bus hears it."""

    changes: list[Change]
    actor: str
    origin: str
    at: datetime
    number: int


class Store:
    """Rows in memory. Every public method takes the lock; commits are announced in the order they happened."""

    def __init__(self, objects: Mapping[str, SandboxObject], clock: Callable[[], datetime]) -> None:
        self.objects = objects
        self.lock = RLock()
        self.hidden: dict[str, set[str]] = {}  # object -> fields the integration user may not write
        self.default_lead_owner = ""  # where the org's own assignment rule puts leads
        self.announce: Callable[[Commit], None] = lambda _: None
        self._clock = clock
        self._rows: dict[str, dict[str, Row]] = {name: {} for name in objects}  # by the first 15 characters of the id
        self._history: dict[str, list[HistoryEntry]] = {}
        self._new_ids = itertools.count(FIRST_NEW_RECORD)
        self._commit_number = 10_000_000_000_000_000  # beyond 2**53, as in old orgs: a float would lose the last digits

    def load(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Fills in seed rows; nothing is announced."""
        stamp = rest_instant(self._clock())
        fields = self.objects[name].fields
        for given in rows:
            row: Row = dict.fromkeys(fields)
            row.update(CreatedDate=stamp, LastModifiedDate=stamp, SystemModstamp=stamp, IsDeleted=False)
            row.update({key: _stored(fields[key].type, value) for key, value in given.items()})
            _defaults(name, row, fields)
            self._rows[name][row["Id"][:15]] = row

    def rows(self, name: str) -> dict[str, Row]:
        """The live table of an object by 15-character id; hold ``lock`` while reading it."""
        return self._rows[name]

    def next_number(self) -> int:
        """A commit number of its own, for an event without a transaction."""
        with self.lock:
            self._commit_number += 1
            return self._commit_number

    def find(self, name: str, record_id: str) -> Row | None:
        """A row, deleted or not."""
        return self._rows[name].get(record_id[:15])

    def history(self, record_id: str) -> list[HistoryEntry]:
        """Every write of a record since the sandbox started, oldest first."""
        with self.lock:
            return list(self._history.get(record_id[:15], ()))

    def transact(
        self,
        operations: Sequence[Operation],
        *,
        actor: str,
        client: str = "",
        origin: str = "",
        all_or_none: bool = False,
        auto_assign: bool = False,
        trusted: bool = False,
    ) -> list[str | SaveError]:
        """One transaction: per operation the record's id, or why it was refused.

        ``trusted`` lifts field permissions: the org itself writes, not the API's user.
        """
        with self.lock:
            now = self._clock()
            checked = [self._check(operation, trusted) for operation in operations]
            if all_or_none and any(error for error in checked):
                rolled_back = SaveError(
                    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                    "Record rolled back because not all records were valid and the request was using AllOrNone header",
                )
                return [error or rolled_back for error in checked]
            results: list[str | SaveError] = []
            changes: list[Change] = []
            for operation, error in zip(operations, checked, strict=True):
                if error is not None:
                    results.append(error)
                    continue
                change = self._apply(operation, actor, client, now, auto_assign)
                changes.append(change)
                results.append(change.record_id)
            if changes:
                self._commit_number += 1 + len(changes)
                self.announce(Commit(changes, actor, origin, now, self._commit_number))
            return results

    def _check(self, operation: Operation, trusted: bool) -> SaveError | None:
        if operation.refused is not None:
            return operation.refused
        definition = self.objects.get(operation.object)
        if definition is None:
            return SaveError("INVALID_TYPE", f"sObject type '{operation.object}' is not supported.")
        if operation.kind != "create":
            row = self.find(operation.object, operation.record_id) if operation.record_id else None
            if not operation.record_id:
                return SaveError("MISSING_ARGUMENT", "Id not specified in an update call", ["Id"])
            if row is None:
                if operation.record_id[:3] != definition.prefix:
                    return SaveError("MALFORMED_ID", f"bad id {operation.record_id}", ["Id"])
                return SaveError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
            if row["IsDeleted"]:
                return SaveError("ENTITY_IS_DELETED", "entity is deleted")
        return self._check_fields(operation, definition, trusted)

    def _check_fields(self, operation: Operation, definition: SandboxObject, trusted: bool) -> SaveError | None:
        hidden = () if trusted else self.hidden.get(operation.object, ())
        for name, value in operation.fields.items():
            field = definition.fields.get(name)
            if field is None:
                return SaveError("INVALID_FIELD", f"No such column '{name}' on sobject of type {definition.name}")
            if (field.read_only and not trusted) or name in hidden:
                return SaveError(
                    "INVALID_FIELD_FOR_INSERT_UPDATE",
                    f"Unable to create/update fields: {name}. Please check the security settings of this field and "
                    "verify that it is read/write for your profile or permission set.",
                    [name],
                )
            if not _fits(field.type, value):
                return SaveError("JSON_PARSER_ERROR", f"{name}: Cannot deserialize instance of {field.type}", [name])
            if field.required and value in (None, ""):
                return SaveError("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{name}]", [name])
            if field.type not in ("textarea", "multipicklist") and isinstance(value, str) and len(value) > 255:
                return SaveError("STRING_TOO_LONG", f"{name}: data value too large (max length=255)", [name])
            if name == "OwnerId" and (error := self._check_owner(str(value or ""))):
                return error
        if operation.kind == "create":
            missing = [f.name for f in definition.fields.values() if f.required and not operation.fields.get(f.name)]
            if missing:
                return SaveError(
                    "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing
                )
        return None

    def _check_owner(self, owner: str) -> SaveError | None:
        user = self.find("User", owner)
        if user is None:
            return SaveError(
                "INVALID_CROSS_REFERENCE_KEY", "Owner ID: id value of incorrect type: " + owner, ["OwnerId"]
            )
        if not user["IsActive"]:
            return SaveError(
                "INACTIVE_OWNER_OR_USER", "operation performed with inactive user [" + owner + "] as owner of lead"
            )
        return None

    def _apply(self, operation: Operation, actor: str, client: str, now: datetime, auto_assign: bool) -> Change:
        definition = self.objects[operation.object]
        stamp = rest_instant(now)
        kinds = definition.fields
        fields = {name: _stored(kinds[name].type, value) for name, value in operation.fields.items()}
        if auto_assign and operation.object == "Lead" and operation.kind != "delete" and self.default_lead_owner:
            fields["OwnerId"] = self.default_lead_owner
        if operation.kind == "create":
            record_id = salesforce_id(definition.prefix, next(self._new_ids))
            row: Row = dict.fromkeys(kinds)
            row.update(Id=record_id, CreatedDate=stamp, CreatedById=actor, IsDeleted=False)
            row["OwnerId"] = fields.get("OwnerId") or actor
            self._rows[operation.object][record_id[:15]] = row
            before: Row = {}
        else:
            row = self._rows[operation.object][operation.record_id[:15]]
            record_id, before = row["Id"], row.copy()
        row.update(fields)
        row.update(LastModifiedDate=stamp, LastModifiedById=actor, SystemModstamp=stamp)
        if operation.kind == "delete":
            row["IsDeleted"] = True
        _defaults(operation.object, row, kinds)
        self._history.setdefault(record_id[:15], []).append(HistoryEntry(now, operation.kind, actor, client, fields))
        changed = tuple(name for name, value in row.items() if kinds[name].place and before.get(name) != value)
        nulled = tuple(name for name in changed if row[name] is None)
        return Change(operation.object, operation.kind, record_id, row.copy(), changed, nulled)


def rest_instant(moment: datetime) -> str:
    """An instant as REST shows it; Salesforce keeps whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _fits(kind: str, value: Any) -> bool:
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
    return isinstance(value, str) or (kind == "multipicklist" and isinstance(value, list))


def _stored(kind: str, value: Any) -> Any:
    if value is None or value == "":
        return None  # Salesforce knows no empty text
    if kind == "datetime" and isinstance(value, str):
        return rest_instant(datetime.fromisoformat(value))
    if kind == "multipicklist" and isinstance(value, list):
        return ";".join(value)
    if kind in ("currency", "double") and not isinstance(value, bool):
        return float(value)
    return value


def _defaults(name: str, row: Row, kinds: Mapping[str, Any]) -> None:
    for field, kind in kinds.items():
        if kind.type == "boolean" and row.get(field) is None:
            row[field] = field == "IsActive"
    if name in ("Lead", "Contact", "User"):
        parts = (row.get(part) for part in ("Salutation", "FirstName", "MiddleName", "LastName", "Suffix"))
        row["Name"] = " ".join(part for part in parts if part) or row.get("Name")
    if name == "Opportunity":
        stage = str(row.get("StageName") or "")
        row["IsClosed"], row["IsWon"] = stage.startswith("Closed"), stage == "Closed Won"
