"""Reading Marketo: leads by id, and everything by bulk exports."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace

from connectors.contract import Maps, Snapshot
from connectors.errors import Transient
from connectors.mapping import Unconvertible, inward
from connectors.marketo.client import Client
from connectors.marketo.quota import Quota
from connectors.marketo.settings import SYSTEM
from connectors.marketo.values import is_lead_id, lead_map, moment, to_canonical
from routing.core.model import ChangeEvent, EntityMap, derived_id

log = structlog.get_logger(__name__)

LIMIT = 300  # leads in one call; the vendor's limit
EXPORT_DAYS = 30  # of creations in one export; the vendor takes 31
PAGE = 500  # snapshots in one page
_LOOKS = 240  # at an export, before it counts as stuck


class _Leads(msgspec.Struct, frozen=True):
    result: list[dict[str, Any]] = []


class _Job(msgspec.Struct, frozen=True, rename="camel"):
    export_id: str
    status: str = ""


class _Jobs(msgspec.Struct, frozen=True):
    result: list[_Job]


class MarketoReader:
    """The reading half of the connection. Blocks; never repeats a request; raises ConnectorError."""

    def __init__(self, client: Client, quota: Quota, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client, self._quota, self._maps, self._clock = client, quota, maps, clock
        self._pause = Event()  # never set: only its waiting is used
        self._empty: set[datetime] = set()  # months in which no lead was made: none will be

    def read(self, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        """See ``contract.Reader``. Marketo does not say who changed a lead last."""
        found = lead_map(self._maps())
        names = sorted({found.fields[field] for field in fields if field in found.fields} | {"id", "updatedAt"})
        snapshots: dict[str, Snapshot] = {}
        unique = [one for one in dict.fromkeys(ids) if is_lead_id(one)]
        for start in range(0, len(unique), LIMIT):
            part = unique[start : start + LIMIT]
            for lead in self.leads(f"reading {len(part)} leads", "id", part, names):
                values, troubles = inward(found, fields, lead, to_canonical)
                self._warn(found, lead, troubles)
                at = moment(str(lead["updatedAt"])) if lead.get("updatedAt") else None
                snapshots[str(lead["id"])] = Snapshot(values=values, modified_at=at)
        return snapshots

    def leads(self, what: str, by: str, keys: Sequence[str], names: Sequence[str]) -> list[dict[str, Any]]:
        """Leads whose field ``by`` is one of ``keys`` (300 at most), with the named Marketo fields."""
        query = {"filterType": by, "filterValues": ",".join(keys), "fields": ",".join(names), "batchSize": str(LIMIT)}
        return self._client.get(what, "/rest/v1/leads.json", _Leads, query).result

    def backfill(self, after: str = "") -> Iterator[list[ChangeEvent]]:
        """See ``contract.Reader``: exports of a month of creations each, from ``first_lead`` on, or from the month in which ``after`` is.
        What is exported counts against megabytes of the day, so nothing is twice that needs not be."""
        found = lead_map(self._maps())
        start = _after(after) or datetime.fromisoformat(self._client.settings.first_lead).replace(tzinfo=UTC)
        # Marketo counts in whole seconds; what is made from now on, the source tells.
        end = self._clock().replace(microsecond=0) + timedelta(seconds=2)
        while start < end:
            until = min(start + timedelta(days=EXPORT_DAYS), end)
            if start not in self._empty:
                yield from self._month(found, start, until, end)
            start = until

    def _month(self, found: EntityMap, start: datetime, until: datetime, end: datetime) -> Iterator[list[ChangeEvent]]:
        """The pages of one month. A fill that fails in a later one is not held up by the empty ones again."""
        self._quota.leave_reserve()
        page: list[ChangeEvent] = []
        read = 0
        for row in self._export(found, start, until):
            if len(page) == PAGE:
                yield page
                page = []
            page.append(self._snapshot(found, row, _text(start)))
            read += 1
        log.info("marketo_month_read", made_from=_text(start), made_until=_text(until), of=_text(end), leads=read)
        if page:
            yield [*page[:-1], replace(page[-1], cursor=_text(until))]
        elif until < end:
            self._empty.add(start)

    # -- one export -----------------------------------------------------------------------------------------------

    def _export(self, found: EntityMap, start: datetime, until: datetime) -> Iterator[dict[str, str]]:
        what = f"exporting the leads created from {start:%Y-%m-%d} to {until:%Y-%m-%d}"
        names = sorted(set(found.fields.values()) | {"id", "updatedAt"})
        between = {"startAt": _text(start), "endAt": _text(until - timedelta(seconds=1))}
        body = {"fields": names, "format": "CSV", "filter": {"createdAt": between}}
        [job] = self._client.post(what, "/bulk/v1/leads/export/create.json", body, _Jobs).result
        path = f"/bulk/v1/leads/export/{job.export_id}"
        self._client.post(what, f"{path}/enqueue.json", {}, _Jobs)
        for _ in range(_LOOKS):
            [job] = self._client.get(what, f"{path}/status.json", _Jobs).result
            if job.status == "Completed":
                raw = self._client.file(what, f"{path}/file.json")
                for row in csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")):
                    # What is empty is spelled so in exports, and there alone.
                    yield {name: "" if value == "null" else value for name, value in row.items()}
                return
            if job.status in ("Failed", "Cancelled"):
                break
            self._pause.wait(self._client.settings.export_look_seconds)
        raise Transient(f"{what}: the export is {job.status or 'not done'}; it is tried again later", system=SYSTEM)

    def _snapshot(self, found: EntityMap, row: Mapping[str, str], cursor: str) -> ChangeEvent:
        values, troubles = inward(found, found.fields, row, to_canonical)
        self._warn(found, row, troubles)
        now = self._clock()
        try:
            at = moment(row.get("updatedAt") or "")
        except Unconvertible:
            at = now
        return ChangeEvent(
            event_id=derived_id(SYSTEM, "snapshot", found.entity, row["id"], at.isoformat()),
            system=SYSTEM,
            entity=found.entity,
            record_id=row["id"],
            kind="snapshot",
            occurred_at=at,
            observed_at=now,
            changed=tuple(values),
            values=values,
            origin="backfill",
            cursor=cursor,
        )

    @staticmethod
    def _warn(found: EntityMap, lead: Mapping[str, Any], troubles: list[str]) -> None:
        for trouble in troubles:
            log.warning("marketo_value_left_out", entity=found.entity, record_id=str(lead.get("id")), trouble=trouble)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _after(cursor: str) -> datetime | None:
    """The time of creation from which a fill goes on; None for what is none, as the lead's id that once stood there."""
    try:
        return moment(cursor) if "T" in cursor else None
    except Unconvertible:
        return None
