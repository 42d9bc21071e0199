"""Checks the values written in a condition against the type of the field they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rules.fields import Path
from rules.language.mistakes import ConditionError
from rules.language.patterns import check_pattern
from rules.language.syntax import Category, Constant, Operator, Range, Span
from rules.source import nearest
from rules.values import fold, moment, order

if TYPE_CHECKING:
    from rules.pools.people import People

Complain = Callable[[Span, str, str], None]

CATEGORY: dict[str, Category] = {
    "text": "text", "choice": "text", "reference": "text", "number": "number", "money": "number", "boolean": "boolean",
    "date": "date", "datetime": "date", "list": "list", "person": "person",
}  # fmt: skip
WORDS: dict[Category, str] = {
    "text": "a text", "number": "a number", "boolean": "a yes or no", "date": "a date", "list": "a list",
    "person": "a person", "length": "a length of time",
}  # fmt: skip
EXAMPLE: dict[Category, str] = {
    "text": 'a text is written in quotes: "DE"', "number": "a number is written without quotes: 200",
    "boolean": "write yes or no", "date": "a date is written as 2026-11-22",
    "list": 'ask whether it contains a value: contains "Cloud"', "person": 'a person is written in quotes: "Ana Diaz"',
    "length": "say in what: 3 days",
}  # fmt: skip
DAYS_BETWEEN = "days between"  # the name of what two dates differ by; compares with numbers of days and with lengths


class Literals:
    """Types constants and ranges."""

    def __init__(self, people: People) -> None:
        self._people = people

    def span(self, part: Range, path: Path, category: Category, complain: Complain) -> Range:
        """A range, typed for ``path``."""
        if category not in ("number", "date"):
            what = f"{path.text} is {WORDS[category]}: a range needs a number or a date"
            complain(part.span, what, "ranges of postal codes are for tables" if category == "text" else "")
            return part
        low = self.constant(part.low, path, category, "in", complain) if part.low else None
        high = self.constant(part.high, path, category, "in", complain) if part.high else None
        if low and high and low.category == high.category == category and _descends(low.value, high.value):
            complain(part.span, "this range is the wrong way round: nothing is in it", "write the smaller end first")
        return Range(low, high, part.span)

    def constant(
        self, part: Constant, path: Path, category: Category, operator: Operator, complain: Complain
    ) -> Constant:
        """A constant, typed for ``path``."""
        if part.category == "text":
            return self._text(part, path, category, operator, complain)
        if part.category == "length" and path.field.name == DAYS_BETWEEN:
            return Constant(part.value / timedelta(days=1), part.span, "number")
        if part.category != category:
            what = f"{path.text} is {WORDS[category]} and cannot be compared with {WORDS[part.category]}"
            complain(part.span, what, EXAMPLE[category])
        return part

    def _text(self, part: Constant, path: Path, category: Category, operator: Operator, complain: Complain) -> Constant:
        text: str = part.value
        if not text.strip():
            complain(part.span, "an empty text compares with nothing", f"did you mean '{path.text} is blank'?")
        elif category == "date":
            value = moment(text)
            if value is not None:
                return Constant(value, part.span, "date")
            what = f'{path.text} is a date and cannot be compared with the text "{text}"'
            complain(part.span, what, EXAMPLE["date"])
        elif category == "person":
            person = self._people.find(text)
            if person is not None:
                return Constant(person.key, part.span, "person")
            complain(part.span, *self._people.unknown(text))
        elif operator == "matches":
            try:
                check_pattern(text, part.span)
            except ConditionError as error:
                complain(error.span, error.message, error.hint)
        elif category in ("text", "list"):
            if path.field.choices and operator not in ("starts with", "ends with"):
                _choice(part, path, operator, complain)
        else:
            message = f'{path.text} is {WORDS[category]} and cannot be compared with the text "{text[:40]}"'
            complain(part.span, message, EXAMPLE[category])
        return part


def _choice(part: Constant, path: Path, operator: Operator, complain: Complain) -> None:
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


def _descends(low: Any, high: Any) -> bool:
    return order(low, high) > 0 if not isinstance(low, (int, float)) else bool(low > high)
