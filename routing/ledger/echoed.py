"""What the outbox knows of writes by what comes back of them: echoes still to come, what may be there unheard, and what was done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, select

from routing.core.model import Write
from routing.ledger.outbox import CHANGES, HELD, decode, narrow
from routing.ledger.schema import outbox
from routing.ledger.sql import chunks, one_of


class Unechoed(Struct):
    """A write whose echo is still to come: the values it set, less the fields already heard back.

    It was made at ``created_ms`` and came to its end at ``ended_ms`` (None: not yet): its echo happened in between. ``sent``: it
    may have reached the CRM. ``guard`` is what it expects to find there, ``ours`` what an earlier one may have left; once it was given up,
    of ``fields`` only. ``given_up`` are fields that it does not send any more. ``parked`` is what one that is parked sets when the operator has it
    tried again, and ``parked_guard`` what it then expects.
    """

    seq: int
    fields: dict[str, Any]
    created_ms: int = 0
    ended_ms: int | None = None
    sent: bool = True
    guard: dict[str, Any] = {}
    ours: dict[str, Any] = {}
    given_up: frozenset[str] = frozenset()
    parked: dict[str, Any] = {}
    parked_guard: dict[str, Any] = {}

    @property
    def unheard(self) -> dict[str, Any]:
        """What it may have put there without our having heard of it."""
        return self.fields if self.sent else {}

    @property
    def may_yet(self) -> dict[str, Any]:
        """What it may still put there though nobody counts on it: its courier may just be sending what is given up, and the operator may
        have tried again what is parked."""
        return self.parked | {name: value for name, value in self.fields.items() if name in self.given_up}


_LASTING = ("pending", "sending", "confirmed")
_UNECHOED = (
    select(
        outbox.c.seq,
        outbox.c.ref,
        outbox.c.body,
        outbox.c.unechoed,
        outbox.c.created_ms,
        outbox.c.ended_ms,
        outbox.c.state,
        outbox.c.attempts,
        outbox.c.doubtful,
    )
    # One that is parked may be tried again. Another that was given up comes back if an earlier try of it happened unheard.
    .where(one_of(outbox.c.ref, "refs"), (outbox.c.unechoed != "[]") | (outbox.c.state == "parked"))
    .where(outbox.c.state.in_((*_LASTING, "parked")) | (outbox.c.doubtful == 1))
    .order_by(outbox.c.seq)
)


def unechoed(conn: Connection, refs: Collection[str]) -> dict[str, list[Unechoed]]:
    """Writes to those records, sent or about to be, whose echo has not come back whole, and those that are parked; oldest first, by ref."""
    found: dict[str, list[Unechoed]] = defaultdict(list)
    for some in chunks(list(refs)):
        for row in conn.execute(_UNECHOED, {"refs": some}).all():
            write = decode(row.body)
            left = {name: write.fields[name] for name in msgspec.json.decode(row.unechoed)}
            lasts, parked = row.state in _LASTING, row.state == "parked"
            again = write.fields.keys() - write.given_up if parked and write.kind == "update" else ()
            sent = bool(row.doubtful) or (lasts and row.attempts > 0)
            found[row.ref].append(
                Unechoed(
                    seq=row.seq,
                    fields=left,
                    created_ms=row.created_ms,
                    ended_ms=row.ended_ms,
                    sent=sent,
                    guard={name: value for name, value in write.guard.items() if lasts or name in left},
                    ours={name: value for name, value in write.ours.items() if lasts or name in left},
                    given_up=frozenset(write.given_up if lasts else left),
                    parked={name: value for name, value in write.fields.items() if name in again},
                    parked_guard={name: value for name, value in write.guard.items() if name in again},
                )
            )
    return found


class Done(Struct, frozen=True):
    """A change that was sent and that its CRM confirmed, made and ended at those times."""

    seq: int
    write: Write
    created_ms: int
    ended_ms: int


def done(conn: Connection, ref: str) -> list[Done]:
    """The changes to a record that were sent and that its CRM confirmed, oldest first."""
    rows = conn.execute(
        select(outbox.c.seq, outbox.c.body, outbox.c.created_ms, outbox.c.ended_ms)
        .where(outbox.c.ref == ref, outbox.c.state == "confirmed", CHANGES, ~outbox.c.detail.startswith(HELD))
        .order_by(outbox.c.seq)
    )
    return [Done(row.seq, decode(row.body), row.created_ms, row.ended_ms) for row in rows]


def set_since(conn: Connection, ref: str, seq: int) -> dict[str, Any]:
    """What we decided after the record's write of that number to set in it, and have not given up: by field, the newest."""
    stands = (outbox.c.ref == ref) & (outbox.c.seq > seq) & (outbox.c.state != "superseded") & CHANGES
    writes = map(decode, conn.scalars(select(outbox.c.body).where(stands).order_by(outbox.c.seq)))
    return {name: value for one in writes for name, value in one.fields.items() if name not in one.given_up}


def save_unechoed(conn: Connection, changed: Sequence[Unechoed]) -> None:
    """Stores which fields' echoes are still to come."""
    narrow(conn, {one.seq: one.fields for one in changed})
