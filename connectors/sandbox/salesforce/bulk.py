"""Bulk API 2.0 of the sandbox, its query jobs: made, looked at until they are complete, read as pages of CSV, ended."""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce.checks import Row, SaveError
from connectors.sandbox.salesforce.store import rest_instant

_STATES = ("UploadComplete", "InProgress", "JobComplete")


class Job(Struct):
    """One job. ``looks``: how many more looks find it unfinished."""

    id: str
    object: str
    columns: list[str]
    rows: list[Row]
    made: str
    looks: int
    state: str = "UploadComplete"
    error: str = ""


class BulkJobs:
    """The jobs of the org. ``slow``: how many looks a job takes; ``failing``: the next ones fail with these words."""

    def __init__(self) -> None:
        self.slow = 1
        self.failing = ""
        self._jobs: dict[str, Job] = {}

    def create(self, wanted: Mapping[str, Any], name: str, columns: list[str], rows: list[Row], now: Any) -> Row:
        """Takes a query that was run up as a job. Raises SaveError."""
        if wanted.get("operation") not in ("query", "queryAll"):
            raise SaveError("INVALIDJOB", "operation must be query or queryAll")
        job = Job(salesforce_id("750", len(self._jobs) + 1), name, columns, rows, rest_instant(now), self.slow)
        job.error, self.failing = self.failing, ""
        self._jobs[job.id] = job
        return self._shown(job)

    def look(self, job_id: str) -> Row:
        """A job as it stands. Raises KeyError for one that is not there."""
        job = self._jobs[job_id]
        if job.state not in ("JobComplete", "Failed", "Aborted"):
            job.looks -= 1
            job.state = "InProgress" if job.looks >= 0 else "Failed" if job.error else "JobComplete"
        done = {"numberRecordsProcessed": len(job.rows)} if job.state == "JobComplete" else {}
        return {**self._shown(job), **done} | ({"errorMessage": job.error} if job.state == "Failed" else {})

    def forget(self) -> None:
        """Results are gone, as after seven days."""
        self._jobs.clear()

    def results(self, job_id: str, locator: str, most: int) -> tuple[str, str, int]:
        """A page of CSV, the locator behind it, and how many rows it has. Raises KeyError, SaveError."""
        job = self._jobs[job_id]
        if job.state != "JobComplete":
            raise SaveError("INVALIDJOBSTATE", f"The job is in state {job.state}; its results cannot be read")
        try:
            start = int(base64.b64decode(locator, validate=True)) if locator else 0
        except (binascii.Error, ValueError) as error:
            raise SaveError("INVALID_QUERY_LOCATOR", "invalid query locator") from error
        page = job.rows[start : start + most]
        end = start + len(page)
        following = base64.b64encode(str(end).encode()).decode() if end < len(job.rows) else "null"
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(job.columns)
        writer.writerows([_text(row[name]) for name in job.columns] for row in page)
        return text.getvalue(), following, len(page)

    @staticmethod
    def _shown(job: Job) -> Row:
        return {
            "id": job.id,
            "operation": "query",
            "object": job.object,
            "createdDate": job.made,
            "systemModstamp": job.made,
            "state": job.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": 66.0,
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
        }


def _text(value: Any) -> str:
    """A value as CSV has it: nothing for null, instants with a Z."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and len(value) == 28 and value.endswith("+0000"):
        return value.removesuffix("+0000") + "Z"
    return str(value)
