"""Messages of the topic of changes: what goes in comes out; what is none of ours is kept, never raised."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core.model import ChangeEvent, Unreadable
from routing.ledger.schema import slot_of
from routing.runtime.kafka import messages
from routing.runtime.kafka.messages import BadMessage, TooLarge

MOMENT = datetime(2026, 11, 22, 9, 0, 0, 123456, tzinfo=UTC)
# Half characters included: they must arrive as they came, to be parked there as everywhere.
texts = st.text(st.characters(exclude_categories=()), max_size=30)
moments = st.integers(0, 4 * 10**15).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
values = st.dictionaries(
    texts,
    st.one_of(
        texts,
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.booleans(),
        st.none(),
        st.lists(texts, max_size=3),
    ),
    max_size=6,
)
events = st.builds(
    ChangeEvent,
    event_id=st.uuids().map(str),
    system=st.sampled_from(["salesforce", "hubspot"]),
    entity=st.sampled_from(["lead", "contact", "account"]),
    record_id=texts,
    kind=st.sampled_from(["created", "updated", "deleted", "gap"]),
    occurred_at=moments,
    observed_at=moments,
    changed=st.lists(texts, max_size=3).map(tuple),
    values=values,
    sequence=st.integers(0, 10**9),
    complete=st.booleans(),
)
unreadables = st.builds(
    Unreadable,
    event_id=st.uuids().map(str),
    system=texts,
    error=texts,
    raw=st.binary(max_size=200),
    observed_at=moments,
    record_id=texts,
)


def event(**more: Any) -> ChangeEvent:
    made = ChangeEvent(
        event_id="e",
        system="fake",
        entity="lead",
        record_id="r",
        kind="updated",
        occurred_at=MOMENT,
        observed_at=MOMENT,
    )
    return msgspec.structs.replace(made, **more)


@given(st.one_of(events, unreadables), st.integers(0, 2**47))
def test_what_goes_in_comes_out(sent: ChangeEvent | Unreadable, accepted_ms: int) -> None:
    value = messages.encode(sent, accepted_ms)
    found, at = messages.decode(value)
    assert (found, at) == (sent, accepted_ms)
    assert json.loads(value)["v"] == 1
    # Numbers keep their type: 1 and 1.0 are equal, and not the same to a rule.
    if isinstance(sent, ChangeEvent) and isinstance(found, ChangeEvent):
        assert {k: type(v) for k, v in found.values.items()} == {k: type(v) for k, v in sent.values.items()}


@given(st.one_of(st.none(), st.binary(max_size=300), texts.map(lambda t: t.encode("utf-8", "surrogatepass"))))
def test_garbage_is_kept_under_its_place(value: bytes | None) -> None:
    found = messages.receive("changes", 3, 42, value, 1_000).event
    assert isinstance(found, Unreadable)
    assert found.raw == (value or b"")
    assert found.record_id == "changes[3]@42"
    assert found.event_id == messages.receive("changes", 3, 42, b"else", 9_000).event.event_id  # type: ignore[union-attr]
    assert found.event_id != messages.receive("changes", 3, 43, value, 1_000).event.event_id  # type: ignore[union-attr]


@given(events, st.data())
def test_a_damaged_message_never_raises(sent: ChangeEvent, data: st.DataObject) -> None:
    value = bytearray(messages.encode(sent, 5))
    for _ in range(data.draw(st.integers(1, 5))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(value)))
    received = messages.receive("changes", 0, 0, bytes(value[:cut]), 1)
    assert received.event is not None


def test_a_newer_gateway_may_say_more() -> None:
    value = json.loads(messages.encode(event(), 5))
    value["traceparent"] = {"new": True}
    value["event"]["novel"] = [1]
    assert messages.decode(json.dumps(value).encode()) == (event(), 5)


def test_a_message_of_a_later_version_is_parked_and_says_what_to_do() -> None:
    value = json.loads(messages.encode(event(), 5)) | {"v": 2}
    with pytest.raises(BadMessage, match="upgrade the workers"):
        messages.decode(json.dumps(value).encode())


@pytest.mark.parametrize("value", [b'{"v":1,"accepted_ms":1}', b"[]", b"null", b'{"v":1,"accepted_ms":1,"event":null}'])
def test_a_message_without_an_event_is_none_of_ours(value: bytes) -> None:
    with pytest.raises(BadMessage, match="not one of ours"):
        messages.decode(value)


@pytest.mark.parametrize("odd", [{"accepted_ms": 2**63}, {"accepted_ms": -1}])
def test_a_time_that_no_ledger_holds_is_none_of_ours(odd: dict[str, int]) -> None:
    value = json.loads(messages.encode(event(), 5)) | odd
    with pytest.raises(BadMessage, match="not one of ours"):
        messages.decode(json.dumps(value).encode())


@pytest.mark.parametrize("odd", ["", "e" * 37, "e\0", "e\ud800"])
def test_an_id_that_no_ledger_holds_is_none_of_ours(odd: str) -> None:
    with pytest.raises(BadMessage, match="event_id is no id"):
        messages.decode(messages.encode(event(event_id=odd), 5))


def test_deep_nesting_is_no_way_to_stop_a_worker() -> None:
    deep = b'{"v":1,"accepted_ms":1,"event":' + b"[" * 100_000 + b"\\ud800"
    with pytest.raises(BadMessage):
        messages.decode(deep)


def test_a_message_is_bounded() -> None:
    with pytest.raises(TooLarge, match="8,388,608"):
        messages.encode(event(values={"text": "x" * messages.MOST_BYTES}), 5)
    notice = messages.too_large(event(), "the event has 9,000,000 bytes")
    assert notice.event_id == "e"
    assert messages.decode(messages.encode(notice, 5)) == (notice, 5)


def test_a_whole_webhook_that_nobody_could_read_fits() -> None:
    from routing.web.app import MOST_BYTES

    raw = bytes(range(256)) * (MOST_BYTES // 256)
    odd = Unreadable(event_id="e", system="s", error="x", raw=raw, observed_at=MOMENT)
    assert messages.decode(messages.encode(odd, 1))[0] == odd


@given(texts, st.integers(1, 64))
def test_a_record_has_one_partition_and_the_ledger_agrees(record_id: str, partitions: int) -> None:
    ref = messages.ref_of_event(event(record_id=record_id))
    assert messages.partition_of(ref, partitions) == slot_of(ref) % partitions
    assert messages.key_of(ref).decode("utf-8", "surrogatepass") == ref
