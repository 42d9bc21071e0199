"""``fingerpost leads``: what a rep says of a lead that was given to them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from routing.cli.output import err, live_policy, open_ledger, out, print_json

app = typer.Typer(no_args_is_help=True)

WAIT_SECONDS = 5.0
LOOK_SECONDS = 0.05

Ident = Annotated[str, typer.Argument(metavar="ID", help="The lead's record id in the CRM.")]
By = Annotated[str, typer.Option("--by", help="Who answers: name, e-mail address or the id of their CRM user.")]
System = Annotated[str, typer.Option("--system", help="The CRM, where several know a record of that id.")]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for what comes of it.")]
Config = Annotated[Path | None, typer.Option("--config", help="The daemon's settings file.")]
LedgerAt = Annotated[str | None, typer.Option("--ledger", help="A ledger file or URL, instead of the settings' one.")]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.callback()
def leads() -> None:
    """Answer for a lead."""


@app.command()
def accept(
    ident: Ident,
    by: By,
    because: Annotated[str, typer.Option("--because", help="Why, in a sentence.")] = "",
    system: System = "",
    wait: Wait = WAIT_SECONDS,
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Json = False,
) -> None:
    """Says that the rep takes care of the lead: the clocks that wait for that stop.

    Exit codes: 0 done, or written down for the daemon; 1 it came to nothing, the text says why (somebody else has it by now);
    2 the call is wrong, or the ledger cannot be opened.
    """
    _answer("accepted", ident, by, because, system, wait, config, ledger, as_json)


@app.command()
def reject(
    ident: Ident,
    by: By,
    because: Annotated[str, typer.Option("--because", help="Why, in a sentence.")],
    system: System = "",
    wait: Wait = WAIT_SECONDS,
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Json = False,
) -> None:
    """Gives the lead back: it is routed once more, to somebody who has not had it. Exit codes as for accept."""
    _answer("rejected", ident, by, because, system, wait, config, ledger, as_json)


def _answer(
    kind: Literal["accepted", "rejected"],
    ident: str,
    by: str,
    because: str,
    system: str,
    wait: float,
    config: Path | None,
    ledger: str | None,
    as_json: bool,
) -> None:
    from routing.runtime.answers import Unanswerable, answer, outcome

    opened = open_ledger(config, ledger)
    try:
        with opened.read() as conn:
            policy = live_policy(conn)
        event_id = answer(opened, policy, kind, ident, by, because, system)
    except Unanswerable as error:
        err.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    ended = outcome(opened, event_id, wait, LOOK_SECONDS)
    if as_json:
        print_json({"event_id": event_id, "state": ended.state, "reason": ended.reason, "decision": ended.decision})
    elif ended.state == "skipped" or ended.state == "parked":
        err.print(f"It came to nothing: {ended.reason}.", style="red", markup=False)
    elif ended.decision is not None:
        out.print(ended.decision.reason, markup=False)
    else:
        out.print("Written down; the daemon will take it up.")
    raise typer.Exit(1 if ended.state in ("skipped", "parked") else 0)
