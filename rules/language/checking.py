"""Types a condition: every name a field, every value of that field's type. Mistakes name the exact words.

What is checked is simpler than what was written: ``changed`` has become tests of ``event``, and a named condition holds what
it stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rules.fields import Path, Scope
from rules.language.grammar import parse
from rules.language.literals import CATEGORY, DAYS_BETWEEN, EXAMPLE, WORDS, Complain, Literals, wrong_choice
from rules.language.named import Definitions, key_of
from rules.language.syntax import (
    Arithmetic,
    Both,
    Category,
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
    Span,
    Test,
    paths,
    together,
)
from rules.language.templates import Read, Shapes, Values
from rules.model import Field
from rules.source import Report, nearest

if TYPE_CHECKING:
    from rules.pools.people import People

__all__ = ["CATEGORY", "WORDS", "Category", "Checker", "Complain", "wrong_choice"]

MAX_TESTS = 5_000  # comparisons of one condition with its named ones written out
MAX_WRITTEN = 60_000  # comparisons of one ladder, so that it compiles in seconds; 10,000 rungs of 6 each
MAX_WHOLE_DEPTH = 100  # depth with the named ones written out; far from where Python's recursion ends
# Which categories the left side of an operator may have.
_FITS: dict[Operator, tuple[Category, ...]] = {
    "=": ("text", "number", "boolean", "date", "person"), "!=": ("text", "number", "boolean", "date", "person"),
    "<": ("number", "date"), "<=": ("number", "date"), ">": ("number", "date"), ">=": ("number", "date"),
    "in": ("text", "number", "date", "person"), "not in": ("text", "number", "date", "person"),
    "contains": ("text", "list"), "starts with": ("text",), "ends with": ("text",), "matches": ("text",),
    "is active": ("person",), "is not active": ("person",), "bare": ("boolean",),
    "within": ("date",), "within last": ("date",), "within next": ("date",),
}  # fmt: skip
# What a sign makes of two categories.
_MAKES: dict[tuple[Category, str, Category], Category] = {
    **{("number", sign, "number"): "number" for sign in "+-*/"},
    ("date", "+", "length"): "date", ("date", "-", "length"): "date", ("length", "+", "date"): "date",
    ("date", "-", "date"): "number",
}  # fmt: skip


# Words of other programs that stand where a field or a value would.
_NO_FIELDS = {
    **dict.fromkeys(("blank", "null", "none", "nil", "empty"), "whether a field has a value: is blank, is not blank"),
    **dict.fromkeys(
        ("today", "now", "yesterday", "tomorrow"), "how far from now: within last 30 days; else a date as 2026-11-22"
    ),
}


class Checker:
    """Checks the conditions of one ladder against the fields, the roster, and the named conditions."""

    def __init__(
        self, scope: Scope, people: People, definitions: Definitions | None = None, report: Report | None = None
    ) -> None:
        """Mistakes in ``definitions`` go to ``report``, at their own places, once something uses them."""
        self._scope = scope
        self._literals = Literals(people)
        self._shapes = Shapes(scope, self._literals)
        self._definitions = definitions or {}
        self._report = report
        self._known: dict[str, Expression | None] = {}
        self._flaws: dict[str, list[tuple[Span, str, str]]] = {}
        self._needs: dict[str, set[str]] = {}
        self._sizes: dict[str, int] = {}
        self._written = 0
        self.used: set[str] = set()  # keys of the named conditions that something asks for
        self._define()

    def _define(self) -> None:
        """Checks every definition, each after those it uses. Its mistakes are told once something uses it: what one ladder
        can ask, another may not, as it routes another kind of record."""
        for key, definition in self._definitions.items():
            flaws: list[tuple[Span, str, str]] = []
            if definition.tree is not None and self._scope.resolve(key) is not None:
                flaws.append(((0, 1), f"there is a field called {key} already: call the condition otherwise", ""))
            tree = definition.tree
            checked = self.check(tree, lambda *flaw, told=flaws: told.append(flaw)) if tree else None
            self._known[key] = None if flaws else checked
            self._flaws[key] = flaws
            self._needs[key], self.used = self.used, set()

    def knows(self, key: str) -> bool:
        """Whether a named condition can be used here."""
        return self._known.get(key) is not None

    def with_needs(self, key: str) -> set[str]:
        """A named condition and those that it uses."""
        waiting, seen = [key], {key}
        while waiting:
            more = self._needs.get(waiting.pop(), set()) - seen
            seen |= more
            waiting += more
        return seen

    def tell_flaws(self, key: str) -> None:
        """Reports the mistakes of a named condition and of those it uses, where they are written."""
        if self._report is None:
            return
        for one in self.with_needs(key):
            for span, message, hint in self._flaws[one]:
                self._report.error(self._definitions[one].text.at(*span), message, hint)

    def read(self, text: str, complain: Complain) -> Read | None:
        """A condition, checked; None when something was complained about. Raises ConditionError."""
        values = Values(text)
        filled = self._shapes.filled(values)
        if filled is not None and self._written + filled.tests <= MAX_WRITTEN:
            self._written += filled.tests
            return filled
        tree = self.check(parse(text), complain)
        if tree is None:
            return None
        found = tuple(path for name in paths(tree) if (path := self._scope.resolve(name)) is not None)
        read = Read(tree, found, self._size(tree))
        self._shapes.keep(values, read)
        return read

    def check(self, expression: Expression, complain: Complain) -> Expression | None:
        """The expression with names in full and values typed, or None when something was complained about."""
        found: list[Span] = []

        def note(span: Span, message: str, hint: str) -> None:
            found.append(span)
            complain(span, message, hint)

        checked = self._expression(expression, note)
        if checked is None or found:
            return None
        tests = self._size(checked)
        self._written += tests
        if self._written > MAX_WRITTEN:
            message = f"with the conditions before it, this makes more than {MAX_WRITTEN:,} comparisons"
            complain((0, 1), message, "named conditions count wherever they are used; a table can say it shorter")
            return None
        if checked.depth > MAX_WHOLE_DEPTH or tests > MAX_TESTS:
            message = "this is too large with its named conditions written out: a table can say it shorter"
            complain((0, 1), message, f"at most {MAX_TESTS:,} comparisons, nested {MAX_WHOLE_DEPTH} deep")
            return None
        return checked

    def number(self, expression: Expression, complain: Complain) -> Operand | None:
        """A value that stands alone, as a number; None when something was complained about."""
        if not isinstance(expression, Test) or expression.operator != "bare":
            complain((0, 1), "a number is expected here, not a condition", "a number field, or a calculation with some")
            return None
        found = self._side(expression.left, complain)
        if found is None:
            return None
        operand, path = found
        if operand.category != "number":
            what = WORDS[operand.category]
            complain(operand.span, f"{path.text} is {what}: a number is expected here", "")
            return None
        return operand

    def _size(self, expression: Expression) -> int:
        """The number of comparisons. A named condition is counted once and remembered: sums may grow exponentially."""
        if isinstance(expression, (Both, Either)):
            return sum(self._size(part) for part in expression.parts)
        if isinstance(expression, Negation):
            return self._size(expression.part)
        if isinstance(expression, Named) and expression.part is not None:
            key = key_of(expression.name)
            if key not in self._sizes:
                self._sizes[key] = self._size(expression.part)
            return self._sizes[key]
        return 1

    def _expression(self, expression: Expression, complain: Complain) -> Expression | None:
        if isinstance(expression, (Both, Either)):
            parts = [self._expression(part, complain) for part in expression.parts]
            sound = tuple(part for part in parts if part is not None)
            if len(sound) < len(parts):
                return None
            return replace(expression, parts=sound, depth=1 + max(part.depth for part in sound))
        if isinstance(expression, Negation):
            part = self._expression(expression.part, complain)
            return Negation(part, 1 + part.depth) if part is not None else None
        if isinstance(expression, Changed):
            return self._changed(expression, complain)
        if isinstance(expression, Named):
            return self._named(expression.name, expression.span, complain)
        left = expression.left
        if expression.operator == "bare" and isinstance(left, Name) and key_of(left.path) in self._definitions:
            return self._named(left.path, left.span, complain)
        return self._test(expression, complain)

    def _named(self, name: str, span: Span, complain: Complain) -> Expression | None:
        key = key_of(name)
        definition = self._definitions.get(key)
        if definition is None:
            names = [one.name for one in self._definitions.values()]
            hint = nearest(name, names) or ("" if names else "named conditions stand in conditions.yaml")
            complain(span, f"there is no condition '{name}'", hint)
            return None
        self.used.add(key)
        part = self._known.get(key)
        if part is None:
            # Its own mistake is reported where it is written; that it cannot be used here follows from it.
            if len(self._known) == len(self._definitions):
                self.tell_flaws(key)
            return None
        return Named(definition.name, span, part, 1 + part.depth)

    def _test(self, test: Test, complain: Complain) -> Test | None:
        if isinstance(test.left, Constant):
            complain(test.left.span, "a comparison starts with a field", "write the field first: lead.country = …")
            return None
        resolved = self._side(test.left, complain)
        if resolved is None:
            for part in test.right:  # so that unknown names on the right are told in the same run
                if isinstance(part, (Name, First, Arithmetic)):
                    self._side(part, complain)
            return None
        left, path = resolved
        operator = test.operator
        if operator not in ("is blank", "is not blank") and left.category not in _FITS[operator]:
            complain(test.span if not test.right else left.span, *_misfit(operator, path.text, left.category))
            return None
        right = tuple(self._right(part, path, left.category, operator, complain) for part in test.right)
        return Test(left, operator, right, test.span)

    def _changed(self, change: Changed, complain: Complain) -> Expression | None:
        """``changed`` in tests: the event touched it, it holds what was asked for, and before it did not (or the reverse)."""
        left = self._side(change.left, complain)
        if left is None:
            return None
        now, path = left
        space, _, name = path.text.partition(".")
        if not isinstance(now, Name) or space != self._scope.routes or "." in name:
            complain(now.span, f"only a field of the {self._scope.routes} itself can be asked whether it changed", "")
            return None
        if path.field.read_only and not path.field.remote:
            complain(now.span, f"{path.text} is worked out by the daemon: no event changes it", "")
            return None
        if (change.before or change.after) and now.category == "list":
            complain(change.span, f"{path.text} is a list: only 'changed' alone can be asked of it", "")
            return None
        was = Name(f"event.before.{name}", now.span, now.category)
        touched = Test(
            Name("event.changed", now.span, "list"), "contains", (Constant(name, now.span, "text"),), change.span
        )
        found: list[Expression] = [touched]
        for operand, items, other in ((was, change.before, change.after), (now, change.after, change.before)):
            if items:
                held = self._among(operand, path, items, change.span, complain)
                found.append(held)
                if not other:  # from X alone: it is no longer X; to Y alone: it was not Y before
                    opposite = now if operand is was else was
                    found.append(Negation(self._among(opposite, path, items, change.span, lambda *_: None), 3))
        return together(*found)

    def _among(self, left: Name, path: Path, items: tuple[Item, ...], span: Span, complain: Complain) -> Expression:
        if left.category != "boolean":
            right = tuple(self._right(item, path, left.category, "in", complain) for item in items)
            return Test(left, "in", right, span)
        one = tuple(Test(left, "=", (self._right(item, path, "boolean", "=", complain),), span) for item in items)
        return one[0] if len(one) == 1 else Either(one, 2)

    def operand(self, operand: Name | First, complain: Complain) -> tuple[Name | First, Path] | None:
        """The field or fields meant, and the first one's path; None when complained about."""
        if isinstance(operand, Name) and (one := self._scope.resolve(operand.path)) is not None:
            return Name(one.text, operand.span, CATEGORY[one.field.type]), one
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

    def _side(self, operand: Operand, complain: Complain) -> tuple[Operand, Path] | None:
        """One side of a comparison, and what it is called in sentences; None when complained about."""
        if isinstance(operand, (Name, First)):
            return self.operand(operand, complain)
        if isinstance(operand, Constant):
            what = {"number": "the number", "length": "the time", "date": "the date"}.get(operand.category, "the value")
            return operand, _called(what, "text")
        left, right = self._side(operand.left, complain), self._side(operand.right, complain)
        if left is None or right is None:
            return None
        kinds = (left[0].category, operand.sign, right[0].category)
        category = _MAKES.get(kinds)
        if category is None:
            complain(operand.span, *_no_sum(left, operand.sign, right))
            return None
        if operand.sign == "/" and isinstance(right[0], Constant) and right[0].value == 0:
            complain(right[0].span, "nothing can be divided by 0", "")
            return None
        name = DAYS_BETWEEN if kinds[0] == kinds[2] == "date" else category
        return replace(operand, left=left[0], right=right[0], category=category), _called("this calculation", name)

    def _unknown(self, name: str, value: Path | None = None) -> tuple[str, str]:
        """Of a name that is no field. ``value``: it stands where a value for that field is expected: mostly a text without its
        quotes."""
        if name.casefold() in ("nan", "inf", "infinity"):
            return f"'{name}' is not a number that can be compared", "ask for 'is blank' where a value may be missing"
        if (hint := _NO_FIELDS.get(name.casefold())) is not None:
            return f"there is no field '{name}'", hint
        quoted = f'if the text is meant, put it in quotes: "{name}"'
        if value is not None and value.field.choices and wrong_choice(name, value) is None:
            return f"there is no field '{name}'", quoted
        message, hint = self._scope.unknown(name)
        if not hint and "." not in name:
            hint = nearest(name, self._definitions)
        if not hint:
            hint = quoted if value else "fields are described in fields.yaml, conditions named in conditions.yaml"
        return message, hint

    def _right(self, part: Item, path: Path, category: Category, operator: Operator, complain: Complain) -> Item:
        if isinstance(part, Distance):
            return part
        if isinstance(part, Range):
            return self._literals.span(part, path, category, complain)
        if isinstance(part, Constant):
            return self._literals.constant(part, path, category, operator, complain)
        if isinstance(part, Name) and self._scope.resolve(part.path) is None:
            complain(part.span, *self._unknown(part.path, path))
            return part
        resolved = self._side(part, complain)
        if resolved is None:
            return part
        right, other = resolved
        wanted: Category = "text" if category == "list" else category
        if right.category != wanted:
            what = f"{path.text} is {WORDS[category]}, {other.text} is {WORDS[right.category]}"
            complain(right.span, f"{what}: they cannot be compared", "")
        return right


def _called(what: str, name: str) -> Path:
    """A path for what is no field, so that sentences can speak of it."""
    return Path(what, Field(name, "number"), lambda _: None)


def _no_sum(left: tuple[Operand, Path], sign: str, right: tuple[Operand, Path]) -> tuple[str, str]:
    for operand, path in (left, right):
        if operand.category not in ("number", "date", "length"):
            return f"{path.text} is {WORDS[operand.category]}: only numbers and dates can be calculated with", ""
    one, other = WORDS[left[0].category], WORDS[right[0].category]
    if "a date" in (one, other) and "a number" in (one, other):
        return f"{one} '{sign}' {other} means nothing", "say how long: lead.created_at + 3 days"
    return f"{one} '{sign}' {other} means nothing", "numbers with numbers; a date + 3 days; a date - a date"


def _misfit(operator: Operator, path: str, category: Category) -> tuple[str, str]:
    if operator == "bare":
        return f"{path} is {WORDS[category]}, not a yes or no: say what to compare it with", EXAMPLE[category]
    if operator in ("is active", "is not active"):
        return f"{path} is {WORDS[category]}: only a person is active", ""
    if operator.startswith("within"):
        return f"{path} is {WORDS[category]}: only a date is within some days of now", ""
    if operator == "matches":
        return f"{path} is {WORDS[category]}: only a text matches a pattern", ""
    return f"{path} is {WORDS[category]}: it cannot be compared with '{operator}'", EXAMPLE[category]
