"""People whom no rule can reach."""

from __future__ import annotations

from collections.abc import Mapping

from rules.analysis.outline import everything
from rules.model import Person
from rules.policy import PEOPLE, Policy
from rules.source import Report, decode
from rules.tables.csvfile import read_csv
from rules.values import fold


def check_people(policy: Policy, files: Mapping[str, bytes], report: Report) -> None:
    """Warns of active people in no pool whom no rule names, although others of the same role are in pools.

    Somebody of a role that no pool has gets records through a field, as a customer success manager does: that is no mistake.
    """
    reached = {key for pool in policy.pools.values() for key, weight in pool.members.items() if weight > 0}
    pooled = {key for pool in policy.pools.values() for key in pool.members}
    roles = {fold(policy.people[key].role) for key in pooled if key in policy.people}
    reached |= {
        rule.action.value
        for engagement in policy.ladders.values()
        for rule in everything(engagement)
        if rule.action.kind == "person"
    }
    idle = {
        person.key: person
        for person in policy.people.values()
        if person.active and person.key not in pooled | reached and fold(person.role) in roles
    }
    if idle:
        _warn(idle, files, report)


def _warn(idle: Mapping[str, Person], files: Mapping[str, bytes], report: Report) -> None:
    source = decode(PEOPLE, files.get(PEOPLE, b""), Report())
    sheet = read_csv(source, Report()) if source is not None else None
    if sheet is None:
        return
    where = {fold(name): at for at, name in enumerate(sheet.header.cells)}
    for row in sheet.rows:
        person = idle.get(row.cells[where["email"]].lower())
        if person is not None:
            who = f"others who are '{person.role}' are" if person.role else "others are"
            message = f"'{person.name}' is in no pool and no rule names them, while {who}: they get no leads"
            hint = "add the name to a pool in pools.yaml, or set active to no"
            report.warn(sheet.cell(row, where["name"]), message, hint)
