"""What the rules of a policy mean together: rules that never decide, rows that contradict each other, gaps, idle conditions.

The quick look finds a rule that one earlier rule hides. The exact one proves of every rule whether it can ever decide, or says that
it is undecided. Neither ever takes a rule for hidden that some record reaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rules.analysis.boxes import Box, Boxes, Budget
from rules.analysis.conditions import check_condition
from rules.analysis.examples import Example, examples
from rules.analysis.failing import failing
from rules.analysis.outline import Rule, everything, resolver
from rules.analysis.overlaps import contradicting, doubled
from rules.analysis.queues import check_queues
from rules.analysis.regions import Region, Space, regions
from rules.analysis.roster import check_managers, check_people, check_pools
from rules.analysis.search import Undecided, uncovered
from rules.fields import Scope
from rules.ladders.engagement import Engagement, all_rungs
from rules.language.named import key_of
from rules.language.syntax import Both, Either, Expression, Named, Negation
from rules.model import Problem
from rules.nouns import an
from rules.policy import Policy
from rules.source import Report

QUICK_STEPS = 2_000_000  # comparisons of two boxes, about a second
EXACT_STEPS = 30_000_000
RULE_STEPS = 400_000  # of these for a single rule
_NAMED = 3  # rules that a sentence names


@dataclass(frozen=True, slots=True)
class Analysis:
    """``undecided`` counts the rules of which it could not be told whether they ever decide."""

    problems: list[Problem]
    undecided: int = 0


@dataclass(frozen=True, slots=True)
class Hidden:
    """A rule that never decides, and the earlier rules that catch all of it. None of them: its conditions contradict each other."""

    rule: Rule
    by: tuple[Rule, ...]


def analyse(policy: Policy, files: Mapping[str, bytes], now: datetime, *, exact: bool = False) -> Analysis:
    """The warnings of a policy that compiles. ``now`` (aware) is the time at which examples play."""
    report = Report()
    undecided = 0
    for name, tree in named(policy).items():
        check_condition(tree, policy.conditions[key_of(name)].text, report)
    for engagement in policy.ladders.values():
        undecided += Ladder(policy, engagement, now).check(report, exact)
    check_people(policy, files, report)
    check_pools(policy, files, now.date(), report)
    check_managers(policy, files, report)
    check_queues(policy, files, report)
    return Analysis(report.problems(), undecided)


def named(policy: Policy) -> dict[str, Expression]:
    """The named conditions that some rung asks for, checked."""
    ladders = policy.ladders.values()
    waiting = [rung.when.tree for one in ladders for rung in all_rungs(one.rungs) if rung.when is not None]
    found: dict[str, Expression] = {}
    while waiting:
        part = waiting.pop()
        if isinstance(part, (Both, Either)):
            waiting += part.parts
        elif isinstance(part, Negation):
            waiting.append(part.part)
        elif isinstance(part, Named) and part.part is not None and part.name not in found:
            found[part.name] = part.part
            waiting.append(part.part)
    return dict(sorted(found.items()))


class Ladder:
    """The rules of one kind of record, as regions."""

    def __init__(self, policy: Policy, engagement: Engagement, now: datetime) -> None:
        self._policy = policy
        self._engagement = engagement
        self._now = now
        self._scope: Scope = resolver(policy, engagement.routes)
        self.rules: Sequence[Rule] = tuple(everything(engagement))
        self.space: Space
        self.regions: list[Region]
        self.space, self.regions = regions(self.rules, policy.entities, policy.people, engagement.routes)
        self._covers, self._cover_of = _gathered([region.covers for region in self.regions])
        self._cover_boxes = Boxes(self._covers)
        self._begins = _begins(self.rules)
        # How many covers the rules before each one have.
        counts = [0]
        for region in self.regions:
            counts.append(counts[-1] + len(region.covers))
        self._counts = counts
        self._tables: dict[int, tuple[Boxes, list[int], list[int]]] = {}

    def check(self, report: Report, exact: bool) -> int:
        """Reports; the number of rules that stay undecided."""
        for rung in all_rungs(self._engagement.rungs):
            if rung.when is not None:
                check_condition(rung.when.tree, rung.when.written, report, rung.when.alternatives)
        for condition in self._engagement.entry:
            check_condition(condition.tree, condition.written, report, condition.alternatives)
        hidden, undecided = self.hidden(exact)
        for one in _in_all_uses(hidden, self.rules):
            if one.by:
                _warn_hidden(one, report)
        quiet = {id(one.rule) for one in hidden}
        for clash in contradicting(self.regions, self.space, Budget(QUICK_STEPS)):
            if id(clash.later.rule) not in quiet and (
                example := self.example(clash.both, clash.earlier.rule, clash.later.rule)
            ):
                clash.warn(example, self._policy, report)
        for pair in doubled(self.regions, self.space, Budget(QUICK_STEPS)):
            if example := self.example(pair.both, pair.earlier.rule, pair.later.rule):
                pair.warn(example, self._policy, report)
        self._gap(report)
        return undecided

    def hidden(self, exact: bool) -> tuple[list[Hidden], int]:
        """The rules that never decide, and how many are undecided. Without ``exact``: those that one rule hides."""
        found: list[Hidden] = []
        undecided = 0
        quick, total = Budget(QUICK_STEPS), Budget(EXACT_STEPS)
        for number, region in enumerate(self.regions):
            if not region.known:
                undecided += exact
                continue
            by = self._by_one(number, region, quick)
            if by is None and exact:
                budget = Budget(min(RULE_STEPS, total.left))
                try:
                    by = self._by_several(number, region, budget)
                except Undecided:
                    undecided += 1
                total.take(min(RULE_STEPS, budget.spent))
            if by is not None:
                found.append(Hidden(region.rule, by))
        return found, undecided

    def reachable(self, number: int, budget: Budget) -> Box | None:
        """A part of a rule's region that no earlier one catches; None when there is none. Raises Undecided."""
        region = self.regions[number]
        for box in region.boxes:
            found = uncovered(self.space, box, self._before(number, box), budget)
            if found is not None:
                return found
        return None

    def _table(self, number: int) -> tuple[Boxes, list[int], list[int]] | None:
        """The boxes of all rows of the table that a rule belongs to, which row each is of, and how many each row's are."""
        rule = self.rules[number]
        if rule.row is None or rule.table is None or rule.table.hit == "unique":
            return None
        begin = self._begins[number]
        if begin not in self._tables:
            end = begin
            while end < len(self.rules) and self._begins[end] == begin:
                end += 1
            some = [region.boxes if region.known else [] for region in self.regions[begin:end]]
            boxes, owners = _gathered(some)
            counts = [0]
            for one in some:
                counts.append(counts[-1] + len(one))
            self._tables[begin] = Boxes(boxes), [begin + owner for owner in owners], counts
        return self._tables[begin]

    def _by_one(self, number: int, region: Region, budget: Budget) -> tuple[Rule, ...] | None:
        """The earlier rules that hide it, one for each of its boxes; None when one of these is not within a single rule."""
        begin = self._begins[number]
        found: dict[int, Rule] = {}
        for box in region.boxes:
            owner: int | None = None
            if (table := self._table(number)) is not None:
                boxes, owners, counts = table
                at = boxes.containing(box, counts[number - begin], budget)
                owner = owners[at] if at is not None else None
            if owner is None:
                at = self._cover_boxes.containing(box, self._counts[begin], budget)
                owner = self._cover_of[at] if at is not None else None
            if owner is None:
                return None
            found[owner] = self.rules[owner]
        return tuple(found[owner] for owner in sorted(found))

    def _by_several(self, number: int, region: Region, budget: Budget) -> tuple[Rule, ...] | None:
        if self.reachable(number, budget) is not None:
            return None
        owners = {self._owner(number, other) for box in region.boxes for other in self._owned(number, box)}
        return tuple(self.rules[owner] for owner in sorted(owners))

    def _owned(self, number: int, box: Box) -> list[tuple[bool, int]]:
        """What is asked before a rule and meets a box of it: boxes of its table, and covers of the rungs above."""
        begin = self._begins[number]
        found = [(False, at) for at in self._cover_boxes.meeting(box, self._counts[begin])]
        if (table := self._table(number)) is not None:
            boxes, _, counts = table
            found += [(True, at) for at in boxes.meeting(box, counts[number - begin])]
        return found

    def _owner(self, number: int, one: tuple[bool, int]) -> int:
        table = self._table(number)
        return table[1][one[1]] if one[0] and table is not None else self._cover_of[one[1]]

    def _before(self, number: int, box: Box) -> list[Box]:
        table = self._table(number)
        return [
            table[0].boxes[at] if own and table is not None else self._covers[at]
            for own, at in self._owned(number, box)
        ]

    def example(self, box: Box, *rules: Rule) -> Example | None:
        """A record of the box for which all of ``rules`` hold; None where none is found."""
        for one in examples(box, self.space, self._policy, self._engagement.routes, self._now):
            if all(self.holds(rule, one) for rule in rules):
                return one
        return None

    def holds(self, rule: Rule, one: Example) -> bool:
        """Whether a rule's conditions hold for a record, asked of the rule itself."""
        return failing(rule, self._scope, one.facts, lambda _: None, one.at) == ()

    def gap(self, budget: Budget) -> Example | None:
        """A record that no rung catches although everybody can receive it; None where none is found."""
        if any(rule.catches_all for rule in self.rules):
            return None
        takers = {text: number for text, number in self.space.tests.items() if text.startswith("can take it: ")}
        start: Box = dict.fromkeys(takers.values(), 2)
        try:
            left = uncovered(self.space, start, self._covers, budget)
        except Undecided:
            return None
        for one in examples(left, self.space, self._policy, self._engagement.routes, self._now) if left else ():
            walk = self._engagement.walk(one.facts, lambda _: None, one.at)
            if not walk.rung:
                return one
        return None

    def _gap(self, report: Report) -> None:
        example = self.gap(Budget(RULE_STEPS))
        place = next((place for rule in reversed(self.rules) if (place := rule.place()) is not None), None)
        if example is not None and place is not None:
            message = f"no rung catches {an(example.routed)} with {example.words()}, for example: it will be on hold"
            report.warn(place, message, "end the ladder with 'otherwise: pool …'")


def _gathered(some: Sequence[Sequence[Box]]) -> tuple[list[Box], list[int]]:
    boxes = [box for one in some for box in one]
    return boxes, [owner for owner, one in enumerate(some) for _ in one]


def _begins(rules: Sequence[Rule]) -> list[int]:
    """For each rule the number of the first one of its rung."""
    begins: list[int] = []
    for number, rule in enumerate(rules):
        same = number > 0 and rule.rung is rules[number - 1].rung
        begins.append(begins[-1] if same else number)
    return begins


def _in_all_uses(hidden: Sequence[Hidden], rules: Sequence[Rule]) -> list[Hidden]:
    """A row of a table that several rungs look up is only hidden where it is in each of them; told once."""
    uses: dict[int, int] = {}
    for rule in rules:
        if rule.row is not None:
            uses[id(rule.row)] = uses.get(id(rule.row), 0) + 1
    found: dict[int, list[Hidden]] = {}
    for one in hidden:
        found.setdefault(id(one.rule.row if one.rule.row is not None else one.rule), []).append(one)
    return [some[0] for key, some in found.items() if len(some) >= uses.get(key, 1)]


def _warn_hidden(one: Hidden, report: Report) -> None:
    place = one.rule.place()
    if place is None:
        return
    rows = one.rule.row is not None and all(other.table is one.rule.table for other in one.by)
    names = [_called(other, one.rule) for other in one.by[:_NAMED]]
    more = f" and {len(one.by) - _NAMED} more" if len(one.by) > _NAMED else ""
    joined = (", " if more else " and ").join(names) + more
    several = len(one.by) > 1
    together = " together" if several else ""
    asked = "are asked first and catch" if several else "is asked first and catches"
    what = f"{one.rule.name} never decides: {joined} {asked} all of it{together}"
    hint = "move it up, ask for less above it, or take it out" if rows else "move it above, or take it out"
    report.warn(place, what, hint)


def _called(other: Rule, rule: Rule) -> str:
    if other.row is not None and other.table is not None and other.table is not rule.table:
        return f"{other.table.name} {other.name}"
    return other.name
