"""All that records can be, cut into pieces: two values of a field that no rule tells apart are one *atom*.

Each thing that rules ask about is a dimension: a field, or a test that cannot be taken apart (it holds or not). What a rule asks
of a dimension is a mask of its atoms; what it asks altogether is a *box*, a mask for each dimension that it cares about. Dimensions
are taken as independent, which is careful: a box that is not empty may still describe no record, one that is empty never does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from rules.language.domains import HIGHEST, LOWEST, Choices, Domain, Edge, Spans, Texts
from rules.language.normal import Subject
from rules.language.syntax import Category
from rules.tables.cells import Cell, Codes
from rules.tables.columns import column_of
from rules.values import fold

Box = dict[int, int]  # dimension -> mask of atoms; a dimension that is missing may hold anything

BLANK, MISFIT = 0, 1  # the first two atoms of every field
_FIRST = 2
MOST_CODES = 5_000  # cells of one field with ranges of codes; the masks of more would fill the memory
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
_MISFITS: dict[Category, Any] = {"text": 7, "person": 7, "number": "many", "date": "soon", "boolean": "maybe"}


@dataclass(slots=True)
class Axis:
    """One dimension. ``atoms`` are values that stand for all that no rule tells apart; ``natural`` those a CRM would hold.

    ``full`` is the mask of all atoms that can be. A test that cannot be taken apart has the atoms False and True.
    """

    name: str
    subject: Subject | None
    atoms: list[Any]
    natural: int
    full: int

    def values(self, mask: int) -> Iterator[Any]:
        """The values of a mask, those first that make a good example."""
        for part in (mask & self.natural & ~3, mask & ~self.natural & ~3, mask & 3):
            for atom in bits_of(part):
                yield self.atoms[atom]


def bits_of(mask: int) -> Iterator[int]:
    """The numbers of the set bits, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def runs_of(mask: int) -> Iterator[tuple[int, int]]:
    """The runs of set bits: first and last."""
    at = 0
    while mask:
        skip = (mask & -mask).bit_length() - 1
        mask >>= skip
        length = (~mask & (mask + 1)).bit_length() - 1
        yield at + skip, at + skip + length - 1
        mask >>= length
        at += skip + length


class Field:
    """The atoms of one field, gathered from all demands and cells that ask for it; then the mask of each of these."""

    def __init__(self, subject: Subject, examples: Iterable[str] = (), closed: bool = False) -> None:
        """``examples`` are values that a CRM holds there; ``closed`` says that it holds no others."""
        self.subject = subject
        self._examples = [fold(one) for one in examples]
        self._closed = closed
        self._domains: set[Domain] = set()
        self._cells: set[Cell] = set()
        self._masks: dict[Domain | Cell, int] = {}
        self._index: dict[Any, int] = {}
        self._sorted: list[str] = []
        self._coded: dict[Cell, int] = {}
        self._too_many = False

    def ask(self, what: Domain | Cell) -> None:
        """Notes that a rule asks this."""
        if isinstance(what, Domain):
            self._domains.add(what)
        else:
            self._cells.add(what)

    def axis(self) -> Axis:
        """The dimension; nothing can be asked any more."""
        category = self.subject.category
        if category == "boolean":
            atoms, unnatural, empty = [True, False], 0, 0
        elif category in ("number", "date"):
            atoms, unnatural, empty = self._scale(category == "date")
        else:
            atoms, unnatural, empty = self._texts()
        every = [None, _MISFITS[category], *atoms]
        full = ((1 << len(every)) - 1) & ~(empty << _FIRST)
        natural = full & ~3 & ~(unnatural << _FIRST)
        return Axis(self.subject.text, self.subject, every, natural, full)

    def mask(self, what: Domain | Cell) -> int:
        """The atoms that will do."""
        found = self._masks.get(what)
        if found is None:
            found = self._masks[what] = self._domain(what) if isinstance(what, Domain) else self._cell(what)
        return found

    def blurred(self, cell: Cell) -> bool:
        """Whether it is not told which atoms the cell takes, as there are too many like it."""
        return self._too_many and _has_codes(cell)

    # Numbers and days

    def _scale(self, days: bool) -> tuple[list[Any], int, int]:
        edges: set[Edge] = {LOWEST, HIGHEST}
        for domain in self._domains:
            assert isinstance(domain.values, Spans)
            edges.update(edge for span in domain.values.spans for edge in span)
        for cell in self._all_cells():
            edges.update(edge for low, high in cell.intervals for edge in _ends(low, high))
        ordered = sorted(edges)
        self._index = {edge: number for number, edge in enumerate(ordered)}
        atoms: list[Any] = []
        unnatural, empty = 0, 0
        for number, (low, high) in enumerate(pairwise(ordered)):
            value = _between(low, high)
            whole = float(value).is_integer()
            if days and (not whole or not 1 <= value <= date.max.toordinal()):
                empty |= 1 << number
                atoms.append(None)
                continue
            if not whole or value < 0:
                unnatural |= 1 << number
            atoms.append(date.fromordinal(int(value)).isoformat() if days else int(value) if whole else value)
        return atoms, unnatural, empty

    def _all_cells(self) -> Iterator[Cell]:
        for cell in self._cells:
            yield cell
            if cell.excluded is not None:
                yield cell.excluded

    def _span(self, low: Edge, high: Edge) -> int:
        first, last = self._index[low], self._index[high]
        return ((1 << (last - first)) - 1) << (first + _FIRST)

    # Texts

    def _texts(self) -> tuple[list[Any], int, int]:
        constants: set[str] = set()
        prefixes: set[str] = {""}
        codes: list[Codes] = []
        for domain in self._domains:
            assert isinstance(domain.values, Texts)
            texts = domain.values
            constants |= (texts.some or frozenset()) | texts.without
            prefixes.update(texts.prefixes, texts.without_prefixes)
        for cell in self._all_cells():
            constants.update(cell.texts)
            prefixes.update(cell.prefixes)
            codes += cell.codes
        self._too_many = sum(map(_has_codes, self._cells)) > MOST_CODES
        edges = {} if self._too_many else _code_edges(codes, prefixes)
        prefixes.update(edge for edge, whole in edges.items() if not whole)
        named = constants | set(edges)
        examples = [one for one in self._examples if one and one not in named]
        found = {text: self._closed and text not in self._examples for text in constants}
        found.update((text, not text.isdigit()) for text in edges if text not in found)
        for prefix in prefixes:
            text, odd = _remainder(prefix, named, prefixes, examples, self._closed)
            found.setdefault(text, odd)
        found.pop("", None)  # a blank is no text
        self._sorted = sorted(found)
        self._index = {text: number for number, text in enumerate(self._sorted)}
        unnatural = 0
        for number, text in enumerate(self._sorted):
            unnatural |= found[text] << number
        return list(self._sorted), unnatural, 0

    def _beginning(self, prefix: str) -> int:
        first = bisect_left(self._sorted, prefix)
        last = bisect_left(self._sorted, prefix + "\U0010ffff")
        return ((1 << (last - first)) - 1) << (first + _FIRST) if last > first else 0

    def _some(self, texts: Iterable[str], prefixes: Iterable[str]) -> int:
        mask = 0
        for text in texts:
            if text in self._index:
                mask |= 1 << (self._index[text] + _FIRST)
        for prefix in prefixes:
            mask |= self._beginning(prefix)
        return mask

    # Masks

    def _any_value(self) -> int:
        size = (
            len(self._sorted) if self._sorted or self.subject.category in ("text", "person") else len(self._index) - 1
        )
        size = 2 if self.subject.category == "boolean" else size
        return ((1 << size) - 1) << _FIRST

    def _domain(self, domain: Domain) -> int:
        values = domain.values
        mask = (1 << BLANK if domain.blank else 0) | (1 << MISFIT if domain.misfit else 0)
        if isinstance(values, Choices):
            return mask | (4 if True in values.some else 0) | (8 if False in values.some else 0)
        if isinstance(values, Spans):
            for low, high in values.spans:
                mask |= self._span(low, high)
            return mask
        found = self._any_value() if values.some is None else self._some(values.some, values.prefixes)
        return mask | (found & ~self._some(values.without, values.without_prefixes))

    def _cell(self, cell: Cell) -> int:
        if cell.any:
            return self._any_value() | 3
        if _has_codes(cell):
            if not self._coded:
                self._coded = self._all_coded()
            return self._coded[cell]
        found = self._named(cell) if cell.positive else self._any_value()
        return found & ~self._named(cell.excluded) if cell.excluded is not None else found

    def _all_coded(self) -> dict[Cell, int]:
        """The masks of all cells with ranges of codes, as the index of a table finds them."""
        cells = [cell for cell in self._cells if _has_codes(cell)]
        find = column_of("text", cells, lambda values: values["it"])
        assert find is not None
        masks = [bytearray((len(self._sorted) + _FIRST) // 8 + 1) for _ in cells]
        for atom, text in enumerate(self._sorted, _FIRST):
            for row in bits_of(find({"it": text})):
                masks[row][atom >> 3] |= 1 << (atom & 7)
        return {cell: int.from_bytes(mask, "little") for cell, mask in zip(cells, masks, strict=True)}

    def _named(self, cell: Cell) -> int:
        if self.subject.category == "boolean":
            return (4 if "true" in cell.texts else 0) | (8 if "false" in cell.texts else 0)
        mask = self._some(cell.texts, cell.prefixes)
        for low, high in cell.intervals:
            mask |= self._span(*_ends(low, high))
        return mask


def _has_codes(cell: Cell) -> bool:
    return bool(cell.codes or (cell.excluded is not None and cell.excluded.codes))


def _ends(low: float | int | None, high: float | int | None) -> tuple[Edge, Edge]:
    return (LOWEST if low is None else (low, 0)), (HIGHEST if high is None else (high, 1))


def _between(low: Edge, high: Edge) -> float:
    """A number of that span, a whole one where there is one."""
    if low == LOWEST and high == HIGHEST:
        return 1
    if low == LOWEST:
        return high[0] - 1 if not high[1] else high[0]
    if not low[1]:
        return low[0]
    if high == HIGHEST:
        return float(int(low[0])) + 1 if low[0] >= 0 else low[0] + 1
    whole = float(int(low[0]) + 1)
    if (low < (whole, 0) or low == (whole, 0)) and ((whole, 1) <= high):
        return whole
    return (low[0] + high[0]) / 2


def _code_edges(codes: Iterable[Codes], prefixes: Iterable[str]) -> dict[str, bool]:
    """Texts just inside and just outside of ranges of codes; True for whole codes, False for beginnings."""
    found: dict[str, bool] = {}
    lengths: set[int] = set()
    for one in codes:
        lengths.add(len(one.low))
        for end in (one.low, one.high):
            for text in (end, *_neighbours(end)):
                found[text] = found.get(text, True) and not one.prefix
    for prefix in prefixes:
        for length in lengths:
            if len(prefix) < length:
                found.setdefault(prefix + "0" * (length - len(prefix)), True)
                found.setdefault(prefix + "z" * (length - len(prefix)), True)
    return found


def _neighbours(code: str) -> Iterator[str]:
    """The codes just before and just after it: as numbers, and as texts."""
    if code.isdigit():
        for step in (-1, 1):
            text = str(int(code) + step).zfill(len(code))
            if int(code) + step >= 0 and len(text) == len(code):
                yield text
    at = _LETTERS.find(code[-1:])
    for step in (-1, 1):
        if at >= 0 and 0 <= at + step < len(_LETTERS):
            yield code[:-1] + _LETTERS[at + step]


def _remainder(
    prefix: str, constants: set[str], prefixes: set[str], examples: list[str], closed: bool
) -> tuple[str, bool]:
    """A text with that beginning that no constant and no longer prefix names, and whether it is an odd one."""

    def free(text: str) -> bool:
        longer = any(text[:length] in prefixes for length in range(len(prefix) + 1, len(text) + 1))
        return bool(text.strip()) and text not in constants and not longer and fold(text) == text

    for text in examples:
        if text.startswith(prefix) and free(text):
            return text, False
    for more in ("", "000", "0", "x", "other", "another"):
        if free(prefix + more):
            return prefix + more, closed
    for number in range(len(constants) + len(prefixes) + 2):
        for text in (f"{prefix}{number}", prefix + chr(0x4E00 + number % 20_000) + str(number)):
            if free(text):
                return text, True
    raise AssertionError(prefix)  # more texts were tried than are named
