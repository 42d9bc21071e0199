"""Changes one cell or row of a table's file, and nothing else: quotes, line ends, remarks and order stay as they were.

``load → write back`` gives the same bytes. In a workbook every part but the sheet stays the same, and in the sheet every
cell but this one: styles, widths, charts and macros are kept. Limits: a cell that holds a formula is not overwritten
(the workbook lists its formulas elsewhere), and rows of a sheet with formulas, comments or pictures are left to the spreadsheet.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from xml.parsers import expat
from xml.sax.saxutils import escape

from rules.source import Report, decode
from rules.tables.csvfile import delimiter_of, line_start, raw_cells
from rules.tables.sheet import FORMULA
from rules.tables.sheetrows import RowsError, SheetRows
from rules.tables.workbook import Workbook, WorkbookError, local
from rules.tables.xlsxfile import Cells, cell_name, split_name

_BOM = "\ufeff"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")  # which Excel would read as a character
_BREAK = re.compile(r"\r\n|\r|\n")


class EditError(Exception):
    """An edit that cannot be made; ``args[0]`` says why, in an admin's words."""


def edit_cell(name: str, data: bytes, line: int, column: int, value: str, sheet: str | None = None) -> bytes:
    """The file with another value in one cell. Pure.

    ``line`` is where the row starts, from 1; ``column`` counts from 0, as in ``Table.columns``. ``sheet`` names the
    sheet of a workbook; without it the first is meant. Raises EditError.
    """
    if name.endswith(".xlsx"):
        return _edit_workbook(data, line, column, value, sheet)
    text, bom = _text(name, data)
    delimiter = delimiter_of(text)
    cells = _row(text, line, delimiter)[1]
    if not 0 <= column < len(cells):
        raise EditError(f"line {line} has {len(cells)} cells: there is no column {column + 1}")
    begin, end = cells[column]
    raw = text[begin:end]
    if _unquoted(raw).strip() == value.strip():
        return data
    written = _quoted(_allowed(value), delimiter, always=raw.startswith('"'), first=column == 0 and len(cells) == 1)
    return (bom + text[:begin] + written + text[end:]).encode("utf-8")


def insert_row(name: str, data: bytes, line: int, values: Sequence[str], sheet: str | None = None) -> bytes:
    """The file with a new row before the one that starts at ``line``; one line beyond the end appends. Raises EditError."""
    if name.endswith(".xlsx"):
        return _with_row(data, line, [_allowed(value) for value in values], sheet)
    text, bom = _text(name, data)
    delimiter = delimiter_of(text)
    row = delimiter.join(_quoted(_allowed(value), delimiter, first=len(values) == 1) for value in values)
    found = _BREAK.search(text)
    ending = found.group() if found else "\n"
    start = line_start(text, line)
    if start is not None and start < len(text):
        return (bom + text[:start] + row + ending + text[start:]).encode("utf-8")
    gap = "" if not text or text.endswith(("\n", "\r")) else ending
    return (bom + text + gap + row + (ending if not gap else "")).encode("utf-8")


def delete_row(name: str, data: bytes, line: int, sheet: str | None = None) -> bytes:
    """The file without the row that starts at ``line``. Raises EditError."""
    if name.endswith(".xlsx"):
        return _with_row(data, line, None, sheet)
    text, bom = _text(name, data)
    start, cells = _row(text, line, delimiter_of(text))
    match = _BREAK.match(text, cells[-1][1])
    return (bom + text[:start] + text[match.end() if match else cells[-1][1] :]).encode("utf-8")


def _allowed(value: str) -> str:
    if _CONTROL.search(value):
        raise EditError("the value holds a control character, which no table can hold")
    if FORMULA.match(value.strip()):
        raise EditError(f"'{value[:40]}' would be a formula in a spreadsheet: write the value itself")
    return value


def _text(name: str, data: bytes) -> tuple[str, str]:
    report = Report()
    source = decode(name, data, report)
    if source is None:
        raise EditError(f"{name}: {report.problems()[0].message}")
    return source.text, _BOM if data.startswith(b"\xef\xbb\xbf") else ""


def _row(text: str, line: int, delimiter: str) -> tuple[int, list[tuple[int, int]]]:
    start = line_start(text, line) if line >= 1 else None
    if start is None or start >= len(text):
        raise EditError(f"the file has no line {line}")
    return start, raw_cells(text, start, delimiter)


def _unquoted(raw: str) -> str:
    if not raw.startswith('"'):
        return raw
    closing = raw.rfind('"')
    return (raw[1:closing] if closing > 0 else raw[1:]).replace('""', '"')


def _quoted(value: str, delimiter: str, *, always: bool = False, first: bool = False) -> str:
    """The value as CSV writes it. The only cell of a row is quoted when blank, or the row would be none."""
    if always or value.startswith('"') or re.search(r"[\r\n]", value) or delimiter in value or (first and not value):
        return '"' + value.replace('"', '""') + '"'
    return value


def _edit_workbook(data: bytes, line: int, column: int, value: str, sheet: str | None) -> bytes:
    def edited(book: Workbook, part: str, content: bytes) -> bytes:
        cells = Cells(book)
        book.parse(part, cells.start, cells.end, cells.text)
        row = cells.rows.get(line)
        if row is None or column < 0:
            raise EditError(f"the sheet has no row {line}")
        old = row[column] if column < len(row) else ""
        if old == value.strip():
            return content
        if old.startswith("="):
            raise EditError(f"{cell_name(line, column)} holds a formula: change it in the spreadsheet")
        return _with_cell(book, content, line, column, _allowed(value))

    return _repacked(data, sheet, edited)


def _with_row(data: bytes, line: int, values: Sequence[str] | None, sheet: str | None) -> bytes:
    """The workbook with a row of ``values`` put in at ``line``, in the style of the row that is there; None: without that row."""

    def edited(book: Workbook, _: str, content: bytes) -> bytes:
        _check_encoding(content)
        try:
            rows = SheetRows(content, line, -1 if values is None else 1)
        except RowsError:
            what = "formulas, comments, pictures, colours by rule or merged cells"
            raise EditError(f"the sheet has {what}, which would not move along: do this in the spreadsheet") from None
        if line < 1 or rows.start < 0 or (values is None and rows.end < 0):
            raise EditError(f"the sheet has no row {line}")
        if values is None:
            return rows.changed(b"")
        prefix = f"{rows.prefix}:" if rows.prefix else ""
        cells = (
            _cell(book, prefix, cell_name(line, column), value, *rows.like.get(column, ({}, True)))
            for column, value in enumerate(values)
        )
        return rows.changed(f'<{prefix}row r="{line}">{"".join(cells)}</{prefix}row>'.encode())

    return _repacked(data, sheet, edited)


def _repacked(data: bytes, sheet: str | None, edited: Callable[[Workbook, str, bytes], bytes]) -> bytes:
    """The workbook with its sheet ``edited``; the same bytes where that changes nothing."""
    try:
        book = Workbook(data)
        part = book.sheet(sheet)[1]
        content = book.zip.read(part)
        changed = edited(book, part, content)
        if changed == content:
            return data
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as target:
            target.comment = book.zip.comment
            for info in book.zip.infolist():
                target.writestr(info, changed if info.filename == part else book.zip.read(info))
    except WorkbookError as error:
        raise EditError(error.message) from error
    except (
        expat.ExpatError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, OSError, RuntimeError
    ) as error:  # fmt: skip
        raise EditError("the workbook is damaged: save it again as .xlsx") from error
    return out.getvalue()


def _with_cell(book: Workbook, content: bytes, line: int, column: int, value: str) -> bytes:
    """The XML of the sheet with one cell written anew, or put in where the row holds none there."""
    spot = _Spot(line, column)
    spot.find(content)
    if spot.begin < 0:
        raise EditError(f"the sheet has no row {line} that can be edited")
    tag = re.match(rb"<([^\s/>]+)", content[spot.begin :] if spot.attributes is not None else content[spot.row :])
    assert tag is not None
    space = tag[1].decode().rpartition(":")[0]
    text = _cell(book, f"{space}:" if space else "", cell_name(line, column), value, spot.attributes or {}, spot.filled)
    return content[: spot.begin] + text.encode("utf-8") + content[spot.end :]


def _cell(book: Workbook, prefix: str, name: str, value: str, kept: dict[str, str], filled: bool) -> str:
    """The XML of a cell in the style of ``kept``: a number or a yes or no where that cell holds one, else a text."""
    style = f' s="{escape(kept["s"])}"' if "s" in kept else ""
    start = f'<{prefix}c r="{name}"{style}'
    number = book.written(value, kept.get("s", "0")) if kept.get("t", "n") == "n" and filled else None
    if not value:
        return f"{start}/>"
    if number is not None:
        return f"{start}><{prefix}v>{number}</{prefix}v></{prefix}c>"
    if kept.get("t") == "b" and value.casefold() in ("yes", "no"):
        return f'{start} t="b"><{prefix}v>{int(value.casefold() == "yes")}</{prefix}v></{prefix}c>'
    words = escape(_ESCAPED.sub("_x005F_", _BREAK.sub("\n", value)))
    inner = f'<{prefix}is><{prefix}t xml:space="preserve">{words}</{prefix}t></{prefix}is>'
    return f'{start} t="inlineStr">{inner}</{prefix}c>'


def _check_encoding(content: bytes) -> None:
    declared = re.match(rb"""(?:\xef\xbb\xbf)?\s*<\?xml[^>]*encoding=["']([^"']+)""", content[:200])
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or (declared and declared[1].lower() not in (b"utf-8", b"us-ascii")):
        raise EditError("the workbook is not written in UTF-8: save it again as .xlsx")


class _Spot:
    """Where the XML of a cell begins and ends; both the same where it is to be put in. -1: nowhere.

    ``attributes`` are the cell's, None when there is none yet; ``filled`` whether it holds something; ``row`` is where
    its row begins.
    """

    def __init__(self, line: int, column: int) -> None:
        self._line = line
        self._column = column
        self._at = [0, -1]  # the line and the column that are being read
        self._inside = False
        self.begin = self.end = self.row = -1
        self.attributes: dict[str, str] | None = None
        self.filled = False

    def find(self, content: bytes) -> None:
        _check_encoding(content)
        parser = expat.ParserCreate(namespace_separator=" ")

        def start(tag: str, attributes: dict[str, str]) -> None:
            kind = local(tag)
            if kind == "row":
                given = attributes.get("r", "")
                self._at = [int(given) if given.isdecimal() else self._at[0] + 1, -1]
                if self._at[0] == self._line:
                    self.row = parser.CurrentByteIndex
            elif kind == "c" and self._at[0] == self._line:
                named = split_name(attributes.get("r", ""))
                self._at[1] = named[1] if named else self._at[1] + 1
                if self.begin < 0 and self._at[1] >= self._column:
                    self.begin = self.end = parser.CurrentByteIndex
                    if self._at[1] == self._column:
                        self.attributes, self._inside = attributes, True
            elif kind == "v" and self._inside:
                self.filled = True

        def end(tag: str) -> None:
            kind = local(tag)
            if kind == "c" and self._inside:
                self._inside = False
                self.end = _after(content, parser.CurrentByteIndex)
            elif kind == "row" and self._at[0] == self._line and self.begin < 0:
                closing = parser.CurrentByteIndex
                if content[closing : closing + 2] == b"</":  # a row without cells is written as one tag
                    self.begin = self.end = closing

        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.Parse(content, True)


def _after(content: bytes, at: int) -> int:
    """The offset behind an element, from where its end is told: at its closing tag, or behind ``<c/>``."""
    return content.index(b">", at) + 1 if content[at : at + 2] == b"</" else at
