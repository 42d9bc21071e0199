"""Converting leads and merging records: what SOAP alone can do, done once, and never over a person's head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from connectors.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectorError,
    MalformedAnswer,
    Misconfigured,
    PermissionDenied,
    RateLimited,
    RecordRejected,
    Transient,
)
from connectors.salesforce.connection import SalesforceConnection
from connectors.salesforce.soap import NotXml, parse
from connectors.sandbox.faults import Fault, FaultKind
from connectors.sandbox.ids import salesforce_id
from routing.core.model import Write
from routing.delivery import retrying
from routing.ledger.engine import Ledger
from tests.conftest import ManualClock
from tests.contract.delivering import Post
from tests.contract.salesforce_stand import ANA, BEN, SalesforceStand, salesforce_stand
from tests.contract.suites import write_of

ACME = salesforce_id("001", 1)


@pytest.fixture
def stand() -> Iterator[SalesforceStand]:
    with salesforce_stand() as stand:
        yield stand


@pytest.fixture
def connection(stand: SalesforceStand) -> Iterator[SalesforceConnection]:
    connection = stand.with_more()
    yield connection
    connection.close()


def join(kind: Any, entity: str, record_id: str, **fields: Any) -> Write:
    return Write(
        write_id=f"{kind}-{record_id}",
        decision_id="d",
        system="salesforce",
        entity=entity,
        record_id=record_id,
        fields=fields,
        guard={},
        kind=kind,
    )


def conversion(lead: str, **fields: Any) -> Write:
    return join("convert", "lead", lead, **{"account": ACME, "owner": ANA, **fields})


# Conversion


def test_a_lead_becomes_a_contact_of_its_account(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    lead = stand.create(
        {"first_name": "Zoë & <Co>", "last_name": "O'Hara\x0b", "email": "z@acme.example", "owner": BEN}
    )
    [result] = connection.write([conversion(lead)])
    assert result.error is None
    contact = stand.sandbox.record("Contact", result.record_id)
    assert contact is not None
    assert (contact["AccountId"], contact["OwnerId"], contact["FirstName"]) == (ACME, ANA, "Zoë & <Co>")
    row = stand.sandbox.record("Lead", lead)
    assert row is not None
    assert (row["IsConverted"], row["Status"]) == (True, "Closed - Converted")
    assert (row["ConvertedAccountId"], row["ConvertedContactId"]) == (ACME, contact["Id"])
    assert stand.sandbox.records("Opportunity") == []


def test_a_contact_that_is_there_is_taken_and_loses_nothing(
    stand: SalesforceStand, connection: SalesforceConnection
) -> None:
    there = stand.sandbox.create("Contact", {"LastName": "Doe", "AccountId": ACME, "OwnerId": BEN, "Title": "CEO"})
    lead = stand.create({"title": "Intern", "email": "doe@acme.example"})
    [result] = connection.write([conversion(lead, contact=there)])
    assert result.record_id == there
    contact = stand.sandbox.record("Contact", there)
    assert contact is not None
    assert (contact["Title"], contact["Email"], contact["OwnerId"]) == ("CEO", "doe@acme.example", BEN)
    assert len(stand.sandbox.records("Contact")) == 1


def test_each_conversion_is_judged_on_its_own(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    fine, wrong, gone = stand.create({}), stand.create({}), stand.create({})
    stand.delete(gone)
    elsewhere = salesforce_id("001", 99)
    results = connection.write(
        [conversion(fine), conversion(wrong, account=elsewhere), conversion(gone), write_of(stand, wrong, title="x")]
    )
    assert [one.error is None for one in results] == [True, False, True, True]
    assert isinstance(results[1].error, RecordRejected)
    assert "INVALID_CROSS_REFERENCE_KEY" in str(results[1].error)
    assert results[2].overtaken == "the lead was deleted or merged meanwhile"
    assert stand.held(wrong)["title"] == "x"


LOST: list[FaultKind] = [
    "timeout",
    "timeout_after_commit",
    "nonsense",
    "page",
    "broken",
    "broken_after_commit",
    "unavailable",
]


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("kind", LOST)
def test_whatever_goes_wrong_meanwhile_records_are_joined_once(
    stand: SalesforceStand,
    connection: SalesforceConnection,
    ledger: Ledger,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    kind: FaultKind,
    times: int,
) -> None:
    monkeypatch.setattr(retrying, "wait_as_asked", lambda _state: 0.0)
    lead, kept, gone, plain = (stand.create({"owner": ANA}) for _ in range(4))
    stand.connection = connection
    stand.faults.add(Fault(system="salesforce", operation="soap", kind=kind, times=times))
    change = write_of(stand, plain, title="new")
    fates = Post(stand, ledger, clock).deliver(conversion(lead), join("merge", "lead", gone, into=kept), change)
    assert sum(one.times for one in stand.faults.all()) < times  # it did go wrong
    assert [state for state, _ in fates] == ["confirmed"] * 3
    [contact] = stand.sandbox.records("Contact")
    assert contact["Id"] in fates[0][1]
    assert stand.sandbox.record("Lead", gone) is None
    assert stand.times_written(plain) == 1


@pytest.mark.parametrize(("kind", "contacts"), [("timeout", 0), ("timeout_after_commit", 1)])
def test_a_conversion_whose_answer_was_lost_is_done_once(
    stand: SalesforceStand, connection: SalesforceConnection, kind: Any, contacts: int
) -> None:
    lead = stand.create({})
    stand.faults.add(Fault(system="salesforce", operation="soap", kind=kind))
    with pytest.raises(Transient) as caught:
        connection.write([conversion(lead)])
    assert caught.value.outcome_unknown
    assert len(stand.sandbox.records("Contact")) == contacts
    [result] = connection.write([conversion(lead)])
    [contact] = stand.sandbox.records("Contact")
    assert (result.error, result.record_id) == (None, contact["Id"])


def test_what_a_person_converted_meanwhile_stays_as_they_did_it(
    stand: SalesforceStand, connection: SalesforceConnection
) -> None:
    other = stand.sandbox.create("Account", {"Name": "Other"})
    lead, same = stand.create({}), stand.create({})
    contact = stand.sandbox.convert(lead, other)
    mine = stand.sandbox.convert(same, ACME)
    results = connection.write([conversion(lead), conversion(same)])
    assert results[0].overtaken == f"somebody converted it to the contact {contact} of the account {other}"
    assert (results[1].overtaken, results[1].record_id) == ("", mine)
    assert len(stand.sandbox.records("Contact")) == 2


def test_who_may_not_convert_or_merge_is_told_so(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    lead, other = stand.create({}), stand.create({})
    stand.sandbox.forbid_conversions()
    stand.sandbox.forbid_deletions("Lead")
    results = connection.write([conversion(lead), join("merge", "lead", other, into=lead)])
    assert [type(result.error) for result in results] == [PermissionDenied, PermissionDenied]
    assert stand.held(other)


def test_a_lead_of_a_queue_needs_an_owner(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    lead = stand.create({})
    stand.sandbox.update("Lead", lead, {"OwnerId": stand.sandbox.add_queue("Inbox", ["Lead"])})
    [refused] = connection.write([conversion(lead, owner="")])
    assert isinstance(refused.error, RecordRejected)
    assert "specify a user" in str(refused.error)
    assert connection.write([conversion(lead)])[0].error is None


def test_an_expired_session_is_renewed_and_a_conversion_happens_once(
    stand: SalesforceStand, connection: SalesforceConnection
) -> None:
    lead = stand.create({})
    stand.faults.add(Fault(system="salesforce", operation="soap", kind="expired_session"))
    assert connection.write([conversion(lead)])[0].error is None
    assert len(stand.sandbox.records("Contact")) == 1


@pytest.mark.parametrize(
    ("kind", "error", "unknown"),
    [
        ("unavailable", Transient, False),
        ("broken", Transient, True),
        ("rate_limited", RateLimited, False),
    ],
)
def test_a_fault_is_told_in_our_terms(
    stand: SalesforceStand, connection: SalesforceConnection, kind: Any, error: type[ConnectorError], unknown: bool
) -> None:
    lead = stand.create({})
    stand.faults.add(Fault(system="salesforce", operation="soap", kind=kind, retry_after=7))
    with pytest.raises(error) as caught:
        connection.write([conversion(lead)])
    assert (caught.value.outcome_unknown, caught.value.retry_after) == (unknown, 7)


def test_locked_records_are_a_conflict_of_those(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    leads = [stand.create({}) for _ in range(4)]
    stand.faults.add(Fault(system="salesforce", operation="soap", kind="lock", share=0.5))
    errors = [one.error for one in connection.write([conversion(lead) for lead in leads])]
    assert [type(error) for error in errors] == [Conflict, type(None), Conflict, type(None)]


def test_an_org_without_a_converted_status_is_told_where_to_set_it(
    stand: SalesforceStand, connection: SalesforceConnection
) -> None:
    for row in stand.sandbox.records("LeadStatus"):
        stand.sandbox.update("LeadStatus", row["Id"], {"IsConverted": False})
    with pytest.raises(Misconfigured, match="Tick Converted"):
        connection.write([conversion(stand.create({}))])


def test_a_hundred_leads_take_two_calls(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    connection.write([conversion(stand.create({}))])  # logs in, and asks what converted leads are called
    before = stand.sandbox.api_requests
    results = connection.write([conversion(stand.create({})) for _ in range(100)])
    assert all(one.error is None and one.record_id for one in results)
    assert stand.sandbox.api_requests - before == 2


def test_no_duplicate_contact_where_a_rule_blocks_it(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    stand.sandbox.create("Contact", {"LastName": "Doe", "Email": "d@acme.example"})
    stand.sandbox.add_duplicate_rule("Contact", "Email", blocks=True)
    [result] = connection.write([conversion(stand.create({"email": "d@acme.example"}))])
    assert isinstance(result.error, RecordRejected)
    assert result.error.code == "DUPLICATES_DETECTED"


# Merges


def test_duplicates_go_into_the_master_with_what_hangs_on_them(
    stand: SalesforceStand, connection: SalesforceConnection
) -> None:
    master, *others = (stand.create({"title": title, "city": "Rome"}) for title in ("CEO", "CTO", "CFO"))
    task = stand.sandbox.create("Task", {"Subject": "Call", "WhoId": others[0], "OwnerId": ANA})
    merge = join("merge", "lead", master, merged=others, title="Chief <1>", city=None, opted_out=True)
    [result] = connection.write([merge])
    assert (result.error, result.record_id) == (None, master)
    held = stand.held(master)
    assert (held["title"], held["city"], held["opted_out"]) == ("Chief <1>", None, True)
    assert [row["Id"] for row in stand.sandbox.records("Lead")] == [master]
    assert (stand.sandbox.record("Task", task) or {})["WhoId"] == master


def test_an_opportunity_is_made_only_where_it_is_asked_for(
    stand: SalesforceStand, connection: SalesforceConnection
) -> None:
    without, lead = stand.create({}), stand.create({"company": "Nova AG"})
    results = connection.write([conversion(without), conversion(lead, opportunity=True)])
    assert [result.error for result in results] == [None, None]
    [deal] = stand.sandbox.records("Opportunity")
    assert (deal["Name"], deal["AccountId"], deal["OwnerId"]) == ("Nova AG", ACME, ANA)
    assert (stand.sandbox.record("Lead", lead) or {})["ConvertedOpportunityId"] == deal["Id"]
    [again] = connection.write([conversion(lead, opportunity=True)])
    assert again.error is None
    assert len(stand.sandbox.records("Opportunity")) == 1


@pytest.mark.parametrize("kind", ["timeout", "timeout_after_commit"])
def test_a_merge_whose_answer_was_lost_is_done_once(
    stand: SalesforceStand, connection: SalesforceConnection, kind: Any
) -> None:
    master, other = stand.create({"title": "CEO"}), stand.create({})
    merge = join("merge", "lead", master, merged=[other])
    stand.faults.add(Fault(system="salesforce", operation="soap", kind=kind))
    with pytest.raises(Transient):
        connection.write([merge])
    [result] = connection.write([merge])
    assert (result.error, result.record_id) == (None, master)
    assert [one.kind for one in stand.sandbox.history("Lead", other)] == ["create", "delete"]
    assert stand.held(master)["title"] == "CEO"


def test_a_lead_goes_into_another_and_what_only_it_has_is_kept(
    stand: SalesforceStand, connection: SalesforceConnection
) -> None:
    older = stand.create({"title": "CEO", "opted_out": True})
    newer = stand.create({"title": "CTO", "city": "Röm & <Co>", "employees": 12, "opted_out": False})
    [result] = connection.write([join("merge", "lead", newer, into=older)])
    assert (result.error, result.record_id) == (None, older)
    held = stand.held(older)
    kept = {name: held[name] for name in ("title", "opted_out", "city", "employees")}
    assert kept == {"title": "CEO", "opted_out": True, "city": "Röm & <Co>", "employees": 12}
    assert [row["Id"] for row in stand.sandbox.records("Lead")] == [older]
    [again] = connection.write([join("merge", "lead", newer, into=older)])
    assert (again.error, again.record_id, again.overtaken) == (None, older, "")


def test_what_was_converted_meanwhile_is_not_merged(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    one, other, third = (stand.create({}) for _ in range(3))
    stand.sandbox.convert(one, ACME)
    results = connection.write([join("merge", "lead", other, into=one), join("merge", "lead", third, merged=[one])])
    assert [result.overtaken for result in results] == ["the lead was converted meanwhile"] * 2
    assert stand.held(other)
    assert stand.held(third)


def test_a_merge_that_came_too_late_changes_nothing(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    master, other, third = (stand.create({}) for _ in range(3))
    stand.delete(other)
    [late] = connection.write([join("merge", "lead", master, merged=[other])])
    assert late.overtaken == "what was to be merged was deleted meanwhile"
    stand.delete(master)
    [gone] = connection.write([join("merge", "lead", master, merged=[third])])
    assert gone.overtaken == "the lead was deleted or merged meanwhile"
    assert stand.held(third)


@pytest.mark.parametrize("kind", ["into", "merged", "convert"])
@pytest.mark.parametrize("changes", ["own", "other"])
def test_a_person_who_changes_either_of_the_two_right_before_is_not_overruled(
    stand: SalesforceStand, connection: SalesforceConnection, kind: str, changes: str
) -> None:
    """Other writes of the batch go before: the courier's own look is seconds old by then."""
    kept, gone = (stand.create({"email": "z@acme.example", "owner": ANA}) for _ in range(2))
    fields = {"account": ACME, "owner": ANA} if kind == "convert" else {kind: kept if kind == "into" else [kept]}
    fields |= {} if kind == "convert" else {"seen": {"owner": [BEN, ANA], "email": ["z@acme.example"]}}
    write = msgspec.structs.replace(
        join("convert" if kind == "convert" else "merge", "lead", gone, **fields), still={"owner": ANA}
    )
    changed = {"own": gone, "other": kept}[changes]
    stand.change(changed, {"owner": BEN} if changes == "own" else {"email": "other@acme.example"})
    [result] = connection.write([write])
    if kind == "convert" and changes == "other":
        assert result.error is None
        return
    said = f"lead {changed}: {'owner' if changes == 'own' else 'email'} is now "
    assert result.overtaken.startswith(said)
    assert stand.person in result.overtaken
    rows = [stand.sandbox.record("Lead", one) for one in (kept, gone)]
    assert [row is not None and not row["IsConverted"] for row in rows] == [True, True]


def test_whom_we_gave_the_other_record_meanwhile_is_no_reason_not_to_merge(
    stand: SalesforceStand, connection: SalesforceConnection
) -> None:
    kept, gone = (stand.create({"email": "z@acme.example", "owner": ANA}) for _ in range(2))
    [result] = connection.write(
        [join("merge", "lead", gone, into=kept, seen={"owner": [BEN, ANA], "email": [" Z@Acme.example"]})]
    )
    assert (result.error, result.record_id) == (None, kept)


def test_accounts_and_contacts_are_merged_but_nothing_else(
    stand: SalesforceStand, connection: SalesforceConnection
) -> None:
    double = stand.sandbox.create("Account", {"Name": "Acme Inc"})
    contact = stand.sandbox.create("Contact", {"LastName": "Doe", "AccountId": double})
    deal = salesforce_id("a00", 1)
    results = connection.write(
        [join("merge", "account", ACME, merged=[double]), join("merge", "deal", deal, merged=[deal])]
    )
    assert results[0].error is None
    assert (stand.sandbox.record("Contact", contact) or {})["AccountId"] == ACME
    assert isinstance(results[1].error, Misconfigured)


def test_a_master_that_may_not_be_written_keeps_the_others(
    stand: SalesforceStand, connection: SalesforceConnection
) -> None:
    master, other = stand.create({}), stand.create({})
    stand.sandbox.forbid("Lead", "Title")
    [refused] = connection.write([join("merge", "lead", master, merged=[other], title="x")])
    assert refused.error is not None
    assert refused.error.code == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert stand.held(other)


# The door itself


def test_a_login_that_is_refused_again_is_told(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    lead = stand.create({})
    stand.faults.add(Fault(system="salesforce", operation="soap", kind="expired_session", times=2))
    with pytest.raises(AuthenticationFailed):
        connection.write([conversion(lead)])
    assert stand.sandbox.records("Contact") == []


def test_the_days_calls_are_heard_from_soap_too(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    connection.write([conversion(stand.create({}))])
    spent = connection.spent
    assert spent is not None
    assert spent.used == stand.sandbox.api_requests


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<a>&x;</a>",
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'.encode("utf-16"),
    ],
)
def test_what_declares_entities_or_is_no_xml_is_not_read(body: bytes) -> None:
    with pytest.raises(NotXml):
        parse(body)


def test_an_answer_that_is_no_soap_leaves_the_outcome_open(
    stand: SalesforceStand, connection: SalesforceConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = stand.create({})
    connection.write([conversion(stand.create({}))])
    monkeypatch.setattr("connectors.salesforce.soap.parse", lambda body: parse(b"<html>" + body[:0]))
    with pytest.raises(MalformedAnswer) as caught:
        connection.write([conversion(lead)])
    assert caught.value.outcome_unknown
