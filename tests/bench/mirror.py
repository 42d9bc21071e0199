"""Starting with a big mirror: how soon the daemon is ready, and how much memory it holds at rest."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from routing.core.model import ChangeEvent
from routing.ledger import journal
from routing.ledger.engine import Ledger
from routing.runtime.backfill import store_snapshots
from routing.runtime.clock import monotonic
from routing.runtime.filling import DONE
from tests.bench.report import Line
from tests.processes import PATIENCE, Run

ACCOUNTS = 100_000


def run(folder: Path) -> list[Line]:
    daemon = Run(folder, seed=8)
    try:
        daemon.start()
        daemon.await_ready()
        daemon.stop_daemon()
        _fill(daemon.ledger_file)
        started = monotonic()
        daemon.start()
        daemon.await_ready()
        ready = monotonic() - started
        PATIENCE.wait(5)
        memory = _resident_mb(daemon.pid)
        return [
            Line(f"from start to ready with {ACCOUNTS:,} mirrored accounts", ready, "s", 5, at_least=False),
            Line("memory at rest", memory, "MB", 250, at_least=False),
        ]
    finally:
        daemon.close()


def _fill(ledger_file: Path) -> None:
    ledger = Ledger(f"sqlite:///{ledger_file}")
    seen = datetime(2026, 1, 1, tzinfo=UTC)
    for start in range(0, ACCOUNTS, 2000):
        page = [
            ChangeEvent(
                event_id="",
                system="salesforce",
                entity="account",
                record_id=f"001BENCH{n:010d}",
                kind="snapshot",
                occurred_at=seen,
                observed_at=seen,
                changed=("name", "website", "country", "employees", "type"),
                values={
                    "name": f"Company {n}",
                    "website": f"https://www.company-{n}.example",
                    "country": "DE",
                    "employees": n % 5000,
                    "type": "Prospect",
                },
            )
            for n in range(start, start + 2000)
        ]
        with ledger.write() as conn:
            store_snapshots(conn, page)
    with ledger.read() as conn:
        assert journal.get_position(conn, "salesforce", DONE) is not None
    ledger.close()


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} does not say how much memory it has")
