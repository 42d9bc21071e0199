"""What a row gives: the columns ``assign`` and ``keep``, ``set …``, ``note``, ``valid_from``, ``valid_to`` and ``priority``."""

from __future__ import annotations

import re
from typing import Any

from rules.actions import Targets
from rules.fields import Path, Scope
from rules.ladders.effects import OWNER, constant
from rules.model import Action, Problem
from rules.pools.people import People
from rules.source import Place, Report
from rules.tables.cells import Interval, ordinal
from rules.tables.sheet import Row, Sheet
from rules.values import fold

_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")
_MISTAKE = Action("hold", "this row has a mistake")


class Outcomes:
    """Reads the cells that say what a row does. Mistakes are reported at their cells."""

    def __init__(self, sheet: Sheet, scope: Scope, people: People, targets: Targets, report: Report) -> None:
        self._sheet = sheet
        self._scope = scope
        self._people = people
        self._targets = targets
        self._report = report
        self._actions: dict[str, tuple[Action, list[Problem]]] = {}

    def action(self, row: Row, assign: int | None, keep: int | None) -> Action:
        """Who gets the record: what ``assign`` or ``keep`` says, of which a row fills one."""
        given = row.cells[assign] if assign is not None else ""
        kept = row.cells[keep] if keep is not None else ""
        index = next(at for at in ((keep, assign) if kept and not given else (assign, keep)) if at is not None)
        if given and kept:
            self._error(
                row,
                index if keep is None else keep,
                f"this row says both 'assign' and 'keep: {kept}'",
                "leave one of them blank",
            )
            return _MISTAKE
        if not given and not kept:
            self._error(row, index, f"this row does not say who gets the {self._scope.routes}")
            return _MISTAKE
        text = given or f"keep {'owner' if fold(kept) in ('yes', 'true') else kept}"
        known = self._actions.get(text)
        if known is None:
            told = Report()
            action = self._targets.read(text, self._sheet.source.place(), told)
            known = self._actions[text] = (
                action or _MISTAKE,
                [one for one in told.problems() if one.severity == "error"],
            )
            for problem in told.problems():
                if problem.severity == "warning":  # once is enough
                    self._report.warn(self._sheet.cell(row, index), problem.message, problem.hint)
        for problem in known[1]:
            self._error(row, index, problem.message, problem.hint)
        return known[0]

    def valid(self, row: Row, since: int | None, until: int | None) -> Interval:
        """The first and the last day of a row."""
        first, last = self._day(row, since), self._day(row, until)
        if first is not None and last is not None and first > last:
            message = f"this row ends ({row.cells[until or 0]}) before it begins ({row.cells[since or 0]})"
            self._error(row, until or 0, message, "both days are included")
        return first, last

    def _day(self, row: Row, index: int | None) -> int | None:
        if index is None or not row.cells[index]:
            return None
        text = row.cells[index]
        found = ordinal(text) if len(text) == 10 else None
        if found is None:
            self._error(row, index, f"'{text}' is no day", "write it as 2026-11-22; leave it blank for no limit")
        return found

    def rank(self, row: Row, index: int) -> float:
        """The number in the column ``priority``; 1 is asked before 2."""
        text = row.cells[index]
        if not _NUMBER.fullmatch(text):
            message = f"'{text}' is no priority" if text else "this row has no priority"
            self._error(row, index, message, "a number: 1 goes before 2")
            return 0
        return float(text)

    def target(self, index: int, name: str) -> Path | None:
        """The field of a column ``set NAME``; None when it cannot be set, which is reported."""
        place = self._sheet.cell(self._sheet.header, index)
        path = self._scope.resolve(name.replace(" ", "_"))
        if path is None:
            self._report.error(place, *self._scope.unknown(name))
        elif not path.text.startswith(f"{self._scope.routes}.") or path.text.count(".") > 1:
            self._report.error(place, f"{path.text} cannot be set: only fields of the {self._scope.routes} can")
        elif path.field.name == OWNER:
            self._report.error(place, f"{path.text} is set by 'assign'", "name the person there")
        elif path.field.read_only or path.field.type in ("list", "reference"):
            why = "is read-only" if path.field.read_only else f"is a {path.field.type}"
            self._report.error(place, f"{path.text} {why}: it cannot be set")
        else:
            return path
        return None

    def value(self, row: Row, index: int, path: Path) -> Any:
        """What a cell of ``set …`` sets the field to; None when it is blank, or has a mistake."""
        text = row.cells[index]
        if not text:
            return None
        if path.field.type == "text" and index in row.numbers:
            self._error(row, index, *bare_number(text, path.text))
            return None
        value, problem, hint = constant(path, text, self._people)
        if problem:
            self._error(row, index, problem, hint)
            return None
        return next((choice for choice in path.field.choices if fold(choice) == fold(text)), value)

    def _error(self, row: Row, index: int, message: str, hint: str = "") -> None:
        place: Place = self._sheet.cell(row, index)
        self._report.error(place, message, hint)


def bare_number(text: str, path: str) -> tuple[str, str]:
    """The sentence and the hint for what a workbook does not hold as a text where one is needed."""
    if text in ("yes", "no"):
        message = f"this cell holds a yes or no of the spreadsheet, but {path} is a text"
        return message, "give the column the number format Text and type it again"
    message = f"this cell holds the number {text}, but {path} is a text: leading zeros may be lost"
    return (
        message,
        "give the column the number format 00000 (as many zeros as digits), or the format Text and type it again",
    )
