"""``calendars.yaml``: working hours, public holidays and closed days with a name; and ``time_off.csv``."""

from __future__ import annotations

import re
from datetime import date, timedelta

from rules.moments import beginning, earliest, ending
from rules.pools.model import Calendar, Hours, Minutes, TimeOff
from rules.pools.people import People, is_zone, unknown_place, zones
from rules.pools.texts import TextError, days_of, fill, hours_of, spans_of, whole
from rules.public_holidays.holidays import known
from rules.source import Place, Report, nearest
from rules.tables.sheet import Row, Sheet
from rules.values import fold
from rules.yamlfile import Block, Items, Node, Scalar, as_block, as_text, known_keys

CALENDARS, TIME_OFF = "calendars.yaml", "time_off.csv"
CALENDAR_KEYS = ("hours", "time_zone", "holidays", "closed")
LATER = "hours from "
TIME_OFF_COLUMNS = ("person", "from", "to", "reason")
MAX_CLOSED = 1_000  # days of one calendar
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:\s*\.\.\s*(\d{4}-\d\d-\d\d))?(?:\s+(.+))?")


def read_calendars(root: Node | None, report: Report) -> dict[str, Calendar]:
    """The calendars by name; mistakes are reported and left out."""
    found: dict[str, Calendar] = {}
    names: dict[str, str] = {}
    for key, node in as_block(root, report, CALENDARS) or ():
        body = as_block(node, report, f"the calendar '{key.text}'")
        if (other := names.setdefault(fold(key.text), key.text)) != key.text:
            report.error(key.place, f"the calendar '{key.text}' differs from '{other}' only by case")
        if body is not None:
            found[key.text] = _calendar(key, body, report)
    return found


def _calendar(key: Scalar, body: Block, report: Report) -> Calendar:
    what = f"the calendar '{key.text}'"
    later = [one.text for one, _ in body if one.text.startswith(LATER)]
    known_keys(body, (*CALENDAR_KEYS, *later), report, what)
    zone = as_text(body.get("time_zone"), report, f"the time zone of {what}")
    if zone is not None and not is_zone(zone.text):
        hint = nearest(zone.text, zones())
        report.error(zone.place, f"'{zone.text}' is no time zone: write it as Europe/Berlin", hint)
        zone = None
    if body.get("hours") is None:
        report.error(key.place, f"{what} has no hours", "add 'hours: Mon-Fri 9:00-17:30'")
    return Calendar(
        key.text,
        _hours(body.get("hours"), what, report),
        _later(body, what, report),
        zone.text if zone is not None else "",
        tuple(_holidays(body.get("holidays"), what, report)),
        _closed(body.get("closed"), what, report),
    )


def _later(body: Block, what: str, report: Report) -> tuple[tuple[date, Hours], ...]:
    """``hours from 2027-01-01: Mon-Fri 8:00-16:00``, any number of them."""
    found = []
    for key, node in body:
        if key.text.startswith(LATER):
            try:
                day = date.fromisoformat(key.text.removeprefix(LATER).strip())
            except ValueError:
                report.error(key.place, f"'{key.text}' names no day: write 'hours from 2027-01-01'")
            else:
                found.append((day, _hours(node, what, report)))
    return tuple(sorted(found))


def _hours(node: Node | None, what: str, report: Report) -> Hours:
    """``Mon-Fri 9:00-17:30``, or a line for some days each: ``Mon-Thu: 9:00-17:30``."""
    if not isinstance(node, Block):
        text = as_text(node, report, f"the hours of {what}")
        try:
            return hours_of(text.text) if text is not None else ()
        except TextError as error:
            assert text is not None
            report.error(text.place, error.message, error.hint)
            return ()
    week: list[tuple[Minutes, ...] | None] = [None] * 7
    before = report.errors
    for key, value in node:
        text = as_text(value, report, f"the hours of {key.text}")
        try:
            days = days_of(key.text)
            fill(week, days, ())
            if text is not None:
                for day in days:
                    week[day] = spans_of(text.text)
        except TextError as error:
            report.error((text or key).place, error.message, error.hint)
    try:
        return whole(week) if report.errors == before else ()
    except TextError as error:
        report.error(node.place, error.message, error.hint)
        return ()


def _holidays(node: Node | None, what: str, report: Report) -> list[str]:
    found = []
    for item in node.items if isinstance(node, Items) else [node]:
        text = as_text(item, report, f"the public holidays of {what}")
        for part in re.split("[,;]", text.text) if text is not None else ():
            place = part.strip().upper()
            if text is not None and not known(place):
                report.error(text.place, *unknown_place(place))
            else:
                found.append(place)
    return found


def _closed(node: Node | None, what: str, report: Report) -> dict[date, str]:
    """``[2026-12-24, 2026-12-28..2026-12-31 Between the years]``."""
    found: dict[date, str] = {}
    for item in node.items if isinstance(node, Items) else [node]:
        text = as_text(item, report, f"a closed day of {what}")
        if text is None:
            continue
        match = _DAY.fullmatch(" ".join(text.text.split()))
        try:
            first = date.fromisoformat(match[1]) if match else None
            last = date.fromisoformat(match[2]) if match and match[2] else first
        except ValueError:
            first = last = None
        if match is None or first is None or last is None:
            hint = "write 2026-12-24, or 2026-12-28..2026-12-31 Between the years"
            report.error(text.place, f"'{text.text}' is no day", hint)
        elif not 0 <= (last - first).days < MAX_CLOSED - len(found):
            told = f"{first} to {last} is the wrong way round" if last < first else f"more than {MAX_CLOSED:,} days"
            report.error(text.place, f"the closed days of {what}: {told}")
        else:
            days = (first + timedelta(days=n) for n in range((last - first).days + 1))
            found |= dict.fromkeys(days, match[3] or "closed")
    return found


_WRITTEN = "write it as 2026-12-24, 2026-12-24 pm or 2026-12-24 13:30"


def read_time_off(sheet: Sheet | None, people: People, report: Report) -> tuple[TimeOff, ...]:
    """The rows of ``time_off.csv`` in the order written; rows with a mistake are reported and left out."""
    if sheet is None:
        return ()
    columns = {fold(name): index for index, name in enumerate(sheet.header.cells)}
    for name in TIME_OFF_COLUMNS[:2]:
        if name not in columns:
            report.error(sheet.cell(sheet.header, 0), f"time_off.csv has no column '{name}'", nearest(name, columns))
            return ()
    for name, index in columns.items():
        if name not in (*TIME_OFF_COLUMNS, "comment", "note"):
            place, hint = sheet.cell(sheet.header, index), f"known here: {', '.join(TIME_OFF_COLUMNS)}"
            report.error(
                place, f"time_off.csv has no use for the column '{name}'", nearest(name, TIME_OFF_COLUMNS) or hint
            )
    found: dict[TimeOff, Row] = {}
    for row in sheet.rows:
        one = _time_off(sheet, row, columns, people, report)
        if one is None:
            continue
        if one in found:
            report.warn(
                sheet.cell(row, 0), f"this time off is there already, in line {found[one].line}", "delete this row"
            )
        found.setdefault(one, row)
    return tuple(found)


def _time_off(sheet: Sheet, row: Row, columns: dict[str, int], people: People, report: Report) -> TimeOff | None:
    cells = {name: row.cells[columns[name]] if name in columns else "" for name in TIME_OFF_COLUMNS}

    def place(name: str) -> Place:
        return sheet.cell(row, columns.get(name, columns["from"]))

    person = people.find(cells["person"])
    if not cells["person"]:
        report.error(place("person"), "whose time off is this? The name is missing")
    elif person is None:
        report.error(place("person"), *people.unknown(cells["person"]))
    # Without an end it is that day, or that half day.
    if not cells["from"]:
        report.error(place("from"), "the first day of this time off is missing", _WRITTEN)
        return None
    bounds = [("from", cells["from"], beginning), ("to", cells["to"] or cells["from"], ending)]
    moments = []
    for name, text, read in bounds:
        try:
            moments.append(read(text))
        except ValueError:
            report.error(place(name), f"'{text}' is no moment at which time off begins or ends", _WRITTEN)
            if not cells["to"]:
                break
    if person is None or len(moments) < 2:
        return None
    if earliest(moments[1]) <= earliest(moments[0]):
        how = "when" if cells["to"] == cells["from"] else "before"
        report.error(
            place("to"), f"this time off ends ({cells['to'] or cells['from']}) {how} it begins ({cells['from']})"
        )
        return None
    return TimeOff(person.key, cells["from"], cells["to"] or cells["from"], cells["reason"])
