"""``tests.yaml``: leads, and where they must go. Read here, run by ``routing.runtime.policy_tests``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from rules.fields import Scope
from rules.model import Entity, Field
from rules.policy_tests.case import NOBODY, Case, Expected, PolicyTest
from rules.policy_tests.values import read_value
from rules.pools.people import People
from rules.source import Report, nearest
from rules.values import fold, moment
from rules.yamlfile import Block, Items, Node, Scalar, as_block, as_items, as_text, known_keys

TESTS = "tests.yaml"
MAX_TESTS = 2_000
OUTCOMES = ("assign", "keep", "hold", "reject", "holdout", "none")
EXPECTS = ("owner", "pool", "queue", "rung", "rule", "outcome", "reason", "corrections", "sets")
SURROUNDINGS = ("account", "counterpart", "duplicate_of", "event", "roster", "at")
EVENT = ("kind", "system", "changed", "before")
FILE_KEYS = ("at", "tests")
STATES = {"active": True, "inactive": False}
# What the daemon works out for a lead by itself is refused; of an account it is told by the CRM's opportunities.
_GIVEN = ("open_opportunities", "opportunity_owner")


@dataclass(frozen=True, slots=True)
class Known:
    """What a test may name: the fields, the people, and what the policy has of each."""

    entities: Mapping[str, Entity]
    people: People
    pools: Collection[str]
    rungs: Collection[str]
    routes: Collection[str] = ("lead",)
    queues: Collection[str] = ()


class CaseReader:
    """Reads records and what is expected of them. Mistakes are reported at their words."""

    def __init__(self, known: Known, report: Report) -> None:
        self._known = known
        self._report = report

    def file(self, root: Node | None) -> tuple[PolicyTest, ...]:
        """All tests of ``tests.yaml``."""
        block = as_block(root, self._report, TESTS)
        if block is None:
            return ()
        known_keys(block, FILE_KEYS, self._report, TESTS)
        at = self._at(block.get("at"))
        items = as_items(block.get("tests"), self._report, "tests")
        if block.get("tests") is None:
            self._report.error(
                block.place, "tests.yaml has no tests", "add 'tests:' with one '- test: …' for each lead"
            )
        if len(items) > MAX_TESTS:
            self._report.error(items[MAX_TESTS].place, f"there are more than {MAX_TESTS:,} tests")
        found: list[PolicyTest] = []
        names: dict[str, int] = {}
        for item in items[:MAX_TESTS]:
            body = as_block(item, self._report, "a test")
            test = self._test(body, at) if body is not None else None
            if test is None:
                continue
            if (line := names.setdefault(fold(test.name), test.place.line)) != test.place.line:
                self._report.error(test.place, f"there is already a test '{test.name}', on line {line}")
            found.append(test)
        return tuple(found)

    def single(self, root: Node | None, name: str) -> Case | None:
        """One record of a file of its own: its values alone, or below its kind, with what surrounds it."""
        block = as_block(root, self._report, name)
        if block is None:
            return None
        if any(key in block.entries for key in (*self._known.routes, *SURROUNDINGS)):
            known_keys(block, (*self._known.routes, *SURROUNDINGS), self._report, name)
            return self._case(block, None)
        first = next(iter(self._known.routes))
        return Case(self.values(block, first, first), routes=first)

    def account(self, root: Node | None, name: str) -> dict[str, Any] | None:
        """The account of a file of its own."""
        block = as_block(root, self._report, name)
        return self.values(block, "account", "account") if block is not None else None

    def _test(self, block: Block, at: datetime | None) -> PolicyTest | None:
        known_keys(block, ("test", *self._known.routes, *SURROUNDINGS, "expect"), self._report, "a test")
        name = as_text(block.get("test"), self._report, "the name of the test")
        if name is None:
            if block.get("test") is None:
                self._report.error(block.place, "this test has no name", "start it with '- test: …'")
            return None
        case = self._case(block, at)
        expect = as_block(block.get("expect"), self._report, f"what the test '{name.text}' expects")
        if expect is None or not expect.entries:
            if block.get("expect") is None or expect is not None:
                hint = "add 'expect: {rung: …}', or owner, pool, outcome, corrections"
                self._report.error(name.place, "this test expects nothing", hint)
            return None
        known_keys(expect, EXPECTS, self._report, "'expect'")
        expected = tuple(one for key, node in expect if (one := self._expected(key, node, case)) is not None)
        return PolicyTest(" ".join(name.text.split()), name.place, case, expected) if case is not None else None

    def _case(self, block: Block, at: datetime | None) -> Case | None:
        routed = [name for name in self._known.routes if name in block.entries]
        if len(routed) != 1:
            words = " and ".join(self._known.routes)
            what = f"there is both {' and '.join(routed)} here" if routed else "there is no record to route here"
            self._report.error(
                block.place, what, f"write one of: {words}" if routed else f"add '{words.split()[0]}: {{…}}'"
            )
            return None
        routes = routed[0]
        before = self._report.errors
        record = self._record(block.get(routes), routes)
        account = self._record(block.get("account"), "account") if "account" in block.entries else None
        sound = account is not None and routes == "lead" and record is not None and self._report.errors == before
        if sound and not any((record or {}).get(name) for name in ("email", "website")):
            place = block.entries["account"][0].place
            message = "nothing leads from this lead to the account"
            self._report.error(place, message, "give the lead an e-mail or a website")
        return Case(
            record=record or {},
            account=account,
            counterpart=self._record(block.get("counterpart"), routes),
            duplicate_of=self._record(block.get("duplicate_of"), routes),
            event=self._event(block.get("event"), routes),
            roster=self._roster(block.get("roster")),
            at=self._at(block.get("at")) or at,
            routes=routes,
        )

    def _record(self, node: Node | None, entity: str) -> dict[str, Any] | None:
        if isinstance(node, Scalar) and not node.text:
            return {}
        block = as_block(node, self._report, f"the {entity}")
        return self.values(block, entity, entity) if block is not None else None

    def values(self, block: Block, entity: str, called: str) -> dict[str, Any]:
        """The values of one record by field name; mistakes are reported and left out."""
        fields = self._known.entities[entity].fields if entity in self._known.entities else {}
        found: dict[str, Any] = {}
        for key, node in block:
            field = fields.get(key.text)
            if field is None:
                if key.text == "id":
                    continue
                hint = nearest(key.text, fields)
                self._report.error(key.place, f"{called} has no field '{key.text}'", hint)
            elif not field.remote and key.text not in _GIVEN:
                what = f"{called}.{key.text} is worked out by the daemon: it cannot be given"
                self._report.error(key.place, what, "give the e-mail or the website that it follows from")
            elif field.type == "reference" and isinstance(node, Block) and called == "account":
                found[key.text] = self.values(node, field.to, f"account.{key.text}")
            else:
                found[key.text] = read_value(node, f"{called}.{key.text}", field, self._known.people, self._report)
        return found

    def _event(self, node: Node | None, routes: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        block = as_block(node, self._report, "event")
        if block is None:
            return found
        known_keys(block, EVENT, self._report, "event")
        scope = Scope(self._known.entities, routes)
        for key, value in block:
            if key.text == "before":
                found["before"] = self._record(value, routes)
            elif (path := scope.resolve(f"event.{key.text}")) is not None:
                found[key.text] = read_value(value, path.text, path.field, self._known.people, self._report)
                if key.text == "changed":
                    self._changed(value, path.field)
        return found

    def _changed(self, node: Node, field: Field) -> None:
        for item in node.items if isinstance(node, Items) else [node]:
            if isinstance(item, Scalar) and item.text not in field.choices:
                self._report.error(item.place, f"there is no field '{item.text}'", nearest(item.text, field.choices))

    def _roster(self, node: Node | None) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for name, value in as_block(node, self._report, "roster") or ():
            person = self._known.people.find(name.text)
            state = as_text(value, self._report, f"the state of {name.text}")
            if person is None:
                self._report.error(name.place, *self._known.people.unknown(name.text))
            elif state is not None and state.text.casefold() not in STATES:
                self._report.error(
                    state.place, f"'{state.text}' is neither active nor inactive", nearest(state.text, STATES)
                )
            elif state is not None:
                found[person.key] = STATES[state.text.casefold()]
        return found

    def _at(self, node: Node | None) -> datetime | None:
        text = as_text(node, self._report, "'at'")
        if text is None:
            return None
        found = moment(text.text.strip())
        if found is None:
            self._report.error(text.place, f"'{text.text}' is no time", "write it as 2026-11-22T09:00:00Z")
            return None
        if isinstance(found, datetime):
            return found
        return _noon(found)

    def _expected(self, key: Scalar, node: Node, case: Case | None) -> Expected | None:
        if key.text not in EXPECTS:
            return None
        if key.text in ("corrections", "sets"):
            return self._fields_expected(key, node, case)
        text = as_text(node, self._report, f"'{key.text}'")
        if text is None:
            return None
        value, message, hint = self._named(key.text, " ".join(text.text.split()))
        if message:
            self._report.error(text.place, message, hint)
            return None
        return Expected(key.text, value, text.place)

    def _fields_expected(self, key: Scalar, node: Node, case: Case | None) -> Expected | None:
        if isinstance(node, Scalar) and fold(node.text) == "none":
            return Expected(key.text, {}, node.place)
        block = as_block(node, self._report, f"'{key.text}'")
        if block is None:
            return None
        routes = case.routes if case is not None else "lead"
        return Expected(key.text, self.values(block, routes, routes), key.place)

    def _named(self, key: str, text: str) -> tuple[str, str, str]:
        """The value in full; what is wrong with it, and a hint."""
        if key == "owner":
            if fold(text) == NOBODY:
                return NOBODY, "", ""
            person = self._known.people.find(text)
            return (person.key, "", "") if person is not None else (text, *self._known.people.unknown(text))
        if key == "outcome" and fold(text) not in OUTCOMES:
            return text, f"'{text}' is no outcome", nearest(text, OUTCOMES) or f"one of: {', '.join(OUTCOMES)}"
        names: Collection[str] = {
            "pool": self._known.pools, "rung": self._known.rungs, "queue": self._known.queues, "outcome": OUTCOMES,
        }.get(key, ())  # fmt: skip
        if not names:
            return text, "", ""
        by_fold = {fold(name): name for name in names}
        if fold(text) not in by_fold:
            return text, f"there is no {key} '{text}'", nearest(text, names)
        return by_fold[fold(text)], "", ""


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
