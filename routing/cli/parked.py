"""``fingerpost parked``: what could not be read, decided or written, and waits for the operator. Nothing is dropped by itself."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection

from routing.cli.options import Config, Json, LedgerAt
from routing.cli.output import err, one_line, open_ledger, out, print_json, problem
from routing.ledger import journal, outbox
from routing.ledger.schema import from_ms
from routing.runtime import parked_events
from routing.runtime.clock import utcnow

app = typer.Typer(no_args_is_help=True)

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="Ids as `parked list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="All that are parked.")]


def _rows(conn: Connection) -> list[dict[str, Any]]:
    events = [
        {
            "what": "event",
            "id": row["event_id"],
            "record": row["ref"],
            "why": row["reason"],
            "since_ms": row["accepted_ms"],
        }
        for row in journal.parked(conn)
    ]
    writes = [
        {
            "what": "write",
            "id": row["write_id"],
            "record": row["ref"],
            "why": row["detail"],
            "since_ms": row["ended_ms"],
        }
        for row in outbox.parked(conn)
    ]
    return events + writes


@app.command("list")
def list_(config: Config = None, ledger: LedgerAt = None, as_json: Json = False) -> None:
    """Lists parked events and writes, the oldest first; at most 1,000 of each."""
    with open_ledger(config, ledger).read() as conn:
        rows = _rows(conn)
    if as_json:
        for row in rows:
            print_json({**row, "since": from_ms(row.pop("since_ms"))})
        return
    if not rows:
        err.print("Nothing is parked.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("since (UTC)", "what", "record", "why", "id"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        since = f"{from_ms(row['since_ms']):%Y-%m-%d %H:%M:%S}"
        cells = (since, row["what"], row["record"], row["why"], row["id"])
        table.add_row(*(Text(one_line(str(cell))) for cell in cells))
    out.print(table)


@app.command()
def retry(ids: Ids = None, everything: All = False, config: Config = None, ledger: LedgerAt = None) -> None:
    """Tries parked events and writes again; a running daemon takes them up within a second."""
    wanted = _wanted(ids, everything)
    store = open_ledger(config, ledger)
    with store.write() as conn:
        chosen = _choose(conn, wanted)
        changed, stay = parked_events.retry(conn, chosen, utcnow())
        changed += outbox.retry_parked(conn, chosen, utcnow())
    for why in stay:
        problem(why)
    _report(changed, "will be tried again")


@app.command()
def discard(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the ledger with your user name.")],
    ids: Ids = None,
    everything: All = False,
    config: Config = None,
    ledger: LedgerAt = None,
) -> None:
    """Gives parked events and writes up. They stay in the ledger, as skipped or superseded, with the reason."""
    wanted = _wanted(ids, everything)
    if not reason.strip():
        problem("Give a reason: --reason 'test data'.")
        raise typer.Exit(2)
    said = f"discarded by {getpass.getuser()}: {one_line(reason)}"
    store = open_ledger(config, ledger)
    with store.write() as conn:
        chosen = _choose(conn, wanted)
        now = utcnow()
        changed = journal.discard_parked(conn, chosen, said, now) + outbox.discard_parked(conn, chosen, said, now)
    _report(changed, "given up")


def _wanted(ids: list[str] | None, everything: bool) -> list[str] | None:
    if everything == bool(ids):
        problem("Name the ids to act on, or say --all.")
        raise typer.Exit(2)
    return None if everything else ids


def _choose(conn: Connection, wanted: list[str] | None) -> list[str] | None:
    """Full ids for the beginnings that were given; None stands for all."""
    if wanted is None:
        return None
    chosen = []
    parked = [row["id"] for row in _rows(conn)]
    for start in wanted:
        fits = [ident for ident in parked if ident.startswith(start)]
        if len(fits) != 1:
            problem(f"{start!r} fits {len(fits)} parked entries, not one; nothing was changed.")
            raise typer.Exit(2)
        chosen += fits
    return chosen


def _report(changed: int, done: str) -> None:
    err.print(f"{changed} {done}.")
    raise typer.Exit(0 if changed else 1)
