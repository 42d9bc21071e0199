"""``fingerpost gateway``, ``worker`` and ``delivery``: the roles of the distributed runtime, each in processes of its own."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Annotated

import typer

from routing.cli.ending import SAFE, in_time, leave
from routing.cli.output import problem
from routing.cli.run import on_signals

if TYPE_CHECKING:
    from routing.bootstrap.roles import Roles
    from routing.bootstrap.settings import DeliverySettings, IntakeSettings, Settings, WorkerSettings

Config = Annotated[Path, typer.Option("--config", help="The settings; all roles share one file.")]
LOOK_SECONDS = 0.1


def gateway(config: Config) -> None:
    """Brings things in: webhooks, and streams and first fill of each system at one gateway at a time. Any number may run.

    Exit codes: 0 stopped as asked; 1 a part of it failed; 2 could not start.
    """
    _run("gateway", config)


def worker(config: Config) -> None:
    """Decides: takes its share of the log, settles it in the ledger, fires timers. Any number may run.

    Exit codes: 0 stopped as asked; 1 a part of it failed; 2 could not start.
    """
    _run("worker", config)


def delivery(config: Config) -> None:
    """Takes what was decided to the CRMs, and tells other programs of it. Any number may run.

    Exit codes: 0 stopped as asked; 1 a part of it failed; 2 could not start.
    """
    _run("delivery", config)


def _run(role: str, config: Path) -> None:
    from routing.bootstrap.roles import Roles
    from routing.bootstrap.settings import load
    from routing.bootstrap.systems import connect
    from routing.cli.starting import begin
    from routing.runtime.logs import configure
    from routing.web.api import app_of
    from routing.web.app import Server

    stopping = on_signals()
    configure(sys.stderr, role=role)
    settings = load(config)
    try:
        listening = _listen(role, settings)
    except OSError as error:
        problem(f"The {role} cannot listen: {error.strerror}. Choose another port for it in {config}.")
        raise typer.Exit(2) from None
    process = begin(lambda: Roles(settings, connect(settings), [role]), listening, stopping)
    if process is None:
        raise typer.Exit(0)
    if listening is not None:
        app = app_of(process, settings.api.tokens if role == "gateway" else {})
        process.services.start("web", "web server", Server(app, listening).run)
    process.start()
    _wait(process, stopping)
    with in_time(f"The {role}"):
        late = process.stop()
    code = 1 if process.services.failed.is_set() else 0
    if code:
        problem(f"The {role} stopped: {process.services.failure}")
    if late:
        problem(f"Did not stop in time: {', '.join(late)}. {SAFE}")
    leave(code, late)


def _listen(role: str, settings: Settings) -> socket | None:
    """The open port of a role, None for a role that is to have none. Raises OSError."""
    from routing.web.app import listen

    at: IntakeSettings | WorkerSettings | DeliverySettings = settings.intake
    if role != "gateway":
        at = settings.worker if role == "worker" else settings.delivery
        if not at.port:
            return None
    return listen(at.host, at.port)


def _wait(process: Roles, stopping: threading.Event) -> None:
    while not stopping.wait(LOOK_SECONDS) and not process.services.failed.is_set():
        pass
