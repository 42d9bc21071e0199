"""The Salesforce connector over the sandbox org: the days on which things go wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.contract import Finding
from connectors.errors import (
    AuthenticationFailed,
    ConnectorError,
    Misconfigured,
    PermissionDenied,
    RecordRejected,
    Transient,
)
from connectors.salesforce.connection import SalesforceConnection
from connectors.salesforce.decode import ALL_RECORDS
from connectors.salesforce.settings import Secret
from connectors.salesforce.source import SalesforceSource
from connectors.sandbox.faults import Fault
from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce.bus import Spoil
from connectors.sandbox.salesforce.checks import Operation
from routing.core.model import Write
from routing.runtime.clock import utcnow
from tests.contract.heard import Heard, Running
from tests.contract.salesforce_stand import ANA, BEN, MAPS, ZOE, SalesforceStand, salesforce_stand
from tests.contract.suites import write_of


@pytest.fixture(scope="module")
def one_stand() -> Iterator[SalesforceStand]:
    with salesforce_stand() as stand:
        yield stand


@pytest.fixture
def stand(one_stand: SalesforceStand) -> Iterator[SalesforceStand]:
    yield one_stand
    one_stand.faults.clear()


@pytest.fixture
def heard() -> Heard:
    return Heard()


def subscribed(heard: Heard) -> None:
    heard.until(lambda: bool(heard.positions))


# Writing


def test_the_orgs_own_assignment_rule_does_not_take_the_lead(stand: SalesforceStand) -> None:
    record = stand.create({"owner": ANA})
    assert stand.connection.write([write_of(stand, record, owner=BEN)])[0].error is None
    assert stand.held(record)["owner"] == BEN


def test_the_rule_would_take_it_without_the_header(stand: SalesforceStand) -> None:
    record = stand.create({"owner": ANA})
    body = {"records": [{"attributes": {"type": "Lead"}, "id": record, "OwnerId": BEN}]}
    stand.connection.client.call("PATCH", "composite/sobjects", body=body, what="a write without the header")
    assert stand.held(record)["owner"] == stand.sandbox.assignment_rule_owner_id


def test_a_renewed_session_keeps_every_header(stand: SalesforceStand) -> None:
    record = stand.create({"owner": ANA})
    stand.connection.read("lead", [record], ["owner"])
    stand.sandbox.expire_sessions()
    assert stand.connection.write([write_of(stand, record, owner=BEN)])[0].error is None
    assert stand.held(record)["owner"] == BEN
    entry = stand.sandbox.history("Lead", record)[-1]
    assert entry.client == "fingerpost"
    assert stand.times_written(record) == 1


def test_a_batch_of_several_objects_is_one_call_in_any_order(stand: SalesforceStand) -> None:
    leads = [stand.create({}) for _ in range(12)]
    writes = []
    for number, lead in enumerate(leads):  # a change of object at every step: more runs than Salesforce takes
        writes.append(write_of(stand, lead, title=f"t{number}"))
        account = stand.sandbox.create("Account", {"Name": "x"})
        writes.append(
            Write(
                write_id=f"w-{account}",
                decision_id="d",
                system="salesforce",
                entity="account",
                record_id=account,
                fields={"website": f"{number}.example"},
                guard={},
            )
        )
    results = stand.connection.write(writes)
    assert [result.write_id for result in results] == [write.write_id for write in writes]
    assert all(result.error is None for result in results)
    assert [stand.held(lead)["title"] for lead in leads] == [f"t{number}" for number in range(12)]


def test_every_refusal_is_told_in_salesforces_words(stand: SalesforceStand) -> None:
    records = [stand.create({}) for _ in range(3)]
    results = stand.connection.write(
        [
            write_of(stand, records[0], owner=ZOE),
            write_of(stand, records[1], owner=salesforce_id("005", 404)),
            write_of(stand, records[2], company="x" * 300),
        ]
    )
    codes = [result.error.code for result in results if result.error]
    assert codes == ["INACTIVE_OWNER_OR_USER", "INVALID_CROSS_REFERENCE_KEY", "STRING_TOO_LONG"]
    assert all(isinstance(result.error, RecordRejected) for result in results)


def test_a_forbidden_field_is_a_permission() -> None:
    with salesforce_stand() as stand:
        record = stand.create({})
        stand.sandbox.forbid("Lead", "Title")
        [result] = stand.connection.write([write_of(stand, record, title="x")])
        assert isinstance(result.error, PermissionDenied)
        assert "Title" in str(result.error)
        [finding] = [one for one in stand.connection.check() if one.check == "fields of Lead"]
        assert not finding.ok
        assert "Title" in finding.detail


def test_read_only_fields_and_unmapped_entities_are_never_sent(stand: SalesforceStand) -> None:
    record = stand.create({})
    before = stand.sandbox.api_requests
    task = Write(
        write_id="t", decision_id="d", system="salesforce", entity="task", record_id="00T", fields={"a": 1}, guard={}
    )
    results = stand.connection.write([write_of(stand, record, created_at="2026-01-01T00:00:00.000Z"), task])
    assert all(isinstance(result.error, Misconfigured) for result in results)
    assert stand.sandbox.api_requests == before


def test_lists_and_numbers_make_the_round_trip(stand: SalesforceStand) -> None:
    account = stand.sandbox.create("Account", {"Name": "x"})
    write = Write(
        write_id="w",
        decision_id="d",
        system="salesforce",
        entity="account",
        record_id=account,
        fields={"segments": ["A", "C"]},
        guard={},
    )
    assert stand.connection.write([write])[0].error is None
    assert stand.connection.read("account", [account], ["segments"])[account].values == {"segments": ["A", "C"]}


def test_a_thousand_assignments_cost_ten_calls(stand: SalesforceStand) -> None:
    leads = [stand.create({"owner": ANA}) for _ in range(1000)]
    before = stand.sandbox.api_requests
    for start in range(0, 1000, 200):
        chunk = leads[start : start + 200]
        stand.connection.read("lead", chunk, ["owner"])
        stand.connection.write([write_of(stand, lead, owner=BEN) for lead in chunk])
    assert stand.sandbox.api_requests - before == 10
    assert {stand.held(lead)["owner"] for lead in leads} == {BEN}


# Reading


def test_values_are_canonical_however_they_come(stand: SalesforceStand, heard: Heard) -> None:
    fields = {"employees": 250, "annual_revenue": 1_500_000.0, "opted_out": True, "city": "Köln", "first_name": "Zoë"}
    with Running(stand.source, None, heard):
        subscribed(heard)
        record = stand.create(fields)
        heard.until(lambda: bool(heard.events))
    names = list(MAPS["lead"].fields)
    read = stand.connection.read("lead", [record], names)[record].values
    told = heard.events[0].values
    assert {name: value for name, value in read.items() if value is not None} == told
    assert read["annual_revenue"] == 1_500_000
    assert isinstance(read["annual_revenue"], int)
    assert read["created_at"].endswith("Z")


def test_backfill_turns_pages() -> None:
    with salesforce_stand() as stand:
        made = {stand.create({}) for _ in range(2100)}
        pages = list(stand.connection.backfill(["lead", "nothing mapped", "person"]))
        assert [len(page) for page in pages if page[0].entity == "lead"] == [2000, 100]
        assert {event.record_id for page in pages for event in page if event.entity == "lead"} == made
        people = {event.record_id: event.values["active"] for event in pages[-1]}
        assert people[ANA] is True
        assert people[ZOE] is False


def test_ids_that_are_none_are_absent(stand: SalesforceStand) -> None:
    record = stand.create({})
    assert list(stand.connection.read("lead", ["", "x' OR Id != '", "ü" * 18, record], ["owner"])) == [record]
    assert list(stand.connection.read("lead", [record[:15]], ["owner"])) == [record[:15]]


def test_an_unmapped_field_or_entity_is_a_setting(stand: SalesforceStand) -> None:
    with pytest.raises(Misconfigured, match="shoe_size"):
        stand.connection.read("lead", [ANA], ["shoe_size"])
    with pytest.raises(Misconfigured, match="task"):
        stand.connection.read("task", [ANA], ["owner"])


# Logging in


def test_many_threads_cause_one_login(stand: SalesforceStand) -> None:
    connection = stand.connect()
    record = stand.create({})
    before = stand.sandbox.sessions.logins
    errors: list[ConnectorError] = []

    def read() -> None:
        try:
            connection.read("lead", [record], ["owner"])
        except ConnectorError as error:
            errors.append(error)

    for expire in (False, True):
        if expire:
            stand.sandbox.expire_sessions()
        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    connection.close()
    assert errors == []
    assert stand.sandbox.sessions.logins - before == 2


def test_jwt_login() -> None:
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with salesforce_stand() as stand:
        settings = {"auth": "jwt", "private_key": Secret(private), "username": stand.sandbox.username}
        connection = stand.connect(**settings)
        with pytest.warns(UserWarning, match="approve"), pytest.raises(AuthenticationFailed):
            connection.user_id  # noqa: B018 - the app is not approved yet
        stand.sandbox.sessions.trust_key(public.decode())
        assert connection.user_id == stand.sandbox.integration_user_id
        with pytest.raises(Misconfigured, match="private key") as caught:
            stand.connect(**settings | {"private_key": Secret("no PEM")}).user_id  # noqa: B018
        assert "no PEM" not in str(caught.value)
        connection.close()


def test_a_wrong_secret_is_refused_and_not_shown(stand: SalesforceStand) -> None:
    connection = stand.connect(client_secret=Secret("wrong-and-hush"))
    with pytest.raises(AuthenticationFailed) as caught:
        connection.read("lead", [salesforce_id("00Q", 1)], ["owner"])
    assert "hush" not in repr(caught.value) + str(caught.value.__cause__)
    connection.close()


def test_a_login_without_an_answer_is_transient(stand: SalesforceStand) -> None:
    connection = stand.connect()
    stand.faults.add(Fault(system="salesforce", operation="login", kind="timeout"))
    with pytest.raises(Transient) as caught:
        connection.write([write_of(stand, stand.create({}), title="x")])
    assert not caught.value.outcome_unknown  # the write itself was not sent
    connection.close()


def test_an_unreachable_org_is_transient_with_a_known_outcome(stand: SalesforceStand) -> None:
    connection = stand.connect(login_url="https://127.0.0.1:9")
    with pytest.raises(Transient) as caught:
        connection.write([write_of(stand, salesforce_id("00Q", 1), title="x")])
    assert not caught.value.outcome_unknown


def test_a_server_that_never_answers_is_given_up(stand: SalesforceStand) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        connection = stand.connect(login_url=url, connect_timeout_seconds=0.2, timeout_seconds=0.2)
        with pytest.raises(Transient):
            connection.read("lead", [salesforce_id("00Q", 1)], ["owner"])


# The stream


def test_own_writes_are_told_with_the_integration_user(stand: SalesforceStand, heard: Heard) -> None:
    record = stand.create({"owner": ANA})
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.connection.write([write_of(stand, record, owner=BEN)])
        heard.until(lambda: bool(heard.events))
    [event] = heard.events
    assert event.values == {"owner": BEN}
    assert event.actor == stand.sandbox.integration_user_id == stand.connection.user_id
    assert event.origin == "com/salesforce/api/rest/66.0"  # Collections do not tell the client's name


def test_a_single_row_tells_the_clients_name(stand: SalesforceStand, heard: Heard) -> None:
    record = stand.create({})
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.connection.client.call("PATCH", f"sobjects/Lead/{record}", body={"Title": "x"}, what="a row")
        heard.until(lambda: bool(heard.events))
    assert heard.events[0].origin == "com/salesforce/api/rest/66.0;client=fingerpost"


def test_equal_changes_in_one_transaction_become_one_event_each(stand: SalesforceStand, heard: Heard) -> None:
    records = [stand.create({"owner": ANA}) for _ in range(3)]
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.sandbox.transact([Operation("update", "Lead", record, {"OwnerId": BEN}) for record in records])
        heard.until(lambda: len(heard.events) >= 3)
    assert [event.record_id for event in heard.events] == records
    assert len({event.event_id for event in heard.events}) == 3
    assert (3, heard.positions[-1]) in heard.batches  # all in one accept


def test_a_long_backlog_comes_whole_and_in_order(stand: SalesforceStand, heard: Heard) -> None:
    with Running(stand.source, None, heard):
        subscribed(heard)
    records = [stand.create({}) for _ in range(750)]
    with Running(stand.source, heard.positions[-1], heard):
        heard.until(lambda: len(heard.events) >= 750)
    assert [event.record_id for event in heard.events] == records
    assert max(size for size, _ in heard.batches) <= 100  # never more asked for than Salesforce gives


def test_positions_go_on_where_nothing_mapped_happens(stand: SalesforceStand, heard: Heard) -> None:
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.sandbox.create("Task", {"Subject": "Call"})
        heard.until(lambda: len(set(heard.positions)) >= 2)
    assert heard.items == []


def test_a_topic_of_one_object_brings_only_that_object(stand: SalesforceStand, heard: Heard) -> None:
    source = SalesforceSource(stand.connect(), lambda: MAPS, utcnow, "/data/AccountChangeEvent")
    with Running(source, None, heard):
        subscribed(heard)
        stand.create({})
        account = stand.sandbox.create("Account", {"Name": "x"})
        heard.until(lambda: bool(heard.events))
    assert [event.record_id for event in heard.events] == [account]
    assert source.stream != stand.source.stream  # positions of different topics are kept apart


@pytest.mark.parametrize("kind", ["expired_session", "unavailable", "rate_limited"])
def test_a_refused_subscription_is_tried_again(stand: SalesforceStand, heard: Heard, kind: Any) -> None:
    stand.faults.add(Fault(system="salesforce", operation="subscribe", kind=kind, times=2))
    with Running(stand.source, None, heard):
        subscribed(heard)
        record = stand.create({})
        heard.until(lambda: bool(heard.events))
    assert heard.events[0].record_id == record


def test_an_expired_session_on_the_stream_is_renewed(stand: SalesforceStand, heard: Heard) -> None:
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.sandbox.expire_sessions()
        stand.break_streams()
        record = stand.create({})
        heard.until(lambda: bool(heard.events))
    assert [event.record_id for event in heard.events] == [record]


def test_a_login_that_fails_for_a_while_is_tried_again(stand: SalesforceStand, heard: Heard) -> None:
    stand.faults.add(Fault(system="salesforce", operation="login", kind="unavailable", times=2))
    source = SalesforceSource(stand.connect(), lambda: MAPS, utcnow)
    with structlog.testing.capture_logs() as logs, Running(source, None, heard):
        subscribed(heard)
    lost = [entry for entry in logs if entry["event"] == "salesforce_stream_lost"]
    assert len(lost) == 1, "a line a try is read by nobody"
    assert lost[0]["reason"]
    assert source.hold.trouble() is None
    assert stand.sandbox.client_secret not in str(logs)


def test_stopping_while_nothing_answers_is_heeded(stand: SalesforceStand, heard: Heard) -> None:
    source = SalesforceSource(stand.connect(login_url="https://127.0.0.1:9"), lambda: MAPS, utcnow)
    with Running(source, None, heard):
        pass  # leaving the block fails where the source does not stop
    assert heard.positions == []


def test_a_silent_stream_is_taken_for_dead(stand: SalesforceStand, heard: Heard) -> None:
    quiet = stand.connect(silence_seconds=0.5)
    source = SalesforceSource(quiet, lambda: MAPS, utcnow)
    stand.sandbox._pubsub._keepalive, before = 60.0, stand.sandbox._pubsub._keepalive
    try:
        with structlog.testing.capture_logs() as logs, Running(source, None, heard):
            heard.until(lambda: len(heard.positions) >= 2)  # subscribed a second time
    finally:
        stand.sandbox._pubsub._keepalive = before
    assert any(entry["event"] == "salesforce_stream_silent" for entry in logs)


@pytest.mark.parametrize("spoil", ["unknown_schema", "corrupt", "impossible_bitmap"])
def test_what_cannot_be_read_stops_nothing(stand: SalesforceStand, heard: Heard, spoil: Spoil) -> None:
    with Running(stand.source, None, heard):
        subscribed(heard)
        first = stand.create({})
        heard.until(lambda: len(heard.events) == 1)
        stand.sandbox.spoil_next(spoil)
        stand.create({})
        last = stand.create({})
        heard.until(lambda: len(heard.events) == 2)
    assert [event.record_id for event in heard.events] == [first, last]
    [kept] = heard.unreadable
    assert kept.raw
    assert kept.event_id
    resumed = Heard()
    with Running(stand.source, heard.positions[0], resumed):
        resumed.until(lambda: len(resumed.items) >= 3)
    assert resumed.unreadable[0].event_id == kept.event_id  # parked once, however often it is delivered


def test_a_gap_event_asks_for_the_record(stand: SalesforceStand, heard: Heard) -> None:
    record = stand.create({})
    with Running(stand.source, None, heard):
        subscribed(heard)
        stand.sandbox.gap("Lead", [record])
        stand.sandbox.gap("Lead", ["000000000000000AAA"], "GAP_OVERFLOW")
        heard.until(lambda: len(heard.events) >= 2)
    assert [(event.kind, event.record_id, event.complete) for event in heard.events] == [
        ("gap", record, False),
        ("gap", ALL_RECORDS, False),
    ]


# Doctor


def findings(connection: SalesforceConnection) -> dict[str, Finding]:
    return {finding.check: finding for finding in connection.check()}


def failed(found: Sequence[Finding]) -> list[str]:
    return [finding.check for finding in found if not finding.ok]


def test_doctor_finds_a_well_org_well(stand: SalesforceStand) -> None:
    found = stand.connection.check()
    assert failed(found) == []
    checks = {finding.check for finding in found}
    assert {"reachable", "clock", "API version", "login", "integration user", "limits", "assignment rules"} <= checks
    assert {"fields of Lead", "fields of Account", "fields of User", "change events /data/ChangeEvents"} <= checks


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"login_url": "https://127.0.0.1:9"}, "reachable"),
        ({"client_secret": Secret("wrong")}, "login"),
        ({"api_version": "12.0"}, "API version"),
        ({"topics": ("/data/NoSuchChangeEvent",)}, "change events /data/NoSuchChangeEvent"),
        ({"pubsub_address": "127.0.0.1:9", "timeout_seconds": 2.0}, "change events /data/ChangeEvents"),
    ],
)
def test_doctor_says_what_is_wrong_and_what_to_do(stand: SalesforceStand, changes: dict[str, Any], check: str) -> None:
    connection = stand.connect(**changes)
    finding = findings(connection)[check]
    assert not finding.ok
    assert finding.detail
    assert finding.advice
    connection.close()


def test_doctor_notices_a_wrong_clock(stand: SalesforceStand) -> None:
    connection = SalesforceConnection(stand.settings(), lambda: MAPS, lambda: utcnow() + timedelta(minutes=10))
    finding = findings(connection)["clock"]
    assert not finding.ok
    assert "ahead" in finding.detail
    connection.close()


def test_doctor_names_fields_that_are_not_there(stand: SalesforceStand) -> None:
    lead = MAPS["lead"]
    wrong = {
        "lead": type(lead)("salesforce", "lead", "Lead", {"x": "Shoe_Size__c"}, {}),
        "task": type(lead)("salesforce", "task", "Nope", {}, {}),
    }
    connection = SalesforceConnection(stand.settings(), lambda: wrong, utcnow)
    found = findings(connection)
    assert "Shoe_Size__c" in found["fields of Lead"].detail
    assert not found["fields of Nope"].ok
    connection.close()
