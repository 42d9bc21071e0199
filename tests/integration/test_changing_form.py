"""One ledger, first a cluster's, then one machine's, then a cluster's again: never both, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from routing.bootstrap import process
from routing.bootstrap.daemon import Daemon
from routing.bootstrap.process import Process
from routing.ledger import journal
from routing.ledger.engine import Ledger, LedgerError
from routing.runtime.clock import utcnow
from tests.integration.test_kafka_worker import Log, _leads
from tests.processes import POLICY, wait_for
from tests.servers.kafka import Kafka


@pytest.fixture
def log(kafka: Kafka, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setattr(process, "PLACE_SECONDS", 0.0)
    return Log(kafka, postgres_url)


@contextmanager
def embedded(url: str) -> Iterator[Daemon]:
    daemon = Daemon(url, POLICY, lambda _policies: [])
    daemon.start()
    try:
        yield daemon
        assert daemon.services.failure == ""
    finally:
        assert daemon.stop() == []


def refused(url: str, *, alone: bool) -> bool:
    with pytest.raises(LedgerError, match="Stop those that should not run"):
        Process(url, POLICY, lambda _policies: [], alone=alone)
    return True


def await_applied(log: Log, count: int) -> None:
    wait_for("all to be applied", lambda: log.states() == {"applied": count}, 30)


def test_a_ledger_changes_its_form_only_once_the_other_has_stopped(log: Log) -> None:
    log.leads(0, 3)
    with log.worker():
        log.await_settled(3)
        assert refused(log.url, alone=True), "its partitions are being settled"
    with capture_logs() as said, embedded(log.url) as daemon:
        assert [one["advice"] for one in said if "worked with Kafka before" in one["event"]], (
            "what waits there is not seen"
        )
        assert refused(log.url, alone=False)
        daemon.intake.accept(_leads(0, 5))  # of these it knows three
        await_applied(log, 5)
    ledger = Ledger(log.url)
    with ledger.write() as conn:  # accepted, and then the power went
        assert journal.accept(conn, [*_leads(0, 6)[5:], *_leads(1, 2)], utcnow()) == 3
    ledger.close()
    log.leads(0, 6)
    with log.worker():
        await_applied(log, 8)
