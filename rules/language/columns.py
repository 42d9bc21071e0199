"""For one field, which terms of a rule set a value does not veto: a mask with one bit a term, the first term's the highest.

A column is a dict from raw value to mask that fills itself: what was asked for once is answered by one lookup. What it may
hold is bounded (``_SEEN`` values, ``_MEMORY`` for masks); beyond that it starts anew.

- Texts: by the text where a term names it, else by the longest beginning that some term names. Masks are shared: 90,000 postal
  codes have no more of them than there are beginnings.
- Numbers and days: bisection over the cut points. Slot 2i is the gap before cut i, slot 2i+1 is the cut itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

from rules.language.domains import HIGHEST, LOWEST, Choices, Domain, Edge, Spans, Texts, scale
from rules.language.syntax import Category
from rules.values import fold, is_blank

_MEMORY = 12 * 1024 * 1024  # bytes of masks that one column keeps
_SEEN = 20_000  # raw values that one column remembers


def bits(terms: Iterable[int], count: int) -> int:
    """The mask with the bits of ``terms`` set; linear, where OR-ing one by one would be quadratic."""
    terms = list(terms)
    if len(terms) < 32:
        mask = 0
        for term in terms:
            mask |= 1 << term
        return mask
    buffer = bytearray(count // 8 + 1)
    for term in terms:
        buffer[term >> 3] |= 1 << (term & 7)
    return int.from_bytes(buffer, "little")


class Column(dict[Any, int]):
    """From a raw value to the mask of the terms that it does not veto. ``fresh`` is for values that cannot be keys."""

    def __init__(self, demands: Sequence[Domain | None], category: Category) -> None:
        """``demands`` holds what each term asks, None for anything."""
        super().__init__()
        count = len(demands)
        self._category = category
        self._free = bits((term for term, domain in enumerate(demands) if domain is None), count)
        asked = [(term, domain) for term, domain in enumerate(demands) if domain is not None]
        self._blank = self._free | bits((term for term, domain in asked if domain.blank), count)
        self._misfit = self._free | bits((term for term, domain in asked if domain.misfit), count)
        self._find = _finder(asked, self._free, count, category)

    def __missing__(self, value: Any) -> int:
        mask = self.fresh(value)
        # True == 1: a key that a value of another type could be taken for is not kept. Neither is NaN, which equals nothing.
        if value == value and value not in (0, 1):
            if len(self) >= _SEEN:
                self.clear()
            self[value] = mask
        return mask

    def fresh(self, value: Any) -> int:
        """The mask of a value, worked out."""
        kind: type = type(value)
        found: int
        if kind is str and self._category == "text" and (text := fold(value)):
            found = self._find(text)
            return found
        if kind is int and self._category == "number":
            found = self._find(value)
            return found
        if is_blank(value):
            return self._blank
        fitting = scale(value, self._category)
        found = self._misfit if fitting is None else self._find(fitting)
        return found


def _finder(asked: list[tuple[int, Domain]], free: int, count: int, category: Category) -> Any:
    if category in ("number", "date"):
        return _by_slot([(t, d.values.spans) for t, d in asked if isinstance(d.values, Spans)], free, count)
    if category == "boolean":
        flags = [(t, d.values.some) for t, d in asked if isinstance(d.values, Choices)]
        return {one: free | bits((t for t, some in flags if one in some), count) for one in (True, False)}.__getitem__
    return _by_text([(t, d.values) for t, d in asked if isinstance(d.values, Texts)], free, count)


def _by_text(asked: list[tuple[int, Texts]], free: int, count: int) -> Any:
    others = free | bits((term for term, texts in asked if texts.some is None), count)
    texts: dict[str, tuple[list[int], list[int]]] = {}  # the terms that ask for it, and those that leave it out
    prefixes: dict[str, tuple[list[int], list[int]]] = {}
    for term, domain in asked:
        for named, some, without in (
            (texts, domain.some or (), domain.without),
            (prefixes, domain.prefixes, domain.without_prefixes),
        ):
            for text in some:
                named.setdefault(text, ([], []))[0].append(term)
            for text in without:
                named.setdefault(text, ([], []))[1].append(term)
    lengths = sorted({len(prefix) for prefix in prefixes}, reverse=True)
    masks: dict[str | None, int] = {}
    most = max(64, _MEMORY // (count // 8 + 64))

    def make(text: str) -> int:
        wanted, vetoed = texts.get(text, ((), ()))
        found, against = bits(wanted, count), bits(vetoed, count)
        for length in lengths:
            if length <= len(text) and (named := prefixes.get(text[:length])):
                found |= bits(named[0], count)
                against |= bits(named[1], count)
        return (others | found) & ~against

    def find(text: str) -> int:
        known: str | None = text
        if text not in texts:
            known = None  # stands for all that nobody names
            for length in lengths:
                if (prefix := text[:length]) in prefixes:
                    known = prefix
                    break
        elif text in prefixes:
            return make(text)  # named in both ways: as a text it may mean more than as a beginning
        mask = masks.get(known)
        if mask is None:
            if len(masks) >= most:
                masks.clear()
            mask = masks[known] = make(text)
        return mask

    return find


def _by_slot(asked: list[tuple[int, tuple[tuple[Edge, Edge], ...]]], free: int, count: int) -> Any:
    """Masks are kept for every ``step``-th slot, so that they fit into memory; from there on, what turns is counted on."""
    cuts = sorted({edge[0] for _, spans in asked for span in spans for edge in span if edge not in (LOWEST, HIGHEST)})
    total = 2 * len(cuts) + 1

    def first(edge: Edge) -> int:
        return 0 if edge == LOWEST else total if edge == HIGHEST else 2 * bisect_left(cuts, edge[0]) + 1 + edge[1]

    turns: list[list[int]] = [[] for _ in range(total + 1)]
    for term, spans in asked:
        for span in spans:
            for edge in span:
                turns[first(edge)].append(term)
    step = 1 + total * (count // 8 + 32) // _MEMORY
    kept: list[int] = []
    current = free
    for slot, terms in enumerate(turns[:total]):
        for term in terms:
            current ^= 1 << term
        if slot % step == 0:
            kept.append(current)

    def find(value: float) -> int:
        at = bisect_left(cuts, value)
        slot = 2 * at + (at < len(cuts) and cuts[at] == value)
        mask = kept[slot // step]
        for between in range(slot - slot % step + 1, slot + 1):
            for term in turns[between]:
                mask ^= 1 << term
        return mask

    return find
