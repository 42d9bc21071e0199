"""Shares of the log: which partition is held by whom, and up to which offset it has been settled.

A worker claims a partition when it is assigned to it, which raises the partition's epoch. Every transaction that settles events of it
checks the epoch under a row lock: a worker that lost the partition can commit nothing more, whatever it believes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Row, func, select, update

from routing.ledger import locks
from routing.ledger.schema import from_ms, share, to_ms
from routing.ledger.sql import add_new, change_rows

_ALONE = "writes past the log"


class Fenced(Exception):
    """Somebody else holds a partition now: nothing of this transaction may be committed. Not an error: let go of it."""

    def __init__(self, topic: str, partitions: Collection[int]) -> None:
        self.topic, self.partitions = topic, frozenset(partitions)
        super().__init__(
            f"{topic}: partition(s) {', '.join(map(str, sorted(partitions)))} are held by another worker now"
        )


class Share(Struct, frozen=True):
    """A partition as it was claimed. ``next_offset`` is the first offset not settled yet, in the log ``log_id``: Kafka's id of the topic,
    "" for one not known."""

    topic: str
    partition: int
    next_offset: int
    epoch: int
    log_id: str = ""
    anew: bool = False  # as claimed: what had been settled was another log

    def counts_in(self, log_id: str) -> bool:
        """Whether the offset is one of that log; what is not known is taken for the same."""
        return not self.log_id or not log_id or self.log_id == log_id


def claim(
    conn: Connection, topic: str, partitions: Collection[int], holder: str, now: datetime, log_id: str = ""
) -> dict[int, Share]:
    """Takes partitions over, fencing whoever held them. Waits for a transaction of theirs that is being committed. What was settled of
    another log than ``log_id`` counts for nothing: this one begins at 0."""
    wanted = sorted(partitions)
    if not wanted:
        return {}
    fresh = {"topic": topic, "next_offset": 0, "epoch": 0, "holder": "", "updated_ms": to_ms(now)}
    add_new(conn, share, [{**fresh, "partition": p} for p in wanted], "topic", "partition")
    be_alone(conn)  # a partition that is new now was not held by whoever holds all of them at this moment
    held = _locked(conn, topic, wanted)
    anew = sorted(p for p, one in held.items() if not one.counts_in(log_id))
    of_ours = share.c.topic == topic, share.c.partition.in_(wanted)
    conn.execute(update(share).where(*of_ours, share.c.partition.in_(anew)).values(next_offset=0))
    conn.execute(
        update(share)
        .where(*of_ours)
        .values(epoch=share.c.epoch + 1, holder=holder, updated_ms=to_ms(now), log_id=log_id)
    )
    return {
        p: Share(topic, p, 0 if p in anew else one.next_offset, one.epoch + 1, log_id, p in anew)
        for p, one in held.items()
    }


def check(conn: Connection, shares: Collection[Share]) -> dict[int, int]:
    """Locks the partitions until the transaction ends, in one order. Returns their next offsets. Raises Fenced."""
    if not shares:
        return {}
    topic = next(iter(shares)).topic
    found = _locked(conn, topic, sorted(one.partition for one in shares))
    lost = [one.partition for one in shares if one.partition not in found or found[one.partition].epoch != one.epoch]
    if lost:
        raise Fenced(topic, lost)
    return {p: one.next_offset for p, one in found.items()}


def hold_all(conn: Connection) -> None:
    """Keeps every worker from settling until the transaction ends: for whoever writes to the mirror past the log."""
    be_alone(conn)
    if conn.dialect.name == "postgresql":
        conn.execute(select(share.c.partition).order_by(share.c.topic, share.c.partition).with_for_update()).all()


def be_alone(conn: Connection) -> None:
    """Keeps apart those who settle without holding partitions and those who write past the log. SQLite: everybody is alone."""
    locks.take(conn, (_ALONE,))


def advance(conn: Connection, topic: str, offsets: Mapping[int, int], now: datetime) -> None:
    """Remembers the next offsets; in the transaction that settled what came before, after ``check``."""
    rows = [
        {"topic": topic, "partition": partition, "next_offset": next_offset, "updated_ms": to_ms(now)}
        for partition, next_offset in sorted(offsets.items())
    ]
    change_rows(conn, share, ("topic", "partition"), rows)


def positions(conn: Connection, topic: str) -> dict[int, Share]:
    """How far each partition has been settled, for reports."""
    rows = conn.execute(select(share).where(share.c.topic == topic).order_by(share.c.partition))
    return {row.partition: _share(row) for row in rows}


def followed(conn: Connection) -> bool:
    """Whether this ledger has ever worked with a log."""
    return conn.execute(select(share.c.partition).limit(1)).first() is not None


def moved_at(conn: Connection, topic: str) -> datetime | None:
    """When a position last changed, or a partition was claimed; None for never."""
    at = conn.scalar(select(func.max(share.c.updated_ms)).where(share.c.topic == topic))
    return None if at is None else from_ms(at)


def _locked(conn: Connection, topic: str, partitions: list[int]) -> dict[int, Share]:
    rows = conn.execute(
        select(share)
        .where(share.c.topic == topic, share.c.partition.in_(partitions))
        .order_by(share.c.partition)
        .with_for_update()
    )
    return {row.partition: _share(row) for row in rows}


def _share(row: Row[Any]) -> Share:
    return Share(row.topic, row.partition, row.next_offset, row.epoch, row.log_id)
