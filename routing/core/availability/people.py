"""Why somebody cannot receive a lead at a moment because of their own time: and when that changes.

What keeps somebody away, in the order in which it is told: they left; they are off; they are paused; they have not started; it is no
working time; their presence says so. Why somebody is off is between them and whoever entered it: it is kept with the entry and not
told in explanations, which many can read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from msgspec import Struct

from routing.core.availability.calendars import calendars_of, tenure
from routing.core.availability.hours import ALWAYS, Calendar, Weekly, instant, moment
from routing.core.availability.known import NOTHING, Absence, Known, Presence
from rules.moments import Moment, beginning, ending

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from rules.policy import Policy
    from rules.pools.model import Person, TimeOff

LEFT, OFF, PAUSED, NOT_STARTED, NO_WORK, AWAY = range(6)

_MONTH = 30 * 86_400.0


class State(Struct, frozen=True, gc=False):
    """Whether somebody can receive leads: ``why`` not, as a sentence, None when they can.

    ``until``: when that may change next, None when nothing that is known changes it. Somebody who cannot can from then on.
    """

    why: str | None
    until: datetime | None


class _Block(NamedTuple):
    """Time in which somebody is away, whatever their hours: ``start`` included, ``end`` not."""

    start: float
    end: float
    rank: int
    what: str


class _Person(NamedTuple):
    name: str
    zone: ZoneInfo
    calendar: Calendar
    blocks: tuple[_Block, ...]


HERE = State(None, None)
_Entry = TypeVar("_Entry", "TimeOff", Absence)


class Availability:
    """Answers for all people of a policy, by what is known of them. It never changes; build another when either does."""

    def __init__(self, policy: Policy, known: Known = NOTHING) -> None:
        self._policy, self._calendars = policy, calendars_of(policy)
        self._off = _by_person(policy.time_off)
        self._absences = _by_person(known.absences)
        self._presence = {one.person: one for one in known.presence}
        self._people: dict[str, _Person | None] = {}
        self._last: dict[tuple[str, bool], tuple[float, float, State]] = {}

    def of(self, person: str, now: datetime, *, hours: bool = True) -> State:
        """How it is with a person; with ``hours`` false, whatever their working hours and holidays.

        Somebody who is not in ``people.csv`` is not known to be away.
        """
        at = now.timestamp()
        last = self._last.get((person, hours))
        if last is not None and last[0] <= at < last[1]:
            return last[2]
        known = self._person(person)
        if known is None:
            return HERE
        free = _free_from(known, at, hours)
        if free > at:
            return State(_why(known, at, free, hours), None if free == inf else moment(free))
        end = _free_until(known, at, hours)
        state = State(None, None if end == inf else moment(end))
        self._last[person, hours] = (at, end, state)
        return state

    def begins(self, person: str, text: str) -> datetime:
        """The moment at which what is written so begins for that person. Raises ValueError for what is no moment."""
        return moment(_start(beginning(text), self._calendars.zone(person)))

    def ends(self, person: str, text: str) -> datetime:
        """The moment at which what is written so is over for that person. Raises ValueError for what is no moment."""
        return moment(_end(ending(text), self._calendars.zone(person)))

    def in_words(self, person: str, at: datetime) -> str:
        """``2026-12-24 09:00 (Europe/Berlin)``: a moment in the person's own time."""
        return _local(at.timestamp(), self._calendars.zone(person))

    def _person(self, key: str) -> _Person | None:
        if key not in self._people:
            person = self._policy.people.get(key)
            self._people[key] = None if person is None else self._made(person)
        return self._people[key]

    def _made(self, person: Person) -> _Person:
        zone = self._calendars.zone(person.key)
        return _Person(person.name, zone, self._calendars.of(person.key), tuple(sorted(self._blocks(person, zone))))

    def _blocks(self, person: Person, zone: ZoneInfo) -> list[_Block]:
        key = person.key
        blocks: list[_Block] = []
        starts, leaves = tenure(person)
        blocks.append(_Block(-inf, starts, NOT_STARTED, f"starts on {person.start_date}"))
        blocks.append(_Block(leaves, inf, LEFT, f"works until {person.end_date}"))
        blocks += [_off(one, zone) for one in self._off.get(key, ())]
        blocks += [_absent(one, zone) for one in self._absences.get(key, ())]
        presence = self._presence.get(key)
        if presence is not None and not presence.available:
            blocks.append(_away(presence))
        return [block for block in blocks if block.start < block.end]


def _off(one: TimeOff, zone: ZoneInfo) -> _Block:
    return _Block(_start(beginning(one.from_), zone), _end(ending(one.to), zone), OFF, "is off")


def _absent(one: Absence, zone: ZoneInfo) -> _Block:
    end = _end(ending(one.ends), zone) if one.ends else inf
    rank, what = (OFF, "is off") if one.kind == "off" else (PAUSED, "is paused")
    return _Block(_start(beginning(one.begins), zone), end, rank, what)


def _away(one: Presence) -> _Block:
    end = inf if one.until is None else one.until.timestamp()
    how = f": {one.status}" if one.status else ""
    return _Block(one.at.timestamp(), end, AWAY, f"is not available, {one.source} reports{how}")


def _start(moment: Moment, zone: ZoneInfo) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else instant(*moment, zone)


def _end(moment: Moment, zone: ZoneInfo) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else instant(*moment, zone, last=True)


def _free_from(person: _Person, at: float, hours: bool) -> float:
    """The first instant from ``at`` on at which nothing keeps the person away."""
    before = -inf
    while before < at < inf:
        before = at
        for block in person.blocks:
            if block.start <= at < block.end:
                at = block.end
        if at == before and hours:
            at = person.calendar.opening(at)
    return at


def _free_until(person: _Person, at: float, hours: bool) -> float:
    """The first instant after ``at``, at which the person is free, at which they no longer are; a month on they are asked again."""
    end = min((block.start for block in person.blocks if block.start > at), default=inf)
    if hours and person.calendar is not ALWAYS:
        end = min(end, person.calendar.closing(at), at + _MONTH)
    return end


def _why(person: _Person, at: float, free: float, hours: bool) -> str:
    """What keeps the person away longest matters more than what does at this very moment: at the evening before a holiday, the
    holiday. So what alone lasts until they are back, else the first in rank of all that lies before; presence only counts where they
    would be working."""
    blocks = [block for block in person.blocks if block.start < free and block.end > at]
    blocks = [block for block in blocks if block.start <= at and block.end >= free and block.rank < NO_WORK] or blocks
    # Who leaves before they are back: until then, what keeps them away now is what matters.
    blocks = [block for block in blocks if block.rank > LEFT or block.start <= at] or blocks
    first = min(blocks, key=lambda block: block.rank, default=None)
    if (first is not None and first.rank < NO_WORK) or (
        first is not None and (not hours or person.calendar.opening(at) <= at)
    ):
        what = first.what
    else:
        what = _no_work(person, at)
    until = "" if free == inf or what.startswith(("works until", "starts")) else f" until {_local(free, person.zone)}"
    return f"{person.name} {what}{until}"


def _no_work(person: _Person, at: float) -> str:
    day = datetime.fromtimestamp(at, person.zone).date()
    name = person.calendar.closed(day) if isinstance(person.calendar, Weekly) else ""
    return f"is off for {name}" if name else "is outside working hours"


@lru_cache(maxsize=1_000)
def _local(at: float, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M} ({zone.key})"


def _by_person(entries: Iterable[_Entry]) -> dict[str, list[_Entry]]:
    found: dict[str, list[_Entry]] = {}
    for one in entries:
        found.setdefault(one.person, []).append(one)
    return found
