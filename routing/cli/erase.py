"""``fingerpost erase``: forgets a person whose erasure their CRM does not tell of (Salesforce, Marketo)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from routing.cli.output import err, live_policy, open_ledger, out, print_json

WAIT_SECONDS = 5.0
LOOK_SECONDS = 0.05


def erase(
    ident: Annotated[str, typer.Argument(metavar="ID", help="The record's id in the CRM.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only what would be erased is told.")] = False,
    system: Annotated[str, typer.Option("--system", help="The CRM, where several know a record of that id.")] = "",
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until it is done.")] = WAIT_SECONDS,
    config: Annotated[Path | None, typer.Option("--config", help="The daemon's settings file.")] = None,
    ledger: Annotated[
        str | None, typer.Option("--ledger", help="A ledger file or URL, instead of the settings' one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Forgets all that the ledger holds of a record, and of the records that were merged into it. Changes nothing in the CRM: erase it there first, or a record that is made anew or restored is heard of again.

    It cannot be undone. That something was decided, and for whom, stays. Exit codes: 0 done, or written down for the daemon; 1 not done: --yes is
    missing, no record or several have the id, or it was parked; 2 the call is wrong, or the ledger cannot be opened.
    """
    from routing.runtime.answers import outcome
    from routing.runtime.erasing import Unknown, known_as
    from routing.runtime.erasing import erase as write_down

    opened = open_ledger(config, ledger)
    with opened.read() as conn:
        policy = live_policy(conn)
    try:
        ref, merged = known_as(opened, policy, ident, system)
    except Unknown as error:
        err.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    ended = outcome(opened, write_down(opened, ref), wait, LOOK_SECONDS) if yes else None
    if as_json:
        state, reason = (ended.state, ended.reason) if ended is not None else ("", "")
        print_json({"record": ref, "merged_into_it": merged, "state": state, "reason": reason})
    else:
        out.print(f"{ref}{' and what was merged into it: ' if merged else ''}{', '.join(merged)}", markup=False)
    if ended is None:
        err.print("Nothing was erased. Say --yes to have it forgotten; it cannot be undone.", markup=False)
        raise typer.Exit(1)
    if ended.state in ("skipped", "parked"):
        err.print(f"It was not erased: {ended.reason}.", style="red", markup=False)
        raise typer.Exit(1)
    if not as_json:
        out.print("Erased." if ended.state == "applied" else "Written down; the daemon will take it up.")
