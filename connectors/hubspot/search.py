"""Changes found by searching: for accounts that cannot send webhooks, and beside them, for events that never arrived.

Every object is searched in the order of its last change. Pages are not numbered: each begins at the last change of the one before, so
that records which change meanwhile shift nothing, and the 10,000 results that HubSpot gives at most are never reached.
The index shows a change only after a while, so the position stays ``index_lag_seconds`` behind the present.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any

import msgspec
import structlog

from connectors.contract import Accept, Maps
from connectors.errors import Misconfigured, RateLimited, Transient
from connectors.hubspot import history
from connectors.hubspot.client import Answer, Client
from connectors.hubspot.history import MERGED_IDS, Moment, Told
from connectors.hubspot.objects import OWNERS, Target, targets
from connectors.hubspot.settings import SYSTEM
from connectors.hubspot.values import Unconvertible
from connectors.patience import patient
from routing.core.model import ChangeEvent, Unreadable

log = structlog.get_logger(__name__)

PAGE = 200  # results in one page of a search; the vendor's limit
HISTORIES = 50  # records whose histories one call reads; the vendor's limit
ARCHIVE_PAGE = 100
# So many records beside a position, that a restart reads nothing twice; more are not worth their place.
MOST_REMEMBERED = 2000
_LONGEST_WAIT = 60.0  # seconds between tries while HubSpot is unwell
_BELIEVED = timedelta(seconds=2)  # our own clock, when it is so near to HubSpot's


class _Found(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    created_at: datetime
    updated_at: datetime


class _Page(msgspec.Struct, frozen=True):
    results: list[_Found]


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


class Place(msgspec.Struct):
    """How far one object was read: everything before ``since`` for certain, and of what came later, up to which change."""

    since: datetime
    gone_since: datetime
    seen: dict[str, datetime] = {}


class HubSpotSearch:
    """``contract.Source`` by search. Every 50 changed records cost one call, beside one a page and object."""

    system = SYSTEM
    stream = f"{SYSTEM}:search"

    def __init__(self, client: Client, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client, self._maps, self._clock = client, maps, clock
        self._lag = timedelta(seconds=client.settings.index_lag_seconds)
        self._bin_looked: datetime | None = None

    def run(self, position: bytes | None, accept: Accept, stop: Event) -> None:
        """See ``contract.Source.run``. A limit or an outage is waited out here; everything else is raised."""
        trying = patient(stop, "search in HubSpot", (Transient, RateLimited), 0.25, _LONGEST_WAIT, reraise=True)
        try:
            places = trying(self._begin, position)
            accept([], _position(places))
            while not stop.is_set():
                trying(self._look, places, accept, stop)
                stop.wait(self._client.settings.search_seconds)
        except (Transient, RateLimited):
            if not stop.is_set():
                raise

    def reread(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        """See ``contract.Source.reread``. Raises Misconfigured."""
        try:
            moment = msgspec.json.decode(raw, type=Moment)
        except msgspec.DecodeError as error:
            raise Misconfigured("this was not read by a search of HubSpot", system=SYSTEM) from error
        target = targets(self._maps()).get(moment.remote)
        if target is None:
            raise Misconfigured(f"no entity in fields.yaml is HubSpot's {moment.remote!r}", system=SYSTEM)
        try:
            return [history.event_of(moment, target, observed_at)]
        except Unconvertible as error:
            raise Misconfigured(str(error), system=SYSTEM) from error

    # -- one look at everything -----------------------------------------------------------------------------------

    def _begin(self, position: bytes | None) -> dict[str, Place]:
        places = msgspec.json.decode(position, type=dict[str, Place]) if position else {}
        fresh = [remote for remote in self._targets() if remote not in places]
        if fresh:
            # By HubSpot's clock: with ours ahead of it, what happens next would seem to be over already.
            now = self._clock()
            _, settled = self._search(fresh[0], [_filter(_modified(fresh[0]), "GTE", now)], _modified(fresh[0]))
            places |= {remote: Place(settled + self._lag, settled + self._lag) for remote in fresh}
        return places

    def _targets(self) -> dict[str, Target]:
        return {remote: target for remote, target in targets(self._maps()).items() if remote != OWNERS}

    def _look(self, places: dict[str, Place], accept: Accept, stop: Event) -> None:
        now = self._clock()
        bin_due = self._bin_looked is None or (now - self._bin_looked).total_seconds() >= (
            self._client.settings.deletions_seconds
        )
        for remote, target in self._targets().items():
            place = places.setdefault(remote, Place(_whole(now), _whole(now)))
            for found, settled in self._changed(remote, place.since):
                self._deliver(remote, target, place, found, settled, places, accept)
                if stop.is_set():
                    return
            if bin_due:
                self._look_into_bin(remote, target, place, places, accept)
        if bin_due:
            self._bin_looked = now

    def _deliver(
        self,
        remote: str,
        target: Target,
        place: Place,
        found: list[_Found],
        settled: datetime,
        places: dict[str, Place],
        accept: Accept,
    ) -> None:
        """One page of what changed; ``settled``: nothing before it will still come up in the index."""
        fresh = [one for one in found if place.seen.get(one.id) != one.updated_at]
        since = place.since - self._lag  # once more what the index may have been late with
        for start in range(0, len(fresh), HISTORIES):
            part = {one.id: one for one in fresh[start : start + HISTORIES]}
            events = self._events(remote, target, place, part, since)
            place.seen.update((one.id, one.updated_at) for one in part.values())
            reached = min(max(one.updated_at for one in part.values()), settled)
            _advance(place, reached)
            accept(events, _position(places))
        if len(found) < PAGE:
            before = place.since
            _advance(place, settled)
            if place.since - before >= self._lag and place.since > before:
                accept([], _position(places))

    def _events(
        self, remote: str, target: Target, place: Place, part: Mapping[str, _Found], since: datetime
    ) -> list[ChangeEvent | Unreadable]:
        now = self._clock()
        happened: list[Moment] = []
        for told in self._histories(remote, target, list(part)):
            known = place.seen.get(told.id)
            new = known is None and told.created_at >= since
            start = since if known is None else known + timedelta(microseconds=1)
            happened.extend(history.moments(told, remote, start, new=new))
        happened.sort(key=lambda moment: (moment.at, moment.kind != "created"))
        return [history.read(moment, target, now) for moment in happened]

    # -- requests -------------------------------------------------------------------------------------------------

    def _changed(self, remote: str, since: datetime) -> Iterator[tuple[list[_Found], datetime]]:
        floor = since
        while True:
            found, settled = self._search(remote, [_filter(_modified(remote), "GTE", floor)], _modified(remote))
            yield found, settled
            if len(found) < PAGE:
                return
            last = found[-1].updated_at
            if last <= floor:  # an import may stamp thousands of records with one millisecond
                for crowd in self._crowd(remote, floor):
                    yield crowd, settled
                last = floor + timedelta(milliseconds=1)
            floor = last

    def _crowd(self, remote: str, moment: datetime) -> Iterator[list[_Found]]:
        last = "0"
        while True:
            filters = [
                _filter(_modified(remote), "EQ", moment),
                {"propertyName": "hs_object_id", "operator": "GT", "value": last},
            ]
            found, _ = self._search(remote, filters, "hs_object_id")
            yield found
            if len(found) < PAGE:
                return
            last = found[-1].id

    def _search(self, remote: str, filters: list[dict[str, str]], order: str) -> tuple[list[_Found], datetime]:
        what = f"searching changed {remote}"
        body = {
            "filterGroups": [{"filters": filters}],
            "sorts": [{"propertyName": order, "direction": "ASCENDING"}],
            "properties": [_modified(remote)],
            "limit": PAGE,
        }
        asked = self._clock()
        answer = self._client.call(what, self._client.search.do_search, remote, body, urgent=False)
        return answer.decode(_Page, what).results, _whole(_theirs(answer, asked) - self._lag)

    def _histories(self, remote: str, target: Target, ids: list[str]) -> list[Told]:
        what = f"reading the histories of {len(ids)} {remote}"
        names = sorted({*target.by_property, MERGED_IDS})
        body = {"properties": [], "propertiesWithHistory": names, "inputs": [{"id": one} for one in ids]}
        return self._client.call(what, self._client.batch.read, remote, body).decode(_Histories, what).results

    def _look_into_bin(
        self, remote: str, target: Target, place: Place, places: dict[str, Place], accept: Accept
    ) -> None:
        """HubSpot's search leaves out what was deleted, and its list of that knows no order: all of it is read."""
        latest, after, now = place.gone_since, None, self._clock()
        gone: list[Moment] = []
        while True:
            what = f"listing deleted {remote}"
            position: dict[str, Any] = {"after": after} if after else {}
            answer = self._client.call(
                what, self._client.objects.get_page, remote, limit=ARCHIVE_PAGE, archived=True, urgent=False, **position
            )
            page = answer.decode(_Archive, what)
            for one in page.results:
                if one.archived_at is not None and one.archived_at >= place.gone_since:
                    gone.append(history.deleted(remote, one.id, one.archived_at))
                    latest = max(latest, one.archived_at + timedelta(milliseconds=1))
            after = page.after()
            if after is None:
                break
        if gone:
            place.gone_since = latest
            events = [history.read(moment, target, now) for moment in sorted(gone, key=lambda moment: moment.at)]
            accept(events, _position(places))


def _advance(place: Place, reached: datetime) -> None:
    if reached > place.since:
        place.since = reached
        place.seen = {one: at for one, at in place.seen.items() if at >= reached}


def _modified(remote: str) -> str:
    return "lastmodifieddate" if remote == "contacts" else "hs_lastmodifieddate"


def _filter(name: str, operator: str, moment: datetime) -> dict[str, str]:
    return {"propertyName": name, "operator": operator, "value": str(round(moment.timestamp() * 1000))}


def _whole(moment: datetime) -> datetime:
    """In milliseconds, as HubSpot counts: what happens later within this one must not seem to be over already."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _theirs(answer: Answer, ours: datetime) -> datetime:
    """What HubSpot's clock showed; ours where the two agree, as the header has whole seconds only."""
    header = answer.headers.get("Date")
    try:
        theirs = parsedate_to_datetime(header).astimezone(UTC) if header else ours
    except ValueError:
        return ours
    return ours if abs(theirs - ours) <= _BELIEVED else theirs


def _position(places: Mapping[str, Place]) -> bytes:
    kept = {
        remote: place if len(place.seen) <= MOST_REMEMBERED else Place(place.since, place.gone_since)
        for remote, place in places.items()
    }
    return msgspec.json.encode(kept)
