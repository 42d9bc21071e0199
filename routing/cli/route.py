"""``fingerpost route``: decides a file of leads, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from routing.runtime.offline import Offline, Summary
    from routing.runtime.tables import Table

# Below this many bytes a run is over before a bar would be looked at.
_LONG_INPUT = 1_000_000


def route(
    policy: Annotated[Path, typer.Option("--policy", metavar="DIR", help="The policy folder.")],
    accounts: Annotated[Path, typer.Option("--accounts", metavar="FILE", help="The accounts, CSV or JSONL.")],
    leads: Annotated[Path, typer.Option("--leads", metavar="FILE", help="The leads, CSV or JSONL.")],
    now: Annotated[
        str | None, typer.Option("--now", metavar="ISO-8601", help="The time to decide at; without it, the clock's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where the decisions go; without it, to stdout.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary (on stderr) as JSON.")] = False,
) -> None:
    """Decides every lead of a file with a policy, and writes one decision a line as JSON. Nothing else is touched.

    Exit codes: 0 every lead was decided; 1 some rows could not be read (each has a line with the outcome "parked");
    2 a file or the policy cannot be used.
    """
    import gc

    from routing.cli.output import problem, replacing, spare, tell_notes
    from routing.runtime.clock import monotonic
    from routing.runtime.offline import Accounts, Offline, open_accounts, open_leads
    from routing.runtime.policy_folder import read_folder
    from routing.runtime.tables import TableError
    from rules.policy import compile_policy

    at = _instant(now)
    compiled = compile_policy(read_folder(policy))
    try:
        accounts_table, leads_table = open_accounts(accounts, compiled), open_leads(leads, compiled)
        spare(out, accounts, leads)
        known = Accounts.load(accounts_table, compiled)
        tell_notes(accounts_table)
        gc.collect()
        # The accounts stay until the end and decisions leave no cycles behind: looking for garbage would only cost time.
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        run = Offline(compiled, known, at)
        started = monotonic()
        with replacing(out) as file:
            _write(run, leads_table, file)
        run.summary.seconds = round(monotonic() - started, 3)
        run.summary.leads_per_second = round(run.summary.leads / max(run.summary.seconds, 1e-3), 1)
    except TableError as error:
        problem(str(error))
        raise typer.Exit(2) from None
    tell_notes(leads_table)
    _show(run.summary, as_json)
    if run.summary.parked:
        raise typer.Exit(1)


def _instant(now: str | None) -> datetime:
    from routing.core.times import parse_instant
    from routing.runtime.clock import utcnow

    if now is None:
        return utcnow()
    try:
        return parse_instant(now)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"'{now}' is no ISO-8601 time, such as 2026-11-22T18:00:00Z", param_hint="--now"
        ) from None


def _write(run: Offline, table: Table, file: BinaryIO) -> None:
    with _bar(table) as bar:
        for piece in run.run(table):
            file.write(piece)
            bar(table.read)


class _bar:  # noqa: N801 - reads as a verb where it is used
    """A progress bar on stderr, for long input and a terminal; otherwise nothing."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._progress: Any = None

    def __enter__(self) -> Any:
        from routing.cli.output import err

        if not err.is_terminal or self._table.size < _LONG_INPUT:
            return lambda _: None
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("Deciding"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=err,
        )
        self._progress.start()
        task = self._progress.add_task("leads", total=self._table.size, completed=0)
        start = self._table.read
        return lambda read: self._progress.update(task, completed=read - start)

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()


def _show(summary: Summary, as_json: bool) -> None:
    import sys

    import msgspec
    from rich.table import Table as Grid

    from routing.cli.output import err

    if as_json:
        sys.stderr.write(msgspec.json.encode(summary).decode() + "\n")
        return
    grid = Grid(show_header=False, box=None)
    rows = [
        ("Leads", f"{summary.leads:,}"),
        ("  matched to an account", _share(summary.matched, summary)),
        ("  assigned", _share(summary.assigned, summary)),
        ("  kept by their owner", _share(summary.kept, summary)),
        ("  on hold", _share(summary.held, summary)),
        ("  rejected", _share(summary.rejected, summary)),
        ("  not routed", _share(summary.not_routed, summary)),
        ("  parked (rows that cannot be read)", _share(summary.parked, summary)),
        ("  with corrected fields", _share(summary.corrected, summary)),
        ("Leads a second", f"{summary.leads_per_second:,.0f}"),
    ]
    for name, value in rows:
        grid.add_row(name, value)
    for name, share in summary.pools.items():
        grid.add_row(f"Pool {name}", f"{share.assigned:,} leads, at most {share.deviation:.2f} from the fair share")
    err.print(grid)


def _share(count: int, summary: Summary) -> str:
    return f"{count:,} ({count / summary.leads:.1%})" if summary.leads else "0"
