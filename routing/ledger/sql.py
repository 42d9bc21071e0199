"""Small helpers that SQLite and PostgreSQL spell alike: many rows in one statement, whatever the database likes best.

SQLite is given the driver's ``executemany``. PostgreSQL is given one array a column, in binary: one round trip for a whole batch. Many
values to look for are one array there too: a list of hundreds is a new statement each time, to be spelled and parsed anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import ARRAY, Boolean, ColumnElement, Connection, Table, Text, any_, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

T = TypeVar("T")
Row = dict[str, Any]

# SQLite takes 32,766 parameters a statement, PostgreSQL 65,535; a chunk of ids stays far below.
CHUNK = 500

_ARRAYS = {str: "text", int: "bigint", float: "float8", bytes: "bytea"}


class _OneOf(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True


def one_of(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Whether the column holds one of the texts that the parameter ``name`` is given as a list; for statements built once."""
    return _OneOf(column, bindparam(name, expanding=True))


@compiles(_OneOf)
def _in_list(element: _OneOf, compiler: SQLCompiler, **how: Any) -> str:
    column, values = element.clauses
    return compiler.process(column.in_(values), **how)


@compiles(_OneOf, "postgresql")
def _in_array(element: _OneOf, compiler: SQLCompiler, **how: Any) -> str:
    column, values = element.clauses
    return compiler.process(column == any_(bindparam(values.key, type_=ARRAY(Text))), **how)


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """``items`` in pieces of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def add_rows(conn: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Inserts ``rows``, which all have the same columns; what they leave out gets its default."""
    _write(conn, table, rows, "")


def add_new(conn: Connection, table: Table, rows: Sequence[Row], *key: str) -> int:
    """Inserts ``rows`` except those whose ``key`` (columns) is already there. Returns how many were new."""
    return _write(conn, table, rows, f" ON CONFLICT ({', '.join(key)}) DO NOTHING")


def upsert(conn: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Inserts ``rows``, or replaces the other columns of those whose primary key is there; the last of two with one key counts.

    Rows are locked in the order of their keys, so that two who upsert the same ones do not wait in a circle.
    """
    if not rows:
        return
    keys = tuple(column.name for column in table.primary_key)
    by_key = {tuple(row[name] for name in keys): row for row in rows}
    others = ", ".join(f'"{name}" = excluded."{name}"' for name in rows[0] if name not in keys)
    _write(
        conn, table, [by_key[key] for key in sorted(by_key)], f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {others}"
    )


def change_rows(conn: Connection, table: Table, key: tuple[str, ...], rows: Sequence[Row], also: str = "") -> None:
    """Sets the other columns of the rows named by the columns ``key``. ``also``: a condition on the stored row, in SQL."""
    if rows:
        statement = _change(table, tuple(rows[0]), key, also, conn.dialect.name)
        _execute(conn, statement, list(rows[0]), rows)


def _write(conn: Connection, table: Table, rows: Sequence[Row], conflict: str) -> int:
    if not rows:
        return 0
    names = tuple(rows[0])
    return _execute(conn, _insert(table, names, conflict, conn.dialect.name), names, rows)


def _execute(conn: Connection, statement: str, names: Sequence[str], rows: Sequence[Row]) -> int:
    if conn.dialect.name == "postgresql":
        columns = tuple([row[name] for row in rows] for name in names)
        return int(conn.exec_driver_sql(statement, columns).rowcount)
    return int(conn.exec_driver_sql(statement, [tuple([row[name] for name in names]) for row in rows]).rowcount)


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


def _arrays(table: Table, names: Sequence[str]) -> str:
    types = ", ".join(f"%b::{_ARRAYS[table.columns[name].type.python_type]}[]" for name in names)
    return f"unnest({types})"
