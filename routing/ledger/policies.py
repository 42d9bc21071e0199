"""Every policy that was ever live, whole, by its digest: a decision can be explained and made again years later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from routing.ledger import locks
from routing.ledger.schema import policy, to_ms
from routing.ledger.sql import upsert

_NEWEST = select(policy.c.digest, policy.c.live_ms).order_by(policy.c.live_ms.desc(), policy.c.digest).limit(1)


def publish(conn: Connection, digest: str, files: Mapping[str, bytes], now: datetime) -> bool:
    """Makes a policy the live one, and keeps its files. Returns whether another one was live before."""
    locks.take(conn, ["policy going live"])  # not the seat of who watches the folder
    newest = conn.execute(_NEWEST).first()
    if newest is not None and newest.digest == digest:
        return False
    # Later than the one before, whatever the clocks of two machines say.
    live_ms = to_ms(now) if newest is None else max(to_ms(now), newest.live_ms + 1)
    packed = msgspec.msgpack.encode(dict(sorted(files.items())))
    upsert(conn, policy, [{"digest": digest, "files": packed, "live_ms": live_ms}])
    return True


def live(conn: Connection) -> str | None:
    """The digest of the policy that went live last, None when there was none yet."""
    newest = conn.execute(_NEWEST).first()
    return None if newest is None else newest.digest


def load(conn: Connection, digest: str) -> dict[str, bytes] | None:
    """The files of a policy, None when that digest was never live here."""
    packed = conn.scalar(select(policy.c.files).where(policy.c.digest == digest))
    return None if packed is None else msgspec.msgpack.decode(packed, type=dict[str, bytes])
