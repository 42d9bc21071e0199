"""The sender of webhooks: signed, in order, and patient until the receiver has them."""

from __future__ import annotations

import http.client
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from connectors.hubspot.signature import sign
from connectors.sandbox.hubspot.properties import PROPERTIES, UNSUBSCRIBED
from connectors.sandbox.hubspot.store import Event

PORTAL_ID = 24_681_012
APP_ID = 1_357_911
BATCH = 100  # events in one request; the vendor's limit
_MOST = 1e6  # of anything in a mischief
_TIMEOUT = 5.0  # seconds HubSpot waits for an answer
_SHORT, _LONG = 0.05, 1.0  # seconds between tries; the real one waits minutes, nobody here would

_PREFIX = {"contacts": "contact", "companies": "company"}
TYPE_ID = {"contacts": "0-1", "companies": "0-2"}
_VERBS = ("creation", "deletion", "restore", "privacyDeletion", "merge")


class Mischief(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong on the way. The ``…_every`` count requests: 3 means every third one; 0 is never.

    A badly signed, stale or future request comes *before* the right one with the same events, so that nothing is lost.
    """

    duplicate_every: int = 0
    reorder: bool = False  # events of one request are shuffled
    bad_signature_every: int = 0
    stale_every: int = 0
    future_every: int = 0
    lose_every: int = 0  # events, not requests: every third one is never sent
    late_seconds: float = 0.0  # every event waits so long before it is sent

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not 0 <= value <= _MOST:
                raise ValueError(f"{name} is {value:g}; it is a number from 0 to {_MOST:g}")


class WebhookSender:
    """One thread that sends what ``enqueue`` was given, up to 100 events a request, oldest first.

    The head of the queue is tried until the receiver answers 2xx: 429 with its Retry-After, everything else after short growing
    waits. With ``drop_refused`` an answer of 4xx (but 408 and 429) loses the request's events, as with the real one.
    """

    def __init__(self, clock: Callable[[], datetime], url: str, secret: str, *, drop_refused: bool = False) -> None:
        self.url = url
        self.secret = secret
        self.object_names = False  # the newer object.* names instead of contact.* and company.*
        self.mischief = Mischief()
        self.drop_refused = drop_refused
        self.answers: Counter[str] = Counter()  # status or kind of failure -> requests
        self.delivered = 0
        self.dropped = 0
        self.lost = 0
        self._heard = 0
        self._clock = clock
        self._subscriptions = _subscriptions()
        self._queue: deque[tuple[datetime, dict[str, Any]]] = deque()  # not to be sent before
        self._event_number = 0
        self._requests = 0
        self._rng = Random(1)
        self._wake = threading.Condition()
        self._stop = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._connected_to = ""
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> int:
        """Events not yet accepted by the receiver."""
        return len(self._queue)

    def start(self) -> None:
        """Begins to send."""
        self._thread = threading.Thread(target=self._run, name="sandbox-hubspot-webhooks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops after the request under way; what is pending stays unsent."""
        self._stop.set()
        with self._wake:
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(_TIMEOUT + 1)
        self._disconnect()

    def enqueue(self, events: Iterable[Event]) -> None:
        """Queues the events somebody subscribed to. Does nothing while there is no address to call."""
        if not self.url:
            return
        with self._wake:
            for event in events:
                subscription = self._subscriptions.get((event.kind, event.verb, event.property))
                if subscription is None:
                    continue
                self._heard += 1
                if self.mischief.lose_every and self._heard % self.mischief.lose_every == 0:
                    self.lost += 1
                    continue
                due = self._clock() + timedelta(seconds=self.mischief.late_seconds)
                self._queue.append((due, self._payload(event, subscription)))
            self._wake.notify_all()

    def send_raw(self, body: bytes, *, secret: str | None = None, shift: float = 0.0) -> int:
        """Sends any bytes at once, signed with ``secret`` (default: the right one) ``shift`` seconds off; the status.

        Raises OSError or http.client.HTTPException when nobody answers.
        """
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
        try:
            return self._post(connection, body, secret if secret is not None else self.secret, shift)[0]
        finally:
            connection.close()

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        wait, attempt = 0.0, 0
        while not self._stop.wait(wait):
            with self._wake:
                while not self._queue and not self._stop.is_set():
                    self._wake.wait()
                first = [self._queue[place] for place in range(min(BATCH, len(self._queue)))]
                now = self._clock()
                ready = next((n for n, (due, _) in enumerate(first) if due > now), len(first))
                head = [payload for _, payload in first[:ready]]
            if not head:
                wait = _SHORT if first else 0.0
                continue
            accepted, pause = self._try(head, attempt)
            if accepted:
                with self._wake:
                    for _ in head:
                        self._queue.popleft()
                wait, attempt = 0.0, 0
            else:
                attempt += 1
                wait = pause if pause is not None else min(_LONG, _SHORT * 1.5 ** min(attempt, 12))

    def _try(self, head: list[dict[str, Any]], attempt: int) -> tuple[bool, float | None]:
        """One try to deliver: whether the events are off the queue, and how long the receiver asked us to wait."""
        body = self._body(head, attempt)
        try:
            connection = self._connect()
            self._make_mischief(connection, body)
            status, retry_after = self._post(connection, body, self.secret, 0.0)
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            self.answers[type(error).__name__] += 1
            return False, None
        self.answers[str(status)] += 1
        if 200 <= status < 300:
            self.delivered += len(head)
            return True, None
        if self.drop_refused and 400 <= status < 500 and status not in (408, 429):
            self.dropped += len(head)
            return True, None
        return False, retry_after if status == 429 else None

    def _body(self, head: list[dict[str, Any]], attempt: int) -> bytes:
        events = [{**event, "attemptNumber": attempt} for event in head] if attempt else head
        if self.mischief.reorder:
            events = self._rng.sample(events, len(events))
        return msgspec.json.encode(events)

    def _make_mischief(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        self._requests += 1
        mischief = self.mischief
        for every, secret, shift in (
            (mischief.duplicate_every, self.secret, 0.0),
            (mischief.bad_signature_every, "not the secret", 0.0),
            (mischief.stale_every, self.secret, -3600.0),
            (mischief.future_every, self.secret, 3600.0),
        ):
            if every and self._requests % every == 0:
                status, _ = self._post(connection, body, secret, shift)
                self.answers[f"extra {status}"] += 1

    def _post(
        self, connection: http.client.HTTPConnection, body: bytes, secret: str, shift: float
    ) -> tuple[int, float | None]:
        parts = urlsplit(self.url)
        moment = self._clock() + timedelta(seconds=shift)
        timestamp = str(int(moment.timestamp() * 1000))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "HubSpot Connect 2.0 (sandbox)",
            "X-HubSpot-Signature-v3": sign(secret, "POST", self.url, body, timestamp),
            "X-HubSpot-Request-Timestamp": timestamp,
        }
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        response = connection.getresponse()
        response.read()
        asked = response.getheader("Retry-After") or ""
        return response.status, float(asked) if asked.replace(".", "", 1).isdigit() else None

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None or self._connected_to != self.url:
            self._disconnect()
            parts = urlsplit(self.url)
            self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
            self._connected_to = self.url
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _payload(self, event: Event, subscription: int) -> dict[str, Any]:
        self._event_number += 1
        prefix = "object" if self.object_names and event.verb != "privacyDeletion" else _PREFIX[event.kind]
        found: dict[str, Any] = {
            "eventId": 3_000_000_000 + self._event_number,
            "subscriptionId": subscription,
            "portalId": PORTAL_ID,
            "appId": APP_ID,
            "occurredAt": round(event.at.timestamp() * 1000),
            "subscriptionType": f"{prefix}.{event.verb}",
            "attemptNumber": 0,
            "objectId": int(event.object_id),
            "changeSource": event.source.type,
        }
        if prefix == "object":
            found["objectTypeId"] = TYPE_ID[event.kind]
        if event.source.id:
            found["sourceId"] = event.source.id
        if event.verb == "propertyChange":
            found |= {"propertyName": event.property, "propertyValue": event.value}
        elif event.verb == "merge":
            merged = [int(one) for one in event.merged]
            found |= {"primaryObjectId": merged[0], "mergedObjectIds": merged[1:], "newObjectId": int(event.object_id)}
            found |= {"numberOfPropertiesMoved": event.moved, "changeFlag": "MERGED"}
        elif event.verb in ("creation", "deletion"):
            found["changeFlag"] = "NEW" if event.verb == "creation" else "DELETED"
        return found


def _subscriptions() -> dict[tuple[str, str, str], int]:
    """(kind, verb, property) -> subscription id: everything a careful operator subscribes to, the computed ones not."""
    wanted: list[tuple[str, str, str]] = []
    for kind in _PREFIX:
        properties = PROPERTIES[kind]
        wanted += [(kind, verb, "") for verb in _VERBS]
        wanted += [(kind, "propertyChange", name) for name in properties if name not in UNSUBSCRIBED]
    return {key: 2_000_000 + number for number, key in enumerate(wanted)}
