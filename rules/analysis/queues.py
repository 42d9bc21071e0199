"""Queues that are in one system and not in another whose records can be sent there: those would wait on hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rules.analysis.boxes import Box, Budget, meet
from rules.analysis.outline import Rule, everything, resolver
from rules.analysis.regions import Region, regions
from rules.analysis.roster import key_place
from rules.analysis.search import Undecided, uncovered
from rules.ladders.engagement import ENTRY, Engagement, Rung
from rules.language.checking import Checker
from rules.language.condition import read_condition
from rules.model import Action
from rules.nouns import many, system_name
from rules.policy import Policy
from rules.pools.people import People
from rules.sla.reader import SLA
from rules.source import Report, Source
from rules.yamlfile import Scalar

_STEPS = 400_000  # comparisons of two boxes, for one kind of record and one system
_SYSTEM = "event.system"


def check_queues(policy: Policy, files: Mapping[str, bytes], report: Report) -> None:
    """Warns once of each queue and each system in which it has no id although records of that system can get there."""
    for engagement in policy.ladders.values():
        for system in policy.entities[engagement.routes].remote:
            lacking = {name for name, ids in policy.queues.items() if system not in ids}
            if lacking:
                _check_rules(policy, engagement, system, lacking, report)
                _check_clocks(policy, files, engagement.routes, system, lacking, report)


def queues_of(policy: Policy, routes: str) -> set[str]:
    """The queues to which the policy can send records of that kind: by a rung, a row, a pool that overflows, or a clock."""
    rules = everything(policy.ladders[routes]) if routes in policy.ladders else ()
    found = {queue for rule in rules for queue in _queues(policy, rule)}
    for clock in policy.clocks.values():
        if clock.entity == routes:
            found |= {clock.then.queue, *(step.queue for step in clock.steps)} - {""}
    return found


def _check_rules(policy: Policy, engagement: Engagement, system: str, lacking: set[str], report: Report) -> None:
    """``lacking`` loses what was told."""
    sent = [
        (number, rule, queues)
        for number, rule in enumerate(everything(engagement))
        if (queues := _queues(policy, rule) & lacking)
    ]
    reached = _Reached(policy, engagement, system) if sent else None
    for number, rule, queues in sent:
        told, place = queues & lacking, rule.place()
        if told and place is not None and reached is not None and reached.by(number):
            lacking -= told
            report.warn(
                place,
                f"{rule.name} can send {many(engagement.routes)} of {system_name(system)} to the queue '{min(told)}', which has no id there: they "
                "will be on hold",
                f"send them elsewhere in a rung above, with 'when: {_SYSTEM} = \"{system}\"'; or, if {system_name(system)} has such a queue, add its id "
                "under 'queues'",
            )


def _check_clocks(
    policy: Policy, files: Mapping[str, bytes], routes: str, system: str, lacking: set[str], report: Report
) -> None:
    for clock in policy.clocks.values():
        told = {clock.then.queue, *(step.queue for step in clock.steps)} & lacking
        asks = clock.start.when is not None and any(path == _SYSTEM for path, _ in clock.start.when.reads)
        place = key_place(SLA, ("clocks", clock.name), files) if told and clock.entity == routes and not asks else None
        if place is not None:
            lacking -= told
            report.warn(
                place,
                f"'{clock.name}' can send {many(routes)} of {system_name(system)} to the queue '{min(told)}', which has no id there: they will "
                "be on hold",
                f"write 'hold' or 'notify' instead; or, if {system_name(system)} has such a queue, add its id under 'queues' of engagement.yaml",
            )


def _queues(policy: Policy, rule: Rule) -> set[str]:
    """The queues in which a record can end that a rule decides: its own, and those that its pools overflow to."""
    found: set[str] = set()
    waiting, seen = [rule.action, rule.action.away, rule.rung.away], set[str]()
    while waiting:
        action = waiting.pop()
        if action is not None and action.kind == "queue":
            found.add(action.value)
        if action is None or action.kind != "pool" or action.value in seen or action.value not in policy.pools:
            continue
        seen.add(action.value)
        pool = policy.pools[action.value]
        found |= {pool.overflow_queue} - {""}
        waiting += [Action("pool", name) for name in (pool.overflow, *(one.who for one in pool.members if one.is_pool))]
    return found


class _Reached:
    """Which rules of a ladder records of one system can reach."""

    def __init__(self, policy: Policy, engagement: Engagement, system: str) -> None:
        scope = resolver(policy, engagement.routes)
        rules = tuple(everything(engagement))
        source = Source("", f'{_SYSTEM} = "{system}"')
        text = Scalar(source.text, source.place(1, 1, len(source.text)), True, 0, len(source.text))
        there = read_condition(text, Checker(scope, People()), Report())
        assert there is not None
        besides = [Rule(Rung(ENTRY, when, Action("hold"))) for when in (*engagement.entry, there)]
        self._space, found = regions((*rules, *besides), policy.entities, policy.people, engagement.routes)
        self._regions = found[: len(rules)]
        enters: list[Box] = [box for one in found[len(rules) : -1] for box in (one.boxes if one.known else [{}])]
        pairs = ((*one.items(), *here.items()) for one in enters or [{}] for here in found[-1].boxes)
        self._start = [box for pair in pairs if (box := self._space.box(pair)) is not None]
        self._budget = Budget(_STEPS)

    def by(self, number: int) -> bool:
        """Whether one can reach the rule of that number; no where that cannot be told."""
        region = self._regions[number]
        covers = [box for one in self._regions[:number] for box in one.covers]
        return region.known and any(self._left(box, covers) for box in self._boxes(region))

    def _boxes(self, region: Region) -> Iterator[Box]:
        for one in region.boxes:
            for start in self._start:
                if (box := self._space.box((*one.items(), *start.items()))) is not None:
                    yield box

    def _left(self, box: Box, covers: Sequence[Box]) -> bool:
        if not self._budget.take(len(covers)):
            return False
        try:
            return uncovered(self._space, box, [one for one in covers if meet(one, box)], self._budget) is not None
        except Undecided:
            return False
