"""What a condition asks of one field, as a set of values: texts and beginnings, spans of numbers or days, yes and no.

A value is one of three kinds: *blank*, of the field's type, or a *misfit* (a text in a number field, NaN, a date that is
none). A misfit is missing for every comparison, and yet not blank.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date
from typing import Any

from msgspec import Struct

from rules.language.closures import READ
from rules.language.syntax import Category
from rules.values import day, is_blank, spelled

# An end of a span stands just before (0) or just after (1) a value: [200, 999] is ((200, 0), (999, 1)).
Edge = tuple[float, int]
LOWEST: Edge = (-math.inf, 0)
HIGHEST: Edge = (math.inf, 1)


class Texts(Struct, frozen=True, gc=False):
    """Texts in the form of ``fold``: those of ``some`` and those that begin with a prefix, apart from the ones left out.

    ``some`` None means every text; then there are no ``prefixes``.
    """

    some: frozenset[str] | None = None
    prefixes: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    without_prefixes: tuple[str, ...] = ()

    def __contains__(self, text: str) -> bool:
        if text in self.without or text.startswith(self.without_prefixes):
            return False
        return self.some is None or text in self.some or text.startswith(self.prefixes)

    def __and__(self, other: Texts) -> Texts:
        without, without_prefixes = self.without | other.without, _merged(self.without_prefixes, other.without_prefixes)
        if self.some is None or other.some is None:
            one = other if self.some is None else self
            some, prefixes = one.some, one.prefixes
        else:
            both = {text for text in self.some | other.some if text in self and text in other}
            some = frozenset(both)
            prefixes = _merged(
                (p for p in self.prefixes if p.startswith(other.prefixes)),
                (p for p in other.prefixes if p.startswith(self.prefixes)),
            )
        prefixes = tuple(prefix for prefix in prefixes if not prefix.startswith(without_prefixes))
        found = Texts(some, prefixes, without, without_prefixes)
        if some is None:
            return found
        return Texts(frozenset(text for text in some if text in found), prefixes, without, without_prefixes)

    def __or__(self, other: Texts) -> Texts | None:
        """All of both, where that can be said: neither leaves anything out."""
        if self.some is None or other.some is None or self.vetoes or other.vetoes:
            return None
        return Texts(self.some | other.some, _merged(self.prefixes, other.prefixes))

    def __invert__(self) -> Texts:
        """Every other text. Only of texts that are named, or only left out."""
        if self.some is None:
            return Texts(self.without, self.without_prefixes)
        assert not self.vetoes
        return Texts(None, (), self.some, self.prefixes)

    @property
    def vetoes(self) -> bool:
        """Whether something is left out."""
        return bool(self.without or self.without_prefixes)

    @property
    def empty(self) -> bool:
        """Whether no text is in it, as far as that can be seen; the one of prefixes and vetoes may be empty unseen."""
        return self.some is not None and not self.some and not self.prefixes

    def words(self) -> str:
        """For a sentence: ``"DE", "AT" or "94*"``."""
        if self.some is None and not self.vetoes:
            return "a text"
        if self.some is None:
            return f"not {_listed(self.without, self.without_prefixes)}"
        but = f", not {_listed(self.without, self.without_prefixes)}" if self.vetoes else ""
        return (_listed(self.some, self.prefixes) or "no text") + but


def _merged(*prefixes: Iterable[str]) -> tuple[str, ...]:
    """Without those that begin with another one: the shorter says it all."""
    kept: list[str] = []
    for prefix in sorted({prefix for some in prefixes for prefix in some}):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return tuple(kept)


def _listed(texts: Iterable[str], prefixes: Iterable[str], most: int = 8) -> str:
    words = [f'"{spelled(text)}"' for text in sorted(texts)] + [f'"{spelled(prefix)}*"' for prefix in prefixes]
    return " or ".join(words[:most]) + (f" or {len(words) - most} more" if len(words) > most else "")


class Spans(Struct, frozen=True, gc=False):
    """Numbers, or days as ordinals: spans in order that do not touch. ``days`` only says how they are shown."""

    spans: tuple[tuple[Edge, Edge], ...] = ((LOWEST, HIGHEST),)
    days: bool = False

    @staticmethod
    def of(spans: Iterable[tuple[Edge, Edge]], days: bool) -> Spans:
        """Brings spans into order and joins those that touch."""
        joined: list[tuple[Edge, Edge]] = []
        for low, high in sorted(spans):
            if joined and low <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], high))
            elif low < high:
                joined.append((low, high))
        return Spans(tuple(joined), days)

    def __contains__(self, value: float) -> bool:
        return any(low <= (value, 0) and (value, 1) <= high for low, high in self.spans)

    def __and__(self, other: Spans) -> Spans:
        met = ((max(a, c), min(b, d)) for a, b in self.spans for c, d in other.spans)
        return Spans.of((span for span in met if span[0] < span[1]), self.days)

    def __or__(self, other: Spans) -> Spans:
        return Spans.of((*self.spans, *other.spans), self.days)

    def __invert__(self) -> Spans:
        edges = [LOWEST, *(edge for span in self.spans for edge in span), HIGHEST]
        return Spans.of(((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b), self.days)

    @property
    def empty(self) -> bool:
        return not self.spans

    def words(self) -> str:
        """For a sentence: ``200..999 or 5000..``."""
        if not self.spans:
            return "no date" if self.days else "no number"
        if self.spans == ((LOWEST, HIGHEST),):
            return "a date" if self.days else "a number"
        return " or ".join(self._one(low, high) for low, high in self.spans)

    def _one(self, low: Edge, high: Edge) -> str:
        if low[0] == high[0]:
            return self._value(low)
        if low == LOWEST:
            return f"..{self._value(high)}" if high[1] else f"less than {self._value(high)}"
        if high == HIGHEST:
            return f"more than {self._value(low)}" if low[1] else f"{self._value(low)}.."
        if not low[1] and high[1]:
            return f"{self._value(low)}..{self._value(high)}"
        return f"{self._one(low, HIGHEST)} and {self._one(LOWEST, high)}"

    def _value(self, edge: Edge) -> str:
        return date.fromordinal(int(edge[0])).isoformat() if self.days else f"{edge[0]:.15g}"


class Choices(Struct, frozen=True, gc=False):
    """Yes, no, both or neither."""

    some: frozenset[bool] = frozenset((True, False))

    def __contains__(self, value: bool) -> bool:
        return value in self.some

    def __and__(self, other: Choices) -> Choices:
        return Choices(self.some & other.some)

    def __or__(self, other: Choices) -> Choices:
        return Choices(self.some | other.some)

    def __invert__(self) -> Choices:
        return Choices(frozenset((True, False)) - self.some)

    @property
    def empty(self) -> bool:
        return not self.some

    def words(self) -> str:
        return " or ".join("yes" if one else "no" for one in sorted(self.some, reverse=True)) or "neither yes nor no"


Values = Texts | Spans | Choices


class Domain(Struct, frozen=True, gc=False):
    """All that a field may hold: the fitting ``values``, and whether ``blank`` and a ``misfit`` will do."""

    values: Values
    blank: bool = False
    misfit: bool = False

    def __and__(self, other: Domain) -> Domain:
        return Domain(self.values & other.values, self.blank and other.blank, self.misfit and other.misfit)  # type: ignore[operator]

    def __or__(self, other: Domain) -> Domain | None:
        """All of both; None where that cannot be said in one."""
        values = self.values | other.values  # type: ignore[operator]
        return Domain(values, self.blank or other.blank, self.misfit or other.misfit) if values is not None else None

    def __invert__(self) -> Domain:
        return Domain(~self.values, not self.blank, not self.misfit)

    @property
    def empty(self) -> bool:
        """Nothing will do: what asks for it never holds."""
        return self.values.empty and not self.blank and not self.misfit

    def admits(self, value: Any, category: Category) -> bool:
        """Whether this raw value of a field of that category will do."""
        if is_blank(value):
            return self.blank
        fitting = scale(value, category)
        return self.misfit if fitting is None else fitting in self.values

    def words(self) -> str:
        """For a sentence: what is asked for."""
        if self.values.empty:
            return "blank" if self.blank else "a value of another type" if self.misfit else "nothing"
        return f"{self.values.words()}{' or blank' if self.blank else ''}"


def every(category: Category) -> Values:
    """All values of a category."""
    if category in ("number", "date"):
        return Spans(days=category == "date")
    return Choices() if category == "boolean" else Texts()


def scale(value: Any, category: Category) -> Any:
    """The value as domains hold it (folded text, number, day as ordinal, bool); None when it is missing."""
    found = READ[category](value)
    return day(found).toordinal() if found is not None and category == "date" else found
