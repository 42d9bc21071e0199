"""Public holidays by place: ``DE`` is a country, ``DE-BY`` one of its regions (ISO 3166-1 and 3166-2) with the country's own.

A paragraph begins with the country, and those of its regions that have no holidays of their own. A line of it is ``when | name``, and where it does not hold always and everywhere ``| regions``: the regions that have it,
``-`` before those that do not, ``since 2018`` or ``until 2023`` behind them; several such groups are parted by semicolons.

``when`` is a date (``3 Oct``), a distance from Easter (``easter+39``; ``orthodox-2``), a weekday (``3rd Mon Jan``, ``last Mon May``,
``Wed before 23 Nov``, ``Mon from 27 May``, ``Fri here or Mon from 1 Feb``), or the dates themselves (``2025-05-08``). Behind it may
stand what happens at a weekend: ``>`` the next working day is free too, ``s>`` the Monday after a Sunday; ``~`` the Friday before a Saturday and
the Monday after a Sunday are; ``s<`` from a Sunday it moves to the Saturday.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from functools import cache, lru_cache

from msgspec import Struct

from rules.public_holidays.table import TABLE

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FRIDAY, _SATURDAY, _SUNDAY = 4, 5, 6
_SHIFTS = (">", "s>", "~", "s<")

_EASTER = re.compile(r"(easter|orthodox)([+-]\d+)?")
_NTH = re.compile(r"(1st|2nd|3rd|4th|last) (\w{3}) (\w{3})")
_NEAR = re.compile(r"(?:(\w{3}) here or )?(\w{3}) (before|from) (\d+) (\w{3})")

Dates = Callable[[int], tuple[date, ...]]  # of a year


class _Group(Struct, frozen=True):
    """Where and when a holiday holds; no regions: wherever it is not excepted."""

    regions: frozenset[str] = frozenset()
    but: frozenset[str] = frozenset()
    since: int = 0
    until: int = 9999

    def holds(self, region: str, year: int) -> bool:
        here = region in self.regions if self.regions else region not in self.but
        return here and self.since <= year <= self.until


class _Rule(Struct, frozen=True):
    name: str
    dates: Dates
    shift: str
    groups: tuple[_Group, ...]


def known(place: str) -> bool:
    """Whether the holidays of ``DE`` or ``DE-BY`` are in the table."""
    country, dash, region = place.partition("-")
    return country in _read() and (not dash or region in _read()[country][0])


def places() -> list[str]:
    """All that is known, for hints."""
    return sorted(
        {*_read(), *(f"{country}-{region}" for country, (regions, _) in _read().items() for region in regions)}
    )


@lru_cache(512)
def holidays(place: str, year: int) -> Mapping[date, str]:
    """The public holidays of a place in a year, by date. Raises KeyError for a place that is not ``known``.

    A day that is free because a holiday fell on a weekend carries the holiday's name with "(observed)". Two on one day share it.
    """
    if not known(place):
        raise KeyError(place)
    country, _, region = place.partition("-")
    # New Year's Day may be kept on the last day of the year before.
    found = [one for y in (year - 1, year, year + 1) for one in _of_year(country, region, y)]
    names: dict[date, str] = {}
    for day, name in found:
        if day.year == year:
            names[day] = f"{names[day]}, {name}" if day in names and name not in names[day] else name
    return dict(sorted(names.items()))


def easter(year: int, *, orthodox: bool = False) -> date:
    """Easter Sunday: for the Western churches by the Meeus/Jones/Butcher algorithm (J. Meeus, Astronomical Algorithms,
    chapter 8), for the Orthodox by Meeus's Julian one, its date given in the Gregorian calendar (valid 1900 to 2099)."""
    if orthodox:
        d = (19 * (year % 19) + 15) % 30
        month, day = divmod(d + (2 * (year % 4) + 4 * (year % 7) - d + 34) % 7 + 114, 31)
        return date(year, month, day + 1) + timedelta(days=13)
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    h = (19 * a + b - d - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    i, k = divmod(c, 4)
    week = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * week) // 451
    month, day = divmod(h + week - 7 * m + 114, 31)
    return date(year, month, day + 1)


def _of_year(country: str, region: str, year: int) -> Iterator[tuple[date, str]]:
    if not date.min.year < year < date.max.year:
        return
    kept: list[tuple[date, _Rule]] = []
    for rule in _read()[country][1]:
        if any(group.holds(region, year) for group in rule.groups):
            kept += [(day, rule) for day in rule.dates(year)]
    taken = {day for day, _ in kept}
    for day, rule in sorted(kept, key=lambda one: one[0]):
        if rule.shift == "s<" and day.weekday() == _SUNDAY:
            yield day - timedelta(days=1), rule.name
            continue
        yield day, rule.name
        also = _observed(day, rule.shift, taken)
        if also is not None:
            taken.add(also)
            yield also, f"{rule.name} (observed)"


def _observed(day: date, shift: str, taken: set[date]) -> date | None:
    weekday = day.weekday()
    if shift == "~" and weekday in (_SATURDAY, _SUNDAY):
        return day + timedelta(days=-1 if weekday == _SATURDAY else 1)
    if shift == "s>" and weekday == _SUNDAY:
        return day + timedelta(days=1)
    if shift == ">" and weekday in (_SATURDAY, _SUNDAY):
        free = day + timedelta(days=1)
        while free in taken or free.weekday() > _FRIDAY:
            free += timedelta(days=1)
        return free
    return None


@cache
def _read() -> dict[str, tuple[frozenset[str], tuple[_Rule, ...]]]:
    read = {}
    for paragraph in TABLE.strip().split("\n\n"):
        head, *lines = paragraph.split("\n")
        country, *plain = head.split()
        rules = tuple([_rule(line) for line in lines])
        named = (group.regions | group.but for rule in rules for group in rule.groups)
        read[country] = frozenset(plain).union(*named), rules
    return read


def _rule(line: str) -> _Rule:
    when, name, *where = (part.strip() for part in line.split("|"))
    start, _, shift = when.rpartition(" ")
    if shift in _SHIFTS:
        when = start
    else:
        shift = ""
    groups = tuple([_group(text.split()) for text in where[0].split(";")]) if where else (_Group(),)
    return _Rule(name, _dates(when), shift, groups)


def _group(words: list[str]) -> _Group:
    years = {"since": 0, "until": 9999}
    for word in years:
        if word in words:
            at = words.index(word)
            years[word] = int(words[at + 1])
            del words[at : at + 2]
    but = frozenset(word[1:] for word in words if word[0] == "-")
    return _Group(frozenset(word for word in words if word[0] != "-"), but, **years)


def _dates(when: str) -> Dates:
    if found := _EASTER.fullmatch(when):
        orthodox, days = found[1] == "orthodox", timedelta(days=int(found[2] or 0))
        return lambda year: (easter(year, orthodox=orthodox) + days,)
    if found := _NTH.fullmatch(when):
        weekday, month = _WEEKDAYS.index(found[2]), _MONTHS.index(found[3]) + 1
        if found[1] == "last":
            return lambda year: (_before(date(year + month // 12, month % 12 + 1, 1), weekday),)
        weeks = timedelta(weeks=int(found[1][0]) - 1)
        return lambda year: (_from(date(year, month, 1), weekday) + weeks,)
    if found := _NEAR.fullmatch(when):
        here = _WEEKDAYS.index(found[1]) if found[1] else -1
        weekday, side, day, month = _WEEKDAYS.index(found[2]), found[3], int(found[4]), _MONTHS.index(found[5]) + 1
        return lambda year: (_near(date(year, month, day), here, weekday, side),)
    if "-" in when:
        listed = tuple([date.fromisoformat(text) for text in when.split()])
        return lambda year: tuple([one for one in listed if one.year == year])
    day, month = int(when.split()[0]), _MONTHS.index(when.split()[1]) + 1
    return lambda year: (date(year, month, day),)


def _near(day: date, here: int, weekday: int, side: str) -> date:
    if day.weekday() == here:
        return day
    return _before(day, weekday) if side == "before" else _from(day, weekday)


def _from(day: date, weekday: int) -> date:
    return day + timedelta(days=(weekday - day.weekday()) % 7)


def _before(day: date, weekday: int) -> date:
    return day - timedelta(days=(day.weekday() - weekday - 1) % 7 + 1)
