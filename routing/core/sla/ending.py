"""The end of a clock: a record was moved often enough, or nobody is left who has not had it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from routing.core.model import ChangeEvent, Record, Step
from routing.core.sla.model import ClockState
from routing.core.sla.turn import STAGE, Turn, had_by, send, tell
from rules.model import Action
from rules.sla.model import Clock

if TYPE_CHECKING:
    from rules.policy import Policy

_NOBODY = "nobody is left who has not had it"


def moves(record: Record) -> int:
    """How often it was taken from somebody, or given back, since it was routed anew."""
    return len(record.passed) - len(record.never_had)


def ended(clock: Clock, record: Record, owner: str, policy: Policy, told: str) -> Turn:
    """What the clock says is done with a record that was moved often enough."""
    end, moved = clock.then, _moved_so_often(moves(record), clock)
    step = Step(STAGE, clock.name, True, note=moved)
    if end.do == "queue":
        return send((clock.name, "queue", end.queue), passed=had_by(record, owner), steps=(step,))
    if end.do == "hold":
        action = Action("hold", end.text or f"{told}; {moved}")
        return Turn(action=action, passed=had_by(record, owner), steps=(step,), held_by=clock.name)
    effects = () if end.do == "stay" else tell(end.who, owner, end.text or f"{clock.name}: {told}; {moved}", policy)
    return Turn(says=f"{told}; {moved}: it stays where it is", effects=effects, steps=(step,))


def waits_on(record: Record, policy: Policy) -> Action | None:
    """What is done with a record on hold whose clock came to its end there: it waits for a person, no pool is asked again."""
    clock = policy.clocks.get(record.held_by)
    if clock is None or clock.then.do != "hold":
        return None
    said = _moved_so_often(moves(record) - 1, clock) if moves(record) > clock.reassignments else _NOBODY
    return Action("hold", clock.then.text or said)


def without_anybody(turn: Turn, event: ChangeEvent, clocks: Sequence[ClockState], owner: str, policy: Policy) -> Turn:
    """The same turn where nobody is left who has not had the record: what the clock says is done then, of an answer the first of the
    record's clocks that says something. It waits on hold where none does."""
    due = {state.name for state in clocks if state.clock_id == event.cursor}
    for clock in of_record(event.entity, clocks, policy):
        if event.kind == "tick" and clock.name not in due:
            continue
        end = clock.then
        if end.do == "stay":
            continue
        step = Step(STAGE, clock.name, True, note=_NOBODY)
        if end.do == "queue":
            action, sent = Action("queue", end.queue), (clock.name, "queue", end.queue)
            return replace(turn, action=action, sent=sent, again=False, steps=(*turn.steps, step))
        if end.do == "hold":
            action = Action("hold", end.text or _NOBODY)
            return replace(turn, action=action, sent=(), again=False, steps=(*turn.steps, step), held_by=clock.name)
        told = tell(end.who, owner, end.text or f"{clock.name}: {_NOBODY}", policy)
        return replace(turn, effects=(*turn.effects, *told), steps=(*turn.steps, step))
    return turn


def of_record(entity: str, clocks: Sequence[ClockState], policy: Policy) -> list[Clock]:
    """The clocks whose limit of moves a record of that kind has: those that run, then the owners', also once they were stopped, as who
    accepted it may give it back all the same."""
    running = [state.name for state in clocks if state.open and state.name in policy.clocks]
    owners = [one.name for one in policy.clocks.values() if one.of_owner and one.entity == entity]
    return [policy.clocks[name] for name in dict.fromkeys([*running, *owners])]


def _moved_so_often(n: int, clock: Clock) -> str:
    return f"it was moved {n} time{'s' if n != 1 else ''}, the most that '{clock.name}' allows"
