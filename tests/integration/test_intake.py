"""The intake as a sender meets it: a real server on loopback, a real ledger."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime

import pytest
import requests
from prometheus_client import CollectorRegistry

from connectors.errors import SignatureRefused
from routing.core.model import ChangeEvent, Unreadable, derived_id
from routing.ledger import journal
from routing.ledger.engine import Ledger
from routing.runtime.clock import utcnow
from routing.runtime.feed import Feed
from routing.runtime.intake import Intake
from routing.runtime.services import Services
from routing.web.app import MOST_BYTES, Server, build_app, listen


class FakeWebhook:
    """Takes one event a line; a header stands for the signature."""

    system, path = "fake", "/hooks/fake"

    def receive(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> list[ChangeEvent | Unreadable]:
        if headers.get("x-sign") != "good":
            raise SignatureRefused("the signature is wrong")
        return [
            ChangeEvent(
                event_id=derived_id("fake", line),
                system="fake",
                entity="lead",
                record_id=line,
                kind="created",
                occurred_at=now,
                observed_at=now,
            )
            for line in body.decode().split()
        ]

    def reread(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        return []


class Door:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.services = ledger, Services()
        self.intake = Intake(ledger, utcnow, Feed())
        listening = listen("127.0.0.1", 0)
        self.port = listening.getsockname()[1]
        app = build_app([FakeWebhook()], self.intake, utcnow, lambda: {"ok": True}, CollectorRegistry())
        self.services.start("intake", "intake", self.intake.run)
        self.services.start("web", "web", Server(app, listening).run)

    def post(self, body: bytes, **headers: str) -> requests.Response:
        return requests.post(
            f"http://127.0.0.1:{self.port}/hooks/fake", data=body, headers={"x-sign": "good"} | headers, timeout=10
        )

    def stored(self) -> int:
        with self.ledger.read() as conn:
            return sum(journal.counts(conn).values())


@pytest.fixture
def door(ledger: Ledger) -> Iterator[Door]:
    made = Door(ledger)
    yield made
    assert made.services.stop("web") == []
    assert made.services.stop("intake") == []
    assert not made.services.failed.is_set()


def test_what_was_answered_with_200_is_in_the_ledger(door: Door) -> None:
    answer = door.post(b"a b c")
    assert (answer.status_code, answer.json()) == (200, {"accepted": 3, "new": 3})
    assert door.stored() == 3
    assert door.post(b"c d").json() == {"accepted": 2, "new": 1}


def test_many_senders_at_once_lose_nothing(door: Door) -> None:
    def send(sender: int) -> None:
        for n in range(20):
            assert door.post(f"s{sender}-{n}".encode()).status_code == 200

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert door.stored() == 160


def test_a_wrong_signature_is_refused_and_nothing_is_stored(door: Door) -> None:
    answer = door.post(b"a", **{"x-sign": "bad"})
    assert answer.status_code == 401
    assert "signature" in answer.json()["error"]
    assert door.stored() == 0


def test_a_body_over_5_mb_is_refused_without_being_read_whole(door: Door) -> None:
    answer = door.post(b"x" * (MOST_BYTES + 1))
    assert answer.status_code == 413
    assert door.stored() == 0
    assert door.post(b"a").status_code == 200


def test_a_body_that_claims_to_be_small_and_is_not_is_refused(door: Door) -> None:
    def dribble() -> Iterator[bytes]:
        for _ in range(12):
            yield b"y" * (512 * 1024)

    try:
        status = requests.post(
            f"http://127.0.0.1:{door.port}/hooks/fake", data=dribble(), headers={"x-sign": "good"}, timeout=10
        ).status_code
    except requests.ConnectionError:
        status = 413  # the server closed while we were still sending: refused as well
    assert status == 413
    assert door.stored() == 0


def test_a_broken_request_does_not_stop_the_server(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.port)) as rude:
        rude.sendall(b"POST /hooks/fake HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
    assert door.post(b"a").status_code == 200


def test_a_ledger_that_cannot_write_is_no_false_acknowledgement(door: Door) -> None:
    assert door.post(b"a").status_code == 200
    with door.ledger.write() as conn:
        conn.exec_driver_sql("ALTER TABLE journal RENAME TO elsewhere")
    answer = door.post(b"b")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    with door.ledger.write() as conn:
        conn.exec_driver_sql("ALTER TABLE elsewhere RENAME TO journal")
    assert door.post(b"b").json() == {"accepted": 1, "new": 1}
    assert door.stored() == 2
