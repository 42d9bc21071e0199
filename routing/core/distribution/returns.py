"""Leads that are given back, or credited by hand: a turn is returned once, whichever comes first, until it is taken again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from routing.core.distribution.ask import Ask
from routing.core.distribution.entries import LEFT, PoolEntry
from routing.core.distribution.pools import Pools, PoolSeen
from routing.core.distribution.rotation import Rotation
from routing.core.model import Record, Step


class Turns(Struct, frozen=True):
    """The turns that one lead took, as pool, kind and member, from the outer pool to those within it; when they were given, and by
    which decision (None and "" where that was not kept). The pool ledger names them by that decision (``PoolEntry.turn``)."""

    named: tuple[tuple[str, str, str], ...] = ()
    at: datetime | None = None
    by: str = ""

    @classmethod
    def of(cls, record: Record) -> Turns:
        """Those of the last decision on that record."""
        return cls(record.turns, datetime.fromisoformat(record.given_at) if record.given_at else None, record.given_by)


def returned(pools: Pools, pool: str, kind: str, turn: str) -> PoolEntry | None:
    """The entry by which that turn is returned now; None while it stands."""
    last = pools.returned.get((pool, kind, turn))
    return None if last is None or last.what == "debit" else last


def said(entry: PoolEntry) -> str:
    """How a turn was returned, in words."""
    when = f"{entry.at:%Y-%m-%d %H:%M} UTC"
    return (
        f"credited already: by {entry.author}, {when}" if entry.author else f"given back already: {entry.why}, {when}"
    )


def owed(rotation: Rotation, member: str, why: str) -> dict[str, Any]:
    """What an entry says that returns a turn of that member: how many ``leads`` they are owed for it, and ``why``. None are where there are
    no turns that one could come out of, nor where nobody can make up for it: of whoever left the pool, claims are let go."""
    n = rotation.number[member]
    if rotation.shares(n):
        return {"leads": 1.0, "why": why}
    because = "no longer in the pool" if rotation.why[n] == LEFT else "nobody else had a share of the pool"
    return {"leads": 0.0, "why": f"{why} (no turn is owed for it: {because})"}


def take_back(pools: Pools, turns: Turns, why: str, ask: Ask) -> tuple[Step, ...]:
    """Whoever gave a lead back has the turns again that it took; where they have one already, an entry and a step say so. In a replay
    the entries are there already."""
    told = []
    for name, kind, member in turns.named:
        rotation, key = pools.rotations.get((name, kind)), f"turn in {name}"
        found = returned(pools, name, kind, turns.by)
        already = said(found) if found is not None else pools.bonds.get(("", key), "")
        if already:
            pools.seen["", key] = PoolSeen("", "", 0, key, already)
            told.append(Step("distribute", name, False, note=f"the turn is given back once: {already}"))
        if pools.replayed or rotation is None or member not in rotation.number:
            continue
        if already:
            why_not = f"{why}; {already}: no second turn"
            pools.enter(rotation, member, "refused", ask.now, why=why_not, decision_id=ask.decision_id)
            continue
        more = owed(rotation, member, why)
        pools.enter(
            rotation, member, "refused", ask.now, decision_id=ask.decision_id, given=turns.at, turn=turns.by, **more
        )
    return tuple(told)


def take_again(pools: Pools, turns: Turns, why: str, ask: Ask) -> None:
    """Who gave a lead back and keeps it after all has had those turns again that they got back for it."""
    for name, kind, member in turns.named:
        rotation, found = pools.rotations.get((name, kind)), returned(pools, name, kind, turns.by)
        if rotation is not None and found is not None and found.what == "refused" and not pools.replayed:
            pools.enter(
                rotation,
                member,
                "debit",
                ask.now,
                leads=found.leads,
                why=why,
                decision_id=ask.decision_id,
                given=turns.at,
                turn=found.turn,
            )
