"""The pools of a replay: as decisions found them, or, under another policy, as they would have stood."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from routing.core.availability.people import Availability
from routing.core.directory import Directory
from routing.core.distribution.attendance import Attendance
from routing.core.distribution.caps import Given
from routing.core.distribution.entries import PoolEntry
from routing.core.distribution.pool_ledger import Key
from routing.core.distribution.pools import Pools
from routing.core.distribution.rotation import Rotation
from routing.core.evidence import Evidence
from routing.ledger import people, pools
from rules.policy import Policy
from rules.pools.model import Pool


class CannotSay(Exception):
    """A decision cannot be made again; ``args[0]`` says why."""


class RecordedPools:
    """The pools as decisions found them, asked for one after the other."""

    def __init__(self) -> None:
        self._history = pools.History()

    def found(self, conn: Connection, kept: Evidence) -> dict[Key, Rotation]:
        """Copies. Raises CannotSay when the pool ledger does not have them."""
        standing: dict[Key, Rotation] = {}
        for seen in (one for one in kept.pools if one.pool):
            found = self._history.at(conn, seen.pool, seen.kind, seen.seq)
            if found is None:
                raise CannotSay(f"the entries of the pool {seen.pool} are not all in the ledger")
            standing[seen.pool, seen.kind] = found
        return standing

    def is_so(self, conn: Connection, rotation: Rotation) -> bool:
        """Whether the pool stood like this after as many entries."""
        found = self._history.at(conn, rotation.pool, rotation.kind, rotation.seq)
        return found is not None and found.snapshot() == rotation.snapshot()


class TrialPools:
    """The pools while a replay decides by another policy.

    Each stands as it was recorded until the replay gives a lead otherwise; from then on it goes on from where the replay left it
    (``_left``). Caps count the leads that were given before, and those that the replay gave. What people had open at a time is kept
    of load-balanced pools only (``Rotation.load``): caps on open leads count nothing here.
    """

    def __init__(self, policy: Policy, recorded: RecordedPools) -> None:
        self._policy, self._recorded = policy, recorded
        self._rotations: dict[Key, Rotation] = {}
        self._left: set[str] = set()
        self._counted: dict[str, _Counted] = {}

    def open(self, conn: Connection, kept: Evidence, made_by: str, directory: Directory) -> Pools:
        """The pools for the next decision. Where they stand as they did then, and the policy of the digest ``made_by`` is this one, it is
        made as it was (``Pools.replayed``). Raises CannotSay."""
        standing, bonds = self._recorded.found(conn, kept), bonds_of(kept)
        concerned = pools.closure(self._policy, {name for name, _ in standing})
        if made_by == self._policy.digest and not concerned & self._left:
            self._rotations |= standing
            return Pools(self._policy, directory, None, standing, bonds)
        for key, rotation in standing.items():
            if key[0] in self._left:
                own = self._rotations.setdefault(key, rotation)
                _take_loads(own, rotation, self._policy.pools.get(key[0]), kept.at)
            else:
                self._rotations[key] = rotation
        systems = sorted({system for entity in self._policy.entities.values() for system in entity.remote})
        available = Availability(self._policy, people.known_then(conn, kept.at))
        attendance = Attendance(self._policy, directory, available, systems)
        attendance.given = self._given(conn, kept)
        return _TrialPools(self._policy, directory, attendance, self._rotations, bonds)

    def _given(self, conn: Connection, kept: Evidence) -> dict[str, Given]:
        """What caps count, by pool: of those that stand as recorded what the ledger has until then."""
        for name in pools.capped(self._policy):
            counted = self._counted.setdefault(name, _Counted())
            if name not in self._left:
                seen = {one.kind: one.seq for one in kept.pools if one.pool == name}
                counted.follow(conn, name, seen, kept.at)
        return {name: one.given for name, one in self._counted.items()}

    def settled(self, conn: Connection, kept: Evidence, working: Pools, same: bool) -> None:
        """A decision was made out of ``working``; ``same``: it is the recorded one. Looks which pools stand otherwise by now than they
        did then."""
        asked = {(one.pool, one.kind) for one in working.seen.values() if one.pool}
        for key in asked | {(one.pool, one.kind) for one in kept.pools if one.pool}:
            if key[0] in self._left:
                continue
            rotation = self._rotations.get(key)
            if not same or rotation is None or not self._recorded.is_so(conn, rotation):
                self._left.add(key[0])
        for name, kind in asked:
            if name in self._counted:  # ``working`` counted what it gave
                self._counted[name].upto[kind] = self._rotations[name, kind].seq


class _Counted:
    """The leads of a pool that caps count, and up to which entry of each kind."""

    def __init__(self) -> None:
        self.given, self.upto = Given(), dict[str, int]()

    def follow(self, conn: Connection, name: str, seen: Mapping[str, int], at: datetime) -> None:
        for entry in pools.counted_until(conn, name, self.upto, seen, at):
            self.given.add(entry)
            self.upto[entry.kind] = max(entry.seq, self.upto.get(entry.kind, 0))
        self.upto |= seen


class _TrialPools(Pools):
    def _loads(self, pool: Pool, rotation: Rotation, now: datetime) -> None:
        """What people have open stands as recorded, and grows by what they are given."""


def bonds_of(kept: Evidence) -> dict[tuple[str, str], str]:
    """Whose accounts and contacts were, by pool and key, and what else the decision was told of its pools."""
    return {(seen.pool, seen.key): seen.bond for seen in kept.pools if seen.bond}


def _take_loads(own: Rotation, recorded: Rotation, pool: Pool | None, at: datetime) -> None:
    """What was open by then, with what the replay gave more, or less."""
    if pool is None or pool.method != "load balanced":
        return
    for person, m in recorded.number.items():
        n = own.number.get(person)
        if n is None:
            continue
        more = 0 if pool.balance else own.assigned[n] - recorded.assigned[m]
        load = max(0.0, recorded.load[m] + more)
        if load != own.load[n]:
            entry = PoolEntry(
                pool=own.pool, kind=own.kind, seq=own.seq + 1, person=person, what="load", at=at, leads=load
            )
            own.apply(entry)


def counts_open(policy: Policy) -> list[str]:
    """The pools in which some cap counts open leads."""
    found = []
    for name, pool in policy.pools.items():
        caps = [*pool.caps, *pool.member_caps]
        for member in pool.members:
            person = None if member.is_pool else policy.people.get(member.who)
            caps += [*member.caps, *(person.caps if person is not None else ())]
        if any(cap.per == "open" for cap in caps):
            found.append(name)
    return found
