"""Why a rule does not hold for a record: what would have to change, the least of it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from rules.analysis.outline import Rule, cell_words, getter_of
from rules.fields import Scope
from rules.ladders.engagement import RECORD_ID, in_share
from rules.language.closures import getter
from rules.language.mistakes import ConditionError
from rules.language.normal import Alternative, normal_form, text_of
from rules.language.ruleset import Failed, RuleSet
from rules.model import Facts, WhyNot
from rules.tables.columns import column_of
from rules.tables.table import Table, TableRow


def failing(rule: Rule, scope: Scope, facts: Facts, why_not: WhyNot, now: datetime) -> tuple[Failed, ...] | None:
    """What of a rule's conditions is not met, the alternative that fails by the least. Empty: all is met. None: it never can be.

    Whether the person whom it names can receive the record is not asked here.
    """
    found: tuple[Failed, ...] = ()
    condition = rule.condition()
    if condition is not None:
        try:
            alternatives = normal_form(condition)
        except ConditionError:  # together too large to be taken apart: the rung's own condition says enough
            alternatives = rule.rung.when.alternatives if rule.rung.when is not None else (Alternative({}),)
        least = RuleSet([alternatives], lambda path: getter_of(scope, path)).why_not(facts, 0, why_not, now)
        if least is None:
            return None
        found = least
    if rule.rung.share is not None:
        record_id = getter_of(scope, RECORD_ID)(facts)
        if not in_share(rule.rung.name, record_id, rule.rung.share):
            found += (Failed(RECORD_ID, record_id, f"one of the {rule.rung.share * 100:g} % that are held out"),)
    if rule.row is not None and rule.table is not None:
        found += _row(rule.table, rule.row, facts, now)
    return found


def _row(table: Table, row: TableRow, facts: Facts, now: datetime) -> tuple[Failed, ...]:
    found: list[Failed] = []
    values = {path.text: path.get(facts) for path in table.paths}
    for column, cell in zip(table.columns, row.cells, strict=True):
        get = getter(column.operand)
        mask = column_of(column.category, [cell], get)
        if mask is not None and not mask(values) & 1:
            found.append(Failed(text_of(column.operand), get(values), cell_words(cell, column.category)))
    today = now.astimezone(UTC).date()
    first, last = row.valid
    if first is not None and today.toordinal() < first:
        found.append(Failed("today", today.isoformat(), f"{date.fromordinal(int(first))} or later (valid_from)"))
    if last is not None and today.toordinal() > last:
        found.append(Failed("today", today.isoformat(), f"{date.fromordinal(int(last))} or earlier (valid_to)"))
    return tuple(found)


def sentence(failed: Failed, show: Any) -> str:
    """``lead.country is "FR"; it would have to be "DE"``. ``show`` says a value."""
    if failed.subject and failed.subject in failed.wanted:
        return f"it would have to hold that {failed.wanted} ({failed.subject} is {show(failed.value)})"
    subject = failed.subject
    if subject.startswith("first("):
        subject = " or ".join(subject[6:-1].split(", "))
    return f"{subject} is {show(failed.value)}; it would have to be {failed.wanted}"
