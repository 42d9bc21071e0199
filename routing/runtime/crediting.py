"""Pools corrected by hand: claims to leads, as entries with author and reason, and leads that were bad."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from routing.core.availability.calendars import pools_served_by
from routing.core.distribution.entries import PoolEntry, What
from routing.core.distribution.returns import Turns, owed, returned, said
from routing.core.distribution.rotation import Rotation
from routing.ledger import decisions, holding, mirror, pools
from routing.runtime.pooling import Desk
from rules.pools.model import POOL


class BadLead(Struct, frozen=True):
    """A lead that a member was given, of which ``kind`` it was to the pool, and the turns that it took."""

    record_id: str
    kind: str
    turns: Turns


class Adjusted(Struct, frozen=True):
    """What became of a claim: what the member was owed ``before``, in leads, and the ``entry`` that was made."""

    rotation: Rotation
    before: float
    entry: PoolEntry


def bad_lead(desk: Desk, pool: str, member: str, record_id: str) -> BadLead:
    """The lead that the pool gave that member last. Raises ValueError where it was given to somebody else, or by another pool."""
    for record in mirror.load(desk.conn, decisions.refs_of(desk.conn, record_id)).values():
        for name, kind, person in record.turns:
            if (name, person) == (pool, member):
                return BadLead(record_id, kind, Turns.of(record))
    message = f"the lead {record_id} was not last given to {desk.directory.name(member)} by the pool {pool}"
    raise ValueError(message)


def _has(desk: Desk, pool: str, member: str, record_id: str) -> bool:
    """Whether that member has the lead by a turn in the pool, also after all when they had given it back."""
    known = mirror.load(desk.conn, decisions.refs_of(desk.conn, record_id)).values()
    return any(
        (pool, member) in [(name, person) for name, _, person in one.turns] and not one.gave_back for one in known
    )


def adjust(desk: Desk, pool: str, kind: str, member: str, leads: float, *, author: str, reason: str) -> Adjusted:
    """Gives a member a claim to so many leads more (or, below 0, fewer), as an entry with author and reason. The desk must be locked.

    Raises ValueError where there is nobody whose turns it could come out of, or go to.
    """
    rotation = desk.pools.rotation(desk.policy.pools[pool], kind, desk.now)
    if not rotation.shares(rotation.number[member]):
        who = desk.directory.name(member)
        message = f"nobody but {who} has a share of the pool {pool}: there are no turns that this could come out of"
        raise ValueError(message)
    what: What = "credit" if leads > 0 else "debit"
    return _entered(desk, rotation, member, what, leads=abs(leads), author=author, why=reason)


def return_turn(desk: Desk, pool: str, member: str, lead: BadLead, *, author: str, reason: str) -> Adjusted:
    """Returns the turn of a bad lead, with its place in the caps. Where nobody else has a share of the pool no turn is owed, and the
    entry says so. The desk must be locked. Raises ValueError where the turn was returned already."""
    turns = lead.turns
    desk.pools.returned = pools.returned(desk.conn, {turns.by} - {""})
    found = returned(desk.pools, pool, lead.kind, turns.by)
    if found is not None:
        message = f"the lead {lead.record_id} is {said(found)}; each turn is given back once"
        raise ValueError(message)
    rotation = desk.pools.rotation(desk.policy.pools[pool], lead.kind, desk.now)
    more = owed(rotation, member, reason)
    return _entered(desk, rotation, member, "credit", author=author, given=turns.at, turn=turns.by, **more)


def retake_turn(desk: Desk, pool: str, member: str, record_id: str, *, author: str, reason: str) -> Adjusted:
    """Takes back what ``return_turn`` did last for a lead of that member, also where somebody else has the lead by now. The desk must be
    locked. Raises ValueError where no turn of theirs is credited for it, or they gave the lead back themselves since."""
    ids = decisions.ids_of(desk.conn, record_id)
    turns = pools.returned(desk.conn, ids)
    credited = [one for (name, _, _), one in turns.items() if name == pool and one.what == "credit"]
    mine = [one for one in credited if pools.called(desk.conn, one) == member]
    if not mine:
        message = (
            f"the lead {record_id} is not credited to {desk.directory.name(member)}: there is nothing to take back"
        )
        raise ValueError(message)
    found = max(mine, key=lambda one: (one.at, one.seq))
    refused = pools.refused_since(desk.conn, found, ids)
    if refused is not None and pools.called(desk.conn, refused) == member and not _has(desk, pool, member, record_id):
        message = f"{desk.directory.name(member)} gave the lead {record_id} back since, so the turn stays returned: there is nothing to take back"
        raise ValueError(message)
    rotation = desk.pools.rotation(desk.policy.pools[pool], found.kind, desk.now)
    more = {"leads": found.leads, "given": found.given, "turn": found.turn}
    return _entered(desk, rotation, member, "debit", author=author, why=reason, **more)


def _entered(desk: Desk, rotation: Rotation, member: str, what: What, **more: Any) -> Adjusted:
    before = rotation.claim(rotation.number[member])
    desk.pools.enter(rotation, member, what, desk.now, **more)
    pools.save(desk.conn, desk.opened, desk.pools.entries)
    holding.hurry(desk.conn, pools_served_by(desk.policy, {member.removeprefix(POOL)}), desk.now)
    return Adjusted(rotation, before, desk.pools.entries[-1])
