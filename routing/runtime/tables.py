"""Reads tables of records from CSV and JSONL files, row by row, and says exactly where something is wrong.

A problem of the file as a whole (encoding, NUL bytes, columns) is a ``TableError``, raised before the first row. A problem of one row
comes with that row, so that whoever reads can go on and still account for it.
"""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from routing.core.model import Values
from routing.runtime.cells import CellError, Convert, check_json, formula
from rules.model import Field

# More lines than any cell of a real export has; beyond, a closing quote is missing. Also bounds what one record may hold.
MAX_LINES = 200
MAX_ROW = 1_000_000
_PIECE = 1 << 20
# What a cell begins with that a spreadsheet may take for a formula.
_RISKY = frozenset("=+-@")


class TableError(Exception):
    """The file cannot be used. ``args[0]`` names file, line and column, and says what to do."""


class Row(msgspec.Struct):
    """One row: the ``line`` it begins on, its ``number`` (from 1), its values, and what is wrong with it ("" when nothing)."""

    line: int
    number: int
    record_id: str
    values: Values
    problem: str = ""


class Table:
    """A CSV or JSONL file of records of one entity. Opening it reads it once to check its encoding.

    ``fields`` are the entity's fields by name; other columns are not read, and named in a note as columns ``ignored`` says of.
    ``needs`` names columns of which at least one must be there, ``key`` the one with the records' ids. ``notes`` are sentences for
    whoever started the command. Raises TableError.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        fields: dict[str, Field],
        needs: tuple[str, ...],
        key: str = "id",
        ignored: str = "that fields.yaml does not declare",
    ) -> None:
        self.path, self.what, self._fields, self._needs = path, what, fields, needs
        self._key, self._ignored = key, ignored
        self.size = _check_bytes(path)
        self.notes: list[str] = []
        self.read = 0  # bytes read so far, for a progress bar
        self._converts = {name: Convert.of(field) for name, field in fields.items()}
        self.is_json = self._looks_like_json()
        self._own_ids = False
        if not self.is_json:
            self._read_header()

    def rows(self) -> Iterator[Row]:
        """All rows, in order; empty lines are passed over. Reads the file as it goes; raises TableError."""
        return self._json_rows() if self.is_json else self._csv_rows()

    def _looks_like_json(self) -> bool:
        """By suffix; otherwise by its first character."""
        if self.path.suffix.lower() in (".csv", ".tsv", ".txt"):
            return False
        with self.path.open("rb") as file:
            start = file.read(4096).removeprefix(codecs.BOM_UTF8).lstrip()
        if start.startswith(b"["):
            raise TableError(f"{self.path}:1:1: this is a JSON array. Write one object a line (JSONL).")
        return start.startswith(b"{") or self.path.suffix.lower() in (".jsonl", ".ndjson")

    # CSV

    def _read_header(self) -> None:
        with self.path.open("rb") as file:
            first = next(_lines(file, self), None)
        if first is None or not first.strip():
            raise TableError(f"{self.path}:1:1: the file is empty. Its first line must name the columns.")
        self._delimiter = max(",;\t", key=first.count) if "," not in first else ","
        try:
            written = next(csv.reader([first], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise TableError(f"{self.path}:1:1: the line with the column names cannot be read: {error}.") from error
        names = [_column_name(name) for name in written]
        for index, name in enumerate(names):
            if name and name in names[:index]:
                raise TableError(f"{self.path}:1: the column '{name}' is there twice. Remove one of them.")
        self._columns = names
        self._check_columns(set(names))

    def _check_columns(self, names: set[str]) -> None:
        if not names & set(self._needs):
            wanted = " or ".join(f"'{name}'" for name in self._needs)
            near = get_close_matches(self._needs[0], sorted(names - {""}), n=1, cutoff=0.7)
            hint = (
                f" Did you mean '{near[0]}'?" if near else f" It has: {', '.join(sorted(names - {''})[:30]) or 'none'}."
            )
            raise TableError(f"{self.path}:1: there is no column {wanted}.{hint}")
        if self._key not in names:
            self._own_ids = True
            self.notes.append(
                f"{self.path} has no column '{self._key}': {self.what} are numbered by row (row-1, row-2, …)."
            )
        ignored = sorted(name for name in names if name and name != self._key and name not in self._fields)
        if ignored:
            self.notes.append(f"{self.path}: columns {self._ignored} are ignored: {', '.join(ignored)}.")

    def _csv_rows(self) -> Iterator[Row]:
        width = len(self._columns)
        names = [name if name in self._fields else "" for name in self._columns]
        typed = [(name, convert.text) for name in names if name and (convert := self._converts[name]).text is not None]
        id_index = -1 if self._own_ids else self._columns.index(self._key)
        number = 0
        with self.path.open("rb") as file:
            records = _csv_records(_Feed(_lines(file, self)), self._delimiter)
            next(records, None)  # the column names
            for line, cells, problem in records:
                if not cells and not problem:
                    continue
                number += 1
                row = Row(line, number, f"row-{number}", {}, problem)
                if not problem and len(cells) != width:
                    row.problem = f"the row has {len(cells)} cells, the header has {width} columns"
                if not row.problem:
                    self._fill(row, names, cells, typed)
                    if id_index >= 0:
                        row.record_id = cells[id_index].strip()
                        if not row.record_id:
                            row.record_id, row.problem = f"row-{number}", "the row has no id"
                        elif formula(row.record_id):
                            row.problem = f"column {id_index + 1} ({self._key}) holds a spreadsheet formula"
                elif 0 <= id_index < len(cells):
                    row.record_id = cells[id_index].strip() or row.record_id
                yield row

    def _fill(self, row: Row, names: list[str], cells: list[str], typed: list[tuple[str, Any]]) -> None:
        values: Values = {name: cell for name, cell in zip(names, cells, strict=True) if cell and name}
        if not _RISKY.isdisjoint([cell[0] for cell in values.values()]):
            for name, cell in values.items():
                if cell[0] in _RISKY and formula(cell):
                    where = f"column {self._columns.index(name) + 1} ({name})"
                    row.problem = f"{where} holds a spreadsheet formula: save the file with values only"
                    return
        for name, convert in typed:
            if name in values:
                try:
                    value = convert(values[name])
                except CellError as error:
                    row.problem = f"column {self._columns.index(name) + 1} ({name}): {error}"
                    return
                if value is None:
                    del values[name]
                else:
                    values[name] = value
        row.values = values

    # JSONL

    def _json_rows(self) -> Iterator[Row]:
        decode = msgspec.json.Decoder().decode
        number = 0
        seen: set[str] = set()
        with self.path.open("rb") as file:
            for line, text in enumerate(_lines(file, self), 1):
                if not text.strip():
                    continue
                number += 1
                row = Row(line, number, f"row-{number}", {})
                try:
                    found = decode(text)
                except (msgspec.DecodeError, RecursionError) as error:
                    row.problem = f"this is no JSON object: {error}"
                    yield row
                    continue
                if not isinstance(found, dict):
                    row.problem = "this is no JSON object: write one object a line"
                    yield row
                    continue
                found = {_column_name(name): value for name, value in found.items()}
                if number == 1:
                    self._check_columns(set(found))
                    seen = {self._key, *found}
                elif not found.keys() <= seen:
                    self._note_late(found.keys() - seen)
                    seen |= found.keys()
                self._fill_json(row, found)
                yield row

    def _note_late(self, names: set[str]) -> None:
        unknown = sorted(name for name in names if name not in self._fields)
        if unknown and len(self.notes) < 20:
            self.notes.append(f"{self.path}: keys {self._ignored} are ignored: {', '.join(unknown)}.")

    def _fill_json(self, row: Row, found: dict[str, Any]) -> None:
        if not self._own_ids:
            record_id = found.get(self._key)
            if record_id is None or isinstance(record_id, (dict, list, bool)) or not str(record_id).strip():
                row.problem = "the row has no id"
                return
            row.record_id = str(record_id).strip()
        for name, value in found.items():
            convert = self._converts.get(name)
            if convert is None or value is None or value == "":
                continue
            try:
                row.values[name] = check_json(value, convert)
            except CellError as error:
                row.problem = f"{name}: {error}"
                return


def _column_name(written: str) -> str:
    name = "_".join(written.strip().lower().split())
    return "parent" if name == "parent_id" else name


def _check_bytes(path: Path) -> int:
    """The file's size. Raises TableError for a file that is not there, is not UTF-8 or holds NUL bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    size = 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                nul = piece.find(b"\0")
                if nul >= 0:
                    raise TableError(
                        f"{_place(path, size + nul)}: there is a NUL byte. The file is damaged, or saved as UTF-16: "
                        "save it as CSV UTF-8."
                    )
                try:
                    decoder.decode(piece)
                except UnicodeDecodeError as error:
                    # A character may have begun in the piece before: the decoder kept up to three bytes of it.
                    offset = size - (len(error.object) - len(piece)) + error.start
                    bad = error.object[error.start]
                    raise TableError(
                        f"{_place(path, offset)}: the byte 0x{bad:02x} is not UTF-8. Save the file as CSV UTF-8 "
                        "(Excel: Save as, CSV UTF-8)."
                    ) from None
                size += len(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise TableError(f"{_place(path, size)}: the file ends in the middle of a character. It was cut off.") from None
    except FileNotFoundError:
        raise TableError(f"There is no file {path}.") from None
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}.") from error
    return size


def _place(path: Path, offset: int) -> str:
    """``file:line:column`` of a byte."""
    line, column, seen = 1, offset + 1, 0
    with path.open("rb") as file:
        while seen < offset and (piece := file.read(min(_PIECE, offset - seen))):
            breaks = piece.count(b"\n")
            if breaks:
                line += breaks
                column = offset - (seen + piece.rfind(b"\n"))
            seen += len(piece)
    return f"{path}:{line}:{column}"


def _lines(file: BinaryIO, table: Table) -> Iterator[str]:
    first = True
    for raw in file:
        table.read += len(raw)
        text = raw.decode("utf-8", "replace")  # the whole file was checked before; it can only have changed since
        if first:
            text = text.removeprefix("\ufeff")
            first = False
        yield text


class _Feed:
    """Hands lines to the CSV reader, and remembers those of the record at hand, to begin anew behind a broken one."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._length = 0
        self.line = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        text = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(text)
        self._length += len(text)
        if len(text) > MAX_ROW:
            raise csv.Error(f"it is longer than {MAX_ROW:,} characters")
        if len(self._taken) > MAX_LINES or self._length > MAX_ROW:
            raise csv.Error("a quoted cell does not end: its closing quote is missing")
        return text

    def begin(self) -> int:
        """A new record begins; returns its line."""
        self.line += len(self._taken)
        self._taken.clear()
        self._length = 0
        return self.line + 1

    def give_back(self) -> None:
        """All but the first line of the record are read again."""
        self._again.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]


def _csv_records(feed: _Feed, delimiter: str) -> Iterator[tuple[int, list[str], str]]:
    """Line, cells and problem of each record. After a broken record it goes on with the next line."""
    make: Callable[[], Any] = lambda: csv.reader(feed, delimiter=delimiter, strict=True)  # noqa: E731
    reader = make()
    csv.field_size_limit(MAX_ROW)
    while True:
        line = feed.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, [], f"the row cannot be read: {error}"
            feed.give_back()
            reader = make()
            continue
        yield line, cells, ""
