"""Searches among boxes: which earlier ones contain a box, which meet it, and whether all together leave anything of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from rules.analysis.regions import Space, meet, within
from rules.analysis.space import Box, bits_of, runs_of
from rules.tables.columns import Steps, bits


class Budget:
    """A number of steps that may be taken: time would not be the same on every machine."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.spent = 0

    def take(self, steps: int) -> bool:
        """Takes steps; whether there were any left."""
        self.left -= steps
        self.spent += steps
        return self.left > 0


class Undecided(Exception):
    """The budget is used up."""


class Boxes:
    """Boxes in order, indexed by their dimensions."""

    def __init__(self, space: Space, boxes: Sequence[Box]) -> None:
        self._space = space
        self.boxes = boxes
        self._count = len(boxes)
        self._all = (1 << self._count) - 1
        by_axis: dict[int, list[tuple[int, tuple[int, int]]]] = {}
        asking: dict[int, list[int]] = {}
        signatures: dict[frozenset[int], list[int]] = {}
        for number, box in enumerate(boxes):
            signatures.setdefault(frozenset(box), []).append(number)
            for axis, mask in box.items():
                asking.setdefault(axis, []).append(number)
                by_axis.setdefault(axis, []).extend((number, run) for run in runs_of(mask))
        self._any = {axis: self._all & ~bits(some, self._count) for axis, some in asking.items()}
        self._steps = {axis: Steps(self._count, spans) for axis, spans in by_axis.items()}
        self._starts = {
            axis: sorted((first, number) for number, (first, _) in spans) for axis, spans in by_axis.items()
        }
        self._signatures = [(axes, bits(some, self._count)) for axes, some in signatures.items()]
        self._known: dict[frozenset[int], int] = {}
        self._meeting: dict[tuple[int, int, int], int] = {}

    def containing(self, box: Box, before: int, budget: Budget) -> int | None:
        """The first of the boxes numbered below ``before`` that holds all of ``box``; None when none does."""
        axes = frozenset(box)
        found = self._known.get(axes)
        if found is None:
            found = self._known[axes] = sum(mask for own, mask in self._signatures if own <= axes)
        found &= (1 << before) - 1
        for axis, mask in box.items():
            if not found:
                return None
            if axis in self._steps:
                found &= self._any[axis] | self._steps[axis].at((mask & -mask).bit_length() - 1)
        for number in bits_of(found):
            if not budget.take(1):
                return None
            if within(box, self.boxes[number]):
                return number
        return None

    def meeting(self, box: Box, before: int) -> list[int]:
        """The boxes numbered below ``before`` that have something in common with ``box``."""
        found = (1 << before) - 1
        for axis, mask in box.items():
            if axis in self._steps:
                found &= self._meets(axis, mask)
            if not found:
                return []
        return [number for number in bits_of(found) if meet(box, self.boxes[number])]

    def _meets(self, axis: int, mask: int) -> int:
        key = axis, mask.bit_length(), mask  # the length, as Python hashes all powers of two to some sixty numbers
        found = self._meeting.get(key)
        if found is None:
            found = self._any[axis]
            starts = self._starts[axis]
            for first, last in runs_of(mask):
                found |= self._steps[axis].at(first)
                if last > first:
                    low, high = bisect_right(starts, (first, self._count)), bisect_left(starts, (last + 1, -1))
                    found |= bits(sorted({number for _, number in starts[low:high]}), self._count)
            self._meeting[key] = found
        return found


def uncovered(space: Space, box: Box, others: Sequence[Box], budget: Budget) -> Box | None:
    """A part of ``box`` that none of ``others`` (all of which meet it) covers; None when there is none. Raises Undecided."""
    if (found := _narrowed(space, box, others)) is not None:
        return found
    waiting: list[tuple[Box, list[Box]]] = [(box, list(others))]
    while waiting:
        here, rest = waiting.pop()
        if not rest:
            return here
        if not budget.take(len(rest)):
            raise Undecided
        chosen = _nearest(space, here, rest)
        if chosen is None:
            continue  # one of them covers it all
        other, outside = chosen
        inside = here
        for axis in outside:
            mask = inside.get(axis, space.axes[axis].full)
            out = mask & ~other[axis]
            part = {**inside, axis: out}
            waiting.append((part, [one for one in rest if one is not other and (axis not in one or one[axis] & out)]))
            kept = mask & other[axis]
            inside = {**inside, axis: kept}
            rest = [one for one in rest if axis not in one or one[axis] & kept]
    return None


def _nearest(space: Space, here: Box, rest: list[Box]) -> tuple[Box, list[int]] | None:
    """The box that sticks to ``here`` in the fewest dimensions, and these; None when one covers it all."""
    best: tuple[Box, list[int]] | None = None
    for other in rest:
        outside = [axis for axis, mask in other.items() if here.get(axis, space.axes[axis].full) & ~mask]
        if not outside:
            return None
        if best is None or len(outside) < len(best[1]):
            best = other, outside
    return best


def _narrowed(space: Space, box: Box, others: Sequence[Box]) -> Box | None:
    """A quick look for a part that is left: dimension by dimension, what none of the others asks for."""
    here, rest = dict(box), list(others)
    axes = {axis: 0 for other in others for axis in other}
    for other in others:
        for axis in other:
            axes[axis] += 1
    for axis in sorted(axes, key=lambda one: (-axes[one], one)):
        asked = 0
        for other in rest:
            asked |= other.get(axis, 0)
        left = here.get(axis, space.axes[axis].full) & ~asked
        if left and asked:
            here[axis] = left
            rest = [other for other in rest if axis not in other]
        if not rest:
            return here
    return here if not rest else None
