"""Many rules at once: who wins, why one does not hold, and which nearly do.

Each rule is a condition in disjunctive normal form; each alternative of it is a *term* with one bit, the first rule's highest. For
each field, the value of a record gives the mask of the terms that it does not veto (``columns``); the masks are ANDed, and
the highest bit is the winner. Residual tests are only asked for the terms that are left. So 5,000 rules cost little more than 50.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, islice
from typing import Any

from rules.fields import Getter
from rules.language.closures import Run, compile_expression, getter
from rules.language.columns import Column, bits
from rules.language.normal import Alternative, Residual, Subject
from rules.language.syntax import Name, operand_paths
from rules.model import Facts, WhyNot

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_LOOKED_AT = 200  # terms that ``near_misses`` looks into; the first ones are those that matter


@dataclass(frozen=True, slots=True)
class Failed:
    """One demand that was not met: of what (a field, or a whole test), what it held, and what was asked for."""

    subject: str
    value: Any
    wanted: str


@dataclass(frozen=True, slots=True)
class _Opaque:
    """A residual that runs."""

    residual: Residual
    reads: tuple[tuple[str, Getter], ...]
    run: Run

    def holds(self, facts: Facts, now: datetime, why_not: WhyNot) -> bool:
        return self.run(self.values(facts), now, why_not) is self.residual.holds

    def values(self, facts: Facts) -> dict[str, Any]:
        return {path: get(facts) for path, get in self.reads}


def _nobody_asked(_: str) -> str | None:
    return None


class RuleSet:
    """Compiled rules, numbered from 0 in the order given. It never changes but for what its columns remember."""

    def __init__(self, rules: Sequence[Sequence[Alternative]], resolve: Callable[[str], Getter]) -> None:
        """``resolve`` says how a field (by full path) is read from facts."""
        self.rules = rules
        self._resolve = resolve
        self._terms = [alternative for rule in rules for alternative in rule]
        # By bit: which term it is, and whose.
        self._last = len(self._terms) - 1
        self._owners = [number for number, rule in enumerate(rules) for _ in rule][::-1]
        self._starts = [0, *accumulate(len(rule) for rule in rules)]
        self._all = (1 << len(self._terms)) - 1
        self._opaque = self._residuals()
        subjects = dict.fromkeys(subject for term in self._terms for subject in term.demands)
        columns: list[tuple[Subject, Getter, Column]] = []
        for subject in subjects:
            column = Column([term.demands.get(subject) for term in reversed(self._terms)], subject.category)
            columns.append((subject, self._getter(subject), column))
        self._columns = columns
        self._getters = {subject: get for subject, get, _ in columns}
        # Plain fields of a record are read without a call, record by record; the others by their getters.
        grouped: dict[str, list[tuple[str, Column]]] = {}
        self._others: list[tuple[Getter, Column]] = []
        for subject, get, column in columns:
            space, _, name = subject.partition(".")
            if isinstance(subject.operand, Name) and "." not in name:
                grouped.setdefault(space, []).append((name, column))
            else:
                self._others.append((get, column))
        self._spaces = [(space, tuple(found)) for space, found in grouped.items()]

    def _residuals(self) -> dict[int, tuple[_Opaque, ...]]:
        made: dict[Residual, _Opaque] = {}
        found: dict[int, tuple[_Opaque, ...]] = {}
        for bit, term in enumerate(reversed(self._terms)):
            for residual in term.residuals:
                if residual not in made:
                    paths = dict.fromkeys(
                        p for o in (residual.test.left, *residual.test.right) for p in operand_paths(o)
                    )
                    reads = tuple((path, self._resolve(path)) for path in paths)
                    made[residual] = _Opaque(residual, reads, compile_expression(residual.test))
            if term.residuals:
                found[bit] = tuple(made[residual] for residual in term.residuals)
        return found

    def _getter(self, subject: Subject) -> Getter:
        if isinstance(subject.operand, Name):
            return self._resolve(subject.operand.path)
        reads = tuple((path, self._resolve(path)) for path in operand_paths(subject.operand))
        get = getter(subject.operand)
        return lambda facts: get({path: read(facts) for path, read in reads})

    def survivors(self, facts: Facts) -> int:
        """The mask of the terms whose demands are met; their residuals are not asked yet."""
        found = self._all
        try:
            for space, columns in self._spaces:
                record = facts.get(space) or {}
                for name, column in columns:
                    found &= column[record.get(name)]
            for get, other in self._others:
                found &= other[get(facts)]
        except TypeError:  # a list or an object somewhere: such values are no keys
            return self._carefully(facts)
        return found

    def _carefully(self, facts: Facts) -> int:
        found = self._all
        for _, get, column in self._columns:
            found &= column.fresh(get(facts))
        return found

    def winner(self, facts: Facts, why_not: WhyNot = _nobody_asked, now: datetime = _ANY_TIME) -> int | None:
        """The first rule that holds, None when none does. ``why_not`` and ``now`` matter to residual tests alone."""
        found = self.survivors(facts)
        if not self._opaque:
            return self._owners[found.bit_length() - 1] if found else None
        return next(self._holding(found, facts, why_not, now), None)

    def winners(self, facts: Facts, why_not: WhyNot = _nobody_asked, now: datetime = _ANY_TIME) -> Iterator[int]:
        """Every rule that holds, in order, each once; worked out as far as it is asked for."""
        last = -1
        for rule in self._holding(self.survivors(facts), facts, why_not, now):
            if rule != last:
                yield rule
            last = rule

    def _holding(self, found: int, facts: Facts, why_not: WhyNot, now: datetime) -> Iterator[int]:
        opaque = self._opaque
        while found:
            bit = found.bit_length() - 1
            if bit not in opaque or all(one.holds(facts, now, why_not) for one in opaque[bit]):
                yield self._owners[bit]
            found ^= 1 << bit

    def why_not(
        self, facts: Facts, rule: int, why_not: WhyNot = _nobody_asked, now: datetime = _ANY_TIME
    ) -> tuple[Failed, ...] | None:
        """What would have to change for a rule to hold: of its alternatives, the one that fails by the least.

        Empty when it holds; None when it can never hold, whatever the record.
        """
        best: tuple[Failed, ...] | None = None
        for number in range(self._starts[rule], self._starts[rule + 1]):
            failed = tuple(self._failed(number, facts, why_not, now))
            if best is None or len(failed) < len(best):
                best = failed
        return best

    def _failed(self, number: int, facts: Facts, why_not: WhyNot, now: datetime) -> Iterator[Failed]:
        for subject, domain in self._terms[number].demands.items():
            value = self._getters[subject](facts)
            if not domain.admits(value, subject.category):
                yield Failed(subject, value, domain.words())
        for one in self._opaque.get(self._last - number, ()):
            if not one.holds(facts, now, why_not):
                values = one.values(facts)
                value = next(iter(values.values())) if len(values) == 1 else values
                text = one.residual.text if one.residual.holds else f"not {one.residual.text}"
                yield Failed(next(iter(values), ""), value, text)

    def near_misses(
        self, facts: Facts, why_not: WhyNot = _nobody_asked, now: datetime = _ANY_TIME, most: int = 10
    ) -> list[tuple[int, Failed]]:
        """The first ``most`` rules that fail by one demand alone, with that demand."""
        once, twice = 0, 0
        for _, get, column in self._columns:
            value = get(facts)
            try:
                fails = self._all & ~column[value]
            except TypeError:
                fails = self._all & ~column.fresh(value)
            twice |= once & fails
            once |= fails
        near = self._all & ~twice & (once | bits(self._opaque, len(self._terms)))
        held = set(islice(self.winners(facts, why_not, now), _LOOKED_AT))
        found: dict[int, Failed] = {}
        for _ in range(_LOOKED_AT):
            if not near or len(found) >= most:
                break
            bit = near.bit_length() - 1
            near ^= 1 << bit
            rule = self._owners[bit]
            failed = list(self._failed(self._last - bit, facts, why_not, now))
            if len(failed) == 1 and rule not in held:
                found.setdefault(rule, failed[0])
        return list(found.items())
