"""Changes by asking for them, for orgs without Change Data Capture: who changed since, who was deleted, who was passed over.

Three questions an entity. *Which rows have a later SystemModstamp?* comes every ``poll_seconds`` and brings the values. A row
becomes visible when its transaction ends, with the stamp of when it was saved: so each time the last minutes are asked for again,
and what was told is not told twice. *Which were deleted?* (getDeleted) and *which changed, as Salesforce itself keeps count?*
(getUpdated, which knows of transactions still open) come every five minutes, which is as often as Salesforce recommends.

All moments are by Salesforce's clock: with ours ahead of it, what happens next would seem to be over already. What is refused for one kind of
record (an object that is gone) keeps no other one waiting. A field that is hidden is left out; when it is seen again, what changed meanwhile
is asked for once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from connectors.aside import Aside
from connectors.contract import Accept, Maps
from connectors.errors import AuthenticationFailed, ConnectorError, Misconfigured, RateLimited, Transient
from connectors.patience import patient
from connectors.salesforce.budget import Urgency
from connectors.salesforce.connection import SalesforceConnection
from connectors.salesforce.decode import ALL_RECORDS
from connectors.salesforce.errors import SYSTEM
from connectors.salesforce.masters import merged_into
from connectors.salesforce.reader import values_of
from connectors.salesforce.transactions import rank_of
from connectors.salesforce.values import parse_instant
from routing.core.model import ChangeEvent, EntityMap, Kind, Unreadable, derived_id

log = structlog.get_logger(__name__)

LATE = timedelta(minutes=10)  # how long a transaction may take and still be seen by the next question
SWEEP = timedelta(minutes=5)  # between questions for deletions and for what was passed over
_NARROW = timedelta(minutes=2)  # getUpdated and getDeleted cut seconds off and want more than a minute in between
_TOO_MANY = "EXCEEDED_ID_LIMIT"
_LOST = {  # what Salesforce cannot tell any more, and then all is read again
    _TOO_MANY: "more happened within a few minutes than Salesforce tells in one answer",
    "INVALID_REPLICATION_DATE": "it is too long ago: Salesforce does not know it any more",
}
_KEPT = frozenset({"person"})  # users are never deleted


class Mark(Struct):
    """How far one entity is: the latest stamp told, and what getDeleted and getUpdated have covered. Never before ``floor``. ``hidden``
    are the fields that were left out since then."""

    floor: datetime
    since: datetime
    deleted: datetime
    covered: datetime
    hidden: dict[str, datetime] = {}


class SalesforcePolling:
    """``contract.Source`` by polling. Changes arrive as ``gap`` events that already carry the values: what of them is new is
    seen by whoever knows the record. The position holds a ``Mark`` for each mapped entity.
    """

    system = SYSTEM
    stream = f"{SYSTEM}:poll"

    def __init__(self, connection: SalesforceConnection, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._connection, self._maps, self._clock = connection, maps, clock
        self._seconds = connection.settings.poll_seconds
        self.aside = Aside(SYSTEM)
        self._ahead: timedelta | None = None  # our clock, of Salesforce's; None before the first answer
        self._told: dict[str, dict[str, datetime]] = {}  # entity -> event id -> stamp, as far back as is asked again
        self._known: dict[str, dict[str, datetime]] = {}  # entity -> record id -> when it was told

    def run(self, position: bytes | None, accept: Accept, stop: Event) -> None:
        """See ``contract.Source.run``. Blocks; waits as long as Salesforce asks, up to two minutes where it does not say."""
        self._told, self._known = {}, {}  # of an earlier run some may not have been accepted
        marks = msgspec.json.decode(position, type=dict[str, Mark]) if position else {}
        again = patient(
            stop,
            "polling of Salesforce",
            (Transient, RateLimited, AuthenticationFailed),
            1,
            120,
            retry_error_callback=lambda _state: None,
        )
        while not stop.is_set():
            again(self.ask, marks, accept)
            stop.wait(self._seconds)

    def reread(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        """See ``contract.Source.reread``. Raises Misconfigured. The row is told as a gap: the record may hold something else by now."""
        try:
            entity, row = msgspec.json.decode(raw, type=tuple[str, dict[str, Any]])
        except msgspec.DecodeError as error:
            raise Misconfigured("This was not read by polling Salesforce.", system=SYSTEM) from error
        entity_map = self._maps().get(entity)
        if entity_map is None:
            raise Misconfigured(f"fields.yaml has no {entity} in Salesforce any more.", system=SYSTEM)
        if troubles := values_of(entity_map, tuple(entity_map.fields), row)[1]:
            raise Misconfigured("; ".join(troubles), system=SYSTEM)
        at, cursor = parse_instant(row["SystemModstamp"]), f"SystemModstamp {row['SystemModstamp']}"
        event = self._about(entity_map, row["Id"], "gap", at, cursor)
        return [msgspec.structs.replace(event, observed_at=observed_at)]

    def ask(self, marks: dict[str, Mark], accept: Accept) -> None:
        """Asks once for each entity; what was accepted stays accepted where a later question fails. One that is refused is set ``aside``."""
        now, maps = self._now(), self._maps()
        new = [name for name in maps if name not in marks]
        for name in new:
            marks[name] = Mark(now, now, now, now)
        if new:
            accept([], msgspec.json.encode(marks))
        self.aside.keep(list(maps))
        # What was saved together is mostly told together: the accounts before the leads.
        for name, entity_map in sorted(maps.items(), key=lambda one: rank_of(one[0])):
            with self.aside.of(name):
                self._ask_about(entity_map, marks, now, accept)
        self._compare_clocks()

    def _ask_about(self, entity_map: EntityMap, marks: dict[str, Mark], now: datetime, accept: Accept) -> None:
        mark = marks[entity_map.entity]
        before = mark.since
        for events in self._changes(entity_map, mark, before):
            accept(events, msgspec.json.encode(marks))
        for events in self._seen_again(entity_map, mark, before):
            accept(events, msgspec.json.encode(marks))
        if entity_map.entity not in _KEPT and now - mark.deleted >= SWEEP:
            accept(self._deletions(entity_map, mark, now), msgspec.json.encode(marks))
        if now - mark.covered >= SWEEP:
            accept(self._passed_over(entity_map, mark, now), msgspec.json.encode(marks))

    def _now(self) -> datetime:
        """By Salesforce's clock."""
        if self._ahead is None:
            self._connection.client.versions()  # its answer says the time, without a login
            self._compare_clocks()
        return self._clock() - (self._ahead or timedelta())

    def _compare_clocks(self) -> None:
        with suppress(ValueError, TypeError):  # an answer without a time, or without its zone
            self._ahead = self._clock() - parsedate_to_datetime(self._connection.client.transport.date)

    # What changed

    def _seen_again(
        self, entity_map: EntityMap, mark: Mark, before: datetime
    ) -> Iterator[list[ChangeEvent | Unreadable]]:
        """What changed while fields were hidden that can be seen again; ``before``: the latest stamp before they were looked for. Keeps
        the books of what is hidden."""
        hidden = self._connection.reader.visible.hidden(entity_map)
        mark.hidden = {name: since for name, since in mark.hidden.items() if name in entity_map.fields}
        if back := mark.hidden.keys() - hidden:
            yield from self._changes(entity_map, mark, min(mark.hidden[name] for name in back))
        was, mark.hidden = mark.hidden, {name: mark.hidden.get(name, before) for name in hidden}
        self.aside.without(entity_map.entity, {name: _unseen(entity_map, name) for name in hidden})
        if mark.hidden != was:
            yield []

    def _changes(self, entity_map: EntityMap, mark: Mark, since: datetime) -> Iterator[list[ChangeEvent | Unreadable]]:
        """Pages of what changed ``since``; the mark has moved when a page is handed out."""
        # In whole seconds, as stamps are: what was told within the first of them is asked for again, and must be known.
        before, at, last, more = mark.since, max(mark.floor, since - LATE).replace(microsecond=0), "", True
        told = self._told.get(entity_map.entity, {})
        self._told[entity_map.entity] = {one: stamp for one, stamp in told.items() if stamp >= at}
        reader = self._connection.reader
        while more:
            rows, more = reader.changed_since(entity_map, at, last)
            if not rows:
                return
            at, last = parse_instant(rows[-1]["SystemModstamp"]), rows[-1]["Id"]
            events = [event for row in rows if (event := self._event(entity_map, row, before)) is not None]
            mark.since = max(mark.since, at)
            if events:
                yield events

    def _event(self, entity_map: EntityMap, row: dict[str, Any], before: datetime) -> ChangeEvent | Unreadable | None:
        """A row as a change, None when it was told. ``before``: the latest stamp of the questions before."""
        snapshot, troubles = self._connection.reader.event(entity_map, row)
        # Stamps count seconds: two changes within one are told apart by what they left.
        event_id = derived_id(
            SYSTEM,
            "poll",
            row["Id"],
            row["SystemModstamp"],
            msgspec.json.encode(snapshot.values, order="sorted").decode(),
        )
        told = self._told[entity_map.entity]
        if event_id in told:
            return None
        told[event_id] = snapshot.occurred_at
        self._known.setdefault(entity_map.entity, {})[row["Id"]] = snapshot.occurred_at
        if troubles:
            return Unreadable(
                event_id=derived_id(event_id, "unreadable"),
                system=SYSTEM,
                error=f"{'; '.join(troubles)}: correct the type there and retry",
                raw=msgspec.json.encode((entity_map.entity, row)),
                observed_at=snapshot.observed_at,
                entity=entity_map.entity,
                record_id=row["Id"],
            )
        new = parse_instant(row["CreatedDate"]) > before
        return msgspec.structs.replace(
            snapshot,
            event_id=event_id,
            kind="created" if new else "gap",
            changed=tuple(snapshot.values) if new else (),
            cursor=f"SystemModstamp {row['SystemModstamp']}",
            complete=new,
        )

    # What was deleted

    def _deletions(self, entity_map: EntityMap, mark: Mark, now: datetime) -> list[ChangeEvent]:
        answer, end = self._replicated(entity_map, "deleted", mark.deleted, now)
        if answer is None:
            mark.deleted = end
            return [self._everything(entity_map, end)]
        gone = {row["id"]: parse_instant(row["deletedDate"]) for row in answer["deletedRecords"]}
        merged = merged_into(self._connection.client, entity_map, sorted(gone))
        mark.deleted = _covered(
            answer, mark.deleted
        )  # not before all of it is known: a question that fails is asked again
        return [
            self._about(
                entity_map,
                record_id,
                "merged" if record_id in merged else "deleted",
                at,
                f"deleted {at:%FT%TZ}",
                merged.get(record_id, ""),
            )
            for record_id, at in sorted(gone.items(), key=lambda one: one[1])  # who took one over may be merged later
        ]

    # What was passed over

    def _passed_over(self, entity_map: EntityMap, mark: Mark, now: datetime) -> list[ChangeEvent]:
        answer, end = self._replicated(entity_map, "updated", mark.covered, now)
        if answer is None:
            mark.covered = end
            return [self._everything(entity_map, end)]
        known = self._known.get(entity_map.entity, {})
        missed = [record_id for record_id in answer["ids"] if record_id not in known]
        mark.covered = _covered(answer, mark.covered)
        self._known[entity_map.entity] = {one: at for one, at in known.items() if at >= mark.covered - _NARROW}
        if missed:
            log.info("salesforce_changes_passed_over", entity=entity_map.entity, records=len(missed))
        return [self._about(entity_map, one, "gap", end, f"updated until {end:%FT%TZ}") for one in missed]

    # Asking

    def _replicated(
        self, entity_map: EntityMap, which: str, start: datetime, end: datetime
    ) -> tuple[dict[str, Any] | None, datetime]:
        """The answer of getUpdated or getDeleted up to the ``end`` that it could be asked for; None when too late to ask, or too much happened."""
        while True:
            window = {"start": f"{start:%Y-%m-%dT%H:%M:%S+00:00}", "end": f"{end:%Y-%m-%dT%H:%M:%S+00:00}"}
            try:
                what = f"asking which {entity_map.entity} records were {which}"
                return self._ask(f"sobjects/{entity_map.remote}/{which}/", window, what), end
            except ConnectorError as error:
                if error.code == _TOO_MANY and end - start >= 2 * _NARROW:
                    end = start + (end - start) / 2
                    continue
                if error.code not in _LOST:
                    raise
                log.warning(
                    "salesforce_changes_lost",
                    entity=entity_map.entity,
                    since=start.isoformat(),
                    reason=_LOST[error.code],
                    advice=f"all {entity_map.entity} records are read again now, which finds it; nothing is to be done",
                )
                return None, end

    def _ask(self, path: str, params: dict[str, str], what: str) -> Any:
        return self._connection.client.call("GET", path, params=params, what=what, urgency=Urgency.NORMAL)

    def _about(
        self, entity_map: EntityMap, record_id: str, kind: Kind, at: datetime, cursor: str, into: str = ""
    ) -> ChangeEvent:
        return ChangeEvent(
            event_id=derived_id(SYSTEM, "poll", record_id, kind, at.isoformat()),
            system=SYSTEM,
            entity=entity_map.entity,
            record_id=record_id,
            kind=kind,
            occurred_at=at,
            observed_at=self._clock(),
            cursor=cursor,
            complete=kind != "gap",
            into=into,
        )

    def _everything(self, entity_map: EntityMap, at: datetime) -> ChangeEvent:
        return self._about(entity_map, ALL_RECORDS, "gap", at, "too late to ask")


def _unseen(entity_map: EntityMap, name: str) -> str:
    return (
        f"{entity_map.remote}.{entity_map.fields[name]} is not there, or hidden from the integration user: records are read without it. Give "
        "read access in the permission set, or correct fields.yaml; what changed meanwhile is then read again."
    )


def _covered(answer: dict[str, Any], before: datetime) -> datetime:
    """Where the next question begins: never back, and with the minute that this one may have seen only half of."""
    return max(before, parse_instant(answer["latestDateCovered"]) - timedelta(minutes=1))
