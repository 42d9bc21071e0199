"""The pools outside of the loop: to be looked at, tried out, and corrected by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection

from routing.core.availability.calendars import pools_served_by
from routing.core.availability.people import Availability
from routing.core.directory import FILE, Directory
from routing.core.distribution.ask import Ask, Pick
from routing.core.distribution.attendance import Attendance
from routing.core.distribution.entries import PoolEntry, mask_of
from routing.core.distribution.methods import by_value, kind_of, least_loaded
from routing.core.distribution.pools import Pools
from routing.core.distribution.rotation import Rotation
from routing.core.distribution.workload import Open, counting
from routing.core.model import ChangeEvent, derived_id
from routing.ledger import decisions, holding, journal, mirror, open_records, people, pools
from routing.ledger.holding import Waiting
from routing.ledger.pools import Opened
from routing.ledger.schema import split_ref
from rules.policy import Policy
from rules.pools.model import POOL, Pool

NEXT = 5
_LOOKED_AT = 100  # of those who wait in a queue, for one that a member may claim
_NEVER = datetime.max.replace(tzinfo=UTC)
CLAIM = "claim"  # how the tick of a record that somebody claimed is marked


class MemberLine(Struct, frozen=True, kw_only=True):
    """One member as they stand. ``shortfall`` is ideal − assigned, ``value`` the same in value, where leads have one. ``load`` is what a
    load balanced pool goes by: open leads, or the sum of a field. ``credits`` were given by hand or for leads given back. ``not_for``
    says why they get no leads of single CRMs, by its name, while they are available for those of others."""

    person: str
    name: str
    weight: float
    share: float
    ideal: float
    assigned: int
    shortfall: float
    value: float
    load: float
    credits: float
    caps: tuple[str, ...]
    available: bool
    why: str
    not_for: dict[str, str]
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
    """What came of leads that were made up: by member how many, their ideal of these, and what they were owed before.
    ``longest_wait`` is in seconds, ``left`` how many nobody took. ``overflowed`` went on to ``overflow``, a pool or a queue.

    ``worst`` is the largest |assigned − ideal| on the way; None where leads do not go by turns. ``sticky`` is what the pool keeps
    together, which these leads have none of."""

    pool: str
    leads: int
    given: dict[str, int]
    ideal: dict[str, float]
    owed: dict[str, float]
    waited: int
    longest_wait: float
    left: int
    overflowed: int
    overflow: str
    sticky: str
    worst: float | None


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
        self.systems = sorted({record.system for record in records})
        self.directory = Directory.build(policy, records)
        available = Availability(policy, people.known(conn, now))
        self.attendance = Attendance(policy, self.directory, available, self.systems)
        shelf, wanted = pools.Shelf(), pools.closure(policy, names)
        self.opened: Opened = (shelf.take if locked else shelf.look)(conn, policy, wanted, now)
        self.attendance.given = self.opened.given
        self.attendance.workload = open_records.workload(conn, policy, self.directory, wanted)
        self.pools = Pools(policy, self.directory, self.attendance, self.opened.rotations, silent=True)

    def view(self, name: str, kind: str = "", entries: int = 0) -> RotationView:
        """How a pool stands now."""
        pool = self.policy.pools[name]
        rotation = self.pools.rotation(pool, kind, self.now)
        barred = self._empty(pool, rotation)
        unforeseen = rotation.closed or pool.method in ("pull", "sticky", "best fit")
        coming = [] if unforeseen else _coming(pool, rotation, NEXT, self.now, barred)
        turns = {person: turn for turn, person in reversed(list(enumerate(coming, 1)))}
        lines = []
        for member in pool.members:
            n = rotation.number[member.key]
            claim = rotation.claim(n)
            available = rotation.is_in(member.key) and member.key not in barred
            lines.append(
                MemberLine(
                    person=member.key,
                    name=member.key if member.is_pool else self.directory.name(member.who),
                    weight=rotation.weight[n],
                    share=rotation.weight[n] / rotation.total if rotation.is_in(member.key) else 0.0,
                    ideal=rotation.assigned[n] + claim,
                    assigned=rotation.assigned[n],
                    shortfall=claim,
                    value=rotation.worth(n),
                    load=rotation.load[n],
                    credits=rotation.credits[n],
                    caps=tuple(self.attendance.used(pool, member, kind, self.now)),
                    available=available,
                    why=rotation.why[n] or barred.get(member.key, ""),
                    not_for=self.directory.kept_out(member.who, self.systems)
                    if available and not member.is_pool
                    else {},
                    until=self.attendance.until_of(pool, member, kind, self.now),
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

    def _empty(self, pool: Pool, rotation: Rotation) -> dict[str, str]:
        """The pools within this one that are in turn and have nobody who could take a lead, nor an overflow that has."""
        ask = _ask(None, self.now, 0.0)
        inner = [member for member in pool.members if member.is_pool and rotation.is_in(member.key)]
        found = {member.key: self.pools.within(member.who, ask, (pool.name,)) for member in inner}
        return {
            member.key: f"nobody in the pool {member.who} can take a lead"
            for member in inner
            if not (found[member.key].person or found[member.key].queue)
        }

    def kinds(self, name: str) -> list[str]:
        """The kinds of a pool that have given leads, or may."""
        known = [kind for pool, kind in self.opened.rotations if pool == name]
        return sorted({"", *known, *(kind.name for kind in self.policy.pools[name].kinds)})

    def adjust(
        self,
        name: str,
        kind: str,
        member: str,
        leads: float,
        *,
        author: str,
        reason: str,
        given: datetime | None = None,
    ) -> tuple[Rotation, float]:
        """Gives a member a claim to so many leads more (or, below 0, fewer), as an entry with author and reason; ``given`` is when the
        lead was given that this is for. Returns what they were owed before, too. Raises ValueError where there is nobody whose
        turns it could come out of, or go to."""
        rotation = self.pools.rotation(self.policy.pools[name], kind, self.now)
        n = rotation.number[member]
        before = rotation.claim(n)
        if rotation.bearers(n) == mask_of((n,)):
            who = self.directory.name(member)
            message = f"nobody but {who} has a share of the pool {name}: there are no turns that this could come out of"
            raise ValueError(message)
        what: Any = "credit" if leads > 0 else "debit"
        self.pools.enter(rotation, member, what, self.now, leads=abs(leads), author=author, why=reason, given=given)
        pools.save(self.conn, self.opened, self.pools.entries)
        holding.hurry(self.conn, pools_served_by(self.policy, {member.removeprefix(POOL)}), self.now)
        return rotation, before

    def turn(self, name: str, member: str, record_id: str) -> tuple[str, datetime | None]:
        """Of which kind the lead was to the pool that it gave that member last, and when it gave it (None: that was not kept).

        Raises ValueError where it was given to somebody else, or by another pool.
        """
        records = mirror.load(self.conn, decisions.refs_of(self.conn, record_id)).values()
        for record in records:
            for pool, kind, person in record.turns:
                if (pool, person) == (name, member):
                    return kind, datetime.fromisoformat(record.given_at) if record.given_at else None
        message = f"the lead {record_id} was not last given to {self.directory.name(member)} by the pool {name}"
        raise ValueError(message)

    def claim(self, name: str, member: str, record_id: str = "") -> Claimed | None:
        """Takes the first record that a member may have (or that one) out of a queue: it is decided with the next batch. None when none
        waits.

        Raises ValueError with the reason when the member cannot claim now, or none of those that wait.
        """
        pool = self.policy.pools[name]
        if pool.method != "pull":
            message = f"nobody claims from the pool {name}: its leads are shared by {pool.method}"
            raise ValueError(message)
        if member not in self.pools.rotation(pool, "", self.now).number:
            message = f"{self.directory.name(member)} is not in the pool {name}"
            raise ValueError(message)
        waiting = [
            one
            for one in holding.waiting(self.conn, name, _LOOKED_AT if not record_id else 100_000)
            if not record_id or one.ref.endswith(f":{record_id}")
        ]
        if not waiting:
            return None
        whys = []
        for mine in waiting:
            whys.append(self._why_not(name, member, mine))
            if not whys[-1]:
                break
        else:
            message = (
                whys[0]
                if len(set(whys)) == 1
                else f"none of the {len(whys)} that wait first: {'; '.join(dict.fromkeys(whys))}"
            )
            raise ValueError(message)
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

    def _why_not(self, name: str, member: str, waits: Waiting) -> str:
        """Why a member cannot claim that record, by what it was held with; "" when they can."""
        held, known = decisions.newest_of(self.conn, waits.ref), mirror.load(self.conn, {waits.ref}).get(waits.ref)
        ask = Ask(
            system=split_ref(waits.ref)[0],
            facts=held.facts if held is not None else {},
            now=self.now,
            exclude=frozenset(known.passed if known is not None else ()),
            refused=frozenset(known.never_had if known is not None else ()),
            claim=member,
            waited=max((self.now - waits.since).total_seconds(), 0.0),
        )
        return self.pools.why_not(name, ask)

    def simulate(
        self, name: str, leads: int, start: datetime, end: datetime, facts: Mapping[str, Any] | None = None
    ) -> Simulated:
        """Gives out made-up leads that come evenly from ``start`` to ``end``, from how the pool stands now. Nothing is stored.

        What finds nobody overflows, or waits until somebody is there by the clock, as in the daemon. Leads stay open.
        """
        pool = self.policy.pools[name]
        kind = kind_of(pool, _ask(facts, start, 0.0))
        rotation = self.pools.rotation(pool, kind, start)
        assigned = dict(zip(rotation.people, rotation.assigned, strict=True))
        ideal = {person: rotation.assigned[n] + rotation.claim(n) for person, n in rotation.number.items()}
        owed = {person: rotation.claim(n) for person, n in rotation.number.items()}
        worst, seq, waits, overflowed = rotation.deviation(), rotation.seq, list[float](), 0
        for n, waited in self.turns(name, leads, start, end, facts):
            if n is None:
                overflowed += 1
                continue
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
            owed=owed,
            waited=sum(seconds > 0 for seconds in waits),
            longest_wait=max(waits, default=0.0),
            left=leads - len(waits) - overflowed,
            overflowed=overflowed,
            overflow=_overflow(pool),
            sticky=pool.sticky,
            worst=None if pool.bound is None else worst,
        )

    def turns(
        self, name: str, leads: int, start: datetime, end: datetime, facts: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[int | None, float]]:
        """The turns of a simulation: for each lead the number of the member whose turn it was (None: it overflowed), and for how
        many seconds it waited."""
        overflows, counts = bool(_overflow(self.policy.pools[name])), counting(self.policy)
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
                    if counts:
                        self._opens(pick, facts)
                    yield pick.turns[0][1], waited
                elif overflows:
                    waiting.popleft()
                    yield None, waited
                else:  # until then nobody can take it, nor one that comes meanwhile
                    now = self.pools.until([name], ask) or _NEVER

    def _opens(self, pick: Pick, facts: Mapping[str, Any] | None) -> None:
        """What was given counts as open from now on."""
        lead = (facts or {}).get("lead") or {}
        numbers = {name: float(value) for name, value in lead.items() if type(value) in (int, float)}
        kinds = tuple([(pool, kind) for pool, kind, _ in pick.named if kind])
        self.attendance.workload.add(Open(FILE, pick.person, numbers, kinds))
        self.attendance.look_again(pick.person, sure=True)


def _overflow(pool: Pool) -> str:
    return (
        f"the pool {pool.overflow}"
        if pool.overflow
        else f"the queue {pool.overflow_queue}"
        if pool.overflow_queue
        else ""
    )


def _ask(facts: Mapping[str, Any] | None, now: datetime, waited: float) -> Ask:
    return Ask(system=FILE, facts=facts or {}, now=now, waited=waited)


def _coming(pool: Pool, rotation: Rotation, leads: int, now: datetime, barred: Collection[str]) -> list[str]:
    """Who gets the next leads, if nobody comes or goes, and all may have them who are not ``barred``."""
    copy, found = Rotation.of(rotation.snapshot()), []
    able = [n for n in copy.present() if copy.people[n] not in barred]
    among = copy.group(able) if barred and able else None
    mask = "" if among is None else among.mask
    for seq in range(copy.seq + 1, copy.seq + 1 + leads if able else 0):
        n = (
            least_loaded(copy, among)
            if pool.method == "load balanced"
            else by_value(copy, among)
            if pool.value
            else copy.next(among)
        )
        person = copy.people[n]
        found.append(person)
        copy.apply(
            PoolEntry(pool=copy.pool, kind=copy.kind, seq=seq, person=person, what="assigned", at=now, among=mask)
        )
    return found


def _because(pool: Pool, rotation: Rotation, coming: list[str]) -> str:
    if not coming:
        return rotation.closed or "nobody is in turn"
    n = rotation.number[coming[0]]
    if pool.method == "load balanced":
        what = f"the sum of {pool.balance} over open leads" if pool.balance else "the number of open leads"
        return f"who has least to do: {what} is {rotation.load[n]:g}, for a weight of {rotation.weight[n]:g}"
    (ideal,) = rotation.ideals([n], None, given=True)
    said = f"with the next lead their fair share is {ideal:.2f}; given so far: {rotation.assigned[n]}"
    return (
        f"{said}; of those who are not too far from theirs, furthest behind in value (among equals, in turn)"
        if pool.value
        else said
    )
