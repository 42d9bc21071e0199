"""The stand-in for Salesforce: REST over TLS and Pub/Sub over gRPC, both on loopback, over rows in memory."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from connectors.sandbox.faults import Faults
from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.listening import listen
from connectors.sandbox.salesforce import joins
from connectors.sandbox.salesforce.bulk import BulkJobs
from connectors.sandbox.salesforce.bus import EventBus, Spoil
from connectors.sandbox.salesforce.changes import encode, header_of
from connectors.sandbox.salesforce.checks import DuplicateRule, Operation, SaveError
from connectors.sandbox.salesforce.objects import CHANGE_TYPES, FieldKind, build_objects
from connectors.sandbox.salesforce.pubsub import PubSubServer
from connectors.sandbox.salesforce.replication import Replication
from connectors.sandbox.salesforce.rest import RestApi
from connectors.sandbox.salesforce.sessions import Sessions
from connectors.sandbox.salesforce.standard import CONVERTED, LEAD_STATUSES, UNTOLD
from connectors.sandbox.salesforce.store import HistoryEntry, Store
from connectors.sandbox.salesforce.tls import make_certificate
from connectors.sandbox.wording import check_conditions, one_of

Row = dict[str, Any]
_STARTUP_SECONDS = 20.0


# What can be imposed: whose attribute it is, and of which type.
CONDITIONS: dict[str, Callable[[Any], tuple[Any, str, Callable[[float], float]]]] = {
    "daily": lambda org: (org.rest, "daily_limit", int),  # calls that the org may make in 24 hours
    "used_today": lambda org: (org.rest.day, "others", int),  # those that somebody else made
    "latency": lambda org: (org.rest, "latency", float),  # seconds until any answer of REST
    "session_minutes": lambda org: (org.sessions, "minutes", float),  # until a session ends; 0: only on demand
    "most_ids": lambda org: (org.replication, "most_ids", int),  # that getUpdated and getDeleted answer
    "bulk_looks": lambda org: (org.bulk, "slow", int),  # how many looks a bulk job takes
    "late_seconds": lambda org: (org.bus, "late_seconds", float),  # how late every event comes
    "reorder_every": lambda org: (org.bus, "reorder_every", int),  # which events are overtaken by the next one
    "retained": lambda org: (org.bus, "retained", int),  # events that the bus keeps
}


class SalesforceSeed(Protocol):
    """What the sandbox needs of a world: rows by Salesforce field names, each with its Id."""

    users: list[Row]
    accounts: list[Row]
    contacts: list[Row]
    opportunities: list[Row]


class _Protocol(HttpToolsProtocol):
    """Hands the transport to the application, so that an armed fault can drop the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["fingerpost.transport"] = self.transport  # type: ignore[typeddict-unknown-key]

    def shutdown(self) -> None:
        # A TLS farewell would wait for the client beyond the life of the loop. First of all, because a second close (the
        # first was for idleness) makes asyncio's transport deaf to it.
        self.transport.abort()
        super().shutdown()


class SalesforceSandbox:
    """One Salesforce org on this machine.

    ``rest_url`` and ``pubsub_address`` are known once ``start`` returned; ``ca_file`` is the root that clients must trust.
    ``port`` and ``pubsub_port`` of 0 choose free ones. ``api_requests`` counts calls as the daily limit does.
    """

    def __init__(
        self,
        world: SalesforceSeed,
        clock: Callable[[], datetime],
        faults: Faults,
        port: int = 0,
        pubsub_port: int = 0,
        keepalive_seconds: float = 30.0,
    ) -> None:
        self._clock = clock
        self._ports = (port, pubsub_port)
        self._folder = Path(tempfile.mkdtemp(prefix="fingerpost-sandbox-"))
        self._certificate, self._key = make_certificate(self._folder)
        self.ca_file = str(self._certificate)
        self.client_id, self.client_secret = "3MVG9.sandbox.app", "sandbox-client-secret"
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
        self.store.load(
            "PlatformEventChannelMember",
            [
                {"Id": salesforce_id("0v8", n), "EventChannel": "ChangeEvents", "SelectedEntity": definition.event}
                for n, (name, definition) in enumerate(sorted(self.store.objects.items()))
                if name not in UNTOLD
            ],
        )
        self.store.load(
            "LeadStatus",
            [
                {"Id": salesforce_id("01J", n), "MasterLabel": one, "ApiName": one, "SortOrder": n}
                | {"IsConverted": one == CONVERTED, "IsDefault": n == 1}
                for n, one in enumerate(LEAD_STATUSES, 1)
            ],
        )
        self.store.load("UserPermissionAccess", [{"Id": salesforce_id("0Pa", 1), "PermissionsConvertLeads": True}])
        self.store.announce = self.bus.publish
        self.sessions = Sessions(
            self.org_id, self.integration_user_id, self.client_id, self.client_secret, self.username, clock
        )
        self.rest = RestApi(self.store, self.sessions, faults, clock, self.integration_user_id, self.org_id)
        self._pubsub = PubSubServer(self.bus, faults, self.sessions.live, self.org_id, keepalive_seconds)
        self.rest_url = ""
        self.pubsub_address = ""
        self._web: uvicorn.Server | None = None
        self._web_thread: threading.Thread | None = None

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

    # Serving

    def start(self) -> None:
        """Serves in threads of its own; returns once both ports answer. Raises OSError when a port is taken."""
        listener = listen(self._ports[0])
        port = int(listener.getsockname()[1])
        self.rest_url = f"https://127.0.0.1:{port}"
        self.rest.base_url = self.rest_url
        config = uvicorn.Config(
            self.rest.app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,  # the application sends the sandbox's own time
            server_header=False,
            ssl_certfile=str(self._certificate),
            ssl_keyfile=str(self._key),
            timeout_graceful_shutdown=1,
        )
        self._web = uvicorn.Server(config)
        self._web_thread = threading.Thread(
            target=self._web.run, args=([listener],), name="sandbox-salesforce", daemon=True
        )
        self._web_thread.start()
        bound = self._pubsub.start(self._ports[1], self._certificate.read_bytes(), self._key.read_bytes())
        self.pubsub_address = f"127.0.0.1:{bound}"
        self._ports = port, bound
        waited = threading.Event()
        for _ in range(int(_STARTUP_SECONDS / 0.01)):
            if self._web.started:
                return
            waited.wait(0.01)
        raise OSError(f"the sandbox Salesforce did not start on {self.rest_url} within {_STARTUP_SECONDS:g} s")

    def go_down(self) -> None:
        """Ends all streams and connections and answers no more, as in a restart; what people do goes on."""
        self._pubsub.stop()
        if self._web is not None and self._web_thread is not None:
            self._web.should_exit = True
            self._web_thread.join(_STARTUP_SECONDS)

    def come_back(self) -> None:
        """Answers again, at the same addresses. Raises OSError when somebody else took a port."""
        self.start()

    def stop(self) -> None:
        """Ends all streams and connections, and removes the certificate."""
        self.go_down()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def api_requests(self) -> int:
        """REST calls answered so far."""
        return self.rest.requests

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
        """All records of an object that are not deleted."""
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

    def add_field(self, name: str, field: str, kind: FieldKind = "string") -> None:
        """A new custom field: from now on change events come in another schema. Raises ValueError when it is there already."""
        self._check(name)
        if field in self.store.objects[name].fields:
            raise ValueError(f"{name} has a field {field!r} already")
        definition = self.store.objects[name].with_field(field, kind)
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
        flow = {"ApiName": "Give_leads_back", "Label": "Give leads back", "ProcessType": "AutoLaunchedFlow"}
        trigger = {"TriggerType": "RecordAfterSave", "TriggerObjectOrEventLabel": "Lead", "IsActive": True}
        for row in self.records("FlowDefinitionView"):
            if row["ApiName"] == flow["ApiName"]:
                self.delete("FlowDefinitionView", row["Id"])
        if owner:
            self.create("FlowDefinitionView", {**flow, **trigger})

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

    def merge(self, name: str, master: str, losers: Sequence[str]) -> None:
        """Merges records into ``master``: the others are deleted and name it. Raises SaveError."""
        joins.merge(self.store, name, master, losers, {}, {"actor": self.admin_user_id})

    def convert(self, record_id: str, account: str = "", contact: str = "") -> str:
        """A person makes a lead a contact; the contact's id. Raises SaveError."""
        given = {"leadId": record_id, "accountId": account, "contactId": contact, "convertedStatus": CONVERTED}
        given |= {"ownerId": self.admin_user_id, "doNotCreateOpportunity": "true"}
        return joins.convert(self.store, given, {"actor": self.admin_user_id})["contactId"]

    def impose(self, values: Mapping[str, Any]) -> None:
        """Lasting conditions, see ``CONDITIONS``. Raises ValueError."""
        check_conditions("salesforce", values, CONDITIONS)
        for name, value in values.items():
            owner, attribute, kind = CONDITIONS[name](self)
            setattr(owner, attribute, kind(value))

    def use_up(self, calls: int, limit: int | None = None) -> None:
        """Others made so many API calls today; ``limit`` changes how many the org has."""
        self.rest.day.others = calls
        self.rest.daily_limit = limit or self.rest.daily_limit

    @property
    def replication(self) -> Replication:
        """What getUpdated and getDeleted know."""
        return self.rest.reading.replication

    @property
    def bulk(self) -> BulkJobs:
        """The query jobs of Bulk API 2.0."""
        return self.rest.reading.bulk

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

    def expire_sessions(self) -> None:
        """Ends every session: the next call is answered with INVALID_SESSION_ID."""
        self.sessions.expire()
