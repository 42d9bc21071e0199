"""What travels on the topic of changes: one event a message, as JSON.

    {"v": 1, "accepted_ms": 1795385870022, "event": {…}}        a ChangeEvent
    {"v": 1, "accepted_ms": 1795385870022, "unreadable": {…}}   something a source delivered that nobody could read

Fields that a reader does not know are passed over, so that gateways may be newer than workers; ``v`` grows only when an older
worker would misread a message, which it then parks. The key is the record's ref, and we choose the partition by it.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from routing.core.model import ChangeEvent, Unreadable, derived_id
from routing.ledger.schema import from_ms, ref_of, slot_of
from routing.runtime.received import Received

VERSION = 1
# The largest message: a whole webhook (5 MB) that could not be read fits, as base64. Topics are made to take it.
MOST_BYTES = 8 * 1024 * 1024
_LAST_MS = 253_402_300_799_999  # the end of the year 9999; the ledger holds no more of an id, either
_MOST_ID = 36


# The system of a message that could not be read.
SYSTEM = "kafka"


class BadMessage(ValueError):
    """A message of the topic that is none of ours, or of a version to come. The text says what is wrong."""


class TooLarge(ValueError):
    """An event whose message would be over MOST_BYTES."""


class _Message(Struct, omit_defaults=True, gc=False):
    v: int
    accepted_ms: Annotated[int, Meta(ge=0, le=_LAST_MS)]
    event: ChangeEvent | None = None
    unreadable: Unreadable | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Message).decode


def ref_of_event(event: ChangeEvent | Unreadable) -> str:
    """The ref of the record that the event is about: what orders it among others."""
    return ref_of(event.system, event.entity, event.record_id)


def key_of(ref: str) -> bytes:
    """The key of a record's messages."""
    return ref.encode("utf-8", "surrogatepass")


def partition_of(ref: str, partitions: int) -> int:
    """Where a record's messages go. The ledger's shares are cut alike."""
    return slot_of(ref) % partitions


def encode(event: ChangeEvent | Unreadable, accepted_ms: int) -> bytes:
    """The message's value. Raises TooLarge."""
    message = (
        _Message(VERSION, accepted_ms, unreadable=event)
        if isinstance(event, Unreadable)
        else _Message(VERSION, accepted_ms, event)
    )
    try:
        value = _encode(message)
    except UnicodeEncodeError:
        # Half a character (a lone surrogate), which UTF-8 cannot hold; escaped it arrives as it came, and is parked there.
        value = json.dumps(msgspec.to_builtins(message), separators=(",", ":")).encode("ascii")
    if len(value) > MOST_BYTES:
        raise TooLarge(f"the event has {len(value):,} bytes as a message, and at most {MOST_BYTES:,} fit")
    return value


def too_large(event: ChangeEvent | Unreadable, why: str) -> Unreadable:
    """What stands in for an event that does not fit into the log: it is parked, and says what to do."""
    error = (
        f"{why}. It was not kept. Look at the record in {event.system}: a field holds far more than any rule reads. "
        "Shorten it there, or take the field out of fields.yaml; the change of it comes in as an event of its own"
    )
    return Unreadable(
        event_id=event.event_id,
        system=event.system,
        error=error,
        raw=b"",
        observed_at=event.observed_at,
        entity=event.entity,
        record_id=event.record_id,
    )


def decode(value: bytes | None) -> tuple[ChangeEvent | Unreadable, int]:
    """The event, and when it was accepted (ms since 1970). Raises BadMessage."""
    if value is None:
        raise BadMessage("the message is empty (a tombstone)")
    try:
        message = _read(value)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadMessage(f"the message is not one of ours: {error}") from error
    if message.v > VERSION:
        raise BadMessage(
            f"the message is of version {message.v}, and this worker knows up to {VERSION}: upgrade the workers"
        )
    found = message.event or message.unreadable
    if found is None or (message.event and message.unreadable):
        raise BadMessage("the message is not one of ours: it must hold one event")
    if not (found.event_id.isascii() and found.event_id.isprintable() and 0 < len(found.event_id) <= _MOST_ID):
        raise BadMessage("the message is not one of ours: its event_id is no id")
    return found, message.accepted_ms


def _read(value: bytes) -> _Message:
    try:
        return _decode(value)
    except msgspec.DecodeError:
        # As rare as `encode` writes it: an escape that stands for half a character.
        if b"\\ud" not in value:
            raise
        return msgspec.convert(json.loads(value, parse_constant=_refuse), _Message)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def receive(topic: str, partition: int, offset: int, value: bytes | None, now_ms: int) -> Received:
    """What a worker is given. A message that cannot be read becomes an ``Unreadable``: it is parked, not lost."""
    try:
        event, accepted_ms = decode(value)
    except BadMessage as bad:
        place = f"{topic}[{partition}]@{offset}"
        lost = Unreadable(
            event_id=derived_id("kafka", topic, str(partition), str(offset)),
            system=SYSTEM,
            error=f"{place}: {bad}. Retry it once it can be read; see who else writes to this topic if it is none of ours, and discard it",
            raw=value or b"",
            observed_at=from_ms(now_ms),
            entity="message",
            record_id=place,
        )
        return Received(partition, offset, lost, now_ms)
    return Received(partition, offset, event, accepted_ms)
