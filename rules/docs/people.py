"""Pools and people, as parts of a playbook."""

from __future__ import annotations

from collections.abc import Iterator

from rules.analysis.outline import everything
from rules.docs.page import Anchors, Grid, Link, Paragraph, Section, Strong, Words
from rules.docs.sentences import counted
from rules.model import Person, Pool
from rules.policy import Policy

_SHOWN = 12  # places that give to a pool and are named; the others are counted


class PeoplePages:
    """Who shares what, and who there is."""

    def __init__(self, policy: Policy, anchors: Anchors) -> None:
        self._policy = policy
        self._anchors = anchors
        self._givers = _givers(policy)

    def pools(self) -> Iterator[Section]:
        """Every pool: its members with their shares, and where its leads come from."""
        for pool in self._policy.pools.values():
            members = tuple(self._member(pool, key, weight) for key, weight in pool.members.items())
            parts = (
                Paragraph(self._sharing(pool)),
                Grid(("Member", "Role", "Region", "Share", "Receives now"), members),
                Paragraph(self._given(pool)),
            )
            yield Section(pool.name, self._anchors.of("pool", pool.name), parts)

    def _sharing(self, pool: Pool) -> Words:
        how = "In turn, the same share for everybody"
        if pool.method == "weighted":
            how = "By weight: a weight of 2 gets twice as many as 1"
        if pool.overflow:
            link = Link(pool.overflow, self._anchors.of("pool", pool.overflow))
            return (f"{how}. When nobody here can take a record, ", link, " takes it.")
        return (f"{how}. When nobody here can take a record, it waits until somebody can.",)

    def _member(self, pool: Pool, key: str, weight: float) -> tuple[Words, ...]:
        person = self._policy.people.get(key) or Person(key, key)
        total = sum(one for who, one in pool.members.items() if self._active(who))
        even = pool.method == "round robin"
        if even:
            total, weight = sum(self._active(who) for who in pool.members), 1
        share = f"{weight / total * 100:.0f} %" if total and self._active(key) else "none"
        told = share if even else f"{share} (weight {weight:g})"
        state = "yes" if person.active else "no, inactive"
        return ((Strong(person.name),), (person.role,), (person.region,), (told,), (state,))

    def _active(self, key: str) -> bool:
        person = self._policy.people.get(key)
        return person is not None and person.active

    def _given(self, pool: Pool) -> Words:
        links = self._givers.get(pool.name, [])
        overflowing = [one.name for one in self._policy.pools.values() if one.overflow == pool.name]
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
        return (*told, ".")

    def people(self) -> tuple[Paragraph, Grid]:
        """Everybody on the roster, by name."""
        pools: dict[str, list[str]] = {}
        for pool in self._policy.pools.values():
            for key in pool.members:
                pools.setdefault(key, []).append(pool.name)
        everybody = sorted(self._policy.people.values(), key=lambda one: (one.name.casefold(), one.key))
        rows = tuple(self._person(person, pools.get(person.key, [])) for person in everybody)
        away = sum(not person.active for person in everybody)
        lead = f"{counted(len(everybody), 'person')} can be named by the rules" + (
            f"; {away} of them cannot receive leads now." if away else "."
        )
        return Paragraph((lead,)), Grid(("Name", "E-mail", "Role", "Region", "Time zone", "Since", "Pools"), rows)

    def _person(self, person: Person, pools: list[str]) -> tuple[Words, ...]:
        links: Words = ()
        for name in pools:
            links += ((", ",) if links else ()) + (Link(name, self._anchors.of("pool", name)),)
        called: Words = (Strong(person.name), *(() if person.active else (" (inactive)",)))
        return called, (person.key,), (person.role,), (person.region,), (person.time_zone,), (person.start_date,), links


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
