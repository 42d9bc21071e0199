"""The bitmap index of a decision table, column by column.

One bit a row, in the order in which rows are asked. For each column, the value of a lead gives the mask of the rows that
this value does not veto; the masks of all columns are ANDed, and the lowest set bit is the row that decides. So 5,000
rows cost nearly what 50 do: a few lookups and ANDs of big integers.

- Texts: a dict from value to rows; prefixes by their lengths.
- Numbers, days and ranges of codes: bisection over the cut points.
- A missing value passes only rows that ask for "any".

A mask for every known value would be quadratic: 40,000 names in as many rows are 200 MB. So beyond a budget only values
of many rows have their mask ready, and the few rows of the others are made into a mask when one of them is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any

from rules.language.closures import Get, as_number
from rules.tables.cells import Cell, Codes, Interval, ordinal
from rules.values import fold

Values = dict[str, Any]
Mask = Callable[[Values], int]
_READY_BYTES = 4 * 1024 * 1024  # masks kept ready for one column
_FEW = 32  # rows that are always cheap to make into a mask


def bits(rows: Sequence[int], count: int) -> int:
    """The mask of ``rows``; a row named twice is there once. Linear for long lists, where OR-ing would be quadratic."""
    if len(rows) <= 2:
        mask = 0
        for row in rows:
            mask |= 1 << row
        return mask
    buffer = bytearray(count // 8 + 1)
    for row in rows:
        buffer[row >> 3] |= 1 << (row & 7)
    return int.from_bytes(buffer, "little")


def column_of(category: str, cells: Sequence[Cell], get: Get) -> Mask | None:
    """The masks of a column; None when every row asks for "any"."""
    if all(cell.any for cell in cells):
        return None
    if category == "number":
        return _ordered(cells, get, as_number)
    if category == "date":
        return _ordered(cells, get, ordinal)
    if category == "boolean":  # a text "yes" in a yes or no field fits it as little as in a condition
        return _texts(cells, category, lambda values: found if type(found := get(values)) is bool else None)
    return _texts(cells, category, get)


def dates_of(spans: Sequence[Interval]) -> Callable[[date], int] | None:
    """The rows in force on a day, from the first and last day of each; None when all always are."""
    if all(span == (None, None) for span in spans):
        return None
    cuts = _cuts(spans)
    steps = Steps(len(spans), [(row, _span(cuts, span)) for row, span in enumerate(spans)])
    last: tuple[int, int] = (0, 0)

    def in_force(day: date) -> int:
        nonlocal last  # days follow each other: what was found for this one holds for all its leads
        number = day.toordinal()
        known, mask = last
        if known != number:
            mask = steps.at(_slot(cuts, number))
            last = (number, mask)
        return mask

    return in_force


def _texts(cells: Sequence[Cell], category: str, get: Get) -> Mask:
    """The masks of a column of texts, choices, people, lists or yes/no. A value of another type is as good as none."""
    count = len(cells)
    anything = bits([row for row, cell in enumerate(cells) if cell.any], count)
    other = bits([row for row, cell in enumerate(cells) if cell.excluded is not None and not cell.positive], count)
    wanted = TextRows(count, ((row, cell) for row, cell in enumerate(cells)))
    vetoed = TextRows(count, ((row, cell.excluded) for row, cell in enumerate(cells) if cell.excluded is not None))
    excludes = any(cell.excluded is not None for cell in cells)

    def make(text: str) -> int:
        if excludes:
            return anything | ((other | wanted.mask(text)) & ~vetoed.mask(text))
        return anything | wanted.mask(text)

    known = {*wanted.texts, *vetoed.texts}
    ready = {text: make(text) for text in known} if len(known) * count <= _READY_BYTES * 8 else {}

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
        if category == "boolean" and value is not None:
            return make("true" if value else "false")
        return several(value) if category == "list" and type(value) in (list, tuple) else anything

    def several(items: Sequence[Any]) -> int:
        """Of a list one value must be wanted, and none excluded."""
        texts = [text for item in items if type(item) is str and (text := fold(item))]
        if not texts:
            return anything
        found, veto = other, 0
        for text in texts:
            found |= wanted.mask(text)
            veto |= vetoed.mask(text)
        return anything | (found & ~veto)

    return mask


class TextRows:
    """The rows that name a text, a beginning of it, or a range of codes that it is in."""

    def __init__(self, count: int, cells: Iterable[tuple[int, Cell]]) -> None:
        self._count = count
        texts: dict[str, list[int]] = {}
        prefixes: dict[str, list[int]] = {}
        ranges: dict[tuple[int, bool], list[tuple[int, Codes]]] = {}
        for row, cell in cells:
            for text in cell.texts:
                texts.setdefault(text, []).append(row)
            for prefix in cell.prefixes:
                prefixes.setdefault(prefix, []).append(row)
            for codes in cell.codes:
                ranges.setdefault((len(codes.low), codes.prefix), []).append((row, codes))
        budget = sum(map(len, texts.values())) + sum(map(len, prefixes.values()))
        few = max(_FEW, budget * count // (8 * _READY_BYTES))
        self.texts = {text: self._kept(rows, few) for text, rows in texts.items()}
        self._prefixes = {text: self._kept(rows, few) for text, rows in prefixes.items()}
        self._lengths = sorted({len(prefix) for prefix in prefixes})
        self._ranges = [(length, prefix, CodeRows(count, found)) for (length, prefix), found in ranges.items()]

    def _kept(self, rows: list[int], few: int) -> int | tuple[int, ...]:
        """A mask for many rows; for a few, which are the most, the rows: a mask is as long as the table."""
        return tuple(rows) if len(rows) <= few else bits(rows, self._count)

    def mask(self, text: str) -> int:
        kept = self.texts.get(text)
        found = self._bits(kept) if kept is not None else 0
        for length in self._lengths:
            kept = self._prefixes.get(text[:length])
            if kept is not None:
                found |= self._bits(kept)
        for length, prefix, rows in self._ranges:
            if len(text) == length or (prefix and len(text) > length):
                found |= rows.mask(text[:length])
        return found

    def _bits(self, kept: int | tuple[int, ...]) -> int:
        return kept if type(kept) is int else bits(kept, self._count)  # type: ignore[arg-type]


class CodeRows:
    """The rows whose ranges hold a code; all codes have one length."""

    def __init__(self, count: int, ranges: Sequence[tuple[int, Codes]]) -> None:
        self._cuts = sorted({end for _, codes in ranges for end in (codes.low, codes.high)})
        rows: dict[int, list[tuple[int, int]]] = {}
        for row, codes in ranges:
            span = (2 * bisect_left(self._cuts, codes.low) + 1, 2 * bisect_left(self._cuts, codes.high) + 1)
            rows.setdefault(row, []).append(span)
        self._steps = Steps(count, [(row, span) for row, spans in rows.items() for span in _merged(spans)])

    def mask(self, code: str) -> int:
        return self._steps.at(_slot(self._cuts, code))


def _ordered(cells: Sequence[Cell], get: Get, read: Callable[[Any], float | int | None]) -> Mask:
    """The masks of a column of numbers or days."""
    anything = bits([row for row, cell in enumerate(cells) if cell.any], len(cells))
    cuts = _cuts([span for cell in cells for part in (cell, cell.excluded) if part for span in part.intervals])
    spans = [(row, span) for row, cell in enumerate(cells) if not cell.any for span in _spans(cuts, cell)]
    steps = Steps(len(cells), spans, anything)

    def mask(values: Values) -> int:
        value = read(get(values))
        return anything if value is None else steps.at(_slot(cuts, value))

    return mask


def _cuts(intervals: Iterable[Interval]) -> list[float | int]:
    return sorted({end for interval in intervals for end in interval if end is not None})


def _slot(cuts: Sequence[Any], value: Any) -> int:
    """Slot 2i is the open gap before cut i, slot 2i+1 is the cut itself."""
    at = bisect_left(cuts, value)
    return 2 * at + 1 if at < len(cuts) and cuts[at] == value else 2 * at


class Steps:
    """The mask of each slot, where every row is on over some runs of slots (which do not meet each other in one row).

    Masks are kept ready at every step where something changes or, where that is too much, at every so manyeth; between
    them the rows that changed since are switched. So the memory is bounded however ranges overlap.
    """

    def __init__(self, count: int, spans: Sequence[tuple[int, tuple[int, int]]], always: int = 0) -> None:
        changes: dict[int, list[int]] = {}
        for row, (first, last) in spans:
            changes.setdefault(first, []).append(row)
            changes.setdefault(last + 1, []).append(row)
        self._count = count
        self._starts = sorted(changes)
        self._changes = [tuple(changes[start]) for start in self._starts]
        self._each = 1 + len(self._starts) * count // (8 * _READY_BYTES)
        self._ready = [always]
        current = bytearray(always.to_bytes(count // 8 + 1, "little"))
        for index, rows in enumerate(self._changes, 1):
            _switch(current, rows)
            if index % self._each == 0:
                self._ready.append(int.from_bytes(current, "little"))

    def at(self, slot: int) -> int:
        index = bisect_left(self._starts, slot + 1)
        at, rest = divmod(index, self._each)
        mask = self._ready[at]
        if not rest:
            return mask
        switched = bytearray(self._count // 8 + 1)
        for rows in self._changes[index - rest : index]:
            _switch(switched, rows)
        return mask ^ int.from_bytes(switched, "little")


def _switch(mask: bytearray, rows: Iterable[int]) -> None:
    for row in rows:
        mask[row >> 3] ^= 1 << (row & 7)


Run = tuple[int, int]


def _spans(cuts: list[float | int], cell: Cell) -> list[Run]:
    """The runs of slots that a cell's intervals cover, without those it excludes."""
    everything = [(0, 2 * len(cuts))]
    runs = _merged([_span(cuts, one) for one in cell.intervals]) if cell.positive else everything
    if cell.excluded is None:
        return runs
    for first, last in _merged([_span(cuts, one) for one in cell.excluded.intervals]):
        runs = [
            part
            for start, end in runs
            for part in ((start, min(end, first - 1)), (max(start, last + 1), end))
            if part[0] <= part[1]
        ]
    return runs


def _merged(spans: Iterable[Run]) -> list[Run]:
    """Runs apart from each other that cover the same slots."""
    merged: list[Run] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def _span(cuts: list[float | int], interval: Interval) -> Run:
    low, high = interval
    first = 0 if low is None else 2 * bisect_left(cuts, low) + 1
    last = 2 * len(cuts) if high is None else 2 * bisect_left(cuts, high) + 1
    return first, last
