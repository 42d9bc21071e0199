"""Telling our own writes coming back from a human's hand.

A CRM reports our writes like anybody's. Neither Salesforce's Collections nor HubSpot say reliably which client wrote, so the
outbox is asked: an event is an echo when every field it changed holds what we last wrote there and have not heard back yet.
Each written field is heard back once; a person setting the same value later is a person, and so is whoever sets it at
a time when we did not write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from routing.core.model import ChangeEvent, Record, Replaced, Value, Values, derived_id
from routing.core.times import parse_instant
from routing.ledger.echoed import Done, Unechoed
from routing.ledger.schema import from_ms, to_ms
from routing.runtime.clock import SKEW

_SKEW_MS = round(SKEW.total_seconds() * 1000)
# Between a look at a record and the change that follows it there is at most this; what happened before was seen.
_UNSEEN_MS = 15_000


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


def replaced_by(
    echo: ChangeEvent, before: Record | None, heard: Iterable[tuple[Unechoed, Unechoed]]
) -> list[tuple[int, Replaced]]:
    """What somebody had set that our own writes, whose ``echo`` this is, replaced: neither what they expected nor what an earlier one of ours
    had put there. Each with the number of the write. Pure.

    ``before`` is the record as it was told until then, ``heard`` are the writes as they waited for the echo, and as they do after it.
    """
    found: list[tuple[int, Replaced]] = []
    if before is None:
        return found
    happened_ms = to_ms(echo.occurred_at)
    for one, left in heard:
        for field in sorted(one.fields.keys() - left.fields.keys()):
            theirs, told_ms = before.values.get(field), _told_ms(before, field)
            # What came after the write it did not replace, though it was told before the echo.
            meanwhile = one.created_ms - _SKEW_MS <= told_ms <= happened_ms
            if meanwhile and _unexpected(theirs, field, one.fields, one.guard, one.ours):
                at = before.changed_at[field]
                found.append((one.seq, Replaced(field, theirs, at, echo.occurred_at.isoformat(), True)))
    return found


def replaced_before(late: ChangeEvent, known: Record, done: Iterable[Done]) -> list[tuple[int, Replaced]]:
    """The same where the change is told only after the echo of what replaced it: of the changes ``done`` to the record, which ``known``
    shows, those that were under way when it happened. Pure."""
    happened_ms, found = to_ms(late.occurred_at), []
    for one in done:
        if not one.created_ms - _SKEW_MS <= happened_ms <= one.ended_ms + _SKEW_MS:
            continue
        write = one.write
        for field in sorted(write.fields.keys() & set(late.changed)):
            theirs, after_ms = late.values.get(field), _told_ms(known, field) - happened_ms  # by the CRM's clock, both
            shown = same(write.fields[field], known.values.get(field)) and 0 < after_ms <= _UNSEEN_MS
            if shown and _unexpected(theirs, field, write.fields, write.guard, write.ours):
                at = late.occurred_at.isoformat()
                found.append((one.seq, Replaced(field, theirs, at, known.changed_at[field], True)))
    return found


def _unexpected(theirs: object, field: str, *known: Values) -> bool:
    """Whether a value is neither what a write sets (the first of ``known``), nor what it expects (the second), nor what an earlier one set."""
    return field in known[1] and not any(same(values[field], theirs) for values in known if field in values)


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

    Only where the record still holds what the write expects, or what an earlier one of ours left: a person who was faster keeps their value.
    """
    found: Values = {}
    for one in waiting:
        for name in [name for name in one.fields if name in one.guard and name not in one.given_up]:
            if any(same(known[name], seen.get(name)) for known in (one.guard, one.ours) if name in known):
                found[name] = one.fields[name]
    return found


def overtaken(waiting: Iterable[Unechoed], seen: Values) -> dict[int, list[str]]:
    """Of the writes still owed to a record that is heard to hold ``seen`` by now, or parked, by number, the fields that somebody has changed
    since. Pure.

    ``waiting``: what is owed to the record, parked, or still to be heard back, oldest first. What any of them expects, sets or may have left is no
    sign of another's hand.
    """
    known: dict[str, list[Value]] = defaultdict(list)
    found = {}
    for one in waiting:
        for values in (one.guard, one.ours):
            for name in values.keys() - one.given_up:
                known[name].append(values[name])
        for values in (one.fields, one.parked):
            for name, value in values.items():
                known[name].append(value)
        owed = one.guard.keys() & one.fields.keys() - one.given_up if one.ended_ms is None else ()
        moved = [name for name in owed if not any(same(value, seen.get(name)) for value in known[name])]
        # What only a parked write expects is a sign of nobody to that write alone.
        moved += [
            name
            for name in one.parked_guard.keys() & one.parked.keys()
            if not any(same(value, seen.get(name)) for value in (*known[name], one.parked_guard[name]))
        ]
        if moved:
            found[one.seq] = sorted(moved)
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
