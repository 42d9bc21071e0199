"""The start of a process that serves: its port is open from the first moment, and a ledger that does not answer is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from datetime import datetime
from socket import socket
from typing import TYPE_CHECKING, TypeVar

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from routing.cli.output import err
from routing.ledger.engine import LedgerAway
from routing.runtime.clock import monotonic, utcnow
from routing.runtime.metrics import Metrics
from routing.web.app import RETRY_AFTER_SECONDS, Server, build_app, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from routing.bootstrap.process import Process

log = structlog.get_logger()

P = TypeVar("P", bound="Process")
LOOK_SECONDS = 0.1
# Nobody reads a line a try through a night; the reason may change, though.
TELL_SECONDS = 60.0
_growing = wait_random_exponential(multiplier=0.5, max=5)
EVERY_METHOD = ["GET", "POST", "PUT", "DELETE"]


def begin(make: Callable[[], P], listening: socket | None, stopping: threading.Event) -> P | None:
    """Makes a process; again and again, for as long as it takes, while its ledger's server does not answer. None when ``stopping``
    was set first. Meanwhile ``listening`` says what is waited for; it stays open. Raises what ``make`` raises otherwise."""
    waiting, made = _Waiting(), Future[P]()
    trying = Retrying(
        retry=retry_if_exception_type(LedgerAway),
        wait=_growing,
        stop=stop_when_event_set(stopping),
        sleep=sleep_using_event(stopping),
        before_sleep=waiting.tell,
        reraise=True,
    )

    def run() -> None:
        try:
            made.set_result(trying(make))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            made.set_exception(error)

    with waiting.answering(listening):
        # A thread of its own: a server that takes a connection and says nothing must not keep us from stopping.
        threading.Thread(target=run, name="fingerpost-start", daemon=True).start()
        while not wait([made], LOOK_SECONDS).done:
            if stopping.is_set():
                return None
    if stopping.is_set() and isinstance(made.exception(), LedgerAway):
        return None
    return made.result()


class _Waiting:
    """What is waited for, and since when."""

    def __init__(self) -> None:
        self._for = ""
        self._since: datetime | None = None
        self._told = 0.0
        self._metrics = Metrics()

    def tell(self, state: RetryCallState) -> None:
        """A try was in vain."""
        what, now = str(state.outcome.exception()) if state.outcome else "", monotonic()
        self._since = self._since or utcnow()
        if what != self._for or now - self._told >= TELL_SECONDS:
            since = f"{self._since:%Y-%m-%d %H:%M:%S} UTC"
            log.warning("waiting before anything can begin", waits_for=what, since=since, tries=state.attempt_number)
            if err.is_terminal:  # then the log is a file
                err.print(f"Waiting, since {since}, for {what}. Ctrl-C stops.", markup=False)
            self._told = now
        self._for = what

    def health(self) -> Mapping[str, object]:
        """As of a process that is not ready."""
        self._metrics.ledger_lost.set((utcnow() - self._since).total_seconds() if self._since else 0)
        return {
            "ok": False,
            "ready": False,
            "waits_for": self._for,
            "failure": "",
            "ledger_lost_since": self._since and self._since.isoformat(timespec="seconds"),
            "ledger_lost_why": self._for,
        }

    @contextmanager
    def answering(self, listening: socket | None) -> Iterator[None]:
        """Serves health on the port, and refuses all else so that it comes again. What knocks while this ends is served after it."""
        if listening is None:
            yield
            return

        async def come_again(_request: Request) -> Response:
            return refuse(503, "Nothing was accepted: this process is starting.", retry_after=RETRY_AFTER_SECONDS)

        rest = [Route("/{path:path}", come_again, methods=EVERY_METHOD)]
        app = build_app([], None, utcnow, self.health, self._metrics.registry, rest)
        over = threading.Event()
        # The server closes what it was given.
        server = threading.Thread(target=Server(app, listening.dup()).run, args=(over,), name="fingerpost-door")
        server.start()
        try:
            yield
        finally:
            over.set()
            server.join()
