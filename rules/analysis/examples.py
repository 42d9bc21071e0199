"""Example records: from a box to facts that a rule can be asked about, and to words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from rules.analysis.boxes import Box
from rules.analysis.regions import TODAY, Space
from rules.analysis.space import Axis
from rules.fields import OFFLINE
from rules.language.normal import Residual
from rules.language.syntax import Constant, Distance, First, Name, Test
from rules.policy import Policy

_TRIED = 4  # values of one dimension that are tried where the first makes no record


class Example:
    """A made-up record: ``facts`` as a ladder reads them, at a time. ``words`` tells what matters of it."""

    def __init__(self, facts: dict[str, Any], at: datetime, told: Mapping[str, Any], usual: Mapping[str, Any]) -> None:
        self.facts, self.at, self.usual = facts, at, usual
        self._told = told

    @property
    def routed(self) -> str:
        """The kind of record."""
        return next(iter(self.facts))

    def words(self) -> str:
        """``country "CH", employees 1000``; what is blank is not told, unless all is."""
        routed = f"{self.routed}."
        shown = [
            f"{name.removeprefix(routed)} {_word(value)}" for name, value in self._told.items() if value is not None
        ]
        blank = [name.removeprefix(routed) for name, value in self._told.items() if value is None]
        if shown:
            return ", ".join(shown)
        return f"no {' and no '.join(blank[:3])}" if blank else "nothing filled in"

    def without(self, path: str) -> Example:
        """The same record with nothing in one field; one without any field of its account has none. Of the event: with what is usual."""
        space, *names = path.split(".")
        told = {name: value for name, value in self._told.items() if name != path}
        if space == "event":
            event = {**self.facts["event"], **{name: one for name, one in self.usual.items() if name == names[0]}}
            return Example({**self.facts, "event": event}, self.at, told, self.usual)
        empty: dict[str, Any] | None = None if space in ("account", "counterpart", "match") else {}
        record = _emptied(self.facts.get(space), names)
        return Example({**self.facts, space: record or empty}, self.at, told, self.usual)

    def values(self) -> dict[str, Any]:
        """What is told, by full path."""
        return dict(self._told)


def _emptied(record: Any, names: list[str]) -> Any:
    """A copy of a record without one field, or without one of the record that it refers to."""
    if not isinstance(record, dict) or names[0] not in record:
        return record
    inner = _emptied(record[names[0]], names[1:]) if names[1:] else None
    rest = {name: value for name, value in record.items() if name != names[0]}
    return {**rest, names[0]: inner} if inner else rest


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " and ".join(_word(one) for one in value)
    return f'"{value}"' if isinstance(value, str) else str(value)


def examples(box: Box, space: Space, policy: Policy, routes: str, now: datetime) -> Iterator[Example]:
    """Records that may be in the box, the likeliest first: dimensions can contradict each other, so ask the rules again."""
    yield _example(box, space, policy, routes, now, 0)
    for turn in range(1, _TRIED):
        yield _example(box, space, policy, routes, now, turn)


def _example(box: Box, space: Space, policy: Policy, routes: str, now: datetime, turn: int) -> Example:
    system = next(iter(policy.entities[routes].remote), OFFLINE)
    usual = {"kind": "created", "system": system, "changed": []}
    facts: dict[str, Any] = {routes: {}, "account": None, "counterpart": None, "match": None, "event": dict(usual)}
    told: dict[str, Any] = {}
    at = now
    # Fields alone before the first of several: these follow from those.
    for number in sorted(box, key=lambda one: (not _alone(space.axes[one]), one)):
        axis, mask = space.axes[number], box[number]
        if axis.subject is None:
            residual = space.residuals.get(number)
            if residual is not None and mask == 2:
                _hold(residual, facts, told, policy, now)
            continue
        found = list(islice(axis.values(mask), turn + 1))
        value = found[turn % len(found)]
        if axis.subject == TODAY:
            at = datetime.fromisoformat(value).replace(hour=12, tzinfo=UTC) if value else now
            told["today"] = value
        elif isinstance(axis.subject.operand, Name):
            _put(axis.subject.operand.path, _spelled(axis.subject.operand.path, value, policy, routes), facts, told)
        elif isinstance(axis.subject.operand, First):
            first = axis.subject.operand.names[0].path
            if _get(first, facts) is None:
                _put(first, _spelled(first, value, policy, routes), facts, told)
    return Example(facts, at, told, usual)


def _alone(axis: Axis) -> bool:
    return axis.subject is not None and isinstance(axis.subject.operand, Name)


def _get(path: str, facts: dict[str, Any]) -> Any:
    space, *names = path.split(".")
    found: Any = facts.get(space)
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _put(path: str, value: Any, facts: dict[str, Any], told: dict[str, Any]) -> None:
    told[path] = value
    if value is None:
        return
    space, *names = path.split(".")
    record = facts.get(space)
    if not isinstance(record, dict):
        record = facts[space] = {}
    for name in names[:-1]:
        record = record.setdefault(name, {})
    record[names[-1]] = value


def _spelled(path: str, value: Any, policy: Policy, routes: str) -> Any:
    """A choice as its field spells it; a code such as "de" in capitals."""
    if type(value) is not str:
        return value
    space, _, name = path.partition(".")
    entity = policy.entities.get(routes if space == "counterpart" else space)
    field = entity.fields.get(name) if entity is not None else None
    for choice in field.choices if field is not None else ():
        if choice.casefold() == value:
            return choice
    plain = field is not None and field.type in ("text", "choice")
    return value.upper() if plain and len(value) <= 3 and value.isalpha() else value


def _hold(residual: Residual, facts: dict[str, Any], told: dict[str, Any], policy: Policy, now: datetime) -> None:
    """Makes a test hold that cannot be taken apart, where that is simple; otherwise asking the rules again will tell."""
    test: Test = residual.test
    left = test.left.names[0] if isinstance(test.left, First) else test.left
    if not isinstance(left, Name) or _get(left.path, facts) not in (None, []):
        return
    right = test.right[0] if test.right else None
    if test.operator in ("contains", "ends with", "starts with") and isinstance(right, Constant):
        _put(left.path, [right.value] if left.category == "list" else str(right.value), facts, told)
    elif test.operator == "is active":
        active = next((key for key, one in policy.people.items() if one.active), None)
        _put(left.path, active, facts, told)
    elif test.operator == "is not blank" and left.category == "list":
        _put(left.path, ["something"], facts, told)
    elif test.operator.startswith("within") and isinstance(right, Distance):
        step = right.length / 2 if test.operator == "within next" else -right.length / 2
        moment = (now + max(min(step, timedelta(days=3_000)), timedelta(days=-3_000))).astimezone(UTC)
        _put(left.path, moment.isoformat(timespec="milliseconds")[:-6] + "Z", facts, told)
