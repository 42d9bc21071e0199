"""The pools outside of the loop: to be looked at, tried out, and corrected by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection

from routing.core.availability.people import Availability
from routing.core.directory import FILE, Directory
from routing.core.distribution.ask import Ask
from routing.core.distribution.attendance import Attendance
from routing.core.distribution.entries import PoolEntry
from routing.core.distribution.methods import kind_of
from routing.core.distribution.pools import Pools
from routing.core.distribution.rotation import Rotation
from routing.core.model import ChangeEvent, derived_id
from routing.ledger import holding, journal, mirror, open_records, people, pools
from routing.ledger.pools import Opened
from routing.ledger.schema import split_ref
from rules.policy import Policy

NEXT = 5
CLAIM = "claim"  # how the tick of a record that somebody claimed is marked


class MemberLine(Struct, frozen=True, kw_only=True):
    """One member as they stand. ``shortfall`` is ideal − assigned. ``credits`` were given by hand or for leads given back."""

    person: str
    name: str
    weight: float
    share: float
    ideal: float
    assigned: int
    shortfall: float
    credits: float
    caps: tuple[str, ...]
    available: bool
    why: str
    until: datetime | None
    next: int


class RotationView(Struct, frozen=True, kw_only=True):
    """One rotation of a pool. ``next`` are the persons of the next leads, if nothing changes; ``because`` says why the first."""

    pool: str
    kind: str
    method: str
    closed: str
    waiting: int
    deviation: float
    members: tuple[MemberLine, ...]
    next: tuple[str, ...]
    because: str
    entries: tuple[PoolEntry, ...]


class Simulated(Struct, frozen=True, kw_only=True):
    """What came of leads that were made up: by member how many, and their ideal of these. ``longest_wait`` is in seconds, ``left``
    how many nobody took, ``worst`` the largest |assigned − ideal| on the way."""

    pool: str
    leads: int
    given: dict[str, int]
    ideal: dict[str, float]
    waited: int
    longest_wait: float
    left: int
    worst: float


class Claimed(Struct, frozen=True):
    """A record that was taken out of a queue, and the event by which it will be decided."""

    ref: str
    event_id: str


class Desk:
    """One look at the pools of the live policy, as of ``now``. With ``locked`` it can be changed: that takes a write transaction."""

    def __init__(
        self, conn: Connection, policy: Policy, names: Iterable[str], now: datetime, *, locked: bool = False
    ) -> None:
        self.conn, self.policy, self.now = conn, policy, now
        records = mirror.people(conn)
        # A CRM whose users are not known yet says nothing against anybody.
        systems = sorted({record.system for record in records})
        self.directory = Directory.build(policy, records)
        available = Availability(policy, people.known(conn, now))
        self.attendance = Attendance(policy, self.directory, available, systems)
        shelf, wanted = pools.Shelf(), pools.closure(policy, names)
        self.opened: Opened = (shelf.take if locked else shelf.look)(conn, policy, wanted, now)
        self.attendance.given = self.opened.given
        self.attendance.workload = open_records.workload(conn, policy, self.directory, wanted)
        self.pools = Pools(policy, self.directory, self.attendance, self.opened.rotations)

    def view(self, name: str, kind: str = "", entries: int = 0) -> RotationView:
        """How a pool stands now."""
        pool = self.policy.pools[name]
        rotation = self.pools.rotation(pool, kind, self.now)
        coming = [] if pool.method in ("pull", "sticky", "best fit") else _coming(rotation, NEXT, self.now)
        turns = {person: turn for turn, person in reversed(list(enumerate(coming, 1)))}
        lines = []
        for place, member in enumerate(pool.members):
            n = rotation.number[member.key]
            claim = rotation.claim(n)
            lines.append(
                MemberLine(
                    person=member.key,
                    name=member.key if member.is_pool else self.directory.name(member.who),
                    weight=rotation.weight[n],
                    share=rotation.weight[n] / rotation.total if rotation.is_in(member.key) else 0.0,
                    ideal=rotation.assigned[n] + claim,
                    assigned=rotation.assigned[n],
                    shortfall=claim,
                    credits=rotation.credits[n],
                    caps=tuple(self.attendance.used(pool, member, kind, self.now)),
                    available=rotation.is_in(member.key),
                    why=rotation.why[n],
                    until=self.attendance.until_of(pool.name, kind, place),
                    next=turns.get(member.key, 0),
                )
            )
        return RotationView(
            pool=name,
            kind=kind,
            method=pool.method,
            closed=rotation.closed,
            waiting=holding.lengths(self.conn).get(name, 0),
            deviation=rotation.deviation(),
            members=tuple(lines),
            next=tuple(coming),
            because=_because(rotation, coming),
            entries=tuple(pools.entries(self.conn, name, entries)) if entries else (),
        )

    def kinds(self, name: str) -> list[str]:
        """The kinds of a pool that have given leads, or may."""
        known = [kind for pool, kind in self.opened.rotations if pool == name]
        return sorted({"", *known, *(kind.name for kind in self.policy.pools[name].kinds)})

    def adjust(self, name: str, kind: str, member: str, leads: float, *, author: str, reason: str) -> Rotation:
        """Gives a member a claim to so many leads more (or, below 0, fewer), as an entry with author and reason."""
        rotation = self.pools.rotation(self.policy.pools[name], kind, self.now)
        what: Any = "credit" if leads > 0 else "debit"
        self.pools.enter(rotation, member, what, self.now, leads=abs(leads), author=author, why=reason)
        pools.save(self.conn, self.opened, self.pools.entries)
        holding.hurry(self.conn, [name], self.now)
        return rotation

    def claim(self, name: str, member: str, record_id: str = "") -> Claimed | None:
        """Takes the next record (or that one) out of a queue for a member: it is decided with the next batch. None when none waits.

        Raises ValueError with the reason when the member cannot claim now.
        """
        pool = self.policy.pools[name]
        rotation = self.pools.rotation(pool, "", self.now)
        n = rotation.number.get(member)
        if pool.method != "pull":
            message = f"nobody claims from the pool {name}: its leads are shared by {pool.method}"
            raise ValueError(message)
        if n is None or rotation.state[n] != "in":
            message = rotation.why[n] if n is not None else f"{self.directory.name(member)} is not in the pool {name}"
            raise ValueError(message)
        waiting = holding.waiting(self.conn, name, 1 if not record_id else 100_000)
        mine = next((one for one in waiting if not record_id or one.ref.endswith(f":{record_id}")), None)
        if mine is None:
            return None
        system, entity, found = split_ref(mine.ref)
        holding.clear(self.conn, [mine.ref])  # nobody else gets it meanwhile
        tick = ChangeEvent(
            event_id=derived_id(CLAIM, mine.ref, member, self.now.isoformat()),
            system=system,
            entity=entity,
            record_id=found,
            kind="tick",
            occurred_at=self.now,
            observed_at=self.now,
            origin=CLAIM,
            values={"claim": member},
        )
        journal.accept(self.conn, [tick], self.now)
        return Claimed(mine.ref, tick.event_id)

    def simulate(
        self, name: str, leads: int, start: datetime, end: datetime, facts: Mapping[str, Any] | None = None
    ) -> Simulated:
        """Gives out made-up leads that come evenly from ``start`` to ``end``, from how the pool stands now. Nothing is stored.

        Who finds nobody waits until somebody is there by the clock, as in the daemon.
        """
        kind = kind_of(self.policy.pools[name], _ask(facts, start, 0.0))
        rotation = self.pools.rotation(self.policy.pools[name], kind, start)
        assigned = dict(zip(rotation.people, rotation.assigned, strict=True))
        ideal = {person: rotation.assigned[n] + rotation.claim(n) for person, n in rotation.number.items()}
        step, waiting, waits = (end - start) / max(leads, 1), deque[datetime](), list[float]()
        worst = 0.0
        for n in range(leads):
            now = start + step * n
            waiting.append(now)
            following: datetime | None = now
            while following is not None:
                now = following
                while waiting and self._give(name, facts, now, (now - waiting[0]).total_seconds()):
                    waits.append((now - waiting.popleft()).total_seconds())
                    worst = max(worst, rotation.deviation())
                soonest = self.attendance.until([name], now) if waiting else None
                following = soonest if soonest is not None and soonest < start + step * (n + 1) else None
            self.pools.entries.clear()
        return Simulated(
            pool=name,
            leads=leads,
            given={who: rotation.assigned[n] - assigned.get(who, 0) for who, n in rotation.number.items()},
            ideal={
                who: rotation.assigned[n] + rotation.claim(n) - ideal.get(who, 0.0)
                for who, n in rotation.number.items()
            },
            waited=sum(seconds > 0 for seconds in waits),
            longest_wait=max(waits, default=0.0),
            left=len(waiting),
            worst=worst,
        )

    def _give(self, name: str, facts: Mapping[str, Any] | None, now: datetime, waited: float) -> bool:
        ask = _ask(facts, now, waited)
        pick = self.pools.pick(name, ask)
        if pick.person:
            self.pools.give(pick, ask)
        return bool(pick.person)


def _ask(facts: Mapping[str, Any] | None, now: datetime, waited: float) -> Ask:
    return Ask(system=FILE, facts=facts or {}, now=now, waited=waited)


def _coming(rotation: Rotation, leads: int, now: datetime) -> list[str]:
    """Who gets the next leads, if nobody comes or goes."""
    copy, found = Rotation.of(rotation.snapshot()), []
    for _ in range(leads if not copy.nobody else 0):
        person = copy.people[copy.next()]
        found.append(person)
        turn = PoolEntry(pool=copy.pool, kind=copy.kind, seq=copy.seq + 1, person=person, what="assigned", at=now)
        copy.apply(turn)
    return found


def _because(rotation: Rotation, coming: list[str]) -> str:
    if not coming:
        return "nobody is in turn"
    n = rotation.number[coming[0]]
    (ideal,) = rotation.ideals([n], None, given=True)
    owed = ideal - rotation.assigned[n]
    return f"with the next lead {owed:.2f} leads behind their share; of those who are behind, first to be a whole one"
