"""``fingerpost ledger``: bring the schema up to date, look the ledger through, move it to another database."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from routing.cli.output import STATE, err, open_ledger, out, print_json
from routing.ledger.engine import Ledger, LedgerError, reason

if TYPE_CHECKING:
    from routing.ledger.check import Report

app = typer.Typer(no_args_is_help=True)

Config = Annotated[Path | None, typer.Option("--config", help="The daemon's settings file.")]
LedgerAt = Annotated[str | None, typer.Option("--ledger", help="A ledger file or URL, instead of the settings' one.")]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.callback()
def ledger() -> None:
    """Look after the ledger."""


@app.command()
def upgrade(config: Config = None, ledger: LedgerAt = None, as_json: Json = False) -> None:
    """Creates the schema, or brings an older one up to date. Stop everything that works on it first: it refuses otherwise.

    Exit codes: 0 it is up to date; 2 it cannot be opened, or a newer version wrote it.
    """
    from routing.bootstrap.process import only_one
    from routing.ledger import match_index
    from routing.ledger.check import current_revision, head_revision
    from routing.ledger.copy import refuse_if_in_use

    opened = _named(config, ledger)
    lock = only_one(opened)
    try:
        if not opened.is_sqlite and current_revision(opened) not in ("", head_revision()):
            refuse_if_in_use(opened)
    except SQLAlchemyError as error:
        raise LedgerError(f"The ledger {opened.name} cannot be opened: {reason(error)}") from None
    opened.upgrade()
    match_index.ensure(opened)
    revision = current_revision(opened)
    if lock is not None:
        lock.close()
    if as_json:
        print_json({"revision": revision})
    else:
        out.print(f"The ledger is up to date: schema {revision}.")


@app.command()
def check(config: Config = None, ledger: LedgerAt = None, as_json: Json = False) -> None:
    """Looks the ledger through: its schema, whether everything in it adds up, and what lies there for too long. Changes nothing.

    Exit codes: 0 all is well; 1 something needs attention, each with what to do; 2 it cannot be opened.
    """
    from routing.ledger.check import examine
    from routing.runtime.clock import utcnow

    opened = open_ledger(config, ledger)
    try:
        report = examine(opened, utcnow())
    except SQLAlchemyError as error:
        raise LedgerError(f"The ledger {opened.name} cannot be read: {reason(error)}") from None
    report = _with_log(report, config if ledger is None else None)
    if as_json:
        print_json(report)
    else:
        _show(report)
    raise typer.Exit(1 if report.findings else 0)


def _with_log(report: Report, config: Path | None) -> Report:
    """With what waits in Kafka, where the settings name one: the ledger does not know of it yet."""
    from msgspec.structs import replace

    from routing.bootstrap.settings import kafka_of
    from routing.cli.output import look_at_lag
    from routing.ledger.check import Finding

    kafka = kafka_of(config) if config is not None and report.tables else None
    if kafka is None or config is None:
        return report
    from routing.runtime.kafka.settings import KafkaUnwell

    try:
        found = look_at_lag(config, kafka)
    except KafkaUnwell as unwell:
        return replace(report, findings=(*report.findings, Finding("log", 1, str(unwell), "Mend it and look again.")))
    if found.ok:
        err.print(f"Log: {found.detail}.", markup=False)
        return report
    return replace(report, findings=(*report.findings, Finding("log", 1, f"Log: {found.detail}.", found.advice)))


def _show(report: Report) -> None:
    for title, counts in (("Events", report.events), ("Writes", report.writes)):
        if counts:
            out.print(f"{title}: {', '.join(f'{n:,} {state}' for state, n in sorted(counts.items()))}.")
    if report.tables:
        named = ("decision", "mirror", "timer", "announcement")
        out.print(", ".join(f"{report.tables[name]:,} {name} rows" for name in named) + f"; schema {report.revision}.")
    for found in report.findings:
        out.print(f"! {found.what}\n  {found.advice}", markup=False)
    if not report.findings:
        out.print("All is well.")


@app.command()
def copy(
    config: Config = None,
    ledger: LedgerAt = None,
    to: Annotated[str | None, typer.Option("--to", help="The new ledger: a file or URL. It must be empty.")] = None,
    to_config: Annotated[
        Path | None,
        typer.Option("--to-config", help="Settings that name the new ledger; keeps its password off the screen."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copies a ledger into an empty one, whole or not at all: from SQLite to PostgreSQL, or back. No daemon may run meanwhile.

    A daemon that is started on the copy goes on where the old one stopped. Do not start one on the old ledger again: both would
    write to the CRMs. Refused while events wait in a topic of Kafka that the new settings do not name. Exit codes: 0 copied and compared; 2 nothing was copied, the message says why.
    """
    from routing.bootstrap.process import only_one
    from routing.ledger.copy import copy as copy_all
    from routing.ledger.copy import refuse_if_in_use

    if (to is None) == (to_config is None):
        raise LedgerError(
            "Say where to copy to: either --to URL, or --to-config FILE with the settings of the new ledger."
        )
    source, target = open_ledger(config, ledger), _named(to_config, to)
    if source.name == target.name:
        raise LedgerError(f"That is the same ledger, {source.name}. Name a new one, which is empty or not there yet.")
    with ExitStack() as leaving:
        for one in (source, target):
            leaving.callback(one.close)
            lock = only_one(one)
            if lock is not None:
                leaving.enter_context(lock)
        for one in (source, target):
            refuse_if_in_use(one)
        _refuse_to_leave_a_log(source, target, config if ledger is None else None, to_config)
        copied = copy_all(source, target, lambda name, n: None if as_json else err.print(f"{name}: {n:,} rows"))
    if as_json:
        print_json({"copied": copied})
        return
    out.print(f"{sum(copied.values()):,} rows were copied, and compared with what arrived.")
    out.print(
        f"Now let 'ledger' in the settings name {target.name}, and start the daemon. Put the old ledger away.",
        markup=False,
    )


def _refuse_to_leave_a_log(source: Ledger, target: Ledger, config: Path | None, to_config: Path | None) -> None:
    """What waits in Kafka is in no ledger: who is to go on without that topic would never decide it. Raises LedgerError, KafkaUnwell."""
    from routing.bootstrap.settings import kafka_of

    kafka = kafka_of(config) if config is not None else None
    following = kafka_of(to_config) if to_config is not None else None
    if kafka is not None:
        from routing.runtime.kafka.lag import lag_of, same_log

        if same_log(kafka, following) if following is not None else to_config is None and not target.is_sqlite:
            return
        lag = lag_of(kafka, source)
        if lag.events:
            goes_on = (
                "without Kafka" if following is None else f"with the topic {following.changes_topic} of another log"
            )
            raise LedgerError(
                f"{lag.events:,} events wait in the topic {lag.topic}, and the copy would go on {goes_on}: nobody would decide them. "
                "Start the workers, leave the gateways stopped, and copy once `fingerpost topics check` says that everything is settled."
            )
    elif (to_config is not None or target.is_sqlite) and _followed_a_log(source):
        err.print(
            "Note: this ledger worked with Kafka. Whether events wait there was not looked at; with --config, which names it, it is.",
            markup=False,
        )


def _followed_a_log(ledger: Ledger) -> bool:
    from routing.ledger import shares

    try:
        with ledger.read() as conn:
            return shares.followed(conn)
    except SQLAlchemyError:
        return False  # copying says what is wrong with it


def _named(config: Path | None, ledger: str | None) -> Ledger:
    """As ``open_ledger``, but the ledger need not be there yet."""
    if ledger is None and config is None:
        raise LedgerError(
            f"Name the daemon's settings with --config, or the ledger with --ledger (such as {STATE}/ledger.db)."
        )
    opened: Ledger = open_ledger(config, ledger, must_exist=False)
    return opened
