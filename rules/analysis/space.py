"""All that records can be, cut into pieces: two values of a field that no rule tells apart are one *atom*.

Each thing that rules ask about is a dimension: a field, or a test that cannot be taken apart (it holds or not). What a rule asks
of a dimension is a mask of its atoms; what it asks altogether is a *box*, a mask for each dimension that it cares about. Dimensions
are taken as independent, which is careful: a box that is not empty may still describe no record, one that is empty never does.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from rules.analysis.masks import MOST_BITS, Mask, Runs, bits_of, union
from rules.language.domains import HIGHEST, LOWEST, Choices, Domain, Edge, Spans, Texts
from rules.language.normal import Subject
from rules.language.syntax import Category
from rules.tables.cells import Cell, Codes
from rules.tables.columns import bits
from rules.values import fold

BLANK, MISFIT = 0, 1  # the first two atoms of every field
_FIRST = 2
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
    natural: Mask
    full: Mask

    def values(self, mask: Mask) -> Iterator[Any]:
        """The values of a mask, those first that make a good example."""
        for part in (mask & self.natural & ~3, mask & ~self.natural & ~3, mask & 3):
            for atom in bits_of(part):
                yield self.atoms[atom]


class Field:
    """The atoms of one field, gathered from all demands and cells that ask for it; then the mask of each of these."""

    def __init__(self, subject: Subject, examples: Iterable[str] = (), closed: bool = False) -> None:
        """``examples`` are values that a CRM holds there; ``closed`` says that it holds no others."""
        self.subject = subject
        self._examples = [fold(one) for one in examples]
        self._closed = closed
        self._domains: set[Domain] = set()
        self._cells: set[Cell] = set()
        self._masks: dict[Domain | Cell, Mask] = {}
        self._index: dict[Any, int] = {}
        self._texts: list[str] = []
        self._blocks: list[tuple[int, int, int]] = []  # texts of one length and where they are: from, to
        self._size = 2
        self._wide = False  # whether sets of its atoms are runs
        self._full: Mask = 0

    def ask(self, what: Domain | Cell) -> None:
        """Notes that a rule asks this."""
        if isinstance(what, Domain):
            self._domains.add(what)
        else:
            self._cells.add(what)

    def axis(self) -> Axis:
        """The dimension; nothing can be asked any more."""
        category = self.subject.category
        atoms: list[Any] = [True, False]
        unnatural: list[int] = []
        empty: list[int] = []
        if category in ("number", "date"):
            atoms, unnatural, empty = self._scale(category == "date")
        elif category != "boolean":
            atoms, unnatural = self._named_texts()
        self._size = len(atoms)
        self._wide = self._size > MOST_BITS
        full = self._any_value() | 3
        odd = [atom + _FIRST for atom in (*unnatural, *empty)]
        if empty:
            full = full & ~bits([atom + _FIRST for atom in empty], self._size + _FIRST)
        natural = full & ~3 & ~bits(odd, self._size + _FIRST)
        self._full = full
        return Axis(self.subject, self.subject, [None, _MISFITS[category], *atoms], natural, full)

    def mask(self, what: Domain | Cell) -> Mask:
        """The atoms that will do."""
        found = self._masks.get(what)
        if found is None:
            found = (self._domain(what) if isinstance(what, Domain) else self._cell(what)) & self._full
            self._masks[what] = found
        return found

    def _run(self, first: int, end: int) -> Mask:
        """The atoms from ``first`` to before ``end``."""
        first, end = first + _FIRST, end + _FIRST
        if self._wide:
            return Runs((first, end) if first < end else ())
        return ((1 << (end - first)) - 1) << first if first < end else 0

    def _any_value(self) -> Mask:
        return self._run(0, self._size)

    # Numbers and days

    def _scale(self, days: bool) -> tuple[list[Any], list[int], list[int]]:
        edges: set[Edge] = {LOWEST, HIGHEST}
        for domain in self._domains:
            assert isinstance(domain.values, Spans)
            edges.update(edge for span in domain.values.spans for edge in span)
        for cell in self._all_cells():
            edges.update(edge for low, high in cell.intervals for edge in _ends(low, high))
        ordered = sorted(edges)
        self._index = {edge: number for number, edge in enumerate(ordered)}
        atoms: list[Any] = []
        unnatural: list[int] = []
        empty: list[int] = []
        for number, (low, high) in enumerate(pairwise(ordered)):
            value = _between(low, high)
            whole = float(value).is_integer()
            if days and (not whole or not 1 <= value <= date.max.toordinal()):
                empty.append(number)
                atoms.append(None)
                continue
            if not whole or value < 0:
                unnatural.append(number)
            atoms.append(date.fromordinal(int(value)).isoformat() if days else int(value) if whole else value)
        return atoms, unnatural, empty

    def _all_cells(self) -> Iterator[Cell]:
        for cell in self._cells:
            yield cell
            if cell.excluded is not None:
                yield cell.excluded

    def _span(self, low: Edge, high: Edge) -> Mask:
        return self._run(self._index[low], self._index[high])

    # Texts

    def _named_texts(self) -> tuple[list[Any], list[int]]:
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
        edges = _code_edges(codes, prefixes)
        prefixes.update(edge for edge, whole in edges.items() if not whole)
        named = constants | set(edges)
        examples = [one for one in self._examples if one and one not in named]
        found = {text: self._closed and text not in self._examples for text in constants}
        found.update((text, not text.isdigit()) for text in edges if text not in found)
        for prefix in prefixes:
            text, odd = _remainder(prefix, named, prefixes, examples, self._closed)
            found.setdefault(text, odd)
        found.pop("", None)  # a blank is no text
        # By length, so that a range of codes is one run. Without such ranges texts with one beginning are to be one.
        self._texts = sorted(found, key=lambda text: (len(text), text)) if codes else sorted(found)
        self._index = {text: number for number, text in enumerate(self._texts)}
        if codes:
            lengths = [len(text) for text in self._texts]
            ends = {length: bisect_right(lengths, length) for length in lengths}
            self._blocks = [(length, bisect_left(lengths, length), end) for length, end in ends.items()]
        return list(self._texts), [number for number, text in enumerate(self._texts) if found[text]]

    def _between(self, low: str, high: str, shortest: int, longest: int) -> Iterator[Mask]:
        """The texts of these lengths from ``low`` to those that begin with ``high``."""
        last = high + "\U0010ffff"
        for length, start, end in self._blocks or ((shortest, 0, len(self._texts)),):
            if shortest <= length <= longest:
                first = bisect_left(self._texts, low, start, end)
                yield self._run(first, bisect_left(self._texts, last, start, end))

    def _some(self, texts: Iterable[str], prefixes: Iterable[str], codes: Iterable[Codes] = ()) -> Mask:
        places = [at for text in texts if (at := self._index.get(text)) is not None]
        found = [self._run(at, at + 1) for at in places]
        for prefix in prefixes:
            found += self._between(prefix, prefix, len(prefix), 1 << 30)
        for one in codes:
            found += self._between(one.low, one.high, len(one.low), 1 << 30 if one.prefix else len(one.low))
        return union(found)

    # Masks

    def _domain(self, domain: Domain) -> Mask:
        values = domain.values
        mask: Mask = (1 << BLANK if domain.blank else 0) | (1 << MISFIT if domain.misfit else 0)
        if isinstance(values, Choices):
            return mask | (4 if True in values.some else 0) | (8 if False in values.some else 0)
        if isinstance(values, Spans):
            return union([mask, *(self._span(low, high) for low, high in values.spans)])
        found = self._any_value() if values.some is None else self._some(values.some, values.prefixes)
        return mask | (found & ~self._some(values.without, values.without_prefixes))

    def _cell(self, cell: Cell) -> Mask:
        if cell.any:
            return self._any_value() | 3
        found = self._named(cell) if cell.positive else self._any_value()
        return found & ~self._named(cell.excluded) if cell.excluded is not None else found

    def _named(self, cell: Cell) -> Mask:
        if self.subject.category == "boolean":
            return (4 if "true" in cell.texts else 0) | (8 if "false" in cell.texts else 0)
        spans = [self._span(*_ends(low, high)) for low, high in cell.intervals]
        return union([self._some(cell.texts, cell.prefixes, cell.codes), *spans])


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
    for more in ("", "000", "0", "x") if prefix else ("another", "yet another", "x"):
        if free(prefix + more):
            return prefix + more, closed
    for number in range(len(constants) + len(prefixes) + 2):
        for text in (f"{prefix}{number}", prefix + chr(0x4E00 + number % 20_000) + str(number)):
            if free(text):
                return text, True
    raise AssertionError(prefix)  # more texts were tried than are named
