"""Several couriers on one outbox: each write once, a record's writes in order, whoever dies or loses the ledger."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import text

from routing.delivery import keeping
from routing.delivery.courier import Courier
from routing.ledger import outbox
from routing.ledger.engine import Ledger
from routing.runtime.clock import utcnow
from routing.runtime.feed import Feed
from routing.runtime.services import Services
from tests.integration.couriers import MemoryCrm, TableCrm, hurry, owe
from tests.processes import wait_for
from tests.servers.postgres import Postgres

RECORDS = tuple(f"r{n}" for n in range(30))
VALUES = range(1, 6)
ALL = {record: [f"v{n}" for n in VALUES] for record in RECORDS}


@pytest.fixture
def impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RECOVER_SECONDS", "VACANT_SECONDS", "KEEP_SECONDS", "GRACE_MS"):
            patch.setattr(keeping, name, getattr(keeping, name))  # put back at the end
        hurry()
        yield


@pytest.fixture
def crm(postgres: Postgres) -> TableCrm:
    made = TableCrm(postgres.fresh(migrated=False), 0.01)
    made.make(RECORDS)
    return made


def ended(ledger: Ledger) -> dict[str, int]:
    with ledger.read() as conn:
        return outbox.counts(conn)


def all_ended(ledger: Ledger) -> bool:
    return set(ended(ledger)) <= {"confirmed", "superseded", "parked"}


@contextmanager
def working(crm: TableCrm, url: str, n: int) -> Iterator[Services]:
    """``n`` couriers, each with a ledger of its own as another process has."""
    with ExitStack() as ledgers:
        first = Ledger(url)
        services = Services(first)
        for number in range(n):
            ledger = first if number == 0 else Ledger(url)
            ledgers.callback(ledger.close)
            one = Courier(crm, ledger, utcnow, Feed())
            services.start("delivery", f"courier {number}", lambda stop, c=one: c.run(threading.Event(), stop))  # type: ignore[misc]
        yield services
        assert services.stop("delivery") == []


def test_several_couriers_write_everything_once_and_in_order(postgres_ledger: Ledger, crm: TableCrm) -> None:
    owe(postgres_ledger, RECORDS, VALUES)
    with working(crm, postgres_ledger.url, 4) as services:
        wait_for("all writes", lambda: all_ended(postgres_ledger))
        assert services.failure == ""
    assert crm.history() == ALL
    assert ended(postgres_ledger) == {"confirmed": len(RECORDS) * len(VALUES)}


@pytest.mark.parametrize("how", ["cut", "restart", "kill"])
def test_a_ledger_that_goes_away_meanwhile_costs_nothing(
    postgres: Postgres, postgres_ledger: Ledger, impatient: None, how: str
) -> None:
    owe(postgres_ledger, RECORDS, VALUES)
    crm = MemoryCrm()
    with working(crm, postgres_ledger.url, 3) as services:
        wait_for("some writes", lambda: len(crm.arrived) > 40)
        if how == "cut":
            postgres.cut(postgres_ledger.url)
        elif how == "restart":
            postgres.restart()
        else:
            postgres.kill()
            postgres.start()
        wait_for("all writes", lambda: all_ended(postgres_ledger))
        assert services.failure == ""
        assert services.ledger is not None
        wait_for("being well again", lambda: services.ledger is not None and services.ledger.since is None)
    assert crm.history() == ALL


@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=[pytest.mark.faults, pytest.mark.timeout(600)])])
def test_killed_couriers_leave_nothing_undone_and_nothing_done_twice(
    postgres_ledger: Ledger, crm: TableCrm, impatient: None, kills: int
) -> None:
    values = range(1, 2 * kills)
    writes = len(RECORDS) * len(values)
    owe(postgres_ledger, RECORDS, values)
    command = [sys.executable, "-m", "tests.integration.couriers", postgres_ledger.url, crm.url]
    children: list[subprocess.Popen[bytes]] = []

    def arrived(most: int) -> bool:
        return crm.touches() >= most or all_ended(postgres_ledger)

    try:
        children = [subprocess.Popen(command) for _ in range(3)]
        for kill in range(1, kills + 1):
            enough = writes * kill // (kills + 2)
            wait_for("some writes", lambda most=enough: arrived(most))  # type: ignore[misc]
            victim = children.pop(0)
            victim.kill()
            victim.wait()
            children.append(subprocess.Popen(command))
        wait_for("all writes", lambda: all_ended(postgres_ledger))
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert crm.history() == {record: [f"v{n}" for n in values] for record in RECORDS}
    assert ended(postgres_ledger) == {"confirmed": writes}


def test_who_is_busy_in_the_crm_keeps_its_writes_when_only_the_ledger_was_away(
    postgres: Postgres, postgres_ledger: Ledger, impatient: None
) -> None:
    owe(postgres_ledger, ("r0",), [1])
    crm = MemoryCrm()
    crm.gate.clear()
    with working(crm, postgres_ledger.url, 2):
        wait_for("the call", lambda: crm.calling)
        postgres.restart()
        deadline = time.monotonic() + 4 * keeping.VACANT_SECONDS
        while time.monotonic() < deadline:
            assert ended(postgres_ledger) == {"sending": 1}
            time.sleep(0.05)
        crm.gate.set()
        wait_for("the write", lambda: all_ended(postgres_ledger))
    assert crm.history() == {"r0": ["v1"]}
    with postgres_ledger.read() as conn:
        assert conn.execute(text("SELECT state, doubtful, attempts FROM outbox")).all() == [("confirmed", 0, 1)]
