"""HubSpot's webhooks journal: what webhooks would have sent, kept for three days, to be fetched file by file.

For accounts whose app may subscribe to the journal: nothing has to be reachable from outside, and an event is not lost because nobody
answered in time. It needs a token of the app itself (client credentials) with the scope ``developer.webhooks_journal.read``; subscriptions
are made in HubSpot. Addresses and answers as in HubSpot's reference of 2026-03; the form of the files is not specified there: it is read
as published examples show it, and an event that looks different is kept as ``Unreadable``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
import structlog
import urllib3

from connectors.contract import Accept, Maps
from connectors.errors import AuthenticationFailed, ConnectorBug, Misconfigured, RateLimited, RecordRejected, Transient
from connectors.hubspot import errors, payload
from connectors.hubspot.objects import targets
from connectors.hubspot.payload import Hook, Unknown
from connectors.hubspot.settings import SYSTEM, HubSpotSettings
from connectors.mapping import mended
from connectors.patience import Hold, patient
from routing.core.model import ChangeEvent, Unreadable, derived_id

log = structlog.get_logger(__name__)
T = TypeVar("T")

_BASE = "/webhooks-journal/journal-local/2026-03"
_LONGEST_WAIT = 60.0  # seconds between tries while HubSpot is unwell
# HubSpot keeps the files for three days; less what its clock and ours may be apart.
_KEPT = timedelta(days=3) - timedelta(hours=1)
_EMPTY = "empty at "  # how a position begins while there is no file
_REMEMBERED = timedelta(hours=1)  # how often that is written down
_SUBSCRIPTION = "journal"  # in the events' ids, where webhooks have the number of a subscription

# What an entry calls an action -> what a webhook calls it. A property change is told by its properties.
_VERBS = {
    "CREATE": "creation",
    "DELETE": "deletion",
    "RESTORE": "restore",
    "MERGE": "merge",
    "GDPR_DELETE": "privacyDeletion",
    "ASSOCIATION_ADDED": "associationChange",
    "ASSOCIATION_REMOVED": "associationChange",
}


class _Token(msgspec.Struct, frozen=True):
    access_token: str


class _Entry(msgspec.Struct, frozen=True, rename="camel"):
    """Where the next file is."""

    url: str
    current_offset: str


class _File(msgspec.Struct, frozen=True, rename="camel"):
    journal_events: list[msgspec.Raw]


class Happening(msgspec.Struct, frozen=True, rename="camel"):
    """One event of a file."""

    action: str
    occurred_at: datetime
    portal_id: int = 0
    object_type_id: str = ""
    object_id: int | str | None = None
    property_changes: dict[str, Any] = {}
    primary_object_id: int | str | None = None
    merged_object_ids: list[int | str] = []
    new_object_id: int | str | None = None
    change_source: str = ""
    source_id: str | None = None


class HubSpotJournal:
    """``contract.Source`` over the journal. One call a file, and one every ``journal_seconds`` while there is none.

    The position is the offset of the last file; before there was any, when we last looked. An offset that HubSpot no longer knows, or a
    look so long ago that files may have come and gone since, becomes a ``gap`` for each mapped object, so that everything is read again, and
    the journal goes on from its beginning. What comes instead of a file is waited out like an outage.
    """

    system = SYSTEM
    stream = f"{SYSTEM}:journal"

    def __init__(self, settings: HubSpotSettings, maps: Maps, clock: Callable[[], datetime]) -> None:
        settings.require_journal()
        self._settings, self._maps, self._clock = settings, maps, clock
        self._http = urllib3.PoolManager(retries=False)
        self.hold = Hold(SYSTEM, clock, "journal")
        self._token = ""

    def run(self, position: bytes | None, accept: Accept, stop: Event) -> None:
        """See ``contract.Source.run``. A limit or an outage is waited out here; everything else is raised."""
        trying = patient(stop, "HubSpot's journal", (Transient, RateLimited), 0.25, _LONGEST_WAIT, reraise=True)
        try:
            offset = trying(self._latest) if position is None else position.decode()
            accept([], offset.encode())
            while not stop.is_set():
                after = trying(self._look, offset, accept)
                if after == offset or after.startswith(_EMPTY):
                    stop.wait(self._settings.journal_seconds)
                offset = after
        except (Transient, RateLimited):
            if not stop.is_set():
                raise

    def reread(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        """See ``contract.Source.reread``. Raises Misconfigured."""
        try:
            return self._events(raw, observed_at)
        except Unknown as error:
            raise Misconfigured(str(error), system=SYSTEM) from error

    def try_login(self) -> str:
        """Logs in and asks for the journal's end; says what was found. Changes nothing. Raises ConnectorError."""
        return "there are events in it" if self._latest() else "it is empty so far"

    # -- one look -------------------------------------------------------------------------------------------------

    def _latest(self) -> str:
        entry = self._entry("the journal's end", "latest")
        return entry.current_offset if entry is not None else self._empty()

    def _empty(self) -> str:
        return f"{_EMPTY}{self._clock().isoformat()}"

    def _look(self, offset: str, accept: Accept) -> str:
        """The next file, if there is one: hands it on, and gives its position; otherwise the one we had, or the same of now."""
        looked = _looked(offset)
        if looked is not None and self._clock() - looked > _KEPT:
            return self._too_late(offset, accept)
        try:
            entry = self._entry("the journal", f"offset/{offset}/next" if looked is None else "earliest")
        except _Forgotten:
            return self._too_late(offset, accept)
        if entry is not None:
            return self._move(accept, self._read(self._file(entry.url)), entry.current_offset)
        if looked is not None and self._clock() - looked > _REMEMBERED:
            return self._move(accept, [], self._empty())
        return offset

    def _too_late(self, offset: str, accept: Accept) -> str:
        log.warning("hubspot_journal_position_too_old", offset=offset)
        return self._move(accept, [self._gap(entity) for entity in self._entities()], self._empty())

    @staticmethod
    def _move(accept: Accept, events: Sequence[ChangeEvent | Unreadable], position: str) -> str:
        accept(events, position.encode())
        return position

    def _read(self, body: bytes) -> list[ChangeEvent | Unreadable]:
        """Raises Transient."""
        now = self._clock()
        try:
            file = msgspec.json.decode(mended(body), type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # Nothing behind it is read before it: whatever is kept of a page that came on the way, the events of the file would be lost.
            raise Transient(
                f"what came for a file of HubSpot's journal is none ({error}); it is asked for again. If this stays, see whether a "
                "proxy answers instead of HubSpot; else a newer version of the connector may be needed",
                system=SYSTEM,
            ) from error
        found: list[ChangeEvent | Unreadable] = []
        for raw in map(bytes, file.journal_events):
            try:
                found.extend(self._events(raw, now))
            except Unknown as error:
                found.append(payload.unreadable(raw, str(error), now))
        return found

    def _events(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        """Raises Unknown."""
        try:
            happening = msgspec.json.decode(raw, type=Happening)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unknown(f"an event of the journal is not shaped as HubSpot's are: {error}") from error
        if happening.portal_id not in (0, self._settings.portal_id):
            return []  # of another account that uses the same app
        known = targets(self._maps())
        return [event for hook in _hooks(happening) for event in payload.events_of(hook, known, observed_at)]

    def _entities(self) -> list[str]:
        return sorted(target.entity for target in targets(self._maps()).values())

    def _gap(self, entity: Any) -> ChangeEvent:
        now = self._clock()
        return ChangeEvent(
            event_id=derived_id(SYSTEM, "journal", "gap", entity, now.isoformat()),
            system=SYSTEM,
            entity=entity,
            record_id="*",
            kind="gap",
            occurred_at=now,
            observed_at=now,
            complete=False,
            cursor="the journal no longer goes back that far",
        )

    # -- requests -------------------------------------------------------------------------------------------------

    def _entry(self, what: str, path: str) -> _Entry | None:
        """None: there is no file (yet). Raises _Forgotten for an offset that is not known any more, Misconfigured where there is no journal."""
        query = urlencode({"installPortalId": self._settings.portal_id})
        url = f"{self._settings.host.rstrip('/')}{_BASE}/{path}?{query}"
        try:
            answer = self._send(what, "GET", url, {"Authorization": f"Bearer {self._login()}"})
        except AuthenticationFailed:
            # Its token lasts for half an hour.
            self._token = ""
            answer = self._send(what, "GET", url, {"Authorization": f"Bearer {self._login()}"})
        if answer.status == 404 and path.startswith("offset/"):
            raise _Forgotten
        if answer.status == 404:
            raise Misconfigured(
                f"{what}: HubSpot has no webhooks journal for the account {self._settings.portal_id}: check portal_id, and that the app "
                "of client_id is installed there and subscribed to the journal; else use changes: webhooks, or search",
                system=SYSTEM,
            )
        return None if answer.status == 204 else _decoded(answer.data, _Entry, what)

    def _file(self, url: str) -> bytes:
        answer = self._send("a file of the journal", "GET", url, {})
        if answer.status == 404:  # its address lasts for a while only: the journal gives a new one
            raise Transient(
                "the address of a file of HubSpot's journal has expired; it is asked for again", system=SYSTEM
            )
        return bytes(answer.data)

    def _login(self) -> str:
        if not self._token:
            form = {
                "grant_type": "client_credentials",
                "client_id": self._settings.client_id,
                "client_secret": self._settings.client_secrets[0],
                "scope": "developer.webhooks_journal.read",
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            url = f"{self._settings.host.rstrip('/')}/oauth/v1/token"
            try:
                answer = self._send("a token for the journal", "POST", url, headers, urlencode(form))
            except RecordRejected as error:
                raise AuthenticationFailed(
                    "HubSpot gave no token for the webhooks journal: client_id and the first of client_secrets must be those "
                    f"of the app's Auth page. {error}",
                    system=SYSTEM,
                ) from error
            self._token = _decoded(answer.data, _Token, "a token for the journal").access_token
        return self._token

    def _send(
        self, what: str, method: str, url: str, headers: Mapping[str, str], body: str | None = None
    ) -> urllib3.BaseHTTPResponse:
        """An answer of success, or 404. Raises ConnectorError."""
        timeout = urllib3.Timeout(connect=self._settings.connect_timeout, read=self._settings.read_timeout)
        with self.hold.heeded():
            try:
                answer = self._http.request(method, url, headers=headers, body=body, timeout=timeout)
            except urllib3.exceptions.HTTPError as error:
                raise errors.of_network(error, what, writing=False) from error
            if answer.status < 300 or answer.status == 404:
                return answer
            raise errors.of_status(answer.status, answer.data, answer.headers, what, writing=False)


class _Forgotten(Exception):
    """HubSpot does not know the offset, or no longer."""


def _looked(position: str) -> datetime | None:
    """When there was no file yet; None for the offset of one. An earlier version wrote down only that there was none."""
    if position.startswith(_EMPTY):
        return datetime.fromisoformat(position.removeprefix(_EMPTY))
    return None if position else datetime.min.replace(tzinfo=UTC)


def _hooks(happening: Happening) -> list[Hook]:
    """The webhooks that would have told it. Raises Unknown."""
    at = round(happening.occurred_at.astimezone(UTC).timestamp() * 1000)

    def hook(verb: str, **more: Any) -> Hook:
        return Hook(
            subscription_type=f"object.{verb}",
            occurred_at=at,
            object_id=happening.object_id,
            subscription_id=_SUBSCRIPTION,
            object_type_id=happening.object_type_id,
            change_source=happening.change_source,
            source_id=happening.source_id,
            primary_object_id=happening.primary_object_id,
            merged_object_ids=happening.merged_object_ids,
            new_object_id=happening.new_object_id,
            **more,
        )

    if happening.action == "UPDATE":
        changes = happening.property_changes
        return [hook("propertyChange", property_name=name, property_value=value) for name, value in changes.items()]
    verb = _VERBS.get(happening.action)
    if verb is None:
        raise Unknown(
            f"Fingerpost does not know the journal's action {happening.action!r}: end its subscription in HubSpot"
        )
    return [hook(verb)]


def _decoded(body: bytes, shape: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConnectorBug(
            f"HubSpot's answer to {what} has an unexpected shape ({error}); a newer version of the connector may be needed",
            system=SYSTEM,
        ) from error
