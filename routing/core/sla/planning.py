"""What a clock's timer, a rep's answer, or a CRM that refuses the owner asks for: to tell somebody, to route the record once more, to
give it to a queue.

A record is routed once more through the same ladder and pools, and whoever had it before counts as somebody who cannot take it
(``Record.passed``). So nobody gets it twice, and each move leaves one fewer who could: together with the clock's own limit that
ends it. What is done then, or when nobody is left who has not had it, is the clock's ``then``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from routing.core.availability.calendars import calendars_of
from routing.core.availability.hours import Calendar
from routing.core.directory import Directory
from routing.core.model import ChangeEvent, Record, Step
from routing.core.sla.hearing import Heard
from routing.core.sla.machine import passed, run_until
from routing.core.sla.model import ClockState
from rules.language.syntax import Constant, Name, tests
from rules.model import Action, Effect, Entity
from rules.sla.model import MANAGER, OWNER, Clock, ClockStep

if TYPE_CHECKING:
    from rules.policy import Policy

SLA = "sla"
STAGE = "sla"
# The origin of what is read of a record because a step of its clock is due.
LOOK = "sla look"
_NOBODY = "nobody is left who has not had it"
# A timer that is dealt with later than this says so: in the trace, and to whoever is told.
LATE, TELL_LATE = timedelta(minutes=1), timedelta(minutes=5)


class Turn(Struct, frozen=True, kw_only=True):
    """What is to be done. Nothing, for the reason in ``skipped``; or a decision that leaves the owner, for the reason in
    ``says``; or ``action``; or, with ``again``, the ladder. ``passed`` are all who must not get it any more, ``refused`` says
    that somebody gave it back; ``priority`` is added to the record's. ``watched`` are
    the fields by which whoever has it may show just now that it is being worked. ``effects`` and ``steps`` belong to whatever it is.
    ``held_by`` is the clock whose end it is that the record waits for a person.
    """

    skipped: str = ""
    says: str = ""
    action: Action | None = None
    again: bool = False
    passed: tuple[str, ...] = ()
    refused: str = ""
    priority: float = 0.0
    watched: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    steps: tuple[Step, ...] = ()
    held_by: str = ""


def hours(policy: Policy, clock: Clock, person: str) -> Calendar:
    """The hours that count for a clock whose it is. Time off counts on: who is away must not keep a record from being moved."""
    return calendars_of(policy).that_count(clock.time, person)


def marks(clock: Clock) -> list[float]:
    """The business time after which each step is due, in the order written."""
    return [due_after(step, clock) for step in clock.steps]


def due_after(step: ClockStep, clock: Clock) -> float:
    """The business time after which a step is due."""
    return step.at if step.at is not None else step.part * clock.limit


def watched(clock: Clock, entity: Entity, system: str) -> set[str]:
    """The fields of the record, as that system has them, by which the clock may be stopped."""
    found: set[str] = set()
    for condition in [one.when for one in clock.stop if one.when is not None]:
        for test in tests(condition.tree):
            if isinstance(test.left, Name) and test.left.path == "event.changed":
                found.update(str(one.value) for one in test.right if isinstance(one, Constant))
        found.update(path.removeprefix(f"{clock.entity}.") for path, _ in condition.reads)
    return {name for name in found if name in entity.fields and system in entity.fields[name].remote}


def looks(policy: Policy, systems: Collection[str]) -> dict[tuple[str, str], tuple[str, ...]]:
    """By system and clock, the fields that must be read before a step is done: what stops the clock shows in them, and since the CRM
    works them out itself (``read_only``, as Salesforce's LastActivityDate), it may not tell when they change."""
    found = {}
    for clock in policy.clocks.values():
        entity = policy.entities[clock.entity]
        for system in systems:
            names = sorted(n for n in watched(clock, entity, system) if system in entity.fields[n].read_only_in)
            if names:
                found[system, clock.name] = tuple(names)
    return found


def next_due(state: ClockState, of_record: Sequence[ClockState], due: datetime, policy: Policy) -> datetime | None:
    """When a clock's step may be due that only comes up once the step due now, of ``state``, is done; None when none will.

    That is its own next one, and those of the record's other clocks where the step gives it to somebody else, by whose hours they go
    then: their business time passes at most as quickly as all time.
    """
    clock = policy.clocks.get(state.name)
    if clock is None or state.state != "running":
        return None
    after, reached = passed(state, due, marks(clock), hours(policy, clock, state.person))
    found = [after.due_at]
    if any(step.do in ("reassign", "escalate") and due_after(step, clock) in reached for step in clock.steps):
        for one in of_record:
            other = policy.clocks.get(one.name)
            if other is None or other.of_owner or other.time != "rep" or one.due_at is None or one is state:
                continue
            ahead = [mark for mark in (*marks(other), one.limit) if mark > one.reached]
            ran = run_until(one, due, hours(policy, other, one.person))
            found.append(due + timedelta(seconds=max(0.0, min(ahead, default=one.limit) - ran)))
    return min((one for one in found if one is not None), default=None)


def turn_of(
    event: ChangeEvent,
    record: Record,
    owner: str,
    clocks: Sequence[ClockState],
    heard: Heard,
    policy: Policy,
    directory: Directory,
    now: datetime,
) -> Turn | None:
    """What a clock's timer or a rep's answer asks for; None for all other events. ``owner`` is who has the record."""
    if event.kind == "tick" and event.origin == SLA:
        return on_timer(event, record, owner, clocks, heard.stops, policy, directory, now)
    if event.kind in ("accepted", "rejected"):
        by, because = str(event.values.get("by") or ""), str(event.values.get("because") or "")
        return on_answer(event.kind, by, because, record, owner, clocks, policy, directory)
    if event.kind == "refused":
        by, because = str(event.values.get("by") or ""), str(event.values.get("because") or "")
        return on_refusal(by, because, record, owner, directory)
    if heard.rejected and not record.on_hold:
        read = policy.answers[event.entity].reason
        reason = read({event.entity: record.values}) if read is not None else ""
        actor = directory.key_of(event.system, event.actor)
        turn = on_answer("rejected", owner, str(reason or ""), record, owner, clocks, policy, directory, actor)
        return None if turn.skipped else turn
    return None


def on_timer(
    event: ChangeEvent,
    record: Record,
    owner: str,
    clocks: Sequence[ClockState],
    stopped: Sequence[str],
    policy: Policy,
    directory: Directory,
    now: datetime,
) -> Turn:
    """What is to be done at the mark of a clock that ``event``, a tick, was due at. Judged by when it was due.

    ``stopped`` names the clocks whose stop condition holds as the record is now.
    """
    state = next((one for one in clocks if one.clock_id == event.cursor and one.open), None)
    due = event.occurred_at
    if state is None or state.due_at is None:
        return Turn(skipped="the clock no longer runs")
    clock = policy.clocks.get(state.name)
    if clock is None:
        return Turn(skipped=f"sla.yaml has no clock '{state.name}' any more")
    if state.due_at != due or state.limit != clock.limit:
        return Turn(skipped="the clock runs otherwise by now: it was paused, or its hours or the policy changed")
    if state.name in stopped:
        return Turn(skipped=f"what stops '{state.name}' is done")
    if record.values.get("converted") is True:
        return Turn(skipped="it was converted: nobody has anything left to do with it")
    time = hours(policy, clock, state.person)
    after, reached = passed(state, due, marks(clock), time)
    if not reached:
        return Turn(skipped="the clock's steps are others by now")
    steps = [step for mark in reached for step in clock.steps if due_after(step, clock) == mark]
    if _taken_by(state, clock, record, reached[-1], run_until(state, now, time)):
        steps = [step for step in steps if step.do != "remind"]
    breached = after.breached_at is not None and state.breached_at is None
    told = _told(state, breached, run_until(state, due, time), directory)
    late = span((now - due).total_seconds())
    turn = _done(clock, steps, record, owner, policy, told, f" (comes {late} late)" if now - due > TELL_LATE else "")
    turn = replace(turn, watched=tuple(sorted(watched(clock, policy.entities[clock.entity], record.system))))
    said = (told, f"dealt with {late} late, judged by when it was due" if now - due > LATE else "", state.why)
    return replace(turn, steps=(Step(STAGE, state.name, True, note="; ".join(filter(None, said))), *turn.steps))


def _taken_by(state: ClockState, clock: Clock, record: Record, reached: float, ran: float) -> bool:
    """Whether the record is about to be taken from whoever has it, since a later step is due by now as well: no use to remind them."""
    if record.on_hold or state.breached_at is not None:
        return False
    later = [step for step in clock.steps if reached < due_after(step, clock) <= ran]
    return any(step.queue or (step.do == "reassign" and moves(record) < clock.reassignments) for step in later)


def _done(
    clock: Clock,
    steps: Sequence[ClockStep],
    record: Record,
    owner: str,
    policy: Policy,
    told: str,
    late: str,
) -> Turn:
    """``late`` goes with what people are told."""
    effects: list[Effect] = []
    turn = Turn(says=told)
    for step in steps:
        if step.do in ("remind", "notify"):
            effects += _tell(step.who, owner, f"{step.text or f'{clock.name}: {told}'}{late}", policy)
        if step.do in ("reassign", "escalate"):
            turn = _moved(clock, step, record, owner, policy, told)
    return replace(turn, effects=(*effects, *turn.effects), priority=sum(step.raise_by for step in steps))


def _moved(clock: Clock, step: ClockStep, record: Record, owner: str, policy: Policy, told: str) -> Turn:
    """The record is taken from whoever has it, unless that was done often enough. A queue is the end of a clock in any case."""
    had = _had(record, owner)
    if step.queue:
        return Turn(action=Action("queue", step.queue), passed=had)
    if record.on_hold:
        return Turn(says=f"{told}; nobody has it, it waits already")
    if moves(record) >= clock.reassignments:
        return ended(clock, record, owner, policy, told)
    action = Action("pool", step.pool) if step.pool else None
    return Turn(action=action, again=action is None, passed=had)


def moves(record: Record) -> int:
    """How often it was taken from somebody, or given back, since it was routed anew."""
    return len(record.passed) - len(record.never_had)


def ended(clock: Clock, record: Record, owner: str, policy: Policy, told: str) -> Turn:
    """What the clock says is done with a record that was moved often enough."""
    end, moved = clock.then, _moved_so_often(moves(record), clock)
    step = Step(STAGE, clock.name, True, note=moved)
    if end.do == "queue":
        return Turn(action=Action("queue", end.queue), passed=_had(record, owner), steps=(step,))
    if end.do == "hold":
        action = Action("hold", end.text or f"{told}; {moved}")
        return Turn(action=action, passed=_had(record, owner), steps=(step,), held_by=clock.name)
    effects = () if end.do == "stay" else _tell(end.who, owner, end.text or f"{clock.name}: {told}; {moved}", policy)
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
    for clock in _of_record(event.entity, clocks, policy):
        if event.kind == "tick" and clock.name not in due:
            continue
        end = clock.then
        if end.do == "stay":
            continue
        step = Step(STAGE, clock.name, True, note=_NOBODY)
        if end.do == "queue":
            return replace(turn, action=Action("queue", end.queue), again=False, steps=(*turn.steps, step))
        if end.do == "hold":
            action = Action("hold", end.text or _NOBODY)
            return replace(turn, action=action, again=False, steps=(*turn.steps, step), held_by=clock.name)
        told = _tell(end.who, owner, end.text or f"{clock.name}: {_NOBODY}", policy)
        return replace(turn, effects=(*turn.effects, *told), steps=(*turn.steps, step))
    return turn


def _of_record(entity: str, clocks: Sequence[ClockState], policy: Policy) -> list[Clock]:
    """The clocks whose limit of moves a record of that kind has: those that run, then the owners', also once they were stopped, as who
    accepted it may give it back all the same."""
    running = [state.name for state in clocks if state.open and state.name in policy.clocks]
    owners = [one.name for one in policy.clocks.values() if one.of_owner and one.entity == entity]
    return [policy.clocks[name] for name in dict.fromkeys([*running, *owners])]


def _moved_so_often(n: int, clock: Clock) -> str:
    return f"it was moved {n} time{'s' if n != 1 else ''}, the most that '{clock.name}' allows"


def on_answer(
    kind: str,
    by: str,
    because: str,
    record: Record,
    owner: str,
    clocks: Sequence[ClockState],
    policy: Policy,
    directory: Directory,
    actor: str = "",
) -> Turn:
    """What a rep's accepting or rejecting comes to. Who no longer has the record has nothing to answer: what was first counts.
    ``actor`` is who said it for them, where that is known and somebody else."""
    name = directory.name(by)
    if owner != by or not by:
        has = f"{directory.name(owner)} has it" if owner else "nobody has it"
        return Turn(skipped=f"{name or 'nobody'} cannot answer for it: {has} by now")
    if kind == "rejected" and record.on_hold and by in record.passed:
        return Turn(skipped=f"it was taken from {name} already: it is on hold, and waits for somebody else")
    who, whose = (directory.name(actor), f" for {name}") if actor not in ("", by) else (name, "")
    says, back = f"{who} {kind} it{whose}", f"{who} gave it back{whose}"
    # The reason is free text: it stands in the trace, whose notes an erasure takes away.
    step = Step(STAGE, "Answer", True, note=f"{says}: {because}" if because else says)
    if kind == "accepted":
        return Turn(says=says, steps=(step,))
    for clock in _of_record(record.entity, clocks, policy):
        if moves(record) >= clock.reassignments:
            turn = ended(clock, record, by, policy, says)
            return replace(turn, refused=back, steps=(step, *turn.steps))
    return Turn(again=True, passed=_had(record, by), refused=back, steps=(step,))


def on_refusal(by: str, because: str, record: Record, owner: str, directory: Directory) -> Turn:
    """What it comes to that the CRM refused whom the record was given as its owner: somebody else is found, as if it had never been given.
    It was not moved: that counts for no limit."""
    says = directory.had_it(by, record.system, never=True)
    if owner != by or record.on_hold:
        return Turn(skipped=f"{says}, but it was decided otherwise since")
    step = Step(STAGE, "Owner", True, note=f"{says}: {because}")
    return Turn(again=True, passed=_had(record, by), refused=says, steps=(step,))


def _had(record: Record, owner: str) -> tuple[str, ...]:
    return record.passed if not owner or owner in record.passed else (*record.passed, owner)


def _tell(who: str, owner: str, text: str, policy: Policy) -> tuple[Effect, ...]:
    """Tells somebody; nobody, where the owner is meant and there is none. A manager who is missing is told of in the trace (``tasks``)."""
    if who in ("", OWNER):
        who = owner
    elif who == MANAGER:
        person = policy.people.get(owner)
        who = (person.manager if person is not None else "") or (MANAGER if owner else "")
    return (Effect("notify", who, text),) if who else ()


def _told(state: ClockState, breached: bool, ran: float, directory: Directory) -> str:
    """What happened at a mark, as a sentence without its end."""
    whom = f" with {directory.name(state.person)}" if state.person else ""
    if breached:
        return f"{_verb(state.limit, 'over')}{whom}, and '{state.name}' was not met"
    left = state.limit - ran
    return f"{_verb(ran, 'passed')}{whom}" + (f", {_verb(left, 'left')} for '{state.name}'" if left > 0 else "")


def _verb(seconds: float, what: str) -> str:
    """1 hour has passed, 2 hours are left."""
    text = span(seconds)
    one = text.startswith("1 ")
    verb = ("has" if one else "have") if what == "passed" else ("is" if one else "are")
    return f"{text} {verb} {what}"


def span(seconds: float) -> str:
    """A duration in words: 45 seconds, 20 minutes, 4 hours."""
    seconds = round(seconds, 2)  # marks are due up to a millisecond later: 60 minutes are an hour all the same
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return _count(seconds / size, unit)
    return _count(seconds, "second")


def _count(number: float, unit: str) -> str:
    rounded = round(number, 1)
    return f"{rounded:g} {unit}{'' if rounded == 1 else 's'}"
