"""Business time: when a calendar is open, and arithmetic in open seconds.

Hours are written in wall-clock time and kept in the zone's own rules. Where clocks are put forward, what would begin or end
within the missing hour does so at the moment of the change; where they are put back, hours begin with the first of the two
readings and end with the second, so that nobody's shift is cut. A shift over the change is an hour shorter or longer, as it is
for whoever works it. Hours past midnight are written to the next day (``22:00`` to ``30:00``) and belong to each day by its part:
a holiday takes the part that falls on it.

Inside, an instant is a float of seconds since 1970 (UTC), exact to the microsecond.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from math import inf
from zoneinfo import ZoneInfo

Minutes = tuple[int, int]  # of a day: from, to; 0 to 1440, and beyond for hours that end the next day
Week = tuple[tuple[Minutes, ...], ...]  # Monday first
Span = tuple[float, float]

DAY_MINUTES = 1440

# A calendar that stays closed for so long is taken to stay closed; and nothing is worked out further ahead than this.
_BLANK_DAYS = 400
_MOST_DAYS = 36_525
# Open time without end is given in pieces of about this length.
_PIECE = 31 * 86_400.0
_START = datetime(1, 1, 3)  # noqa: DTZ001 - of the wall, in whatever zone
_LONGEST = datetime(9999, 12, 27) - _START  # noqa: DTZ001
# Days remembered for each calendar.
_KEEP = 2_000


class Calendar:
    """Open time. What is asked of it takes aware moments and answers in UTC; it never changes, and forgets nothing."""

    _last: tuple[float, float, float] | None = None  # the instant asked for, and the open time found

    def spans(self, after: float) -> Iterator[Span]:
        """Open time that ends after that instant, in order, without overlap; pieces may touch."""
        raise NotImplementedError

    def is_open(self, at: datetime) -> bool:
        """Whether it is open at that moment. It is when it opens, and no longer when it closes."""
        now = at.timestamp()
        return self.opening(now) <= now

    def opens(self, at: datetime) -> datetime | None:
        """The first open moment, ``at`` itself when it is open; None when it does not open again."""
        opening = self.opening(at.timestamp())
        return None if opening == inf else moment(opening)

    def closes(self, at: datetime) -> datetime | None:
        """When the open time at that moment ends; ``at`` when it is closed. None when that is more than a month away."""
        closing = self.closing(at.timestamp())
        return None if closing == inf else moment(closing)

    def opening(self, now: float) -> float:
        """As ``opens``, for an instant; infinite when it does not open again."""
        found = self._stretch(now)
        return inf if found is None else max(found[0], now)

    def closing(self, now: float) -> float:
        """As ``closes``, for an instant; infinite when that is more than a month away."""
        found = self._stretch(now)
        if found is None or found[0] > now:
            return now
        return inf if found[1] - now > _PIECE else found[1]

    def _stretch(self, now: float) -> Span | None:
        """Open time without a gap, at or after that instant; of one that is longer than a month, its beginning.

        Many ask at the same moment, and again before it is over: the last answer is remembered.
        """
        known = self._last
        if known is not None and known[0] <= now < known[2]:
            return known[1:]
        begin = end = -inf
        for start, stop in self.spans(now):
            if end == -inf:
                begin = start
            elif start > end:
                break
            end = stop
            if end - now > _PIECE:
                return begin, end
        if end == -inf:
            return None
        self._last = now, begin, end
        return begin, end

    def add(self, at: datetime, seconds: float) -> datetime | None:
        """The moment at which ``seconds`` of open time have passed since ``at``; None when there never is so much.

        With no seconds to pass this is ``at``, open or not. What falls together with the end of open time is that end, not the
        opening after it.
        """
        now, left = at.timestamp(), seconds
        if left <= 0:
            return moment(now)
        for start, end in self.spans(now):
            start = max(start, now)
            if end - start >= left:
                return moment(start + left)
            left -= end - start
        return None

    def elapsed(self, start: datetime, end: datetime) -> float:
        """Seconds of open time from ``start`` to ``end``; 0 when the end is not after the start."""
        begin, stop = start.timestamp(), end.timestamp()
        total = 0.0
        if begin < stop:
            for one, other in self.spans(begin):
                if one >= stop:
                    break
                total += min(other, stop) - max(one, begin)
        return total


class Always(Calendar):
    """Never closed."""

    def spans(self, after: float) -> Iterator[Span]:
        while True:
            yield after, after + _PIECE
            after += _PIECE


ALWAYS = Always()


class Weekly(Calendar):
    """The same hours every week, in one zone. ``closed`` names the holiday of a day, "" for a day like others; ``later`` are
    other weeks, each from a day on, in the order of these days."""

    def __init__(
        self,
        week: Week,
        zone: ZoneInfo,
        closed: Callable[[date], str] = lambda _: "",
        later: Sequence[tuple[date, Week]] = (),
    ) -> None:
        self.zone, self.closed = zone, closed
        self._weeks = [_by_day(one) for one in (week, *(other for _, other in later))]
        self._from = [day.toordinal() for day, _ in later]
        self._days: dict[int, tuple[Span, ...]] = {}

    def spans(self, after: float) -> Iterator[Span]:
        if not any(map(any, self._weeks)):
            return
        # The day before too: where clocks go back over midnight it has not quite ended.
        first = datetime.fromtimestamp(after, self.zone).toordinal() - 1
        blank = 0
        for day in range(first, min(first + _MOST_DAYS, date.max.toordinal() - 1)):
            spans = self._days.get(day)
            if spans is None:
                spans = self._open(day)
            blank = 0 if spans else blank + 1
            for start, end in spans:
                if end > after:
                    yield max(start, after), end
                    after = end  # where clocks go back over midnight two days' hours overlap
            if blank > _BLANK_DAYS:
                return

    def _open(self, ordinal: int) -> tuple[Span, ...]:
        day = date.fromordinal(ordinal)
        hours = self._weeks[bisect_right(self._from, ordinal)][day.weekday()]
        if hours and self.closed(day):
            hours = ()
        found = [(instant(day, one, self.zone), instant(day, other, self.zone, last=True)) for one, other in hours]
        if len(self._days) >= _KEEP:
            self._days.clear()
        spans = self._days[ordinal] = tuple([(start, end) for start, end in found if start < end])
        return spans


class Joint(Calendar):
    """Open whenever one of several is: a team's hours."""

    def __init__(self, calendars: Iterable[Calendar]) -> None:
        self._calendars = tuple(dict.fromkeys(calendars))

    def spans(self, after: float) -> Iterator[Span]:
        current: Span | None = None
        for start, end in heapq.merge(*(one.spans(after) for one in self._calendars)):
            if current is None:
                current = start, end
            elif start > current[1]:
                yield current
                current = start, end
            elif end > current[1]:
                if current[1] - current[0] > _PIECE:
                    yield current
                    current = current[1], end
                else:
                    current = current[0], end
        if current is not None:
            yield current


def instant(day: date, minute: int, zone: ZoneInfo, *, last: bool = False) -> float:
    """The instant of a wall-clock time: ``minute`` of that day, which may lie beyond its end.

    Of a reading that occurs twice the first, or with ``last`` the second; a reading that is skipped gives the moment of the
    change. At both ends of the calendar (9999-12-31: "for ever") some days are left out, so that every zone can tell it.
    """
    wall = _START + timedelta(minutes=minute) + min(max(day - _START.date(), timedelta()), _LONGEST)
    one, two = _read(wall, 0, zone), _read(wall, 1, zone)
    if one <= two:
        return two if last else one
    # Skipped: the offset that ``two`` was read with holds from the change on, which lies between them.
    before, after = two, one
    old = datetime.fromtimestamp(before, zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after


def moment(seconds: float) -> datetime:
    """The UTC moment of an instant."""
    return datetime.fromtimestamp(seconds, UTC)


def _read(wall: datetime, fold: int, zone: ZoneInfo) -> float:
    return wall.replace(tzinfo=zone, fold=fold).timestamp()


def _by_day(week: Week) -> Week:
    """Each day with what falls on it, sorted and joined where it touches."""
    days: list[list[Minutes]] = [[] for _ in range(7)]
    for weekday, hours in enumerate(week):
        for start, end in hours:
            if start < DAY_MINUTES:
                days[weekday].append((start, min(end, DAY_MINUTES)))
            if end > DAY_MINUTES:
                days[(weekday + 1) % 7].append((max(start, DAY_MINUTES) - DAY_MINUTES, end - DAY_MINUTES))
    return tuple(_joined(day) for day in days)


def _joined(hours: Sequence[Minutes]) -> tuple[Minutes, ...]:
    found: list[Minutes] = []
    for start, end in sorted(hours):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        elif start < end:
            found.append((start, end))
    return tuple(found)
