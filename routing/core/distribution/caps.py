"""Caps: how many leads in an hour, a day, a week, a month, or open at one time. Calendar windows are those of the person's own zone.

A lead given back (refused, or credited as no lead at all) does not fill a cap: the place it had is free again. Leads of one member,
kind and moment fill equal places, and each gives back its own once (``returns``). A credit that names no lead frees no place, for nobody
knows which. Caps on open leads count what is open (``workload``), credited or not. Where the clock was moved back, leads that were given
later than now still count: a cap is never exceeded for that.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from routing.core.distribution.entries import PoolEntry
from rules.nouns import counted

if TYPE_CHECKING:
    from rules.pools.model import Cap

_ROLLING = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
}
# No window is longer, wherever clocks are changed.
AT_MOST = {
    "hour": timedelta(hours=1),
    "day": timedelta(hours=26),
    "week": timedelta(days=7, hours=2),
    "month": timedelta(days=31, hours=2),
}
# A lead given so long ago fills no cap any more: the longest month, and a day for the zones.
LONGEST = timedelta(days=32)
_OLD = 2 * LONGEST
_EXACT = timedelta(milliseconds=1)


class Given:
    """The leads that were given lately, by member and kind, for the caps: of one pool, all its kinds."""

    def __init__(self) -> None:
        self._times: dict[str, dict[str, list[datetime]]] = {}
        self._all: dict[str, list[datetime]] = {}  # of all members, by kind
        self._freed: dict[
            str, list[tuple[str, datetime]]
        ] = {}  # by member: kind and time of leads that were given back, or credited

    def add(self, entry: PoolEntry) -> None:
        """Counts an entry of the pool. A lead that is given back no longer counts (the member's newest one, where it is not known when
        it was given), nor one that is credited, until a debit that names it takes its turn again."""
        what = entry.what
        if what == "assigned":
            self._count(entry.person, entry.kind, entry.at)
        elif what == "renamed":
            if entry.person in self._times:
                self._times[entry.why] = self._times.pop(entry.person)
            if entry.person in self._freed:
                self._freed[entry.why] = self._freed.pop(entry.person)
        elif (what == "refused" and (entry.leads or entry.given or entry.turn)) or (what == "credit" and entry.given):
            self._take(entry)
            if entry.given is not None:
                self._freed.setdefault(entry.person, []).append((entry.kind, entry.given))
        elif what == "debit" and entry.given is not None:
            freed = entry.kind, entry.given
            if freed in self._freed.get(entry.person, ()):
                self._freed[entry.person].remove(freed)
                self._count(entry.person, *freed)

    def _count(self, person: str, kind: str, at: datetime) -> None:
        kinds = self._times.setdefault(person, {})
        for one in ("", kind) if kind else ("",):
            _put(kinds.setdefault(one, []), at)
            _put(self._all.setdefault(one, []), at)

    def _take(self, entry: PoolEntry) -> None:
        kinds = self._times.get(entry.person, {})
        own = kinds.get(entry.kind, [])
        at = _place(own, own[-1] if entry.given is None and own else entry.given)
        if at is None:
            return  # so old that it fills no cap any more
        given = own[at]
        for kind in {"", entry.kind}:
            for times in (kinds[kind], self._all[kind]):
                found = bisect_left(times, given)
                if times[found : found + 1] == [given]:  # not where what is too old was cut away
                    del times[found]

    def of(self, person: str, kind: str) -> list[datetime]:
        kinds = self._times.get(person)
        return kinds.get(kind, []) if kinds is not None else []

    def of_all(self, kind: str) -> list[datetime]:
        """The same of all members."""
        return self._all.get(kind, [])


def _put(times: list[datetime], at: datetime) -> None:
    if times and times[-1] > at:
        insort(times, at)  # the clock went back
        return
    times.append(at)
    if at - times[0] > _OLD:  # seldom: what is too old for any cap
        del times[: bisect_left(times, at - LONGEST)]


def _place(times: Sequence[datetime], given: datetime | None) -> int | None:
    """Where in ``times`` a lead given then stands; None where it does not. The ledger keeps milliseconds: of leads so close to each other
    it is the closest."""
    if given is None:
        return None
    after = bisect_left(times, given)
    near = [at for at in (after, after - 1) if 0 <= at < len(times) and abs(times[at] - given) <= _EXACT]
    return min(near, key=lambda at: abs(times[at] - given), default=None)


def window(cap: Cap, now: datetime, zone: tzinfo) -> tuple[datetime, datetime | None]:
    """From when on leads count for the cap at ``now``, and when the calendar window ends (None for a rolling one).

    A rolling month is 30 days. Both in UTC.
    """
    if cap.rolling:
        return now - _ROLLING[cap.per], None
    local = now.astimezone(zone)
    if cap.per == "hour":
        # On the clock of the wall, but of real length: the hour that comes twice in autumn is two hours.
        start = now - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return start, start + timedelta(hours=1)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if cap.per == "day":
        first, after = day, day + timedelta(days=1)
    elif cap.per == "week":
        first = day - timedelta(days=day.weekday())
        after = first + timedelta(days=7)
    else:
        first = day.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    return first.astimezone(UTC), after.astimezone(UTC)


def full(
    cap: Cap, given: Sequence[datetime], open_leads: float, now: datetime, zone: tzinfo, *, together: bool = False
) -> tuple[str, datetime | None] | None:
    """Why the cap lets no further lead in, and when it may again (None: nobody can say); None when there is room.

    ``given`` are the times of the leads that count for it, in order; ``open_leads`` how many are open, of one person or of
    several ``together``.
    """
    kind = f" of the kind '{cap.kind}'" if cap.kind else ""
    if cap.per == "open":
        if open_leads < cap.leads:
            return None
        leads = f"{open_leads:g} open lead{'' if open_leads == 1 else 's'}{kind}"
        return f"{f'have {leads} together' if together else f'has {leads}'}, the cap is {cap.leads}", None
    had, end = _had(cap, given, now, zone)
    if had < cap.leads:
        return None
    why = f"had {counted(had, 'lead')}{kind} {_when(cap)}, the cap is {cap.leads}"
    if end is None:
        # There is room once only cap − 1 are younger than the window.
        end = given[len(given) - cap.leads] + _ROLLING[cap.per] if cap.leads else None
    return why, end


def used(cap: Cap, given: Sequence[datetime], open_leads: float, now: datetime, zone: tzinfo) -> str:
    """How far a cap is used: ``3 of 10 this day``."""
    kind = f" of {cap.kind}" if cap.kind else ""
    if cap.per == "open":
        return f"{open_leads:g} of {cap.leads}{kind} open"
    return f"{_had(cap, given, now, zone)[0]} of {cap.leads}{kind} {_when(cap)}"


def _when(cap: Cap) -> str:
    return f"in the last {cap.per}" if cap.rolling else "today" if cap.per == "day" else f"this {cap.per}"


def _had(cap: Cap, given: Sequence[datetime], now: datetime, zone: tzinfo) -> tuple[int, datetime | None]:
    start, end = window(cap, now, zone)
    first = _after(given, start) if cap.rolling else bisect_left(given, start)
    return len(given) - first, end


def _after(given: Sequence[datetime], start: datetime) -> int:
    """A lead given exactly a window ago is out of it."""
    first = bisect_left(given, start)
    while first < len(given) and given[first] == start:
        first += 1
    return first
