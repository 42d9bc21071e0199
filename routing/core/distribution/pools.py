"""The pools while a batch is settled: who gets a lead, and what that changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from routing.core.availability.people import Availability
from routing.core.directory import FILE, Directory
from routing.core.distribution import methods, wording
from routing.core.distribution.ask import Ask, Pick
from routing.core.distribution.attendance import Attendance
from routing.core.distribution.candidates import Candidates, relaxes
from routing.core.distribution.entries import LEFT, PoolEntry
from routing.core.distribution.pool_ledger import Key, PoolLedger
from routing.core.distribution.rotation import Rotation
from routing.core.distribution.turns import Group
from routing.core.distribution.values import number_at
from rules.pools.checks import pools_asked

if TYPE_CHECKING:
    from rules.policy import Policy
    from rules.pools.model import Pool

_NOTHING: Mapping[str, str] = {}
_WITHIN: Mapping[str, Pick] = {}


class PoolSeen(Struct, frozen=True, array_like=True):
    """A rotation as a decision saw it: after the entry ``seq``. ``bond``: whose the ``key`` (an account or a contact) was.

    Without a pool: why the person ``key``, whom a rung names, was away (``bond``); or how a turn that is given back was returned already.
    """

    pool: str
    kind: str
    seq: int
    key: str = ""
    bond: str = ""


class Pools(PoolLedger):
    """The same, asked for who gets a lead: ``pick`` changes no more than who is in turn, ``give`` hands the lead out.

    ``seen`` is what the last decision read, to be kept as its evidence: empty it before each. ``bonds`` of sticky pools are by pool
    and key. ``silent``: for whoever only counts what is given; picks are the same, but say nothing of members, and nothing in words.
    """

    def __init__(
        self,
        policy: Policy,
        directory: Directory,
        attendance: Attendance | None = None,
        rotations: dict[Key, Rotation] | None = None,
        bonds: Mapping[tuple[str, str], str] | None = None,
        *,
        silent: bool = False,
    ) -> None:
        super().__init__(policy, directory, attendance, rotations)
        self._silent = silent
        self.bonds: dict[tuple[str, str], str] = dict(bonds or {})
        self.bound: dict[tuple[str, str], str] = {}
        self.seen: dict[Key, PoolSeen] = {}

    @classmethod
    def fresh(cls, policy: Policy, directory: Directory, systems: Iterable[str], *, hours: bool = False) -> Pools:
        """As on the first day, of people who have these systems. Without ``hours`` whatever the hour: for files, which have none."""
        return cls(policy, directory, Attendance(policy, directory, Availability(policy), systems, hours=hours))

    def pick(self, name: str, ask: Ask) -> Pick:
        """Who of the pool gets this lead. Changes nothing but who is in turn; ``give`` hands it out."""
        return self._pick(self.policy.pools[name], ask, (name,))

    def give(self, pick: Pick, ask: Ask) -> None:
        """Hands the lead to who was picked."""
        for rotation, n, among in pick.turns:
            entry = PoolEntry(
                pool=rotation.pool,
                kind=rotation.kind,
                seq=rotation.seq + 1,
                person=rotation.people[n],
                what="assigned",
                at=ask.now,
                leads=1.0,
                value=pick.value,
                among="" if among is None else among.mask,
                decision_id=ask.decision_id,
            )
            self._add(rotation, entry)
        if pick.bond is not None:
            pool, key, person = pick.bond
            self.bonds[pool, key] = self.bound[pool, key] = person

    def until(self, names: Iterable[str], ask: Ask) -> datetime | None:
        """When, by the clock, one of these pools may take the record that nobody takes now; None when nobody can say."""
        if self._attendance is None:
            return None
        names = pools_asked(self.policy.pools, names)
        found = self._attendance.until(names, ask.now)
        for name in names:
            seconds = relaxes(self.policy.pools[name], ask)
            if seconds is not None:
                relaxed = ask.now + timedelta(seconds=seconds)
                found = relaxed if found is None else min(found, relaxed)
        return found

    def away(self, person: str, now: datetime) -> str:
        """Why somebody whom a rung names is not there, "" when they are; it is kept as evidence."""
        if self._attendance is None:
            return self.bonds.get(("", person), "")
        why = self._attendance.away(person, now).why or ""
        if why:
            self.seen["", person] = PoolSeen("", "", 0, person, why)
        return why

    def back(self, person: str, now: datetime) -> datetime | None:
        """When, by the clock, that person may be there again; None when nobody can say, or they are there."""
        return None if self._attendance is None else self._attendance.back(person, now)

    def _pick(self, pool: Pool, ask: Ask, above: tuple[str, ...]) -> Pick:
        kind = methods.kind_of(pool, ask)
        rotation = self.rotation(pool, kind, ask.now)
        self._note_seen(pool, rotation, ask)
        if rotation.closed:
            return Pick("", pool.name, note=rotation.closed)
        can, inner = self._candidates(pool, rotation, ask, above)
        if can.nobody:
            return self._nobody(pool, rotation, can, "" if self._silent else wording.nobody(pool, can))
        chosen = self._choose(pool, rotation, can, ask, inner)
        if isinstance(chosen, str):
            return self._nobody(pool, rotation, can, chosen)
        n, bond = chosen
        person = rotation.people[n]
        members = () if self._silent else wording.views(pool, rotation, n, can)
        value = number_at(pool.value, ask.facts) if pool.value else 0.0
        turn = (rotation, n, can.among)
        if person in inner:
            found = inner[person]
            note = f"by its member {person}: {found.note}"
            turns, bond = (turn, *found.turns), bond or found.bond
            return Pick(found.person, pool.name, turns, members, note, "is next in", bond, value, found.queue)
        if self._silent:
            return Pick(person, pool.name, (turn,), bond=bond, value=value)
        note = wording.note(pool, rotation, n, can, members)
        seen = self.seen[pool.name, rotation.kind]
        before = self._directory.name(seen.bond) if seen.bond and bond is None else ""
        how = wording.how(pool, seen.key, before, theirs=seen.bond == person)
        return Pick(person, pool.name, (turn,), members, note, how, bond, value)

    def _nobody(self, pool: Pool, rotation: Rotation, can: Candidates, why: str) -> Pick:
        members = () if self._silent else wording.views(pool, rotation, None, can)
        return Pick("", pool.name, (), members, why)

    def _note_seen(self, pool: Pool, rotation: Rotation, ask: Ask) -> None:
        key = methods.bond_key(pool, ask.account, ask.contact) if pool.sticky else ""
        bond = self.bonds.get((pool.name, key), "") if key else ""
        self.seen[pool.name, rotation.kind] = PoolSeen(pool.name, rotation.kind, rotation.seq, key, bond)

    def _candidates(
        self, pool: Pool, rotation: Rotation, ask: Ask, above: tuple[str, ...]
    ) -> tuple[Candidates, Mapping[str, Pick]]:
        """Who can have this lead, and whom the pools within would give it to."""
        within = self._index.inner(pool)
        if not within and not ask.exclude:  # as nearly always
            return self._index.candidates(pool, rotation, ask, _NOTHING), _WITHIN
        barred: dict[str, str] = {}
        for person in ask.exclude:
            if person in rotation.number:
                barred[person] = self._directory.had_it(person, ask.system, never=person in ask.refused)
        inner: dict[str, Pick] = {}
        for member in within:
            if member.who in above or not rotation.is_in(member.key):
                continue
            found = self.within(member.who, ask, above)
            if found.person or found.queue:
                inner[member.key] = found
            else:
                barred[member.key] = found.note
        return self._index.candidates(pool, rotation, ask, barred), inner

    def why_not(self, name: str, ask: Ask) -> str:
        """Why a member of a queue (``ask.claim``) cannot claim a record out of it, in words; "" when they can."""
        pool = self.policy.pools[name]
        rotation = self.rotation(pool, methods.kind_of(pool, ask), ask.now)
        return rotation.closed or _cannot(rotation, self._candidates(pool, rotation, ask, ())[0], ask.claim)

    def within(self, name: str, ask: Ask, above: tuple[str, ...]) -> Pick:
        """Who of a pool within another gets this lead, or of the pools that it overflows into (but for those being asked already), or
        which queue at the end of these."""
        notes: list[str] = []
        queue = ""
        while name and name not in above:
            above = (*above, name)
            found = self._pick(self.policy.pools[name], ask, above)
            notes.append(found.note)
            if found.person or found.queue:
                return replace(found, note="; ".join(notes))
            queue, name = self.policy.pools[name].overflow_queue, self.policy.pools[name].overflow
        if queue and (ask.system == FILE or ask.system in self.policy.queues[queue]):
            return Pick("", "", note="; ".join([*notes, f"it goes to the queue {queue}"]), queue=queue)
        return Pick("", "", note="; ".join(notes))

    def _choose(
        self, pool: Pool, rotation: Rotation, can: Candidates, ask: Ask, inner: Mapping[str, Pick]
    ) -> tuple[int, tuple[str, str, str] | None] | str:
        among = can.among
        if pool.method == "pull":
            if not ask.claim:
                return f"it waits in the queue {pool.name} until somebody claims it"
            why = _cannot(rotation, can, ask.claim)
            if why:
                return f"{self._directory.name(ask.claim)} cannot claim it now: {why}"
            return rotation.number[ask.claim], None
        if pool.method == "sticky":
            return self._sticky(pool, rotation, among, ask)
        if pool.method == "load balanced":
            return methods.least_loaded(rotation, among), None
        if pool.method == "best fit":

            def score(member: str) -> float:
                return self._score(pool, inner[member].person if member in inner else member, ask)

            return methods.best_fit(rotation, among, score), None
        if pool.value:
            return methods.by_value(rotation, among), None
        return rotation.next(among), None

    def _score(self, pool: Pool, key: str, ask: Ask) -> float:
        """How well that person fits; a pool within fits as well as whoever it gives the lead to, one that gives it to a queue worst."""
        person = self.policy.people.get(key)
        score = None if pool.score is None or person is None else pool.score.of(ask.facts, person, ask.now)
        return -inf if score is None else score

    def _sticky(
        self, pool: Pool, rotation: Rotation, among: Group | None, ask: Ask
    ) -> tuple[int, tuple[str, str, str] | None]:
        """Whose it was gets it again; a new account or contact goes by rendezvous hashing, and stays."""
        key = methods.bond_key(pool, ask.account, ask.contact)
        if not key:
            return rotation.next(among), None
        able = rotation.present() if among is None else among.members
        mine = self.bonds.get((pool.name, key), "")
        n = rotation.number.get(mine, -1)
        if n in able:
            return n, None
        chosen = methods.rendezvous(key, rotation, able)
        # Who is only away keeps the account; who left the pool does not.
        kept = n >= 0 and rotation.why[n] != LEFT
        return chosen, None if kept else (pool.name, key, rotation.people[chosen])


def _cannot(rotation: Rotation, can: Candidates, member: str) -> str:
    n = rotation.number.get(member)
    if n is None:
        return f"not a member of the pool {rotation.pool}"
    if not can.nobody and n in (rotation.present() if can.among is None else can.among.members):
        return ""
    return can.why(member) or "it asks for a skill that others have"
