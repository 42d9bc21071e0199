"""Reading HubSpot: records by id, everything in pages, owners."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog

from connectors.contract import Maps, Snapshot
from connectors.errors import Misconfigured, RecordRejected
from connectors.hubspot.client import Client
from connectors.hubspot.history import MERGED_IDS, merged_ids
from connectors.hubspot.objects import OWNERS, own_maps
from connectors.hubspot.settings import SYSTEM
from connectors.hubspot.values import to_canonical
from connectors.mapping import inward
from routing.core.model import ChangeEvent, Entity, EntityMap, derived_id

log = structlog.get_logger(__name__)

READ_LIMIT = 100  # ids in one batch read; the vendor's limit
HISTORY_LIMIT = 50  # the same when histories are asked for
PAGE = 100  # records in one page of a list; the vendor's limit
OWNER_PAGE = 500

_NEXT, _END = "after ", "end"  # what the cursors of a fill begin with, or are

_GONE = "restore them in HubSpot or correct fields.yaml; what was known of them stays until then"
_UPDATED_BY = "hs_updated_by_user_id"  # HubSpot keeps it on every object


class _Record(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    properties: dict[str, Any] = {}
    updated_at: datetime | None = None
    archived: bool = False
    properties_with_history: dict[str, list[dict[str, Any]]] = {}


class _NextPage(msgspec.Struct, frozen=True):
    after: str


class _Paging(msgspec.Struct, frozen=True):
    next: _NextPage | None = None


class _Records(msgspec.Struct, frozen=True):
    results: list[_Record]
    paging: _Paging | None = None

    def after(self) -> str | None:
        return self.paging.next.after if self.paging and self.paging.next else None


class _Owner(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    updated_at: datetime | None = None
    archived: bool = False


class _Owners(msgspec.Struct, frozen=True):
    results: list[_Owner]
    paging: _Paging | None = None


class HubSpotReader:
    """The reading half of the connection. Blocks; never repeats a request; raises ConnectorError."""

    def __init__(self, client: Client, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._maps = maps
        self._clock = clock
        self._gone: set[str] = set()  # properties that HubSpot does not tell any more, and that we have told of

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        """See ``contract.Reader``. ``modified_by`` is ``userId:N`` of the record's last change, "" for programs.

        HubSpot answers for a record that was merged with the one it went into, which names it.
        """
        found = self._map(entity)
        if found.remote == OWNERS:
            wanted = set(ids)
            return {event.record_id: Snapshot(values=_only(event.values, fields)) for event in self._owners()
                    if event.record_id in wanted}  # fmt: skip
        names = sorted({found.fields[field] for field in fields if field in found.fields} | {_UPDATED_BY, MERGED_IDS})
        snapshots: dict[str, Snapshot] = {}
        unique = list(dict.fromkeys(ids))
        for start in range(0, len(unique), READ_LIMIT):
            for record in self._batch(found, unique[start : start + READ_LIMIT], {"properties": names}):
                snapshot = self._snapshot(found, tuple(fields), record)
                snapshots[record.id] = snapshot
                other = msgspec.structs.replace(snapshot, into=record.id)
                snapshots |= dict.fromkeys(snapshot.continues, other)
        return {one: snapshots[one] for one in unique if one in snapshots}

    def last_changes(self, entity: str, field: str, ids: Sequence[str]) -> dict[str, Snapshot]:
        """See ``contract.Historian``; 50 records a request.

        ``modified_by`` is ``userId:N`` for a person, else the kind of source (``INTEGRATION``, ``IMPORT`` …).
        """
        found = self._map(entity)
        remote = found.fields.get(field)
        if remote is None:
            raise _unmapped(f"{entity}.{field}")
        asked = {"properties": [remote], "propertiesWithHistory": [remote]}
        changes: dict[str, Snapshot] = {}
        for start in range(0, len(ids), HISTORY_LIMIT):
            for record in self._batch(found, ids[start : start + HISTORY_LIMIT], asked):
                for change in record.properties_with_history.get(remote, [])[:1]:  # newest first
                    user = change.get("updatedByUserId")
                    values, _ = inward(found, (field,), {remote: change.get("value")}, to_canonical)
                    changes[record.id] = Snapshot(
                        values=values,
                        modified_at=msgspec.convert(change.get("timestamp"), datetime | None),
                        modified_by=f"userId:{user}" if user else str(change.get("sourceType") or ""),
                    )
        return changes

    def backfill(self, entities: Sequence[str], after: Mapping[str, str] | None = None) -> Iterator[list[ChangeEvent]]:
        """See ``contract.Reader``. Entities that HubSpot has no object for are passed over; owners are always read anew."""
        done: set[str] = set()
        for entity, found in own_maps(self._maps()).items():
            if entity not in entities or found.remote in done:
                continue
            done.add(found.remote)
            if found.remote == OWNERS:
                yield self._owners()
            else:
                yield from self._pages(found, (after or {}).get(entity, ""))

    # -- requests -------------------------------------------------------------------------------------------------

    def _map(self, entity: str) -> EntityMap:
        found = own_maps(self._maps()).get(entity)
        if found is None:
            raise _unmapped(entity)
        return found

    def _batch(self, found: EntityMap, ids: Sequence[str], asked: Mapping[str, Sequence[str]]) -> list[_Record]:
        what = f"reading {len(ids)} {found.remote}"
        body = {
            "properties": [],
            "propertiesWithHistory": [],
            **asked,
            "inputs": [{"id": record_id} for record_id in ids],
        }
        answer = self._client.call(what, self._client.batch.read, found.remote, body)
        # A 207 names the ids that are not there; they are simply absent.
        return [record for record in answer.decode(_Records, what).results if not record.archived]

    def _pages(self, found: EntityMap, cursor: str) -> Iterator[list[ChangeEvent]]:
        """Pages behind ``cursor``: the place of the next one in HubSpot's list, or that there is none.

        Such places are HubSpot's own and may expire: where the one we resume at is refused, the list is read anew.
        """
        fields = tuple(found.fields)
        if cursor == _END:
            return
        after = cursor.removeprefix(_NEXT) if cursor.startswith(_NEXT) else ""
        try:
            page = self._page(found, after)
        except (RecordRejected, Misconfigured) as error:
            if not after:
                raise
            log.warning("hubspot fill begins anew", entity=found.entity, reason=str(error))
            page = self._page(found, "")
        while True:
            following = page.after()
            cursor = _END if following is None else _NEXT + following
            yield [self._event(found, fields, record, cursor) for record in page.results]
            if following is None:
                return
            page = self._page(found, following)

    def _page(self, found: EntityMap, after: str) -> _Records:
        what = f"listing {found.remote}"
        position: dict[str, Any] = {"after": after} if after else {}
        answer = self._client.call(
            what,
            self._client.objects.get_page,
            found.remote,
            limit=PAGE,
            properties=[",".join(sorted({*found.fields.values(), MERGED_IDS}))],
            urgent=False,
            **position,
        )
        return answer.decode(_Records, what)

    def _owners(self) -> list[ChangeEvent]:
        """All owners, those who left too: records may still name them."""
        events: dict[str, ChangeEvent] = {}
        for archived in (True, False):  # somebody archived and invited again is active
            after: str | None = None
            while True:
                what = "listing owners"
                position: dict[str, Any] = {"after": after} if after else {}
                answer = self._client.call(
                    what, self._client.owners.get_page, limit=OWNER_PAGE, archived=archived, **position
                )
                page = answer.decode(_Owners, what)
                events.update((owner.id, self._person(owner)) for owner in page.results)
                if not (page.paging and page.paging.next):
                    break
                after = page.paging.next.after
        return list(events.values())

    # -- values ---------------------------------------------------------------------------------------------------

    def _snapshot(self, found: EntityMap, fields: tuple[str, ...], record: _Record) -> Snapshot:
        values = self._values(found, fields, record)
        user = record.properties.get(_UPDATED_BY)
        return Snapshot(
            values=values,
            modified_at=record.updated_at,
            modified_by=f"userId:{user}" if user else "",
            continues=merged_ids(record.properties.get(MERGED_IDS)),
        )

    def _values(self, found: EntityMap, fields: tuple[str, ...], record: _Record) -> dict[str, Any]:
        values, troubles = inward(found, fields, record.properties, to_canonical)
        for trouble in troubles:
            log.warning("hubspot value left out", entity=found.entity, record_id=record.id, trouble=trouble)
        gone = (
            {found.fields[field] for field in fields if field in found.fields} - record.properties.keys() - self._gone
        )
        if gone:  # archived or deleted: HubSpot leaves such properties out, where those without a value are null
            self._gone |= gone
            log.warning("hubspot_properties_gone", object=found.remote, properties=sorted(gone), advice=_GONE)
        return values

    def _event(self, found: EntityMap, fields: tuple[str, ...], record: _Record, cursor: str) -> ChangeEvent:
        values = self._values(found, fields, record)
        event = self._snapshot_event(found.entity, record.id, values, record.updated_at, cursor)
        return msgspec.structs.replace(event, continues=merged_ids(record.properties.get(MERGED_IDS)))

    def _person(self, owner: _Owner) -> ChangeEvent:
        name = " ".join(part for part in (owner.first_name, owner.last_name) if part)
        values = {"name": name or None, "email": owner.email or None, "active": not owner.archived}
        return self._snapshot_event("person", owner.id, values, owner.updated_at)

    def _snapshot_event(
        self, entity: Entity, record_id: str, values: dict[str, Any], updated_at: datetime | None, cursor: str = ""
    ) -> ChangeEvent:
        now = self._clock()
        at = updated_at or now
        return ChangeEvent(
            event_id=derived_id(SYSTEM, "snapshot", entity, record_id, at.isoformat()),
            system=SYSTEM,
            entity=entity,
            record_id=record_id,
            kind="snapshot",
            occurred_at=at,
            observed_at=now,
            changed=tuple(values),
            values=values,
            origin="backfill",
            cursor=cursor,
        )


def _only(values: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    return {field: values[field] for field in fields if field in values}


def _unmapped(what: str) -> Misconfigured:
    return Misconfigured(
        f"fields.yaml gives {what} no name in HubSpot: add one, or remove the use of it", system=SYSTEM
    )
