"""``fingerpost policy test`` and ``explain``: what a policy does with one record, step by step."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from routing.runtime.policy_tests import Outcome
    from rules.policy import Policy
    from rules.policy_tests.case import Case

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that holds engagement.yaml.")]
At = Annotated[
    str | None, typer.Option("--at", metavar="ISO-8601", help="The time to decide at; without it, the clock's.")
]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
_LARGEST = 1_000_000  # bytes of a file that holds one record


def cases(
    folder: Folder,
    only: Annotated[
        str | None, typer.Option("--only", metavar="WORDS", help="Only tests whose name holds this.")
    ] = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Runs the tests of tests.yaml; one that fails prints what happened instead, step by step.

    Exit codes: 0 all passed; 1 some failed, or there are none; 2 the policy cannot be used.
    """
    from routing.cli.output import print_json
    from routing.runtime.policy_tests import run_tests

    policy = load(folder)
    chosen = [one for one in policy.tests if only is None or only.casefold() in one.name.casefold()]
    outcomes = run_tests(policy, instant(at), chosen)
    failed = [one for one in outcomes if one.failures]
    if as_json:
        print_json(
            {"passed": len(outcomes) - len(failed), "failed": len(failed), "tests": [_told(one) for one in outcomes]}
        )
    else:
        for one in outcomes:
            _print(one)
        if not chosen:
            typer.echo("No test fits." if policy.tests else f"{folder} has no tests: write some into tests.yaml.")
        else:
            typer.echo(f"{len(outcomes) - len(failed)} of {len(outcomes)} tests passed.")
    raise typer.Exit(1 if failed or not chosen else 0)


def _print(outcome: Outcome) -> None:
    typer.echo(f"{'✗' if outcome.failures else '✓'} {outcome.test.name}")
    if not outcome.failures:
        return
    for one in outcome.failures:
        place = one.expected.place
        typer.echo(f"    {place.source.name}:{place.line}:{place.column}: {one.message}")
    typer.echo("    What happened instead:")
    for line in outcome.story:
        typer.echo(f"      {line}")
    typer.echo("")


def _told(outcome: Outcome) -> dict[str, Any]:
    decision = outcome.trial.settled.decision
    return {
        "test": outcome.test.name,
        "line": outcome.test.place.line,
        "passed": not outcome.failures,
        "failures": [
            {"expected": one.expected.key, "line": one.expected.place.line, "message": one.message}
            for one in outcome.failures
        ],
        "decision": decision,
        "story": outcome.story if outcome.failures else [],
    }


def explain(
    folder: Folder,
    lead: Annotated[Path, typer.Option("--lead", metavar="FILE", help="One record, YAML or JSON, by canonical names.")],
    account: Annotated[
        Path | None, typer.Option("--account", metavar="FILE", help="The account that it belongs to, YAML or JSON.")
    ] = None,
    why_not: Annotated[
        list[str] | None,
        typer.Option("--why-not", metavar="RULE|PERSON", help="Why not this rung, row, person or pool? Repeatable."),
    ] = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Tells where a record goes and why: every rung that was tried, with the values that decided it.

    FILE holds the fields of one lead, as in tests.yaml; or, below 'lead:', with 'account', 'counterpart', 'duplicate_of', 'event', 'roster' beside it.

    Exit codes: 0 explained; 2 a file, the policy or a name cannot be used.
    """
    from routing.cli.output import print_json, problem
    from routing.runtime.story import headline, steps
    from routing.runtime.trial import Court
    from routing.runtime.why_not import UnknownNameError
    from routing.runtime.why_not import why_not as answer

    policy = load(folder)
    trial = Court(policy).decide(_case(policy, lead, account), instant(at))
    try:
        answers = {name: answer(trial, name) for name in why_not or ()}
    except UnknownNameError as error:
        problem(str(error))
        raise typer.Exit(2) from None
    if as_json:
        told = {"headline": headline(trial), "story": steps(trial), "decision": trial.settled.decision}
        print_json({**told, "effects": trial_effects(trial), "why_not": answers, "policy": policy.digest})
        return
    typer.echo(headline(trial))
    typer.echo("")
    for line in steps(trial):
        typer.echo(f"  {line}")
    for name, lines in answers.items():
        typer.echo(f"\nWhy not {name}?")
        for line in lines:
            typer.echo(f"  {line}")


def trial_effects(trial: Any) -> list[Any]:
    """What the rung does beside choosing the owner."""
    return list(getattr(trial.planned, "effects", ()))


def _case(policy: Policy, path: Path, account: Path | None) -> Case:
    """The case of the files. Exits with 2 where one has a mistake; all are shown."""
    from dataclasses import replace

    from routing.cli.output import problem
    from rules.policy_tests.reader import CaseReader
    from rules.source import Report, render

    report = Report()
    reader = CaseReader(policy.known, report)
    found = reader.single(_node(path, report), path.name)
    if account is not None:
        values = reader.account(_node(account, report), account.name)
        if found is not None and values is not None:
            found = replace(found, account=values)
    if found is None or report.errors:
        problem(render(report.problems()) or f"{path} holds no record.")
        raise typer.Exit(2)
    return found


def _node(path: Path, report: Any) -> Any:
    from routing.cli.output import problem
    from rules.source import decode
    from rules.yamlfile import read_yaml

    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        problem(f"{path} cannot be read: {error.strerror}.")
        raise typer.Exit(2) from None
    if len(data) > _LARGEST:
        problem(f"{path} is too large for one record: it may have {_LARGEST:,} bytes.")
        raise typer.Exit(2)
    source = decode(path.name, data, report)
    return read_yaml(source, report) if source is not None else None


def load(folder: Path) -> Policy:
    """The compiled policy of a folder. Exits with 2 when it has errors; all are shown."""
    from routing.cli.output import problem
    from routing.runtime.policy_folder import PolicyFolderError, read_folder
    from rules.model import PolicyError
    from rules.policy import compile_policy
    from rules.source import render

    try:
        return compile_policy(read_folder(folder))
    except PolicyFolderError as error:
        problem(str(error))
    except PolicyError as error:
        problem(f"{folder} has errors:\n{render(error.problems)}")
    raise typer.Exit(2)


def instant(text: str | None) -> datetime:
    """The time that ``--at`` names, by default the clock's."""
    from routing.core.times import parse_instant
    from routing.runtime.clock import utcnow

    if text is None:
        return utcnow()
    try:
        return parse_instant(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"'{text}' is no ISO-8601 time, such as 2026-11-22T18:00:00Z", param_hint="--at"
        ) from None
