"""Marketo's changes, asked for by paging token: new leads, changed fields, deletions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import msgspec
import structlog

from connectors.contract import Accept, Maps
from connectors.errors import Misconfigured, RateLimited, RecordRejected, Transient
from connectors.mapping import Unconvertible
from connectors.marketo.client import Client
from connectors.marketo.settings import SYSTEM
from connectors.marketo.values import lead_map, moment, to_canonical
from connectors.patience import patient
from routing.core.model import ChangeEvent, EntityMap, Kind, Unreadable, Values, derived_id

log = structlog.get_logger(__name__)

NEW_LEAD, DATA_VALUE = 12, 13  # Marketo's numbers of activities; 37 is a deletion
_DELETIONS_KEPT = timedelta(days=13)  # Marketo tells deletions of 14 days, changes of 90
_STORE_EVERY = timedelta(minutes=10)
_LONGEST_WAIT = 60.0
_OVERLAP = timedelta(minutes=10)  # our clock may be ahead of Marketo's, and its log may show late what happened


class _Place(msgspec.Struct):
    """How far we are: the tokens, and the time up to which everything was told, from which new tokens can be made."""

    changes: str
    deletions: str
    at: datetime


class _PagingToken(msgspec.Struct, frozen=True, rename="camel"):
    next_page_token: str


class Field(msgspec.Struct, frozen=True, rename="camel"):
    """One changed field of an activity."""

    name: str = ""
    new_value: Any = None
    old_value: Any = None


class Attribute(msgspec.Struct, frozen=True):
    """Something else that an activity says: Source, Reason."""

    name: str = ""
    value: Any = None


class Activity(
    msgspec.Struct,
    frozen=True,
    rename={"guid": "marketoGUID", "lead_id": "leadId", "date": "activityDate", "type_id": "activityTypeId"},
):
    """One activity. ``guid`` is what tells two apart; ``id`` does not in newer subscriptions."""

    lead_id: int
    date: str
    type_id: int
    guid: str = ""
    id: int | str = ""
    fields: list[Field] = []
    attributes: list[Attribute] = []

    def says(self, name: str) -> str:
        """An attribute's text."""
        return next((str(one.value) for one in self.attributes if one.name == name and one.value is not None), "")


class _Page(msgspec.Struct, frozen=True, rename="camel"):
    next_page_token: str
    more_result: bool = False
    result: list[msgspec.Raw] = []


class MarketoSource:
    """``contract.Source`` over the activity log. Pages may be short or empty while more is to come."""

    system = SYSTEM
    stream = f"{SYSTEM}:activities"

    def __init__(self, client: Client, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client, self._maps, self._clock = client, maps, clock
        self._stored: datetime | None = None

    def run(self, position: bytes | None, accept: Accept, stop: Event) -> None:
        """See ``contract.Source.run``. A limit or an outage is waited out here; everything else is raised."""
        trying = patient(stop, "Marketo", (Transient, RateLimited), 0.25, _LONGEST_WAIT, reraise=True)
        try:
            place = trying(self._begin, position, accept)
            while not stop.is_set():
                trying(self._look, place, accept, stop)
                stop.wait(self._client.settings.poll_seconds)
        except (Transient, RateLimited):
            if not stop.is_set():
                raise

    def reread(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        """See ``contract.Source.reread``. Raises Misconfigured."""
        try:
            return [_event(msgspec.json.decode(raw, type=Activity), lead_map(self._maps()), observed_at)]
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
            place = self._place(now)
            accept([_gap(found, now)], msgspec.json.encode(place))
            return place
        place = self._place(now)
        accept([], msgspec.json.encode(place))
        return place

    def _place(self, since: datetime) -> _Place:
        token = self._token(since)
        return _Place(token, token, since)

    def _token(self, since: datetime) -> str:
        query = {"sinceDatetime": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        return self._client.get(
            "a paging token", "/rest/v1/activities/pagingtoken.json", _PagingToken, query
        ).next_page_token

    def _look(self, place: _Place, accept: Accept, stop: Event) -> None:
        began = self._clock()
        found = lead_map(self._maps())
        names = ",".join(sorted(set(found.fields.values())))
        try:
            self._follow("changes", "/rest/v1/activities/leadchanges.json", {"fields": names}, place, accept, stop)
            self._follow("deletions", "/rest/v1/activities/deletedleads.json", {}, place, accept, stop)
        except (RecordRejected, Misconfigured) as error:
            if "token" not in str(error).lower():
                raise
            # Tokens may end; the time does not, and what is told twice has one id.
            log.warning("marketo_token_ended", reason=str(error))
            fresh = self._token(place.at - _OVERLAP)
            place.changes = place.deletions = fresh
            return
        if not stop.is_set():
            place.at = began
            # Where nothing happens for weeks, the position must not grow too old.
            if self._stored is None or began - self._stored >= _STORE_EVERY:
                accept([], msgspec.json.encode(place))
                self._stored = began

    def _follow(
        self, which: str, path: str, query: Mapping[str, str], place: _Place, accept: Accept, stop: Event
    ) -> None:
        while not stop.is_set():
            asked = {**query, "nextPageToken": getattr(place, which)}
            page = self._client.get(f"{which} of leads", path, _Page, asked)
            events = [self._read(bytes(raw)) for raw in page.result]
            moved = page.next_page_token != getattr(place, which)
            setattr(place, which, page.next_page_token)
            if events or (moved and page.more_result):
                accept(events, msgspec.json.encode(place))
            if not page.more_result:
                return

    def _read(self, raw: bytes) -> ChangeEvent | Unreadable:
        now = self._clock()
        guid = derived_id(SYSTEM, "unreadable", raw.decode("utf-8", "backslashreplace"))
        try:
            activity = msgspec.json.decode(raw, type=Activity)
            guid = _event_id(activity)
            return _event(activity, lead_map(self._maps()), now)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            why = f"the activity is not shaped as Marketo's are: {error}"
        except Unconvertible as error:
            why = str(error)
        return Unreadable(event_id=guid, system=SYSTEM, error=why, raw=raw, observed_at=now)


def _event_id(activity: Activity) -> str:
    return derived_id(SYSTEM, "activity", activity.guid or f"{activity.type_id}:{activity.id}")


def _event(activity: Activity, found: EntityMap, observed_at: datetime) -> ChangeEvent:
    """Raises Unconvertible for a value, a time or a kind that cannot be read."""
    kind: Kind = "created" if activity.type_id == NEW_LEAD else "deleted"
    if activity.type_id == DATA_VALUE:
        kind = "updated"
    by_remote: dict[str, list[str]] = {}
    for field, remote in found.fields.items():
        by_remote.setdefault(remote, []).append(field)
    values: Values = {}
    for change in activity.fields if kind == "updated" else ():
        for field in by_remote.get(change.name, ()):
            type_name = found.types.get(field, "text")
            try:
                values[field] = to_canonical(type_name, change.new_value)
            except Unconvertible as error:
                raise Unconvertible(
                    f"field {change.name} of lead {activity.lead_id} {error}, but fields.yaml calls {found.entity}.{field} a "
                    f"{type_name}: correct the type there and retry"
                ) from error
    return ChangeEvent(
        event_id=_event_id(activity),
        system=SYSTEM,
        entity=found.entity,
        record_id=str(activity.lead_id),
        kind=kind,
        occurred_at=moment(activity.date),
        observed_at=observed_at,
        changed=tuple(values),
        values=values,
        actor=activity.says("Modifying User"),
        origin=" ".join(filter(None, (activity.says("Source"), activity.says("Reason")))),
        cursor=f"activity {activity.guid or activity.id} at {activity.date}",
        complete=kind != "created",
        sequence=activity.id if isinstance(activity.id, int) else 0,
    )


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
