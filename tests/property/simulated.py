"""What the simulation plays on: two CRMs that remember everything and tell of every change, and a clock that can jump.

The CRMs fail as the one of ``test_outbox`` does; here they also have an outgoing stream, as Salesforce (whole changes, in order) or
as HubSpot (a property at a time, in any order, creations without their values).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.contract import Snapshot
from routing.core.model import ChangeEvent, Write, derived_id
from routing.delivery.keeping import GRACE_MS
from routing.runtime.echo import same
from tests.conftest import ManualClock
from tests.property.test_loop import HS, SF, USERS, Crashes
from tests.property.test_outbox import Crm, Death, Touch

FIELDS = {
    "lead": ("email", "country", "company", "website", "employees", "status", "owner"),
    "account": ("name", "website", "type", "csm", "country", "parent"),
    "person": ("email", "name", "active"),
}
# What was on its way to a CRM when its sender died arrives so much later.
UNDER_WAY = timedelta(milliseconds=GRACE_MS * 3 // 4)


class OurClock:
    """Fingerpost's clock: the true time, and how far we are off it."""

    def __init__(self, true: ManualClock) -> None:
        self._true, self.off = true, 0.0

    def __call__(self) -> datetime:
        return self._true() + timedelta(seconds=self.off)


class Doom(Crashes):
    """Lets us die at the n-th statement or commit from now."""

    def order(self, after: int) -> None:
        self._left.append(after)

    def call_off(self) -> None:
        self._left.clear()


class Crm2(Crm):
    """One of the two CRMs. Times are true ones, so what happens in it has an order."""

    def __init__(self, system: str, clock: ManualClock, stop: threading.Event) -> None:
        super().__init__(stop)
        self.system, self._clock = system, clock
        self.records: dict[str, dict[str, Any]] = {}
        self.entities: dict[str, str] = {}
        self.erased: set[str] = set()
        self.told: list[ChangeEvent] = []  # everything, in the order in which it happened
        self.pending: list[ChangeEvent] = []  # not acknowledged yet
        self.written: dict[str, Write] = {}  # writes as they arrived
        self.blind: list[Write] = []  # sent again although it had happened and still stood
        self.overruled: list[Touch] = []  # people whose change we wrote over
        self.run_over: list[Touch] = []  # what wrote over another hand when it landed, long after its sender had died
        self._under_way: list[tuple[datetime, Sequence[Write]]] = []

    # What people do

    def create(self, entity: str, record: str, values: dict[str, Any]) -> None:
        self.records[record] = dict.fromkeys(FIELDS[entity]) | values
        self.entities[record] = entity
        held = dict(self.records[record])
        if self.system == HS:
            self._tell(record, "created", (), {}, complete=False)
        else:
            self._tell(record, "created", tuple(held), held)

    def remove(self, record: str, kind: str) -> None:
        self.land()
        del self.records[record]
        if kind == "erased":
            self.erased.add(record)
        self._tell(record, kind, (), {})

    def set(self, record: str, fields: dict[str, Any], by: str) -> None:
        """Somebody (us, when ``by`` is a write) sets fields. What holds the value already has not changed."""
        if not by:
            self.land()
        held = self.records[record]
        changed = {name: value for name, value in fields.items() if held[name] != value}
        for name, value in changed.items():
            touch = Touch(record, name, held[name], value, by)
            self.history.append(touch)
            if by:
                self._judge(touch)
        held |= changed
        if self.system == SF and changed:
            self._tell(record, "updated", tuple(changed), changed)
        elif changed:
            for name, value in changed.items():
                self._tell(record, "updated", (name,), {name: value})

    def _judge(self, touch: Touch) -> None:
        """A write may only change what it expected to find, or what one of ours before it was to leave."""
        write = self.written[touch.by]
        known = [values[touch.field] for values in (write.guard, write.ours, write.fields) if touch.field in values]
        if not any(same(value, touch.before) for value in known):
            self.overruled.append(touch)

    def _tell(self, record: str, kind: str, changed: tuple[str, ...], values: dict[str, Any], **more: Any) -> None:
        self._clock.advance(0.002)  # no two changes at once
        event = ChangeEvent(
            event_id=derived_id(self.system, str(len(self.told))),
            system=self.system,
            entity=self.entities[record],  # type: ignore[arg-type]
            record_id=record,
            kind=kind,  # type: ignore[arg-type]
            occurred_at=self._clock(),
            observed_at=self._clock(),
            changed=changed,
            values=values,
            **more,
        )
        self.told.append(event)
        self.pending.append(event)

    # What we see of it

    def coming(self, picks: Sequence[int]) -> list[ChangeEvent]:
        """What is delivered next, as many as there are picks: in order, or for HubSpot whichever the picks say."""
        self.land()
        left = list(self.pending)
        return [left.pop(pick % len(left) if self.system == HS else 0) for pick in picks[: len(left)]]

    def acknowledged(self, events: Sequence[ChangeEvent]) -> None:
        heard = {event.event_id for event in events}
        self.pending = [event for event in self.pending if event.event_id not in heard]

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        self.land()
        self.between.clear()
        self._maybe(self.reading.pop(0) if self.reading else "well")
        found = {i: self.records[i] for i in ids if i in self.records}
        return {i: Snapshot(values={name: held.get(name) for name in fields}) for i, held in found.items()}

    def write(self, writes: Sequence[Write]) -> Any:
        self.land()
        if self.writing[:1] != ["death under way"]:
            return super().write(writes)
        self.writing.pop(0)
        self._under_way.append((self._clock() + UNDER_WAY, writes))
        raise Death

    def land(self, whenever: bool = False) -> None:
        """What was under way arrives when its time has come. What people did meanwhile it could not know."""
        while self._under_way and (whenever or self._under_way[0][0] <= self._clock()):
            _, writes = self._under_way.pop(0)
            before = len(self.overruled)
            self._apply(writes)
            self.run_over += self.overruled[before:]
            del self.overruled[before:]

    def _apply(self, writes: Sequence[Write]) -> Any:
        for write in writes:
            held = self.records.get(write.record_id, {})
            if write.write_id in self.written and all(held.get(name) == value for name, value in write.fields.items()):
                self.blind.append(write)
            self.written[write.write_id] = write
        return super()._apply(writes)


def people(clock: ManualClock) -> dict[str, tuple[str, dict[str, Any]]]:
    """The Salesforce users who come and go, by id."""
    return {ids[SF]: (key, {"email": key, "name": key.split("@")[0], "active": True}) for key, ids in USERS.items()}
