"""pools.yaml beyond names and weights: methods, caps, kinds, skills, scores, pools within pools, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from rules.policy import Policy, check, compile_policy
from rules.pools.checks import people_of
from rules.pools.model import METHODS, Cap, Member, Pool, Ramp
from rules.pools.texts import TextError, cap_of, ramp_of
from rules.pools.words import cap_words, ramp_words
from tests.unit.rules.samples import FIELDS, NOW, errors, facts, policy_files, warnings

PEOPLE = """\
name,email,active,region,start_date,quota,capacity,languages,level
Ana Diaz,ana.diaz@example.com,yes,EMEA,2025-11-01,100,,"de, fr",3
Ben Okafor,ben.okafor@example.com,yes,AMER,,50,,en,1
Cora Lang,cora.lang@example.com,no,,,,,,
"""
EVERYONE = "Everyone: {members: [Ana Diaz, Ben Okafor]}\n"


def policy(pools: str, **more: str) -> Policy:
    return compile_policy(policy_files(pools=f"{EVERYONE}{pools}", people=PEOPLE, **more))


def pool(text: str, **more: str) -> Pool:
    return policy(f"A:\n{text}", **more).pools["A"]


def told(text: str, **more: str) -> list[str]:
    return errors(pools=f"{EVERYONE}{text}", people=PEOPLE, **more)


def test_two_names_are_a_whole_pool() -> None:
    found = pool("  members: [Ana Diaz, Ben Okafor]\n")
    assert found == Pool("A", members=(Member("ana.diaz@example.com"), Member("ben.okafor@example.com")))
    assert (found.method, found.hours, found.catch_up, found.bound) == ("round robin", True, 1.0, 1.1)


def test_who_shares_value_too_is_told_only_when_further_from_their_share() -> None:
    by_value = "  members: [Ana Diaz]\n  value: lead.employees\n"
    assert pool(by_value).bound == 2.5
    assert pool(by_value + "  alarm: 1.1\n").bound == 1.1


def test_open_when_is_no_pool_and_says_what_counts_as_open() -> None:
    found = policy("open_when: status not in ('Working', 'Closed')\n")
    assert list(found.pools) == ["Everyone"]
    assert found.open_when is not None
    assert [found.open_when.holds(facts({"status": one}), NOW) for one in ("Open", "working", None)] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_read_in_any_case(method: str) -> None:
    more = {"best fit": "  score: person.level\n", "skill": "  skills: {languages: country}\n"}.get(method, "")
    assert pool(f"  method: {method.title()}\n  members: [Ana Diaz]\n{more}").method == method


def test_a_member_may_have_a_weight_caps_a_ramp_and_skills_of_its_own() -> None:
    found = pool(
        "  method: weighted\n  members:\n    Ana Diaz: 2\n"
        "    Ben Okafor: {weight: 0.5, caps: [5 a day, 40 open], ramp: 25 % for 4 weeks, skills: {Languages: [EN, fr]}}\n"
        "    pool Everyone: 3\n"
    )
    assert found.weights == {"ana.diaz@example.com": 2.0, "ben.okafor@example.com": 0.5, "pool Everyone": 3.0}
    ben = found.members[1]
    assert ben.caps == (Cap(5, "day"), Cap(40, "open"))
    assert ben.ramp == Ramp(((0, 0.25), (28, 1.0)))
    assert ben.skills == {"languages": frozenset({"en", "fr"})}
    assert (found.members[2].who, found.members[2].is_pool) == ("Everyone", True)


def test_weights_come_from_a_column_of_people_csv_where_none_is_written() -> None:
    found = pool("  method: weighted\n  weights: quota\n  members: {Ana Diaz: {caps: [1 a day]}, Ben Okafor: 7}\n")
    assert list(found.weights.values()) == [100.0, 7.0]
    assert list(pool("  method: weighted\n  weights: Level\n  members: [Ana Diaz, Ben Okafor]\n").weights.values()) == [
        3,
        1,
    ]
    files = policy_files(
        pools=f"{EVERYONE}A: {{method: weighted, weights: capacity, members: [Ana Diaz]}}\n", people=PEOPLE
    )
    told = [one.message for one in check(files)[1]]
    assert "Ana Diaz has no capacity: gets no leads here" in told


def test_quotas_in_money_are_weights_too() -> None:
    people = "name,email,quota\nAna Diaz,ana@example.com,1500000\nBen Okafor,ben@example.com,500000\n"
    pools = "Everyone: {method: weighted, weights: quota, members: [Ana Diaz, Ben Okafor]}\n"
    found = compile_policy(policy_files(pools=pools, people=people)).pools["Everyone"]
    assert list(found.weights.values()) == [1_500, 500]
    yen = people.replace("1500000", "1500000000")
    found = compile_policy(policy_files(pools=pools, people=yen)).pools["Everyone"]
    assert list(found.weights.values()) == [1_500, 0.5]
    below = errors(pools=pools, people="name,email,quota,gain\nAna Diaz,a@b.co,1,-2\nBen Okafor,b@b.co,1,3\n")
    assert not [one for one in below if "no weight" in one]
    gain = pools.replace("quota", "gain")
    below = errors(pools=gain, people="name,email,quota,gain\nAna Diaz,a@b.co,1,-2\nBen Okafor,b@b.co,1,3\n")
    assert any("the gain of Ana Diaz is no weight: that is a number of 0 or more" in one for one in below)


def test_the_ramp_of_a_pool_is_for_those_who_have_none() -> None:
    people = PEOPLE.replace(",level\n", ",level,ramp\n").replace(",3\n", ",3,10 % for 5 days\n")
    people = people.replace(",en,1\n", ",en,1,\n").replace(",no,,,,,,\n", ",no,,,,,,,\n")
    files = policy_files(pools="Everyone: {ramp: 50 % for 2 months, members: [Ana Diaz, Ben Okafor]}\n", people=people)
    found = compile_policy(files)
    ana, ben = found.pools["Everyone"].members
    assert (ana.ramp, ben.ramp) == (None, Ramp(((0, 0.5), (60, 1.0))))
    assert found.people["ana.diaz@example.com"].ramp == Ramp(((0, 0.1), (5, 1.0)))


@pytest.mark.parametrize(
    ("days", "part"), [(-3, 0.25), (0, 0.25), (29, 0.25), (30, 0.5), (57, 0.5), (58, 1.0), (9999, 1.0)]
)
def test_a_ramp_grows_by_its_steps(days: int, part: float) -> None:
    assert ramp_of("25 % for 30 days, 50% for 4 weeks").factor(days) == part


@pytest.mark.parametrize(
    ("text", "cap"),
    [
        ("10 a day", Cap(10, "day")),
        ("10 leads per Day", Cap(10, "day")),
        ("20 an hour", Cap(20, "hour")),
        ("3 in any hour", Cap(3, "hour", rolling=True)),
        ("1,000 a month", Cap(1000, "month")),
        ("0 a week", Cap(0, "week")),
        ("40 open", Cap(40, "open")),
        ("2 a week of Very large", Cap(2, "week", kind="Very large")),
    ],
)
def test_caps_are_read_and_told_again(text: str, cap: Cap) -> None:
    assert cap_of(text) == cap
    assert cap_of(cap_words(cap)) == cap


@pytest.mark.parametrize(
    "text", ["", "many", "10", "10/day", "-1 a day", "1.5 a day", "10 a year", "5 in day", "2000000 a day"]
)
def test_what_is_no_cap_is_refused(text: str) -> None:
    with pytest.raises(TextError):
        cap_of(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "25 %", "25 for 3 days", "120 % for 3 days", "50 % for 0 days", "5 % for 9999 months"),
        "25 % for 30 days, 10 % for 30 days",
    ],
)
def test_what_is_no_ramp_is_refused(text: str) -> None:
    with pytest.raises(TextError):
        ramp_of(text)
    assert ramp_of(ramp_words(ramp_of("5 % for 3 days, 50 % for 7 days"))) == ramp_of("5 % for 3 days, 50 % for 1 week")


def test_the_first_kind_that_holds_has_a_rotation_of_its_own() -> None:
    found = pool(
        '  members: [Ana Diaz]\n  kinds:\n    Large: lead.employees >= 1000\n    Here: country = "DE"\n'
        "  member_caps: 2 a day of large\n"
    )
    assert [kind.name for kind in found.kinds] == ["Large", "Here"]
    held = [kind.when.holds(facts({"employees": 50, "country": "DE"}), NOW) for kind in found.kinds]
    assert held == [False, True]
    assert found.member_caps == (Cap(2, "day", kind="Large"),)


def test_skills_name_a_column_and_a_field() -> None:
    found = policy("A: {method: skill, members: [Ana Diaz], skills: {languages: country}}\n")
    assert [(one.name, one.of, one.required) for one in found.pools["A"].skills] == [
        ("languages", "lead.country", True)
    ]
    assert found.people["ana.diaz@example.com"].skills["languages"] == {"de", "fr"}
    found = policy(
        "A:\n  members: [Ana Diaz]\n  skills:\n    - {skill: languages, of: country, relax_after: 15 minutes}\n"
        "    - {skill: region, of: lead.company, preferred: yes}\n"
    )
    assert [(one.relax_after, one.required) for one in found.pools["A"].skills] == [(900, True), (0, False)]


def score(text: str, lead: dict[str, Any]) -> list[float | None]:
    found = policy(f"A:\n  method: best fit\n  members: [Ana Diaz]\n  score: {text}\n")
    rule = found.pools["A"].score
    assert rule is not None
    return [rule.of(facts(lead), person, NOW) for person in found.people.values()]


def test_a_score_is_a_calculation_with_the_columns_of_a_person() -> None:
    assert score("lead.employees / 100 + person.level", {"employees": 300}) == [6.0, 4.0, None]
    assert score("lead.employees / 100 + person.level", {}) == [None, None, None]


def test_a_score_is_the_sum_of_the_points_whose_condition_holds() -> None:
    text = (
        "\n    - {points: 10, when: person.languages contains lead.country}"
        '\n    - {points: person.level, when: person.region = "EMEA" or lead.employees > 5}'
    )
    assert score(text, {"country": "DE", "employees": 7}) == [13.0, 1.0, None]
    assert score(text, {"country": "EN"}) == [3.0, 10.0, None]


def test_who_waits_is_ordered_by_a_number() -> None:
    rule = pool("  members: [Ana Diaz]\n  priority: first(lead.score, lead.employees) * 2\n").priority
    assert rule is not None
    assert [rule.number(facts(lead)) for lead in ({"score": 4}, {"employees": 3}, {}, {"score": "4"})] == [
        8,
        6,
        None,
        None,
    ]


CONTACTS = """\
ladders:
  lead:
    entry: event.kind = "created"
    ladder: [{otherwise: pool Everyone}]
  contact:
    entry: event.kind = "created"
    ladder: [{otherwise: pool Everyone}]
"""


def test_what_a_pool_asks_may_have_a_meaning_for_one_kind_of_record_alone() -> None:
    contact = "contact:\n  in: {salesforce: Contact}\n  fields:\n    title: {type: text, salesforce: Title}\n"
    fields = f"{FIELDS}{contact}    owner: {{type: person, salesforce: OwnerId}}\n"
    found = pool(
        '  members: [Ana Diaz]\n  kinds: {Chiefs: contact.title contains "Chief", Large: lead.employees > 5}\n',
        fields=fields, engagement=CONTACTS,
    )  # fmt: skip
    about = {"event": {"kind": "created"}, "account": {"employees": 9}, "counterpart": None}
    chiefs, large = (kind.when for kind in found.kinds)
    chief, lead = {**about, "contact": {"title": "Chief of staff"}}, {**about, "lead": {"employees": 9}}
    assert (chiefs.holds(chief, NOW), large.holds(chief, NOW)) == (True, False)
    assert (chiefs.holds(lead, NOW), large.holds(lead, NOW)) == (False, True)


def test_old_values_are_kept_for_pools_that_ask_for_them() -> None:
    assert policy("A: {members: [Ana Diaz]}\n").event_reads == frozenset()
    found = policy('A: {members: [Ana Diaz], kinds: {New: lead.status changed to "Working"}}\n')
    assert found.event_reads == {"before"}


def test_people_of_pools_within_are_reached() -> None:
    found = policy(
        "A: {method: weighted, members: {pool B: 1, pool C: 0}}\nB: {members: [Ana Diaz]}\nC: {members: [Ben Okafor]}\n"
    )
    assert dict(people_of(found.pools["A"], found.pools)) == {
        "ana.diaz@example.com": 1.0,
        "ben.okafor@example.com": 0.0,
    }


def test_leads_may_overflow_to_a_pool_or_to_a_queue() -> None:
    engagement = (
        'entry: [event.kind = "created"]\nqueues: {Intake: {salesforce: 00G1}}\nladder: [{otherwise: pool A}]\n'
    )
    found = policy(
        "A: {members: [Ana Diaz], overflow: everyone}\nB: {members: [Ana Diaz], overflow: Queue intake}\n"
        "C: {members: [Ana Diaz], overflow: pool Everyone}\n",
        engagement=engagement,
    )
    ways = [(found.pools[name].overflow, found.pools[name].overflow_queue) for name in "ABC"]
    assert ways == [("Everyone", ""), ("", "Intake"), ("Everyone", "")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A: {members: [pool A]}", "2:1 pools are within each other in a circle: A → A"),
        ("A: {members: [pool B]}\nB: {members: [pool A]}", "3:1 pools are within each other in a circle: B → A → B"),
        ("A: {members: [Ana Diaz], overflow: B}\nB: {members: [Ana Diaz], overflow: A}", "overflow runs in a circle: A → B → A"),
        ("A: {members: [Ana Diaz], overflow: A}", "2:36 overflow runs in a circle: A → A"),
        ("A: {members: [pool B]}\nB: {members: [pool C]}\nC: {members: [pool D]}\nD: {members: [pool E]}\nE: {members: [Ana Diaz]}", "nested 4 deep"),
        ("A: {members: [pool Everione]}", "2:15 there is no pool 'Everione' | did you mean 'Everyone'?"),
        ("A: {members: [Everyone]}", "2:15 'Everyone' is a pool | write 'pool Everyone'"),
        ("A: {members: [pool Everyone, pool everyone]}", "Everyone is in this pool twice"),
        ("A: {members: [pool B]}\nB: {method: pull, members: [Ana Diaz]}", "'B' is a pull pool"),
        ("A: {method: pull, members: [Ana Diaz], overflow: Everyone}", "it does not overflow"),
        ("A: {members: {Ana Diaz: {weight: 2}}}", "the method is round robin | write 'method: weighted'"),
        ("A: {weights: quota, members: [Ana Diaz]}", "the method is round robin | write 'method: weighted'"),
        ("A: {method: weighted, weights: region, members: [Ana Diaz]}", "has no column of numbers 'region'"),
        ("A: {method: weighted, members: {Ana Diaz: -1}}", "a weight is a number from 0 to 1,000,000, not '-1'"),
        ("A: {method: weighted, members: {Ana Diaz: 1e300}}", "a weight is a number from 0 to 1,000,000, not '1e300'"),
        ("A: {method: weighted, members: {Ana Diaz: nan}}", "a weight is a number from 0 to 1,000,000, not 'nan'"),
        ("A: {members: {Ana Diaz: {cap: 5 a day}}}", "has no setting 'cap' | did you mean 'caps'?"),
        ("A: {method: weighted, members: {pool Everyone: {ramp: 5 % for 3 days}}}", "only people have ramps"),
        ("A: {members: {pool Everyone: {caps: [3 a day, 5 open]}}}", "2:15 'pool Everyone' is a pool: only people have a cap on what is open"),
        ("A: {members: [Ana Diaz], caps: lots}", "2:32 'lots' is no cap | write it as '10 a day'"),
        ("A: {members: [Ana Diaz], caps: [1 a day, 2 a day]}", "there are two caps for the same time"),
        ("A: {members: [Ana Diaz], caps: 1 a day of Big}", "no kind of lead 'Big' | name it under 'kinds'"),
        ("A: {members: [Ana Diaz], kinds: {Big: lead.emploiees > 5}}", "2:39 lead has no field 'emploiees' | did you mean"),
        ("A: {members: [Ana Diaz], kinds: {'': lead.employees > 5}}", "2:34 this kind of lead has no name | write one before the colon, such as Large"),
        ("A: {members: [Ana Diaz], kinds: {' ': lead.employees > 5}}", "2:34 this kind of lead has no name"),
        (f"A: {{members: [Ana Diaz], kinds: {{{'x' * 201}: lead.employees > 5}}}}", "2:34 the name of this kind of lead has more than 200"),
        ("A: {members: [Ana Diaz], kinds: {Big: lead.employees > 5, big: lead.employees > 9}}", "2:59 the kind of lead 'big' differs from 'Big' only by case"),
        ("'': {members: [Ana Diaz]}", "2:1 this pool has no name | write one before the colon, such as Inbound"),
        (f"{'x' * 201}: {{members: [Ana Diaz]}}", "2:1 the name of this pool has more than 200 characters"),
        ("A: {members: [Ana Diaz], kinds: [Big]}", "'name: value' lines are expected here"),
        ("A: {method: skill, members: [Ana Diaz]}", "2:1 the pool 'A' does not say its skills"),
        ("A: {members: [Ana Diaz], skills: {langages: country}}", "no column 'langages' | did you mean 'languages'?"),
        ("A: {members: [Ana Diaz], skills: {languages: lead.contry}}", "lead has no field 'contry'"),
        ("A: {members: [Ana Diaz], skills: {languages: employees}}", "lead.employees is a number: what a skill"),
        ("A: {members: [Ana Diaz], skills: [{skill: languages}]}", "a skill needs a column of people.csv and a field"),
        ("A: {members: [Ana Diaz], skills: [{skill: languages, of: country, relax_after: soon}]}", "'soon' is no time"),
        ("A: {members: [Ana Diaz], skills: [{skill: languages, of: country, preferred: yes, relax_after: 1 hour}]}", "never relaxed"),
        ("A: {method: best fit, members: [Ana Diaz]}", "2:1 the pool 'A' does not say its score"),
        ("A: {method: best fit, members: [Ana Diaz], score: person.name}", "person.name is a text: a number is expected"),
        ("A: {method: best fit, members: [Ana Diaz], score: person.level > 5}", "a number is expected here, not a condition"),
        ("A: {method: best fit, members: [Ana Diaz], score: person.leval}", "person has no field 'leval' | did you mean 'person.level'?"),
        ("A: {method: best fit, members: [Ana Diaz], score: [{when: country is blank}]}", "this part of the score has no points"),
        ("A: {members: [Ana Diaz], score: 5}", "2:26 'score' is for the method best fit, and this is round robin"),
        ("A: {members: [Ana Diaz], sticky: account}", "'sticky' is for the method sticky"),
        ("A: {members: [Ana Diaz], balance: score}", "'balance' is for the method load balanced"),
        ("A: {method: sticky, members: [Ana Diaz], sticky: lead}", "keeps an account or a contact together, not 'lead'"),
        ("A: {members: [Ana Diaz], value: company}", "lead.company is a text: the value of a lead is a number or a money"),
        ("A: {members: [Ana Diaz], catch_up: -1}", "'catch_up' of the pool 'A' is a number from 0 to 1,000, not '-1'"),
        ("A: {members: [Ana Diaz], time_zone: Europe/Berlim}", "'Europe/Berlim' is no time zone: write it as Europe/Berlin"),
        ("A: {members: [Ana Diaz], alarm: 0.5}", "'alarm' of the pool 'A' is a number from 1 to 1,000, not '0.5'"),
        ("A: {members: [Ana Diaz], overflow: queue Intake}", "there is no queue 'Intake' to overflow to"),
        ("A: {members: [Ana Diaz], priority: person.level}", "a lead comes without 'person'"),
        ("open_when: lead.statsu = 'New'", "did you mean 'lead.status'?"),
        ("open_when: {A: B}", "'open_when': a single value is expected here"),
        ("open_when: account.name = 'Acme'", "'open_when' can ask for fields of the lead itself only, not for account.name"),
        ("open_when: lead.status changed", "'open_when' can ask for fields of the lead itself only, not for event.changed"),
        ("open_when: lead.created_at within 90 days", "asked when a record changes, so it cannot ask 'within'"),
        ("open_when: lead.owner is active", "asked when a record changes, so it cannot ask 'is active'"),
        ("open_when: status = 'Open'\nopen when: status = 'Open'", "'open_when' is there twice"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_pool_is_told_at_its_words(text: str, words: str) -> None:
    found = told(f"{text}\n")
    assert any(words in one for one in found), found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "A: {members: [pool B]}\nB: {members: [Cora Lang]}",
            "the pool 'A' has no active member with a weight above 0",
        ),
        ("A: {members: [Cora Lang], overflow: Everyone}", "its leads go to 'Everyone'"),
        ("A: {members: [Ana Diaz, pool Everyone]}", "Ana Diaz is in the pool 'A' more than once"),
        ("A: {members: [Ana Diaz], member_caps: 0 a day}", "a cap of 0 lets no lead in"),
    ],
)
def test_what_is_odd_is_a_warning(text: str, words: str) -> None:
    found = warnings(pools=f"{EVERYONE}{text}\n", people=PEOPLE)
    assert any(words in one for one in found), found


def test_a_mistake_in_the_roster_is_not_told_again_in_the_pools() -> None:
    people = PEOPLE.replace("2025-11-01,100", "soon,100")
    pools = f"{EVERYONE}A: {{method: weighted, weights: quota, members: [Ana Diaz]}}\n"
    assert len(errors(pools=pools, people=people)) == 1
    assert not any(one.startswith("pools") for one in warnings(pools=pools, people=people))


def test_pools_are_checked_where_the_ladder_cannot_be_read() -> None:
    found = errors(pools=f"{EVERYONE}A: {{members: [Nobody]}}\n", people=PEOPLE, engagement="5")
    assert sorted(one.split(":")[0] for one in found) == ["engagement.yaml", "pools.yaml"]
