"""The whole daemon on SQLite, the sandbox in another process: events a second, latency, calls for a burst."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from routing.ledger.engine import Ledger
from routing.ledger.report import percentile
from tests.bench.report import Line
from tests.processes import Run


def throughput(folder: Path) -> list[Line]:
    """As many leads as the sandbox can make, and what the daemon makes of them."""
    run = Run(folder, seed=3, sandbox=["--hubspot-limit", "100000"])
    try:
        run.start()
        run.await_ready()
        run.traffic(8000, None)
        run.await_settled(120)
        ledger = Ledger(f"sqlite:///{run.ledger_file}")
        with ledger.read() as conn:
            first, last, events = conn.execute(
                text("SELECT min(accepted_ms), max(settled_ms), count(*) FROM journal WHERE kind != 'snapshot'")
            ).one()
            lead_first, lead_last, leads = conn.execute(
                text(
                    "SELECT min(accepted_ms), max(settled_ms), count(*) FROM journal "
                    "WHERE kind = 'created' AND ref LIKE '%:lead:%'"
                )
            ).one()
        ledger.close()
        return [
            Line("events settled (leads and echoes)", events * 1000 / (last - first), "events/s", 1000),
            Line("leads decided", leads * 1000 / (lead_last - lead_first), "leads/s"),
            Line("memory of the daemon, highest", _peak_mb(run.pid), "MB"),
        ]
    finally:
        run.close()


def latency(folder: Path) -> list[Line]:
    """100 leads a second for 20 s, half of them by webhook."""
    run = Run(folder, seed=4)
    try:
        run.start()
        run.await_ready()
        run.traffic(2000, 100, hubspot_share=0.5)
        run.await_settled(120)
        lines = []
        for system, what in (
            ("hubspot", "webhook received to write confirmed"),
            ("salesforce", "CDC received to write confirmed"),
        ):
            taken = _waits(run.ledger_file, system)
            lines += [
                Line(f"{what}, p50", percentile(taken, 50) or 0, "ms"),
                Line(f"{what}, p99", percentile(taken, 99) or 0, "ms", 1000, at_least=False),
            ]
        return lines
    finally:
        run.close()


def burst(folder: Path) -> list[Line]:
    """1,000 leads at once, in one system and then in the other: requests made until every write is confirmed."""
    lines = []
    for system, share, most in (("salesforce", 0.0, 12), ("hubspot", 1.0, 25)):
        run = Run(folder / system, seed=6)
        try:
            run.start()
            run.await_ready()
            before = _requests(run, system)
            run.traffic(1000, None, hubspot_share=share)
            run.await_settled(120)
            made = _requests(run, system) - before
            lines.append(
                Line(f"{system} requests for 1,000 leads, guards included", made, "requests", most, at_least=False)
            )
        finally:
            run.close()
    return lines


def _requests(run: Run, system: str) -> int:
    return int(run.admin("/state").json()[system]["requests"])


def _waits(ledger_file: Path, system: str) -> list[int]:
    ledger = Ledger(f"sqlite:///{ledger_file}")
    with ledger.read() as conn:
        query = text("SELECT ended_ms - accepted_ms FROM outbox WHERE state = 'confirmed' AND system = :system")
        found = sorted(conn.execute(query, {"system": system}).scalars())
    ledger.close()
    return found


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
