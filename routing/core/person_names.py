"""Names of people that somebody typed with the shift key held, or without touching it.

Only names written all in capitals or all in small letters are changed, and only in the Latin script: a person's own
mixed spelling is theirs.
"""

from __future__ import annotations

import re

from routing.core.normalise import clean_text

NAME_LIMIT = 120

# Small before a family name. "la", "le", "di" and "el" are not here: families write them either way.
_PARTICLES = frozenset(
    ("van", "von", "der", "den", "de", "da", "das", "dos", "do", "du", "del", "zu", "zum", "ter", "ten")
)
_SUFFIXES = frozenset(("ii", "iii", "iv", "md", "phd", "cpa", "esq"))
_WRITTEN = {"phd": "PhD", "esq": "Esq", "jr": "Jr", "sr": "Sr"}
# Turkish has two letters i: a capital I may mean either, so only somebody who knows the person can tell.
_TURKISH = frozenset("İıĞğŞş")
_WORDS = re.compile(r"([\s\-–/]+)")


def person_name(text: str, family: bool = False) -> str:
    """The name with single spaces, and with capitals where it had all or none. A ``family`` name may begin small (van Dyk)."""
    text = clean_text(text)
    if len(text) > NAME_LIMIT or not (text.isupper() or text.islower()) or not _latin(text):
        return text
    if len(text) == 2 and text.isupper() and not set(text) & set("AEIOUYÄÖÜÅØ"):
        return text  # JP, TJ: initials that serve as a name
    if text.islower() and ("@" in text or "://" in text):
        return text  # not a name at all; better left for a person to see
    parts = _WORDS.split(text.lower())
    last = len(parts) - 1
    return "".join(
        part if i % 2 else _word(part, i > 0, 0 < i < last or (family and i < last)) for i, part in enumerate(parts)
    )


def family_name(text: str) -> str:
    """As ``person_name``, for a field that holds only the family name."""
    return person_name(text, family=True)


def _latin(text: str) -> bool:
    if text.isascii():
        return True
    return not (set(text) & _TURKISH) and all(
        c < "\u0250" or "\u1e00" <= c <= "\u1eff" or not c.isalpha() for c in text
    )


def _word(word: str, after_another: bool, before_another: bool) -> str:
    bare = word.strip(".,")
    if before_another and word in _PARTICLES:
        return word
    if after_another and bare in _SUFFIXES | _WRITTEN.keys():
        return word.replace(bare, _WRITTEN.get(bare, bare.upper()))
    if "." in bare:
        return ".".join(_capital(part) for part in word.split("."))
    for apostrophe in ("'", "’"):
        head, found, tail = word.partition(apostrophe)
        if found and len(head) == 1 and len(tail) > 1:
            return _capital(head) + apostrophe + _capital(tail)
    if word.startswith("mc") and len(word) > 4:
        return "Mc" + _capital(word[2:])
    return _capital(word)


def _capital(word: str) -> str:
    return word[:1].title() + word[1:]
