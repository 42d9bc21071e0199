"""A sheet as texts with positions, wherever it was written: what CSV and XLSX have in common.

A row whose first cell starts with ``#`` is a remark. Formulas are refused: a policy is text that a person can review, and
a cell that a spreadsheet would compute is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rules.source import Place, Report, Source

MAX_ROWS = 200_000
MAX_COLUMNS = 200
FORMULA = re.compile(
    r"""=.                                  # =HYPERLINK(…)
      | [+\-@].*[|!]                        # +cmd|' /C calc'!A0
      | [+\-@]\s*[A-Za-z_][\w.]*\s*\(       # @SUM(1)
      | [+\-@]\$?[A-Z]{1,3}\$?[0-9]+\b      # +A1*2
      | [+\-][0-9][0-9.]*\s*[*^&+]          # -1+2
    """,
    re.VERBOSE | re.DOTALL,
)
_SHEET_ERRORS = frozenset({"#REF!", "#N/A", "#NAME?", "#VALUE!", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"})

Locate = Callable[[int, int], Place]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line it starts on, and its cells without surrounding blanks.

    ``numbers`` are the cells that a workbook holds as bare numbers, and so without leading zeros, or as its yes or no.
    """

    line: int
    cells: list[str]
    numbers: frozenset[int] = frozenset()


@dataclass(slots=True)
class Sheet:
    """A sheet with a header. Every row has as many cells as the header; ``refused`` rows had a mistake of form.

    ``remarks`` are the comment rows above the header. ``locate`` says where a cell stands: its row's line, its column
    counted from 0.
    """

    source: Source
    locate: Locate
    header: Row
    rows: list[Row] = field(default_factory=list)
    refused: list[Row] = field(default_factory=list)
    remarks: list[Row] = field(default_factory=list)

    def cell(self, row: Row, index: int) -> Place:
        """Where a cell stands in the file (without its quotes)."""
        return self.locate(row.line, index)


def gather(source: Source, rows: Iterable[Row], locate: Locate, report: Report) -> Sheet | None:
    """The sheet of these rows, or None when it has no usable header. Bad rows are reported and left out."""
    sheet: Sheet | None = None
    remarks: list[Row] = []
    for row in rows:
        if not any(row.cells):
            continue
        if row.cells[0].startswith("#") and row.cells[0] not in _SHEET_ERRORS:
            if sheet is None:
                remarks.append(row)
        elif sheet is None:
            sheet = Sheet(source, locate, row, remarks=remarks)
            if len(row.cells) > MAX_COLUMNS:
                report.error(source.place(row.line), f"the table has more than {MAX_COLUMNS} columns: split it")
                return None
        elif _sound(sheet, row, report):
            sheet.rows.append(row)
            if len(sheet.rows) > MAX_ROWS:
                report.error(source.place(row.line), f"the table has more than {MAX_ROWS:,} rows: split it")
                break
        else:
            sheet.refused.append(row)
    if sheet is None:
        report.error(source.place(), "the file has no header row")
        return None
    return sheet if _sound_header(sheet, report) else None


def _sound_header(sheet: Sheet, report: Report) -> bool:
    sound = True
    seen: set[str] = set()
    for index, name in enumerate(sheet.header.cells):
        if not name:
            report.error(sheet.cell(sheet.header, index), f"column {index + 1} has no name in the header")
            sound = False
        elif name.casefold() in seen:
            report.error(sheet.cell(sheet.header, index), f"the column '{name}' is there twice")
            sound = False
        seen.add(name.casefold())
    return sound


def _sound(sheet: Sheet, row: Row, report: Report) -> bool:
    wanted, found = len(sheet.header.cells), len(row.cells)
    if found > wanted and not any(row.cells[wanted:]):
        del row.cells[wanted:]  # spreadsheets leave empty cells behind
    elif found != wanted:
        hint = 'a cell that holds a comma needs double quotes: "DE, AT, CH"' if found > wanted else ""
        report.error(
            sheet.source.place(row.line, 1, len(sheet.source.line(row.line))),
            f"this row has {found} cell{'s' if found != 1 else ''}, the header has {wanted}",
            hint,
        )
        return False
    sound = True
    for index, cell in enumerate(row.cells):
        if not cell or cell[0] not in "=+-@#":
            continue
        if cell[0] != "#" and FORMULA.match(cell):
            hint = "write the value itself; in a spreadsheet: copy, then 'Paste values'"
            report.error(sheet.cell(row, index), "this cell is a spreadsheet formula", hint)
            sound = False
        elif cell in _SHEET_ERRORS:
            report.error(sheet.cell(row, index), f"the spreadsheet left its error {cell} in this cell")
            sound = False
    return sound


def broken(cell: str) -> bool:
    """Whether a cell holds a formula, or the error that one left."""
    return cell in _SHEET_ERRORS or (cell[:1] in ("=", "+", "-", "@") and FORMULA.match(cell) is not None)
