"""The people of the sandbox CRMs, from the policy's people.csv."""

from __future__ import annotations

import csv
from pathlib import Path

from connectors.sandbox.world import PersonSeed

# Who serves where nobody was named.
ANYBODY = [
    PersonSeed("Ana Diaz", "ana@sandbox.example"),
    PersonSeed("Bo Li", "bo@sandbox.example"),
    PersonSeed("Chris Okafor", "chris@sandbox.example"),
]
_NO = frozenset({"no", "n", "false", "0", "inactive"})


def read_people(path: Path) -> list[PersonSeed]:
    """Rows of a people.csv. Raises ValueError, with file and line, when it cannot serve; OSError when it cannot be read.

    The policy's own check is stricter; here a name and an address are enough.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = {"name", "email"} - set(reader.fieldnames or ())
            if missing:
                raise ValueError(f"{path}:1: the column {' and '.join(sorted(missing))} is missing")
            people = [_person(row, f"{path}:{reader.line_num}") for row in reader]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: this is not UTF-8 text; save it as UTF-8 CSV") from error
    seen: set[str] = set()
    for person in people:
        if person.email.lower() in seen:
            raise ValueError(f"{path}: {person.email} stands in it twice; every person needs an address of their own")
        seen.add(person.email.lower())
    if not any(person.active for person in people):
        raise ValueError(f"{path}: nobody in it is active, so nobody could own anything")
    return people


def _person(row: dict[str, str | None], place: str) -> PersonSeed:
    cells = {name: (value or "").strip() for name, value in row.items() if name and not isinstance(value, list)}
    if not cells["name"] or "@" not in cells["email"]:
        raise ValueError(f"{place}: a person needs a name and an e-mail address")
    return PersonSeed(
        name=cells["name"],
        email=cells["email"],
        active=cells.get("active", "").lower() not in _NO,
        role=cells.get("role", ""),
        region=cells.get("region", ""),
    )
