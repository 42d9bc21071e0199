"""Rules that contradict each other.

In a ladder, and in a table where the first row decides, rules overlap all the time, and their order says what is meant: the
exception above the broader rule. Told is what is hardly meant: two rules that differ in one thing alone, each asking for some of
what the other asks for (1..200 and 200..999; "DE, AT, CH" and "CH, FR"), and give it to different people. In a table with the hit
policy unique, any two rows that meet are a mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rules.analysis.boxes import Box, Boxes, Budget, meet
from rules.analysis.examples import Example
from rules.analysis.masks import Mask, runs_of
from rules.analysis.outline import Rule, describe
from rules.analysis.regions import Region, Space
from rules.nouns import an
from rules.policy import Policy
from rules.source import Place, Report

_MOST = 400  # pairs of one ladder; the report counts those alike anyway


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two rules and what they share. ``axis`` is the one dimension in which they differ, None in a unique table."""

    earlier: Region
    later: Region
    both: Box
    space: Space
    axis: int | None = None

    def warn(self, example: Example, policy: Policy, report: Report) -> None:
        """Tells it, with a record that falls into both."""
        one, other = self.earlier.rule, self.later.rule
        place = self._place()
        if place is None:
            return
        if self.axis is None:
            message = f"{other.name} and {one.name} both match {an(example.routed)} with {example.words()}, and only one may ('hit: unique')"
            report.warn(place, message, "ask for more in one of them")
            return
        first, second = describe(one.action, policy), describe(other.action, policy)
        message = (
            f"{an(example.routed)} with {example.words()} fits {_pair(one, other)}: it goes to {first}, not to {second}"
        )
        hint = "they differ in nothing else; take it out of one of them"
        report.warn(place, message, hint)

    def _place(self) -> Place | None:
        rule = self.later.rule
        column = self.space.columns.get(self.axis) if self.axis is not None else None
        if rule.row is None or column is None or column[0] is not rule.table:
            return rule.place()
        return column[0].locate(rule.row.line, column[1])


def _pair(one: Rule, other: Rule) -> str:
    if one.row is not None and other.row is not None and one.table is not other.table:
        return f"{one.table.name if one.table else ''} {one.name} as well as {other.name}"
    return f"{one.name} as well as {other.name}"


def contradicting(regions: Sequence[Region], space: Space, budget: Budget) -> Iterator[Overlap]:
    """Pairs that overlap in part in one dimension, ask for the same in all others, and have different outcomes."""
    # The length is part of the key, as Python hashes all powers of two to some sixty numbers.
    groups: dict[tuple[int, frozenset[tuple[int, int, Mask]]], list[int]] = {}
    for number, region in enumerate(regions):
        if not region.known or len(region.boxes) != 1 or _unique(region):
            continue
        items = [(axis, mask.bit_length(), mask) for axis, mask in region.boxes[0].items()]
        if len(items) > 12:
            continue  # a rule that asks for so much is compared with none by chance
        for axis, _, _ in items:
            key = axis, frozenset(item for item in items if item[0] != axis)
            groups.setdefault(key, []).append(number)
    told = 0
    for (axis, _), numbers in groups.items():
        if len(numbers) < 2:
            continue
        for one, other in _partly(numbers, axis, regions, budget):
            if regions[one].rule.action == regions[other].rule.action or told >= _MOST:
                continue
            told += 1
            both = dict(regions[other].boxes[0])
            both[axis] &= regions[one].boxes[0][axis]
            yield Overlap(regions[one], regions[other], both, space, axis)


def _unique(region: Region) -> bool:
    rule = region.rule
    return rule.row is not None and rule.table is not None and rule.table.hit == "unique"


def _partly(numbers: Sequence[int], axis: int, regions: Sequence[Region], budget: Budget) -> Iterator[tuple[int, int]]:
    """Pairs whose masks meet while neither is within the other; each once. Those that begin first come first."""
    masks = {number: regions[number].boxes[0][axis] for number in numbers}
    begin = sorted(
        (first, last, number) for number, mask in masks.items() if mask.bit_count() > 1 for first, last in runs_of(mask)
    )
    here: dict[int, int] = {}  # which of them go on, and up to where
    seen: set[tuple[int, int]] = set()
    for first, last, number in begin:
        here = {other: end for other, end in here.items() if end >= first}
        for other in here:
            pair = (min(other, number), max(other, number))
            if not budget.take(1):
                return
            if pair not in seen and other != number:
                seen.add(pair)
                one, two = masks[pair[0]], masks[pair[1]]
                if two & ~one and one & ~two:
                    yield pair
        here[number] = last


def doubled(regions: Sequence[Region], space: Space, budget: Budget) -> Iterator[Overlap]:
    """Pairs of rows that meet in tables with the hit policy unique."""
    tables: dict[int, list[Region]] = {}
    for region in regions:
        if _unique(region) and region.known and region.boxes:
            tables.setdefault(id(region.rule.rung), []).append(region)
    seen: set[int] = set()
    for rows in tables.values():
        if id(rows[0].rule.table) in seen:
            continue
        seen.add(id(rows[0].rule.table))
        boxes = Boxes([region.boxes[0] for region in rows])
        told = 0
        for number, region in enumerate(rows):
            for earlier in boxes.meeting(region.boxes[0], number):
                if not budget.take(1) or told >= _MOST:
                    return
                told += 1
                both = _intersection(rows[earlier].boxes[0], region.boxes[0])
                yield Overlap(rows[earlier], region, both, space)


def _intersection(one: Box, other: Box) -> Box:
    assert meet(one, other)
    return {axis: one.get(axis, -1) & other.get(axis, -1) for axis in {**one, **other}}
