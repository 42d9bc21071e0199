"""Pools corrected by hand: claims to leads, as entries with author and reason, and leads that were bad."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from routing.core.availability.calendars import pools_served_by
from routing.core.distribution.entries import PoolEntry, What, mask_of
from routing.core.distribution.returns import Turns, returned, said, turn_of
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
    """What became of a claim: what the member was owed ``before``, in leads, and whether it moved what they are ``owed``."""

    rotation: Rotation
    before: float
    owed: bool


def bad_lead(desk: Desk, pool: str, member: str, record_id: str) -> BadLead:
    """The lead that the pool gave that member last. Raises ValueError where it was given to somebody else, or by another pool."""
    for record in mirror.load(desk.conn, decisions.refs_of(desk.conn, record_id)).values():
        for name, kind, person in record.turns:
            if (name, person) == (pool, member):
                return BadLead(record_id, kind, Turns.of(record))
    message = f"the lead {record_id} was not last given to {desk.directory.name(member)} by the pool {pool}"
    raise ValueError(message)


def adjust(desk: Desk, pool: str, kind: str, member: str, leads: float, *, author: str, reason: str) -> Adjusted:
    """Gives a member a claim to so many leads more (or, below 0, fewer), as an entry with author and reason. The desk must be locked.

    Raises ValueError where there is nobody whose turns it could come out of, or go to.
    """
    rotation = desk.pools.rotation(desk.policy.pools[pool], kind, desk.now)
    if _alone(rotation, member):
        who = desk.directory.name(member)
        message = f"nobody but {who} has a share of the pool {pool}: there are no turns that this could come out of"
        raise ValueError(message)
    what: What = "credit" if leads > 0 else "debit"
    return _entered(desk, rotation, member, what, leads=abs(leads), author=author, why=reason)


def return_turn(desk: Desk, pool: str, member: str, lead: BadLead, *, author: str, reason: str) -> Adjusted:
    """Returns the turn of a bad lead, with its place in the caps. Where nobody else has a share of the pool no turn is owed, and the
    entry says so. The desk must be locked. Raises ValueError where the turn was returned already."""
    found = _returned(desk, (pool, lead.kind, member), lead)
    if found is not None:
        message = f"the lead {lead.record_id} is {said(found)}; each turn is given back once"
        raise ValueError(message)
    rotation = desk.pools.rotation(desk.policy.pools[pool], lead.kind, desk.now)
    leads = 0.0 if _alone(rotation, member) else 1.0
    why = reason if leads else f"{reason} (no turn is owed for it: nobody else had a share of the pool)"
    return _entered(desk, rotation, member, "credit", leads=leads, author=author, why=why, **_named(lead, member))


def retake_turn(desk: Desk, pool: str, member: str, lead: BadLead, *, author: str, reason: str) -> Adjusted:
    """Takes back what ``return_turn`` did. The desk must be locked. Raises ValueError where the lead is not credited."""
    found = _returned(desk, (pool, lead.kind, member), lead)
    if found is None or found.what != "credit":
        message = f"the lead {lead.record_id} is not credited: there is nothing to take back"
        raise ValueError(message)
    rotation = desk.pools.rotation(desk.policy.pools[pool], lead.kind, desk.now)
    more = _named(lead, member)
    return _entered(desk, rotation, member, "debit", leads=found.leads, author=author, why=reason, **more)


def _alone(rotation: Rotation, member: str) -> bool:
    n = rotation.number[member]
    return rotation.bearers(n) == mask_of((n,))


def _named(lead: BadLead, member: str) -> dict[str, Any]:
    return {"given": lead.turns.at, "turn": turn_of(lead.turns, member)}


def _returned(desk: Desk, turn: tuple[str, str, str], lead: BadLead) -> PoolEntry | None:
    desk.pools.returned = pools.returned(desk.conn, {turn_of(lead.turns, turn[2])} - {""})
    return returned(desk.pools, lead.turns, turn)


def _entered(desk: Desk, rotation: Rotation, member: str, what: What, **more: Any) -> Adjusted:
    before = rotation.claim(rotation.number[member])
    desk.pools.enter(rotation, member, what, desk.now, **more)
    pools.save(desk.conn, desk.opened, desk.pools.entries)
    holding.hurry(desk.conn, pools_served_by(desk.policy, {member.removeprefix(POOL)}), desk.now)
    return Adjusted(rotation, before, owed=bool(more["leads"]))
