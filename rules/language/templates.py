"""Conditions that differ in their values alone are read and checked once: the tree of the first serves the others.

Thousands of rungs are written to a few patterns (``country = "DE" and employees in 200..999``), and the grammar reads some 30
words a millisecond. What comes out is what reading and checking each anew would give, positions included; texts with a mistake
are left to the grammar and the checker, which say where it is.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate

from msgspec import Struct

from rules.fields import Path, Scope
from rules.language import syntax
from rules.language.literals import Literals
from rules.language.syntax import Both, Category, Constant, Either, Expression, First, Item, Name, Named, Negation, Test
from rules.model import Field

_LONGEST = 1_000  # characters of a condition that is worth keeping
_KEPT = 2_000  # trees kept; a policy has some dozens of patterns
# Texts, and numbers that are no part of a word, a date, a length of time or another number.
_VALUE = re.compile(
    r"(\"[^\"\r\n]*\"|'[^'\r\n]*'|(?<![\w:+-])(?<!\d\.)(?<!- )\d{1,15}(?:\.\d{1,15})?(?![\w:-]|\.\d|\s*(?:minute|hour|day|week)))",
    re.IGNORECASE,
)
_NUMBER = "1"  # stands for a number in a pattern; a text is its quote


class Values:
    """A text taken apart: its ``pattern``, and the ``values`` in it with where they begin and end."""

    __slots__ = ("begins", "ends", "pattern", "values")

    def __init__(self, text: str) -> None:
        parts = _VALUE.split(text)
        bounds = list(accumulate(map(len, parts)))
        self.values = parts[1::2]
        self.begins, self.ends = bounds[0:-1:2], bounds[1::2]
        parts[1::2] = [value[0] if value[0] in "\"'" else _NUMBER for value in self.values]
        self.pattern = "\0".join(parts)


class Read(Struct, frozen=True, gc=False):
    """A condition, read and checked: its tree, the fields it reads in the order written, and its number of comparisons."""

    tree: Expression
    paths: tuple[Path, ...]
    tests: int


class Shapes:
    """What one checker has read, by the pattern of the text."""

    def __init__(self, scope: Scope, literals: Literals) -> None:
        self._scope, self._literals = scope, literals
        self._known: dict[str, tuple[Read, Values]] = {}

    def filled(self, found: Values) -> Read | None:
        """What is known of a pattern, with these values; None when it is not known, or a value is a mistake."""
        known = self._known.get(found.pattern)
        if known is None:
            return None
        first, old = known
        try:
            tree = _Filling(self._scope, self._literals, old, found).expression(first.tree)
        except _Mistake:
            return None
        return Read(tree, first.paths, first.tests)

    def keep(self, found: Values, read: Read) -> None:
        """Keeps what was read for the texts of its pattern to come."""
        # In the name of a condition a quote is a letter.
        if found.values and found.ends[-1] <= _LONGEST and "[" not in found.pattern:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[found.pattern] = (read, found)


class _Mistake(Exception):
    """A value that cannot stand where it is."""


def _refuse(*_: object) -> None:
    raise _Mistake


class _Filling:
    """Puts the values of one text into the tree of another, and its positions where they stand."""

    def __init__(self, scope: Scope, literals: Literals, old: Values, new: Values) -> None:
        self._scope, self._literals = scope, literals
        self._values = dict(zip(old.begins, new.values, strict=True))
        self._ends = old.ends
        self._shifts = [0, *(after - before for before, after in zip(old.ends, new.ends, strict=True))]

    def _span(self, span: syntax.Span) -> syntax.Span:
        start, end = span
        ends, shifts = self._ends, self._shifts
        return start + shifts[bisect_right(ends, start)], end + shifts[bisect_right(ends, end)]

    def expression(self, tree: Expression) -> Expression:
        if isinstance(tree, Test):
            left = self._item(tree.left)
            right = tuple([self._right(item, tree) for item in tree.right])
            return Test(left, tree.operator, right, self._span(tree.span), tree.depth)  # type: ignore[arg-type]
        if isinstance(tree, Both):
            return Both(tuple([self.expression(part) for part in tree.parts]), tree.depth)
        if isinstance(tree, Either):
            return Either(tuple([self.expression(part) for part in tree.parts]), tree.depth)
        if isinstance(tree, Negation):
            return Negation(self.expression(tree.part), tree.depth)
        assert isinstance(tree, Named)
        return Named(tree.name, self._span(tree.span), tree.part, tree.depth)

    def _right(self, item: Item, test: Test) -> Item:
        """A side that is compared with: a value in it is checked against the left side."""
        category = test.left.category
        if isinstance(item, Constant) and item.span[0] in self._values:
            return self._literals.constant(self._raw(item), self._path(test), category, test.operator, _refuse)
        if isinstance(item, syntax.Range):
            low = self._raw(item.low) if item.low is not None else None
            high = self._raw(item.high) if item.high is not None else None
            whole = syntax.Range(low, high, self._span(item.span))
            return self._literals.span(whole, self._path(test), category, _refuse)
        return self._item(item)

    def _raw(self, constant: Constant) -> Constant:
        """A constant as the grammar reads it."""
        text, span = self._values.get(constant.span[0]), self._span(constant.span)
        if text is None:
            return Constant(constant.value, span, constant.category)
        if text[0] in "\"'":
            return Constant(text[1:-1], span, "text")
        return Constant(float(text) if "." in text else int(text), span, "number")

    def _path(self, test: Test) -> Path:
        left = test.left.names[0] if isinstance(test.left, First) else test.left
        found = self._scope.resolve(left.path) if isinstance(left, Name) else None
        return found if found is not None else _calculated(left.category)

    def _item(self, item: Item) -> Item:
        span = self._span(item.span)
        if isinstance(item, Name):
            return Name(item.path, span, item.category)
        if isinstance(item, Constant):
            return self._raw(item)
        if isinstance(item, First):
            return First(
                tuple([Name(name.path, self._span(name.span), name.category) for name in item.names]),
                span,
                item.category,
            )
        if isinstance(item, syntax.Arithmetic):
            left, right = self._item(item.left), self._item(item.right)
            if item.sign == "/" and isinstance(right, Constant) and right.value == 0:
                raise _Mistake
            return syntax.Arithmetic(left, item.sign, right, span, item.category, item.depth)  # type: ignore[arg-type]
        assert isinstance(item, syntax.Distance)
        return syntax.Distance(item.length, span)


def _calculated(category: Category) -> Path:
    return Path("this calculation", Field(category, category), lambda _: None)
