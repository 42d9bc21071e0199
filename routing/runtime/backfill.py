"""The first fill of the mirror: what each CRM already holds, before the first event is decided."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
import structlog
from sqlalchemy import Connection as SqlConnection

from connectors.contract import Connection
from routing.core.keys import keys
from routing.core.merge import merge
from routing.core.model import ChangeEvent
from routing.delivery.retrying import patiently
from routing.ledger import journal, mirror
from routing.ledger.engine import Ledger
from routing.ledger.schema import ref_of
from routing.runtime.clock import Clock
from routing.runtime.feed import Feed
from routing.runtime.policies import Policies
from rules.policy import Policy

log = structlog.get_logger()

DONE = "backfill"
PEOPLE_SECONDS = 300.0


class Backfill:
    """Fills the mirror of one system once, and renews its people from time to time."""

    def __init__(self, connection: Connection, ledger: Ledger, policies: Policies, clock: Clock, feed: Feed) -> None:
        self._connection, self._ledger, self._policies = connection, ledger, policies
        self._clock, self._feed = clock, feed

    def once(self, stop: threading.Event) -> int:
        """Reads every mapped entity unless that was done before. Returns how many records; blocks, waiting while unwell."""
        system = self._connection.system
        with self._ledger.read() as conn:
            if journal.get_position(conn, system, DONE) is not None:
                return 0
        entities = sorted(self._policies.maps(system))
        records = 0
        for attempt in patiently(stop, self._feed, "reading what the CRM holds"):
            with attempt:
                records = self._fill(entities)
        with self._ledger.write() as conn:
            journal.set_position(conn, system, DONE, b"done", self._clock())
        log.info("the mirror is filled", system=system, records=records)
        return records

    def people(self) -> int:
        """Reads the system's people again. Raises ConnectorError."""
        return self._fill(["person"]) if "person" in self._policies.maps(self._connection.system) else 0

    def reconcile(self, entity: str) -> tuple[int, int]:
        """After a gap in the stream: reads all of an entity again. Records that nobody told us of enter the log as created,
        so that they are routed like any other. Returns (read, new). Raises ConnectorError.
        """
        read = new = 0
        for page in self._connection.backfill([entity]):
            with self._ledger.write() as conn:
                known = mirror.load(conn, {ref_of(e.system, e.entity, e.record_id) for e in page})
                unheard = [e for e in page if ref_of(e.system, e.entity, e.record_id) not in known]
                store_snapshots(conn, [e for e in page if e not in unheard], self._policies.current)
                created = [msgspec.structs.replace(e, kind="created", origin="read back") for e in unheard]
                new += journal.accept(conn, created, self._clock())
            read += len(page)
        log.info("reconciled after a gap", system=self._connection.system, entity=entity, read=read, new=new)
        return read, new

    def _fill(self, entities: Sequence[str]) -> int:
        records = 0
        for page in self._connection.backfill(entities):
            with self._ledger.write() as conn:
                store_snapshots(conn, page, self._policies.current)
            records += len(page)
        return records


def store_snapshots(conn: SqlConnection, page: Sequence[ChangeEvent], policy: Policy) -> None:
    """Merges a page of snapshots into the mirror; what is newer there stays."""
    known = mirror.load(conn, {ref_of(e.system, e.entity, e.record_id) for e in page})
    fresh = {}
    for event in page:
        name = ref_of(event.system, event.entity, event.record_id)
        before = known.get(name)
        after, changed = merge(before, event)
        if changed or before is None:
            known[name] = after
            fresh[name] = after
    mirror.save(conn, [(record, keys(record, policy)) for record in fresh.values()])
