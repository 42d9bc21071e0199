"""The parts of an XLSX file that a table needs: which sheet, its shared texts, how its numbers are shown.

Read with the standard library: openpyxl takes about ten times as long for 40,000 rows, leaves formulas' last results
beside them unseen, and does not tell of merged cells while streaming. A workbook comes from anywhere, so every part is
read in pieces and only up to a limit, and none may declare entities.
"""

from __future__ import annotations

import io
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from xml.parsers import expat

MAX_PART_BYTES = 64 * 1024 * 1024  # of one part, unpacked; 200,000 rows of six columns have about 60 MB
_MAX_PARTS = 2_000
_CHUNK = 256 * 1024
_OFFICE_DATES = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}  # built-in formats that show a date
_LITERALS = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")
_ZEROS = re.compile(r"0[0\- ]*0")

Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]


class WorkbookError(Exception):
    """A file that is no workbook we read: ``args`` are the sentence and the hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint


class Workbook:
    """An XLSX file, opened. ``sheets`` maps the name of each worksheet to its part, in the order of the tabs.

    Raises WorkbookError, as all its methods do.
    """

    def __init__(self, data: bytes) -> None:
        if data.startswith(b"\xd0\xcf\x11\xe0"):
            raise WorkbookError("this is an old .xls file or has a password", "save it as .xlsx without a password")
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError, struct.error):
            raise WorkbookError("this is no XLSX workbook, or it is damaged", "save it again as .xlsx") from None
        if len(self.zip.infolist()) > _MAX_PARTS:
            raise WorkbookError(f"the workbook has more than {_MAX_PARTS:,} parts", "copy the table to a new one")
        main = next((to for kind, to in self._relations("").values() if kind == "officeDocument"), "xl/workbook.xml")
        self._base_1904 = False
        self._hidden: set[str] = set()
        self.sheets: dict[str, str] = {}
        self._open(main)
        related = dict(self._relations(main).values())
        self._texts = self._shared(related.get("sharedStrings", ""))
        self._formats = self._styles(related.get("styles", ""))

    def parse(self, part: str, start: Start, end: End, text: Callable[[str], None]) -> expat.XMLParserType:
        """Reads a part through these handlers, which get local names. Nothing is kept in between."""
        try:
            info = self.zip.getinfo(part)
        except KeyError:
            raise WorkbookError(f"the workbook is damaged: its part {part[:80]} is missing") from None
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WorkbookError("the workbook is encrypted or packed in an unusual way", "save it again as .xlsx")
        if info.file_size > MAX_PART_BYTES:
            limit = MAX_PART_BYTES // 1_048_576
            raise WorkbookError(f"the workbook unpacks to more than {limit} MB", "copy the table alone to a new one")
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = text
        parser.StartDoctypeDeclHandler = _refuse_doctype
        try:
            with self.zip.open(info) as file:
                while chunk := file.read(_CHUNK):
                    parser.Parse(chunk, False)
                parser.Parse(b"", True)
        except (
            expat.ExpatError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            ValueError,
            OSError,
            RuntimeError,
            struct.error,
        ):
            raise WorkbookError(f"the workbook is damaged: its part {part[:80]} cannot be read") from None
        return parser

    def sheet(self, name: str | None) -> tuple[str, str, list[str]]:
        """The name and the part of a sheet, and the other visible sheets. Without ``name`` the first visible one."""
        if name is None:
            visible = [sheet for sheet in self.sheets if sheet not in self._hidden] or list(self.sheets)
            if not visible:
                raise WorkbookError("the workbook has no sheet with cells")
            return visible[0], self.sheets[visible[0]], visible[1:]
        found = next((sheet for sheet in self.sheets if sheet.strip().casefold() == name.strip().casefold()), None)
        if found is None:
            names = ", ".join(f"'{sheet[:40]}'" for sheet in list(self.sheets)[:12])
            raise WorkbookError(f"the workbook has no sheet '{name[:60]}'", f"it has {names}" if names else "")
        return found, self.sheets[found], []

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        folder, name = posixpath.split(part)
        path = posixpath.join(folder, "_rels", f"{name}.rels")
        found: dict[str, tuple[str, str]] = {}

        def start(tag: str, attributes: dict[str, str]) -> None:
            if local(tag) == "Relationship" and "Target" in attributes:
                target = posixpath.normpath(posixpath.join("/", folder, attributes["Target"])).lstrip("/")
                found[attributes.get("Id", "")] = (attributes.get("Type", "").rpartition("/")[2], target)

        if path in self.zip.NameToInfo:
            self.parse(path, start, _nothing, _nothing)
        return found

    def _open(self, main: str) -> None:
        relations = self._relations(main)

        def start(tag: str, attributes: dict[str, str]) -> None:
            kind = local(tag)
            if kind == "workbookPr":
                self._base_1904 = attributes.get("date1904", "") in ("1", "true")
            elif kind == "sheet":
                identity = next((value for key, value in attributes.items() if local(key) == "id"), "")
                relation, part = relations.get(identity, ("", ""))
                if relation == "worksheet":
                    name = attributes.get("name", "")
                    self.sheets[name] = part
                    if attributes.get("state", "visible") != "visible":
                        self._hidden.add(name)

        self.parse(main, start, _nothing, _nothing)

    def _shared(self, part: str) -> list[str]:
        texts: list[str] = []
        state = {"inside": False, "ruby": False}
        pieces: list[str] = []

        def start(tag: str, _attributes: dict[str, str]) -> None:
            kind = local(tag)
            if kind == "si":
                pieces.clear()
            state["inside"] = kind == "t"
            state["ruby"] |= kind == "rPh"

        def end(tag: str) -> None:
            kind = local(tag)
            state["inside"] = False
            if kind == "rPh":
                state["ruby"] = False
            elif kind == "si":
                texts.append(unescaped("".join(pieces)))

        def text(data: str) -> None:
            if state["inside"] and not state["ruby"]:
                pieces.append(data)

        if part:
            self.parse(part, start, end, text)
        return texts

    def _styles(self, part: str) -> list[str]:
        """The number format of each style; built-in dates as "d"."""
        codes: dict[str, str] = {}
        styles: list[str] = []
        inside = False

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal inside
            kind = local(tag)
            if kind == "numFmt":
                codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
            elif kind == "cellXfs":
                inside = True
            elif kind == "xf" and inside:
                styles.append(attributes.get("numFmtId", ""))

        def end(tag: str) -> None:
            nonlocal inside
            inside = inside and local(tag) != "cellXfs"

        if part:
            self.parse(part, start, end, _nothing)
        built_in = {str(number): "d" for number in _OFFICE_DATES}
        return [codes.get(style, built_in.get(style, "")) for style in styles]

    def shared_text(self, index: str) -> str:
        """The text that a cell of type "s" points to."""
        if not index.strip().isdecimal() or int(index) >= len(self._texts):
            raise WorkbookError("the workbook is damaged: a cell points to a text that is not there")
        return self._texts[int(index)]

    def number(self, text: str, style: str) -> tuple[str, bool]:
        """A number as the sheet shows it where that matters, and whether it is a bare one.

        A date is written 2026-11-22, a number of a format such as 00000 with its zeros, any other with up to 15 digits.
        """
        code = self._formats[int(style)] if style.isdecimal() and int(style) < len(self._formats) else ""
        try:
            value = float(text)
        except ValueError:
            return text.strip(), False
        if is_date(code):
            shown = self.moment(value)
            return (shown, False) if shown else (plain(value), True)
        zeros = code.replace("\\", "").replace('"', "")
        if _ZEROS.fullmatch(zeros) and value >= 0 and value == int(value):
            return with_zeros(int(value), zeros), False
        return plain(value), True

    def written(self, shown: str, style: str) -> str | None:
        """The number that a cell of this style must hold to be shown so; None when no number is shown so."""
        candidates = [shown, re.sub("[- ]", "", shown)]
        with suppress(ValueError):
            base = date(1904, 1, 1) if self._base_1904 else date(1899, 12, 30)
            candidates.append(str((date.fromisoformat(shown) - base).days))
        for text in candidates:
            if _NUMBER.fullmatch(text) and self.number(text, style)[0] == shown:
                return plain(float(text))
        return None

    def moment(self, serial: float) -> str:
        """The day, or the instant in no zone, that a number of days stands for; "" when it is none."""
        base = date(1904, 1, 1) if self._base_1904 else date(1899, 12, 30)
        if not 61 <= serial < 2_958_466:  # March 1900, before which Excel counts a day that never was, to the year 9999
            return ""
        days, seconds = divmod(round(serial * 86_400), 86_400)
        whole = datetime(base.year, base.month, base.day) + timedelta(days=days, seconds=seconds)  # noqa: DTZ001 - as shown
        return whole.isoformat() if seconds else whole.date().isoformat()


def unescaped(text: str) -> str:
    """A text without Excel's own escapes: ``_x000D_`` is a carriage return. Control characters become blanks."""
    return _ESCAPE.sub(_character, text) if "_x" in text else text


def _character(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    if 0xD800 <= code < 0xE000:
        return match[0]
    return chr(code) if code >= 32 else " "


def local(tag: str) -> str:
    """A name without its namespace."""
    return tag.rpartition(" ")[2]


def is_date(code: str) -> bool:
    """Whether a number format shows a date."""
    bare = _LITERALS.sub("", code.split(";")[0])
    return bool(re.search(r"[dmyDMY]", bare)) and not re.search(r"[0#?]", bare.replace(".000", ""))


def plain(value: float) -> str:
    """A number as a spreadsheet shows it: no ``.0``, and no more digits than are true."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.15g}"


def with_zeros(value: int, code: str) -> str:
    """``00000`` and ``00000-0000``: digits put into the zeros from the right."""
    digits = str(value).zfill(code.count("0"))
    spare, rest = digits[: len(digits) - code.count("0")], iter(digits[len(digits) - code.count("0") :])
    return spare + "".join(next(rest) if sign == "0" else sign for sign in code)


def _refuse_doctype(*_: object) -> None:
    raise WorkbookError("the workbook declares entities, which no spreadsheet does", "save it again as .xlsx")


def _nothing(*_: object) -> None:
    """What is of no interest."""
