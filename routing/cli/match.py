"""``fingerpost match``: matches a file of leads to a file of accounts, and fits the weights of the evidence to people's judgement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routing.cli import match_said

if TYPE_CHECKING:
    from routing.core.matching.assess import Judged
    from routing.core.matching.score import Weights
    from rules.policy import Policy

app = typer.Typer(invoke_without_command=True)
app.command("is")(match_said.is_)
app.command("is-not")(match_said.is_not)
app.command("labels")(match_said.labels)


@app.callback()
def match(
    context: typer.Context,
    accounts: Annotated[
        Path | None, typer.Option("--accounts", metavar="FILE", help="The accounts, CSV or JSONL.")
    ] = None,
    leads: Annotated[Path | None, typer.Option("--leads", metavar="FILE", help="The leads, CSV or JSONL.")] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy", metavar="DIR", help="A policy folder: its matching.yaml applies. Without it, what is usual."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where the matches go; without it, to stdout.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, max=12, help="How many candidates are told of each lead.")] = 5,
) -> None:
    """Matches every lead of a file to an account of a file: one line a lead as JSON, with the evidence. Nothing else is touched.

    Fields go by their canonical names: company, email, website, phone, country, … of a lead; name, website, domains, phone,
    former_names, parent, … of an account.

    Exit codes: 0 every lead was read; 1 some rows could not be (their line says why); 2 a file cannot be used.
    """
    if context.invoked_subcommand is not None:
        return
    from routing.cli.output import problem, replacing, spare, tell_notes
    from routing.runtime.matching import Matcher, open_accounts, open_leads
    from routing.runtime.tables import TableError

    for name, given in (("--accounts", accounts), ("--leads", leads)):
        if given is None:
            raise typer.BadParameter(f"name the {name[2:]} with {name} FILE", param_hint=name)
    assert accounts is not None
    assert leads is not None
    try:
        accounts_table, leads_table = open_accounts(accounts), open_leads(leads)
        spare(out, accounts, leads)
        matcher = Matcher(accounts_table, _compiled(policy))
        tell_notes(accounts_table)
        with replacing(out) as file:
            for piece in matcher.lines(leads_table, top):
                file.write(piece)
    except TableError as error:
        problem(str(error))
        raise typer.Exit(2) from None
    tell_notes(leads_table)
    if matcher.broken:
        raise typer.Exit(1)


def _compiled(policy: Path | None) -> Policy | None:
    from routing.runtime.policy_folder import read_folder
    from rules.policy import compile_policy

    return compile_policy(read_folder(policy)) if policy is not None else None


@app.command()
def tune(
    labels: Annotated[
        Path,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="Judged pairs, CSV or JSONL: lead.id, lead.company, …, account.id, account.name, …, same (yes or no).",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The weights file to write.")] = Path(
        "weights.json"
    ),
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Weights to stay near to where labels are few; without it, the shipped ones."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Fits the weights of the evidence to pairs that people judged, tells how good they are, and writes them to a file.

    Rows of one lead.id are one choice: the lead belongs to the account whose row says yes, and to none where all say no. The report
    is by cross-validation: each fifth of the leads is judged by weights fitted to the other four. Name the file in
    matching.yaml (weights: weights.json) to use it.

    Exit codes: 0 fitted and written; 2 a file cannot be used.
    """
    from routing.cli.output import problem, replacing, spare, tell_notes
    from routing.core.matching.assess import cross_validated, judge
    from routing.core.matching.fit import fit
    from routing.runtime.matching import open_labels, read_labels, weights_file
    from routing.runtime.tables import TableError

    try:
        table = open_labels(labels)
        spare(out, labels)
        prior = _weights(start)
        choices = read_labels(table)
        tell_notes(table)
        judged, before = cross_validated(choices, prior), judge(choices, prior)
        pairs = sum(len(choice.measured) for choice in choices)
        fitted = fit(choices, prior, f"{len(choices)} leads with {pairs} judged accounts")
        with replacing(out) as file:
            file.write(weights_file(fitted))
    except TableError as error:
        problem(str(error))
        raise typer.Exit(2) from None
    _show(judged, before, fitted, prior, out, as_json)


def _weights(path: Path | None) -> Weights:
    from routing.core.matching.score import Weights, shipped
    from routing.runtime.tables import TableError

    if path is None:
        return shipped()
    try:
        return Weights.of(path.read_bytes())
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise TableError(f"{path}: {error}") from error


def _show(
    judged: list[Judged], before: list[Judged], fitted: Weights, prior: Weights, out: Path, as_json: bool
) -> None:
    from rich.table import Table as Grid

    from routing.cli.output import out as screen
    from routing.cli.output import print_json
    from routing.core.matching.assess import LIKELY, calibration, quality
    from rules.model import Matching

    sure = Matching().bands.match
    error, tenths = calibration(judged)
    sides = {"fitted": judged, "before": before}
    if as_json:
        report = {
            name: {
                "precision": quality(side).precision,
                "recall": quality(side).recall,
                "f1": quality(side).f1,
                "precision_of_match": quality(side, sure).precision,
                "recall_of_match": quality(side, sure).recall,
                "calibration_error": calibration(side)[0],
            }
            for name, side in sides.items()
        }
        print_json(report | {"leads": len(judged), "calibration": tenths, "written": str(out)})
        return
    grid = Grid("", *sides, box=None, title=f"{len(judged):,} leads, cross-validated", title_justify="left")
    for words, cut in ((f"from {LIKELY:.0%} on", LIKELY), (f"from {sure:.0%} on", sure)):
        found = [quality(side, cut) for side in sides.values()]
        grid.add_row(f"precision {words}", *(f"{one.precision:.2%}" for one in found))
        grid.add_row(f"recall {words}", *(f"{one.recall:.2%}" for one in found))
        grid.add_row(f"F1 {words}", *(f"{one.f1:.4f}" for one in found))
    grid.add_row("calibration error", f"{error:.4f}", f"{calibration(before)[0]:.4f}")
    screen.print(grid)
    table = Grid(
        "probability",
        "leads",
        "said",
        "right",
        box=None,
        title="Does a probability mean what it says?",
        title_justify="left",
    )
    for one in tenths:
        table.add_row(f"{one.low:.0%} to {one.low + 0.1:.0%}", f"{one.count:,}", f"{one.said:.1%}", f"{one.right:.1%}")
    screen.print(table)
    changed = sorted(fitted.kinds, key=lambda kind: -abs(fitted.kinds[kind] - prior.kinds.get(kind, 0.0)))[:5]
    told = ", ".join(f"{kind} {prior.kinds.get(kind, 0.0):+.1f} → {fitted.kinds[kind]:+.1f}" for kind in changed)
    screen.print(f"Changed most: {told}", markup=False)
    screen.print(
        f"Written to {out}. To use it, put it into the policy folder and name it in matching.yaml: weights: {out.name}",
        markup=False,
    )
