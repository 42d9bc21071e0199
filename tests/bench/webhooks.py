"""HubSpot's webhooks into the whole daemon on SQLite: batches of 100, each answered once it is durable, while the daemon decides."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from connectors.hubspot.signature import sign
from routing.ledger.report import percentile
from routing.runtime.clock import monotonic, utcnow
from tests.bench.report import Line
from tests.processes import Run

BATCH, SENDERS = 100, 4
FLOOD = 200  # batches as fast as they are taken
PACED, RATE = 200, 20  # batches, and how many of them a second


def run(folder: Path) -> list[Line]:
    """What is taken at most, and how long an answer takes at 2,000 events a second."""
    daemon = Run(folder, seed=11, sandbox=["--hubspot-limit", "100000"])
    try:
        daemon.start()
        daemon.await_ready()
        hubspot = daemon.address["hubspot"]
        url, secret = str(hubspot["webhook_url"]), str(hubspot["client_secret"])
        took, waits = _send(url, secret, range(FLOOD), lambda _n: 0.0)
        _, paced = _send(url, secret, range(FLOOD, FLOOD + PACED), lambda n: (n - FLOOD) / RATE)
    finally:
        daemon.close()
    return [
        Line("webhook events durable, four senders", FLOOD * BATCH / took, "events/s", 2000),
        Line("answer to a batch of 100, flooded, p99", percentile(waits, 99) or 0, "ms"),
        Line("answer to a batch of 100 at 2,000 events/s, p50", percentile(paced, 50) or 0, "ms"),
        Line("answer to a batch of 100 at 2,000 events/s, p99", percentile(paced, 99) or 0, "ms", 250, at_least=False),
    ]


def _send(url: str, secret: str, numbers: range, due: Callable[[int], float]) -> tuple[float, list[int]]:
    """Sends those batches, each when it is ``due`` (seconds from now) or as soon as a sender is free; seconds, and ms for each answer."""
    waits: list[int] = []
    queue = iter(numbers)
    turn = threading.Lock()
    pause = threading.Event()
    began = monotonic()

    def work() -> None:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        while True:
            with turn:
                number = next(queue, None)
            if number is None:
                connection.close()
                return
            pause.wait(max(0.0, began + due(number) - monotonic()))
            body = _body(number)
            stamp = str(int(utcnow().timestamp() * 1000))
            headers = {
                "Content-Type": "application/json",
                "X-HubSpot-Signature-v3": sign(secret, "POST", url, body, stamp),
                "X-HubSpot-Request-Timestamp": stamp,
            }
            asked = monotonic()
            connection.request("POST", parts.path, body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            waits.append(round((monotonic() - asked) * 1000))

    senders = [threading.Thread(target=work) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return monotonic() - began, waits


def _body(number: int) -> bytes:
    now = int(utcnow().timestamp() * 1000)
    return msgspec.json.encode(
        [
            {
                "eventId": number * BATCH + n,
                "subscriptionId": 2_000_007,
                "portalId": 1,
                "appId": 1,
                "occurredAt": now,
                "subscriptionType": "contact.propertyChange",
                "attemptNumber": 0,
                "objectId": 90_000_000_000 + number * BATCH + n,
                "changeSource": "FORM",
                "propertyName": "city",
                "propertyValue": f"City {n}",
            }
            for n in range(BATCH)
        ]
    )
