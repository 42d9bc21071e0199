"""``people.csv``, the roster."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from datetime import date
from functools import cache
from typing import Any, TypeVar
from zoneinfo import available_timezones

from msgspec.structs import replace

from rules.pools.model import Calendar, Cap, Person
from rules.pools.texts import TextError, cap_of, hours_of, ramp_of
from rules.public_holidays.holidays import known, places
from rules.source import Place, Report, nearest
from rules.tables.sheet import Row, Sheet
from rules.values import fold

T = TypeVar("T")

_EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\"]+")
_YES = frozenset({"yes", "true", "1", "y", "x"})
_NO = frozenset({"no", "false", "0", "n"})
_ID = "_id"
_SEVERAL = re.compile("[,;]")
MAX_AMOUNT = 1e15
# What a rung does begins with one of these words, or else names a person or a field.
ACTIONS = ("pool", "person", "queue", "keep", "hold", "reject")
# Columns with a meaning of their own beside those with CRM ids; all others are the admin's.
COLUMNS = (
    "name", "email", "active", "role", "region", "manager", "time_zone", "hours", "holidays", "start_date", "end_date",
    "capacity", "quota", "caps", "ramp",
)  # fmt: skip


class People:
    """The roster, found by e-mail or name without case.

    ``complete`` is False where ``people.csv`` could not be read, and ``refused`` holds the names and e-mails of rows with
    a mistake: whoever is named then is taken as known, so that one mistake is not reported in every file. ``columns`` are the
    admin's own, and whether they hold a text, a number or a list; ``places`` is where each person stands in the file.
    """

    def __init__(self, people: Iterable[Person] = (), *, complete: bool = True) -> None:
        self.by_key: dict[str, Person] = {}
        self.complete = complete
        self.refused: set[str] = set()
        self.places: dict[str, Place] = {}
        self.columns: dict[str, str] = {}
        self._by_name: dict[str, list[Person]] = {}
        for person in people:
            self.add(person)

    def add(self, person: Person) -> None:
        self.by_key[person.key] = person
        self._by_name.setdefault(fold(person.name), []).append(person)

    def change(self, person: Person) -> None:
        """Puts what is known of a person by now in the place of what was."""
        named = self._by_name[fold(person.name)]
        named[named.index(self.by_key[person.key])] = person
        self.by_key[person.key] = person

    def find(self, text: str) -> Person | None:
        """The person of that e-mail or name; None when there is none, or several of that name."""
        word = fold(text)
        found = self.by_key.get(word)
        if found is None:
            named = self._by_name.get(word, ())
            found = named[0] if len(named) == 1 else None
            if not named and (not self.complete or word in self.refused):
                return Person(word, text)
        return found

    def unknown(self, text: str) -> tuple[str, str]:
        """The sentence and the hint for a text that ``find`` did not find."""
        if len(named := self._by_name.get(fold(text), [])) > 1:
            return f"several people are called '{text}'", f"write the e-mail: {' or '.join(p.key for p in named)}"
        parts = {part: person.name for person in self.by_key.values() for part in person.name.casefold().split()}
        known = parts.get(fold(text))  # a first or last name alone
        return f"'{text}' is not in people.csv", f"did you mean '{known}'?" if known else nearest(text, self.words())

    def words(self) -> Iterator[str]:
        for person in self.by_key.values():
            yield person.name
            yield person.key


def read_people(
    sheet: Sheet, systems: Iterable[str], report: Report, calendars: Mapping[str, Calendar] | None = None
) -> People:
    """The roster; rows with a mistake are reported and left out. ``calendars`` are those that ``hours`` may name."""
    people = People()
    columns = {fold(name).replace(" ", "_"): index for index, name in enumerate(sheet.header.cells)}
    missing = [name for name in ("name", "email") if name not in columns]
    for name in missing:
        report.error(sheet.cell(sheet.header, 0), f"people.csv has no column '{name}'", nearest(name, columns))
    if missing:
        people.complete = False
        return people
    people.refused.update(fold(cell) for row in sheet.refused for cell in row.cells if cell)
    reader = _Rows(sheet, columns, set(systems), calendars or {}, report)
    managers: dict[str, Row] = {}
    for row in sheet.rows:
        person = reader.person(row)
        if person is None:
            people.refused.update(fold(row.cells[columns[name]]) for name in ("name", "email"))
            continue
        if person.key in people.places:
            message = f"{person.key} is there twice; it is already on line {people.places[person.key].line}"
            report.error(sheet.cell(row, columns["email"]), message)
            continue
        people.places[person.key] = sheet.cell(row, columns["name"])
        people.add(person)
        if "manager" in columns and row.cells[columns["manager"]]:
            managers[person.key] = row
    _users_once(reader.plain - {*COLUMNS}, sheet, columns, report)
    for key, row in managers.items():
        _manage(people, people.by_key[key], row.cells[columns["manager"]], sheet.cell(row, columns["manager"]), report)
    _typed(people, sheet, {name: index for name, index in columns.items() if name not in reader.plain})
    return people


class _Rows:
    """Reads the rows of one sheet."""

    def __init__(
        self,
        sheet: Sheet,
        columns: dict[str, int],
        systems: set[str],
        calendars: Mapping[str, Calendar],
        report: Report,
    ) -> None:
        self._sheet, self._columns, self._systems, self._report = sheet, columns, systems, report
        self._calendars = {fold(name): calendar for name, calendar in calendars.items()}
        self.plain = {*COLUMNS, *(system + _ID for system in systems)}
        self._row, self._sound = sheet.header, True

    def person(self, row: Row) -> Person | None:
        """One row; None where it has a mistake, which is reported."""
        self._row, self._sound = row, True
        cells = {name: row.cells[index] for name, index in self._columns.items()}
        if not cells["name"]:
            self._wrong("name", "this person has no name")
        elif (word := cells["name"].split()[0].casefold()) in ACTIONS:
            hint = "turn it round, such as 'Diaz, Ana', or add an initial before it"
            self._wrong("name", f"'{cells['name']}' would be read as '{word} …' and not as a person", hint)
        if not _EMAIL.fullmatch(cells["email"]):
            self._wrong("email", f"'{cells['email']}' is no e-mail address" if cells["email"] else "no e-mail")
        active = fold(cells.get("active", "")) or "yes"
        if active not in _YES | _NO:
            self._wrong("active", f"'active' is yes or no, not '{cells['active']}'")
        start, end = self._date(cells, "start_date"), self._date(cells, "end_date")
        if start and end and end < start:
            self._wrong("end_date", f"this person ends on {end}, before they start on {start}")
        zone = cells.get("time_zone", "")
        if zone and not is_zone(zone):
            self._wrong("time_zone", f"'{zone}' is no time zone: write it as Europe/Berlin", nearest(zone, zones()))
        person = Person(
            key=cells["email"].lower(),
            name=cells["name"],
            active=active in _YES,
            start_date=start,
            end_date=end,
            role=cells.get("role", ""),
            region=cells.get("region", ""),
            time_zone=zone,
            capacity=self._amount(cells, "capacity"),
            quota=self._amount(cells, "quota"),
            caps=self._caps(cells.get("caps", "")),
            ramp=self._text("ramp", cells.get("ramp", ""), ramp_of),
            ids={system: cells[system + _ID] for system in sorted(self._systems) if cells.get(system + _ID)},
            extra={name: value for name, value in cells.items() if name not in self.plain},
        )
        person = self._with_hours(person, cells.get("hours", ""), cells.get("holidays", ""))
        if person.ramp is not None and not start:
            self._wrong("ramp", "a ramp counts from the start date: this person has none")
        return person if self._sound else None

    def _wrong(self, column: str, message: str, hint: str = "") -> None:
        self._report.error(self._sheet.cell(self._row, self._columns[column]), message, hint)
        self._sound = False

    def _date(self, cells: Mapping[str, str], column: str) -> str:
        text = cells.get(column, "")
        if text and not _is_date(text):
            self._wrong(column, f"'{text}' is no date: write it as 2026-11-22")
            return ""
        return text

    def _amount(self, cells: Mapping[str, str], column: str) -> float | None:
        text = cells.get(column, "")
        if not text:
            return None
        found = number(text)
        if found is None or not 0 <= found <= MAX_AMOUNT:
            self._wrong(column, f"'{column}' is a number of 0 or more, not '{text}'")
        return found

    def _text(self, column: str, text: str, read: Callable[[str], T]) -> T | None:
        if not text:
            return None
        try:
            return read(text)
        except TextError as error:
            self._wrong(column, error.message, error.hint)
            return None

    def _caps(self, text: str) -> tuple[Cap, ...]:
        found = [self._text("caps", part.strip(), cap_of) for part in re.split(r"[,;](?!\d{3})", text) if part.strip()]
        if any(cap is not None and cap.kind for cap in found):
            self._wrong("caps", "a cap of one kind of lead belongs to a pool: write it in pools.yaml")
        return tuple(cap for cap in found if cap is not None)

    def _with_hours(self, person: Person, hours: str, holidays: str) -> Person:
        calendar = self._calendars.get(fold(hours))
        if hours and calendar is None and not any(character.isdigit() for character in hours):
            hint = nearest(hours, [one.name for one in self._calendars.values()])
            self._wrong(
                "hours",
                f"there is no calendar '{hours}'",
                hint or "name it in calendars.yaml, or write Mon-Fri 9:00-17:30",
            )
            return person
        own = self._text("hours", hours, hours_of) if calendar is None else None
        found = tuple(place.strip().upper() for place in re.split("[,;]", holidays) if place.strip())
        for place in found:
            if not known(place):
                self._wrong("holidays", *unknown_place(place))
        if calendar is None:
            return replace(person, hours=own or (), holidays=found)
        return replace(
            person,
            hours=calendar.hours,
            later=calendar.later,
            holidays=found or calendar.holidays,
            closed=calendar.closed,
            time_zone=person.time_zone or calendar.time_zone,
        )


def _users_once(ids: Set[str], sheet: Sheet, columns: Mapping[str, int], report: Report) -> None:
    """Warns where two people have the same user in a CRM: what that user has would be the last one's."""
    for column in sorted(ids & columns.keys()):
        first: dict[str, Row] = {}
        for row in sheet.rows:
            written = row.cells[columns[column]]
            other = first.setdefault(written, row)
            if written and other is not row:
                who = f"{other.cells[columns['name']]} on line {other.line}"
                hint = "where it is one person with another e-mail, keep one row, and change the e-mail there"
                report.warn(sheet.cell(row, columns[column]), f"'{written}' is the user of {who} already", hint)


def _manage(people: People, person: Person, text: str, place: Place, report: Report) -> None:
    manager = people.find(text)
    if manager is None:
        report.error(place, *people.unknown(text))
    elif manager.key == person.key:
        report.error(place, f"{person.name} cannot be their own manager")
    else:
        people.change(replace(person, manager=manager.key))


def _typed(people: People, sheet: Sheet, own: Mapping[str, int]) -> None:
    """What the admin's own columns hold: numbers, lists (where a cell has several values), else texts."""
    for column, index in own.items():
        cells = [cell for row in sheet.rows if (cell := row.cells[index])]
        if cells and all(number(cell) is not None for cell in cells):
            people.columns[column] = "number"
        else:
            people.columns[column] = "list" if any(_SEVERAL.search(cell) for cell in cells) else "text"
    for person in list(people.by_key.values()):
        told = {"role": person.role, "region": person.region, **person.extra}
        skills = {column: frozenset(map(fold, _parts(cell))) for column, cell in told.items() if cell}
        people.change(replace(person, skills=skills, columns=_columns(person, people.columns)))


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in _SEVERAL.split(cell) if part.strip()]


def _columns(person: Person, types: Mapping[str, str]) -> dict[str, Any]:
    read: dict[str, Callable[[str], Any]] = {"number": number, "list": _parts, "text": str}
    found: dict[str, Any] = {name: read[types[name]](cell) if cell else None for name, cell in person.extra.items()}
    found |= {"name": person.name, "email": person.key, "role": person.role or None, "region": person.region or None}
    found |= {"time_zone": person.time_zone or None, "start_date": person.start_date or None}
    return found | {"capacity": person.capacity, "quota": person.quota}


def number(text: str) -> float | None:
    """The number that a cell holds, None when it is another text."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def unknown_place(place: str) -> tuple[str, str]:
    """The sentence and the hint for a place whose public holidays are not known."""
    country = place.partition("-")[0]
    hint = nearest(place, places())
    if place != country and known(country):
        hint = f"write {country} for the whole country, and its other days under 'closed' in calendars.yaml"
    return f"the public holidays of '{place}' are not known", hint or "list the days under 'closed' in calendars.yaml"


def is_zone(name: str) -> bool:
    """Whether the time zone database has a zone of that name."""
    return name in zones()


@cache
def zones() -> frozenset[str]:
    """The names of the time zone database."""
    return frozenset(available_timezones())


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10
