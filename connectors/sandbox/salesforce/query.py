"""Query and queryMore of the sandbox, in pages."""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from typing import Any

from starlette.requests import Request

from connectors.sandbox.salesforce import soql
from connectors.sandbox.salesforce.checks import SaveError
from connectors.sandbox.salesforce.standard import TOOLING
from connectors.sandbox.salesforce.store import Store

PAGE = 2000  # rows a page, unless the client asks for fewer
_OPEN_CURSORS = 50


class Queries:
    """Runs SOQL over a Store; a long result stays as it was when it was asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cursors: OrderedDict[str, tuple[soql.Query, list[dict[str, Any]]]] = OrderedDict()
        self._numbers = itertools.count(1)

    def run(
        self, text: str, include_deleted: bool, request: Request, only: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """The first page. Raises SaveError with Salesforce's code for a query that cannot be run.

        ``only``: the objects that this door leads to; by default all that are not of the Tooling API.
        """
        with self._store.lock:
            query, rows = self._select(text, include_deleted, only)
            if "Metadata" in query.fields and len(rows) > 1:
                raise SaveError(
                    "MALFORMED_QUERY",
                    "When retrieving results with Metadata or FullName fields, the query qualifications must specify no more than one "
                    f"row for retrieval. Result size: {len(rows)}",
                )
            found = [self._shown(query, row) for row in rows]
        if query.count:
            return {"totalSize": len(found), "done": True, "records": []}
        cursor = f"01gFp{next(self._numbers):010d}"
        return self._page(cursor, query, found, 0, request)

    def select(self, text: str, include_deleted: bool) -> tuple[str, list[str], list[dict[str, Any]]]:
        """The object, the columns and all rows of a query that a bulk job runs. Raises SaveError."""
        with self._store.lock:
            query, found = self._select(text, include_deleted, frozenset())
            rows = [row.copy() for row in found]
        if query.count or query.offset:
            raise SaveError("MALFORMED_QUERY", "COUNT() and OFFSET are not supported in bulk queries")
        return query.object, list(query.fields), rows

    def _select(
        self, text: str, include_deleted: bool, only: frozenset[str]
    ) -> tuple[soql.Query, list[dict[str, Any]]]:
        """The live rows of a query; hold the store's lock while reading them."""
        try:
            query = soql.parse(text)
        except soql.MalformedQuery as error:
            raise SaveError("MALFORMED_QUERY", str(error)) from error
        definition = self._store.objects.get(query.object)
        if definition is None or (query.object not in only if only else query.object in TOOLING):
            raise SaveError(
                "INVALID_TYPE",
                f"sObject type '{query.object}' is not supported. If you are attempting to use a custom object, "
                "be sure to append the '__c' after the entity name.",
            )
        invisible = self._store.invisible.get(query.object, ())
        for name in sorted(query.names):
            if name not in definition.fields or name in invisible:
                raise SaveError("INVALID_FIELD", f"No such column '{name}' on entity '{query.object}'.")
        table = self._store.rows(query.object)
        wanted = table.values() if query.ids is None else (table[one] for one in query.ids if one in table)
        return query, soql.select(query, (row for row in wanted if include_deleted or not row["IsDeleted"]))

    def more(self, cursor: str, request: Request) -> dict[str, Any]:
        """A further page, by the last part of ``nextRecordsUrl``."""
        name, _, start = cursor.rpartition("-")
        held = self._cursors.get(name)
        if held is None or not start.isdigit():
            raise SaveError("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(name, held[0], held[1], int(start), request)

    def _page(
        self, cursor: str, query: soql.Query, found: list[dict[str, Any]], start: int, request: Request
    ) -> dict[str, Any]:
        asked = re.search(r"batchSize=(\d+)", request.headers.get("sforce-query-options", ""))
        size = min(PAGE, max(200, int(asked[1]))) if asked else PAGE
        end = start + size
        page: dict[str, Any] = {"totalSize": len(found), "done": end >= len(found), "records": found[start:end]}
        if page["done"]:
            self._cursors.pop(cursor, None)
        else:
            self._cursors[cursor] = (query, found)
            while len(self._cursors) > _OPEN_CURSORS:
                self._cursors.popitem(last=False)
            page["nextRecordsUrl"] = f"/services/data/v{request.path_params['version']}/query/{cursor}-{end}"
        return page

    @staticmethod
    def _shown(query: soql.Query, row: dict[str, Any]) -> dict[str, Any]:
        url = f"/services/data/v66.0/sobjects/{query.object}/{row['Id']}"
        return {"attributes": {"type": query.object, "url": url}, **{name: row[name] for name in query.fields}}
