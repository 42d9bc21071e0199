"""What a decision says of a pool: how its members stood, and in words who was in turn, or why nobody could take the lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routing.core.distribution.candidates import SHOWN, Candidates
from routing.core.distribution.methods import lightest
from routing.core.distribution.rotation import Rotation
from routing.core.model import MemberView
from rules.nouns import counted

if TYPE_CHECKING:
    from rules.pools.model import Pool

# How many people's reasons a sentence names before it counts the others.
_NAMED = 5
_NEAR = 3  # of a large load balanced pool, beside the chosen

_HOW = {
    "load balanced": "has the fewest open leads in",
    "best fit": "fits best in",
    "pull": "claimed it out of",
    "sticky": "gets what is new of it in",
}


def how(pool: Pool, key: str, before: str, *, theirs: bool) -> str:
    """Completes "Ana … the pool". Of a sticky pool: the ``key`` it goes by, "" where the lead has none; the name of whose that is,
    "" for nobody; and whether they get it (``theirs``)."""
    if pool.method == "load balanced" and pool.balance:
        return f"has the lowest sum of {pool.balance} over open leads in"
    if pool.method != "sticky" or (key and not before):
        return _HOW.get(pool.method, "is next in")
    if not key:
        return f"is next, since no {pool.sticky} is known to go by, in"
    return "has it already in" if theirs else f"stands in for {before}, whose it is, in"


def views(pool: Pool, rotation: Rotation, chosen: int | None, can: Candidates) -> tuple[MemberView, ...]:
    """The members as they stood, the lead to be given in their ideals; of a large pool the chosen comes first, and of a load balanced
    one those who have hardly more to do."""
    listed, whys = can.listed
    balanced = pool.method == "load balanced"
    if chosen is not None and len(pool.members) > SHOWN:
        near = lightest(rotation, can.among, _NEAR + 1) if balanced else []
        first = [chosen, *[n for n in near if n != chosen][:_NEAR]]
        listed, whys = [*first, *listed], [*[""] * len(first), *whys]
    people, weight, assigned = rotation.people, rotation.weight, rotation.assigned
    ideals = rotation.ideals(listed, can.among, given=chosen is not None)
    return tuple(
        [
            MemberView(people[n], weight[n], ideal, assigned[n], why, rotation.load[n] if balanced else None)
            for n, ideal, why in zip(listed, ideals, whys, strict=True)
        ]
    )


def note(pool: Pool, rotation: Rotation, chosen: int, can: Candidates, members: tuple[MemberView, ...]) -> str:
    """How whoever was chosen stands with this lead."""
    person = rotation.people[chosen]
    if pool.method == "load balanced":
        load, weight = rotation.load[chosen], rotation.weight[chosen]
        had = (
            f"a sum of {pool.balance} of {load:g}" if pool.balance else f"{load:g} open lead{'' if load == 1 else 's'}"
        )
        said = f"{had} for a weight of {weight:g}: nobody who can have it has less for theirs"
    else:
        ideal = next(one.ideal for one in members if one.person == person)
        said = f"{counted(rotation.assigned[chosen] + 1, 'lead')} now, the fair share is {ideal:.2f}"
    if len(pool.members) > SHOWN:
        able = rotation.in_turn if can.among is None else len(can.among.members)
        said = f"{said}; {able} of {len(pool.members)} members could have had it"
    return f"of the kind '{rotation.kind}': {said}" if rotation.kind else said


def settled(claim: float) -> str:
    """What becomes of the claim of somebody who left the pool."""
    if abs(claim) < 0.005:
        return "left with their share of leads: what they have of credits, or of value, is let go"
    if claim > 0:
        return f"left {claim:.2f} leads behind their share: those furthest ahead of theirs are let off as much"
    return f"left {-claim:.2f} leads ahead of their share: those furthest behind theirs go without as much"


def nobody(pool: Pool, can: Candidates) -> str:
    """Why nobody can take the lead."""
    if not pool.members:
        return f"the pool {pool.name} has no members"
    said = "; ".join([can.why(member.key) for member in pool.members[:_NAMED]])
    if len(pool.members) > _NAMED:
        said = f"{said}; and {len(pool.members) - _NAMED} more"
    return f"nobody in the pool {pool.name} can take it ({said})"
