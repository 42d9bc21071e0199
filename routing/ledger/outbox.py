"""The outbox: every write we owe a CRM, until it is confirmed, superseded or parked.

A write is claimed (``sending``) before it leaves and ended after its answer. What is found ``sending`` at a start may have happened:
it becomes ``doubtful``, and is read before it is sent again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, update

from routing.core.model import Write
from routing.ledger import locks as row_locks
from routing.ledger.schema import outbox, ref_of, to_ms
from routing.ledger.sql import add_rows, change_rows, chunks

OPEN = ("pending", "sending")
HELD = "the record already holds it"  # how the detail of a write begins that found nothing left to send
# Writes that change a record; the others create one (a task), convert or merge it. Their kind is the last thing in their body.
CHANGES = ~or_(*(outbox.c.body.endswith(f'"kind":"{kind}"}}') for kind in ("create", "convert", "merge")))

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Write).decode


class Owed(Struct, frozen=True):
    """A claimed write. ``doubtful``: an earlier try may have happened. ``attempts`` counts this one, and begins anew with every
    ``retry_parked``."""

    seq: int
    write: Write
    doubtful: bool
    attempts: int
    occurred_ms: int
    accepted_ms: int

    @property
    def again(self) -> bool:
        """Whether this is the first try since it was parked."""
        return self.doubtful and self.attempts == 1


class Fate(Struct, frozen=True):
    """What became of a claimed write. ``state`` is confirmed, superseded, parked, or pending to try again.

    ``doubtful``: some try of it may have happened unheard. ``sent`` names the fields that can come back as an echo; None
    for all of them. ``refused`` is whom the CRM refused as the record's owner (a person's key, "" a queue): then it is superseded by another
    decision.
    """

    seq: int
    state: str
    detail: str = ""
    not_before_ms: int = 0
    doubtful: bool = False
    sent: tuple[str, ...] | None = None
    refused: str | None = None


def add(
    conn: Connection, writes: Sequence[tuple[Write, int, int]], now: datetime, locks: Mapping[str, str] | None = None
) -> None:
    """Puts writes in, each with ``occurred_ms`` and ``accepted_ms`` of its event. ``locks``: by write id the ref of what the CRM locks
    along with the record, where that is another one."""
    now_ms = to_ms(now)
    rows = [
        {
            "write_id": write.write_id,
            "decision_id": write.decision_id,
            "system": write.system,
            # What is created is filed with the record it is about: it goes out after that one's writes, and an erasure finds it.
            "ref": ref_of(write.system, *write.about),
            "state": "pending",
            "body": encode(write).decode(),
            "unechoed": _names(write.fields if write.kind == "update" else ()),
            "not_before_ms": now_ms,
            "occurred_ms": occurred_ms,
            "accepted_ms": accepted_ms,
            "created_ms": now_ms,
            "lane": _lane(write),
            "locks": (locks or {}).get(write.write_id) or ref_of(write.system, *write.about),
        }
        for write, occurred_ms, accepted_ms in writes
    ]
    add_rows(conn, outbox, rows)
    # A correction that goes before the owner of the same record must not wait behind all others.
    hurried = sorted({str(row["ref"]) for row in rows if row["lane"] == 0})
    for some in chunks(hurried):
        waits = (outbox.c.state == "pending") & (outbox.c.lane == 1)
        conn.execute(update(outbox).where(outbox.c.ref.in_(some), waits).values(lane=0))


def _lane(write: Write) -> int:
    return int(write.kind == "update" and "owner" not in write.fields)


def _names(fields: Iterable[str]) -> str:
    return encode(list(fields)).decode()


def claim(conn: Connection, system: str, limit: int, now: datetime, courier: str = "") -> list[Owed]:
    """Claims up to ``limit`` writes that are due, corrections last, else oldest first; one a record, none whose record has an older one
    open, nor any that locks what another courier's writes lock: children of one parent are sent by one courier at a time.

    ``courier``: the seat of who will send them. Others see by it when its process died.
    """
    row_locks.take(conn, [f"claim:{system}"])  # what the others have claimed is committed, and seen
    taken = outbox.alias("taken")
    locked = select(taken.c.locks).where(taken.c.state == "sending", taken.c.system == system)
    older = outbox.alias("older")
    blocked = outbox.c.locks.in_(locked) | exists().where(
        older.c.ref == outbox.c.ref, older.c.seq < outbox.c.seq, older.c.state.in_(OPEN)
    )
    rows = conn.execute(
        select(outbox)
        .where(outbox.c.system == system, outbox.c.state == "pending", outbox.c.not_before_ms <= to_ms(now), ~blocked)
        .order_by(outbox.c.lane, outbox.c.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    claimed = [
        Owed(row.seq, decode(row.body), bool(row.doubtful), row.attempts + 1, row.occurred_ms, row.accepted_ms)
        for row in rows
    ]
    for some in chunks([owed.seq for owed in claimed]):
        conn.execute(
            update(outbox)
            .where(outbox.c.seq.in_(some))
            .values(state="sending", courier=courier, attempts=outbox.c.attempts + 1)
        )
    return claimed


def end(conn: Connection, fates: Sequence[Fate], now: datetime, courier: str = "") -> None:
    """Writes down what became of claimed writes; one that was given up meanwhile (an erasure) stays given up, and one that
    another courier took over is its."""
    now_ms = to_ms(now)
    rows = [
        {
            "seq": fate.seq,
            "courier": courier,
            "state": fate.state,
            "detail": fate.detail,
            "not_before_ms": fate.not_before_ms,
            "doubtful": int(fate.doubtful),
            "ended_ms": None if fate.state in OPEN else now_ms,
        }
        for fate in sorted(fates, key=lambda fate: fate.seq)
    ]
    # What was never sent does not come back: the same value set by a person later is that person's.
    sent = {fate.seq: fate.sent for fate in fates if fate.sent is not None}
    narrow(conn, sent, outbox.c.state == "sending", outbox.c.courier == courier)
    change_rows(conn, outbox, ("seq", "courier"), rows, "outbox.state = 'sending'")


def claimed(conn: Connection, seqs: Collection[int], courier: str) -> dict[int, Write]:
    """Which of those writes that courier still has, by number, as they are by now: some may have been given up, or taken over."""
    found: dict[int, Write] = {}
    for some in chunks(sorted(seqs)):
        its = (outbox.c.state == "sending") & (outbox.c.courier == courier)
        rows = conn.execute(select(outbox.c.seq, outbox.c.body).where(outbox.c.seq.in_(some), its))
        found |= {seq: decode(body) for seq, body in rows}
    return found


def give_up(conn: Connection, fields: Mapping[int, Mapping[str, str]]) -> None:
    """Of writes that are still owed, or parked, by number, these fields are not to be sent any more, each with why, in a sentence.

    A write goes on holding its place before later ones of its record until its courier, who may just be sending it, ends it.
    """
    changed = []
    for some in chunks(sorted(fields)):
        owed = outbox.c.seq.in_(some) & outbox.c.state.in_((*OPEN, "parked"))
        rows = conn.execute(select(outbox.c.seq, outbox.c.body).where(owed).order_by(outbox.c.seq).with_for_update())
        for seq, body in rows:
            write = decode(body)
            write = msgspec.structs.replace(write, given_up={**write.given_up, **fields[seq]})
            changed.append({"seq": seq, "body": encode(write).decode()})
    change_rows(conn, outbox, ("seq",), changed)


def narrow(conn: Connection, left: Mapping[int, Collection[str]], *where: ColumnElement[bool]) -> None:
    """Of each write (by number, if it is ``where``) no other fields than these can still come back. The courier and the loop may both narrow one at a time."""
    changed = []
    for some in chunks(sorted(left)):
        rows = conn.execute(
            select(outbox.c.seq, outbox.c.unechoed)
            .where(outbox.c.seq.in_(some), *where)
            .order_by(outbox.c.seq)
            .with_for_update()
        )
        for seq, waiting in rows:
            names = msgspec.json.decode(waiting)
            fields = [name for name in names if name in left[seq]]
            if fields != names:
                changed.append({"seq": seq, "unechoed": _names(fields)})
    change_rows(conn, outbox, ("seq",), changed)


def couriers(conn: Connection, system: str) -> set[str]:
    """The seats of those who are sending something to a system, as far as the outbox knows."""
    where = (outbox.c.state == "sending") & (outbox.c.system == system)
    return set(conn.scalars(select(outbox.c.courier).where(where).distinct()))


def recover(conn: Connection, now: datetime, grace_ms: int, system: str = "", courier: str | None = None) -> int:
    """What was being sent when its process died is doubtful, and waits ``grace_ms`` for a late effect.

    Of one system and one courier, or of all (at the start of whoever is alone on the ledger). Returns how many writes.
    """
    where = outbox.c.state == "sending"
    where = where & (outbox.c.system == system) if system else where
    where = where if courier is None else where & (outbox.c.courier == courier)
    values = {"state": "pending", "doubtful": 1, "not_before_ms": to_ms(now) + grace_ms}
    return int(conn.execute(update(outbox).where(where).values(values)).rowcount)


def follow(conn: Connection, gone: str, record_id: str, ref: str, now: datetime, *, heir: bool) -> None:
    """Writes to the record ``gone`` that are still owed, or still to be heard back, are of the record that it went into.

    Where that one goes on for another (not ``heir``), changes still to be made are given up: they are that other's to make.
    """
    where = (outbox.c.ref == gone) & (outbox.c.state.in_((*OPEN, "parked")) | (outbox.c.unechoed != "[]"))
    # A courier may just be sending one: the CRM knows the old id, too.
    rows = conn.execute(select(outbox).where(where).order_by(outbox.c.seq).with_for_update()).all()
    for row in rows:
        write, values = decode(row.body), dict[str, Any]()
        if write.kind == "create":
            write = msgspec.structs.replace(write, fields={**write.fields, "about": record_id})
        else:
            # What was seen was seen of the old record.
            write = msgspec.structs.replace(write, record_id=record_id, seen_at=None)
            if not heir and row.state in OPEN:
                sent = row.state == "sending" or row.doubtful
                given_up = f"the record went into {record_id}, which goes on for another"
                values = {"state": "superseded", "detail": given_up, "ended_ms": to_ms(now)}
                values |= {"doubtful": 1} if sent else {"unechoed": "[]"}
        values |= {"ref": ref, "body": encode(write).decode()}
        conn.execute(update(outbox).where(outbox.c.seq == row.seq).values(values))
    below = (outbox.c.locks == gone) & outbox.c.state.in_(OPEN)
    conn.execute(update(outbox).where(below).values(locks=ref))


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
        write = decode(row.body)
        found.append(
            {
                "system": row.system,
                "ref": row.ref,
                "state": row.state,
                "detail": row.detail,
                "attempts": row.attempts,
                "ended_ms": row.ended_ms,
                "kind": write.kind,
                "entity": write.entity,
                "fields": write.fields,
                "guard": write.guard,
            }
        )
    return found


def erase(conn: Connection, ref: str) -> int:
    """A legal erasure: writes of that record that are still owed are given up, and no write keeps its values."""
    found = select(outbox.c.seq, outbox.c.body, outbox.c.state).where(outbox.c.ref == ref)
    rows = conn.execute(found.order_by(outbox.c.seq).with_for_update()).all()  # a courier may just be ending one
    for seq, body, state in rows:
        bare = msgspec.structs.replace(decode(body), fields={}, guard={}, ours={}, still={}, given_up={})
        # The detail may say what a field held.
        values = {"body": encode(bare).decode(), "unechoed": "[]", "detail": "the person was erased at their request"}
        if state not in ("confirmed", "superseded"):
            values["state"] = "superseded"
        conn.execute(update(outbox).where(outbox.c.seq == seq).values(values))
    return len(rows)
