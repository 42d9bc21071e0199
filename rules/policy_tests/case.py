"""What a policy test is made of: a record and what surrounds it, and what is expected of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rules.source import Place

NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Ago:
    """A moment told from the time of the test: ``3 days ago`` is minus three days. ``whole`` makes it a day."""

    distance: timedelta
    whole: bool

    def at(self, now: datetime) -> str:
        """ISO text, as records hold it. ``now`` is aware."""
        found = (now + self.distance).astimezone(UTC)
        return found.date().isoformat() if self.whole else found.isoformat(timespec="milliseconds")[:-6] + "Z"


@dataclass(frozen=True, slots=True)
class Case:
    """A record to be routed. Values are as records hold them, except ``Ago``; a person is named by key.

    ``account`` is the account that it belongs to; its ``parent`` may be such a dict as well. ``duplicate_of`` is the
    same person's earlier record of the same kind; what is not given of it is as in this one, but for the owner. ``event`` overrides a creation. ``roster`` says who is active, against ``people.csv``. ``at`` None means: at the time of asking.
    """

    record: Mapping[str, Any]
    account: Mapping[str, Any] | None = None
    counterpart: Mapping[str, Any] | None = None
    duplicate_of: Mapping[str, Any] | None = None
    event: Mapping[str, Any] = field(default_factory=dict)
    roster: Mapping[str, bool] = field(default_factory=dict)
    at: datetime | None = None
    routes: str = "lead"


@dataclass(frozen=True, slots=True)
class Expected:
    """One thing that a test expects, and where that is written. ``key`` is the word before the colon, ``value`` what it asks."""

    key: str
    value: Any
    place: Place


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """One test: its name, where it is written, the record, and what is expected."""

    name: str
    place: Place
    case: Case
    expected: tuple[Expected, ...]


def resolved(values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The values with their moments told from ``now``. What is blank is left out."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Ago):
            found[name] = value.at(now)
        elif isinstance(value, Mapping):
            found[name] = resolved(value, now)
        elif value is not None:
            found[name] = value
    return found
