"""CSV as spreadsheets write it, with positions. Comma, semicolon or tab between the cells: the header decides."""

from __future__ import annotations

import csv
import io
import re
from bisect import bisect_right
from collections.abc import Iterator

from rules.source import Place, Report, Source
from rules.tables.sheet import Locate, Row, Sheet, gather

_SIGNS = (",", ";", "\t")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
_BREAK = re.compile(r"\r\n|\r|\n")


def delimiter_of(text: str) -> str:
    """What stands between the cells, as the first line tells that is no remark."""
    for line in re.split(r"[\r\n]+", text[:100_000]):
        if line.strip() and not line.lstrip('"').startswith("#"):
            return next((sign for sign in _SIGNS if sign in line), ",")
    return ","


def read_csv(source: Source, report: Report) -> Sheet | None:
    """The sheet, or None when it has no header or cannot be read at all. Bad rows are reported and left out."""
    delimiter = delimiter_of(source.text)
    return gather(source, _rows(source, delimiter, report), _locator(source, delimiter), report)


def _rows(source: Source, delimiter: str, report: Report) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(source.text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield Row(line, [cell.strip() for cell in cells])
            line = reader.line_num + 1
    except csv.Error as error:
        report.error(source.place(line), f"this row cannot be read as CSV: {error}", 'check the double quotes (")')


def raw_cells(text: str, start: int, delimiter: str) -> list[tuple[int, int]]:
    """Where the cells of the row that begins at ``start`` begin and end in the text, with their quotes and blanks."""
    cells: list[tuple[int, int]] = []
    at = start
    while True:
        begin = at
        if text[at : at + 1] == '"':
            at += 1
            while (at := text.find('"', at)) >= 0 and text[at + 1 : at + 2] == '"':
                at += 2
            if at < 0:
                at = len(text)
        while at < len(text) and text[at] != delimiter and text[at] not in "\r\n":
            at += 1
        cells.append((begin, at))
        if at >= len(text) or text[at] != delimiter:
            return cells
        at += 1


def line_start(text: str, line: int) -> int | None:
    """The offset at which a line begins, counted from 1; None beyond the end."""
    at = 0
    for _ in range(line - 1):
        match = _LINE.match(text, at)
        if match is None or match.end() >= len(text):
            return None
        at = match.end()
    return at


def _locator(source: Source, delimiter: str) -> Locate:
    text = source.text
    starts: list[int] = []  # of lines; found when the first mistake asks for its place

    def locate(line: int, index: int) -> Place:
        if not starts:
            starts.extend([0, *(match.end() for match in _BREAK.finditer(text))])
        start = starts[min(line, len(starts)) - 1]
        cells = raw_cells(text, start, delimiter)
        begin, end = cells[index] if index < len(cells) else (start, cells[0][1])
        raw = text[begin:end]
        begin += len(raw) - len(raw.lstrip(' "'))
        at = bisect_right(starts, begin)  # a cell with a line break before it begins further down
        shown = _BREAK.split(raw.strip(' "'), maxsplit=1)[0]
        return Place(source, at, begin - starts[at - 1] + 1, max(1, len(shown)))

    return locate
