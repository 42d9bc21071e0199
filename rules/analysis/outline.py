"""The rules of a ladder in the order in which they are asked: every rung that decides, and every row of the tables it looks up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from rules.fields import Getter, Scope
from rules.ladders.engagement import OTHERWISE, Engagement, Rung
from rules.language.syntax import Expression, together
from rules.model import Action
from rules.policy import Policy
from rules.source import Place
from rules.tables.cells import Cell
from rules.tables.table import Table, TableRow
from rules.values import spelled


@dataclass(frozen=True, slots=True)
class Rule:
    """A rung that decides, or a ``row`` of the table that it looks up. ``around`` are the rungs that it is in, outermost first."""

    rung: Rung
    around: tuple[Rung, ...] = ()
    row: TableRow | None = None

    @property
    def table(self) -> Table | None:
        return self.rung.table

    @property
    def action(self) -> Action:
        found = self.row.action if self.row is not None else self.rung.action
        assert found is not None
        return found

    @property
    def catches_all(self) -> bool:
        """Whether it is an ``otherwise`` of the outermost ladder."""
        return self.rung.when is None and self.row is None and not self.around and self.rung.share is None

    @property
    def name(self) -> str:
        """For a sentence: ``the rung 'Territory'``, ``line 12 (DACH)``."""
        if self.row is not None:
            called = f" ({self.row.name})" if self.row.name else ""
            return f"{_row_word(self.rung.table)} {self.row.line}{called}"
        return "'otherwise'" if self.rung.name == OTHERWISE else f"the rung '{self.rung.name}'"

    def place(self) -> Place | None:
        """Where it is written: the name of the rung, or the whole row."""
        if self.row is not None and self.rung.table is not None:
            found = self.rung.table.locate(self.row.line, 0)
            line = found.source.line(self.row.line)
            return found if found.cell or not line else found.source.place(self.row.line, 1, len(line))
        return self.rung.written.place if self.rung.written is not None else None

    def condition(self) -> Expression | None:
        """What must hold for the rung to be asked: its own condition and those around it; None: always."""
        trees = [one.when.tree for one in (*self.around, self.rung) if one.when is not None]
        return together(*trees) if trees else None


def _row_word(table: Table | None) -> str:
    return "row" if table is not None and table.name.partition(" ")[0].endswith(".xlsx") else "line"


def rungs(engagement: Engagement) -> Iterator[Rule]:
    """Every rung that decides, those of nested ladders where they stand."""
    return _rungs(engagement.rungs, ())


def _rungs(found: tuple[Rung, ...], around: tuple[Rung, ...]) -> Iterator[Rule]:
    for rung in found:
        if rung.ladder is not None:
            yield from _rungs(rung.ladder, (*around, rung))
        else:
            yield Rule(rung, around)


def rows(rule: Rule) -> Iterator[Rule]:
    """The rows of the table of a rung, in the order in which they are asked."""
    if rule.rung.table is not None:
        for row in rule.rung.table.ranked:
            yield Rule(rule.rung, rule.around, row)


def everything(engagement: Engagement) -> Iterator[Rule]:
    """Every rung that decides, and instead of one with a table its rows."""
    for rule in rungs(engagement):
        if rule.rung.table is None:
            yield rule
        else:
            yield from rows(rule)


def tables(policy: Policy) -> dict[str, Table]:
    """The tables that some rung looks up, by name."""
    return {
        rule.rung.table.name: rule.rung.table
        for engagement in policy.ladders.values()
        for rule in rungs(engagement)
        if rule.rung.table is not None
    }


def resolver(policy: Policy, routes: str) -> Scope:
    """The names that the ladder of that kind of record may use."""
    return Scope(policy.entities, routes)


def getter_of(scope: Scope, path: str) -> Getter:
    """How a field (by full path) is read from facts."""
    found = scope.resolve(path)
    assert found is not None
    return found.get


def describe(action: Action, policy: Policy) -> str:
    """What an action does, as one would say it: ``pool DACH``, ``Ana Diaz``, ``hold (Ask Legal)``."""
    if action.kind == "person":
        person = policy.people.get(action.value)
        return person.name if person is not None else action.value
    if action.kind in ("pool", "queue"):
        return f"{action.kind} {action.value}"
    if action.kind == "keep":
        return f"whoever is {action.value} keeps it"
    if action.kind == "field":
        return f"whoever is {action.value}"
    return f"{action.kind} ({action.value})" if action.value else action.kind


def cell_words(cell: Cell, category: str, most: int = 8) -> str:
    """What a cell asks for: ``"DE" or "AT"``, ``200..999``, ``anything but "us"``, ``anything``; of many values ``most``."""
    parts = [f'"{spelled(text)}"' for text in cell.texts] + [f'"{spelled(prefix)}*"' for prefix in cell.prefixes]
    ends = ((spelled(c.low), spelled(c.high), "*" if c.prefix else "") for c in cell.codes)
    parts += [f"{low}{star}..{high}{star}" for low, high, star in ends]
    parts += [_interval(low, high, category == "date") for low, high in cell.intervals]
    shown = " or ".join(parts[:most]) + (f" or {len(parts) - most} more" if len(parts) > most else "")
    if cell.excluded is None:
        return shown or "anything"
    return f"{shown or 'anything'} but not {cell_words(cell.excluded, category, most)}"


def _interval(low: float | int | None, high: float | int | None, days: bool) -> str:
    def say(value: float | int | None) -> str:
        if value is None:
            return ""
        return date.fromordinal(int(value)).isoformat() if days else f"{value:.15g}"

    return say(low) if low == high else f"{say(low)}..{say(high)}"
