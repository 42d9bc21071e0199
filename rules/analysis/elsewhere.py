"""Records that go elsewhere under another policy: made from the regions of the rules that changed, and decided by both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from msgspec import Struct

from rules.analysis.boxes import Box, Budget, meet
from rules.analysis.examples import Example, examples
from rules.analysis.outline import Rule, describe, everything
from rules.analysis.parts import besides, called, entry_key, row_key, rung_key
from rules.analysis.regions import CAN_TAKE, TODAY, Region, Space, regions
from rules.analysis.search import Undecided, uncovered
from rules.ladders.engagement import ENTRY, Rung
from rules.language.condition import Condition
from rules.language.syntax import Both, Either, Expression, Named, Negation
from rules.model import Action
from rules.policy import Policy
from rules.pools.roster import on_roster

_STEPS = 2_000_000  # of all searches of one ladder: about a second
_WALK = 200  # steps that deciding one record by both policies counts for
_TRIED = 12  # rules of the other policy that one is held against
_EACH = 3  # records that are shown of one rule
_ALIKE = 2  # that go the same way from somebody to somebody


class Moved(Struct, frozen=True):
    """A record that goes elsewhere, or with which something else is done: in words and by its values, and where it went and goes."""

    record: str
    values: dict[str, Any]
    before: str
    after: str


class Elsewhere:
    """The ladders of one kind of record under two policies, as regions of one space."""

    def __init__(self, old: Policy, new: Policy, routes: str, now: datetime, pools: Mapping[str, str]) -> None:
        """``pools`` are those that only have another name now: by the old one."""
        self._old, self._new, self._routes, self._now = old, new, routes, now
        self._pools = pools
        self._ways: dict[tuple[str, str], int] = {}
        before, after = (list(everything(one.ladders[routes])) for one in (old, new))
        lets_in = [[_entry(when) for when in one.ladders[routes].entry] for one in (old, new)]
        entities, people = {**old.entities, **new.entities}, {**old.people, **new.people}
        self._space: Space
        self._space, found = regions((*before, *after, *lets_in[0], *lets_in[1]), entities, people, routes)
        both = len(before) + len(after)
        self._sides: tuple[list[Region], list[Region]] = (found[: len(before)], found[len(before) : both])
        self._entry = (found[both : both + len(lets_in[0])], found[both + len(lets_in[0]) :])
        self._asks_entry = False  # whether the entry criteria differ, so that they are asked as well
        self._takers = self._able()
        self._budget = Budget(_STEPS)

    def _able(self) -> Box:
        """The part of the space where exactly those on the roster can receive records who are active."""
        found: Box = {}
        for text, number in self._space.tests.items():
            if text.startswith(CAN_TAKE):
                rosters = [one.people.get(text.removeprefix(CAN_TAKE)) for one in (self._old, self._new)]
                states = {person.active for person in rosters if person is not None} or {True}
                if len(states) == 1:
                    found[number] = 2 if states.pop() else 1
        return found

    def records(self, touched: AbstractSet[tuple[str, ...]], conditions: AbstractSet[str]) -> Iterator[Moved]:
        """Records that reach a rule that is ``touched`` (by key) or asks for one of the named ``conditions`` (by name)."""
        self._asks_entry = entry_key(self._routes) in touched
        if self._asks_entry:
            yield from self._let_in()
        for side in (1, 0):
            for number, region in enumerate(self._sides[side]):
                if not touched & keys(region.rule, self._routes) and not conditions & named_in(region.rule):
                    continue
                yield from self._of(side, number)
                if self._budget.left <= 0:
                    break

    def _let_in(self) -> Iterator[Moved]:
        """Records that one policy lets in, and the other does not."""
        told: set[tuple[str, str]] = set()
        for side in (1, 0):
            others = [box for region in self._entry[1 - side] for box in region.boxes]
            for box in [box for region in self._entry[side] for box in region.boxes]:
                for part in self._left(box, others):
                    yield from self._shown(part, told)

    def _of(self, side: int, number: int) -> Iterator[Moved]:
        """Records of one rule: that it decides, then that some rule of the other policy decides as well."""
        told: set[tuple[str, str]] = set()
        for box in self._parts(side, number):
            yield from self._shown(box, told)
            if len(told) >= _EACH or self._budget.left <= 0:
                return

    def _shown(self, box: Box, told: set[tuple[str, str]]) -> Iterator[Moved]:
        """A record of a box that goes a way that is not told yet."""
        for one in examples(box, self._space, self._new, self._routes, self._now):
            self._budget.take(_WALK)
            way = self._way(one)
            if way[0] != way[1]:
                if way not in told and self._ways.get(way, 0) < _ALIKE:
                    told.add(way)
                    self._ways[way] = self._ways.get(way, 0) + 1
                    least = self._least(one, way)
                    yield Moved(least.words(), least.values(), *way)
                return

    def _parts(self, side: int, number: int) -> Iterator[Box]:
        region = self._sides[side][number]
        before = self._covers(side, number)
        for box in region.boxes:
            yield from self._left(box, before)
        tried = 0
        for other_number, other in enumerate(self._sides[1 - side]):
            if self._outcome(other.rule, 1 - side) == self._outcome(region.rule, side):
                continue
            self._budget.take(len(region.boxes) * len(other.boxes))
            both = (self._both(one, two) for one in region.boxes for two in other.boxes if meet(one, two))
            found = next((box for box in both if box is not None), None)
            if found is not None:
                tried += 1
                yield from self._left(found, before + self._covers(1 - side, other_number))
            if tried >= _TRIED or self._budget.left <= 0:
                return

    def _both(self, one: Box, other: Box) -> Box | None:
        return self._space.box((*one.items(), *other.items()))

    def _covers(self, side: int, number: int) -> list[Box]:
        """What the rules above keep to themselves."""
        return [box for region in self._sides[side][:number] for box in region.covers]

    def _left(self, box: Box, before: list[Box]) -> Iterator[Box]:
        """What they leave of a box: where whoever is on the roster can receive it, then where perhaps nobody can."""
        for start in (self._both(box, self._takers), box):
            if not self._budget.take(len(before)):
                return
            try:
                met = [one for one in before if meet(one, start)] if start is not None else []
                found = uncovered(self._space, start, met, self._budget) if start is not None else None
            except Undecided:
                return
            if found is not None:
                yield found

    def _outcome(self, rule: Rule, side: int) -> str:
        return describe(rule.action, self._new) if side else describe(called(rule.action, self._pools), self._old)

    def _way(self, one: Example) -> tuple[str, str]:
        """Where it went and goes; where that is the same, with what is done besides by one policy alone."""
        before, did = self._goes(self._old, one, self._pools)
        after, does = self._goes(self._new, one, {})
        if before == after and did != does:
            return _also(before, did - does), _also(after, does - did)
        return before, after

    def _goes(self, policy: Policy, one: Example, pools: Mapping[str, str]) -> tuple[str, frozenset[str]]:
        """Where a record goes, as one would say it, and what is done besides; people are taken as their row of people.csv says."""
        able = on_roster(policy.people)
        if self._asks_entry and not policy.enters(one.facts, able, self._routes).held:
            return "not routed", frozenset()
        walk = policy.walk(one.facts, able, one.at, self._routes)
        person = policy.people.get(walk.person)
        where = person.name if person is not None else describe(called(walk.action, pools), policy)
        return where, frozenset(besides(effect, policy.people) for effect in walk.effects)

    def _least(self, one: Example, way: tuple[str, str]) -> Example:
        """The record with no more filled in than it takes to go the same way."""
        for path, value in one.values().items():
            if path != TODAY and value is not None and self._way(less := one.without(path)) == way:
                one = less
        return one


def _entry(when: Condition) -> Rule:
    """An entry criterion as a rule, so that records can be made that meet it."""
    return Rule(Rung(ENTRY, when, Action("hold")))


def _also(where: str, effects: AbstractSet[str]) -> str:
    return ", ".join([where, *(sorted(effects) or ["nothing besides"])])


def keys(rule: Rule, routes: str) -> set[tuple[str, ...]]:
    """By what a rule is found again: its rung and those around it, its row, and the person it names."""
    found = {rung_key(routes, one.name) for one in (*rule.around, rule.rung)}
    if rule.row is not None and rule.table is not None:
        found |= {row_key(rule.table.name, rule.row.line), ("table", rule.table.name)}
    if rule.action.kind == "person":
        found.add(("person", rule.action.value))
    return found


def named_in(rule: Rule) -> set[str]:
    """The named conditions that a rule asks for, also through others."""
    found: set[str] = set()
    waiting: list[Expression] = [one.when.tree for one in (*rule.around, rule.rung) if one.when is not None]
    while waiting:
        part = waiting.pop()
        if isinstance(part, (Both, Either)):
            waiting += part.parts
        elif isinstance(part, Negation):
            waiting.append(part.part)
        elif isinstance(part, Named):
            found.add(part.name)
            waiting += [part.part] if part.part is not None else []
    return found
