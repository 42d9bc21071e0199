"""What an event means to the clocks: which it starts, which it stops, and what it says of the rep."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from routing.core.model import ChangeEvent
from rules.language.condition import Condition
from rules.model import Facts, WhyNot
from rules.sla.model import Happening, of_event

if TYPE_CHECKING:
    from rules.policy import Policy

_WHOLE = frozenset({"created", "restored"})
_ACCEPTED: frozenset[Happening] = frozenset({"accepted"})
_REJECTED: frozenset[Happening] = frozenset({"rejected"})


class Heard(Struct, frozen=True):
    """What an event says of the clocks of its record's kind: the names of those it ``starts`` and ``stops``, and of those that have
    nothing to wait for as the record is (``done``); whether somebody ``touched`` it; whether the CRM shows that its owner
    ``rejected`` it, or ``accepted`` it.
    """

    starts: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    touched: bool = False
    rejected: bool = False
    accepted: bool = False


NOTHING = Heard()


def hear(event: ChangeEvent, facts: Facts, policy: Policy, why_not: WhyNot, now: datetime) -> Heard:
    """What the event means to the clocks. A condition counts where it holds and the event touched what it reads; at a clock's own
    timer it counts where it holds, whatever made it so."""
    entity = event.entity
    happened = _happened(event, facts, policy, why_not, now)
    starts, stops, done = [], [], []
    for clock in policy.clocks.values():
        if clock.entity != entity:
            continue
        holding = [one.when for one in clock.stop if one.when is not None and one.holds(facts, why_not, now)]
        lasting = any(not of_event(one) for one in holding)
        if lasting:
            done.append(clock.name)
        if (
            any(one.on in happened for one in clock.stop)
            or any(_touches(event, one) for one in holding)
            or (event.kind == "tick" and lasting)
        ):
            stops.append(clock.name)
        start = clock.start
        if start.on in happened or (
            start.when is not None and _touches(event, start.when) and start.holds(facts, why_not, now)
        ):
            starts.append(clock.name)
    touched = ("last_touch" in event.changed and bool(event.values.get("last_touch"))) or bool(stops)
    touched = touched and event.kind == "updated" and "rejected" not in happened
    if not (starts or stops or done or touched or happened):
        return NOTHING
    answers = "rejected" in happened, "accepted" in happened
    return Heard(tuple(starts), tuple(stops), tuple(done), touched, *answers)


def _happened(event: ChangeEvent, facts: Facts, policy: Policy, why_not: WhyNot, now: datetime) -> frozenset[Happening]:
    """How the record was answered, by the rep's own word or as the CRM shows it."""
    if event.kind == "accepted":
        return _ACCEPTED
    if event.kind == "rejected":
        return _REJECTED
    answers = policy.answers.get(event.entity) if event.kind == "updated" else None
    if answers is not None:
        for asked, what in ((answers.rejected, _REJECTED), (answers.accepted, _ACCEPTED)):
            if asked is not None and _touches(event, asked) and asked.holds(facts, why_not, now):
                return what
    return frozenset()


def _touches(event: ChangeEvent, asked: Condition) -> bool:
    """Whether the event changed something that the condition reads."""
    if event.kind == "tick":
        return False
    if event.kind in _WHOLE:
        return True
    own = f"{event.entity}."
    changed = {own + name for name in event.changed}
    return any(path in changed or path.startswith("event.") for path, _ in asked.reads)
