"""Policy tests in words. ``people`` gives their names to those whom a test names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rules.ladders.durations import length
from rules.policy_tests.case import Ago, Case, PolicyTest
from rules.pools.model import Person


def given(case: Case, people: Mapping[str, Person]) -> str:
    """The record of a test and what surrounds it."""
    told = [f"{case.routes}: {_values(case.record, people)}"]
    around = {"account": case.account, "in the other system": case.counterpart, "event": case.event}
    for what, values in (*around.items(), ("duplicate of", case.duplicate_of)):
        if values:
            told.append(f"{what}: {_values(values, people)}")
    for key, active in case.roster.items():
        told.append(f"{_value(key, people)} is {'active' if active else 'inactive'}")
    return "; ".join(told)


def expected(test: PolicyTest, people: Mapping[str, Person], pools: Mapping[str, str] | None = None) -> str:
    """What a test expects. ``pools`` gives another name to some."""
    told = []
    for one in test.expected:
        value = (pools or {}).get(one.value, one.value) if one.key == "pool" else one.value
        if isinstance(value, Mapping):
            value = _values(value, people) if value else "none"
        told.append(f"{one.key} {_value(value, people)}")
    return "; ".join(told)


def _values(values: Mapping[str, Any], people: Mapping[str, Person]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_value(value, people)}" for name, value in values.items())


def _value(value: Any, people: Mapping[str, Person]) -> str:
    if isinstance(value, Mapping):
        return f"({_values(value, people)})"
    if isinstance(value, list):
        return " and ".join(_value(one, people) for one in value)
    if isinstance(value, Ago):
        if not value.distance:
            return "today" if value.whole else "now"
        return f"in {length(value.distance)}" if value.distance > timedelta(0) else f"{length(value.distance)} ago"
    if isinstance(value, str) and value in people:
        return people[value].name
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "blank" if value is None else str(value)
