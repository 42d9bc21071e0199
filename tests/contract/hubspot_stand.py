"""HubSpot as a stand for the shared suites: the sandbox over loopback, and the real connector in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from connectors.hubspot.connection import HubSpotConnection
from connectors.hubspot.settings import HubSpotSettings
from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot import HubSpotSandbox
from connectors.sandbox.world import PersonSeed, World
from routing.core.model import EntityMap, Values
from routing.runtime.clock import utcnow

PEOPLE = [
    PersonSeed("Ana Diaz", "ana.diaz@example.com", region="AMER"),
    PersonSeed("Ben Okafor", "ben.okafor@example.com", region="EMEA"),
    PersonSeed("Chiyo Mori", "chiyo.mori@example.com", role="CSM", region="APAC"),
    PersonSeed("Dan Left", "dan.left@example.com", active=False),
]
SECRET = "a webhook secret"

LEAD = EntityMap(
    system="hubspot",
    entity="lead",
    remote="contacts",
    fields={
        "email": "email",
        "first_name": "firstname",
        "last_name": "lastname",
        "company": "company",
        "city": "city",
        "country": "country",
        "employees": "numemployees",
        "owner": "hubspot_owner_id",
        "created_at": "createdate",
    },
    types={"employees": "number", "owner": "person", "created_at": "datetime"},
    read_only=frozenset({"created_at"}),
)
ACCOUNT = EntityMap(
    system="hubspot",
    entity="account",
    remote="companies",
    fields={
        "name": "name",
        "website": "domain",
        "employees": "numberofemployees",
        "annual_revenue": "annualrevenue",
        "owner": "hubspot_owner_id",
    },
    types={"employees": "number", "annual_revenue": "money", "owner": "person"},
)
PERSON = EntityMap(
    system="hubspot",
    entity="person",
    remote="owners",
    fields={"name": "name", "email": "email", "active": "active"},
    types={"active": "boolean"},
    read_only=frozenset({"name", "email", "active"}),
)
PROSPECT = EntityMap(
    system="hubspot",
    entity="prospect",
    remote="leads",
    fields={"name": "hs_lead_name", "owner": "hubspot_owner_id"},
    types={"owner": "person"},
)
MAPS = {"lead": LEAD, "account": ACCOUNT, "person": PERSON, "prospect": PROSPECT}


class HubSpotStand:
    """See ``suites.Stand``."""

    system = "hubspot"
    entity = "lead"
    text_field = "company"
    other_field = "city"
    owner_field = "owner"
    write_operation = "batch_update"
    read_operation = "batch_read"
    create_operation = "batch_upsert"
    exempt: Mapping[str, str] = {}

    def __init__(self, sandbox: HubSpotSandbox, world: World, faults: Faults) -> None:
        self.sandbox = sandbox
        self.world = world
        self.faults = faults
        self.settings = HubSpotSettings(
            access_token=sandbox.access_token,
            client_secrets=(SECRET,),
            host=sandbox.url,
            public_url="http://127.0.0.1:9/hooks/hubspot",
            read_timeout=10.0,
        )
        self.connection = HubSpotConnection(self.settings, lambda: MAPS, utcnow)
        self.secrets = (sandbox.access_token, SECRET)
        self.departed = world.owner_id("dan.left@example.com")
        ana = next(owner["userId"] for owner in world.owners if owner["email"] == "ana.diaz@example.com")
        self.person = f"userId:{ana}"
        self.owners = [world.owner_id("ana.diaz@example.com"), world.owner_id("ben.okafor@example.com")]

    def create(self, values: Values) -> str:
        return self.sandbox.create("contacts", {LEAD.fields[field]: value for field, value in values.items()})

    def change(self, record_id: str, values: Values) -> None:
        properties = {LEAD.fields[field]: value or "" for field, value in values.items()}
        self.sandbox.update("contacts", record_id, properties, user="ana.diaz@example.com")

    def delete(self, record_id: str) -> None:
        self.sandbox.delete("contacts", record_id)

    def held(self, record_id: str) -> Values:
        held = self.sandbox.record("contacts", record_id) or {}
        return {field: held.get(remote) for field, remote in LEAD.fields.items()}

    def times_written(self, record_id: str) -> int:
        return max(self.sandbox.writes("contacts", record_id).values(), default=0)

    def missing_id(self) -> str:
        return "99999999999"

    def lose(self, field: str) -> str:
        self.sandbox.revoke("contacts", LEAD.fields[field])
        return LEAD.fields[field]

    def regain(self, field: str) -> None:
        self.sandbox.store.archived["contacts"].discard(LEAD.fields[field])

    def retype(self, record_id: str) -> None:
        self.change(record_id, {"employees": "a few"})

    def creation(self, email: str) -> Values:
        return {"email": email}

    def with_email(self, email: str) -> list[str]:
        return [item.id for item in self.sandbox.items("contacts") if item.properties.get("email") == email]


@contextmanager
def hubspot_stand(*, ten_seconds: int = 100_000, clock: Callable[[], datetime] = utcnow) -> Iterator[HubSpotStand]:
    """A stand over a small world, up for as long as the block lasts. ``clock`` is HubSpot's."""
    world, faults = World(7, PEOPLE, accounts=120), Faults()
    sandbox = HubSpotSandbox(world, clock, faults, "", SECRET, ten_seconds=ten_seconds)
    sandbox.start()
    stand = HubSpotStand(sandbox, world, faults)
    try:
        yield stand
    finally:
        stand.connection.close()
        sandbox.stop()
