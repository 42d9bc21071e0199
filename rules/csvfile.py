"""Reading CSV with positions, as spreadsheets write it.

Comma, semicolon or tab between the cells (the header decides); a row whose first cell starts with ``#`` is a comment.
Formulas are refused: a policy is text that a person can review, and a cell that a spreadsheet would compute is not.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from rules.source import Place, Report, Source

MAX_ROWS = 200_000
_FORMULA = re.compile(
    r"""=.                                  # =HYPERLINK(…)
      | [+\-@].*[|!]                        # +cmd|' /C calc'!A0
      | [+\-@]\s*[A-Za-z_][\w.]*\s*\(       # @SUM(1)
      | [+\-@]\$?[A-Z]{1,3}\$?[0-9]+\b      # +A1*2
      | [+\-][0-9][0-9.]*\s*[*^&+]          # -1+2
    """,
    re.VERBOSE | re.DOTALL,
)
_SHEET_ERRORS = frozenset({"#REF!", "#N/A", "#NAME?", "#VALUE!", "#DIV/0!", "#NULL!", "#NUM!"})


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line it starts on, and its cells without surrounding blanks."""

    line: int
    cells: list[str]


@dataclass(slots=True)
class Sheet:
    """A CSV file with a header. Every row has as many cells as the header; ``refused`` rows had a mistake of form."""

    source: Source
    delimiter: str
    header: Row
    rows: list[Row]
    refused: list[Row]

    def cell(self, row: Row, index: int) -> Place:
        """Where a cell stands in the file (without its quotes)."""
        line, column = row.line, 1
        quoted, at = False, 0
        text = self.source.line(line)
        while True:
            if at >= len(text):
                if not quoted or line - row.line > 1_000:
                    break
                line, at = line + 1, 0
                column = 1
                text = self.source.line(line)
                if index == 0:
                    break
                continue
            if text[at] == '"':
                quoted = not quoted
            elif text[at] == self.delimiter and not quoted:
                if index == 0:
                    break
                index -= 1
                column = at + 2
            at += 1
        raw = text[column - 1 : at]
        lead = len(raw) - len(raw.lstrip(' "'))
        return Place(self.source, line, column + lead, max(1, len(raw.strip(' "'))))


def read_csv(source: Source, report: Report) -> Sheet | None:
    """The table, or None when it has no header or cannot be read at all. Bad rows are reported and left out."""
    first = next((line for line in re.split(r"[\r\n]+", source.text[:100_000]) if line.strip() and line[0] != "#"), "")
    delimiter = next((sign for sign in (",", ";", "\t") if sign in first), ",")
    reader = csv.reader(io.StringIO(source.text, newline=""), delimiter=delimiter, strict=True)
    sheet: Sheet | None = None
    line = 1
    try:
        for cells in reader:
            row = Row(line, [cell.strip() for cell in cells])
            line = reader.line_num + 1
            if not any(row.cells) or (row.cells[0].startswith("#") and row.cells[0] not in _SHEET_ERRORS):
                continue
            if sheet is None:
                sheet = Sheet(source, delimiter, row, [], [])
            elif _sound(sheet, row, report):
                sheet.rows.append(row)
                if len(sheet.rows) > MAX_ROWS:
                    report.error(source.place(row.line), f"the table has more than {MAX_ROWS:,} rows: split it")
                    break
            else:
                sheet.refused.append(row)
    except csv.Error as error:
        report.error(source.place(line), f"this row cannot be read as CSV: {error}", 'check the double quotes (")')
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
        if cell and cell[0] in "=+-@" and _FORMULA.match(cell):
            report.error(sheet.cell(row, index), "this cell is a spreadsheet formula", "write the value itself")
            sound = False
        elif cell in _SHEET_ERRORS:
            report.error(sheet.cell(row, index), f"the spreadsheet left its error {cell} in this cell")
            sound = False
    return sound
