"""Reads conditions that differ in their values alone once: the tree of the first serves the others, with their values put in.

Thousands of rungs are written to a few patterns (``country = "DE" and employees in 200..999``), and the grammar reads some 30
words a millisecond. What comes out is what reading each anew would give, positions included; texts with a mistake are
left to the grammar, which says where it is.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from rules.language.syntax import (
    Arithmetic,
    Both,
    Changed,
    Constant,
    Distance,
    Either,
    Expression,
    First,
    Item,
    Name,
    Named,
    Negation,
    Range,
    Span,
    Test,
)

_KEPT = 2_000  # trees kept; a policy has some dozens of patterns
# Texts, and numbers that are no part of a word, a date, a length of time or another number.
_VALUE = re.compile(
    r"\"[^\"\r\n]*\"|'[^'\r\n]*'|(?<![\w:+-])(?<!\d\.)(?<!- )\d{1,15}(?:\.\d{1,15})?(?![\w:-]|\.\d|\s*(?:minute|hour|day|week))",
    re.IGNORECASE,
)
_TEXT, _NUMBER = '""', "1"


class Templates:
    """The trees read so far, by the text with its values taken out. ``read`` is the grammar."""

    def __init__(self, read: Callable[[str], Expression]) -> None:
        self._read = read
        self._known: dict[str, Expression] = {}

    def parse(self, text: str) -> Expression:
        """The tree of ``text``, as ``read`` would give it. Raises what ``read`` raises."""
        values: dict[int, Any] = {}  # by where they begin in the pattern
        ends: list[int] = []  # where each value ends in the pattern,
        shifts: list[int] = [0]  # and how far from there on the text is ahead of it
        parts: list[str] = []
        done = length = 0
        for match in _VALUE.finditer(text):
            found = match.group()
            parts.append(text[done : match.start()])
            length += len(parts[-1])
            if found[0] in "\"'":
                put, values[length] = _TEXT, found[1:-1]
            else:
                put, values[length] = _NUMBER, float(found) if "." in found else int(found)
            parts.append(put)
            length += len(put)
            done = match.end()
            ends.append(length)
            shifts.append(done - length)
        pattern = "".join(parts) + text[done:]
        tree = self._known.get(pattern)
        if tree is None:
            if not values or len(text) > 1_000 or "[" in text:  # in the name of a condition a quote is a letter
                return self._read(text)
            whole = self._read(text)  # raises where the text is no condition
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[pattern] = self._read(pattern)
            return whole
        return _Filling(values, ends, shifts).expression(tree)


class _Filling:
    """Puts values into a tree, and its positions where they stand in the text."""

    def __init__(self, values: dict[int, Any], ends: list[int], shifts: list[int]) -> None:
        self._values, self._ends, self._shifts = values, ends, shifts

    def _span(self, span: Span) -> Span:
        start, end = span
        ends, shifts = self._ends, self._shifts
        return start + shifts[bisect_right(ends, start)], end + shifts[bisect_right(ends, end)]

    def expression(self, tree: Expression) -> Expression:
        if isinstance(tree, Test):
            right = tuple([self._item(item) for item in tree.right])
            return Test(self._item(tree.left), tree.operator, right, self._span(tree.span), tree.depth)  # type: ignore[arg-type]
        if isinstance(tree, Both):
            return Both(tuple([self.expression(part) for part in tree.parts]), tree.depth)
        if isinstance(tree, Either):
            return Either(tuple([self.expression(part) for part in tree.parts]), tree.depth)
        if isinstance(tree, Negation):
            return Negation(self.expression(tree.part), tree.depth)
        if isinstance(tree, Named):
            return Named(tree.name, self._span(tree.span))
        before, after = ([self._item(item) for item in items] for items in (tree.before, tree.after))
        return Changed(self._item(tree.left), tuple(before), tuple(after), self._span(tree.span))  # type: ignore[arg-type]

    def _item(self, item: Item) -> Item:
        span = self._span(item.span)
        if isinstance(item, Name):
            return Name(item.path, span)
        if isinstance(item, Constant):
            return Constant(self._values.get(item.span[0], item.value), span, item.category)
        if isinstance(item, Range):
            return Range(self._end(item.low), self._end(item.high), span)
        if isinstance(item, First):
            return First(tuple([Name(name.path, self._span(name.span)) for name in item.names]), span)
        if isinstance(item, Arithmetic):
            left, right = self._item(item.left), self._item(item.right)
            return Arithmetic(left, item.sign, right, span, item.category, item.depth)  # type: ignore[arg-type]
        return Distance(item.length, span)

    def _end(self, end: Constant | None) -> Constant | None:
        return self._item(end) if end is not None else None  # type: ignore[return-value]
