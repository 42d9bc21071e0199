"""A CRM kept in a PostgreSQL database, and couriers that deliver to it: in threads, or as processes that can be killed.

`python -m tests.integration.couriers LEDGER_URL CRM_URL` is one such process.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import psycopg

from connectors.contract import Finding, Snapshot, WriteResult
from routing.core.model import ChangeEvent, Write, derived_id
from routing.delivery import keeping
from routing.delivery.courier import Courier
from routing.ledger import outbox
from routing.ledger.engine import Ledger
from routing.runtime.clock import utcnow
from routing.runtime.feed import Feed
from routing.runtime.services import Services

SCHEMA = """
CREATE TABLE record (id text PRIMARY KEY, owner text NOT NULL);
CREATE TABLE touch (n bigserial PRIMARY KEY, id text NOT NULL, owner text NOT NULL, write_id text NOT NULL);
"""


class TableCrm:
    """Remembers every write that reached it, in the order they came."""

    system = "fake"
    batch_size = look_size = 20
    calls = 0

    def __init__(self, url: str, slow: float = 0.0) -> None:
        self.url = url
        self._dsn = url.replace("+psycopg", "")
        self._slow = slow
        self._pause = threading.Event()

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._dsn, autocommit=True)

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        with self._connect() as conn:
            rows = conn.execute("SELECT id, owner FROM record WHERE id = ANY (%s)", (list(ids),)).fetchall()
        return {one: Snapshot(values={"owner": owner}) for one, owner in rows}

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        self._pause.wait(self._slow)
        with self._connect() as conn, conn.transaction():
            for one in writes:
                owner = one.fields["owner"]
                conn.execute("UPDATE record SET owner = %s WHERE id = %s", (owner, one.record_id))
                told = (one.record_id, owner, one.write_id)
                conn.execute("INSERT INTO touch (id, owner, write_id) VALUES (%s, %s, %s)", told)
        self._pause.wait(self._slow)  # it happened, and nobody has heard of it yet
        return [WriteResult(one.write_id) for one in writes]

    def created(self, writes: Sequence[Write], since: datetime) -> dict[str, str]:
        return {}

    def backfill(self, entities: Sequence[str]) -> Iterator[list[ChangeEvent]]:
        return iter(())

    def check(self) -> list[Finding]:
        return []

    def close(self) -> None:
        pass

    # -- for tests ----------------------------------------------------------------------------------------------------

    def make(self, records: Sequence[str]) -> None:
        with self._connect() as conn:
            conn.execute(SCHEMA)
            for record in records:
                conn.execute("INSERT INTO record VALUES (%s, 'v0')", (record,))

    def history(self) -> dict[str, list[str]]:
        """What each record was set to, in order."""
        found: dict[str, list[str]] = {}
        with self._connect() as conn:
            for record, owner in conn.execute("SELECT id, owner FROM touch ORDER BY n").fetchall():
                found.setdefault(record, []).append(owner)
        return found

    def touches(self) -> int:
        """How many writes arrived."""
        with self._connect() as conn:
            row = conn.execute("SELECT count(*) FROM touch").fetchone()
        return row[0] if row else 0


class MemoryCrm(TableCrm):
    """The same in memory, for couriers in threads; ``gate`` holds calls up while it is not set."""

    def __init__(self) -> None:
        super().__init__("", 0.01)
        self._lock = threading.Lock()
        self._records: dict[str, str] = {}
        self.arrived: list[Write] = []
        self.gate = threading.Event()
        self.gate.set()
        self.calling = 0

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        with self._lock:
            return {one: Snapshot(values={"owner": self._records.get(one, "v0")}) for one in ids}

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        self.calling += 1
        self._pause.wait(self._slow)
        with self._lock:
            self.arrived.extend(writes)
            self._records |= {one.record_id: one.fields["owner"] for one in writes}
        self.gate.wait()
        self._pause.wait(self._slow)
        return [WriteResult(one.write_id) for one in writes]

    def history(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in self.arrived:
            found.setdefault(one.record_id, []).append(one.fields["owner"])
        return found


def owe(ledger: Ledger, records: Sequence[str], values: Sequence[int]) -> None:
    """Owes each record the values one after the other: each write expects the one before."""
    for n in values:
        writes = [
            Write(
                write_id=derived_id("w", record, str(n)),
                decision_id=derived_id("d", record, str(n)),
                system="fake",
                entity="lead",
                record_id=record,
                fields={"owner": f"v{n}"},
                guard={"owner": f"v{n - 1}"},
            )
            for record in records
        ]
        with ledger.write() as conn:
            outbox.add(conn, [(one, 0, 0) for one in writes], utcnow() - timedelta(seconds=1))


def hurry() -> None:
    """Makes couriers look after each other sooner than in earnest."""
    keeping.RECOVER_SECONDS, keeping.VACANT_SECONDS, keeping.KEEP_SECONDS, keeping.GRACE_MS = 0.1, 0.6, 0.1, 300


def main() -> None:
    hurry()
    ledger = Ledger(sys.argv[1])
    services = Services(ledger)
    one = Courier(TableCrm(sys.argv[2], 0.02), ledger, utcnow, Feed())
    services.start("delivery", "courier", lambda stop: one.run(threading.Event(), stop))
    services.failed.wait()
    sys.exit(1)


if __name__ == "__main__":
    main()
