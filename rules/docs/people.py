"""Pools and people, as parts of a playbook."""

from __future__ import annotations

from collections.abc import Iterator

from rules.analysis.outline import everything
from rules.docs.page import Anchors, Bullets, Grid, Link, Paragraph, Part, Section, Strong, Words
from rules.nouns import counted
from rules.policy import Policy
from rules.pools.model import Member, Method, Person, Pool
from rules.pools.words import member_settings, settings, working_words
from rules.sla.words import clock_settings, step_words

_METHODS: dict[Method, str] = {
    "round robin": "In turn, the same share for everybody",
    "weighted": "By weight: a weight of 2 gets twice as many as 1",
    "load balanced": "Whoever has the least open work for their weight is next",
    "skill": "In turn, among those who have the skills that a record asks for",
    "sticky": "What belongs together goes to the same person; what is new, in turn by weight",
    "best fit": "Whoever has the highest score for the record; among equals, in turn",
    "pull": "Nobody is given anything: members claim the next record",
}
_TOLD = {
    "caps": "At most, of the whole pool", "member_caps": "At most, of each member", "kinds": "Rotations of their own",
    "skills": "Skills", "sticky": "Kept together by", "score": "Score", "balance": "Open work is measured by",
    "value": "The value of a record", "hours": "Keeps working hours", "time_zone": "Its caps go by",
    "catch_up": "Made up after an absence, at most", "alarm": "Alarm when out of balance by", "priority": "Who waits, the highest first",
}  # fmt: skip
_CLOCK = {
    "of": "Of each", "start": "Starts when", "stop": "Stops when", "within": "Within", "time": "Hours that count",
    "pauses_on_hold": "Stands still on hold", "reassignments": "Moved at most", "then": "Then",
}  # fmt: skip
_SHOWN = 12  # places that give to a pool and are named; the others are counted


class PeoplePages:
    """Who shares what, and who there is."""

    def __init__(self, policy: Policy, anchors: Anchors) -> None:
        self._policy = policy
        self._anchors = anchors
        self._givers = _givers(policy)

    def pools(self) -> Iterator[Section]:
        """Every pool: its members with their shares, what it says besides, and where its leads come from."""
        for pool in self._policy.pools.values():
            members = tuple(self._member(pool, member) for member in pool.members)
            columns = ("Member", "Role", "Region", "Share", "Limits", "Receives now")
            parts: tuple[Part, ...] = (Paragraph(self._sharing(pool)), Grid(columns, members))
            told = tuple(((Strong(_TOLD[name]),), (text,)) for name, text in settings(pool).items() if text)
            if told:
                parts += (Grid(("Setting", "What it says"), told),)
            yield Section(pool.name, self._anchors.of("pool", pool.name), (*parts, Paragraph(self._given(pool))))

    def _sharing(self, pool: Pool) -> Words:
        how = _METHODS[pool.method]
        if pool.method == "pull":
            return (f"{how}.",)
        if pool.overflow:
            link = Link(pool.overflow, self._anchors.of("pool", pool.overflow))
            return (f"{how}. When nobody here can take a record, ", link, " takes it.")
        if pool.overflow_queue:
            return (f"{how}. When nobody here can take a record, it goes to the queue {pool.overflow_queue}.",)
        return (f"{how}. When nobody here can take a record, it waits until somebody can.",)

    def _member(self, pool: Pool, member: Member) -> tuple[Words, ...]:
        total = sum(one.weight for one in pool.members if self._active(one))
        share = f"{member.weight / total * 100:.0f} %" if total and self._active(member) else "none"
        if pool.method != "round robin":
            share = f"{share} (weight {member.weight:g})"
        limits = member_settings(member)
        if member.is_pool:
            name = (Link(member.who, self._anchors.of("pool", member.who)),)
            return name, ("a pool",), ("",), (share,), (limits,), ("as its members do",)
        person = self._policy.people.get(member.who) or Person(member.who, member.who)
        state = "yes" if person.active else "no, inactive"
        return (Strong(person.name),), (person.role,), (person.region,), (share,), (limits,), (state,)

    def _active(self, member: Member) -> bool:
        person = self._policy.people.get(member.who)
        return member.is_pool or (person is not None and person.active)

    def _given(self, pool: Pool) -> Words:
        links = self._givers.get(pool.name, [])
        pools = self._policy.pools.values()
        overflowing = [one.name for one in pools if one.overflow == pool.name]
        around = [one.name for one in pools if any(m.is_pool and m.who == pool.name for m in one.members)]
        if around:
            inside: Words = ("Its members share what it gets as a member of ",)
            for number, name in enumerate(around):
                inside += ((", ",) if number else ()) + (Link(name, self._anchors.of("pool", name)),)
            if not links and not overflowing:
                return (*inside, ".")
        if not links and not overflowing:
            return ("Nothing gives leads to this pool.",)
        told: Words = ("Gets what comes by: ",)
        for number, (kind, name, text) in enumerate(links[:_SHOWN]):
            told += ((", ",) if number else ()) + (Link(text, self._anchors.of(kind, name)),)
        if len(links) > _SHOWN:
            told += (f" and {len(links) - _SHOWN:,} more",)
        if not links:
            told = ("Gets what comes by",)
        for name in overflowing:
            told += ("; overflow of ",) if links or name != overflowing[0] else (" overflow of ",)
            told += (Link(name, self._anchors.of("pool", name)),)
        return (*told, ". ", *inside, ".") if around else (*told, ".")

    def people(self) -> tuple[Paragraph, Grid]:
        """Everybody on the roster, by name."""
        pools: dict[str, list[str]] = {}
        for pool in self._policy.pools.values():
            for member in pool.members:
                if not member.is_pool:
                    pools.setdefault(member.who, []).append(pool.name)
        everybody = sorted(self._policy.people.values(), key=lambda one: (one.name.casefold(), one.key))
        rows = tuple(self._person(person, pools.get(person.key, [])) for person in everybody)
        away = sum(not person.active for person in everybody)
        lead = f"{counted(len(everybody), 'person')} can be named by the rules" + (
            f"; {away} of them cannot receive leads now." if away else "."
        )
        columns = ("Name", "E-mail", "Role", "Region", "Time zone", "Hours", "Since", "Pools")
        return Paragraph((lead,)), Grid(columns, rows)

    def _person(self, person: Person, pools: list[str]) -> tuple[Words, ...]:
        links: Words = ()
        for name in pools:
            links += ((", ",) if links else ()) + (Link(name, self._anchors.of("pool", name)),)
        called: Words = (Strong(person.name), *(() if person.active else (" (inactive)",)))
        hours = working_words(person) + (
            f", not on holidays of {', '.join(person.holidays)}" if person.holidays else ""
        )
        return (
            called, (person.key,), (person.role,), (person.region,), (person.time_zone,), (hours,), (person.start_date,),
            links,
        )  # fmt: skip

    def clocks(self) -> Iterator[Section]:
        """Every SLA clock."""
        for clock in self._policy.clocks.values():
            said = clock_settings(clock, self._policy.people)
            steps = said.pop("steps")
            about = said.pop("description")
            rows = tuple(((Strong(_CLOCK[name]),), (text,)) for name, text in said.items() if text)
            parts: tuple[Part, ...] = (Paragraph((about,)),) if about else ()
            parts += (Grid(("Setting", "What it says"), rows),)
            if steps:
                parts += (Bullets(tuple((step_words(step, self._policy.people),) for step in clock.steps)),)
            yield Section(clock.name, self._anchors.of("clock", clock.name), parts)


def _givers(policy: Policy) -> dict[str, list[tuple[str, str, str]]]:
    """For each pool the rungs and tables that give to it: kind and name of an anchor, and what to call it."""
    found: dict[str, dict[tuple[str, str, str], None]] = {}
    for routes, engagement in policy.ladders.items():
        for rule in everything(engagement):
            if rule.action.kind != "pool":
                continue
            place = ("rung", f"{routes} {rule.rung.name}", rule.rung.name)
            if rule.row is not None and rule.table is not None:
                called = rule.row.name or f"row {rule.row.line}"
                place = ("table", rule.table.name, f"{rule.rung.name} › {called}")
            found.setdefault(rule.action.value, {})[place] = None
    return {pool: list(places) for pool, places in found.items()}
