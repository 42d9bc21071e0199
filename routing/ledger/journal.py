"""The journal: every event that was accepted, and how it ended.

States: ``accepted`` (ready to be decided), ``incomplete`` (values must be read back first), ``reread`` (was unreadable, is to be
read again); and the three ends ``applied``, ``skipped``, ``parked``. In the embedded runtime it is also the log that the loop reads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, and_, func, not_, select, text, update

from routing.core.model import ChangeEvent, Unreadable
from routing.ledger.schema import journal, position, ref_of, slot_of, to_ms
from routing.ledger.sql import add_new, change_rows, chunks, one_of, upsert

OPEN = ("accepted", "incomplete", "reread")
_NAME = 1000  # longer than any record's name, and short enough for an index

_KNOWN = (
    select(journal.c.event_id, journal.c.seq, journal.c.state, journal.c.reason)
    .where(one_of(journal.c.event_id, "ids"))
    .order_by(journal.c.event_id)
    .with_for_update()
)
_STATES = select(journal.c.event_id, journal.c.state).where(one_of(journal.c.event_id, "ids"))
_OPEN_STATES = select(journal.c.event_id, journal.c.state, journal.c.accepted_ms).where(
    one_of(journal.c.event_id, "ids"), journal.c.state.in_(OPEN)
)
_RESERVE = text("SELECT nextval(pg_get_serial_sequence('journal', 'seq')) FROM generate_series(1, :n)")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ChangeEvent).decode


class Entry(Struct, frozen=True):
    """One event of the journal, waiting. ``accepted_ms`` is when it became durable.

    ``again``: it was parked, and the operator wants it decided now; what it brings may be in the mirror already.
    """

    seq: int
    event: ChangeEvent
    accepted_ms: int
    again: bool = False


class Ending(Struct, frozen=True):
    """How an entry ended: ``applied``, ``skipped`` or ``parked``, and why in a sentence."""

    seq: int
    state: str
    reason: str = ""


class Known(Struct, frozen=True):
    """What the journal says of an event it has already."""

    seq: int
    state: str
    reason: str


class RawEntry(Struct, frozen=True):
    """An entry whose bytes are to be read again by its connector."""

    seq: int
    raw: bytes


class ParkedRaw(Struct, frozen=True):
    """A parked entry of bytes that could not be read."""

    seq: int
    event_id: str
    ref: str
    raw: bytes


def accept(conn: Connection, events: Sequence[ChangeEvent | Unreadable], now: datetime) -> int:
    """Writes ``events`` down; those already known by ``event_id`` are left alone. Returns how many were new."""
    if not events:
        return 0
    now_ms = to_ms(now)
    return add_new(conn, journal, [row_of(event, now_ms) for event in events], "event_id")


def known(conn: Connection, event_ids: Sequence[str], state: str = "") -> set[str]:
    """Those of the ids that the journal has already, in any state or in one."""
    found: set[str] = set()
    for some in chunks(event_ids):
        found |= {row.event_id for row in conn.execute(_STATES, {"ids": some}) if state in ("", row.state)}
    return found


def unsettled(conn: Connection, event_ids: Sequence[str], read_since: datetime) -> set[str]:
    """Those of the ids that are still to be settled; of what must be read back first, only what came in since then."""
    found: set[str] = set()
    for some in chunks(event_ids):
        for event_id, state, accepted_ms in conn.execute(_OPEN_STATES, {"ids": some}):
            if state == "accepted" or accepted_ms >= to_ms(read_since):
                found.add(event_id)
    return found


def waiting_or_ended(conn: Connection, event_ids: Sequence[str]) -> dict[str, Known]:
    """What the journal says of those of the events that it has already, by id; nobody changes it until the transaction ends."""
    found: dict[str, Known] = {}
    for some in chunks(event_ids):
        for event_id, *rest in conn.execute(_KNOWN, {"ids": some}):
            found[event_id] = Known(*rest)
    return found


def reserve(conn: Connection, n: int) -> list[int]:
    """``n`` numbers for new entries, ascending; nobody else is given them."""
    if conn.dialect.name == "postgresql":
        return sorted(conn.scalars(_RESERVE, {"n": n}))
    # Whoever writes is alone there, and the numbers count as given once rows have them.
    last = int(conn.exec_driver_sql("SELECT max(seq) FROM sqlite_sequence WHERE name = 'journal'").scalar() or 0)
    return list(range(last + 1, last + n + 1))


def add_settled(conn: Connection, rows: Sequence[dict[str, Any]]) -> bool:
    """Stores rows of ``row_of`` with numbers and final states. False when another process has one of the events by now."""
    return add_new(conn, journal, rows, "event_id") == len(rows)


def row_of(event: ChangeEvent | Unreadable, now_ms: int) -> dict[str, Any]:
    """The row by which an event enters the journal."""
    name = ref_of(event.system, event.entity, event.record_id)
    ref = _mended(name).replace("\0", "\ufffd")[:_NAME]
    if isinstance(event, Unreadable):
        return {
            "event_id": event.event_id,
            "ref": ref,
            "kind": "unreadable",
            "state": "parked",
            "reason": _mended(event.error).replace("\0", "\ufffd"),
            "body": "",
            "raw": event.raw,
            "occurred_ms": to_ms(event.observed_at),
            "accepted_ms": now_ms,
            "slot": slot_of(name),
        }
    state, reason = "accepted" if event.complete else "incomplete", ""
    try:
        body = _encode(event)
    except UnicodeEncodeError:
        state, reason = "parked", "a text in it holds half a character (a lone surrogate); a retry leaves that out"
        body = _encode(msgspec.convert(_mended(msgspec.to_builtins(event)), ChangeEvent))
    if ref != name:
        state, reason = "parked", f"its record has an id that cannot be one: {ref!r}; look at what sends it"
    return {
        "event_id": event.event_id,
        "ref": ref,
        "kind": event.kind,
        "state": state,
        "reason": reason,
        "body": body.decode(),
        "raw": None,
        "occurred_ms": to_ms(event.occurred_at),
        "accepted_ms": now_ms,
        "slot": slot_of(name),
    }


def _mended(value: Any) -> Any:
    """The value with U+FFFD for every half character, which no UTF-8 can hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_mended(name): _mended(one) for name, one in value.items()}
    return [_mended(one) for one in value] if isinstance(value, list | tuple) else value


def next_entries(
    conn: Connection, state: str, limit: int, system: str = "", *, partitions: int = 1, of: Collection[int] = (0,)
) -> list[Entry]:
    """The oldest entries in ``state`` (accepted or incomplete), of all systems or one, in the order of arrival.

    ``of``: only the entries of these of the ``partitions`` that the log has.
    """
    rows = conn.execute(
        select(journal.c.seq, journal.c.body, journal.c.accepted_ms, journal.c.reason)
        .where(journal.c.state == state, *_of(system), *_in(partitions, of))
        .order_by(journal.c.seq)
        .limit(limit)
    )
    # Of the entries that wait, only one that was parked has a reason.
    return [Entry(seq, _decode(body), accepted_ms, reason != "") for seq, body, accepted_ms, reason in rows.all()]


def _of(system: str) -> tuple[ColumnElement[bool], ...]:
    return (journal.c.ref.startswith(f"{system}:", autoescape=True),) if system else ()


def _in(partitions: int, of: Collection[int]) -> tuple[ColumnElement[bool], ...]:
    return () if partitions == 1 else ((journal.c.slot % partitions).in_(sorted(of)),)


def next_raw(conn: Connection, limit: int, system: str) -> list[RawEntry]:
    """A system's entries to be read again, oldest first."""
    rows = conn.execute(
        select(journal.c.seq, journal.c.raw)
        .where(journal.c.state == "reread", *_of(system))
        .order_by(journal.c.seq)
        .limit(limit)
    )
    return [RawEntry(seq, raw) for seq, raw in rows]


def complete(conn: Connection, entries: Sequence[tuple[int, ChangeEvent]]) -> None:
    """Stores events whose values have been read back; they are now ready to be decided."""
    rows = [{"seq": seq, "state": "accepted", "body": _encode(event).decode()} for seq, event in entries]
    change_rows(conn, journal, ("seq",), rows, "journal.state = 'incomplete'")


def settle(conn: Connection, endings: Sequence[Ending], now: datetime) -> None:
    """Ends entries, except those that somebody else ended first."""
    now_ms = to_ms(now)
    rows = [{"seq": e.seq, "state": e.state, "reason": e.reason, "settled_ms": now_ms} for e in endings]
    change_rows(conn, journal, ("seq",), rows, f"journal.state IN {OPEN}")


def parked(conn: Connection, limit: int = 1000) -> list[dict[str, Any]]:
    """Parked events, oldest first: id, ref, kind, reason, when accepted."""
    rows = conn.execute(
        select(journal.c.event_id, journal.c.ref, journal.c.kind, journal.c.reason, journal.c.accepted_ms)
        .where(journal.c.state == "parked")
        .order_by(journal.c.seq)
        .limit(limit)
    )
    return [dict(row._mapping) for row in rows]


def parked_of(conn: Connection, system: str, event_ids: Sequence[str] | None) -> list[ParkedRaw]:
    """What of a system is parked (of all when None) and never was an event, oldest first."""
    where = (journal.c.state == "parked") & journal.c.raw.is_not(None)
    found: list[ParkedRaw] = []
    for some in [None] if event_ids is None else chunks(event_ids):
        chosen = where if some is None else where & journal.c.event_id.in_(some)
        rows = conn.execute(
            select(journal.c.seq, journal.c.event_id, journal.c.ref, journal.c.raw).where(chosen, *_of(system))
        )
        found += [ParkedRaw(*row) for row in rows]
    return sorted(found, key=lambda one: one.seq)


def retry_parked(conn: Connection, event_ids: Sequence[str] | None, but: Sequence[str] = ()) -> int:
    """Puts parked events (all when None, those of the systems ``but`` excepted) back into the log: raw ones to be read again, others
    to be decided again.

    Others pass through ``incomplete``, since the step that reads values back lets complete ones through.
    """
    changed = 0
    for raw, state in ((True, "reread"), (False, "incomplete")):
        condition = (journal.c.state == "parked") & (journal.c.raw.is_not(None) if raw else journal.c.raw.is_(None))
        condition &= and_(True, *(not_(*_of(system)) for system in but))
        for some in [None] if event_ids is None else chunks(event_ids):
            where = condition if some is None else condition & journal.c.event_id.in_(some)
            changed += conn.execute(update(journal).where(where).values(state=state, settled_ms=None)).rowcount
    return changed


def discard_parked(conn: Connection, event_ids: Sequence[str] | None, reason: str, now: datetime) -> int:
    """Ends parked events (all when None) as skipped, with the reason that the operator gave."""
    changed = 0
    for some in [None] if event_ids is None else chunks(event_ids):
        where = journal.c.state == "parked"
        where = where if some is None else where & journal.c.event_id.in_(some)
        values = {"state": "skipped", "reason": reason, "settled_ms": to_ms(now)}
        changed += conn.execute(update(journal).where(where).values(values)).rowcount
    return changed


def replace_raw(conn: Connection, seq: int, events: Sequence[ChangeEvent | Unreadable], now: datetime) -> int:
    """A raw entry turned out to hold ``events``: they enter the log, the entry itself ends. Returns how many were new."""
    new = accept(conn, events, now)
    settle(conn, [Ending(seq, "skipped", f"read again as {len(events)} event(s)")], now)
    return new


def erase(conn: Connection, ref: str, until: int) -> int:
    """Forgets what the journal holds of a record's values (a legal erasure); the entries themselves stay, as stubs.

    Entries after the number ``until`` keep theirs: whether they are of the person who was erased shows when their turn comes.
    """
    where = (journal.c.ref == ref) & (journal.c.seq <= until) & (journal.c.body != "")
    rows = conn.execute(select(journal.c.seq, journal.c.body).where(where)).all()
    for seq, body in rows:
        stub = msgspec.structs.replace(_decode(body), values={})
        conn.execute(update(journal).where(journal.c.seq == seq).values(body=_encode(stub).decode()))
    return len(rows)


def erase_unread(conn: Connection, system: str, record_id: str) -> int:
    """Forgets the bytes that could not be read and that name the record (a legal erasure); what was parked for them ends."""
    named = re.compile(rb"(?<![0-9A-Za-z])" + re.escape(record_id.encode()) + rb"(?![0-9A-Za-z])")
    waiting = select(journal.c.seq, journal.c.raw, journal.c.state).where(journal.c.raw.is_not(None), *_of(system))
    found = [(seq, state) for seq, raw, state in conn.execute(waiting) if named.search(raw)]
    for seq, state in found:
        ended = "skipped" if state in ("parked", "reread") else state
        values = {"raw": None, "state": ended, "reason": "it named a person who was erased at their request"}
        conn.execute(update(journal).where(journal.c.seq == seq).values(values))
    return len(found)


def state_of(conn: Connection, event_id: str) -> tuple[str, str]:
    """How an entry stands, and the reason; two empty texts for an event that is not there."""
    row = conn.execute(select(journal.c.state, journal.c.reason).where(journal.c.event_id == event_id)).one_or_none()
    return ("", "") if row is None else (row.state, row.reason)


def counts(conn: Connection) -> dict[str, int]:
    """Entries by state."""
    rows = conn.execute(select(journal.c.state, func.count()).group_by(journal.c.state))
    return {state: int(n) for state, n in rows}


def count(conn: Connection, states: Sequence[str]) -> int:
    """Entries in those states."""
    return int(conn.scalar(select(func.count()).select_from(journal).where(journal.c.state.in_(states))) or 0)


def at_least(conn: Connection, n: int) -> bool:
    """Whether at least ``n`` events wait to be completed or decided."""
    some = select(journal.c.seq).where(journal.c.state.in_(OPEN)).limit(n).subquery()
    return conn.scalar(select(func.count()).select_from(some)) == n


def get_position(conn: Connection, system: str, stream: str) -> bytes | None:
    """Where a source stopped, None when it never started."""
    where = (position.c.system == system) & (position.c.stream == stream)
    return conn.scalar(select(position.c.cursor).where(where))


def set_position(conn: Connection, system: str, stream: str, cursor: bytes, now: datetime) -> None:
    """Remembers where a source is; in the transaction that accepted what came before."""
    upsert(conn, position, [{"system": system, "stream": stream, "cursor": cursor, "updated_ms": to_ms(now)}])
