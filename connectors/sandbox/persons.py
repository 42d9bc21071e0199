"""People who do not exist: names, e-mail addresses and telephone numbers, made by a seeded random source."""

from __future__ import annotations

import zlib
from functools import cache
from random import Random

from connectors.sandbox.names import City, Place, persons, slug

# Digits of a national number without the trunk prefix, by calling code; close enough for numbers nobody owns.
_LENGTHS = {"1": 10, "44": 10, "49": 10, "43": 10, "39": 10, "91": 10, "52": 10, "55": 10, "65": 8, "971": 8, "64": 8}
_NO_TRUNK = frozenset({"1", "34", "39", "48", "65", "52"})


@cache
def half(last: str) -> int:
    """0 or 1, by last name: people of half 0 write to Salesforce, those of half 1 to HubSpot.

    So nobody of one system's stream is ever the same person as somebody of the other's.
    """
    return zlib.crc32(slug(last).encode()) & 1


@cache
def _last_names(language: str, side: int | None) -> tuple[str, ...]:
    names = persons()[language].last
    return names if side is None else tuple(name for name in names if half(name) == side)


def full_name(rng: Random, language: str, side: int | None = None) -> tuple[str, str]:
    """A first and a last name of that language; ``side`` restricts the last name to one ``half``."""
    last = _last_names(language, side) or _last_names("en", side)
    return rng.choice(persons()[language].first), rng.choice(last)


def address(rng: Random, first: str, last: str, domain: str) -> str:
    """An e-mail address in one of the usual forms; the last name is always a whole word of it."""
    one, two = slug(first), slug(last)
    return rng.choice((f"{one}.{two}", f"{one}.{two}", f"{one[0]}.{two}", f"{one}_{two}", two)) + "@" + domain


def national_number(rng: Random, place: Place, city: City) -> str:
    """The subscriber's number without country code and trunk prefix: digits only."""
    if place.code == "1":
        return f"{city.area_code}55501{rng.randrange(100):02d}"  # 555-01xx is set aside for fiction
    digits = _LENGTHS.get(place.code, 9) - len(city.area_code)
    return city.area_code + str(rng.randrange(2 * 10 ** (digits - 1), 10**digits))


def international(place: Place, number: str) -> str:
    """The number as a careful person writes it: +49 30 1234567."""
    return f"+{place.code} {number[:3]} {number[3:]}"


def written(rng: Random, place: Place, number: str) -> str:
    """The number as it arrives on a form: every way people write one, and some that are none."""
    trunk = "" if place.code in _NO_TRUNK else "0"
    local = trunk + number
    style = rng.randrange(12)
    if style < 3:
        return international(place, number)
    if style == 3:
        return f"+{place.code}{number}"
    if style == 4:
        return f"00{place.code} {number}"
    if style == 5:
        return f"({local[:3]}) {local[3:6]}-{local[6:]}"
    if style == 6:
        return f"{local[:3]}-{local[3:6]}-{local[6:]} ext. {rng.randrange(10, 999)}"
    if style == 7:
        return f"{local[:3]}.{local[3:6]}.{local[6:]}"
    if style == 8:
        return f" {local} "
    if style == 9:
        return f"tel: +{place.code} (0){number}"
    if style == 10:
        return local
    return rng.choice(("n/a", "-", "call me", number[:5], "0000000000"))
