"""Reading very many records by Bulk API 2.0: one job for a query, its result as pages of CSV.

A page holds twelve times what a page of a query does, and each page costs one of the day's calls. Salesforce keeps the result for
seven days; a *place* in it (the job, the locator of a page, the rows of it that are done) is all that is needed to go on there.
Sources: "Bulk API 2.0 Query" of the developer guide; 10,000 query jobs a day.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from threading import Event
from typing import Any

import structlog

from connectors.errors import (
    AuthenticationFailed,
    ConnectorError,
    Misconfigured,
    RateLimited,
    Transient,
    vendor_words,
)
from connectors.salesforce.budget import Urgency
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import SYSTEM, malformed

log = structlog.get_logger(__name__)

ROWS = 25_000  # of a page of CSV: some ten megabytes
STEP = 2_000  # rows handed on at once
_WORD = "bulk"
_FIRST_LOOK, _LONGEST_LOOK = 0.25, 30.0  # seconds between looks at a job
_LOOKS = 2_000  # more than half a day
_LAST = "null"  # how Salesforce calls the locator behind the last page
# A long text area holds 131,072 characters, and csv would stop one short of it.
csv.field_size_limit(max(csv.field_size_limit(), 1 << 22))

Row = dict[str, Any]


class JobGone(Exception):
    """Salesforce does not know the job any more."""


class JobRefused(Exception):
    """The query cannot be run in bulk; ``__cause__`` or the text says why."""


def is_place(text: str) -> bool:
    """Whether a text is a place in the result of a job."""
    return text.startswith(f"{_WORD} ")


class BulkQueries:
    """Runs queries over a client. Blocks while a job runs; nothing else is waited for or tried again."""

    def __init__(self, client: SalesforceClient) -> None:
        self._client = client
        self._pause = Event()
        self._jobs: dict[str, str] = {}  # query -> the job under way for it, for the attempt after this one

    def begin(self, query: str, what: str) -> str:
        """The first place of a query's result, once it is there. Raises JobRefused; ConnectorError for what may pass."""
        job = self._jobs.get(query)
        if job is None:
            try:
                said = self._call("POST", "jobs/query", what, {"operation": "query", "query": query})
            except (Transient, RateLimited, AuthenticationFailed):
                raise
            except ConnectorError as error:
                raise JobRefused from error
            job = self._jobs[query] = str(said["id"])
        try:
            self._await(job, what)
        except JobRefused:
            del self._jobs[query]
            raise
        del self._jobs[query]  # whoever asks later wants what there is then
        return f"{_WORD} {job} - 0"

    def rows(self, place: str, what: str) -> Iterator[list[tuple[Row, str]]]:
        """Rows as queries give them, from a place on, each with the place behind it. Raises JobGone, ConnectorError."""
        _, job, locator, done = place.split(" ")
        skip = int(done)
        while locator != _LAST:
            params = {"maxRecords": str(ROWS)} | ({"locator": locator} if locator != "-" else {})
            try:
                text, headers = self._client.text(
                    f"jobs/query/{job}/results", params=params, what=what, urgency=Urgency.BACKGROUND
                )
            except Misconfigured as error:
                raise JobGone(job) from error
            following = headers.get("Sforce-Locator")
            if not following:
                raise malformed("no page of a job", what)
            page: list[tuple[Row, str]] = []
            for number, raw in enumerate(csv.DictReader(io.StringIO(text, newline="")), 1):
                if number <= skip:
                    continue
                page.append((_row(raw), f"{_WORD} {job} {locator} {number}"))
                if len(page) == STEP:
                    yield page
                    page = []
            if page:
                yield page
            locator, skip = following, 0

    def _await(self, job: str, what: str) -> None:
        wait = _FIRST_LOOK
        for _ in range(_LOOKS):
            try:
                said = self._call("GET", f"jobs/query/{job}", what)
            except Misconfigured as error:
                raise JobRefused(f"the job {job} was deleted") from error
            state = said.get("state")
            if state == "JobComplete":
                return
            if state in ("Failed", "Aborted"):
                why = vendor_words(said.get("errorMessage") or "no reason given")
                raise JobRefused(f"the job {job} is {state.lower()}: {why}")
            self._pause.wait(wait)
            wait = min(wait * 2, _LONGEST_LOOK)
        raise Transient(f"The job {job} for {what} is still not done; it is looked at again later.", system=SYSTEM)

    def _call(self, method: str, path: str, what: str, body: object = None) -> Row:
        answer = self._client.call(method, path, body=body, what=what, urgency=Urgency.BACKGROUND)
        if not isinstance(answer, dict):
            raise malformed("another shape than expected", what)
        return answer


def _row(raw: dict[str, str]) -> Row:
    """A line of CSV as a query would give the row, but for the types, of which there are none in CSV: what is empty is null."""
    row: Row = {name: text or None for name, text in raw.items()}
    for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
        # The same instant has one spelling, whichever way it came.
        row[name] = raw[name].removesuffix("Z") + "+0000" if raw[name].endswith("Z") else raw[name]
    return row
