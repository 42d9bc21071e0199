"""What a run came to, counted from the ledger: it holds after a crash and a restart as well."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, func, select

from routing.core.distribution.rotation import Rotation
from routing.ledger import journal, outbox, pools
from routing.ledger.schema import decision
from routing.ledger.schema import journal as journal_table
from routing.ledger.schema import outbox as outbox_table


class PoolReport(Struct, frozen=True):
    """One pool: leads ``assigned``, and the largest |assigned − ideal| of its members, in leads."""

    pool: str
    assigned: int
    members: int
    deviation: float


class RunReport(Struct, frozen=True, kw_only=True):
    """Counts since the ledger was made. Latencies are milliseconds from the change in the CRM to the confirmed write;
    None while nothing was confirmed."""

    events: int
    leads_in: int
    assigned: int
    kept: int
    held: int
    rejected: int
    corrected: int
    writes_confirmed: int
    writes_superseded: int
    skipped: int
    parked: int
    open: int
    latency_p50_ms: int | None
    latency_p99_ms: int | None
    calls: dict[str, int] = {}
    pools: tuple[PoolReport, ...] = ()

    @property
    def calls_per_1000(self) -> dict[str, float]:
        """CRM calls for 1,000 assignments, by system."""
        return {
            system: round(n * 1000 / self.assigned, 1) if self.assigned else 0.0 for system, n in self.calls.items()
        }


def run_report(conn: Connection, calls: dict[str, int]) -> RunReport:
    """Counts everything. Reads all decisions' headers: meant for the end of a run, not for every second."""
    outcomes = {
        outcome: int(n)
        for outcome, n in conn.execute(select(decision.c.outcome, func.count()).group_by(decision.c.outcome))
    }
    states, writes = journal.counts(conn), outbox.counts(conn)
    latencies = _latencies(conn)
    return RunReport(
        events=sum(states.values()),
        leads_in=leads_in(conn),
        assigned=outcomes.get("assign", 0),
        kept=outcomes.get("keep", 0),
        held=outcomes.get("hold", 0),
        rejected=outcomes.get("reject", 0),
        corrected=int(conn.scalar(select(func.count()).where(decision.c.corrections > 0)) or 0),
        writes_confirmed=writes.get("confirmed", 0),
        writes_superseded=writes.get("superseded", 0),
        skipped=states.get("skipped", 0),
        parked=states.get("parked", 0) + writes.get("parked", 0),
        open=sum(states.get(s, 0) for s in journal.OPEN) + sum(writes.get(s, 0) for s in outbox.OPEN),
        latency_p50_ms=percentile(latencies, 50),
        latency_p99_ms=percentile(latencies, 99),
        calls=calls,
        pools=_pools(conn),
    )


def leads_in(conn: Connection) -> int:
    """How many leads were created in the CRMs, as far as we heard."""
    created = (journal_table.c.kind == "created") & journal_table.c.ref.like("%:lead:%")
    return int(conn.scalar(select(func.count()).select_from(journal_table).where(created)) or 0)


def _latencies(conn: Connection) -> list[int]:
    """Of all confirmed writes that change a record, sorted."""
    took = select(outbox_table.c.ended_ms - outbox_table.c.occurred_ms)
    return sorted(conn.scalars(took.where(outbox_table.c.state == "confirmed", outbox.CHANGES)))


def percentile(ordered: list[int], percent: int) -> int | None:
    """The nearest-rank percentile of sorted values, None of none."""
    if not ordered:
        return None
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[rank - 1]


def _pools(conn: Connection) -> tuple[PoolReport, ...]:
    by_pool: dict[str, list[Rotation]] = {}
    for one in pools.rotations(conn):
        by_pool.setdefault(one.pool, []).append(one)
    return tuple(
        PoolReport(
            name,
            sum(sum(one.assigned) for one in rotations),
            len({person for one in rotations for person in one.people}),
            max(one.deviation() for one in rotations),
        )
        for name, rotations in by_pool.items()
    )
