"""The tree of a condition. ``grammar`` builds it, ``checking`` types it; ``closures`` makes it run, ``normal`` takes it apart.

A ``Span`` is a pair of offsets into the text of the condition. What stands below a checked ``Named`` was written elsewhere:
its spans are offsets into the text of that named condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal

from msgspec import Struct

Span = tuple[int, int]
Category = Literal["text", "number", "boolean", "date", "list", "person", "length"]
Sign = Literal["+", "-", "*", "/"]
# "bare" is a yes/no field standing alone: `lead.free_email`.
Operator = Literal[
    "=", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "starts with", "ends with", "matches",
    "is blank", "is not blank", "is active", "is not active", "within", "within last", "within next", "bare",
]  # fmt: skip


class Name(Struct, frozen=True, gc=False):
    """A field. Before checking ``path`` is as written, after it in full; ``category`` is filled by checking."""

    path: str
    span: Span
    category: Category = "text"


class First(Struct, frozen=True, gc=False):
    """``first(a, b)``: the first of several fields that is not blank."""

    names: tuple[Name, ...]
    span: Span
    category: Category = "text"


class Constant(Struct, frozen=True, gc=False):
    """A value written in the condition: text, int, float, bool, a date or aware datetime, or a timedelta ("length")."""

    value: Any
    span: Span
    category: Category


class Arithmetic(Struct, frozen=True, gc=False):
    """``left + right`` of numbers; of a date and a length (``created_at + 3 days``); or the days between two dates."""

    left: Operand
    sign: Sign
    right: Operand
    span: Span
    category: Category = "number"
    depth: int = 1


class Range(Struct, frozen=True, gc=False):
    """``200..999``, both ends included; None is open."""

    low: Constant | None
    high: Constant | None
    span: Span


class Distance(Struct, frozen=True, gc=False):
    """``30 days``."""

    length: timedelta
    span: Span


Operand = Name | First | Constant | Arithmetic
Item = Operand | Range | Distance


class Test(Struct, frozen=True, gc=False):
    """One comparison. ``right`` is empty, one operand, one range or distance, or the items of ``in (…)``."""

    left: Operand
    operator: Operator
    right: tuple[Item, ...]
    span: Span
    depth: int = 1


class Changed(Struct, frozen=True, gc=False):
    """``changed``, ``changed from … to …``: only before checking, which says it with tests of ``event``.

    ``before`` and ``after`` hold the items asked for; empty asks nothing.
    """

    left: Operand
    before: tuple[Item, ...]
    after: tuple[Item, ...]
    span: Span
    depth: int = 1


class Named(Struct, frozen=True, gc=False):
    """``[Is enterprise]``. ``part`` is what stands for it, once checked."""

    name: str
    span: Span
    part: Expression | None = None
    depth: int = 1


class Both(Struct, frozen=True, gc=False):
    """All parts hold (``and``)."""

    parts: tuple[Expression, ...]
    depth: int


class Either(Struct, frozen=True, gc=False):
    """At least one part holds (``or``)."""

    parts: tuple[Expression, ...]
    depth: int


class Negation(Struct, frozen=True, gc=False):
    """The part does not hold (``not``)."""

    part: Expression
    depth: int


Expression = Test | Changed | Named | Both | Either | Negation


def paths(expression: Expression) -> list[str]:
    """Every field of a checked expression, in the order written, each once."""
    found: dict[str, None] = {}
    for test in tests(expression):
        for operand in (test.left, *test.right):
            if type(operand) is not Constant:
                found.update(dict.fromkeys(operand_paths(operand)))
    return list(found)


def tests(expression: Expression) -> Iterator[Test]:
    """Every comparison of a checked expression, in the order written."""
    if isinstance(expression, (Both, Either)):
        for part in expression.parts:
            yield from tests(part)
    elif isinstance(expression, (Negation, Named)):
        if expression.part is not None:
            yield from tests(expression.part)
    elif isinstance(expression, Test):
        yield expression


def operand_paths(operand: Item) -> tuple[str, ...]:
    """The fields that an operand reads."""
    if isinstance(operand, Name):
        return (operand.path,)
    if isinstance(operand, First):
        return tuple(name.path for name in operand.names)
    if isinstance(operand, Arithmetic):
        return operand_paths(operand.left) + operand_paths(operand.right)
    return ()


def together(*parts: Expression) -> Expression:
    """All of ``parts`` as one expression."""
    return parts[0] if len(parts) == 1 else Both(parts, 1 + max(part.depth for part in parts))
