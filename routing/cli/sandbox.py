"""``fingerpost sandbox``: the stand-ins for Salesforce, HubSpot and Marketo, as a process of their own."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

if TYPE_CHECKING:
    from connectors.sandbox.salesforce.objects import FieldKind
    from connectors.sandbox.salesforce.server import SalesforceSandbox
    from connectors.sandbox.server import SandboxOptions

app = typer.Typer(no_args_is_help=True)

# What an administrator there would make a field of each type of fields.yaml.
_KINDS: dict[str, FieldKind] = {
    "text": "string",
    "number": "double",
    "money": "currency",
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
    "choice": "picklist",
    "list": "multipicklist",
    "person": "reference",
    "reference": "reference",
}
_LOOK = 0.25  # seconds between looks at whether the parent still lives


@app.callback()
def sandbox() -> None:
    """Local stand-ins for Salesforce, HubSpot and Marketo."""


@app.command()
def serve(
    people: Annotated[
        Path | None,
        typer.Option(
            help="A CSV with the columns name and email (as well, if you like: active, role, region): who the CRMs' users and "
            "owners are. Without it, three made-up people."
        ),
    ] = None,
    fields: Annotated[
        Path | None,
        typer.Option(help="A policy's fields.yaml: Salesforce has the custom objects and fields that it names, empty."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same world and the same leads.")] = 1,
    accounts: Annotated[int, typer.Option(min=0, help="How many accounts the world starts with.")] = 2000,
    salesforce_port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    pubsub_port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    hubspot_port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    marketo_port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    port: Annotated[int, typer.Option(help="Of the admin address; 0 takes a free one.")] = 0,
    webhook_url: Annotated[str, typer.Option(help="Where HubSpot's webhooks go; POST /webhook sets it later.")] = "",
    hubspot_limit: Annotated[int, typer.Option(min=1, help="HubSpot requests allowed in ten seconds.")] = 190,
    settings_out: Annotated[Path | None, typer.Option(help="Also write the addresses to this file.")] = None,
    with_parent: Annotated[bool, typer.Option("--with-parent", help="End when the parent process ends.")] = False,
) -> None:
    """Serves them until SIGTERM, Ctrl-C or POST /stop. Prints one JSON line with all addresses when ready.

    Exit codes: 0 stopped as asked; 2 a port is taken, or people.csv or fields.yaml cannot be used.
    """
    from connectors.sandbox.server import SandboxOptions

    options = SandboxOptions(
        seed=seed,
        accounts=accounts,
        salesforce_port=salesforce_port,
        pubsub_port=pubsub_port,
        hubspot_port=hubspot_port,
        marketo_port=marketo_port,
        admin_port=port,
        webhook_url=webhook_url,
        hubspot_ten_seconds=hubspot_limit,
    )
    try:
        _serve(people, fields, options, settings_out, with_parent)
    except (OSError, ValueError) as error:
        typer.echo(f"The sandbox did not start: {error}", err=True)
        raise typer.Exit(2) from error


@app.command()
def load(
    scenario: Annotated[Path, typer.Option(help="The scenario file; connectors/sandbox/scenario.py shows one.")],
    admin: Annotated[str, typer.Option(help="The sandbox's admin_url.")] = "",
    settings: Annotated[Path | None, typer.Option(help="Instead: the file that serve --settings-out wrote.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the last step is done.")] = False,
) -> None:
    """Plays a scenario on a running sandbox: traffic, faults, what people and administrators do, step by step.

    Exit codes: 0 it plays (with --wait: it was played to its end); 1 a step failed; 2 the file cannot be used, or no sandbox answers.
    """
    from connectors.sandbox.scenario import read_scenario

    try:
        read_scenario(scenario)
        url = admin or _admin_of(settings)
        body = json.dumps(yaml.safe_load(scenario.read_text("utf-8")))
        state = _asked(url, "POST", "scenario", body.encode())
        while wait and state["playing"]:
            time.sleep(_LOOK)
            state = _asked(url, "GET", "state")
    except (OSError, ValueError) as error:
        typer.echo(f"The scenario was not loaded: {error}", err=True)
        raise typer.Exit(2) from error
    if state["error"]:
        typer.echo(f"The scenario ended early: {state['error']}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{state['scenario']}: {state['steps_done']} of {state['steps']} steps done.")


def _asked(url: str, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
    """How far the scenario is. Raises ValueError with what the sandbox refused, or why it was not heard."""
    import requests

    try:
        answer = requests.request(method, f"{url}/{path}", data=body, timeout=10)
        said = answer.json()
        if answer.status_code == 200:
            return dict(said["scenario"])
        refused = str(said["error"])
    except requests.JSONDecodeError as error:
        raise ValueError(f"{url} answers, but is no admin_url of a sandbox") from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise ValueError(f"no sandbox answers at {url}: is `fingerpost sandbox serve` running?") from error
    except requests.RequestException as error:
        raise ValueError(f"a sandbox has an address like http://127.0.0.1:21800, not {url!r}") from error
    except (KeyError, TypeError) as error:
        raise ValueError(f"{url} answers, but is no admin_url of a sandbox") from error
    raise ValueError(refused)


def _admin_of(settings: Path | None) -> str:
    if settings is None:
        raise ValueError("name the sandbox: --admin URL, or --settings FILE that serve --settings-out wrote")
    try:
        return str(json.loads(settings.read_text("utf-8"))["admin_url"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{settings} is not what `fingerpost sandbox serve --settings-out` writes") from error


def _serve(
    people: Path | None, fields: Path | None, options: SandboxOptions, settings_out: Path | None, with_parent: bool
) -> None:
    from connectors.sandbox.people import ANYBODY, read_people
    from connectors.sandbox.server import SandboxServer
    from routing.runtime.clock import monotonic, utcnow

    parent = os.getppid()
    server = SandboxServer(read_people(people) if people else ANYBODY, utcnow, monotonic, options)
    if fields is not None:
        _add_fields(server.salesforce, fields)
    asked: list[int] = []  # an Event's lock must not be taken in a signal handler
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _: asked.append(signum))
    try:
        server.start()
        line = json.dumps({**server.settings(), "pid": os.getpid()})
        if settings_out is not None:
            _write_whole(settings_out, line + "\n")
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        while not server.stopped.wait(_LOOK):
            if asked or (with_parent and os.getppid() != parent):
                break
    finally:
        server.stop()


def _add_fields(salesforce: SalesforceSandbox, path: Path) -> None:
    """Adds the custom objects and fields that a fields.yaml names and the sandbox does not have. Mistakes in the file are told by whoever runs
    the policy; the fields without any are added."""
    from rules.fields import read_fields
    from rules.source import Report, decode
    from rules.yamlfile import read_yaml

    report = Report()
    source = decode(path.name, path.read_bytes(), report)
    entities = read_fields(read_yaml(source, report), report) if source is not None else {}
    for entity in entities.values():
        name = entity.remote.get("salesforce", "")
        if name.endswith("__c") and name not in salesforce.store.objects:
            salesforce.add_object(name, {})
        if name not in salesforce.store.objects:
            continue
        for field in entity.fields.values():
            own = field.remote.get("salesforce", "")
            if own.endswith("__c") and own not in salesforce.store.objects[name].fields:
                salesforce.add_field(name, own, _KINDS[field.type])


def _write_whole(path: Path, text: str) -> None:
    """So that whoever waits for the file never sees half of it."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
