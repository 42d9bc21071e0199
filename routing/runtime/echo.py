"""Telling our own writes coming back from a human's hand.

A CRM reports our writes like anybody's. Neither Salesforce's Collections nor HubSpot say reliably which client wrote, so the
outbox is asked: an event is an echo when every field it changed holds what we last wrote there and have not heard back yet.
Each written field is heard back once; a person setting the same value later is a person.
"""

from __future__ import annotations

from collections.abc import Sequence

from routing.core.model import ChangeEvent
from routing.ledger.outbox import Unechoed


def heard_back(event: ChangeEvent, waiting: Sequence[Unechoed]) -> list[Unechoed] | None:
    """The writes with what is still to come after this event, when it is an echo; None when it is not. Pure."""
    if event.kind != "updated" or not event.changed:
        return None
    left = {one.seq: dict(one.fields) for one in waiting}
    touched: set[int] = set()
    for field in event.changed:
        for seq, fields in left.items():
            if field in fields and same(fields[field], event.values.get(field)):
                del fields[field]
                touched.add(seq)
                break
        else:
            return None
    return [Unechoed(seq, left[seq]) for seq in sorted(touched)]


def same(ours: object, theirs: object) -> bool:
    """Whether two field values are the same to a CRM: blank is blank, numbers by value, text exactly."""
    if ours in (None, "") or theirs in (None, ""):
        return ours in (None, "") and theirs in (None, "")
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return float(ours) == float(theirs)
    return ours == theirs
