"""The parts that a policy is made of, each with what is said of it, so that two policies can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from rules.analysis.outline import cell_words, describe
from rules.analysis.pairing import Part
from rules.ladders.durations import length_of
from rules.ladders.effects import Doing
from rules.ladders.engagement import Engagement, all_rungs
from rules.model import Action, Person
from rules.policy import Policy
from rules.policy_tests.words import expected, given
from rules.tables.table import Table, TableRow

_NO_LIMIT = 1_000_000  # values of a cell: all count here
_SHOWN = 80  # characters of a value that a difference shows


def rung_key(routes: str, name: str) -> tuple[str, ...]:
    return ("rung", routes, name)


def row_key(table: str, line: int) -> tuple[str, ...]:
    return ("row", table, str(line))


def called(action: Action, pools: Mapping[str, str]) -> Action:
    """The action, with the new name of a pool that has one (``pools``: by the old name)."""
    return Action("pool", pools.get(action.value, action.value)) if action.kind == "pool" else action


def rungs(policy: Policy, engagement: Engagement, pools: Mapping[str, str]) -> Iterator[Part]:
    """The rungs of a ladder, those inside of others where they stand."""
    for rung in all_rungs(engagement.rungs):
        said = {"when": rung.when.text if rung.when is not None else ""}
        if rung.action is not None:
            said["goes to"] = describe(called(rung.action, pools), policy)
        if rung.share is not None:
            said["share"] = f"{rung.share * 100:g} %"
        if rung.table is not None:
            said["looks up"] = rung.table.name
        said["besides"] = ", ".join(_besides(doing, policy.people) for doing in rung.doing)
        yield Part(rung.name, said, rung_key(engagement.routes, rung.name))


def _besides(doing: Doing, people: Mapping[str, Person]) -> str:
    target = people[doing.target].name if doing.target in people else doing.target
    value = doing.source or ("blank" if doing.kind == "set" and doing.value is None else doing.value)
    due = f", due in {length_of(doing.due)}" if doing.due else ""
    return f"{doing.kind} {target}: {value}{due}" if value not in (None, "") else f"{doing.kind} {target}{due}"


def rows(policy: Policy, table: Table, pools: Mapping[str, str]) -> list[Part]:
    """The rows of a table in the order in which they are asked; one without a name is called by what it asks."""
    return [_row(policy, table, row, pools) for row in table.ranked]


def _row(policy: Policy, table: Table, row: TableRow, pools: Mapping[str, str]) -> Part:
    columns = list(zip(table.columns, row.cells, strict=True))
    said = {c.header: cell_words(cell, c.category, _NO_LIMIT) for c, cell in columns if not cell.any}
    name = row.name or ", ".join(f"{about} {short(words)}" for about, words in said.items()) or "any"
    said["goes to"] = describe(called(row.action, pools), policy)
    said["sets"] = ", ".join(f"{path} {value}" for path, value in row.sets)
    said["valid"] = " to ".join("…" if one is None else date.fromordinal(int(one)).isoformat() for one in row.valid)
    said["priority"] = f"{row.rank:g}"
    said["note"] = row.note
    return Part(f"{table.name}: {name}", said, row_key(table.name, row.line))


def table_part(table: Table) -> Part:
    return Part(table.name, {"hit": table.hit, "columns": ", ".join(column.header for column in table.columns)})


def pool_parts(policy: Policy, pools: Mapping[str, str]) -> list[Part]:
    found = []
    for pool in policy.pools.values():
        names = {key: policy.people[key].name if key in policy.people else key for key in pool.members}
        members = ", ".join(f"{names[key]} {weight:g}" for key, weight in sorted(pool.members.items()))
        overflow = pools.get(pool.overflow, pool.overflow)
        found.append(Part(pool.name, {"method": pool.method, "members": members, "overflow": overflow}))
    return found


def others(policy: Policy, pools: Mapping[str, str]) -> Iterator[tuple[str, bool, list[Part]]]:
    """Everything that has no order: what it is called, whether a part keeps what it is under another name, the parts."""
    people = policy.people
    yield (
        "condition",
        True,
        [
            Part(one.name, {"when": " ".join(one.text.text.split()), "description": one.description})
            for one in policy.conditions.values()
        ],
    )
    yield "person", False, [_person(person) for person in people.values()]
    yield "queue", True, [Part(name, dict(ids)) for name, ids in policy.queues.items()]
    yield (
        "correction",
        False,
        [
            Part(f"{one.entity}.{one.field}", {"correction": one.fix, "written back": "yes" if one.write else "no"})
            for one in policy.corrections
        ],
    )
    yield "free-mail domain", False, [Part(one) for one in sorted(policy.matching.free_domains)]
    yield "company domain", False, [Part(one) for one in sorted(policy.matching.not_free_domains)]
    yield "kind of record", False, [Part(one.name, dict(one.remote)) for one in policy.entities.values()]
    yield "field", False, list(_fields(policy))
    yield (
        "test",
        True,
        [
            Part(
                one.name,
                {
                    "given": given(one.case, people),
                    "at": str(one.case.at or ""),
                    "expects": expected(one, people, pools),
                },
            )
            for one in policy.tests
        ],
    )
    yield "hold", False, [Part("is tried again", {"every": length_of(policy.hold_retry)})]


def _person(person: Person) -> Part:
    said = {"name": person.name, "active": "yes" if person.active else "no", "start date": person.start_date}
    said |= {"role": person.role, "region": person.region, "time zone": person.time_zone}
    said |= {f"id in {system}": one for system, one in person.ids.items()}
    return Part(person.key, said | dict(person.extra), ("person", person.key))


def _fields(policy: Policy) -> Iterator[Part]:
    for entity in policy.entities.values():
        for field in entity.fields.values():
            said = {"type": field.type, "label": field.label, "description": field.description, "to": field.to}
            said |= {"choices": ", ".join(field.choices), **{f"in {name}": one for name, one in field.remote.items()}}
            said["read only"] = "yes" if field.read_only else ", ".join(field.read_only_in)
            yield Part(f"{entity.name}.{field.name}", said)


def short(text: str) -> str:
    """A value on part of a line."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
