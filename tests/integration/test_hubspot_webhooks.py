"""The sandbox's webhooks arrive at the connector's intake over real HTTP, through everything that goes wrong on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from msgspec.structs import replace

from connectors.errors import SignatureRefused
from connectors.hubspot.webhook import HubSpotWebhook
from connectors.sandbox.hubspot.webhooks import Mischief
from routing.core.model import ChangeEvent, Unreadable
from routing.runtime.clock import monotonic, utcnow
from tests.contract.heard import WAIT
from tests.contract.hubspot_stand import MAPS, HubSpotStand, hubspot_stand
from tests.contract.suites import write_of


class Receiver:
    """An HTTP server that hands requests to the intake. ``answers`` are statuses to give before that, one a request."""

    def __init__(self, port: int = 0) -> None:
        self.events: list[ChangeEvent | Unreadable] = []
        self.refused: list[str] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.requests = 0
        self.closed = False
        self.webhook: HubSpotWebhook | None = None
        self.changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.closed:  # a connection kept alive dies with its process
                    self.close_connection = True
                    return
                status, more = receiver.take({k.lower(): v for k, v in self.headers.items()}, body)
                self.send_response(status)
                for name, value in {**more, "Content-Length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/hooks/hubspot"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        assert self.webhook is not None
        with self.changed:
            self.requests += 1
            try:
                if self.answers:
                    return self.answers.pop(0)
                self.events += self.webhook.receive("POST", "/hooks/hubspot", "", headers, body, utcnow())
            except SignatureRefused as error:
                self.refused.append(str(error))
                return 401, {}
            finally:
                self.changed.notify_all()
            return 204, {}

    def until(self, condition: Any) -> None:
        deadline = monotonic() + WAIT
        with self.changed:
            while not condition():
                assert monotonic() < deadline, f"waited in vain; {len(self.events)} events came"
                self.changed.wait(0.02)  # some conditions change on the sender's side, which tells nobody

    def close(self) -> None:
        self.closed = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def stand() -> Iterator[HubSpotStand]:
    with hubspot_stand() as stand:
        yield stand


@pytest.fixture
def receiver(stand: HubSpotStand) -> Iterator[Receiver]:
    receiver = Receiver()
    aim(stand, receiver)
    yield receiver
    receiver.close()


def aim(stand: HubSpotStand, receiver: Receiver) -> None:
    receiver.webhook = HubSpotWebhook(replace(stand.settings, public_url=receiver.url), lambda: MAPS)
    stand.sandbox.webhook_url = receiver.url


def kinds(receiver: Receiver) -> list[tuple[str, str]]:
    return [(event.record_id, event.kind) for event in receiver.events if isinstance(event, ChangeEvent)]


def test_a_life_of_a_contact_arrives_in_order(stand: HubSpotStand, receiver: Receiver) -> None:
    sandbox = stand.sandbox
    one = stand.create({"email": "Ana@X.example", "company": "X"})
    other = stand.create({"company": "Y"})
    stand.change(one, {"company": "Z", "employees": "25-50"})
    new = sandbox.merge("contacts", one, [other])
    sandbox.delete("contacts", new)
    sandbox.restore("contacts", one)  # under an old id too
    sandbox.erase(new)
    receiver.until(lambda: len(receiver.events) == 12)
    assert kinds(receiver) == [
        (one, "created"),
        (other, "created"),
        (one, "updated"),
        (one, "updated"),
        (new, "created"),
        (one, "merged"),
        (other, "merged"),
        (new, "updated"),
        (other, "deleted"),
        (new, "deleted"),
        (new, "restored"),
        (new, "erased"),
    ]
    [merge] = [event for event in receiver.events if isinstance(event, ChangeEvent) and event.continues]
    assert (merge.record_id, merge.continues, merge.complete) == (new, (one, other), False)
    changes = [event for event in receiver.events if isinstance(event, ChangeEvent) and event.changed]
    assert [event.values for event in changes] == [{"company": "Z"}, {"employees": 25}]
    assert all(event.actor.startswith("userId:") and event.origin == "CRM_UI" for event in changes)


def test_our_own_writes_come_back_as_echoes(stand: HubSpotStand, receiver: Receiver) -> None:
    record = stand.create({"company": "old"})
    stand.connection.write([write_of(stand, record, company="new")])
    receiver.until(lambda: len(receiver.events) == 2)
    echo = receiver.events[1]
    assert isinstance(echo, ChangeEvent)
    assert (echo.origin, echo.actor, echo.values) == ("INTEGRATION", "", {"company": "new"})


def test_a_receiver_that_is_busy_limited_or_down_gets_everything_later(stand: HubSpotStand, receiver: Receiver) -> None:
    receiver.answers = [(503, {}), (429, {"Retry-After": "0.05"}), (500, {})]
    first = stand.create({"company": "a"})
    receiver.until(lambda: len(receiver.events) == 1)
    assert receiver.requests == 4
    receiver.close()
    ids = [stand.create({"company": str(n)}) for n in range(250)]
    again = Receiver(receiver.port)
    try:
        again.webhook = receiver.webhook
        again.until(lambda: len(again.events) == 250)
        assert kinds(again) == [(one, "created") for one in ids]
        assert kinds(receiver) == [(first, "created")]
    finally:
        stand.sandbox.webhooks.stop()
        again.close()


def test_duplicates_have_the_same_ids_and_forgeries_are_refused(stand: HubSpotStand, receiver: Receiver) -> None:
    stand.sandbox.webhooks.mischief = Mischief(
        duplicate_every=1, reorder=True, bad_signature_every=1, stale_every=1, future_every=1
    )
    ids = [stand.create({"company": str(n)}) for n in range(30)]
    receiver.until(lambda: len(receiver.events) >= 60 and stand.sandbox.webhooks.pending == 0)
    assert {record for record, _ in kinds(receiver)} == set(ids)
    assert len({event.event_id for event in receiver.events}) == 30
    reasons = " ".join(receiver.refused)
    assert "signature is wrong" in reasons
    assert "s ago" in reasons
    assert "in the future" in reasons


def test_the_newer_names_are_understood(stand: HubSpotStand, receiver: Receiver) -> None:
    stand.sandbox.webhooks.object_names = True
    record = stand.create({"company": "a"})
    company = stand.sandbox.create("companies", {"name": "b"})
    receiver.until(lambda: len(receiver.events) == 2)
    assert kinds(receiver) == [(record, "created"), (company, "created")]
    assert [event.entity for event in receiver.events] == ["lead", "account"]
