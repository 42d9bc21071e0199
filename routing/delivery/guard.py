"""Compare-and-set for CRMs that have none: what a record holds now decides which fields of a write still may be sent.

A field that already holds our value is done: that is how a write whose answer was lost is found to have happened. A field that
holds something else than we expected was changed by somebody after us, and their hand wins. So does it where the field was heard to
have changed, though somebody has set it back to what we expected.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from msgspec import Struct

from connectors.contract import Snapshot
from routing.core.model import Write
from routing.ledger.outbox import HELD
from routing.runtime.echo import same


class Checked(Struct, frozen=True):
    """``write`` is what is left to send, None when nothing is. ``state`` and ``detail`` then say how it ended. ``overtaken`` are the fields that
    somebody had changed."""

    write: Write | None
    state: str = ""
    detail: str = ""
    overtaken: tuple[str, ...] = ()


def check(write: Write, now: Snapshot | None) -> Checked:
    """What of ``write`` may be sent to a record that holds ``now`` (None: the record is gone); of anything but a change of fields,
    whether. Pure."""
    if now is None and write.kind == "merge":
        return Checked(write)  # an earlier try may have merged it: the connector sees whether
    if now is None:
        return Checked(None, "superseded", "the record was deleted, or the integration user cannot see it any more")
    moved = {
        field: f"{field} is now {now.values.get(field)!r}, not {value!r}"
        for field, value in write.still.items()
        # What reading does not show, as only a log of activities tells it, cannot be judged by it.
        if field in now.values and not same(value, now.values[field])
    }
    if moved:
        return Checked(None, "superseded", _who(moved.values(), now), tuple(moved))
    if write.kind != "update":
        return Checked(write)
    send, overtaken, untold, given_up, of_ours = {}, dict[str, str](), [], [], []
    for field, value in write.fields.items():
        current = now.values.get(field)
        if field not in now.values:
            # What is not told is not blank: without something to compare it is sent.
            if field in write.guard:
                untold.append(field)
            else:
                send[field] = value
            continue
        left_by_us = field in write.ours and same(write.ours[field], current)
        if same(value, current):
            of_ours += [field] if left_by_us else []
            continue
        if field in write.given_up:
            given_up.append(write.given_up[field])
            continue
        if left_by_us or field not in write.guard or same(write.guard[field], current):
            send[field] = value
        else:
            overtaken[field] = f"{field} is now {current!r}, not {write.guard[field]!r}"
    detail = ". ".join(filter(None, (_who(overtaken.values(), now), *given_up, _untold(write, untold))))
    fields = tuple(overtaken)
    if send:
        # A CRM that can compare is told the state that was looked at.
        return Checked(msgspec.structs.replace(write, fields=send, seen_at=now.modified_at), "", detail, fields)
    if untold:
        return Checked(None, "parked", detail, fields)
    if overtaken or given_up:
        return Checked(None, "superseded", detail, fields)
    by = f": an earlier write of ours had put it there ({', '.join(of_ours)})" if of_ours else ""
    return Checked(None, "confirmed", f"{HELD}{by}")


def _untold(write: Write, fields: list[str]) -> str:
    """What a CRM does not tell cannot be compared, and is nobody's to write over."""
    if not fields:
        return ""
    names = ", ".join(f"{write.entity}.{field}" for field in fields)
    return (
        f"{names} was not sent: {write.system} does not tell what it holds. The field is gone there, or of another type than fields.yaml "
        "says: correct it, then retry what is parked for it"
    )


def _who(overtaken: Collection[str], now: Snapshot) -> str:
    if not overtaken:
        return ""
    by = f"; last changed by {now.modified_by}" if now.modified_by else ""
    at = f" at {now.modified_at:%Y-%m-%d %H:%M:%S} UTC" if now.modified_at else ""
    return f"superseded: {', '.join(overtaken)}{by}{at}"
