"""A ledger moves to another database: SQLite to PostgreSQL when one machine is no longer enough, or back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, Table, delete, func, insert, literal_column, select, table, text
from sqlalchemy.exc import SQLAlchemyError
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from routing.ledger.check import OTHERS, current_revision, head_revision
from routing.ledger.engine import Ledger, LedgerError, reason
from routing.ledger.schema import metadata
from routing.ledger.sql import add_rows, take_stock

ROWS = 1000
GONE_SECONDS = 2.0
_NUMBERED = ("journal", "outbox")
_sqlite_sequence = table("sqlite_sequence", literal_column("name"), literal_column("seq"))
_encode = msgspec.msgpack.Encoder().encode


class Sum(Struct):
    """What a table holds: how many rows, and the sum of their hashes, which is the same in whatever order they come."""

    rows: int = 0
    digest: int = 0

    def add(self, row: Row[tuple[object, ...]]) -> None:
        self.rows += 1
        hashed = blake2b(_encode(tuple(row)), digest_size=16).digest()
        self.digest = (self.digest + int.from_bytes(hashed, "big")) % 2**128


def copy(
    source: Ledger, target: Ledger, tell: Callable[[str, int], None] = lambda _table, _rows: None
) -> dict[str, int]:
    """Copies everything into an empty ledger, in one transaction, and compares what arrived. Returns the rows of each table.

    Nobody may work on either meanwhile. ``tell`` hears of each table that was copied. Blocks for about a minute per million rows.
    Raises LedgerError, which says what to do; then the target is as empty as before, and the source is never changed.
    """
    _ready(source)
    target.upgrade()
    try:
        with source.read() as old, target.write() as new:
            _refuse_unless_empty(new, target)
            copied = {}
            for one in metadata.sorted_tables:
                copied[one.name] = _copy_table(old, new, one)
                tell(one.name, copied[one.name])
            for name in _NUMBERED:
                _set_number(new, name, _last_number(old, name))
            take_stock(new, metadata.sorted_tables)
    except SQLAlchemyError as error:
        raise LedgerError(f"Nothing was copied: {reason(error)}") from None
    return copied


def refuse_if_in_use(ledger: Ledger) -> None:
    """Raises LedgerError when processes of Fingerpost are connected to a PostgreSQL ledger. SQLite's have a lock file of their own."""
    if ledger.is_sqlite:
        return
    ledger.close()  # our own connections are not meant
    # A connection that was closed is listed a moment longer.
    asking = Retrying(retry=retry_if_result(bool), stop=stop_after_delay(GONE_SECONDS), wait=wait_fixed(0.1))
    try:
        asking(_connected, ledger)
    except RetryError as error:
        raise LedgerError(
            f"Somebody is working on the ledger {ledger.name}: {'; '.join(error.last_attempt.result())}. Stop all gateways, workers and "
            "deliveries first, and let commands end."
        ) from None


def _connected(ledger: Ledger) -> list[str]:
    with ledger.read() as conn:
        return list(conn.scalars(OTHERS))


def _ready(source: Ledger) -> None:
    found, head = current_revision(source), head_revision()
    if found != head:
        raise LedgerError(
            f"The ledger {source.name} has schema {found or 'none'}, this version needs {head}. "
            "Run `fingerpost ledger upgrade` on it first."
        )


def _refuse_unless_empty(conn: Connection, target: Ledger) -> None:
    filled = [one.name for one in metadata.sorted_tables if conn.execute(select(one).limit(1)).first() is not None]
    if filled:
        raise LedgerError(
            f"The ledger {target.name} is not empty: there are rows in {', '.join(filled)}. Name a new database or file."
        )


def _copy_table(old: Connection, new: Connection, one: Table) -> int:
    sent, arrived = Sum(), Sum()
    for rows in _streamed(old, one):
        for row in rows:
            sent.add(row)
        try:
            add_rows(new, one, [dict(row._mapping) for row in rows])
        except SQLAlchemyError as error:
            raise LedgerError(f"Nothing was copied: {one.name} holds what cannot be stored: {reason(error)}") from None
    for rows in _streamed(new, one):
        for row in rows:
            arrived.add(row)
    if sent != arrived:
        raise LedgerError(
            f"Nothing was copied: of {one.name} {sent.rows} rows were sent, and {arrived.rows} arrived"
            f"{'' if sent.rows != arrived.rows else ', but not the same ones'}. Is somebody else writing to one of the ledgers?"
        )
    return sent.rows


def _streamed(conn: Connection, one: Table) -> Iterator[Iterable[Row[tuple[object, ...]]]]:
    with conn.execute(select(one), execution_options={"yield_per": ROWS}) as found:
        yield from found.partitions()


def _last_number(conn: Connection, name: str) -> int:
    """The highest number ever given, which may be of a row that was erased: it must not be given again."""
    highest = int(conn.scalar(select(func.max(metadata.tables[name].c.seq))) or 0)
    if conn.dialect.name == "sqlite":
        given = conn.scalar(select(_sqlite_sequence.c.seq).where(_sqlite_sequence.c.name == name))
    else:
        sequence = conn.scalar(text("SELECT pg_get_serial_sequence(:name, 'seq')"), {"name": name})
        given = conn.scalar(text(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}"))  # noqa: S608
    return max(highest, int(given or 0))


def _set_number(conn: Connection, name: str, last: int) -> None:
    if not last:
        return
    if conn.dialect.name == "sqlite":
        conn.execute(delete(_sqlite_sequence).where(_sqlite_sequence.c.name == name))
        conn.execute(insert(_sqlite_sequence).values(name=name, seq=last))
    else:
        conn.execute(text("SELECT setval(pg_get_serial_sequence(:name, 'seq'), :last)"), {"name": name, "last": last})
