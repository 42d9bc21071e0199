"""Reading records from Salesforce by SOQL: by id, and all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from connectors.contract import Maps, Snapshot
from connectors.errors import Misconfigured
from connectors.mapping import inward
from connectors.salesforce.budget import Urgency
from connectors.salesforce.bulk import BulkQueries, JobGone, JobRefused, is_place
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import SYSTEM, malformed
from connectors.salesforce.masters import masters_of, merged_into
from connectors.salesforce.values import parse_instant, reader_of
from connectors.salesforce.visible import Visible
from routing.core.model import ChangeEvent, EntityMap, Values, derived_id

log = structlog.get_logger(__name__)

# A query travels in the URL, which Salesforce cuts at 16,384 bytes: 200 ids take 5,400 of them.
IDS_PER_QUERY = 200
# A request of Collections has them in its body.
IDS_PER_RETRIEVE = 2000
PAGE = 2000  # rows a query answers at once
_AUDIT = ("CreatedDate", "LastModifiedDate", "LastModifiedById", "SystemModstamp")


class SalesforceReader:
    """``contract.Reader`` over a client."""

    def __init__(self, client: SalesforceClient, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._bulk = BulkQueries(client)
        self.visible = Visible(client)
        self._maps = maps
        self._clock = clock

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        """See ``contract.Reader.read``; one call for up to 200 ids, and for each 2,000 of more. Raises ConnectorError."""
        entity_map = self._map(entity)
        for name in fields:
            if name not in entity_map.fields:
                raise Misconfigured(
                    f"{entity}.{name} has no Salesforce field. Add one for it in fields.yaml.", system=SYSTEM, code=name
                )
        known = _possible(ids)
        ask, most = (
            (self._query_ids, IDS_PER_QUERY) if len(known) <= IDS_PER_QUERY else (self._retrieve, IDS_PER_RETRIEVE)
        )
        found: dict[str, Snapshot] = {}
        for start in range(0, len(known), most):
            chunk = known[start : start + most]
            asked = {one[:15]: one for one in chunk}
            rows = self.visible.asked(entity_map, fields, partial(ask, entity_map, chunk))
            for row in rows:
                found[asked[row["Id"][:15]]] = _snapshot(entity_map, fields, row)
        return found

    def _query_ids(self, entity_map: EntityMap, ids: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        listed = ",".join(f"'{one}'" for one in ids)
        query = f"SELECT {_columns(entity_map, fields)} FROM {entity_map.remote} WHERE Id IN ({listed})"  # noqa: S608 - checked by ``read``
        pages = self._client.pages(query, what=f"reading {len(ids)} {entity_map.entity} records")
        return [row for page in pages for row in page]

    def _retrieve(self, entity_map: EntityMap, ids: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Collections' answer has null for what is not there or not ours to see; of what is in the recycle bin it is not written that it
        has, so that is asked for. Users cannot be deleted, and have no such field."""
        what = f"reading {len(ids)} {entity_map.entity} records"
        names = [*_names(entity_map, fields), *(["IsDeleted"] if entity_map.remote != "User" else [])]
        path = f"composite/sobjects/{entity_map.remote}"
        answer = self._client.call("POST", path, body={"ids": list(ids), "fields": names}, what=what, reading=True)
        if not isinstance(answer, list) or len(answer) != len(ids):
            raise malformed("another number of rows", what)
        return [row for row in answer if row is not None and not row.get("IsDeleted")]

    def merged_into(self, entity: str, ids: Sequence[str]) -> dict[str, str]:
        """See ``contract.Reader.merged_into``. Where Salesforce will not tell, none are known. Raises ConnectorError."""
        entity_map = self._map(entity)
        return masters_of(entity_map, partial(merged_into, self._client, entity_map, _possible(ids)))

    def backfill(self, entities: Sequence[str], after: Mapping[str, str] | None = None) -> Iterator[list[ChangeEvent]]:
        """See ``contract.Reader.backfill``; pages of up to 2,000: in the order of ids, one call each, or by a bulk job where there are
        ``bulk_from`` records or more."""
        for entity in entities:
            entity_map = self._maps().get(entity)
            if entity_map is None:
                continue
            place = (after or {}).get(entity, "")
            if is_place(place):
                try:
                    yield from self._by_job(entity_map, place)
                except JobGone:
                    log.warning(
                        "salesforce_bulk_job_gone", entity=entity, advice="its result is gone; reading begins anew"
                    )
                    yield from self._by_ids(entity_map, "")
            else:
                yield from self._by_ids(entity_map, place)

    def _by_ids(self, entity_map: EntityMap, last: str) -> Iterator[list[ChangeEvent]]:
        what = f"reading all {entity_map.entity} records"
        # Each page is a query of its own: a cursor of Salesforce's ends with the session, and after a quiet quarter of an hour.
        more, asked = True, False
        while more:
            rows, more = self._page(entity_map, "Id", f"Id > '{last}'" if last else "", what, Urgency.BACKGROUND)
            if rows:
                yield [self._snapshot(entity_map, row, row["Id"]) for row in rows]
                last = rows[-1]["Id"]
            if more and not asked:
                asked = True  # only where one page is not all, it is worth a call to know how many there are
                place = self._bulk_place(entity_map, last, what)
                if place:
                    yield from self._by_job(entity_map, place)
                    return

    def _bulk_place(self, entity_map: EntityMap, last: str, what: str) -> str:
        """Where a job has the records behind ``last``; "" where there are too few for one, or none can be had."""
        where = f"FROM {entity_map.remote} WHERE Id > '{last}'"
        count = f"SELECT COUNT() {where}"
        answer = self._client.call("GET", "query/", params={"q": count}, what=what, urgency=Urgency.BACKGROUND)
        if answer["totalSize"] < self._client.settings.bulk_from:
            return ""

        def begin(fields: Sequence[str]) -> str:
            return self._bulk.begin(f"SELECT {_columns(entity_map, fields)} {where}", what)

        try:
            return self.visible.asked(entity_map, tuple(entity_map.fields), begin)
        except JobRefused as error:
            log.warning(
                "salesforce_bulk_refused",
                entity=entity_map.entity,
                reason=str(error.__cause__ or error),
                advice="it is read by queries, which costs more of the day's calls",
            )
            return ""

    def _by_job(self, entity_map: EntityMap, place: str) -> Iterator[list[ChangeEvent]]:
        what = f"reading all {entity_map.entity} records"
        for page in self._bulk.rows(place, what):
            yield [self._snapshot(entity_map, row, behind) for row, behind in page]

    def _page(
        self, entity_map: EntityMap, order: str, where: str, what: str, urgency: Urgency
    ) -> tuple[list[dict[str, Any]], bool]:
        """The rows of a query that is limited to a page, and whether there may be more behind them."""

        def ask(fields: Sequence[str]) -> dict[str, Any]:
            return self._client.query(_paged(entity_map, fields, order, where), what=what, urgency=urgency)

        answer = self.visible.asked(entity_map, tuple(entity_map.fields), ask)
        rows: list[dict[str, Any]] = answer["records"]
        # Wide rows come fewer at once; the next query goes on behind them.
        return rows, len(rows) == PAGE or not answer["done"]

    def changed_since(self, entity_map: EntityMap, since: datetime, last: str) -> tuple[list[dict[str, Any]], bool]:
        """Up to 2,000 rows changed at ``since``, with an id behind ``last``, or later; oldest first. And whether there are more.

        Raises ConnectorError.
        """
        at = f"{since:%Y-%m-%dT%H:%M:%SZ}"
        where = (
            f"(SystemModstamp = {at} AND Id > '{last}') OR SystemModstamp > {at}" if last else f"SystemModstamp >= {at}"
        )
        what = f"asking which {entity_map.entity} records changed"
        return self._page(entity_map, "SystemModstamp, Id", where, what, Urgency.NORMAL)

    def _snapshot(self, entity_map: EntityMap, row: dict[str, Any], cursor: str) -> ChangeEvent:
        event, troubles = self.event(entity_map, row, cursor)
        _warn(entity_map, row, troubles)
        return event

    def event(self, entity_map: EntityMap, row: dict[str, Any], cursor: str = "") -> tuple[ChangeEvent, list[str]]:
        """A row as a snapshot of its record, and what of it could not be read (``values_of``); ``cursor`` is the place behind it."""
        # SystemModstamp also moves when the platform itself changes a record; nothing in the row is younger.
        stamp, fields = row["SystemModstamp"], tuple(entity_map.fields)
        values, troubles = values_of(entity_map, fields, row)
        event = ChangeEvent(
            event_id=derived_id(SYSTEM, "snapshot", row["Id"], stamp),
            system=SYSTEM,
            entity=entity_map.entity,
            record_id=row["Id"],
            kind="snapshot",
            occurred_at=parse_instant(stamp),
            observed_at=self._clock(),
            changed=tuple(values),
            values=values,
            actor=row["LastModifiedById"] or "",
            cursor=cursor,
        )
        return event, troubles

    def _map(self, entity: str) -> EntityMap:
        found = self._maps().get(entity)
        if found is None:
            raise Misconfigured(
                f"{entity!r} has no Salesforce object. Add one for it in fields.yaml.", system=SYSTEM, code=entity
            )
        return found


def _possible(ids: Sequence[str]) -> list[str]:
    """What is no Salesforce id cannot be a record: it is absent, like a deleted one. Nothing else enters a query."""
    return [one for one in dict.fromkeys(ids) if len(one) in (15, 18) and one.isascii() and one.isalnum()]


def _paged(entity_map: EntityMap, fields: Sequence[str], order: str, where: str) -> str:
    condition = f" WHERE {where}" if where else ""
    return f"SELECT {_columns(entity_map, fields)} FROM {entity_map.remote}{condition} ORDER BY {order} LIMIT {PAGE}"  # noqa: S608 - names from fields.yaml


def _columns(entity_map: EntityMap, fields: Sequence[str]) -> str:
    return ", ".join(_names(entity_map, fields))


def _names(entity_map: EntityMap, fields: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(["Id", *(entity_map.fields[field] for field in fields), *_AUDIT]))


def values_of(entity_map: EntityMap, fields: Sequence[str], row: dict[str, Any]) -> tuple[Values, list[str]]:
    """The named fields of a row, and a sentence for each that is left out, as it does not fit the type that fields.yaml gives it."""
    return inward(entity_map, fields, row, _canonical)


def _canonical(kind: str, value: Any) -> Any:
    if isinstance(value, str) and not value.isascii():
        value = _whole(value)
    return None if value is None else reader_of(kind)(value)


def _whole(text: str) -> str:
    """A text that was cut in the middle of an emoji ends in half a character, which can neither be stored nor sent."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _warn(entity_map: EntityMap, row: dict[str, Any], troubles: Sequence[str]) -> None:
    for trouble in troubles:  # what was known of such a field stays
        log.warning("salesforce_value_left_out", entity=entity_map.entity, record_id=row["Id"], trouble=trouble)


def _snapshot(entity_map: EntityMap, fields: Sequence[str], row: dict[str, Any]) -> Snapshot:
    values, troubles = values_of(entity_map, fields, row)
    _warn(entity_map, row, troubles)
    return Snapshot(
        values=values,
        modified_at=parse_instant(row["LastModifiedDate"]),
        modified_by=row["LastModifiedById"] or "",
    )
