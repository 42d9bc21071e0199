"""Who of those in turn can have one particular lead: by the CRM it is in, who had it already, skills, and pools within the pool."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from routing.core.directory import Directory
from routing.core.distribution.ask import Ask
from routing.core.distribution.rotation import Rotation
from routing.core.distribution.values import value_at
from rules.values import fold

if TYPE_CHECKING:
    from rules.policy import Policy
    from rules.pools.model import Member, Pool, Skill


class Index:
    """What is asked of a policy's pools for every lead, worked out once."""

    def __init__(self, policy: Policy, directory: Directory) -> None:
        self._policy, self._directory = policy, directory
        self._barred: dict[tuple[str, str], dict[str, str]] = {}
        self._inner: dict[str, tuple[Member, ...]] = {}
        self._able: dict[tuple[str, str, frozenset[str]], frozenset[str]] = {}
        self._numbers: dict[tuple[Any, ...], tuple[int, ...]] = {}

    def barred(self, pool: Pool, system: str) -> dict[str, str]:
        """Whom the CRM that the lead is in keeps out, and why."""
        key = pool.name, system
        found = self._barred.get(key)
        if found is None:
            people = [member.who for member in pool.members if not member.is_pool]
            reasons = {who: self._directory.standing(who, system) for who in people}
            found = self._barred[key] = {who: why for who, why in reasons.items() if why is not None}
        return found

    def inner(self, pool: Pool) -> tuple[Member, ...]:
        """The pools among a pool's members."""
        found = self._inner.get(pool.name)
        if found is None:
            found = self._inner[pool.name] = tuple(member for member in pool.members if member.is_pool)
        return found

    def able(self, pool: Pool, column: str, wanted: frozenset[str]) -> frozenset[str]:
        """Members who have one of these in that column; pools within the pool see for themselves."""
        key = pool.name, column, wanted
        found = self._able.get(key)
        if found is None:
            found = frozenset(m.key for m in pool.members if m.is_pool or not wanted.isdisjoint(self._has(m, column)))
            if len(self._able) > 10_000:  # somebody puts free text into such a field
                self._able.clear()
            self._able[key] = found
        return found

    def numbers(self, rotation: Rotation, able: tuple[frozenset[str], ...]) -> tuple[int, ...]:
        """The numbers of the members who are in all of these."""
        key = rotation.pool, rotation.kind, len(rotation.people), *map(id, able)
        found = self._numbers.get(key)
        if found is None:
            both = frozenset.intersection(*able)
            found = tuple(n for n, person in enumerate(rotation.people) if person in both)
            if len(self._numbers) > 10_000:
                self._numbers.clear()
                self._able.clear()
            self._numbers[key] = found
        return found

    def _has(self, member: Member, column: str) -> frozenset[str]:
        if member.skills is not None and column in member.skills:
            return member.skills[column]
        person = self._policy.people.get(member.who)
        return person.skills.get(column, frozenset()) if person is not None else frozenset()


class Candidates:
    """Who can have a lead: ``among`` by number, None for all in turn. ``barred`` says why single ones cannot."""

    def __init__(
        self, pool: Pool, rotation: Rotation, ask: Ask, index: Index, barred: dict[str, str], directory: Directory
    ) -> None:
        self._rotation, self._directory, self.barred = rotation, directory, barred
        self._lacking: list[tuple[str, frozenset[str]]] = []
        for skill in pool.skills:
            if skill.required and not (skill.relax_after and ask.waited >= skill.relax_after):
                wanted = wanted_of(skill, ask)
                if wanted:
                    said = " or ".join(sorted(map(str, _as_list(value_at(skill.of, ask.facts)))))
                    lacks = f"does not have '{said}' in the column {skill.name}"
                    self._lacking.append((lacks, index.able(pool, skill.name, wanted)))
        self.among = self._preferred(pool, ask, index, self._required(index))

    def _required(self, index: Index) -> tuple[int, ...] | None:
        rotation, barred = self._rotation, self.barred
        if self._lacking:
            able = rotation.able(index.numbers(rotation, tuple([able for _, able in self._lacking])))
        elif rotation.nobody:
            return ()
        elif barred and any(map(rotation.is_in, barred)):
            able = tuple(rotation.present())
        else:
            return None
        return tuple([n for n in able if rotation.people[n] not in barred]) if barred else able

    def _preferred(self, pool: Pool, ask: Ask, index: Index, able: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Those who have most of the preferred skills; the same when nobody has any."""
        sets = [
            index.able(pool, skill.name, wanted)
            for skill in pool.skills
            if not skill.required and (wanted := wanted_of(skill, ask))
        ]
        if not sets:
            return able
        people = self._rotation.people
        numbers = tuple(self._rotation.present()) if able is None else able
        points = [sum(people[n] in one for one in sets) for n in numbers]
        best = max(points, default=0)
        return tuple([n for n, has in zip(numbers, points, strict=True) if has == best]) if best else able

    def why(self, person: str) -> str:
        """Why that member cannot have it; "" when they can."""
        n = self._rotation.number.get(person)
        return "not in turn yet" if n is None else self.whys([n])[0]

    def whys(self, members: Sequence[int]) -> list[str]:
        """The same for several, by number."""
        rotation, barred = self._rotation, self.barred
        if not barred and not self._lacking:
            return [rotation.why[n] for n in members]
        people = rotation.people
        return [barred.get(people[n]) or rotation.why[n] or self._lacks(people[n]) for n in members]

    def some_who_cannot(self, most: int, first: int) -> list[int]:
        """At most so many of the first members who cannot have it."""
        rotation, barred, lacking = self._rotation, self.barred, self._lacking
        found = enumerate(rotation.why[:first])
        if not barred and not lacking:
            return [n for n, why in found if why][:most]
        people = rotation.people
        cannot = (n for n, why in found if why or people[n] in barred or self._lacks(people[n]))
        return list(islice(cannot, most))

    def _lacks(self, person: str) -> str:
        for lacks, able in self._lacking:
            if person not in able:
                return f"{self._directory.name(person)} {lacks}"
        return ""


def relaxes(pool: Pool, ask: Ask) -> float | None:
    """In how many seconds the next required skill is asked for no longer; None when none ever is."""
    left = [
        skill.relax_after - ask.waited
        for skill in pool.skills
        if skill.required and skill.relax_after > ask.waited and wanted_of(skill, ask)
    ]
    return min(left, default=None)


def wanted_of(skill: Skill, ask: Ask) -> frozenset[str]:
    """What the record asks for."""
    return frozenset([fold(str(one)) for one in _as_list(value_at(skill.of, ask.facts))])


def _as_list(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
