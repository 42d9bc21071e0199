"""Writing to Salesforce: creations, owners of every kind, duplicate rules, locks, budget; on the days that go wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from connectors.contract import Finding
from connectors.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectorError,
    Misconfigured,
    OwnerRefused,
    PermissionDenied,
    RateLimited,
    RecordRejected,
    Transient,
)
from connectors.salesforce import soap
from connectors.salesforce.budget import SHORT, Urgency
from connectors.salesforce.connection import SalesforceConnection
from connectors.salesforce.settings import Secret
from connectors.sandbox.faults import Fault, FaultKind
from connectors.sandbox.ids import salesforce_id
from routing.core.model import EntityMap, Write
from routing.delivery import retrying
from routing.ledger.engine import Ledger
from routing.runtime.clock import utcnow
from tests.conftest import ManualClock
from tests.contract.delivering import Post
from tests.contract.salesforce_stand import ANA, BEN, LEAD, ZOE, SalesforceStand, salesforce_stand
from tests.contract.suites import write_of

ACME = salesforce_id("001", 1)
DEAL = salesforce_id("a00", 1)


@pytest.fixture
def stand() -> Iterator[SalesforceStand]:
    with salesforce_stand() as stand:
        yield stand


def change(entity: str, record_id: str, **fields: Any) -> Write:
    return Write(
        write_id=f"w-{record_id}",
        decision_id="d",
        system="salesforce",
        entity=entity,
        record_id=record_id,
        fields=fields,
        guard={},
    )


def creation(what: str, about: tuple[str, str] | None = None, number: int = 1, **fields: Any) -> Write:
    write_id = f"{what}-{number}"
    if about is not None:
        fields |= {"about_entity": about[0], "about": about[1]}
    return Write(
        write_id=write_id,
        decision_id="d",
        system="salesforce",
        entity=what,
        record_id=write_id,
        fields=fields,
        guard={},
        kind="create",
    )


# Creations


def test_a_task_is_made_about_a_lead_with_its_reminder(stand: SalesforceStand) -> None:
    lead = stand.create({})
    task = creation(
        "task",
        ("lead", lead),
        subject="Call back",
        owner=ANA,
        note="Asked for a price",
        due="2026-11-30T10:00:00.000Z",
        priority="high",
    )
    [result] = stand.connection.write([task])
    assert result.error is None
    row = stand.sandbox.record("Task", result.record_id)
    assert row is not None
    expected = {"WhoId": lead, "WhatId": None, "OwnerId": ANA, "Subject": "Call back", "ActivityDate": "2026-11-30"}
    assert {name: row[name] for name in expected} == expected
    assert (row["Status"], row["Priority"], row["IsReminderSet"]) == ("Not Started", "High", True)
    assert row["ReminderDateTime"] == "2026-11-30T10:00:00.000+0000"
    assert row["Description"] == "Asked for a price\nFingerpost task-1"


def test_a_task_about_an_account_hangs_on_it(stand: SalesforceStand) -> None:
    [result] = stand.connection.write([creation("task", ("account", ACME), subject="Greet", owner=BEN)])
    row = stand.sandbox.record("Task", result.record_id)
    assert row is not None
    assert (row["WhatId"], row["WhoId"]) == (ACME, None)


@pytest.mark.parametrize(("kind", "made"), [("timeout", 0), ("timeout_after_commit", 2)])
def test_a_creation_without_an_answer_is_found_again(stand: SalesforceStand, kind: Any, made: int) -> None:
    lead = stand.create({})
    tasks = [creation("task", ("lead", lead), number=n, subject="Call", owner=ANA) for n in range(2)]
    stand.connection.user_id  # noqa: B018 - logged in
    owed = utcnow()
    assert stand.connection.write([creation("task", ("lead", lead), 9, subject="Call", owner=ANA)])[0].error is None
    stand.faults.add(Fault(system="salesforce", operation="collections", kind=kind))
    with pytest.raises(ConnectorError) as caught:
        stand.connection.write(tasks)
    assert caught.value.outcome_unknown
    found = stand.connection.created(tasks, owed)
    assert set(found) == ({"task-0", "task-1"} if made else set())
    assert all(stand.sandbox.record("Task", one) for one in found.values())
    assert len(stand.sandbox.records("Task")) == 1 + made


def test_changes_and_creations_of_one_batch_are_judged_apart(stand: SalesforceStand) -> None:
    lead, gone = stand.create({"owner": ANA}), stand.create({})
    stand.delete(gone)
    stand.connection.write([write_of(stand, lead, owner=ANA)])  # Ana and Ben are known to be active from here on
    stand.connection.write([write_of(stand, lead, owner=BEN)])
    before = stand.sandbox.api_requests
    results = stand.connection.write(
        [
            creation("task", ("lead", lead), subject="Call", owner=BEN),
            write_of(stand, lead, owner=ANA),
            write_of(stand, gone, title="x"),
            creation("task", ("lead", lead), number=2, owner=BEN),
        ]
    )
    assert stand.sandbox.api_requests - before == 2
    assert [result.error is None for result in results] == [True, True, False, False]
    assert isinstance(results[2].error, RecordRejected)
    assert isinstance(results[3].error, Misconfigured)  # a task without a subject
    assert stand.held(lead)["owner"] == ANA


def test_what_became_of_the_changes_is_known_when_the_creations_have_no_answer(stand: SalesforceStand) -> None:
    lead = stand.create({"owner": ANA})
    stand.connection.write([write_of(stand, lead, owner=BEN)])
    stand.faults.add(Fault(system="salesforce", operation="collections", kind="timeout", times=1))
    results = stand.connection.write(
        [write_of(stand, lead, title="x"), creation("task", ("lead", lead), subject="Call", owner=BEN)]
    )
    assert results[0].error is not None  # the changes went first
    assert results[0].error.outcome_unknown
    assert results[1].error is None


def test_leads_and_contacts_are_made_and_refused_in_the_words_of_the_duplicate_rule(stand: SalesforceStand) -> None:
    connection = stand.with_more()
    stand.sandbox.add_duplicate_rule("Lead", blocks=True)
    stand.sandbox.add_duplicate_rule("Contact")
    there = stand.create({"email": "ana@acme.example"})
    contact = stand.sandbox.create("Contact", {"LastName": "Doe", "Email": "doe@acme.example"})
    results = connection.write(
        [
            creation("lead", last_name="Roe", company="Acme", email="ANA@acme.example", owner=BEN),
            creation("lead", number=2, last_name="Roe", company="Acme", email="roe@acme.example", owner=BEN),
            creation("contact", number=3, last_name="Doe", account=ACME, email="doe@acme.example", owner=BEN),
        ]
    )
    refused = results[0].error
    assert isinstance(refused, RecordRejected)
    assert refused.code == "DUPLICATES_DETECTED"
    assert there in str(refused)  # where to look
    assert "acme.example" not in str(refused)
    assert results[1].error is None
    assert results[2].error is None  # a rule that only alerts does not stop us
    assert stand.sandbox.record("Contact", results[2].record_id) != stand.sandbox.record("Contact", contact)
    strict = stand.with_more(save_despite_alerts=False)
    [result] = strict.write([creation("contact", number=4, last_name="Doe", email="doe@acme.example", owner=BEN)])
    assert isinstance(result.error, RecordRejected)
    for one in (connection, strict):
        one.close()


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize(
    "kind", ["timeout", "timeout_after_commit", "nonsense", "page", "broken", "broken_after_commit"]
)
def test_whatever_goes_wrong_meanwhile_each_is_made_once(
    stand: SalesforceStand,
    ledger: Ledger,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    kind: FaultKind,
    times: int,
) -> None:
    monkeypatch.setattr(retrying, "wait_as_asked", lambda _state: 0.0)
    campaign = stand.sandbox.create("Campaign", {"Name": "Fair"})
    leads = [stand.create({}) for _ in range(2)]
    writes = [
        *(creation("campaign_member", ("lead", one), n, campaign=campaign) for n, one in enumerate(leads)),
        *(creation("task", ("lead", one), n, subject="Call", owner=ANA) for n, one in enumerate(leads)),
        creation("lead", None, 1, last_name="Doe", company="Acme"),
    ]
    stand.faults.add(Fault(system="salesforce", operation="collections", kind=kind, times=times))
    fates = Post(stand, ledger, clock).deliver(*writes)
    assert sum(one.times for one in stand.faults.all()) < times  # it did go wrong
    assert [state for state, _ in fates] == ["confirmed"] * 5
    made = [len(stand.sandbox.records(name)) for name in ("CampaignMember", "Task", "Lead")]
    assert made == [2, 2, 3]


def test_a_campaign_member_is_made_once(stand: SalesforceStand) -> None:
    campaign = stand.sandbox.create("Campaign", {"Name": "Fair"})
    lead = stand.create({})
    member = creation("campaign_member", ("lead", lead), campaign=campaign, status="Sent")
    assert stand.connection.created([member], utcnow()) == {}
    first, again = stand.connection.write([member])[0], stand.connection.write([member])[0]
    assert first.error is None
    assert again.error is None  # it is one already: that is what we want
    assert stand.connection.created([member], utcnow()) == {member.write_id: first.record_id}
    assert [row["LeadId"] for row in stand.sandbox.records("CampaignMember")] == [lead]


def test_what_cannot_be_made_is_a_setting(stand: SalesforceStand) -> None:
    lead = stand.create({})
    before = stand.sandbox.api_requests
    results = stand.connection.write(
        [
            creation("invoice", amount=1),
            creation("lead", number=2, shoe_size=44),
            creation("campaign_member", ("account", ACME), number=3, campaign="701"),
            creation("task", ("lead", lead), number=4, subject="x", colour="red"),
        ]
    )
    assert all(isinstance(result.error, Misconfigured) for result in results)
    assert stand.sandbox.api_requests == before


# Owners


def test_every_kind_of_record_changes_its_owner_in_one_call(stand: SalesforceStand) -> None:
    sandbox, connection = stand.sandbox, stand.with_more()
    made = {
        "lead": ("Lead", stand.create({"owner": ANA})),
        "contact": ("Contact", sandbox.create("Contact", {"LastName": "Doe", "OwnerId": ANA})),
        "account": ("Account", ACME),
        "opportunity": (
            "Opportunity",
            sandbox.create("Opportunity", {"Name": "x", "StageName": "New", "CloseDate": "2027-01-01", "OwnerId": ANA}),
        ),
        "case": ("Case", sandbox.create("Case", {"Subject": "x", "OwnerId": ANA})),
        "deal": ("Deal__c", DEAL),
    }
    connection.read("person", [BEN], ["active"])
    before = sandbox.api_requests
    results = connection.write([change(entity, record_id, owner=BEN) for entity, (_, record_id) in made.items()])
    assert [result.error for result in results] == [None] * len(made)
    assert sandbox.api_requests - before == 2  # one of them asked whether Ben is active
    for name, record_id in made.values():
        row = sandbox.record(name, record_id)
        assert row is not None
        assert row["OwnerId"] == BEN
    connection.close()


def test_a_queue_owns_only_what_it_takes(stand: SalesforceStand) -> None:
    connection = stand.with_more()
    queue = stand.sandbox.add_queue("Inbound", ["Lead", "Case"])
    lead = stand.create({"owner": ANA})
    results = connection.write([change("lead", lead, owner=queue), change("deal", DEAL, owner=queue)])
    assert results[0].error is None
    assert stand.held(lead)["owner"] == queue
    assert isinstance(results[1].error, RecordRejected)
    assert "Case, Lead" in str(results[1].error)
    # Nothing of a refusal is remembered: what the administrator puts right counts at once.
    stand.sandbox.create("QueueSobject", {"QueueId": queue, "SobjectType": "Deal__c"})
    assert connection.write([change("deal", DEAL, owner=queue)])[0].error is None
    connection.close()


def test_a_queue_that_is_not_there_is_told_from_one_that_takes_other_things(stand: SalesforceStand) -> None:
    cases, empty = stand.sandbox.add_queue("Cases", ["Case"]), stand.sandbox.add_queue("Empty", [])
    lead, gone = stand.create({"owner": ANA}), "00GFp000009999AAAA"
    said = [str(stand.connection.write([write_of(stand, lead, owner=one)])[0].error) for one in (gone, cases, empty)]
    assert f"Salesforce has no queue {gone}" in said[0]
    assert "engagement.yaml" in said[0]
    assert f"{cases} takes no Lead (it takes Case)" in said[1]
    assert f"{empty} takes no Lead (it takes nothing)" in said[2]
    assert stand.held(lead)["owner"] == ANA


def test_doctor_looks_at_each_queue_that_the_policy_names(stand: SalesforceStand) -> None:
    ids = {
        "Intake": stand.sandbox.add_queue("Intake", ["Lead"]),
        "Support": stand.sandbox.add_queue("Cases", ["Case"]),
        "Gone": "00GFp000009999AAAA",
        "Typo": "Intake",
    }

    def found(cases: Mapping[str, str] = {}, **queues: str) -> Finding:
        case = EntityMap("salesforce", "case", "Case", {"number": "CaseNumber"}, {"number": "text"})
        maps = {"lead": msgspec.structs.replace(LEAD, queues=queues)}
        maps |= {"case": msgspec.structs.replace(case, queues=dict(cases))} if cases else {}
        connection = SalesforceConnection(stand.connection.settings, lambda: maps, utcnow)
        [finding] = [one for one in connection.check() if one.check == "queues"]
        connection.close()
        return finding

    assert found(Intake=ids["Intake"]).ok
    assert found({"Support": ids["Support"]}, Intake=ids["Intake"]).ok
    both = found(
        {"Intake": ids["Intake"]}, Intake=ids["Intake"]
    )  # it takes something that is routed, but not all that is sent there
    assert (both.ok, f"Intake ({ids['Intake']}) takes Lead, and no Case, which" in both.detail) == (False, True)
    wrong = found(**ids)
    assert not wrong.ok
    assert "engagement.yaml" in wrong.advice
    assert wrong.detail == (
        f"Gone ({ids['Gone']}) is no queue of this org; Typo (Intake) is no queue of this org; "
        f"Support ({ids['Support']}) takes Case, and no Lead, which the policy sends there"
    )


def test_an_inactive_owner_is_found_before_anything_is_sent(stand: SalesforceStand) -> None:
    lead, other = stand.create({"owner": ANA}), stand.create({"owner": ANA})
    results = stand.connection.write([write_of(stand, lead, owner=ZOE), write_of(stand, other, owner=BEN)])
    assert isinstance(results[0].error, OwnerRefused)  # so that somebody else is found
    assert results[0].error.code == "INACTIVE_OWNER_OR_USER"
    assert not results[0].error.outcome_unknown
    assert results[1].error is None
    before = stand.sandbox.api_requests
    [fine] = stand.connection.write([write_of(stand, other, owner=BEN)])
    assert (fine.error, stand.sandbox.api_requests) == (None, before + 1)  # that Ben is fine is known by now
    # Whoever is activated may own records at once.
    stand.sandbox.update("User", ZOE, {"IsActive": True})
    [again] = stand.connection.write([write_of(stand, lead, owner=ZOE)])
    assert again.error is None
    assert stand.held(lead)["owner"] == ZOE


def test_a_flow_that_takes_the_lead_back_is_left_to_the_change_events(stand: SalesforceStand) -> None:
    stand.sandbox.add_flow(stand.sandbox.assignment_rule_owner_id)
    lead = stand.create({"owner": ANA})
    assert stand.connection.write([write_of(stand, lead, owner=BEN)])[0].error is None
    assert stand.held(lead)["owner"] == stand.sandbox.assignment_rule_owner_id
    [finding] = [one for one in stand.connection.check() if one.check == "flows"]
    assert "Give_leads_back on Lead" in finding.detail
    assert finding.advice


# Locks, permissions


def test_a_locked_parent_is_a_conflict_of_what_is_below_it(stand: SalesforceStand) -> None:
    connection = stand.with_more()
    contacts = [stand.sandbox.create("Contact", {"LastName": str(n), "AccountId": ACME}) for n in range(2)]
    free = stand.sandbox.create("Contact", {"LastName": "free"})
    stand.sandbox.lock(ACME, times=2)
    writes = [change("contact", one, last_name="new") for one in (contacts[0], free, contacts[1])]
    results = connection.write(writes)
    assert [type(result.error) for result in results] == [Conflict, type(None), Conflict]
    assert all(result.error is None for result in connection.write(writes))
    connection.close()


def test_a_field_that_was_taken_away_while_we_ran_is_named(stand: SalesforceStand) -> None:
    lead = stand.create({"title": "x", "company": "c"})
    stand.sandbox.revoke("Lead", "Title")
    assert stand.connection.read("lead", [lead], ["title", "company"])[lead].values == {"company": "c"}
    [result] = stand.connection.write([write_of(stand, lead, title="y")])
    assert isinstance(result.error, Misconfigured)
    stand.sandbox.forbid("Lead", "OwnerId")
    [result] = stand.connection.write([write_of(stand, lead, owner=BEN)])
    assert isinstance(result.error, PermissionDenied)
    found = {finding.check: finding for finding in stand.connection.check()}
    assert "Title" in found["fields of Lead"].detail


# The day's calls


def test_the_last_calls_of_the_day_are_left_to_people(stand: SalesforceStand) -> None:
    lead = stand.create({"owner": ANA})
    stand.connection.read("lead", [lead], ["owner"])
    stand.sandbox.use_up(895, limit=1000)
    stand.connection.read("lead", [lead], ["owner"])
    stand.sandbox.use_up(900)
    stand.connection.read("lead", [lead], ["owner"])  # this one hears that the reserve is reached
    before = stand.sandbox.api_requests
    with pytest.raises(RateLimited, match="are for people"):
        stand.connection.read("lead", [lead], ["owner"])
    [result] = stand.connection.write([write_of(stand, lead, title="x")])
    assert isinstance(result.error, RateLimited)
    assert "are for people" in str(result.error)
    assert not result.error.outcome_unknown
    assert 0 < (result.error.retry_after or 0) <= 300
    assert stand.sandbox.api_requests == before


def test_when_our_share_runs_short_urgent_writes_go_first(stand: SalesforceStand) -> None:
    stand.sandbox.use_up(0, limit=200)
    connection = stand.connect(daily_share=0.1)  # 20 calls
    leads = [stand.create({"owner": ANA}) for _ in range(2)]
    connection.write([write_of(stand, leads[0], owner=BEN)])
    while connection.spent is not None and connection.spent.ours < 18:
        connection.read("lead", leads, ["owner"])
    with pytest.raises(RateLimited, match="daily share"):
        list(connection.backfill(["lead"]))
    [put_off] = connection.write([write_of(stand, leads[0], title="x")])
    assert isinstance(put_off.error, RateLimited)
    assert (put_off.error.retry_after or 0) > 0
    assert connection.write([write_of(stand, leads[1], owner=BEN)])[0].error is None
    connection.close()


def test_the_orgs_own_limit_is_a_limit(stand: SalesforceStand) -> None:
    lead = stand.create({})
    stand.connection.user_id  # noqa: B018 - logged in
    stand.sandbox.use_up(5000, limit=5000)
    for _ in range(2):  # Salesforce refuses the first, we ourselves the second
        with pytest.raises(RateLimited):
            stand.connection.read("lead", [lead], ["owner"])


# Logging in, and doctor


def test_a_user_of_a_sandbox_org_logs_in_by_password(stand: SalesforceStand) -> None:
    whole = stand.sandbox.sessions.password
    given = {"auth": "password", "username": stand.sandbox.username, "password": Secret(whole[:-13])}
    connection = stand.connect(**given, security_token=Secret(whole[-13:]))
    assert connection.user_id == stand.sandbox.integration_user_id
    wrong = stand.connect(**given, security_token=Secret("wrong"))
    with pytest.raises(AuthenticationFailed) as caught:
        wrong.user_id  # noqa: B018
    assert whole[:-13] not in str(caught.value)
    connection.close()
    wrong.close()


def test_doctor_tells_what_the_policy_joins_and_the_user_may_not(stand: SalesforceStand) -> None:
    lead = msgspec.structs.replace(LEAD, does=frozenset({"convert", "merge"}))
    connection = SalesforceConnection(stand.settings(), lambda: {"lead": lead}, utcnow)
    assert all(finding.ok for finding in connection.check())
    stand.sandbox.forbid_conversions()
    found = {finding.check: finding for finding in connection.check()}
    assert not found["conversions"].ok
    assert "Convert Leads" in found["conversions"].advice
    stand.sandbox.forbid_deletions("Lead")
    found = {finding.check: finding for finding in connection.check()}
    assert "may not delete them" in found["fields of Lead"].detail
    plain = {finding.check: finding for finding in stand.connection.check()}
    assert "conversions" not in plain
    assert plain["fields of Lead"].ok
    connection.close()


def test_doctor_tells_what_the_policy_makes_and_the_user_may_not(stand: SalesforceStand) -> None:
    lead = msgspec.structs.replace(LEAD, does=frozenset({"convert", "opportunity", "task"}))
    connection = SalesforceConnection(stand.settings(), lambda: {"lead": lead}, utcnow)
    assert all(finding.ok for finding in connection.check())
    stand.sandbox.forbid_creations("Opportunity")
    stand.sandbox.forbid("Task", "ActivityDate")
    wrong = {finding.check: finding for finding in connection.check() if not finding.ok}
    assert set(wrong) == {"creating Opportunity records", "creating Task records"}
    assert "Create on the object" in wrong["creating Opportunity records"].advice
    assert wrong["creating Task records"].detail.endswith("by the integration user: ActivityDate")
    plain = [finding.check for finding in stand.connection.check()]
    assert not any(check.startswith("creating") for check in plain), "the policy has none made"
    connection.close()


def test_doctor_tells_of_what_is_not_heard_and_what_fights_us(stand: SalesforceStand) -> None:
    connection = stand.with_more()
    rule = {"Name": "Standard", "SobjectType": "Lead", "Active": True}
    stand.sandbox.create("AssignmentRule", rule)
    stand.sandbox.add_duplicate_rule("Lead")
    stand.sandbox.deselect("Deal__c")
    found = {finding.check: finding for finding in connection.check()}
    assert not found["change events selected"].ok
    assert "Deal__c" in found["change events selected"].detail
    assert "active: Standard on Lead" in found["assignment rules"].detail
    assert "active: Same_Email on Lead" in found["duplicate rules"].detail
    assert "of a day's are ours at most" in found["limits"].detail
    connection.close()


def sets(about: str, field: str, **start: str) -> dict[str, Any]:
    """The metadata of a flow."""
    update = {"inputReference": "$Record", "inputAssignments": [{"field": field, "value": {"stringValue": "x"}}]}
    return {"start": {"object": about, "recordTriggerType": "CreateAndUpdate", **start}, "recordUpdates": [update]}


def test_doctor_knows_flows_by_what_they_do(stand: SalesforceStand) -> None:
    """By API names: the label of Lead is another one in this org, and Setup refers to custom objects by their ids."""
    connection = stand.with_more()
    org = stand.sandbox
    org.run_flow("Not_ours", "Campaign", sets("Campaign", "Name"))
    org.run_flow("Harmless", "Lead", sets("Lead", "Fax"))
    org.run_flow("Greets", "Lead", sets("Lead", "OwnerId", recordTriggerType="Create"))
    org.run_flow("Polite", "Lead", sets("Lead", "OwnerId", filterFormula="{!$User.Id} != '005'"))
    finding = {one.check: one for one in connection.check()}["flows"]
    assert finding.ok
    assert finding.detail.endswith(
        "Greets on Lead (only of new ones), Harmless on Lead, Polite on Lead (asks who saves)"
    )
    org.run_flow("Routes_too", "Lead", sets("Lead", "OwnerId"))
    org.run_flow("Values_deals", "Deal__c", sets("Deal__c", "Stage__c"))
    finding = {one.check: one for one in connection.check()}["flows"]
    assert not finding.ok
    assert "Routes_too sets OwnerId of Lead; Values_deals sets Stage__c of Deal__c. All" in finding.detail
    assert "Harmless on Lead" in finding.detail
    assert "Not_ours" not in finding.detail
    assert "$User.Id" in finding.advice
    connection.close()


def test_doctor_knows_workflow_rules_by_the_fields_that_they_update(stand: SalesforceStand) -> None:
    connection = stand.with_more()
    org = stand.sandbox
    org.run_rule("Not_ours", "Campaign", "Name")
    org.run_rule("Asleep", "Lead", "OwnerId", active=False)
    org.run_rule("Harmless", "Lead", "Fax")
    org.run_rule("Greets", "Lead", "OwnerId", triggerType="onCreateOnly")
    org.run_rule("Polite", "Lead", "OwnerId", criteriaItems=[{"field": "User.Username", "operation": "notEqual"}])
    finding = {one.check: one for one in connection.check()}["workflow rules"]
    assert finding.ok
    assert finding.detail.endswith(
        "Greets on Lead (only of new ones), Harmless on Lead, Polite on Lead (asks who saves)"
    )
    org.run_rule("Values_deals", "Deal__c", "Stage__c")
    later = {"actions": [], "workflowTimeTriggers": [{"actions": [{"name": "Later_OwnerId", "type": "FieldUpdate"}]}]}
    org.run_rule("Later", "Lead", "OwnerId", **later)
    finding = {one.check: one for one in connection.check()}["workflow rules"]
    assert not finding.ok
    assert finding.detail.startswith(
        "what we write is written by workflow rules too: Later sets OwnerId of Lead; Values_deals sets Stage__c of Deal__c."
    )
    org.revoke("WorkflowFieldUpdate", "FullName")
    unseen = {one.check: one for one in connection.check()}["workflow rules"]
    assert (unseen.ok, unseen.looked) == (True, False)
    connection.close()


def test_doctor_names_triggers_and_validation_rules_of_mapped_objects(stand: SalesforceStand) -> None:
    connection = stand.with_more()
    org = stand.sandbox
    [deal] = [row["DurableId"] for row in org.records("EntityDefinition") if row["QualifiedApiName"] == "Deal__c"]
    for name, about in (("LeadTrigger", "Lead"), ("DealTrigger", deal), ("CampaignTrigger", "Campaign")):
        org.create("ApexTrigger", {"Name": name, "TableEnumOrId": about, "Status": "Active"})
        org.create("ApexTrigger", {"Name": f"Old{name}", "TableEnumOrId": about, "Status": "Inactive"})
    rule = {"ValidationName": "Has_a_country", "EntityDefinitionId": "Lead", "Active": True, "ErrorMessage": "Where?"}
    org.create("ValidationRule", rule)
    found = {finding.check: finding for finding in connection.check()}
    assert found["Apex triggers"].detail.endswith("by us: DealTrigger on Deal__c, LeadTrigger on Lead")
    assert found["validation rules"].detail.endswith("Has_a_country on Lead")
    assert all(found[check].ok and found[check].advice for check in ("Apex triggers", "validation rules"))
    connection.close()


def test_doctor_does_not_say_that_there_is_nothing_where_it_may_not_look(stand: SalesforceStand) -> None:
    for name, field in (("FlowDefinitionView", "ApiName"), ("DuplicateRule", "SobjectType"), ("ApexTrigger", "Name")):
        stand.sandbox.revoke(name, field)
    found = {finding.check: finding for finding in stand.connection.check()}
    for check in ("flows", "duplicate rules", "Apex triggers"):
        assert found[check].detail.startswith("not looked at: Salesforce answered 400 INVALID_FIELD")
        assert "View Setup" in found[check].advice


# Many at once


def test_many_records_are_looked_at_in_one_call_and_look_the_same_as_a_few(stand: SalesforceStand) -> None:
    made = [stand.create({"company": f"Acme {n}", "employees": n}) for n in range(205)]
    stand.delete(made[7])
    ids = [made[0][:15], *made[1:], stand.missing_id(), "no id"]
    fields = ["company", "employees", "owner"]
    few = {one: stand.connection.read("lead", [one], fields) for one in (*ids[:8], *ids[-3:])}
    before = stand.sandbox.api_requests
    found = stand.connection.read("lead", ids, fields)
    assert stand.sandbox.api_requests - before == 1
    assert len(found) == 204
    assert set(ids) - set(found) == {made[7], stand.missing_id(), "no id"}
    for one, alone in few.items():
        assert {one: found[one]} if one in found else alone == {}  # values, who changed it last, and when


def test_what_is_not_ours_to_see_is_told_whether_few_or_many_are_looked_at(stand: SalesforceStand) -> None:
    made = [stand.create({}) for _ in range(201)]
    stand.sandbox.revoke("Lead", "Company")
    for ids in (made[:1], made):
        found = stand.connection.read("lead", ids, ["company", "title"])
        assert (len(found), {name for one in found.values() for name in one.values}) == (len(ids), {"title"})
    assert next(stand.connection.backfill(["lead"]))[0].values.keys() == LEAD.fields.keys() - {"company"}
    stand.sandbox.allow("Lead", "Company")  # what comes back is noticed by the next question
    assert stand.connection.read("lead", made[:1], ["company"])[made[0]].values["company"]


def test_a_look_at_many_that_was_not_answered_left_nothing_undone(stand: SalesforceStand) -> None:
    made = [stand.create({}) for _ in range(201)]
    stand.connection.read("lead", made[:1], ["company"])
    stand.faults.add(Fault(system="salesforce", operation="query", kind="timeout"))
    with pytest.raises(Transient) as caught:
        stand.connection.read("lead", made, ["company"])
    assert not caught.value.outcome_unknown


def test_users_are_looked_at_in_any_number(stand: SalesforceStand) -> None:
    ids = [ANA, *(salesforce_id("005", 1000 + n) for n in range(250))]
    assert set(stand.connection.read("person", ids, ["name"])) == {ANA}


# Waits


def test_while_a_wait_lasts_nobody_logs_in_and_no_call_is_counted(stand: SalesforceStand) -> None:
    lead = stand.create({})
    stand.connection.read("lead", [lead], ["company"])
    stand.faults.add(Fault(system="salesforce", operation="query", kind="rate_limited", retry_after=60.0))
    with pytest.raises(RateLimited):
        stand.connection.read("lead", [lead], ["company"])
    spent = stand.connection.spent
    stand.connection.client._session = None
    calls = stand.connection.calls
    for _ in range(5):
        with pytest.raises(RateLimited, match="not over yet"):
            stand.connection.read("lead", [lead], ["company"])
    assert stand.connection.calls == calls
    assert stand.connection.spent == spent


@pytest.mark.parametrize("by", ["REST", "SOAP"])
def test_a_call_that_our_own_budget_puts_off_holds_up_no_other(stand: SalesforceStand, by: str) -> None:
    """An urgent call may still be made when no other may."""
    lead, client = stand.create({}), stand.connection.client
    stand.connection.read("lead", [lead], ["company"])
    short = RateLimited("no call was made", system="salesforce", code=SHORT, retry_after=60.0)
    with patch.object(client.budget, "spend", side_effect=short), pytest.raises(RateLimited):
        if by == "REST":
            client.call("GET", "limits", what="limits", urgency=Urgency.BACKGROUND)
        else:
            soap.call(client, "merge", [lambda _part: None], what="a merge", insists=False)
    assert lead in stand.connection.read("lead", [lead], ["company"])


def test_a_lead_that_somebody_converted_meanwhile_is_theirs(stand: SalesforceStand) -> None:
    """There is nothing that an operator could correct and retry."""
    lead, other = stand.create({"title": "old"}), stand.create({"title": "old"})
    stand.sandbox.convert(lead)
    gone, there = stand.connection.write([write_of(stand, one, title="new") for one in (lead, other)])
    assert (gone.error, gone.overtaken) == (None, "the lead was converted meanwhile")
    assert (there.error, stand.held(other)["title"]) == (None, "new")
