"""The pool ledger while a batch is settled: rotations with their members as they stand now, and every entry that changes them."""

from __future__ import annotations

from datetime import datetime
from math import fsum
from typing import TYPE_CHECKING, Any

from routing.core.directory import Directory
from routing.core.distribution import wording
from routing.core.distribution.attendance import Attendance, Stand
from routing.core.distribution.candidates import Index
from routing.core.distribution.entries import CLAIMS, COUNTED, LEFT, PoolEntry, What
from routing.core.distribution.rotation import Rotation

if TYPE_CHECKING:
    from rules.policy import Policy
    from rules.pools.model import Pool

Key = tuple[str, str]  # pool, kind


class PoolLedger:
    """Working state. With ``attendance`` members come and go by the clock; without, all stand as recorded: that is a replay.

    ``entries`` is what happened to the ``rotations``, to be stored with the batch. ``returned`` has by pool, kind and turn the newest
    entry that gave that turn back, or took it again: of those that may be given back now.
    """

    def __init__(
        self,
        policy: Policy,
        directory: Directory,
        attendance: Attendance | None = None,
        rotations: dict[Key, Rotation] | None = None,
    ) -> None:
        self.policy, self._directory, self._attendance = policy, directory, attendance
        self.rotations: dict[Key, Rotation] = {} if rotations is None else rotations
        self.entries: list[PoolEntry] = []
        self.returned: dict[tuple[str, str, str], PoolEntry] = {}
        self._index = Index(policy, directory) if attendance is None else attendance.index

    @property
    def replayed(self) -> bool:
        """Whether everything that happened is recorded already."""
        return self._attendance is None

    def enter(self, rotation: Rotation, person: str, what: What, at: datetime, **more: Any) -> None:
        """Adds an entry to a rotation, and takes it in."""
        seq = rotation.seq + 1
        if what in CLAIMS:
            more["among"] = rotation.bearers(rotation.number[person])
        self._add(
            rotation,
            PoolEntry(pool=rotation.pool, kind=rotation.kind, seq=seq, person=person, what=what, at=at, **more),
        )

    def _add(self, rotation: Rotation, entry: PoolEntry) -> None:
        rotation.apply(entry)
        self.entries.append(entry)
        if entry.turn:
            self.returned[entry.pool, entry.kind, entry.turn] = entry
        if self._attendance is not None and entry.what in COUNTED:
            given = self._attendance.given.get(rotation.pool)
            if given is not None:
                given.add(entry)
            self._attendance.look_again(entry.person, sure=entry.what != "assigned")

    def rotation(self, pool: Pool, kind: str, now: datetime) -> Rotation:
        """The rotation of that kind, its members as they stand now."""
        key = pool.name, kind
        rotation = self.rotations.get(key)
        if rotation is None:
            rotation = self.rotations[key] = Rotation(pool.name, kind)
        if self._attendance is None:
            return rotation
        for person, stand in self._attendance.changes(pool, rotation, now):
            self._stand(pool, rotation, person, stand, now)
        if pool.caps:
            closed = self._attendance.closed(pool, rotation, now)
            if closed != rotation.closed:
                self.enter(rotation, "", "closed", now, why=closed)
        if pool.method == "load balanced":
            self._loads(pool, rotation, now)
        return rotation

    def _stand(self, pool: Pool, rotation: Rotation, person: str, stand: Stand | None, now: datetime) -> None:
        n = rotation.number.get(person)
        before = "out" if n is None else rotation.state[n]
        if stand is None:
            self._gone(rotation, person, now)
        elif stand.why:
            what: What = "full" if stand.full else "left"
            self.enter(rotation, person, what, now, weight=stand.weight, why=stand.why)
        elif before == "in":
            self.enter(rotation, person, "weight", now, weight=stand.weight)
        else:
            # What they are owed is made up for, but nobody is flooded on their return; what was credited by hand is meant to be.
            most = pool.catch_up + max(rotation.granted(n), 0.0) if n is not None else 0.0
            over = max(rotation.claim(n) - most, 0.0) if n is not None else 0.0
            self.enter(rotation, person, "joined", now, weight=stand.weight, leads=-over if over else 0.0)

    def _gone(self, rotation: Rotation, person: str, now: datetime) -> None:
        """Somebody is no member any more: what they were owed, or were ahead by, is let go."""
        n = rotation.number[person]
        if rotation.why[n] != LEFT:
            self.enter(rotation, person, "left", now, weight=rotation.weight[n], why=LEFT)
        if rotation.unsettled(n):
            claim = rotation.claim(n)
            self.enter(rotation, person, "settled", now, leads=-claim, why=wording.settled(claim))

    def _loads(self, pool: Pool, rotation: Rotation, now: datetime) -> None:
        assert self._attendance is not None
        people, loads, within = rotation.people, self._attendance.workload.of(pool.balance), self._index.within(pool)
        now_open = [loads.get(person, 0.0) for person in people]
        for key, names in within.items():
            if key in rotation.number:
                now_open[rotation.number[key]] = fsum([loads.get(name, 0.0) for name in names])
        if now_open != rotation.load:  # nearly always of one or two
            for n in [n for n, load in enumerate(now_open) if load != rotation.load[n]]:
                self.enter(rotation, people[n], "load", now, leads=now_open[n])
