"""An SLA clock as it stands: how much business time one person has had for one record, and what is due next."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from routing.core.model import Entity, System

# running and paused are open; stopped (what it waited for was done) and ended (it has no object any more) are closed.
Standing = Literal["running", "paused", "stopped", "ended"]
OPEN: tuple[Standing, ...] = ("running", "paused")


class ClockState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One clock of one record. Durations are seconds of business time; ``person`` is whose clock it is, "" where nobody owns it.

    ``spent`` ran before ``since``, which is when it last went on or was paused; once closed, ``spent`` is all of it.
    ``reached`` is the last mark on it that was dealt with, ``due_at`` when the next one is. ``breached_at`` is when the limit
    was passed, whenever that was noticed. ``why`` says what closed or paused it. ``decision_id`` is what it began with.
    """

    clock_id: str
    name: str
    system: System
    entity: Entity
    record_id: str
    state: Standing = "running"
    person: str = ""
    pool: str = ""
    source: str = ""
    decision_id: str = ""
    started_at: datetime
    since: datetime
    limit: float
    spent: float = 0.0
    reached: float = -1.0
    due_at: datetime | None = None
    breached_at: datetime | None = None
    closed_at: datetime | None = None
    why: str = ""

    @property
    def open(self) -> bool:
        """Whether it still runs, or will."""
        return self.state in OPEN
