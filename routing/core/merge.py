"""Applies a change to the mirror's record, so that every order of arrival ends in the same record.

Each field keeps the instant of its last change and loses to nothing older. Within one instant the source's sequence
decides; where a source gives none, the value that is larger as text does: an arbitrary choice, but the same one in every order.
"""

from __future__ import annotations

from routing.core.model import OURS, ChangeEvent, Record, Value
from routing.core.times import iso

# Existence is kept beside the fields, since a deletion may be overtaken too: by a restoration, or by any later change, for
# what is gone does not change. Brackets cannot occur in a field name of fields.yaml.
DELETED = "(deleted)"
RESTORED = "(restored)"
ERASED = "(erased)"

_GONE = frozenset({"deleted", "merged", "erased"})
_NOTHING: frozenset[str] = frozenset()


def merge(record: Record | None, event: ChangeEvent) -> tuple[Record, frozenset[str]]:
    """The record after ``event``, and the fields whose value it changed (``DELETED`` when it came or went).

    The input is not touched; when nothing changed, the same object may come back. Any owner change that the CRM shows
    ends our own claim on the record (``decided_owner``); one that names somebody marks a record on hold as ``taken``.
    """
    kind = event.kind
    if record is None:
        if kind in _GONE:
            return _vanish(Record(system=event.system, entity=event.entity, record_id=event.record_id), event)
        return _first(event)
    if kind in OURS:
        return record, _NOTHING
    if record.changed_at and ERASED in record.changed_at:
        # What was erased stays erased, unless the CRM made the record anew.
        if kind not in ("created", "restored") or iso(event.occurred_at) <= record.changed_at[ERASED]:
            return record, _NOTHING
        return _first(event)
    if kind in _GONE:
        return _vanish(record, event)
    return _apply(record, event)


def is_queue(system: str, owner: Value) -> bool:
    """Whether an owner id names a queue or nobody: a lead there was taken by no one. Salesforce groups begin with 00G."""
    return not owner or (system == "salesforce" and str(owner).startswith("00G"))


def _first(event: ChangeEvent) -> tuple[Record, frozenset[str]]:
    values = dict(event.values)
    new = Record(
        system=event.system,
        entity=event.entity,
        record_id=event.record_id,
        values=values,
        changed_at=dict.fromkeys(values, iso(event.occurred_at)),
    )
    if event.sequence:
        new.sequences = dict.fromkeys(values, event.sequence)
    if event.kind == "restored":
        new.changed_at[RESTORED] = iso(event.occurred_at)
        if event.sequence:
            new.sequences[RESTORED] = event.sequence
    new.announced = event.kind == "created"
    return new, frozenset(name for name, value in values.items() if value is not None)


def _apply(record: Record, event: ChangeEvent) -> tuple[Record, frozenset[str]]:
    at, sequence = iso(event.occurred_at), event.sequence
    values, changed_at, sequences = record.values, record.changed_at, record.sequences
    won: list[tuple[str, Value]] = []
    for name, value in event.values.items():
        last = changed_at.get(name, "")
        if at > last or (at == last and _later(sequence, value, sequences.get(name, 0), values.get(name))):
            won.append((name, value))
    stamped = [name for name, _ in won]
    if event.kind == "restored" and (at, sequence) > (changed_at.get(RESTORED, ""), sequences.get(RESTORED, 0)):
        stamped.append(RESTORED)
    announced = record.announced or event.kind == "created"
    if not stamped and announced == record.announced:
        return record, _NOTHING
    effective = {name for name, value in won if values.get(name) != value}
    values = {**values, **dict(won)} if effective else values
    new = _copy(record, values, stamped, at, sequence)
    new.announced = announced
    if new.changed_since is not None and not effective.issubset(new.changed_since):
        new.changed_since = tuple(sorted(effective.union(new.changed_since)))
    if DELETED in changed_at:
        new.deleted = _is_gone(new)
        if new.deleted != record.deleted:
            effective.add(DELETED)
    if "owner" in stamped:
        _owner_seen(new, event, "owner" in effective)
    return new, frozenset(effective)


def _vanish(record: Record, event: ChangeEvent) -> tuple[Record, frozenset[str]]:
    at, sequence = iso(event.occurred_at), event.sequence
    if event.kind == "erased":
        gone = frozenset(record.values) | {DELETED}
        # A legal erasure: nothing of the person stays, only that there was somebody and when they left.
        stub = Record(system=record.system, entity=record.entity, record_id=record.record_id, deleted=True)
        stub.changed_at = {DELETED: at, ERASED: at}
        return stub, gone
    into = record.into
    if event.into and event.into not in into:
        into = tuple(sorted({*into, event.into}))
    late = (at, sequence) <= (record.changed_at.get(DELETED, ""), record.sequences.get(DELETED, 0))
    if late and into is record.into:
        return record, _NOTHING
    new = _copy(record, record.values, [] if late else [DELETED], at, sequence)
    new.into = into
    new.deleted = _is_gone(new)
    return new, frozenset({DELETED}) if new.deleted != record.deleted else _NOTHING


def _is_gone(record: Record) -> bool:
    """Whether the last deletion came after every sign of life."""
    changed_at, sequences = record.changed_at, record.sequences
    gone = (changed_at[DELETED], sequences.get(DELETED, 0))
    return all((at, sequences.get(name, 0)) <= gone for name, at in changed_at.items() if name != DELETED)


def _later(sequence: int, value: Value, last_sequence: int, last_value: Value) -> bool:
    """Whether a change in the same instant as the last one comes after it."""
    if sequence != last_sequence:
        return sequence > last_sequence
    return value != last_value and repr(value) > repr(last_value)


def _copy(record: Record, values: dict[str, Value], stamped: list[str], at: str, sequence: int) -> Record:
    changed_at = {**record.changed_at, **dict.fromkeys(stamped, at)}
    sequences = record.sequences
    if sequence:
        sequences = {**sequences, **dict.fromkeys(stamped, sequence)}
    elif sequences:
        sequences = {name: number for name, number in sequences.items() if name not in stamped}
    return Record(
        system=record.system,
        entity=record.entity,
        record_id=record.record_id,
        values=values,
        changed_at=changed_at,
        sequences=sequences,
        deleted=record.deleted,
        decided_owner=record.decided_owner,
        decided_at=record.decided_at,
        on_hold=record.on_hold,
        held_since=record.held_since,
        turns=record.turns,
        given_at=record.given_at,
        given_by=record.given_by,
        gave_back=record.gave_back,
        changed_since=record.changed_since,
        taken=record.taken and record.on_hold,
        announced=record.announced,
        passed=record.passed,
        never_had=record.never_had,
        priority=record.priority,
        held_by=record.held_by,
        sent=record.sent,
        into=record.into,
        took_over=record.took_over,
    )


def _owner_seen(record: Record, event: ChangeEvent, effective: bool) -> None:
    """``record`` is ours alone here. A source that names ``owner`` among the changes saw a hand on it, even to the same value."""
    if effective or ("owner" in event.changed and event.kind == "updated"):
        record.decided_owner = ""
        record.decided_at = ""
    if effective and record.on_hold:
        record.taken = not is_queue(event.system, event.values.get("owner"))
