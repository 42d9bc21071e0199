"""The cells of a decision table: ``"DE, AT, CH"``, ``1000..``, ``94*``, ``10000..19999, not 12345``, blank for any."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from rules.fields import Path
from rules.language.checking import CATEGORY, wrong_choice
from rules.pools.people import People
from rules.source import Place, Report
from rules.values import Moment, day, fold, moment

MAX_ITEMS = 5_000  # values of one cell
_ITEM = re.compile(r'\s*(?:(not)\s+)?(?:"([^"]*)"|([^,"]*))\s*(?:,|$)', re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?(?!\d)")
_SPECIAL = re.compile(
    r'[,"*\u2013]|\.\.|^not(\s|$)|^\d{2,}\s*\D|^[-!<>=≠]|^n/?a$', re.IGNORECASE
)  # what makes more of a cell than one text
_DIGITS = re.compile(r"([0-9]{1,32})\.\.([0-9]{1,32})")
_CODE = re.compile(r"[0-9a-z][0-9a-z -]{0,31}")
_BOOLEANS = {"yes": "true", "true": "true", "no": "false", "false": "false"}

Interval = tuple[float | int | None, float | int | None]


class Codes(Struct, frozen=True, gc=False):
    """``01000..04999``: codes from ``low`` to ``high``, both included, all of their length; folded.

    With ``prefix`` (``SW1*..SW9*``) the beginning of that length counts, whatever follows.
    """

    low: str
    high: str
    prefix: bool = False


class Cell(Struct, frozen=True, gc=False):
    """What a cell asks for: one of these, and none of ``excluded``. Nothing at all: any value, also a blank one.

    Only ``excluded``: any other value, but not a blank one. ``texts``, ``prefixes`` and ``codes`` are of text columns and
    folded; ``intervals`` are of numbers, or of days counted as ``date.toordinal`` does; None is open.
    """

    texts: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    codes: tuple[Codes, ...] = ()
    intervals: tuple[Interval, ...] = ()
    excluded: Cell | None = None

    @property
    def positive(self) -> bool:
        """Whether it names what it wants, not only what it does not."""
        return bool(self.texts or self.prefixes or self.codes or self.intervals)

    @property
    def any(self) -> bool:
        return self.excluded is None and not self.positive


ANY = Cell()


class CellReader:
    """Reads the cells of one column. ``ordered`` columns (numbers, dates) hold intervals, others texts."""

    def __init__(self, path: Path, people: People, report: Report) -> None:
        self.path = path
        self.category = CATEGORY[path.field.type]
        self.ordered = self.category in ("number", "date")
        self._choices = frozenset(fold(choice) for choice in path.field.choices)
        self._plain = self.category in ("text", "list") and not self._choices
        self._people = people
        self._report = report
        self._known: dict[str, tuple[Cell, list[tuple[str, str]]]] = {}  # with the mistakes, told again at every place
        self._told: list[tuple[str, str]] = []
        self._doubts: list[tuple[str, str]] = []
        self._same: dict[Cell, Cell] = {}

    def read(self, text: str, place: Callable[[], Place]) -> Cell:
        """The cell; mistakes are reported at ``place()`` and read as "any". Cells that ask for the same are one object."""
        known = self._known.get(text)
        if known is None:
            self._told, self._doubts = [], []
            found = self._read(text)
            known = self._known[text] = (self._same.setdefault(found, found), self._told)
            for message, hint in self._doubts:
                self._report.warn(place(), message, hint)  # once is enough
        for message, hint in known[1]:
            self._report.error(place(), message, hint)
        return known[0]

    def _read(self, text: str) -> Cell:
        text = text.strip()
        if not text or text == "*" or text.casefold() == "any":
            return ANY
        if self._plain and not _SPECIAL.search(text):
            return Cell((fold(text),))
        if self.ordered and (several := _THOUSANDS.search(text)):
            self._error(
                f"'{several.group()}' could be one number or several",
                "write 1000 without a comma; after a comma put a space",
            )
            return ANY
        items = self._split(text)
        if len(items) > MAX_ITEMS:
            self._error(f"this cell lists more than {MAX_ITEMS:,} values: split the row", "")
            return ANY
        wanted = [(item, quoted) for item, quoted, excluded in items if not excluded]
        unwanted = [(item, quoted) for item, quoted, excluded in items if excluded]
        read = self._intervals if self.ordered else self._texts
        return read(wanted, read(unwanted, None) if unwanted else None)

    def _split(self, body: str) -> list[tuple[str, bool, bool]]:
        """The items between the commas, whether each was in quotes, and whether it follows a ``not``."""
        items: list[tuple[str, bool, bool]] = []
        at, excluded = 0, False
        while at < len(body):
            match = _ITEM.match(body, at)
            if match is None:
                hint = 'write "Smith, Inc" or leave the quotes out'
                self._error("this cell has a quote that is not closed", hint)
                return []
            quoted = match.group(2) is not None
            item = (match.group(2) if quoted else match.group(3)).strip()
            if item.casefold() == "not" and not quoted and fold(item) not in self._choices:
                self._error("'not' what? The values are missing", "not DE, AT")
                return []
            if match.group(1) and fold(f"not {item}") in self._choices:
                item = f"{match.group(1)} {item}"  # "Not interested" is a value of its own
            elif match.group(1):
                excluded = True
            if item:
                items.append((item, quoted, excluded))
            elif match.group(1):
                self._error("'not' what? The values are missing", "not DE, AT")
            at = match.end()
        if not items:
            self._error("this cell holds only commas", "leave it blank for 'any'")
        return items

    def _intervals(self, items: list[tuple[str, bool]], excluded: Cell | None) -> Cell:
        found = [self._interval(item) for item, _ in items]
        return Cell(intervals=tuple(one for one in found if one is not None), excluded=excluded)

    def _texts(self, items: list[tuple[str, bool]], excluded: Cell | None) -> Cell:
        texts: set[str] = set()
        prefixes: set[str] = set()
        codes: list[Codes] = []
        plain = self.category in ("text", "list")
        for item, quoted in items:
            if plain and not quoted and ".." in item:
                if (found := self._codes(item)) is not None:
                    codes.append(found)
            elif plain and not quoted and item.endswith("*"):
                prefixes.add(fold(item.rstrip("*")))
            elif (value := self._text(item, quoted)) is not None:
                texts.add(value)
        return Cell(tuple(sorted(texts)), tuple(sorted(prefixes)), tuple(codes), excluded=excluded)

    def _text(self, item: str, quoted: bool) -> str | None:
        if self.category == "boolean":
            if item.casefold() not in _BOOLEANS:
                self._error(f"{self.path.text} is yes or no, not '{item}'", "")
            return _BOOLEANS.get(item.casefold())
        if self.category == "person":
            person = self._people.find(item)
            if person is None:
                self._error(*self._people.unknown(item))
            return person.key if person else None
        if (wrong := wrong_choice(item, self.path)) is not None:
            self._error(*wrong)
            return None
        if not quoted and not self._choices and (meant := _meant(item)):
            self._doubts.append(
                (f"'{item}' is read as one text", f"{meant} If the text is meant, put it in double quotes")
            )
        return fold(item)

    def _codes(self, item: str) -> Codes | None:
        """A range of postal codes. Both ends have the same length, so that texts sort as codes do."""
        digits = _DIGITS.fullmatch(item)
        if digits and len(digits[1]) == len(digits[2]) and digits[1] <= digits[2]:
            return Codes(digits[1], digits[2])
        low_text, _, high_text = (part.strip() for part in item.partition(".."))
        prefix = low_text.endswith("*") and high_text.endswith("*")
        low, high = (
            fold(low_text.rstrip("*") if prefix else low_text),
            fold(high_text.rstrip("*") if prefix else high_text),
        )
        what = f"'{item}' is no range of codes: "
        hint = 'write 01000..04999 or SW1*..SW9*; if the dots are meant, put quotes around: "a..b"'
        if not low or not high:
            self._error(f"{what}{self.path.text} is a text, and both ends are needed", hint)
        elif not _CODE.fullmatch(low) or not _CODE.fullmatch(high):
            self._error(f"{what}its ends may hold letters, digits, blanks and hyphens only", hint)
        elif not prefix and not (re.search(r"\d", low) and re.search(r"\d", high)):
            self._error(
                f"{what}{self.path.text} is a text, and words have no order",
                f"for beginnings write {low_text.rstrip('*').upper()}*..{high_text.rstrip('*').upper()}*",
            )
        elif len(low) != len(high):
            self._error(f"{what}both ends must have the same length", _padded(low, high) or hint)
        elif low > high:
            self._error(f"the range '{item}' is the wrong way round: nothing is in it", "write the smaller end first")
        else:
            return Codes(low, high, prefix)
        return None

    def _interval(self, item: str) -> Interval | None:
        low_text, dots, high_text = item.partition("..")
        low, high = self._point(low_text), self._point(high_text if dots else low_text)
        bad = (
            (low is None and low_text.strip()) or (high is None and high_text.strip()) or (low is None and high is None)
        )
        if bad:
            kind = "number" if self.category == "number" else "date"
            self._error(f"'{item}' is no {kind} and no range of {kind}s", self._suggestion(item))
            return None
        if low is not None and high is not None and low > high:
            self._error(f"the range '{item}' is the wrong way round: nothing is in it", "write the smaller end first")
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

    def _error(self, message: str, hint: str) -> None:
        self._told.append((message, hint))


def _meant(item: str) -> str:
    """What ``94000-94999``, ``94xxx``, ``!DE`` and ``-`` were probably meant to be, as a hint; "" for other texts."""
    if item.casefold() in ("-", "–", "n/a", "na"):
        return "leave the cell blank for 'any'."
    if (match := re.match(r"(!=?|<>|≠)\s*(?=\w)", item)) is not None:
        return f"did you mean 'not {item[match.end() :]}'?"
    if re.match(r"[<>]=?\s*\w", item):
        return "only numbers and dates are compared so."
    found = _range_meant(item)
    return f"did you mean '{found}'?" if found else ""


def _range_meant(item: str) -> str:
    if (match := re.fullmatch(r"(\d{3,10})\s*(?:-|–|to)\s*(\d{3,10})", item)) and len(match[1]) == len(match[2]):
        return f"{match[1]}..{match[2]}" if match[1] < match[2] else ""
    match = re.fullmatch(r"(\d{2,})[xX?#]{2,5}", item)
    return f"{match[1]}*" if match else ""


def _padded(low: str, high: str) -> str:
    """The hint for ``1000..04999``: a leading zero was lost."""
    if low.isdigit() and high.isdigit() and len(low) < len(high):
        return f"did you mean '{low.zfill(len(high))}..{high}'? Spreadsheets drop leading zeros"
    return ""


def ordinal(value: Any) -> int | None:
    """The day of ISO text as a number that orders days; None when it is none."""
    found: Moment | None = moment(value)
    return day(found).toordinal() if found is not None else None
