"""``fingerpost run``: the daemon, against the sandbox or against real systems."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routing.cli.ending import SAFE, in_time, leave
from routing.cli.output import err, out, print_json, problem

if TYPE_CHECKING:
    from routing.bootstrap.process import Process
    from routing.bootstrap.settings import Settings
    from routing.cli.sandbox_run import SandboxRun
    from routing.cli.screen import Screen

INTRODUCTION = """Leads come in now. Each line is one decision: time, where the lead is, its company → its new owner, the rule that
decided, the decision's id, and the fields that were corrected.
  Why?            {command} decisions show ID   (in another terminal)
  Another rule?   edit a file in {folder}; the next leads follow it
"""
LOOK_SECONDS = 0.25
BACKLOG_LOOKS = 4  # counting costs the ledger a little: once a second is enough for the eye
QUIET_LOOKS = 4  # this many looks in a row must find nothing to do before a run counts as idle


class Runtime(StrEnum):
    """What the log is: the ledger itself, or Kafka."""

    embedded = "embedded"
    kafka = "kafka"


def run(
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Against local stand-ins for the CRMs, with made-up leads.")
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", help="Against real systems, with these settings.")] = None,
    runtime: Annotated[
        Runtime,
        typer.Option(help="embedded: the ledger is the log. kafka: gateway, worker and delivery in one process."),
    ] = Runtime.embedded,
    leads: Annotated[int | None, typer.Option(min=0, help="Sandbox: stop making leads after this many.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Sandbox: leads a second.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Sandbox: another seed makes another world.")] = 1,
    policy: Annotated[Path | None, typer.Option(help="Sandbox: a policy folder other than the example.")] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Stop by itself when nothing is left to do.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No line for each decision.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Runs the daemon until Ctrl-C (or SIGTERM): watches, decides, writes back. Ends with a summary.

    Exit codes: 0 stopped as asked; 1 something is parked, or a part of the daemon failed; 2 could not start.
    """
    if sandbox == (config is not None):
        problem("Say either --sandbox, or --config FILE with the settings of your systems.")
        raise typer.Exit(2)
    stopping = on_signals()
    kafka = runtime is Runtime.kafka
    with _started(sandbox, config, policy, seed, kafka) as (settings, stand_in), _logging(settings, quiet) as _:
        code = _serve(settings, stand_in, stopping, leads, rate, until_idle, quiet or as_json, as_json, kafka)
    leave(code)


@contextmanager
def _started(
    sandbox: bool, config: Path | None, policy: Path | None, seed: int, kafka: bool
) -> Iterator[tuple[Settings, SandboxRun | None]]:
    """The settings to run with; with ``--sandbox``, of stand-ins that run as long as we do."""
    from routing.bootstrap.settings import SettingsError, load
    from routing.cli.sandbox_run import SandboxRun

    if not sandbox:
        assert config is not None
        settings = load(config)
        if settings.kafka is not None and not kafka:
            raise SettingsError(
                f"{config} has a section 'kafka', and this would start the one-machine form, which does without: say `--runtime kafka`, "
                "or take the section out."
            )
        yield settings, None
        return
    with SandboxRun(policy or _example_policy(), seed, kafka) as stand_in:
        yield stand_in.settings, stand_in


def _example_policy() -> Path:
    import rules

    return Path(rules.__file__).parent / "examples" / "inbound"


@contextmanager
def _logging(settings: Settings, quiet: bool) -> Iterator[None]:
    """To stderr; beside a live screen, which log lines would tear apart, to a file next to the ledger."""
    from routing.runtime.logs import configure

    if not out.is_terminal or quiet:
        configure(sys.stderr)
        yield
        return
    path = Path(settings.ledger.removeprefix("sqlite:///")).parent if settings.ledger.startswith("sqlite") else Path()
    path.mkdir(parents=True, exist_ok=True)
    with (path / "daemon.log").open("a", encoding="utf-8") as file:
        configure(file)
        yield


def on_signals() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set; a second of them ends the process at once."""
    stopping = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        if stopping.is_set():
            sys.exit(130)  # asked twice: at once; the ledger makes that safe
        stopping.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return stopping


def _serve(
    settings: Settings,
    stand_in: SandboxRun | None,
    stopping: threading.Event,
    leads: int | None,
    rate: float,
    until_idle: bool,
    quiet: bool,
    as_json: bool,
    kafka: bool,
) -> int:
    from sqlalchemy.exc import SQLAlchemyError

    from routing.cli.screen import Screen
    from routing.cli.starting import begin
    from routing.ledger.engine import reason
    from routing.ledger.report import run_report
    from routing.web.api import app_of
    from routing.web.app import Server, listen

    try:
        port = stand_in.listening if stand_in else listen(settings.intake.host, settings.intake.port)
    except OSError as error:
        problem(
            f"The intake cannot listen on {settings.intake.host}:{settings.intake.port}: {error.strerror}. "
            "Choose another port under 'intake' in the settings."
        )
        return 2
    daemon = begin(lambda: _made(settings, kafka), port, stopping)
    if daemon is None:
        return 0
    app = app_of(daemon, settings.api.tokens)
    screen = Screen(out, _namer(daemon), quiet)
    screen.hint = f"Why? {_here(Path(sys.argv[0]))} decisions show ID   Rules: {_here(settings.policy)}   Ctrl-C stops"
    daemon.feed.watch(screen.watch)
    daemon.services.start("web", "web server", Server(app, port).run)
    daemon.start()
    try:
        with screen if not as_json else nullcontext():
            _watch(daemon, stand_in, screen, stopping, leads, rate, until_idle)
    finally:
        with in_time("The daemon"):
            late = daemon.stop()
    if late:
        err.print(f"Did not stop in time: {', '.join(late)}. {SAFE}")
    calls = {name: system.connection.calls for name, system in daemon.systems.items()}
    try:
        # Counting a large ledger takes as long as it takes, unless it was what hung.
        with in_time("The ledger") if late else nullcontext(), daemon.ledger.read() as conn:
            report = run_report(conn, calls)
    except SQLAlchemyError as error:
        problem(f"The daemon stopped: {daemon.services.failure or f'the ledger cannot be read: {reason(error)}'}")
        return 1
    daemon.ledger.close()
    _show(report, as_json, stand_in is not None)
    if daemon.services.failed.is_set():
        problem(f"The daemon stopped: {daemon.services.failure}")
        return 1
    return 1 if report.parked else 0


def _made(settings: Settings, kafka: bool) -> Process:
    from routing.bootstrap.daemon import Daemon
    from routing.bootstrap.systems import connect

    if kafka:
        from routing.bootstrap.roles import Roles

        return Roles(settings, connect(settings))
    return Daemon(
        settings.ledger,
        settings.policy,
        connect(settings),
        patience=settings.ledger_patience_seconds,
        keep_evidence_days=settings.keep_evidence_days,
        most_owed=settings.most_owed,
    )


def _show(report: object, as_json: bool, sandbox: bool) -> None:
    from routing.cli.screen import summary
    from routing.ledger.report import RunReport

    assert isinstance(report, RunReport)
    if as_json:
        print_json({**_plain(report), "calls_per_1000_assignments": report.calls_per_1000})
        return
    summary(report, out)
    if sandbox:
        command = _here(Path(sys.argv[0]))
        out.print(f"\nSee why: {command} decisions list, then {command} decisions show ID", style="dim")


def _plain(report: object) -> dict[str, object]:
    import msgspec

    plain: dict[str, object] = msgspec.to_builtins(report)
    return plain


def _here(path: Path) -> Path:
    """A path as one would type it from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _namer(daemon: Process) -> Callable[[str], str]:
    def name(key: str) -> str:
        person = daemon.policies.current.people.get(key)
        return person.name if person else key

    return name


def _watch(
    daemon: Process,
    stand_in: SandboxRun | None,
    screen: Screen,
    stopping: threading.Event,
    leads: int | None,
    rate: float,
    until_idle: bool,
) -> None:
    """Keeps the screen up to date until it is time to stop."""
    flowing, quiet_looks = False, 0
    screen.say("Reading what the CRMs hold …")
    looks = 0
    while not stopping.wait(LOOK_SECONDS) and not daemon.services.failed.is_set():
        if looks % BACKLOG_LOOKS == 0 or until_idle:
            screen.backlog = daemon.backlog()
        looks += 1
        screen.calls = {name: system.connection.calls for name, system in daemon.systems.items()}
        screen.policy = f"Policy {daemon.policies.current.digest[:12]}"
        if daemon.policies.refused:
            screen.policy += " (the folder as it is now has errors and is not live)"
        screen.tick()
        if stand_in and daemon.ready.is_set() and not flowing:
            known = daemon.policies.current.entities.get("lead")
            stand_in.start_traffic(leads, rate, known.remote if known else ())
            flowing = True
            screen.say(INTRODUCTION.format(command=_here(Path(sys.argv[0])), folder=_here(daemon.policies.folder)))
        if until_idle and daemon.ready.is_set():
            idle = screen.backlog["events"] == 0 and screen.backlog["writes"] == 0
            idle = idle and (stand_in is None or (flowing and stand_in.all_arrived(daemon.ledger)))
            quiet_looks = quiet_looks + 1 if idle else 0
            if quiet_looks >= QUIET_LOOKS:
                return
