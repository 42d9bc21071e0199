"""``fingerpost policy``: work on a policy folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from routing.cli import policy_cases, policy_diff, policy_docs, policy_publish

app = typer.Typer(no_args_is_help=True)


@app.callback()
def policy() -> None:
    """Work on a policy folder."""


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that holds engagement.yaml.")],
    exact: Annotated[
        bool, typer.Option("--exact", help="Also prove of every rule whether it can ever fire; up to a minute.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Checks a policy, runs its tests, and shows every problem, with its place.

    Exit codes: 0 the policy can go live (there may be warnings); 1 it has errors; 2 the folder cannot be read.
    """
    import gc

    from routing.cli.output import print_json, problem
    from routing.runtime.clock import utcnow
    from routing.runtime.policy_check import check_files
    from routing.runtime.policy_folder import PolicyFolderError, read_folder
    from rules.nouns import counted
    from rules.source import render

    try:
        files = read_folder(folder)
    except PolicyFolderError as error:
        problem(str(error))
        raise typer.Exit(2) from None
    gc.disable()  # next to nothing could be let go, and looking for it takes a third of the time
    try:
        checked = check_files(files, utcnow(), exact)
    finally:
        gc.enable()
    compiled, problems = checked.policy, checked.problems
    errors = sum(one.severity == "error" for one in problems)
    warnings = len(problems) - errors
    if as_json:
        print_json(
            {
                "ok": compiled is not None,
                "digest": checked.digest,
                "errors": errors,
                "warnings": warnings,
                "tests": checked.tests,
                "undecided": checked.undecided,
                "problems": problems,
            }
        )
    else:
        if problems:
            typer.echo(render(problems))
        found = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
        if compiled is None:
            typer.echo(f"{folder} cannot go live: {found}.")
        else:
            people, pools = counted(len(compiled.people), "person"), counted(len(compiled.pools), "pool")
            size = f"{people}, {pools}, {counted(checked.tests, 'test')} passed"
            typer.echo(f"{folder} is fine: {size}; {found}; digest {compiled.digest[:12]}.")
        if checked.undecided:
            typer.echo(
                f"Undecided: whether {counted(checked.undecided, 'rule')} can ever fire; they overlap too much, or are too many."
            )
    raise typer.Exit(0 if compiled is not None else 1)


app.command("test")(policy_cases.cases)
app.command("explain")(policy_cases.explain)
app.command("publish")(policy_publish.publish)
app.command("diff")(policy_diff.diff)
app.command("docs")(policy_docs.docs)
app.command("schema")(policy_docs.schema)
