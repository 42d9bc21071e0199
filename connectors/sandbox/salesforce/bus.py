"""The event bus: what was published, under which replay id, for how long, and what went wrong with it on purpose."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import inf
from threading import Condition
from time import monotonic
from typing import Any, Literal

from msgspec import Struct

from connectors.sandbox.salesforce.changes import encode, encode_commit
from connectors.sandbox.salesforce.objects import SandboxObject
from connectors.sandbox.salesforce.standard import UNTOLD
from connectors.sandbox.salesforce.store import Commit

Spoil = Literal["duplicate", "missing", "unknown_schema", "corrupt", "impossible_bitmap"]

ALL_CHANGES = "/data/ChangeEvents"
RETAINED = 200_000  # events; the real bus keeps 72 hours
_NO_SCHEMA = "no-such-schema-000000"


class BusEvent(Struct, frozen=True):
    """One published event."""

    entity: str
    schema_id: str
    payload: bytes
    due: float = 0.0  # not to be delivered before, by the clock of ``monotonic``


class EventBus:
    """An append-only log of events with a bounded memory. ``changed`` is notified on every append and on ``close``."""

    def __init__(self, objects: Mapping[str, SandboxObject]) -> None:
        self.objects = objects
        self.changed = Condition()
        self.generation = 0  # raised to end all open streams
        self.closed = False
        self.retained = RETAINED
        self._events: deque[BusEvent] = deque()
        self._first = 1  # number of the oldest event still kept; numbers start at 1
        self.late_seconds = 0.0  # every event waits so long before it is delivered
        self._reorder_every = 0
        self._offered = 0
        self._held: deque[tuple[SandboxObject, bytes]] = deque()
        self._spoil: deque[Spoil] = deque()
        self._repeated: set[int] = set()
        # What an administrator selected in Setup, and the channels made by hand (/data/Sales__chn) with their objects.
        self.selected: set[str] = set(objects) - UNTOLD
        self.channels: dict[str, set[str]] = {}
        self.schemas = {one.schema_id: one.schema_json for one in objects.values()}  # also those of before a change

    def publish(self, commit: Commit) -> None:
        """Appends the events of a transaction; those of objects that nobody selected are missing in it."""
        told = self.selected.union(*self.channels.values())
        self.append([one for one in encode_commit(self.objects, commit) if one[0].name in told])

    def append(self, events: list[tuple[SandboxObject, bytes]]) -> None:
        """Appends encoded events, spoiling those that were asked for."""
        with self.changed:
            for one in events:
                self._offered += 1
                if self._reorder_every and self._offered % self._reorder_every == 0 and not self._held:
                    self._held.append(one)
                    continue
                self._append(*one)
                self._release()
            while len(self._events) > self.retained:
                self._events.popleft()
                self._first += 1
            self.changed.notify_all()

    @property
    def reorder_every(self) -> int:
        """3: from now on every third event is overtaken by the one after it, and not delivered before that came; 0: none is."""
        return self._reorder_every

    @reorder_every.setter
    def reorder_every(self, every: int) -> None:
        with self.changed:
            self._reorder_every, self._offered = every, 0
            self._release()
            self.changed.notify_all()

    def _release(self) -> None:
        while self._held:
            self._append(*self._held.popleft())

    def _append(self, definition: SandboxObject, payload: bytes) -> None:
        schema_id = definition.schema_id
        spoil = self._spoil.popleft() if self._spoil else None
        if spoil == "missing":
            return
        if spoil == "unknown_schema":
            schema_id = _NO_SCHEMA
        elif spoil == "corrupt":
            payload = payload[: len(payload) // 3]
        elif spoil == "impossible_bitmap":
            payload = self._with_impossible_bitmap(definition)
        self._events.append(BusEvent(definition.name, schema_id, payload, monotonic() + self.late_seconds))
        if spoil == "duplicate":
            self._repeated.add(self.last)

    @staticmethod
    def _with_impossible_bitmap(definition: SandboxObject) -> bytes:
        header: dict[str, Any] = {
            "entityName": definition.name,
            "recordIds": [definition.prefix + "0" * 12 + "AAA"],
            "changeType": "UPDATE",
            "changeOrigin": "",
            "transactionKey": "",
            "sequenceNumber": 1,
            "commitTimestamp": 0,
            "commitNumber": 1,
            "commitUser": "",
            "nulledFields": [],
            "diffFields": [],
            "changedFields": [f"0x1{'0' * 40}"],
        }
        return encode(definition, header, {}, ())

    def spoil_next(self, spoil: Spoil, times: int = 1) -> None:
        """The next ``times`` events published come out wrong in this way."""
        with self.changed:
            self._spoil.extend([spoil] * times)

    @property
    def last(self) -> int:
        """The number of the newest event; 0 when there is none."""
        return self._first + len(self._events) - 1

    def due_after(self, number: int) -> float:
        """Seconds until the event after that one may be delivered: 0 or less when it may; infinite while there is none. Hold ``changed``."""
        place = max(number + 1, self._first) - self._first
        return self._events[place].due - monotonic() if place < len(self._events) else inf

    def newest(self) -> int:
        """The number of the newest event that may be delivered already. Hold ``changed``."""
        number = self.last
        while number >= self._first and self._events[number - self._first].due > monotonic():
            number -= 1
        return number

    @property
    def first(self) -> int:
        """The number of the oldest event kept."""
        return self._first

    def expire(self) -> None:
        """Forgets every event, as after 72 hours: replay ids given out so far are too old, except the newest."""
        with self.changed:
            self._first += len(self._events) + 1  # one number is lost, so that the newest position is too old as well
            self._events.clear()

    def break_streams(self) -> None:
        """Ends every open subscription."""
        with self.changed:
            self.generation += 1
            self.changed.notify_all()

    def close(self) -> None:
        """Ends every subscription for good."""
        with self.changed:
            self.closed = True
            self.generation += 1
            self.changed.notify_all()

    def entities(self, topic: str) -> set[str] | None:
        """The objects whose changes a topic brings; None when there is no such topic."""
        if topic == ALL_CHANGES:
            return self.selected
        if topic in self.channels:
            return self.channels[topic]
        for name, definition in self.objects.items():
            if topic == f"/data/{definition.event}" and name not in UNTOLD:
                return self.selected & {name}
        return None

    def take(self, after: int, topic: str, most: int) -> tuple[list[tuple[int, BusEvent]], int]:
        """Up to ``most`` events of a topic after a number, and the number to go on from. Hold ``changed``."""
        found: list[tuple[int, BusEvent]] = []
        among = self.entities(topic) or ()
        number = max(after, self._first - 1)
        while len(found) < most and self.due_after(number) <= 0:
            number += 1
            event = self._events[number - self._first]
            if event.entity in among:
                found.append((number, event))
                if number in self._repeated:
                    self._repeated.discard(number)
                    found.append((number, event))
        return found, number


def replay_id(number: int) -> bytes:
    """The replay id of an event: opaque to everybody else."""
    return number.to_bytes(8, "big") + b"\x00\x00"


def event_number(replay: bytes) -> int | None:
    """The number behind a replay id; None when it is not one of ours."""
    return int.from_bytes(replay[:8], "big") if len(replay) == 10 and replay.endswith(b"\x00\x00") else None
