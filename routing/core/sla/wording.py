"""Business time, and what has come of a clock, in words."""

from __future__ import annotations

from routing.core.directory import Directory
from routing.core.sla.model import ClockState


def at_mark(state: ClockState, breached: bool, ran: float, directory: Directory) -> str:
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
