"""What every connector must do, written once. A connector's own test module subclasses a suite and gives it a ``stand``.

A ``Stand`` is one system that really answers (a sandbox over loopback), the connector under test pointed at it, and a
second pair of eyes on the system itself (``held``, ``times_written``), so that outcomes are checked where a user would
look and not in the connector's own words. A gap is marked ``xfail(strict=True)`` with its reason in the subclass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
import pytest

from connectors.contract import Connection, Source, Webhook
from connectors.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectorError,
    Misconfigured,
    RateLimited,
    RecordRejected,
    SignatureRefused,
    Transient,
)
from connectors.sandbox.faults import Fault, Faults
from routing.core.model import ChangeEvent, Unreadable, Values, Write

WAIT = 30.0  # seconds until a test gives up waiting for a condition
# Other scripts, what languages of queries and markup give a meaning to, and as long as a field takes.
ANY_TEXT = ("Ünïcödé 株式会社 🦊 مرحبا", 'O\'Brien "&" <b>Söhne</b>; \\ %41 {{x}}', "null", "0", "x" * 255)


class Stand(Protocol):
    """One system under test. ``entity`` is the canonical entity the suite works on; field names are canonical."""

    system: str
    connection: Connection
    faults: Faults
    entity: str
    text_field: str  # a plain text field that may be written
    other_field: str  # another one
    owner_field: str
    owners: Sequence[str]  # two ids of people who may own a record
    write_operation: str  # the fault operation of ``Sink.write``
    read_operation: str  # the fault operation of ``Reader.read``

    def create(self, values: Values) -> str:
        """Makes a record as a person would, and gives its id. Missing required fields are filled in."""
        ...

    def change(self, record_id: str, values: Values) -> None:
        """Changes a record as a person would."""
        ...

    def delete(self, record_id: str) -> None: ...

    def held(self, record_id: str) -> Values:
        """What the system itself holds, by canonical names."""
        ...

    def times_written(self, record_id: str) -> int:
        """How often the integration wrote this record."""
        ...

    def missing_id(self) -> str:
        """A well-formed id of a record that never existed."""
        ...


def write_of(stand: Stand, record_id: str, **fields: Any) -> Write:
    """One write of the stand's entity."""
    return Write(
        write_id=f"w-{record_id}",
        decision_id=f"d-{record_id}",
        system=stand.system,
        entity=stand.entity,  # type: ignore[arg-type]
        record_id=record_id,
        fields=fields,
        guard={},
    )


class ReaderSuite:
    """``Reader``: what is read is what the system holds, in canonical form."""

    def test_reads_the_fields_asked_for(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "Ångström & Söhne", stand.owner_field: stand.owners[0]})
        snapshots = stand.connection.read(stand.entity, [record], [stand.text_field, stand.owner_field])
        assert snapshots[record].values == {
            stand.text_field: "Ångström & Söhne",
            stand.owner_field: stand.owners[0],
        }

    def test_says_when_the_record_was_last_changed(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "a"})
        modified = stand.connection.read(stand.entity, [record], [stand.text_field])[record].modified_at
        assert modified is not None
        assert modified.tzinfo is not None

    def test_missing_and_deleted_records_are_absent(self, stand: Stand) -> None:
        gone, there = stand.create({stand.text_field: "a"}), stand.create({stand.text_field: "b"})
        stand.delete(gone)
        assert set(stand.connection.read(stand.entity, [gone, there, stand.missing_id()], [stand.text_field])) == {
            there
        }

    def test_no_ids_need_no_call(self, stand: Stand) -> None:
        before = stand.connection.calls
        assert stand.connection.read(stand.entity, [], [stand.text_field]) == {}
        assert stand.connection.calls == before

    def test_reads_more_ids_than_fit_one_request(self, stand: Stand) -> None:
        ids = [stand.create({stand.text_field: f"row {n}"}) for n in range(450)]
        snapshots = stand.connection.read(stand.entity, ids, [stand.text_field])
        assert [snapshots[one].values[stand.text_field] for one in ids] == [f"row {n}" for n in range(450)]

    def test_a_busy_system_is_transient(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "a"})
        stand.faults.add(Fault(system=stand.system, operation=stand.read_operation, kind="unavailable"))
        with pytest.raises(Transient) as caught:
            stand.connection.read(stand.entity, [record], [stand.text_field])
        assert not caught.value.outcome_unknown
        assert record in stand.connection.read(stand.entity, [record], [stand.text_field])

    def test_a_limit_tells_how_long_to_wait(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "a"})
        stand.faults.add(
            Fault(system=stand.system, operation=stand.read_operation, kind="rate_limited", retry_after=7.0)
        )
        with pytest.raises(RateLimited) as caught:
            stand.connection.read(stand.entity, [record], [stand.text_field])
        assert caught.value.retry_after == 7.0

    def test_backfill_delivers_every_record_once_as_snapshots(self, stand: Stand) -> None:
        made = {stand.create({stand.text_field: f"row {n}"}) for n in range(3)}
        events = [event for page in stand.connection.backfill([stand.entity]) for event in page]
        assert {event.kind for event in events} == {"snapshot"}
        assert {event.entity for event in events} == {stand.entity}
        ids = [event.record_id for event in events]
        assert made <= set(ids)
        assert len(ids) == len(set(ids))


class SinkSuite:
    """``Sink``: each write is confirmed or refused on its own, and never happens twice."""

    def test_a_confirmed_write_is_in_the_system(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old", stand.owner_field: stand.owners[0]})
        fields = {stand.text_field: "new", stand.owner_field: stand.owners[1]}
        [result] = stand.connection.write([write_of(stand, record, **fields)])
        assert result.write_id == f"w-{record}"
        assert result.error is None
        held = stand.held(record)
        assert {name: held[name] for name in fields} == fields
        assert stand.times_written(record) == 1

    def test_a_full_batch_is_one_call_and_keeps_its_order(self, stand: Stand) -> None:
        size = stand.connection.batch_size
        ids = [stand.create({stand.text_field: "old"}) for _ in range(size)]
        stand.connection.read(stand.entity, ids[:1], [stand.text_field])  # logged in
        before = stand.connection.calls
        results = stand.connection.write([write_of(stand, one, **{stand.text_field: f"new {one}"}) for one in ids])
        assert stand.connection.calls - before == 1
        assert [result.write_id for result in results] == [f"w-{one}" for one in ids]
        assert all(result.error is None for result in results)
        assert [stand.held(one)[stand.text_field] for one in ids] == [f"new {one}" for one in ids]

    def test_none_empties_a_field(self, stand: Stand) -> None:
        record = stand.create({stand.other_field: "old"})
        [result] = stand.connection.write([write_of(stand, record, **{stand.other_field: None})])
        assert result.error is None
        assert not stand.held(record).get(stand.other_field)

    @pytest.mark.parametrize("text", ANY_TEXT)
    def test_any_text_comes_back_as_it_went(self, stand: Stand, text: str) -> None:
        record = stand.create({stand.text_field: "old"})
        [result] = stand.connection.write([write_of(stand, record, **{stand.text_field: text})])
        assert result.error is None
        assert stand.held(record)[stand.text_field] == text
        read = stand.connection.read(stand.entity, [record], [stand.text_field])
        assert read[record].values == {stand.text_field: text}

    def test_one_refused_record_does_not_hold_up_the_others(self, stand: Stand) -> None:
        good, gone, fine = (stand.create({stand.text_field: "old"}) for _ in range(3))
        stand.delete(gone)
        writes = [write_of(stand, one, **{stand.text_field: "new"}) for one in (good, gone, fine)]
        results = stand.connection.write(writes)
        assert results[0].error is None
        assert results[2].error is None
        assert isinstance(results[1].error, RecordRejected)
        assert not results[1].error.outcome_unknown
        assert [stand.held(one)[stand.text_field] for one in (good, fine)] == ["new", "new"]

    def test_a_lock_on_some_records_is_a_conflict_of_those(self, stand: Stand) -> None:
        ids = [stand.create({stand.text_field: "old"}) for _ in range(4)]
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="lock", share=0.5))
        results = stand.connection.write([write_of(stand, one, **{stand.text_field: "new"}) for one in ids])
        locked = [one for one, result in zip(ids, results, strict=True) if isinstance(result.error, Conflict)]
        assert len(locked) == 2
        for one, result in zip(ids, results, strict=True):
            assert stand.held(one)[stand.text_field] == ("old" if one in locked else "new")
            assert stand.times_written(one) == (0 if one in locked else 1)
            assert (result.error is None) == (one not in locked)

    def test_a_busy_system_wrote_nothing_and_says_so(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="unavailable"))
        with pytest.raises(Transient) as caught:
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert not caught.value.outcome_unknown
        assert stand.held(record)[stand.text_field] == "old"

    def test_a_limit_is_rate_limited(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(
            Fault(system=stand.system, operation=stand.write_operation, kind="rate_limited", retry_after=3.0)
        )
        with pytest.raises(RateLimited) as caught:
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert caught.value.retry_after == 3.0

    def test_a_failure_inside_the_system_may_have_happened(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="broken"))
        with pytest.raises(Transient) as caught:
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert caught.value.outcome_unknown
        assert stand.times_written(record) == 0

    def test_the_end_of_the_days_calls_is_a_limit(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="daily_limit"))
        with pytest.raises(RateLimited) as caught:
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert not caught.value.outcome_unknown
        assert stand.held(record)[stand.text_field] == "old"

    def test_a_slow_answer_is_waited_for(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="slow", seconds=0.05))
        [result] = stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert result.error is None
        assert stand.times_written(record) == 1

    def test_a_person_at_the_same_moment_is_no_error_of_ours(self, stand: Stand) -> None:
        one, two = (stand.create({stand.text_field: "old"}) for _ in range(2))
        kind = Fault(system=stand.system, operation=stand.write_operation, kind="person_edits", share=0.5)
        stand.faults.add(kind)
        results = stand.connection.write([write_of(stand, each, **{stand.text_field: "new"}) for each in (one, two)])
        assert [result.error for result in results] == [None, None]
        assert [stand.times_written(each) for each in (one, two)] == [1, 1]

    @pytest.mark.parametrize(("kind", "committed"), [("timeout", False), ("timeout_after_commit", True)])
    def test_silence_after_sending_is_an_unknown_outcome_and_not_sent_again(
        self, stand: Stand, kind: Any, committed: bool
    ) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.connection.read(stand.entity, [record], [stand.text_field])
        before = stand.connection.calls
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind=kind))
        with pytest.raises(ConnectorError) as caught:
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert caught.value.outcome_unknown
        assert stand.connection.calls - before == 1
        assert stand.held(record)[stand.text_field] == ("new" if committed else "old")
        assert stand.times_written(record) == int(committed)

    def test_an_unknown_field_is_an_error_of_that_write_alone(self, stand: Stand) -> None:
        one, two = stand.create({stand.text_field: "old"}), stand.create({stand.text_field: "old"})
        results = stand.connection.write(
            [write_of(stand, one, no_such_field="x"), write_of(stand, two, **{stand.text_field: "new"})]
        )
        assert isinstance(results[0].error, ConnectorError)
        assert "no_such_field" in str(results[0].error)
        assert results[1].error is None

    def test_a_merge_is_made_or_refused_and_never_taken_for_a_change(self, stand: Stand) -> None:
        keeps, goes, other = (stand.create({stand.text_field: "old"}) for _ in range(3))
        merge = msgspec.structs.replace(write_of(stand, keeps, merged=[goes]), kind="merge")
        results = stand.connection.write([merge, write_of(stand, other, **{stand.text_field: "new"})])
        assert results[1].error is None
        assert stand.held(other)[stand.text_field] == "new"
        there = set(stand.connection.read(stand.entity, [keeps, goes], [stand.text_field]))
        if results[0].error is None:
            assert there == {keeps}
        else:
            assert isinstance(results[0].error, Misconfigured)
            assert "merge" in str(results[0].error)
            assert there == {keeps, goes}


class SessionSuite:
    """Systems with sessions: an expired one is renewed, once, without losing or repeating the write."""

    def test_an_expired_session_is_renewed_and_the_write_happens_once(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="expired_session"))
        [result] = stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert result.error is None
        assert stand.times_written(record) == 1

    def test_a_session_that_stays_refused_is_an_authentication_failure(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="expired_session", times=9))
        with pytest.raises(AuthenticationFailed):
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert stand.times_written(record) == 0


class Heard:
    """An ``accept`` that remembers, and can be waited on."""

    def __init__(self) -> None:
        self.items: list[ChangeEvent | Unreadable] = []
        self.positions: list[bytes | None] = []
        self.batches: list[tuple[int, bytes | None]] = []
        self._changed = threading.Condition()

    def __call__(self, items: Sequence[ChangeEvent | Unreadable], position: bytes | None) -> None:
        with self._changed:
            self.items.extend(items)
            self.positions.append(position)
            self.batches.append((len(items), position))
            self._changed.notify_all()

    @property
    def events(self) -> list[ChangeEvent]:
        return [item for item in self.items if isinstance(item, ChangeEvent)]

    @property
    def unreadable(self) -> list[Unreadable]:
        return [item for item in self.items if isinstance(item, Unreadable)]

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits until ``condition`` holds; fails the test after WAIT seconds."""
        with self._changed:
            assert self._changed.wait_for(condition, WAIT), f"heard only {self.items!r} at {self.positions!r}"


class Running:
    """A source running in a thread of its own, for a ``with`` block. What it raised is in ``error``."""

    def __init__(self, source: Source, position: bytes | None, accept: Callable[..., None]) -> None:
        self._stop = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(source, position, accept), daemon=True)

    def _run(self, source: Source, position: bytes | None, accept: Callable[..., None]) -> None:
        try:
            source.run(position, accept, self._stop)
        except BaseException as error:  # noqa: BLE001 - shown to the test that waits for it
            self.error = error

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        """Waits for the source to return."""
        self._thread.join(WAIT)
        assert not self._thread.is_alive(), "the source did not stop when asked to"


class SourceStand(Stand, Protocol):
    """A stand with a ``Source``."""

    source: Source

    def break_streams(self) -> None:
        """Ends every open subscription, as a restart of the system would."""
        ...

    def deliver_twice(self) -> None:
        """Makes the system deliver its next event twice."""
        ...

    def deliver_garbage(self) -> None:
        """Makes the system deliver something that cannot be read."""
        ...


class SourceSuite:
    """``Source``: everything is delivered, in order, from the position on; nothing readable or not is dropped."""

    @pytest.fixture
    def heard(self) -> Heard:
        return Heard()

    def test_the_first_position_comes_with_the_subscription(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: any(position is not None for position in heard.positions))
        assert heard.items == []

    def test_a_creation_and_a_change_arrive_in_order_with_their_values(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            record = stand.create({stand.text_field: "first", stand.owner_field: stand.owners[0]})
            stand.change(record, {stand.text_field: "second"})
            heard.until(lambda: len(heard.events) >= 2)
        created, changed = heard.events
        assert (created.kind, changed.kind) == ("created", "updated")
        assert created.record_id == changed.record_id == record
        assert created.values[stand.text_field] == "first"
        assert changed.changed == (stand.text_field,)
        assert changed.values == {stand.text_field: "second"}
        assert changed.actor
        assert changed.occurred_at.tzinfo is not None
        assert created.occurred_at <= changed.occurred_at

    def test_an_emptied_field_arrives_as_none(self, stand: SourceStand, heard: Heard) -> None:
        record = stand.create({stand.other_field: "something"})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.change(record, {stand.other_field: None})
            heard.until(lambda: bool(heard.events))
        assert heard.events[0].changed == (stand.other_field,)
        assert heard.events[0].values == {stand.other_field: None}

    def test_a_deletion_arrives(self, stand: SourceStand, heard: Heard) -> None:
        record = stand.create({stand.text_field: "x"})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.delete(record)
            heard.until(lambda: bool(heard.events))
        assert (heard.events[0].kind, heard.events[0].record_id) == ("deleted", record)

    def test_resumes_after_the_position_with_the_same_ids(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            start = heard.positions[0]
            stand.create({stand.text_field: "seen"})
            heard.until(lambda: len(heard.events) == 1)
            seen = heard.positions[-1]
        stand.create({stand.text_field: "missed"})  # while nobody listened
        again, rest = Heard(), Heard()
        with Running(stand.source, start, again):
            again.until(lambda: len(again.events) >= 2)
        with Running(stand.source, seen, rest):
            rest.until(lambda: len(rest.events) >= 1)
        assert [event.values[stand.text_field] for event in again.events] == ["seen", "missed"]
        assert [event.values[stand.text_field] for event in rest.events] == ["missed"]
        assert again.events[0].event_id == heard.events[0].event_id
        assert again.events[1].event_id == rest.events[0].event_id

    def test_what_accept_raises_goes_through_and_is_delivered_again(self, stand: SourceStand, heard: Heard) -> None:
        class LedgerDown(Exception):
            pass

        def refuse(items: Sequence[ChangeEvent | Unreadable], position: bytes | None) -> None:
            if items:
                raise LedgerDown
            heard(items, position)

        with Running(stand.source, None, refuse) as running:
            heard.until(lambda: bool(heard.positions))
            stand.create({stand.text_field: "kept"})
            running.join()
        assert isinstance(running.error, LedgerDown)
        with Running(stand.source, heard.positions[-1], heard):
            heard.until(lambda: bool(heard.events))
        assert heard.events[0].values[stand.text_field] == "kept"

    def test_a_broken_stream_is_taken_up_again_without_loss(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.create({stand.text_field: "before"})
            heard.until(lambda: len(heard.events) == 1)
            stand.break_streams()
            stand.create({stand.text_field: "after"})
            heard.until(lambda: len({event.event_id for event in heard.events}) == 2)
        assert [event.values[stand.text_field] for event in heard.events] == ["before", "after"]

    def test_a_repeated_delivery_has_the_same_id(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.deliver_twice()
            stand.create({stand.text_field: "twice"})
            heard.until(lambda: len(heard.events) == 2)
        assert heard.events[0].event_id == heard.events[1].event_id

    def test_what_cannot_be_read_is_kept_and_the_rest_goes_on(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.deliver_garbage()
            stand.create({stand.text_field: "readable"})
            heard.until(lambda: bool(heard.events) and bool(heard.unreadable))
        [kept] = heard.unreadable
        assert kept.raw
        assert kept.error
        assert heard.events[-1].values[stand.text_field] == "readable"
        with pytest.raises(ConnectorError):
            stand.source.reread(kept.raw, datetime(2026, 11, 22, tzinfo=UTC))


class WebhookStand(Protocol):
    """A system that calls us: what it would send, and the intake under test."""

    webhook: Webhook

    def request(self, record_id: str, at: datetime) -> tuple[dict[str, str], bytes]:
        """Headers (lower-case names) and body of a genuine call about one record, sent ``at``."""
        ...

    def sealed(self, body: bytes, at: datetime) -> dict[str, str]:
        """The headers with which the system would send any body."""
        ...


class WebhookSuite:
    """``Webhook``: only the system itself is heard, nothing it says is dropped, and what it says twice is one event."""

    NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def received(self, stand: WebhookStand, headers: Mapping[str, str], body: bytes) -> list[ChangeEvent | Unreadable]:
        return stand.webhook.receive("POST", stand.webhook.path, "", headers, body, self.NOW)

    def test_a_genuine_call_is_an_event_of_its_record(self, webhook_stand: WebhookStand) -> None:
        [event] = self.received(webhook_stand, *webhook_stand.request("1001", self.NOW))
        assert isinstance(event, ChangeEvent)
        assert (event.system, event.record_id) == (webhook_stand.webhook.system, "1001")
        assert event.observed_at == self.NOW

    def test_without_its_seal_nothing_is_read(self, webhook_stand: WebhookStand) -> None:
        _, body = webhook_stand.request("1001", self.NOW)
        with pytest.raises(SignatureRefused):
            self.received(webhook_stand, {}, body)

    def test_each_part_of_the_seal_counts(self, webhook_stand: WebhookStand) -> None:
        headers, body = webhook_stand.request("1001", self.NOW)
        sealed = webhook_stand.sealed(body, self.NOW)
        for name in sealed:
            with pytest.raises(SignatureRefused):
                self.received(webhook_stand, {**headers, name: f"{sealed[name]}x"}, body)

    def test_a_refusal_shows_no_secret(self, webhook_stand: WebhookStand) -> None:
        headers, body = webhook_stand.request("1001", self.NOW)
        with pytest.raises(SignatureRefused) as caught:
            self.received(webhook_stand, dict.fromkeys(headers, "wrong"), body)
        assert not any(value in str(caught.value) for value in webhook_stand.sealed(body, self.NOW).values())

    def test_the_same_call_twice_is_one_event(self, webhook_stand: WebhookStand) -> None:
        call = webhook_stand.request("1001", self.NOW)
        [one], [two] = self.received(webhook_stand, *call), self.received(webhook_stand, *call)
        other = self.received(webhook_stand, *webhook_stand.request("1002", self.NOW))
        assert one.event_id == two.event_id != other[0].event_id

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"null", b"7", b"[" * 100_000])
    def test_a_sealed_body_that_cannot_be_read_is_kept(self, webhook_stand: WebhookStand, body: bytes) -> None:
        [kept] = self.received(webhook_stand, webhook_stand.sealed(body, self.NOW), body)
        assert isinstance(kept, Unreadable)
        assert kept.raw == body
        assert kept.error
        with pytest.raises(ConnectorError):
            webhook_stand.webhook.reread(kept.raw, self.NOW)
