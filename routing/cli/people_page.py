"""How ``fingerpost people`` shows people: whether they can receive leads now, what is planned, and what was entered about them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from routing.cli.output import available, err, one_line, out

if TYPE_CHECKING:
    from routing.core.availability.known import Known
    from routing.core.availability.people import Availability
    from routing.ledger.people import Entry
    from rules.policy import Policy
    from rules.pools.model import Person


def upcoming(policy: Policy, known: Known, availability: Availability, key: str, now: datetime) -> list[dict[str, Any]]:
    """What is entered or planned and not over."""
    entered = [
        {"kind": one.kind, "from": one.begins, "to": one.ends, "source": "entered", "entry": one.number}
        for one in known.absences
        if one.person == key and (not one.ends or availability.ends(key, one.ends) > now)
    ]
    planned = [
        {"kind": "off", "from": one.from_, "to": one.to, "source": "policy", "entry": 0}
        for one in policy.time_off
        if one.person == key and availability.ends(key, one.to) > now
    ]
    return entered + planned


def row_of(
    person: Person, why: str | None, not_for: dict[str, str], until: datetime | None, absences: list[dict[str, Any]]
) -> dict[str, Any]:
    """A person as they are listed: ``why`` they cannot receive leads now (None: they can), ``not_for`` those of which CRMs, ``until`` when,
    and the ``absences`` entered or planned (``upcoming``)."""
    return {
        "person": person.key,
        "name": person.name,
        "time_zone": person.time_zone or "UTC",
        "available": why is None,
        "why": why or "",
        "not_for": {} if why else not_for,
        "until": until,
        "absences": absences,
    }


def print_people(rows: list[dict[str, Any]]) -> None:
    """Those rows (``row_of``) as a table."""
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "e-mail", "now", "until (UTC)", "entered or planned"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        until = f"{row['until']:%Y-%m-%d %H:%M}" if row["until"] else ""
        planned = "; ".join(_in_words(one) for one in row["absences"])
        cells = (row["name"], row["person"], row["why"] or available(row["not_for"]), until, planned)
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    out.print(table)


def print_entries(entries: list[Entry]) -> None:
    """All that was ever entered about one person."""
    if not entries:
        err.print("Nothing was entered about them with `people off` or `people pause`.")
        return
    table = Table(box=None, pad_edge=False, title="entered", title_justify="left")
    for heading in ("entry", "what", "from", "to", "by", "at (UTC)", "because", "ended"):
        table.add_column(heading, overflow="fold")
    for one in entries:
        what = one.absence
        ended = "" if one.ended_at is None else f"{one.ended_at:%Y-%m-%d %H:%M} by {one.ended_by} {one.ended_because}"
        cells = (
            str(what.number),
            what.kind,
            what.begins,
            what.ends,
            what.author,
            f"{what.at:%Y-%m-%d %H:%M}",
            what.reason,
            ended,
        )
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    out.print(table)


def _in_words(one: dict[str, Any]) -> str:
    return f"{one['kind']} {one['from']} to {one['to'] or '…'}"
