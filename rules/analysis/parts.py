"""The parts that a policy is made of, each with what is said of it, so that two policies can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from hashlib import sha256

from rules.analysis.outline import cell_words, describe
from rules.analysis.pairing import Part
from rules.ladders.durations import length_of
from rules.ladders.effects import Doing
from rules.ladders.engagement import Engagement, all_rungs
from rules.model import Action, Bands, Effect, Matching
from rules.policy import Policy
from rules.policy_tests.words import expected, given
from rules.pools.model import Calendar, Member, Person
from rules.pools.words import member_settings, person_settings, settings, working_words
from rules.sla.words import answer_settings, clock_settings
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
        if rung.away is not None:
            said["while they are away"] = describe(called(rung.away, pools), policy)
        if rung.share is not None:
            said["share"] = f"{rung.share * 100:g} %"
        if rung.table is not None:
            said["looks up"] = rung.table.name
        said["besides"] = ", ".join(besides(doing, policy.people) for doing in rung.doing)
        yield Part(rung.name, said, rung_key(engagement.routes, rung.name))


def entry_key(routes: str) -> tuple[str, ...]:
    return ("entry", routes)


def besides(doing: Doing | Effect, people: Mapping[str, Person]) -> str:
    """What a rung does beside choosing the owner, as one would say it: ``set lead.status: Working``."""
    target = people[doing.target].name if doing.target in people else doing.target
    source = doing.source if isinstance(doing, Doing) else ""
    value = source or ("blank" if doing.kind == "set" and doing.value is None else doing.value)
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
        members = ", ".join(_member(policy, member, pools) for member in sorted(pool.members, key=lambda one: one.key))
        overflow = pools.get(pool.overflow, pool.overflow) or (
            f"queue {pool.overflow_queue}" if pool.overflow_queue else ""
        )
        told = {"method": pool.method, "members": members, "overflow": overflow, **settings(pool)}
        found.append(Part(pool.name, told))
    return found


def _member(policy: Policy, member: Member, pools: Mapping[str, str]) -> str:
    if member.is_pool:
        name = f"pool {pools.get(member.who, member.who)}"
    else:
        name = policy.people[member.who].name if member.who in policy.people else member.who
    more = member_settings(member)
    return f"{name} {member.weight:g}" + (f" ({more})" if more else "")


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
    open_when = policy.open_when
    yield "open work", False, [] if open_when is None else [Part("open_when", {"when": open_when.text})]
    yield "person", False, [_person(person) for person in people.values()]
    yield "calendar", False, [_calendar(one) for one in policy.calendars.values()]
    yield "time off", False, list(_absences(policy))
    yield "clock", False, [Part(one.name, clock_settings(one, people)) for one in policy.clocks.values()]
    yield "answer", False, [Part(kind, answer_settings(one)) for kind, one in policy.answers.items()]
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
    yield "throw-away mail domain", False, [Part(one) for one in sorted(policy.matching.disposable_domains)]
    yield "company domain", False, [Part(one) for one in sorted(policy.matching.not_free_domains)]
    yield "matching", False, [Part(name, told) for name, told in _matching(policy.matching).items()]
    yield (
        "kind of record",
        False,
        [Part(one.name, {**one.remote, "guard": one.guard}) for one in policy.entities.values()],
    )
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


def _matching(matching: Matching) -> dict[str, dict[str, str]]:
    """What ``matching.yaml`` says beside the lists of domains; by default, too, so that leaving it out is no change."""
    weights = (
        f"{matching.weights} ({sha256(matching.weights_file).hexdigest()[:12]})" if matching.weights else "shipped"
    )
    told = {"to the account": _bands(matching.bands), "to the same person": _bands(matching.duplicates)}
    return told | {
        "of equals": {"decides": ", then ".join(matching.tie_breakers) or "nothing"},
        "of the evidence": {"weights": weights},
    }


def _bands(bands: Bands | None) -> dict[str, str]:
    if bands is None:
        return {"is looked for": "no"}
    return {"is looked for": "yes", "match from": f"{bands.match:.4%}", "ask from": f"{bands.ask:.4%}"}


def _person(person: Person) -> Part:
    said = {"name": person.name, "active": "yes" if person.active else "no", "start date": person.start_date}
    said |= {"role": person.role, "region": person.region, "time zone": person.time_zone}
    said |= {f"id in {system}": one for system, one in person.ids.items()}
    return Part(person.key, said | person_settings(person) | dict(person.extra), ("person", person.key))


def _calendar(calendar: Calendar) -> Part:
    closed = ", ".join(f"{day.isoformat()} {name}" for day, name in calendar.closed.items())
    said = {"hours": working_words(calendar), "time zone": calendar.time_zone}
    return Part(calendar.name, {**said, "holidays": ", ".join(calendar.holidays), "closed": closed})


def _absences(policy: Policy) -> Iterator[Part]:
    for one in policy.time_off:
        name = policy.people[one.person].name if one.person in policy.people else one.person
        yield Part(f"{name}, {one.from_} to {one.to}", {"reason": one.reason})


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
