"""The command ``fingerpost``. One file a command group; what a command needs is imported when it runs, so that ``--help`` is quick.

Exit codes, for all commands: 0 done; 1 done, and something needs attention (a policy with errors, parked records, a failed check,
nothing found); 2 not done: the call, a file or a setting is wrong, and the message says which.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from routing.cli import (
    decisions,
    doctor,
    leads,
    ledger,
    match,
    match_said,
    parked,
    people,
    policy,
    pools,
    replay,
    report,
    roles,
    route,
    run,
    sandbox,
    topics,
)
from routing.cli.output import problem

app = typer.Typer(
    name="fingerpost",
    help="Routes leads: watches the CRM, decides who owns each record, writes it back, and explains every decision.\n\n"
    "Exit codes: 0 done; 1 done, and something needs attention; 2 not done, the message says why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals may hold secrets
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("gateway")(roles.gateway)
app.command("worker")(roles.worker)
app.command("delivery")(roles.delivery)
app.command("doctor")(doctor.doctor)
app.command("route")(route.route)
app.command("replay")(replay.replay)
app.add_typer(policy.app, name="policy", help="Check, test, explain and compare policies.")
app.add_typer(decisions.app, name="decisions", help="What was decided, and why.")
app.add_typer(ledger.app, name="ledger", help="Upgrade, check or move the ledger.")
app.add_typer(topics.app, name="topics", help="The topics of the distributed runtime.")
match.app.command("is")(match_said.is_)
match.app.command("is-not")(match_said.is_not)
match.app.command("labels")(match_said.labels)
app.add_typer(match.app, name="match", help="Match leads to accounts, and fit what the evidence weighs.")
app.add_typer(parked.app, name="parked", help="Events and writes that wait for the operator.")
app.add_typer(people.app, name="people", help="Who is off or paused, day by day.")
app.add_typer(pools.app, name="pools", help="How pools stand, trying them out, credits, and claiming from a queue.")
app.add_typer(leads.app, name="leads", help="What a rep answers to a lead: accept it, or give it back.")
app.add_typer(report.app, name="report", help="Speed to lead, SLA clocks, and the fairness of pools.")
app.add_typer(sandbox.app, name="sandbox", help="Local stand-ins for Salesforce and HubSpot.")


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Prints the version."""
    from routing.cli.output import print_json

    number = installed_version("fingerpost")
    if as_json:
        print_json({"version": number})
    else:
        typer.echo(f"fingerpost {number}")


def main() -> None:
    """Entry of the command; errors that have an explanation are printed as one, with exit code 2."""
    from connectors.errors import ConnectorError
    from routing.bootstrap.settings import SettingsError
    from routing.ledger.engine import LedgerError
    from routing.runtime.kafka.settings import KafkaMisconfigured, KafkaUnwell
    from routing.runtime.policy_folder import PolicyFolderError
    from rules.model import PolicyError
    from rules.source import render

    try:
        app()
    except PolicyError as error:
        problem(f"The policy has errors and was not used:\n{render(error.problems)}")
    except (SettingsError, LedgerError, PolicyFolderError, ConnectorError, KafkaMisconfigured, KafkaUnwell) as error:
        problem(str(error))
    except BrokenPipeError:
        sys.exit(0)  # whoever read our output has seen enough
    else:
        return
    sys.exit(2)


if __name__ == "__main__":
    main()
