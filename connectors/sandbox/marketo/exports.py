"""Bulk exports of leads by the time of their creation, as CSV."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connectors.sandbox.faults import Fault
from connectors.sandbox.marketo.answers import Failure, Query
from connectors.sandbox.marketo.leads import check
from connectors.sandbox.marketo.store import Store


class _Export(msgspec.Struct):
    fields: list[str]
    filter: dict[str, dict[str, str]]


class Exports:
    """Handlers under bulk/v1/leads/export. A job takes some looks to be done."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._exports: dict[str, dict[str, Any]] = {}

    def create(self, _query: Query, body: bytes, _: Fault | None) -> Any:
        """export/create.json"""
        asked = msgspec.json.decode(body, type=_Export)
        check(self._store, asked.fields)
        between = asked.filter["createdAt"]
        start, end = (datetime.fromisoformat(between[name]) for name in ("startAt", "endAt"))
        if end - start > timedelta(days=31):
            raise Failure("1003", "createdAt: the range is over 31 days")
        job = f"job-{len(self._exports) + 1}"
        with self._store.lock:
            rows = [
                [str(one.value(name) if one.value(name) is not None else "null") for name in asked.fields]
                for one in self._store.leads.values()
                if start <= one.created_at < end + timedelta(seconds=1)
            ]
        self._exports[job] = {"fields": asked.fields, "rows": rows, "status": "Created"}
        return {"result": [{"exportId": job, "status": "Created", "format": "CSV"}]}

    def state(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        """enqueue.json and status.json of a job: each look brings it on."""
        job = self._job(query)
        job["status"] = {"Created": "Queued", "Queued": "Processing"}.get(job["status"], "Completed")
        return {"result": [{"exportId": query["job"], "status": job["status"], "format": "CSV"}]}

    def file(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        """file.json of a job"""
        job = self._job(query)
        written = io.StringIO(newline="")
        csv.writer(written).writerows([job["fields"], *job["rows"]])
        return written.getvalue().encode()

    def _job(self, query: Query) -> dict[str, Any]:
        if query["job"] not in self._exports:
            raise Failure("1013", "Object not found")
        return self._exports[query["job"]]
