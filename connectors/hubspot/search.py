"""Changes found by searching: for accounts that cannot send webhooks, and beside them, for events that never arrived.

Every object is searched in the order of its last change. Pages are not numbered: each begins at the last change of the one before, so
that records which change meanwhile shift nothing, and the 10,000 results that HubSpot gives at most are never reached.
The index shows a change only after a while, so the position stays ``index_lag_seconds`` behind the present.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from threading import Event

import msgspec
import structlog

from connectors.aside import Aside
from connectors.contract import Accept, Maps
from connectors.errors import Misconfigured, PermissionDenied, RateLimited, Transient
from connectors.hubspot import history
from connectors.hubspot.client import Client
from connectors.hubspot.history import Moment, Told, Value
from connectors.hubspot.objects import OWNERS, Target, targets
from connectors.hubspot.queries import Found, Queries
from connectors.hubspot.settings import SYSTEM
from connectors.mapping import Unconvertible
from connectors.patience import patient
from routing.core.model import ChangeEvent, Unreadable

log = structlog.get_logger(__name__)

HISTORIES = 50  # records whose histories one call reads; the vendor's limit
# So many records beside a position, that a restart reads nothing twice; more are not worth their place.
MOST_REMEMBERED = 2000
_LONGEST_WAIT = 60.0  # seconds between tries while HubSpot is unwell


class Place(msgspec.Struct):
    """How far one object was read: everything before ``since`` for certain, and of what came later, up to which change.

    ``gone_since`` and ``gone`` say the same of deletions. ``bin`` holds the newest of the recycling bin and since when they are in it:
    what left it and is there was restored.
    """

    since: datetime
    gone_since: datetime
    seen: dict[str, datetime] = {}
    gone: dict[str, datetime] = {}
    bin: dict[str, datetime] = {}


class HubSpotSearch:
    """``contract.Source`` by search. Every 50 changed records cost one call, beside one a page and object."""

    system = SYSTEM
    stream = f"{SYSTEM}:search"

    def __init__(self, client: Client, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client, self._maps, self._clock = client, maps, clock
        self._lag = timedelta(seconds=client.settings.index_lag_seconds)
        self._queries = Queries(client, clock)
        self._bin_looked: datetime | None = None
        self.aside = Aside(SYSTEM)
        # By object, what ``run`` told, back to the lag before ``Place.since``.
        self._told: dict[str, set[Value]] = {}

    def run(self, position: bytes | None, accept: Accept, stop: Event) -> None:
        """See ``contract.Source.run``. A limit or an outage is waited out here; everything else is raised."""
        trying = patient(stop, "search in HubSpot", (Transient, RateLimited), 0.25, _LONGEST_WAIT, reraise=True)
        places: dict[str, Place] = msgspec.json.decode(position, type=dict[str, Place]) if position else {}
        self._told, self._bin_looked = {}, None
        try:
            trying(self._begin, places)
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

    def _begin(self, places: dict[str, Place]) -> None:
        """A place for each object that has none yet: what happens from now on is told."""
        new, refused = [one for one in self._targets() if one not in places], None
        for remote in new:
            try:
                # By HubSpot's clock: with ours ahead of it, what happens next would seem to be over already.
                began = self._queries.settled(remote) + self._lag
            except (Misconfigured, PermissionDenied) as error:
                refused = error  # any other object says the time as well
            else:
                places |= {one: Place(began, began) for one in new}
                return
        if refused is not None:
            raise refused

    def _targets(self) -> dict[str, Target]:
        return {remote: target for remote, target in targets(self._maps()).items() if remote != OWNERS}

    def _look(self, places: dict[str, Place], accept: Accept, stop: Event) -> None:
        now = self._clock()
        bin_due = self._bin_looked is None or (now - self._bin_looked).total_seconds() >= (
            self._client.settings.deletions_seconds
        )
        self._begin(places)  # fields.yaml may map more than before
        self.aside.keep([target.entity for target in self._targets().values()])
        for remote, target in self._targets().items():
            place = places[remote]
            with self.aside.of(target.entity):
                for found, settled, whole in self._queries.changed(remote, place.since):
                    self._deliver(remote, target, place, found, settled, places, accept)
                    if whole:
                        self._settle(remote, place, settled, places, accept)
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
        found: list[Found],
        settled: datetime,
        places: dict[str, Place],
        accept: Accept,
    ) -> None:
        """One page of what changed; ``settled``: nothing before it will still come up in the index."""
        fresh = [one for one in found if place.seen.get(one.id) != one.updated_at]
        since = place.since - self._lag  # once more what the index may have been late with
        for start in range(0, len(fresh), HISTORIES):
            part = {one.id: one for one in fresh[start : start + HISTORIES]}
            events = self._events(remote, target, list(part), since)
            place.seen.update((one.id, one.updated_at) for one in part.values())
            self._advance(remote, place, min(max(one.updated_at for one in part.values()), settled))
            accept(events, _position(places))

    def _events(self, remote: str, target: Target, ids: list[str], since: datetime) -> list[ChangeEvent | Unreadable]:
        """What happened to them from ``since`` on and was not told yet.

        Not only from their last known change on: HubSpot may stamp a value earlier than the record, and show it later.
        """
        told = self._told.setdefault(remote, set())
        happened: list[Moment] = []
        for record in self._queries.histories(remote, target, ids):
            creation = (record.created_at, record.id, "")
            new = record.created_at >= since and creation not in told
            untold = history.without(record, told)
            happened.extend(history.moments(untold, remote, since, new=new))
            told.add(creation)
            told.update(value for value in history.values_of(untold) if value[0] >= since)
        happened.sort(key=lambda moment: (moment.at, moment.kind != "created"))
        now = self._clock()
        return [history.read(moment, target, now) for moment in happened]

    def _advance(self, remote: str, place: Place, reached: datetime) -> None:
        if reached > place.since:
            place.since = reached
            place.seen = {one: at for one, at in place.seen.items() if at >= reached}
            self._told[remote] = {one for one in self._told.get(remote, ()) if one[0] >= reached - self._lag}

    def _settle(self, remote: str, place: Place, settled: datetime, places: dict[str, Place], accept: Accept) -> None:
        """All of what changed was delivered."""
        before = place.since
        self._advance(remote, place, settled)
        if place.since - before >= self._lag and place.since > before:
            accept([], _position(places))

    def _look_into_bin(
        self, remote: str, target: Target, place: Place, places: dict[str, Place], accept: Accept
    ) -> None:
        """HubSpot's search leaves out what was deleted, and its list of that knows no order: all of it is read."""
        there, settled = self._queries.bin(remote)
        gone = [
            history.deleted(remote, one, at)
            for one, at in there.items()
            if at >= place.gone_since and place.gone.get(one) != at
        ]
        back = self._back(remote, target, {one: at for one, at in place.bin.items() if one not in there})
        newest = sorted(there, key=lambda one: there[one])[-MOST_REMEMBERED:]
        place.bin = {one: there[one] for one in newest}
        place.gone.update((moment.record_id, moment.at) for moment in gone)
        # Not up to the latest of them: what was deleted while the list was read may stand before the page we were at.
        place.gone_since = max(place.gone_since, settled)
        place.gone = {one: at for one, at in place.gone.items() if at >= place.gone_since}
        if gone or back:
            now = self._clock()
            events = [history.read(one, target, now) for one in sorted([*gone, *back], key=lambda one: one.at)]
            accept(events, _position(places))

    def _back(self, remote: str, target: Target, left: dict[str, datetime]) -> list[Moment]:
        """Of those that left the bin the ones that are there again; the others were erased, or HubSpot keeps them no longer."""
        ids, found = list(left), list[Told]()
        for start in range(0, len(ids), HISTORIES):
            found.extend(self._queries.histories(remote, target, ids[start : start + HISTORIES]))
        # HubSpot may not call a restoration a change: it came after the deletion, that is certain.
        return [
            history.restored(remote, one.id, max(one.updated_at, left[one.id] + timedelta(milliseconds=1)))
            for one in found
        ]


def _position(places: Mapping[str, Place]) -> bytes:
    """What is too much to remember is read once more after a restart, and told with the same ids."""
    kept = {
        remote: Place(
            place.since,
            place.gone_since,
            place.seen if len(place.seen) <= MOST_REMEMBERED else {},
            place.gone if len(place.gone) <= MOST_REMEMBERED else {},
            place.bin,
        )
        for remote, place in places.items()
    }
    return msgspec.json.encode(kept)
