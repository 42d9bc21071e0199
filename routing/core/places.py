"""Countries to ISO 3166-1 alpha-2 and states to their codes, from pycountry and from what people write that it lacks.

Unknown text stays unknown: "Georgia" is a country here, a state only where the country is known to be the United States.
"""

from __future__ import annotations

import gettext
import re
from functools import cache, lru_cache

import pycountry

from routing.core.normalise import clean_text, fold
from routing.core.place_names import COUNTRY_NAMES, LANGUAGES, STATE_NAMES

# The longest name in pycountry is well below this; anything longer is not a place.
PLACE_LIMIT = 100

_LETTERS = re.compile(r"[\W_]+")
# Letters that were written apart. Not any letters: "N/A" is not Namibia.
_INITIALS = (["u", "s", "a"], ["u", "s"], ["u", "k"], ["u", "a", "e"])
_BRACKETS = re.compile(r"\s*[(\[].*?[)\]]\s*")


def country(text: str) -> str | None:
    """The alpha-2 code of a country named by code or name in one of many languages; None when unknown."""
    return _country(text) if len(text) <= PLACE_LIMIT else None


def state(text: str, country_code: str) -> str | None:
    """How a state is to be written in that country, None when unknown.

    That is its code, where the code has letters ("California" is CA, "Bayern" is BY). Where ISO numbers its regions
    (Tokyo is 13) nobody would know the code, and the answer is the name as ISO spells it.
    """
    return _state(text, country_code) if len(text) <= PLACE_LIMIT and country_code else None


def country_name(code: str) -> str:
    """The everyday English name of an alpha-2 code, for sentences."""
    return _country_names().get(code, code)


@lru_cache(maxsize=8_192)
def _country(text: str) -> str | None:
    key = place_key(text)
    if not key:
        return None
    found = _countries().get(key)
    if found is None and not (text.isascii() and len(key) <= 3):
        found = _foreign().get(key)
    return found


@lru_cache(maxsize=16_384)
def _state(text: str, country_code: str) -> str | None:
    key = place_key(text)
    key = key.removeprefix(country_code.lower() + " ") if text[:2].upper() == country_code else key
    known = _states(country_code)
    return known.get(key) or (known.get(key.replace(" ", "")) if "/" not in text else None)


def place_key(text: str) -> str:
    """Folded, punctuation to spaces, dotted letters joined: "U.S.A." and "usa" are one, as are "Île-de-France" and its ASCII."""
    joined = fold(clean_text(text)).replace(".", "").replace("'", "").replace("’", "")
    words = _LETTERS.sub(" ", joined.replace("&", " and ")).split()
    if len(words) > 1 and words[0] == "the":
        words = words[1:]
    if words in _INITIALS:
        return "".join(words)
    return " ".join(words)


@cache
def _countries() -> dict[str, str]:
    table: dict[str, str] = {}
    for entry in pycountry.countries:
        for attribute in ("name", "common_name", "official_name"):
            written = getattr(entry, attribute, None)
            if written:
                table.setdefault(place_key(written), entry.alpha_2)
                # "Venezuela, Bolivarian Republic of" is known by its first part, unless two share it (Korea, Congo).
        table[entry.alpha_2.lower()] = entry.alpha_2
        table[entry.alpha_3.lower()] = entry.alpha_2
    firsts: dict[str, set[str]] = {}
    for entry in pycountry.countries:
        if "," in entry.name:
            firsts.setdefault(place_key(entry.name.partition(",")[0]), set()).add(entry.alpha_2)
    for key, codes in firsts.items():
        if len(codes) == 1:
            table.setdefault(key, codes.pop())
    for code, names in COUNTRY_NAMES.items():
        for name in names:
            table[place_key(name)] = code
    return table


@cache
def _foreign() -> dict[str, str]:
    """Names in other languages, from pycountry's translations. A name that means two countries is in neither."""
    table: dict[str, str] = {}
    torn: set[str] = set()
    for language in LANGUAGES:
        catalogue = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=[language], fallback=True)
        for entry in pycountry.countries:
            for attribute in ("name", "common_name"):
                english = getattr(entry, attribute, None)
                if not english:
                    continue
                key = place_key(catalogue.gettext(english))
                if table.setdefault(key, entry.alpha_2) != entry.alpha_2:
                    torn.add(key)
    return {key: code for key, code in table.items() if key and key not in torn}


@cache
def _country_names() -> dict[str, str]:
    return {entry.alpha_2: getattr(entry, "common_name", entry.name) for entry in pycountry.countries}


@lru_cache(maxsize=300)
def _states(country_code: str) -> dict[str, str]:
    found: dict[str, set[tuple[bool, str]]] = {}
    codes: dict[str, str] = {}
    for entry in pycountry.subdivisions.get(country_code=country_code) or ():
        code = entry.code.partition("-")[2]
        written = code if not any(c.isdigit() for c in code) else _BRACKETS.sub("", entry.name)
        codes[code.lower()] = written
        for name in {entry.name, _BRACKETS.sub("", entry.name), *_inside_brackets(entry.name)}:
            found.setdefault(place_key(name), set()).add((entry.parent_code is not None, written))
    table: dict[str, str] = {}
    for key, entries in found.items():
        # A province and the region around it may share a name: the region is meant. Two regions are not told apart.
        top = {written for inner, written in entries if not inner} or {written for _, written in entries}
        if len(top) == 1:
            table[key] = top.pop()
    table.update(codes)
    for code, names in STATE_NAMES.get(country_code, {}).items():
        for name in names:
            table[place_key(name)] = code
    table.pop("", None)
    return table


def _inside_brackets(name: str) -> list[str]:
    """pycountry writes a second language in brackets: "Barcelona [Barcelona]"."""
    return [part for part in re.findall(r"[(\[](.*?)[)\]]", name) if part]
