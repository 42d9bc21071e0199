"""Generated tables: the bitmap index finds what trying one row after the other finds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from rules.model import Problem
from rules.source import Report, Source
from rules.tables import columns
from rules.tables.cells import ANY, Cell, Codes
from rules.tables.columns import Mask, column_of, dates_of
from rules.tables.csvfile import read_csv
from rules.tables.table import Table
from tests.unit.rules.samples import reader

TEXTS = ("de", "at", "94105", "94", "9", "zürich", "true", "sw1a 1aa", "01067")
PREFIXES = ("9", "94", "941", "z", "sw1")
CODES = (
    Codes("01000", "04999"),
    Codes("94000", "94105"),
    Codes("sw1", "sw9", True),
    Codes("9", "9"),
    Codes("0", "9", True),
)
NUMBERS = (-3, 0, 1, 2, 2.5, 10, 1000)

_texts = st.fixed_dictionaries(
    {
        "texts": st.lists(st.sampled_from(TEXTS), max_size=3).map(tuple),
        "prefixes": st.lists(st.sampled_from(PREFIXES), max_size=2).map(tuple),
        "codes": st.lists(st.sampled_from(CODES), max_size=2).map(tuple),
    }
)
_interval = st.one_of(
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)).map(lambda ends: (min(ends), max(ends))),
    st.sampled_from(NUMBERS).map(lambda low: (low, None)),
    st.sampled_from(NUMBERS).map(lambda high: (None, high)),
)
_intervals = st.fixed_dictionaries({"intervals": st.lists(_interval, max_size=3).map(tuple)})


def _cell(wanted: dict[str, Any], excluded: dict[str, Any]) -> Cell:
    return Cell(**wanted, excluded=Cell(**excluded) if any(excluded.values()) else None)


_text_cell = st.one_of(st.just(ANY), st.builds(_cell, _texts, _texts))
_number_cell = st.one_of(st.just(ANY), st.builds(_cell, _intervals, _intervals))
TEXT_VALUES = st.one_of(
    st.sampled_from(
        (*TEXTS, *(text.upper() for text in TEXTS), " DE ", "9410", "xx", "", "  ", "SW99", "04999", "05000")
    ),
    st.sampled_from((None, 7, 1.5, math.nan, [], {"a": 1}, True)),
    st.lists(st.sampled_from((*TEXTS, "xx")), max_size=3),
)
NUMBER_VALUES = st.one_of(
    st.sampled_from((*NUMBERS, -4, 1.5, 999.999, 1001, 10**30)),
    st.sampled_from((None, "", "5", True, math.nan, math.inf, [])),
)


def _names(cell: Cell, word: str) -> bool:
    ranges = any(
        codes.low <= word[: len(codes.low)] <= codes.high and (codes.prefix or len(word) == len(codes.low))
        for codes in cell.codes
        if len(word) >= len(codes.low)
    )
    return word in cell.texts or word.startswith(cell.prefixes) or ranges


def _text_holds(cell: Cell, value: Any, category: str) -> bool:
    if cell.any:
        return True
    values = value if isinstance(value, list) and category == "list" else [value]
    words = [one.strip().casefold() for one in values if isinstance(one, str) and one.strip()]
    if not words or (cell.excluded and any(_names(cell.excluded, word) for word in words)):
        return False
    return not cell.positive or any(_names(cell, word) for word in words)


def _number_holds(cell: Cell, value: Any) -> bool:
    if cell.any:
        return True
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        return False

    def inside(part: Cell) -> bool:
        return any((low is None or value >= low) and (high is None or value <= high) for low, high in part.intervals)

    return (inside(cell) or not cell.positive) and not (cell.excluded and inside(cell.excluded))


def _rows(mask: int, count: int) -> list[bool]:
    return [bool(mask >> row & 1) for row in range(count)]


def _mask(category: str, cells: Sequence[Cell], budget: int) -> Mask:
    with patch.object(columns, "_READY_BYTES", budget), patch.object(columns, "_FEW", 1 if budget < 100 else 32):
        found = column_of(category, cells, lambda values: values["x"])
    return found or (lambda _: (1 << len(cells)) - 1)


BUDGETS = st.sampled_from((1, 20, 4 * 1024 * 1024))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(_text_cell, min_size=1, max_size=40),
    st.lists(TEXT_VALUES, max_size=6),
    BUDGETS,
    st.sampled_from(("text", "list")),
)
def test_a_column_of_texts_passes_the_rows_that_hold(
    cells: Sequence[Cell], values: list[Any], budget: int, category: str
) -> None:
    mask = _mask(category, cells, budget)
    for value in values:
        assert _rows(mask({"x": value}), len(cells)) == [_text_holds(cell, value, category) for cell in cells]


@settings(max_examples=200, deadline=None)
@given(st.lists(_number_cell, min_size=1, max_size=40), st.lists(NUMBER_VALUES, max_size=6), BUDGETS)
@example([Cell(excluded=Cell(intervals=((1, 2), (2, 10))))], [2], 1)
@example([Cell(intervals=((1, 2), (2, 10)), excluded=Cell(intervals=((2, 2),)))], [2, 2.5, 1, 11], 1)
def test_a_column_of_numbers_passes_the_rows_that_hold(cells: Sequence[Cell], values: list[Any], budget: int) -> None:
    mask = _mask("number", cells, budget)
    for value in values:
        assert _rows(mask({"x": value}), len(cells)) == [_number_holds(cell, value) for cell in cells]


FIRST = date(2026, 1, 1)
_day = st.one_of(st.none(), st.integers(0, 6).map(lambda days: (FIRST + timedelta(days=days)).toordinal()))
_span = st.tuples(_day, _day).filter(lambda span: None in span or span[0] <= span[1])


@settings(max_examples=200, deadline=None)
@given(st.lists(_span, min_size=1, max_size=40), st.lists(st.integers(-2, 9), min_size=1, max_size=8), BUDGETS)
def test_rows_are_in_force_from_their_first_to_their_last_day(spans: list[Any], days: list[int], budget: int) -> None:
    with patch.object(columns, "_READY_BYTES", budget):
        in_force = dates_of(spans)
    for today in (FIRST + timedelta(days=day) for day in days):
        number = today.toordinal()
        expected = [(low is None or number >= low) and (high is None or number <= high) for low, high in spans]
        assert _rows(in_force(today) if in_force else -1, len(spans)) == expected


class Asked(Struct, frozen=True):
    """A cell as an admin writes it, and what it means, worked out apart from the reader."""

    text: str
    holds: Callable[[Any], bool]


def _word(meaning: Callable[[str], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value.strip() != "" and meaning(value.strip().casefold())


def _size(meaning: Callable[[float], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and meaning(value)


def _always(_: Any) -> bool:
    return True


COUNTRY = st.sampled_from(
    [
        Asked("", _always),
        Asked("any", _always),
        Asked("DE", _word(lambda word: word == "de")),
        Asked("de, AT ,CH", _word(lambda word: word in ("de", "at", "ch"))),
        Asked("not DE, AT", _word(lambda word: word not in ("de", "at"))),
        Asked("D*, not DK", _word(lambda word: word.startswith("d") and word != "dk")),
        Asked("A*..D*", _word(lambda word: "a" <= word[0] <= "d")),
    ]
)
CODE = st.sampled_from(
    [
        Asked("", _always),
        Asked("01000..04999", _word(lambda word: len(word) == 5 and "01000" <= word <= "04999")),
        Asked("010*..049*", _word(lambda word: len(word) >= 3 and "010" <= word[:3] <= "049")),
        Asked("SW1*..SW9*", _word(lambda word: "sw1" <= word[:3] <= "sw9" and len(word) >= 3)),
        Asked("10000..19999, 940*, not 94105", _word(lambda w: ((len(w) == 5 and w[0] == "1") or w[:3] == "940") and w != "94105")),
        Asked("94000..94999, not 941*, 94007", _word(lambda w: len(w) == 5 and w[:2] == "94" and w[:3] != "941" and w != "94007")),
        Asked('"01000..04999"', _word(lambda word: word == "01000..04999")),
    ]
)  # fmt: skip
SIZE = st.sampled_from(
    [
        Asked("", _always),
        Asked("..9", _size(lambda n: n <= 9)),
        Asked("1, 3..4", _size(lambda n: n == 1 or 3 <= n <= 4)),
        Asked("10..99, not 50", _size(lambda n: 10 <= n <= 99 and n != 50)),
        Asked("not 5..20", _size(lambda n: not 5 <= n <= 20)),
        Asked("-2.5..", _size(lambda n: n >= -2.5)),
    ]
)
BORN = st.sampled_from(
    [
        Asked("", _always),
        Asked("1990-01-01..1990-12-31", lambda v: isinstance(v, str) and v[:4] == "1990" and len(v) == 10),
        Asked("not 1990-05-17", lambda v: isinstance(v, str) and len(v) == 10 and v != "1990-05-17"),
    ]
)
FREE = st.sampled_from(
    [Asked("", _always), Asked("yes", lambda v: v is True), Asked("no", lambda v: v is False)]
)  # fmt: skip
COLUMNS = (("country", COUNTRY), ("postal_code", CODE), ("employees", SIZE), ("birthday", BORN), ("free_email", FREE))
LEADS = st.fixed_dictionaries(
    {
        "country": st.sampled_from(("DE", "AT", "dk", "XX", "", None, 5)),
        "postal_code": st.sampled_from(("01067", "1067", "15000", "94007", "94105", "940", "sw1a 1aa", "SW9 2AB", "01000..04999", None)),
        "employees": st.sampled_from((-5, -2.5, 1, 3, 9, 10, 50, 99, "9", None)),
        "birthday": st.sampled_from(("1990-05-17", "1990-12-31", "1991-01-01", "1990-13-01x", None)),
        "free_email": st.sampled_from((True, False, None)),
    }
)  # fmt: skip
_row = st.tuples(st.tuples(*(cells for _, cells in COLUMNS)), _span, st.integers(1, 3))


def _iso(number: int | None) -> str:
    return "" if number is None else date.fromordinal(number).isoformat()


def read_table(text: str) -> tuple[Table, list[Problem]]:
    """The table, and what keeps it from going live."""
    report = Report()
    sheet = read_csv(Source("table.csv", text), report)
    assert sheet is not None
    table = reader(report).read(sheet)
    assert table is not None
    return table, [problem for problem in report.problems() if problem.severity == "error"]


def _expected(rows: list[Any], lead: dict[str, Any], today: int, hit: str) -> str:
    """One row after the other."""
    found = [
        (priority if hit == "priority" else 0, number)
        for number, (cells, (low, high), priority) in enumerate(rows)
        if (low is None or today >= low)
        and (high is None or today <= high)
        and all(cell.holds(lead[name]) for (name, _), cell in zip(COLUMNS, cells, strict=True))
    ]
    if hit == "unique" and len(found) > 1:
        return f"{found[0][1]} clashes with {found[1][1]}"
    return f"row {min(found)[1]}" if found else "none"


@settings(max_examples=250, deadline=None)
@given(
    st.lists(_row, min_size=1, max_size=12, unique_by=lambda row: (tuple(cell.text for cell in row[0]), row[1])),
    LEADS,
    st.integers(-1, 7),
    st.sampled_from(("first", "unique", "priority")),
    BUDGETS,
)
def test_the_row_that_decides_is_the_one_a_walk_finds(
    rows: list[Any], lead: Any, day: int, hit: str, budget: int
) -> None:
    lines = [
        f"# hit: {hit}",
        f"name,{','.join(name for name, _ in COLUMNS)},valid_from,valid_to,{'priority,' if hit == 'priority' else ''}assign",
    ]
    for number, (cells, (low, high), priority) in enumerate(rows):
        written = ['"' + cell.text.replace('"', '""') + '"' for cell in cells] + [_iso(low), _iso(high)]
        lines.append(
            ",".join([f"R{number}", *written, *([str(priority)] if hit == "priority" else []), f"hold row {number}"])
        )
    with patch.object(columns, "_READY_BYTES", budget):
        table, problems = read_table("\n".join(lines))
    if problems:  # "any" and blank ask for the same, which only one row of a unique table may
        assert hit == "unique"
        assert all("asks for the same" in problem.message for problem in problems)
        return
    now = datetime.combine(FIRST + timedelta(days=day), datetime.max.time(), UTC)
    found = table.find({path.text: path.get({"lead": lead}) for path in table.paths}, now)
    expected = _expected(rows, lead, FIRST.toordinal() + day, hit)
    if "clashes" in expected:
        one, _, other = expected.partition(" clashes with ")
        assert found.action.kind == "hold"
        assert (
            f"table.csv line {int(one) + 3}: R{one} and table.csv line {int(other) + 3}: R{other}" in found.action.value
        )
    else:
        assert (found.action.value if found else "none") == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=6, unique=True).map(sorted), st.sampled_from(NUMBERS))
def test_ranges_side_by_side_give_every_number_to_one_row(cuts: list[float], value: float) -> None:
    ends = [(None, cuts[0]), *pairwise(cuts), (cuts[-1], None)]
    mask = _mask("number", [Cell(intervals=(end,)) for end in ends], 1)({"x": value})
    first = (mask & -mask).bit_length() - 1
    assert first == next(row for row, (_, high) in enumerate(ends) if high is None or value <= high)
