"""``fingerpost policy``: work on a policy folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def policy() -> None:
    """Work on a policy folder."""


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that holds engagement.yaml.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Checks a policy and shows every problem, with its place.

    Exit codes: 0 the policy can go live (there may be warnings); 1 it has errors; 2 the folder cannot be read.
    """
    from routing.cli.output import print_json, problem
    from routing.runtime.policy_folder import PolicyFolderError, read_folder
    from rules.policy import check as check_policy
    from rules.policy import digest
    from rules.source import render

    try:
        files = read_folder(folder)
    except PolicyFolderError as error:
        problem(str(error))
        raise typer.Exit(2) from None
    compiled, problems = check_policy(files)
    errors = sum(one.severity == "error" for one in problems)
    warnings = len(problems) - errors
    if as_json:
        print_json(
            {
                "ok": compiled is not None,
                "digest": digest(files),
                "errors": errors,
                "warnings": warnings,
                "problems": problems,
            }
        )
    else:
        if problems:
            typer.echo(render(problems))
        found = ", ".join(
            f"{count} {word}{'' if count == 1 else 's'}" for count, word in ((errors, "error"), (warnings, "warning"))
        )
        if compiled is None:
            typer.echo(f"{folder} cannot go live: {found}.")
        else:
            size = f"{len(compiled.people)} people, {len(compiled.pools)} pools"
            typer.echo(f"{folder} is fine: {size}; {found}; digest {compiled.digest[:12]}.")
    raise typer.Exit(0 if compiled is not None else 1)
