"""Pools tried out with made-up leads: hours, absences, caps, and whom a CRM keeps out count as they do in the daemon."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from routing.core.directory import FILE
from routing.core.distribution.ask import Ask, Pick
from routing.core.distribution.methods import bond_key, kind_of
from routing.core.distribution.workload import Open, counting
from routing.ledger import decisions, holding, pools
from routing.ledger.schema import split_ref
from routing.runtime.pool_view import overflow
from rules.pools.model import Pool

if TYPE_CHECKING:
    from routing.runtime.pooling import Desk

_NEVER = datetime.max.replace(tzinfo=UTC)
_LAST = 1_000  # leads of a pool that made-up ones are like
_Facts = Mapping[str, Any]


class Simulated(Struct, frozen=True, kw_only=True):
    """What came of leads that were made up: by member how many, their ideal of these, and what they were owed before.
    ``longest_wait`` is in seconds, ``left`` how many nobody took. ``overflowed`` went on to ``overflow``, a pool or a queue.

    ``worst`` is the largest |assigned − ideal| on the way, but for what was credited by hand and is still to be made up for (``by_hand``: some
    was); None where leads do not go by turns.
    ``sticky`` is what the pool keeps together, where these leads have none of it. ``like``: so many of the pool's last leads they
    were made after, 0 for none. ``systems`` says how many leads came from which CRM (none where that is not known, and makes a
    difference), ``kept_out`` by member which of these CRMs (all, where it is not known) gave them none, and why.
    """

    pool: str
    leads: int
    given: dict[str, int]
    ideal: dict[str, float]
    owed: dict[str, float]
    waited: int
    longest_wait: float
    left: int
    overflowed: int
    overflow: str
    sticky: str
    worst: float | None
    by_hand: bool
    like: int
    systems: dict[str, int]
    kept_out: dict[str, dict[str, str]]


class Lead(Struct, frozen=True):
    """What a made-up lead is like: the CRM that it comes from (``file``: any), and what sticky pools keep together."""

    system: str
    account: str = ""
    contact: str = ""


def simulate(
    desk: Desk, name: str, leads: int, start: datetime, end: datetime, facts: _Facts | None = None
) -> Simulated:
    """Gives out made-up leads that come evenly from ``start`` to ``end``, from how the pool stands now. Nothing is stored.

    What finds nobody overflows, or waits until somebody is there by the clock, as in the daemon. Leads stay open.
    """
    pool, facts = desk.policy.pools[name], facts or {}
    kind = kind_of(pool, Ask(system=FILE, facts=facts, now=start))
    rotation = desk.pools.rotation(pool, kind, start)
    assigned = dict(zip(rotation.people, rotation.assigned, strict=True))
    ideal = {person: rotation.assigned[n] + rotation.claim(n) for person, n in rotation.number.items()}
    owed = {person: rotation.claim(n) for person, n in rotation.number.items()}
    by_hand = any(abs(rotation.granted(n)) > 0.005 for n in rotation.number.values())
    worst, seq, waits, overflowed = rotation.deviation(), rotation.seq, list[float](), 0
    like = _like(desk, pool, str((facts.get("event") or {}).get("system") or ""))
    drawn = list(islice(cycle(like), leads))
    for n, waited in _turns(desk, pool, drawn, start, end, facts):
        if n is None:
            overflowed += 1
            continue
        # Where somebody came or went since the last turn all are looked at.
        worst = max(worst, rotation.deviation_after(n) if rotation.seq == seq + 1 else rotation.deviation())
        seq = rotation.seq
        waits.append(waited)
    systems = {
        one: sum(lead.system == one for lead in drawn) for one in sorted({lead.system for lead in like} - {FILE})
    }
    return Simulated(
        pool=name,
        leads=leads,
        given={who: rotation.assigned[n] - assigned.get(who, 0) for who, n in rotation.number.items()},
        ideal={
            who: rotation.assigned[n] + rotation.claim(n) - ideal.get(who, 0.0) for who, n in rotation.number.items()
        },
        owed=owed,
        waited=sum(seconds > 0 for seconds in waits),
        longest_wait=max(waits, default=0.0),
        left=leads - len(waits) - overflowed,
        overflowed=overflowed,
        overflow=overflow(pool),
        sticky="" if any(bond_key(pool, one.account, one.contact) for one in like) else pool.sticky,
        worst=None if pool.bound is None else worst,
        by_hand=by_hand,
        like=len(like) if like[0].contact else 0,
        systems=systems,
        kept_out=_kept_out(desk, pool, systems),
    )


def _like(desk: Desk, pool: Pool, system: str) -> list[Lead]:
    """What the leads are like, to be drawn over and over: like those that the pool gave last, the oldest first, and those that wait.
    Where there were none: of the one CRM that leads come from, else of any. ``system`` is said by hand."""
    found = []
    for made in reversed(decisions.given_by(desk.conn, pool.name, _LAST)):
        email = (made.facts.get(made.entity) or {}).get("email")
        found.append(Lead(made.system, made.account_id, str(email or made.record_id).lower()))
    for ref in [one.ref for one in holding.waiting(desk.conn, pool.name, _LAST)]:
        came, _, record_id = split_ref(ref)
        found.append(Lead(came, contact=record_id))
    found = [one for one in found if one.system in ({system} if system else desk.directory.systems)]
    if pool.sticky:
        keys = {key for one in found if (key := bond_key(pool, one.account, one.contact))}
        desk.pools.bonds |= pools.bonds(desk.conn, keys)
    only = desk.directory.systems[0] if len(desk.directory.systems) == 1 else FILE
    return found or [Lead(system or only)]


def _kept_out(desk: Desk, pool: Pool, systems: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """Who of the pool could not have leads of these CRMs, and why; where nobody knows from which they come, who could have none at all."""
    asked = systems or desk.directory.systems
    people = [one.who for one in pool.members if not one.is_pool and one.weight > 0]
    found = {who: desk.directory.kept_out(who, asked) for who in people}
    return {who: whys for who, whys in found.items() if whys and (systems or len(whys) == len(asked))}


def _turns(
    desk: Desk, pool: Pool, leads: Sequence[Lead], start: datetime, end: datetime, facts: _Facts
) -> Iterator[tuple[int | None, float]]:
    """For each lead the number of the member whose turn it was (None: it overflowed), and for how many seconds it waited.

    Those of one CRM wait for each other and not for those of another, which others may have.
    """
    overflows, counts = bool(overflow(pool)), counting(desk.policy)
    step = (end - start) / max(len(leads), 1)
    waiting: dict[str, deque[tuple[datetime, Lead]]] = {}
    tried: dict[str, datetime] = {}  # when the first of those that wait is tried next
    for n, lead in enumerate(leads):
        come, following = start + step * n, start + step * (n + 1)
        waiting.setdefault(lead.system, deque()).append((come, lead))
        tried[lead.system] = max(tried.get(lead.system, come), come)
        while due := [
            (tried[system], of[0][0], system) for system, of in waiting.items() if of and tried[system] < following
        ]:
            now, since, system = min(due)
            first, waited = waiting[system][0][1], (now - since).total_seconds()
            ask = Ask(system=system, facts=facts, now=now, waited=waited, account=first.account, contact=first.contact)
            pick = desk.pools.pick(pool.name, ask)
            if pick.turns:
                desk.pools.give(pick, ask)
                desk.pools.entries.clear()
                waiting[system].popleft()
                if counts:
                    _opens(desk, pick, facts)
                yield pick.turns[0][1], waited
            elif overflows:
                waiting[system].popleft()
                yield None, waited
            else:  # until then nobody can take it, nor one of that CRM that comes meanwhile
                tried[system] = desk.pools.until([pool.name], ask) or _NEVER


def _opens(desk: Desk, pick: Pick, facts: _Facts) -> None:
    """What was given counts as open from now on."""
    lead = facts.get("lead") or {}
    numbers = {name: float(value) for name, value in lead.items() if type(value) in (int, float)}
    kinds = tuple([(pool, kind) for pool, kind, _ in pick.named if kind])
    desk.attendance.workload.add(Open(FILE, pick.person, numbers, kinds))
    desk.attendance.look_again(pick.person, sure=True)
