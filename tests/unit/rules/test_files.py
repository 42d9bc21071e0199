"""The other files of a policy, the YAML they are written in, and how problems are shown."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import get_args

import pytest

from rules.extras import FIXERS
from rules.fields import ENTITIES, TYPES
from rules.ladders.effects import EFFECTS
from rules.ladders.reader import DOES
from rules.language.syntax import Operator
from rules.model import CorrectionRule, PolicyError, Problem
from rules.policy import KNOWN, check, compile_policy
from rules.pools.model import METHODS
from rules.source import render
from rules.tables.reader import NAMES
from tests.unit.rules.samples import EXAMPLE, FIELDS, PEOPLE, POOLS, errors, policy_files, shared_example, warnings


def test_fields_know_their_names_in_each_system() -> None:
    lead = compile_policy(policy_files()).entities["lead"]
    assert lead.remote == {"salesforce": "Lead", "hubspot": "contacts"}
    assert lead.fields["owner"].remote == {"salesforce": "OwnerId", "hubspot": "hubspot_owner_id"}
    assert lead.fields["free_email"].remote == {}
    assert lead.fields["free_email"].read_only
    assert lead.fields["created_at"].read_only_in == ("salesforce",)
    assert lead.fields["status"].choices == ("Open", "Working", "Closed")
    assert lead.fields["postal_code"].label == "Postal code"


def test_a_field_may_be_read_only_in_one_system() -> None:
    fields = FIELDS.replace(
        "salesforce: Country, hubspot: country", "salesforce: Country, hubspot: country, read_only: hubspot"
    )
    field = compile_policy(policy_files(fields=fields)).entities["lead"].fields["country"]
    assert field.read_only_in == ("hubspot",)
    assert not field.read_only


def with_field(line: str) -> str:
    return FIELDS.replace("    email:", f"    {line}\n    email:", 1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (with_field("x: {type: txt, salesforce: X}"), "4:15 'txt' is no type | did you mean 'text'?"),
        (with_field("x: {salesforce: X}"), "4:5 lead.x has no type"),
        (with_field("x: {type: text}"), "4:5 lead.x says no CRM field that holds it"),
        (with_field("x: {type: text, derived: true, salesforce: X}"), "4:5 lead.x is derived"),
        (
            with_field("x: {type: text, salesforec: X}"),
            "4:21 lead.x has no setting 'salesforec' | did you mean 'salesforce'?",
        ),
        (with_field("x: {type: reference, salesforce: X}"), "4:5 lead.x is a reference: say to what"),
        (with_field("x: {type: reference, to: acount, salesforce: X}"), "4:30 'acount' is no kind of record"),
        (with_field("x: {type: text, choices: [a], salesforce: X}"), "4:30 lead.x is a text: only a choice"),
        (with_field("x: {type: text, read_only: maybe, salesforce: X}"), "4:32 lead.x has no field in 'maybe'"),
        (with_field("My Field: {type: text, salesforce: X}"), "4:5 'My Field' is no field name"),
        (
            with_field("country: {type: text, salesforce: X}"),
            "7:5 'country' is written twice here; it is already on line 4",
        ),
        (FIELDS.replace("person:", "persn:"), "fields.yaml does not describe 'person'"),
        ("lead: 5\n", "1:7 lead: 'name: value' lines are expected here"),
    ],
)
def test_a_mistake_in_the_fields_is_told(fields: str, words: str) -> None:
    assert any(words in one for one in errors(fields=fields)), errors(fields=fields)


def test_the_roster_is_read() -> None:
    people = (
        "Name,E-mail2,email,Active,start_date,time_zone,hubspot_id,region\n"
        "Ana Diaz,x,Ana.Diaz@Example.com,,2025-01-02,Europe/Madrid,77,EMEA\n"
        "Ben Okafor,y,ben.okafor@example.com,No,,,,\n"
    )
    policy = compile_policy(policy_files(people=people))
    ana = policy.people["ana.diaz@example.com"]
    assert (ana.active, ana.start_date, ana.time_zone, ana.region) == (True, "2025-01-02", "Europe/Madrid", "EMEA")
    assert ana.ids == {"hubspot": "77"}
    assert ana.extra == {"e-mail2": "x"}
    assert not policy.people["ben.okafor@example.com"].active
    assert policy.person(" ANA diaz ") is ana
    assert policy.person("ana.diaz@EXAMPLE.com") is ana
    assert policy.person("nobody") is None


@pytest.mark.parametrize(
    ("people", "words"),
    [
        ("name,mail\nAna Diaz,a@b.co\n", "people.csv has no column 'email' | did you mean 'mail'?"),
        ("name,email\nAna Diaz,ana\n", "2:10 'ana' is no e-mail address"),
        ("name,email\n,a@b.co\n", "2:1 this person has no name"),
        ("name,email\npool Inbound,a@b.co\n", "2:1 'pool Inbound' would be read as 'pool …' and not as a person"),
        ("name,email\nQueue  Lee,a@b.co\n", "2:1 'Queue  Lee' would be read as 'queue …' and not as a person"),
        ("name,email\nPOOL,a@b.co\n", "2:1 'POOL' would be read as 'pool …' and not as a person"),
        ("name,email\nA,a@b.co\nB,A@b.co\n", "3:3 a@b.co is there twice; it is already on line 2"),
        ("name,email,active\nA,a@b.co,perhaps\n", "2:10 'active' is yes or no"),
        ("name,email,start_date\nA,a@b.co,1.2.2025\n", "2:10 '1.2.2025' is no date"),
        ("name,email,time_zone\nA,a@b.co,CET+1 or so\n", "2:10 'CET+1 or so' is no time zone"),
        ("name,email\n", "people.csv lists nobody"),
    ],
)
def test_a_mistake_in_the_roster_is_told(people: str, words: str) -> None:
    assert any(words in one for one in errors(people=people)), errors(people=people)


def test_two_rows_with_one_user_of_a_crm_are_told() -> None:
    people = f"{PEOPLE}Ana Old,ana.old@b.co,yes\n".replace("\n", ",\n").replace(",\n", ",hubspot_id\n", 1)
    assert not [one for one in warnings(people=people) if "is the user of" in one]  # two without one
    line, *rest = people.splitlines()
    people = "\n".join([line, *(f"{one}7" if one.startswith("Ana") else one for one in rest)])
    (found,) = [one for one in warnings(people=people) if "is the user of" in one]
    assert f"{len(rest) + 1}:26 '7' is the user of Ana Diaz on line 2 already" in found


def test_one_mistake_in_the_roster_is_told_once_not_wherever_the_person_is_named() -> None:
    assert len(errors(people=PEOPLE.replace("ana.diaz@example.com", "ana.diaz"))) == 1
    assert len(errors(people=PEOPLE.replace("Ana Diaz,", "Ana Diaz,,"))) == 1
    assert len(errors(people=b"\xff\xfe\x00")) == 1


def test_a_name_that_two_people_have_must_be_written_as_e_mail() -> None:
    people = f"{PEOPLE}Ana Diaz,ana.diaz2@example.com,yes\n"
    found = errors(people=people)
    assert (
        "several people are called 'Ana Diaz' | write the e-mail: ana.diaz@example.com or ana.diaz2@example.com"
        in found[0]
    )
    assert policy_members(POOLS.replace("Ana Diaz", "ana.diaz2@example.com"), people) == {
        "ana.diaz2@example.com": 1.0,
        "ben.okafor@example.com": 1.0,
    }


def policy_members(pools: str, people: str = PEOPLE) -> dict[str, float]:
    engagement = 'entry:\n  - event.kind = "created"\nladder:\n  - otherwise: pool Everyone\n'
    return compile_policy(policy_files(pools=pools, people=people, engagement=engagement)).pools["Everyone"].weights


def test_weights_are_read() -> None:
    pools = "Everyone: {method: weighted, members: {Ana Diaz: 0, Ben Okafor: 1.5}}\n"
    assert policy_members(pools) == {"ana.diaz@example.com": 0.0, "ben.okafor@example.com": 1.5}


@pytest.mark.parametrize(
    ("pools", "words"),
    [
        ("Everyone: {members: [Ana Dias]}\n", "1:22 'Ana Dias' is not in people.csv | did you mean 'Ana Diaz'?"),
        ("Everyone: {members: [Ana Diaz, ana.diaz@example.com]}\n", "1:32 Ana Diaz is in this pool twice"),
        ("Everyone: {members: {Ana Diaz: 1}}\n", "the method is round robin | write 'method: weighted'"),
        ("Everyone: {method: weighted, members: {Ana Diaz: -1}}\n", "a weight is a number from 0"),
        ("Everyone: {method: weighted, members: {Ana Diaz: .inf}}\n", "a weight is a number from 0"),
        ("Everyone: {method: rund robin, members: [Ana Diaz]}\n", "did you mean 'round robin'?"),
        ("Everyone: {members: [Ana Diaz], overflw: X}\n", "no setting 'overflw' | did you mean 'overflow'?"),
        ("Everyone: {members: [Ana Diaz], overflow: Evryone}\n", "no pool 'Evryone' to overflow to"),
        ("Everyone: {}\n", "has no members | add 'members:'"),
        ("Everyone: {members: [Ana Diaz]}\neveryone: {members: [Ana Diaz]}\n", "differs from 'Everyone' only by case"),
        (
            "Everyone: {members: [Ana Diaz], overflow: B}\nB: {members: [Ana Diaz], overflow: Everyone}\n",
            "1:43 overflow runs in a circle: Everyone → B → Everyone",
        ),
    ],
)
def test_a_mistake_in_the_pools_is_told(pools: str, words: str) -> None:
    assert any(words in one for one in errors(pools=pools)), errors(pools=pools)


def test_a_pool_that_nobody_can_serve_is_a_warning() -> None:
    pools = f"{POOLS}Idle: {{members: [Cora Lang], overflow: Everyone}}\nEmpty: {{members: []}}\n"
    assert warnings(pools=pools) == [
        "pools.yaml:3:1 the pool 'Idle' has no active member with a weight above 0: its leads go to 'Everyone'",
        "pools.yaml:4:1 the pool 'Empty' has no members: its leads will be on hold",
    ]


def test_corrections_and_matching_are_read() -> None:
    files = policy_files(
        corrections="lead:\n  email: email\n  company: {fix: text, write: no}\n",
        matching="free_domains: [Alumni.example]\nnot_free_domains: ['@me.com']\n",
    )
    policy = compile_policy(files)
    assert policy.corrections == (
        CorrectionRule("lead", "email", "email", True),
        CorrectionRule("lead", "company", "text", False),
    )
    assert policy.matching.free_domains == {"alumni.example"}
    assert policy.matching.not_free_domains == {"me.com"}


@pytest.mark.parametrize(
    ("corrections", "words"),
    [
        ("lead: {emial: email}\n", "lead has no field 'emial' | did you mean 'email'?"),
        ("led: {email: email}\n", "'led' is not in fields.yaml | did you mean 'lead'?"),
        ("lead: {email: e-mail}\n", "there is no correction 'e-mail' | did you mean 'email'?"),
        ("lead: {employees: text}\n", "lead.employees is a number: only texts"),
        ("lead: {email: {write: no}}\n", "does not say how"),
    ],
)
def test_a_mistake_in_the_corrections_is_told(corrections: str, words: str) -> None:
    assert any(words in one for one in errors(corrections=corrections)), errors(corrections=corrections)


def test_a_domain_that_is_none_is_told() -> None:
    assert errors(matching="free_domains: [not a domain]\n") == [
        "matching.yaml:1:16 'not a domain' is no domain | write it as gmail.com"
    ]


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghij"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "pools.yaml:1:4 anchors (&) and aliases (*) are not used"),
        ("a: !!python/object/apply:os.system [x]\n", "pools.yaml:1:4 tags (!) are not used"),
        ("[" * 5_000, "pools.yaml:1:21 this is nested more than 20 levels deep"),
        ("a: 1\n---\nb: 2\n", "pools.yaml:2:1 a policy file holds one document"),
        ("a:\n\t- b\n", "indent with spaces, not with tabs"),
        ("a: [b\n", "this cannot be read as YAML"),
        ("? [a]\n: b\n", "a name is expected before the colon"),
        ("a: \x07\n", "a character that YAML does not allow"),
        ("x" * (2 * 1024 * 1024 + 1), "keep long lists in a CSV table"),
        (b"a: \xe9\n", "pools.yaml:1:4 the file is not UTF-8 text: byte 0xe9"),
        ("a: b\0\n", "pools.yaml:1:5 the file holds a NUL byte"),
    ],
)
def test_yaml_that_is_unsafe_or_broken_is_refused_in_words(text: str | bytes, words: str) -> None:
    found = errors(pools=text)
    assert len(found) == 1
    assert words in found[0]


def test_norway_stays_a_country() -> None:
    fields = FIELDS.replace("choices: [Open, Working, Closed]", "choices: [NO, DE]")
    assert compile_policy(policy_files(fields=fields)).entities["lead"].fields["status"].choices == ("NO", "DE")


def test_missing_and_unknown_files_are_told() -> None:
    files = policy_files()
    files["engagment.yaml"] = files.pop("engagement.yaml")
    policy, found = check(files)
    assert policy is None
    assert [(one.file, one.severity, one.hint) for one in found] == [
        ("engagement.yaml", "error", "did you mean 'engagment.yaml'?"),
    ]
    _, found = check(policy_files() | {"matching.yml": b""})
    assert [(one.severity, one.hint) for one in found] == [("warning", "did you mean 'matching.yaml'?")]


def test_problems_of_all_files_come_in_one_run_in_order() -> None:
    found = errors(pools="Everyone: {members: [Ana Dias]}\n", fields=with_field("x: {type: txt}"), matching="a: 1\n")
    assert [one.split(":")[0] for one in found] == ["fields.yaml", "matching.yaml", "pools.yaml"]


def test_a_policy_that_does_not_compile_raises_all_its_problems() -> None:
    with pytest.raises(PolicyError, match=r"fields.yaml:4:15: 'txt' is no type \(and 1 more\)") as caught:
        compile_policy(policy_files(fields=with_field("x: {type: txt, salesforce: X}"), matching="a: 1\n"))
    assert len(caught.value.problems) == 2


def test_warnings_do_not_keep_a_policy_from_going_live() -> None:
    assert compile_policy(policy_files(pools=f"{POOLS}Empty: {{members: []}}\n")).pools["Empty"].members == ()


def test_the_digest_names_exactly_these_files() -> None:
    one = compile_policy(policy_files()).digest
    assert compile_policy(dict(reversed(policy_files().items()))).digest == one
    assert compile_policy(policy_files(people=f"{PEOPLE}\n")).digest != one
    assert len(one) == 64


def test_a_problem_is_shown_with_its_line_underlined() -> None:
    problem = Problem(
        file="engagement.yaml", line=8, column=11, message="lead has no field 'contry'",
        excerpt='    when: lead.contry = "DE"', length=11, hint="did you mean 'lead.country'?",
    )  # fmt: skip
    assert render([problem]) == (
        "engagement.yaml:8:11: error: lead has no field 'contry'\n"
        '     8 |     when: lead.contry = "DE"\n'
        "       |           ^^^^^^^^^^^\n"
        "       = did you mean 'lead.country'?\n"
    )


def test_a_very_long_line_is_shown_around_the_place() -> None:
    problem = Problem("a.csv", 1, 1500, "x", excerpt="-" * 1499 + "HERE" + "-" * 400, length=4)
    shown = render([problem]).split("\n")
    assert len(shown[1]) < 130
    assert shown[1].index("HERE") == shown[2].index("^^^^")


def test_control_characters_of_a_file_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in render([Problem("a.csv", 1, 1, "x", excerpt="\x1b[31mred")])


def test_the_example_policy_is_sound() -> None:
    policy, found = check(shared_example())
    assert found == []
    assert policy is not None
    assert len(policy.people) == 40
    assert sum(not person.active for person in policy.people.values()) == 2


README = (EXAMPLE.parents[1] / "README.md").read_text(encoding="utf-8")


def _of_the_readme(beginning: str) -> str:
    return next(block for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if block.startswith(beginning))


def test_the_ladder_of_the_readme_compiles() -> None:
    files = shared_example()
    files.pop("tests.yaml", None)  # they are of the example's ladder
    files["engagement.yaml"] = _of_the_readme("entry:").encode()
    files["pools.yaml"] += _of_the_readme("DACH:").replace("Inbound:\n", "Inbound of the readme:\n").encode()
    policy, found = check(files)
    assert [one.message for one in found] == ["no rung looks this table up: it is not used"]
    assert policy is not None
    assert policy.pools["DACH"].overflow == "Inbound"


def test_the_ladders_and_named_conditions_of_the_readme_compile() -> None:
    files = shared_example()
    files.pop("tests.yaml", None)
    files["engagement.yaml"] = _of_the_readme("ladders:").encode()
    files["conditions.yaml"] = _of_the_readme("Is enterprise:").encode()
    files["pools.yaml"] += b"MM-EMEA:\n  members: [Ana Diaz]\n"
    score = b"    score: {type: number, salesforce: Lead_Score__c}\n"
    files["fields.yaml"] = files["fields.yaml"].replace(b"    email:", score + b"    email:", 1)
    policy, found = check(files)
    assert policy is not None, found
    assert list(policy.ladders) == ["lead", "opportunity"]
    assert "nothing asks for the condition 'Worth a call': it is not used" in [one.message for one in found]


@pytest.mark.parametrize(
    "word",
    [*get_args(Operator), *DOES, *EFFECTS, *ENTITIES, *TYPES, *FIXERS, *METHODS, *NAMES, "note", "comment", *KNOWN],
)
def test_every_word_of_the_language_is_in_the_readme(word: str) -> None:
    assert word == "bare" or word in README


def test_bands_tie_breakers_duplicates_and_weights_are_read() -> None:
    text = "bands: {match: 97.5%, ask: 40 %}\ntie_breakers: [Open  Opportunity, customer]\nduplicates: no\nweights: mine.json\n"
    fields = FIELDS.replace(
        "    name: {type: text, salesforce: Name}\n    country",
        "    type: {type: text, salesforce: Type}\n    name: {type: text, salesforce: Name}\n    country",
    )
    files = {**policy_files(matching=text, fields=fields), "mine.json": b'{"base": -9, "kinds": {}}'}
    found, problems = check(files)
    assert found is not None, problems
    assert not [one for one in problems if one.file == "mine.json"]
    assert (found.matching.bands.match, found.matching.bands.ask) == (0.975, 0.4)
    assert found.matching.duplicates is None
    assert (found.matching.weights, found.matching.weights_file) == ("mine.json", files["mine.json"])


@pytest.mark.parametrize(
    ("matching", "words"),
    [
        ("bands: {match: 0.9}\n", "'match' of bands is '0.9', and no percentage above 0 | write it as 95%"),
        ("bands: {match: 50%, ask: 60%}\n", "a person is asked from 0.6 on, and it is a match from 0.5 on already"),
        ("tie_breakers: [custommer]\n", "there is no tie-breaker 'custommer' | did you mean 'customer'?"),
        ("tie_breakers: [oldest]\n", "reads account.created_at, which fields.yaml does not have"),
        ("tie_breakers: [parent, subsidiary]\n", "name one of them"),
        ("tie_breakers: [customer]\n", "reads account.type, which fields.yaml does not have"),
        ("weights: wieghts.json\n", "the policy has no file wieghts.json | `fingerpost match tune` writes one"),
    ],
)
def test_a_mistake_in_the_matching_is_told(matching: str, words: str) -> None:
    assert any(words in one for one in errors(matching=matching)), errors(matching=matching)
