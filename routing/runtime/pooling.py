"""The pools outside of the loop: to be looked at, tried out, and corrected by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection

from routing.core.availability.people import Availability
from routing.core.directory import FILE, Directory
from routing.core.distribution.ask import Ask
from routing.core.distribution.attendance import Attendance
from routing.core.distribution.entries import PoolEntry
from routing.core.distribution.methods import by_value, kind_of, least_loaded
from routing.core.distribution.pools import Pools
from routing.core.distribution.rotation import Rotation
from routing.core.model import ChangeEvent, derived_id
from routing.ledger import holding, journal, mirror, open_records, people, pools
from routing.ledger.pools import Opened
from routing.ledger.schema import split_ref
from rules.policy import Policy
from rules.pools.model import Pool

NEXT = 5
_NEVER = datetime.max.replace(tzinfo=UTC)
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
    """One rotation of a pool. ``next`` are the persons of the next leads, if nothing changes; ``because`` says why the first.

    ``deviation`` is the largest |assigned − ideal| of anybody, ``bound`` from where on it is told (``rules.pools.model.Pool.bound``).
    """

    pool: str
    kind: str
    method: str
    closed: str
    waiting: int
    deviation: float
    bound: float | None
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
        self.pools = Pools(policy, self.directory, self.attendance, self.opened.rotations, silent=True)

    def view(self, name: str, kind: str = "", entries: int = 0) -> RotationView:
        """How a pool stands now."""
        pool = self.policy.pools[name]
        rotation = self.pools.rotation(pool, kind, self.now)
        coming = [] if pool.method in ("pull", "sticky", "best fit") else _coming(pool, rotation, NEXT, self.now)
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
            bound=pool.bound,
            members=tuple(lines),
            next=tuple(coming),
            because=_because(pool, rotation, coming),
            entries=tuple(pools.entries(self.conn, name, entries, kind=kind)) if entries else (),
        )

    def kinds(self, name: str) -> list[str]:
        """The kinds of a pool that have given leads, or may."""
        known = [kind for pool, kind in self.opened.rotations if pool == name]
        return sorted({"", *known, *(kind.name for kind in self.policy.pools[name].kinds)})

    def adjust(
        self, name: str, kind: str, member: str, leads: float, *, author: str, reason: str
    ) -> tuple[Rotation, float]:
        """Gives a member a claim to so many leads more (or, below 0, fewer), as an entry with author and reason. Returns what they
        were owed before, too."""
        rotation = self.pools.rotation(self.policy.pools[name], kind, self.now)
        before = rotation.claim(rotation.number[member])
        what: Any = "credit" if leads > 0 else "debit"
        self.pools.enter(rotation, member, what, self.now, leads=abs(leads), author=author, why=reason)
        pools.save(self.conn, self.opened, self.pools.entries)
        holding.hurry(self.conn, [name], self.now)
        return rotation, before

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
        worst, seq, waits = 0.0, rotation.seq, list[float]()
        for n, waited in self.turns(name, leads, start, end, facts):
            # Where somebody came or went since the last turn all are looked at.
            worst = max(worst, rotation.deviation_after(n) if rotation.seq == seq + 1 else rotation.deviation())
            seq = rotation.seq
            waits.append(waited)
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
            left=leads - len(waits),
            worst=worst,
        )

    def turns(
        self, name: str, leads: int, start: datetime, end: datetime, facts: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[int, float]]:
        """The turns of a simulation: for each lead given the number of the member whose turn it was, and for how many seconds it waited."""
        step, waiting, now = (end - start) / max(leads, 1), deque[datetime](), start
        for n in range(leads):
            come = start + step * n
            waiting.append(come)
            now, following = max(now, come), start + step * (n + 1)
            while waiting and now < following:
                waited = (now - waiting[0]).total_seconds()
                ask = _ask(facts, now, waited)
                pick = self.pools.pick(name, ask)
                if pick.turns:
                    self.pools.give(pick, ask)
                    self.pools.entries.clear()
                    waiting.popleft()
                    yield pick.turns[0][1], waited
                else:  # until then nobody can take it, nor one that comes meanwhile
                    now = self.pools.until([name], ask) or _NEVER


def _ask(facts: Mapping[str, Any] | None, now: datetime, waited: float) -> Ask:
    return Ask(system=FILE, facts=facts or {}, now=now, waited=waited)


def _coming(pool: Pool, rotation: Rotation, leads: int, now: datetime) -> list[str]:
    """Who gets the next leads, if nobody comes or goes, and all may have them."""
    copy, found = Rotation.of(rotation.snapshot()), []
    for _ in range(leads if not copy.nobody else 0):
        n = (
            least_loaded(copy, None)
            if pool.method == "load balanced"
            else by_value(copy, None)
            if pool.value
            else copy.next()
        )
        person = copy.people[n]
        found.append(person)
        turn = PoolEntry(pool=copy.pool, kind=copy.kind, seq=copy.seq + 1, person=person, what="assigned", at=now)
        copy.apply(turn)
    return found


def _because(pool: Pool, rotation: Rotation, coming: list[str]) -> str:
    if not coming:
        return "nobody is in turn"
    n = rotation.number[coming[0]]
    if pool.method == "load balanced":
        what = f"the sum of {pool.balance} over open leads" if pool.balance else "the number of open leads"
        return f"who has least to do: {what} is {rotation.load[n]:g}, for a weight of {rotation.weight[n]:g}"
    (ideal,) = rotation.ideals([n], None, given=True)
    said = f"with the next lead their fair share is {ideal:.2f}; given so far: {rotation.assigned[n]}"
    return f"{said}; of those who are not too far from theirs, furthest behind in value" if pool.value else said
