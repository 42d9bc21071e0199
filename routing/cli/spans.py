"""What ``--from`` and ``--to`` mean in every command: a date begins with its midnight and, as the end, is the whole day; a date and time
is that moment."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

import typer

from routing.cli.output import problem

FIRST = "a date (from its beginning) or a date and time"  # for the help of options
LAST = "a date (that day is included) or a date and time"


def moment(text: str, zone: tzinfo = UTC, *, last: bool = False) -> datetime:
    """The moment that is meant, in the zone where the text names none; ``last``: where it is an end. Raises ValueError."""
    try:
        found = datetime.combine(date.fromisoformat(text) + timedelta(days=last), time())
    except ValueError:
        found = datetime.fromisoformat(text)
    if not 1970 <= found.year < 9999:  # beyond these no zone can be reckoned with, and there was no ledger
        message = f"there is nothing in the year {found.year}"
        raise ValueError(message)
    return found if found.tzinfo is not None else found.replace(tzinfo=zone)


def given(option: str, text: str, zone: tzinfo = UTC, *, last: bool = False) -> datetime:
    """As ``moment``, of an option; what is none ends the command with exit code 2."""
    try:
        return moment(text, zone, last=last)
    except (ValueError, OverflowError):
        problem(f"{option} {text!r} is no date or time: write it as 2026-11-22 or 2026-11-22T09:30.")
        raise typer.Exit(2) from None
