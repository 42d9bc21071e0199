"""REST of the sandbox that only reads: queries, what was changed or deleted since, query jobs of Bulk API 2.0, descriptions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.responses import Response

from connectors.sandbox.salesforce.bulk import BulkJobs
from connectors.sandbox.salesforce.checks import SaveError
from connectors.sandbox.salesforce.query import Queries
from connectors.sandbox.salesforce.replication import Replication
from connectors.sandbox.salesforce.shapes import ApiError, Call, answer, object_in, object_of
from connectors.sandbox.salesforce.standard import TOOLING
from connectors.sandbox.salesforce.store import Store

MOST_RETRIEVED = 2000


class Reading:
    """Handlers over a Store."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self.store, self.clock = store, clock
        self.queries = Queries(store)
        self.replication = Replication(store)
        self.bulk = BulkJobs()

    def routes(self, v: str) -> list[tuple[str, str, str, Callable[..., Response]]]:
        """Method, path, operation (of faults.py) and handler, below the version's address."""
        return [
            ("GET", v + "/query", "query", self._query),
            ("GET", v + "/query/", "query", self._query),
            ("GET", v + "/query/{cursor}", "query", self._query_more),
            ("GET", v + "/queryAll", "query", self._query_all),
            ("GET", v + "/queryAll/", "query", self._query_all),
            ("GET", v + "/queryAll/{cursor}", "query", self._query_more),
            ("GET", v + "/tooling/query", "query", self._tooling),
            ("GET", v + "/tooling/query/", "query", self._tooling),
            ("POST", v + "/composite/sobjects/{object}", "query", self._retrieve),
            ("GET", v + "/sobjects/{object}/updated", "query", self._updated),
            ("GET", v + "/sobjects/{object}/updated/", "query", self._updated),
            ("GET", v + "/sobjects/{object}/deleted", "query", self._deleted),
            ("GET", v + "/sobjects/{object}/deleted/", "query", self._deleted),
            ("GET", v + "/sobjects/{object}/describe", "describe", self._describe),
            ("POST", v + "/jobs/query", "bulk", self._job_made),
            ("GET", v + "/jobs/query/{id}", "bulk", self._job),
            ("GET", v + "/jobs/query/{id}/results", "bulk", self._job_results),
        ]

    def _query(self, call: Call, include_deleted: bool = False) -> Response:
        return self._queried(
            lambda: self.queries.run(call.request.query_params.get("q", ""), include_deleted, call.request)
        )

    def _tooling(self, call: Call) -> Response:
        return self._queried(
            lambda: self.queries.run(call.request.query_params.get("q", ""), False, call.request, TOOLING)
        )

    def _retrieve(self, call: Call) -> Response:
        """Collections: the named fields of up to 2,000 records, null for what is not there. Those in the recycle bin are."""
        name, wanted = object_of(self.store, call.request), object_in(call.body)
        ids, fields = wanted.get("ids"), wanted.get("fields")
        if not isinstance(ids, list) or not isinstance(fields, list) or not ids or not fields:
            raise ApiError(400, "MISSING_ARGUMENT", "ids and fields are needed, as lists")
        if len(ids) > MOST_RETRIEVED:
            raise ApiError(
                400, "EXCEEDED_ID_LIMIT", f"record limit reached. cannot retrieve more than {MOST_RETRIEVED}"
            )
        known = self.store.objects[name].fields
        unseen = [one for one in fields if one not in known or one in self.store.invisible.get(name, ())]
        if unseen:
            raise ApiError(400, "INVALID_FIELD", f"No such column '{unseen[0]}' on sobject of type {name}")
        with self.store.lock:
            rows = [self.store.find(name, str(one)) for one in ids]
            found = [row and {"attributes": {"type": name}, **{one: row[one] for one in fields}} for row in rows]
        return answer(found)

    def _updated(self, call: Call) -> Response:
        return self._replicated(call, self.replication.updated)

    def _deleted(self, call: Call) -> Response:
        return self._replicated(call, self.replication.deleted)

    def _replicated(self, call: Call, run: Callable[[str, str, str, datetime], dict[str, Any]]) -> Response:
        asked = call.request.query_params
        name = object_of(self.store, call.request)
        return self._queried(lambda: run(name, asked.get("start", ""), asked.get("end", ""), self.clock()))

    def _query_all(self, call: Call) -> Response:
        return self._query(call, include_deleted=True)

    def _query_more(self, call: Call) -> Response:
        return self._queried(lambda: self.queries.more(call.request.path_params["cursor"], call.request))

    @staticmethod
    def _queried(run: Callable[[], dict[str, Any]]) -> Response:
        try:
            return answer(run())
        except SaveError as error:
            raise ApiError(400, error.code, error.message) from error

    def _job_made(self, call: Call) -> Response:
        wanted = object_in(call.body)

        def make() -> dict[str, Any]:
            deleted = wanted.get("operation") == "queryAll"
            return self.bulk.create(wanted, *self.queries.select(str(wanted.get("query", "")), deleted), self.clock())

        return self._queried(make)

    def _job(self, call: Call) -> Response:
        return self._of_job(lambda: answer(self.bulk.look(call.request.path_params["id"])))

    def _job_results(self, call: Call) -> Response:
        asked = call.request.query_params

        def read() -> Response:
            most = int(asked.get("maxRecords", "50000"))
            text, following, rows = self.bulk.results(call.request.path_params["id"], asked.get("locator", ""), most)
            headers = {"Sforce-Locator": following, "Sforce-NumberOfRecords": str(rows)}
            return Response(text.encode(), headers=headers, media_type="text/csv")

        return self._of_job(read)

    @staticmethod
    def _of_job(read: Callable[[], Response]) -> Response:
        try:
            return read()
        except KeyError as error:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist") from error
        except SaveError as error:
            raise ApiError(400, error.code, error.message) from error

    def _describe(self, call: Call) -> Response:
        name = object_of(self.store, call.request)
        hidden, invisible = (frozenset(one.get(name, ())) for one in (self.store.hidden, self.store.invisible))
        return answer(
            self.store.objects[name].describe(
                hidden, invisible, name not in self.store.kept, name not in self.store.closed
            )
        )
