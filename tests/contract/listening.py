"""What every source and every intake must do, written once; see ``suites.py``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Protocol

import pytest
from msgspec.structs import replace

from connectors.contract import Source, Webhook
from connectors.errors import ConnectorError, Misconfigured, PermissionDenied, SignatureRefused
from connectors.sandbox.faults import Fault
from routing.core.merge import merge
from routing.core.model import ChangeEvent, Record, Unreadable, Values
from tests.contract.suites import ANY_TEXT, Stand, unless_exempt, write_of

WAIT = 30.0  # seconds until a test gives up waiting for a condition


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

    def ended(self) -> None:
        """Nothing more will come: whoever waits looks again."""
        with self._changed:
            self._changed.notify_all()


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
            if isinstance(accept, Heard):
                accept.ended()

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
    follow_operation: str  # the fault operation of what ``Source.run`` asks

    def break_streams(self) -> None:
        """Ends every open subscription, as a restart of the system would."""
        ...

    def deliver_twice(self) -> None:
        """Makes the system deliver its next event twice."""
        ...

    def deliver_garbage(self) -> None:
        """Makes the system deliver something that cannot be read."""
        ...

    def retype(self, record_id: str) -> None:
        """An administrator makes ``employees`` a text, and somebody enters "a few" in that record."""
        ...

    def reordering(self) -> AbstractContextManager[object]:
        """What happens within the block the system tells in another order."""
        ...

    def forget(self, position: bytes) -> bytes:
        """Makes the system forget what it could tell so far, as after days. The position to go on from: that one, made as old."""
        ...


def known_after(events: Sequence[ChangeEvent]) -> Values:
    """What the mirror holds of a record once it was told these."""
    record: Record | None = None
    for event in events:
        record, _ = merge(record, event)
    assert record is not None
    return record.values


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

    def test_what_we_wrote_is_told_back_as_we_wrote_it(self, stand: SourceStand, heard: Heard) -> None:
        record = stand.create({stand.owner_field: stand.owners[0]})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            [result] = stand.connection.write([write_of(stand, record, **{stand.owner_field: stand.owners[1]})])
            assert result.error is None
            heard.until(lambda: any(event.values.get(stand.owner_field) == stand.owners[1] for event in heard.events))
        echo = next(event for event in heard.events if event.values.get(stand.owner_field) == stand.owners[1])
        assert (echo.record_id, echo.entity) == (record, stand.entity)

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

    @pytest.mark.parametrize("text", ANY_TEXT)
    def test_any_text_arrives_as_it_was_entered(self, stand: SourceStand, heard: Heard, text: str) -> None:
        record = stand.create({stand.text_field: "old"})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.change(record, {stand.text_field: text})
            heard.until(lambda: bool(heard.events))
        assert heard.events[-1].values[stand.text_field] == text

    def test_whatever_the_stop_each_record_is_told_before_or_after_it(self, stand: SourceStand, heard: Heard) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            made = []
            for together in (1, 3, 1):
                made += [stand.create({stand.text_field: "x"}) for _ in range(together)]
                heard.until(lambda made=made: set(made) <= {event.record_id for event in heard.events})  # type: ignore[misc]
        told = 0
        for count, position in list(heard.batches):
            told += count
            before = {event.record_id for event in heard.events[:told]}
            rest = Heard()
            with Running(stand.source, position, rest):
                rest.until(
                    lambda rest=rest, before=before: (  # type: ignore[misc]
                        set(made) <= before | {event.record_id for event in rest.events}
                    )
                )

    def test_a_limit_is_waited_out_as_long_as_it_asks(self, stand: SourceStand, heard: Heard) -> None:
        record, wait = stand.create({}), None if "retry_after" in stand.exempt else 0.3
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
        stand.faults.hasty.clear()
        limit = Fault(
            system=stand.system, operation=stand.follow_operation, kind="rate_limited", retry_after=wait, times=2
        )
        stand.faults.add(limit)
        with Running(stand.source, heard.positions[-1], heard):
            stand.change(record, {stand.text_field: "x"})
            heard.until(lambda: bool(heard.events))
        assert stand.faults.all() == []
        assert [one for one in stand.faults.hasty if one.after > 0.05] == []

    def test_a_refusal_is_told_or_waited_out_and_nothing_is_lost(self, stand: SourceStand, heard: Heard) -> None:
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
        stand.change(record, {stand.text_field: "x"})
        stand.faults.add(Fault(system=stand.system, operation=stand.follow_operation, kind="forbidden"))
        position, refused = heard.positions[-1], []
        while not heard.events:
            with Running(stand.source, position, heard) as running:
                heard.until(lambda running=running: bool(heard.events) or running.error is not None)  # type: ignore[misc]
            refused += [running.error] if running.error is not None else []
        assert [type(error) for error in refused] in ([], [PermissionDenied])  # whoever runs it starts it again
        assert heard.events[-1].record_id == record

    def test_a_snapshot_that_comes_late_overwrites_nothing_newer(self, stand: SourceStand, heard: Heard) -> None:
        unless_exempt(stand, "snapshots")
        record = stand.create({stand.text_field: "old"})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            pages = list(stand.connection.backfill([stand.entity]))
            stand.change(record, {stand.text_field: "new"})
            heard.until(lambda: "new" in [event.values.get(stand.text_field) for event in heard.events])
        [snapshot] = [event for page in pages for event in page if event.record_id == record]
        # One that carries what the record holds is completed as a change.
        changes = [replace(event, kind="updated", changed=tuple(event.values)) for event in heard.events]
        changes = [event for event in changes if event.record_id == record]
        assert snapshot.values[stand.text_field] == "old"
        for order in ([snapshot, *changes], [*changes, snapshot]):
            assert known_after(order)[stand.text_field] == "new"

    def test_a_field_that_goes_while_we_listen_loses_nothing(self, stand: SourceStand, heard: Heard) -> None:
        unless_exempt(stand, "lose")
        record = stand.create({stand.other_field: "kept"})
        with Running(stand.source, None, heard) as running:
            heard.until(lambda: bool(heard.positions))
            remote = stand.lose(stand.other_field)
            try:
                stand.change(record, {stand.text_field: "meanwhile"})
                heard.until(lambda: bool(heard.events) or running.error is not None)
            finally:
                stand.regain(stand.other_field)
        if running.error is not None:  # it stops where it cannot ask without the field, and goes on from where it stood
            assert isinstance(running.error, Misconfigured)
            assert remote in str(running.error)
            with Running(stand.source, heard.positions[-1], heard):
                heard.until(lambda: bool(heard.events))
        assert heard.events[-1].values[stand.text_field] == "meanwhile"
        assert heard.events[-1].values.get(stand.other_field, "kept") == "kept"

    def test_a_field_of_another_type_is_kept_with_what_to_do(self, stand: SourceStand, heard: Heard) -> None:
        unless_exempt(stand, "retype")
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.retype(record)
            heard.until(lambda: bool(heard.unreadable))
            stand.change(record, {"employees": "12"})
            heard.until(lambda: 12 in [event.values.get("employees") for event in heard.events])
        [kept] = heard.unreadable
        assert "is not a number, but fields.yaml calls lead.employees a number: correct the type there" in kept.error
        with pytest.raises(ConnectorError, match="employees"):
            stand.source.reread(kept.raw, datetime(2026, 11, 22, tzinfo=UTC))

    def test_whatever_the_order_of_changes_they_end_in_what_the_system_holds(
        self, stand: SourceStand, heard: Heard
    ) -> None:
        unless_exempt(stand, "reordering")
        record, happened = stand.create({stand.text_field: "a"}), ["b", "c", "d", "e"]
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            with stand.reordering():
                for text in happened:
                    stand.change(record, {stand.text_field: text})
            heard.until(lambda: len(heard.events) >= len(happened))
        told = [event.values[stand.text_field] for event in heard.events]
        assert told != sorted(told) == happened
        ends = {known_after(order)[stand.text_field] for order in permutations(heard.events)}
        assert ends == {stand.held(record)[stand.text_field]} == {"e"}

    def test_what_the_system_forgot_to_tell_is_a_gap_and_the_rest_goes_on(
        self, stand: SourceStand, heard: Heard
    ) -> None:
        unless_exempt(stand, "forget")
        record = stand.create({stand.text_field: "a"})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
        stand.change(record, {stand.text_field: "forgotten"})
        old, after = heard.positions[-1] or b"", Heard()
        place = stand.forget(old)
        with Running(stand.source, place, after):
            after.until(lambda: (stand.entity, "*") in [(e.entity, e.record_id) for e in after.events])
            after.until(lambda: after.positions[-1] not in (None, old, place))
            stand.change(record, {stand.text_field: "told"})
            after.until(lambda: after.events[-1].kind == "updated")
        gaps, rest = after.events[:-1], after.events[-1]
        assert {(gap.kind, gap.record_id, gap.complete) for gap in gaps} == {("gap", "*", False)}
        assert len({gap.entity for gap in gaps}) == len({gap.event_id for gap in gaps}) == len(gaps)
        assert (rest.record_id, rest.values) == (record, {stand.text_field: "told"})

    def test_what_cannot_be_read_is_kept_and_the_rest_goes_on(self, stand: SourceStand, heard: Heard) -> None:
        unless_exempt(stand, "deliver_garbage")
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


class NewsSuite(SourceSuite):
    """For a source that tells that a record is new, not what is in it: that is read back."""

    def test_resumes_after_the_position_with_the_same_ids(self, stand: SourceStand, heard: Heard) -> None:
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.change(record, {stand.text_field: "seen"})
            heard.until(lambda: len(heard.events) == 1)
        stand.change(record, {stand.text_field: "missed"})
        again, rest = Heard(), Heard()
        with Running(stand.source, heard.positions[0], again):
            again.until(lambda: len(again.events) >= 2)
        with Running(stand.source, heard.positions[-1], rest):
            rest.until(lambda: bool(rest.events))
        assert [event.values[stand.text_field] for event in again.events] == ["seen", "missed"]
        assert [event.values[stand.text_field] for event in rest.events] == ["missed"]
        assert again.events[0].event_id == heard.events[0].event_id

    def test_what_accept_raises_goes_through_and_is_delivered_again(self, stand: SourceStand, heard: Heard) -> None:
        def refuse(items: object, position: bytes | None) -> None:
            if items:
                raise ZeroDivisionError
            heard([], position)

        with Running(stand.source, None, refuse) as running:
            heard.until(lambda: bool(heard.positions))
            record = stand.create({})
            running.join()
        assert isinstance(running.error, ZeroDivisionError)
        with Running(stand.source, heard.positions[-1], heard):
            heard.until(lambda: bool(heard.events))
        assert heard.events[0].record_id == record

    def test_a_broken_stream_is_taken_up_again_without_loss(self, stand: SourceStand, heard: Heard) -> None:
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.change(record, {stand.text_field: "before"})
            heard.until(lambda: len(heard.events) == 1)
            stand.break_streams()
            stand.change(record, {stand.text_field: "after"})
            heard.until(lambda: len(heard.events) == 2)
        assert [event.values[stand.text_field] for event in heard.events] == ["before", "after"]


class WebhookStand(Protocol):
    """A system that calls us: what it would send, and the intake under test. ``exempt`` as with ``Stand``."""

    webhook: Webhook
    text_field: str
    exempt: Mapping[str, str]

    def request(self, record_id: str, at: datetime) -> tuple[dict[str, str], bytes]:
        """Headers (lower-case names) and body of a genuine call about one record, sent ``at``."""
        ...

    def changed(self, record_id: str, text: str, at: datetime) -> bytes:
        """The body of a call that tells that the text field got that value then."""
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

    def test_whatever_the_order_of_calls_they_end_alike(self, webhook_stand: WebhookStand) -> None:
        unless_exempt(webhook_stand, "changed")
        bodies = [webhook_stand.changed("1001", text, self.NOW + timedelta(seconds=n)) for n, text in enumerate("bcd")]
        calls = [(webhook_stand.sealed(body, self.NOW), body) for body in bodies]
        ends = set()
        for order in permutations(calls):
            events = [event for call in order for event in self.received(webhook_stand, *call)]
            ends.add(
                known_after([event for event in events if isinstance(event, ChangeEvent)])[webhook_stand.text_field]
            )
        assert ends == {"d"}

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"null", b"7", b"[" * 100_000])
    def test_a_sealed_body_that_cannot_be_read_is_kept(self, webhook_stand: WebhookStand, body: bytes) -> None:
        [kept] = self.received(webhook_stand, webhook_stand.sealed(body, self.NOW), body)
        assert isinstance(kept, Unreadable)
        assert kept.raw == body
        assert kept.error
        with pytest.raises(ConnectorError):
            webhook_stand.webhook.reread(kept.raw, self.NOW)
