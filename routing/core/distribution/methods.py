"""The methods of sharing beside fair turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import inf, log
from typing import TYPE_CHECKING

from routing.core.distribution.ask import Ask
from routing.core.distribution.rotation import Rotation
from routing.core.distribution.turns import TOLERANCE, Group

if TYPE_CHECKING:
    from rules.pools.model import Pool

# How far from their share of leads, in leads, members of a pool may be that shares the leads' value too.
_SLACK = 2.0


def kind_of(pool: Pool, ask: Ask) -> str:
    """Which of the pool's rotations the record belongs to: that of the first kind whose condition holds, else ""."""
    for kind in pool.kinds:
        if kind.when.holds(ask.facts, ask.now):
            return kind.name
    return ""


def bond_key(pool: Pool, account: str, contact: str) -> str:
    """What a sticky pool remembers the owner of; "" where there is nothing to hold on to."""
    if pool.sticky == "account" and account:
        return f"account:{account}"
    if pool.sticky == "contact" and contact:
        return f"contact:{contact}"
    return ""


def rendezvous(key: str, rotation: Rotation, able: Sequence[int]) -> int:
    """The same member for the same key as long as that one is able, in proportion to weights; who joins or leaves moves only
    their own share of the keys (weighted rendezvous hashing: Thaler and Ravishankar 1998, weights by Schindelhauer 2005)."""
    best, highest = able[0], -inf
    for n in able:
        digest = blake2b(f"{key}\x1f{rotation.people[n]}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        drawn = (int.from_bytes(digest, "big") + 0.5) / 2**64
        score = -rotation.weight[n] / log(drawn) if drawn < 1 else inf
        if score > highest:
            best, highest = n, score
    return best


def least_loaded(rotation: Rotation, among: Group | None) -> int:
    """Who has the fewest open leads for their weight; among equals the one whose turn it is."""
    able = _able(rotation, among)
    loads = _loads(rotation, able)
    least = min(loads)
    return _turn_of(rotation, [n for n, load in zip(able, loads, strict=True) if load == least])


def lightest(rotation: Rotation, among: Group | None, number: int) -> list[int]:
    """Those who have the fewest open leads for their weight, the fewest first."""
    able = _able(rotation, among)
    loads, found = _loads(rotation, able), []
    for _ in range(min(number, len(able))):  # of so few this is quicker than to sort them
        at = loads.index(min(loads))
        found.append(able[at])
        loads[at] = inf
    return found


def best_fit(rotation: Rotation, among: Group | None, score: Callable[[str], float]) -> int:
    """Who has the highest score for this lead; among equals the one whose turn it is."""
    able = _able(rotation, among)
    scores = [score(rotation.people[n]) for n in able]
    highest = max(scores)
    return _turn_of(rotation, [n for n, score in zip(able, scores, strict=True) if score == highest])


def by_value(rotation: Rotation, among: Group | None) -> int:
    """Who is behind most in value, of those who are not too far ahead in leads; who is too far behind in leads goes first. Among
    equals in value the one whose turn it is.

    Sharing numbers to within one lead leaves nothing to choose between two equals, so here it is ``_SLACK``.
    """
    able = _able(rotation, among)
    first = rotation.next(among)
    total = sum(rotation.weight[n] for n in able)
    claims = {n: claim + rotation.weight[n] / total for n, claim in zip(able, rotation.claims(able), strict=True)}
    if claims[first] + rotation.weight[first] / total >= _SLACK:
        return first
    ready = [n for n in able if claims[n] - 1 > -_SLACK]
    worths = [rotation.worth(n) for n in ready]
    least = max(worths, default=0.0) - TOLERANCE  # what sums of shares miss is no difference
    equals = [n for n, worth in zip(ready, worths, strict=True) if worth >= least]
    return first if first in equals or not equals else _turn_of(rotation, equals)


def _loads(rotation: Rotation, able: Sequence[int]) -> list[float]:
    """For their weight."""
    load, weight = rotation.load, rotation.weight
    return [load[n] / weight[n] for n in able]


def _able(rotation: Rotation, among: Group | None) -> Sequence[int]:
    return rotation.present() if among is None else among.members


def _turn_of(rotation: Rotation, equals: Sequence[int]) -> int:
    """Of equals, who is furthest behind."""
    claims = rotation.claims(equals)
    return equals[claims.index(max(claims))]
