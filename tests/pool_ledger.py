"""What must hold of the pool ledger, whatever happened: asked by the tests of several processes, storms and simulations."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sqlalchemy import Connection, select

from routing.core.distribution.entries import members_of
from routing.core.distribution.rotation import Rotation
from routing.ledger import pools
from routing.ledger.pools import _entry
from routing.ledger.schema import decision, pool_entry
from routing.runtime.pooling import Desk
from rules.policy import Policy

# A fixed roster stays below 1; random comings and goings hardly ever go further (tests/property/test_core_distribution.py measures it).
MOVING = 1.3


def check(conn: Connection, bound: float = MOVING) -> None:
    """Every lead that a pool gave away counts once, every turn follows from the entries before it, and what is stored is what they
    add up to. Nobody is ever further than ``bound`` from their share. For pools that share by turns only."""
    given: Counter[tuple[str, str]] = Counter()
    folded: dict[tuple[str, str], Rotation] = {}
    for row in conn.execute(select(pool_entry).order_by(pool_entry.c.pool, pool_entry.c.kind, pool_entry.c.seq)):
        entry = _entry(row)
        rotation = folded.setdefault((entry.pool, entry.kind), Rotation(entry.pool, entry.kind))
        if entry.what == "assigned":
            among = rotation.group(members_of(entry.among)) if entry.among else None
            due = rotation.people[rotation.next(among)]
            assert due == entry.person, f"entry {entry.seq} of {entry.pool}: it was the turn of {due}"
            given[entry.pool, entry.person] += 1
        rotation.apply(entry)
        far = rotation.deviation()
        assert far < bound, f"entry {entry.seq} of {entry.pool}: somebody is {far:.2f} leads away from their share"
    stored = {(one.pool, one.kind): one.snapshot() for one in pools.rotations(conn)}
    assert stored == {key: one.snapshot() for key, one in folded.items()}
    decided = conn.execute(
        select(decision.c.pool, decision.c.owner).where(decision.c.outcome == "assign", decision.c.pool != "")
    )
    assert given == Counter((row.pool, row.owner) for row in decided)


def give_back(conn: Connection, policy: Policy, pool: str, person: str, leads: float, now: datetime) -> None:
    """As if that member had given so many leads back at once: what they are owed then is nobody's wish, and counts as unfair."""
    desk = Desk(conn, policy, [pool], now, locked=True)
    rotation = desk.pools.rotation(policy.pools[pool], "", now)
    desk.pools.enter(rotation, person, "refused", now, leads=leads, why="several gave it back")
    pools.save(conn, desk.opened, desk.pools.entries)
