"""Marketo's log, asked for by paging token: new leads and changed fields, other activities, deletions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from threading import Event

import msgspec
import structlog
from msgspec.structs import replace

from connectors.contract import Accept, Maps
from connectors.errors import Misconfigured, RateLimited, RecordRejected, Transient
from connectors.mapping import Unconvertible
from connectors.marketo.activities import Activity, Known, events_of, read
from connectors.marketo.catalogue import Catalogue
from connectors.marketo.client import Client
from connectors.marketo.quota import Quota
from connectors.marketo.settings import SYSTEM
from connectors.marketo.values import lead_map
from connectors.patience import patient
from routing.core.model import ChangeEvent, EntityMap, Unreadable, Values, derived_id

log = structlog.get_logger(__name__)

_DELETIONS_KEPT = timedelta(days=13)  # Marketo tells deletions of 14 days, changes and activities of 90
_AHEAD = 20  # pages of activities that are held in memory while new leads are asked for
_STORE_EVERY = timedelta(minutes=10)
_LONGEST_WAIT = 60.0
_OVERLAP = timedelta(minutes=10)  # our clock may be ahead of Marketo's, and its log may show late what happened


class _Place(msgspec.Struct):
    """How far we are: the tokens, and the time up to which everything was told, from which new tokens can be made."""

    changes: str
    deletions: str
    at: datetime
    activities: str = ""  # "" in a position from before they were read: from ``at`` on


class _PagingToken(msgspec.Struct, frozen=True, rename="camel"):
    next_page_token: str


class _Page(msgspec.Struct, frozen=True, rename="camel"):
    next_page_token: str
    more_result: bool = False
    result: list[msgspec.Raw] = []


class _Told(msgspec.Struct, frozen=True):
    """A page, read; ``token`` leads on."""

    events: Sequence[ChangeEvent | Unreadable]
    token: str
    more: bool


class MarketoSource:
    """``contract.Source`` over the activity log. Pages may be short or empty while more is to come."""

    system = SYSTEM
    stream = f"{SYSTEM}:activities"

    def __init__(
        self, client: Client, quota: Quota, catalogue: Catalogue, maps: Maps, clock: Callable[[], datetime]
    ) -> None:
        self._client, self._quota, self._catalogue, self._maps, self._clock = client, quota, catalogue, maps, clock
        self._stored: datetime | None = None
        self._troubles: tuple[str, ...] = ()

    def run(self, position: bytes | None, accept: Accept, stop: Event) -> None:
        """See ``contract.Source.run``. A limit or an outage is waited out here; everything else is raised."""
        trying = patient(stop, "Marketo", (Transient, RateLimited), 0.25, _LONGEST_WAIT, reraise=True)
        try:
            place = trying(self._begin, position, accept)
            while not stop.is_set():
                trying(self._quota.look)
                trying(self._look, place, accept, stop)
                stop.wait(self._client.settings.poll_seconds)
        except (Transient, RateLimited):
            if not stop.is_set():
                raise

    def reread(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        """See ``contract.Source.reread``. Raises Misconfigured."""
        try:
            return read(raw, self._catalogue.known(), observed_at)
        except (msgspec.DecodeError, UnicodeDecodeError, Unconvertible) as error:
            raise Misconfigured(f"the activity still cannot be read: {error}", system=SYSTEM) from error

    # -- one look -------------------------------------------------------------------------------------------------

    def _begin(self, position: bytes | None, accept: Accept) -> _Place:
        now = self._clock()
        if position is not None:
            place = msgspec.json.decode(position, type=_Place)
            if now - place.at < _DELETIONS_KEPT:
                return place
            # Some of what happened since is told no more: everything is read again, then we go on from now.
            log.warning("marketo_position_too_old", since=place.at.isoformat())
            found = lead_map(self._maps())
            # Activities are kept longer: what no lead shows by itself (a merge, a form) is still told from where we were.
            activities = self._token(place.at - _OVERLAP)
            place = self._place(now)
            place.activities = activities
            accept([_gap(found, now)], msgspec.json.encode(place))
            return place
        place = self._place(now)
        accept([], msgspec.json.encode(place))
        return place

    def _place(self, since: datetime) -> _Place:
        token = self._token(since)
        return _Place(token, token, since, token)

    def _token(self, since: datetime) -> str:
        query = {"sinceDatetime": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        return self._client.get(
            "a paging token", "/rest/v1/activities/pagingtoken.json", _PagingToken, query
        ).next_page_token

    def _look(self, place: _Place, accept: Accept, stop: Event) -> None:
        began = self._clock()
        known = self._known()
        try:
            self._ask(place, known, accept, stop)
        except (RecordRejected, Misconfigured) as error:
            if "token" not in str(error).lower():
                raise
            # Tokens may end; the time does not, and what is told twice has one id.
            log.warning("marketo_token_ended", reason=str(error))
            fresh = self._token(place.at - _OVERLAP)
            place.changes = place.activities = place.deletions = fresh
            return
        if not stop.is_set():
            place.at = began
            # Where nothing happens for weeks, the position must not grow too old.
            if self._stored is None or began - self._stored >= _STORE_EVERY:
                accept([], msgspec.json.encode(place))
                self._stored = began

    def _ask(self, place: _Place, known: Known, accept: Accept, stop: Event) -> None:
        """The three questions. Activities are asked for first and accepted second: so a new lead is told with the form that it came by."""
        path = "/rest/v1/activities"
        if not place.activities:
            place.activities = self._token(place.at - _OVERLAP)
        asked = {"activityTypeIds": ",".join(map(str, known.asked))}
        activities = self._pages("activities", f"{path}.json", asked, place, known, stop)
        ahead = list(islice(activities, _AHEAD))
        fields = {"fields": ",".join(sorted(set(known.found.fields.values())))}
        changes = self._pages("changes", f"{path}/leadchanges.json", fields, place, known, stop)
        self._take("changes", _with_what_they_did(changes, ahead), place, accept)
        self._take("activities", chain(ahead, activities), place, accept)
        self._take(
            "deletions", self._pages("deletions", f"{path}/deletedleads.json", {}, place, known, stop), place, accept
        )

    def _known(self) -> Known:
        known = self._catalogue.known()
        if known.troubles != self._troubles:
            for trouble in known.troubles:
                log.error(
                    "marketo_activity_not_read", trouble=trouble, advice="Correct fields.yaml; see fingerpost doctor."
                )
            self._troubles = known.troubles
        return known

    def _pages(
        self, which: str, path: str, query: Mapping[str, str], place: _Place, known: Known, stop: Event
    ) -> Iterator[_Told]:
        token, more = getattr(place, which), True
        while more and not stop.is_set():
            page = self._client.get(f"{which} of leads", path, _Page, {**query, "nextPageToken": token})
            events = [event for raw in page.result for event in self._read(bytes(raw), known)]
            # More of the same would be asked for without end.
            more = page.more_result and page.next_page_token != token
            token = page.next_page_token
            yield _Told(events, token, more)

    @staticmethod
    def _take(which: str, pages: Iterable[_Told], place: _Place, accept: Accept) -> None:
        for page in pages:
            moved = page.token != getattr(place, which)
            setattr(place, which, page.token)
            if page.events or (moved and page.more):
                accept(page.events, msgspec.json.encode(place))

    def _read(self, raw: bytes, known: Known) -> Sequence[ChangeEvent | Unreadable]:
        now = self._clock()
        guid = derived_id(SYSTEM, "unreadable", raw.decode("utf-8", "backslashreplace"))
        try:
            activity = msgspec.json.decode(raw, type=Activity)
            guid = activity.event_id
            return events_of(activity, known, now)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            why = f"the activity is not shaped as Marketo's are: {error}"
        except Unconvertible as error:
            why = str(error)
        return [Unreadable(event_id=guid, system=SYSTEM, error=why, raw=raw, observed_at=now)]


def _with_what_they_did(changes: Iterable[_Told], activities: Sequence[_Told]) -> Iterator[_Told]:
    """New leads with what their activities tell, which reading them back does not."""
    did: dict[str, Values] = {}
    for event in (event for page in activities for event in page.events):
        if isinstance(event, ChangeEvent):
            did.setdefault(event.record_id, {}).update(event.values)
    for page in changes:
        events = [
            replace(event, values=did[event.record_id])
            if isinstance(event, ChangeEvent) and event.kind == "created" and did.get(event.record_id)
            else event
            for event in page.events
        ]
        yield replace(page, events=events)


def _gap(found: EntityMap, now: datetime) -> ChangeEvent:
    return ChangeEvent(
        event_id=derived_id(SYSTEM, "gap", found.entity, now.isoformat()),
        system=SYSTEM,
        entity=found.entity,
        record_id="*",
        kind="gap",
        occurred_at=now,
        observed_at=now,
        complete=False,
        cursor="the position was too old",
    )
