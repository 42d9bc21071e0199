"""Moves the rows of a workbook's sheet down or up by one, so that a row can be put in or is gone; all else stays byte for byte.

Areas that the sheet itself names (merged cells, filters, validations) move along. Formulas, comments, pictures and tables, which
stand in other parts or in words of their own, would not: with these the sheet is left to the spreadsheet.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from rules.tables.workbook import local
from rules.tables.xlsxfile import split_name

_AREAS = ("ref", "sqref")
_FIXED = ("f", "legacyDrawing", "drawing", "tablePart", "conditionalFormatting", "oleObject", "control")
_REFERENCE = re.compile(r"(\$?[A-Z]{1,3}\$?)([0-9]{1,7})")
_ROW = re.compile(rb"""(\sr\s*=\s*["'](?:[A-Z]{1,3})?)[0-9]+""")

Cell = tuple[dict[str, str], bool]  # its attributes, and whether it holds something


class RowsError(Exception):
    """The rows of this sheet cannot be moved."""


class SheetRows:
    """The XML of a sheet, looked through once for the row ``line``: where it is, and what has to change where it comes or goes.

    ``start`` is where the row begins, or where a row beyond the last would be put; ``end`` where it ends, -1 where there is none.
    ``like`` are the cells, by column, of this row or else of the last one before it. Raises RowsError.
    """

    def __init__(self, content: bytes, line: int, by: int) -> None:
        """``by`` is 1 where a row is put in at ``line``, -1 where the one that is there goes."""
        self._content, self._line, self._by = content, line, by
        self._at = [0, -1]  # the line and the column that are being read
        self.start = self.end = -1
        self.prefix = ""
        self.like: dict[int, Cell] = {}
        self._edits: list[tuple[int, int, bytes]] = []
        self._inside = False
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._begun
        self._parser.EndElementHandler = self._ended
        self._parser.Parse(content, True)

    def changed(self, row: bytes) -> bytes:
        """The XML with ``row`` in the place of the row at ``line`` (``by`` -1), or before it (1)."""
        edits = [*self._edits, (self.start, self.end if self._by < 0 else self.start, row)]
        parts: list[bytes] = []
        at = 0
        for begin, end, text in sorted(edits):
            if begin >= at:  # what is in the row that goes needs no change
                parts += (self._content[at:begin], text)
                at = end
        return b"".join([*parts, self._content[at:]])

    def _tag(self) -> tuple[int, bytes]:
        begin = self._parser.CurrentByteIndex
        return begin, self._content[begin : self._content.index(b">", begin) + 1]

    def _begun(self, tag: str, attributes: dict[str, str]) -> None:
        kind = local(tag)
        if kind in _FIXED:
            raise RowsError
        if kind == "row":
            given = attributes.get("r", "")
            self._at = [int(given) if given.isdecimal() else self._at[0] + 1, -1]
            begin, text = self._tag()
            if self._at[0] >= self._line and self.start < 0:
                self.start = begin
            if self._at[0] <= self._line:
                self.like = {}
            self._inside = self._at[0] <= self._line
            self._renumber(begin, text)
        elif kind == "c":
            named = split_name(attributes.get("r", ""))
            self._at[1] = named[1] if named else self._at[1] + 1
            if self._inside:
                self.like[self._at[1]] = (attributes, False)
            self._renumber(*self._tag())
        elif kind == "v" and self._inside:
            self.like[self._at[1]] = (self.like[self._at[1]][0], True)
        elif kind == "mergeCell" and self._by < 0 and self._is_in(attributes.get("ref", "")):
            raise RowsError
        elif any(name in attributes for name in _AREAS):
            begin, text = self._tag()
            moved = text
            for name in _AREAS:
                if name in attributes:
                    area = attributes[name]
                    moved = moved.replace(area.encode(), _REFERENCE.sub(self._moved, area).encode(), 1)
            self._edits.append((begin, begin + len(text), moved))

    def _is_in(self, area: str) -> bool:
        """Whether the row that goes is part of an area."""
        numbers = [int(match[2]) for match in _REFERENCE.finditer(area)]
        return bool(numbers) and min(numbers) <= self._line <= max(numbers)

    def _moved(self, match: re.Match[str]) -> str:
        number = int(match[2])
        return match[1] + str(number + self._by if number >= self._line + (self._by < 0) else number)

    def _renumber(self, begin: int, text: bytes) -> None:
        if self._at[0] >= self._line + (self._by < 0):
            number = str(self._at[0] + self._by).encode()
            self._edits.append((begin, begin + len(text), _ROW.sub(lambda match: match[1] + number, text, count=1)))

    def _ended(self, tag: str) -> None:
        kind, at = local(tag), self._parser.CurrentByteIndex
        closing = self._content[at : at + 2] == b"</"
        if kind == "row" and self._at[0] == self._line and self.end < 0:
            self.end = self._content.index(b">", at) + 1 if closing else at
        elif kind == "sheetData":
            self.prefix = self._content[at + 2 : self._content.index(b">", at)].decode().rpartition(":")[0]
            if self.start < 0 and closing:
                self.start = at
