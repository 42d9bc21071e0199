"""Whether two records (leads, contacts) are the same person: names with their familiar forms, addresses, phones, whereabouts.

Each piece of evidence adds to the log-odds; their sum, with what is expected of two records that share a key, is the probability.
The weights were set by hand from how often a field agrees for one person and for two, and are measured by the person benchmark.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct
from rapidfuzz.distance import OSA

from routing.core import normalise, phones, places
from routing.core.matching.model import Evidence
from routing.core.matching.nicknames import related, root
from routing.core.words import FREE_MAIL

# The canonical fields that tell of a person; all that ``person`` reads.
PERSON_FIELDS = (
    "first_name",
    "last_name",
    "email",
    "phone",
    "mobile",
    "company",
    "website",
    "street",
    "postal_code",
    "city",
    "country",
    "birth_date",
)
# Mailboxes of a job, not of a person.
ROLES = frozenset(
    (
        "admin", "billing", "buchhaltung", "contact", "einkauf", "enquiries", "hello", "help", "hr", "info", "jobs", "kontakt", "mail",
        "marketing", "noreply", "office", "post", "purchasing", "sales", "service", "shop", "support", "team", "vertrieb", "webmaster",
    )
)  # fmt: skip
# Providers where dots before the sign mean nothing.
_DOTLESS = frozenset(("gmail.com", "googlemail.com"))
# The same provider under several names.
_ONE_PROVIDER = {
    "googlemail.com": "gmail.com",
    "pm.me": "proton.me",
    "protonmail.com": "proton.me",
    "me.com": "icloud.com",
}
_WORDS = 4  # of a name no more are compared: two given names and a double family name
_PRIOR = -3.0  # of two records that share a key, one in some twenty is the same person

# What speaks for one person (first) and against (second), in log-odds: equal, nearly equal, different.
_WEIGHTS: dict[str, tuple[float, float, float]] = {
    "first name": (2.4, 1.7, -3.0),
    "last name": (3.4, 2.6, -2.8),
    "e-mail": (8.0, 0.0, -0.7),
    "phone": (3.2, 0.0, -0.4),
    "company": (2.2, 0.0, -0.6),
    "street": (3.6, 2.8, -0.7),
    "postal code": (1.6, 1.0, -0.9),
    "city": (1.0, 0.7, -0.6),
    "birth date": (5.5, 3.4, -2.4),
}
_INITIAL = 0.6
_FAMILIAR = 1.8
_SWAPPED = -0.6
_ROLE = 0.4


class PersonFeatures(Struct, frozen=True, gc=False, array_like=True):
    """A person as the matcher sees them; everything folded, "" or () for what is not known.

    ``mailbox`` is the address as the mailbox it reaches (without dots and plus-tags where these mean nothing), ``role`` whether that is
    a job's. ``born`` is YYYYMMDD. ``at`` is the company's domain, else its name.
    """

    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    mailbox: str = ""
    role: bool = False
    phones: tuple[str, ...] = ()
    at: str = ""
    street: str = ""
    postal_code: str = ""
    city: str = ""
    country: str = ""
    born: str = ""


class Likeness(Struct, frozen=True, gc=False):
    """How likely two records are one person, and what speaks for and against it."""

    probability: float
    evidence: tuple[Evidence, ...]


def person(values: Mapping[str, Any]) -> PersonFeatures:
    """The features of a lead or contact, from its values under canonical names (``PERSON_FIELDS``). Total: raises nothing."""
    address, land = _text(values, "email"), _text(values, "country")
    written = normalise.email(address) if address else None
    mailbox = mailbox_of(written) if written else ""
    land = (places.country(land) or "") if land else ""
    numbers = [phones.phone(text, land) for name in ("phone", "mobile") if (text := _text(values, name))]
    first, last = _name(_text(values, "first_name")), _name(_text(values, "last_name"))
    if not first and len(last) > 1:
        first, last = last[:1], last[1:]  # the whole name in the field that every CRM insists on
    born = _text(values, "birth_date")
    return PersonFeatures(
        first,
        last,
        mailbox,
        mailbox.partition("@")[0] in ROLES,
        tuple(dict.fromkeys([one.partition(" ")[0] for one in numbers if one])),
        _company(values, written),
        _plain(_text(values, "street")),
        _plain(_text(values, "postal_code")).replace(" ", ""),
        _plain(_text(values, "city")),
        land,
        "".join(filter(str.isdigit, born))[:8] if born else "",
    )


def mailbox_of(address: str) -> str:
    """The mailbox that an address (as ``normalise.email`` gives it) reaches: ``a.na+news@googlemail.com`` is ``ana@gmail.com``."""
    local, _, host = address.rpartition("@")
    local = local.partition("+")[0] or local
    host = _ONE_PROVIDER.get(host, host)
    return f"{local.replace('.', '') if host in _DOTLESS else local}@{host}"


def person_keys(of: PersonFeatures) -> frozenset[str]:
    """What records of one person have in common: the mailbox, a phone, the name with the company or with where they live, the
    street, the house, the date of birth. One of them survives most slips."""
    found = {f"phone:{number}" for number in of.phones}
    if of.mailbox and not of.role:
        found.add(f"mailbox:{of.mailbox}")
    if of.first and of.last:
        # In one order, as the two fields are often swapped; the family name's beginning survives most typing errors.
        name = "|".join(sorted((root(of.first[0])[:4], of.last[-1][:4])))
        found |= {f"name:{name}|{where}" for where in (of.at, of.postal_code, of.city[:4]) if where}
        # Where the name has a slip in its beginning, and the street another.
        if of.postal_code and (number := _HOUSE.search(of.street)):
            initials = "".join(sorted((of.first[0][0], of.last[-1][0])))
            found.add(f"door:{number[0]}|{of.postal_code}|{initials}")
    if of.born:
        found.add(f"born:{of.born}")
    if of.street:
        found |= {f"street:{of.street}|{where}" for where in (of.postal_code, of.city[:4]) if where}
    return frozenset(found)


def compare(one: PersonFeatures, other: PersonFeatures) -> Likeness:
    """Weighs two records against each other; symmetrical."""
    evidence = tuple(_pieces(one, other))
    total = _PRIOR + sum(piece.weight for piece in evidence)
    return Likeness(1 / (1 + math.exp(-max(-40.0, min(40.0, total)))), evidence)


def _pieces(one: PersonFeatures, other: PersonFeatures) -> Iterator[Evidence]:
    yield from _names(one, other)
    if one.mailbox and other.mailbox:
        if one.mailbox != other.mailbox:
            yield _piece("e-mail", 2)
        elif one.role:
            yield Evidence("e-mail", _ROLE, "the same mailbox of a whole team")
        else:
            yield _piece("e-mail", 0)
    if one.phones and other.phones:
        yield _piece("phone", 0 if set(one.phones) & set(other.phones) else 2)
    for kind, mine, theirs in (
        ("company", one.at, other.at),
        ("street", one.street, other.street),
        ("postal code", one.postal_code, other.postal_code),
        ("city", one.city, other.city),
        ("birth date", one.born, other.born),
    ):
        if mine and theirs:
            yield _piece(kind, _level(mine, theirs))


def _names(one: PersonFeatures, other: PersonFeatures) -> list[Evidence]:
    straight = [*_given(one.first, other.first), *_family(one.last, other.last)]
    if not (one.first and one.last and other.first and other.last):
        return straight
    crossed = [*_given(one.first, other.last), *_family(one.last, other.first)]
    swapped = Evidence("name order", _SWAPPED, "first and last name swapped")
    if sum(piece.weight for piece in straight) >= sum(piece.weight for piece in crossed) + _SWAPPED:
        return straight
    return [*crossed, swapped]


def _given(mine: tuple[str, ...], theirs: tuple[str, ...]) -> Iterator[Evidence]:
    if not mine or not theirs:
        return
    a, b = mine[0], theirs[0]
    if a == b or set(mine) & set(theirs):
        yield _piece("first name", 0)
    elif len(a) == 1 or len(b) == 1:
        alike = a[0] == b[0]
        words = "the initial fits" if alike else "another initial"
        yield Evidence("first name", _INITIAL if alike else _WEIGHTS["first name"][2], words)
    elif related(a, b):
        yield Evidence("first name", _FAMILIAR, "a familiar form of the first name")
    else:
        yield _piece("first name", _level(a, b))


def _family(mine: tuple[str, ...], theirs: tuple[str, ...]) -> Iterator[Evidence]:
    if not mine or not theirs:
        return
    shared = set(mine) & set(theirs)
    level = 0 if mine == theirs or (shared and max(map(len, shared)) > 3) else _level(" ".join(mine), " ".join(theirs))
    yield _piece("last name", level)


def _level(mine: str, theirs: str) -> int:
    """0 equal, 1 nearly (one typing error; two in a long text), 2 different."""
    if mine == theirs:
        return 0
    shorter, longer = sorted((len(mine), len(theirs)))
    if shorter >= 4 and longer > shorter and (mine.startswith(theirs) or theirs.startswith(mine)):
        return 1
    allowed = 1 if shorter < 7 else 2 if shorter < 14 else 4
    near = shorter >= 3 and OSA.distance(mine, theirs, score_cutoff=allowed) <= allowed
    return 1 if near else 2


_HOUSE = re.compile(r"\b[0-9]+")
_BETWEEN = re.compile(r"[\W_]+")
_WORDS_FOR = ("the same {}", "nearly the same {}", "another {}")


def _piece(kind: str, level: int) -> Evidence:
    return Evidence(kind, _WEIGHTS[kind][level], _WORDS_FOR[level].format(kind))


def _text(values: Mapping[str, Any], name: str) -> str:
    found = values.get(name)
    return found if found and type(found) is str and len(found) <= normalise.NAME_LIMIT else ""


def _name(text: str) -> tuple[str, ...]:
    return tuple(_plain(text).split()[:_WORDS]) if text else ()


@lru_cache(maxsize=16_384)
def _plain(text: str) -> str:
    """Folded, punctuation to spaces; apostrophes and full stops vanish, as half of the world leaves them out."""
    if not text:
        return ""
    if text.isascii() and "  " not in text and text.replace(" ", "").isalnum():
        return text.lower().strip()
    bare = normalise.fold(text.replace("'", "").replace("’", "").replace(".", ""))
    return _BETWEEN.sub(" ", bare).strip()


def _company(values: Mapping[str, Any], address: str | None) -> str:
    domain = normalise.email_domain(address) if address else None
    if domain and domain not in FREE_MAIL:
        return domain
    site = normalise.company_website(_text(values, "website")) if values.get("website") else None
    return site or normalise.company_key(_text(values, "company"))
