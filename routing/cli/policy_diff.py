"""``fingerpost policy diff``: what a change of the policy means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from routing.cli.policy_cases import At, Json, instant, load


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The policy folder as it was.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The policy folder as it is to be.")],
    at: At = None,
    as_json: Json = False,
) -> None:
    """Tells what changed from one policy to another, and example records that now go elsewhere.

    Exit codes: 0 they mean the same; 1 something changed; 2 a policy cannot be used.
    """
    from routing.cli.output import print_json
    from routing.core.readdressed import readdressed
    from rules.analysis.diff import compare

    before, after = load(old), load(new)
    found, people = compare(before, after, instant(at)), readdressed(before.people, after.people)
    if as_json:
        print_json({"changes": found.changes, "moved": found.moved, "people": people.said})
    else:
        for change in found.changes:
            detail = f" ({change.detail})" if change.detail else ""
            typer.echo(f"{change.how:<8} {change.what} {change.name}{detail}")
        for said in people.said:
            typer.echo(said)
        if found.moved:
            typer.echo("\nRecords that go elsewhere, for example:")
        for one in found.moved:
            typer.echo(f"  {one.record}: {one.before} → {one.after}")
        if not found.changes:
            typer.echo("Both policies mean the same.")
    raise typer.Exit(1 if found.changes else 0)
