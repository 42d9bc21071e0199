"""Bulk exports of leads by the time of their creation, as CSV. They wait in a queue, and two are carried out at once."""

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


_MOST_QUEUED, _AT_ONCE = 10, 2  # those that are carried out count as queued, too


class Exports:
    """Handlers under bulk/v1/leads/export. Time passes with each look at a job: those at work are done, the next ones begin."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._exports: dict[str, dict[str, Any]] = {}
        self.others = 0  # jobs of other programs that wait in the queue
        self.most_queued = 0  # of ours at the same moment, so far
        self.exported: list[str] = []  # the first moment of each job's span, as they were done

    @property
    def made(self) -> int:
        """Jobs so far, queued or not."""
        return len(self._exports)

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
        self._exports[job] = {"fields": asked.fields, "rows": rows, "status": "Created", "start": between["startAt"]}
        return {"result": [{"exportId": job, "status": "Created", "format": "CSV"}]}

    def enqueue(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        """enqueue.json of a job"""
        job = self._job(query)
        with self._store.lock:
            queued = self.others + len(self._in("Queued", "Processing"))
            if queued >= _MOST_QUEUED:
                raise Failure("1029", "Too many jobs in queue")
            self.most_queued = max(self.most_queued, queued + 1 - self.others)
            job["status"] = "Queued"
        return _state(query, job)

    def status(self, query: Query, _body: bytes, _: Fault | None) -> Any:
        """status.json of a job"""
        job = self._job(query)
        with self._store.lock:
            for done in self._in("Processing"):
                done["status"] = "Completed"
                self.exported.append(done["start"])
            for begun in self._in("Queued")[:_AT_ONCE]:
                begun["status"] = "Processing"
        return _state(query, job)

    def _in(self, *states: str) -> list[dict[str, Any]]:
        return [job for job in self._exports.values() if job["status"] in states]

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


def _state(query: Query, job: dict[str, Any]) -> Any:
    return {"result": [{"exportId": query["job"], "status": job["status"], "format": "CSV"}]}
