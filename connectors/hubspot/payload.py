"""HubSpot's webhook events, read into the canonical model. Every event becomes something; nothing is dropped.

| HubSpot says | becomes |
|---|---|
| creation | ``created``, incomplete: the daemon reads the values back |
| propertyChange, mapped property | ``updated`` with the value |
| propertyChange, other property | ``updated`` that changed nothing we know |
| deletion | ``deleted`` |
| restore | ``restored``, incomplete |
| privacyDeletion | ``erased`` |
| merge | ``merged`` for each record that went, ``updated`` and incomplete for the one that is left; a new one ``continues`` the others |
| associationChange | ``updated`` that changed nothing we know |
| anything else | ``Unreadable``, with the raw event |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from connectors.hubspot.objects import PREFIXES, TYPE_IDS, Target
from connectors.hubspot.settings import SYSTEM
from connectors.hubspot.values import to_canonical
from connectors.mapping import Unconvertible, mended
from routing.core.model import ChangeEvent, Kind, Unreadable, Values, derived_id


class Hook(msgspec.Struct, frozen=True, rename="camel"):
    """One webhook event. ``eventId`` and ``attemptNumber`` are not read: they differ between deliveries of one event."""

    subscription_type: str
    occurred_at: int
    object_id: int | str | None = None
    subscription_id: int | str = ""
    object_type_id: str = ""
    property_name: str = ""
    property_value: Any = None
    change_source: str = ""
    source_id: str | None = None
    primary_object_id: int | str | None = None
    merged_object_ids: list[int | str] = []
    new_object_id: int | str | None = None
    from_object_id: int | str | None = None


class Unknown(ValueError):
    """An event that cannot be read, in one sentence for the operator."""


# What decoding can raise; RecursionError for brackets nested by the thousand.
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_batch = msgspec.json.Decoder(list[Hook])
_raw_batch = msgspec.json.Decoder(list[msgspec.Raw])
_one = msgspec.json.Decoder(Hook)

Targets = Mapping[str, Target]
_Reader = Callable[[Hook, Target, datetime], list[ChangeEvent]]


def read_batch(body: bytes, targets: Targets, observed_at: datetime) -> list[ChangeEvent | Unreadable]:
    """A whole webhook body. Never raises for what is in it."""
    try:
        hooks = _batch.decode(body)
        found: list[ChangeEvent | Unreadable] = []
        for hook in hooks:
            found.extend(events_of(hook, targets, observed_at))
    except (*_BROKEN, Unknown):
        return _read_singly(body, targets, observed_at)
    return found


def read_one(raw: bytes, targets: Targets, observed_at: datetime) -> list[ChangeEvent]:
    """One event from its bytes. Raises Unknown."""
    try:
        hook = _one.decode(raw)
    except msgspec.ValidationError as error:
        raise Unknown(f"the event is not shaped as HubSpot's are: {error}") from error
    except _BROKEN as error:
        raise Unknown(f"the event is not JSON: {error}") from error
    return events_of(hook, targets, observed_at)


def _read_singly(body: bytes, targets: Targets, observed_at: datetime) -> list[ChangeEvent | Unreadable]:
    """The slow way, for a batch in which something is wrong: what is right in it is still used."""
    try:
        raws = [bytes(raw) for raw in _raw_batch.decode(mended(body))]
    except msgspec.ValidationError:
        return [unreadable(body, "the body is JSON but not an array of events; nothing was read from it", observed_at)]
    except _BROKEN as error:
        return [unreadable(body, f"the body is not JSON ({error}); nothing was read from it", observed_at)]
    found: list[ChangeEvent | Unreadable] = []
    for raw in raws:
        try:
            found.extend(read_one(raw, targets, observed_at))
        except Unknown as error:
            found.append(unreadable(raw, str(error), observed_at))
    return found


def unreadable(raw: bytes, error: str, observed_at: datetime) -> Unreadable:
    """What is kept of something that could not be read."""
    # Its id is made of its bytes: a redelivery differs in attemptNumber and is parked twice, which loses nothing.
    text = raw.decode("utf-8", "backslashreplace")
    return Unreadable(
        event_id=derived_id(SYSTEM, "unreadable", text), system=SYSTEM, error=error, raw=raw, observed_at=observed_at
    )


def events_of(hook: Hook, targets: Targets, observed_at: datetime) -> list[ChangeEvent]:
    """What one event becomes. Raises Unknown."""
    prefix, _, verb = hook.subscription_type.partition(".")
    reader = _VERBS.get(verb)
    if reader is None:
        raise Unknown(
            f"Fingerpost does not know the event type {hook.subscription_type!r}: unsubscribe it in the HubSpot app"
        )
    if prefix == "object":
        remote = TYPE_IDS.get(hook.object_type_id, hook.object_type_id)
    else:
        remote = PREFIXES.get(prefix, prefix)
    target = targets.get(remote)
    if target is None:
        raise Unknown(
            f"no entity in fields.yaml is HubSpot's {remote or 'object without objectTypeId'!r}: "
            "map it there and retry, or unsubscribe its events in the HubSpot app"
        )
    return reader(hook, target, observed_at)


def _make(
    hook: Hook,
    target: Target,
    observed_at: datetime,
    record_id: int | str | None,
    kind: Kind,
    changed: tuple[str, ...] = (),
    values: Values | None = None,
    complete: bool = True,
    into: str = "",
    continues: tuple[str, ...] = (),
) -> ChangeEvent:
    record = str(record_id) if record_id is not None else ""
    if not record:
        raise Unknown(f"the event {hook.subscription_type!r} does not say which record it is about")
    try:
        occurred_at = datetime.fromtimestamp(hook.occurred_at / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise Unknown(f"occurredAt of the event on record {record} is not a time: {hook.occurred_at}") from None
    what = hook.property_name or hook.subscription_type
    source = hook.source_id or ""
    return ChangeEvent(
        event_id=derived_id(SYSTEM, str(hook.subscription_id), record, what, str(hook.occurred_at)),
        system=SYSTEM,
        entity=target.entity,
        record_id=record,
        kind=kind,
        occurred_at=occurred_at,
        observed_at=observed_at,
        changed=changed,
        values=values or {},
        actor=source if source.startswith("userId:") else "",
        origin=hook.change_source,
        cursor=f"{hook.subscription_type} at {hook.occurred_at}",
        complete=complete,
        into=into,
        continues=continues,
    )


def _creation(hook: Hook, target: Target, observed_at: datetime) -> list[ChangeEvent]:
    return [_make(hook, target, observed_at, hook.object_id, "created", complete=False)]


def _property_change(hook: Hook, target: Target, observed_at: datetime) -> list[ChangeEvent]:
    fields = target.by_property.get(hook.property_name, ())
    values: Values = {}
    for field, kind in fields:
        try:
            values[field] = to_canonical(kind, hook.property_value)
        except Unconvertible as error:
            raise Unknown(
                f"property {hook.property_name} of record {hook.object_id} {error}, but fields.yaml calls "
                f"{target.entity}.{field} a {kind}: correct the type there and retry"
            ) from error
    return [_make(hook, target, observed_at, hook.object_id, "updated", tuple(values), values)]


def _deletion(hook: Hook, target: Target, observed_at: datetime) -> list[ChangeEvent]:
    return [_make(hook, target, observed_at, hook.object_id, "deleted")]


def _restore(hook: Hook, target: Target, observed_at: datetime) -> list[ChangeEvent]:
    return [_make(hook, target, observed_at, hook.object_id, "restored", complete=False)]


def _erasure(hook: Hook, target: Target, observed_at: datetime) -> list[ChangeEvent]:
    return [_make(hook, target, observed_at, hook.object_id, "erased")]


def _association(hook: Hook, target: Target, observed_at: datetime) -> list[ChangeEvent]:
    record = hook.object_id if hook.object_id is not None else hook.from_object_id
    return [_make(hook, target, observed_at, record, "updated")]


def _merge(hook: Hook, target: Target, observed_at: datetime) -> list[ChangeEvent]:
    """Of contacts and companies a merge makes a new record, and all the old ones went."""
    primary = hook.primary_object_id if hook.primary_object_id is not None else hook.object_id
    survivor = hook.new_object_id if hook.new_object_id is not None else primary
    gone = dict.fromkeys(str(one) for one in (primary, *hook.merged_object_ids) if one is not None)
    gone.pop(str(survivor), None)
    new = tuple(gone) if str(survivor) not in (str(primary), *map(str, hook.merged_object_ids)) else ()
    events = [_make(hook, target, observed_at, one, "merged", into=str(survivor)) for one in gone]
    return [*events, _make(hook, target, observed_at, survivor, "updated", complete=False, continues=new)]


_VERBS: dict[str, _Reader] = {
    "creation": _creation,
    "propertyChange": _property_change,
    "deletion": _deletion,
    "restore": _restore,
    "privacyDeletion": _erasure,
    "merge": _merge,
    "associationChange": _association,
}
