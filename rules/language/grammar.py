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

from rules.language.mistakes import ConditionError, explained
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
    Operand,
    Operator,
    Range,
    Sign,
    Span,
    Test,
)
from rules.values import moment

MAX_TEXT = 4_000  # characters of one condition; a longer one belongs into a table
MAX_DEPTH = 50  # brackets and nots within each other
MAX_ITEMS = 1_000  # alternatives of one `in (…)`; more belong into a table

GRAMMAR = r"""
?condition: both
          | both (_OR both)+                    -> either
?both: single
     | single (_AND single)+                    -> both
?single: _NOT single                            -> negation
       | comparison
?comparison: sum SIGN (sum | range)             -> compare
       | sum IN "(" item ("," item)* [","] ")"  -> among
       | sum NOT IN "(" item ("," item)* [","] ")" -> not_among
       | sum IN range                           -> among
       | sum NOT IN range                       -> not_among
       | sum (CONTAINS | BEFORE | AFTER) sum    -> compare
       | sum (STARTS | ENDS) WITH sum           -> affix
       | sum MATCHES STRING                     -> pattern
       | sum IS (BLANK | ACTIVE)                -> state
       | sum IS NOT (BLANK | ACTIVE)            -> not_state
       | sum WITHIN [LAST | NEXT] NUMBER UNIT   -> within
       | sum CHANGED [before] [after]           -> changed
       | sum CROSSED NUMBER                     -> crossed
       | sum
before: _FROM states
after: _TO states
?states: item                                   -> items
      | "(" item ("," item)* [","] ")"          -> items
?item: literal | range
range: literal ".." literal                     -> closed
     | literal ".."                             -> from_low
     | ".." literal                             -> to_high
?sum: product
    | product ((PLUS | MINUS) product)+         -> sums
?product: atom
        | atom ((TIMES | DIVIDE) atom)+         -> sums
?atom: "(" condition ")"                        -> group
     | PATH                                     -> name
     | NAMED                                    -> named
     | FIRST "(" PATH ("," PATH)* ")"           -> first
     | NUMBER UNIT                              -> length
     | literal
literal: NUMBER -> number
       | STRING -> string
       | DATE   -> moment
       | TRUE   -> boolean
       | FALSE  -> boolean
column: PATH (_OR PATH)*                        -> column

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
LAST.3: /last\b/i
NEXT.3: /next\b/i
MATCHES.3: /matches\b/i
CHANGED.3: /changed\b/i
CROSSED.3: /crossed\b/i
_FROM.3: /from\b/i
_TO.3: /to\b/i
PLUS: "+"
MINUS: "-"
TIMES: "*"
DIVIDE: "/"
NAMED: /\[[^\[\]\r\n]*\]/
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
    return _condition(_parse(text, "condition"))


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

    def either(self, *parts: Operand | Expression) -> Expression:
        found = tuple(_condition(part) for part in parts)
        return Either(found, _deeper(found))

    def both(self, *parts: Operand | Expression) -> Expression:
        found = tuple(_condition(part) for part in parts)
        return Both(found, _deeper(found))

    def negation(self, part: Operand | Expression) -> Expression:
        found = _condition(part)
        return Negation(found, _deeper((found,)))

    def group(self, inner: Operand | Expression) -> Operand | Expression:
        return inner

    def compare(self, left: Any, sign: Token, right: Any) -> Test:
        operator: Any = {"before": "<", "after": ">"}.get(sign.lower(), sign.lower())
        if isinstance(right, Range):
            if operator not in ("=", "!="):
                raise ConditionError(right.span, f"a range does not go with '{sign}'", "write: in 200..999")
            return _test(left, "in" if operator == "=" else "not in", right)
        right = _operand(right)
        if sign.type in ("BEFORE", "AFTER") and right.category == "number" and isinstance(right, Constant):
            raise ConditionError(right.span, f"'{sign}' compares dates", "write a date as 2026-11-22")
        return _test(left, operator, right)

    def among(self, left: Any, _in: Token, *items: Item) -> Test:
        return _among(left, "in", items)

    def not_among(self, left: Any, _not: Token, _in: Token, *items: Item) -> Test:
        return _among(left, "not in", items)

    def affix(self, left: Any, kind: Token, _with: Token, right: Any) -> Test:
        return _test(left, "starts with" if kind.type == "STARTS" else "ends with", _operand(right))

    def pattern(self, left: Any, _matches: Token, text: Token) -> Test:
        return _test(left, "matches", self.string(text))

    def state(self, left: Any, _is: Token, kind: Token) -> Test:
        left = _operand(left)
        return Test(left, "is blank" if kind.type == "BLANK" else "is active", (), (left.span[0], _span(kind)[1]))

    def not_state(self, left: Any, _is: Token, _not: Token, kind: Token) -> Test:
        left = _operand(left)
        operator: Operator = "is not blank" if kind.type == "BLANK" else "is not active"
        return Test(left, operator, (), (left.span[0], _span(kind)[1]))

    def within(self, left: Any, _within: Token, *words: Token) -> Test:
        *way, count, unit = words
        operator: Any = " ".join(["within", *(word.lower() for word in way)])
        return _test(left, operator, Distance(_length(count, unit), (_span(count)[0], _span(unit)[1])))

    def changed(self, left: Any, word: Token, *sides: tuple[str, tuple[Item, ...]]) -> Changed:
        left, told = _operand(left), dict(sides)
        items = told.get("after") or told.get("before")
        end = items[-1].span[1] if items else _span(word)[1]
        return Changed(left, told.get("before", ()), told.get("after", ()), (left.span[0], end))

    def before(self, items: tuple[Item, ...]) -> tuple[str, tuple[Item, ...]]:
        return "before", items

    def after(self, items: tuple[Item, ...]) -> tuple[str, tuple[Item, ...]]:
        return "after", items

    def items(self, *items: Item) -> tuple[Item, ...]:
        return _counted(items)

    def crossed(self, left: Any, _crossed: Token, count: Token) -> Changed:
        left, line = _operand(left), self.number(count)
        return Changed(left, (), (Range(line, None, line.span),), (left.span[0], line.span[1]))

    def sums(self, first: Any, *rest: Any) -> Arithmetic:
        total = _operand(first)
        for sign, part in zip(rest[::2], rest[1::2], strict=True):
            right = _operand(part)
            depth = 1 + max(getattr(total, "depth", 0), getattr(right, "depth", 0))
            if depth > MAX_DEPTH:
                raise ConditionError(right.span, f"this calculates with more than {MAX_DEPTH} values: split it")
            kind: Sign = str(sign)  # type: ignore[assignment]
            total = Arithmetic(total, kind, right, (total.span[0], right.span[1]), depth=depth)
        return total  # type: ignore[return-value]

    def closed(self, low: Constant, high: Constant) -> Range:
        return Range(low, high, (low.span[0], high.span[1]))

    def from_low(self, low: Constant) -> Range:
        return Range(low, None, (low.span[0], low.span[1] + 2))

    def to_high(self, high: Constant) -> Range:
        return Range(None, high, (max(0, high.span[0] - 2), high.span[1]))

    def name(self, token: Token) -> Name:
        return Name(str(token), _span(token))

    def named(self, token: Token) -> Named:
        return Named(str(token)[1:-1].strip(), _span(token))

    def first(self, word: Token, *tokens: Token) -> First:
        return First(tuple(Name(str(t), _span(t)) for t in tokens), (_span(word)[0], _span(tokens[-1])[1] + 1))

    def column(self, *tokens: Token) -> First:
        return First(tuple(Name(str(t), _span(t)) for t in tokens), (_span(tokens[0])[0], _span(tokens[-1])[1]))

    def length(self, count: Token, unit: Token) -> Constant:
        return Constant(_length(count, unit), (_span(count)[0], _span(unit)[1]), "length")

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


def _condition(part: Operand | Expression) -> Expression:
    """A field standing alone asks whether it is yes."""
    return Test(part, "bare", (), part.span) if isinstance(part, (Name, First, Constant, Arithmetic)) else part


def _operand(part: Operand | Expression) -> Operand:
    if isinstance(part, (Name, First, Constant, Arithmetic)):
        return part
    raise ConditionError(_reach(part), "a value is expected here, not a condition", "compare fields, and join with and")


def _reach(part: Expression) -> Span:
    if isinstance(part, (Both, Either)):
        return (_reach(part.parts[0])[0], _reach(part.parts[-1])[1])
    return _reach(part.part) if isinstance(part, Negation) else part.span


def _length(count: Token, unit: Token) -> timedelta:
    length = timedelta(**{_UNITS[unit.lower().rstrip("s")]: max(-1.0, min(float(_number(count)), 1e7))})
    if not timedelta(0) < length <= timedelta(days=36_500):
        span = (_span(count)[0], _span(unit)[1])
        raise ConditionError(span, "this is a time between one minute and a hundred years")
    return length


def _test(left: Operand | Expression, operator: Operator, right: Item) -> Test:
    left = _operand(left)
    return Test(left, operator, (right,), (left.span[0], right.span[1]))


def _among(left: Operand | Expression, operator: Operator, items: tuple[Item, ...]) -> Test:
    left = _operand(left)
    return Test(left, operator, _counted(items), (left.span[0], items[-1].span[1]))


def _counted(items: tuple[Item, ...]) -> tuple[Item, ...]:
    if len(items) > MAX_ITEMS:
        raise ConditionError(items[0].span, f"this lists more than {MAX_ITEMS:,} values: a table can say it shorter")
    return items


def _deeper(parts: tuple[Expression, ...]) -> int:
    depth = 1 + max(part.depth for part in parts)
    if depth > MAX_DEPTH:
        raise ConditionError((0, 1), f"brackets and nots are nested more than {MAX_DEPTH} deep: split the condition")
    return depth
