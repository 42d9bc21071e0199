"""The rows of the sandbox org, who wrote what when, and what each commit tells the event bus."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from threading import RLock
from time import monotonic
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce.checks import DuplicateRule, Operation, Row, SaveError, WriteKind, check, locks_of
from connectors.sandbox.salesforce.objects import SandboxObject

FIRST_NEW_RECORD = 50_000_000  # ids of new records lie far above those of the seed


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

    def __init__(self, objects: dict[str, SandboxObject], clock: Callable[[], datetime]) -> None:
        self.objects = objects
        self.lock = RLock()
        self.hidden: dict[str, set[str]] = {}  # object -> fields the integration user may not write
        self.invisible: dict[str, set[str]] = {}  # object -> fields the integration user may not even see
        self.kept: set[str] = set()  # objects whose records the integration user may not delete, nor merge
        self.closed: set[str] = set()  # those of which it may make none
        self.duplicate_rules: list[DuplicateRule] = []
        self.locked: dict[str, int] = {}  # 15-character id -> how many more saves find it locked by somebody else
        self.save_seconds = 0.0  # how long a Collections call takes to save, and holds its records and their parents
        self.held: dict[str, float] = {}  # 15-character id -> until when (monotonic seconds) such a call holds it
        self.collisions = 0  # records refused since another such call held them or their parent
        self.flow_owner = ""  # to whom a flow gives each lead that the API gives somebody
        self.default_lead_owner = ""  # where the org's own assignment rule puts leads
        self.announce: Callable[[Commit], None] = lambda _: None
        self._clock = clock
        self._rows: dict[str, dict[str, Row]] = {name: {} for name in objects}  # by the first 15 characters of the id
        self._history: dict[str, list[HistoryEntry]] = {}
        self._erased: dict[str, dict[str, str]] = {name: {} for name in objects}
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

    def redefine(self, definition: SandboxObject) -> None:
        """An object with other fields than before, where rows get them empty; or a new one."""
        with self.lock:
            self.objects[definition.name] = definition
            self._erased.setdefault(definition.name, {})
            for row in self._rows.setdefault(definition.name, {}).values():
                for name in definition.fields:
                    row.setdefault(name)

    def next_number(self) -> int:
        """A commit number of its own, for an event without a transaction."""
        with self.lock:
            self._commit_number += 1
            return self._commit_number

    def new_id(self, name: str) -> str:
        """The id of a record that is about to be made."""
        return salesforce_id(self.objects[name].prefix, next(self._new_ids))

    def find(self, name: str, record_id: str) -> Row | None:
        """A row, deleted or not."""
        return self._rows[name].get(record_id[:15])

    def erase(self, name: str, record_id: str) -> None:
        """Takes a deleted record out of the recycle bin for good, with those that were merged into it. That they were written, and when,
        stays; their values do not."""
        with self.lock:
            rows = self._rows[name]
            row = rows.pop(record_id[:15])
            self._erased[name][row["Id"]] = row["SystemModstamp"]
            written = self._history.get(record_id[:15], [])
            self._history[record_id[:15]] = [replace(one, fields=dict.fromkeys(one.fields)) for one in written]
            for one in [
                one["Id"] for one in rows.values() if one["IsDeleted"] and one.get("MasterRecordId") == row["Id"]
            ]:
                self.erase(name, one)

    def erased(self, name: str) -> dict[str, str]:
        """The records that left the recycle bin for good: id -> when they were deleted."""
        with self.lock:
            return dict(self._erased[name])

    def is_held(self, record_id: str) -> bool:
        """Whether a save that is not over yet holds the record (15 characters)."""
        return self.held.get(record_id, 0.0) > monotonic()

    def hold(self, operations: Sequence[Operation]) -> None:
        """Keeps others from the records of a save, and from their parents, for as long as saving takes."""
        with self.lock:
            now = monotonic()
            self.held = {one: until for one, until in self.held.items() if until > now}
            saved = [locks_of(self, operation) for operation in operations]
            self.held |= dict.fromkeys(set[str]().union(*saved), now + self.save_seconds)

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
        insists: bool = False,
    ) -> list[str | SaveError]:
        """One transaction: per operation the record's id, or why it was refused.

        ``trusted`` lifts field permissions: the org itself writes, not the API's user. ``insists``: alerts about duplicates
        are passed over.
        """
        with self.lock:
            now = self._clock()
            checked = [check(self, operation, trusted, insists) for operation in operations]
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

    def _apply(self, operation: Operation, actor: str, client: str, now: datetime, auto_assign: bool) -> Change:
        definition = self.objects[operation.object]
        stamp = rest_instant(now)
        kinds = definition.fields
        fields = {name: _stored(kinds[name].type, value) for name, value in operation.fields.items()}
        if auto_assign and operation.object == "Lead" and operation.kind != "delete" and self.default_lead_owner:
            fields["OwnerId"] = self.default_lead_owner
        if self.flow_owner and operation.object == "Lead" and fields.get("OwnerId") and client:
            fields["OwnerId"] = self.flow_owner
        if operation.kind == "create":
            record_id = operation.record_id or self.new_id(operation.object)
            row: Row = dict.fromkeys(kinds)
            row.update(Id=record_id, CreatedDate=stamp, CreatedById=actor, IsDeleted=False)
            if "OwnerId" in kinds:
                row["OwnerId"] = fields.get("OwnerId") or actor
            self._rows[operation.object][record_id[:15]] = row
            before: Row = {}
        else:
            row = self._rows[operation.object][operation.record_id[:15]]
            record_id, before = row["Id"], row.copy()
        row.update(fields)
        row.update(LastModifiedDate=stamp, LastModifiedById=actor, SystemModstamp=stamp)
        if operation.kind in ("delete", "undelete"):
            row["IsDeleted"] = operation.kind == "delete"
        _defaults(operation.object, row, kinds)
        self._history.setdefault(record_id[:15], []).append(HistoryEntry(now, operation.kind, actor, client, fields))
        if operation.kind == "undelete":
            before = {}
        # A row keeps what it holds of a field that was deleted, as Salesforce does for a fortnight; nobody is told of it.
        told = (name for name in row if name in kinds and kinds[name].place)
        changed = tuple(name for name in told if before.get(name) != row[name])
        nulled = tuple(name for name in changed if row[name] is None)
        return Change(operation.object, operation.kind, record_id, row.copy(), changed, nulled)


def rest_instant(moment: datetime) -> str:
    """An instant as REST shows it; Salesforce keeps whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


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
