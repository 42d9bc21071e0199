"""A lead that wants somebody of a pool."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct


class Ask(Struct, frozen=True, kw_only=True):
    """What the pools are told of a record. ``waited`` in seconds, since it had to be held.

    ``exclude`` are people who had it already, ``claim`` is who takes it out of a queue. ``account`` and ``contact`` are what sticky
    pools keep together.
    """

    system: str
    facts: Mapping[str, Any]
    now: datetime
    decision_id: str = ""
    exclude: frozenset[str] = frozenset()
    claim: str = ""
    waited: float = 0.0
    account: str = ""
    contact: str = ""
