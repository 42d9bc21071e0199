"""Who is who, and how records find each other."""

from __future__ import annotations

from datetime import UTC, datetime

from routing.core.directory import FILE
from routing.core.keys import keys, wanted
from routing.core.model import Record
from tests.unit.core.policy import ANA_ID, NOW, account, directory, lead, person, policy


def test_a_person_is_known_by_the_e_mail_of_their_crm_user() -> None:
    known = directory(policy())
    assert known.key_of("salesforce", "005BO") == "bo@example.com"
    assert known.crm_id("salesforce", "bo@example.com") == "005BO"
    assert known.key_of("hubspot", "77") == "ana@example.com"
    assert known.key_of("salesforce", "00G000000000001AAA") == ""
    assert known.key_of("salesforce", "") == ""
    assert known.key_of("elsewhere", "1") == ""


def test_an_id_fixed_in_people_csv_wins_and_its_short_form_is_completed() -> None:
    known = directory(policy(), person("salesforce", "005OTHER", "ana@example.com"))
    assert known.crm_id("salesforce", "ana@example.com") == ANA_ID
    assert known.key_of("salesforce", ANA_ID) == "ana@example.com"
    assert known.key_of("salesforce", "005OTHER") == "ana@example.com"


def test_why_somebody_cannot_receive_a_lead() -> None:
    known = directory(policy(), person("hubspot", "78", "bo@example.com", "Bo Li", active=False))
    assert known.why_not("bo@example.com", "salesforce", NOW) is None
    assert known.why_not("cem@example.com", "salesforce", NOW) == "Cem Kaya is inactive in people.csv"
    assert known.why_not("dana@example.com", "salesforce", NOW) == "Dana Fox starts on 2027-01-01"
    assert known.why_not("dana@example.com", "salesforce", datetime(2027, 1, 1, tzinfo=UTC)) is None
    assert known.why_not("bo@example.com", "hubspot", NOW) == "Bo Li's user is deactivated in HubSpot"
    assert "no active user in HubSpot" in str(
        known.why_not("dana@example.com", "hubspot", datetime(2027, 2, 1, tzinfo=UTC))
    )
    assert known.why_not("ext@elsewhere.example", "salesforce", NOW) == "Ext Ernal is not in people.csv"
    assert known.why_not("", "salesforce", NOW) == "nobody is named"


def test_a_user_named_in_people_csv_that_is_deactivated_gets_nothing() -> None:
    ours = person("salesforce", ANA_ID, "elsewhere@example.com", "Ana Diaz", active=False)
    named_alike = person("salesforce", "005OTHER", "ana@example.com", active=False)
    known = directory(policy(), ours)
    assert known.why_not("ana@example.com", "salesforce", NOW) == "Ana Diaz's user is deactivated in Salesforce"
    assert directory(policy(), named_alike).why_not("ana@example.com", "salesforce", NOW) is None, "another user's"


def test_of_two_users_with_one_e_mail_the_active_one_counts() -> None:
    known = directory(
        policy(), person("hubspot", "10", "bo@example.com", active=False), person("hubspot", "20", "bo@example.com")
    )
    assert known.crm_id("hubspot", "bo@example.com") == "20"
    assert known.key_of("hubspot", "10") == "bo@example.com"
    assert known.why_not("bo@example.com", "hubspot", NOW) is None


def test_in_a_file_people_are_written_by_name_or_e_mail() -> None:
    known = directory(policy())
    assert known.key_of(FILE, "ana diaz") == known.key_of(FILE, "ANA@example.com") == "ana@example.com"
    assert known.key_of(FILE, "Nobody Known") == ""
    assert known.crm_id(FILE, "ana@example.com") == "ana@example.com"
    assert known.why_not("ana@example.com", FILE, NOW) is None


def test_index_keys() -> None:
    assert keys(account("A", website="https://shop.acme.co.uk/x")) == frozenset()
    assert keys(lead(email=" ANA@acme.com")) == {("email", "ana@acme.com")}
    assert keys(lead(email=17)) == frozenset()
    deal = Record(system="salesforce", entity="opportunity", record_id="006", values={"account": "001"})
    assert keys(deal) == {("account", "001")}
    gone = Record(system="s", entity="lead", record_id="1", values={"email": "a@b.de"}, deleted=True)
    assert keys(gone) == frozenset()


def test_the_same_person_is_looked_for_by_the_whole_address() -> None:
    assert wanted(lead(email="Ana@mail.acme.com", website="acme.com")) == {("email", "ana@mail.acme.com")}
    assert wanted(account("A", website="acme.com")) == frozenset()
