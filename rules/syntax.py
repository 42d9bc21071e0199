"""The tree of a condition. ``grammar`` builds it, ``checking`` types it, ``closures`` makes it run.

A ``Span`` is a pair of offsets into the text of the condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

Span = tuple[int, int]
Category = Literal["text", "number", "boolean", "date", "list", "person"]
# "bare" is a yes/no field standing alone: `lead.free_email`.
Operator = Literal[
    "=", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "starts with", "ends with",
    "is blank", "is not blank", "is active", "is not active", "within", "bare",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Name:
    """A field. Before checking ``path`` is as written, after it in full; ``category`` is filled by checking."""

    path: str
    span: Span
    category: Category = "text"


@dataclass(frozen=True, slots=True)
class First:
    """``first(a, b)``: the first of several fields that is not blank."""

    names: tuple[Name, ...]
    span: Span
    category: Category = "text"


@dataclass(frozen=True, slots=True)
class Constant:
    """A value written in the condition: ``value`` is text, int, float, bool, or (dates) a date or aware datetime."""

    value: Any
    span: Span
    category: Category


@dataclass(frozen=True, slots=True)
class Range:
    """``200..999``, both ends included; None is open."""

    low: Constant | None
    high: Constant | None
    span: Span


@dataclass(frozen=True, slots=True)
class Distance:
    """``30 days``."""

    length: timedelta
    span: Span


Operand = Name | First | Constant


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison. ``right`` is empty, one operand, one range or distance, or the items of ``in (…)``."""

    left: Operand
    operator: Operator
    right: tuple[Operand | Range | Distance, ...]
    span: Span
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Both:
    """All parts hold (``and``)."""

    parts: tuple[Expression, ...]
    depth: int


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part holds (``or``)."""

    parts: tuple[Expression, ...]
    depth: int


@dataclass(frozen=True, slots=True)
class Negation:
    """The part does not hold (``not``)."""

    part: Expression
    depth: int


Expression = Test | Both | Either | Negation


def paths(expression: Expression) -> list[str]:
    """Every field of a checked expression, in the order written, each once."""
    found: dict[str, None] = {}
    _collect(expression, found)
    return list(found)


def _collect(expression: Expression, found: dict[str, None]) -> None:
    if isinstance(expression, (Both, Either)):
        for part in expression.parts:
            _collect(part, found)
    elif isinstance(expression, Negation):
        _collect(expression.part, found)
    else:
        for operand in (expression.left, *expression.right):
            for path in operand_paths(operand):
                found[path] = None


def operand_paths(operand: Operand | Range | Distance) -> tuple[str, ...]:
    if isinstance(operand, Name):
        return (operand.path,)
    if isinstance(operand, First):
        return tuple(name.path for name in operand.names)
    return ()
