"""A checked condition in disjunctive normal form: alternatives of demands on single fields, and what is left over.

A demand is a set of values that a field may hold (``domains``). Left over is what no such set can say, because it asks for the
time, for the roster, for two fields at once or for the inside of a text: it stays as a test that is opaque here, held or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec import Struct

from rules.language.domains import HIGHEST, LOWEST, Choices, Domain, Edge, Spans, Texts, every
from rules.language.mistakes import ConditionError
from rules.language.syntax import (
    Arithmetic,
    Both,
    Category,
    Changed,
    Constant,
    Distance,
    Expression,
    First,
    Name,
    Named,
    Negation,
    Operand,
    Range,
    Test,
)
from rules.values import day, fold

MAX_ALTERNATIVES = 512  # of one condition; beyond that nobody could read what it means, and no index could hold many


class Subject(str):
    """What a demand is about, as it could be written: a field, the first of several, or what is calculated.

    A text, so that it is found as quickly as one: it is a key of every alternative.
    """

    __slots__ = ("category", "operand")
    operand: Operand
    category: Category

    @staticmethod
    def of(operand: Operand, text: str = "") -> Subject:
        """What a checked operand is about."""
        found = Subject(text or text_of(operand))
        found.operand, found.category = operand, operand.category
        return found


@dataclass(frozen=True, slots=True)
class Residual:
    """A test that is opaque here, and whether it must hold. Equal when the text is."""

    text: str
    test: Test
    holds: bool

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Residual) and (self.text, self.holds) == (other.text, other.holds)

    def __hash__(self) -> int:
        return hash((self.text, self.holds))


class Alternative(Struct, frozen=True, gc=False):
    """One way in which a condition holds: every demand met, every residual as asked. Without either: always."""

    demands: dict[Subject, Domain]
    residuals: tuple[Residual, ...] = ()


ALWAYS = Alternative({})


def normal_form(expression: Expression) -> tuple[Alternative, ...]:
    """The alternatives; none when the condition can be seen never to hold. Raises ConditionError beyond MAX_ALTERNATIVES."""
    found = _normal(expression, True)
    return _united(found) if len(found) > 1 else tuple(found)


def _normal(expression: Expression, wanted: bool) -> list[Alternative]:
    if isinstance(expression, Negation):
        return _normal(expression.part, not wanted)
    if isinstance(expression, Named):
        assert expression.part is not None
        return _normal(expression.part, wanted)
    if isinstance(expression, Test):
        return _atom(expression, wanted)
    assert not isinstance(expression, Changed)
    parts = [_normal(part, wanted) for part in expression.parts]
    if isinstance(expression, Both) is wanted:
        return _product(parts)
    found = [alternative for part in parts for alternative in part]
    return _limited(list(_united(found))) if len(found) > 1 else found


def _product(parts: list[list[Alternative]]) -> list[Alternative]:
    found = [ALWAYS]
    for part in parts:
        found = _limited([both for one in found for other in part if (both := _met(one, other)) is not None])
    return found


def _limited(found: list[Alternative]) -> list[Alternative]:
    if len(found) > MAX_ALTERNATIVES:
        message = f"written out, this has more than {MAX_ALTERNATIVES} alternatives: too many to keep apart"
        raise ConditionError((0, 1), message, "split it into several rungs, or into the rows of a table")
    return found


def _met(one: Alternative, other: Alternative) -> Alternative | None:
    """Both at once, None where that cannot be."""
    if not one.demands and not one.residuals:
        return other
    demands = {**one.demands, **other.demands}
    if len(demands) < len(one.demands) + len(other.demands):
        for subject in one.demands.keys() & other.demands.keys():
            demands[subject] = one.demands[subject] & other.demands[subject]
            if demands[subject].empty:
                return None
    residuals = one.residuals
    if other.residuals:
        residuals = tuple(dict.fromkeys((*residuals, *other.residuals)))
        if len({residual.text for residual in residuals}) < len(residuals):
            return None  # the same test is to hold and not to hold
    return Alternative(demands, residuals)


def _united(found: Iterable[Alternative]) -> tuple[Alternative, ...]:
    """Alternatives that ask about one field alone become one where a set of values can say both; doubles go."""
    kept: list[Alternative] = []
    alone: dict[Subject, int] = {}
    seen: set[Any] = set()
    for alternative in found:
        key = (frozenset(alternative.demands.items()), frozenset(alternative.residuals))
        if key in seen:
            continue
        seen.add(key)
        if len(alternative.demands) == 1 and not alternative.residuals:
            ((subject, domain),) = alternative.demands.items()
            at = alone.get(subject)
            union = kept[at].demands[subject] | domain if at is not None else None
            if at is not None and union is not None:
                kept[at] = Alternative({subject: union})
                continue
            alone[subject] = len(kept)
        kept.append(alternative)
    return tuple(kept)


def _atom(test: Test, wanted: bool) -> list[Alternative]:
    domain = demand_of(test)
    if domain is None:
        return [Alternative({}, (Residual(text_of_test(test), test, wanted),))]
    domain = domain if wanted else ~domain
    return [] if domain.empty else [Alternative({Subject.of(test.left): domain})]


def demand_of(test: Test) -> Domain | None:
    """The set of values for which a test holds, None where it is not one of the left side's values alone."""
    category, operator = test.left.category, test.operator
    if operator in ("is blank", "is not blank"):
        if category == "list":
            return None
        nothing = Domain(~every(category) if category != "text" and category != "person" else Texts(frozenset()), True)
        return nothing if operator == "is blank" else Domain(every(category), False, True)
    if operator == "bare":
        return Domain(Choices(frozenset((True,))))
    if operator in ("=", "!=", "in", "not in", "<", "<=", ">", ">=", "starts with"):
        return _compared(test, category)
    return None


def _compared(test: Test, category: Category) -> Domain | None:
    operator, items = test.operator, test.right
    for item in items:
        if type(item) is not Constant and not _is_plain(item):
            return None
    negative = operator in ("!=", "not in")
    if category in ("text", "person"):
        texts = frozenset([fold(item.value) for item in items])  # type: ignore[union-attr]
        found = Texts(frozenset(), tuple(texts)) if operator == "starts with" else Texts(texts)
        return Domain(~found if negative else found)
    if category == "boolean":
        flags = Choices(frozenset([item.value for item in items]))  # type: ignore[union-attr]
        return Domain(~flags if negative else flags)
    if category not in ("number", "date") or any(map(_is_instant, items)):
        return None
    spans = Spans.of([_span(operator, item) for item in items], category == "date")
    return Domain(~spans if negative else spans)


def _is_plain(item: object) -> bool:
    """A constant or a range: neither a field nor what is calculated."""
    return isinstance(item, (Constant, Range))


def _is_instant(item: object) -> bool:
    """Whether a value does not stand for itself: an instant meets days by day only."""
    if isinstance(item, Range):
        return _is_instant(item.low) or _is_instant(item.high)
    return isinstance(item, Constant) and isinstance(item.value, datetime)


def _span(operator: str, item: object) -> tuple[Edge, Edge]:
    if isinstance(item, Range):
        return (_scaled(item.low), 0) if item.low else LOWEST, (_scaled(item.high), 1) if item.high else HIGHEST
    assert isinstance(item, Constant)
    value = _scaled(item)
    return (
        LOWEST if operator in ("<", "<=") else (value, int(operator == ">")),
        HIGHEST if operator in (">", ">=") else (value, int(operator != "<")),
    )


def _scaled(constant: Constant) -> float:
    value = constant.value
    return value if isinstance(value, (int, float)) else day(value).toordinal()


def text_of(operand: Operand) -> str:
    """An operand as it could be written; the same for the same meaning."""
    if isinstance(operand, Name):
        return operand.path
    if isinstance(operand, First):
        return f"first({', '.join(name.path for name in operand.names)})"
    if isinstance(operand, Arithmetic):
        return f"({text_of(operand.left)} {operand.sign} {text_of(operand.right)})"
    return _written(operand)


def text_of_test(test: Test) -> str:
    """A test as it could be written; the same for the same meaning."""
    if test.operator == "bare":
        return text_of(test.left)
    left = f"{text_of(test.left)} {test.operator}"
    if not test.right:
        return left
    right = ", ".join(_item(item) for item in test.right)
    return f"{left} ({right})" if test.operator in ("in", "not in") else f"{left} {right}"


def _item(item: object) -> str:
    if isinstance(item, Range):
        return f"{_written(item.low) if item.low else ''}..{_written(item.high) if item.high else ''}"
    if isinstance(item, Distance):
        return _length(item.length.total_seconds())
    assert isinstance(item, (Name, First, Constant, Arithmetic))
    return text_of(item)


def _written(constant: Constant) -> str:
    value = constant.value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if constant.category == "length":
        return _length(value.total_seconds())
    if isinstance(value, (int, float)):
        return f"{value:.15g}" if isinstance(value, float) else str(value)
    return f'"{value}"' if isinstance(value, str) else str(value.isoformat())


def _length(seconds: float) -> str:
    for unit, size in (("weeks", 604_800), ("days", 86_400), ("hours", 3_600)):
        if seconds % size == 0:
            return f"{seconds / size:.15g} {unit}"
    return f"{seconds / 60:.15g} minutes"
