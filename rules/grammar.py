"""The grammar of conditions: text to tree.

LALR(1), so reading is linear in the length of the text and needs no recursion. Words are the language's own, without case.
"""

from __future__ import annotations

import math
from datetime import timedelta
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import VisitError

from rules.mistakes import ConditionError, explained
from rules.syntax import (
    Both,
    Constant,
    Distance,
    Either,
    Expression,
    First,
    Name,
    Negation,
    Operand,
    Operator,
    Range,
    Span,
    Test,
)
from rules.values import moment

MAX_TEXT = 4_000  # characters of one condition; a longer one belongs into a table
MAX_DEPTH = 50  # brackets and nots within each other
MAX_ITEMS = 1_000  # alternatives of one `in (…)`; more belong into a table

GRAMMAR = r"""
?condition: both (_OR both)*                        -> either
?both: single (_AND single)*                        -> both
?single: _NOT single                                -> negation
       | "(" condition ")"
       | operand SIGN (operand | range)             -> compare
       | operand IN "(" item ("," item)* [","] ")"  -> among
       | operand NOT IN "(" item ("," item)* [","] ")" -> not_among
       | operand IN range                           -> among
       | operand NOT IN range                       -> not_among
       | operand (CONTAINS | BEFORE | AFTER) operand -> compare
       | operand (STARTS | ENDS) WITH operand       -> affix
       | operand IS (BLANK | ACTIVE)                -> state
       | operand IS NOT (BLANK | ACTIVE)            -> not_state
       | operand WITHIN NUMBER UNIT                 -> within
       | operand                                    -> bare
?item: literal | range
range: literal ".." literal                         -> closed
     | literal ".."                                 -> from_low
     | ".." literal                                 -> to_high
?operand: PATH                                      -> name
        | FIRST "(" PATH ("," PATH)* ")"            -> first
        | literal
literal: NUMBER -> number
       | STRING -> string
       | DATE   -> moment
       | TRUE   -> boolean
       | FALSE  -> boolean
column: PATH (_OR PATH)*                            -> column

SIGN: "!=" | "<=" | ">=" | "=" | "<" | ">"
_OR.3: /or\b/i
_AND.3: /and\b/i
_NOT.3: /not\b/i
NOT.3: /not\b/i
IN.3: /in\b/i
IS.3: /is\b/i
BLANK.3: /blank\b/i
ACTIVE.3: /active\b/i
CONTAINS.3: /contains\b/i
STARTS.3: /starts\b/i
ENDS.3: /ends\b/i
WITH.3: /with\b/i
BEFORE.3: /before\b/i
AFTER.3: /after\b/i
WITHIN.3: /within\b/i
UNIT.3: /(minute|hour|day|week)s?\b/i
FIRST.3: /first(?=\s*\()/i
TRUE.3: /(true|yes)\b(?!\.)/i
FALSE.3: /(false|no)\b(?!\.)/i
DATE.4: /\d{4}-\d{2}-\d{2}(T[0-9:.]+(Z|[+-]\d{2}:?\d{2})?)?/
NUMBER.2: /-?\d+(\.\d+)?([eE][+-]?\d+)?/
STRING: /"[^"\r\n]*"|'[^'\r\n]*'/
PATH: /[^\W\d]\w*(\.[^\W\d]\w*)*/
%ignore /\s+/
"""

_UNITS = {"minute": "minutes", "hour": "hours", "day": "days", "week": "weeks"}


def parse(text: str) -> Expression:
    """The tree of a condition, not yet checked against the fields. Raises ConditionError."""
    tree: Expression = _parse(text, "condition")
    return tree


def parse_column(text: str) -> First:
    """The fields of a table's column header: ``country``, or ``lead.employees or account.employees``."""
    tree: First = _parse(text, "column")
    return tree


def _parse(text: str, start: str) -> Any:
    if len(text) > MAX_TEXT:
        raise ConditionError((0, 1), f"this has more than {MAX_TEXT:,} characters: a table can say it shorter")
    try:
        return _parser().parse(text, start=start)
    except VisitError as error:
        if isinstance(error.orig_exc, ConditionError):
            raise error.orig_exc from None
        raise
    except UnexpectedInput as error:
        raise explained(text, error) from None


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", start=["condition", "column"], transformer=_Build(), maybe_placeholders=False)


def _span(token: Token) -> Span:
    start = token.start_pos or 0
    return (start, start + len(token))


def _number(token: Token) -> int | float:
    whole = token.lstrip("-").isdigit()
    value = int(token) if whole and len(token) <= 19 else float(token)
    if not math.isfinite(value) or (whole and len(token) > 19):
        raise ConditionError(_span(token), f"'{token[:40]}' is too large a number")
    return value


@v_args(inline=True)
class _Build(Transformer[Token, Any]):
    """Makes the tree while the text is read."""

    def either(self, *parts: Expression) -> Expression:
        return parts[0] if len(parts) == 1 else Either(parts, _deeper(parts))

    def both(self, *parts: Expression) -> Expression:
        return parts[0] if len(parts) == 1 else Both(parts, _deeper(parts))

    def negation(self, part: Expression) -> Expression:
        return Negation(part, _deeper((part,)))

    def compare(self, left: Operand, sign: Token, right: Operand | Range) -> Test:
        operator: Any = {"before": "<", "after": ">"}.get(sign.lower(), sign.lower())
        if isinstance(right, Range):
            if operator not in ("=", "!="):
                raise ConditionError(right.span, f"a range does not go with '{sign}'", "write: in 200..999")
            operator = "in" if operator == "=" else "not in"
        if sign.type in ("BEFORE", "AFTER") and not isinstance(right, Range) and right.category == "number":
            raise ConditionError(right.span, f"'{sign}' compares dates", "write a date as 2026-11-22")
        return _test(left, operator, right)

    def among(self, left: Operand, _in: Token, *items: Operand | Range) -> Test:
        return _among(left, "in", items)

    def not_among(self, left: Operand, _not: Token, _in: Token, *items: Operand | Range) -> Test:
        return _among(left, "not in", items)

    def affix(self, left: Operand, kind: Token, _with: Token, right: Operand) -> Test:
        return _test(left, "starts with" if kind.type == "STARTS" else "ends with", right)

    def state(self, left: Operand, _is: Token, kind: Token) -> Test:
        return Test(left, "is blank" if kind.type == "BLANK" else "is active", (), (left.span[0], _span(kind)[1]))

    def not_state(self, left: Operand, _is: Token, _not: Token, kind: Token) -> Test:
        operator: Operator = "is not blank" if kind.type == "BLANK" else "is not active"
        return Test(left, operator, (), (left.span[0], _span(kind)[1]))

    def within(self, left: Operand, _within: Token, count: Token, unit: Token) -> Test:
        span = (_span(count)[0], _span(unit)[1])
        length = timedelta(**{_UNITS[unit.lower().rstrip("s")]: min(float(_number(count)), 1e7)})
        if not timedelta(0) < length <= timedelta(days=36_500):
            raise ConditionError(span, "this is a time between one minute and a hundred years")
        return _test(left, "within", Distance(length, span))

    def bare(self, operand: Operand) -> Test:
        return Test(operand, "bare", (), operand.span)

    def closed(self, low: Constant, high: Constant) -> Range:
        return Range(low, high, (low.span[0], high.span[1]))

    def from_low(self, low: Constant) -> Range:
        return Range(low, None, (low.span[0], low.span[1] + 2))

    def to_high(self, high: Constant) -> Range:
        return Range(None, high, (max(0, high.span[0] - 2), high.span[1]))

    def name(self, token: Token) -> Name:
        return Name(str(token), _span(token))

    def first(self, word: Token, *tokens: Token) -> First:
        return First(tuple(Name(str(t), _span(t)) for t in tokens), (_span(word)[0], _span(tokens[-1])[1] + 1))

    def column(self, *tokens: Token) -> First:
        return First(tuple(Name(str(t), _span(t)) for t in tokens), (_span(tokens[0])[0], _span(tokens[-1])[1]))

    def number(self, token: Token) -> Constant:
        return Constant(_number(token), _span(token), "number")

    def string(self, token: Token) -> Constant:
        return Constant(str(token)[1:-1], _span(token), "text")

    def moment(self, token: Token) -> Constant:
        value = moment(str(token))
        if value is None:
            raise ConditionError(_span(token), f"there is no such date as {token}", "write it as 2026-11-22")
        return Constant(value, _span(token), "date")

    def boolean(self, token: Token) -> Constant:
        return Constant(token.type == "TRUE", _span(token), "boolean")


def _test(left: Operand, operator: Operator, right: Operand | Range | Distance) -> Test:
    return Test(left, operator, (right,), (left.span[0], right.span[1]))


def _among(left: Operand, operator: Operator, items: tuple[Operand | Range, ...]) -> Test:
    if len(items) > MAX_ITEMS:
        raise ConditionError(items[0].span, f"this lists more than {MAX_ITEMS:,} values: a table can say it shorter")
    return Test(left, operator, items, (left.span[0], items[-1].span[1]))


def _deeper(parts: tuple[Expression, ...]) -> int:
    depth = 1 + max(part.depth for part in parts)
    if depth > MAX_DEPTH:
        raise ConditionError((0, 1), f"brackets and nots are nested more than {MAX_DEPTH} deep: split the condition")
    return depth
