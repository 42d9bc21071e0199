"""Generated tables: the bitmap index finds the row that trying one row after the other finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rules import index
from rules.cells import ANY, Cell
from rules.index import TooLarge, number_column, text_column
from rules.policy import compile_policy
from tests.unit.rules.samples import facts, ladder, policy_files, walk

TEXTS = ("de", "at", "94105", "94", "9", "zürich", "true")
PREFIXES = ("9", "94", "941", "z")
NUMBERS = (-3, 0, 1, 2, 2.5, 10, 1000)

_text_cell = st.one_of(
    st.just(ANY),
    st.builds(
        Cell,
        texts=st.lists(st.sampled_from(TEXTS), max_size=3).map(tuple),
        prefixes=st.lists(st.sampled_from(PREFIXES), max_size=2).map(tuple),
        negated=st.booleans(),
    ).map(lambda cell: ANY if cell.any else cell),
)
_interval = st.one_of(
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)).map(lambda ends: (min(ends), max(ends))),
    st.sampled_from(NUMBERS).map(lambda low: (low, None)),
    st.sampled_from(NUMBERS).map(lambda high: (None, high)),
)
_number_cell = st.one_of(
    st.just(ANY),
    st.builds(Cell, intervals=st.lists(_interval, min_size=1, max_size=3).map(tuple), negated=st.booleans()),
)
TEXT_VALUES = st.one_of(
    st.sampled_from((*TEXTS, *(text.upper() for text in TEXTS), " DE ", "9410", "xx", "", "  ")),
    st.sampled_from((None, 7, 1.5, math.nan, [], {"a": 1}, True)),
    st.lists(st.sampled_from((*TEXTS, "xx")), max_size=3),
)
NUMBER_VALUES = st.one_of(
    st.sampled_from((*NUMBERS, -4, 1.5, 999.999, 1001, 10**30)),
    st.sampled_from((None, "", "5", True, math.nan, math.inf, [])),
)


def _text_holds(cell: Cell, value: Any) -> bool:
    if cell.any:
        return True
    values = value if isinstance(value, list) else ["true" if value is True else value]
    words = [one.strip().casefold() for one in values if isinstance(one, str) and one.strip()]
    if not words:
        return False
    found = any(word in cell.texts or word.startswith(cell.prefixes) for word in words)
    return found is not cell.negated


def _number_holds(cell: Cell, value: Any) -> bool:
    if cell.any:
        return True
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        return False
    found = any((low is None or value >= low) and (high is None or value <= high) for low, high in cell.intervals)
    return found is not cell.negated


def _rows(mask: int, count: int) -> list[bool]:
    return [bool(mask >> row & 1) for row in range(count)]


@settings(max_examples=400, deadline=None)
@given(st.lists(_text_cell, min_size=1, max_size=80), TEXT_VALUES, st.booleans())
def test_a_column_of_texts_passes_the_rows_that_hold(cells: Sequence[Cell], value: Any, sparse: bool) -> None:
    with patch.object(index, "_DENSE_BYTES", 0 if sparse else index._DENSE_BYTES):
        mask = text_column(cells, lambda values: values["x"])({"x": value})
    assert _rows(mask, len(cells)) == [_text_holds(cell, value) for cell in cells]


@settings(max_examples=400, deadline=None)
@given(st.lists(_number_cell, min_size=1, max_size=80), NUMBER_VALUES, st.booleans())
@example([Cell(intervals=((1, 2), (2, 10)), negated=True)], 2, False)
def test_a_column_of_numbers_passes_the_rows_that_hold(cells: Sequence[Cell], value: Any, sparse: bool) -> None:
    with patch.object(index, "_DENSE_BYTES", 0 if sparse else index._DENSE_BYTES):
        mask = number_column(cells, lambda values: values["x"])({"x": value})
    assert _rows(mask, len(cells)) == [_number_holds(cell, value) for cell in cells]


def test_a_column_whose_ranges_cannot_be_indexed_says_so() -> None:
    cells = [Cell(intervals=((low, 100_000 + low),)) for low in range(300)]
    with (
        patch.object(index, "_DENSE_BYTES", 0),
        patch.object(index, "_MAX_MEMBERS", 1_000),
    ):
        try:
            number_column(cells, lambda values: values["x"])
        except TooLarge:
            return
    raise AssertionError("the column was indexed")


_country = st.lists(st.sampled_from(("DE", "AT", "CH", "9*")), max_size=3, unique=True)
_size = st.sampled_from(("", "..9", "5", "10..", "10..99", "1, 3..4", "not 5..20"))
_row = st.tuples(_country, st.booleans(), _size, st.sampled_from(("", "yes", "no")))


def _write_cell(countries: list[str], negated: bool) -> str:
    return ("not " if negated and countries else "") + ", ".join(countries)


def _size_holds(cell: str, value: int | None) -> bool:
    return not cell or (value is not None and value in {
        "..9": range(-1000, 10), "5": (5,), "10..": range(10, 10_000), "10..99": range(10, 100), "1, 3..4": (1, 3, 4),
        "not 5..20": [*range(-1000, 5), *range(21, 10_000)],
    }[cell])  # fmt: skip


def _country_holds(countries: list[str], negated: bool, value: str | None) -> bool:
    if not countries:
        return True
    if value is None:
        return False
    return (value in countries or ("9*" in countries and value.startswith("9"))) is not negated


@settings(max_examples=150, deadline=None)
@given(
    st.lists(_row, min_size=1, max_size=12),
    st.sampled_from(("DE", "AT", "99", "XX", None)),
    st.sampled_from((-1, 4, 5, 9, 10, 99, 100, None)),
    st.sampled_from((True, False, None)),
)
def test_the_first_row_that_holds_decides(rows: list[Any], country: Any, size: Any, free: Any) -> None:
    lines = ["name,country,employees,free_email,assign"]
    lines += [
        f'R{number},"{_write_cell(countries, negated)}","{cell}",{flag},hold row {number}'
        for number, (countries, negated, cell, flag) in enumerate(rows)
    ]
    engagement = ladder("rung: Table\nlookup: table.csv", "otherwise: hold none")
    policy = compile_policy(policy_files(engagement=engagement, table="\n".join(lines)))
    result = walk(policy, facts({"country": country, "employees": size, "free_email": free}))
    expected = next(
        (
            f"row {number}"
            for number, (countries, negated, cell, flag) in enumerate(rows)
            if _country_holds(countries, negated, country)
            and _size_holds(cell, size)
            and (not flag or free is (flag == "yes"))
        ),
        "none",
    )
    assert result.action.value == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=6, unique=True).map(sorted), st.sampled_from(NUMBERS))
def test_ranges_side_by_side_give_every_number_to_one_row(cuts: list[float], value: float) -> None:
    ends = [(None, cuts[0]), *pairwise(cuts), (cuts[-1], None)]
    cells = [Cell(intervals=(end,)) for end in ends]
    mask = number_column(cells, lambda values: values["x"])({"x": value})
    first = (mask & -mask).bit_length() - 1
    assert first == next(row for row, (_, high) in enumerate(ends) if high is None or value <= high)
