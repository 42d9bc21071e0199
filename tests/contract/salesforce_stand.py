"""Salesforce's stand for the contract suites: the connector over the sandbox org, on loopback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from connectors.salesforce.connection import SalesforceConnection
from connectors.salesforce.settings import SalesforceSettings, Secret
from connectors.salesforce.source import SalesforceSource
from connectors.sandbox.faults import Faults
from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce import SalesforceSandbox
from routing.core.model import EntityMap, Values
from routing.runtime.clock import utcnow

ANA, BEN, ZOE = (salesforce_id("005", n) for n in (1, 2, 3))

LEAD = EntityMap(
    system="salesforce",
    entity="lead",
    remote="Lead",
    fields={
        "name": "Name",
        "first_name": "FirstName",
        "last_name": "LastName",
        "company": "Company",
        "title": "Title",
        "email": "Email",
        "city": "City",
        "country": "Country",
        "website": "Website",
        "employees": "NumberOfEmployees",
        "annual_revenue": "AnnualRevenue",
        "description": "Description",
        "owner": "OwnerId",
        "opted_out": "HasOptedOutOfEmail",
        "converted_on": "ConvertedDate",
        "created_at": "CreatedDate",
    },
    types={
        "employees": "number",
        "annual_revenue": "money",
        "opted_out": "boolean",
        "owner": "person",
        "converted_on": "date",
        "created_at": "datetime",
    },
    read_only=frozenset({"name", "converted_on", "created_at"}),
)
ACCOUNT = EntityMap(
    system="salesforce",
    entity="account",
    remote="Account",
    fields={
        "name": "Name",
        "website": "Website",
        "country": "BillingCountry",
        "city": "BillingCity",
        "shipping_city": "ShippingCity",
        "owner": "OwnerId",
        "csm": "CSM__c",
        "segments": "Segments__c",
    },
    types={"owner": "person", "csm": "person", "segments": "list"},
)
PERSON = EntityMap(
    system="salesforce",
    entity="person",
    remote="User",
    fields={"name": "Name", "email": "Email", "active": "IsActive"},
    types={"active": "boolean"},
    read_only=frozenset({"name", "email", "active"}),
)
MAPS = {"lead": LEAD, "account": ACCOUNT, "person": PERSON}


DEAL = EntityMap(
    system="salesforce",
    entity="deal",
    remote="Deal__c",
    fields={"name": "Name", "owner": "OwnerId", "stage": "Stage__c", "seats": "Seats__c"},
    types={"owner": "person", "seats": "number"},
)
CASE = EntityMap("salesforce", "case", "Case", {"subject": "Subject", "owner": "OwnerId"}, {"owner": "person"})
CONTACT = EntityMap(
    "salesforce",
    "contact",
    "Contact",
    {"last_name": "LastName", "email": "Email", "account": "AccountId", "owner": "OwnerId"},
    {"owner": "person", "account": "reference"},
)
OPPORTUNITY = EntityMap(
    "salesforce", "opportunity", "Opportunity", {"name": "Name", "owner": "OwnerId"}, {"owner": "person"}
)
MANY = {**MAPS, "deal": DEAL, "case": CASE, "contact": CONTACT, "opportunity": OPPORTUNITY}


class SmallWorld:
    """Three people (Zoe has left), one account, one record of an object of the customer's own."""

    def __init__(self) -> None:
        people = ((ANA, "Ana", True), (BEN, "Ben", True), (ZOE, "Zoe", False))
        self.users = [
            {
                "Id": user_id,
                "FirstName": name,
                "LastName": "Rep",
                "Email": f"{name.lower()}@fingerpost.example",
                "Username": f"{name.lower()}@fingerpost.example",
                "IsActive": active,
            }
            for user_id, name, active in people
        ]
        self.accounts: list[dict[str, Any]] = [
            {"Id": salesforce_id("001", 1), "Name": "Acme", "OwnerId": ANA, "CSM__c": BEN, "Segments__c": "A;B"}
        ]
        self.custom = {
            "Deal__c": [
                {"Id": salesforce_id("a00", 1), "Name": "Rollout", "OwnerId": ANA, "Stage__c": "New", "Seats__c": 5}
            ]
        }
        self.contacts: list[dict[str, Any]] = []
        self.opportunities: list[dict[str, Any]] = []


class SalesforceStand:
    """See ``heard.SourceStand``."""

    system = "salesforce"
    entity = "lead"
    text_field, other_field, owner_field = "company", "title", "owner"
    owners, departed = (ANA, BEN), ZOE
    write_operation, read_operation, create_operation = "collections", "query", "collections"
    follow_operation = "subscribe"
    exempt: Mapping[str, str] = {"retry_after": "Pub/Sub says that it was too much, not for how long"}

    def __init__(self) -> None:
        self.faults = Faults()
        self.sandbox = SalesforceSandbox(SmallWorld(), utcnow, self.faults, keepalive_seconds=0.2)
        self.sandbox.start()
        self.person, self.secrets = self.sandbox.admin_user_id, (self.sandbox.client_secret,)
        self.connection = self.connect()
        self.source = SalesforceSource(self.connection, lambda: MAPS, utcnow)

    def settings(self, **changes: Any) -> SalesforceSettings:
        """Settings that lead to the sandbox."""
        given: dict[str, Any] = {
            "login_url": self.sandbox.rest_url,
            "client_id": self.sandbox.client_id,
            "client_secret": Secret(self.sandbox.client_secret),
            "pubsub_address": self.sandbox.pubsub_address,
            "ca_file": self.sandbox.ca_file,
        }
        return SalesforceSettings(**(given | changes))

    def connect(self, **changes: Any) -> SalesforceConnection:
        """A connection of its own."""
        return SalesforceConnection(self.settings(**changes), lambda: MAPS, utcnow)

    def with_more(self, **changes: Any) -> SalesforceConnection:
        """A connection that also knows contacts, opportunities, cases and a custom object."""
        return SalesforceConnection(self.settings(**changes), lambda: MANY, utcnow)

    def close(self) -> None:
        self.connection.close()
        self.sandbox.stop()

    def create(self, values: Values) -> str:
        fields = {"LastName": "Doe", "Company": "Some company"} | self._remote(values)
        return self.sandbox.create("Lead", fields)

    def change(self, record_id: str, values: Values) -> None:
        self.sandbox.update("Lead", record_id, self._remote(values))

    def delete(self, record_id: str) -> None:
        self.sandbox.delete("Lead", record_id)

    def held(self, record_id: str) -> Values:
        row = self.sandbox.record("Lead", record_id)
        assert row is not None
        return {name: row[remote] for name, remote in LEAD.fields.items()}

    def times_written(self, record_id: str) -> int:
        history = self.sandbox.history("Lead", record_id)
        return sum(1 for entry in history if entry.actor == self.sandbox.integration_user_id)

    def missing_id(self) -> str:
        return salesforce_id("00Q", 777)

    def lose(self, field: str) -> str:
        self._before = self.sandbox.store.objects["Lead"]
        self.sandbox.delete_field("Lead", LEAD.fields[field])
        return LEAD.fields[field]

    def regain(self, field: str) -> None:
        del field
        self.sandbox.store.redefine(self._before)

    def retype(self, record_id: str) -> None:
        self.sandbox.change_type("Lead", "NumberOfEmployees", "string")
        self.change(record_id, {"employees": "a few"})

    def creation(self, email: str) -> Values:
        return {"last_name": "Doe", "company": "Some company", "email": email}

    def with_email(self, email: str) -> list[str]:
        return [row["Id"] for row in self.sandbox.records("Lead") if row["Email"] == email]

    def break_streams(self) -> None:
        self.sandbox.break_streams()

    def deliver_twice(self) -> None:
        self.sandbox.spoil_next("duplicate")

    def deliver_garbage(self) -> None:
        self.sandbox.spoil_next("corrupt")
        self.sandbox.update("Account", salesforce_id("001", 1), {"Website": "garbage.example"})

    @contextmanager
    def reordering(self) -> Iterator[None]:
        self.sandbox.impose({"reorder_every": 2})
        yield
        self.sandbox.impose({"reorder_every": 0})  # also lets go the last one, if it waits for another

    def forget(self, position: bytes) -> bytes:
        self.sandbox.expire_events()
        return position

    @staticmethod
    def _remote(values: Values) -> dict[str, Any]:
        return {LEAD.fields[name]: value for name, value in values.items()}


class ComparedStand(SalesforceStand):
    """One whose policy has Salesforce compare, too: its rows go by Composite, each with what was seen of it."""

    write_operation = "composite"

    def connect(self, **changes: Any) -> SalesforceConnection:
        compared = {name: replace(one, guard="conditional") for name, one in MAPS.items()}
        return SalesforceConnection(self.settings(**changes), lambda: compared, utcnow)


@contextmanager
def salesforce_stand(made: type[SalesforceStand] = SalesforceStand) -> Iterator[SalesforceStand]:
    """A stand that is closed afterwards."""
    stand = made()
    try:
        yield stand
    finally:
        stand.close()


def at(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
