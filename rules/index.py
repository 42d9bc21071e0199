"""The bitmap index of a decision table.

One bit a row, in row order. For each column, the value of a lead gives the mask of the rows that this value does not
veto; the masks of all columns are ANDed, and the lowest set bit is the first row that matches. So 5,000 rows cost
nearly what 50 do: a few lookups and ANDs of big integers.

- Texts: a dict from value to mask; prefixes by their lengths.
- Numbers and days: bisection over the cut points. Slot 2i is the open gap before cut i, slot 2i+1 is the cut itself.
- A missing value passes only rows that ask for "any".

Where a mask for every known value would take too much memory (a table of 40,000 names), the few rows of a value are kept
as a list and its mask is made when it is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rules.cells import Cell, Interval, ordinal
from rules.closures import Get, as_number
from rules.values import fold

Values = dict[str, Any]
Mask = Callable[[Values], int]
_DENSE_BYTES = 16 * 1024 * 1024  # masks of one column kept ready; beyond that they are made on demand
_MAX_MEMBERS = 4_000_000  # slots × rows that a column of ranges may hold on demand


class TooLarge(Exception):
    """The ranges of a column overlap too much to be indexed."""


def bits(rows: Iterable[int]) -> int:
    """The mask with the bits of ``rows`` set."""
    mask = 0
    for row in rows:
        mask |= 1 << row
    return mask


def _many_bits(rows: Sequence[int], count: int) -> int:
    """``bits`` for long lists: linear, where OR-ing one by one would be quadratic."""
    if len(rows) < 64:
        return bits(rows)
    buffer = bytearray(count // 8 + 1)
    for row in rows:
        buffer[row >> 3] |= 1 << (row & 7)
    return int.from_bytes(buffer, "little")


def text_column(cells: Sequence[Cell], get: Get) -> Mask:
    """The masks of a column of texts, choices, people, lists or yes/no."""
    count = len(cells)
    anything = _many_bits([row for row, cell in enumerate(cells) if cell.any], count)
    negated = _many_bits([row for row, cell in enumerate(cells) if cell.negated], count)
    wanted, vetoed = _Rows(count), _Rows(count)
    for row, cell in enumerate(cells):
        (vetoed if cell.negated else wanted).add(row, cell)

    def make(text: str) -> int:
        return anything | wanted.mask(text) | (negated & ~vetoed.mask(text) if negated else 0)

    known = {*wanted.texts, *vetoed.texts}
    ready = {text: make(text) for text in known} if len(known) * count <= _DENSE_BYTES * 8 else {}

    def mask(values: Values) -> int:
        value = get(values)
        if type(value) is str:
            found = ready.get(value)
            if found is not None:
                return found
            text = fold(value)
            if not text:
                return anything
            found = ready.get(text)
            return found if found is not None else make(text)
        if type(value) is bool:
            return make("true" if value else "false")
        if type(value) in (list, tuple):
            return several(value)
        return anything

    def several(items: Sequence[Any]) -> int:
        texts = [text for item in items if type(item) is str and (text := fold(item))]
        if not texts:
            return anything
        positive, veto = 0, 0
        for text in texts:
            positive |= wanted.mask(text)
            veto |= vetoed.mask(text)
        return anything | positive | (negated & ~veto)

    return mask


class _Rows:
    """The rows that name a text, or a beginning of it."""

    def __init__(self, count: int) -> None:
        self.texts: dict[str, list[int]] = {}
        self._prefixes: dict[str, list[int]] = {}
        self._lengths: list[int] = []
        self._count = count

    def add(self, row: int, cell: Cell) -> None:
        for text in cell.texts:
            self.texts.setdefault(text, []).append(row)
        for prefix in cell.prefixes:
            self._prefixes.setdefault(prefix, []).append(row)
            if len(prefix) not in self._lengths:
                self._lengths.append(len(prefix))

    def mask(self, text: str) -> int:
        rows = self.texts.get(text)
        found = _many_bits(rows, self._count) if rows else 0
        for length in self._lengths:
            rows = self._prefixes.get(text[:length])
            if rows:
                found |= _many_bits(rows, self._count)
        return found


def number_column(cells: Sequence[Cell], get: Get) -> Mask:
    """The masks of a column of numbers. Raises TooLarge."""
    return _ordered(cells, get, as_number)


def day_column(cells: Sequence[Cell], get: Get) -> Mask:
    """The masks of a column of dates or instants, by day in UTC. Raises TooLarge."""
    return _ordered(cells, get, ordinal)


def _ordered(cells: Sequence[Cell], get: Get, read: Callable[[Any], float | int | None]) -> Mask:
    anything = _many_bits([row for row, cell in enumerate(cells) if cell.any], len(cells))
    cuts = sorted({end for cell in cells for interval in cell.intervals for end in interval if end is not None})
    slot = _slots(cuts, cells, anything)

    def mask(values: Values) -> int:
        value = read(get(values))
        if value is None:
            return anything
        at = bisect_left(cuts, value)
        return slot(2 * at + 1 if at < len(cuts) and cuts[at] == value else 2 * at)

    return mask


def _slots(cuts: list[float | int], cells: Sequence[Cell], anything: int) -> Callable[[int], int]:
    """The mask of each slot: made ready by a sweep over the slots, or kept as lists of rows where that is smaller."""
    total = 2 * len(cuts) + 1
    spans = [(row, span) for row, cell in enumerate(cells) if not cell.any for span in _spans(cuts, cell)]
    if total * len(cells) <= _DENSE_BYTES * 8:
        opening: dict[int, int] = {}
        closing: dict[int, int] = {}
        for row, (first, last) in spans:
            opening[first] = opening.get(first, 0) | 1 << row
            closing[last] = closing.get(last, 0) | 1 << row
        ready: list[int] = []
        current = 0
        for slot in range(total):
            current |= opening.get(slot, 0)
            ready.append(anything | current)
            current &= ~closing.get(slot, 0)
        return ready.__getitem__
    if sum(last - first + 1 for _, (first, last) in spans) > _MAX_MEMBERS:
        raise TooLarge
    members: dict[int, list[int]] = {}
    for row, (first, last) in spans:
        for slot in range(first, last + 1):
            members.setdefault(slot, []).append(row)
    return lambda slot: anything | _many_bits(members.get(slot, []), len(cells))


def _spans(cuts: list[float | int], cell: Cell) -> list[tuple[int, int]]:
    """The runs of slots that a cell's intervals cover, apart from each other; of a negated cell those they do not."""
    total = 2 * len(cuts) + 1
    merged: list[tuple[int, int]] = []
    for first, last in sorted(_span(cuts, interval, total) for interval in cell.intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    if not cell.negated:
        return merged
    gaps: list[tuple[int, int]] = []
    start = 0
    for first, last in merged:
        if first > start:
            gaps.append((start, first - 1))
        start = last + 1
    if start < total:
        gaps.append((start, total - 1))
    return gaps


def _span(cuts: list[float | int], interval: Interval, total: int) -> tuple[int, int]:
    low, high = interval
    first = 0 if low is None else 2 * bisect_left(cuts, low) + 1
    last = total - 1 if high is None else 2 * bisect_left(cuts, high) + 1
    return first, last
