"""Who of those in turn can have one particular lead: by the CRM it is in, who had it already, skills, and pools within the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from routing.core.directory import Directory
from routing.core.distribution.ask import Ask
from routing.core.distribution.rotation import Rotation
from routing.core.distribution.values import value_at
from rules.pools.checks import people_of
from rules.values import fold

if TYPE_CHECKING:
    from rules.policy import Policy
    from rules.pools.model import Member, Pool, Skill

_KEEP = 1_000  # answers

# A decision lists all members of a pool up to this many; of a larger one the chosen, and some who could not.
SHOWN = 12
_NOT = 3  # of the first dozen: not all of hundreds are looked at for these

Asked = tuple[str, frozenset[str]]  # a skill: what those lack who do not have it, and who has it


class Index:
    """What is asked of a policy's pools for every lead, worked out once."""

    def __init__(self, policy: Policy, directory: Directory) -> None:
        self._policy, self._directory = policy, directory
        self._barred: dict[tuple[str, str], dict[str, str]] = {}
        self._inner: dict[str, tuple[Member, ...]] = {}
        self._within: dict[str, Mapping[str, tuple[str, ...]]] = {}
        self._asked: dict[tuple[str, str, str | tuple[str, ...]], Asked] = {}
        self._candidates: dict[tuple[str | Asked | None, ...], Candidates] = {}

    def candidates(self, pool: Pool, rotation: Rotation, ask: Ask, more: Mapping[str, str]) -> Candidates:
        """Who can have that lead. ``more`` says why single members cannot, beside those whom the lead's CRM keeps out."""
        asked = [
            None if skill.required and 0 < skill.relax_after <= ask.waited else self.asked(pool, skill, ask)
            for skill in pool.skills
        ]
        if more:
            return Candidates(pool, rotation, asked, {**self.barred(pool, ask.system), **more}, self._directory)
        key = pool.name, rotation.kind, ask.system, *asked
        found = self._candidates.get(key)
        if found is None or found.stood is not rotation.stood:
            if len(self._candidates) > _KEEP:
                self._candidates.clear()
            barred = self.barred(pool, ask.system)
            found = self._candidates[key] = Candidates(pool, rotation, asked, barred, self._directory)
        return found

    def barred(self, pool: Pool, system: str) -> dict[str, str]:
        """Whom the CRM that the lead is in keeps out, and why."""
        key = pool.name, system
        found = self._barred.get(key)
        if found is None:
            people = [member.who for member in pool.members if not member.is_pool]
            reasons = {who: self._directory.standing(who, system) for who in people}
            found = self._barred[key] = {who: why for who, why in reasons.items() if why is not None}
        return found

    def within(self, pool: Pool) -> Mapping[str, tuple[str, ...]]:
        """Everybody of each pool among a pool's members, those of pools within it too, by the member's key."""
        found = self._within.get(pool.name)
        if found is None:
            pools = self._policy.pools
            people = {
                one.key: dict.fromkeys(who for who, _ in people_of(pools[one.who], pools)) for one in self.inner(pool)
            }
            found = self._within[pool.name] = {key: tuple(names) for key, names in people.items()}
        return found

    def inner(self, pool: Pool) -> tuple[Member, ...]:
        """The pools among a pool's members."""
        found = self._inner.get(pool.name)
        if found is None:
            found = self._inner[pool.name] = tuple(member for member in pool.members if member.is_pool)
        return found

    def asked(self, pool: Pool, skill: Skill, ask: Ask) -> Asked | None:
        """What the record asks for; None where it asks for nothing. Pools within the pool see for themselves."""
        value = value_at(skill.of, ask.facts)
        if value is None or value == "":
            return None
        said = value if type(value) is str else tuple(sorted(map(str, _as_list(value))))
        key = pool.name, skill.name, said
        found = self._asked.get(key)
        if found is None:
            wanted, column = wanted_of(skill, ask), skill.name
            if not wanted:
                return None
            able = frozenset(m.key for m in pool.members if m.is_pool or not wanted.isdisjoint(self._has(m, column)))
            several = said if isinstance(said, str) else " or ".join(said)
            if len(self._asked) > _KEEP:  # somebody puts free text into such a field
                self._asked.clear()
            found = self._asked[key] = f"does not have '{several}' in the column {column}", able
        return found

    def _has(self, member: Member, column: str) -> frozenset[str]:
        if member.skills is not None and column in member.skills:
            return member.skills[column]
        person = self._policy.people.get(member.who)
        return person.skills.get(column, frozenset()) if person is not None else frozenset()


class Candidates:
    """Who can have a lead, as long as nobody stands otherwise (``stood``): those of ``among``, None for all in turn; or ``nobody``."""

    def __init__(
        self,
        pool: Pool,
        rotation: Rotation,
        asked: Sequence[Asked | None],
        barred: Mapping[str, str],
        directory: Directory,
    ) -> None:
        self.stood = rotation.stood
        self._pool, self._rotation, self._barred, self._directory = pool, rotation, barred, directory
        wanted = [(skill.required, found) for skill, found in zip(pool.skills, asked, strict=True) if found is not None]
        self._lacking = [found for required, found in wanted if required]
        found = self._find([able for required, (_, able) in wanted if not required])
        self.nobody = found is not None and not found
        self.among = rotation.group(found) if found else None
        self._listed: tuple[list[int], list[str]] | None = None

    def _find(self, preferred: Sequence[frozenset[str]]) -> Sequence[int] | None:
        rotation, barred, people = self._rotation, self._barred, self._rotation.people
        if rotation.nobody:
            return []
        able = rotation.present()
        everybody = not self._lacking and not (barred and any(map(rotation.is_in, barred)))
        if not everybody:
            sets = [found for _, found in self._lacking]
            able = [n for n in able if people[n] not in barred and all(people[n] in found for found in sets)]
        if preferred:  # those who have most of these; all when nobody has any
            points = [sum([people[n] in found for found in preferred]) for n in able]
            best = max(points, default=0)
            if best:
                return [n for n, has in zip(able, points, strict=True) if has == best]
        return None if everybody else able

    def why(self, person: str) -> str:
        """Why that member cannot have it; "" when they can."""
        n = self._rotation.number.get(person)
        return "not in turn yet" if n is None else self.whys([n])[0]

    def whys(self, members: Sequence[int]) -> list[str]:
        """The same for several, by number."""
        rotation, barred = self._rotation, self._barred
        if not barred and not self._lacking:
            return [rotation.why[n] for n in members]
        people = rotation.people
        return [barred.get(people[n]) or rotation.why[n] or self._lacks(people[n]) for n in members]

    @property
    def listed(self) -> tuple[list[int], list[str]]:
        """The members whom a decision lists, and why they cannot have it: all of a small pool, of a large one some who cannot."""
        if self._listed is None:
            number = self._rotation.number
            if len(self._pool.members) <= SHOWN:
                found = [number[member.key] for member in self._pool.members if member.key in number]
                self._listed = found, self.whys(found)
            else:
                whys = self.whys(range(min(SHOWN, len(number))))
                found = [n for n, why in enumerate(whys) if why][:_NOT]
                self._listed = found, [whys[n] for n in found]
        return self._listed

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
