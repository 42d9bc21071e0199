"""The index of what is like a record, kept in the ledger: it needs no start, and every worker sees what is committed.

Where a record is filed is worked out by ``routing.core.filing``; here are the rows. routing/README.md says why
they are rows of two numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec
from sqlalchemy import Connection, delete, select

from routing.core.filing import FILING_VERSION, NOWHERE, Filed, filed
from routing.core.matching.index import number_of
from routing.core.model import Record
from routing.ledger import shares
from routing.ledger.engine import Ledger
from routing.ledger.schema import match_key, match_record, mirror, position, ref_of
from routing.ledger.sql import add_new, chunks, delete_rows, upsert

_STAMP = {"system": "fingerpost", "stream": "match index"}
_MADE = select(position.c.cursor).where(position.c.system == "fingerpost", position.c.stream == "match index")
_FILED = ("account", "contact", "lead")
_PAGE = 1000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode

Filing = tuple[int, int]  # a key and a number under it

# Of each key the accounts with the lowest numbers, at most so many, in one row: a plain "key IN (…)" would read a hundred thousand rows
# of a key that a hundred thousand accounts share, and rows cost more than what is in them.
_POSTINGS = {
    "sqlite": (
        "SELECT value, (SELECT group_concat(number) FROM "
        "(SELECT number FROM match_key WHERE key = value ORDER BY number LIMIT ?)) FROM json_each(?)"
    ),
    "postgresql": (
        "SELECT asked.key, ARRAY(SELECT number FROM match_key WHERE match_key.key = asked.key ORDER BY number LIMIT %b) "
        "FROM unnest(%b::bigint[]) AS asked(key)"
    ),
}


class Change(msgspec.Struct, frozen=True):
    """A record to be filed anew: where it was (as the ledger has it) and where it belongs."""

    ref: str
    before: Filed
    after: Filed


def postings(conn: Connection, keys: Collection[int], limit: int) -> dict[int, list[int]]:
    """For each key the numbers filed under it, the lowest ``limit`` in their order."""
    found: dict[int, list[int]] = {}
    for some in chunks(sorted(keys), 2000):
        is_sqlite = conn.dialect.name == "sqlite"
        asked = _encode(some).decode() if is_sqlite else some
        for key, numbers in conn.exec_driver_sql(_POSTINGS[conn.dialect.name], (limit, asked)).all():
            if numbers:
                found[key] = sorted(map(int, numbers.split(",")) if is_sqlite else numbers)
    return found


_RECORDS = {
    "sqlite": "SELECT number, ref, body FROM json_each(?) CROSS JOIN match_record ON number = value",
    "postgresql": "SELECT number, ref, body FROM match_record WHERE number = ANY(%b::bigint[])",
}


def records(conn: Connection, numbers: Collection[int]) -> dict[int, tuple[str, bytes]]:
    """The ref and the body that stand behind numbers."""
    found: dict[int, tuple[str, bytes]] = {}
    for some in chunks(sorted(numbers), 2000):
        asked = _encode(some).decode() if conn.dialect.name == "sqlite" else some
        for number, ref, body in conn.exec_driver_sql(_RECORDS[conn.dialect.name], (asked,)).all():
            found[number] = (ref, body)
    return found


def save(conn: Connection, changes: Iterable[Change]) -> None:
    """Files records anew: only the keys that differ are touched."""
    gone: list[Filing] = []
    fresh: list[Filing] = []
    bodies: list[dict[str, object]] = []
    dropped: list[dict[str, int]] = []
    for change in changes:
        if change.before == change.after:
            continue
        number = number_of(change.ref)
        gone += [(key, number) for key in change.before.keys - change.after.keys]
        fresh += [(key, number) for key in change.after.keys - change.before.keys]
        if change.after == NOWHERE:
            dropped.append({"number": number})
        elif change.before.body != change.after.body or not change.before.keys:
            bodies.append({"number": number, "ref": change.ref, "body": change.after.body})
    delete_rows(conn, match_key, _in_order(gone))
    add_new(conn, match_key, _in_order(fresh), "key", "number")
    delete_rows(conn, match_record, dropped)
    upsert(conn, match_record, bodies)


def _in_order(filings: list[Filing]) -> list[dict[str, int]]:
    """Rows next to each other are written together, and two who write the same wait for each other in one order."""
    return [{"key": key, "number": number} for key, number in sorted(filings)]


def ensure(ledger: Ledger) -> int:
    """Makes the index anew from the mirror when this version files records otherwise, in one transaction. Returns how many records.

    Blocks for as long as reading and filing every record takes, after an upgrade; nothing otherwise. Raises SQLAlchemyError.
    """
    with ledger.read() as conn:
        if conn.scalar(_MADE) == FILING_VERSION.encode():
            return 0
    with ledger.write() as conn:
        shares.hold_all(conn)
        if conn.scalar(_MADE) == FILING_VERSION.encode():
            return 0  # another process was quicker
        conn.execute(delete(match_key))
        conn.execute(delete(match_record))
        made = sum(_file(conn, page) for page in _pages(conn))
        upsert(conn, position, [{**_STAMP, "cursor": FILING_VERSION.encode(), "updated_ms": 0}])
        return made


def _pages(conn: Connection) -> Iterable[Sequence[Record]]:
    last = ""
    while True:
        # By the primary key alone: with a condition on the entity SQLite would sort all that is left for each page.
        query = select(mirror.c.ref, mirror.c.entity, mirror.c.body).where(mirror.c.ref > last)
        rows = conn.execute(query.order_by(mirror.c.ref).limit(_PAGE)).all()
        if not rows:
            return
        yield [_decode(row.body) for row in rows if row.entity in _FILED]
        last = rows[-1].ref


def _file(conn: Connection, page: Sequence[Record]) -> int:
    save(conn, [Change(ref_of(r.system, r.entity, r.record_id), NOWHERE, filed(r)) for r in page])
    return len(page)
