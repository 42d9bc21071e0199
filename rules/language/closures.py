"""Makes a checked condition run: a closure over the values of its fields.

The values are read from the facts once, into a dict by full path that also becomes part of the trace; so what the trace
shows is what was compared.
"""

# Every closure takes the same arguments, so that they can call each other without looking; few need all of them.
# ruff: noqa: ARG001, ARG005

from __future__ import annotations

import operator as op
from collections.abc import Callable
from datetime import date, datetime
from operator import itemgetter
from typing import Any

from rules.language.patterns import matcher
from rules.language.syntax import (
    Arithmetic,
    Both,
    Changed,
    Constant,
    Distance,
    Expression,
    Name,
    Named,
    Negation,
    Operand,
    Range,
    Test,
)
from rules.model import WhyNot
from rules.values import Moment, calculate, fold, is_blank, is_number, moment, near, order

Values = dict[str, Any]
Run = Callable[[Values, datetime, WhyNot], bool]
Get = Callable[[Values], Any]
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": op.lt,
    "<=": op.le,
    ">": op.gt,
    ">=": op.ge,
    "=": op.eq,
    "!=": op.ne,
}


def compile_expression(expression: Expression) -> Run:
    """The closure of a checked expression. It raises nothing, whatever the values."""
    if isinstance(expression, Test):
        return _test(expression)
    if isinstance(expression, Negation):
        part = compile_expression(expression.part)
        return lambda values, now, why_not: not part(values, now, why_not)
    if isinstance(expression, Named):
        assert expression.part is not None
        return compile_expression(expression.part)
    assert not isinstance(expression, Changed)
    parts = tuple(compile_expression(part) for part in expression.parts)
    return _both(parts) if isinstance(expression, Both) else _either(parts)


def _both(parts: tuple[Run, ...]) -> Run:
    if len(parts) == 2:
        one, other = parts
        return lambda values, now, why_not: one(values, now, why_not) and other(values, now, why_not)

    def run(values: Values, now: datetime, why_not: WhyNot) -> bool:
        for part in parts:  # noqa: SIM110 - all() with a generator costs three times as much
            if not part(values, now, why_not):
                return False
        return True

    return run


def _either(parts: tuple[Run, ...]) -> Run:
    def run(values: Values, now: datetime, why_not: WhyNot) -> bool:
        for part in parts:  # noqa: SIM110 - see above
            if part(values, now, why_not):
                return True
        return False

    return run


def getter(operand: Operand) -> Get:
    """Reads an operand's value: a field, the first of several that is not blank, or what is calculated (None: no value)."""
    if isinstance(operand, Constant):
        value = operand.value
        return lambda values: value
    if isinstance(operand, Name):
        return itemgetter(operand.path)
    if isinstance(operand, Arithmetic):
        return _calculated(operand)
    names = tuple(name.path for name in operand.names)

    def first(values: Values) -> Any:
        for name in names:
            value = values[name]
            if not is_blank(value):
                return value
        return None

    return first


def _calculated(operand: Arithmetic) -> Get:
    left, right = getter(operand.left), getter(operand.right)
    read_left, read_right = READ[operand.left.category], READ[operand.right.category]
    sign = operand.sign

    def run(values: Values) -> Any:
        return calculate(read_left(left(values)), sign, read_right(right(values)))

    return run


def _test(test: Test) -> Run:
    assert not isinstance(test.left, Constant)
    get = getter(test.left)
    operator = test.operator
    if operator == "is blank":
        return lambda values, now, why_not: is_blank(get(values))
    if operator == "is not blank":
        return lambda values, now, why_not: not is_blank(get(values))
    if operator == "bare":
        return lambda values, now, why_not: get(values) is True
    if operator in ("is active", "is not active"):
        return _active(get, operator == "is active")
    if operator in ("in", "not in"):
        return _among(get, test.left.category, test.right, operator == "in")
    right = test.right[0]
    if isinstance(right, Distance):
        return _within(get, right, operator)
    assert not isinstance(right, Range)
    if operator == "matches":
        assert isinstance(right, Constant)
        return _matches(get, right.value)
    if operator in ("contains", "starts with", "ends with"):
        return _part_of(get, test.left.category, operator, right)
    return _compare(get, test.left.category, operator, right)


def _active(get: Get, wanted: bool) -> Run:
    def run(values: Values, now: datetime, why_not: WhyNot) -> bool:
        person = get(values)
        return type(person) is str and not is_blank(person) and (why_not(person) is None) is wanted

    return run


def _within(get: Get, distance: Distance, operator: str) -> Run:
    length = distance.length
    past, future = operator != "within next", operator != "within last"

    def run(values: Values, now: datetime, why_not: WhyNot) -> bool:
        found = as_moment(get(values))
        if found is None or not near(found, now, length):
            return False
        side = order(found, now)
        return side == 0 or (past if side < 0 else future)

    return run


def _matches(get: Get, pattern: str) -> Run:
    matches = matcher(pattern)
    return lambda values, now, why_not: type(found := get(values)) is str and not is_blank(found) and matches(found)


def _compare(get: Get, category: str, operator: str, right: Operand) -> Run:
    if not isinstance(right, Constant):
        return _compare_fields(get, getter(right), category, operator)
    compare, wanted = _ORDER[operator], right.value
    if category == "number":
        return lambda values, now, why_not: is_number(found := get(values)) and compare(found, wanted)
    if category == "boolean":
        return lambda values, now, why_not: type(found := get(values)) is bool and compare(found, wanted)
    if category == "date":
        return _compare_moment(get, compare, wanted)
    text = fold(wanted)
    if operator == "=":
        return lambda values, now, why_not: type(found := get(values)) is str and fold(found) == text
    return lambda values, now, why_not: type(found := get(values)) is str and fold(found) not in ("", text)


def _compare_moment(get: Get, compare: Callable[[Any, Any], bool], wanted: Moment) -> Run:
    def run(values: Values, now: datetime, why_not: WhyNot) -> bool:
        found = as_moment(get(values))
        return found is not None and compare(order(found, wanted), 0)

    return run


def _compare_fields(get: Get, other: Get, category: str, operator: str) -> Run:
    compare, read = _ORDER[operator], READ[category]

    def run(values: Values, now: datetime, why_not: WhyNot) -> bool:
        one, two = read(get(values)), read(other(values))
        if one is None or two is None:
            return False
        return compare(order(one, two), 0) if category == "date" else compare(one, two)

    return run


def as_text(value: Any) -> str | None:
    """The text to compare by, None when it is missing."""
    return (fold(value) or None) if type(value) is str else None


def _as_boolean(value: Any) -> bool | None:
    return value if type(value) is bool else None


def as_number(value: Any) -> int | float | None:
    """The number to compare by, None when it is missing."""
    return value if is_number(value) else None


def as_moment(value: Any) -> Moment | None:
    """The day or instant to compare by, None when it is missing. What was calculated is one already."""
    return value if isinstance(value, date) else moment(value)


READ: dict[str, Callable[[Any], Any]] = {
    "text": as_text, "person": as_text, "number": as_number, "boolean": _as_boolean, "date": as_moment,
    "length": lambda value: value,
}  # fmt: skip


def _part_of(get: Get, category: str, operator: str, right: Operand) -> Run:
    kinds: dict[str, Callable[[str, str], bool]] = {
        "contains": op.contains, "starts with": str.startswith, "ends with": str.endswith,
    }  # fmt: skip
    holds = kinds[operator]
    constant = fold(right.value) if isinstance(right, Constant) else None
    other = None if isinstance(right, Constant) else getter(right)

    def run(values: Values, now: datetime, why_not: WhyNot) -> bool:
        found = get(values)
        wanted = constant if other is None else as_text(other(values))
        if not wanted:
            return False
        if type(found) is str:
            return holds(fold(found), wanted)
        if category != "list" or type(found) not in (list, tuple):
            return False
        return any(type(one) is str and fold(one) == wanted for one in found)

    return run


def _among(get: Get, category: str, items: tuple[Any, ...], wanted: bool) -> Run:
    if category in ("text", "person"):
        texts = frozenset(fold(item.value) for item in items)
        return lambda values, now, why_not: (
            type(found := get(values)) is str and (text := fold(found)) != "" and (text in texts) is wanted
        )
    ends = [_ends(item) for item in items]
    if category == "number":

        def run(values: Values, now: datetime, why_not: WhyNot) -> bool:
            found = get(values)
            if not is_number(found):
                return False
            inside = any((lo is None or found >= lo) and (hi is None or found <= hi) for lo, hi in ends)
            return inside is wanted

        return run

    def run_moment(values: Values, now: datetime, why_not: WhyNot) -> bool:
        found = as_moment(get(values))
        if found is None:
            return False
        inside = any((lo is None or order(found, lo) >= 0) and (hi is None or order(found, hi) <= 0) for lo, hi in ends)
        return inside is wanted

    return run_moment


def _ends(item: Constant | Range) -> tuple[Any, Any]:
    if isinstance(item, Constant):
        return item.value, item.value
    return item.low.value if item.low else None, item.high.value if item.high else None
