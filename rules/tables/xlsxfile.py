"""A sheet of an XLSX workbook, with positions: the row as its line, the cell's name (``C12``) in front of each message."""

from __future__ import annotations

import re
from collections.abc import Callable

from rules.source import MAX_BYTES, Place, Report, Source
from rules.tables.sheet import MAX_COLUMNS, MAX_ROWS, Locate, Row, Sheet, gather
from rules.tables.workbook import Workbook, WorkbookError, local, unescaped

_GAP = " | "  # between the cells of a row where a message shows it
_LAST_LINE = 1_048_576
_SPARE = 10_000  # blank and remark rows beside those of the table
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")


def read_xlsx(name: str, data: bytes, wanted: str | None, report: Report) -> Sheet | None:
    """The sheet called ``wanted``, or the first one; None with the reason reported. Bad rows are reported and left out."""
    blank = Source(name, "")
    if len(data) > MAX_BYTES:
        size = f"{len(data) / 1_048_576:.1f} MB"
        report.error(blank.place(), f"the file has {size}; a policy file may have at most {MAX_BYTES // 1_048_576} MB")
        return None
    try:
        book = Workbook(data)
        sheet, part, others = book.sheet(wanted)
        cells = Cells(book)
        book.parse(part, cells.start, cells.end, cells.text)
    except WorkbookError as error:
        report.error(blank.place(), error.message, error.hint)
        return None
    if others:
        message = f"the workbook has other sheets beside '{sheet}', which are not read"
        report.warn(blank.place(), message, f"say which one is meant: 'lookup: {name}, sheet {sheet}'")
    found = _gathered(name, cells, report)
    if found is not None:
        _refuse_merged(found, cells.merged, report)
    return found


def _gathered(name: str, cells: Cells, report: Report) -> Sheet | None:
    rows = [Row(line, found, frozenset(cells.numbers.get(line, ()))) for line, found in cells.rows.items()]
    header = next((row for row in rows if any(row.cells) and not row.cells[0].startswith("#")), None)
    width = len(header.cells) if header else 0
    shown: dict[int, str] = {}
    for row in rows:
        if row.line >= (header.line if header else 0):
            row.cells.extend([""] * (width - len(row.cells)))  # a sheet does not store blank cells
        shown[row.line] = _GAP.join(_shown(cell) for cell in row.cells)
    lines = [shown.get(line, "") for line in range(1, max(shown, default=0) + 1)]
    source = Source(name, "\n".join(lines))
    return gather(source, rows, _locator(source), report)


def _locator(source: Source) -> Locate:
    def locate(line: int, index: int) -> Place:
        parts = source.line(line).split(_GAP)
        column = 1 + sum(len(part) + len(_GAP) for part in parts[:index])
        length = len(parts[index]) if index < len(parts) else 1
        return Place(source, line, column, max(1, length), cell_name(line, index))

    return locate


def _shown(cell: str) -> str:
    if cell.isprintable() and "|" not in cell:
        return cell
    return " ".join(cell.replace("|", "\N{BROKEN BAR}").split())


def _refuse_merged(sheet: Sheet, merged: list[str], report: Report) -> None:
    """A merged cell holds its value once: the rows below would ask for "any"."""
    last = max((row.line for row in [*sheet.rows, *sheet.refused]), default=sheet.header.line)
    for reference in merged:
        first, _, end = reference.partition(":")
        top, bottom = split_name(first), split_name(end or first)
        if top is None or bottom is None or bottom[0] < sheet.header.line or top[0] > last:
            continue
        if top[1] < len(sheet.header.cells):
            place = sheet.locate(max(top[0], sheet.header.line), top[1])
            message = f"the cells {reference} are merged: all but the first would be blank, and blank is 'any'"
            report.error(place, message, "unmerge them and fill in every row")


def cell_name(line: int, index: int) -> str:
    """``C12``."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(65 + rest) + letters
    return f"{letters}{line}"


def split_name(name: str) -> tuple[int, int] | None:
    """The line (from 1) and the column (from 0) of ``C12``."""
    match = _REFERENCE.fullmatch(name.replace("$", ""))
    if match is None:
        return None
    index = 0
    for letter in match[1]:
        index = 26 * index + ord(letter) - 64
    return int(match[2]), index - 1


class Cells:
    """Handlers that collect the cells of a sheet as texts: ``rows`` by line, ``merged`` areas, bare ``numbers`` by line."""

    def __init__(self, book: Workbook) -> None:
        self._book = book
        self.rows: dict[int, list[str]] = {}
        self.numbers: dict[int, list[int]] = {}
        self.merged: list[str] = []
        self._row: list[str] = []
        self._line = 0
        self._index = -1
        self._type = self._style = ""
        self._inside = ""
        self._ruby = False
        self._parts: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._letters: dict[str, int] = {}
        self._starts: dict[str, Callable[[dict[str, str]], None]] = {
            "row": self._start_row, "c": self._start_cell, "mergeCell": self._merge,
        }  # fmt: skip

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        kind = self._kinds.get(tag)
        if kind is None:
            kind = self._kinds.setdefault(tag, local(tag))
        starts = self._starts.get(kind)
        if starts is not None:
            starts(attributes)
        elif kind in ("v", "t", "f"):
            self._inside = kind
            self._parts.setdefault(kind, "")
        elif kind == "rPh":
            self._ruby = True

    def end(self, tag: str) -> None:
        kind = self._kinds[tag]
        if kind == "c":
            self._end_cell()
        elif kind == "rPh":
            self._ruby = False
        self._inside = ""

    def text(self, data: str) -> None:
        if self._inside and not self._ruby:
            self._parts[self._inside] += data

    def _start_row(self, attributes: dict[str, str]) -> None:
        given = attributes.get("r", "")
        line = int(given) if given.isdecimal() and len(given) < 9 else self._line + 1
        if not self._line < line <= _LAST_LINE:
            raise WorkbookError("the workbook is damaged: its rows are not in order")
        if len(self.rows) > MAX_ROWS + _SPARE:
            raise WorkbookError(f"the table has more than {MAX_ROWS:,} rows", "split it")
        self._line, self._index = line, -1
        self._row = self.rows.setdefault(line, [])

    def _start_cell(self, attributes: dict[str, str]) -> None:
        name = attributes.get("r", "")
        letters = name.rstrip("0123456789")
        index = self._letters.get(letters, -1)
        if index < 0:
            named = split_name(name)
            index = named[1] if named else self._index + 1
            if named:
                self._letters[letters] = index
        if index <= self._index or not self._line:
            raise WorkbookError("the workbook is damaged: its cells are not in order")
        self._index = index
        self._type, self._style = attributes.get("t", "n"), attributes.get("s", "0")
        self._parts = {}

    def _end_cell(self) -> None:
        text = self._value()
        if not text or not self._line:
            return
        if self._index > MAX_COLUMNS:
            raise WorkbookError(
                f"the table has more than {MAX_COLUMNS} columns: {cell_name(self._line, self._index)} holds something"
            )
        self._row.extend([""] * (self._index - len(self._row)))
        self._row.append(text)

    def _value(self) -> str:
        parts = self._parts
        if "f" in parts:
            return "=" + (parts["f"] or "…")
        value = parts.get("v", "").strip()
        if self._type == "s":
            return self._book.shared_text(value).strip() if value else ""
        if self._type == "inlineStr":
            return unescaped(parts.get("t", "")).strip()
        if self._type == "b" and value:
            self.numbers.setdefault(self._line, []).append(self._index)
            return "yes" if value == "1" else "no"
        if self._type == "d":
            return value.removesuffix("T00:00:00").removesuffix("T00:00:00.000")
        if self._type != "n" or not value:
            return value
        text, bare = self._book.number(value, self._style)
        if bare:
            self.numbers.setdefault(self._line, []).append(self._index)
        return text

    def _merge(self, attributes: dict[str, str]) -> None:
        if len(self.merged) < 1_000:
            self.merged.append(attributes.get("ref", ""))
