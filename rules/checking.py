"""Types a condition: every name a field, every value of that field's type. Mistakes name the exact words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rules.fields import Path, Scope
from rules.people import People
from rules.source import nearest
from rules.syntax import (
    Both,
    Category,
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
from rules.values import fold, moment, order

Complain = Callable[[Span, str, str], None]

CATEGORY: dict[str, Category] = {
    "text": "text", "choice": "text", "reference": "text", "number": "number", "money": "number", "boolean": "boolean",
    "date": "date", "datetime": "date", "list": "list", "person": "person",
}  # fmt: skip
WORDS: dict[Category, str] = {
    "text": "a text", "number": "a number", "boolean": "a yes or no", "date": "a date", "list": "a list",
    "person": "a person",
}  # fmt: skip
_EXAMPLE: dict[Category, str] = {
    "text": 'a text is written in quotes: "DE"', "number": "a number is written without quotes: 200",
    "boolean": "write yes or no", "date": "a date is written as 2026-11-22",
    "list": 'ask whether it contains a value: contains "country"', "person": 'a person is written in quotes: "Ana Diaz"',
}  # fmt: skip
# Which categories the left side of an operator may have.
_FITS: dict[Operator, tuple[Category, ...]] = {
    "=": ("text", "number", "boolean", "date", "person"), "!=": ("text", "number", "boolean", "date", "person"),
    "<": ("number", "date"), "<=": ("number", "date"), ">": ("number", "date"), ">=": ("number", "date"),
    "in": ("text", "number", "date", "person"), "not in": ("text", "number", "date", "person"),
    "contains": ("text", "list"), "starts with": ("text",), "ends with": ("text",),
    "is active": ("person",), "is not active": ("person",), "within": ("date",), "bare": ("boolean",),
}  # fmt: skip


class Checker:
    """Checks the conditions of one policy against its fields and roster."""

    def __init__(self, scope: Scope, people: People) -> None:
        self._scope = scope
        self._people = people

    def check(self, expression: Expression, complain: Complain) -> Expression | None:
        """The expression with names in full and values typed, or None when something was complained about."""
        found: list[Span] = []

        def note(span: Span, message: str, hint: str) -> None:
            found.append(span)
            complain(span, message, hint)

        checked = self._expression(expression, note)
        return None if found else checked

    def _expression(self, expression: Expression, complain: Complain) -> Expression:
        if isinstance(expression, (Both, Either)):
            return replace(expression, parts=tuple(self._expression(part, complain) for part in expression.parts))
        if isinstance(expression, Negation):
            return replace(expression, part=self._expression(expression.part, complain))
        return self._test(expression, complain)

    def _test(self, test: Test, complain: Complain) -> Test:
        if isinstance(test.left, Constant):
            complain(test.left.span, "a comparison starts with a field", "write the field first: lead.country = …")
            return test
        resolved = self.operand(test.left, complain)
        if resolved is None:
            for part in test.right:  # so that unknown names on the right are told in the same run
                if isinstance(part, (Name, First)):
                    self.operand(part, complain)
            return test
        left, path = resolved
        operator = test.operator
        if operator not in ("is blank", "is not blank") and left.category not in _FITS[operator]:
            complain(test.span if not test.right else left.span, *_misfit(operator, path.text, left.category))
            return test
        right = tuple(self._right(part, path, left.category, operator, complain) for part in test.right)
        return Test(left, operator, right, test.span)

    def operand(self, operand: Operand, complain: Complain) -> tuple[Name | First, Path] | None:
        """The field or fields meant, and the first one's path; None when complained about. Not for literals."""
        assert not isinstance(operand, Constant)
        names = operand.names if isinstance(operand, First) else (operand,)
        found = [(name, self._scope.resolve(name.path)) for name in names]
        for name, path in found:
            if path is None:
                complain(name.span, *self._unknown(name.path))
        paths = [path for _, path in found if path is not None]
        if len(paths) < len(found):
            return None
        category = CATEGORY[paths[0].field.type]
        for (name, _), path in zip(found, paths, strict=True):
            if CATEGORY[path.field.type] != category:
                what = f"{path.text} is {WORDS[CATEGORY[path.field.type]]}, {paths[0].text} is {WORDS[category]}"
                complain(name.span, f"{what}: both must be the same", "")
                return None
        full = tuple(Name(path.text, name.span, category) for (name, _), path in zip(found, paths, strict=True))
        whole = First(full, operand.span, category) if isinstance(operand, First) and len(full) > 1 else full[0]
        return whole, paths[0]

    def _unknown(self, name: str) -> tuple[str, str]:
        if name.casefold() in ("nan", "inf", "infinity"):
            return f"'{name}' is not a number that can be compared", "ask for 'is blank' where a value may be missing"
        message, hint = self._scope.unknown(name)
        return message, hint or f'if the text is meant, put it in quotes: "{name}"'

    def _right(
        self, part: Operand | Range | Distance, path: Path, category: Category, operator: Operator, complain: Complain
    ) -> Operand | Range | Distance:
        if isinstance(part, Distance):
            return part
        if isinstance(part, Range):
            return self._range(part, path, category, complain)
        if isinstance(part, Constant):
            return self._literal(part, path, category, operator, complain)
        resolved = self.operand(part, complain)
        if resolved is None:
            return part
        right, other = resolved
        wanted: Category = "text" if category == "list" else category
        if right.category != wanted:
            what = f"{path.text} is {WORDS[category]}, {other.text} is {WORDS[right.category]}"
            complain(right.span, f"{what}: they cannot be compared", "")
        return right

    def _range(self, part: Range, path: Path, category: Category, complain: Complain) -> Range:
        if category not in ("number", "date"):
            complain(
                part.span, f"{path.text} is {WORDS[category]}: a range needs a number or a date", _EXAMPLE[category]
            )
            return part
        low = self._literal(part.low, path, category, "in", complain) if part.low else None
        high = self._literal(part.high, path, category, "in", complain) if part.high else None
        if low and high and low.category == high.category == category and _descends(low.value, high.value):
            complain(part.span, "this range is the wrong way round: nothing is in it", "write the smaller end first")
        return Range(low, high, part.span)

    def _literal(
        self, part: Constant, path: Path, category: Category, operator: Operator, complain: Complain
    ) -> Constant:
        if part.category == "text":
            return self._text(part, path, category, operator, complain)
        if part.category != category:
            complain(
                part.span, f"{path.text} is {WORDS[category]} and cannot be compared with {WORDS[part.category]}",
                _EXAMPLE[category],
            )  # fmt: skip
        return part

    def _text(self, part: Constant, path: Path, category: Category, operator: Operator, complain: Complain) -> Constant:
        text: str = part.value
        if not text.strip():
            complain(part.span, "an empty text compares with nothing", f"did you mean '{path.text} is blank'?")
        elif category == "date":
            value = moment(text)
            if value is not None:
                return Constant(value, part.span, "date")
            complain(
                part.span, f'{path.text} is a date and cannot be compared with the text "{text}"', _EXAMPLE["date"]
            )
        elif category == "person":
            person = self._people.find(text)
            if person is not None:
                return Constant(person.key, part.span, "person")
            complain(part.span, *self._people.unknown(text))
        elif category in ("text", "list"):
            if path.field.choices and operator not in ("starts with", "ends with"):
                self._choice(part, path, operator, complain)
        else:
            message = f'{path.text} is {WORDS[category]} and cannot be compared with the text "{text[:40]}"'
            complain(part.span, message, _EXAMPLE[category])
        return part

    def _choice(self, part: Constant, path: Path, operator: Operator, complain: Complain) -> None:
        if operator == "contains" and CATEGORY[path.field.type] == "text":
            return
        message = wrong_choice(part.value, path)
        if message is not None:
            complain(part.span, *message)


def wrong_choice(text: str, path: Path) -> tuple[str, str] | None:
    """The sentence and hint for a value that the field cannot have; None when it can."""
    choices = path.field.choices
    if not choices or fold(text) in {fold(choice) for choice in choices}:
        return None
    hint = nearest(text, choices) or f"one of: {', '.join(choices[:12])}{' …' if len(choices) > 12 else ''}"
    return f"'{text[:60]}' is not among the choices of {path.text}", hint


def _misfit(operator: Operator, path: str, category: Category) -> tuple[str, str]:
    if operator == "bare":
        return f"{path} is {WORDS[category]}, not a yes or no: say what to compare it with", _EXAMPLE[category]
    if operator in ("is active", "is not active"):
        return f"{path} is {WORDS[category]}: only a person is active", ""
    if operator == "within":
        return f"{path} is {WORDS[category]}: only a date is within some days of now", ""
    return f"{path} is {WORDS[category]}: it cannot be compared with '{operator}'", _EXAMPLE[category]


def _descends(low: Any, high: Any) -> bool:
    return order(low, high) > 0 if not isinstance(low, (int, float)) else bool(low > high)
