"""The webhooks journal of the sandbox: files of events, each found by the offset of the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl
from uuid import NAMESPACE_URL, uuid5

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from connectors.sandbox.faults import Fault
from connectors.sandbox.hubspot.answers import HttpRefusal, answer
from connectors.sandbox.hubspot.asking import Handler
from connectors.sandbox.hubspot.store import Event
from connectors.sandbox.hubspot.webhooks import PORTAL_ID, TYPE_ID
from connectors.sandbox.world import stamp

CLIENT_ID = "sandbox-client-id"
_BASE = "/webhooks-journal/journal-local/2026-03"
_TOKEN_SECONDS = 1800
_URL_SECONDS = 900
_ACTIONS = {
    "creation": "CREATE",
    "propertyChange": "UPDATE",
    "deletion": "DELETE",
    "restore": "RESTORE",
    "merge": "MERGE",
    "privacyDeletion": "GDPR_DELETE",
}


class _File(Struct):
    offset: str
    published: datetime
    events: list[dict[str, Any]]


class Journal:
    """Every change that is announced becomes a file of its own. ``secret`` is the app's, which its tokens are asked for with."""

    def __init__(self, clock: Callable[[], datetime], secret: str) -> None:
        self._clock, self._secret = clock, secret
        self._lock = Lock()
        self._files: list[_File] = []
        self._number = 0
        self._tokens: dict[str, datetime] = {}
        self._issued = 0

    def write(self, events: Iterable[Event]) -> None:
        """Puts what happened down."""
        found = [_told(event) for event in events if event.kind in TYPE_ID]
        if found:
            self.publish(_joined(found))

    def publish(self, events: list[dict[str, Any]]) -> None:
        """A file with these events."""
        with self._lock:
            self._number += 1
            offset = str(uuid5(NAMESPACE_URL, f"sandbox journal {self._number}"))
            self._files.append(_File(offset, self._clock(), events))

    def forget(self) -> None:
        """All files so far are gone, as after three days: their offsets are not known any more."""
        with self._lock:
            self._files.clear()

    def repeat(self) -> None:
        """The newest file is published once more, under another offset."""
        with self._lock:
            events = self._files[-1].events
        self.publish(events)

    def expire_tokens(self) -> None:
        """Every token given out so far is over."""
        self._tokens.clear()

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        """What it answers."""
        return [
            ("GET", f"{_BASE}/earliest", "journal", self._earliest),
            ("GET", f"{_BASE}/latest", "journal", self._latest),
            ("GET", _BASE + "/offset/{offset}/next", "journal", self._next),
            ("GET", "/journal-files/{offset}", "journal_file", self._file),
            ("POST", "/oauth/v1/token", "journal_token", self._login),
        ]

    def authorized(self, header: str) -> bool:
        """Whether that is one of its tokens, and not over."""
        until = self._tokens.get(header.removeprefix("Bearer "))
        return until is not None and self._clock() < until

    def _login(self, _request: Request, body: bytes, _: Fault | None) -> Response:
        given = dict(parse_qsl(body.decode()))
        if (given.get("client_id"), given.get("client_secret")) != (CLIENT_ID, self._secret):
            raise HttpRefusal(400, "BAD_CLIENT_ID", "missing or invalid client id or client secret")
        if given.get("grant_type") != "client_credentials":
            raise HttpRefusal(400, "BAD_GRANT_TYPE", "unsupported grant type")
        with self._lock:
            self._issued += 1
            token = f"sandbox-journal-{self._issued}"
            self._tokens[token] = self._clock() + timedelta(seconds=_TOKEN_SECONDS)
        return answer({"access_token": token, "token_type": "bearer", "expires_in": _TOKEN_SECONDS})

    def _earliest(self, request: Request, _body: bytes, _: Fault | None) -> Response:
        with self._lock:
            return self._entry(request, self._files[:1])

    def _latest(self, request: Request, _body: bytes, _: Fault | None) -> Response:
        with self._lock:
            return self._entry(request, self._files[-1:])

    def _next(self, request: Request, _body: bytes, _: Fault | None) -> Response:
        with self._lock:
            place = self._place(request)
            return self._entry(request, self._files[place + 1 : place + 2])

    def _file(self, request: Request, _body: bytes, _: Fault | None) -> Response:
        with self._lock:
            found = self._files[self._place(request)]
        return answer({"offset": found.offset, "publishedAt": stamp(found.published), "journalEvents": found.events})

    def _place(self, request: Request) -> int:
        offset = request.path_params["offset"]
        for place, one in enumerate(self._files):
            if one.offset == offset:
                return place
        raise HttpRefusal(404, "OBJECT_NOT_FOUND", "The offset does not exist or has expired.")

    def _entry(self, request: Request, files: list[_File]) -> Response:
        if request.query_params.get("installPortalId") != str(PORTAL_ID):
            raise HttpRefusal(403, "MISSING_SCOPES", "The app is not installed in this account.")
        if not files:
            return Response(status_code=204)
        return answer(
            {
                "url": f"{str(request.base_url).rstrip('/')}/journal-files/{files[0].offset}",
                "expiresAt": stamp(self._clock() + timedelta(seconds=_URL_SECONDS)),
                "currentOffset": files[0].offset,
            }
        )


def _told(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "OBJECT" if event.verb != "privacyDeletion" else "GDPR_PRIVACY_DELETION",
        "portalId": PORTAL_ID,
        "occurredAt": stamp(event.at),
        "action": _ACTIONS[event.verb],
        "objectTypeId": TYPE_ID[event.kind],
        "objectId": int(event.object_id),
        "changeSource": event.source.type,
    }
    if event.source.id:
        found["sourceId"] = event.source.id
    if event.verb == "propertyChange":
        found["propertyChanges"] = {event.property: event.value}
    if event.verb == "merge":
        merged = [int(one) for one in event.merged]
        found |= {"primaryObjectId": merged[0], "mergedObjectIds": merged[1:], "newObjectId": int(event.object_id)}
    return found


def _joined(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Properties that changed at once stand in one event."""
    found: list[dict[str, Any]] = []
    for event in events:
        if found and "propertyChanges" in event and "propertyChanges" in found[-1]:
            found[-1]["propertyChanges"] |= event["propertyChanges"]
        else:
            found.append(event)
    return found
