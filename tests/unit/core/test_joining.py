"""What ``convert``, ``attach`` and ``merge`` owe the CRM."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.core.model import Record
from rules.model import Effect
from tests.unit.core.policy import ANA_ID, FIELDS, account, event, lead, policy, view
from tests.unit.core.test_decisions import decide, made
from tests.unit.core.test_effects import ladder

REFERENCE = FIELDS.replace(
    "    domain: {type: text, derived: true}\n",
    "    domain: {type: text, derived: true}\n    matched: {type: reference, to: account, salesforce: Matched__c}\n",
).replace(
    "contact:\n  in: {salesforce: Contact}\n  fields:\n",
    "contact:\n  in: {salesforce: Contact}\n  fields:\n    account: {type: reference, to: account, salesforce: AccountId}\n",
)
CONVERT = policy(engagement=ladder("{otherwise: Ana Diaz, convert: matched account}"), fields=REFERENCE)
ATTACH = policy(engagement=ladder("{otherwise: Ana Diaz, attach: matched account}"), fields=REFERENCE)
BARE = policy(engagement=ladder("{otherwise: Ana Diaz, attach: matched account}"))
ACME = account("001A", name="Acme Inc", website="acme.com")


def writes(settled: Any, kind: str) -> list[Any]:
    return [one for one in settled.writes if one.kind == kind]


def test_a_salesforce_lead_is_converted_by_its_new_owner() -> None:
    record = lead(email="a@acme.com")
    settled = decide(event(record), view(record, ACME), CONVERT)
    owner, conversion = settled.writes
    assert owner.fields == {"owner": ANA_ID}
    assert (conversion.kind, conversion.entity, conversion.record_id) == ("convert", "lead", record.record_id)
    assert conversion.fields == {"account": "001A", "owner": ANA_ID}
    assert (conversion.still, conversion.about) == ({"owner": ANA_ID}, ("lead", record.record_id))


def test_an_opportunity_is_asked_for_where_the_rung_says_so() -> None:
    record = lead(email="a@acme.com")
    rungs = ladder("{otherwise: Ana Diaz, convert: matched account with an opportunity}")
    [conversion] = writes(
        decide(event(record), view(record, ACME), policy(engagement=rungs, fields=REFERENCE)), "convert"
    )
    assert conversion.fields == {"account": "001A", "owner": ANA_ID, "opportunity": True}


def test_the_same_person_at_the_account_is_the_contact() -> None:
    record = lead(email="pat@acme.com", first_name="Pat", last_name="Smith")
    person = {"email": "pat@acme.com", "first_name": "Pat", "last_name": "Smith"}
    found = {}
    for name, at in (("there", "001A"), ("elsewhere", "001Z")):
        contact = Record(system="salesforce", entity="contact", record_id="003P", values={**person, "account": at})
        seen = msgspec.structs.replace(view(record, ACME), people=(contact,))
        [conversion] = writes(decide(event(record), seen, CONVERT), "convert")
        found[name] = conversion.fields.get("contact")
    assert found == {"there": "003P", "elsewhere": None}


def test_without_a_match_nothing_is_joined() -> None:
    record = lead(email="a@gmail.com")
    settled = decide(event(record), view(record), CONVERT)
    assert [one.kind for one in settled.writes] == ["update"]


def test_a_record_is_attached_by_its_reference_once() -> None:
    record = lead(email="a@acme.com")
    [write] = decide(event(record), view(record, ACME), ATTACH).writes
    assert write.fields == {"owner": ANA_ID, "matched": "001A"}
    assert write.guard == {"owner": record.values.get("owner"), "matched": None}
    there = lead(email="a@acme.com", matched="001A", owner=ANA_ID)
    assert decide(event(there), view(there, ACME), ATTACH).writes == ()


def test_what_cannot_be_attached_is_told() -> None:
    record = lead(email="a@acme.com")
    settled = decide(event(record), view(record, ACME), BARE)
    assert [one.kind for one in settled.writes] == ["update"]
    missed = made(settled).trace[-1]
    assert (missed.stage, missed.name, missed.held) == ("join", "attach", False)
    assert "names no field of lead that refers to an account" in missed.note


def test_a_hubspot_contact_is_associated_and_never_with_an_account_of_salesforce() -> None:
    record = lead(system="hubspot", email="a@acme.com")
    company = msgspec.structs.replace(ACME, system="hubspot")
    for told in (CONVERT, ATTACH):
        [made_] = writes(decide(event(record), view(record, company), told), "create")
        assert (made_.entity, made_.about) == ("association", ("lead", record.record_id))
        assert (made_.fields["to_entity"], made_.fields["to"]) == ("account", "001A")
    settled = decide(event(record), view(record, ACME), ATTACH)
    assert writes(settled, "create") == []
    assert "the account is not one of HubSpot" in made(settled).trace[-1].note


def test_nobody_converts_what_nobody_has() -> None:
    record = lead(email="a@acme.com")
    queue = policy(engagement=ladder("{otherwise: queue Intake, convert: matched account}"), fields=REFERENCE)
    settled = decide(event(record), view(record, ACME), queue)
    assert [one.kind for one in settled.writes] == ["update"]
    assert "nobody has the record" in made(settled).trace[-1].note


PAT = {"first_name": "Pat", "last_name": "Smith", "email": "pat@acme.com"}


def twins(
    stays: str = "older", assign: str = "Ana Diaz", system: str = "salesforce", decided: str = "", **first: Any
) -> Any:
    """What is decided on the second lead of a person."""
    told = policy(engagement=ladder(f"{{otherwise: {assign}, merge: {stays} lead}}"))
    record = lead("00Q2", system=system, **PAT, created_at="2026-11-22T10:00:00.000Z", owner=ANA_ID)
    values = {**PAT, "created_at": "2026-11-01T10:00:00.000Z", **first}
    other = Record(system=record.system, entity="lead", record_id="00Q1", values=values, decided_owner=decided)
    seen = msgspec.structs.replace(view(record), people=(other,))
    return decide(event(record), seen, told)


def test_one_of_two_leads_of_a_person_stays() -> None:
    seen = {"owner": [None, "00G1"], "email": ["pat@acme.com"]}
    [older] = writes(twins(), "merge")
    assert (older.record_id, older.fields, older.still) == ("00Q2", {"into": "00Q1", "seen": seen}, {"owner": ANA_ID})
    [newer] = writes(twins("newer"), "merge")
    assert (newer.record_id, newer.fields) == ("00Q2", {"merged": ["00Q1"], "seen": seen})
    assert made(twins()).effects == (Effect("merge", "older", "00Q1"),)


def test_the_other_record_may_be_whose_it_was_or_whose_we_have_made_it() -> None:
    [write] = writes(twins(decided="bo@example.com", owner=ANA_ID), "merge")
    assert write.fields["seen"]["owner"] == [ANA_ID, "005BO", "00G1"]


def test_a_duplicate_is_merged_as_whoever_has_it_then() -> None:
    assert [one.still for one in writes(twins(assign="queue Intake"), "merge")] == [{"owner": "00G1"}]
    assert [one.still for one in writes(twins(assign="reject no second time"), "merge")] == [{"owner": ANA_ID}]
    assert writes(twins(assign="hold Ask Legal"), "merge")


def test_where_two_records_cannot_be_made_one_that_is_told() -> None:
    for settled, words in (
        (twins(created_at=None), "which of it and 00Q1 is the older is not known"),
        (twins(system="hubspot"), "HubSpot makes no one of two records"),
    ):
        assert writes(settled, "merge") == []
        assert words in made(settled).trace[-1].note
    assert writes(twins(first_name="Carla", last_name="Blau", email="c@blau.example"), "merge") == []
