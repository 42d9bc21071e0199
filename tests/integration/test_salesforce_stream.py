"""The Salesforce stream when the org itself changes: new fields, objects of the customer's own, channels, merges, restores."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from connectors.salesforce import transactions
from connectors.salesforce.connection import SalesforceConnection
from connectors.salesforce.source import SalesforceSource
from connectors.sandbox.faults import Fault
from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce.bus import event_number
from routing.core.merge import merge
from routing.core.model import EntityMap
from routing.runtime.clock import utcnow
from tests.contract.heard import Heard, Running
from tests.contract.salesforce_stand import ANA, BEN, LEAD, MANY, MAPS, SalesforceStand, salesforce_stand

DEAL = salesforce_id("a00", 1)


@pytest.fixture
def stand() -> Iterator[SalesforceStand]:
    with salesforce_stand() as stand:
        yield stand


@pytest.fixture
def heard() -> Heard:
    return Heard()


def subscribed(heard: Heard) -> None:
    heard.until(lambda: bool(heard.positions))


def test_a_new_field_moves_the_bits_and_no_value_is_mistaken(stand: SalesforceStand, heard: Heard) -> None:
    lead = stand.create({"opted_out": False, "title": "a"})
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.change(lead, {"title": "b"})
        stand.sandbox.add_field("Lead", "Score__c", "double")
        stand.change(lead, {"opted_out": True})
        stand.sandbox.update("Lead", lead, {"Score__c": 7.0})  # mapped by nobody: nothing is heard
        stand.change(lead, {"title": "c"})
        heard.until(lambda: len(heard.events) >= 3)
    assert [event.values for event in heard.events] == [{"title": "b"}, {"opted_out": True}, {"title": "c"}]
    assert heard.unreadable == []


def test_events_from_before_a_schema_change_are_read_by_their_own_schema(stand: SalesforceStand, heard: Heard) -> None:
    with Running(stand.source, None, heard):
        subscribed(heard)
    lead = stand.create({"created_at": None, "title": "a"})
    stand.sandbox.add_field("Lead", "Score__c")
    stand.change(lead, {"title": "b"})
    later = EntityMap("salesforce", "lead", "Lead", {"title": "Title", "score": "Score__c"}, {})
    source = SalesforceSource(stand.connection, lambda: {"lead": later}, utcnow)
    resumed = Heard()
    with Running(source, heard.positions[-1], resumed):
        resumed.until(lambda: len(resumed.events) >= 2)
        stand.sandbox.update("Lead", lead, {"Score__c": "9"})
        resumed.until(lambda: len(resumed.events) >= 3)
    assert [event.values for event in resumed.events] == [{"title": "a"}, {"title": "b"}, {"score": "9"}]


def test_an_object_of_the_customers_own_is_heard_like_any_other(stand: SalesforceStand, heard: Heard) -> None:
    connection = stand.with_more()
    source = SalesforceSource(connection, lambda: MANY, utcnow, "/data/Deal__ChangeEvent")
    with Running(source, None, heard):
        subscribed(heard)
        stand.sandbox.update("Deal__c", DEAL, {"Stage__c": "Won", "Seats__c": 12})
        stand.create({})
        stand.sandbox.update("Deal__c", DEAL, {"OwnerId": BEN})
        heard.until(lambda: len(heard.events) >= 2)
    assert [(event.entity, event.record_id) for event in heard.events] == [("deal", DEAL)] * 2
    assert [event.values for event in heard.events] == [{"stage": "Won", "seats": 12}, {"owner": BEN}]
    connection.close()


def test_several_topics_share_one_channel_and_keep_their_own_positions(stand: SalesforceStand) -> None:
    stand.sandbox.bus.channels["/data/Sales__chn"] = {"Account", "Deal__c"}
    connection = stand.with_more()
    leads, others = Heard(), Heard()
    first = SalesforceSource(connection, lambda: MANY, utcnow, "/data/LeadChangeEvent")
    second = SalesforceSource(connection, lambda: MANY, utcnow, "/data/Sales__chn")
    assert first.stream != second.stream
    with Running(first, None, leads), Running(second, None, others):
        subscribed(leads)
        subscribed(others)
        lead = stand.create({})
        stand.sandbox.update("Deal__c", DEAL, {"Stage__c": "Won"})
        stand.sandbox.update("Account", salesforce_id("001", 1), {"Website": "x.example"})
        leads.until(lambda: len(leads.events) >= 1)
        others.until(lambda: len(others.events) >= 2)
    assert [event.record_id for event in leads.events] == [lead]
    assert [event.entity for event in others.events] == ["deal", "account"]
    connection.close()


def test_what_nobody_selected_is_not_heard_and_leaves_no_hole(stand: SalesforceStand, heard: Heard) -> None:
    stand.sandbox.deselect("Account")
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.sandbox.update("Account", salesforce_id("001", 1), {"Website": "x.example"})
        lead = stand.create({})
        heard.until(lambda: bool(heard.events))
    assert [event.record_id for event in heard.events] == [lead]


def test_merged_records_go_and_restored_ones_come_back(stand: SalesforceStand, heard: Heard) -> None:
    master, loser = stand.create({"title": "master"}), stand.create({"title": "loser"})
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.sandbox.merge("Lead", master, [loser])
        heard.until(lambda: len(heard.events) >= 1)
        stand.sandbox.undelete("Lead", loser)
        heard.until(lambda: len(heard.events) >= 2)
    gone, back = heard.events[0], heard.events[-1]
    assert (gone.kind, gone.record_id, gone.into) == ("merged", loser, master)
    assert (back.kind, back.record_id, back.complete) == ("restored", loser, False)
    assert back.values["title"] == "loser"


def account(name: str) -> dict[str, Any]:
    return {"kind": "create", "object": "Account", "fields": {"Name": name}}


def lead_at(company: str, title: str = "") -> dict[str, Any]:
    return {"kind": "create", "object": "Lead", "fields": {"LastName": "Doe", "Company": company, "Title": title}}


def pieces(heard: Heard) -> list[list[str]]:
    """The entities of what came, piece by piece."""
    items, found = iter(heard.items), []
    for size, _ in heard.batches:
        found.append([next(items).entity for _ in range(size)])
    return [piece for piece in found if piece]


def test_what_was_saved_together_comes_together_and_the_account_first(stand: SalesforceStand, heard: Heard) -> None:
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.sandbox.together([lead_at("Nova AG"), account("Nova AG")])
        heard.until(lambda: len(heard.events) >= 2)
    assert pieces(heard) == [["account", "lead"]]
    assert event_number(heard.positions[-1] or b"") == stand.sandbox.bus.last


def test_a_transaction_of_many_responses_is_one(
    stand: SalesforceStand, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow this machine is, its rest comes in time.
    monkeypatch.setattr(transactions, "QUIET", 60.0)
    monkeypatch.setattr(transactions, "LONGEST", timedelta(hours=1))
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.sandbox.together([*(lead_at("Nova AG", f"t{n}") for n in range(250)), account("Nova AG")])
        heard.until(lambda: len(heard.events) >= 251)
    assert pieces(heard) == [["account", *["lead"] * 250]]


def test_one_whose_rest_does_not_come_is_not_waited_for(stand: SalesforceStand, heard: Heard) -> None:
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.sandbox.impose({"reorder_every": 2})  # the second event waits for a third
        stand.sandbox.together([lead_at("Nova AG"), account("Nova AG")])
        heard.until(lambda: len(heard.events) >= 1)
        stand.sandbox.impose({"reorder_every": 0})
        heard.until(lambda: len(heard.events) >= 2)
    assert pieces(heard) == [["lead"], ["account"]]


def test_a_stream_that_breaks_within_a_transaction_loses_nothing(stand: SalesforceStand, heard: Heard) -> None:
    with Running(stand.source, None, heard):
        subscribed(heard)
        for n in range(5):
            stand.sandbox.together([lead_at(f"Nova {n}"), account(f"Nova {n}")])
            stand.break_streams()
        heard.until(lambda: len({event.event_id for event in heard.events}) == 10)
    assert len(pieces(heard)) >= 1
    assert all(piece[-1] == "lead" for piece in pieces(heard))


def test_where_each_object_has_a_topic_each_comes_by_itself(stand: SalesforceStand, heard: Heard) -> None:
    source = SalesforceSource(stand.connection, lambda: MAPS, utcnow, "/data/LeadChangeEvent")
    with Running(source, None, heard):
        subscribed(heard)
        stand.sandbox.together([lead_at("Nova AG"), account("Nova AG")])
        heard.until(lambda: bool(heard.events))
    assert [event.entity for event in heard.events] == ["lead"]


def test_a_merge_that_cannot_be_looked_up_waits_and_what_comes_after_it_too(
    stand: SalesforceStand, heard: Heard
) -> None:
    """Told as a deletion, all that follows a merge would be lost for good; the bus keeps events for days."""
    master, loser, other, gone = (stand.create({}) for _ in range(4))
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.faults.add(Fault(system="salesforce", operation="query", kind="rate_limited", retry_after=0.5, times=2))
        stand.sandbox.merge("Lead", master, [loser])
        stand.change(other, {"title": "after it"})
        stand.delete(gone)
        heard.until(lambda: len(heard.events) >= 3)
    assert [(event.kind, event.record_id, event.into) for event in heard.events] == [
        ("merged", loser, master),
        ("updated", other, ""),
        ("deleted", gone, ""),
    ]


def test_a_merge_that_we_may_not_look_up_is_told_as_a_deletion(stand: SalesforceStand, heard: Heard) -> None:
    master, loser = stand.create({}), stand.create({})
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.faults.add(Fault(system="salesforce", operation="query", kind="forbidden", times=100))
        stand.sandbox.merge("Lead", master, [loser])
        heard.until(lambda: bool(heard.events))
    assert [(event.kind, event.record_id, event.into) for event in heard.events] == [("deleted", loser, "")]


def test_an_event_that_is_missing_stays_so_until_the_record_is_read_again(stand: SalesforceStand, heard: Heard) -> None:
    lead = stand.create({"title": "a", "city": "Köln"})
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.sandbox.spoil_next("missing")
        stand.change(lead, {"title": "b"})
        stand.change(lead, {"city": "Bonn"})
        heard.until(lambda: bool(heard.events))
        assert [event.values for event in heard.events] == [{"city": "Bonn"}]
        stand.sandbox.gap("Lead", [lead])
        heard.until(lambda: len(heard.events) >= 2)
    assert (heard.events[1].kind, heard.events[1].complete) == ("gap", False)
    assert stand.connection.read("lead", [lead], ["title"])[lead].values == {"title": "b"}


def test_an_event_that_comes_late_still_tells_when_it_happened(stand: SalesforceStand, heard: Heard) -> None:
    stand.sandbox.impose({"late_seconds": 0.3})
    with Running(stand.source, None, heard):
        subscribed(heard)
        lead = stand.create({"title": "a"})
        written = stand.sandbox.record("Lead", lead) or {}
        heard.until(lambda: bool(heard.events))
        stand.sandbox.impose({"late_seconds": 0})
        stand.change(lead, {"title": "b"})
        heard.until(lambda: len(heard.events) >= 2)
    first, second = heard.events
    assert (first.values["title"], second.values["title"]) == ("a", "b")
    assert abs((first.occurred_at - datetime.fromisoformat(written["SystemModstamp"])).total_seconds()) < 1.0
    assert first.observed_at > first.occurred_at


def test_a_lead_that_a_flow_takes_back_is_told_with_its_real_owner(stand: SalesforceStand, heard: Heard) -> None:
    lead = stand.create({"owner": ANA})
    stand.sandbox.add_flow(stand.sandbox.assignment_rule_owner_id)
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.connection.client.call(
            "PATCH",
            "composite/sobjects",
            body={"records": [{"attributes": {"type": "Lead"}, "id": lead, "OwnerId": BEN}]},
            headers={"Sforce-Auto-Assign": "FALSE"},
            what="a write",
        )
        heard.until(lambda: bool(heard.events))
    assert heard.events[0].values == {"owner": stand.sandbox.assignment_rule_owner_id}


def test_a_policy_that_maps_more_is_taken_up_while_the_stream_runs(stand: SalesforceStand, heard: Heard) -> None:
    maps = dict(MAPS)
    connection = SalesforceConnection(stand.settings(), lambda: maps, utcnow)
    source = SalesforceSource(connection, lambda: maps, utcnow)
    with Running(source, None, heard):
        subscribed(heard)
        stand.sandbox.update("Deal__c", DEAL, {"Stage__c": "Open"})
        lead = stand.create({})
        heard.until(lambda: bool(heard.events))
        maps = {"lead": LEAD, "deal": MANY["deal"]}
        stand.sandbox.update("Deal__c", DEAL, {"Stage__c": "Won"})
        heard.until(lambda: len(heard.events) >= 2)
    assert [event.record_id for event in heard.events] == [lead, DEAL]
    connection.close()


# The first fill, while the stream runs


def test_a_fill_goes_on_behind_the_last_record(stand: SalesforceStand) -> None:
    made = [stand.create({}) for _ in range(2010)]
    first = next(iter(stand.connection.backfill(["lead"])))
    rest = list(stand.connection.backfill(["lead", "account"], {"lead": first[-1].record_id}))
    assert [event.record_id for event in first] == made[:2000]
    assert [[event.entity for event in page] for page in rest] == [["lead"] * 10, ["account"]]
    assert [event.record_id for event in rest[0]] == made[2000:]


def test_a_snapshot_that_comes_late_overwrites_nothing_newer(stand: SalesforceStand, heard: Heard) -> None:
    lead = stand.create({"title": "a", "city": "Köln"})
    with Running(stand.source, None, heard):
        subscribed(heard)
        [early] = [event for page in stand.connection.backfill(["lead"]) for event in page]
        stand.change(lead, {"title": "b"})
        stand.change(lead, {"title": None})
        heard.until(lambda: len(heard.events) >= 2)
        [late] = [event for page in stand.connection.backfill(["lead"]) for event in page]
    for order in ([early, *heard.events], [*heard.events, early], [late, *heard.events], [*heard.events, late]):
        record = None
        for event in order:
            record, _ = merge(record, event)
        assert record is not None
        assert record.values["title"] is None
        assert record.values.get("city", "Köln") == "Köln"
    record, _ = merge(merge(None, late)[0], early)
    assert (record.values["title"], record.values["city"]) == (None, "Köln")


def test_when_the_days_events_are_all_delivered_the_rest_comes_once_some_are_free(
    stand: SalesforceStand, heard: Heard
) -> None:
    stand.sandbox.impose({"deliveries": 2})
    with Running(stand.source, None, heard):
        subscribed(heard)
        leads = [stand.create({"title": str(n)}) for n in range(4)]
        heard.until(lambda: len(heard.events) >= 2)
        found = {finding.check: finding for finding in stand.connection.check()}
        assert found["event deliveries"].detail.startswith("0 of 2 events can be delivered")
        assert not found["event deliveries"].ok
        assert "changes: poll" in found["event deliveries"].advice
        assert [event.record_id for event in heard.events] == leads[:2]
        stand.sandbox.impose({"deliveries": 50})
        heard.until(lambda: len(heard.events) >= 4)
    assert [event.record_id for event in heard.events] == leads
