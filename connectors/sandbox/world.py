"""The world the sandbox CRMs start with: people, accounts, contacts, opportunities, the same for the same seed.

Rows carry the field names of the system they are for. Nothing here knows the time: dates count from ``BASE``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from msgspec import Struct

from connectors.sandbox.ids import hubspot_id, salesforce_id
from connectors.sandbox.names import NAMED, City, Named, places, slug, words
from connectors.sandbox.persons import address, full_name, international, national_number

Row = dict[str, Any]

BASE = datetime(2025, 1, 6, 8, 0, tzinfo=UTC)  # the instant at which the seeded records were made
INTEGRATION_EMAIL = "integration@fingerpost.example"

_COMPANY_SHARE = 0.4  # of the accounts are companies in HubSpot too
_OWNERS_FROM = 41_000_000
_USERS_FROM = 9_000_000
_COMPANIES_FROM = 18_000_000_000
_CONTACTS_FROM = 70_000_000_000


class PersonSeed(Struct, frozen=True):
    """Somebody who works in the CRMs. ``role`` and ``region`` are read from people.csv where it has them."""

    name: str
    email: str
    active: bool = True
    role: str = ""
    region: str = ""


class Site(Struct, frozen=True):
    """What the lead generator must know of an account: who it is and where."""

    account_id: str
    name: str
    domain: str
    country: str
    city: City
    industry: str
    employees: int
    kind: str  # named, subsidiary or other
    type: str | None


class World:
    """Everything both CRMs hold before the first lead comes in.

    ``users``, ``accounts``, ``contacts`` and ``opportunities`` are rows for Salesforce; ``owners``, ``companies`` and
    ``contacts_hubspot`` for HubSpot (``{"id": …, "properties": {…}}`` for the last two). ``sites`` describes the accounts once
    more, for the lead generator.
    """

    def __init__(self, seed: int, people: Sequence[PersonSeed], accounts: int = 2000) -> None:
        self.seed = seed
        self.people = tuple(people)
        self._rng = Random(f"world {seed}")
        self.integration_user_id = salesforce_id("005", 1)
        self.users = self._make_users()
        self.owners = self._make_owners()
        self._index_people()
        self.sites: list[Site] = []
        self.accounts: list[Row] = []
        self._make_accounts(accounts)
        self.contacts = self._make_contacts()
        self.opportunities = self._make_opportunities()
        self.companies = self._make_companies()
        self.contacts_hubspot = self._make_hubspot_contacts()

    def user_id(self, email: str) -> str:
        """The Salesforce user of a person. Raises KeyError when there is none."""
        return self._user_ids[email.lower()]

    def owner_id(self, email: str) -> str:
        """The HubSpot owner of a person. Raises KeyError when there is none."""
        return self._owner_ids[email.lower()]

    # -- people ---------------------------------------------------------------------------------------------------

    def _make_users(self) -> list[Row]:
        integration = PersonSeed("Fingerpost Integration", INTEGRATION_EMAIL)
        rows = []
        for number, person in enumerate((integration, *self.people), start=1):
            first, _, last = person.name.rpartition(" ")
            rows.append(
                {
                    "Id": salesforce_id("005", number),
                    "Name": person.name,
                    "FirstName": first or None,
                    "LastName": last,
                    "Email": person.email,
                    "Username": f"{person.email}.sandbox",
                    "IsActive": person.active,
                    "CreatedDate": stamp(BASE),
                }
            )
        return rows

    def _make_owners(self) -> list[Row]:
        rows = []
        for number, person in enumerate(self.people, start=1):
            first, _, last = person.name.rpartition(" ")
            rows.append(
                {
                    "id": hubspot_id(number * 37, _OWNERS_FROM),
                    "email": person.email,
                    "firstName": first,
                    "lastName": last,
                    "userId": _USERS_FROM + number * 53,
                    "archived": not person.active,
                    "createdAt": stamp(BASE),
                    "updatedAt": stamp(BASE),
                }
            )
        return rows

    def _index_people(self) -> None:
        self._user_ids: dict[str, str] = {row["Email"].lower(): row["Id"] for row in self.users}
        self._owner_ids: dict[str, str] = {row["email"].lower(): row["id"] for row in self.owners}
        active = [person for person in self.people if person.active]
        success = [person for person in active if is_success(person)]
        self._sellers = [person for person in active if not is_success(person)] or active
        self._success = success or active
        self._left = [person for person in self.people if not person.active]

    def _somebody(self, choices: Sequence[PersonSeed], region: str) -> str | None:
        near = [person for person in choices if person.region.upper() == region] or choices
        return self.user_id(self._rng.choice(near).email) if near else None

    # -- accounts -------------------------------------------------------------------------------------------------

    def _make_accounts(self, count: int) -> None:
        for named in NAMED[:count]:
            self._add_named(named)
        countries = list(places())
        weights = [place.weight for place in places().values()]
        for stem, industry in self._stems():
            if len(self.accounts) >= count:
                break
            country = self._rng.choices(countries, weights)[0]
            self._add_account(stem, industry, country)
            if self._rng.random() < 0.09 and len(self.accounts) < count:
                self._add_subsidiary(self.sites[-1], stem, self._rng.choices(countries, weights)[0])

    def _stems(self) -> Iterator[tuple[str, str]]:
        """Company names without legal form, each once; numbered when all combinations are used up."""
        taken = {site.domain for site in self.sites}
        pairs = [(adjective + noun, industry) for adjective in words().adjectives for noun, industry in words().nouns]
        self._rng.shuffle(pairs)
        for turn in itertools.count():
            for stem, industry in pairs:
                if f"{stem.lower()}.example" not in taken:
                    yield (f"{stem} {turn + 1}" if turn else stem), industry

    def _add_named(self, named: Named) -> None:
        kind = self._rng.choices(("Prospect", "Customer"), (0.85, 0.15))[0]
        place = places()[named.country]
        self._add(
            Site(
                account_id=salesforce_id("001", len(self.accounts) + 1),
                name=named.name,
                domain=named.domain,
                country=named.country,
                city=self._rng.choice(place.cities),
                industry=named.industry,
                employees=named.employees,
                kind="named",
                type=kind,
            )
        )

    def _add_account(self, stem: str, industry: str, country: str) -> None:
        place = places()[country]
        self._add(
            Site(
                account_id=salesforce_id("001", len(self.accounts) + 1),
                name=f"{stem} {self._rng.choice(place.legal)}",
                domain=f"{slug(stem)}.example",
                country=country,
                city=self._rng.choice(place.cities),
                industry=industry,
                employees=self._size(),
                kind="other",
                type=self._rng.choices(("Prospect", "Customer", "Partner", None), (70, 18, 7, 5))[0],
            )
        )

    def _add_subsidiary(self, parent: Site, stem: str, country: str) -> None:
        place = places()[country]
        shares_domain = self._rng.random() < 0.5
        self._add(
            Site(
                account_id=salesforce_id("001", len(self.accounts) + 1),
                name=f"{stem} {place.name} {self._rng.choice(place.legal)}",
                domain=parent.domain if shares_domain else f"{slug(stem)}-{country.lower()}.example",
                country=country,
                city=self._rng.choice(place.cities),
                industry=parent.industry,
                employees=max(20, parent.employees // 8),
                kind="subsidiary",
                type=self._rng.choices(("Prospect", "Customer", None), (75, 15, 10))[0],
            ),
            parent=parent.account_id,
        )

    def _size(self) -> int:
        """20 to 50,000 employees; small ones are common, each doubling equally likely."""
        return int(20 * 2500 ** self._rng.random())

    def _add(self, site: Site, parent: str | None = None) -> None:
        place = places()[site.country]
        rng = self._rng
        owner_left = self._left and rng.random() < 0.03
        owner = self._somebody(self._left if owner_left else self._sellers, place.region)
        csm = self._somebody(self._success, place.region) if site.type == "Customer" and rng.random() < 0.95 else None
        self.sites.append(site)
        self.accounts.append(
            {
                "Id": site.account_id,
                "Name": site.name,
                "Website": rng.choice((f"https://www.{site.domain}", f"www.{site.domain}", site.domain)),
                "Phone": international(place, national_number(rng, place, site.city)),
                "BillingCountry": place.name,
                "BillingState": site.city.state or None,
                "BillingCity": site.city.name,
                "BillingPostalCode": site.city.postal_code or None,
                "Industry": site.industry,
                "NumberOfEmployees": site.employees,
                "AnnualRevenue": site.employees * rng.randrange(90, 400) * 1000,
                "Type": site.type,
                "ParentId": parent,
                "OwnerId": owner or self.integration_user_id,
                "CSM__c": csm,
                "CreatedDate": self._moment(),
            }
        )

    def _moment(self) -> str:
        return stamp(BASE - timedelta(minutes=self._rng.randrange(2_000_000)))

    # -- what hangs on accounts -----------------------------------------------------------------------------------

    def _make_contacts(self) -> list[Row]:
        rows: list[Row] = []
        for site, account in zip(self.sites, self.accounts, strict=True):
            place = places()[site.country]
            for _ in range(self._rng.choices((0, 1, 2, 3, 5), (15, 35, 25, 15, 10))[0]):
                first, last = full_name(self._rng, place.names)
                rows.append(
                    {
                        "Id": salesforce_id("003", len(rows) + 1),
                        "FirstName": first,
                        "LastName": last,
                        "Email": address(self._rng, first, last, site.domain),
                        "AccountId": site.account_id,
                        "OwnerId": account["OwnerId"],
                        "Phone": international(place, national_number(self._rng, place, site.city)),
                        "Title": self._rng.choice(words().titles),
                        "MailingCountry": place.name,
                        "CreatedDate": self._moment(),
                    }
                )
        return rows

    def _make_opportunities(self) -> list[Row]:
        rows: list[Row] = []
        rng = self._rng
        for site, account in zip(self.sites, self.accounts, strict=True):
            region = places()[site.country].region
            for _ in range(rng.choices((0, 1, 2, 3), (70, 18, 8, 4))[0]):
                closed = rng.random() < 0.45
                stage = rng.choice(("Closed Won", "Closed Lost")) if closed else rng.choice(_OPEN_STAGES)
                other = self._somebody(self._sellers, region) if rng.random() < 0.25 else None
                rows.append(
                    {
                        "Id": salesforce_id("006", len(rows) + 1),
                        "Name": f"{site.name} – {rng.choice(('New business', 'Expansion', 'Renewal'))}",
                        "AccountId": site.account_id,
                        "OwnerId": other or account["OwnerId"],
                        "StageName": stage,
                        "IsClosed": closed,
                        "Amount": rng.randrange(5, 800) * 1000,
                        "CloseDate": (BASE + timedelta(days=rng.randrange(-300, 400))).date().isoformat(),
                        "CreatedDate": self._moment(),
                    }
                )
        return rows

    # -- HubSpot --------------------------------------------------------------------------------------------------

    def _owner_of(self, user_id: str) -> str | None:
        email = next((row["Email"] for row in self.users if row["Id"] == user_id), "")
        return self._owner_ids.get(email.lower())

    def _make_companies(self) -> list[Row]:
        rows: list[Row] = []
        owners = {row["Id"]: self._owner_of(row["Id"]) for row in self.users}
        for site, account in zip(self.sites, self.accounts, strict=True):
            if self._rng.random() >= _COMPANY_SHARE or account["ParentId"]:
                continue
            properties = {
                "name": site.name,
                "domain": site.domain,
                "phone": account["Phone"],
                "country": account["BillingCountry"],
                "state": account["BillingState"],
                "city": account["BillingCity"],
                "zip": account["BillingPostalCode"],
                "industry": site.industry,
                "numberofemployees": str(site.employees),
                "annualrevenue": str(account["AnnualRevenue"]),
                "type": (site.type or "Other").upper(),
                "hubspot_owner_id": owners[account["OwnerId"]],
                "createdate": account["CreatedDate"],
            }
            rows.append({"id": hubspot_id(len(rows) * 11, _COMPANIES_FROM), "properties": properties})
        return rows

    def _make_hubspot_contacts(self) -> list[Row]:
        """A third are people whom Salesforce knows as contacts, the others only marketing knows."""
        rows: list[Row] = []
        rng = self._rng
        taken: set[str] = set()  # HubSpot holds an e-mail address once
        owners = {row["Id"]: self._owner_of(row["Id"]) for row in self.users}
        known = rng.sample(self.contacts, min(len(self.contacts), 150))
        for contact in known:
            person = (contact["FirstName"], contact["LastName"], contact["Email"])
            if person[2] in taken:
                continue
            taken.add(person[2])
            rows.append(self._contact_row(rng, len(rows), person, None, owners[contact["OwnerId"]]))
        for site in rng.sample(self.sites, min(len(self.sites), 300)):
            first, last = full_name(rng, places()[site.country].names)
            person = (first, last, address(rng, first, last, site.domain))
            if person[2] in taken:
                continue
            taken.add(person[2])
            seller = self.owner_id(rng.choice(self._sellers).email) if self._sellers and rng.random() < 0.3 else None
            rows.append(self._contact_row(rng, len(rows), person, site, seller))
        return rows

    def _contact_row(
        self, rng: Random, number: int, person: tuple[str, str, str], site: Site | None, owner: str | None
    ) -> Row:
        properties = {
            "email": person[2],
            "firstname": person[0],
            "lastname": person[1],
            "company": site.name if site else None,
            "country": places()[site.country].name if site else None,
            "jobtitle": rng.choice(words().titles),
            "lifecyclestage": rng.choice(("subscriber", "lead", "marketingqualifiedlead")),
            "hubspot_owner_id": owner,
            "createdate": self._moment(),
        }
        return {"id": hubspot_id(number * 7, _CONTACTS_FROM), "properties": properties}


_OPEN_STAGES = ("Prospecting", "Qualification", "Proposal/Price Quote", "Negotiation/Review")


def is_success(person: PersonSeed) -> bool:
    """Whether this person looks after customers, by the role in people.csv."""
    role = person.role.lower()
    return "csm" in role or "success" in role


def stamp(moment: datetime) -> str:
    """Canonical instant text: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
