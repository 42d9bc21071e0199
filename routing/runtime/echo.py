"""Telling our own writes coming back from a human's hand.

A CRM reports our writes like anybody's. Neither Salesforce's Collections nor HubSpot say reliably which client wrote, so the
outbox is asked: an event is an echo when every field it changed holds what we last wrote there and have not heard back yet.
Each written field is heard back once; a person setting the same value later is a person, and so is whoever sets it at
a time when we did not write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from routing.core.model import ChangeEvent, Record, Values, derived_id
from routing.core.times import parse_instant
from routing.ledger.outbox import Unechoed
from routing.ledger.schema import from_ms, to_ms
from routing.runtime.clock import SKEW

_SKEW_MS = round(SKEW.total_seconds() * 1000)


def heard_back(event: ChangeEvent, waiting: Sequence[Unechoed]) -> list[Unechoed] | None:
    """The writes with what is still to come after this event, when it is an echo; None when it is not. Pure."""
    if event.kind != "updated" or not event.changed:
        return None
    happened_ms = round(event.occurred_at.timestamp() * 1000)
    possible = {one.seq: one for one in waiting if _could_be(one, happened_ms)}
    left = {seq: dict(one.fields) for seq, one in possible.items()}
    touched: set[int] = set()
    for field in event.changed:
        for seq, fields in left.items():
            if field in fields and same(fields[field], event.values.get(field)):
                del fields[field]
                touched.add(seq)
                break
        else:
            return None
    return [replace(possible[seq], fields=left[seq]) for seq in sorted(touched)]


def _could_be(one: Unechoed, happened_ms: int) -> bool:
    """An echo happens while the write does. The same value set at another time is a person's, however often we missed ours."""
    if not one.sent or happened_ms < one.created_ms - _SKEW_MS:
        return False
    return one.ended_ms is None or happened_ms <= one.ended_ms + _SKEW_MS


def echoes_among(
    events: Iterable[tuple[int, str, ChangeEvent]], waiting: Mapping[str, Sequence[Unechoed]]
) -> dict[int, list[Unechoed]]:
    """Which of ``events`` (number, ref, event; in order) are echoes, with what each leaves to be heard. Pure."""
    left = {ref: {one.seq: one for one in writes} for ref, writes in waiting.items()}
    found = {}
    for seq, ref, event in events:
        heard = heard_back(event, list(left[ref].values())) if ref in left else None
        if heard is not None:
            left[ref] |= {one.seq: one for one in heard}
            found[seq] = heard
    return found


def ours_among(values: Values, known: Record, waiting: Iterable[Unechoed]) -> frozenset[str]:
    """Which of ``values``, found in a record of which ``known`` is what was told, our own writes put there without having come back yet. Pure.

    When each field changed is not known then. Where somebody changed one after our write, as far as was told, what it holds is theirs.
    """
    return frozenset(field for one in waiting for field in one.fields if _put_there(one, field, values, known))


def _put_there(one: Unechoed, field: str, values: Values, known: Record) -> bool:
    if not one.sent or field not in values or not same(one.fields[field], values[field]):
        return False
    return one.ended_ms is None or _told_ms(known, field) <= one.ended_ms


def _told_ms(known: Record, field: str) -> int:
    """When the field changed as far as was told; 0 where that is not known."""
    told = known.changed_at.get(field)
    return 0 if told is None else to_ms(parse_instant(told))


def parted(event: ChangeEvent, known: Record, waiting: Sequence[Unechoed]) -> list[ChangeEvent]:
    """A change that was found by looking, in which several hands may be: what is left of it for others, then what each write of ours
    did, at the time of that write, so that it is known as its echo. Pure.

    A change that is one hand's, or an echo as it is, comes back as it is.
    """
    if heard_back(event, waiting) is not None:
        return [event]
    left, parts = set(event.changed), []
    for one in waiting:
        mine = sorted(field for field in left & one.fields.keys() if _put_there(one, field, event.values, known))
        if mine:
            left -= set(mine)
            at_ms = max(one.created_ms, *(_told_ms(known, field) + 1 for field in mine))
            parts.append(
                replace(
                    event,
                    event_id=derived_id(event.event_id, "our own", *mine),
                    changed=tuple(mine),
                    values={field: event.values[field] for field in mine},
                    occurred_at=from_ms(at_ms),
                    actor="",
                    sequence=0,
                )
            )
    ours = set(event.changed) - left
    theirs = replace(
        event,
        changed=tuple(field for field in event.changed if field in left),
        values={field: value for field, value in event.values.items() if field not in ours},
    )
    return [theirs, *parts]


def under_way(waiting: Iterable[Unechoed], seen: Values) -> Values:
    """What our writes that have not come back yet will make of the values ``seen``. Pure.

    Only where the record still holds what the write expects: a person who was faster keeps their value.
    """
    found: Values = {}
    for one in waiting:
        found |= {
            name: v for name, v in one.fields.items() if name in one.guard and same(one.guard[name], seen.get(name))
        }
    return found


def same(ours: object, theirs: object) -> bool:
    """Whether two field values are the same to a CRM: blank is blank, numbers by value, text exactly."""
    if ours in (None, "") or theirs in (None, ""):
        return ours in (None, "") and theirs in (None, "")
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return float(ours) == float(theirs)
    return ours == theirs
