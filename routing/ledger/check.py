"""Looks a ledger through: is its schema the right one, does everything in it add up, does anything lie there for too long?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec import Struct
from sqlalchemy import Connection, Select, Table, exists, func, select, text

from routing.core.sla.model import OPEN
from routing.ledger import journal as journal_of
from routing.ledger import outbox as outbox_of
from routing.ledger.engine import MIGRATIONS, Ledger
from routing.ledger.schema import (
    announcement,
    assignment,
    clock,
    decision,
    journal,
    match_key,
    match_record,
    metadata,
    mirror,
    mirror_key,
    outbox,
    pool_entry,
    share,
    timer,
    to_ms,
)
from routing.ledger.seats import vacant
from routing.ledger.timers import PURPOSES, SLA

# Longer than any restart or hiccup takes: what waits for longer has a reason that somebody should look for.
OVERDUE = timedelta(minutes=5)
# The processes of Fingerpost that are connected, by name.
OTHERS = text(
    "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name LIKE 'fingerpost%' AND pid <> pg_backend_pid() ORDER BY 1"
)
_ENDS = ("applied", "skipped", "parked")
_WRITE_ENDS = ("confirmed", "superseded", "parked")


class Finding(Struct, frozen=True):
    """Something that needs attention: its short name, how many there are, what it is, and what to do."""

    name: str
    count: int
    what: str
    advice: str


class Report(Struct, frozen=True):
    """What a ledger holds. ``events`` and ``writes`` are counts by state, ``tables`` rows by table."""

    revision: str
    head: str
    tables: dict[str, int]
    events: dict[str, int]
    writes: dict[str, int]
    findings: tuple[Finding, ...]


def head_revision() -> str:
    """The schema that this version works with."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head() or ""


def current_revision(ledger: Ledger) -> str:
    """The schema that a ledger has, "" when it has none yet. Raises SQLAlchemyError."""
    with ledger.read() as conn:
        return MigrationContext.configure(conn).get_current_revision() or ""


def examine(ledger: Ledger, now: datetime) -> Report:
    """Looks everything through, at one moment. Reads whole tables: seconds per million rows. Raises SQLAlchemyError."""
    revision, head = current_revision(ledger), head_revision()
    if revision != head:
        what = f"The schema is {revision or 'not there'}, and this version needs {head}."
        wrong = Finding("schema", 1, what, "Run `fingerpost ledger upgrade`, with the daemon stopped.")
        return Report(revision, head, {}, {}, {}, (wrong,))
    with ledger.read() as conn:
        tables = {one.name: _count(conn, select(func.count()).select_from(one)) for one in metadata.sorted_tables}
        findings = (*_drift(conn), *_broken(conn), *_stuck(conn, now), *_parked(conn))
        return Report(revision, head, tables, journal_of.counts(conn), outbox_of.counts(conn), findings)


def _count(conn: Connection, query: Select[Any]) -> int:
    return int(conn.scalar(query) or 0)


def _rows(conn: Connection, table: Table, *where: object) -> int:
    return _count(conn, select(func.count()).select_from(table).where(*where))  # type: ignore[arg-type]


def _drift(conn: Connection) -> Iterator[Finding]:
    changes = compare_metadata(MigrationContext.configure(conn), metadata)
    if changes:
        what = f"The tables are not as this version made them: {'; '.join(_change(one) for one in changes[:5])}."
        yield Finding(
            "drift", len(changes), what, "Somebody changed the schema by hand: change it back, or restore a backup."
        )


def _change(change: object) -> str:
    """One of Alembic's differences in words: ("add_table", …) means that ours has it and the database has not."""
    first = change[0] if isinstance(change, list) else change
    kind, *rest = first if isinstance(first, tuple) else (str(first),)
    named = [str(getattr(one, "name", one)) for one in rest if one is not None and not isinstance(one, dict | bool)]
    word = {"add": "missing", "remove": "not ours"}.get(str(kind).split("_")[0], "different")
    return f"{str(kind).split('_', 1)[-1]} {' '.join(named[:3])} is {word}"


def _broken(conn: Connection) -> Iterator[Finding]:
    """What must hold at every moment, since it is written in one transaction."""
    for name, n, what in (*_lost(conn), *_undefined(conn), *_clocks(conn)):
        if n:
            yield Finding(name, n, f"{n} {what}.", "This must not happen. Keep a copy of the ledger and report it.")


def _lost(conn: Connection) -> Iterator[tuple[str, int, str]]:
    """Rows that name others which are not there: name, number, what they are."""
    event = exists().where(journal.c.seq == decision.c.seq)
    applied = exists().where(journal.c.seq == decision.c.seq, journal.c.state == "applied")
    given = exists().where(decision.c.decision_id == assignment.c.decision_id)
    turned = exists().where(decision.c.decision_id == pool_entry.c.decision_id)
    written = exists().where(decision.c.decision_id == outbox.c.decision_id)
    told = exists().where(decision.c.decision_id == announcement.c.decision_id)
    mirrored = exists().where(mirror.c.ref == mirror_key.c.ref)
    numbered = exists().where(match_record.c.number == match_key.c.number)
    alike = exists().where(mirror.c.ref == match_record.c.ref)
    unmatched = _rows(conn, match_key, ~numbered) + _rows(conn, match_record, ~alike)
    yield "decisions without event", _rows(conn, decision, ~event), "decisions name an event that is not in the journal"
    n = _rows(conn, decision, event, ~applied)
    yield "decisions on events not applied", n, "decisions were made on events that have not been applied"
    yield (
        "assignments without decision",
        _rows(conn, assignment, ~given),
        "leads were given by a decision that is not there",
    )
    n = _rows(conn, pool_entry, pool_entry.c.what == "assigned", pool_entry.c.decision_id != "", ~turned)
    yield "turns without decision", n, "turns in pools were given by a decision that is not there"
    yield "writes without decision", _rows(conn, outbox, ~written), "writes name a decision that is not there"
    n = _rows(conn, announcement, ~told)
    yield "announcements without decision", n, "announcements name a decision that is not there"
    n = _rows(conn, mirror_key, ~mirrored)
    yield "keys without record", n, "keys lead to a record that the mirror does not hold"
    what = "entries of the matching index lead to a record that is not there"
    yield "matching keys without record", unmatched, what


def _undefined(conn: Connection) -> Iterator[tuple[str, int, str]]:
    """Events and writes of which nobody could say where they are."""
    ended = journal.c.state.in_(_ENDS)
    n = _rows(conn, journal, ~journal.c.state.in_(_ENDS + journal_of.OPEN))
    yield "events in no state", n, "events neither wait nor have they ended: accepted is not ended plus waiting"
    n = _rows(conn, journal, ended & journal.c.settled_ms.is_(None) & (journal.c.kind != "unreadable"))
    yield "events half ended", n, "events ended without a time"
    n = _rows(conn, outbox, ~outbox.c.state.in_(_WRITE_ENDS + outbox_of.OPEN))
    yield "writes in no state", n, "writes are neither owed nor have they ended"


def _clocks(conn: Connection) -> Iterator[tuple[str, int, str]]:
    """SLA clocks and their timers that do not belong together."""
    timed = exists().where(timer.c.timer_id == clock.c.clock_id, timer.c.purpose == SLA)
    # Its timer has fired, and what came of it waits, or is parked.
    fired = exists().where(
        journal.c.ref == clock.c.ref, journal.c.kind == "tick", journal.c.state.in_((*journal_of.OPEN, "parked"))
    )
    due = (clock.c.state == "running") & clock.c.body.contains('"due_at":"', autoescape=True)
    running = exists().where(clock.c.clock_id == timer.c.timer_id, clock.c.state == "running")
    still_open = clock.c.state.in_(OPEN)
    twice = select(clock.c.ref).where(still_open).group_by(clock.c.ref, clock.c.name).having(func.count() > 1)
    what = "SLA clocks have a next step and no timer for it (or a tick of theirs was discarded by hand)"
    yield "clocks without timer", _rows(conn, clock, due & ~timed & ~fired), what
    n = _rows(conn, timer, timer.c.purpose == SLA, ~running)
    yield "timers without clock", n, "timers are of SLA clocks that do not run"
    n = _count(conn, select(func.count()).select_from(twice.subquery()))
    yield "clocks twice", n, "SLA clocks run twice for one record"
    n = _rows(conn, clock, ~still_open & clock.c.closed_ms.is_(None))
    yield "clocks half ended", n, "SLA clocks ended without a time"


def _stuck(conn: Connection, now: datetime) -> Iterator[Finding]:
    """What moves by itself while everything runs."""
    before = to_ms(now - OVERDUE)
    minutes = f"{OVERDUE.total_seconds() / 60:.0f} minutes"
    running = "Is the daemon running, and are its workers? See its log and `/healthz`."
    waiting = _rows(conn, journal, journal.c.state == "accepted", journal.c.accepted_ms < before)
    if waiting:
        yield Finding(
            "events waiting", waiting, f"{waiting} events have waited for a decision for over {minutes}.", running
        )
    unread = _rows(conn, journal, journal.c.state.in_(("incomplete", "reread")), journal.c.accepted_ms < before)
    if unread:
        advice = "Their values are read back from the CRM: is it reachable? `fingerpost doctor` tries."
        yield Finding(
            "events incomplete", unread, f"{unread} events have waited for their values for over {minutes}.", advice
        )
    late = _rows(conn, timer, timer.c.due_ms < before, timer.c.purpose.in_(PURPOSES))
    if late:
        yield Finding("timers overdue", late, f"{late} timers have been due for over {minutes}.", running)
    owed = _rows(conn, outbox, outbox.c.state == "pending", outbox.c.not_before_ms < before)
    if owed:
        advice = "Is the CRM reachable, are its limits used up? See `fingerpost doctor` and `/metrics`."
        yield Finding("writes waiting", owed, f"{owed} writes could have gone out for over {minutes}.", advice)
    told = exists().where(decision.c.decision_id == announcement.c.decision_id, decision.c.decided_ms < before)
    untold = _rows(conn, announcement, told)
    if untold:
        what = f"{untold} decisions could have been published to other programs for over {minutes}."
        advice = "Does `fingerpost delivery` run, and is its topic there? Its log and `fingerpost topics check` say."
        yield Finding("announcements waiting", untold, what, advice)
    yield from _abandoned(conn)


def _abandoned(conn: Connection) -> Iterator[Finding]:
    if conn.dialect.name != "postgresql":
        return  # whoever starts next takes up what lies there
    seats = set(conn.scalars(select(outbox.c.courier).where(outbox.c.state == "sending").distinct()))
    left = {name for name in seats if vacant(conn, name)}
    if left:
        n = _rows(conn, outbox, outbox.c.state == "sending", outbox.c.courier.in_(left))
        advice = "Any courier takes them over within seconds: start `fingerpost delivery`."
        yield Finding("writes abandoned", n, f"{n} writes were being sent by a process that is gone.", advice)
    shares = _rows(conn, share)
    if shares and not conn.scalar(OTHERS):
        what = f"{shares} partitions of the log are held by nobody: no process is connected to the ledger."
        yield Finding("shares without holder", shares, what, "Start `fingerpost worker`.")


def _parked(conn: Connection) -> Iterator[Finding]:
    for name, n in (
        ("events parked", _rows(conn, journal, journal.c.state == "parked")),
        ("writes parked", _rows(conn, outbox, outbox.c.state == "parked")),
    ):
        if n:
            advice = "`fingerpost parked list` says why; `parked retry` and `parked discard` end them."
            yield Finding(name, n, f"{n} {name.split()[0]} wait for a person.", advice)
