"""How a pool stands now: its members, who is next for the leads of which CRM, and why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from routing.core.directory import FILE
from routing.core.distribution.ask import Ask
from routing.core.distribution.entries import PoolEntry
from routing.core.distribution.methods import by_value, least_loaded
from routing.core.distribution.rotation import Rotation
from routing.core.distribution.turns import Group
from routing.ledger import decisions, holding, pools
from routing.ledger.schema import split_ref
from rules.pools.model import Pool

if TYPE_CHECKING:
    from routing.runtime.pooling import Desk

NEXT = 5
_LAST = 200  # leads that tell from which CRMs those of a pool come
_REASONS = 3  # why nobody can have a lead: of more members how many are counted


class MemberLine(Struct, frozen=True, kw_only=True):
    """One member as they stand. ``shortfall`` is ideal − assigned, ``value`` the same in value, where leads have one. ``load`` is what a
    load balanced pool goes by: open leads, or the sum of a field. ``credits`` were given by hand or for leads given back. ``not_for``
    says why they get no leads of single CRMs, by its name, while they are available for those of others. ``next`` is how soon it is
    their turn, by CRM; by "" where that is the same for all."""

    person: str
    name: str
    weight: float
    share: float
    ideal: float
    assigned: int
    shortfall: float
    value: float
    load: float
    credits: float
    caps: tuple[str, ...]
    available: bool
    why: str
    not_for: dict[str, str]
    until: datetime | None
    next: dict[str, int]


class Coming(Struct, frozen=True, kw_only=True):
    """Who gets the next leads of that CRM (``system``; "" for whichever they come from), if nothing changes: none where nobody can.
    ``because`` says why the first, or why nobody."""

    system: str
    people: tuple[str, ...]
    because: str


class RotationView(Struct, frozen=True, kw_only=True):
    """One rotation of a pool. ``next`` has one entry, or one for each CRM from which its leads come where these differ; none where who is
    next depends on the lead.

    ``deviation`` is the largest |assigned − ideal| of anybody but for what was credited by hand, ``bound`` from where on it is told
    (``rules.pools.model.Pool.bound``).
    """

    pool: str
    kind: str
    method: str
    closed: str
    waiting: int
    deviation: float
    bound: float | None
    members: tuple[MemberLine, ...]
    next: tuple[Coming, ...]
    entries: tuple[PoolEntry, ...]


def view_of(desk: Desk, name: str, kind: str, entries: int) -> RotationView:
    """How a pool stands now, with so many of its newest entries."""
    pool = desk.policy.pools[name]
    rotation = desk.pools.rotation(pool, kind, desk.now)
    barred = {system: _barred(desk, pool, rotation, system) for system in desk.directory.systems or ("",)}
    coming = _coming(pool, rotation, desk.now, {system: barred[system] for system in _systems(desk, name) or barred})
    return RotationView(
        pool=name,
        kind=kind,
        method=pool.method,
        closed=rotation.closed,
        waiting=holding.lengths(desk.conn).get(name, 0),
        deviation=rotation.deviation(),
        bound=pool.bound,
        members=_lines(desk, pool, rotation, barred, coming),
        next=coming,
        entries=tuple(pools.entries(desk.conn, name, entries, kind=kind)) if entries else (),
    )


def overflow(pool: Pool) -> str:
    """Where leads go that nobody of the pool can take; "" where they wait."""
    if pool.overflow:
        return f"the pool {pool.overflow}"
    return f"the queue {pool.overflow_queue}" if pool.overflow_queue else ""


def _systems(desk: Desk, name: str) -> list[str]:
    """The CRMs from which the leads of a pool come, by those that it gave last and those that wait; until there is one, all from which
    leads come."""
    refs = [
        *decisions.refs_given_by(desk.conn, name, _LAST),
        *(one.ref for one in holding.waiting(desk.conn, name, _LAST)),
    ]
    known = desk.directory.systems
    return sorted({split_ref(ref)[0] for ref in refs}.intersection(known)) or list(known)


def _barred(desk: Desk, pool: Pool, rotation: Rotation, system: str) -> dict[str, str]:
    """Who is in turn and gets no leads of that CRM, and why: whom it keeps out, and the pools within this one that have nobody who could
    take them, nor an overflow that has."""
    crm = desk.attendance.index.barred(pool, system) if system else {}
    barred = {key: why for key, why in crm.items() if rotation.is_in(key)}
    ask = Ask(system=system or FILE, facts={}, now=desk.now)
    for member in pool.members:
        if member.is_pool and rotation.is_in(member.key):
            found = desk.pools.within(member.who, ask, (pool.name,))
            if not (found.person or found.queue):
                barred[member.key] = f"nobody in the pool {member.who} can take a lead"
    return barred


def _lines(
    desk: Desk, pool: Pool, rotation: Rotation, barred: Mapping[str, Mapping[str, str]], coming: tuple[Coming, ...]
) -> tuple[MemberLine, ...]:
    lines = []
    turns: dict[str, dict[str, int]] = {}
    for one in coming:
        for turn, person in reversed(list(enumerate(one.people, 1))):
            turns.setdefault(person, {})[one.system] = turn
    for member in pool.members:
        n, key = rotation.number[member.key], member.key
        claim = rotation.claim(n)
        not_for = {system: whys[key] for system, whys in barred.items() if key in whys}
        nowhere = len(not_for) == len(barred)
        lines.append(
            MemberLine(
                person=key,
                name=key if member.is_pool else desk.directory.name(member.who),
                weight=rotation.weight[n],
                share=rotation.weight[n] / rotation.total if rotation.is_in(key) else 0.0,
                ideal=rotation.assigned[n] + claim,
                assigned=rotation.assigned[n],
                shortfall=claim,
                value=rotation.worth(n),
                load=rotation.load[n],
                credits=rotation.credits[n],
                caps=tuple(desk.attendance.used(pool, member, rotation.kind, desk.now)),
                available=rotation.is_in(key) and not nowhere,
                why=rotation.why[n] or (next(iter(not_for.values())) if nowhere else ""),
                not_for={} if nowhere else not_for,
                until=desk.attendance.until_of(pool, member, rotation.kind, desk.now),
                next=turns.get(key, {}),
            )
        )
    return tuple(lines)


def _coming(
    pool: Pool, rotation: Rotation, now: datetime, barred: Mapping[str, Mapping[str, str]]
) -> tuple[Coming, ...]:
    """Who is next, by CRM where that makes a difference."""
    if pool.method == "pull":
        return ()  # whoever claims
    found = []
    for system, whys in barred.items():
        able = [] if rotation.closed else [n for n in rotation.present() if rotation.people[n] not in whys]
        if not able:
            found.append(Coming(system=system, people=(), because=_why_nobody(pool, rotation, whys)))
        elif pool.method not in ("sticky", "best fit"):
            among = rotation.group(able) if len(able) < len(rotation.present()) else None
            people = _turns(pool, rotation, among, now)
            found.append(Coming(system=system, people=people, because=_because(pool, rotation, among, people[0])))
    if len({(one.people, one.because) for one in found}) == 1 and len(found) == len(barred):
        return (Coming(system="", people=found[0].people, because=found[0].because),)
    return tuple(found)


def _turns(pool: Pool, rotation: Rotation, among: Group | None, now: datetime) -> tuple[str, ...]:
    """Who gets the next leads that may go to these, if nobody comes or goes."""
    copy, found = Rotation.of(rotation.snapshot()), []
    mask = "" if among is None else among.mask
    among = None if among is None else copy.group(among.members)
    for seq in range(copy.seq + 1, copy.seq + 1 + NEXT):
        n = (
            least_loaded(copy, among)
            if pool.method == "load balanced"
            else by_value(copy, among)
            if pool.value
            else copy.next(among)
        )
        person = copy.people[n]
        found.append(person)
        copy.apply(
            PoolEntry(pool=copy.pool, kind=copy.kind, seq=seq, person=person, what="assigned", at=now, among=mask)
        )
    return tuple(found)


def _because(pool: Pool, rotation: Rotation, among: Group | None, person: str) -> str:
    n = rotation.number[person]
    if pool.method == "load balanced":
        what = f"the sum of {pool.balance} over open leads" if pool.balance else "the number of open leads"
        return f"who has least to do: {what} is {rotation.load[n]:g}, for a weight of {rotation.weight[n]:g}"
    (ideal,) = rotation.ideals([n], among, given=True)
    said = f"with the next lead their fair share is {ideal:.2f}; given so far: {rotation.assigned[n]}"
    return (
        f"{said}; of those who are not too far from theirs, furthest behind in value (among equals, in turn)"
        if pool.value
        else said
    )


def _why_nobody(pool: Pool, rotation: Rotation, barred: Mapping[str, str]) -> str:
    if rotation.closed:
        return rotation.closed
    whys = list(barred.values()) or ["nobody is in turn"]
    said = "; ".join(whys[:_REASONS]) + (f"; and {len(whys) - _REASONS} more" if len(whys) > _REASONS else "")
    on = overflow(pool)
    return f"{said}; they go to {on}" if on else f"{said}; they wait"
