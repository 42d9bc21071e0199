"""The words of the language beyond comparisons: patterns, changes, sums, named conditions."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from rules.language import checking
from rules.policy import compile_policy
from tests.unit.rules.samples import NOW, can_receive, errors, facts, holds, ladder, policy_files, walk, warnings, when

LEAD: dict[str, Any] = {
    "company": "Müller Söhne",
    "postal_code": "94103",
    "status": "Working",
    "employees": 250,
    "score": 50,
    "created_at": "2025-11-20T23:30:00.000Z",
    "birthday": "1990-05-17",
    "free_email": True,
    "owner": "ana.diaz@example.com",
}
ACCOUNT = {"name": "Acme", "employees": 1000}
UPDATE = {"kind": "updated", "changed": ["status", "score"], "before": {"status": "Open", "score": 40}}


@pytest.mark.parametrize(
    "condition",
    [
        'lead.postal_code matches "94[0-9]{3}"',
        'lead.company matches "m.ller (söhne|gmbh)"',
        'lead.company matches "MÜLLER.*"',
        "lead.created_at within last 2 days",
        "not lead.created_at within next 30 days",
        "lead.created_at + 3 days after 2025-11-22",
        "2 days + lead.created_at > 2025-11-21",
        "lead.created_at - 1 week before 2025-11-14",
        "lead.created_at - lead.birthday > 10000",
        "lead.created_at - lead.birthday > 1500 weeks",
        "lead.birthday + 1 day = 1990-05-18",
        "lead.employees / lead.score = 5",
        "(lead.employees + 50) * 2 = 600",
        "lead.employees + 50 * 2 = 350",
        "lead.employees - lead.score - 100 = 100",
        "lead.employees -50 = 200",
        "lead.employees * 4 = account.employees",
        "account.employees = lead.employees * 4",
        "lead.employees / 100 in 2..3",
        "lead.employees / (lead.score - 50) is blank",
        "not lead.employees / (lead.score - 50) > 0",
        "lead.employees + account.employees is not blank",
        "(lead.free_email)",
        "((lead.free_email) and (lead.score > 1))",
    ],
)
def test_it_holds(condition: str) -> None:
    assert holds(condition, facts(LEAD, ACCOUNT))


@pytest.mark.parametrize(
    "condition",
    [
        'lead.postal_code matches "94"',
        'lead.company matches "x.*"',
        'account.parent.name matches ".*"',
        "lead.created_at within last 1 day",
        "lead.created_at within next 14 days",
        "lead.employees / (lead.score - 50) > 0",
        "lead.employees / (lead.score - 50) <= 0",
        "lead.employees + account.parent.employees > 0",
        "lead.employees * 1e300 * 1e300 > 0",
    ],
)
def test_it_does_not_hold(condition: str) -> None:
    assert not holds(condition, facts(LEAD, ACCOUNT))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("lead.status changed", True),
        ("status changed", True),
        ("lead.employees changed", False),
        ('lead.status changed to "Working"', True),
        ('lead.status changed to ("Closed", "Working")', True),
        ('lead.status changed to "Open"', False),
        ('lead.status changed from "Open"', True),
        ('lead.status changed from "Working"', False),
        ('lead.status changed from "Open" to "Working"', True),
        ('lead.status changed from "Open" to "Closed"', False),
        ("lead.score changed from ..49 to 50..", True),
        ("lead.score crossed 50", True),
        ("lead.score crossed 30", False),
        ("lead.score crossed 51", False),
        ('event.before.status = "Open"', True),
    ],
)
def test_what_an_event_changed_can_be_asked(condition: str, expected: bool) -> None:
    assert holds(condition, facts(LEAD, **UPDATE)) is expected


def test_a_record_that_is_new_with_a_value_has_changed_to_it() -> None:
    new = facts(LEAD, kind="created", changed=["status", "score"])
    assert holds('lead.status changed to "Working"', new)
    assert holds("lead.score crossed 50", new)
    assert not holds('lead.status changed from "Open"', new)


def test_a_value_told_again_has_not_changed_to_itself() -> None:
    told = facts(LEAD, kind="updated", changed=["status"], before={"status": "Working"})
    assert holds("lead.status changed", told)
    assert not holds('lead.status changed to "Working"', told)


@pytest.mark.parametrize(
    ("condition", "column", "words"),
    [
        ('lead.company matches "(abc"', 32, "this is no pattern: missing )"),
        ('lead.company matches "x[z-a]"', 35, "invalid character class range"),
        ('lead.company matches "(?=x)"', 33, "lookarounds and back references are not known"),
        (f'lead.company matches "{"x" * 501}"', 32, "a pattern has at most 500 characters"),
        ('lead.employees matches "x"', 11, "only a text matches a pattern"),
        ("lead.company + 3 > 5", 11, "lead.company is a text: only numbers and dates can be calculated with"),
        ("lead.created_at + 3 > 2025-01-01", 11, "say how long: lead.created_at + 3 days"),
        ("lead.created_at * lead.created_at > 5", 11, "means nothing"),
        ("lead.employees / 0 > 5", 28, "nothing can be divided by 0"),
        ('lead.employees + 1 > "x"', 32, "this calculation is a number and cannot be compared with"),
        ("lead.employees + 1", 11, "this calculation is a number, not a yes or no"),
        ("lead.employees > 3 days", 28, "cannot be compared with a length of time"),
        ("(lead.score > 1) + 2 > 3", 12, "a value is expected here, not a condition"),
        ("account.name changed", 11, "only a field of the lead itself can be asked whether it changed"),
        ("lead.free_email changed", 11, "is worked out by the daemon: no event changes it"),
        ('lead.tags changed to "x"', 11, "is a list: only 'changed' alone"),
        ('lead.status changed to "Opne"', 34, "did you mean 'Open'?"),
        ('lead.status changed form "Open"', 31, "did you mean 'from'?"),
        ("lead.score crossed x", 30, "'x' does not fit here"),
        ('lead.status became "Open"', 23, "did you mean 'changed to'?"),
        ("is_big and lead.free_email", 11, "conditions named in conditions.yaml"),
        ('lead.country in ("DE" "AT")', 33, "'\"AT\"' does not fit here | put a comma between the values"),
        ("lead.country in ()", 28, "name the values"),
        ("lead.country in DE", 27, 'put the values in brackets, and texts in quotes: in ("DE")'),
        ('lead.company starts "VP"', 31, "did you mean 'starts with'?"),
        ("lead.country is DE", 27, 'to compare, write = "DE"'),
        ("lead.country isnt blank", 24, "did you mean 'is not'?"),
        ("lead.country not blank", 28, "write: is not blank"),
        ("lead.employees >= 5 and <= 10", 35, "name the field again after 'and'"),
        ("lead.employees > 10k", 30, "expected 'and', 'or', or the end"),
        ("lead.employees = 10%", 30, "a percentage is its fraction"),
        ("lead.created_at before 2026-01-01 10:00", 45, "write a time as 2026-11-22T09:30:00Z"),
        ("lead.created_at before today", 34, "within last 30 days"),
        ("lead.country = blank", 26, "is blank, is not blank"),
        ("lead.owner changed to blank", 33, "lead.owner changed and lead.owner is blank"),
        ("lead.status changed from Open", 36, 'put it in quotes: "Open"'),
        ("and lead.free_email", 11, "'and' joins two conditions: the first is missing"),
        ("event.kind = created", 24, 'put it in quotes: "created"'),
        ('event.before.stauts = "x"', 11, "did you mean 'event.before.status'?"),
        ('lead.status = "Open" adn lead.free_email', 32, "did you mean 'and'?"),
        ("'[Is big] and lead.free_email'", 12, "there is no condition 'Is big'"),
    ],
)
def test_a_mistake_is_told_at_its_words(condition: str, column: int, words: str) -> None:
    found = errors(engagement=when(condition))
    assert any(one.startswith(f"engagement.yaml:5:{column} ") and words in one for one in found), found


NAMED = """\
Is enterprise: lead.employees >= 1000 or account.employees >= 1000
Worth a call:
  when: is_enterprise and not lead.free_email
  description: Not for addresses at home
"""


@pytest.mark.parametrize(
    "condition",
    ["is_enterprise and not worth_a_call", "'[Is enterprise] and lead.free_email'", "[Is enterprise]", "Is_Enterprise"],
)
def test_a_named_condition_stands_for_its_text(condition: str) -> None:
    policy = compile_policy(policy_files(engagement=when(condition), conditions=NAMED))
    found = walk(policy, facts(LEAD, ACCOUNT))
    assert found.action.value == "it holds"
    assert found.steps[0].values["account.employees"] == 1000
    assert walk(policy, facts(LEAD)).action.value != "it holds"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("A: lead.foo > 3\n", "1:4", "lead has no field 'foo'"),
        ("A: lead.score >\n", "1:15", "stops too early"),
        ("A: b\nB: c and a\nC: a\n", "1:1", "run in a circle: A → B → C → A"),
        ("A: a\n", "1:1", "run in a circle: A → A"),
        ("Country: lead.score > 1\n", "1:10", "there is a field called country already"),
        ("A: lead.score > 1\nA : lead.score > 2\n", "2:1", "is written twice"),
        ("Is a: lead.score > 1\nis_a: lead.score > 2\n", "2:1", "already a condition 'is_a', on line 1"),
        ("A: {wen: lead.score > 1}\n", "1:5", "did you mean 'when'?"),
        ("A: [x, y]\n", "1:4", "a single value is expected"),
        ("'a.b': lead.score > 1\n", "1:1", "is no name for a condition"),
    ],
)
def test_a_mistake_in_a_named_condition_is_told_where_it_is_written(text: str, place: str, words: str) -> None:
    found = errors(engagement=when("[A]"), conditions=text)
    assert any(one.startswith(f"conditions.yaml:{place} ") and words in one for one in found), found


def test_a_named_condition_that_nothing_asks_for_is_a_warning() -> None:
    assert warnings(conditions="A: lead.score > 1\n") == [
        "conditions.yaml:1:1 nothing asks for the condition 'A': it is not used"
    ]


def test_named_conditions_that_double_each_time_are_refused_not_expanded() -> None:
    text = "C0: lead.score > 1\n" + "".join(f"C{n}: c{n - 1} and c{n - 1}\n" for n in range(1, 40))
    found = errors(engagement=when("c39"), conditions=text)
    assert any("too large with its named conditions written out" in one for one in found), found


def test_a_long_chain_of_named_conditions_is_refused_not_followed_for_ever() -> None:
    text = "C0: lead.score > 1\n" + "".join(f"C{n}: not c{n - 1}\n" for n in range(1, 1500))
    assert any("too large" in one for one in errors(engagement=when("c1499"), conditions=text))


def test_too_many_alternatives_are_refused_with_a_way_out() -> None:
    terms = [f'(account.name contains "{n}" or lead.company contains "{n}")' for n in range(10)]
    found = errors(engagement=when(" and ".join(terms)))
    assert any("more than 512 alternatives" in one and "split it into several rungs" in one for one in found), found


def test_the_same_pattern_of_words_is_read_with_its_own_values_and_places() -> None:
    text = ladder(
        'rung: A\nwhen: lead.country = "DE" and lead.employees in 5..10\nhold: a',
        'rung: B\nwhen: lead.country = "Austria" and lead.employees in 500..1000\nhold: b',
        "otherwise: hold none",
    )
    policy = compile_policy(policy_files(engagement=text))
    assert walk(policy, facts({"country": "austria", "employees": 700})).rung == "B"
    assert policy.walk(facts({"country": "DE", "employees": 7}), can_receive, NOW).rung == "A"
    wrong = text.replace("500..1000", "900..100")
    assert any(one.startswith("engagement.yaml:8:58 this range is the wrong") for one in errors(engagement=wrong))


def test_a_bracket_at_the_beginning_needs_quotes_and_the_message_says_so() -> None:
    found = errors(engagement=when("[A] and lead.score > 1"), conditions="A: lead.score > 1\n")
    assert any("put quotes around a condition that begins with a bracket" in one for one in found), found


def test_a_pattern_without_quotes_is_told() -> None:
    (found,) = errors(engagement=when("lead.company matches Foo"))
    assert "a pattern is written in quotes" in found


def test_a_large_named_condition_in_very_many_rungs_is_refused() -> None:
    large = "A: " + " or ".join(f"lead.score * {n} > 5" for n in range(2, 150))
    text = f"{large}\nB: {' and '.join(['a'] * 30)}\n"
    rungs = (f"rung: R{n}\nwhen: lead.score = {n} and not b\nhold: x" for n in range(100))
    with patch.object(checking, "MAX_WRITTEN", 10_000):
        found = errors(engagement=ladder(*rungs, "otherwise: hold x"), conditions=text)
    assert any("more than 10,000 comparisons" in one for one in found), found[:3]
