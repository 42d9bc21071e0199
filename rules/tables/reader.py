"""Reads a sheet into a compiled table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rules.actions import Targets
from rules.fields import Path, Scope
from rules.language.checking import Checker
from rules.language.closures import getter
from rules.language.grammar import parse_column
from rules.language.mistakes import ConditionError
from rules.language.syntax import Span, operand_paths
from rules.pools.people import People
from rules.source import Place, Report, nearest
from rules.tables.cells import ANY, Cell, CellReader
from rules.tables.columns import column_of, dates_of
from rules.tables.outcome import Outcomes, bare_number
from rules.tables.remarks import Ranks, Remarks, read_remarks
from rules.tables.sheet import Row, Sheet, broken
from rules.tables.table import Column, Table, TableRow
from rules.values import fold

NAMES = ("territory", "name", "rule", "segment")  # the first of these is what a row is called
NOTES = ("note", "notes")  # shown in the trace
REMARKS = ("comment", "comments", "remark", "remarks")  # for people; not read
ASSIGN, KEEP, FROM, TO, PRIORITY, SET = "assign", "keep", "valid_from", "valid_to", "priority", "set "


@dataclass(slots=True)
class _Layout:
    """Which column is what. ``asked`` are those that ask something of the record."""

    assign: int | None = None
    keep: int | None = None
    name: int | None = None
    note: int | None = None
    since: int | None = None
    until: int | None = None
    priority: int | None = None
    sets: list[tuple[int, Path]] = field(default_factory=list)
    asked: list[tuple[Column, CellReader]] = field(default_factory=list)


class TableReader:
    """Reads the tables of one policy."""

    def __init__(self, scope: Scope, people: People, targets: Targets, report: Report) -> None:
        self._scope = scope
        self._people = people
        self.targets = targets
        self._report = report
        self._checker = Checker(scope, people)

    def read(self, sheet: Sheet) -> Table | None:
        """The compiled table, or None when its header cannot be used. Mistakes in rows are reported."""
        before = self._report.errors
        outcomes = Outcomes(sheet, self._scope, self._people, self.targets, self._report)
        remarks = read_remarks(sheet, self._report)
        layout = self._layout(sheet, outcomes, remarks)
        if layout is None:
            return None
        if not sheet.rows:
            self._report.warn(sheet.source.place(), f"{sheet.source.name} has no rows: it never decides")
        cells = [self._cells(sheet, column, reader) for column, reader in layout.asked]
        by_row = list(zip(*cells, strict=True)) if cells else [()] * len(sheet.rows)
        read = _RowReader(sheet, layout, outcomes, remarks.ranks(self.targets))
        rows = tuple(read.row(row, asks) for row, asks in zip(sheet.rows, by_row, strict=True))
        self._hear_out(sheet, layout, read)
        if self._report.errors == before:
            self._repeated(sheet, rows, unique=remarks.hit == "unique")
        return _compiled(sheet, remarks, [column for column, _ in layout.asked], rows)

    def _hear_out(self, sheet: Sheet, layout: _Layout, read: _RowReader) -> None:
        """Tells what else is wrong in rows that are left out for a formula in them."""
        rows = [
            replace(row, cells=["" if broken(cell) else cell for cell in row.cells])
            for row in sheet.refused
            if len(row.cells) == len(sheet.header.cells)
        ]
        if not rows:
            return
        rest = replace(sheet, rows=rows)
        cells = [self._cells(rest, column, reader) for column, reader in layout.asked]
        for row, asks in zip(rows, zip(*cells, strict=True) if cells else [()] * len(rows), strict=True):
            if any(row.cells[index] for index in (layout.assign, layout.keep) if index is not None):
                read.row(row, asks)

    def _layout(self, sheet: Sheet, outcomes: Outcomes, remarks: Remarks) -> _Layout | None:
        headers = [fold(name).replace(" ", "_") for name in sheet.header.cells]
        where = {name: index for index, name in enumerate(headers)}
        layout = _Layout(assign=where.get(ASSIGN), keep=where.get(KEEP), since=where.get(FROM), until=where.get(TO))
        layout.name = next((index for index, name in enumerate(headers) if name in NAMES), None)
        layout.note = next((index for index, name in enumerate(headers) if name in NOTES), None)
        if remarks.hit == "priority":
            layout.priority = where.get(PRIORITY)
            remarks.check(layout.priority is not None)
        plain = {layout.assign, layout.keep, layout.since, layout.until, layout.name, layout.note, layout.priority}
        plain.update(index for index, name in enumerate(headers) if name in NOTES + REMARKS)
        for index, name in enumerate(sheet.header.cells):
            if fold(name).startswith(SET):
                path = outcomes.target(index, " ".join(name.split())[len(SET) :])
                if path is not None:
                    layout.sets.append((index, path))
            elif index not in plain and (found := self._column(sheet, index)) is not None:
                layout.asked.append(found)
        if layout.assign is not None or layout.keep is not None:
            return layout
        if not nearest(ASSIGN, sheet.header.cells):  # else that column was told
            place = sheet.source.place(sheet.header.line, 1, len(sheet.source.line(sheet.header.line)))
            hint = "it says who gets the record: a person, 'pool NAME', or 'hold …'"
            self._report.error(place, f"{sheet.source.name} has no column '{ASSIGN}'", hint)
        return None

    def _column(self, sheet: Sheet, index: int) -> tuple[Column, CellReader] | None:
        header = text = sheet.header.cells[index]
        place = sheet.cell(sheet.header, index)
        if " or " not in text.casefold():
            text = text.replace(" ", "_")  # a header may be a label: "Postal code"

        def complain(span: Span, message: str, hint: str) -> None:
            words = [*self._scope.names(), ASSIGN, KEEP, FROM, TO, *NAMES, *NOTES, *REMARKS]
            word = text[span[0] : span[1]]
            more = nearest(word, words) or hint or f"name the field, or call a column of remarks '{REMARKS[0]}'"
            if fold(word) == PRIORITY:
                more = "write '# hit: priority' above the header if it orders the rows"
            where = Place(place.source, place.line, place.column + span[0], span[1] - span[0], place.cell)
            self._report.error(where, f"{message}: no column can ask for it", more)

        try:
            resolved = self._checker.operand(parse_column(text), complain)
        except ConditionError as error:
            complain(error.span, f"'{header}' is no field", error.hint)
            return None
        if resolved is None:
            return None
        operand, path = resolved
        found = tuple(p for name in operand_paths(operand) if (p := self._scope.resolve(name)) is not None)
        reader = CellReader(path, self._people, self._report)
        return Column(index, header, operand, found, reader.category), reader

    def _cells(self, sheet: Sheet, column: Column, reader: CellReader) -> list[Cell]:
        index = column.index
        if reader.category in ("text", "list") and not reader.path.field.choices:
            for row in sheet.rows:
                if index in row.numbers:
                    self._report.error(sheet.cell(row, index), *bare_number(row.cells[index], reader.path.text))
        return [
            reader.read(text, lambda row=row: sheet.cell(row, index))  # type: ignore[misc]
            if (text := row.cells[index])
            else ANY
            for row in sheet.rows
        ]

    def _repeated(self, sheet: Sheet, rows: Sequence[TableRow], *, unique: bool) -> None:
        """Rows that ask for what an earlier one asks for: they never decide, or never alone."""
        seen: dict[tuple[object, ...], TableRow] = {}
        for row in rows:
            asks = (*map(id, row.cells), row.valid, row.rank)
            first = seen.setdefault(asks, row)
            if first is row:
                continue
            place = sheet.source.place(row.line, 1, len(sheet.source.line(row.line)))
            same = first.action == row.action and first.sets == row.sets
            if unique:
                message = f"this row asks for the same as line {first.line}, and only one may match ('hit: unique')"
                self._report.error(place, message, "take one of them out")
            elif same:
                self._report.warn(place, f"this row is there twice; it is already on line {first.line}")
            else:
                message = f"this row never decides: line {first.line} asks for the same and comes first"
                self._report.warn(place, message, "take one of them out, or ask for more in one")


class _RowReader:
    def __init__(self, sheet: Sheet, layout: _Layout, outcomes: Outcomes, ranks: Ranks | None) -> None:
        self._sheet = sheet
        self._layout = layout
        self._outcomes = outcomes
        self._ranks = ranks
        self._called = "row" if sheet.source.name.endswith(".xlsx") else "line"

    def row(self, row: Row, asks: tuple[Cell, ...]) -> TableRow:
        layout, outcomes = self._layout, self._outcomes
        name = row.cells[layout.name] if layout.name is not None else ""
        action = outcomes.action(row, layout.assign, layout.keep)
        sets = ((path.text, outcomes.value(row, index, path)) for index, path in layout.sets)
        rank = 0.0
        if layout.priority is not None:
            rank = outcomes.rank(row, layout.priority)
        elif self._ranks is not None:
            rank = self._ranks(action, row)
        return TableRow(
            line=row.line,
            name=name,
            rule=f"{self._sheet.source.name} {self._called} {row.line}" + (f": {name}" if name else ""),
            cells=asks,
            action=action,
            note=row.cells[layout.note] if layout.note is not None else "",
            sets=tuple((path, value) for path, value in sets if value is not None),
            valid=outcomes.valid(row, layout.since, layout.until),
            rank=rank,
        )


def _compiled(sheet: Sheet, remarks: Remarks, columns: list[Column], rows: tuple[TableRow, ...]) -> Table:
    ranked = tuple(sorted(rows, key=lambda row: row.rank)) if remarks.hit == "priority" else rows
    masks = [
        column_of(column.category, [row.cells[at] for row in ranked], getter(column.operand))
        for at, column in enumerate(columns)
    ]
    paths = {path.text: path for column in columns for path in column.paths}
    return Table(
        name=sheet.source.name,
        hit=remarks.hit,
        paths=tuple(paths.values()),
        columns=tuple(columns),
        rows=rows,
        ranked=ranked,
        masks=tuple(mask for mask in masks if mask is not None),
        in_force=dates_of([row.valid for row in ranked]),
        locate=sheet.locate,
    )
