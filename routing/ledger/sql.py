"""Small helpers that SQLite and PostgreSQL spell alike: many rows in one statement, whatever the database likes best.

SQLite is given the driver's ``executemany``. PostgreSQL is given one array a column, in binary: one round trip for a whole batch. Many
values to look for are one array there too, and one JSON text on SQLite: a list of hundreds is a new statement each time, to be
spelled and parsed anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from operator import itemgetter
from typing import Any, Self, TypeVar

import msgspec
from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Connection,
    Dialect,
    Table,
    Text,
    TypeDecorator,
    any_,
    bindparam,
    func,
    select,
)
from sqlalchemy import column as column_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType

T = TypeVar("T")
Row = dict[str, Any]

# SQLite takes 32,766 parameters a statement, PostgreSQL 65,535; a chunk of ids stays far below.
CHUNK = 500

_encode = msgspec.json.Encoder().encode
_LATER = "fingerpost_later"  # in the connection's ``info``: what ``at_once`` holds back
_ARRAYS = {str: "text", int: "bigint", float: "float8", bytes: "bytea"}


class _JsonList(TypeDecorator[list[str]]):
    impl = Text
    cache_ok = True

    def process_bind_param(self, value: list[str] | None, dialect: Dialect) -> str:  # noqa: ARG002 - as SQLAlchemy calls it
        return _encode(value).decode()


class _OneOf(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: OperatorType | None = None) -> Self:  # noqa: ARG002 - as SQLAlchemy calls it
        return self  # as it is: SQLAlchemy would compare it with 1, and then SQLite looks at every row of the table


def one_of(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Whether the column holds one of the texts that the parameter ``name`` is given as a list; for statements built once."""
    return _OneOf(column, bindparam(name))


@compiles(_OneOf)
def _in_json(element: _OneOf, compiler: SQLCompiler, **how: Any) -> str:
    column, values = element.clauses
    given = bindparam(values.key, type_=_JsonList())
    return compiler.process(column.in_(select(column_("value")).select_from(func.json_each(given))), **how)


@compiles(_OneOf, "postgresql")
def _in_array(element: _OneOf, compiler: SQLCompiler, **how: Any) -> str:
    column, values = element.clauses
    return compiler.process(column == any_(bindparam(values.key, type_=ARRAY(Text))), **how)


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """``items`` in pieces of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


@contextmanager
def at_once(conn: Connection) -> Iterator[None]:
    """Rows that are written inside go to PostgreSQL together, in one statement at the end: one round trip instead of one a table.

    Until then nothing shows them, and no row may be written twice. What needs to know how many rows it wrote is not put off.
    """
    if conn.dialect.name != "postgresql":
        yield
        return
    later: list[tuple[str, Sequence[Any]]] = []
    noted = conn.info  # of a connection that is lost within, it cannot be asked for any more
    noted[_LATER] = later
    try:
        yield
    finally:
        noted.pop(_LATER, None)
    if later:
        *first, last = [statement for statement, _ in later]
        named = ", ".join(f"w{n} AS ({statement})" for n, statement in enumerate(first))
        values = tuple([column for _, columns in later for column in columns])
        conn.exec_driver_sql(f"WITH {named} {last}" if named else last, values)


def add_rows(conn: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Inserts ``rows``, which all have the same columns; what they leave out gets its default."""
    _write(conn, table, rows, "")


def add_new(conn: Connection, table: Table, rows: Sequence[Row], *key: str) -> int:
    """Inserts ``rows`` except those whose ``key`` (columns) is already there. Returns how many were new."""
    if not rows:
        return 0
    names = tuple(rows[0])
    statement = _insert(table, names, f" ON CONFLICT ({', '.join(key)}) DO NOTHING", conn.dialect.name)
    return int(conn.exec_driver_sql(statement, _values(conn, names, rows)).rowcount)


def upsert(conn: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Inserts ``rows``, or replaces the other columns of those whose primary key is there; the last of two with one key counts.

    Rows are locked in the order of their keys, so that two who upsert the same ones do not wait in a circle.
    """
    if not rows:
        return
    keys = tuple(column.name for column in table.primary_key)
    key = itemgetter(*keys)
    by_key = {key(row): row for row in rows}
    others = ", ".join(f'"{name}" = excluded."{name}"' for name in rows[0] if name not in keys)
    _write(
        conn, table, [by_key[one] for one in sorted(by_key)], f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {others}"
    )


def change_rows(conn: Connection, table: Table, key: tuple[str, ...], rows: Sequence[Row], also: str = "") -> None:
    """Sets the other columns of the rows named by the columns ``key``. ``also``: a condition on the stored row, in SQL."""
    if rows:
        statement = _change(table, tuple(rows[0]), key, also, conn.dialect.name)
        _execute(conn, statement, list(rows[0]), rows)


def delete_rows(conn: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Deletes the rows that hold just these values in the columns named, which are the same in all ``rows``."""
    if rows:
        # At once, also within ``at_once``: what is put in their place comes after them.
        conn.exec_driver_sql(_delete(table, tuple(rows[0]), conn.dialect.name), _values(conn, list(rows[0]), rows))


def take_stock(conn: Connection, tables: Sequence[Table]) -> None:
    """Has PostgreSQL find out what the tables hold now, after many rows came at once. By itself it does so minutes later, and reads
    whole tables until then. SQLite needs no such thing."""
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql(f"ANALYZE {', '.join(table.name for table in tables)}")


def _write(conn: Connection, table: Table, rows: Sequence[Row], conflict: str) -> None:
    if rows:
        names = tuple(rows[0])
        _execute(conn, _insert(table, names, conflict, conn.dialect.name), names, rows)


def _execute(conn: Connection, statement: str, names: Sequence[str], rows: Sequence[Row]) -> None:
    later = conn.info.get(_LATER)
    if later is None:
        conn.exec_driver_sql(statement, _values(conn, names, rows))
    else:
        later.append((statement, _values(conn, names, rows)))


def _values(conn: Connection, names: Sequence[str], rows: Sequence[Row]) -> Any:
    if conn.dialect.name == "postgresql":
        return tuple([list(map(itemgetter(name), rows)) for name in names])
    if len(names) == 1:
        return [(row[names[0]],) for row in rows]
    return list(map(itemgetter(*names), rows))


@lru_cache(256)
def _insert(table: Table, names: tuple[str, ...], conflict: str, dialect: str) -> str:
    defaults = {
        column.name: column.default.arg  # type: ignore[attr-defined]
        for column in table.columns
        if column.name not in names and column.default is not None and column.default.is_scalar
    }
    listed = ", ".join(f'"{name}"' for name in [*names, *defaults])
    constants = "".join(f", {value!r}" for value in defaults.values())
    if dialect == "postgresql":
        rows = f"SELECT r.*{constants} FROM {_arrays(table, names)} AS r"  # noqa: S608 - all names are of our own schema
        return f"INSERT INTO {table.name} ({listed}) {rows}{conflict}"
    marks = ", ".join("?" for _ in names)
    return f"INSERT INTO {table.name} ({listed}) VALUES ({marks}{constants}){conflict}"  # noqa: S608 - as above


@lru_cache(256)
def _change(table: Table, names: tuple[str, ...], key: tuple[str, ...], also: str, dialect: str) -> str:
    marks = {name: f"?{n}" for n, name in enumerate(names, 1)}
    source = ""
    if dialect == "postgresql":
        marks = {name: f'r."{name}"' for name in names}
        source = f" FROM {_arrays(table, names)} AS r ({', '.join(names)})"
    sets = ", ".join(f'"{name}" = {mark}' for name, mark in marks.items() if name not in key)
    where = " AND ".join([*(f'{table.name}."{name}" = {marks[name]}' for name in key), *([also] if also else [])])
    return f"UPDATE {table.name} SET {sets}{source} WHERE {where}"  # noqa: S608 - as above


@lru_cache(256)
def _delete(table: Table, names: tuple[str, ...], dialect: str) -> str:
    using = f" USING {_arrays(table, names)} AS r ({', '.join(names)})" if dialect == "postgresql" else ""
    marks = [f'r."{name}"' if using else f"?{n}" for n, name in enumerate(names, 1)]
    where = " AND ".join(f'{table.name}."{name}" = {mark}' for name, mark in zip(names, marks, strict=True))
    return f"DELETE FROM {table.name}{using} WHERE {where}"  # noqa: S608 - as above


def _arrays(table: Table, names: Sequence[str]) -> str:
    types = ", ".join(f"%b::{_ARRAYS[table.columns[name].type.python_type]}[]" for name in names)
    return f"unnest({types})"
