"""What ``convert``, ``attach`` and ``merge`` of a rung make of leads in the CRMs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.stage import Stage, stage

JONAS, MIRIAM = "jonas.keller@example.com", "miriam.vogel@example.com"
CONVERTS = """ladder:
  - rung: Chile is converted
    when: lead.country = "CL"
    assign: Miriam Vogel
    convert: matched account

  - rung: Peru is attached
    when: lead.country = "PE"
    assign: Miriam Vogel
    attach: matched account

  - rung: Norway is merged into what was there
    when: lead.country = "NO" and match.duplicate
    assign: Miriam Vogel
    merge: older lead

  - rung: Iceland takes over what was there
    when: lead.country = "IS" and match.duplicate
    reject: A duplicate
    merge: newer lead

  - rung: The first of them
    when: lead.country in ("NO", "IS")
    assign: Jonas Keller

"""
FIELD = "    matched_account: {type: reference, to: account, salesforce: Matched_Account__c}\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("joins"), accounts=60, daemon=False) as made:
        made.salesforce.add_field("Lead", "Matched_Account__c", "reference")
        made.edit("engagement.yaml", "ladder:\n", CONVERTS)
        made.edit("fields.yaml", "    domain: {type: text", FIELD + "    domain: {type: text")
        made.open()
        yield made


def account(world: Stage, n: int) -> dict[str, Any]:
    """One of the accounts that nobody else has the domain of."""
    return world.world.accounts[n]


def lead_of(world: Stage, n: int, country: str, **more: Any) -> str:
    row = account(world, n)
    domain = str(row["Website"]).removeprefix("https://").removeprefix("www.")
    return world.lead(
        **{
            "Country": country,
            "Company": row["Name"],
            "Website": row["Website"],
            "Email": f"p{n}.{country}@{domain}",
            **more,
        }
    )


def contact_of(world: Stage, lead: str) -> dict[str, Any]:
    row = world.salesforce.record("Lead", lead)
    assert row is not None
    assert row["IsConverted"], world.owed(lead)
    contact = world.salesforce.record("Contact", row["ConvertedContactId"])
    assert contact is not None
    return contact


def test_a_lead_becomes_a_contact_of_the_account_it_was_matched_to(world: Stage) -> None:
    lead = lead_of(world, 0, "CL")
    world.settle()
    contact = contact_of(world, lead)
    assert contact["AccountId"] == world.decisions(lead)[0].account_id == account(world, 0)["Id"]
    assert contact["OwnerId"] == world.world.user_id(MIRIAM)
    assert [one["state"] for one in world.owed(lead)] == ["confirmed", "confirmed"]
    assert "becomes a contact of account" in world.command("decisions", "show", lead).stdout


def test_a_lead_saved_before_its_account_in_one_transaction_is_matched_to_it(world: Stage) -> None:
    domain = f"altiplano{len(world.salesforce.records('Account'))}.example"  # another one whenever this is tried again
    person = {"FirstName": "Nuria", "LastName": "Ferrer", "Company": "Altiplano Solar", "Country": "CL"}
    lead, made = world.salesforce.together(
        [
            {"kind": "create", "object": "Lead", "fields": {**person, "Email": f"nuria@{domain}"}},
            {
                "kind": "create",
                "object": "Account",
                "fields": {"Name": "Altiplano Solar", "Website": f"https://{domain}"},
            },
        ]
    )
    world.settle()
    assert world.decisions(lead)[0].account_id == made
    assert contact_of(world, lead)["AccountId"] == made


def test_the_same_person_at_that_account_is_no_second_contact(world: Stage) -> None:
    row = account(world, 1)
    domain = str(row["Website"]).removeprefix("https://").removeprefix("www.")
    person = {"FirstName": "Ines", "LastName": "Quiroga", "Email": f"ines.quiroga@{domain}"}
    there = world.salesforce.create("Contact", {**person, "AccountId": row["Id"]})
    world.settle()
    lead = lead_of(world, 1, "CL", **person)
    world.settle()
    assert contact_of(world, lead)["Id"] == there


def test_a_conversion_without_an_answer_is_made_once(world: Stage) -> None:
    before = len(world.salesforce.records("Contact"))
    world.fault("salesforce", "timeout_after_commit", "soap", times=2)
    world.fault("salesforce", "timeout", "soap")
    lead = lead_of(world, 2, "CL")
    world.settle(60)
    assert contact_of(world, lead)["AccountId"] == account(world, 2)["Id"]
    assert len(world.salesforce.records("Contact")) == before + 1
    world.faults.clear()


def given_up(world: Stage, lead: str) -> None:
    """Its last write is. Only then may calls get through again: one that was looked at before would."""
    world.until("the last write to be given up", lambda: world.owed(lead)[-1]["state"] == "superseded")
    world.faults.clear()
    world.settle()


def test_whoever_takes_the_lead_meanwhile_keeps_it_as_a_lead(world: Stage) -> None:
    world.hold_up("salesforce", "soap")
    lead = lead_of(world, 3, "CL")
    world.until("the owner", lambda: world.owner(lead) == MIRIAM)
    world.give(lead, JONAS, by=MIRIAM)
    given_up(world, lead)
    assert world.field(lead, "IsConverted") is False


def test_without_a_match_nothing_is_converted(world: Stage) -> None:
    lead = world.lead(Country="CL", Company="Nobody knows them SpA")
    world.settle()
    assert (world.owner(lead), world.field(lead, "IsConverted")) == (MIRIAM, False)


def test_a_lead_is_attached_by_the_field_that_refers_to_its_account(world: Stage) -> None:
    lead = lead_of(world, 4, "PE")
    world.settle()
    assert (world.field(lead, "Matched_Account__c"), world.owner(lead)) == (account(world, 4)["Id"], MIRIAM)
    assert world.times_written(lead) == 1


def test_a_hubspot_contact_is_associated_with_its_company(world: Stage) -> None:
    known = {"name": "Quillwort Joinery", "domain": "quillwort.example"}
    company = world.hubspot.create("companies", known)
    world.settle()
    contact = world.contact(country="CL", company=known["name"], email="pe@quillwort.example")
    world.settle()
    assert list(world.hubspot.store.linked("contacts", contact, "companies")) == [company]
    assert "joined to account" in world.command("decisions", "show", contact).stdout


def test_an_account_of_another_system_is_told_instead_of_joined(world: Stage) -> None:
    row = world.salesforce.create("Account", {"Name": "Tamarack Looms", "Website": "tamarack.example"})
    world.settle()
    contact = world.contact(country="CL", company="Tamarack Looms", email="pe@tamarack.example")
    world.settle()
    assert world.decisions(contact)[0].account_id == row
    assert "the account is not one of HubSpot" in world.command("decisions", "show", contact).stdout


def person(world: Stage, name: str, country: str = "NO", **more: Any) -> str:
    """A lead of that person; of whom there may be one already."""
    known = {"FirstName": "Solveig", "LastName": name, "Company": "Fjordlys AS", "Country": country}
    lead = world.lead(**known, **{"Email": f"solveig@{name.lower()}.example", **more})
    world.settle()
    return lead


def test_a_duplicate_is_merged_into_the_lead_that_was_there_and_nothing_of_it_is_lost(world: Stage) -> None:
    first = person(world, "Aune", Title="CEO")
    task = world.salesforce.create("Task", {"Subject": "Call", "WhoId": first, "OwnerId": world.world.user_id(JONAS)})
    again = person(world, "Aune", Title="Founder", City="Bergen")
    assert world.salesforce.record("Lead", again) is None, world.owed(again)
    held = world.salesforce.record("Lead", first) or {}
    assert (world.owner(first), held["Title"], held["City"]) == (JONAS, "CEO", "Bergen")
    assert (world.salesforce.record("Task", task) or {})["WhoId"] == first
    assert [one["state"] for one in world.owed(again)] == ["confirmed", "confirmed"]
    told = world.command("decisions", "show", again).stdout
    assert f"lead is merged into {first}: confirmed" in told
    world.command("replay", "--record", again)
    # What the merge changed comes back, and is nothing to decide on.
    assert (len(world.decisions(first)), len(world.decisions(again))) == (1, 1)


def test_the_newer_one_stays_where_the_rung_says_so(world: Stage) -> None:
    first = person(world, "Brekke", "IS", Phone="+3545550101")
    again = person(world, "Brekke", "IS")
    assert world.salesforce.record("Lead", first) is None, world.owed(again)
    assert world.field(again, "Phone") == "+3545550101"
    assert f"is merged with {first}, and stays: confirmed" in world.command("decisions", "show", again).stdout
    third = person(world, "Brekke", "IS")
    assert world.salesforce.record("Lead", again) is None, world.owed(third)


def test_a_merge_without_an_answer_or_on_a_locked_lead_is_made_once(world: Stage) -> None:
    name = f"Dahl{len(world.salesforce.records('Lead'))}"  # somebody else whenever this is tried again
    first = person(world, name)
    world.fault("salesforce", "lock", "soap")
    world.fault("salesforce", "timeout", "soap")
    world.fault("salesforce", "timeout_after_commit", "soap")
    again = person(world, name)
    assert world.salesforce.record("Lead", again) is None
    assert [one["state"] for one in world.owed(again)] == ["confirmed", "confirmed"]
    assert world.owed(again)[-1]["detail"] == f"merged into {first}"
    world.faults.clear()


def test_whoever_takes_the_duplicate_meanwhile_keeps_it(world: Stage) -> None:
    first = person(world, "Eide")
    world.hold_up("salesforce", "soap")
    again = world.lead(FirstName="Solveig", LastName="Eide", Country="NO", Email="solveig@eide.example")
    world.until("the owner", lambda: world.owner(again) == MIRIAM)
    world.give(again, JONAS, by=MIRIAM)
    given_up(world, again)
    assert (world.owner(first), world.owner(again)) == (JONAS, JONAS)


@pytest.mark.parametrize(
    ("name", "words"), [("Foss", "was converted meanwhile"), ("Gran", "deleted or merged meanwhile")]
)
def test_a_lead_that_is_no_lead_any_more_takes_nobody_in(world: Stage, name: str, words: str) -> None:
    first = person(world, name)
    world.hold_up("salesforce", "soap")
    again = world.lead(FirstName="Solveig", LastName=name, Country="NO", Email=f"solveig@{name.lower()}.example")
    world.until("the owner", lambda: world.owner(again) == MIRIAM)
    if name == "Foss":
        world.salesforce.convert(first, account(world, 5)["Id"])
    else:
        world.salesforce.delete("Lead", first)
    given_up(world, again)
    assert world.owner(again) == MIRIAM
    assert words in world.owed(again)[-1]["detail"]


def test_hubspot_contacts_are_told_apart_instead_of_merged(world: Stage) -> None:
    known = {
        "firstname": "Sigrid",
        "lastname": "Haugen",
        "phone": "+47 22 555 010",
        "company": "Haugen AS",
        "country": "NO",
    }
    first = world.contact(email="sigrid@haugen.example", **known)
    world.settle()
    again = world.contact(email="sigrid.haugen@gmail.com", **known)
    world.settle()
    assert world.decision(again).facts["match"]["duplicate_of"] == first
    assert f"makes no one of two records: it stays beside {first}" in world.command("decisions", "show", again).stdout
