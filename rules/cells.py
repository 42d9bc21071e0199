"""The cells of a decision table: ``"DE, AT, CH"``, ``1000..``, ``200..999``, ``not DE``, ``94*``, blank for any."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rules.checking import CATEGORY, wrong_choice
from rules.fields import Path
from rules.people import People
from rules.source import Place, Report
from rules.values import Moment, day, fold, moment

MAX_ITEMS = 5_000  # values of one cell
_ITEM = re.compile(r'\s*(?:"([^"]*)"|([^,"]*))\s*(?:,|$)')
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?(?!\d)")
_BOOLEANS = {"yes": "true", "true": "true", "no": "false", "false": "false"}

Interval = tuple[float | int | None, float | int | None]


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell asks for. All empty: any value. ``negated``: none of them, but some value."""

    texts: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    intervals: tuple[Interval, ...] = ()
    negated: bool = False

    @property
    def any(self) -> bool:
        return not (self.texts or self.prefixes or self.intervals)


ANY = Cell()


class CellReader:
    """Reads the cells of one column. ``ordered`` columns (numbers, dates) hold intervals, others texts."""

    def __init__(self, path: Path, people: People, report: Report) -> None:
        self.path = path
        self.category = CATEGORY[path.field.type]
        self.ordered = self.category in ("number", "date")
        self._people = people
        self._report = report
        self._known: dict[str, Cell] = {}

    def read(self, text: str, place: Callable[[], Place]) -> Cell:
        """The cell; mistakes are reported at ``place()`` and read as "any"."""
        found = self._known.get(text)
        if found is None:
            before = self._report.errors
            found = self._read(text, place)
            if self._report.errors == before:
                self._known[text] = found  # the same words are not read twice, unless they are to be reported again
        return found

    def _read(self, text: str, place: Callable[[], Place]) -> Cell:
        text = text.strip()
        if not text or text == "*" or text.casefold() == "any":
            return ANY
        negated = text[:4].casefold() == "not " and len(text) > 4
        body = text[4:] if negated else text
        if self.ordered and _THOUSANDS.match(body.strip()):
            self._error(
                place,
                f"'{body}' could be one number or several",
                "write 1000 without a comma; after a comma put a space",
            )
            return ANY
        items = self._split(body, place)
        if len(items) > MAX_ITEMS:
            self._error(place, f"this cell lists more than {MAX_ITEMS:,} values: split the row", "")
            return ANY
        if self.ordered:
            found = [self._interval(item, place) for item, _ in items]
            return Cell(intervals=tuple(one for one in found if one is not None), negated=negated)
        return self._texts(items, negated, place)

    def _split(self, body: str, place: Callable[[], Place]) -> list[tuple[str, bool]]:
        """The items between the commas, and whether each was in quotes."""
        items: list[tuple[str, bool]] = []
        at = 0
        while at < len(body):
            match = _ITEM.match(body, at)
            if match is None:
                self._error(
                    place, "this cell has a quote that is not closed", 'write "Smith, Inc" or leave the quotes out'
                )
                return []
            quoted = match.group(1) is not None
            item = (match.group(1) if quoted else match.group(2)).strip()
            if item:
                items.append((item, quoted))
            at = match.end()
        if not items:
            self._error(place, "this cell holds only commas", "leave it blank for 'any'")
        return items

    def _texts(self, items: list[tuple[str, bool]], negated: bool, place: Callable[[], Place]) -> Cell:
        texts: list[str] = []
        prefixes: list[str] = []
        for item, quoted in items:
            if not quoted and item.endswith("*") and self.category in ("text", "list"):
                prefixes.append(fold(item.rstrip("*")))
            else:
                value = self._text(item, quoted, place)
                if value is not None:
                    texts.append(value)
        return Cell(texts=tuple(texts), prefixes=tuple(prefixes), negated=negated)

    def _text(self, item: str, quoted: bool, place: Callable[[], Place]) -> str | None:
        if self.category == "boolean":
            if item.casefold() not in _BOOLEANS:
                self._error(place, f"{self.path.text} is yes or no, not '{item}'", "")
            return _BOOLEANS.get(item.casefold())
        if self.category == "person":
            person = self._people.find(item)
            if person is None:
                self._error(place, *self._people.unknown(item))
            return person.key if person else None
        if not quoted and ".." in item:
            what = f"{self.path.text} is a text: a range needs a number or a date"
            self._error(place, what, 'for a beginning write 94*; if the dots are meant, put quotes around: "a..b"')
            return None
        if (wrong := wrong_choice(item, self.path)) is not None:
            self._error(place, *wrong)
            return None
        return fold(item)

    def _interval(self, item: str, place: Callable[[], Place]) -> Interval | None:
        low_text, dots, high_text = item.partition("..")
        low, high = self._point(low_text), self._point(high_text if dots else low_text)
        bad = (
            (low is None and low_text.strip()) or (high is None and high_text.strip()) or (low is None and high is None)
        )
        if bad:
            kind = "number" if self.category == "number" else "date"
            self._error(place, f"'{item}' is no {kind} and no range of {kind}s", self._suggestion(item))
            return None
        if low is not None and high is not None and low > high:
            self._error(
                place, f"the range '{item}' is the wrong way round: nothing is in it", "write the smaller end first"
            )
            return None
        return low, high

    def _point(self, text: str) -> float | int | None:
        text = text.strip()
        if self.category == "date":
            return ordinal(text)
        if not _NUMBER.fullmatch(text):
            return None
        return float(text) if "." in text else int(text)

    def _suggestion(self, item: str) -> str:
        if self.category == "date":
            return "write 2026-11-22, or 2026-01-01..2026-03-31"
        if match := re.fullmatch(r"(>=?|<=?)\s*(\d+)", item):
            sign, number = match.group(1), int(match.group(2))
            if sign.startswith(">"):
                return f"did you mean '{number + (sign == '>')}..'?"
            return f"did you mean '..{number - (sign == '<')}'?"
        if match := re.fullmatch(r"(\d+)\s*(?:-|–|to)\s*(\d+)", item):
            return f"did you mean '{match.group(1)}..{match.group(2)}'?"
        if match := re.fullmatch(r"(\d+)\s*\+", item):
            return f"did you mean '{match.group(1)}..'?"
        return "write 200, 200..999, 1000.. or ..50"

    def _error(self, place: Callable[[], Place], message: str, hint: str) -> None:
        self._report.error(place(), message, hint)


def ordinal(value: Any) -> int | None:
    """The day of ISO text as a number that orders days; None when it is none."""
    found: Moment | None = moment(value)
    return day(found).toordinal() if found is not None else None
