"""How many calls all processes made of a system in the last day, so that a share of its limit is one share, restarts or not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection

from routing.ledger import journal, locks

_CALLS = "calls of the last day"  # names the position that holds them
_KEPT = timedelta(hours=25)


def add(conn: Connection, system: str, counted: Mapping[str, int], now: datetime) -> dict[str, int]:
    """Adds calls, by the ISO instants (UTC) at which spans of time began; all of the last day by such instants, ours among them."""
    locks.take(conn, [f"calls:{system}"])
    stored = journal.get_position(conn, system, _CALLS)
    total: dict[str, int] = msgspec.json.decode(stored, type=dict[str, int]) if stored else {}
    for at, number in counted.items():
        total[at] = total.get(at, 0) + number
    oldest = (now - _KEPT).isoformat()
    total = {at: number for at, number in sorted(total.items()) if at >= oldest}
    journal.set_position(conn, system, _CALLS, msgspec.json.encode(total), now)
    return total
