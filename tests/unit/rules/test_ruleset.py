"""Many rules at once: which wins, why another does not, and which nearly do."""

from __future__ import annotations

import math
from typing import Any

from rules.fields import Scope, read_fields
from rules.language.checking import Checker
from rules.language.grammar import parse
from rules.language.normal import normal_form
from rules.language.ruleset import Failed, RuleSet
from rules.pools.people import People
from rules.source import Report, Source
from rules.yamlfile import read_yaml
from tests.unit.rules.samples import FIELDS, NOW, can_receive

SCOPE = Scope(read_fields(read_yaml(Source("fields.yaml", FIELDS), Report()), Report()))


def rules(*conditions: str) -> RuleSet:
    said: list[Any] = []
    checker = Checker(SCOPE, People())
    trees = [checker.check(parse(text), lambda *told: said.append(told)) for text in conditions]
    assert not said
    return RuleSet([normal_form(tree) for tree in trees if tree], lambda path: SCOPE.resolve(path).get)  # type: ignore[union-attr]


def lead(**fields: Any) -> dict[str, Any]:
    return {"lead": fields, "account": None}


FOUR = rules(
    'lead.country = "DE" and lead.employees >= 1000',
    'lead.country in ("DE", "AT") and lead.company contains "bank"',
    'lead.postal_code starts with "94" or lead.employees in 5..10',
    "lead.country is blank and not lead.free_email",
)


def test_the_first_rule_that_holds_wins() -> None:
    assert FOUR.winner(lead(country="de", employees=5000, company="Bank")) == 0
    assert FOUR.winner(lead(country="AT", company="Bank of Y")) == 1
    assert FOUR.winner(lead(country="AT", postal_code="94103")) == 2
    assert FOUR.winner(lead(country="AT", employees=10)) == 2
    assert FOUR.winner(lead()) == 3
    assert FOUR.winner(lead(country="AT", employees=11)) is None
    assert list(FOUR.winners(lead(country="DE", employees=5000, company="Bank", postal_code="9411"))) == [0, 1, 2]


def test_no_value_is_taken_for_another() -> None:
    flags = rules("lead.employees = 1", "lead.employees = 0", "lead.free_email", "lead.score >= 0")
    for _ in range(2):  # the second time from memory
        assert flags.winner(lead(employees=1)) == 0
        assert flags.winner(lead(employees=1.0)) == 0
        assert flags.winner(lead(employees=True)) is None
        assert flags.winner(lead(employees=False)) is None
        assert flags.winner(lead(employees="1")) is None
        assert flags.winner(lead(free_email=1)) is None
        assert flags.winner(lead(free_email=True)) == 2
        assert flags.winner(lead(score=math.nan)) is None
        assert flags.winner(lead(score=math.inf)) == 3
        assert flags.winner(lead(score=[1])) is None
        assert flags.winner(lead(score={"a": 1})) is None


def test_texts_and_beginnings_of_the_same_letters_keep_apart() -> None:
    codes = rules(
        'lead.postal_code = "94"', 'lead.postal_code starts with "941" and lead.country = "US"',
        'lead.postal_code starts with "94" and not lead.postal_code starts with "943"', 'lead.postal_code != "1"',
    )  # fmt: skip
    for _ in range(2):
        assert list(codes.winners(lead(postal_code="94"))) == [0, 2, 3]
        assert list(codes.winners(lead(postal_code="94103", country="us"))) == [1, 2, 3]
        assert list(codes.winners(lead(postal_code="94103"))) == [2, 3]
        assert list(codes.winners(lead(postal_code="94303"))) == [3]
        assert list(codes.winners(lead(postal_code="1"))) == []
        assert list(codes.winners(lead(postal_code=" "))) == []


def test_why_a_rule_does_not_hold_is_told_by_what_would_have_to_change() -> None:
    given = lead(country="AT", employees=200, company="Acme", postal_code="1010")
    assert FOUR.why_not(given, 0) == (Failed("lead.country", "AT", '"DE"'), Failed("lead.employees", 200, "1000.."))
    assert FOUR.why_not(given, 1) == (Failed("lead.company", "Acme", 'lead.company contains "bank"'),)
    assert FOUR.why_not(given, 2) == (Failed("lead.postal_code", "1010", '"94*"'),)
    assert FOUR.why_not(given, 3) == (Failed("lead.country", "AT", "blank"),)
    assert FOUR.why_not(lead(), 3) == ()
    assert rules('lead.country = "DE" and lead.country = "AT"').why_not(given, 0) is None


def test_near_misses_fail_by_one_thing_alone() -> None:
    given = lead(country="AT", employees=200, company="Acme", postal_code="1010")
    assert [number for number, _ in FOUR.near_misses(given)] == [1, 2, 3]
    assert FOUR.near_misses(given, most=1) == [(1, Failed("lead.company", "Acme", 'lead.company contains "bank"'))]
    assert FOUR.near_misses(lead(country="DE", employees=1))[0] == (0, Failed("lead.employees", 1, "1000.."))


def test_what_asks_for_the_time_or_the_roster_is_asked_each_time() -> None:
    timed = rules("lead.created_at within last 2 days", "lead.owner is active", "lead.employees > 5")
    given = lead(created_at="2025-11-21", owner="ana@example.com", employees=9)
    assert timed.winner(given, can_receive, NOW) == 0
    assert timed.winner(given, can_receive, NOW.replace(year=2026)) == 1
    assert timed.winner(given, lambda _: "away", NOW.replace(year=2026)) == 2


def test_more_values_than_are_remembered_change_no_answer() -> None:
    some = rules(*(f'lead.company = "c{n}" or lead.employees in {n}..{n + 3}' for n in range(50)))
    assert [some.winner(lead(company=f"C{n}")) for n in range(25_000)][:51] == [*range(50), None]
    assert some.winner(lead(company="c7")) == 7
    assert some.winner(lead(employees=10)) == 7


def test_alternatives_of_one_field_become_one_and_contradictions_none() -> None:
    def form(text: str) -> int:
        tree = Checker(SCOPE, People()).check(parse(text), lambda *_: None)
        assert tree is not None
        return len(normal_form(tree))

    assert form('lead.country = "DE" or lead.country = "AT" or lead.country starts with "U"') == 1
    assert form("lead.employees < 5 or lead.employees > 7 or lead.employees is blank") == 1
    assert form("lead.employees < 5 and lead.employees > 7") == 0
    assert form('lead.company contains "x" and not lead.company contains "x"') == 0
    assert form('(lead.country = "DE" or lead.employees > 5) and (lead.score > 1 or lead.company = "a")') == 4
    assert form('not (lead.country = "DE" and lead.employees > 5)') == 2
