from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import OperationalError

from routing.ledger import journal
from routing.ledger.engine import Ledger, is_lost
from routing.ledger.schema import mirror as mirror_table
from routing.ledger.schema import mirror_key, ref_of
from routing.ledger.sql import add_rows, at_once, upsert
from routing.runtime.clock import utcnow
from routing.runtime.feed import Feed
from routing.runtime.loop import Loop
from routing.runtime.policies import Policies
from tests.bench.inbound import fill, leads
from tests.processes import POLICY

# As long as the daemon runs these grow without end: whoever reads one of them row by row gets slower every day.
GROWING = {"journal", "mirror", "mirror_key", "decision", "outbox", "timer", "announcement", "pool_member"}


def test_no_statement_of_a_batch_reads_a_whole_table(ledger: Ledger) -> None:
    if not ledger.is_sqlite:
        pytest.skip("PostgreSQL chooses by the size of the tables, and these are small")
    policies = Policies(POLICY, ledger, utcnow, Feed())
    fill(ledger)
    with ledger.write() as conn:
        journal.accept(conn, leads(40), utcnow())
    said: dict[str, Any] = {}

    @event.listens_for(ledger.engine, "before_cursor_execute")
    def hear(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        said[statement] = parameters[0] if many else parameters

    assert Loop(ledger, policies, utcnow, Feed()).work_off(20) > 5
    event.remove(ledger.engine, "before_cursor_execute", hear)
    asked = [one for one in said if one.startswith(("SELECT", "INSERT", "UPDATE", "DELETE"))]
    assert len(asked) > 10
    with ledger.read() as conn:
        for statement in asked:
            for *_, step in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", said[statement]):
                word, _, rest = step.partition(" ")
                assert word != "SCAN" or rest.split()[0] not in GROWING or "INDEX" in rest, (statement, step)


def test_only_what_asks_for_no_flush_is_written_without_one(sqlite_ledger: Ledger) -> None:
    """On one connection after the other: a courier's claim must flush the batch before it, whoever had the connection."""
    normal, full = 1, 2
    with sqlite_ledger.write(flush=False) as conn:
        assert conn.exec_driver_sql("PRAGMA synchronous").scalar() == normal
    with sqlite_ledger.write() as conn:
        assert conn.exec_driver_sql("PRAGMA synchronous").scalar() == full
    with sqlite_ledger.write(flush=False) as conn:
        assert conn.exec_driver_sql("PRAGMA synchronous").scalar() == normal
    assert sqlite_ledger.repeated(lambda conn: conn.exec_driver_sql("PRAGMA synchronous").scalar()) == full


def test_what_is_written_at_once_is_all_there_at_the_end_and_nothing_of_it_after_a_failure(
    ledger: Ledger,
) -> None:
    ref = ref_of("salesforce", "account", "1")
    record = {"ref": ref, "entity": "account", "body": "{}"}
    with ledger.write() as conn:
        upsert(conn, mirror_table, [record])
        with at_once(conn):
            upsert(conn, mirror_table, [{**record, "body": '{"new": 1}'}])
            add_rows(
                conn, mirror_key, [{"key": "domain:a.example", "ref": ref}, {"key": "domain:b.example", "ref": ref}]
            )
            add_rows(conn, mirror_key, [])
    with ledger.read() as conn:
        assert conn.scalar(select(mirror_table.c.body)) == '{"new": 1}'
        assert conn.scalar(select(func.count()).select_from(mirror_key)) == 2
    with pytest.raises(ValueError, match="on the way"), ledger.write() as conn, at_once(conn):
        add_rows(conn, mirror_key, [{"key": "domain:c.example", "ref": ref}])
        raise ValueError("on the way")
    with ledger.write() as conn:
        add_rows(conn, mirror_key, [{"key": "domain:d.example", "ref": ref}])
    with ledger.read() as conn:
        assert set(conn.scalars(select(mirror_key.c.key))) == {f"domain:{x}.example" for x in "abd"}


def test_a_connection_that_is_cut_among_what_is_written_at_once_is_known_as_lost(postgres_ledger: Ledger) -> None:
    with pytest.raises(OperationalError) as told, postgres_ledger.write() as conn, at_once(conn):
        conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert is_lost(told.value)
