"""Bulk exports of leads by the time of their creation. Marketo carries out two of a subscription's at once and has ten in its queue, each
takes minutes: so several are asked for ahead of the one that is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event

from msgspec import Struct

from connectors.errors import RateLimited, Transient
from connectors.marketo.client import Client
from connectors.marketo.quota import Quota
from connectors.marketo.settings import SYSTEM

AHEAD = 8  # exports of ours in the queue; the rest of its ten are for other programs
_LOOKS = 240  # at an export, before it counts as stuck
_PATH = "/bulk/v1/leads/export"


class Span(Struct, frozen=True):
    """The leads created from ``start`` until before ``until``; 31 days at most, the vendor's limit."""

    start: datetime
    until: datetime

    def __str__(self) -> str:
        return f"the leads created from {self.start:%Y-%m-%d} to {self.until:%Y-%m-%d}"


class _Job(Struct, frozen=True, rename="camel"):
    export_id: str
    status: str = ""


class _Jobs(Struct, frozen=True):
    result: list[_Job]


class Exports:
    """The exports of one subscription. Blocks; never repeats a request; raises ConnectorError.

    Those that are under way are remembered through a failure, for what is exported counts against megabytes of the day.
    """

    def __init__(self, client: Client, quota: Quota) -> None:
        self._client, self._quota = client, quota
        self._ids: dict[Span, str] = {}
        self._queued: set[Span] = set()  # those of them that found room in the queue
        self._pause = Event()  # never set: only its waiting is used

    def forget(self) -> None:
        """What is read from now on is to be as it is now."""
        self._ids.clear()
        self._queued.clear()

    def begin(self, spans: Iterable[Span], names: list[str]) -> None:
        """Sees to it that the export of the first span is under way, and as many of the others as there is room for."""
        for ahead, span in enumerate(spans):
            if span in self._queued:
                continue
            try:
                self._quota.leave_reserve()
                self._begin(span, names)
            except RateLimited:
                if not ahead:
                    raise
                return  # room is made by those that are under way

    def _begin(self, span: Span, names: list[str]) -> None:
        what = f"exporting {span}"
        if span not in self._ids:
            self._ids[span] = self._create(what, span, names)
        self._client.post(what, f"{_PATH}/{self._ids[span]}/enqueue.json", {}, _Jobs)
        self._queued.add(span)

    def _create(self, what: str, span: Span, names: list[str]) -> str:
        between = {"startAt": text(span.start), "endAt": text(span.until - timedelta(seconds=1))}
        body = {"fields": names, "format": "CSV", "filter": {"createdAt": between}}
        [job] = self._client.post(what, f"{_PATH}/create.json", body, _Jobs).result
        return job.export_id

    def rows(self, span: Span) -> Iterator[dict[str, str]]:
        """The leads of a span that was begun, as columns by Marketo's names; waits until its export is done."""
        raw = self._file(span)
        for row in csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")):
            # What is empty is spelled so in exports, and there alone.
            yield {name: "" if value == "null" else value for name, value in row.items()}

    def _file(self, span: Span) -> bytes:
        what, path = f"exporting {span}", f"{_PATH}/{self._ids[span]}"
        for _ in range(_LOOKS):
            [job] = self._client.get(what, f"{path}/status.json", _Jobs).result
            if job.status == "Completed":
                raw = self._client.file(what, f"{path}/file.json")
                self._end(span)
                return raw
            if job.status in ("Failed", "Cancelled"):
                break
            self._pause.wait(self._client.settings.export_look_seconds)
        self._end(span)
        raise Transient(f"{what}: the export is {job.status or 'not done'}; it is tried again later", system=SYSTEM)

    def _end(self, span: Span) -> None:
        del self._ids[span]
        self._queued.discard(span)


def text(at: datetime) -> str:
    """An instant as Marketo takes it: UTC, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
