"""Reading Marketo: leads by id, and everything by bulk exports."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
import structlog

from connectors.contract import Maps, Page, Snapshot
from connectors.mapping import Unconvertible, inward
from connectors.marketo.client import Client
from connectors.marketo.exports import AHEAD, Exports, Span, text
from connectors.marketo.quota import Quota
from connectors.marketo.settings import SYSTEM
from connectors.marketo.values import is_lead_id, lead_map, moment, to_canonical
from routing.core.model import ChangeEvent, EntityMap, derived_id

log = structlog.get_logger(__name__)

LIMIT = 300  # leads in one call; the vendor's limit
EXPORT_DAYS = 30  # of creations in one export; the vendor takes 31
PAGE = 500  # snapshots in one page


class _Leads(msgspec.Struct, frozen=True):
    result: list[dict[str, Any]] = []


class MarketoReader:
    """The reading half of the connection. Blocks; never repeats a request; raises ConnectorError."""

    def __init__(self, client: Client, quota: Quota, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client, self._maps, self._clock = client, maps, clock
        self._exports = Exports(client, quota)
        self._end: datetime | None = None  # of the months that are being read

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
        names = sorted(set(found.fields.values()) | {"id", "updatedAt"})
        left = deque(self._spans(_after(after)))
        while left:
            self._exports.begin(islice(left, AHEAD), names)
            yield from self._month(found, left.popleft())

    def _spans(self, after: datetime | None) -> Iterator[Span]:
        """The months still to be read. They end where they did before an earlier try failed, so that its exports still serve."""
        if after is None or self._end is None:
            self._exports.forget()
            # Marketo counts in whole seconds; what is made from now on, the source tells.
            self._end = self._clock().replace(microsecond=0) + timedelta(seconds=2)
        start = after or datetime.fromisoformat(self._client.settings.first_lead).replace(tzinfo=UTC)
        while start < self._end:
            until = min(start + timedelta(days=EXPORT_DAYS), self._end)
            yield Span(start, until)
            start = until

    def _month(self, found: EntityMap, span: Span) -> Iterator[Page]:
        """The pages of one month; the last, which may be empty, is the one behind which the next month comes."""
        page = Page(cursor=text(span.start))
        for row in self._exports.rows(span):
            if len(page) == PAGE:
                yield page
                page = Page(cursor=text(span.start))
            page.append(self._snapshot(found, row))
        page.cursor = text(span.until)
        page.reached = f"those made until {span.until:%Y-%m-%d}"
        yield page

    def _snapshot(self, found: EntityMap, row: Mapping[str, str]) -> ChangeEvent:
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
        )

    @staticmethod
    def _warn(found: EntityMap, lead: Mapping[str, Any], troubles: list[str]) -> None:
        for trouble in troubles:
            log.warning("marketo_value_left_out", entity=found.entity, record_id=str(lead.get("id")), trouble=trouble)


def _after(cursor: str) -> datetime | None:
    """The time of creation from which a fill goes on; None for what is none, as the lead's id that once stood there."""
    try:
        return moment(cursor) if "T" in cursor else None
    except Unconvertible:
        return None
