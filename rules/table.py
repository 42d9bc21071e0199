"""Decision tables: a CSV file whose rows are tried from the top; the first row that matches decides (hit policy FIRST)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rules.actions import Targets
from rules.cells import ANY, Cell, CellReader
from rules.checking import Checker
from rules.closures import getter
from rules.csvfile import Row, Sheet
from rules.fields import Path, Scope
from rules.grammar import parse_column
from rules.index import Mask, TooLarge, day_column, number_column, text_column
from rules.mistakes import ConditionError
from rules.model import Action
from rules.people import People
from rules.source import Place, Report, nearest
from rules.syntax import First, Name, Span, operand_paths
from rules.values import fold

NAMES = ("territory", "name", "rule", "segment")  # the first of these is what a row is called
NOTES = ("note", "notes", "comment", "comments")  # for people; not read
ASSIGN = "assign"


@dataclass(frozen=True, slots=True)
class Table:
    """A compiled table. ``paths`` are the fields it reads; ``rows`` the action and the rule text of each row."""

    name: str
    paths: tuple[Path, ...]
    rows: tuple[tuple[Action, str], ...]
    columns: tuple[Mask, ...]

    def find(self, values: dict[str, Any]) -> tuple[Action, str] | None:
        """The first row that matches ``values`` (by full path), or None."""
        found = (1 << len(self.rows)) - 1
        for column in self.columns:
            found &= column(values)
            if not found:
                return None
        return self.rows[(found & -found).bit_length() - 1] if found else None


@dataclass(frozen=True, slots=True)
class Column:
    """A column that asks something of the lead. ``operand`` is the field, or the first of several that is not blank."""

    index: int
    operand: Name | First
    paths: tuple[Path, ...]
    reader: CellReader


class TableReader:
    """Reads the tables of one policy."""

    def __init__(self, scope: Scope, people: People, targets: Targets, report: Report) -> None:
        self._scope = scope
        self._people = people
        self.targets = targets
        self._report = report
        self._checker = Checker(scope, people)
        self._actions: dict[str, Action] = {}

    def read(self, sheet: Sheet) -> Table | None:
        """The compiled table, or None when its header cannot be used. Mistakes in rows are reported."""
        headers = [fold(name).replace(" ", "_") for name in sheet.header.cells]
        if ASSIGN not in headers:
            place = sheet.source.place(sheet.header.line, 1, len(sheet.source.line(sheet.header.line)))
            hint = (
                nearest(ASSIGN, sheet.header.cells) or "it says who gets the lead: a person, 'pool NAME', or 'hold …'"
            )
            self._report.error(place, f"{sheet.source.name} has no column '{ASSIGN}'", hint)
            return None
        named = next((index for index, name in enumerate(headers) if name in NAMES), None)
        plain = {headers.index(ASSIGN), named, *(i for i, name in enumerate(headers) if name in NOTES)}
        columns = [self._column(sheet, index) for index in range(len(headers)) if index not in plain]
        if not sheet.rows:
            self._report.warn(sheet.source.place(), f"{sheet.source.name} has no rows: it never decides")
        assigned = headers.index(ASSIGN)
        rows = tuple(self._row(sheet, row, assigned, named) for row in sheet.rows)
        asked = [column for column in columns if column is not None]
        cells = [self._cells(sheet, column) for column in asked]
        masks = [self._mask(sheet, column, found) for column, found in zip(asked, cells, strict=True)]
        paths = {path.text: path for column in asked for path in column.paths}
        return Table(sheet.source.name, tuple(paths.values()), rows, tuple(mask for mask in masks if mask is not None))

    def _column(self, sheet: Sheet, index: int) -> Column | None:
        text = sheet.header.cells[index]
        place = sheet.cell(sheet.header, index)
        if " or " not in text.casefold():
            text = text.replace(" ", "_")  # a header may be a label: "Postal code"

        def complain(span: Span, message: str, hint: str) -> None:
            words = [*self._scope.names(), ASSIGN, *NAMES, *NOTES]
            word = text[span[0] : span[1]]
            more = nearest(word, words) or hint or f"name the field, or call a column of remarks '{NOTES[0]}'"
            where = Place(place.source, place.line, place.column + span[0], span[1] - span[0])
            self._report.error(where, f"{message}: no column can ask for it", more)

        try:
            resolved = self._checker.operand(parse_column(text), complain)
        except ConditionError as error:
            complain(error.span, f"'{sheet.header.cells[index]}' is no field", error.hint)
            return None
        if resolved is None:
            return None
        operand, path = resolved
        found = tuple(p for name in operand_paths(operand) if (p := self._scope.resolve(name)) is not None)
        return Column(index, operand, found, CellReader(path, self._people, self._report))

    def _cells(self, sheet: Sheet, column: Column) -> list[Cell]:
        return [
            column.reader.read(text, lambda row=row: sheet.cell(row, column.index))  # type: ignore[misc]
            if (text := row.cells[column.index])
            else ANY
            for row in sheet.rows
        ]

    def _mask(self, sheet: Sheet, column: Column, cells: Sequence[Cell]) -> Mask | None:
        if all(cell is ANY for cell in cells):
            return None
        get = getter(column.operand)
        try:
            if column.reader.category == "number":
                return number_column(cells, get)
            return day_column(cells, get) if column.reader.category == "date" else text_column(cells, get)
        except TooLarge:
            message = "the ranges of this column overlap too often for an index: split the table"
            self._report.error(sheet.cell(sheet.header, column.index), message)
            return None

    def _row(self, sheet: Sheet, row: Row, assigned: int, named: int | None) -> tuple[Action, str]:
        text = row.cells[assigned]
        action = self._actions.get(text)
        if action is None:
            place = sheet.cell(row, assigned)
            if text:
                action = self.targets.read(text, place, self._report)
            else:
                self._report.error(place, "this row does not say who gets the lead")
            if action is not None:
                self._actions[text] = action
        name = row.cells[named] if named is not None else ""
        rule = f"{sheet.source.name} line {row.line}" + (f": {name}" if name else "")
        return action or Action("hold", "this row has a mistake"), rule
