"""Rules as boxes in the space of all records: for which ones a rule holds, and which ones it surely decides."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rules.analysis.boxes import Box, Boxes
from rules.analysis.masks import Mask
from rules.analysis.outline import Rule
from rules.analysis.space import Axis, Field
from rules.fields import MATCH
from rules.language.mistakes import ConditionError
from rules.language.normal import ALWAYS, Alternative, Residual, Subject, normal_form
from rules.language.syntax import Constant, Name
from rules.model import Entity
from rules.pools.model import Person
from rules.tables.cells import Cell
from rules.tables.table import Column, Table, TableRow

TODAY = Subject.of(Constant(None, (0, 0), "date"), "today")
CAN_TAKE = "can take it: "  # how the tests begin whether a person can receive a record
_DECIDES = ("pool", "queue", "hold", "reject", "holdout")


@dataclass(slots=True)
class Region:
    """One rule in the space. It holds nowhere outside of ``boxes``; ``known`` is False where these say too much.

    ``covers`` are the records that never get past it: a rule whose person cannot receive them is passed over.
    """

    rule: Rule
    boxes: list[Box]
    covers: list[Box] = field(default_factory=list)
    known: bool = True


@dataclass(slots=True)
class Space:
    """The dimensions of one ladder. Tests that cannot be taken apart are found by what they say in ``tests``."""

    axes: list[Axis]
    tests: dict[str, int]
    residuals: dict[int, Residual]
    columns: dict[int, tuple[Table, int]]  # a dimension -> a table's column that asks for it

    def box(self, demands: Iterable[tuple[int, Mask]]) -> Box | None:
        """The box of these masks, which hold only atoms that can be; None when it is empty."""
        found: Box = {}
        for number, mask in demands:
            both = found[number] & mask if number in found else mask
            if not both:
                return None
            found[number] = both
        return {number: mask for number, mask in found.items() if mask != self.axes[number].full}


def regions(
    rules: Sequence[Rule], entities: dict[str, Entity], people: dict[str, Person], routes: str
) -> tuple[Space, list[Region]]:
    """The rules of a ladder, in order, and the space that they are in."""
    return _Maker(entities, people, routes).make(rules)


class _Maker:
    def __init__(self, entities: dict[str, Entity], people: dict[str, Person], routes: str) -> None:
        self._entities = entities
        self._people = people
        self._routes = routes
        self._fields: dict[Subject, Field] = {}
        self._numbers: dict[Subject, int] = {}
        self._tests: dict[str, int] = {}
        self._residuals: dict[int, Residual] = {}
        self._columns: dict[int, tuple[Table, int]] = {}
        self._conditions: dict[tuple[int, ...], tuple[Alternative, ...] | None] = {}
        self._subjects: dict[int, list[Subject]] = {}  # by table: of its columns

    def make(self, rules: Sequence[Rule]) -> tuple[Space, list[Region]]:
        for rule in rules:
            self._ask(rule)
        count = len(self._fields)
        self._numbers = {subject: number for number, subject in enumerate(self._fields)}
        axes = [one.axis() for one in self._fields.values()]
        self._tests = {text: count + number for number, text in enumerate(self._tests)}
        axes += [Axis(text, None, [False, True], 3, 3) for text in self._tests]
        self._residuals = {self._tests[one.text]: one for one in self._residuals.values()}
        space = Space(axes, self._tests, self._residuals, self._columns)
        found = [self._region(rule, space) for rule in rules]
        _cover(found, space)
        return space, found

    # What is asked

    def _ask(self, rule: Rule) -> None:
        for alternative in self._alternatives(rule) or ():
            for subject, domain in alternative.demands.items():
                self._field(subject).ask(domain)
            for residual in alternative.residuals:
                self._tests.setdefault(residual.text, 0)
                self._residuals.setdefault(len(self._residuals), residual)
        if rule.row is not None and rule.table is not None:
            self._ask_row(rule.table, rule.row)
        self._tests.setdefault(_taker(rule), 0)

    def _ask_row(self, table: Table, row: TableRow) -> None:
        for subject, column, cell in self._asked(table, row):
            if column.category == "list":
                self._tests.setdefault(_list_test(subject, cell), 0)
            else:
                self._field(subject).ask(cell)
        if row.valid != (None, None):
            self._field(TODAY).ask(Cell(intervals=(row.valid,)))

    def _asked(self, table: Table, row: TableRow) -> Iterable[tuple[Subject, Column, Cell]]:
        """The cells of a row that ask for something, and of what."""
        subjects = self._subjects.get(id(table))
        if subjects is None:
            subjects = self._subjects[id(table)] = [Subject.of(column.operand) for column in table.columns]
        return [one for one in zip(subjects, table.columns, row.cells, strict=True) if not one[2].any]

    def _alternatives(self, rule: Rule) -> tuple[Alternative, ...] | None:
        """The normal form of all that a rung asks; None where it is too large to be written out."""
        key = tuple(id(one.when) for one in (*rule.around, rule.rung) if one.when is not None)
        if key not in self._conditions:
            condition = rule.condition()
            try:
                if condition is None:
                    self._conditions[key] = (ALWAYS,)
                elif len(key) == 1 and rule.rung.when is not None:
                    self._conditions[key] = rule.rung.when.alternatives
                else:
                    self._conditions[key] = normal_form(condition)
            except ConditionError:
                self._conditions[key] = None
        return self._conditions[key]

    def _field(self, subject: Subject) -> Field:
        found = self._fields.get(subject)
        if found is None:
            examples: Iterable[str] = ()
            closed = False
            if subject.category == "person":
                examples = [key for key, one in self._people.items() if one.active]
            elif isinstance(subject.operand, Name):
                examples = self._choices(subject.operand.path)
                closed = bool(examples)
            found = self._fields[subject] = Field(subject, examples, closed)
        return found

    def _choices(self, path: str) -> tuple[str, ...]:
        space, _, name = path.partition(".")
        if space == "event":
            systems = tuple(self._entities[self._routes].remote) if self._routes in self._entities else ()
            return {"kind": ("created", "updated", "restored"), "system": systems}.get(name, ())
        entity = MATCH if space == "match" else self._entities.get(self._routes if space == "counterpart" else space)
        field = entity.fields.get(name) if entity is not None else None
        return field.choices if field is not None else ()

    # Boxes

    def _region(self, rule: Rule, space: Space) -> Region:
        alternatives = self._alternatives(rule)
        if alternatives is None:
            return Region(rule, [{}], known=False)
        demands: list[tuple[int, Mask]] = []
        if rule.rung.share is not None:
            demands.append((self._tests[_taker(rule)], 2))
        if rule.row is not None and rule.table is not None:
            demands += self._row(rule.table, rule.row)
        boxes = [space.box((*self._demands(one), *demands)) for one in alternatives]
        return Region(rule, [box for box in boxes if box is not None])

    def _demands(self, alternative: Alternative) -> Iterable[tuple[int, Mask]]:
        for subject, domain in alternative.demands.items():
            yield self._numbers[subject], self._fields[subject].mask(domain)
        for residual in alternative.residuals:
            yield self._tests[residual.text], 2 if residual.holds else 1

    def _row(self, table: Table, row: TableRow) -> Iterable[tuple[int, Mask]]:
        for subject, column, cell in self._asked(table, row):
            if column.category == "list":
                yield self._tests[_list_test(subject, cell)], 2
                continue
            number = self._numbers[subject]
            self._columns[number] = (table, column.index)
            yield number, self._fields[subject].mask(cell)
        if row.valid != (None, None):
            yield self._numbers[TODAY], self._fields[TODAY].mask(Cell(intervals=(row.valid,)))


def _list_test(name: str, cell: Cell) -> str:
    return f"{name} in {cell!r}"


def _taker(rule: Rule) -> str:
    """The test whether the rung is not passed over although its conditions hold."""
    if rule.rung.share is not None:
        return f"held out by {rule.rung.name}"
    action = rule.action
    return f"{CAN_TAKE}{action.value}" if action.kind not in _DECIDES else "always"


def _cover(found: list[Region], space: Space) -> None:
    """What never gets past each rule.

    The first row that matches decides for its table: where its person cannot receive the record, later rows are not asked and
    the next rung is tried. So a row covers nothing that an earlier row of such a kind may match.
    """
    passing: dict[int, list[tuple[int, Box]]] = {}  # by rung: boxes that do not decide, and whose they are
    for number, region in enumerate(found):
        if region.rule.row is not None and region.rule.action.kind not in _DECIDES:
            some = passing.setdefault(id(region.rule.rung), [])
            some += [(number, box) for box in region.boxes]
    indexed = {
        rung: (Boxes([box for _, box in some]), [number for number, _ in some]) for rung, some in passing.items()
    }
    for number, region in enumerate(found):
        rule = region.rule
        unique = rule.row is not None and rule.table is not None and rule.table.hit == "unique"
        if not region.known or (not unique and _passed(number, region, indexed.get(id(rule.rung)))):
            continue
        if rule.action.kind in _DECIDES:
            region.covers = region.boxes
        elif not unique:
            taken = (space.box((*box.items(), (space.tests[_taker(rule)], 2))) for box in region.boxes)
            region.covers = [box for box in taken if box is not None]


def _passed(number: int, region: Region, passing: tuple[Boxes, list[int]] | None) -> bool:
    """Whether an earlier row of the table that may be passed over matches some of what this one does."""
    if passing is None:
        return False
    boxes, owners = passing
    before = bisect_left(owners, number)
    return any(boxes.meeting(box, before) for box in region.boxes)
