"""A compiled decision table and what it answers.

Its *hit policy* says what happens where several rows match, with the meaning that DMN gives to the word:

- ``first``: the topmost row decides.
- ``unique``: no lead may match two rows. Where one does, the lead is held, and both rows are named.
- ``priority``: the row of the highest priority decides; among equals the topmost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from msgspec import Struct

from rules.fields import Path
from rules.language.checking import Category
from rules.language.syntax import First, Name
from rules.model import Action
from rules.tables.cells import Cell, Interval
from rules.tables.columns import Mask
from rules.tables.sheet import Locate

HitPolicy = Literal["first", "unique", "priority"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column that asks something of the record: its ``index`` in the file, its ``header`` as written.

    ``operand`` is the field, or the first of several that is not blank; ``category`` says how its cells are compared.
    """

    index: int
    header: str
    operand: Name | First
    paths: tuple[Path, ...]
    category: Category


class TableRow(Struct, frozen=True, gc=False):
    """One row, in the terms of its table: ``cells`` are what it asks of each column.

    ``valid`` are its first and last day, counted as ``date.toordinal`` does; None is open. ``rule`` is what a trace calls
    it ("territories.csv line 12: DACH"), ``note`` its words for whoever reads the trace. ``rank`` orders rows of a table
    of hit policy priority, smallest first. ``sets`` are field paths and the values that they are to get.
    """

    line: int
    name: str
    rule: str
    cells: tuple[Cell, ...]
    action: Action
    note: str = ""
    sets: tuple[tuple[str, Any], ...] = ()
    valid: Interval = (None, None)
    rank: float = 0


class Hit(Struct, frozen=True, gc=False):
    """What a table says of a record: the action, the rule for the trace, the row's note, and the fields that it sets."""

    action: Action
    rule: str
    note: str = ""
    sets: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A compiled table. ``paths`` are the fields it reads; ``columns`` and ``rows`` what is written, in the file's order.

    ``ranked`` are the rows in the order they are asked, which is that of the bits in ``masks``. ``locate(line, index)``
    says where a cell stands in the file.
    """

    name: str
    hit: HitPolicy
    paths: tuple[Path, ...]
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    ranked: tuple[TableRow, ...]
    masks: tuple[Mask, ...]
    in_force: Callable[[date], int] | None
    locate: Locate

    def matching(self, values: dict[str, Any], now: datetime) -> int:
        """The mask of all rows of ``ranked`` that match ``values`` (by full path) at ``now`` (aware)."""
        every = (1 << len(self.ranked)) - 1
        found = every if self.in_force is None else self.in_force(now.astimezone(UTC).date())
        for mask in self.masks:
            if not found:
                break
            found &= mask(values)
        return found

    def find(self, values: dict[str, Any], now: datetime) -> Hit | None:
        """What the table says of ``values`` (by full path) at ``now`` (aware); None when no row matches."""
        found = self.matching(values, now)
        if not found:
            return None
        row = self.ranked[(found & -found).bit_length() - 1]
        if self.hit == "unique" and (more := found & (found - 1)):
            return _clash(row, self.ranked[(more & -more).bit_length() - 1], more.bit_count() - 1)
        return Hit(row.action, row.rule, row.note, row.sets)


def _clash(row: TableRow, other: TableRow, more: int) -> Hit:
    """Two rows match where only one may: a person has to say which is meant."""
    others = f" and {more} more" if more else ""
    reason = f"{row.rule} and {other.rule}{others} match: only one may, so a person must mend the table"
    return Hit(Action("hold", reason), row.rule, f"{other.rule} matches as well")
