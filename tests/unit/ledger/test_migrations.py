"""What an older version wrote is there after an upgrade, and means what it meant."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import func, select

from routing.core.distribution.rotation import Rotation
from routing.ledger import evidence, pools
from routing.ledger.check import examine
from routing.ledger.engine import Ledger
from routing.ledger.schema import decision, metadata, outbox, roster, to_ms
from routing.runtime.clock import utcnow
from tests.servers.postgres import Postgres

_DECISION = (
    "INSERT INTO decision (decision_id, seq, ref, outcome, owner, pool, rung, corrections, policy, decided_ms, body) "
    "VALUES ('{0}', {1}, 'salesforce:lead:{0}', 'assign', '', '', '', 0, 'p', {2}, '{{}}')"
)
_EVENT = (
    "INSERT INTO journal (seq, event_id, ref, kind, state, reason, body, occurred_ms, accepted_ms, settled_ms, slot) "
    "VALUES ({0}, 'e{0}', 'r', 'created', 'applied', '', '{{}}', 0, 0, 0, 0)"
)


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger without a schema."""
    if request.param == "sqlite":
        made = Ledger(f"sqlite:///{tmp_path / 'empty.db'}")
    else:
        made = Ledger(request.getfixturevalue("postgres").fresh(migrated=False))
    yield made
    made.close()


def test_evidence_moves_into_the_rows_of_its_decisions(empty: Ledger) -> None:
    command.upgrade(empty._alembic(), "0004")
    with empty.write() as conn:
        for n, (name, decided_ms) in enumerate({"kept": 5_000, "erased": 9_000, "unproven": 7_000}.items(), 1):
            conn.exec_driver_sql(_EVENT.format(n))
            conn.exec_driver_sql(_DECISION.format(name, n, decided_ms))
        body = "x'5b315d'" if empty.is_sqlite else "'[1]'::bytea"
        nothing = "x''" if empty.is_sqlite else "''::bytea"
        add = "INSERT INTO evidence (decision_id, ref, counterpart, roster, body) VALUES "
        conn.exec_driver_sql(f"{add} ('kept', 'salesforce:lead:kept', 'hubspot:lead:1', 'd', {body})")
        conn.exec_driver_sql(f"{add} ('erased', 'salesforce:lead:erased', NULL, 'd', {nothing})")
        conn.exec_driver_sql(f"INSERT INTO roster (digest, body, seen_ms) VALUES ('d', {nothing}, 1000)")
    empty.upgrade()
    with empty.read() as conn:
        columns = (decision.c.decision_id, decision.c.evidence, decision.c.roster, decision.c.counterpart)
        found = {name: rest for name, *rest in conn.execute(select(*columns))}
        assert found == {
            "kept": [b"[1]", "d", "hubspot:lead:1"],
            "erased": [b"", "d", None],
            "unproven": [None, None, None],
        }
        # They were used until the last of those decisions, and must not be let go before it.
        assert conn.scalar(select(roster.c.seen_ms)) == 9_000
        assert [one.evidence for one in evidence.recorded(conn, 0)] == [b"[1]", b"", None]
    assert examine(empty, utcnow()).findings == ()


def test_entries_of_the_pool_ledger_that_name_no_lead_are_read_as_they_were_meant(empty: Ledger) -> None:
    command.upgrade(empty._alembic(), "0005")
    add = (
        "INSERT INTO pool_entry (pool, kind, seq, person, what, leads, weight, value, among, why, author, decision_id, at_ms) "
        "VALUES ('P', '', {0}, 'ana@example.com', '{1}', 1, 1, 0, '', '', '', '', {2})"
    )
    now = utcnow().replace(microsecond=0)
    with empty.write() as conn:
        for seq, what in enumerate(("joined", "assigned", "assigned", "refused"), 1):
            conn.exec_driver_sql(add.format(seq, what, to_ms(now) + seq * 1000))
    empty.upgrade()
    with empty.read() as conn:
        found = pools.entries(conn, "P", 10)
        assert [(one.seq, one.what, one.given) for one in found] == [
            (4, "refused", None),
            (3, "assigned", None),
            (2, "assigned", None),
            (1, "joined", None),
        ]
        # The newest lead is the one that was given back.
        assert pools._given(conn, "P", now).of("ana@example.com", "") == [now + timedelta(seconds=2)]
        assert pools.History().at(conn, "P", "", 4) is not None
    assert examine(empty, utcnow()).findings == ()


def test_a_rotation_that_was_written_down_before_credits_were_told_apart_is_read() -> None:
    old = b'["P","",1,1.5,2.0,0.0,0.0,"",[["ana@example.com",1.0,"in",1.5,3,2.0,0.0,0.0,""]]]'
    rotation = Rotation.of(pools._decode(old))
    assert (rotation.people, rotation.assigned, rotation.credits, rotation.granted(0)) == (
        ["ana@example.com"],
        [3],
        [2.0],
        0.0,
    )


def test_processes_that_start_together_on_an_empty_database_all_find_it_ready(postgres: Postgres) -> None:
    url = postgres.fresh(migrated=False)
    # Processes, since Alembic's own state is one for all threads.
    command = [sys.executable, "-m", "routing.cli.app", "ledger", "upgrade", "--ledger", url]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * 4, told
    ledger = Ledger(url)
    assert examine(ledger, utcnow()).findings == ()
    ledger.close()


def test_a_ledger_made_step_by_step_is_as_a_new_one(empty: Ledger) -> None:
    for revision in ("0001", "0002", "0003", "0004", "0005", "head"):
        command.upgrade(empty._alembic(), revision)
    assert examine(empty, utcnow()).findings == ()
    with empty.read() as conn:
        assert all(conn.scalar(select(func.count()).select_from(one)) == 0 for one in metadata.sorted_tables)


def test_what_was_owed_before_locks_its_own_record(empty: Ledger) -> None:
    command.upgrade(empty._alembic(), "0005")
    with empty.write() as conn:
        for n, state in enumerate(("pending", "sending", "parked", "confirmed")):
            conn.exec_driver_sql(
                "INSERT INTO outbox (write_id, decision_id, system, ref, state, body, unechoed, doubtful, attempts, detail, "
                "not_before_ms, occurred_ms, accepted_ms, created_ms, courier) VALUES "
                f"('w{n}', 'd', 's', 's:lead:{n}', '{state}', '{{}}', '[]', 0, 0, '', 0, 0, 0, 0, '')"
            )
    empty.upgrade()
    with empty.read() as conn:
        assert list(conn.scalars(select(outbox.c.locks).order_by(outbox.c.seq))) == [
            "s:lead:0",
            "s:lead:1",
            "s:lead:2",
            "",
        ]
