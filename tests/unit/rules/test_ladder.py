"""How a lead goes down the ladder, and what the trace shows of it."""

from __future__ import annotations

from typing import Any

import pytest

from rules.model import Action
from rules.policy import compile_policy
from tests.unit.rules.samples import errors, facts, ladder, policy_files, problems, walk, warnings, when

CUSTOMER = ladder(
    'rung: Owner\nwhen: account.name = "Acme"\nassign: account.owner',
    "rung: Keep\nwhen: lead.created_at within 30 days\nkeep: owner",
    'rung: Spam\nwhen: lead.company contains "spam"\nreject: This is spam',
    'rung: Legal\nwhen: lead.country in ("KP")\nhold: Ask Legal',
    "otherwise: pool Everyone",
)


def policy(engagement: str = CUSTOMER, **changed: str) -> Any:
    return compile_policy(policy_files(engagement=engagement, **changed))


def test_the_first_rung_that_holds_decides_and_the_trace_shows_the_way() -> None:
    found = walk(policy(), facts({"company": "Spam & Co", "country": "KP"}))
    assert (found.action.kind, found.action.value) == ("reject", "This is spam")
    assert found.rung == "Spam"
    assert [(step.rung, step.held) for step in found.steps] == [("Owner", False), ("Keep", False), ("Spam", True)]
    assert found.steps[0].condition == 'account.name = "Acme"'
    assert found.steps[0].values == {"account.name": None}
    assert found.steps[2].values == {"lead.company": "Spam & Co"}


def test_a_person_who_cannot_receive_is_passed_over_with_the_reason() -> None:
    given = facts(
        {"owner": "ben.okafor@example.com", "created_at": "2025-11-21"},
        {"name": "acme", "owner": "ana.diaz@example.com"},
    )
    found = walk(policy(), given, lambda key: "Ana Diaz is on leave" if key.startswith("ana") else None)
    assert (found.action.kind, found.person, found.rung) == ("keep", "ben.okafor@example.com", "Keep")
    assert found.steps[0].note == "Ana Diaz is on leave"
    assert not found.steps[0].held


def test_a_blank_person_is_passed_over() -> None:
    found = walk(policy(), facts({"country": "KP"}, {"name": "Acme", "owner": ""}))
    assert found.action.value == "Ask Legal"
    assert found.steps[0].note == "account.owner is blank"


def test_what_is_done_while_somebody_is_away_holds_for_the_rows_that_name_a_person() -> None:
    table = "country,assign\nDE,Ana Diaz\nAT,pool Everyone\n"
    found = policy(ladder("rung: T\nlookup: table.csv\nwhen_away: pool Everyone", "otherwise: hold none"), table=table)
    named, shared = (walk(found, facts({"country": country})).action for country in ("DE", "AT"))
    assert (named.value, named.away) == ("ana.diaz@example.com", Action("pool", "Everyone"))
    assert (shared.value, shared.away) == ("Everyone", None)


def test_a_pool_is_named_without_asking_its_members() -> None:
    found = walk(policy(), facts(), lambda _: "everybody is away")
    assert (found.action.kind, found.action.value, found.person) == ("pool", "Everyone", "")
    assert found.rung == "Otherwise"


def test_what_nothing_catches_is_on_hold() -> None:
    found = walk(policy(ladder('rung: A\nwhen: lead.country = "DE"\nassign: Ana Diaz')), facts())
    assert found.action.kind == "hold"
    assert found.action.value
    assert found.rung == ""


def test_an_otherwise_whose_person_is_away_is_on_hold() -> None:
    found = walk(policy(ladder("otherwise: Ana Diaz")), facts(), lambda _: "Ana Diaz is on leave")
    assert found.action.kind == "hold"
    assert found.steps[-1].note == "Ana Diaz is on leave"


def test_a_rung_may_have_a_condition_and_a_table() -> None:
    engagement = ladder("rung: Big\nwhen: lead.employees > 10\nlookup: table.csv", "otherwise: hold none")
    found = policy(engagement, table="name,country,assign\nA,DE,Ana Diaz\n")
    assert walk(found, facts({"employees": 5, "country": "DE"})).steps[0].values == {"lead.employees": 5}
    assert walk(found, facts({"employees": 50, "country": "DE"})).person == "ana.diaz@example.com"
    missed = walk(found, facts({"employees": 50, "country": "AT"}))
    assert missed.action.value == "none"
    assert missed.steps[0].note == "no row of table.csv matches"
    assert missed.steps[0].values == {"lead.employees": 50, "lead.country": "AT"}


def test_entry_criteria_let_events_in() -> None:
    engagement = ladder("otherwise: hold x", entry='event.kind = "created"\n  - event.changed contains "status"')
    found = policy(engagement)
    assert found.enters(facts()).held
    assert found.enters(facts(kind="updated", changed=["status"])).condition == 'event.changed contains "status"'
    refused = found.enters(facts(kind="updated", changed=["country"]))
    assert not refused.held
    assert refused.values == {"event.kind": "updated", "event.changed": ["country"]}
    assert refused.condition == 'event.kind = "created" or event.changed contains "status"'


def test_entry_criteria_ask_the_roster_who_is_active() -> None:
    found = policy(ladder("otherwise: hold x", entry="lead.owner is not active"))
    assert found.enters(facts({"owner": "cora.lang@example.com"})).held
    assert not found.enters(facts({"owner": "ana.diaz@example.com"})).held


def test_hold_retry_is_read_in_words() -> None:
    assert policy().hold_retry == 300
    assert policy(f"{CUSTOMER}hold: {{retry: 2 hours}}\n").hold_retry == 7200


def test_the_same_facts_walk_the_same_way() -> None:
    given = facts({"country": "KP"}, {"name": "Acme", "owner": "ana.diaz@example.com"})
    assert walk(policy(), given) == walk(policy(), given)


@pytest.mark.parametrize("odd", [{}, {"lead": None}, {"lead": {"country": object()}}, {"account": {"parent": "001"}}])
def test_odd_facts_raise_nothing(odd: dict[str, Any]) -> None:
    found = policy(when('account.parent.employees > 5 or lead.country = "DE"'))
    assert walk(found, odd).action.value == "nothing caught it"
    assert not found.enters(odd).held


@pytest.mark.parametrize(
    ("engagement", "place", "words"),
    [
        ("ladder:\n  - otherwise: hold x\n", "1:1", "does not say which events route"),
        ('entry:\n  - event.kind = "created"\n', "1:1", "has no ladder"),
        (ladder('when: country = "DE"\nassign: Ana Diaz', "otherwise: hold x"), "4:5", "has no name"),
        (ladder("rung: A\nassign: Ana Diaz", "otherwise: hold x"), "4:5", "no 'when': it would catch everything"),
        (ladder('rung: A\nwhen: country = "DE"', "otherwise: hold x"), "4:5", "does not say what happens"),
        (ladder('rung: A\nwhen: country = "DE"\nhold: x\nreject: y'), "7:5", "says both 'hold' and 'reject'"),
        (ladder('rung: A\nwhen: country = "DE"\nhold:'), "6:10", "needs a reason"),
        (ladder('rung: A\nwhn: country = "DE"\nlookup: table.csv'), "5:5", "no setting 'whn' | did you mean 'when'?"),
        (ladder("rung: A\nwhen:\nassign: Ana Diaz", "otherwise: hold x"), "5:10", "'when' is empty"),
        (ladder('rung: A\nwhen: country = "DE"\nassign: pool Evryone'), "6:13", "did you mean 'Everyone'?"),
        (ladder('rung: A\nwhen: country = "DE"\nassign:\n  - x'), "7:7", "a single value is expected"),
        (
            ladder('rung: A\nwhen: country = "DE"\nkeep: Ana Diaz'),
            "6:11",
            "is a person, not a field that names one | write 'assign: Ana Diaz'",
        ),
        (
            ladder('rung: A\nwhen: country = "DE"\nholdout: 5'),
            "6:14",
            "neither a share nor a reason | write: holdout: 5 %",
        ),
        (ladder('rung: A\nwhen: country = "DE"\nkeep: country'), "6:11", "only a person keeps a record"),
        (
            ladder('rung: A\nwhen: country = "DE"\nassign: pool Everyone\nwhen_away: hold'),
            "7:16",
            "'when_away' is for a rung that names a person, or a table that does | a pool has 'overflow' for that",
        ),
        (
            ladder('rung: A\nwhen: country = "DE"\nassign: Ana Diaz\nwhen_away: reject it'),
            "7:16",
            "'when_away' is a pool or a hold, not 'reject it' | write 'hold' or 'pool NAME'",
        ),
        (
            ladder('rung: A\nwhen: country = "DE"\nassign: Ana Diaz\nwhen_away: pool Evryone'),
            "7:16",
            "did you mean 'Everyone'?",
        ),
        (ladder("rung: A\nlookup: tabel.csv"), "5:13", "no table 'tabel.csv'"),
        (ladder("rung: A\nlookup: people.csv"), "5:13", "no table 'people.csv'"),
        (ladder("otherwise: hold x", 'rung: A\nwhen: country = "DE"\nhold: x'), "4:5", "must be the last rung"),
        (
            ladder('rung: A\nwhen: country = "DE"\nhold: x', 'rung: A\nwhen: country = "AT"\nhold: y'),
            "7:11",
            "already a rung 'A'",
        ),
        (f"{CUSTOMER}hold: {{retry: soon}}\n", "17:15", "no time between 1 second and 30 days"),
        (f"{CUSTOMER}route: contact\n", "17:8", "cannot be routed"),
        (f"{CUSTOMER}laddr: 5\n", "17:1", "no setting 'laddr' | did you mean 'ladder'?"),
        ("- a\n- b\n", "1:1", "'name: value' lines are expected"),
        ("", "1:1", "engagement.yaml is empty"),
    ],
)
def test_a_mistake_is_told_at_its_place(engagement: str, place: str, words: str) -> None:
    table = "name,country,assign\nA,DE,Ana Diaz\n"
    found = errors(engagement=engagement, table=table)
    assert any(one.startswith(f"engagement.yaml:{place} ") and words in one for one in found), found


def test_a_ladder_without_otherwise_is_a_warning() -> None:
    found = warnings(engagement=ladder('rung: A\nwhen: country = "DE"\nassign: Ana Diaz'))
    assert found == [
        "engagement.yaml:4:5 the ladder does not end with 'otherwise': leads that no rung catches will be on hold"
    ]


def test_an_inactive_person_in_a_rung_is_a_warning() -> None:
    found = warnings(engagement=ladder('rung: A\nwhen: country = "DE"\nassign: Cora Lang', "otherwise: hold x"))
    assert found == ["engagement.yaml:6:13 Cora Lang is inactive in people.csv and will get nothing from here"]


def test_a_sound_policy_has_no_problems() -> None:
    assert problems() == []
