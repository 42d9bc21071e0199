"""Conditions, numbers and fields that a pool asks of records, whatever ladder they come down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from rules.fields import Path, Scope
from rules.language.checking import Checker
from rules.language.closures import compile_expression, getter
from rules.language.condition import Condition, Formula, Question, Reads, read_condition, read_sum
from rules.language.named import Definitions
from rules.model import Entity, Field
from rules.pools.people import People
from rules.pools.roster import on_roster
from rules.source import Report
from rules.yamlfile import Scalar

T = TypeVar("T")

_PERSON = {"name": "text", "email": "text", "role": "text", "region": "text", "time_zone": "text", "start_date": "date",
           "capacity": "number", "quota": "number"}  # fmt: skip


class Asker:
    """Reads what pools ask. What makes sense for one kind of record that has a ladder is right; it is not asked of others."""

    def __init__(
        self,
        entities: Mapping[str, Entity],
        routes: Iterable[str],
        people: People,
        definitions: Definitions,
        report: Report,
    ) -> None:
        self._report = report
        self._on_roster = on_roster(people.by_key)
        roster = Entity("person", {}, {name: Field(name, kind) for name, kind in {**_PERSON, **people.columns}.items()})
        self._scopes: dict[str, tuple[Scope, Scope]] = {}  # by kind: without and with the columns of people.csv
        self._people, self._definitions = people, definitions
        self._checkers: dict[Scope, tuple[Checker, Checker]] = {}  # one keeps silent, one tells; made when first asked
        for kind in routes:
            self._scopes[kind] = Scope(entities, kind), Scope(entities, kind, roster)
        self.reads: set[str] = set()  # the names of all fields that something asks for

    @property
    def checkers(self) -> list[Checker]:
        """Those that know which named conditions are used."""
        return [one for pair in self._checkers.values() for one in pair]

    def condition(self, scalar: Scalar, *, of_people: bool = False) -> Question | None:
        """A condition; None when it has a mistake for every kind of record, which is reported."""

        def read(_scope: Scope, checker: Checker, report: Report) -> Condition | None:
            found = read_condition(scalar, checker, report)
            return replace(found, run=compile_expression(found.tree)) if found is not None else None

        of = self._each(read, of_people)
        self.reads.update(path for one in of.values() for path, _ in one.reads)
        return Question(" ".join(scalar.text.split()), of, self._on_roster) if of else None

    def number(self, scalar: Scalar, *, of_people: bool = False) -> Formula | None:
        """A number field, a calculation, or a number; None when it has a mistake for every kind of record, which is reported."""

        def read(scope: Scope, checker: Checker, report: Report) -> tuple[Reads, Callable[..., object]] | None:
            found = read_sum(scalar, scope, checker, report)
            return (found[0], getter(found[1])) if found is not None else None

        of = self._each(read, of_people)
        self.reads.update(path for reads, _ in of.values() for path, _ in reads)
        return Formula(" ".join(scalar.text.split()), of) if of else None

    def field(self, scalar: Scalar, types: tuple[str, ...], what: str) -> str:
        """The full name of a field of one of these types; "" with the mistake reported where there is none."""
        found: Path | None = None
        for plain, _ in self._scopes.values():
            found = found or plain.resolve(scalar.text)
        if found is None:
            first = next(iter(self._scopes.values()))[0]
            self._report.error(scalar.place, *first.unknown(scalar.text))
            return ""
        if found.field.type not in types:
            message = f"{found.text} is a {found.field.type}: {what} is a {' or a '.join(types)}"
            self._report.error(scalar.place, message)
            return ""
        self.reads.add(found.text)
        return found.text

    def _each(self, read: Callable[[Scope, Checker, Report], T | None], of_people: bool) -> dict[str, T]:
        found: dict[str, T] = {}
        for kind, scopes in self._scopes.items():
            scope = scopes[of_people]
            one = read(scope, self._pair(scope)[0], Report())
            if one is not None:
                found[kind] = one
        if not found:
            scope = next(iter(self._scopes.values()))[of_people]
            read(scope, self._pair(scope)[1], self._report)
        return found

    def _pair(self, scope: Scope) -> tuple[Checker, Checker]:
        if scope not in self._checkers:
            quiet, loud = (Checker(scope, self._people, self._definitions, told) for told in (None, self._report))
            self._checkers[scope] = quiet, loud
        return self._checkers[scope]
