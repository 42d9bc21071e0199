"""What conditions mean, and what is said of those that mean nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.unit.rules.samples import errors, facts, holds, when

LEAD: dict[str, Any] = {
    "country": "de",
    "company": "Müller Söhne",
    "employees": 250,
    "created_at": "2025-11-20T23:30:00.000Z",
    "birthday": "1990-05-17",
    "tags": ["Webinar", "VIP"],
    "owner": "ana.diaz@example.com",
    "free_email": False,
    "status": "Open",
}


@pytest.mark.parametrize(
    "condition",
    [
        'lead.country = "DE"',
        'country = "DE"',
        'LEAD.Country = " de "',
        'lead.company = "MÜLLER SÖHNE"',
        'lead.country != "AT"',
        'lead.country in ("AT", "DE",)',
        'lead.country not in ("AT", "CH")',
        "lead.employees in 200..999",
        "lead.employees = 200..999",
        "lead.employees in (1..5, 250)",
        "lead.employees in (..250)",
        "lead.employees >= 250 and lead.employees <= 250.0",
        "lead.employees not in 1000..",
        'lead.company contains "söhne"',
        'lead.company starts with "müll"',
        'lead.company ends with "HNE"',
        'lead.tags contains "vip"',
        "lead.score is blank",
        "lead.country is not blank",
        "not lead.free_email",
        "lead.free_email = no",
        "lead.created_at within 2 days",
        "lead.created_at within 37 hours",
        "lead.created_at before 2025-11-21",
        "lead.created_at after 2025-11-19",
        "lead.created_at = 2025-11-20",
        'lead.created_at >= "2025-11-20"',
        "lead.created_at < 2025-11-20T23:30:01Z",
        "lead.created_at in 2025-11-01..2025-11-20",
        "lead.owner is active",
        'lead.owner = "Ana Diaz"',
        'lead.owner = "ANA.DIAZ@example.com"',
        "lead.owner != account.owner",
        "first(lead.score, lead.employees, account.employees) = 250",
        "first(lead.score, account.employees) = 9000",
        "account.parent.employees > 10000",
        'account.parent.owner = "Ben Okafor"',
        'event.kind = "created" and event.system = "hubspot"',
        'event.changed contains "country"',
        'lead.country = "AT" or lead.country = "DE" and lead.employees = 250',
        '(lead.country = "AT" or lead.country = "DE") AND NOT lead.employees = 1',
        'counterpart.owner is blank and not counterpart.country = "DE"',
    ],
)
def test_it_holds(condition: str) -> None:
    account = {
        "name": "Acme",
        "employees": 9000,
        "owner": "ben.okafor@example.com",
        "parent": {"employees": 20_000, "owner": "ben.okafor@example.com"},
    }
    assert holds(condition, facts(LEAD, account, system="hubspot", changed=["country"]))


@pytest.mark.parametrize(
    "condition",
    [
        'lead.country = "DE"',
        'lead.country != "DE"',
        'lead.country not in ("AT")',
        'lead.country contains "D"',
        "lead.employees < 5",
        "lead.employees != 5",
        "lead.employees not in (5)",
        "lead.employees >= account.employees",
        "lead.created_at within 30 days",
        "lead.created_at before 2030-01-01",
        "lead.owner is active",
        "lead.owner is not active",
        "lead.free_email",
        "lead.free_email = no",
        'account.parent.owner = "Ana Diaz"',
    ],
)
@pytest.mark.parametrize("missing", [None, "", "   ", math.nan, [], {}, True, "thirty"])
def test_a_comparison_with_what_is_missing_is_false(condition: str, missing: Any) -> None:
    if missing == "thirty" and "country" in condition:
        pytest.skip("this is a text")
    if missing == "thirty" and "is not active" in condition:
        pytest.skip("this could be somebody")
    if missing is True and condition == "lead.free_email":
        pytest.skip("this is a yes")
    lead = {"country": missing, "employees": missing, "created_at": missing, "owner": missing, "free_email": missing}
    assert not holds(condition, facts(lead), why_not=lambda _: "unknown")


def test_yes_is_no_number_and_one_is_not_yes() -> None:
    assert not holds("lead.employees = 1", facts({"employees": True}))
    assert not holds("lead.free_email", facts({"free_email": 1}))


def test_a_day_is_counted_whole() -> None:
    lead = {"birthday": "2025-10-23"}  # thirty days before the noon at which the tests are run
    assert holds("lead.birthday within 30 days", facts(lead))
    assert not holds("lead.birthday within 29 days", facts(lead))


def test_within_looks_both_ways() -> None:
    assert holds("lead.birthday within 30 days", facts({"birthday": "2025-12-20"}))


def test_active_asks_whether_the_person_can_receive_now() -> None:
    lead = {"owner": "ana.diaz@example.com"}
    assert not holds("lead.owner is active", facts(lead), why_not=lambda _: "on leave")
    assert holds("lead.owner is not active", facts(lead), why_not=lambda _: "on leave")


@pytest.mark.parametrize(
    ("condition", "place", "words", "hint"),
    [
        ('lead.employees > "x"', 28, "number and cannot be compared with the text", "without quotes"),
        ('lead.contry = "DE"', 11, "lead has no field 'contry'", "did you mean 'lead.country'?"),
        ('contry = "DE"', 11, "no field 'contry'", "did you mean 'country'?"),
        ('name = "DE"', 11, "the lead has no field 'name'", "did you mean 'account.name'?"),
        ('acount.name = "DE"', 11, "nothing called 'acount'", "did you mean 'account'?"),
        ("lead.country = DE", 26, "no field 'DE'", 'quotes: "DE"'),
        ("lead.country > 5", 11, "cannot be compared with '>'", "in quotes"),
        ("lead.country = 5", 26, "is a text and cannot be compared with a number", "in quotes"),
        ('lead.country == "DE"', 24, "'==' is no comparison", "did you mean '='?"),
        ('lead.country <> "DE"', 24, "'<>' is no comparison", "did you mean '!='?"),
        ('lead.country equals "DE"', 24, "'equals' does not fit", "did you mean '='?"),
        ('lead.country contians "DE"', 24, "'contians' does not fit", "did you mean 'contains'?"),
        ("lead.country = “DE”", 26, "typographic quotes", "straight"),
        ('lead.country = "DE', 26, "no closing quote", ""),
        ("lead.country =", 24, "stops too early", ""),
        ("(lead.employees = 1", 29, "stops too early", "closing bracket"),
        ("lead.employees = 1)", 29, "')' does not fit", "'and', 'or', or the end"),
        ("lead.employees > 1,000", 29, "',' does not fit", "without a comma"),
        ('lead.country in "DE"', 30, "stops too early", "in brackets"),
        ("lead.country is empty", 27, "'empty' does not fit", "is blank"),
        ("lead.country is nothing", 27, "'nothing' does not fit", "expected blank"),
        ('lead.country = "DE" && lead.employees = 1', 31, "'&&' does not fit", "did you mean 'and'?"),
        ('lead.country = ""', 26, "an empty text", "is blank"),
        ('lead.status = "Opne"', 25, "not among the choices", "did you mean 'Open'?"),
        ('event.kind = "create"', 24, "not among the choices", "did you mean 'created'?"),
        ("lead.employees = nan", 28, "not a number", "is blank"),
        ("lead.employees < 1e999", 28, "too large", ""),
        ("lead.employees in 9..1", 29, "wrong way round", "smaller"),
        ('lead.country in "A".."B"', 27, "a range needs a number or a date", ""),
        ("lead.employees within 3 days", 11, "only a date is within", ""),
        ("lead.created_at within 0 days", 34, "between one minute and a hundred years", ""),
        ("lead.created_at > 2025-02-30", 29, "no such date", "2026-11-22"),
        ("lead.country is active", 11, "only a person is active", ""),
        ("lead.country", 11, "not a yes or no", "quotes"),
        ('lead.owner = "Ana Dias"', 24, "not in people.csv", "did you mean 'Ana Diaz'?"),
        ('lead.tags = "VIP"', 11, "cannot be compared with '='", "contains"),
        ("'\"DE\" = lead.country'", 12, "starts with a field", "field first"),
        ("lead.employees = account.name", 28, "they cannot be compared", ""),
        ("first(lead.country, lead.employees) = 5", 31, "both must be the same", ""),
        ("account.parent.parent.name is blank", 11, "cannot be followed", "at most: account.parent.owner"),
        ("lead.employees before 5", 33, "compares dates", "2026-11-22"),
    ],
)
def test_a_mistake_is_told_at_its_words(condition: str, place: int, words: str, hint: str) -> None:
    first = errors(engagement=when(condition))[0]
    assert first.startswith(f"engagement.yaml:5:{place} ")
    assert words in first
    assert hint in first


def test_every_mistake_of_a_condition_is_told_at_once() -> None:
    told = errors(engagement=when('lead.contry = "DE" and lead.employees > "x" or lead.status = "Opne"'))
    assert len(told) == 3


def test_a_place_is_right_in_quotes_and_over_several_lines() -> None:
    quoted = errors(engagement=when("'lead.company = \"it''s\" and contry = \"DE\"'"))
    assert quoted[0].startswith("engagement.yaml:5:39 ")
    folded = when('>-\n  lead.company = "x"\n  and contry = "DE"')
    assert errors(engagement=folded)[0].startswith("engagement.yaml:7:11 ")
    plain = when('lead.company = "x"\n  and contry = "DE"')
    assert errors(engagement=plain)[0].startswith("engagement.yaml:6:11 ")


@pytest.mark.parametrize(
    "condition",
    [
        "(" * 2_000 + "lead.free_email" + ")" * 2_000,
        "not " * 900 + "lead.free_email",
        'lead.country = "' + "x" * 5_000 + '"',
        f"lead.employees in ({', '.join(str(n) for n in range(1_200))})",
    ],
)
def test_what_is_too_large_is_refused_in_words(condition: str) -> None:
    told = errors(engagement=when(condition))
    assert len(told) == 1
    assert "more than" in told[0]


def test_many_brackets_that_nest_nothing_are_fine() -> None:
    assert holds("(" * 60 + "lead.free_email" + ")" * 60, facts({"free_email": True}))
