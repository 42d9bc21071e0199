"""Decisions that other consumers have yet to be told of: put in by the transaction that decided, taken out once they were told."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Connection, delete, func, select

from routing.core.model import Decision
from routing.ledger.schema import announcement, decision
from routing.ledger.sql import add_rows, chunks, one_of

_REMOVE = delete(announcement).where(one_of(announcement.c.decision_id, "ids"))


class Announced(Struct, frozen=True):
    """A decision to be told of: the number of its event, the ref of its record, and its JSON as it is stored."""

    decision_id: str
    seq: int
    ref: str
    body: str


def add(conn: Connection, made: Sequence[tuple[int, Decision]]) -> None:
    """Puts decisions in, with the numbers of their events; in the transaction that stores them."""
    add_rows(conn, announcement, [{"decision_id": one.decision_id, "seq": seq} for seq, one in made])


def claim(conn: Connection, limit: int) -> list[Announced]:
    """Up to ``limit`` decisions to be told of, oldest first; no other process is given them until the transaction ends."""
    rows = conn.execute(
        select(announcement.c.decision_id, announcement.c.seq, decision.c.ref, decision.c.body)
        .join(decision, decision.c.decision_id == announcement.c.decision_id)
        .order_by(announcement.c.seq)
        .limit(limit)
        .with_for_update(skip_locked=True, of=announcement)
    )
    return [Announced(*row) for row in rows]


def remove(conn: Connection, decision_ids: Sequence[str]) -> None:
    """Takes decisions out that were told; in the transaction that claimed them."""
    for some in chunks(decision_ids):
        conn.execute(_REMOVE, {"ids": some})


def count(conn: Connection) -> int:
    """How many decisions are still to be told of."""
    return int(conn.scalar(select(func.count()).select_from(announcement)) or 0)
