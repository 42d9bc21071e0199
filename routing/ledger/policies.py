"""Every policy that was ever live, whole, by its digest: a decision can be explained and made again years later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from routing.ledger.schema import policy, to_ms
from routing.ledger.sql import insert_new


def save(conn: Connection, digest: str, files: Mapping[str, bytes], now: datetime) -> bool:
    """Keeps a policy's files; a digest already known is left alone. Returns whether it was new."""
    row = {"digest": digest, "files": msgspec.msgpack.encode(dict(sorted(files.items()))), "live_ms": to_ms(now)}
    return conn.execute(insert_new(conn, policy, "digest"), row).rowcount > 0


def load(conn: Connection, digest: str) -> dict[str, bytes] | None:
    """The files of a policy, None when that digest was never live here."""
    packed = conn.scalar(select(policy.c.files).where(policy.c.digest == digest))
    return None if packed is None else msgspec.msgpack.decode(packed, type=dict[str, bytes])
