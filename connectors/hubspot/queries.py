"""What is asked of HubSpot to find changes: pages of searches, histories of records, and the recycling bin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from connectors.hubspot.client import Answer, Client
from connectors.hubspot.history import MERGED_IDS, Told
from connectors.hubspot.objects import Target

PAGE = 200  # results in one page of a search; the vendor's limit
ARCHIVE_PAGE = 100
_BELIEVED = timedelta(seconds=2)  # our own clock, when it is so near to HubSpot's


class Found(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    created_at: datetime
    updated_at: datetime


class _Page(msgspec.Struct, frozen=True):
    results: list[Found]


class _Archived(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    archived_at: datetime | None = None


class _Archive(msgspec.Struct, frozen=True):
    results: list[_Archived]
    paging: dict[str, dict[str, Any]] | None = None

    def after(self) -> str | None:
        return (self.paging or {}).get("next", {}).get("after")


class _Histories(msgspec.Struct, frozen=True):
    results: list[Told]


class Queries:
    """Blocks; never repeats a request. Raises ConnectorError."""

    def __init__(self, client: Client, clock: Callable[[], datetime]) -> None:
        self._client, self._clock = client, clock
        self._lag = timedelta(seconds=client.settings.index_lag_seconds)

    def settled(self, remote: str) -> datetime:
        """Up to where the index is complete by now, by HubSpot's clock."""
        return self._page(remote, [_filter(_modified(remote), "GTE", self._clock())], _modified(remote))[1]

    def changed(self, remote: str, since: datetime) -> Iterator[tuple[list[Found], datetime, bool]]:
        """Pages; with each, up to where the index was complete, and whether this was the last one."""
        floor = since
        while True:
            found, settled = self._page(remote, [_filter(_modified(remote), "GTE", floor)], _modified(remote))
            yield found, settled, len(found) < PAGE
            if len(found) < PAGE:
                return
            last = found[-1].updated_at
            if last <= floor:  # an import may stamp thousands of records with one millisecond
                for crowd in self._crowd(remote, floor):
                    yield crowd, settled, False
                last = floor + timedelta(milliseconds=1)
            floor = last

    def _crowd(self, remote: str, moment: datetime) -> Iterator[list[Found]]:
        last = "0"
        while True:
            filters = [
                _filter(_modified(remote), "EQ", moment),
                {"propertyName": "hs_object_id", "operator": "GT", "value": last},
            ]
            found, _ = self._page(remote, filters, "hs_object_id")
            yield found
            if len(found) < PAGE:
                return
            last = found[-1].id

    def _page(self, remote: str, filters: list[dict[str, str]], order: str) -> tuple[list[Found], datetime]:
        what = f"searching changed {remote}"
        body = {
            "filterGroups": [{"filters": filters}],
            "sorts": [{"propertyName": order, "direction": "ASCENDING"}],
            "properties": [_modified(remote)],
            "limit": PAGE,
        }
        asked = self._clock()
        answer = self._client.call(what, self._client.search.do_search, remote, body, urgent=False)
        return answer.decode(_Page, what).results, _whole(_theirs(answer, asked, self._clock()) - self._lag)

    def histories(self, remote: str, target: Target, ids: list[str]) -> list[Told]:
        what = f"reading the histories of {len(ids)} {remote}"
        names = sorted({*target.by_property, MERGED_IDS})
        body = {"properties": [], "propertiesWithHistory": names, "inputs": [{"id": one} for one in ids]}
        return self._client.call(what, self._client.batch.read, remote, body).decode(_Histories, what).results

    def bin(self, remote: str) -> tuple[dict[str, datetime], datetime]:
        """All of an object that was deleted, and since when; and up to where that is complete."""
        after: str | None = None
        settled: datetime | None = None
        there: dict[str, datetime] = {}
        while settled is None or after is not None:
            what, asked = f"listing deleted {remote}", self._clock()
            position: dict[str, Any] = {"after": after} if after else {}
            answer = self._client.call(
                what, self._client.objects.get_page, remote, limit=ARCHIVE_PAGE, archived=True, urgent=False, **position
            )
            settled = settled or _whole(_theirs(answer, asked, self._clock()) - self._lag)
            page = answer.decode(_Archive, what)
            there |= {one.id: one.archived_at for one in page.results if one.archived_at is not None}
            after = page.after()
        return there, settled


def _modified(remote: str) -> str:
    return "lastmodifieddate" if remote == "contacts" else "hs_lastmodifieddate"


def _filter(name: str, operator: str, moment: datetime) -> dict[str, str]:
    return {"propertyName": name, "operator": operator, "value": str(round(moment.timestamp() * 1000))}


def _whole(moment: datetime) -> datetime:
    """In milliseconds, as HubSpot counts: what happens later within this one must not seem to be over already."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _theirs(answer: Answer, asked: datetime, answered: datetime) -> datetime:
    """What HubSpot's clock showed when it was asked; ours where the two agree, as the header has whole seconds only."""
    header = answer.headers.get("Date")
    try:
        theirs = parsedate_to_datetime(header).astimezone(UTC) if header else asked
    except ValueError:
        return asked
    # The header is of some moment between question and answer, however long that took.
    return asked if asked - _BELIEVED <= theirs <= answered + _BELIEVED else theirs - (answered - asked)
