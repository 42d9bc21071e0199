"""``fingerpost policy publish``: a policy goes live for all processes on a ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from routing.cli.options import Config, LedgerAt
from routing.cli.output import open_ledger, out, print_json, problem


def publish(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that holds engagement.yaml.")],
    config: Config = None,
    ledger: LedgerAt = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Checks a policy and makes it live for all gateways, workers and deliveries on a PostgreSQL ledger, within seconds.

    An older policy is brought back the same way. A daemon on an SQLite ledger follows its folder instead: edit that.
    Exit codes: 0 it is live; 1 it has errors and was not published; 2 the folder or the ledger cannot be used.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from routing.ledger.engine import LedgerError, reason
    from routing.runtime.clock import utcnow
    from routing.runtime.going_live import go_live
    from routing.runtime.policy_check import check_files
    from routing.runtime.policy_folder import read_folder
    from rules.source import render

    files, now = read_folder(folder), utcnow()
    checked = check_files(files, now)
    if checked.policy is None:
        if as_json:
            print_json({"published": False, "digest": checked.digest, "problems": checked.problems})
        else:
            problem(f"{folder} was not published:\n{render(checked.problems)}")
        raise typer.Exit(1)
    opened = open_ledger(config, ledger)
    if opened.is_sqlite:
        raise LedgerError(
            "The daemon on this ledger follows the folder of its settings: change the files there instead."
        )
    try:
        policy = checked.policy
        live = opened.repeated(lambda conn: go_live(conn, policy, files, now))
    except SQLAlchemyError as error:
        raise LedgerError(f"Nothing was published; the ledger {opened.name} says: {reason(error)}") from None
    if as_json:
        print_json(
            {"published": live.changed, "digest": checked.digest, "problems": checked.problems, "people": live.said}
        )
        return
    if checked.problems:
        typer.echo(render(checked.problems))
    for said in live.said:
        typer.echo(said)
    out.print(f"{checked.digest[:12]} is live." if live.changed else f"{checked.digest[:12]} was live already.")
