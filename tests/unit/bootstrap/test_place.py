"""Who may work on one PostgreSQL ledger at the same time."""

from __future__ import annotations

import gc

import pytest
from alembic import command
from typer.testing import CliRunner

from routing.bootstrap import process
from routing.bootstrap.process import Process
from routing.cli.app import app
from routing.ledger.check import current_revision
from routing.ledger.engine import Ledger, LedgerAway, LedgerError
from routing.runtime.policy_folder import PolicyFolderError
from tests.processes import POLICY, wait_for
from tests.servers.postgres import Postgres


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not free now is not waited for."""
    monkeypatch.setattr(process, "PLACE_SECONDS", 0.0)
    monkeypatch.setattr(process, "PLACE_LOOK_SECONDS", 0.05)


def begin(url: str, *, alone: bool) -> Process:
    return Process(url, POLICY, lambda _policies: [], alone=alone)


def test_an_embedded_daemon_works_alone(postgres_url: str) -> None:
    embedded = begin(postgres_url, alone=True)
    for alone in (True, False):
        with pytest.raises(LedgerError, match="Others already work on the ledger"):
            begin(postgres_url, alone=alone)
    embedded.stop()
    begin(postgres_url, alone=True).stop()


def test_any_number_of_roles_keep_an_embedded_daemon_out(postgres_url: str) -> None:
    roles = [begin(postgres_url, alone=False) for _ in range(3)]
    while roles:
        with pytest.raises(LedgerError, match="Others already work on the ledger"):
            begin(postgres_url, alone=True)
        roles.pop().stop()
    begin(postgres_url, alone=True).stop()


def test_a_role_does_not_migrate_a_ledger_that_others_may_work_on(postgres: Postgres) -> None:
    ledger = Ledger(postgres.fresh(migrated=False))
    command.upgrade(ledger._alembic(), "0004")
    with pytest.raises(
        LedgerError, match="Stop all gateways, workers and deliveries, then run `fingerpost ledger upgrade`"
    ):
        begin(ledger.url, alone=False)
    assert current_revision(ledger) == "0004"
    with ledger.read():  # somebody works on it
        said = str(CliRunner().invoke(app, ["ledger", "upgrade", "--ledger", ledger.url]).exception)
    assert "Somebody is working on the ledger" in said
    assert current_revision(ledger) == "0004"
    ledger.close()
    gc.collect()  # what a command opened is closed with its process
    assert CliRunner().invoke(app, ["ledger", "upgrade", "--ledger", ledger.url]).exit_code == 0
    begin(ledger.url, alone=False).stop()


def test_a_start_that_fails_leaves_nothing_behind(postgres_url: str) -> None:
    nobody = f"{postgres_url.rsplit(':', 1)[0]}:1/ledger"
    for alone in (True, False):
        with pytest.raises(LedgerAway, match="cannot be reached"):
            begin(nobody, alone=alone)
    for alone in (True, False):  # neither keeps the other out
        with pytest.raises(PolicyFolderError):
            Process(postgres_url, POLICY / "nowhere", lambda _policies: [], alone=alone)


def test_a_place_is_kept_when_its_connection_breaks(
    postgres: Postgres, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server may free what the old connection held a moment after it hung up.
    monkeypatch.setattr(process, "PLACE_SECONDS", 30.0)
    embedded = begin(postgres_url, alone=True)
    embedded.keep_place()
    name = postgres_url.rsplit("/", 1)[1]
    locks = "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory' AND datname = '{0}'"

    def holders() -> set[int]:
        return {pid for (pid,) in postgres.execute(locks.format(name), "postgres")}

    before = holders()
    assert len(before) == 1
    postgres.execute(f"SELECT pg_terminate_backend({before.pop()})", "postgres")
    wait_for("the place to be taken anew", lambda: len(holders() - before) == 1, 30)
    monkeypatch.setattr(process, "PLACE_SECONDS", 0.0)
    with pytest.raises(LedgerError, match="Others already work on the ledger"):
        begin(postgres_url, alone=False)
    assert embedded.services.failure == ""
    assert embedded.stop() == []
