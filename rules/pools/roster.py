"""Who can receive leads, as far as the policy's own text tells."""

from __future__ import annotations

from collections.abc import Mapping

from rules.model import WhyNot
from rules.pools.model import Person


def on_roster(people: Mapping[str, Person]) -> WhyNot:
    """Why a person cannot receive leads, as far as ``people.csv`` alone tells."""

    def why_not(key: str) -> str | None:
        person = people.get(key)
        if person is None:
            return f"{key} is not in people.csv"
        return None if person.active else f"{person.name} is inactive"

    return why_not
