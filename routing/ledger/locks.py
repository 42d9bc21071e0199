"""Locks by name, held until the transaction ends. They keep apart what several processes would decide at the same time."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

from sqlalchemy import Connection, text

_TAKE = text("SELECT count(pg_advisory_xact_lock(k)) FROM unnest(CAST(:keys AS bigint[])) AS k")


def key_of(name: str) -> int:
    """The number PostgreSQL knows the lock by: 64 bits of a hash. Two names that share one only wait for each other."""
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


def take(conn: Connection, names: Collection[str]) -> None:
    """Waits until all the locks are ours. They are always taken in one order, so that nobody waits in a circle.

    With SQLite nothing is done: whoever writes there is alone.
    """
    if names and conn.dialect.name == "postgresql":
        conn.execute(_TAKE, {"keys": sorted({key_of(name) for name in names})})
