"""The tables of a policy folder by what a rung calls them: ``territories.csv``, ``book.xlsx``, ``book.xlsx, sheet EMEA``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rules.source import Place, Report, decode, nearest
from rules.tables.csvfile import read_csv
from rules.tables.reader import TableReader
from rules.tables.sheet import Sheet
from rules.tables.table import Table
from rules.tables.xlsxfile import read_xlsx

SUFFIXES = (".csv", ".xlsx")
_SHEET = re.compile(r"(.+\.xlsx)\s*,\s*sheet\s+(.+)", re.IGNORECASE | re.DOTALL)


class Shelf:
    """Reads each table once, when it is first asked for. ``reserved`` are files of another meaning (``people.csv``)."""

    def __init__(self, files: Mapping[str, bytes], reserved: tuple[str, ...], report: Report) -> None:
        self._files = files
        self._reserved = reserved
        self._report = report
        self._sheets: dict[tuple[str, str | None], Sheet | None] = {}
        self._tables: dict[tuple[str, str | None, TableReader], Table | None] = {}

    def names(self) -> list[str]:
        """The files that are tables."""
        return [name for name in self._files if name.endswith(SUFFIXES) and name not in self._reserved]

    def unused(self) -> list[str]:
        """The tables that nobody asked for."""
        used = {name for name, _ in self._sheets}
        return [name for name in self.names() if name not in used]

    def lookup(self, text: str, place: Place, reader: TableReader) -> Table | None:
        """The table that ``text`` names, or None: there is none, or it has mistakes, which are reported."""
        name, wanted = text.strip(), None
        if (match := _SHEET.fullmatch(name)) is not None:
            name, wanted = match[1], match[2].strip().strip("\"'")
        if name not in self.names():
            hint = nearest(name, self.names()) or "it is a file that ends with .csv or .xlsx"
            self._report.error(place, f"there is no table '{name}' in the policy folder", hint)
            return None
        return self.table(name, wanted, reader)

    def table(self, name: str, wanted: str | None, reader: TableReader) -> Table | None:
        """The table of a file; of a workbook the sheet ``wanted``, or its first."""
        key = (name, wanted, reader)
        if key not in self._tables:
            sheet = self._sheet(name, wanted)
            self._tables[key] = reader.read(sheet) if sheet is not None else None
        return self._tables[key]

    def _sheet(self, name: str, wanted: str | None) -> Sheet | None:
        if (name, wanted) not in self._sheets:
            data = self._files[name]
            if name.endswith(".xlsx"):
                sheet = read_xlsx(name, data, wanted, self._report)
            else:
                source = decode(name, data, self._report)
                sheet = read_csv(source, self._report) if source is not None else None
            self._sheets[name, wanted] = sheet
        return self._sheets[name, wanted]
