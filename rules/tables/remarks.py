"""The remarks above a table's header that the table itself obeys: ``# hit: unique``, ``# order: pool Enterprise, Ana Diaz``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from rules.actions import Targets
from rules.model import Action
from rules.source import Place, Report, nearest
from rules.tables.sheet import Row, Sheet
from rules.tables.table import HitPolicy
from rules.values import fold

HIT, ORDER = "hit", "order"
HITS: tuple[HitPolicy, ...] = get_args(HitPolicy)

Ranks = Callable[[Action, Row], float]


@dataclass(slots=True)
class Remarks:
    """``order`` is the outcomes from the highest priority down, and where each list of them stands."""

    sheet: Sheet
    report: Report
    hit: HitPolicy = "first"
    at: Place | None = None
    order: list[tuple[str, Place]] | None = None

    def check(self, has_column: bool) -> None:
        """A table of hit policy priority says in exactly one way which row goes first."""
        assert self.at is not None
        if self.order is None and not has_column:
            hint = "add a column 'priority' (1 goes before 2), or a line '# order: pool A, pool B' above the header"
            self.report.error(self.at, "'hit: priority' needs to know which row goes first", hint)
        elif self.order and has_column:
            self.report.error(self.order[0][1], "the table has an 'order' and a column 'priority'", "keep one of them")

    def ranks(self, targets: Targets) -> Ranks | None:
        """The place of an action in ``order``; None when there is none."""
        if self.hit != "priority" or self.order is None:
            return None
        places: dict[Action | str, int] = {}
        for text, place in self.order:
            action = targets.read(text, place, self.report)
            if action is not None and places.setdefault(_outcome(action), len(places)) != len(places) - 1:
                self.report.error(place, f"'{text}' is in the order twice")

        def rank(action: Action, row: Row) -> float:
            found = places.get(_outcome(action))
            if found is None:
                place = self.sheet.source.place(row.line, 1, len(self.sheet.source.line(row.line)))
                self.report.error(place, "what this row gives is not in the order above the header", "add it there")
            return found or 0

        return rank


def _outcome(action: Action) -> Action | str:
    """What an order lists: every hold is one outcome, whatever its reason, and every reject."""
    return action.kind if action.kind in ("hold", "reject") else action


def read_remarks(sheet: Sheet, report: Report) -> Remarks:
    """What the remarks above the header say; others are for people. Mistakes are reported."""
    remarks = Remarks(sheet, report)
    for row in sheet.remarks:
        text = ", ".join(cell for cell in row.cells if cell).lstrip("# ")
        name, colon, value = text.partition(":")
        key, place = fold(name).removesuffix(" policy"), sheet.cell(row, 0)
        if not colon or key not in (HIT, ORDER):
            if colon and " " not in key and nearest(key, (HIT, ORDER)):
                report.warn(place, f"'{name.strip()}' is a remark without effect here", nearest(key, (HIT, ORDER)))
        elif key == ORDER:
            remarks.order = [(part.strip(), place) for part in value.split(",") if part.strip()]
        else:
            found = next((hit for hit in HITS if hit == fold(value)), None)
            remarks.at = place
            if found is None:
                hint = nearest(value.strip(), HITS) or f"one of: {', '.join(HITS)}"
                report.error(place, f"'{value.strip()}' is no hit policy", hint)
            remarks.hit = found or "first"
    if remarks.order is not None and remarks.hit != "priority":
        report.warn(
            remarks.order[0][1] if remarks.order else sheet.source.place(),
            "'order' has no effect here",
            "add '# hit: priority'",
        )
    return remarks
