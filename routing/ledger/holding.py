"""The holding queue: records that wait for somebody, of a pool or by name, in the order in which they will be taken up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, delete, func, select, update

from routing.core.model import Holding
from routing.ledger.schema import from_ms, holding, timer, to_ms
from routing.ledger.sql import chunks, one_of, upsert

_CLEAR = delete(holding).where(one_of(holding.c.ref, "refs"))


class Waiting(Struct, frozen=True):
    """One record that waits."""

    ref: str
    rank: float
    since: datetime


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


def waiting(conn: Connection, pool: str, limit: int = 100) -> list[Waiting]:
    """Who is next in a pool's queue: the highest rank first, among equals the one that waits longest."""
    order = (holding.c.rank.desc(), holding.c.since_ms, holding.c.ref)
    rows = conn.execute(select(holding).where(holding.c.pool == pool).order_by(*order).limit(limit))
    return [Waiting(row.ref, row.rank, from_ms(row.since_ms)) for row in rows]


def lengths(conn: Connection) -> dict[str, int]:
    """How many wait, by pool."""
    return {name: int(n) for name, n in conn.execute(select(holding.c.pool, func.count()).group_by(holding.c.pool))}


def hurry(conn: Connection, pools: Collection[str], now: datetime, people: Collection[str] = ()) -> int:
    """Lets all that wait for these pools, or for one of these people by name, be looked at now: somebody may be there. Returns how many."""
    waits = holding.c.pool.in_(sorted(pools)) | holding.c.person.in_(sorted(people))
    refs = select(holding.c.ref).where(waits)
    where = (timer.c.purpose == "hold") & timer.c.ref.in_(refs) & (timer.c.due_ms > to_ms(now))
    return int(conn.execute(update(timer).where(where).values(due_ms=to_ms(now))).rowcount)
