"""Marketo passes the shared suites, and a few things only Marketo does."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NoReturn

import msgspec
import pytest

from connectors.contract import Page
from connectors.errors import (
    AuthenticationFailed,
    ConnectorError,
    Misconfigured,
    RateLimited,
    RecordRejected,
    Transient,
)
from connectors.marketo import reader
from connectors.marketo.connection import MarketoConnection
from connectors.marketo.settings import MarketoSettings
from connectors.marketo.webhook import MarketoWebhook
from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.marketo import MarketoSandbox
from routing.core.model import ChangeEvent, EntityMap, Unreadable, Values, Write
from routing.runtime.clock import utcnow
from tests.conftest import ManualClock
from tests.contract.calling import WebhookSuite
from tests.contract.delivering import DeliverySuite, post  # noqa: F401 - a fixture
from tests.contract.heard import WAIT, Heard, Running
from tests.contract.listening import NewsSuite
from tests.contract.suites import ReaderSuite, SessionSuite, SinkSuite, unwell_until_a_write_is_answered, write_of

LEAD = EntityMap(
    system="marketo",
    entity="lead",
    remote="leads",
    fields={
        "email": "email",
        "first_name": "firstName",
        "last_name": "lastName",
        "company": "company",
        "city": "city",
        "employees": "numberOfEmployees",
        "owner": "leadOwner",
        "created_at": "createdAt",
    },
    types={"employees": "number", "created_at": "datetime"},
    read_only=frozenset({"created_at"}),
)
MAPS = {"lead": LEAD}
SECRET = "a long enough secret"


class MarketoStand:
    """See ``suites.Stand``."""

    system = "marketo"
    entity = "lead"
    text_field = "company"
    other_field = "city"
    owner_field = "owner"
    owners = ("ana@example.com", "ben@example.com")
    write_operation = "write"
    read_operation = "read"
    create_operation = "write"
    follow_operation = "activities"
    departed = ""
    person = ""
    maps: Mapping[str, EntityMap] = MAPS
    exempt: Mapping[str, str] = {
        "departed": "Marketo knows no owners: the field that we take for one holds any text",
        "person": "a lead does not say who changed it last, so a lost race is told without a name",
    }

    def __init__(self, sandbox: MarketoSandbox, faults: Faults) -> None:
        self.sandbox, self.faults = sandbox, faults
        self.secrets = (sandbox.client_secret, SECRET)
        self.settings = MarketoSettings(
            host=sandbox.url,
            client_id=sandbox.client_id,
            client_secret=sandbox.client_secret,
            webhook_secret=SECRET,
            poll_seconds=0.02,
            first_lead=(utcnow() - timedelta(days=40)).date().isoformat(),
            export_look_seconds=0.001,
            read_timeout=10.0,
        )
        self.connection = MarketoConnection(self.settings, lambda: self.maps, utcnow)
        self.source = self.connection.source

    def create(self, values: Values) -> str:
        return self.sandbox.create({LEAD.fields[field]: value for field, value in values.items()})

    def change(self, record_id: str, values: Values) -> None:
        self.sandbox.update(record_id, {LEAD.fields[f]: v for f, v in values.items()}, user="ana@example.com")

    def delete(self, record_id: str) -> None:
        self.sandbox.delete(record_id)

    def held(self, record_id: str) -> Values:
        held = self.sandbox.record(record_id) or {}
        return {field: held.get(remote) for field, remote in LEAD.fields.items()}

    def times_written(self, record_id: str) -> int:
        return max(self.sandbox.writes(record_id).values(), default=0)

    def missing_id(self) -> str:
        return "99999999"

    def lose(self, field: str) -> str:
        self.sandbox.revoke(LEAD.fields[field])
        return LEAD.fields[field]

    def regain(self, field: str) -> None:
        self.sandbox.store.gone.discard(LEAD.fields[field])

    def retype(self, record_id: str) -> None:
        self.change(record_id, {"employees": "a few"})

    def creation(self, email: str) -> Values:
        return {"email": email}

    def with_email(self, email: str) -> list[str]:
        return [str(one.id) for one in self.sandbox.store.by_email(email)]

    def break_streams(self) -> None:
        self.sandbox.expire_tokens()
        self.faults.add(Fault(system="marketo", operation="activities", kind="unavailable", times=2))

    def deliver_garbage(self) -> None:
        self.change(self.create({}), {"employees": "a few"})

    @contextmanager
    def reordering(self) -> Iterator[None]:
        store = self.sandbox.store
        with store.lock:
            before = len(store.log)
            yield
            store.log[before:] = store.log[: before - 1 : -1]

    def forget(self, position: bytes) -> bytes:
        place = msgspec.json.decode(position)
        return msgspec.json.encode({**place, "at": (utcnow() - timedelta(days=20)).isoformat()})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[tuple[MarketoSandbox, Faults]]:
    faults = Faults()
    made = MarketoSandbox(utcnow, faults)
    made.start()
    made.impose({"window": 1_000_000, "daily": 1_000_000})
    yield made, faults
    made.stop()


@pytest.fixture
def stand(sandbox: tuple[MarketoSandbox, Faults]) -> Iterator[MarketoStand]:
    made, faults = sandbox
    faults.clear()
    made.impose({"window": 1_000_000, "daily": 1_000_000, "page": 300, "used_today": 0, "at_once": 10})
    made.impose({"merge_deletion": 1, "other_exports": 0})
    stand = MarketoStand(made, faults)
    yield stand
    stand.connection.close()


class TestReader(ReaderSuite):
    def test_long_lists_of_keys_go_as_a_form(self, stand: MarketoStand) -> None:
        wide = {**{f"f{n}": "company" for n in range(2)}, "company": "company"}
        maps = {"lead": msgspec.structs.replace(LEAD, fields=wide)}
        connection = MarketoConnection(stand.settings, lambda: maps, utcnow)
        found = connection._reader.leads("many", "email", [f"{'x' * 60}{n}@example.com" for n in range(290)], ["id"])
        connection.close()
        assert found == []

    @pytest.mark.parametrize("stop_after", range(1, 7))
    def test_a_fill_goes_on_behind_any_page(
        self, stand: MarketoStand, monkeypatch: pytest.MonkeyPatch, stop_after: int
    ) -> None:
        """Nothing is left out, and a month that was read is not exported again."""
        monkeypatch.setattr(reader, "PAGE", 2)
        monkeypatch.setattr(stand.sandbox.store, "leads", {})
        records = [stand.create({"company": str(n)}) for n in range(12)]
        for n, record in enumerate(records):  # four in each of three months, in full pages
            stand.sandbox.store.leads[int(record)].created_at -= timedelta(days=30 * (n // 4))
        connection = of_days(stand, 89)

        def ids(pages: list[list[ChangeEvent]]) -> list[str]:
            return [event.record_id for page in pages for event in page]

        first = list(islice(connection.backfill(["lead"]), stop_after))
        rest = list(connection.backfill(["lead"], {"lead": cursor(first[-1])}))
        anew = list(connection.backfill(["lead"], {"lead": records[0]}))  # where an older version stopped
        connection.close()
        assert set(ids(first) + ids(rest)) == set(records) == set(ids(anew))
        assert len(ids(rest)) == 12 - 4 * (len(ids(first)) // 4)

    @pytest.mark.parametrize("restarted", [False, True])
    def test_months_without_leads_do_not_hold_a_fill_up_for_ever(
        self, stand: MarketoStand, monkeypatch: pytest.MonkeyPatch, restarted: bool
    ) -> None:
        """Marketo is away after every second export: what was found empty is not asked for again, by another process neither."""
        monkeypatch.setattr(stand.sandbox.store, "leads", {})
        record = stand.create({"company": "x"})
        done = len(stand.sandbox.exports.exported)
        connection, place, tries = of_days(stand, 170), "", 0
        found = list[str]()
        while not found:
            tries += 1
            assert tries < 6, "the fill begins anew each time"
            try:
                for number, page in enumerate(connection.backfill(["lead"], {"lead": place})):
                    place = cursor(page)
                    found += [event.record_id for event in page]
                    if number == 1:
                        stand.faults.add(Fault(system="marketo", operation="export", kind="unavailable"))
            except Transient:
                if restarted:
                    connection.close()
                    connection = of_days(stand, 170)
        connection.close()
        assert found == [record]
        assert tries > 1
        exported = stand.sandbox.exports.exported[done:]
        assert restarted or len(exported) == len(set(exported)) == 6, "exports that were under way still serve"

    def test_exports_are_asked_for_ahead_and_leave_room_for_other_programs(
        self, stand: MarketoStand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A month after the other would take the vendor's minutes for each; read they are in order."""
        monkeypatch.setattr(stand.sandbox.store, "leads", {})
        records = [stand.create({"company": str(n)}) for n in range(12)]
        for n, record in enumerate(records):
            stand.sandbox.store.leads[int(record)].created_at -= timedelta(days=30 * (11 - n))
        monkeypatch.setattr(stand.sandbox.exports, "most_queued", 0)
        connection = of_days(stand, 359)
        pages = list(connection.backfill(["lead"]))
        connection.close()
        assert [event.record_id for page in pages for event in page] == records
        assert stand.sandbox.exports.most_queued == 8

    @pytest.mark.parametrize("others", [9, 5])
    def test_a_queue_that_others_fill_slows_a_fill_and_does_not_stop_it(
        self, stand: MarketoStand, monkeypatch: pytest.MonkeyPatch, others: int
    ) -> None:
        monkeypatch.setattr(stand.sandbox.store, "leads", {})
        record, now = stand.create({"company": "x"}), ManualClock(utcnow())
        connection, made = of_days(stand, 170, now), stand.sandbox.exports.made
        stand.sandbox.impose({"other_exports": others})
        found, place, tries = list[str](), "", 0
        while not found:
            tries += 1
            assert tries < 9, "nothing is read"
            try:
                for page in connection.backfill(["lead"], {"lead": place}):
                    place = cursor(page)
                    found += [event.record_id for event in page]
            except RateLimited as error:
                now.advance(error.retry_after or 0)
        connection.close()
        assert found == [record]
        assert stand.sandbox.exports.made - made == 6, "what waited for room is not made again"

    @pytest.mark.parametrize(
        ("kind", "raised"), [("rate_limited", RateLimited), ("broken", Transient), ("expired_session", None)]
    )
    def test_an_export_whose_file_is_refused_is_no_empty_one(
        self, stand: MarketoStand, monkeypatch: pytest.MonkeyPatch, kind: str, raised: type[ConnectorError] | None
    ) -> None:
        """Marketo refuses with status 200, where the file would be."""
        record, client = stand.create({"company": "x"}), stand.connection._client
        fetch = client.file

        def file(what: str, path: str) -> bytes:
            stand.faults.add(Fault(system="marketo", operation="export", kind=kind))  # type: ignore[arg-type]
            return fetch(what, path)

        monkeypatch.setattr(client, "file", file)
        if raised is not None:
            with pytest.raises(raised):
                list(stand.connection.backfill(["lead"]))
        else:
            pages = list(stand.connection.backfill(["lead"]))
            assert record in [event.record_id for page in pages for event in page]


class TestSink(SinkSuite):
    def test_while_it_refuses_writes_and_answers_reads_it_is_not_well(self, stand: MarketoStand) -> None:
        unwell_until_a_write_is_answered(stand, stand.connection._client.hold)

    def test_a_lead_that_is_there_already_is_not_made_twice(self, stand: MarketoStand) -> None:
        there = stand.create({"email": "twice@example.com", "company": "entered"})
        writes = [create("one", email="Twice@example.com", company="a"), create("two", email="new@example.com")]
        first, second = stand.connection.write(writes)
        assert (first.error, first.record_id) == (None, there)
        assert stand.held(there)["company"] == "entered"  # what people entered stays
        assert second.error is None
        assert stand.held(second.record_id)["email"] == "new@example.com"

    def test_two_creations_with_one_address_go_one_after_the_other(self, stand: MarketoStand) -> None:
        writes = [create("one", email="same@example.com"), create("two", email="Same@Example.com", company="b")]
        first, second = stand.connection.write(writes)
        assert first.error is None
        assert first.record_id == second.record_id

    def test_more_than_a_megabyte_goes_in_several_calls(self, stand: MarketoStand) -> None:
        records = [stand.create({"company": "old"}) for _ in range(20)]
        long = "x" * 60_000
        results = stand.connection.write([write_of(stand, one, company=long, city="Rome") for one in records])
        assert [
            (result.error, stand.held(one)["company"] == long) for result, one in zip(results, records, strict=True)
        ] == [(None, True)] * 20
        assert {stand.times_written(one) for one in records} == {1}

    def test_a_lead_too_large_for_any_call_holds_up_no_other(self, stand: MarketoStand) -> None:
        large, other = stand.create({"company": "old"}), stand.create({"company": "old"})
        writes = [write_of(stand, large, company="x" * 1_100_000), write_of(stand, other, company="new")]
        refused, fine = stand.connection.write(writes)
        assert isinstance(refused.error, RecordRejected)
        assert not refused.error.outcome_unknown
        assert "1 MB" in str(refused.error)
        assert (fine.error, stand.held(other)["company"]) == (None, "new")

    def test_several_leads_with_one_address_are_for_a_person_to_merge(self, stand: MarketoStand) -> None:
        for _ in range(2):
            stand.create({"email": "double@example.com"})
        [result] = stand.connection.write([create("x", email="double@example.com")])
        assert isinstance(result.error, RecordRejected)
        assert "merge them" in str(result.error)

    def test_a_request_beside_too_many_others_is_a_limit_and_nothing_was_done(self, stand: MarketoStand) -> None:
        record = stand.create({"company": "old"})
        stand.connection.read("lead", [record], ["company"])  # logged in
        stand.sandbox.impose({"at_once": 1})
        with socket.create_connection(("127.0.0.1", int(stand.sandbox.url.rsplit(":", 1)[1])), timeout=30) as other:
            # Somebody's request whose body never comes is under way as long as we like.
            other.sendall(b"POST /rest/v1/leads.json HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            until(lambda: stand.sandbox.under_way == 1)
            with pytest.raises(RateLimited) as caught:
                stand.connection.write([write_of(stand, record, company="new")])
        assert (caught.value.code, caught.value.outcome_unknown) == ("615", False)
        assert caught.value.retry_after
        assert stand.held(record)["company"] == "old"
        until(lambda: stand.sandbox.under_way == 0)
        again = MarketoConnection(stand.settings, lambda: MAPS, utcnow)  # ours still waits as long as it was asked to
        [result] = again.write([write_of(stand, record, company="new")])
        again.close()
        assert result.error is None
        assert stand.held(record)["company"] == "new"

    def test_where_nothing_more_can_be_exported_writes_go_on(
        self, stand: MarketoStand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = stand.create({"company": "old"})
        client = stand.connection._client
        ask = client._exchange

        def full(what: str, method: str, path: str, *args: Any, **more: Any) -> tuple[bytes, float | None]:
            if path.startswith("/bulk/"):
                return (
                    b'{"requestId": "r", "success": false, "errors": [{"code": "1029", "message": "Too many jobs"}]}',
                    None,
                )
            return ask(what, method, path, *args, **more)

        monkeypatch.setattr(client, "_exchange", full)
        for _ in range(2):
            with pytest.raises(RateLimited) as caught:
                next(stand.connection.backfill(["lead"]))
            assert 50 < (caught.value.retry_after or 0) <= 60
        assert stand.connection.write([write_of(stand, record, company="new")])[0].error is None
        assert stand.held(record)["company"] == "new"

    def test_the_days_quota_pauses_and_leaves_a_reserve_to_writes(self, stand: MarketoStand) -> None:
        record = stand.create({"company": "old"})
        settings = msgspec.structs.replace(stand.settings, daily_calls=1000)
        connection = MarketoConnection(settings, lambda: MAPS, utcnow)
        stand.sandbox.impose({"used_today": 950, "daily": 1000})
        with pytest.raises(RateLimited, match="kept for writes"):
            next(connection.backfill(["lead"]))
        today = connection.calls_today()
        assert today is not None
        assert (today.used >= 950, today.limit) == (True, 1000)
        [told] = [hold.trouble() for hold in connection.holds if hold.trouble()]
        assert told is not None
        assert (told.name, "kept for writes" in told.why) == ("marketo calls that can wait", True)
        assert connection.write([write_of(stand, record, company="new")])[0].error is None
        stand.sandbox.impose({"used_today": 1000})
        with pytest.raises(RateLimited) as caught:
            connection.write([write_of(stand, record, company="newer")])
        connection.close()
        assert caught.value.retry_after == 60.0
        assert "midnight in Chicago" in str(caught.value)


class TestDelivery(DeliverySuite):
    pass


class TestSession(SessionSuite):
    def test_a_wrong_secret_is_told_without_showing_it(self, stand: MarketoStand) -> None:
        settings = msgspec.structs.replace(stand.settings, client_secret="very secret")
        connection = MarketoConnection(settings, lambda: MAPS, utcnow)
        with pytest.raises(AuthenticationFailed) as caught:
            connection.read("lead", ["1"], ["company"])
        connection.close()
        assert "very secret" not in str(caught.value) + repr(settings) + repr(caught.value.__cause__)


class TestSource(NewsSuite):
    def test_a_creation_and_a_change_arrive_in_order_with_their_values(  # type: ignore[override]
        self, stand: MarketoStand, heard: Heard
    ) -> None:
        """Marketo tells that a lead is new, not what is in it: that is read back."""
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            record = stand.create({"company": "first"})
            stand.change(record, {"company": "second"})
            heard.until(lambda: len(heard.events) >= 2)
        created, changed = heard.events
        assert (created.kind, created.complete, changed.kind) == ("created", False, "updated")
        assert created.record_id == changed.record_id == record
        assert changed.values == {"company": "second"}
        assert changed.actor == "ana@example.com"
        assert (created.occurred_at, created.sequence) < (changed.occurred_at, changed.sequence)

    def test_a_repeated_delivery_has_the_same_id(self, stand: MarketoStand, heard: Heard) -> None:  # type: ignore[override]
        """A paging token that ended is made anew from the time of the last look, and tells some of it twice."""
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.change(record, {"company": "twice"})
            heard.until(lambda: len(heard.events) == 1)
        place = msgspec.json.decode(heard.positions[0] or b"")
        again = Heard()
        with Running(stand.source, msgspec.json.encode({**place, "changes": "ended", "deletions": "ended"}), again):
            again.until(lambda: heard.events[0].event_id in [event.event_id for event in again.events])

    def test_a_token_that_ended_loses_nothing_where_our_clock_is_ahead(self, stand: MarketoStand) -> None:
        ahead = MarketoConnection(stand.settings, lambda: MAPS, lambda: utcnow() + timedelta(minutes=2))
        record, start, again = stand.create({}), Heard(), Heard()
        with Running(ahead.source, None, start):
            start.until(lambda: bool(start.positions))
        stand.change(record, {"company": "unheard"})
        place = msgspec.json.decode(start.positions[0] or b"")
        with Running(ahead.source, msgspec.json.encode({**place, "changes": "ended", "deletions": "ended"}), again):
            again.until(lambda: "unheard" in [event.values.get("company") for event in again.events])
        ahead.close()

    def test_what_cannot_be_read_is_kept_and_the_rest_goes_on(  # type: ignore[override]
        self, stand: MarketoStand, heard: Heard
    ) -> None:
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.deliver_garbage()
            stand.change(record, {"company": "readable"})
            heard.until(lambda: bool(heard.unreadable) and len(heard.events) == 2)
        [kept] = heard.unreadable
        assert "employees a number" in kept.error
        assert heard.events[-1].values["company"] == "readable"
        with pytest.raises(Misconfigured):
            stand.source.reread(kept.raw, utcnow())

    def test_short_and_empty_pages_are_not_the_end(self, stand: MarketoStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
        stand.sandbox.impose({"page": 2})
        record = stand.create({})
        for n in range(9):  # nobody maps the title: those pages are empty
            stand.sandbox.update(record, {"title": str(n)})
        stand.change(record, {"company": "last"})
        rest = Heard()
        with Running(stand.source, heard.positions[-1], rest):
            rest.until(lambda: len(rest.events) == 2)
        assert rest.events[-1].values == {"company": "last"}

    def test_where_nothing_happens_the_position_grows_all_the_same(self, stand: MarketoStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: len(heard.positions) >= 2)
        first, later = (msgspec.json.decode(position or b"")["at"] for position in heard.positions[:2])
        assert first < later
        assert heard.items == []


def of_days(stand: MarketoStand, days: int, clock: Callable[[], datetime] = utcnow) -> MarketoConnection:
    """Another connection, whose first fill begins so many days ago."""
    first_lead = (utcnow() - timedelta(days=days)).date().isoformat()
    return MarketoConnection(msgspec.structs.replace(stand.settings, first_lead=first_lead), lambda: MAPS, clock)


def cursor(page: list[ChangeEvent]) -> str:
    """Behind which a fill goes on that has stored the page."""
    assert isinstance(page, Page)
    return page.cursor


def until(condition: Callable[[], bool]) -> None:
    """Waits until it holds."""
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def create(write_id: str, **fields: object) -> Write:
    return Write(
        write_id=write_id, decision_id="d", system="marketo", entity="lead", record_id=write_id, fields=fields, guard={},
        kind="create",
    )  # fmt: skip


class FlowStand:
    """See ``calling.WebhookStand``."""

    text_field = "company"
    exempt: Mapping[str, str] = {"changed": "a flow step tells that something happened, not what: that is read back"}

    def __init__(self) -> None:
        settings = MarketoSettings(host="https://x", client_id="c", client_secret="s", webhook_secret=SECRET)
        self.webhook = MarketoWebhook(settings, lambda: MAPS)

    def request(self, record_id: str, at: datetime) -> tuple[dict[str, str], bytes]:
        body = b'{"id": %s}' % record_id.encode()
        return self.sealed(body, at), body

    def changed(self, record_id: str, text: str, at: datetime) -> NoReturn:
        raise NotImplementedError

    def sealed(self, body: bytes, at: datetime) -> dict[str, str]:
        return {"x-fingerpost-secret": SECRET}


class TestWebhook(WebhookSuite):
    @pytest.fixture
    def webhook_stand(self) -> FlowStand:
        return FlowStand()

    def receive(self, stand: MarketoStand, body: bytes) -> list[ChangeEvent | Unreadable]:
        webhook = MarketoWebhook(stand.settings, lambda: MAPS)
        headers = {"x-fingerpost-secret": SECRET}
        return webhook.receive("POST", "/hooks/marketo", "", headers, body, utcnow())

    def test_a_flow_step_is_a_change_to_be_read_back(self, stand: MarketoStand) -> None:
        [event] = self.receive(stand, b'{"id": 1001, "step": "MQL"}')
        assert isinstance(event, ChangeEvent)
        assert (event.kind, event.record_id, event.complete, event.origin) == ("updated", "1001", False, "flow MQL")

    def test_a_step_that_the_template_leaves_empty_is_none(self, stand: MarketoStand) -> None:
        [event] = self.receive(stand, b'{"id": "1001", "step": null}')
        assert isinstance(event, ChangeEvent)
        assert (event.record_id, event.origin) == ("1001", "flow")

    @pytest.mark.parametrize(
        "body",
        [
            b"{}",
            b'{"id": "{{lead.Id}}"}',
            '{"id": "\u0665"}'.encode(),
            b'{"id": "00005"}',
            b'{"id": 0}',
            b'{"id": -5}',
            b'{"id": 99999999999999999999999}',
        ],
    )
    def test_a_body_without_a_lead_is_kept(self, stand: MarketoStand, body: bytes) -> None:
        [kept] = self.receive(stand, body)
        assert isinstance(kept, Unreadable)
        assert kept.raw == body

    @pytest.mark.parametrize("secret", ["short", "ein ziemlich langes Geheimnis, größer", "long enough, but a line\n"])
    def test_a_secret_that_is_short_or_no_header_can_hold_does_not_start(
        self, stand: MarketoStand, secret: str
    ) -> None:
        with pytest.raises(Misconfigured, match="16 letters"):
            MarketoWebhook(msgspec.structs.replace(stand.settings, webhook_secret=secret), lambda: MAPS)


class TestDoctor:
    def test_a_healthy_subscription(self, stand: MarketoStand) -> None:
        assert [finding for finding in stand.connection.check() if not finding.ok] == []

    def test_a_missing_field_and_a_locked_one_are_named(self, stand: MarketoStand) -> None:
        maps = {
            "lead": msgspec.structs.replace(LEAD, fields={"a": "noSuchField", "b": "updatedAt"}, read_only=frozenset())
        }
        connection = MarketoConnection(stand.settings, lambda: maps, utcnow)
        wrong = {finding.check: finding for finding in connection.check() if not finding.ok}
        connection.close()
        assert "noSuchField" in wrong["leads: every mapped field is there"].detail
        assert wrong["leads: mapped fields can be written"].detail == "b"

    def test_a_wrong_secret_is_said_with_what_to_check(self, stand: MarketoStand) -> None:
        connection = MarketoConnection(
            msgspec.structs.replace(stand.settings, client_secret="no"), lambda: MAPS, utcnow
        )
        first = connection.check()[0]
        connection.close()
        assert not first.ok
        assert "client_secret" in first.advice

    @pytest.mark.parametrize(
        ("conditions", "check", "advice"),
        [
            ({"daily": 10, "used_today": 10}, "calls are left today", "begin anew at midnight in Chicago"),
            ({"window": 0}, "calls are left today", "over in seconds"),
        ],
    )
    def test_a_limit_is_told_as_one_and_what_was_left_out_is_named(
        self, stand: MarketoStand, conditions: dict[str, int], check: str, advice: str
    ) -> None:
        stand.sandbox.impose(conditions)
        found = stand.connection.check()
        [wrong] = [finding for finding in found if not finding.ok]
        assert wrong.check == check
        assert advice in wrong.advice
        assert "client_secret" not in wrong.advice
        [left] = [finding.detail for finding in found if not finding.looked]
        assert left.endswith("leads: every mapped field is there, activities: every mapped kind is there")

    def test_a_subscription_that_cannot_be_reached_is_not_told_to_change_its_secret(self, stand: MarketoStand) -> None:
        connection = MarketoConnection(
            msgspec.structs.replace(stand.settings, host="http://127.0.0.1:1"), lambda: MAPS, utcnow
        )
        first = connection.check()[0]
        connection.close()
        assert "Check host (http://127.0.0.1:1), DNS, proxy and firewall" in first.advice
        assert "secret" not in first.advice

    def test_an_entity_without_a_map_is_no_refused_login(self, stand: MarketoStand) -> None:
        connection = MarketoConnection(stand.settings, dict, utcnow)
        found = {finding.check: finding for finding in connection.check()}
        connection.close()
        wrong = [finding for finding in found.values() if not finding.ok]
        assert [finding.check for finding in wrong] == ["leads: every mapped field is there"]
        assert "marketo: leads" in wrong[0].detail
        assert "client_secret" not in wrong[0].advice
        assert found["Marketo answers and accepts the service"].ok
        assert found["calls are left today"].ok

    def test_what_cannot_be_described_says_which(self, stand: MarketoStand) -> None:
        stand.faults.add(Fault(system="marketo", operation="describe", kind="unavailable"))
        wrong = [finding.check for finding in stand.connection.check() if not finding.ok]
        assert wrong == ["leads: every mapped field is there"]
