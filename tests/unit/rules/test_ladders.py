"""Ladders within ladders, holdouts, what a rung does besides, ladders of several kinds of record, and very long ones."""

from __future__ import annotations

from typing import Any

import pytest

from rules.model import Effect
from rules.policy import compile_policy
from tests.unit.rules.samples import FIELDS, NOW, can_receive, errors, facts, ladder, policy_files, walk, warnings

NESTED = """\
entry: [event.kind = "created"]
ladder:
  - rung: EMEA
    when: lead.country in ("DE", "AT", "GB")
    ladder:
      - rung: Germany
        when: lead.country = "DE"
        assign: Ana Diaz
      - rung: Large
        when: lead.employees > 100
        ladder:
          - rung: Owner of the account
            when: account.name is not blank
            assign: account.owner
          - otherwise: Ben Okafor
  - rung: Small
    when: lead.employees > 0
    hold: small
  - otherwise: pool Everyone
"""


def policy(engagement: str = NESTED, **changed: str) -> Any:
    return compile_policy(policy_files(engagement=engagement, **changed))


def test_a_rung_with_rungs_inside_goes_on_inside_and_falls_through_where_none_holds() -> None:
    found = walk(policy(), facts({"country": "DE"}))
    assert (found.rung, found.person) == ("EMEA › Germany", "ana.diaz@example.com")
    through = walk(policy(), facts({"country": "AT", "employees": 5}))
    assert (through.rung, through.action.value) == ("Small", "small")
    assert [(step.rung, step.held) for step in through.steps] == [
        ("EMEA", False), ("EMEA › Germany", False), ("EMEA › Large", False), ("Small", True),
    ]  # fmt: skip
    assert through.steps[0].note == "it holds: the rungs inside it are tried"


def test_an_otherwise_inside_catches_all_that_came_so_far() -> None:
    found = walk(policy(), facts({"country": "GB", "employees": 500}, {"name": "Acme", "owner": ""}))
    assert (found.rung, found.person) == ("EMEA › Large › Otherwise", "ben.okafor@example.com")
    assert found.steps[-2].note == "account.owner is blank"


def test_a_share_is_held_out_the_same_every_time_and_about_as_large_as_written() -> None:
    held = policy(ladder("rung: Control group\nholdout: 20 %", "otherwise: pool Everyone"))
    first = [walk(held, facts(record_id=f"00Q{n}")).action.kind for n in range(2_000)]
    again = [walk(held, facts(record_id=f"00Q{n}")).action.kind for n in range(2_000)]
    assert first == again
    assert 300 < first.count("holdout") < 500
    out = walk(held, facts(record_id=f"00Q{first.index('pool')}"))
    assert out.steps[0].note == "outside the share that is held out"
    assert out.steps[0].values["event.record_id"] == f"00Q{first.index('pool')}"
    assert held.event_reads == {"record_id"}


def test_two_holdouts_of_one_share_are_independent() -> None:
    held = policy(
        ladder("rung: One\nholdout: 50 %", "rung: Other\nholdout: 50 % - the other half", "otherwise: hold x")
    )
    rungs = [walk(held, facts(record_id=str(n))).rung for n in range(400)]
    assert 140 < rungs.count("One") < 260
    assert 60 < rungs.count("Other") < 140


def test_a_list_of_those_not_to_be_routed_is_a_holdout_with_its_reason() -> None:
    held = policy(
        ladder(
            'rung: Do not route\nwhen: lead.tags contains "vip"\nholdout: The CEO sells to them', "otherwise: hold x"
        )
    )
    found = walk(held, facts({"tags": ["VIP"]}))
    assert (found.action.kind, found.action.value) == ("holdout", "The CEO sells to them")


DOES = """\
queues: {Intake: {salesforce: 00G1}}
entry: [event.kind = "created"]
ladder:
  - rung: All of it
    when: lead.country = "DE"
    assign: queue intake
    set: {status: Working, company: account.name, score: 12.5, tags: blank, free: 'yes', postal_code: "account.name"}
    task: {subject: Call them, for: account.owner, due: 2 hours}
    notify: {who: [owner, Ana Diaz], message: A large one}
    convert: matched account
  - otherwise: pool Everyone
    task: Look at it
"""
FREE = FIELDS.replace("    free_email:", "    free: {type: boolean, salesforce: Free__c}\n    free_email:")


def test_what_a_rung_does_besides_comes_with_the_walk() -> None:
    found = walk(
        policy(DOES, fields=FREE), facts({"country": "DE"}, {"name": "Acme", "owner": "ben.okafor@example.com"})
    )
    assert (found.action.kind, found.action.value) == ("queue", "Intake")
    assert found.effects == (
        Effect("set", "lead.status", "Working"),
        Effect("set", "lead.company", "Acme"),
        Effect("set", "lead.score", 12.5),
        Effect("set", "lead.tags", None),
        Effect("set", "lead.free", True),
        Effect("set", "lead.postal_code", "account.name"),
        Effect("task", "ben.okafor@example.com", "Call them", 7200),
        Effect("notify", "owner", "A large one"),
        Effect("notify", "ana.diaz@example.com", "A large one"),
        Effect("convert", "account"),
    )


def test_a_conversion_says_whether_an_opportunity_is_made() -> None:
    text = DOES.replace("convert: matched account", "convert: Matched account  with an opportunity")
    found = walk(policy(text, fields=FREE), facts({"country": "DE"}, {"name": "Acme"}))
    assert found.effects[-1] == Effect("convert", "account", True)


def test_without_an_account_nothing_is_converted_and_nobody_of_it_is_told() -> None:
    found = walk(policy(DOES, fields=FREE), facts({"country": "DE"}))
    assert [effect.kind for effect in found.effects if effect.kind in ("convert", "task")] == []
    assert walk(policy(DOES, fields=FREE), facts()).effects == (Effect("task", "owner", "Look at it"),)


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("intake", "intaek", "6:13", "there is no queue 'intaek' | did you mean 'Intake'?"),
        ("salesforce: 00G1", "salesfroce: 00G1", "1:19", "did you mean 'salesforce'?"),
        ("{salesforce: 00G1}", "{}", "1:10", "is in no system"),
        ("status: Working", "status: Wroking", "7:19", "did you mean 'Working'?"),
        ("status: Working", "statsu: Working", "7:11", "did you mean 'status'?"),
        ("score: 12.5", "score: many", "7:58", "lead.score is a number, not 'many'"),
        ("score: 12.5", "score: account.owner", "7:58", "it cannot be copied"),
        ("tags: blank", "tags: a", "7:70", "set to blank, only"),
        ("status: Working", "owner: Ana Diaz", "7:11", "is set by 'assign'"),
        ("status: Working", "created_at: 2025-01-01", "7:11", "is read only"),
        ("status: Working", "account.name: x", "7:11", "only its own fields are set"),
        ("2 hours", "soon", "8:57", "write a whole number and its unit"),
        ("Call them", "''", "8:21", "is empty"),
        ("account.owner", "account.name", "8:37", "only a person can be told"),
        ("who: [owner, Ana Diaz]", "who: [owner, Ana Daiz]", "9:27", "did you mean 'Ana Diaz'?"),
        ("who: [owner, Ana Diaz], ", "", "9:13", "does not say who"),
        ("matched account", "mached account", "10:14", "did you mean 'matched account'?"),
        ("matched account", "matched account with an oportunity", "10:14", "'matched account with an opportunity'?"),
        ("convert: matched", "attach: matched account with an opportunity #", "10:13", "did you mean"),
        (
            "convert: matched account",
            "merge: elder lead",
            "10:12",
            "does not say which lead stays | write: merge: older lead",
        ),
        ("    convert", "    convrt", "10:5", "did you mean 'convert'?"),
    ],
)
def test_a_mistake_in_what_a_rung_does_is_told_at_its_place(old: str, new: str, place: str, words: str) -> None:
    assert old in DOES
    found = errors(engagement=DOES.replace(old, new, 1), fields=FREE)
    assert any(one.startswith(f"engagement.yaml:{place} ") and words in one for one in found), found


MERGES = ladder("rung: A\nwhen: match.duplicate\nreject: twice\nmerge: Older  Lead", "otherwise: hold x")


def test_a_duplicate_is_merged_and_nothing_else() -> None:
    again = {"match": {"duplicate": True, "duplicate_of": "00Q1"}}
    assert walk(policy(MERGES), facts() | again).effects == (Effect("merge", "older", "00Q1"),)
    always = policy(ladder("otherwise: hold x\nmerge: newer"))
    assert walk(always, facts() | again).effects == (Effect("merge", "newer", "00Q1"),)
    assert walk(always, facts()).effects == ()


CAMPAIGN = "701Dn000000AbCdIAK"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (CAMPAIGN, [Effect("campaign", CAMPAIGN)]),
        (f"{{id: {CAMPAIGN[:15]}, status: Responded}}", [Effect("campaign", CAMPAIGN[:15], "Responded")]),
        ("lead.country", [Effect("campaign", "DE")]),
        ("{id: lead.email, status: Sent}", []),  # blank
    ],
)
def test_a_rung_adds_to_a_campaign(written: str, expected: list[Effect]) -> None:
    made = policy(ladder(f"otherwise: hold x\ncampaign: {written}"))
    assert list(walk(made, facts({"country": "DE"})).effects) == expected


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("Fair 2026", "'Fair 2026' is no id of a campaign"),
        ("00QDn000000AbCdIAK", "the address of the campaign's page in Salesforce shows"),
        ("{status: Sent}", "does not say which"),
        (f"{{id: {CAMPAIGN}, staus: Sent}}", "did you mean 'status'?"),
        ("lead.employees", "lead.employees is a number: it holds no id of a campaign"),
        ("lead.contry", "did you mean 'lead.country'?"),
    ],
)
def test_a_mistake_in_a_campaign_is_told(written: str, words: str) -> None:
    found = errors(engagement=ladder(f"otherwise: hold x\ncampaign: {written}"))
    assert any(words in one for one in found), found


def test_only_people_of_salesforce_are_added_to_campaigns() -> None:
    fields = FIELDS.replace("in: {salesforce: Lead, hubspot: contacts}", "in: {hubspot: contacts}", 1)
    found = errors(engagement=ladder(f"otherwise: hold x\ncampaign: {CAMPAIGN}"), fields=fields)
    assert any("a lead cannot be added to a campaign | only Salesforce's leads" in one for one in found), found


def test_a_contact_is_merged_with_a_contact() -> None:
    contact = "contact:\n  in: {salesforce: Contact}\n  fields:\n"
    contact += "    created_at: {type: datetime, salesforce: CreatedDate, read_only: true}\n"
    contact += "    owner: {type: person, salesforce: OwnerId}\n"
    rungs = "      - otherwise: hold x\n        merge: older contact\n"
    made = policy(
        f"ladders:\n  contact:\n    entry: ['event.kind = \"created\"']\n    ladder:\n{rungs}", fields=FIELDS + contact
    )
    again = facts() | {"contact": {}, "match": {"duplicate_of": "00Q1", "contact": "003B"}}
    assert made.walk(again, lambda _: None, NOW, "contact").effects == (Effect("merge", "older", "003B"),)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"engagement": MERGES.replace("merge:", "convert: matched account\n    merge:")},
            "a lead is merged or converted, not both",
        ),
        (
            {"fields": FIELDS.replace("salesforce: Lead,", "salesforce: Deal__c,")},
            "a lead cannot be merged | only Salesforce's",
        ),
        (
            {
                "fields": FIELDS.replace(
                    "    created_at: {type: datetime, salesforce: CreatedDate, read_only: true}\n", "", 1
                )
            },
            "add: created_at",
        ),
        ({"matching": "duplicates: no\n"}, "nobody looks for duplicates"),
        (
            {"engagement": MERGES.replace("Older  Lead", "older account")},
            "'older account' does not say which lead stays",
        ),
    ],
)
def test_a_merge_is_said_only_where_there_can_be_one(files: dict[str, str], words: str) -> None:
    found = errors(**{"engagement": MERGES, **files})
    assert any(words in one for one in found), found


@pytest.mark.parametrize(
    ("rung", "words"),
    [
        ("rung: A\nholdout: 0 %", "'0 %' holds out nothing"),
        ("rung: A\nholdout: 100 %", "holds out everything"),
        ("rung: A\nholdout: Partners", "no 'when': it would catch everything"),
        ("rung: A\nholdout: 5 %\ntask: Call", "left as it is"),
        ("rung: A\nladder: []", "this ladder has no rungs"),
        ("rung: A\nladder: x", "a list is expected"),
        ("rung: A\nladder:\n  - rung: B\n    hold: x", "no 'when': it would catch everything"),
        ("rung: A\nladder:\n  - otherwise: hold x\ntask: Call", "move this into them"),
        (
            "rung: A\nladder:\n  - otherwise: hold x\n  - rung: B\n    when: lead.score > 1\n    hold: x",
            "must be the last rung",
        ),
    ],
)
def test_a_mistake_in_a_holdout_or_a_ladder_inside_is_told(rung: str, words: str) -> None:
    found = errors(engagement=ladder(rung, "otherwise: hold x"))
    assert any(words in one for one in found), found


def test_ladders_are_not_nested_without_end() -> None:
    deep = "rung: A\nladder:\n" + "".join(f"{'  ' * n}- rung: R{n}\n{'  ' * n}  ladder:\n" for n in range(1, 7))
    found = errors(engagement=ladder(deep + f"{'  ' * 7}- otherwise: hold x", "otherwise: hold x"))
    assert any("nested more than 5 deep" in one for one in found), found


KINDS = (
    FIELDS
    + """\
case:
  in: {salesforce: Case}
  fields:
    origin: {type: text, salesforce: Origin}
    owner: {type: person, salesforce: OwnerId}
partner_deal:
  in: {salesforce: Deal__c}
  fields:
    amount: {type: money, salesforce: Amount__c}
    case: {type: reference, to: case, salesforce: Case__c}
    owner: {type: person, salesforce: OwnerId}
"""
)
SEVERAL = """\
ladders:
  lead:
    entry: [is_new]
    ladder:
      - otherwise: pool Everyone
  partner_deal:
    entry: [is_new, amount changed]
    ladder:
      - rung: Large
        when: partner_deal.amount > 1000 and account.name is not blank
        assign: account.owner
      - otherwise: Ana Diaz
"""
NEW = 'Is new: event.kind = "created"\n'


def test_each_kind_of_record_has_its_ladder() -> None:
    found = policy(SEVERAL, fields=KINDS, conditions=NEW)
    assert list(found.ladders) == ["lead", "partner_deal"]
    assert found.routes == "lead"
    deal = {
        "partner_deal": {"amount": 5000},
        "account": {"name": "Acme", "owner": "ben.okafor@example.com"},
        "event": {"kind": "created"},
    }
    assert found.enters(deal, can_receive, "partner_deal").held
    assert found.walk(deal, can_receive, NOW, "partner_deal").person == "ben.okafor@example.com"
    assert found.walk(deal, can_receive, NOW).action.kind == "pool"


def test_one_ladder_may_route_another_kind_of_record() -> None:
    text = ladder("rung: A\nwhen: amount > 5\nhold: x", "otherwise: Ana Diaz") + "route: partner_deal\n"
    assert policy(text, fields=KINDS).routes == "partner_deal"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  partner_deal:\n", "  partner_deel:\n", "'partner_deel' cannot be routed | did you mean 'partner_deal'?"),
        ("  partner_deal:\n", "  person:\n", "'person' cannot be routed"),
        ("partner_deal.amount", "lead.employees", "a partner_deal comes without 'lead'"),
        ("ladders:\n", "entry: [is_new]\nladders:\n", "each kind of record has its own 'entry'"),
        ("    entry: [is_new]\n", "", "does not say which events route"),
        ("    entry: [is_new]\n", "    entri: [is_new]\n", "did you mean 'entry'?"),
    ],
)
def test_a_mistake_in_ladders_of_several_kinds_is_told(old: str, new: str, words: str) -> None:
    assert old in SEVERAL
    found = errors(engagement=SEVERAL.replace(old, new, 1), fields=KINDS, conditions=NEW)
    assert any(words in one for one in found), found


def test_an_object_of_ones_own_is_not_a_slip_of_the_pen() -> None:
    near = KINDS + "acount:\n  in: {salesforce: A__c}\n  fields:\n    owner: {type: person, salesforce: OwnerId}\n"
    assert any(
        "did you mean 'account'? An object of your own needs 'custom: yes'" in one for one in errors(fields=near)
    )
    assert errors(fields=near.replace("acount:\n", "acount:\n  custom: yes\n")) == []
    assert any("cannot be the name" in one for one in errors(fields=KINDS.replace("partner_deal:", "event:")))


def test_how_writes_are_guarded_is_said_by_kind_of_record() -> None:
    guarded = KINDS.replace("partner_deal:\n", "partner_deal:\n  guard: conditional\n")
    assert guarded != KINDS
    assert errors(fields=guarded) == []
    wrong = errors(fields=guarded.replace("conditional", "conditionally"))
    assert any("'conditionally' is no way to guard" in one and "'conditional'" in one for one in wrong), wrong
    only = guarded.replace("salesforce", "hubspot")
    assert any("only Salesforce can compare, and partner_deal is not in it" in one for one in errors(fields=only))


def long_ladder(count: int) -> str:
    rungs = [f'rung: R{n}\nwhen: lead.company = "C{n}" and lead.country = "DE"\nhold: h{n}' for n in range(count)]
    inside = 'rung: In\nwhen: lead.country = "AT"\nladder:\n  - rung: Far\n    when: lead.employees > 5\n    assign: account.owner'
    return ladder(*rungs, inside, "otherwise: pool Everyone")


def test_a_long_ladder_decides_as_a_short_one_and_shows_what_matters() -> None:
    found = policy(long_ladder(600))
    hit = walk(found, facts({"company": "c400", "country": "de"}))
    assert (hit.rung, hit.action.value) == ("R400", "h400")
    assert [(step.rung, step.held) for step in hit.steps] == [("400 other rungs", False), ("R400", True)]
    assert hit.steps[1].values == {"lead.company": "c400", "lead.country": "de"}
    passed = walk(found, facts({"country": "AT", "employees": 9}))
    assert [(step.rung, step.note) for step in passed.steps[1:]] == [
        ("In › Far", "account.owner is blank"),
        ("Otherwise", ""),
    ]
    assert passed.rung == "Otherwise"


def test_in_a_long_ladder_only_the_last_steps_are_shown() -> None:
    rungs = [f"rung: R{n}\nwhen: lead.employees > {n}\nassign: account.owner" for n in range(150)]
    found = walk(policy(ladder(*rungs, "otherwise: hold none")), facts({"employees": 1000}))
    assert len(found.steps) == 51
    assert found.steps[0].rung == "101 other rungs"
    assert found.action.value == "none"


def test_ladders_of_several_kinds_warn_by_their_own_name() -> None:
    text = SEVERAL.replace("      - otherwise: Ana Diaz\n", "")
    assert any(
        "partner_deals that no rung catches" in one for one in warnings(engagement=text, fields=KINDS, conditions=NEW)
    )
