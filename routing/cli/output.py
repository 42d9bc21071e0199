"""How commands print: data to stdout, everything about it to stderr."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from rules.nouns import system_name

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from connectors.contract import Finding
    from routing.runtime.kafka.settings import KafkaSettings
    from routing.runtime.tables import Table
    from rules.policy import Policy
    from rules.pools.model import Person

# In a pipe or a file there is no edge to keep within.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 200)


def print_json(data: Any) -> None:
    """One line of JSON."""
    sys.stdout.write(msgspec.json.encode(data).decode() + "\n")


def problem(text: str) -> None:
    """An error, in the reader's words."""
    err.print(text, style="red", markup=False)


def print_finding(finding: Finding) -> None:
    """What was checked, whether it is well, and what to do when not."""
    sign, style = ("✓ ", "green") if finding.ok else ("✗ ", "red")
    mark = Text(sign, style=style) if finding.looked else Text("– ", style="yellow")
    out.print(mark.append(finding.check, style="bold").append(f"  {finding.detail}", style="default"), soft_wrap=True)
    if finding.advice and not (finding.ok and finding.looked):
        out.print(Text(f"    → {finding.advice}", style="yellow"), soft_wrap=True)


def one_line(text: str, most: int = 300) -> str:
    """``text`` on one line and of bounded length, without control characters: it may come from a stranger's web form."""
    clean = "".join(c if c.isprintable() else " " for c in text[: most * 2])
    clean = " ".join(clean.split())
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def available(not_for: Mapping[str, str]) -> str:
    """Of somebody who can receive leads: that, and why not those of single CRMs (by its name)."""
    return f"available{not_from(not_for)}"


def not_from(not_for: Mapping[str, str]) -> str:
    """What follows then: "; not for Salesforce leads: …"."""
    return "".join(f"; not for {system_name(crm)} leads: {why}" for crm, why in not_for.items())


@contextmanager
def replacing(path: Path | None) -> Iterator[BinaryIO]:
    """Stdout, or the file to write: whoever reads it finds the old one or the whole new one, never a half. Raises TableError."""
    from routing.runtime.tables import TableError

    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise TableError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)


def spare(written: Path | None, *read: Path) -> None:
    """Raises TableError when the file to write is one of those to read."""
    from routing.runtime.tables import TableError

    if written is not None and any(written.exists() and written.samefile(one) for one in read if one.exists()):
        raise TableError(f"{written} is one of the files to be read. Name another file with --out.")


def tell_notes(table: Table) -> None:
    """What reading a table has to say of it, on stderr."""
    for note in table.notes:
        err.print(f"Note: {note}", markup=False)


def look_at_lag(config: Path, kafka: KafkaSettings) -> Finding:
    """How many events wait in the log, by the ledger that the settings name. Raises KafkaUnwell."""
    from sqlalchemy.exc import SQLAlchemyError

    from connectors.contract import Finding
    from routing.ledger.check import current_revision
    from routing.ledger.engine import LedgerError, reason
    from routing.runtime.clock import utcnow
    from routing.runtime.kafka.lag import finding, lag_of

    try:
        ledger = open_ledger(config, None)
        if current_revision(ledger):
            return finding(lag_of(kafka, ledger), utcnow())
    except LedgerError:
        pass  # nobody has started yet
    except SQLAlchemyError as error:
        advice = "`fingerpost ledger check` says more."
        return Finding("log", False, f"the ledger cannot be asked how much is settled: {reason(error)}", advice)
    return Finding("log", True, "there is no ledger yet, so nothing of it is settled")


STATE = Path(".fingerpost")
SANDBOX_LEDGER = STATE / "sandbox" / "ledger.db"


def open_ledger(config: Path | None, ledger: str | None, must_exist: bool = True) -> Any:
    """The ledger that a command is to look at: ``--ledger``, that of ``--config``, or the last sandbox run's.

    Raises LedgerError when there is none.
    """
    from routing.bootstrap.settings import ledger_of
    from routing.ledger.engine import Ledger, LedgerError

    if ledger is not None:
        url = ledger if "://" in ledger else f"sqlite:///{Path(ledger).resolve()}"
    elif config is not None:
        url = ledger_of(config)
    else:
        url = f"sqlite:///{SANDBOX_LEDGER.resolve()}"
    file = Path(url.removeprefix("sqlite:///"))
    if must_exist and url.startswith("sqlite:///") and not file.exists():
        raise LedgerError(
            f"There is no ledger at {file}. Name the daemon's settings with --config, or the "
            "ledger with --ledger; `fingerpost run --sandbox` makes one to look at."
        )
    if must_exist and url.startswith("sqlite:///") and not file.stat().st_size:
        raise LedgerError(f"{file} is empty: no ledger. Name the one that the daemon works on, or delete this file.")
    opened = Ledger(url)
    weakref.finalize(opened, opened.engine.dispose)  # a command lets go of it when it is done
    return opened


def policy_if_live(conn: Connection) -> Policy | None:
    """The policy that is live in the ledger, None where there was none yet."""
    from routing.ledger import policies
    from rules.policy import compile_policy

    digest = policies.live(conn)
    files = None if digest is None else policies.load(conn, digest)
    return None if files is None else compile_policy(files)


def live_policy(conn: Connection) -> Policy:
    """The policy that is live in the ledger. Without one the command ends with exit code 2."""
    policy = policy_if_live(conn)
    if policy is None:
        problem("No policy is live in this ledger yet: start the daemon first.")
        raise typer.Exit(2)
    return policy


def person_named(policy: Policy, conn: Connection, name: str) -> Person:
    """Whom that means (``routing.runtime.naming``). Where it means nobody the command says so, and ends with exit code 2."""
    from routing.runtime.naming import NobodyCalled, person_called

    try:
        return person_called(policy, conn, name)
    except NobodyCalled as error:
        problem(str(error))
        raise typer.Exit(2) from None
