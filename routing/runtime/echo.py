"""Telling our own writes coming back from a human's hand.

A CRM reports our writes like anybody's. Neither Salesforce's Collections nor HubSpot say reliably which client wrote, so the
outbox is asked: an event is an echo when every field it changed holds what we last wrote there and have not heard back yet.
Each written field is heard back once; a person setting the same value later is a person, and so is whoever sets it at
a time when we did not write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from routing.core.model import ChangeEvent, Record, Values
from routing.core.times import parse_instant
from routing.ledger.outbox import Unechoed
from routing.ledger.schema import to_ms
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
    return [msgspec.structs.replace(possible[seq], fields=left[seq]) for seq in sorted(touched)]


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
    found = set()
    for one in waiting:
        for field, value in one.fields.items():
            if not one.sent or field not in values or not same(value, values[field]):
                continue
            told = known.changed_at.get(field)
            if one.ended_ms is None or told is None or to_ms(parse_instant(told)) <= one.ended_ms:
                found.add(field)
    return frozenset(found)


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
