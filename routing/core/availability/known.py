"""What was entered about people's days, and what their presence was told to be: immutable entries, in the order of their numbers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct


class Absence(Struct, frozen=True):
    """Somebody is off or paused. ``begins`` and ``ends`` are texts as ``rules.moments`` reads them, "" for an open end.

    ``author`` entered it at ``at``.
    """

    number: int
    person: str
    kind: Literal["off", "pause"]
    begins: str
    ends: str
    reason: str
    author: str
    at: datetime


class Presence(Struct, frozen=True):
    """What ``source`` reported of somebody at ``at``: whether they can be given work, and in its own words how they are.

    A report that they cannot holds until ``until``.
    """

    number: int
    person: str
    available: bool
    status: str
    until: datetime | None
    source: str
    at: datetime


class Known(Struct, frozen=True):
    """All of it that counts at a moment: what was entered up to the number ``version``, without what is over or was ended."""

    version: int = 0
    absences: tuple[Absence, ...] = ()
    presence: tuple[Presence, ...] = ()


NOTHING = Known()
