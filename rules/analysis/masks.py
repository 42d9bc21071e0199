"""Sets of atoms. A field that few rules tell apart has them as bits of an int; one with thousands of atoms as runs (``Runs``).

A table of 40,000 postal codes has 100,000 atoms in that field: as ints its rows would take half a gigabyte. Both kinds know ``&``,
``|``, ``~`` and truth; what is asked of either beside that is here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import reduce
from operator import or_

MOST_BITS = 2_048  # atoms of a field whose sets are ints


class Runs:
    """A set of numbers from 0 up: ``cuts`` are where it begins and ends by turns; one without an end never ends. Never changed."""

    __slots__ = ("cuts",)

    def __init__(self, cuts: tuple[int, ...]) -> None:
        self.cuts = cuts

    @staticmethod
    def of(mask: Mask) -> Runs:
        """The same set as runs."""
        if isinstance(mask, Runs):
            return mask
        if mask < 0:
            return ~Runs.of(~mask)
        return Runs(tuple([cut for first, last in runs_of(mask) for cut in (first, last + 1)]))

    def __and__(self, other: Mask) -> Runs:
        one, two = self.cuts, other.cuts if isinstance(other, Runs) else Runs.of(other).cuts
        if len(one) == 2 == len(two):
            low, high = max(one[0], two[0]), min(one[1], two[1])
            return Runs((low, high)) if low < high else _NONE
        return _joined(one, two, 2)

    __rand__ = __and__

    def __or__(self, other: Mask) -> Runs:
        return _joined(self.cuts, Runs.of(other).cuts, 1)

    __ror__ = __or__

    def __invert__(self) -> Runs:
        return Runs(self.cuts[1:] if self.cuts[:1] == (0,) else (0, *self.cuts))

    def __bool__(self) -> bool:
        return bool(self.cuts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Runs) and self.cuts == other.cuts

    def __hash__(self) -> int:
        return hash(self.cuts)

    def bit_count(self) -> int:
        """How many numbers it has. Only of a set that ends."""
        return sum(self.cuts[1::2]) - sum(self.cuts[::2])

    def bit_length(self) -> int:
        """One more than the last number. Only of a set that ends."""
        return self.cuts[-1] if self.cuts else 0


Mask = int | Runs
_NONE = Runs(())


def _joined(one: tuple[int, ...], two: tuple[int, ...], wanted: int) -> Runs:
    """Where at least ``wanted`` of two sets are."""
    if len(two) < len(one):
        one, two = two, one
    if wanted == 2 and len(one) == 2:  # a single run of a long set: only what is near it counts
        first, last = bisect_right(two, one[0]), bisect_right(two, one[1])
        inner = two[first:last]
        cuts = (one[0], *inner) if first % 2 else inner
        cuts = (*cuts, one[1]) if last % 2 else cuts
        return Runs(tuple(_apart(cuts)))
    turns = sorted([(cut, 1 - 2 * (at % 2)) for cuts in (one, two) for at, cut in enumerate(cuts)])
    found: list[int] = []
    depth, at = 0, 0
    while at < len(turns):
        here, before = turns[at][0], depth
        while at < len(turns) and turns[at][0] == here:
            depth += turns[at][1]
            at += 1
        if (before >= wanted) is not (depth >= wanted):
            found.append(here)
    return Runs(tuple(found))


def _apart(cuts: Iterable[int]) -> list[int]:
    """Cuts without those that meet: what ends where it begins is nothing."""
    found: list[int] = []
    for cut in cuts:
        if found and found[-1] == cut:
            found.pop()
        else:
            found.append(cut)
    return found


def bits_of(mask: Mask) -> Iterator[int]:
    """The numbers of the set, lowest first. Only of a set that ends."""
    if isinstance(mask, Runs):
        for first, last in runs_of(mask):
            yield from range(first, last + 1)
        return
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def runs_of(mask: Mask) -> list[tuple[int, int]]:
    """The runs of the set: first and last. Only of a set that ends."""
    if isinstance(mask, Runs):
        cuts = mask.cuts
        if len(cuts) == 2:
            return [(cuts[0], cuts[1] - 1)]
        return [(first, end - 1) for first, end in zip(cuts[::2], cuts[1::2], strict=True)]
    found: list[tuple[int, int]] = []
    at = 0
    while mask:
        skip = (mask & -mask).bit_length() - 1
        mask >>= skip
        length = (~mask & (mask + 1)).bit_length() - 1
        found.append((at + skip, at + skip + length - 1))
        mask >>= length
        at += skip + length
    return found


def touches(one: Mask, other: Mask) -> bool:
    """Whether two sets of one field have something in common."""
    if not isinstance(one, Runs) or not isinstance(other, Runs):
        return bool(one & other)
    some, more = (one.cuts, other.cuts) if len(one.cuts) <= len(other.cuts) else (other.cuts, one.cuts)
    for at in range(0, len(some), 2):
        place = bisect_right(more, some[at])
        if place % 2 or (place < len(more) and more[place] < some[at + 1]):
            return True
    return False


def inside(one: Mask, other: Mask) -> bool:
    """Whether all of a set is in another one of the same field."""
    if not isinstance(one, Runs) or not isinstance(other, Runs):
        return not one & ~other
    cuts, around = one.cuts, other.cuts
    for at in range(0, len(cuts), 2):
        place = bisect_right(around, cuts[at])
        if not place % 2 or around[place] < cuts[at + 1]:
            return False
    return True


def lowest(mask: Mask) -> int:
    """The lowest number of a set that is not empty."""
    return mask.cuts[0] if isinstance(mask, Runs) else (mask & -mask).bit_length() - 1


def union(masks: Iterable[Mask]) -> Mask:
    """All of many sets; linear, where joining one by one would be quadratic."""
    some = list(masks)
    if not any(isinstance(mask, Runs) for mask in some):
        return reduce(or_, some, 0)
    cuts: list[int] = []
    for first, last in sorted(run for mask in some for run in runs_of(mask)):
        if cuts and first <= cuts[-1]:
            cuts[-1] = max(cuts[-1], last + 1)
        else:
            cuts += (first, last + 1)
    return Runs(tuple(cuts))
