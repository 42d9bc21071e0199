"""Whether earlier boxes together leave anything of a box."""

from __future__ import annotations

from collections.abc import Sequence

from rules.analysis.boxes import Box, Budget
from rules.analysis.masks import union
from rules.analysis.regions import Space


class Undecided(Exception):
    """The budget is used up."""


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
        asked = union(other[axis] for other in rest if axis in other)
        left = here.get(axis, space.axes[axis].full) & ~asked
        if left and asked:
            here[axis] = left
            rest = [other for other in rest if axis not in other]
        if not rest:
            return here
    return here if not rest else None
