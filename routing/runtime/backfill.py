"""The first fill of the mirror: what each CRM already holds, before the first event is decided."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from math import inf

import msgspec
import structlog
from sqlalchemy import Connection as SqlConnection

from connectors.contract import Connection
from routing.core.filing import filed
from routing.core.keys import keys
from routing.core.merge import DELETED, merge
from routing.core.model import ChangeEvent, Record, Value, derived_id
from routing.core.plan import READ_BACK
from routing.delivery.retrying import patiently
from routing.ledger import echoed, journal, match_index, mirror, shares
from routing.ledger.engine import Ledger
from routing.ledger.schema import metadata, ref_of
from routing.ledger.sql import take_stock
from routing.runtime import filling
from routing.runtime.clock import SKEW, Clock, monotonic
from routing.runtime.echo import ours_among, same
from routing.runtime.feed import Feed
from routing.runtime.pause_board import PauseBoard
from routing.runtime.policies import Policies
from rules.policy import Policy

log = structlog.get_logger()

FIELDS = "fields of "  # and an entity: names those that were read when all of it was read last
SINCE = "watched since"  # names the position that holds when a system was first listened to
PEOPLE_SECONDS = 300.0
TELL_SECONDS = 60.0  # between two lines of the log about how far a first fill is
# More than this, and more than half, are not deleted in a gap; a permission was lost.
MOST_GONE = 20


class Backfill:
    """Fills the mirror of one system once, and renews its people from time to time."""

    def __init__(self, connection: Connection, ledger: Ledger, policies: Policies, clock: Clock, feed: Feed) -> None:
        self._connection, self._ledger, self._policies = connection, ledger, policies
        self._clock, self._feed = clock, feed
        self._told = -inf

    def once(self, stop: threading.Event) -> int:
        """Reads every mapped entity unless that was done before. Returns how many records; blocks, waiting while unwell.

        Goes on behind the last page stored, where an earlier try was cut off and the connector can.
        """
        system = self._connection.system
        with self._ledger.read() as conn:
            if filling.done(conn, system):
                return 0
            first = journal.get_position(conn, system, SINCE)
        since = datetime.fromisoformat(first.decode()) if first is not None else None
        entities = sorted(self._policies.maps(system))
        records = 0
        for attempt in patiently(stop, self._feed, "reading what the CRM holds", PauseBoard(self._ledger)):
            with attempt:
                records += self._fill(entities, since, resume=True)
        with self._ledger.write() as conn:
            journal.set_position(conn, system, filling.DONE, b"done", self._clock())
            take_stock(conn, metadata.sorted_tables)
        log.info("the mirror is filled", system=system, records=records)
        return records

    def people(self) -> int:
        """Reads the system's people again. Raises ConnectorError."""
        if "person" not in self._policies.maps(self._connection.system):
            return 0
        return self._fill(["person"], resume=False)

    def reconcile(self, entity: str) -> tuple[int, int, int]:
        """After a gap in the stream: reads all of an entity again. Records that nobody told us of enter the log as created, and what differs
        from the mirror as updated (or restored), so that both are planned like any other change. Our own writes do not, nor what fields hold
        that were not read before. Returns (read, new, changed). Raises ConnectorError.
        """
        began, before = self._clock(), self._fields(entity)
        read = new = changed = 0
        seen: set[str] = set()
        names: set[str] = set()
        for page in self._connection.backfill([entity]):
            with self._ledger.write() as conn:
                shares.hold_all(conn)
                refs = {ref_of(e.system, e.entity, e.record_id) for e in page}
                known, waiting = mirror.load(conn, refs), echoed.unechoed(conn, refs)
                created, differing, alike = [], [], []
                for event in page:
                    name = ref_of(event.system, event.entity, event.record_id)
                    if name not in known:
                        created.append(msgspec.structs.replace(event, kind="created", origin=READ_BACK))
                        continue
                    told = _untold(event, known[name], waiting.get(name, ()), before)
                    differing += [told] if told else []
                    alike.append(_without(event, told.values if told else ()))
                store_snapshots(conn, alike, policy=self._policies.current)
                new += journal.accept(conn, created, self._clock())
                changed += journal.accept(conn, differing, self._clock())
            read += len(page)
            seen |= {event.record_id for event in page}
            names.update(*(event.values for event in page))
        self._remember_fields(entity, names)
        gone = self._gone(entity, seen, began)
        log.info(
            "reconciled after a gap",
            system=self._connection.system,
            entity=entity,
            read=read,
            new=new,
            changed=changed,
            gone=gone,
        )
        return read, new, changed

    def _gone(self, entity: str, seen: set[str], began: datetime) -> int:
        """Records that the mirror has and the CRM no longer: their deletion fell into the gap. Each is asked for once more,
        for one created while the pages came may be on none of them."""
        system = self._connection.system
        with self._ledger.read() as conn:
            known = mirror.living(conn, system, entity)
        missing = sorted(set(known) - seen)
        still = self._connection.read(entity, missing, []) if missing else {}
        into = {one: snapshot.into for one, snapshot in still.items() if snapshot.into}
        still = {one: snapshot for one, snapshot in still.items() if not snapshot.into}
        if len(missing) - len(still) > max(MOST_GONE, len(known) // 2):
            log.error(
                "most records seem to be gone; they are taken for hidden, not for deleted",
                system=system,
                entity=entity,
                records=len(missing) - len(still),
                advice="See with `fingerpost doctor` whether the integration user still sees them all.",
            )
            return 0
        absent = [one for one in missing if one not in still and one not in into]
        into |= self._connection.merged_into(entity, absent) if absent else {}
        gone = [
            ChangeEvent(
                event_id=derived_id(system, "gone", record_id, began.isoformat()),
                system=system,
                entity=entity,
                record_id=record_id,
                kind="merged" if record_id in into else "deleted",
                occurred_at=began,
                observed_at=began,
                origin="read back",
                into=into.get(record_id, ""),
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
            names: set[str] = set()
            for page in self._connection.backfill([entity], self._after(entity) if resume else None):
                with self._ledger.write() as conn:
                    shares.hold_all(conn)
                    store_snapshots(conn, page, since, self._policies.current)
                    so_far = filling.note(conn, system, entity, page, self._clock()) if resume else None
                if so_far is not None:
                    self._tell(so_far)
                records += len(page)
                names.update(*(event.values for event in page))
            self._remember_fields(entity, names)
        return records

    def _after(self, entity: str) -> dict[str, str] | None:
        with self._ledger.read() as conn:
            cursor = filling.behind(conn, self._connection.system, entity)
        return {entity: cursor} if cursor else None

    def _tell(self, so_far: filling.SoFar) -> None:
        """Says how far the fill is, once a minute."""
        now = monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            system = self._connection.system
            log.info("the mirror is being filled", system=system, so_far=str(so_far))
            self._feed.tell("filling", 1, f"{system}: {so_far}")

    def _fields(self, entity: str) -> Collection[str] | None:
        """The fields that were read when all of the entity was read last; None when that is not known."""
        with self._ledger.read() as conn:
            found = journal.get_position(conn, self._connection.system, FIELDS + entity)
        return found.decode().split() if found else None

    def _remember_fields(self, entity: str, names: Collection[str]) -> None:
        if names:
            with self._ledger.write() as conn:
                told = " ".join(sorted(names)).encode()
                journal.set_position(conn, self._connection.system, FIELDS + entity, told, self._clock())


def _untold(
    event: ChangeEvent, known: Record, waiting: Iterable[echoed.Unechoed], fields: Collection[str] | None
) -> ChangeEvent | None:
    """What of a snapshot is newer than the mirror and was neither told nor written by us, as the change it is; None when nothing is.

    ``fields`` are those that the mirror can know; of another one every value would be new.
    """
    _, newer = merge(known, event)
    if DELETED in newer:
        kind, told = "restored", event.values
    else:
        ours = ours_among(event.values, known, waiting)
        kind, told = (
            "updated",
            {
                name: value
                for name, value in event.values.items()
                if name in newer
                and name not in ours
                and (fields is None or name in fields)
                and not _alike(value, known.values.get(name))
            },
        )
    if not told:
        return None
    event_id = derived_id(event.event_id, READ_BACK, msgspec.json.encode(told).decode())
    return msgspec.structs.replace(
        event, event_id=event_id, kind=kind, changed=tuple(told), values=told, origin=READ_BACK
    )


def _alike(one: Value, other: Value) -> bool:
    """Whether two ways of reading a field could give these for one value: streams and queries may order choices and end lines differently."""
    return same(_plain(one), _plain(other))


def _plain(value: Value) -> Value:
    if isinstance(value, list):
        return sorted(map(str, value))
    return "\n".join(value.split("\r\n")).strip() if isinstance(value, str) else value


def _without(event: ChangeEvent, names: Collection[str]) -> ChangeEvent:
    return msgspec.structs.replace(event, values={n: value for n, value in event.values.items() if n not in names})


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
