"""Accounts and leads to measure the matcher with: real company names, topped up to any number, deterministic.

What is real: the names and countries, and for companies of the CSV the websites and places. Made up: the other websites,
telephone numbers, and (``_topped_up``) names recombined from real ones, which are accounts only, never a lead's company.

Companies are split by their name into ``fit`` (for the shipped weights) and ``held-out`` (for the figures), and into those that
have an account and those that have none. Nothing here knows how the matcher works.
"""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import phonenumbers
from msgspec import Struct, msgpack
from phonenumbers.geodata import GEOCODE_DATA

from routing.core import normalise
from tests.bench import matching_fetch as fetch
from tests.bench import matching_noise as noise
from tests.bench.matching_fetch import Company

ALL = 1_050_000

# How much accounts know. Of leads: the shares that real ones have, and at least four in ten whose company has no account.
ACCOUNT_HAS = {"website": 0.8, "phone": 0.65, "country": 0.95}
LEAD_HAS = {"country": 0.6, "website": 0.3, "phone": 0.4, "work e-mail": 0.7, "city": 0.3, "postal_code": 0.15}
ABSENT = 0.41
# A company's own domain is not always the one its account names.
LEAD_DOMAIN = {
    "the account's": 0.82,
    "a subdomain of it": 0.06,
    "the brand's, in another country": 0.06,
    "another": 0.06,
}
# Of "another": how often it is that of a stranger who has an account (an agency, a former employer).
STRANGERS = 0.3
# How often one of a family (the first two words of the name are another's too) shares the other's domain, account or not.
FAMILY_DOMAIN = 0.15
# Of those who do, how many name the other as their parent, and of the others; how often a subsidiary's people write from its domain.
PARENT = {"of one domain": 0.5, "of one name": 0.15}
PARENT_DOMAIN = 0.3
# A lead's number is the company's own, somebody's desk, or somebody's mobile.
LEAD_PHONE = {"the company's": 0.35, "a direct line": 0.3, "a mobile": 0.35}
# Who has a switchboard owns a block of numbers, of which the first is its own; desks elsewhere have any number of the area.
BLOCKS = {"000": 0.15, "00": 0.3, "": 0.55}
# Of so many areas a country the companies are.
AREAS = 500

_WORD = re.compile(r"[a-z0-9]+")
_FREE = (
    "gmail.com",
    "hotmail.com",
    "yahoo.com",
    "outlook.com",
    "gmx.net",
    "web.de",
    "orange.fr",
    "qq.com",
    "icloud.com",
)
_FIRST = (
    "ana",
    "bo",
    "chen",
    "dmitri",
    "elodie",
    "fatima",
    "giulia",
    "ingrid",
    "jose",
    "kenji",
    "maria",
    "priya",
    "tomasz",
)
_LAST = (
    "diaz",
    "li",
    "smith",
    "mueller",
    "nguyen",
    "okafor",
    "rossi",
    "silva",
    "tanaka",
    "varga",
    "weiss",
    "zhang",
    "kumar",
)
_SUFFIX = {
    "GB": "co.uk",
    "IN": "in",
    "AU": "com.au",
    "JP": "co.jp",
    "BR": "com.br",
    "US": "com",
    "": "com",
    "KY": "com",
    "ZA": "co.za",
}


class Account(Struct, gc=False):
    """An account as a CRM holds it."""

    id: str
    name: str
    website: str = ""
    phone: str = ""
    country: str = ""
    state: str = ""
    city: str = ""
    postal_code: str = ""
    parent: str = ""


class Lead(Struct, gc=False):
    """A lead, the ``truth`` (the account's id, "" when its company has none) and the ``kinds`` of noise in its name."""

    id: str
    company: str
    truth: str
    kinds: tuple[str, ...] = ()
    email: str = ""
    website: str = ""
    phone: str = ""
    country: str = ""
    state: str = ""
    city: str = ""
    postal_code: str = ""

    def name_only(self) -> Lead:
        """The same lead, of which nothing but the company's name is known."""
        return Lead(self.id, self.company, self.truth, self.kinds)


class World(Struct):
    """The accounts, and the leads of both halves."""

    accounts: list[Account]
    fit: list[Lead]
    held_out: list[Lead]


def world(accounts: int, leads: int, seed: int = 6) -> World:
    """``accounts`` accounts and ``leads`` leads a half. Made once for the same arguments, code and sources, then read back."""
    folder, listed = fetch.data(), fetch.more()
    known = hashlib.sha256(f"{accounts} {leads} {seed}".encode())
    for path in (Path(__file__), Path(noise.__file__), Path(fetch.__file__), fetch.HERE / fetch.LOCK, listed):
        known.update(path.read_bytes() if path.exists() else b"none")
    path = folder / f"world-{known.hexdigest()[:16]}.msgpack"
    if path.exists():
        return msgpack.decode(path.read_bytes(), type=World)
    made = _make(fetch.companies(), accounts, leads, seed)
    path.write_bytes(msgpack.encode(made))
    return made


def _make(companies: list[Company], accounts: int, leads: int, seed: int) -> World:
    number = _Numbers(seed)
    source = random.Random(seed)
    strangers = [one for one in companies if _share(one, "absent") < 0.07]
    members = [one for one in companies if _share(one, "absent") >= 0.07]
    if len(members) > accounts:
        members = source.sample(members, accounts)
    sites = _Sites(source)
    held: list[Account] = []
    own: list[tuple[Company, str]] = []  # what the company really has, whatever its account knows of it
    heads: dict[str, tuple[str, str]] = {}  # the first of each family, and its website
    for n, one in enumerate([*members, *_topped_up(companies, accounts - len(members), source)]):
        site = one.website or sites.of(one)
        if n < len(members):
            own.append((one, site))
        account = _account(f"A{n:07d}", one, site, number.of(one.country), source)
        head, its_site = heads.setdefault(_family(one), (account.id, site))
        if head != account.id:
            share = PARENT["of one domain" if its_site == site else "of one name"]
            account.parent = head if source.random() < share else ""
        held.append(account)
    named: dict[str, int] = {}
    for account in held:
        key = normalise.fold(account.name)
        named[key] = named.get(key, 0) + 1
    # Of accounts with the very same name nobody can tell which one is meant, unless by what else is known.
    known = [n for n, (one, _) in enumerate(own) if named[normalise.fold(one.name)] == 1]
    absent = [one for one in strangers if normalise.fold(one.name) not in named]
    made: dict[bool, list[Lead]] = {}
    for fit in (True, False):
        chance = random.Random(f"{seed} {fit}")
        ours = [n for n in known if (_share(own[n][0], "half") < 0.5) is fit]
        theirs = [one for one in absent if (_share(one, "half") < 0.5) is fit]
        made[fit] = []
        for n in range(leads):
            if chance.random() < ABSENT:
                company, truth = chance.choice(theirs), None
                site, phone = sites.of(company, keep=False), number.of(company.country)
            else:
                at = chance.choice(ours)
                truth = held[at]
                (company, site), phone = own[at], truth.phone or number.of(own[at][0].country)
                if truth.parent and chance.random() < PARENT_DOMAIN:
                    site = heads[_family(company)][1]
            other = chance.choice(held)
            made[fit].append(_lead(f"{'F' if fit else 'L'}{n:06d}", company, truth, site, phone, other, chance, number))
    chance = random.Random(seed)
    chance.shuffle(held)
    return World(held, made[True], made[False])


def _share(one: Company, salt: str) -> float:
    """A number of [0, 1) from the company's name: legal forms of one name stay together."""
    digest = hashlib.sha256(f"{salt} {normalise.company_key(one.name)}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _account(key: str, one: Company, site: str, phone: str, source: random.Random) -> Account:
    has = {name: source.random() < share for name, share in ACCOUNT_HAS.items()}
    return Account(
        id=key,
        name=one.name,
        website=site if has["website"] else "",
        phone=phone if has["phone"] else "",
        country=one.country if has["country"] else "",
        state=one.state,
        city=one.city,
        postal_code=one.postal_code,
    )


def _lead(
    key: str,
    one: Company,
    truth: Account | None,
    site: str,
    phone: str,
    other: Account,
    chance: random.Random,
    number: _Numbers,
) -> Lead:
    name, kinds = noise.noisy(one.name, one.country, chance)
    has = {field: chance.random() < share for field, share in LEAD_HAS.items()}
    domain = _lead_domain(site, one, other, chance)
    person = f"{chance.choice(_FIRST)}.{chance.choice(_LAST)}{chance.randrange(100)}"
    return Lead(
        id=key,
        company=name,
        truth=truth.id if truth else "",
        kinds=kinds,
        email=f"{person}@{domain if has['work e-mail'] else chance.choice(_FREE)}",
        website=noise.written_site(_lead_domain(site, one, other, chance), chance) if has["website"] else "",
        phone=_lead_phone(phone, one.country, chance, number) if has["phone"] else "",
        country=one.country if has["country"] else "",
        state=one.state if has["city"] else "",
        city=one.city if has["city"] else "",
        postal_code=one.postal_code if has["postal_code"] else "",
    )


def _lead_domain(site: str, one: Company, other: Account, chance: random.Random) -> str:
    domain = normalise.website(site) or "nowhere.example"
    kind = noise.one_of(LEAD_DOMAIN, chance)
    if kind == "a subdomain of it":
        return f"{chance.choice(('mail', 'us', 'eu', 'corp', 'group'))}.{domain}"
    if kind == "the brand's, in another country":
        return f"{domain.partition('.')[0]}.{chance.choice(('com', 'de', 'co.uk', 'fr', 'nl', 'eu', 'net', 'io'))}"
    if kind == "another":
        if chance.random() < STRANGERS and other.website:
            return normalise.website(other.website) or domain
        return f"{_slug(one.name, 1) or 'x'}{chance.choice(('-services', '-it', 'online', 'mail', 'hq'))}.com"
    return domain


def _lead_phone(phone: str, country: str, chance: random.Random, number: _Numbers) -> str:
    kind = noise.one_of(LEAD_PHONE, chance)
    if kind == "a mobile":
        phone = number.of(country, mobile=True)
    elif kind == "a direct line":
        free = next((len(zeros) for zeros in ("000", "00") if phone.endswith(zeros)), 6)
        phone = f"{phone[:-free]}{chance.randrange(10**free):0{free}d}"
    return noise.written_phone(phone, chance)


@cache
def _areas(country: str, mobile: bool) -> tuple[tuple[str, int], ...]:
    """How the numbers of a country begin, by area as its numbering plan has them, and how many digits each beginning leaves free."""
    kind = phonenumbers.PhoneNumberType.MOBILE if mobile else phonenumbers.PhoneNumberType.FIXED_LINE
    example = phonenumbers.example_number_for_type(country or "US", kind) or phonenumbers.example_number("GB")
    plan = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    chance = random.Random(f"areas {country}")
    known = [] if mobile else [one for one in _prefixes().get(example.country_code, ()) if len(one) <= len(plan) - 5]
    found = []
    for area in chance.sample(known, min(len(known), AREAS)):
        free = len(plan) - len(area)
        number = phonenumbers.parse(f"{area}{chance.randrange(10**free):0{free}d}")
        if phonenumbers.is_valid_number_for_region(number, country or "US"):
            found.append((area, free))
    free = 5 if len(plan) < 11 else 6
    return tuple(found) or ((plan[:-free], free),)


@cache
def _prefixes() -> dict[int, list[str]]:
    """Area codes by calling code."""
    found: dict[int, list[str]] = {}
    for area in sorted(GEOCODE_DATA):
        code = next((int(area[:n]) for n in (1, 2, 3) if int(area[:n]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), 0)
        found.setdefault(code, []).append(f"+{area}")
    return found


class _Numbers:
    """Telephone numbers of a country: as its numbering plan has them, with other last digits."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"phones {seed}")

    def of(self, country: str, mobile: bool = False) -> str:
        """A number in E.164."""
        chance = self._chance
        block = "" if mobile else noise.one_of(BLOCKS, chance)
        area, free = chance.choice(_areas(country, mobile))
        free -= len(block)
        return f"{area}{chance.randrange(10**free):0{free}d}{block}"


def _slug(name: str, words: int) -> str:
    folded = unicodedata.normalize("NFKD", normalise.company_key(name)).encode("ascii", "ignore").decode()
    return "".join(_WORD.findall(folded)[:words])[:40]


def _family(one: Company) -> str:
    return " ".join(normalise.company_key(one.name).split()[:2])


class _Sites:
    """Websites for companies that the sources give none: a domain from the name, which is nobody else's."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._taken: set[str] = set()
        self._families: dict[str, str] = {}

    def of(self, one: Company, keep: bool = True) -> str:
        """The site; with ``keep`` nobody else gets it, but for some of the same family."""
        family = _family(one)
        shared = self._families.get(family)
        if shared and self._chance.random() < FAMILY_DOMAIN:
            return shared
        suffix = self._chance.choice(("com", _SUFFIX.get(one.country, one.country.lower())))
        words = [2, 3, 1, 4, 9] if self._chance.random() < 0.7 else [9, 3, 4]
        for count in words:
            domain = f"{_slug(one.name, count) or 'c'}.{suffix}"
            if len(domain) > len(suffix) + 3 and domain not in self._taken:
                break
        else:
            domain = f"{_slug(one.name, 4) or 'c'}{self._chance.randrange(10**6)}.{suffix}"
        if keep:
            self._taken.add(domain)
            self._families.setdefault(family, f"www.{domain}")
        return f"www.{domain}"


def _topped_up(companies: list[Company], count: int, chance: random.Random) -> Iterator[Company]:
    """Names made of two real ones: the first word or two of one, what follows in another. None is a real company's."""
    real = {normalise.company_key(one.name) for one in companies}
    while count > 0:
        front, back = chance.choice(companies), chance.choice(companies)
        first, rest = front.name.split(), back.name.split()
        if len(first) < 2 or len(rest) < 2:
            continue
        name = " ".join([*first[: chance.choice((1, 1, 1, 2))], *rest[1:]])
        key = normalise.company_key(name)
        if key in real or len(name) > 120:
            continue
        real.add(key)
        count -= 1
        yield Company(name=name, country=back.country, source="made")
