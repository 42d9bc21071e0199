"""The sandbox org as its people and administrators handle it: rows in memory, what is done to them, and the event bus that tells of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce import joins
from connectors.sandbox.salesforce.bus import EventBus, Spoil
from connectors.sandbox.salesforce.changes import encode, header_of
from connectors.sandbox.salesforce.checks import DuplicateRule, Operation, SaveError
from connectors.sandbox.salesforce.objects import CHANGE_TYPES, FieldKind, SandboxObject, build_objects, custom_object
from connectors.sandbox.salesforce.setup import FLOW, entity_row, giving, setup_rows
from connectors.sandbox.salesforce.standard import CONVERTED
from connectors.sandbox.salesforce.store import HistoryEntry, Store
from connectors.sandbox.wording import one_of

Row = dict[str, Any]
_CUSTOM = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*__c")


class SalesforceSeed(Protocol):
    """What the sandbox needs of a world: rows by Salesforce field names, each with its Id."""

    users: list[Row]
    accounts: list[Row]
    contacts: list[Row]
    opportunities: list[Row]


class Org:
    """One Salesforce org, which nobody serves yet. Everything here is done by people, or by the org itself."""

    def __init__(self, world: SalesforceSeed, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.org_id = salesforce_id("00D", 1)
        users = self._with_own_users(world)
        seed = {
            "User": users,
            "Account": world.accounts,
            "Contact": world.contacts,
            "Opportunity": world.opportunities,
            "Lead": list(getattr(world, "leads", ())),
            **getattr(world, "custom", {}),
        }
        self.store = Store(build_objects(seed), clock)
        for name, rows in seed.items():
            self.store.load(name, rows)
        self.store.default_lead_owner = self.assignment_rule_owner_id
        self.username = str((self.store.find("User", self.integration_user_id) or {})["Username"])
        self.bus = EventBus(self.store.objects)
        self.store.announce = self.bus.publish
        for name, rows in setup_rows(self.store.objects).items():
            self.store.load(name, rows)

    def _with_own_users(self, world: SalesforceSeed) -> list[Row]:
        """The world's users, the integration user, and whoever gets what the org's own assignment rule assigns."""
        users = list(world.users)

        def own(number: int, first: str, last: str) -> str:
            user_id = salesforce_id("005", 9_000_000 + number)
            username = f"{first}.{last}@org.sandbox".lower()
            row = {"Id": user_id, "FirstName": first, "LastName": last, "Username": username, "IsActive": True}
            users.append({**row, "Email": username})
            return user_id

        self.integration_user_id = str(getattr(world, "integration_user_id", "")) or own(1, "Fingerpost", "Integration")
        self.assignment_rule_owner_id = own(2, "Assignment", "Rule")
        self.admin_user_id = own(3, "Org", "Admin")
        return users

    # The org, as its people and administrators handle it

    def create(self, name: str, fields: Mapping[str, Any], actor: str = "", origin: str = "") -> str:
        """Makes a record and returns its id. ``origin`` names the client, "" is a person at the screen.

        Raises SaveError as Salesforce would refuse it.
        """
        return self._save(Operation("create", name, fields=dict(fields)), actor, origin)

    def update(self, name: str, record_id: str, fields: Mapping[str, Any], actor: str = "", origin: str = "") -> None:
        """Changes a record. Raises SaveError."""
        self._save(Operation("update", name, record_id, dict(fields)), actor, origin)

    def delete(self, name: str, record_id: str, actor: str = "", origin: str = "") -> None:
        """Deletes a record. Raises SaveError."""
        self._save(Operation("delete", name, record_id), actor, origin)

    def transact(self, operations: Sequence[Operation], actor: str = "", origin: str = "") -> list[str | SaveError]:
        """Several writes in one transaction."""
        full = f"com/salesforce/api/rest/66.0;client={origin}" if origin and "/" not in origin else origin
        return self.store.transact(
            operations, actor=actor or self.admin_user_id, client=origin, origin=full, trusted=True
        )

    def together(self, writes: Sequence[Mapping[str, Any]], actor: str = "") -> list[str]:
        """One transaction of writes like ``{"kind": "create", "object": "Lead", "fields": {…}}``, all or none: the ids. Raises SaveError."""
        operations = msgspec.convert(writes, list[Operation])
        return joins.all_or_none(self.store, operations, {"actor": actor or self.admin_user_id})

    def _save(self, operation: Operation, actor: str, origin: str) -> str:
        [result] = self.transact([operation], actor, origin)
        if isinstance(result, SaveError):
            raise result
        return result

    def record(self, name: str, record_id: str) -> Row | None:
        """What the org holds of a record; None when it does not exist or is deleted."""
        with self.store.lock:
            row = self.store.find(name, record_id)
            return None if row is None or row["IsDeleted"] else row.copy()

    def records(self, name: str) -> list[Row]:
        """All records of an object that are not deleted. Raises ValueError when there is no such object."""
        self._check(name)
        with self.store.lock:
            return [row.copy() for row in self.store.rows(name).values() if not row["IsDeleted"]]

    def history(self, name: str, record_id: str) -> list[HistoryEntry]:
        """Every write of a record since the start, oldest first: proof of what was written, and how often."""
        del name  # ids are unique in the org
        return self.store.history(record_id)

    # Setup, as an administrator changes it

    def forbid(self, name: str, field: str) -> None:
        """Takes the integration user's right to write a field away."""
        self._check(name, field)
        self.store.hidden.setdefault(name, set()).add(field)

    def forbid_conversions(self) -> None:
        """Takes the permission Convert Leads away from the integration user."""
        for row in self.store.rows("UserPermissionAccess").values():
            row["PermissionsConvertLeads"] = False

    def forbid_deletions(self, name: str) -> None:
        """Takes the right to delete an object's records, and so to merge them, away from the integration user."""
        self._check(name)
        self.store.kept.add(name)

    def forbid_creations(self, name: str) -> None:
        """Takes the right to make an object's records away from the integration user."""
        self._check(name)
        self.store.closed.add(name)

    def revoke(self, name: str, field: str) -> None:
        """Takes the integration user's right to see a field away: queries that name it are refused."""
        self._check(name, field)
        self.store.invisible.setdefault(name, set()).add(field)

    def allow(self, name: str, field: str) -> None:
        """Gives back what ``forbid`` or ``revoke`` took."""
        self._check(name, field)
        self.store.hidden.get(name, set()).discard(field)
        self.store.invisible.get(name, set()).discard(field)

    def _check(self, name: str, field: str = "") -> None:
        """Raises ValueError for an object, or a field of it, that the org has not."""
        definition = self.store.objects.get(name)
        if definition is None:
            raise ValueError(f"salesforce has no object {name!r}; {one_of(name, sorted(self.store.objects))}")
        if field and field not in definition.fields:
            raise ValueError(f"{name} has no field {field!r}; {one_of(field, sorted(definition.fields))}")

    def add_object(self, name: str, fields: Mapping[str, FieldKind]) -> None:
        """A new custom object (Region__c) with a Name, an owner and fields ({"Country__c": "picklist"}), selected for change events.

        Raises ValueError.
        """
        if not _CUSTOM.fullmatch(name):
            raise ValueError(f"a custom object has a name like Region__c, not {name!r}")
        if name in self.store.objects:
            raise ValueError(f"salesforce has an object {name} already")
        if wrong := [field for field in fields if not _CUSTOM.fullmatch(field)]:
            raise ValueError(f"a custom field has a name like Country__c, not {wrong[0]!r}; Name and OwnerId are there")
        self._redefine(custom_object(name, self.store.objects, fields))
        self.store.load("EntityDefinition", [entity_row(name, len(self.store.objects))])
        self.select(name)

    def add_field(self, name: str, field: str, kind: FieldKind = "string") -> None:
        """A new custom field: from now on change events come in another schema. Raises ValueError when it is there already."""
        self._check(name)
        if field in self.store.objects[name].fields:
            raise ValueError(f"{name} has a field {field!r} already")
        self._redefine(self.store.objects[name].with_field(field, kind))

    def delete_field(self, name: str, field: str) -> None:
        """Deletes a field: queries that name it are refused, and from now on change events come in a schema without it."""
        self._check(name, field)
        self._redefine(self.store.objects[name].without_field(field))

    def change_type(self, name: str, field: str, kind: FieldKind) -> None:
        """Gives a field another type: from now on it takes other values, and change events come in another schema."""
        self._check(name, field)
        self._redefine(self.store.objects[name].with_type(field, kind))

    def _redefine(self, definition: SandboxObject) -> None:
        with self.store.lock:
            self.bus.schemas[definition.schema_id] = definition.schema_json
            self.store.redefine(definition)

    def add_queue(self, label: str, objects: Sequence[str]) -> str:
        """A queue that may own records of those objects; its id."""
        for name in objects:
            self._check(name)
        queue = self.create("Group", {"Name": label, "Type": "Queue"})
        for name in objects:
            self.create("QueueSobject", {"QueueId": queue, "SobjectType": name})
        return queue

    def add_duplicate_rule(self, name: str, field: str = "Email", blocks: bool = False) -> None:
        """An active duplicate rule: records of an object with the same field."""
        self._check(name, field)
        self.store.duplicate_rules.append(DuplicateRule(name, field, blocks))
        rule = {"DeveloperName": f"Same_{field}", "MasterLabel": f"Same {field}", "SobjectType": name}
        self.create("DuplicateRule", {**rule, "IsActive": True})

    def add_flow(self, owner: str) -> None:
        """A flow that gives each lead to ``owner`` whenever the API gives it to somebody; no header stops it. "" switches it off."""
        if owner and self.store.find("User", owner) is None and self.store.find("Group", owner) is None:
            raise ValueError(f"salesforce has no user or queue {owner!r} to whom a flow could give leads")
        self.store.flow_owner = owner
        for view in self.records("FlowDefinitionView"):
            if view["ApiName"] == FLOW:
                self.delete("FlowDefinitionView", view["Id"])
                self.delete("Flow", view["ActiveVersionId"])
        if owner:
            self.run_flow(FLOW, "Lead", giving(owner))

    def run_flow(self, name: str, about: str, metadata: Mapping[str, Any]) -> None:
        """Shows a flow in Setup that runs after records of ``about`` were saved. It does nothing here."""
        self._check(about)
        label = name.replace("_", " ")
        version = self.create("Flow", {"MasterLabel": label, "Status": "Active", "Metadata": dict(metadata)})
        [entity] = [row for row in self.records("EntityDefinition") if row["QualifiedApiName"] == about]
        trigger = {"TriggerType": "RecordAfterSave", "TriggerObjectOrEventId": entity["DurableId"]}
        view = {"ApiName": name, "Label": label, "ProcessType": "AutoLaunchedFlow", "ActiveVersionId": version}
        more = {"TriggerObjectOrEventLabel": entity["Label"], "IsActive": True}
        self.create("FlowDefinitionView", {**view, **trigger, **more})

    def run_rule(self, name: str, about: str, field: str, **more: Any) -> None:
        """Shows an active workflow rule in Setup that updates a field of ``about``; ``more`` of its metadata. It does nothing here."""
        self._check(about)
        [entity] = [row["DurableId"] for row in self.records("EntityDefinition") if row["QualifiedApiName"] == about]
        update = {"name": f"Set {field}", "field": field, "operation": "Literal", "literalValue": "x"}
        source = {"SourceTableEnumOrId": entity, "FullName": f"{about}.{name}_{field}", "Metadata": update}
        self.create("WorkflowFieldUpdate", {"Name": update["name"], **source})
        actions = [{"name": f"{name}_{field}", "type": "FieldUpdate"}]
        rule = {"active": True, "triggerType": "onAllChanges", "actions": actions, **more}
        self.create("WorkflowRule", {"Name": name, "TableEnumOrId": entity, "Metadata": rule})

    def deselect(self, name: str) -> None:
        """Takes an object out of Change Data Capture."""
        self._check(name)
        self.bus.selected.discard(name)
        event = self.store.objects[name].event
        for row in self.records("PlatformEventChannelMember"):
            if row["SelectedEntity"] == event:
                self.delete("PlatformEventChannelMember", row["Id"])

    def select(self, name: str) -> None:
        """Puts it in again."""
        self._check(name)
        event = self.store.objects[name].event
        if name not in self.bus.selected:
            self.bus.selected.add(name)
            self.create("PlatformEventChannelMember", {"EventChannel": "ChangeEvents", "SelectedEntity": event})

    # What people do at the same moment

    def lock(self, record_id: str, times: int = 1) -> None:
        """The next ``times`` saves of this record, or of one below it, find it locked."""
        if not any(self.store.find(name, record_id) for name in self.store.objects):
            raise ValueError(f"salesforce has no record {record_id!r} that could be locked")
        self.store.locked[record_id[:15]] = times

    def undelete(self, name: str, record_id: str) -> None:
        """Takes a record out of the recycle bin. Raises SaveError."""
        self._save(Operation("undelete", name, record_id), "", "")

    def erase(self, name: str, record_id: str) -> None:
        """Deletes a record for good, with those that were merged into it; the recycle bin does not keep them. Raises SaveError."""
        self._check(name)
        row = self.store.find(name, record_id)
        if row is None or not row["IsDeleted"]:
            self.delete(name, record_id)
        self.store.erase(name, record_id)

    def merge(self, name: str, master: str, losers: Sequence[str]) -> None:
        """Merges records into ``master``: the others are deleted and name it. Raises SaveError."""
        joins.merge(self.store, name, master, losers, {}, {"actor": self.admin_user_id})

    def convert(self, record_id: str, account: str = "", contact: str = "") -> str:
        """A person makes a lead a contact; the contact's id. Raises SaveError."""
        given = {"leadId": record_id, "accountId": account, "contactId": contact, "convertedStatus": CONVERTED}
        given |= {"ownerId": self.admin_user_id, "doNotCreateOpportunity": "true"}
        return joins.convert(self.store, given, {"actor": self.admin_user_id})["contactId"]

    # The event bus on a bad day

    def spoil_next(self, spoil: Spoil, times: int = 1) -> None:
        """The next events come out duplicated, not at all, with an unknown schema, cut off, or with an impossible bitmap."""
        self.bus.spoil_next(spoil, times)

    def gap(self, name: str, record_ids: Sequence[str], change_type: str = "GAP_UPDATE") -> None:
        """Publishes a gap event: something happened to these records, the bus does not know what."""
        self._check(name)
        if change_type not in CHANGE_TYPES:
            raise ValueError(f"no event is of the type {change_type!r}; {one_of(change_type, CHANGE_TYPES)}")
        definition = self.store.objects[name]
        number = self.store.next_number()
        header = header_of(name, record_ids, change_type, number=number, at=self._clock())
        self.bus.append([(definition, encode(definition, header, {}, ()))])

    def expire_events(self) -> None:
        """Forgets all events, so that replay ids known so far are too old."""
        self.bus.expire()

    def break_streams(self) -> None:
        """Ends every open subscription."""
        self.bus.break_streams()
