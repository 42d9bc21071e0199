"""A checked condition as the files of a policy hold it; and questions, which the ladders of several kinds of record share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from rules.fields import Getter, Path, Scope
from rules.language.checking import Checker
from rules.language.closures import Get, Run
from rules.language.grammar import parse
from rules.language.mistakes import ConditionError
from rules.language.normal import Alternative, normal_form
from rules.language.syntax import Expression, Operand, Span, operand_paths
from rules.model import Facts, WhyNot
from rules.source import Report
from rules.values import is_number
from rules.yamlfile import Scalar

T = TypeVar("T")
Reads = tuple[tuple[str, Getter], ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked condition: its text as written, the fields it reads, its tree, and its alternatives.

    ``written`` is where it stands: spans of the tree are offsets into its text. ``run`` is None in a long ladder.
    """

    text: str
    reads: Reads
    tree: Expression
    alternatives: tuple[Alternative, ...]
    written: Scalar
    run: Run | None = None

    def holds(self, facts: Facts, why_not: WhyNot, now: datetime) -> bool:
        """Whether it holds of these facts. Raises nothing, whatever they hold."""
        assert self.run is not None
        return self.run({path: get(facts) for path, get in self.reads}, now, why_not)


@dataclass(frozen=True, slots=True)
class Question:
    """A condition asked of records of several kinds: as it reads for each kind for which it has a meaning.

    "is active" asks ``people.csv`` alone, by ``on_roster``.
    """

    text: str
    of: Mapping[str, Condition]
    on_roster: WhyNot

    def holds(self, facts: Facts, now: datetime, why_not: WhyNot | None = None) -> bool:
        """Whether it holds; never for a kind of record for which it has no meaning. Raises nothing."""
        condition = meant(self.of, facts)
        return condition is not None and condition.holds(facts, why_not or self.on_roster, now)


@dataclass(frozen=True, slots=True)
class Formula:
    """A number worked out from a record, for each kind of record for which it has a meaning."""

    text: str
    of: Mapping[str, tuple[Reads, Get]]

    def number(self, facts: Facts) -> float | None:
        """The number; None where a field that it needs is blank or holds no number. Raises nothing."""
        found = meant(self.of, facts)
        if found is None:
            return None
        reads, get = found
        value = get({path: read(facts) for path, read in reads})
        return float(value) if is_number(value) else None


def meant(of: Mapping[str, T], facts: Facts) -> T | None:
    """What stands for the kind of record that ``facts`` tell of. Accounts come with other records and are looked for last."""
    for kind, found in of.items():
        if kind != "account" and facts.get(kind) is not None:
            return found
    return of.get("account") if facts.get("account") is not None else None


def reads_of(found: tuple[Path, ...] | list[Path]) -> Reads:
    """The names and getters of fields."""
    return tuple((path.text, path.get) for path in found)


def read_condition(scalar: Scalar, checker: Checker, report: Report) -> Condition | None:
    """A condition, checked but not yet made to run; None when it has a mistake, which is reported at its words."""

    def complain(span: Span, message: str, hint: str) -> None:
        report.error(scalar.at(*span), message, hint)

    try:
        read = checker.read(scalar.text, complain)
        if read is None:
            return None
        alternatives = normal_form(read.tree)
    except ConditionError as error:
        complain(error.span, error.message, error.hint)
        return None
    return Condition(" ".join(scalar.text.split()), reads_of(read.paths), read.tree, alternatives, scalar)


def read_sum(scalar: Scalar, scope: Scope, checker: Checker, report: Report) -> tuple[Reads, Operand] | None:
    """A number, a number field, or a calculation: the fields it reads, and its tree; None when it has a mistake, which is reported."""

    def complain(span: Span, message: str, hint: str) -> None:
        report.error(scalar.at(*span), message, hint)

    try:
        operand = checker.number(parse(scalar.text), complain)
    except ConditionError as error:
        complain(error.span, error.message, error.hint)
        return None
    if operand is None:
        return None
    found = [path for name in dict.fromkeys(operand_paths(operand)) if (path := scope.resolve(name)) is not None]
    return reads_of(found), operand
