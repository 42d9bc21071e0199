"""Who of a pool is in turn now: the one place where everything that keeps somebody from receiving leads is put together.

In order: the weight, the roster, what the CRMs say of their users, hours and time off (``routing.core.availability``), caps. What
comes of it goes into the pool ledger as entries, so that a decision can be made again without asking any of these.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from msgspec import Struct

from routing.core.availability.calendars import zone_of
from routing.core.availability.people import HERE, Availability, State
from routing.core.directory import Directory
from routing.core.distribution.candidates import Index
from routing.core.distribution.caps import AT_MOST, Given, full, used
from routing.core.distribution.entries import LEFT
from routing.core.distribution.rotation import Rotation
from routing.core.distribution.workload import Workload, open_of
from routing.core.model import Record
from rules.pools.checks import people_of
from rules.pools.model import POOL

if TYPE_CHECKING:
    from rules.policy import Policy
    from rules.pools.model import Cap, Member, Pool

_NEVER = datetime.max.replace(tzinfo=UTC)
_NOWHERE: Mapping[tuple[str, str], int] = {}
_NOTHING: tuple[tuple[str, Stand | None], ...] = ()


class Stand(Struct, frozen=True, gc=False):
    """How a member stands from now on. ``full`` when a cap keeps them out; ``until``: when that may change, by the clock."""

    weight: float
    why: str
    full: bool
    until: datetime


class _Checks:
    """When each member of a rotation is to be looked at again."""

    def __init__(self, rotation: Rotation) -> None:
        self.rotation = rotation
        self.at: datetime | None = None
        self.again: list[tuple[datetime, int]] = []
        self.due: dict[int, datetime] = {}
        self.closed_until: datetime | None = None

    def put(self, place: int, until: datetime) -> None:
        if self.due.get(place) != until:
            self.due[place] = until
            if until < _NEVER:
                heapq.heappush(self.again, (until, place))


class Attendance:
    """Built anew when the policy, a person of a CRM or somebody's absence changed; else kept, for it remembers what is due when.

    ``systems`` are the CRMs in which people need a user; with ``hours`` false working hours are not asked. ``given`` by pool and
    ``workload`` are what caps count; both are the caller's to keep true.
    """

    def __init__(
        self,
        policy: Policy,
        directory: Directory,
        availability: Availability | None,
        systems: Iterable[str],
        *,
        hours: bool = True,
    ) -> None:
        self._policy, self._directory, self._availability = policy, directory, availability
        self._systems, self._hours = tuple(systems), hours
        self.index = Index(policy, directory)
        self.given: dict[str, Given] = {}
        self.workload = Workload(policy, directory)
        self._checks: dict[tuple[str, str], _Checks] = {}
        self._capped_in: dict[str, dict[tuple[str, str], int]] = {}  # by member with caps: their place in each rotation
        self._zones: dict[str, tzinfo] = {}
        self._caps: dict[tuple[str, str], tuple[tuple[Cap, bool], ...]] = {}

    def changes(self, pool: Pool, rotation: Rotation, now: datetime) -> Sequence[tuple[str, Stand | None]]:
        """Which members stand otherwise now than the rotation has it; None for one who is no member any more.

        Only those are looked at for whom something may have changed since the last time.
        """
        key = rotation.pool, rotation.kind
        checks = self._checks.get(key)
        if checks is None or checks.rotation is not rotation:
            checks = self._checks[key] = _Checks(rotation)
            for place, member in enumerate(pool.members):
                if self._caps_of(pool, member):
                    self._capped_in.setdefault(member.key, {})[key] = place
        if checks.at is not None and checks.at <= now and not (checks.again and checks.again[0][0] <= now):
            checks.at = now  # as nearly always: nothing is due
            return _NOTHING
        members = pool.members
        found: list[tuple[str, Stand | None]] = []
        if checks.at is None or now < checks.at:
            due: Iterable[int] = range(len(members))
            checks.again.clear()
            checks.due.clear()
            known = {member.key for member in members}
            for number, person in enumerate(rotation.people):
                if person not in known and (rotation.why[number] != LEFT or rotation.unsettled(number)):
                    found.append((person, None))
        else:
            due = self._due(checks, now)
        checks.at = now
        for place in due:
            member = members[place]
            stand = self.stand(pool, member, rotation.kind, now)
            checks.put(place, stand.until)
            n = rotation.number.get(member.key)
            if n is None or rotation.weight[n] != stand.weight or rotation.why[n] != stand.why:
                found.append((member.key, stand))
        return found

    @staticmethod
    def _due(checks: _Checks, now: datetime) -> list[int]:
        found = []
        while checks.again and checks.again[0][0] <= now:
            until, place = heapq.heappop(checks.again)
            if checks.due.get(place) == until:
                del checks.due[place]
                found.append(place)
        return found

    def look_again(self, person: str, *, sure: bool = False) -> None:
        """Something was counted for that person: where a cap may be full by that (or, ``sure``, no longer is), they are looked at."""
        for key, place in self._capped_in.get(person, _NOWHERE).items():
            checks, pool = self._checks[key], self._policy.pools[key[0]]
            if checks.at is not None and (sure or self._may_be_full(pool, pool.members[place], checks.at)):
                checks.put(place, checks.at)

    def _may_be_full(self, pool: Pool, member: Member, now: datetime) -> bool:
        """Quick to say no."""
        for cap, across in self._caps_of(pool, member):  # noqa: SIM110 - asked for each lead given
            if self._is_near(pool, member.key, cap, across, now):
                return True
        return False

    def _is_near(self, pool: Pool, person: str, cap: Cap, across: bool, now: datetime) -> bool:
        """Whether the cap may be full: with so many leads lately as now, it could be."""
        if cap.per == "open":
            return True
        times = self._times(pool, person, cap, across)
        return len(times) >= cap.leads and (not cap.leads or times[-cap.leads] >= now - AT_MOST[cap.per])

    def count(self, workload: Workload) -> None:
        """Takes in what is open by now, and looks again at whoever has more or less than before."""
        changed = workload.differs(self.workload)
        self.workload = workload
        for person in sorted(changed):
            self.look_again(person)

    def moved(self, before: Record | None, after: Record) -> set[str]:
        """A record changed, and with it perhaps whose open work it is. Returns who has less than before."""
        was, now = None if before is None else open_of(before, self._policy), open_of(after, self._policy)
        if was == now:
            return set()
        less, more = self.workload.add(was, -1), self.workload.add(now)
        for person in {less, more} - {""}:
            self.look_again(person)
        return {less} - {more, ""}

    def until(self, pools: Iterable[str], now: datetime) -> datetime | None:
        """When somebody of these pools may be able to receive a lead who cannot now, by the clock; None when nobody can say."""
        found = [
            until
            for (name, _), checks in self._checks.items()
            if name in pools
            for until in (*checks.due.values(), *([checks.closed_until] if checks.closed_until else ()))
            if now < until < _NEVER
        ]
        return min(found, default=None)

    def away(self, person: str, now: datetime) -> State:
        """How it is with somebody, whatever pool they are in."""
        return HERE if self._availability is None else self._availability.of(person, now, hours=self._hours)

    def back(self, person: str, now: datetime) -> datetime | None:
        """When somebody who is away may be there again, by the clock."""
        state = self.away(person, now)
        return state.until if state.why is not None else None

    def until_of(self, pool: Pool, member: Member, kind: str, now: datetime) -> datetime | None:
        """Until when what keeps that member away holds, by the clock; None when nothing does, or nobody can say."""
        stand = self.stand(pool, member, kind, now)
        until: datetime | None = stand.until
        if stand.full:  # whatever comes sooner (the end of their day) does not make room
            ends = [found[1] for found in self._full_caps(pool, member, kind, now)]
            until = None if None in ends else max([end for end in ends if end is not None])
        return until if stand.why and until is not None and until < _NEVER else None

    def caps(self, pool: Pool, key: str, kind: str) -> list[Cap]:
        """The caps that count a lead of that kind which the member with that key is given: their own, and those of the whole pool."""
        [member] = [one for one in pool.members if one.key == key]
        caps = [*pool.caps, *(cap for cap, _ in self._caps_of(pool, member))]
        return [cap for cap in caps if cap.kind in ("", kind)]

    def used(self, pool: Pool, member: Member, kind: str, now: datetime) -> list[str]:
        """How far each of the member's caps is used: ``3 of 10 this day``."""
        found = []
        for cap, across in self._caps_of(pool, member):
            if cap.kind in ("", kind):
                times = self._times(pool, member.key, cap, across)
                found.append(used(cap, times, self._open(pool, member.key, cap), now, self._zone(member.key)))
        return found

    def closed(self, pool: Pool, rotation: Rotation, now: datetime) -> str:
        """Why the whole pool takes nothing now: one of its own caps is full. "" when it takes leads."""
        given = self.given.get(pool.name) or Given()
        for cap in pool.caps:
            if cap.kind and cap.kind != rotation.kind:
                continue
            load = 0.0
            if cap.per == "open":
                everybody = dict.fromkeys(who for who, _ in people_of(pool, self._policy.pools))
                load = sum(self._open(pool, who, cap) for who in everybody)
            found = full(cap, given.of_all(cap.kind), load, now, zone_of(pool.time_zone), together=True)
            if found is not None:
                checks = self._checks.get((rotation.pool, rotation.kind))
                if checks is not None:
                    checks.closed_until = found[1]
                who = f"the people of the pool {pool.name}" if cap.per == "open" else f"the pool {pool.name}"
                return f"{who} {found[0]}"
        return ""

    def stand(self, pool: Pool, member: Member, kind: str, now: datetime) -> Stand:
        """How a member stands at that moment."""
        weight, until = self._weight(member, now)
        if weight <= 0:
            return Stand(0.0, f"{self._directory.name(member.key)} has the weight 0: gets no leads", False, until)
        if member.is_pool:
            return self._capped(pool, member, kind, now, weight, until)
        why = self._standing(member.who)
        if why is not None:
            return Stand(weight, why, False, _NEVER)
        if self._availability is not None:
            absent = self._availability.of(member.who, now, hours=pool.hours and self._hours)
            until = min(until, absent.until or _NEVER)
            if absent.why is not None:
                return Stand(weight, absent.why, False, until)
        return self._capped(pool, member, kind, now, weight, until)

    def _capped(self, pool: Pool, member: Member, kind: str, now: datetime, weight: float, until: datetime) -> Stand:
        for why, end in self._full_caps(pool, member, kind, now):
            return Stand(weight, f"{self._directory.name(member.key)} {why}", True, min(until, end or _NEVER))
        return Stand(weight, "", False, until)

    def _full_caps(self, pool: Pool, member: Member, kind: str, now: datetime) -> Iterator[tuple[str, datetime | None]]:
        """Each of the member's caps that lets nothing in, and until when."""
        for cap, across in self._caps_of(pool, member):
            if (cap.kind and cap.kind != kind) or not self._is_near(pool, member.key, cap, across, now):
                continue
            times, load = self._times(pool, member.key, cap, across), self._open(pool, member.key, cap)
            found = full(cap, times, load, now, self._zone(member.key))
            if found is not None:
                yield found

    def _times(self, pool: Pool, person: str, cap: Cap, across: bool) -> list[datetime]:
        if cap.per == "open":
            return []
        if not across:
            given = self.given.get(pool.name)
            return given.of(person, cap.kind) if given is not None else []
        return sorted(at for given in self.given.values() for at in given.of(person, cap.kind))

    def _open(self, pool: Pool, person: str, cap: Cap) -> float:
        return self.workload.of_kind(pool.name, cap.kind).get(person, 0.0) if cap.per == "open" else 0.0

    def _caps_of(self, pool: Pool, member: Member) -> tuple[tuple[Cap, bool], ...]:
        """The member's caps in this pool, and (True) those of the person, which count leads out of every pool. A pool has but its own."""
        key = pool.name, member.key
        found = self._caps.get(key)
        if found is None:
            person = None if member.is_pool else self._policy.people.get(member.who)
            own = [(cap, False) for cap in member.caps or (() if member.is_pool else pool.member_caps)]
            across = [(cap, True) for cap in (person.caps if person is not None else ())]
            found = self._caps[key] = (*own, *across)
        return found

    def _weight(self, member: Member, now: datetime) -> tuple[float, datetime]:
        """The weight that counts today, and when that may change: the ramp of somebody new grows at their midnight."""
        person = None if member.is_pool else self._policy.people.get(member.who)
        ramp = member.ramp or (None if person is None else person.ramp)
        if ramp is None or person is None or not person.start_date:
            return member.weight, _NEVER
        zone = self._zone(member.who)
        start = date.fromisoformat(person.start_date)
        days = (now.astimezone(zone).date() - start).days
        following = next((first for first, _ in ramp.steps if first > days), None)
        until = _NEVER
        if following is not None:
            day = start + timedelta(days=following)
            until = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        return member.weight * ramp.factor(days), until

    def _standing(self, person: str) -> str | None:
        """What keeps them out in every CRM alike; what only one of these says is asked lead by lead."""
        reasons = [self._directory.standing(person, system) for system in self._systems]
        return reasons[0] if reasons and None not in reasons else None

    def _zone(self, key: str) -> tzinfo:
        """Whose calendar a member's caps go by: a person's own, or that of the pool that is the member."""
        zone = self._zones.get(key)
        if zone is None:
            known = (
                self._policy.pools.get(key.removeprefix(POOL)) if key.startswith(POOL) else self._policy.people.get(key)
            )
            zone = self._zones[key] = zone_of(known.time_zone if known is not None else "")
        return zone
