"""The holding queue: records that wait for somebody, of a pool or by name, in the order in which they will be taken up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, delete, func, select, update

from routing.core.model import Holding
from routing.ledger.schema import decision, from_ms, holding, mirror, timer, to_ms
from routing.ledger.sql import chunks, one_of, upsert

_CLEAR = delete(holding).where(one_of(holding.c.ref, "refs"))


class Waiting(Struct, frozen=True):
    """One record that waits. ``facts`` are those of the decision that holds it, ``passed`` who had it since it was last routed anew, and
    ``never_had`` whom of them the CRM refused."""

    ref: str
    rank: float
    since: datetime
    facts: dict[str, Any] = {}
    passed: tuple[str, ...] = ()
    never_had: tuple[str, ...] = ()


class _Known(Struct, frozen=True):
    """Of a record in the mirror, and of a decision, what tells who may have it."""

    passed: tuple[str, ...] = ()
    never_had: tuple[str, ...] = ()
    facts: dict[str, Any] = {}


_decode = msgspec.json.Decoder(_Known).decode


def save(conn: Connection, held: Mapping[str, Holding]) -> None:
    """Takes records into the queue, by ref; one that is in it keeps the time since when it waits."""
    rows = [
        {"ref": ref, "pool": one.pool, "rank": one.rank, "since_ms": to_ms(one.since), "person": one.person}
        for ref, one in held.items()
    ]
    upsert(conn, holding, rows)


def raise_ranks(conn: Connection, raised: Mapping[str, float]) -> None:
    """Adds to the ranks of records that wait, by ref: a clock has raised their priority."""
    for ref, by in sorted(raised.items()):
        conn.execute(update(holding).where(holding.c.ref == ref).values(rank=holding.c.rank + by))
        mine = (timer.c.ref == ref) & (timer.c.purpose == "hold")
        conn.execute(update(timer).where(mine).values(rank=timer.c.rank + by))


def clear(conn: Connection, refs: Collection[str]) -> None:
    """Takes records out of it."""
    for some in chunks(sorted(refs)):
        conn.execute(_CLEAR, {"refs": some})


def waiting(conn: Connection, pool: str, limit: int = 100, record_id: str = "") -> list[Waiting]:
    """Who is next in a pool's queue: the highest rank first, among equals the one that waits longest. Only that record where
    ``record_id`` is given."""
    where = holding.c.pool == pool
    if record_id:
        where = where & holding.c.ref.endswith(f":{record_id}", autoescape=True)
    order = (holding.c.rank.desc(), holding.c.since_ms, holding.c.ref)
    first = select(holding).where(where).order_by(*order).limit(limit).subquery()  # only of these the rest is read
    made = select(decision.c.body).where(decision.c.ref == first.c.ref).order_by(decision.c.seq.desc()).limit(1)
    known = select(mirror.c.body).where(mirror.c.ref == first.c.ref)
    again = (first.c.rank.desc(), first.c.since_ms, first.c.ref)
    asked = (first.c.ref, first.c.rank, first.c.since_ms, known.scalar_subquery(), made.scalar_subquery())
    return [_waiting(*row) for row in conn.execute(select(*asked).order_by(*again))]


def _waiting(ref: str, rank: float, since_ms: int, record: str | None, made: str | None) -> Waiting:
    held, known = (_decode(made) if made else _Known()), (_decode(record) if record else _Known())
    return Waiting(ref, rank, from_ms(since_ms), held.facts, known.passed, known.never_had)


def lengths(conn: Connection) -> dict[str, int]:
    """How many wait, by pool."""
    return {name: int(n) for name, n in conn.execute(select(holding.c.pool, func.count()).group_by(holding.c.pool))}


def hurry(conn: Connection, pools: Collection[str], now: datetime, people: Collection[str] = ()) -> int:
    """Lets all that wait for these pools, or for one of these people by name, be looked at now: somebody may be there. Returns how many."""
    waits = holding.c.pool.in_(sorted(pools)) | holding.c.person.in_(sorted(people))
    refs = select(holding.c.ref).where(waits)
    where = (timer.c.purpose == "hold") & timer.c.ref.in_(refs) & (timer.c.due_ms > to_ms(now))
    return int(conn.execute(update(timer).where(where).values(due_ms=to_ms(now))).rowcount)
