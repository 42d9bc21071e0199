"""``fingerpost doctor``: is everything the daemon needs there, and allowed? In plain words, with what to do."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace
from sqlalchemy import text as sql
from sqlalchemy.exc import SQLAlchemyError

from connectors.contract import Finding
from routing.cli.output import err, print_finding, print_json

if TYPE_CHECKING:
    from routing.runtime.kafka.settings import KafkaSettings


def doctor(
    config: Annotated[Path, typer.Option("--config", help="The daemon's settings file.")] = Path("fingerpost.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON, one finding a line.")] = False,
) -> None:
    """Checks each connection, permission, clock and limit. Changes nothing, neither in the CRMs nor in the ledger. Exit code 1 when something is wrong."""
    findings = []
    for finding in _findings(config):
        findings.append(finding)
        if as_json:
            print_json(finding)
        else:
            print_finding(finding)
    wrong = sum(not finding.ok for finding in findings)
    if not as_json:
        unseen = "" if all(finding.looked for finding in findings) else " Some could not be made: see the lines with –."
        said = "All is well." if not wrong else f"{wrong} of {len(findings)} checks need attention."
        err.print(f"{said}{unseen}")
    raise typer.Exit(1 if wrong else 0)


def _findings(config: Path) -> Iterator[Finding]:
    from routing.bootstrap.settings import load
    from routing.bootstrap.systems import ADD_ONE, configured, connections
    from routing.runtime.policy_folder import PolicyFolderError, read_folder
    from rules.policy import check
    from rules.source import render

    settings = load(config)
    yield Finding("settings", True, f"{config} can be read")
    try:
        policy, problems = check(read_folder(settings.policy))
    except PolicyFolderError as error:
        yield Finding("policy", False, str(error), "Name the policy's folder in the settings.")
        return
    if policy is None:
        yield Finding("policy", False, render(problems), "Correct it; `fingerpost policy check` shows the same.")
        return
    yield Finding("policy", True, f"{settings.policy} compiles ({policy.digest[:12]}), {len(problems)} warning(s)")
    yield from _ledger(settings.ledger, configured(settings))
    yield _port(settings.intake.host, settings.intake.port)
    if settings.kafka is not None:
        yield from _kafka(config, settings.kafka)
    made = connections(settings, policy)
    if not made:
        yield Finding(
            "systems",
            False,
            "no system is configured",
            ADD_ONE,
        )
    for connection in made:
        for found in connection.check():
            yield replace(found, check=f"{connection.system}: {found.check}")
        connection.close()


def _ledger(url: str, systems: Collection[str]) -> Iterator[Finding]:
    from routing.ledger.check import current_revision, head_revision
    from routing.ledger.engine import Ledger, LedgerError, reason
    from routing.runtime import filling

    file = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not file.exists():
        folder = next(one for one in file.absolute().parents if one.exists())
        writable = folder.is_dir() and os.access(folder, os.W_OK)
        detail = f"{file} is made when the daemon starts" if writable else f"{folder} cannot be written"
        yield Finding("ledger", writable, detail, "Give the daemon a folder it may write to, with free space.")
        return
    try:
        ledger = Ledger(url)
    except LedgerError as error:
        yield Finding("ledger", False, str(error), "Correct 'ledger' in the settings.")
        return
    try:
        # Looked at, not upgraded: a cluster of an older version may work on it at this moment.
        has, needs = current_revision(ledger), head_revision()
        if has != needs:
            detail = f"its schema is {has or 'not there yet'}, and this version needs {needs}"
            yield Finding("ledger", False, detail, "Run `fingerpost ledger upgrade`, with everything stopped.")
            return
        with ledger.write() as conn:
            conn.execute(sql("UPDATE position SET updated_ms = updated_ms WHERE 1 = 0"))
            left = filling.unfilled(conn, systems)
    except SQLAlchemyError as error:
        advice = "Check that the server runs, or that the file may be written, with free space."
        yield Finding("ledger", False, f"{ledger.name}: {reason(error)}", advice)
        return
    finally:
        ledger.close()
    yield Finding("ledger", True, f"can be opened and written (schema {has})")
    for system, words in left.items():
        yield Finding(f"{system}: first fill", True, f"not done ({words}); until all are, nothing is decided")


def _kafka(config: Path, settings: KafkaSettings) -> Iterator[Finding]:
    from routing.cli.output import look_at_lag
    from routing.runtime.kafka import topics
    from routing.runtime.kafka.settings import KafkaMisconfigured, KafkaUnwell

    try:
        found = [*topics.check(settings), look_at_lag(config, settings)]
    except (KafkaMisconfigured, KafkaUnwell) as error:
        yield Finding("kafka", False, str(error), "Until this works, nothing that comes in is accepted.")
        return
    yield Finding("kafka", True, f"{', '.join(settings.servers)} can be reached ({settings.security_protocol})")
    yield from found


def _port(host: str, port: int) -> Finding:
    from routing.web.app import listen

    try:
        listen(host, port).close()
    except OSError as error:
        advice = "If the daemon is running now, that is why; otherwise choose another port under 'intake'."
        return Finding("intake port", False, f"{host}:{port} cannot be opened: {error.strerror}", advice)
    return Finding("intake port", True, f"{host}:{port} is free")
