"""What runs in the org by itself when a record is saved, by us too, and may fight us: what ``fingerpost doctor`` tells of it.

Objects are compared by their API names. Setup refers to a custom object by its id, so ``EntityDefinition`` is asked for these first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from connectors.contract import Finding
from connectors.errors import Misconfigured, PermissionDenied
from routing.core.model import EntityMap

if TYPE_CHECKING:
    from connectors.salesforce.connection import SalesforceConnection

QUERY, TOOLING = "query/", "tooling/query/"
MOST_FLOWS = 50  # looked into: each costs a call, as Salesforce gives the metadata of one at a time
_CUSTOM = "01I"  # how the ids of custom objects begin; they come with 15 or with 18 characters
_ASKS_WHO = ("$User.", "$Profile.", "$Permission.")
_RUNS = "Where one sets what we write it undoes ours, or we undo its; it cannot be seen from here."

Written = frozenset[tuple[str, str]]  # object and field, as Salesforce names them


class Flow(Struct, frozen=True):
    """An active flow, process or workflow rule that runs when records of ``object`` are saved. ``sets`` are object and field of what it changes.

    ``asks_who``: it looks at who saves. ``known`` is False where Salesforce does not show what is in it (a managed package). ``at_birth``:
    only when one is made, before we hear of it.
    """

    name: str
    object: str
    sets: Written = frozenset()
    asks_who: bool = False
    known: bool = True
    at_birth: bool = False


def rows(connection: SalesforceConnection, query: str, path: str = QUERY) -> list[dict[str, Any]]:
    """The rows of a query about Setup. Raises Misconfigured or PermissionDenied where the integration user may not look, or the org has
    no such thing; other ConnectorErrors as always."""
    return list(connection.client.query(query, path=path, what="looking at the org's setup")["records"])


def looked(check: str, look: Callable[[], Finding]) -> Finding:
    """What a look at Setup found, or that nobody could look: then nothing is known, neither good nor bad."""
    try:
        return look()
    except (Misconfigured, PermissionDenied) as error:
        advice = "With 'View Setup and Configuration' the integration user could look."
        return Finding(check, True, f"not looked at: {error}", advice, looked=False)


def automation(connection: SalesforceConnection, maps: Mapping[str, EntityMap]) -> Iterator[Finding]:
    """One finding for each kind of thing that runs by itself. Blocks for a call each, and one for each flow."""
    mapped = _Mapped(connection, maps)
    for check, look in AUTOMATION.items():
        yield looked(check, lambda check=check, look=look: look(check, mapped))  # type: ignore[misc]


class _Mapped:
    """The mapped objects, and how Setup refers to them."""

    def __init__(self, connection: SalesforceConnection, maps: Mapping[str, EntityMap]) -> None:
        self.connection = connection
        self.names = [one.remote for one in maps.values()]
        self.written: Written = frozenset(
            (one.remote, remote)
            for one in maps.values()
            for name, remote in one.fields.items()
            if name not in one.read_only
        )
        self._by_key: dict[str, str] = {}

    def named(self, reference: object) -> str:
        """The API name of a mapped object by its name or id; "" for any other."""
        if not self._by_key and self.names:
            among = ", ".join(f"'{name}'" for name in self.names)
            query = f"SELECT QualifiedApiName, DurableId FROM EntityDefinition WHERE QualifiedApiName IN ({among})"  # noqa: S608 - names of fields.yaml
            found = {_key(row["DurableId"]): row["QualifiedApiName"] for row in rows(self.connection, query)}
            self._by_key = {name: name for name in self.names} | found
        return self._by_key.get(_key(reference), "")

    def of(self, query: str, name: str, reference: str, path: str = QUERY) -> str:
        """What the query finds about mapped objects, in words: ``Standard on Lead``, …"""
        found = [(row[name], self.named(row[reference])) for row in rows(self.connection, query, path)]
        return ", ".join(f"{one} on {of}" for one, of in sorted(found) if of)


def _key(reference: object) -> str:
    text = str(reference or "")
    return text[:15] if text.startswith(_CUSTOM) else text


def _assignment_rules(check: str, mapped: _Mapped) -> Finding:
    query = "SELECT Name, SobjectType FROM AssignmentRule WHERE Active = true"
    found = mapped.of(query, "Name", "SobjectType")
    detail = "every write asks Salesforce not to run its own assignment rules (Sforce-Auto-Assign: FALSE)"
    if not found:
        return Finding(check, True, detail)
    return Finding(
        check, True, f"{detail}; active: {found}", "They still run for records that people or web forms make."
    )


def _duplicate_rules(check: str, mapped: _Mapped) -> Finding:
    query = "SELECT DeveloperName, SobjectType FROM DuplicateRule WHERE IsActive = true"
    found = mapped.of(query, "DeveloperName", "SobjectType")
    if not found:
        return Finding(check, True, "none is active for the mapped objects")
    passed = "are passed over" if mapped.connection.settings.save_despite_alerts else "refuse our writes"
    return Finding(
        check,
        True,
        f"active: {found}; those that alert {passed} (save_despite_alerts)",
        "One that blocks refuses our writes too: they are parked with the records that it found.",
    )


def _validation_rules(check: str, mapped: _Mapped) -> Finding:
    query = "SELECT ValidationName, EntityDefinitionId FROM ValidationRule WHERE Active = true"
    found = mapped.of(query, "ValidationName", "EntityDefinitionId", TOOLING)
    if not found:
        return Finding(check, True, "none is active for the mapped objects")
    advice = (
        "What one refuses is parked with its message. A record that breaks one already is refused whatever we write: "
        "let it pass the integration user ($User.Id), or correct the record."
    )
    return Finding(check, True, f"hold for our writes too: {found}", advice)


def _apex_triggers(check: str, mapped: _Mapped) -> Finding:
    query = "SELECT Name, TableEnumOrId FROM ApexTrigger WHERE Status = 'Active'"
    found = mapped.of(query, "Name", "TableEnumOrId", TOOLING)
    if not found:
        return Finding(check, True, "none is active for the mapped objects")
    return Finding(check, True, f"run when a record is saved, also by us: {found}", _RUNS)


def _flows(check: str, mapped: _Mapped) -> Finding:
    return _running(check, mapped, *_active_flows(mapped))


def _workflow_rules(check: str, mapped: _Mapped) -> Finding:
    return _running(check, mapped, *_active_rules(mapped))


def _running(check: str, mapped: _Mapped, found: Sequence[Flow], left: int) -> Finding:
    if not found:
        return Finding(check, True, "none runs when a mapped object is saved, as far as the integration user sees")
    fighting = [
        f"{one.name} sets {', '.join(f'{field} of {of}' for of, field in sorted(one.sets & mapped.written))}"
        for one in found
        if not one.asks_who and not one.at_birth and one.sets & mapped.written
    ]
    others = ", ".join(_described(one) for one in found)
    more = f"; {left} more were not looked into" if left else ""
    if not fighting:
        unseen = _RUNS if left or not all(one.known for one in found) else ""
        return Finding(check, True, f"run when a record is saved, also by us: {others}{more}", unseen)
    return Finding(
        check,
        False,
        f"what we write is written by {check} too: {'; '.join(fighting)}. All that run: {others}{more}",
        "No header switches them off: one undoes what we write, or we undo what it sets. Let it pass the saves of the integration user "
        "(an entry condition with $User.Id), or mark the fields read_only in fields.yaml.",
    )


def _described(flow: Flow) -> str:
    asides = {
        "asks who saves": flow.asks_who,
        "only of new ones": flow.at_birth,
        "what it sets is not shown": not flow.known,
    }
    said = ", ".join(words for words, so in asides.items() if so)
    return f"{flow.name} on {flow.object}" + (f" ({said})" if said else "")


def _active_flows(mapped: _Mapped) -> tuple[list[Flow], int]:
    """Those of mapped objects, and how many were too many to be looked into."""
    # Not IsActive: that is about the latest version, and an older one may be the active one.
    query = (
        "SELECT ApiName, ActiveVersionId, TriggerObjectOrEventId FROM FlowDefinitionView WHERE ActiveVersionId != null AND "
        "(TriggerType IN ('RecordBeforeSave', 'RecordAfterSave') OR ProcessType = 'Workflow') ORDER BY ApiName"
    )
    found: list[Flow] = []
    listed = rows(mapped.connection, query)
    # A process says which object it is about in its metadata alone.
    wanted = [row for row in listed if not row["TriggerObjectOrEventId"] or mapped.named(row["TriggerObjectOrEventId"])]
    for row in wanted[:MOST_FLOWS]:
        one = flow_of(
            row["ApiName"],
            mapped.named(row["TriggerObjectOrEventId"]),
            _shown(mapped.connection, "Flow", row["ActiveVersionId"]),
        )
        if one.object in mapped.names:
            found.append(one)
    return found, max(0, len(wanted) - MOST_FLOWS)


def _active_rules(mapped: _Mapped) -> tuple[list[Flow], int]:
    """As ``_active_flows``. Whether a rule is active, and what it does, stands in its metadata alone; what a field update sets in that one's."""
    listed = rows(mapped.connection, "SELECT Id, Name, TableEnumOrId FROM WorkflowRule ORDER BY Name", TOOLING)
    wanted = [row for row in listed if mapped.named(row["TableEnumOrId"])]
    shown = [(row, _shown(mapped.connection, "WorkflowRule", row["Id"])) for row in wanted[:MOST_FLOWS]]
    active = [(row, rule) for row, rule in shown if rule is None or rule.get("active")]
    updates = _field_updates(mapped) if any(_updates_of(rule) for _, rule in active) else {}
    found = [rule_of(row["Name"], mapped.named(row["TableEnumOrId"]), rule, updates) for row, rule in active]
    return found, max(0, len(wanted) - MOST_FLOWS)


def _field_updates(mapped: _Mapped) -> dict[tuple[str, str], Mapping[str, Any]]:
    """By object and API name the metadata of the field updates of mapped objects."""
    listed = rows(mapped.connection, "SELECT Id, SourceTableEnumOrId FROM WorkflowFieldUpdate", TOOLING)
    about = [(mapped.named(row["SourceTableEnumOrId"]), row["Id"]) for row in listed]
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for of, one in [(of, one) for of, one in about if of][:MOST_FLOWS]:
        query = f"SELECT FullName, Metadata FROM WorkflowFieldUpdate WHERE Id = '{one}'"  # noqa: S608 - the id is Salesforce's own
        for row in rows(mapped.connection, query, TOOLING):
            found[of, str(row["FullName"]).rpartition(".")[2]] = row["Metadata"] or {}
    return found


def _updates_of(rule: Mapping[str, Any] | None) -> list[str]:
    """The API names of the field updates that a rule makes, at once or later."""
    holders = [rule or {}, *_parts(rule or {}, "workflowTimeTriggers")]
    actions = [action for holder in holders for action in _parts(holder, "actions")]
    return [str(action["name"]) for action in actions if action.get("type") == "FieldUpdate"]


def rule_of(
    name: str, about: str, rule: Mapping[str, Any] | None, updates: Mapping[tuple[str, str], Mapping[str, Any]]
) -> Flow:
    """A workflow rule by its metadata (None: not shown), and that of the field updates by object and API name."""
    if rule is None:
        return Flow(name, about, known=False)
    named = _updates_of(rule)
    known = [updates[about, one] for one in named if (about, one) in updates]
    # A detail may update its master: targetObject is then the field that refers to it, and not looked into.
    sets = frozenset((about, str(one.get("field"))) for one in known if not one.get("targetObject"))
    conditions = [str(item.get("field", "")) for item in _parts(rule, "criteriaItems")]
    asks_who = any(one.startswith("User.") for one in conditions) or any(
        word in str(rule.get("formula") or "") for word in _ASKS_WHO
    )
    at_birth = rule.get("triggerType") == "onCreateOnly"
    return Flow(name, about, sets, asks_who, known=len(known) == len(named), at_birth=at_birth)


def _shown(connection: SalesforceConnection, kind: str, record_id: str) -> dict[str, Any] | None:
    """The metadata of one; None where Salesforce does not show it."""
    query = f"SELECT Metadata FROM {kind} WHERE Id = '{record_id}'"  # noqa: S608 - the id is Salesforce's own
    try:
        return next((one["Metadata"] for one in rows(connection, query, TOOLING)), None)
    except (Misconfigured, PermissionDenied):
        return None


def flow_of(name: str, about: str, metadata: Mapping[str, Any] | None) -> Flow:
    """A flow by its metadata, as the Tooling API gives it (None: not at all). ``about`` is its object, "" where only the metadata tells."""
    if metadata is None:
        return Flow(name, about, known=False)
    told = {one["name"]: one.get("value") or {} for one in _parts(metadata, "processMetadataValues")}
    start = metadata.get("start") or {}
    own = str(start.get("object") or (told.get("ObjectType") or {}).get("stringValue") or about)
    kinds = {one["name"]: str(one.get("objectType") or "") for one in _parts(metadata, "variables")} | {"$Record": own}
    sets = set()
    for update in _parts(metadata, "recordUpdates"):
        target = str(update.get("object") or kinds.get(str(update.get("inputReference") or ""), ""))
        sets |= {(target, str(one["field"])) for one in _parts(update, "inputAssignments")}
    for assignment in _parts(metadata, "assignments"):
        for item in _parts(assignment, "assignmentItems"):
            record, _, field = str(item.get("assignToReference") or "").partition(".")
            if field and kinds.get(record):
                sets.add((kinds[record], field))
    text = msgspec.json.encode(metadata).decode()
    asks_who, at_birth = any(word in text for word in _ASKS_WHO), start.get("recordTriggerType") == "Create"
    return Flow(name, own, frozenset(sets), asks_who, at_birth=at_birth)


def _parts(holder: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    return holder.get(name) or ()


AUTOMATION: Mapping[str, Callable[[str, _Mapped], Finding]] = {
    "assignment rules": _assignment_rules,
    "duplicate rules": _duplicate_rules,
    "validation rules": _validation_rules,
    "flows": _flows,
    "workflow rules": _workflow_rules,
    "Apex triggers": _apex_triggers,
}
