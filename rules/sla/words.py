"""Clocks in the words of their file, for playbooks and for what an edit means."""

from __future__ import annotations

from collections.abc import Mapping

from rules.ladders.durations import length_of
from rules.pools.model import Person
from rules.sla.model import MANAGER, MAX_REASSIGNMENTS, OWNER, Answers, Clock, ClockEnd, ClockStep, Trigger


def trigger_words(trigger: Trigger) -> str:
    """``assigned``, or the condition."""
    return trigger.on or (trigger.when.text if trigger.when is not None else "")


def step_words(step: ClockStep, people: Mapping[str, Person]) -> str:
    """``at 50 %: remind the owner``."""
    at = f"{step.part * 100:g} %" if step.at is None else length_of(round(step.at))
    return f"at {at}: {_done(step, people)}" + (f" “{step.text}”" if step.text else "")


def _done(step: ClockStep, people: Mapping[str, Person]) -> str:
    if step.do == "reassign":
        return f"reassign to somebody of the pool {step.pool}" if step.pool else "reassign, down the ladder once more"
    if step.do == "escalate":
        return f"escalate to the queue {step.queue}"
    if step.do == "priority":
        return f"priority {step.raise_by:+g}"
    return f"{step.do} {_who(step.who, people)}"


def _who(who: str, people: Mapping[str, Person]) -> str:
    if who in (OWNER, MANAGER):
        return "the owner" if who == OWNER else "the owner's manager"
    return people[who].name if who in people else who


def end_words(end: ClockEnd, people: Mapping[str, Person]) -> str:
    """What becomes of a record that was moved often enough."""
    if end.do == "queue":
        return f"it goes to the queue {end.queue}"
    if end.do == "hold":
        return "it is put on hold"
    return "it stays where it is" + (f", and {_who(end.who, people)} is notified" if end.do == "notify" else "")


def clock_settings(clock: Clock, people: Mapping[str, Person]) -> dict[str, str]:
    """All that is said of a clock, by the name of the setting."""
    return {
        "of": clock.entity,
        "description": clock.description,
        "start": trigger_words(clock.start),
        "stop": " or ".join(map(trigger_words, clock.stop)),
        "within": length_of(round(clock.limit)),
        "time": clock.time,
        "pauses_on_hold": "yes" if clock.pauses_on_hold else "no",
        "steps": "; ".join(step_words(step, people) for step in clock.steps),
        "reassignments": str(clock.reassignments) if clock.reassignments < MAX_REASSIGNMENTS else "without limit",
        "then": end_words(clock.then, people),
    }


def answer_settings(answers: Answers) -> dict[str, str]:
    """How the CRM shows what reps answer."""
    return {
        "accepted": answers.accepted.text if answers.accepted is not None else "",
        "rejected": answers.rejected.text if answers.rejected is not None else "",
        "reason": answers.reason_of,
    }
