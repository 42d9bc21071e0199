"""Policy files as text with positions, and the problems found in them.

Every reader of the policy reports into a ``Report``: nothing is raised at the first mistake, so that an admin sees all
of them in one run. ``render`` shows them for a terminal.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from rules.model import Problem

MAX_BYTES = 20 * 1024 * 1024  # a table of 40,000 rows has about 3 MB; more than this is not a policy file
MAX_PROBLEMS = 1_000  # beyond this a file is simply the wrong file; nobody reads on
MAX_ALIKE = 100  # of one kind in one file; the others are counted
_VARIES = re.compile(r"'[^']*'|\d[\d,.]*")  # what differs between problems of one kind
_EXCERPT = 2_000  # characters of a line that are kept for showing it
_WINDOW = 110  # characters of a line that ``render`` shows around the place meant
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


class Source:
    """One policy file: its name and its text, without a byte order mark."""

    __slots__ = ("_lines", "name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._lines: list[str] | None = None

    def line(self, number: int) -> str:
        """The line as written, counted from 1; "" beyond the end."""
        if self._lines is None:
            self._lines = _LINE_BREAK.split(self.text)
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def place(self, line: int = 1, column: int = 1, length: int = 1) -> Place:
        return Place(self, line, column, length)


class Place(Struct, frozen=True, gc=False):
    """Characters of one line of a file; ``line`` and ``column`` count from 1. ``cell`` is the name of a workbook's cell."""

    source: Source
    line: int
    column: int
    length: int = 1
    cell: str = ""


class Report:
    """Collects problems. ``errors`` counts those that keep a policy from going live."""

    def __init__(self) -> None:
        self._problems: set[Problem] = set()
        self._alike: dict[tuple[str, str], int] = {}
        self._more: dict[tuple[str, str], Problem] = {}
        self.errors = 0

    def error(self, place: Place, message: str, hint: str = "") -> None:
        self.errors += 1
        self._add(place, message, hint, error=True)

    def warn(self, place: Place, message: str, hint: str = "") -> None:
        self._add(place, message, hint, error=False)

    def _add(self, place: Place, message: str, hint: str, *, error: bool) -> None:
        kind = (place.source.name, _VARIES.sub("…", message))
        alike = self._alike[kind] = self._alike.get(kind, 0) + 1
        if len(self._problems) >= MAX_PROBLEMS or (alike > MAX_ALIKE and kind in self._more):
            return
        if len(self._problems) == MAX_PROBLEMS - 1:
            message, hint, error = "there are more problems than can be shown: mend these first", "", True
        problem = Problem(
            file=place.source.name,
            line=place.line,
            column=place.column,
            message=f"{place.cell}: {message}" if place.cell else message,
            severity="error" if error else "warning",
            excerpt=place.source.line(place.line)[:_EXCERPT],
            length=max(1, place.length),
            hint=hint,
        )
        if alike > MAX_ALIKE:
            self._more[kind] = problem
        else:
            self._problems.add(problem)

    def problems(self) -> list[Problem]:
        """All problems in the order of files, lines and columns. Of many alike the rest is one: "and 3,412 more"."""
        more = (
            replace(problem, message=f"and {self._alike[kind] - MAX_ALIKE:,} more like this: {problem.message}")
            for kind, problem in self._more.items()
        )
        return sorted(self._problems.union(more))


def decode(name: str, data: bytes, report: Report) -> Source | None:
    """The text of a file, or None with the reason reported: too large, not UTF-8, or holding NUL bytes."""
    blank = Source(name, "")
    if len(data) > MAX_BYTES:
        size = f"{len(data) / 1_048_576:.1f} MB"
        report.error(blank.place(), f"the file has {size}; a policy file may have at most {MAX_BYTES // 1_048_576} MB")
        return None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        report.error(blank.place(), "the file is in UTF-16, not in UTF-8", "save it as 'CSV UTF-8' or as UTF-8 text")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        shown = Source(name, data.decode("utf-8", "replace"))
        line = len(_LINE_BREAK.findall(before)) + 1
        column = len(_LINE_BREAK.split(before)[-1]) + 1
        report.error(
            shown.place(line, column),
            f"the file is not UTF-8 text: byte 0x{data[error.start]:02x} has no meaning here",
            "save it as 'CSV UTF-8' or as UTF-8 text",
        )
        return None
    nul = text.find("\0")
    if nul >= 0:
        source = Source(name, text.replace("\0", "\N{REPLACEMENT CHARACTER}"))
        line = len(_LINE_BREAK.findall(text, 0, nul)) + 1
        column = len(_LINE_BREAK.split(text[:nul])[-1]) + 1
        report.error(
            source.place(line, column), "the file holds a NUL byte: it is not text", "save it again as UTF-8 text"
        )
        return None
    return Source(name, text)


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint "did you mean 'country'?" naming the most similar of ``choices``; "" when none is similar."""
    by_fold: dict[str, str] = {}
    for choice in choices:
        by_fold.setdefault(choice.casefold(), choice)
        if len(by_fold) >= 5_000:  # difflib is slow: beyond this a hint is not worth the wait
            break
    close = difflib.get_close_matches(word.casefold()[:100], by_fold, n=1, cutoff=0.6)
    return f"did you mean '{by_fold[close[0]]}'?" if close else ""


def render(problems: Iterable[Problem]) -> str:
    """The problems for a terminal: place, sentence, the line with the words meant underlined, and the hint."""
    return "\n".join(_render_one(problem) for problem in problems)


def _render_one(problem: Problem) -> str:
    lines = [f"{problem.file}:{problem.line}:{problem.column}: {problem.severity}: {problem.message}"]
    start = problem.column - 1
    if problem.excerpt.strip() and start <= len(problem.excerpt):
        shift = max(0, start - _WINDOW // 2) if len(problem.excerpt) > _WINDOW else 0
        shown = problem.excerpt[shift : shift + _WINDOW]
        pad = "".join("\t" if character == "\t" else " " for character in shown[: start - shift])
        marks = "^" * max(1, min(problem.length, len(shown) - (start - shift)))
        gutter = f"{problem.line:>6} | "
        lines.append(f"{gutter}{_printable(shown)}")
        lines.append(f"{' ' * 6} | {pad}{marks}")
    if problem.hint:
        lines.append(f"{' ' * 6} = {problem.hint}")
    return "\n".join(lines) + "\n"


def _printable(text: str) -> str:
    return "".join(c if c == "\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
