"""HubSpot passes the shared suites, and a few things only HubSpot does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from unittest.mock import patch

import msgspec
import pytest

from connectors.contract import Finding, Snapshot
from connectors.errors import (
    AuthenticationFailed,
    ConnectorBug,
    ConnectorError,
    Misconfigured,
    PermissionDenied,
    RateLimited,
    RecordRejected,
)
from connectors.hubspot import reader
from connectors.hubspot.connection import HubSpotConnection
from connectors.hubspot.settings import HubSpotSettings
from connectors.hubspot.signature import sign
from connectors.hubspot.webhook import HubSpotWebhook
from connectors.sandbox.faults import Fault
from connectors.sandbox.hubspot.workflows import setting
from routing.core.model import Write
from routing.runtime.clock import utcnow
from tests.contract.calling import WebhookSuite
from tests.contract.delivering import DeliverySuite, Post, guarded, post  # noqa: F401 - a fixture
from tests.contract.hubspot_stand import MAPS, SECRET, HubSpotStand, hubspot_stand
from tests.contract.suites import ReaderSuite, SinkSuite, unwell_until_a_write_is_answered, write_of


@pytest.fixture(scope="module")
def running() -> Iterator[HubSpotStand]:
    with hubspot_stand() as stand:
        yield stand


@pytest.fixture
def stand(running: HubSpotStand) -> HubSpotStand:
    running.faults.clear()
    running.connection._client.hold.release()
    return running


@pytest.fixture
def own() -> Iterator[HubSpotStand]:
    with hubspot_stand() as stand:
        yield stand


class TestReader(ReaderSuite):
    def test_numbers_dates_and_empty_values_come_typed(self, stand: HubSpotStand) -> None:
        record = stand.create({"employees": "25-50", "company": ""})
        values = stand.connection.read("lead", [record], ["employees", "company", "created_at"])[record].values
        assert values["employees"] == 25  # HubSpot's own ranges count from their lower end
        assert values["company"] is None
        assert values["created_at"].endswith("Z")
        assert len(values["created_at"]) == 24

    def test_says_who_changed_a_record(self, stand: HubSpotStand) -> None:
        record = stand.create({"company": "a"})
        stand.change(record, {"company": "b"})
        ana = next(owner["userId"] for owner in stand.world.owners if owner["email"].startswith("ana."))
        assert stand.connection.read("lead", [record], ["company"])[record].modified_by == f"userId:{ana}"

    def test_tells_who_overtook_us_on_one_field(self, stand: HubSpotStand) -> None:
        record = stand.create({"company": "a", "city": "Rome"})
        stand.change(record, {"company": "b"})
        stand.connection.write([write_of(stand, record, city="Roma")])
        gone = stand.missing_id()
        company = stand.connection.last_changes("lead", "company", [record, gone])
        city = stand.connection.last_changes("lead", "city", [record])
        assert company.keys() == city.keys() == {record}
        assert company[record].modified_by.startswith("userId:")
        assert company[record].values == {"company": "b"}
        assert city[record].modified_by == "INTEGRATION"

    def test_owners_are_people_the_departed_ones_too(self, stand: HubSpotStand) -> None:
        people = {event.record_id: event for page in stand.connection.backfill(["person"]) for event in page}
        assert people[stand.owners[0]].values == {"name": "Ana Diaz", "email": "ana.diaz@example.com", "active": True}
        assert people[stand.world.owner_id("dan.left@example.com")].values["active"] is False
        read = stand.connection.read("person", [stand.owners[1]], ["email"])
        assert read[stand.owners[1]].values == {"email": "ben.okafor@example.com"}

    def test_backfill_pages_through_all_companies(self, stand: HubSpotStand) -> None:
        before = stand.connection.calls
        events = [event for page in stand.connection.backfill(["account", "opportunity"]) for event in page]
        assert {event.record_id for event in events} == {row["id"] for row in stand.world.companies}
        assert all(isinstance(event.values["employees"], int) for event in events)
        assert stand.connection.calls - before == -(-len(events) // 100)

    def test_an_unmapped_entity_says_what_to_do(self, stand: HubSpotStand) -> None:
        with pytest.raises(Misconfigured, match=r"fields\.yaml gives opportunity no name in HubSpot"):
            stand.connection.read("opportunity", ["1"], ["name"])


class TestSink(SinkSuite):
    def test_while_it_refuses_writes_and_answers_reads_it_is_not_well(self, stand: HubSpotStand) -> None:
        unwell_until_a_write_is_answered(stand, stand.connection._client.hold)

    def test_every_value_goes_out_as_text(self, stand: HubSpotStand) -> None:
        record = stand.create({"employees": "5"})
        [result] = stand.connection.write([write_of(stand, record, employees=1200)])
        assert result.error is None
        assert (stand.sandbox.record("contacts", record) or {})["numemployees"] == "1200"

    def test_an_owner_who_left_is_refused_with_hubspots_words(self, stand: HubSpotStand) -> None:
        record = stand.create({"company": "x"})
        gone = stand.world.owner_id("dan.left@example.com")
        [result] = stand.connection.write([write_of(stand, record, owner=gone)])
        assert isinstance(result.error, RecordRejected)
        assert result.error.code == "INVALID_OWNER"
        assert "deactivated" in str(result.error)

    def test_a_property_hubspot_does_not_have_is_misconfigured(self, stand: HubSpotStand) -> None:
        lead = MAPS["lead"]
        maps = {"lead": type(lead)("hubspot", "lead", "contacts", {"score": "no_such_property"}, {})}
        connection = HubSpotConnection(stand.settings, lambda: maps, utcnow)
        record = stand.create({"company": "x"})
        [result] = connection.write([write_of(stand, record, score="7")])
        connection.close()
        assert isinstance(result.error, Misconfigured)
        assert "no_such_property" in str(result.error)

    def test_a_read_only_field_never_leaves_the_house(self, stand: HubSpotStand) -> None:
        record, before = stand.create({"company": "x"}), stand.connection.calls
        [result] = stand.connection.write([write_of(stand, record, created_at="2026-01-01T00:00:00.000Z")])
        assert isinstance(result.error, Misconfigured)
        assert stand.connection.calls == before

    def test_a_record_twice_in_a_batch_is_our_own_mistake(self, stand: HubSpotStand) -> None:
        record = stand.create({"company": "x"})
        twice = [write_of(stand, record, company="a"), write_of(stand, record, company="b")]
        with pytest.raises(ConnectorBug, match="twice"):
            stand.connection.write(twice)
        assert stand.times_written(record) == 0

    def test_two_entities_in_a_batch_are_two_calls(self, stand: HubSpotStand) -> None:
        contact, company = stand.create({"company": "x"}), stand.sandbox.create("companies", {"name": "old"})
        account = Write(
            write_id="w2", decision_id="d2", system="hubspot", entity="account", record_id=company,
            fields={"name": "new"}, guard={},
        )  # fmt: skip
        before = stand.connection.calls
        results = stand.connection.write([write_of(stand, contact, company="new"), account])
        assert [result.error for result in results] == [None, None]
        assert stand.connection.calls - before == 2
        assert (stand.sandbox.record("companies", company) or {})["name"] == "new"

    def test_a_refused_token_is_told_without_showing_it(self, stand: HubSpotStand) -> None:
        settings = HubSpotSettings(access_token="pat-very-secret", host=stand.sandbox.url)
        connection = HubSpotConnection(settings, lambda: MAPS, utcnow)
        with pytest.raises(AuthenticationFailed) as caught:
            connection.write([write_of(stand, stand.create({}), company="new")])
        connection.close()
        assert "pat-very-secret" not in str(caught.value) + repr(settings) + repr(caught.value.__cause__)


def test_each_request_but_a_search_takes_its_turn_when_half_of_the_ten_seconds_is_used() -> None:
    with hubspot_stand(ten_seconds=20) as stand:
        client, record = stand.connection._client, stand.create({})
        turns: list[float] = []
        ask = client.quota.turn

        def turn() -> float:
            turns.append(ask())
            return turns[-1]

        client.quota.turn = turn  # type: ignore[method-assign]
        for _ in range(12):
            stand.connection.read("lead", [record], ["email"])
        client.call("a search", client.search.do_search, "contacts", {"filterGroups": [], "limit": 1})
        assert len(turns) == 12
        assert turns[:10] == [0.0] * 10
        assert all(turns[11:])


def test_the_ten_second_limit_says_how_long_to_wait() -> None:
    now = utcnow()
    with hubspot_stand(ten_seconds=3, clock=lambda: now) as stand:
        for _ in range(3):
            stand.connection.read("lead", ["1"], ["company"])
        with pytest.raises(RateLimited) as caught:
            stand.connection.read("lead", ["1"], ["company"])
    assert caught.value.retry_after == 10.0
    assert "TEN_SECONDLY" not in str(caught.value)


def test_a_system_that_is_not_there_is_unreachable_and_nothing_was_sent() -> None:
    with hubspot_stand() as stand:
        stand.sandbox.stop()
        with pytest.raises(Exception, match="could not be reached") as caught:
            stand.connection.write([write_of(stand, "1", company="new")])
    assert caught.value.outcome_unknown is False  # type: ignore[attr-defined]


class TestRevoked:
    """What an administrator takes away while we run."""

    def test_a_property_that_was_archived_parks_only_what_writes_it(self, own: HubSpotStand) -> None:
        one, two = own.create({"city": "Rome"}), own.create({"company": "old"})
        own.sandbox.revoke("contacts", "city")
        refused, fine = own.connection.write([write_of(own, one, city="Oslo"), write_of(own, two, company="new")])
        assert isinstance(refused.error, Misconfigured)
        assert "city" in str(refused.error)
        assert fine.error is None
        assert own.held(two)["company"] == "new"
        wrong = [finding for finding in own.connection.check() if not finding.ok]
        assert any("missing: city" in finding.detail for finding in wrong)

    def test_a_scope_that_was_taken_is_named_and_nothing_is_written(self, own: HubSpotStand) -> None:
        record = own.create({"company": "old"})
        own.sandbox.withdraw("crm.objects.contacts.write")
        with pytest.raises(PermissionDenied, match="scope") as caught:
            own.connection.write([write_of(own, record, company="new")])
        assert (caught.value.code, caught.value.outcome_unknown) == ("MISSING_SCOPES", False)
        assert own.held(record)["company"] == "old"
        assert own.connection.read("lead", [record], ["company"])[record].values == {"company": "old"}
        [finding] = [one for one in own.connection.check() if one.check == "scopes of the token"]
        assert "crm.objects.contacts.write" in finding.detail
        own.sandbox.grant("crm.objects.contacts.write")
        [result] = own.connection.write([write_of(own, record, company="new")])
        assert result.error is None


class TestFill:
    def test_it_goes_on_behind_any_page(self, stand: HubSpotStand, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader, "PAGE", 7)
        pages = list(stand.connection.backfill(["account"]))
        assert len(pages) > 1
        for place, page in enumerate(pages):
            rest = stand.connection.backfill(["account"], {"account": page[-1].cursor})
            told = [event.record_id for one in rest for event in one]
            assert told == [event.record_id for later in pages[place + 1 :] for event in later]

    def test_where_the_place_has_expired_it_begins_anew(self, stand: HubSpotStand) -> None:
        whole = [event.record_id for page in stand.connection.backfill(["account"]) for event in page]
        anew = [
            event.record_id for page in stand.connection.backfill(["account"], {"account": "after x"}) for event in page
        ]
        assert anew == whole


class TestReserve:
    def test_what_can_wait_says_that_it_does_and_writes_go_on(self, own: HubSpotStand) -> None:
        record = own.create({"company": "old"})
        names = ("Remaining", "Max", "Daily-Remaining", "Daily")
        left = dict(zip((f"X-HubSpot-RateLimit-{name}" for name in names), ("100", "100", "9", "100"), strict=True))
        own.connection._client.quota.note(left)
        with pytest.raises(RateLimited, match="kept for writes"):
            next(iter(own.connection.backfill(["lead"])))
        [told] = [trouble for hold in own.connection.holds if (trouble := hold.trouble())]
        assert (told.name, "9 of 100 requests left today" in told.why) == ("hubspot requests that can wait", True)
        [result] = own.connection.write([write_of(own, record, company="new")])
        assert result.error is None
        assert list(own.connection.backfill(["lead"]))  # its answer said that there are more
        assert [hold.trouble() for hold in own.connection.holds] == [None] * 3


class TestDoctor:
    def test_a_healthy_account(self, stand: HubSpotStand) -> None:
        findings = stand.connection.check()
        assert [finding.check for finding in findings if not finding.ok] == []
        assert any("3 active, 1 archived" in finding.detail for finding in findings)

    def test_a_missing_property_and_a_locked_one_are_named(self, stand: HubSpotStand) -> None:
        lead = MAPS["lead"]
        fields = {"score": "no_such_property", "created_at": "createdate"}
        maps = {"lead": type(lead)("hubspot", "lead", "contacts", fields, {})}
        connection = HubSpotConnection(stand.settings, lambda: maps, utcnow)
        wrong = {finding.check: finding for finding in connection.check() if not finding.ok}
        connection.close()
        assert "no_such_property" in wrong["contacts: every mapped property is there"].detail
        assert "created_at" in wrong["contacts: mapped properties can be written"].detail
        assert "read_only" in wrong["contacts: mapped properties can be written"].advice

    def test_workflows_that_set_what_we_write_are_named(self, own: HubSpotStand) -> None:
        def look() -> Finding:
            [found] = [finding for finding in own.connection.check() if finding.check == "workflows"]
            return found

        rotating = {"target_property": "hubspot_owner_id", "user_ids": ["1"]}
        shown = own.sandbox.workflows
        assert "none is on" in look().detail
        shown.show("Asleep", "contacts", setting("hubspot_owner_id", "1"), on=False)
        shown.show("Not ours", "deals", setting("hubspot_owner_id", "1"))
        shown.show("Harmless", "contacts", setting("favourite_colour", "red"))
        shown.show(
            "Gentle",
            "contacts",
            {"type": "SINGLE_CONNECTION", "fields": rotating | {"overwrite_current_owner": "false"}},
        )
        shown.show("Own code", "contacts", {"type": "CUSTOM_CODE", "secretNames": []})
        for n in range(100):  # more than a page
            shown.show(f"Asleep {n}", "companies", on=False)
        fine = look()
        assert fine.ok
        assert fine.detail == (
            "on for the mapped objects: Harmless on contacts, Gentle on contacts (gives an owner to records without one), "
            "Own code on contacts (runs code, of which nothing is shown)"
        )
        shown.show("Rotates", "contacts", {"type": "SINGLE_CONNECTION", "fields": rotating})
        shown.show("Renames", "companies", setting("name", "x"))
        wrong = look()
        assert not wrong.ok
        assert "Rotates sets hubspot_owner_id of contacts; Renames sets name of companies. All" in wrong.detail

    def test_workflows_that_may_not_be_looked_at_are_neither_well_nor_not(self, own: HubSpotStand) -> None:
        own.sandbox.withdraw("automation")
        [found] = [finding for finding in own.connection.check() if finding.check == "workflows"]
        assert (found.ok, found.looked) == (True, False)
        assert "scope automation" in found.advice
        assert "Rotate record to owner" in found.advice

    def test_a_wrong_token_is_the_first_thing_said(self, stand: HubSpotStand) -> None:
        settings = HubSpotSettings(access_token="wrong", host=stand.sandbox.url)
        connection = HubSpotConnection(settings, lambda: MAPS, utcnow)
        first, left, webhook = connection.check()
        connection.close()
        assert not first.ok
        assert "access token" in first.detail
        assert "scopes of the token" in left.detail
        assert not webhook.ok
        assert "client secret" in webhook.detail


def new(stand: HubSpotStand, record: str, creates: str, **fields: object) -> Write:
    write_id = f"new-{creates}-{record}"
    about = {"about_entity": "lead", "about": record} if record else {}
    write = write_of(stand, write_id, **about, **fields)
    return msgspec.structs.replace(write, write_id=write_id, kind="create", entity=creates)


class TestCreating:
    def test_a_task_is_on_the_record_with_its_owner_and_its_time(self, stand: HubSpotStand) -> None:
        record = stand.create({"company": "x"})
        due = "2026-11-30T10:00:00.000Z"
        task = new(stand, record, "task", subject="Call", note="twice", due=due, owner=stand.owners[0], priority="high")
        [result] = stand.connection.write([task])
        assert result.error is None
        made = stand.sandbox.record("tasks", result.record_id) or {}
        assert made["hs_task_subject"] == "Call"
        assert made["hs_task_body"].startswith("twice")
        assert (made["hs_timestamp"], made["hubspot_owner_id"], made["hs_task_priority"]) == (
            due,
            stand.owners[0],
            "HIGH",
        )
        assert set(stand.sandbox.store.linked("contacts", record, "tasks")) == {result.record_id}

    @pytest.mark.parametrize("creates", ["task", "prospect", "lead"])
    def test_after_a_lost_answer_what_was_made_is_found_and_what_was_not_is_not(
        self, stand: HubSpotStand, creates: str
    ) -> None:
        lost, never = stand.create({"company": "x"}), stand.create({"company": "y"})
        given: dict[str, dict[str, object]] = {"prospect": {"name": "Big"}}
        fields = {one: given.get(creates, {}) for one in (lost, never)}
        if creates == "lead":
            fields = {one: {"email": f"{one}@example.com"} for one in (lost, never)}
        stand.faults.add(
            Fault(
                system="hubspot",
                operation="batch_upsert" if creates == "lead" else "batch_create",
                kind="timeout_after_commit",
            )
        )
        write = new(stand, lost, creates, **fields[lost])
        with pytest.raises(ConnectorError) as caught:
            stand.connection.write([write])
        assert caught.value.outcome_unknown
        found = stand.connection.created([write, new(stand, never, creates, **fields[never])], utcnow())
        assert list(found) == [write.write_id]

    def test_a_lead_object_has_its_contact(self, stand: HubSpotStand) -> None:
        record = stand.create({"company": "x"})
        [result] = stand.connection.write([new(stand, record, "prospect", name="Ana Diaz, Acme")])
        assert result.error is None
        assert (stand.sandbox.record("leads", result.record_id) or {})["hs_lead_name"] == "Ana Diaz, Acme"
        assert set(stand.sandbox.store.linked("contacts", record, "leads")) == {result.record_id}

    def test_a_contact_that_is_there_already_is_not_made_a_second_time(self, stand: HubSpotStand) -> None:
        there = stand.create({"email": "someone@example.com", "company": "old"})
        writes = [
            new(stand, "", "lead", email="Someone@example.com", company="new"),
            msgspec.structs.replace(new(stand, "", "lead", email="new@example.com", company="new"), write_id="another"),
        ]
        known, made = stand.connection.write(writes)
        assert (known.error, known.record_id) == (None, there)
        assert stand.held(there)["company"] == "old"  # what people entered stays
        assert made.error is None
        assert stand.held(made.record_id)["company"] == "new"

    def test_a_lead_object_of_a_name_that_is_there_is_refused_and_not_taken_for_ours(self, stand: HubSpotStand) -> None:
        record = stand.create({"company": "x"})
        [theirs] = stand.connection.write([new(stand, record, "prospect", name="Big deal")])
        ours = msgspec.structs.replace(new(stand, record, "prospect", name="Big deal"), write_id="ours")
        stand.faults.add(Fault(system="hubspot", operation="batch_create", kind="timeout"))
        [result] = stand.connection.write([ours])
        assert isinstance(result.error, RecordRejected)
        assert theirs.record_id in str(result.error)
        assert set(stand.sandbox.store.linked("contacts", record, "leads")) == {theirs.record_id}

    def test_of_two_associations_of_a_record_only_the_impossible_one_is_refused(self, stand: HubSpotStand) -> None:
        contact, company = stand.create({}), stand.sandbox.create("companies", {"name": "Acme"})
        good = new(stand, contact, "association", to_entity="account", to=company)
        bad = msgspec.structs.replace(new(stand, contact, "association", to_entity="account", to="999"), write_id="bad")
        fine, refused = stand.connection.write([good, bad])
        assert fine.error is None
        assert isinstance(refused.error, RecordRejected)
        assert set(stand.sandbox.store.linked("contacts", contact, "companies")) == {company}

    def test_a_task_among_more_than_a_page_of_them_is_found(self, stand: HubSpotStand) -> None:
        record = stand.create({"company": "x"})
        tasks = [
            msgspec.structs.replace(new(stand, record, "task", subject="Call"), write_id=f"task-{n}")
            for n in range(530)
        ]
        for start in range(0, len(tasks), 100):
            assert [one.error for one in stand.connection.write(tasks[start : start + 100])] == [None] * len(
                tasks[start : start + 100]
            )
        assert list(stand.connection.created([tasks[0], tasks[-1]], utcnow())) == ["task-0", "task-529"]

    def test_a_contact_without_an_address_is_refused_before_it_leaves(self, stand: HubSpotStand) -> None:
        before = stand.connection.calls
        [result] = stand.connection.write([new(stand, "", "lead", company="x")])
        assert isinstance(result.error, RecordRejected)
        assert stand.connection.calls == before

    def test_an_association_made_twice_is_one(self, stand: HubSpotStand) -> None:
        contact, company = stand.create({}), stand.sandbox.create("companies", {"name": "Acme"})
        write = new(stand, contact, "association", to_entity="account", to=company)
        for _ in range(2):
            [result] = stand.connection.write([write])
            assert result.error is None
        assert set(stand.sandbox.store.linked("contacts", contact, "companies")) == {company}

    def test_one_refused_creation_does_not_hold_up_the_others_nor_a_change(self, stand: HubSpotStand) -> None:
        record, gone = stand.create({"company": "old"}), stand.create({})
        stand.delete(gone)
        writes = [
            new(stand, gone, "task", subject="no"),
            new(stand, record, "task", subject="yes"),
            write_of(stand, record, company="new"),
            new(stand, record, "castle"),
        ]
        no, yes, changed, unknown = stand.connection.write(writes)
        assert isinstance(no.error, RecordRejected)
        assert yes.error is None
        assert yes.record_id
        assert changed.error is None
        assert isinstance(unknown.error, Misconfigured)
        assert stand.held(record)["company"] == "new"


class HookStand:
    """See ``calling.WebhookStand``."""

    url = "https://leads.example.com/hooks/hubspot"
    text_field = "company"
    exempt: Mapping[str, str] = {}

    def __init__(self) -> None:
        settings = HubSpotSettings(access_token="t", client_secrets=("old", SECRET), public_url=self.url)
        self.webhook = HubSpotWebhook(settings, lambda: MAPS)

    def request(self, record_id: str, at: datetime) -> tuple[dict[str, str], bytes]:
        moment = round(at.timestamp() * 1000)
        event = {"subscriptionType": "contact.deletion", "occurredAt": moment, "objectId": int(record_id)}
        body = msgspec.json.encode([event])
        return self.sealed(body, at), body

    def changed(self, record_id: str, text: str, at: datetime) -> bytes:
        told = {"subscriptionType": "contact.propertyChange", "objectId": int(record_id), "propertyName": "company"}
        return msgspec.json.encode([{**told, "propertyValue": text, "occurredAt": round(at.timestamp() * 1000)}])

    def sealed(self, body: bytes, at: datetime) -> dict[str, str]:
        stamp = str(round(at.timestamp() * 1000))
        signature = sign(SECRET, "POST", self.url, body, stamp)
        return {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": stamp}


class TestDelivery(DeliverySuite):
    def test_who_overtook_us_is_whoever_changed_that_field(self, stand: HubSpotStand, post: Post) -> None:  # noqa: F811
        """Not who changed the record last."""
        record, other = (stand.create({"company": "old", "city": "Rome"}) for _ in range(2))
        stand.change(record, {"company": "theirs"})
        stand.sandbox.update("contacts", record, {"city": "Roma"}, user="ben.okafor@example.com")
        stand.change(other, {"company": "theirs"})
        fates = post.deliver(*(guarded(stand, one, {"company": "old"}, company="ours") for one in (record, other)))
        assert [state for state, _ in fates] == ["superseded"] * 2
        assert all(f"last changed by {stand.person} at " in detail for _, detail in fates)

    def test_where_its_history_cannot_be_had_the_record_says_who(self, stand: HubSpotStand, post: Post) -> None:  # noqa: F811
        record = stand.create({"company": "old", "city": "Rome"})
        stand.change(record, {"company": "theirs"})
        [write] = [guarded(stand, record, {"company": "old"}, company="ours")]

        def refused(*_: object) -> dict[str, Snapshot]:
            raise PermissionDenied("no histories", system="hubspot")

        with patch.object(stand.connection, "last_changes", refused):
            [(state, detail)] = post.deliver(write)
        assert (state, stand.person in detail) == ("superseded", True)


class TestWebhook(WebhookSuite):
    @pytest.fixture
    def webhook_stand(self) -> HookStand:
        return HookStand()
