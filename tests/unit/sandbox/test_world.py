"""The made-up world: the same from the same seed, and like a real one where it matters."""

from __future__ import annotations

from collections import Counter

import pytest

from connectors.sandbox.ids import checksum, salesforce_id
from connectors.sandbox.leads import LeadStream
from connectors.sandbox.names import NAMED, places
from connectors.sandbox.world import PersonSeed, World

PEOPLE = [
    PersonSeed(f"Rep {n}", f"rep{n}@example.com", active=n != 3, role="CSM" if n % 8 == 0 else "AE", region=region)
    for n, region in enumerate(("AMER", "EMEA", "APAC") * 10)
]


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, PEOPLE)


def test_ids_carry_the_real_checksum() -> None:
    assert checksum("001A0000006Vm9r") == "IAC"  # a published example
    made = salesforce_id("00Q", 123_456)
    assert len(made) == 18
    assert made[15:] == checksum(made[:15])
    assert len({salesforce_id("00Q", n) for n in range(5000)}) == 5000
    with pytest.raises(ValueError, match="prefix"):
        salesforce_id("00", 1)


def test_the_same_seed_makes_the_same_world_and_another_makes_another(world: World) -> None:
    again, other = World(7, PEOPLE), World(8, PEOPLE)
    for part in ("users", "accounts", "contacts", "opportunities", "owners", "companies", "contacts_hubspot"):
        assert getattr(again, part) == getattr(world, part)
    assert other.accounts != world.accounts


def test_accounts_are_many_spread_and_related(world: World) -> None:
    assert len(world.accounts) == 2000
    regions = Counter(places()[site.country].region for site in world.sites)
    assert min(regions.values()) > 200
    assert set(regions) == {"AMER", "EMEA", "APAC"}
    sizes = [row["NumberOfEmployees"] for row in world.accounts]
    assert min(sizes) >= 20
    assert max(sizes) <= 50_000
    ids = {row["Id"] for row in world.accounts}
    children = [row for row in world.accounts if row["ParentId"]]
    assert len(children) > 80
    assert all(row["ParentId"] in ids for row in children)
    domains = Counter(site.domain for site in world.sites)
    assert sum(count > 1 for count in domains.values()) > 30
    assert all(domain.count(".") == 1 and domain.endswith(".example") for domain in domains)


def test_the_named_companies_are_in_it_whatever_the_seed(world: World) -> None:
    assert len(NAMED) == 60 == len({named.domain for named in NAMED})
    assert {named.domain for named in NAMED} <= {site.domain for site in world.sites}


def test_every_reference_leads_somewhere(world: World) -> None:
    users = {row["Id"] for row in world.users}
    accounts = {row["Id"] for row in world.accounts}
    for row in (*world.accounts, *world.contacts, *world.opportunities):
        assert row["OwnerId"] in users
        assert row.get("AccountId", world.accounts[0]["Id"]) in accounts
    owners = {row["id"] for row in world.owners}
    for record in (*world.companies, *world.contacts_hubspot):
        assert record["properties"]["hubspot_owner_id"] in owners | {None}
    customers = [row for row in world.accounts if row["Type"] == "Customer"]
    assert sum(row["CSM__c"] in users for row in customers) > 0.8 * len(customers)


def test_hubspot_holds_an_address_once_and_shares_people_with_salesforce(world: World) -> None:
    addresses = [row["properties"]["email"] for row in world.contacts_hubspot]
    assert len(addresses) == len(set(addresses))
    assert len(set(addresses) & {row["Email"] for row in world.contacts}) > 50


def test_a_world_may_be_empty_or_large() -> None:
    assert World(1, PEOPLE[:1], accounts=0).accounts == []
    large = World(1, PEOPLE, accounts=5000)
    assert len({site.domain for site in large.sites if site.kind != "subsidiary"}) > 4000


class TestLeads:
    def test_lead_n_depends_on_the_seed_only(self, world: World) -> None:
        stream = LeadStream(world, 7)
        first = [next(stream) for _ in range(300)]
        assert [lead.n for lead in first] == list(range(300))
        assert LeadStream(world, 7).lead(257) == first[257]
        assert LeadStream(world, 8).lead(257) != first[257]

    def test_the_share_of_each_system_holds_in_every_stretch(self, world: World) -> None:
        stream = LeadStream(world, 7, hubspot_share=0.2)
        systems = [next(stream).system for _ in range(1000)]
        assert all(systems[start : start + 50].count("hubspot") == 10 for start in range(0, 1000, 50))
        assert {LeadStream(world, 7, hubspot_share=1.0).lead(n).system for n in range(20)} == {"hubspot"}

    def test_nobody_writes_to_both_systems(self, world: World) -> None:
        stream = LeadStream(world, 7)
        salesforce, hubspot = set(), set()
        for lead in (next(stream) for _ in range(8000)):
            if lead.system == "salesforce":
                salesforce.add(lead.fields.get("Email", "").strip().lower())
            else:
                hubspot.add(lead.fields.get("email", "").strip().lower())
        assert (salesforce & hubspot) <= {""}
        contacts = {row["Email"] for row in world.contacts}
        marketing = {row["properties"]["email"] for row in world.contacts_hubspot}
        assert len(hubspot & contacts) > 20  # some of them the other system knows already
        assert len(salesforce & marketing) > 20

    def test_it_is_as_dirty_as_life(self, world: World) -> None:
        stream = LeadStream(world, 7)
        fields = [lead.fields for lead in (next(stream) for _ in range(6000)) if lead.system == "salesforce"]
        countries = {row.get("Country") for row in fields}
        assert {"UK", "U.S.A.", "Deutschland", "日本", None} <= countries
        emails = [row.get("Email", "") for row in fields]
        assert len(emails) - len({email.strip().lower() for email in emails}) > 100  # repeats and blanks
        assert any(email.endswith("@gmail.com") for email in emails)
        assert any(email and "@" not in email for email in emails)
        assert any(row["LastName"].isupper() for row in fields)
        assert any(row["LastName"] != row["LastName"].strip() for row in fields)
        assert any(ord(row["LastName"][0]) > 0x400 for row in fields)
        assert any(len(row["Company"]) > 200 for row in fields)
        assert any("Email" not in row and "Website" in row for row in fields)
        assert {row["OwnerId"] for row in fields} == {world.integration_user_id}

    def test_with_a_date_some_are_being_worked_already(self, world: World) -> None:
        stream = LeadStream(world, 7, today="2026-11-20")
        touched = [row for row in (stream.lead(n).fields for n in range(1000)) if "LastActivityDate" in row]
        assert 3 < len(touched) < 60
        assert all(row["OwnerId"] != world.integration_user_id for row in touched)

    def test_an_impossible_share_is_refused(self, world: World) -> None:
        with pytest.raises(ValueError, match="between 0 and 1"):
            LeadStream(world, 7, hubspot_share=1.5)
