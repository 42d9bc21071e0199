"""People whom no rule can reach, pools whose people are all gone, and managers who are asked for and missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from rules.analysis.outline import everything
from rules.moments import beginning, earliest, ending
from rules.policy import PEOPLE, POOLS, Policy
from rules.pools.checks import people_of
from rules.pools.model import Person, TimeOff
from rules.sla.model import MANAGER
from rules.sla.reader import SLA
from rules.source import Place, Report, decode
from rules.tables.csvfile import read_csv
from rules.values import fold
from rules.yamlfile import Block, read_yaml

MANY = 7
NAMED = 3  # people without a manager


def check_people(policy: Policy, files: Mapping[str, bytes], report: Report) -> None:
    """Warns of active people in no pool whom no rule names, although others of the same role are in pools.

    Somebody of a role that no pool has gets records through a field, as a customer success manager does: that is no mistake.
    """
    pooled = {member.who for pool in policy.pools.values() for member in pool.members if not member.is_pool}
    roles = {fold(policy.people[key].role) for key in pooled if key in policy.people}
    reached = {
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


def check_pools(policy: Policy, files: Mapping[str, bytes], day: date, report: Report) -> None:
    """Warns of pools in which everybody who could get leads has had their last day before ``day``, or is off from then on for good."""
    off = {one.person for one in policy.time_off if _covers(one, day)}
    for pool in policy.pools.values():
        able = [
            policy.people[who] for who, weight in people_of(pool, policy.pools) if weight > 0 and who in policy.people
        ]
        able = [person for person in able if person.active]
        gone = [one for one in able if (one.end_date and one.end_date < day.isoformat()) or one.key in off]
        if able and len(gone) == len(able):
            place = key_place(POOLS, (pool.name,), files)
            if place is not None:
                then = f"its leads go to '{pool.overflow}'" if pool.overflow else "its leads will be on hold"
                report.warn(
                    place, f"everybody in the pool '{pool.name}' has left, or is off for {MANY} days and more: {then}"
                )


def check_managers(policy: Policy, files: Mapping[str, bytes], report: Report) -> None:
    """Warns where a clock notifies the manager, and somebody who gets leads out of a pool has none in ``people.csv``."""
    asking = {
        name
        for name, clock in policy.clocks.items()
        if MANAGER in (clock.then.who, *[step.who for step in clock.steps])
    }
    pooled = {who for pool in policy.pools.values() for who, weight in people_of(pool, policy.pools) if weight > 0}
    people = [person for key, person in policy.people.items() if key in pooled and person.active]
    without = [person.name for person in people if not person.manager]
    place = key_place(SLA, ("clocks", min(asking)), files) if asking and without else None
    if place is not None:
        named = "anybody" if len(without) == len(people) > 1 else ", ".join(without[:NAMED])
        named += f" and {len(without) - NAMED} more" if len(without) > NAMED and named != "anybody" else ""
        message = f"'{min(asking)}' notifies the manager, and people.csv names none for {named}: then nobody is told"
        report.warn(place, message, "write a name or an e-mail into the column 'manager'")


def _covers(one: TimeOff, day: date) -> bool:
    """Whether the time off has begun, and lasts for many days more."""
    begun = earliest(beginning(one.from_)).date() <= day
    return begun and earliest(ending(one.to)).date() > day + timedelta(days=MANY)


def key_place(file: str, path: tuple[str, ...], files: Mapping[str, bytes]) -> Place | None:
    """Where the last of these keys, one below the other, stands."""
    source = decode(file, files.get(file, b""), Report())
    node = read_yaml(source, Report()) if source is not None else None
    place = None
    for key in path:
        found = node.entries.get(key) if isinstance(node, Block) else None
        place, node = (found[0].place, found[1]) if found is not None else (None, None)
    return place


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
