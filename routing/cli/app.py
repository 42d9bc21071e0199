"""The command ``fingerpost``. One file a command group; a command is imported when it is asked for, so that it starts quickly.

Exit codes, for all commands: 0 done; 1 done, and something needs attention (a policy with errors, parked records, a failed check,
nothing found); 2 not done: the call, a file or a setting is wrong, and the message says which.
"""

from __future__ import annotations

import sys
from collections import UserDict
from importlib import import_module
from importlib.metadata import version as installed_version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from routing.cli.output import problem

# The commands, by name: the module that holds each; and the groups of commands, with what is said of them.
COMMANDS = {"run": "run", "gateway": "roles", "worker": "roles", "delivery": "roles", "doctor": "doctor", "route": "route",
            "replay": "replay", "erase": "erase"}  # fmt: skip
GROUPS = {
    "policy": "Check, test, explain and compare policies.",
    "decisions": "What was decided, and why.",
    "ledger": "Upgrade, check or move the ledger.",
    "topics": "The topics of the distributed runtime.",
    "match": "Match leads to accounts, and fit what the evidence weighs.",
    "parked": "Events and writes that wait for the operator.",
    "people": "Who is off or paused, day by day.",
    "pools": "How pools stand, trying them out, credits, and claiming from a queue.",
    "leads": "What a rep answers to a lead: accept it, or give it back.",
    "report": "Speed to lead, SLA clocks, and the fairness of pools.",
    "sandbox": "Local stand-ins for Salesforce, HubSpot and Marketo.",
}


class _Commands(UserDict[str, Any]):
    """All commands by name; one is imported when it is looked at."""

    def __getitem__(self, name: str) -> Any:
        if self.data[name] is None:
            module = import_module(f"routing.cli.{COMMANDS.get(name, name)}")
            alone = typer.Typer(rich_markup_mode=None)
            if name in COMMANDS:
                alone.command(name)(getattr(module, name))
            else:
                alone.add_typer(module.app, name=name, help=GROUPS[name])
            alone.callback()(lambda: None)  # so that even a lone command has its name
            self.data[name] = typer.main.get_group(alone).commands[name]
        return self.data[name]


class _OnDemand(TyperGroup):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands: Any = _Commands({**dict.fromkeys((*COMMANDS, *GROUPS)), **self.commands})


app = typer.Typer(
    name="fingerpost",
    cls=_OnDemand,
    help="Routes leads: watches the CRM, decides who owns each record, writes it back, and explains every decision.\n\n"
    "Exit codes: 0 done; 1 done, and something needs attention; 2 not done, the message says why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals may hold secrets
    rich_markup_mode=None,
)


@app.callback()
def fingerpost() -> None:
    """Makes a group of it, whatever stands below."""


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
    try:
        app()
    except BrokenPipeError:
        sys.exit(0)  # whoever read our output has seen enough
    except Exception as error:
        if not _explained(error):
            raise
        sys.exit(2)


def _explained(error: Exception) -> bool:
    """Whether the error is one that says what to do, and was printed."""
    from sqlalchemy.exc import OperationalError

    from connectors.errors import ConnectorError
    from routing.bootstrap.settings import SettingsError
    from routing.ledger.engine import LedgerError, is_without_schema, reason
    from routing.runtime.kafka.settings import KafkaMisconfigured, KafkaUnwell
    from routing.runtime.policy_folder import PolicyFolderError
    from rules.model import PolicyError
    from rules.source import render

    if is_without_schema(error):
        problem(
            f"This is no ledger of Fingerpost, or one of an older version: {reason(error)}. Look whether --ledger or --config names the "
            "right one; `fingerpost ledger check` says what is there, `fingerpost ledger upgrade` makes what is missing."
        )
        return True
    if isinstance(error, OperationalError):
        problem(
            f"The ledger cannot be used now: {reason(error)}. What was not finished was not done; try again in a minute."
        )
        return True
    if isinstance(error, PolicyError):
        problem(f"The policy has errors and was not used:\n{render(error.problems)}")
        return True
    known = (SettingsError, LedgerError, PolicyFolderError, ConnectorError, KafkaMisconfigured, KafkaUnwell)
    if isinstance(error, known):
        problem(str(error))
    return isinstance(error, known)


if __name__ == "__main__":
    main()
