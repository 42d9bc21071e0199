"""Who of those in turn can have one particular lead: by the CRM it is in, who had it already, skills, and pools within the pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from routing.core.directory import Directory
from routing.core.distribution.ask import Ask
from routing.core.distribution.rotation import Rotation
from routing.core.distribution.values import value_at
from rules.values import fold

if TYPE_CHECKING:
    from rules.policy import Policy
    from rules.pools.model import Member, Pool, Skill

_KEEP = 10_000  # answers


class Index:
    """What is asked of a policy's pools for every lead, worked out once."""

    def __init__(self, policy: Policy, directory: Directory) -> None:
        self._policy, self._directory = policy, directory
        self._barred: dict[tuple[str, str], dict[str, str]] = {}
        self._inner: dict[str, tuple[Member, ...]] = {}
        self._keys: dict[str, tuple[str, ...]] = {}
        self._asked: dict[tuple[str, str, str], tuple[str, frozenset[str]]] = {}
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

    def keys(self, pool: Pool) -> tuple[str, ...]:
        """The keys of a pool's members."""
        found = self._keys.get(pool.name)
        if found is None:
            found = self._keys[pool.name] = tuple(pool.weights)
        return found

    def inner(self, pool: Pool) -> tuple[Member, ...]:
        """The pools among a pool's members."""
        found = self._inner.get(pool.name)
        if found is None:
            found = self._inner[pool.name] = tuple(member for member in pool.members if member.is_pool)
        return found

    def asked(self, pool: Pool, skill: Skill, ask: Ask) -> tuple[str, frozenset[str]] | None:
        """What those lack who do not have what the record asks for, and the members who have it; None where it asks for nothing.

        Pools within the pool see for themselves.
        """
        value = value_at(skill.of, ask.facts)
        key = (pool.name, skill.name, value) if type(value) is str else None
        found = None if key is None else self._asked.get(key)
        if found is not None or value is None or value == "":
            return found
        wanted, column = wanted_of(skill, ask), skill.name
        if not wanted:
            return None
        said = " or ".join(sorted(map(str, _as_list(value))))
        able = frozenset(m.key for m in pool.members if m.is_pool or not wanted.isdisjoint(self._has(m, column)))
        found = f"does not have '{said}' in the column {column}", able
        if key is not None:
            if len(self._asked) > _KEEP:  # somebody puts free text into such a field
                self._asked.clear()
            self._asked[key] = found
        return found

    def numbers(self, rotation: Rotation, able: tuple[frozenset[str], ...]) -> tuple[int, ...]:
        """The numbers of the members who are in all of these."""
        key = rotation.pool, rotation.kind, len(rotation.people), *able
        found = self._numbers.get(key)
        if found is None:
            both = frozenset.intersection(*able)
            found = tuple(n for n, person in enumerate(rotation.people) if person in both)
            if len(self._numbers) > _KEEP:
                self._numbers.clear()
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
        preferred: list[frozenset[str]] = []
        for skill in pool.skills:
            if skill.required and skill.relax_after and ask.waited >= skill.relax_after:
                continue
            found = index.asked(pool, skill, ask)
            if found is not None and skill.required:
                self._lacking.append(found)
            elif found is not None:
                preferred.append(found[1])
        able = self._required(index)
        self.among = self._preferred(preferred, able) if preferred else able

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

    def _preferred(self, sets: Sequence[frozenset[str]], able: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Those who have most of the preferred skills; the same when nobody has any."""
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
        people, barred = self._rotation.people, self.barred
        if not barred and not self._lacking:
            return [n for n, why in enumerate(self._rotation.why[:first]) if why][:most]
        found: list[int] = []
        sets = [able for _, able in self._lacking]
        for n, why in enumerate(self._rotation.why[:first]):
            if not why and people[n] not in barred:
                for able in sets:
                    if people[n] not in able:
                        break
                else:
                    continue
            found.append(n)
            if len(found) == most:
                break
        return found

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
