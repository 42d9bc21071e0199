"""Whose turn it is, found without working out everybody's claim: members of equal weight take turns in the order of their due times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from math import fsum, inf
from operator import itemgetter

from routing.core.distribution.entries import State

# In leads. Sums of shares such as 1/3 miss whole numbers by far less than this, after any number of leads a pool will see.
TOLERANCE = 1e-6

# Of each weight only the first need be compared; with more weights than this, all members are.
_MOST_WEIGHTS = 16


class Group:
    """Some members in turn, who alone may have a lead, as long as nobody stands otherwise. ``mask`` names them in the pool ledger."""

    __slots__ = ("_equals", "_weights", "mask", "members", "numbers", "total")

    def __init__(self, members: Sequence[int], weights: Sequence[float], mask: str = "") -> None:
        self.members = tuple(members)
        self.numbers = frozenset(members)
        self.mask = mask
        self.total = fsum([weights[n] for n in members])
        self._weights = weights
        equals: dict[float, list[int]] = {}
        for n in members:
            equals.setdefault(weights[n], []).append(n)
        few = equals if len(equals) <= _MOST_WEIGHTS else {}
        self._equals = tuple([(weight, 1.0 / weight, equal, _reader(equal)) for weight, equal in few.items()])

    def firsts(self, mark: Sequence[float]) -> Sequence[int]:
        """Of each weight, who must have a lead soonest; all of them where there are too many weights."""
        if not self._equals:
            return self.members
        firsts = []
        for _, span, equal, read in self._equals:
            marks = read(mark)
            least = min(marks)
            at = marks.index(least)
            if at and min(marks[:at]) + span == least + span:  # due at the same time as one who comes before them
                at = [one + span for one in marks].index(least + span)
            firsts.append(equal[at])
        firsts.sort()
        return firsts

    def owed(self, mark: Sequence[float], virtual: float) -> float:
        """What they are owed all together, in leads."""
        if not self._equals:
            return fsum([(virtual - mark[n]) * self._weights[n] for n in self.members])
        return fsum([weight * (len(equal) * virtual - fsum(read(mark))) for weight, _, equal, read in self._equals])


def _reader(numbers: Sequence[int]) -> Callable[[Sequence[float]], tuple[float, ...]]:
    """Reads the values of these members at once."""
    if len(numbers) > 1:
        return itemgetter(*numbers)
    (only,) = numbers
    return lambda values: (values[only],)


class Queues:
    """All in turn, by weight: who must have a lead soonest first. Who moves is put in again; where they were is noticed later."""

    def __init__(self, members: Sequence[int], mark: list[float], span: list[float], weight: list[float]) -> None:
        self._mark, self._span, self._weight = mark, span, weight
        self._by_weight: dict[float, list[tuple[float, int]]] = {}
        for n in members:
            self._by_weight.setdefault(weight[n], []).append((mark[n] + span[n], n))
        for queue in self._by_weight.values():
            heapify(queue)

    def put(self, n: int) -> bool:
        """Puts a member where they belong by now. False when so much is out of date that they are better made anew."""
        queue = self._by_weight.setdefault(self._weight[n], [])
        heappush(queue, (self._mark[n] + self._span[n], n))
        return len(queue) <= 2 * len(self._mark) + 64

    def firsts(self, state: Sequence[State]) -> Sequence[int] | None:
        """Of each weight, who must have a lead soonest; None where there are too many weights."""
        if len(self._by_weight) > _MOST_WEIGHTS:
            return None
        weights, mark, span = self._weight, self._mark, self._span
        found = []
        for weight, queue in self._by_weight.items():
            while queue:
                due, n = queue[0]
                if state[n] == "in" and weights[n] == weight and mark[n] + span[n] == due:
                    found.append(n)
                    break
                heappop(queue)
        found.sort()
        return found


def best(
    members: Sequence[int],
    mark: Sequence[float],
    span: Sequence[float],
    weight: Sequence[float],
    virtual: float,
    total: float,
    level: Callable[[], bool],
) -> int:
    """Who gets the lead that is in the ideals at that virtual time. By no more than weight, due time and number: so it is the same
    whether all are compared, or the firsts of each weight.

    ``level`` says whether they are three or more, and nobody else is owed anything, or has more than their share.
    """
    begun = virtual - TOLERANCE / total
    soonest = least = inf
    most, behind, first = -inf, members[0], -1
    for n in members:
        since = mark[n]
        due = since + span[n]
        claim = (virtual - due) * weight[n]  # less one lead
        if claim > most or (claim == most and due < least):
            most, least, behind = claim, due, n
        if due < soonest and since < begun:
            soonest, first = due, n
    return first if -1 != first != behind and most < 0 and level() else behind


def levelled(claims: Sequence[float]) -> list[float]:
    """What to add to each of these, so that they add up to 0: those furthest off come down (or up) to one level, all others stay.

    So nobody gets further from 0 than they were, and those who do move stay on their side of it.
    """
    much = fsum(claims)
    sign = 1.0 if much > 0 else -1.0
    falling = sorted([sign * claim for claim in claims], reverse=True)
    left, level = abs(much), inf
    for n, claim in enumerate(falling[:-1], 1):
        level = claim - left / n
        if level >= falling[n]:
            break
        left -= n * (claim - falling[n])
    else:
        level = falling[-1] - left / len(falling) if falling else inf
    return [sign * min(level - sign * claim, 0.0) for claim in claims]
