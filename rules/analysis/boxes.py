"""Boxes in order, indexed by their dimensions: which earlier ones contain a box, and which meet it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from rules.analysis.masks import Mask, inside, lowest, runs_of, touches
from rules.tables.columns import Steps, bits

Box = dict[int, Mask]  # dimension -> its atoms; a dimension that is missing may hold anything
_FEW = 128  # boxes that are looked at one by one
_MOST = 2_000_000  # numbers of boxes that one dimension keeps by atom


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


def meet(one: Box, other: Box) -> bool:
    """Whether two boxes have something in common."""
    if len(one) > len(other):
        one, other = other, one
    return all(number not in other or touches(other[number], mask) for number, mask in one.items())


def within(inner: Box, outer: Box) -> bool:
    """Whether all of ``inner`` is in ``outer``."""
    return all(number in inner and inside(inner[number], mask) for number, mask in outer.items())


class Boxes:
    """Boxes in order, indexed by their dimensions."""

    def __init__(self, boxes: Sequence[Box]) -> None:
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
                by_axis.setdefault(axis, []).extend([(number, run) for run in runs_of(mask)])
        self._axes = {axis: _Axis(self._count, spans, asking[axis]) for axis, spans in by_axis.items()}
        self._signatures = [(axes, bits(some, self._count)) for axes, some in signatures.items()]
        self._known: dict[frozenset[int], int] = {}

    def containing(self, box: Box, before: int, budget: Budget) -> int | None:
        """The first of the boxes numbered below ``before`` that holds all of ``box``; None when none does."""
        if before <= 0:
            return None
        asked = [(self._axes[axis], mask) for axis, mask in box.items() if axis in self._axes]
        some: Iterable[int] | None = _fewest(axis.holding(lowest(mask)) for axis, mask in asked)
        if some is None:
            found = self._below(before) & self._asking_no_more(frozenset(box))
            for axis, mask in asked:
                if not found:
                    return None
                found &= axis.any | axis.steps.at(lowest(mask))
            some = _numbers(found)
        for number in some:
            if number >= before or not budget.take(1):
                return None
            if within(box, self.boxes[number]):
                return number
        return None

    def meeting(self, box: Box, before: int) -> Iterator[int]:
        """The boxes numbered below ``before`` that have something in common with ``box``, in order."""
        if before <= 0:
            return
        asked = [(self._axes[axis], mask) for axis, mask in box.items() if axis in self._axes]
        some: Iterable[int] | None = _fewest(axis.few(mask) for axis, mask in asked)
        if some is None:
            found = self._below(before)
            for axis, mask in asked:
                found &= axis.meets(mask)
                if not found:
                    return
            some = _numbers(found)
        for number in some:
            if number >= before:
                return
            if meet(box, self.boxes[number]):
                yield number

    def _below(self, before: int) -> int:
        return (1 << before) - 1 if before < self._count else self._all

    def _asking_no_more(self, axes: frozenset[int]) -> int:
        """The boxes that ask for nothing beside these dimensions."""
        found = self._known.get(axes)
        if found is None:
            found = self._known[axes] = sum(mask for own, mask in self._signatures if own <= axes)
        return found


class _Axis:
    """One dimension: which boxes (by number) hold an atom, or some atoms. ``any`` are those that do not ask."""

    def __init__(self, count: int, spans: Sequence[tuple[int, tuple[int, int]]], asking: Sequence[int]) -> None:
        self._count = count
        self._spans = spans
        self.any = ((1 << count) - 1) & ~bits(asking, count)
        self._starts = sorted([(first, number) for number, (first, _) in spans])
        self._free = tuple(_numbers(self.any)) if count - len(asking) <= _FEW else None
        self._cuts: list[int] = []
        self._held: list[tuple[int, ...] | None] = []
        self._meeting: dict[tuple[int, Mask], int] = {}
        if self._free is not None:
            self._sweep()

    @cached_property
    def steps(self) -> Steps:
        """The boxes that hold an atom, as a mask."""
        return Steps(self._count, self._spans)

    def _sweep(self) -> None:
        """For each stretch of atoms that the same boxes hold, these; None where they are many."""
        turns: dict[int, list[int]] = {}
        for number, (first, last) in self._spans:
            turns.setdefault(first, []).append(number)
            turns.setdefault(last + 1, []).append(~number)
        here: set[int] = set()
        room = _MOST
        for cut in sorted(turns):
            for number in sorted(turns[cut]):  # those that end come first
                here.discard(~number) if number < 0 else here.add(number)
            few = len(here) <= _FEW and room > 0
            room -= len(here) if few else 0
            self._cuts.append(cut)
            self._held.append(tuple(here) if few else None)

    def holding(self, atom: int) -> list[int] | None:
        """The boxes that hold an atom, in order; None where they are many."""
        at = bisect_right(self._cuts, atom) - 1
        held = self._held[at] if at >= 0 else ()
        return sorted((*held, *self._free)) if held is not None and self._free is not None else None

    def few(self, mask: Mask) -> list[int] | None:
        """The boxes that hold some of these atoms, in order; None where they are many."""
        if self._free is None:
            return None
        found = set(self._free)
        for first, last in runs_of(mask):
            at = bisect_right(self._cuts, first) - 1
            held = self._held[at] if at >= 0 else ()
            low, high = self._between(first, last)
            if held is None or high - low + len(found) > _FEW:
                return None
            found.update(held)
            found.update([number for _, number in self._starts[low:high]])
        return sorted(found)

    def meets(self, mask: Mask) -> int:
        """The same as a mask of boxes."""
        key = mask.bit_length(), mask  # the length, as Python hashes all powers of two to some sixty numbers
        found = self._meeting.get(key)
        if found is None:
            found = self.any
            for first, last in runs_of(mask):
                found |= self.steps.at(first)
                low, high = self._between(first, last)
                if low < high:
                    found |= bits(sorted({number for _, number in self._starts[low:high]}), self._count)
            self._meeting[key] = found
        return found

    def _between(self, first: int, last: int) -> tuple[int, int]:
        """Where in ``_starts`` those begin and end that start after ``first``, up to ``last``."""
        return bisect_right(self._starts, (first, self._count)), bisect_left(self._starts, (last + 1, -1))


def _fewest(found: Iterable[list[int] | None]) -> list[int] | None:
    return min((some for some in found if some is not None), key=len, default=None)


def _numbers(mask: int) -> Iterator[int]:
    """The numbers of the set bits, lowest first. Linear: a box at a time would copy the rest of a long mask."""
    for at, byte in enumerate(mask.to_bytes((mask.bit_length() + 7) // 8, "little")):
        while byte:
            low = byte & -byte
            yield 8 * at + low.bit_length() - 1
            byte ^= low
