"""The calendars of a policy: each person's working hours and holidays, those of a pool's people together, and the named ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date
from functools import cache
from math import inf
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from routing.core.availability.hours import ALWAYS, DAY_MINUTES, Calendar, Joint, Week, Weekly, instant
from rules.pools.checks import people_of, pools_asked
from rules.public_holidays.holidays import holidays

if TYPE_CHECKING:
    from rules.policy import Policy
    from rules.pools.model import Calendar as Named
    from rules.pools.model import Person

_EVERY_DAY: Week = (((0, DAY_MINUTES),),) * 7

# The live policy, the one being tried, and a few that old decisions still refer to. Equal digests are equal policies.
_KEEP = 8
_known: dict[str, Calendars] = {}


def calendars_of(policy: Policy) -> Calendars:
    """The calendars of a policy, from memory when they were asked for before: they remember the days they worked out."""
    found = _known.get(policy.digest)
    if found is None:
        found = Calendars(policy)
        if len(_known) >= _KEEP:
            _known.pop(next(iter(_known)))
        _known[policy.digest] = found
    return found


class Calendars:
    """Calendars by what they belong to. People with the same hours, zone and holidays share one."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._people: dict[str, Calendar] = {}
        self._shared: dict[object, Calendar] = {}
        self._teams: dict[str, Calendar] = {}

    def zone(self, person: str) -> ZoneInfo:
        """The time zone of a person; UTC where ``people.csv`` names none."""
        known = self._policy.people.get(person)
        return zone_of(known.time_zone if known is not None else "")

    def of(self, person: str) -> Calendar:
        """When a person works, holidays left out: always, where nothing is said about them."""
        found = self._people.get(person)
        if found is None:
            known = self._policy.people.get(person)
            found = self._people[person] = ALWAYS if known is None else self._calendar(known)
        return found

    def team(self, pool: str) -> Calendar:
        """Whenever somebody of the pool works; of pools within it too. Always, for a pool that nobody is in."""
        found = self._teams.get(pool)
        if found is None:
            pools = self._policy.pools
            people = sorted({who for who, _ in people_of(pools[pool], pools)}) if pool in pools else []
            found = self._teams[pool] = Joint([self.of(person) for person in people]) if people else ALWAYS
        return found

    def named(self, name: str) -> Calendar:
        """A calendar of ``calendars.yaml``. Raises KeyError for one that is not there."""
        return self._calendar(self._policy.calendars[name])

    def that_count(self, time: str, person: str) -> Calendar:
        """The hours that count for a clock whose ``time`` is ``rep``, ``team NAME``, ``calendar NAME`` or ``always``."""
        kind, _, name = time.partition(" ")
        if kind == "always":
            return ALWAYS
        if kind == "team":
            return self.team(name)
        return self.named(name) if kind == "calendar" else self.of(person)

    def _calendar(self, of: Person | Named) -> Calendar:
        if not (of.hours or of.later or of.holidays or of.closed):
            return ALWAYS
        key = (of.hours, of.later, of.time_zone, of.holidays, tuple(sorted(of.closed.items())))
        found = self._shared.get(key)
        if found is None:
            closed = _closed(of.holidays, of.closed)
            later = [(day, week or _EVERY_DAY) for day, week in of.later]
            found = self._shared[key] = Weekly(of.hours or _EVERY_DAY, zone_of(of.time_zone), closed, later)
        return found


def _closed(places: tuple[str, ...], own: Mapping[date, str]) -> Callable[[date], str]:
    """Names the holiday of a day, a public one with the place that keeps it."""

    def closed(day: date) -> str:
        if day in own:
            return own[day]
        for place in places:
            name = holidays(place, day.year).get(day)
            if name is not None:
                return f"{name} ({place})"
        return ""

    return closed


def pools_served_by(policy: Policy, people: Collection[str]) -> set[str]:
    """The pools whose leads may come to one of these people: those they are in, those that run over into these, and the queues to be
    claimed that all of these run over into, where their leads wait."""
    pools = policy.pools
    mine = {name for name, pool in pools.items() if any(member.who in people for member in pool.members)}
    found = {name for name in pools if not mine.isdisjoint(pools_asked(pools, [name]))}
    while more := {name for name, pool in pools.items() if pool.overflow in found} - found:
        found |= more
    queues = set(found)
    while more := {pools[name].overflow for name in queues} - queues - {""}:
        queues |= more
    return found | {name for name in queues if name in pools and pools[name].method == "pull"}


def tenure(person: Person) -> tuple[float, float]:
    """The instants between which somebody works here: from the midnight before their first day to that after their last."""
    zone = zone_of(person.time_zone)
    start = instant(date.fromisoformat(person.start_date), 0, zone) if person.start_date else -inf
    end = instant(date.fromisoformat(person.end_date), DAY_MINUTES, zone, last=True) if person.end_date else inf
    return start, end


@cache
def zone_of(name: str) -> ZoneInfo:
    """The zone of that name, UTC for "". Raises ZoneInfoNotFoundError for one that the tz database does not have."""
    return ZoneInfo(name or "UTC")
