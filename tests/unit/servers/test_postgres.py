"""The PostgreSQL that tests run against: it must be real, come back after a kill, and leave nothing behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from routing.ledger.engine import Ledger
from tests.servers.postgres import Postgres

COMMITTED = "SELECT count(*) FROM position"
ADD = text("INSERT INTO position VALUES ('salesforce', 'changes', 'x', 1)")


def test_what_was_committed_survives_a_kill(postgres: Postgres, postgres_ledger: Ledger) -> None:
    with postgres_ledger.write() as conn:
        conn.execute(ADD)
    postgres.kill()
    with pytest.raises(OperationalError), postgres_ledger.read() as conn:
        conn.execute(text(COMMITTED))
    postgres.start()
    with postgres_ledger.read() as conn:
        assert conn.scalar(text(COMMITTED)) == 1


def test_every_test_has_a_database_of_its_own(postgres: Postgres, postgres_url: str) -> None:
    other = postgres.fresh()
    ledger = Ledger(postgres_url)
    with ledger.write() as conn:
        conn.execute(ADD)
    ledger.close()
    assert postgres.execute(COMMITTED, other.rsplit("/", 1)[1]) == [(0,)]


def test_a_killed_test_run_leaves_no_server_and_no_folder() -> None:
    code = (
        "import os, sys; from tests.servers.postgres import Postgres; p = Postgres().start();"
        "print(p._folder, p.port, flush=True); os.kill(os.getpid(), 9)"
    )
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    folder, _port = run.stdout.decode().split()
    deadline = time.monotonic() + 20
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(folder).exists()
