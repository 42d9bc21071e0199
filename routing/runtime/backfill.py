"""The first fill of the mirror: what each CRM already holds, before the first event is decided."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

import msgspec
import structlog
from sqlalchemy import Connection as SqlConnection

from connectors.contract import Connection
from routing.core.filing import filed
from routing.core.keys import keys
from routing.core.merge import merge
from routing.core.model import ChangeEvent, derived_id
from routing.delivery.retrying import patiently
from routing.ledger import journal, match_index, mirror, shares
from routing.ledger.engine import Ledger
from routing.ledger.schema import metadata, ref_of
from routing.ledger.sql import take_stock
from routing.runtime.clock import SKEW, Clock
from routing.runtime.feed import Feed
from routing.runtime.policies import Policies
from rules.policy import Policy

log = structlog.get_logger()

DONE = "backfill"
BEHIND = "backfill of "  # and an entity: names the position behind the last record stored of it
SINCE = "watched since"  # names the position that holds when a system was first listened to
PEOPLE_SECONDS = 300.0
# More than this, and more than half, are not deleted in a gap; a permission was lost.
MOST_GONE = 20


class Backfill:
    """Fills the mirror of one system once, and renews its people from time to time."""

    def __init__(self, connection: Connection, ledger: Ledger, policies: Policies, clock: Clock, feed: Feed) -> None:
        self._connection, self._ledger, self._policies = connection, ledger, policies
        self._clock, self._feed = clock, feed

    def once(self, stop: threading.Event) -> int:
        """Reads every mapped entity unless that was done before. Returns how many records; blocks, waiting while unwell.

        Goes on behind the last page stored, where an earlier try was cut off and the connector can.
        """
        system = self._connection.system
        with self._ledger.read() as conn:
            if journal.get_position(conn, system, DONE) is not None:
                return 0
            first = journal.get_position(conn, system, SINCE)
        since = datetime.fromisoformat(first.decode()) if first is not None else None
        entities = sorted(self._policies.maps(system))
        records = 0
        for attempt in patiently(stop, self._feed, "reading what the CRM holds"):
            with attempt:
                records += self._fill(entities, since, resume=True)
        with self._ledger.write() as conn:
            journal.set_position(conn, system, DONE, b"done", self._clock())
            take_stock(conn, metadata.sorted_tables)
        log.info("the mirror is filled", system=system, records=records)
        return records

    def people(self) -> int:
        """Reads the system's people again. Raises ConnectorError."""
        if "person" not in self._policies.maps(self._connection.system):
            return 0
        return self._fill(["person"], resume=False)

    def reconcile(self, entity: str) -> tuple[int, int]:
        """After a gap in the stream: reads all of an entity again. Records that nobody told us of enter the log as created,
        so that they are routed like any other. Returns (read, new). Raises ConnectorError.
        """
        began = self._clock()
        read = new = 0
        seen: set[str] = set()
        for page in self._connection.backfill([entity]):
            with self._ledger.write() as conn:
                shares.hold_all(conn)
                known = mirror.load(conn, {ref_of(e.system, e.entity, e.record_id) for e in page})
                heard: list[ChangeEvent] = []
                unheard: list[ChangeEvent] = []
                for event in page:
                    (heard if ref_of(event.system, event.entity, event.record_id) in known else unheard).append(event)
                store_snapshots(conn, heard, policy=self._policies.current)
                created = [msgspec.structs.replace(e, kind="created", origin="read back") for e in unheard]
                new += journal.accept(conn, created, self._clock())
            read += len(page)
            seen |= {event.record_id for event in page}
        gone = self._gone(entity, seen, began)
        log.info("reconciled after a gap", system=self._connection.system, entity=entity, read=read, new=new, gone=gone)
        return read, new

    def _gone(self, entity: str, seen: set[str], began: datetime) -> int:
        """Records that the mirror has and the CRM no longer: their deletion fell into the gap. Each is asked for once more,
        for one created while the pages came may be on none of them."""
        system = self._connection.system
        with self._ledger.read() as conn:
            known = mirror.living(conn, system, entity)
        missing = sorted(set(known) - seen)
        still = self._connection.read(entity, missing, []) if missing else {}
        if len(missing) - len(still) > max(MOST_GONE, len(known) // 2):
            log.error(
                "most records seem to be gone; they are taken for hidden, not for deleted",
                system=system,
                entity=entity,
                records=len(missing) - len(still),
                advice="See with `fingerpost doctor` whether the integration user still sees them all.",
            )
            return 0
        gone = [
            ChangeEvent(
                event_id=derived_id(system, "gone", record_id, began.isoformat()),
                system=system,
                entity=entity,
                record_id=record_id,
                kind="deleted",
                occurred_at=began,
                observed_at=began,
                origin="read back",
            )
            for record_id in missing
            if record_id not in still
        ]
        with self._ledger.write() as conn:
            return journal.accept(conn, gone, self._clock())

    def _fill(self, entities: Sequence[str], since: datetime | None = None, *, resume: bool) -> int:
        system = self._connection.system
        records = 0
        for entity in entities:
            behind = self._behind(entity) if resume else None
            for page in self._connection.backfill([entity], {entity: behind} if behind else None):
                with self._ledger.write() as conn:
                    shares.hold_all(conn)
                    store_snapshots(conn, page, since, self._policies.current)
                    if resume and page:
                        behind = page[-1].cursor or page[-1].record_id
                        journal.set_position(conn, system, BEHIND + entity, behind.encode(), self._clock())
                records += len(page)
        return records

    def _behind(self, entity: str) -> str | None:
        with self._ledger.read() as conn:
            last = journal.get_position(conn, self._connection.system, BEHIND + entity)
        return last.decode() if last is not None else None


def watch_from(ledger: Ledger, system: str, now: datetime) -> None:
    """Remembers when a system was first listened to; to be called before its sources start. Later calls change nothing."""
    with ledger.write() as conn:
        if journal.get_position(conn, system, SINCE) is None:
            journal.set_position(conn, system, SINCE, now.isoformat().encode(), now)


def store_snapshots(
    conn: SqlConnection, page: Sequence[ChangeEvent], since: datetime | None = None, policy: Policy | None = None
) -> None:
    """Merges a page of snapshots into the mirror; what is newer there stays. ``shares.hold_all`` goes before.

    Records not known so far and last changed before ``since`` were there before anybody listened: should their creation be
    told after all (Salesforce replays three days after a gap), it is no news. One created later has yet to be routed.
    """
    stored = mirror.load(conn, {ref_of(e.system, e.entity, e.record_id) for e in page})
    known, fresh = dict(stored), {}
    for event in page:
        name = ref_of(event.system, event.entity, event.record_id)
        before = known.get(name)
        after, changed = merge(before, event)
        if before is None and since is not None and event.occurred_at < since - SKEW:
            after.announced = True
        if changed or before is None:
            known[name] = after
            fresh[name] = after
    mirror.save(conn, [(record, keys(record)) for record in fresh.values()], policy)
    changes = [match_index.Change(name, filed(stored.get(name)), filed(record)) for name, record in fresh.items()]
    match_index.save(conn, changes)
