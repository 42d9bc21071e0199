"""Conditions in words that somebody reads who never saw the policy's files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from rules.docs.page import Anchors, Link, Words
from rules.ladders.durations import length
from rules.language.named import key_of
from rules.language.syntax import (
    Arithmetic,
    Both,
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
    Range,
    Test,
)
from rules.model import Entity
from rules.nouns import many, system_name
from rules.pools.model import Person

_NUMBERS = {"<": "less than", "<=": "at most", ">": "more than", ">=": "at least"}
_DATES = {"<": "before", "<=": "on or before", ">": "after", ">=": "on or after"}
_TEXTS = {"contains": "contains", "starts with": "starts with", "ends with": "ends with", "matches": "fits the pattern"}
_SIGNS = {"+": "plus", "-": "less", "*": "times", "/": "divided by"}


class Sentences:
    """Says conditions on one kind of record. Named conditions become links."""

    def __init__(
        self, routes: str, entities: Mapping[str, Entity], people: Mapping[str, Person], anchors: Anchors
    ) -> None:
        self._routes = routes
        self._entities = entities
        self._people = people
        self._anchors = anchors

    def say(self, tree: Expression) -> Words:
        """The condition as the rest of a sentence that begins with "when"."""
        if isinstance(tree, Both) and (change := self._change(tree)):
            return (change,)
        if isinstance(tree, (Both, Either)):
            return self._joined(tree)
        if isinstance(tree, Negation):
            return self._not(tree)
        if isinstance(tree, Named):
            return ("“", Link(tree.name, self._anchors.of("condition", key_of(tree.name))), "” holds")
        return (self._test(tree),) if isinstance(tree, Test) else ()

    def _joined(self, tree: Both | Either) -> Words:
        word = " and " if isinstance(tree, Both) else " or "
        found: list[Any] = []
        for part in tree.parts:
            said = self.say(part)
            if len(said) > 1 and isinstance(part, (Both, Either)) and type(part) is not type(tree):
                said = ("(", *said, ")")
            found += [word, *said] if found else said
        return tuple(found)

    def _change(self, tree: Both) -> str:
        """What the checker made of one ``changed from … to …``: tests of one span; "" where it is something else."""
        first, *others = tree.parts
        if not isinstance(first, Test) or not isinstance(first.left, Name) or first.left.path != "event.changed":
            return ""
        sides = {"from": "", "to": ""}
        for one in others:
            test = one.part if isinstance(one, Negation) else one
            if not isinstance(test, Test) or not isinstance(test.left, Name) or test.span != first.span:
                return ""
            if test is one:  # what is denied follows from what is told
                side = "from" if test.left.path.startswith("event.before.") else "to"
                sides[side] = f" {side} {_choice([self.item(item) for item in test.right], 'or')}"
        return f"{self._test(first)}{sides['from']}{sides['to']}"

    def _not(self, tree: Negation) -> Words:
        part = tree.part
        if isinstance(part, Test) and part.operator == "bare":
            return (f"{self._operand(part.left)} is not yes",)
        if isinstance(part, Named):
            return (*self.say(part)[:2], "” does not hold")
        return ("it is not so that (", *self.say(part), ")")

    def _test(self, test: Test) -> str:
        if (told := self._event(test)) is not None:
            return told
        left, operator = self._operand(test.left), test.operator
        if operator == "bare":
            return f"{left} is yes"
        if operator in ("is blank", "is not blank"):
            return f"{left} is {'blank' if operator == 'is blank' else 'filled in'}"
        if operator in ("is active", "is not active"):
            return f"{left} {'can' if operator == 'is active' else 'is somebody who cannot'} receive {many(self._routes)} now"
        items = [self.item(one) for one in test.right]
        verb = "are" if test.left.category == "number" and left.endswith("s") else "is"
        if operator in ("=", "in"):
            return f"{left} {verb} {_choice(items, 'or')}"
        if operator in ("!=", "not in"):
            return f"{left} is filled in, but is not {_choice(items, 'or')}"
        if operator in _TEXTS:
            return f"{left} {_TEXTS[operator]} {_choice(items, 'or')}"
        if operator.startswith("within"):
            before = {"within last": "in the last", "within next": "in the next"}.get(operator, "within")
            return f"{left} is {before} {items[0]}{' of today' if operator == 'within' else ''}"
        compared = _DATES if test.left.category == "date" else _NUMBERS
        return f"{left} {verb} {compared[operator]} {items[0]}"

    def _event(self, test: Test) -> str | None:
        """What is asked of the event itself has sentences of its own."""
        path = test.left.path if isinstance(test.left, Name) else ""
        if not all(isinstance(one, Constant) for one in test.right) or test.operator not in ("=", "in", "contains"):
            return None
        values = [str(one.value) for one in test.right if isinstance(one, Constant)]
        if path == "event.kind":
            return f"the {self._routes} was {_choice(values, 'or')}"
        if path == "event.system":
            return f"it comes from {_choice([system_name(one) for one in values], 'or')}"
        if path == "event.changed":
            return f"{_choice([self.field(f'{self._routes}.{one}') for one in values], 'or')} has just changed"
        return None

    def _operand(self, operand: Operand) -> str:
        if isinstance(operand, Name):
            return self.field(operand.path)
        if isinstance(operand, First):
            first, *others = (self.field(name.path) for name in operand.names)
            return f"{first} (where that is blank, {', then '.join(others)})"
        if isinstance(operand, Arithmetic):
            return f"({self._operand(operand.left)} {_SIGNS[operand.sign]} {self._operand(operand.right)})"
        return self.value(operand.value, operand.category)

    def item(self, item: Item) -> str:
        """One side of a comparison."""
        if isinstance(item, Distance):
            return length(item.length)
        if isinstance(item, Range):
            low = self.value(item.low.value, item.low.category) if item.low is not None else ""
            high = self.value(item.high.value, item.high.category) if item.high is not None else ""
            return f"{low} to {high}" if low and high else f"{low} or more" if low else f"{high} or less"
        return self._operand(item)

    def value(self, value: Any, category: str = "") -> str:
        """A value as it is read aloud."""
        if category == "person" and value in self._people:
            return self._people[value].name
        if isinstance(value, timedelta):
            return length(value)
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, datetime):
            return value.strftime("%Y-%m-%d %H:%M UTC")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return f"{value:,}"
        return value.isoformat() if isinstance(value, date) else f"“{value}”"

    def field(self, path: str) -> str:
        """A field: ``the lead's country``, ``the account owner``, ``the account's parent account's industry``."""
        space, *names = path.split(".")
        if space == "event":
            if names[0] == "before":
                return f"{self.field(f'{self._routes}.{names[-1]}')}, before the change,"
            return {"kind": "what happened", "system": "where it comes from", "changed": "what changed"}.get(
                names[0], "the id of the record"
            )
        if space == "counterpart":
            told = self.field(".".join((self._routes, *names))).replace(f"the {self._routes}'s ", "the ", 1)
            return f"{told} of the same person's record in the other system"
        if space == "match":
            return _OF_MATCH[names[0]]
        kind, owner = space, f"the {space}"
        for name in names:
            entity = self._entities.get(kind)
            field = entity.fields.get(name) if entity is not None else None
            label = lower(field.label) if field is not None else name
            owner = f"the {label}" if label.startswith(f"{kind} ") and owner == f"the {kind}" else f"{owner}'s {label}"
            kind = field.to if field is not None else ""
        return owner


_OF_MATCH = {
    "band": "whether the account was found",
    "probability": "how sure the account is",
    "candidate": "the account that fits best",
    "corrected": "whether a person said which account it is",
    "free_email": "whether the address is of a free-mail provider",
    "disposable_email": "whether the address is a throw-away one",
    "person": "whether the person is known",
    "duplicate": "whether there is a lead of the same person",
    "duplicate_of": "the id of the same person's lead",
    "contact": "the id of the same person's contact",
}


def lower(label: str) -> str:
    """A label within a sentence: "Country" is "country", "CSM" stays."""
    return label[:1].lower() + label[1:] if label[1:2].islower() or label[1:2] in ("-", " ") else label


def _choice(items: Iterable[str], word: str) -> str:
    *first, last = items
    return f"{', '.join(first)} {word} {last}" if first else last
