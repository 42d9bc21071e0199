"""Who of a pool is next: each member's share, to within one lead, at every moment.

Method: the quota method of R. Tijdeman, "The chairman assignment problem" (Discrete Mathematics 32, 1980). Every turn adds
to each eligible member's *ideal* the share of a lead that is theirs by weight. Only members whose ideal is ahead of what
they were assigned may get the lead, and of those the one who must have it soonest: who would be a whole lead behind first.
For a fixed roster |assigned - ideal| stays below 1 at every prefix, whatever the weights. Simply giving to whoever is
furthest behind does not keep that bound with unequal weights, and smooth weighted round robin exceeds it too.

An ideal grows only while a member is eligible: absence earns no claim, and nobody pays for it. What a member was ahead or
behind by (below one lead) stays with them until they are back. Those who stayed then are behind, or ahead, all together, and
deadlines promise what the leads that come cannot keep; so while that lasts the lead goes to whoever is furthest behind, which
was measured to be the better of the two. No method keeps the bound of 1 there: when of four equal members the first three
leave right after their turn, the last one is owed a lead that cannot be given before the next comes. Measured over random
comings and goings, weights of 1 to 3: 1.1 in nineteen runs of twenty, 1.3 at worst.
"""

from __future__ import annotations

from collections.abc import Mapping

from routing.core.model import MemberView, PoolState
from rules.model import Pool

# Sums of shares such as 1/3 miss whole numbers by far less than this, after any number of leads a pool will see.
_TOLERANCE = 1e-6


def pick(
    pool: Pool, state: PoolState, unavailable: Mapping[str, str]
) -> tuple[str | None, PoolState, tuple[MemberView, ...]]:
    """The member who gets the next lead, the pool's state after it, and every member as they stood at this turn.

    ``unavailable`` maps a person to why they cannot receive a lead. None, and the same state, when nobody is eligible.
    ``ideal`` in the views includes this turn's share, ``assigned`` does not include this lead. Ties go by the pool's order.
    """
    even = pool.method == "round robin"
    eligible = [
        (person, 1.0 if even else weight)
        for person, weight in pool.members.items()
        if weight > 0 and person not in unavailable
    ]
    if not eligible:
        return None, state, _views(pool, state, unavailable)
    total = sum(weight for _, weight in eligible)
    ideal = dict(state.ideal)
    assigned = state.assigned
    best, best_deadline = "", 0.0
    behind, furthest = "", 0.0
    together = -1.0  # this turn's lead is in the ideals and not yet given
    for person, weight in eligible:
        share = weight / total
        mine = ideal[person] = ideal.get(person, 0.0) + share
        had = assigned.get(person, 0)
        lead = mine - had
        together += lead
        if lead > _TOLERANCE:
            deadline = (1.0 - lead) / share
            if not best or deadline < best_deadline - _TOLERANCE:
                best, best_deadline = person, deadline
        if not behind or lead > furthest:
            behind, furthest = person, lead
    chosen = best if best and -_TOLERANCE < together < _TOLERANCE else behind
    after = PoolState(state.pool or pool.name, {**assigned, chosen: assigned.get(chosen, 0) + 1}, ideal)
    return chosen, after, _views(pool, PoolState(pool.name, assigned, ideal), unavailable)


def _views(pool: Pool, state: PoolState, unavailable: Mapping[str, str]) -> tuple[MemberView, ...]:
    ideal, assigned = state.ideal, state.assigned
    return tuple(
        [
            MemberView(
                person,
                weight,
                ideal.get(person, 0.0),
                assigned.get(person, 0),
                unavailable.get(person, "") if weight > 0 else "weight 0: gets no leads",
            )
            for person, weight in pool.members.items()
        ]
    )
