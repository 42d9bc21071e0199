"""The outbox: every write we owe a CRM, until it is confirmed, superseded or parked.

A write is claimed (``sending``) before it leaves and ended after its answer. What is found ``sending`` at a start may have happened:
it becomes ``doubtful``, and is read before it is sent again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, bindparam, exists, func, insert, select, update

from routing.core.model import Write
from routing.ledger.schema import outbox, ref_of, to_ms
from routing.ledger.sql import chunks

OPEN = ("pending", "sending")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Write).decode


class Owed(Struct, frozen=True):
    """A claimed write. ``doubtful``: an earlier try may have happened. ``attempts`` counts this one."""

    seq: int
    write: Write
    doubtful: bool
    attempts: int
    occurred_ms: int
    accepted_ms: int


class Fate(Struct, frozen=True):
    """What became of a claimed write. ``state`` is confirmed, superseded, parked, or pending to try again.

    ``doubtful``: some try of it may have happened unheard. ``sent`` names the fields that can come back as an echo; None
    for all of them.
    """

    seq: int
    state: str
    detail: str = ""
    not_before_ms: int = 0
    doubtful: bool = False
    sent: tuple[str, ...] | None = None


class Unechoed(Struct):
    """A write whose echo is still to come: the values it set, less the fields already heard back.

    It was made at ``created_ms`` and came to its end at ``ended_ms`` (None: not yet): its echo happened in between.
    """

    seq: int
    fields: dict[str, Any]
    created_ms: int = 0
    ended_ms: int | None = None


def add(conn: Connection, writes: Sequence[tuple[Write, int, int]], now: datetime) -> None:
    """Puts writes in, each with ``occurred_ms`` and ``accepted_ms`` of its event."""
    if not writes:
        return
    now_ms = to_ms(now)
    conn.execute(
        insert(outbox),
        [
            {
                "write_id": write.write_id,
                "decision_id": write.decision_id,
                "system": write.system,
                "ref": ref_of(write.system, write.entity, write.record_id),
                "state": "pending",
                "body": _encode(write).decode(),
                "unechoed": msgspec.json.encode(list(write.fields)).decode(),
                "not_before_ms": now_ms,
                "occurred_ms": occurred_ms,
                "accepted_ms": accepted_ms,
                "created_ms": now_ms,
            }
            for write, occurred_ms, accepted_ms in writes
        ],
    )


def claim(conn: Connection, system: str, limit: int, now: datetime) -> list[Owed]:
    """Claims up to ``limit`` writes that are due, oldest first, one a record, none whose record has an older one open."""
    older = outbox.alias("older")
    blocked = exists().where(older.c.ref == outbox.c.ref, older.c.seq < outbox.c.seq, older.c.state.in_(OPEN))
    rows = conn.execute(
        select(outbox)
        .where(outbox.c.system == system, outbox.c.state == "pending", outbox.c.not_before_ms <= to_ms(now), ~blocked)
        .order_by(outbox.c.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    claimed = [
        Owed(row.seq, _decode(row.body), bool(row.doubtful), row.attempts + 1, row.occurred_ms, row.accepted_ms)
        for row in rows
    ]
    for some in chunks([owed.seq for owed in claimed]):
        conn.execute(
            update(outbox).where(outbox.c.seq.in_(some)).values(state="sending", attempts=outbox.c.attempts + 1)
        )
    return claimed


def end(conn: Connection, fates: Sequence[Fate], now: datetime) -> None:
    """Writes down what became of claimed writes; one that was given up meanwhile (an erasure) stays given up."""
    if not fates:
        return
    now_ms = to_ms(now)
    conn.execute(
        update(outbox)
        .where(outbox.c.seq == bindparam("b_seq"), outbox.c.state == "sending")
        .values(
            state=bindparam("b_state"),
            detail=bindparam("b_detail"),
            not_before_ms=bindparam("b_not_before"),
            doubtful=bindparam("b_doubtful"),
            ended_ms=bindparam("b_ended"),
        ),
        [
            {
                "b_seq": fate.seq,
                "b_state": fate.state,
                "b_detail": fate.detail,
                "b_not_before": fate.not_before_ms,
                "b_doubtful": int(fate.doubtful),
                "b_ended": None if fate.state in OPEN else now_ms,
            }
            for fate in fates
        ],
    )
    _narrow(conn, {fate.seq: fate.sent for fate in fates if fate.sent is not None})


def _narrow(conn: Connection, sent: dict[int, tuple[str, ...]]) -> None:
    """What was never sent does not come back: the same value set by a person later is that person's."""
    for some in chunks(list(sent)):
        rows = conn.execute(select(outbox.c.seq, outbox.c.unechoed).where(outbox.c.seq.in_(some))).all()
        for seq, waiting in rows:
            names = msgspec.json.decode(waiting)
            left = [name for name in names if name in sent[seq]]
            if left != names:
                fields = msgspec.json.encode(left).decode()
                conn.execute(update(outbox).where(outbox.c.seq == seq).values(unechoed=fields))


def recover(conn: Connection, now: datetime, grace_ms: int) -> int:
    """At a start: what was being sent when the process died is doubtful, and waits ``grace_ms`` for a late effect."""
    values = {"state": "pending", "doubtful": 1, "not_before_ms": to_ms(now) + grace_ms}
    return int(conn.execute(update(outbox).where(outbox.c.state == "sending").values(values)).rowcount)


_UNECHOED = (
    select(outbox.c.seq, outbox.c.ref, outbox.c.body, outbox.c.unechoed, outbox.c.created_ms, outbox.c.ended_ms)
    .where(outbox.c.ref.in_(bindparam("refs", expanding=True)), outbox.c.unechoed != "[]")
    # Also one that ended otherwise comes back if an earlier try of it happened unheard.
    .where((outbox.c.attempts > 0) & outbox.c.state.in_(("pending", "sending", "confirmed")) | (outbox.c.doubtful == 1))
    .order_by(outbox.c.seq)
)


def unechoed(conn: Connection, refs: Collection[str]) -> dict[str, list[Unechoed]]:
    """Writes to those records whose echo has not come back whole, oldest first, by ref."""
    found: dict[str, list[Unechoed]] = defaultdict(list)
    for some in chunks(list(refs)):
        for seq, ref, body, waiting, created_ms, ended_ms in conn.execute(_UNECHOED, {"refs": some}).all():
            fields = _decode(body).fields
            left = {name: fields[name] for name in msgspec.json.decode(waiting)}
            found[ref].append(Unechoed(seq, left, created_ms, ended_ms))
    return found


def save_unechoed(conn: Connection, changed: Sequence[Unechoed]) -> None:
    """Stores which fields' echoes are still to come."""
    if changed:
        conn.execute(
            update(outbox).where(outbox.c.seq == bindparam("b_seq")).values(unechoed=bindparam("b_fields")),
            [{"b_seq": one.seq, "b_fields": msgspec.json.encode(list(one.fields)).decode()} for one in changed],
        )


def waiting(conn: Connection, system: str, now: datetime) -> tuple[int, int]:
    """How many writes are due for a system (at most 1,000 are counted), and since how many milliseconds the oldest."""
    due = (
        select(outbox.c.created_ms)
        .where(outbox.c.system == system, outbox.c.state == "pending", outbox.c.not_before_ms <= to_ms(now))
        .limit(1000)
        .subquery()
    )
    n, oldest = conn.execute(select(func.count(), func.min(due.c.created_ms))).one()
    return int(n), to_ms(now) - int(oldest) if n else 0


def counts(conn: Connection) -> dict[str, int]:
    """Writes by state."""
    return {state: int(n) for state, n in conn.execute(select(outbox.c.state, func.count()).group_by(outbox.c.state))}


def count(conn: Connection, states: Sequence[str]) -> int:
    """Writes in those states, of all systems."""
    return int(conn.scalar(select(func.count()).select_from(outbox).where(outbox.c.state.in_(states))) or 0)


def parked(conn: Connection, limit: int = 1000) -> list[dict[str, Any]]:
    """Parked writes, oldest first."""
    rows = conn.execute(
        select(outbox.c.write_id, outbox.c.decision_id, outbox.c.ref, outbox.c.detail, outbox.c.ended_ms)
        .where(outbox.c.state == "parked")
        .order_by(outbox.c.seq)
        .limit(limit)
    )
    return [dict(row._mapping) for row in rows]


def retry_parked(conn: Connection, write_ids: Sequence[str] | None, now: datetime) -> int:
    """Owes parked writes (all when None) once more; each is read before it is sent."""
    values = {"state": "pending", "doubtful": 1, "not_before_ms": to_ms(now), "attempts": 0, "ended_ms": None}
    changed = 0
    for some in [None] if write_ids is None else chunks(write_ids):
        where = outbox.c.state == "parked"
        where = where if some is None else where & outbox.c.write_id.in_(some)
        changed += conn.execute(update(outbox).where(where).values(values)).rowcount
    return changed


def discard_parked(conn: Connection, write_ids: Sequence[str] | None, reason: str, now: datetime) -> int:
    """Gives parked writes (all when None) up, with the reason that the operator gave."""
    changed = 0
    for some in [None] if write_ids is None else chunks(write_ids):
        where = outbox.c.state == "parked"
        where = where if some is None else where & outbox.c.write_id.in_(some)
        values = {"state": "superseded", "detail": reason, "ended_ms": to_ms(now)}
        changed += conn.execute(update(outbox).where(where).values(values)).rowcount
    return changed


def of_decision(conn: Connection, decision_id: str) -> list[dict[str, Any]]:
    """What became of a decision's writes: system, ref, state, detail, ended_ms, fields and guard."""
    rows = conn.execute(select(outbox).where(outbox.c.decision_id == decision_id).order_by(outbox.c.seq))
    found = []
    for row in rows:
        write = _decode(row.body)
        found.append(
            {
                "system": row.system,
                "ref": row.ref,
                "state": row.state,
                "detail": row.detail,
                "attempts": row.attempts,
                "ended_ms": row.ended_ms,
                "fields": write.fields,
                "guard": write.guard,
            }
        )
    return found


def erase(conn: Connection, ref: str) -> int:
    """A legal erasure: writes of that record that are still owed are given up, and no write keeps its values."""
    rows = conn.execute(select(outbox.c.seq, outbox.c.body, outbox.c.state).where(outbox.c.ref == ref)).all()
    for seq, body, state in rows:
        bare = msgspec.structs.replace(_decode(body), fields={}, guard={})
        # The detail may say what a field held.
        values = {"body": _encode(bare).decode(), "unechoed": "[]", "detail": "the person was erased at their request"}
        if state not in ("confirmed", "superseded"):
            values["state"] = "superseded"
        conn.execute(update(outbox).where(outbox.c.seq == seq).values(values))
    return len(rows)
