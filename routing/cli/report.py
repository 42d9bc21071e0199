"""``fingerpost report``: speed to lead, SLA clocks and fairness over a span of time, as a table, JSON, or a page with plots."""

from __future__ import annotations

from datetime import UTC, timedelta, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.table import Table
from rich.text import Text

from routing.cli import spans
from routing.cli.output import err, one_line, open_ledger, out, policy_if_live, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from routing.cli.report_page import Section
    from rules.policy import Policy

app = typer.Typer(no_args_is_help=True)

DAYS = 30


class By(StrEnum):
    """By what a report is summed up."""

    all = "all"
    pool = "pool"
    person = "person"
    source = "source"
    hour = "hour"


Config = Annotated[Path | None, typer.Option("--config", help="The daemon's settings file.")]
LedgerAt = Annotated[str | None, typer.Option("--ledger", help="A ledger file or URL, instead of the settings' one.")]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page with plots to this file instead.")]
From = Annotated[
    str, typer.Option("--from", help=f"From when: {spans.FIRST}; {DAYS} days before the end if not given.")
]
To = Annotated[str, typer.Option("--to", help=f"Until when: {spans.LAST}; now if not given.")]
Zone = Annotated[str, typer.Option("--zone", help="Time zone of the dates and hours, as Europe/Berlin.")]
Each = Annotated[By, typer.Option("--by", help="By what to sum up.")]


class _Span:
    """What time a report is about."""

    def __init__(self, since: str, until: str, zone: str) -> None:
        from routing.runtime.clock import utcnow

        self.zone = _zone(zone)
        self.until = spans.given("--to", until, self.zone, last=True) if until else utcnow()
        self.since = spans.given("--from", since, self.zone) if since else self.until - timedelta(days=DAYS)
        if self.since >= self.until:
            raise typer.BadParameter(f"--from {since or self.since.isoformat()} is not before --to {until or 'now'}.")

    def __str__(self) -> str:
        since, until = self.since.astimezone(self.zone), self.until.astimezone(self.zone)
        return f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} {self.zone}"


def _zone(name: str) -> tzinfo:
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise typer.BadParameter(f"There is no time zone {name!r}; write it as Europe/Berlin.") from None


@app.callback()
def report() -> None:
    """Sum up what was routed."""


@app.command()
def speed(
    since: From = "",
    until: To = "",
    by: Each = By.all,
    zone: Zone = "UTC",
    html: Html = None,
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Json = False,
) -> None:
    """Speed to lead: from the change in the CRM to the decision, to its confirmed write, and to the first touch.

    Exit codes: 0 there is something to report; 1 nothing was routed then; 2 the call is wrong, or the ledger cannot be opened.
    """
    from routing.cli.report_sections import speed_section
    from routing.ledger import reports

    span = _Span(since, until, zone)
    with open_ledger(config, ledger).read() as conn:
        rows = reports.speed(conn, span.since, span.until, by.value, span.zone)
        name = _names(conn, policy_if_live(conn)) if by is By.person else str
    sections = [speed_section(rows, by.value, name)]
    _tell(f"Speed to lead, {span}", rows, sections, html, as_json, "No lead was routed then.")


@app.command()
def sla(
    since: From = "",
    until: To = "",
    by: Each = By.all,
    zone: Zone = "UTC",
    html: Html = None,
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Json = False,
) -> None:
    """How the SLA clocks did that were started then: in time, late, still open.

    Exit codes: 0 there is something to report; 1 no clock was started then; 2 the call is wrong, or the ledger cannot be opened.
    """
    from routing.cli.report_sections import clock_section
    from routing.ledger import reports

    span = _Span(since, until, zone)
    with open_ledger(config, ledger).read() as conn:
        rows = reports.clocks(conn, span.since, span.until, by.value, span.zone)
        name = _names(conn, policy_if_live(conn)) if by is By.person else str
    _tell(f"SLA clocks, {span}", rows, [clock_section(rows, name)], html, as_json, "No SLA clock was started then.")


@app.command()
def fairness(
    pool: Annotated[str, typer.Argument(help="Only this pool.")] = "",
    html: Html = None,
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Json = False,
) -> None:
    """Who of each pool was given how much, what their fair share was, and how far apart these are, in leads.

    Exit codes: 0 nobody is further from it than their pool's `alarm` says; 1 somebody is, or no lead went through it; 2 the ledger
    cannot be opened.
    """
    from routing.cli.report_sections import fair_sections
    from routing.ledger import reports

    with open_ledger(config, ledger).read() as conn:
        policy = policy_if_live(conn)
        bounds = {} if policy is None else {name: one.bound for name, one in policy.pools.items()}
        rows, name = reports.fairness(conn, bounds, pool), _names(conn, policy)
    if pool and not rows and policy is not None and pool not in policy.pools:
        from rules.source import nearest

        hint = nearest(pool, policy.pools) or f"there are {', '.join(policy.pools)}"
        err.print(f"The live policy has no pool {pool!r}: {hint}.", style="red", markup=False)
        raise typer.Exit(2)
    nothing = f"No lead went through {pool or 'a pool'} yet."
    _tell("Fairness of the pools", rows, fair_sections(rows, name), html, as_json, nothing)
    raise typer.Exit(1 if any(row.bound is not None and row.apart > row.bound for row in rows) else 0)


def _names(conn: Connection, policy: Policy | None) -> Callable[[str], str]:
    """What people are called in tables and on pages, where no e-mail address belongs that is not needed."""
    from routing.core.directory import Directory
    from routing.ledger import mirror

    return str if policy is None else Directory.build(policy, mirror.people(conn)).name


def _tell(title: str, rows: list[Any], sections: list[Section], html: Path | None, as_json: bool, nothing: str) -> None:
    if not rows:
        if as_json:
            print_json([])
        err.print(nothing)
        raise typer.Exit(1)
    if html is not None:
        from routing.cli.report_page import page

        try:
            html.write_text(page(title, sections), encoding="utf-8")
        except OSError as error:
            err.print(f"{html} cannot be written: {error.strerror or error}.", style="red", markup=False)
            raise typer.Exit(2) from None
        err.print(f"Written to {html}.", markup=False)
    if as_json:
        print_json(rows)
    elif html is None:
        out.print(Text(title, style="bold"))
        for section in sections:
            _print(section)


def _print(section: Section) -> None:
    from routing.cli.report_page import Grid

    if section.title:
        out.print(Text(f"\n{section.title}", style="bold"))
    for part in section.parts:
        if isinstance(part, Grid):
            table = Table(box=None, pad_edge=False)
            for n, heading in enumerate(part.head):
                table.add_column(heading, justify="left" if n in part.texts else "right", no_wrap=True)
            for row in part.rows:
                table.add_row(*(Text(one_line(cell, 60)) for cell in row))
            out.print(table)
    if section.note:
        out.print(Text(section.note, style="dim"))
