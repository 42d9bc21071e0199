"""Answers "why did this rule not decide?", "why did this person not get it?" and "why not this pool?" of one record that was tried."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace as replaced
from typing import Any

from routing.runtime.story import show
from routing.runtime.trial import Court, Trial
from rules.analysis.failing import failing, sentence
from rules.analysis.outline import Rule, describe, everything, resolver, rungs
from rules.language.ruleset import Failed
from rules.model import Action
from rules.policy import Policy
from rules.source import nearest
from rules.values import fold

# Of the rules that lead to a person, the nearest few are told.
_NEAREST = 5
_LINE = re.compile(r"(?:(.+?)[\s:]+)?(?:line|row|:)?\s*(\d+)")


class UnknownNameError(Exception):
    """Neither a rule nor a person nor a pool: ``args[0]`` says so, with the nearest word."""


def why_not(trial: Trial, name: str) -> list[str]:
    """The answer, line by line. Raises UnknownNameError."""
    policy = trial.policy
    person = policy.person(name)
    if person is not None:
        return _Answer(trial).person(person.key)
    found = _find(name, trial)
    if found is not None:
        return _Answer(trial).rule(found)
    pools = {fold(text): pool for pool in policy.pools for text in (pool, f"pool {pool}")}
    if fold(name) in pools:
        return _Answer(trial).pool(pools[fold(name)])
    words = [rule.rung.name for rule in everything(policy.ladders[trial.case.routes])]
    words += [rule.row.name for rule in everything(policy.ladders[trial.case.routes]) if rule.row is not None]
    hint = nearest(name, [*words, *(one.name for one in policy.people.values()), *policy.pools])
    raise UnknownNameError(
        f"There is no rung, row, person or pool '{name}'." + (f" {hint[0].upper()}{hint[1:]}" if hint else "")
    )


def _find(name: str, trial: Trial) -> Rule | None:
    """A rung by its name (of a nested one the last part is enough), or a row by its name, file and line, or trace words."""
    wanted = fold(name)
    ladder = trial.policy.ladders[trial.case.routes]
    for rule in rungs(ladder):
        if wanted in (fold(rule.rung.name), fold(rule.rung.name.rpartition(" › ")[2])):
            return rule
    line = _LINE.fullmatch(name.strip())
    for rule in everything(ladder):
        row = rule.row
        if row is None:
            continue
        if wanted in (fold(row.name), fold(row.rule)):
            return rule
        if line is not None and row.line == int(line[2]) and (not line[1] or fold(line[1]) == fold(_file(rule))):
            return rule
    return None


def _file(rule: Rule) -> str:
    return rule.table.name if rule.table is not None else ""


class _Answer:
    def __init__(self, trial: Trial) -> None:
        self._suppose = not trial.planned.facts
        if self._suppose:
            # Not let in: what the ladder would say can still be told, of the same record newly created.
            event = {**trial.case.event, "kind": "created"}
            entered = Court(trial.policy).decide(replaced(trial.case, event=event, roster={}), trial.at)
            self._suppose = bool(entered.planned.facts)
            trial = entered
        self.trial = trial
        self.policy: Policy = trial.policy
        self._scope = resolver(trial.policy, trial.case.routes)

    def rule(self, rule: Rule) -> list[str]:
        """Why a rung or a row did not decide."""
        return [*self._opening(), *self._rule(rule)]

    def _opening(self) -> list[str]:
        if not self.trial.planned.facts:
            return ["The entry criteria do not let this record in, whatever happened to it."]
        if self._suppose:
            return ["The entry criteria do not let this event in. Had the record just been created:"]
        return []

    def _rule(self, rule: Rule) -> list[str]:
        what = f"{rule.name[0].upper()}{rule.name[1:]}"
        if rule.row is not None:
            what = f"{_file(rule)} {rule.name}"
        elif rule.table is not None:
            return [f"{what} looks up {_file(rule)}:", *self._table(rule)]
        failed = self._failing(rule)
        if failed is None:
            return [f"{what} can never hold, whatever the record."]
        if failed:
            return [f"{what} does not hold:", *(f"  {self._sentence(one)}" for one in failed)]
        return [f"{what}: its conditions are met.", *self._met(rule)]

    def _failing(self, rule: Rule) -> tuple[Failed, ...] | None:
        trial = self.trial
        return failing(rule, self._scope, trial.planned.facts, self._cannot, trial.at)

    def _cannot(self, key: str) -> str | None:
        return self.trial.directory.why_not(key, self.trial.planned.system, self.trial.at)

    def _sentence(self, failed: Failed) -> str:
        return sentence(failed, self._show)

    def _show(self, value: Any) -> str:
        if type(value) is str and value in self.policy.people:
            why = self._cannot(value)
            return self.policy.people[value].name + (f" ({why})" if why else "")
        if isinstance(value, dict):
            return ", ".join(f"{name} {self._show(one)}" for name, one in value.items())
        return show(value)

    def _table(self, rule: Rule) -> list[str]:
        failed = failing(rule, self._scope, self.trial.planned.facts, self._cannot, self.trial.at)
        if failed is None:
            return ["  its condition can never hold."]
        if failed:
            return [f"  {self._sentence(one)}" for one in failed]
        near = self._nearest(
            one for one in everything(self.policy.ladders[self.trial.case.routes]) if one.rung is rule.rung
        )
        if near and not near[0][1]:
            return [f"  {near[0][0].name} matches.", *self._met(near[0][0])]
        return ["  no row matches. The nearest:", *self._told(near)]

    def _nearest(self, rules: Iterator[Rule]) -> list[tuple[Rule, tuple[Failed, ...]]]:
        found = [(rule, failed) for rule in rules if (failed := self._failing(rule)) is not None]
        return sorted(found, key=lambda one: len(one[1]))[:_NEAREST]

    def _told(self, near: list[tuple[Rule, tuple[Failed, ...]]]) -> list[str]:
        return [
            f"  {_file(rule) + ' ' if rule.row is not None else ''}{rule.name} → {describe(rule.action, self.policy)}: "
            + ("; ".join(self._sentence(one) for one in failed) if failed else "its conditions are met")
            for rule, failed in near
        ]

    def _met(self, rule: Rule) -> list[str]:
        """Its conditions are met and yet it may not have decided: an earlier one did, or its person cannot."""
        decision = self.trial.settled.decision
        planned = self.trial.planned
        if planned.rung == rule.rung.name and (rule.row is None or planned.rule == rule.row.rule):
            return ["  It decided."]
        lines = self._person_of(rule.action)
        if planned.rung == rule.rung.name:
            return [*lines, f"  {planned.rule} matches as well and is asked first."]
        order = [one.rung.name for one in rungs(self.policy.ladders[self.trial.case.routes])]
        earlier = planned.rung in order and order.index(planned.rung) < order.index(rule.rung.name)
        if decision is not None and earlier:
            by = f" ({planned.rule})" if planned.rule else ""
            return [*lines, f"  The rung '{planned.rung}'{by} is asked first, and decided. It would have to fail."]
        return lines or ["  It was passed over."]

    def _person_of(self, action: Action) -> list[str]:
        key = action.value if action.kind == "person" else ""
        if action.kind in ("field", "keep") and (path := self._scope.resolve(action.value)) is not None:
            found = path.get(self.trial.planned.facts)
            if not found:
                return [f"  {action.value} is blank, so nobody is named."]
            key = str(found)
        why = self._cannot(key) if key else None
        return [f"  But {why}."] if why else []

    def person(self, key: str) -> list[str]:
        """Why a person did not get the record: what leads to them, and what stands in the way."""
        trial, name = self.trial, self.policy.people[key].name
        decision = trial.settled.decision
        lines = self._opening()
        if decision is not None and decision.owner == key:
            return [*lines, f"{name} got it: {decision.reason}."]
        if (why := self._cannot(key)) is not None:
            lines.append(f"{name} cannot receive records now: {why}.")
        pools = self._pools(key)
        lines += self._memberships(key, pools)
        if decision is not None and any(decision.pool == pool for pool, _ in pools) and decision.owner:
            views = {view.person: view for view in decision.members}
            mine = views.get(key)
            if mine is not None and not mine.unavailable:
                had = f"{name} had {mine.assigned} of a fair share of {mine.ideal:.2f}."
                if mine.load is not None:
                    had = f"{name} had {mine.load:g} open, for a weight of {mine.weight:g}."
                lines.append(
                    f"The pool {decision.pool} had this one, and {trial.directory.name(decision.owner)} was next: {had}"
                )
        return [*lines, *self._leading(name, self._reaching(key, {pool for pool, _ in pools}))]

    def pool(self, name: str) -> list[str]:
        """Why a pool did not get the record: what leads to it."""
        decision = self.trial.settled.decision
        if decision is not None and decision.pool == name:
            return [*self._opening(), f"The pool {name} had it: {decision.reason}."]
        into = [one.name for one in self.policy.pools.values() if one.overflow == name]
        lines = [f"What {' or '.join(into)} cannot give away overflows there."] if into else []
        leads_there = self._leading(
            f"the pool {name}", lambda rule: rule.action.kind == "pool" and rule.action.value == name
        )
        return [*self._opening(), *lines, *leads_there]

    def _leading(self, name: str, reach: Callable[[Rule], bool]) -> list[str]:
        """The rules that ``reach`` picks, the nearest first, and why the first did not decide where its conditions are met."""
        near = self._nearest(rule for rule in everything(self.policy.ladders[self.trial.case.routes]) if reach(rule))
        if not near:
            return [f"No rung and no row leads to {name}."]
        met = [] if near[0][1] else [f"  {line}" for line in self._met(near[0][0])]
        return [f"What leads to {name}, the nearest first:", *self._told(near[:1]), *met, *self._told(near[1:])]

    def _pools(self, key: str) -> list[tuple[str, float]]:
        found = ((pool.name, pool.weights.get(key)) for pool in self.policy.pools.values())
        return [(name, weight) for name, weight in found if weight is not None]

    def _memberships(self, key: str, pools: list[tuple[str, float]]) -> list[str]:
        name = self.policy.people[key].name
        if not pools:
            return [f"{name} is in no pool."]
        told = ", ".join(f"{pool} (weight 0: gets nothing)" if not weight else pool for pool, weight in pools)
        lines = [f"{name} is in the pool{'s' if len(pools) > 1 else ''} {told}."]
        own = {pool for pool, _ in pools}
        into = [pool.name for pool in self.policy.pools.values() if pool.overflow in own and pool.name not in own]
        if into:
            lines.append(f"What {', '.join(into)} cannot give away overflows there.")
        return lines

    def _reaching(self, key: str, pools: set[str]) -> Callable[[Rule], bool]:
        """Whether a rule may give a record to that person: by name, by one of their pools, or by a field that names them."""

        def reach(rule: Rule) -> bool:
            action = rule.action
            if action.kind == "person":
                return action.value == key
            if action.kind == "pool":
                return action.value in pools
            if action.kind in ("field", "keep") and (path := self._scope.resolve(action.value)) is not None:
                return bool(path.get(self.trial.planned.facts) == key)
            return False

        return reach
