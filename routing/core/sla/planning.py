"""What a clock's timer asks for: to tell somebody, to route the record once more, to give it to a queue.

A record is routed once more through the same ladder and pools, and whoever had it before counts as somebody who cannot take it
(``Record.passed``). So nobody gets it twice, and each move leaves one fewer who could: together with the clock's own limit that
ends it. What is done then, or when nobody is left who has not had it, is the clock's ``then``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from routing.core.availability.calendars import calendars_of
from routing.core.availability.hours import Calendar
from routing.core.directory import Directory
from routing.core.distribution.workload import Done, done_with
from routing.core.model import ChangeEvent, Record, Step
from routing.core.sla.answering import on_answer, on_refusal, on_refused_queue
from routing.core.sla.ending import ended, moves
from routing.core.sla.hearing import Heard
from routing.core.sla.machine import passed, run_until
from routing.core.sla.model import ClockState
from routing.core.sla.turn import STAGE, Turn, had_by, send, tell
from routing.core.sla.wording import at_mark, span
from routing.core.times import parse_instant
from rules.language.syntax import Constant, Name, tests
from rules.model import Effect
from rules.sla.model import Clock, ClockStep

if TYPE_CHECKING:
    from rules.policy import Policy

SLA = "sla"
# The origin of what is read of a record because a step of its clock is due.
LOOK = "sla look"
# A timer that is dealt with later than this says so: in the trace, and to whoever is told.
LATE, TELL_LATE = timedelta(minutes=1), timedelta(minutes=5)


def hours(policy: Policy, clock: Clock, person: str) -> Calendar:
    """The hours that count for a clock whose it is. Time off counts on: who is away must not keep a record from being moved."""
    return calendars_of(policy).that_count(clock.time, person)


def marks(clock: Clock) -> list[float]:
    """The business time after which each step is due, in the order written."""
    return [due_after(step, clock) for step in clock.steps]


def due_after(step: ClockStep, clock: Clock) -> float:
    """The business time after which a step is due."""
    return step.at if step.at is not None else step.part * clock.limit


def watched(clock: Clock, policy: Policy, system: str) -> set[str]:
    """The fields of the record, as that system has them, by which the clock may be stopped; also by an answer that they show."""
    found: set[str] = set()
    entity, answers = policy.entities[clock.entity], policy.answers.get(clock.entity)
    shown = {} if answers is None else {"accepted": answers.accepted, "rejected": answers.rejected}
    asked = [one.when or shown.get(one.on) for one in clock.stop]
    for condition in filter(None, asked):
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
            names = sorted(n for n in watched(clock, policy, system) if system in entity.fields[n].read_only_in)
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
        if not by:
            return on_refused_queue(because, record, policy)
        return on_refusal(by, because, record, owner, policy, directory)
    if heard.accepted if record.on_hold else heard.rejected:
        said, read = "accepted" if record.on_hold else "rejected", policy.answers[event.entity].reason
        reason = read({event.entity: record.values}) if read is not None and said == "rejected" else ""
        actor = directory.key_of(event.system, event.actor)
        turn = on_answer(said, owner, str(reason or ""), record, owner, clocks, policy, directory, actor)
        return None if turn.skipped else turn
    return None


def over(record: Record, state: ClockState, policy: Policy) -> Done | None:
    """How the record was done with while the clock ran. What was known to be closed when it began, or when the record was given to
    somebody since, was so by the policy's will, and does not end it."""
    given = parse_instant(record.given_at) if record.given_at else state.started_at
    return done_with(record, policy, max(given, state.started_at))


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
    done = over(record, state, policy)
    if done is not None:
        return Turn(skipped=f"{done.why}; nobody has anything left to do with it")
    time = hours(policy, clock, state.person)
    after, reached = passed(state, due, marks(clock), time)
    if not reached:
        return Turn(skipped="the clock's steps are others by now")
    steps = [step for mark in reached for step in clock.steps if due_after(step, clock) == mark]
    if _taken_by(state, clock, record, reached[-1], run_until(state, now, time)):
        steps = [step for step in steps if step.do != "remind"]
    breached = after.breached_at is not None and state.breached_at is None
    told = at_mark(state, breached, run_until(state, due, time), directory)
    late = span((now - due).total_seconds())
    turn = _done(clock, steps, record, owner, policy, told, f" (comes {late} late)" if now - due > TELL_LATE else "")
    turn = replace(turn, watched=tuple(sorted(watched(clock, policy, record.system))))
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
            effects += tell(step.who, owner, f"{step.text or f'{clock.name}: {told}'}{late}", policy)
        if step.do in ("reassign", "escalate"):
            turn = _moved(clock, step, record, owner, policy, told)
    return replace(turn, effects=(*effects, *turn.effects), priority=sum(step.raise_by for step in steps))


def _moved(clock: Clock, step: ClockStep, record: Record, owner: str, policy: Policy, told: str) -> Turn:
    """The record is taken from whoever has it, unless that was done often enough. A queue is the end of a clock in any case."""
    had = had_by(record, owner)
    if step.queue:
        return send((clock.name, "queue", step.queue), passed=had)
    if record.on_hold:
        return Turn(says=f"{told}; nobody has it, it waits already")
    if moves(record) >= clock.reassignments:
        return ended(clock, record, owner, policy, told)
    return send((clock.name, "pool", step.pool), passed=had) if step.pool else Turn(again=True, passed=had)
