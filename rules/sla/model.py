"""SLA clocks as compiled from ``sla.yaml``."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from rules.fields import Getter
from rules.language.condition import Condition
from rules.model import Facts, WhyNot

# Of a step: whoever has the record; and that person's manager, as people.csv says.
OWNER, MANAGER = "owner", "manager"
MAX_REASSIGNMENTS = 100  # also where a clock says nothing of moves: people come to an end before

# Happenings that are no change of a field: somebody was given the record; a rep answered with ``fingerpost leads`` or the API.
Happening = Literal["", "assigned", "accepted", "rejected"]
Do = Literal["remind", "notify", "reassign", "escalate", "priority"]
End = Literal["stay", "notify", "queue", "hold"]


class Trigger(Struct, frozen=True):
    """What starts or stops a clock: that something happens (``on``), or a condition of the changed record (``when``)."""

    on: Happening = ""
    when: Condition | None = None

    def holds(self, facts: Facts, why_not: WhyNot, now: datetime) -> bool:
        """Whether its condition holds; no where it has none."""
        return self.when is not None and self.when.holds(facts, why_not, now)


def of_event(condition: Condition) -> bool:
    """Whether the condition asks for the event itself: then it says nothing of how the record is."""
    return any(path.startswith("event.") for path, _ in condition.reads)


class ClockStep(Struct, frozen=True):
    """One step along a clock: after ``at`` seconds of business time, or (None) after that ``part`` of the limit.

    ``who`` is a person's key, "owner" or "manager": whom remind and notify tell. ``pool`` is where a reassignment goes, "" down the ladder
    again; ``queue`` the CRM queue that an escalation goes to. ``raise_by`` is added to the record's priority.
    """

    do: Do
    at: float | None = None
    part: float = 1.0
    who: str = ""
    pool: str = ""
    queue: str = ""
    text: str = ""
    raise_by: float = 0.0


class ClockEnd(Struct, frozen=True):
    """What happens to a record that was moved as often as its clock allows: it stays, somebody is told, a queue, on hold."""

    do: End = "stay"
    who: str = ""
    queue: str = ""
    text: str = ""


class Clock(Struct, frozen=True):
    """One clock: it runs in business time from ``start`` until the first of ``stop``, at most ``limit`` seconds.

    ``time`` is whose hours count: "rep", "team POOL", "calendar NAME" or "always". ``reassignments`` is how often a record may
    be taken from somebody, ``then`` what is done when it would be once more.
    """

    name: str
    entity: str
    start: Trigger
    stop: tuple[Trigger, ...]
    limit: float
    time: str = "rep"
    pauses_on_hold: bool = True
    steps: tuple[ClockStep, ...] = ()
    reassignments: int = 2
    then: ClockEnd = ClockEnd()
    description: str = ""

    @property
    def of_owner(self) -> bool:
        """Whether it is the clock of whoever has the record, and begins anew for the next one."""
        return self.start.on == "assigned"


class Answers(Struct, frozen=True):
    """How the CRM shows that a rep accepted or rejected a record of one kind; ``reason`` reads the field ``reason_of``: why."""

    accepted: Condition | None = None
    rejected: Condition | None = None
    reason: Getter | None = None
    reason_of: str = ""
