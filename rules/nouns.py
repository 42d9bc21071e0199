"""Kinds of records, and systems, in sentences: an opportunity, opportunities, HubSpot."""

from __future__ import annotations

from functools import lru_cache

_SYSTEMS = {"hubspot": "HubSpot", "file": "a file"}  # that are not spelled as names usually are


def an(noun: str) -> str:
    """``a lead``, ``an account``."""
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"


@lru_cache(maxsize=200)
def many(noun: str) -> str:
    """``leads``, ``opportunities``, ``people``."""
    if noun == "person":
        return "people"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def counted(number: int, noun: str) -> str:
    """``1 rung``, ``2 rungs``, ``3 people``."""
    return f"{number:,} {noun if number == 1 else many(noun)}"


def system_name(name: str) -> str:
    """A system as people call it."""
    return _SYSTEMS.get(name, name.replace("_", " ").capitalize())
