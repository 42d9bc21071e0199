"""A stream of inbound leads as forms, lists and trade shows really deliver them: the same for the same seed.

Lead ``n`` depends on the world, the seed and ``n`` only, not on what was asked for before.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Literal

from msgspec import Struct

from connectors.sandbox.names import Place, places, words
from connectors.sandbox.persons import address, full_name, half, national_number, written
from connectors.sandbox.world import Site, World

Fields = dict[str, Any]
SystemName = Literal["salesforce", "hubspot"]

_SIDE: dict[SystemName, int] = {"salesforce": 0, "hubspot": 1}
_DUPLICATE_REACH = 400  # a duplicate repeats one of so many leads before it


class SandboxLead(Struct, frozen=True):
    """Lead number ``n`` (from 0): which system it enters, and its fields under that system's names."""

    n: int
    system: SystemName
    fields: Fields


class Draft(Struct):
    """A lead before it is put into one system's words. None and "" are both missing."""

    first: str
    last: str
    email: str | None
    company: str
    website: str | None = None
    phone: str | None = None
    country: str | None = None
    state: str | None = None
    city: str | None = None
    postal_code: str | None = None
    title: str | None = None
    industry: str | None = None
    employees: int | None = None
    source: str = "Web"
    owner: str | None = None  # a Salesforce user id


class LeadStream:
    """An endless iterator of leads. ``hubspot_share`` of them are HubSpot contacts, the others Salesforce leads.

    ``today`` (ISO date) lets some Salesforce leads arrive with an owner who touched them lately; "" leaves those out.
    """

    def __init__(self, world: World, seed: int, hubspot_share: float = 0.2, today: str = "") -> None:
        if not 0 <= hubspot_share <= 1:
            raise ValueError(f"hubspot_share is a share between 0 and 1, not {hubspot_share}")
        self._world = world
        self._seed = seed
        self._share = hubspot_share
        self._today = today
        self._next = 0
        self._named = [site for site in world.sites if site.kind == "named"]
        self._customers = [site for site in world.sites if site.type == "Customer"]
        self._subsidiaries = [site for site in world.sites if site.kind == "subsidiary"]
        self._by_account = {site.account_id: site for site in world.sites}
        self._sellers = [row["Id"] for row in world.users[1:] if row["IsActive"]]
        self._twins = self._known_people()
        self._countries = list(places())
        self._weights = [place.weight for place in places().values()]

    def __iter__(self) -> Iterator[SandboxLead]:
        return self

    def __next__(self) -> SandboxLead:
        lead = self.lead(self._next)
        self._next += 1
        return lead

    def lead(self, n: int) -> SandboxLead:
        """Lead number ``n``, from 0."""
        rng = Random(f"lead {self._seed} {n}")
        system: SystemName = self._system(n)
        original = self._original(rng, n, system) if rng.random() < 0.05 else None
        # The person comes from a source of its own, so that a duplicate can call the same person up again,
        # with other dirt on.
        draft = self._draft(Random(f"person {self._seed} {n if original is None else original}"), system)
        self._soil(rng, draft)
        if system == "hubspot":
            return SandboxLead(n, system, _hubspot_fields(rng, draft))
        return SandboxLead(n, system, self._salesforce_fields(rng, draft))

    # -- who ------------------------------------------------------------------------------------------------------

    def _system(self, n: int) -> SystemName:
        # Spread evenly, so that every stretch of the stream holds about the share asked for.
        return "hubspot" if int((n + 1) * self._share) > int(n * self._share) else "salesforce"

    def _original(self, rng: Random, n: int, system: SystemName) -> int | None:
        for _ in range(8):
            earlier = n - 1 - rng.randrange(_DUPLICATE_REACH)
            if earlier >= 0 and self._system(earlier) == system:
                return earlier
        return None

    def _known_people(self) -> dict[SystemName, list[tuple[str, str, str, Site | None]]]:
        """People whom the other system has already, by the system their lead enters."""
        contacts = [
            (row["FirstName"], row["LastName"], row["Email"], self._by_account[row["AccountId"]])
            for row in self._world.contacts
            if half(row["LastName"]) == _SIDE["hubspot"]
        ]
        marketing = [
            (properties["firstname"], properties["lastname"], properties["email"], None)
            for properties in (row["properties"] for row in self._world.contacts_hubspot)
            if half(properties["lastname"]) == _SIDE["salesforce"]
        ]
        return {"hubspot": list(contacts), "salesforce": list(marketing)}

    def _draft(self, rng: Random, system: SystemName) -> Draft:
        chance = rng.random()
        if chance < 0.04 and self._twins[system]:
            first, last, email, site = rng.choice(self._twins[system])
            return self._at(rng, site, first, last, email) if site else Draft(first, last, email, "")
        if chance < 0.64 and self._world.sites:
            site = self._site(rng)
            first, last = full_name(rng, places()[site.country].names, _SIDE[system])
            return self._at(rng, site, first, last, address(rng, first, last, site.domain))
        return self._stranger(rng, system)

    def _site(self, rng: Random) -> Site:
        chance = rng.random()
        for share, sites in ((0.10, self._named), (0.25, self._customers), (0.33, self._subsidiaries)):
            if chance < share and sites:
                return rng.choice(sites)
        return rng.choice(self._world.sites)

    def _at(self, rng: Random, site: Site, first: str, last: str, email: str) -> Draft:
        """Somebody at an account we know, by e-mail, by company name alone, or by website alone."""
        place = places()[site.country]
        draft = Draft(first, last, email, site.name)
        _locate(rng, draft, site.country, place)
        way = rng.random()
        if way < 0.15:
            draft.email = address(rng, first, last, rng.choice(words().free_domains))
        elif way < 0.25:
            draft.email, draft.website = None, f"http://{site.domain}/contact?utm_source=web"
        elif way < 0.55:
            draft.website = rng.choice((site.domain, f"https://www.{site.domain}/", f"WWW.{site.domain.upper()}"))
        draft.industry = site.industry if rng.random() < 0.5 else None
        draft.employees = site.employees if rng.random() < 0.5 else None
        return draft

    def _stranger(self, rng: Random, system: SystemName) -> Draft:
        """Somebody from a company nobody knows, or from none."""
        country = rng.choices(self._countries, self._weights)[0]
        place = places()[country]
        language = "ru" if rng.random() < 0.03 else place.names
        first, last = full_name(rng, language, _SIDE[system])
        stem = f"{rng.choice(words().nouns)[0]}{rng.choice(words().adjectives).lower()}"
        if rng.random() < 0.25:
            draft = Draft(first, last, address(rng, first, last, rng.choice(words().free_domains)), "")
        else:
            email = address(rng, first, last, f"{stem}.example")
            draft = Draft(first, last, email, f"{stem.capitalize()} {rng.choice(place.legal)}")
        _locate(rng, draft, country, place)
        draft.employees = int(5 * 4000 ** rng.random()) if rng.random() < 0.4 else None
        return draft

    # -- dirt -----------------------------------------------------------------------------------------------------

    def _soil(self, rng: Random, draft: Draft) -> None:
        draft.source = rng.choice(words().sources)
        draft.title = rng.choice(words().titles) if rng.random() < 0.8 else None
        _spell_oddly(rng, draft)
        if rng.random() < 0.05:
            draft.country = None
        if rng.random() < 0.25:
            draft.phone = None
        if rng.random() < 0.01:
            _break_email(rng, draft)
        if rng.random() < 0.004:
            _go_absurd(rng, draft)

    def _salesforce_fields(self, rng: Random, draft: Draft) -> Fields:
        fields: Fields = {
            "FirstName": draft.first or None,
            "LastName": draft.last,
            "Email": draft.email,
            "Company": draft.company or "[not provided]",  # Salesforce wants a company on every lead
            "Website": draft.website,
            "Phone": draft.phone,
            "Country": draft.country,
            "State": draft.state,
            "City": draft.city,
            "PostalCode": draft.postal_code,
            "Title": draft.title,
            "Industry": draft.industry,
            "NumberOfEmployees": draft.employees,
            "LeadSource": draft.source,
            "Status": "Open - Not Contacted",
            "OwnerId": self._world.integration_user_id,
        }
        if self._today and self._sellers and rng.random() < 0.02:
            fields |= {"OwnerId": rng.choice(self._sellers), "Status": "Working - Contacted"}
            fields["LastActivityDate"] = self._today
        return {name: value for name, value in fields.items() if value not in (None, "")}


def _locate(rng: Random, draft: Draft, country: str, place: Place) -> None:
    city = rng.choice(place.cities)
    draft.country = place.name if rng.random() < 0.5 else rng.choice(place.spellings)
    draft.city = city.name
    if city.state:
        draft.state = rng.choice((city.state, city.state_name, city.state_name.lower(), city.state.lower(), ""))
    elif rng.random() < 0.3:
        draft.state = city.state_name
    if country == "US" and city.state == "CA" and rng.random() < 0.2:
        draft.state = "Calif."
    draft.postal_code = city.postal_code if rng.random() < 0.7 else None
    draft.phone = written(rng, place, national_number(rng, place, city))


def _spell_oddly(rng: Random, draft: Draft) -> None:
    chance = rng.random()
    if chance < 0.08:
        draft.first, draft.last = draft.first.upper(), draft.last.upper()
    elif chance < 0.16:
        draft.first, draft.last = draft.first.lower(), draft.last.lower()
    elif chance < 0.21:
        draft.first, draft.last = f" {draft.first} ", f"{draft.last}  "
    elif chance < 0.24:
        draft.first = ""
    elif chance < 0.26:
        draft.company = f"{draft.company.upper()} "
    if draft.email and rng.random() < 0.12:
        draft.email = rng.choice((f" {draft.email}", draft.email.title(), draft.email.upper(), f"{draft.email} "))


def _break_email(rng: Random, draft: Draft) -> None:
    one = draft.last.strip().lower()
    draft.email = rng.choice((f"{one}@", f"{one} at company", f"{one}@@x.example", f"{one}@localhost", one))


def _go_absurd(rng: Random, draft: Draft) -> None:
    """As long as the fields allow, now and then longer; marks that read right to left, emoji, control characters."""
    chance = rng.randrange(5)
    if chance == 0:
        draft.company = "Very " * 50 + "Long"  # 254 of 255 characters
    elif chance == 1:
        draft.last = "x" * 80
    elif chance == 2:
        draft.title = "Senior " * 28  # 196 of 128: a list import once let it in
    elif chance == 3:
        draft.first = "🎉\u202eanna\u200b"
    else:
        draft.company = "Tab\tand\nnewline Ltd"


def _hubspot_fields(rng: Random, draft: Draft) -> Fields:
    fields = {
        "email": draft.email,
        "firstname": draft.first or None,
        "lastname": draft.last,
        "company": draft.company or None,
        "website": draft.website,
        "phone": draft.phone,
        "country": draft.country,
        "state": draft.state,
        "city": draft.city,
        "zip": draft.postal_code,
        "jobtitle": draft.title,
        "industry": draft.industry,
        "numemployees": None if draft.employees is None else str(draft.employees),
        "hs_analytics_source": rng.choice(words().hubspot_sources),
        "hs_lead_status": "NEW",
        "lifecyclestage": "lead",
    }
    return {name: value for name, value in fields.items() if value}
