"""What happened to a record, read out of the histories of its properties: as exact as webhooks, for whoever has none.

HubSpot keeps the last 20 values of a property (45 for contacts) with time, source and user. Every moment at which mapped properties
changed becomes one ``updated`` event; the same change always has the same event id, however often it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from connectors.hubspot.objects import Target
from connectors.hubspot.settings import SYSTEM
from connectors.hubspot.values import to_canonical
from connectors.mapping import Unconvertible
from routing.core.model import ChangeEvent, Kind, Unreadable, Values, derived_id

MERGED_IDS = "hs_merged_object_ids"  # on the record that is left: the ids of those that went, joined by ";"

# What was filled in with the creation is stamped a moment after it.
_AT_CREATION = timedelta(seconds=2)


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """One value of one property."""

    timestamp: datetime
    value: Any = None
    source_type: str = ""
    source_id: str | None = None
    updated_by_user_id: int | str | None = None

    def actor(self) -> str:
        """``userId:N`` of the person who did it, "" for programs."""
        if self.updated_by_user_id:
            return f"userId:{self.updated_by_user_id}"
        return self.source_id if (self.source_id or "").startswith("userId:") and self.source_id else ""


class Told(msgspec.Struct, frozen=True, rename="camel"):
    """A record as batch read answers when histories are asked for."""

    id: str
    created_at: datetime
    updated_at: datetime
    properties_with_history: dict[str, list[Entry]] = {}


class Moment(msgspec.Struct, frozen=True):
    """One change of one record, in HubSpot's words: what an unreadable one is kept as."""

    remote: str
    record_id: str
    kind: Kind
    at: datetime
    properties: dict[str, Any]
    actor: str = ""
    origin: str = ""
    into: str = ""  # of a merged record: the one that is left
    continues: tuple[str, ...] = ()  # of the one that is left: those that were merged


Value = tuple[datetime, str, str]  # when, of which record, of which property ("": the record's creation)


def values_of(told: Told) -> Iterator[Value]:
    """Every value in its histories."""
    for name, entries in told.properties_with_history.items():
        for entry in entries:
            yield entry.timestamp, told.id, name


def without(told: Told, known: Set[Value]) -> Told:
    """The record with only those values in its histories that are not ``known``."""
    kept = {
        name: [entry for entry in entries if (entry.timestamp, told.id, name) not in known]
        for name, entries in told.properties_with_history.items()
    }
    return msgspec.structs.replace(told, properties_with_history=kept)


def moments(told: Told, remote: str, since: datetime, *, new: bool) -> Iterator[Moment]:
    """Everything that happened to the record from ``since`` on, oldest first; ``new``: its creation too.

    The record that a merge left has histories of those that went, which are not its own: they begin with the merge.
    """
    histories = dict(told.properties_with_history)
    merge = max(histories.pop(MERGED_IDS, ()), key=lambda entry: entry.timestamp, default=None)
    told = msgspec.structs.replace(told, properties_with_history=histories)
    ids = merged_ids(merge.value) if merge is not None else ()
    if merge is not None and ids and (new or merge.timestamp >= since):
        at, by, origin = merge.timestamp, merge.actor(), merge.source_type
        yield Moment(remote, told.id, "created" if new else "updated", at, {}, by, origin, continues=ids)
        for gone in ids:
            yield Moment(remote, gone, "merged", at, {}, by, origin, told.id)
        new, since = False, merge.timestamp + timedelta(milliseconds=1)
    filled: set[tuple[str, datetime]] = set()
    if new:
        initial = dict(_initial(told))
        filled = {(name, entry.timestamp) for name, entry in initial.items()}
        who = next(iter(initial.values()), None)
        yield Moment(
            remote,
            told.id,
            "created",
            told.created_at,
            {name: entry.value for name, entry in initial.items()},
            who.actor() if who else "",
            who.source_type if who else "",
        )
    changes: dict[datetime, dict[str, Entry]] = {}
    for name, entries in told.properties_with_history.items():
        for entry in entries:
            if entry.timestamp >= since and (name, entry.timestamp) not in filled:
                changes.setdefault(entry.timestamp, {})[name] = entry
    for at, entries_then in sorted(changes.items()):
        one = next(iter(entries_then.values()))
        values = {name: entry.value for name, entry in entries_then.items()}
        yield Moment(remote, told.id, "updated", at, values, one.actor(), one.source_type)


def _initial(told: Told) -> Iterator[tuple[str, Entry]]:
    for name, entries in told.properties_with_history.items():
        oldest = min(entries, key=lambda entry: entry.timestamp, default=None)
        if oldest is not None and oldest.timestamp <= told.created_at + _AT_CREATION:
            yield name, oldest


def merged_ids(value: object) -> tuple[str, ...]:
    """The ids in a value of ``MERGED_IDS``."""
    return tuple(one.strip() for one in str(value or "").split(";") if one.strip())


def deleted(remote: str, record_id: str, at: datetime) -> Moment:
    """A record that lies in the recycling bin since ``at``."""
    return Moment(remote, record_id, "deleted", at, {})


def restored(remote: str, record_id: str, at: datetime) -> Moment:
    """A record that was in the recycling bin and is no more; ``at``: when that was, as far as one knows."""
    return Moment(remote, record_id, "restored", at, {})


def event_of(moment: Moment, target: Target, observed_at: datetime) -> ChangeEvent:
    """In canonical form. Raises Unconvertible when a value does not fit its field."""
    values: Values = {}
    for name, raw in moment.properties.items():
        for field, kind in target.by_property.get(name, ()):
            try:
                values[field] = to_canonical(kind, raw)
            except Unconvertible as error:
                raise Unconvertible(
                    f"property {name} of record {moment.record_id} {error}, but fields.yaml calls {target.entity}.{field} "
                    f"a {kind}: correct the type there and retry"
                ) from error
    at = moment.at.astimezone(UTC)
    return ChangeEvent(
        event_id=_event_id(moment),
        system=SYSTEM,
        entity=target.entity,
        record_id=moment.record_id,
        kind=moment.kind,
        occurred_at=at,
        observed_at=observed_at,
        changed=tuple(values),
        values=values,
        actor=moment.actor,
        origin=moment.origin,
        into=moment.into,
        continues=moment.continues,
        complete=moment.kind != "restored" and not moment.continues,  # it may hold other values than before
        cursor=f"history of {moment.remote} at {at.isoformat(timespec='milliseconds')}",
    )


def read(moment: Moment, target: Target, observed_at: datetime) -> ChangeEvent | Unreadable:
    """The event, or what is kept of it when a value does not fit."""
    try:
        return event_of(moment, target, observed_at)
    except Unconvertible as error:
        return Unreadable(
            event_id=_event_id(moment),
            system=SYSTEM,
            error=str(error),
            raw=msgspec.json.encode(moment),
            observed_at=observed_at,
            entity=target.entity,
            record_id=moment.record_id,
        )


def _event_id(moment: Moment) -> str:
    # A creation happens once; every other kind once in a moment, but for values of that moment which HubSpot shows later.
    if moment.kind == "created":
        return derived_id(SYSTEM, "history", moment.remote, moment.record_id, moment.kind)
    at = moment.at.astimezone(UTC).isoformat(timespec="milliseconds")
    return derived_id(SYSTEM, "history", moment.remote, moment.record_id, moment.kind, at, *sorted(moment.properties))
