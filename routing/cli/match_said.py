"""``fingerpost match is``, ``is-not`` and ``labels``: what people say about matches, and that as labels for the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from routing.cli.options import Config, LedgerAt

Lead = Annotated[str, typer.Argument(metavar="LEAD", help="The CRM id of the lead or contact.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The CRM id of the account.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so.")]
Because = Annotated[str, typer.Option("--because", metavar="TEXT", help="Why; shown wherever it decides.")]
_LONGEST = 500


def is_(lead: Lead, account: Account, by: By, because: Because, config: Config = None, ledger: LedgerAt = None) -> None:
    """Says that a lead belongs to an account: its next event obeys, and so does every lead of the same company.

    Exit codes: 0 stored; 2 one of the two is not known, or there is no ledger.
    """
    _say(lead, account, True, by, because, config, ledger)


def is_not(
    lead: Lead, account: Account, by: By, because: Because, config: Config = None, ledger: LedgerAt = None
) -> None:
    """Says that a lead does not belong to an account: its next event obeys, and so does every lead of the same company.

    Exit codes: 0 stored; 2 one of the two is not known, or there is no ledger.
    """
    _say(lead, account, False, by, because, config, ledger)


def _say(lead: str, account: str, same: bool, by: str, because: str, config: Path | None, ledger: str | None) -> None:
    from routing.cli.output import one_line, open_ledger, out, problem
    from routing.runtime.clock import utcnow
    from routing.runtime.said import UnknownRecordError, say

    words = {"--by": one_line(by, _LONGEST), "--because": one_line(because, _LONGEST)}
    for name, text in words.items():
        if not text:
            raise typer.BadParameter("it is empty: whoever reads the decision later wants to know", param_hint=name)
    try:
        with open_ledger(config, ledger).write() as conn:
            made = say(conn, lead, account, same, words["--by"], words["--because"], utcnow())
    except UnknownRecordError as error:
        problem(str(error))
        raise typer.Exit(2) from None
    verb = "belongs" if made.same else "does not belong"
    out.print(
        f"{made.ref} {verb} to {made.account}: the next event about it, or about its company, obeys.", markup=False
    )


def labels(
    to: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where the labels go; without it, to stdout.")
    ] = None,
    config: Config = None,
    ledger: LedgerAt = None,
) -> None:
    """Writes what people said about matches as labels for `fingerpost match tune`: one pair a line as JSON.

    They hold what the records hold now: names, addresses, telephone numbers. Exit codes: 0 written; 1 nobody said anything yet.
    """
    import msgspec

    from routing.cli.output import err, open_ledger, problem, replacing
    from routing.runtime.said import labels as said
    from routing.runtime.tables import TableError

    written = 0
    try:
        with open_ledger(config, ledger).read() as conn, replacing(to) as file:
            for row in said(conn):
                file.write(msgspec.json.encode(row) + b"\n")
                written += 1
    except TableError as error:
        problem(str(error))
        raise typer.Exit(2) from None
    err.print(f"{written} labels written." if written else "Nobody said anything about a match yet.")
    raise typer.Exit(0 if written else 1)
