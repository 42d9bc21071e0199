"""A lead that wants somebody of a pool, and who was found for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from routing.core.distribution.rotation import Rotation
from routing.core.distribution.turns import Group
from routing.core.model import MemberView


class Ask(Struct, frozen=True, kw_only=True):
    """What the pools are told of a record. ``waited`` in seconds, since it had to be held.

    ``exclude`` are people who had it already (``refused``: whom the CRM refused as its owner), ``claim`` is who takes it out of a queue. ``account`` and ``contact`` are what sticky
    pools keep together.
    """

    system: str
    facts: Mapping[str, Any]
    now: datetime
    decision_id: str = ""
    exclude: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    claim: str = ""
    waited: float = 0.0
    account: str = ""
    contact: str = ""


class Pick(Struct, frozen=True):
    """Who was found, "" for nobody, and the turns that this takes: in the pool, and in those within it. ``queue``: nobody, but that
    queue of the CRM takes it for a pool within, whose turn it was and which has nobody.

    ``note`` says in words how they stand then, or why nobody can; ``how`` completes "Ana … the pool".
    """

    person: str
    pool: str
    turns: tuple[tuple[Rotation, int, Group | None], ...] = ()
    members: tuple[MemberView, ...] = ()
    note: str = ""
    how: str = ""
    bond: tuple[str, str, str] | None = None
    value: float = 0.0
    queue: str = ""

    @property
    def named(self) -> tuple[tuple[str, str, str], ...]:
        """The turns as pool, kind and member."""
        return tuple([(rotation.pool, rotation.kind, rotation.people[n]) for rotation, n, _ in self.turns])
