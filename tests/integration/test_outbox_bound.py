"""On one machine: CRMs that take nothing for long make deciding pause, not the outbox grow without end; nothing is refused for it."""

from __future__ import annotations

from pathlib import Path

import yaml
from sqlalchemy import update
from structlog.testing import capture_logs

from routing.bootstrap.daemon import Daemon
from routing.bootstrap.settings import load
from routing.cli.run import _made
from routing.ledger import journal, outbox, schema
from routing.runtime.clock import utcnow
from tests.integration.test_kafka_worker import _leads, _write
from tests.processes import POLICY, wait_for

MOST = 3


def states(daemon: Daemon) -> dict[str, int]:
    with daemon.ledger.read() as conn:
        return journal.counts(conn)


def owe(daemon: Daemon) -> None:
    with daemon.ledger.write() as conn:
        outbox.add(conn, [(_write(n), 0, 0) for n in range(MOST)], utcnow())


def test_deciding_pauses_at_the_bound_and_goes_on_below_it(tmp_path: Path) -> None:
    daemon = Daemon(f"sqlite:///{tmp_path}/ledger.db", POLICY, lambda _policies: [], most_owed=MOST)
    owe(daemon)
    with capture_logs() as said:
        daemon.start()
        try:
            assert daemon.intake.accept(_leads(0, 5)) == 5, "what comes in is kept"
            wait_for("the pause", lambda: "3 writes wait for the CRMs" in str(daemon.health()["paused"]))
            assert daemon.intake.closed == ""
            assert daemon.metrics.registry.get_sample_value("fingerpost_deciding_paused") == 1
            assert states(daemon) == {"accepted": 5}
            with daemon.ledger.write() as conn:
                conn.execute(update(schema.outbox).values(state="confirmed"))
            wait_for("all to be decided", lambda: states(daemon) == {"applied": 5})
            assert daemon.health()["paused"] == ""
            assert daemon.metrics.registry.get_sample_value("fingerpost_deciding_paused") == 0
        finally:
            assert daemon.stop() == []
    assert daemon.services.failure == ""
    assert [one["event"] for one in said if one["event"].startswith("deciding")] == [
        "deciding pauses",
        "deciding goes on",
    ]


def test_the_bound_is_that_of_the_settings(tmp_path: Path) -> None:
    settings = {
        "policy": str(POLICY),
        "most_owed": MOST,
        "salesforce": {"login_url": "https://127.0.0.1:1", "client_id": "us"},
    }
    (tmp_path / "fingerpost.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    daemon = _made(load(tmp_path / "fingerpost.yaml"), kafka=False)
    assert isinstance(daemon, Daemon)
    owe(daemon)
    assert daemon.bound.full()
    assert daemon.stop() == []
