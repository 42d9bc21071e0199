"""How many calls a burst of guarded owner changes costs, and whether each lands once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from connectors.contract import Connection
from connectors.sandbox.ids import salesforce_id
from routing.core.model import System, Write, derived_id
from routing.delivery.courier import Courier
from routing.ledger import outbox
from routing.ledger.engine import Ledger
from routing.runtime.clock import utcnow
from routing.runtime.feed import Feed
from tests.bench.report import Line
from tests.contract.hubspot_stand import hubspot_stand
from tests.contract.salesforce_stand import ANA, BEN, salesforce_stand

WRITES = 10_000


def run(folder: Path) -> list[Line]:
    return [*_salesforce(folder), *_hubspot(folder)]


def _salesforce(folder: Path) -> list[Line]:
    with salesforce_stand() as stand:
        ids = [salesforce_id("00Q", n) for n in range(WRITES)]
        leads = [{"Id": one, "LastName": "Doe", "Company": "Acme", "OwnerId": ANA} for one in ids]
        stand.sandbox.store.load("Lead", leads)
        calls = _calls(folder, stand.connection, ids, (ANA, BEN), lambda: stand.sandbox.api_requests)
        assert {row["OwnerId"] for row in stand.sandbox.records("Lead")} == {BEN}
        assert {len(stand.sandbox.history("Lead", one)) for one in ids} == {1}
    return _lines("Salesforce", calls, 200, 1.5)


def _hubspot(folder: Path) -> list[Line]:
    with hubspot_stand() as stand:
        before, after = stand.owners
        created = utcnow().isoformat()
        ids = [str(90_000_000_000 + n) for n in range(WRITES)]
        properties = {"email": "", "createdate": created, "hubspot_owner_id": before}
        stand.sandbox.store.load("contacts", ({"id": one, "properties": properties} for one in ids))
        calls = _calls(folder, stand.connection, ids, (before, after), lambda: stand.sandbox.requests)
        for one in ids:
            held = stand.sandbox.record("contacts", one) or {}
            assert held["hubspot_owner_id"] == after
            assert stand.sandbox.writes("contacts", one) == {"hubspot_owner_id": 1}
    return _lines("HubSpot", calls, 100)


def _calls(
    folder: Path, connection: Connection, ids: Sequence[str], owners: tuple[str, str], requests: Callable[[], int]
) -> int:
    """Owner changes through the courier, each guarded by reading the record first; nothing goes wrong."""
    system: System = connection.system  # type: ignore[assignment]
    ledger = Ledger(f"sqlite:///{folder / f'{system}.db'}")
    ledger.upgrade()
    with ledger.write() as conn:
        outbox.add(conn, [(_write(system, one, owners), 0, 0) for one in ids], utcnow())
    courier, stop = Courier(connection, ledger, utcnow, Feed()), threading.Event()
    before = requests()
    while True:
        with ledger.read() as conn:
            if not outbox.count(conn, outbox.OPEN):
                break
        courier.deliver_some(stop)
    ledger.close()
    return requests() - before


def _lines(name: str, calls: int, batch: int, promised: float | None = None) -> list[Line]:
    """``promised``: how many times the calls of writes alone; None where the API's looks are no larger than its writes."""
    writes = WRITES / batch
    return [
        Line(f"{name}: calls for 10,000 guarded owner changes", calls, "calls"),
        Line(f"  to the least: one read and one write per {batch}", calls / (2 * writes), "times", 1.5, at_least=False),
        Line(
            f"  to the least without guards: one write per {batch}", calls / writes, "times", promised, at_least=False
        ),
    ]


def _write(system: System, record_id: str, owners: tuple[str, str]) -> Write:
    return Write(
        write_id=derived_id("bench", record_id),
        decision_id=derived_id("bench decision", record_id),
        system=system,
        entity="lead",
        record_id=record_id,
        fields={"owner": owners[1]},
        guard={"owner": owners[0]},
    )
