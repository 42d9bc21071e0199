"""The one door into the journal. Whatever comes in at the same time is made durable by one commit."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import structlog
from msgspec import Struct
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from routing.core.model import ChangeEvent, Unreadable
from routing.ledger import journal
from routing.ledger.engine import Ledger, is_lost
from routing.runtime.clock import Clock
from routing.runtime.feed import Feed

log = structlog.get_logger()

# More than this many events in one commit would make the ones in front wait for the ones behind.
COMMIT_EVENTS = 2000
# A commit waits for the disk, whatever its size: what arrives within this time shares one.
GATHER_SECONDS = 0.005
QUEUE_DELIVERIES = 1000


class IntakeClosed(Exception):
    """The ledger takes no events at the moment; nothing was accepted, deliver again later."""


class _Delivery(Struct, frozen=True):
    events: Sequence[ChangeEvent | Unreadable]
    position: tuple[str, str, bytes] | None
    done: Future[int]


class Intake:
    """Accepts events from all sources. ``submit`` returns at once with a future; ``accept`` waits until they are durable."""

    def __init__(self, ledger: Ledger, clock: Clock, feed: Feed, closing: Callable[[], str] = lambda: "") -> None:
        """``closing`` is asked at each delivery why nothing may be accepted just now; "" when all is well."""
        self._ledger, self._clock, self._feed = ledger, clock, feed
        self._waiting: queue.Queue[_Delivery] = queue.Queue(QUEUE_DELIVERIES)
        self.arrived = threading.Event()  # set whenever the journal has something new
        self._incomplete: list[threading.Event] = []
        self._door = threading.Lock()
        self._ended = ""
        self._closing = closing

    @property
    def closed(self) -> str:
        """Why nothing is accepted at the moment, "" while all is well."""
        return self._ended or self._closing()

    def submit(
        self, events: Sequence[ChangeEvent | Unreadable], position: tuple[str, str, bytes] | None = None
    ) -> Future[int]:
        """Queues one delivery with the (system, stream, cursor) it brings the source to. The future holds how many were new.

        Raises IntakeClosed when the queue is full or the intake was closed.
        """
        done: Future[int] = Future()
        with self._door:  # so that nothing slips in behind the last look into the queue
            why = self.closed
            if why:
                raise IntakeClosed(why)
            try:
                self._waiting.put_nowait(_Delivery(events, position, done))
            except queue.Full:
                raise IntakeClosed("more is coming in than the ledger can write; try again in a moment") from None
        return done

    def accept(self, events: Sequence[ChangeEvent | Unreadable], position: tuple[str, str, bytes] | None = None) -> int:
        """As ``submit``, but waits. Raises IntakeClosed when the ledger could not write; then nothing was accepted."""
        return self.submit(events, position).result()

    def wake_when_incomplete(self) -> threading.Event:
        """An event that is set whenever something was accepted whose values must be read back."""
        wake = threading.Event()
        self._incomplete.append(wake)
        return wake

    def wake(self) -> None:
        """Something was stored past the intake: whoever decides or reads values back looks at once."""
        for waiting in (self.arrived, *self._incomplete):
            waiting.set()

    def run(self, stop: threading.Event) -> None:
        """Writes until ``stop``; what is queued then is still written."""
        while not (stop.is_set() and self._waiting.empty()):
            self._between()
            try:
                first = self._waiting.get(timeout=0.1)
            except queue.Empty:
                continue
            stop.wait(GATHER_SECONDS)
            self._commit(self._drain(first))
        with self._door:
            self._ended = "the daemon is stopping"
        while not self._waiting.empty():
            self._commit(self._drain(self._waiting.get_nowait()))

    def _between(self) -> None:
        """Before each look into the queue; for an intake that has a connection to look after."""

    def _drain(self, first: _Delivery) -> list[_Delivery]:
        deliveries, events = [first], len(first.events)
        while events < COMMIT_EVENTS:
            try:
                deliveries.append(self._waiting.get_nowait())
            except queue.Empty:
                break
            events += len(deliveries[-1].events)
        return deliveries

    def _commit(self, deliveries: list[_Delivery]) -> None:
        def write(conn: Connection) -> tuple[list[Unreadable], list[int]]:
            now = self._clock()
            unread = self._new_unread(conn, deliveries)
            new = [journal.accept(conn, delivery.events, now) for delivery in deliveries]
            for delivery in deliveries:
                if delivery.position:
                    journal.set_position(conn, *delivery.position, now)
            return unread, new

        try:
            unread, new = self._ledger.repeated(write)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits must hear of it
            self._failed(deliveries, error)
            return
        self._tell(deliveries, sum(new), unread)
        for delivery, n in zip(deliveries, new, strict=True):
            _answer(delivery, n)

    def _failed(self, deliveries: list[_Delivery], error: Exception) -> None:
        """Nothing was written. It may be the fault of one delivery: then the others must not suffer for it."""
        if len(deliveries) > 1 and not is_lost(error):
            for delivery in deliveries:
                self._commit([delivery])
            return
        # Not the whole of an SQL error: it shows the row, and with it the person.
        why = getattr(error, "orig", None) if isinstance(error, SQLAlchemyError) else type(error).__name__
        reason = f"the ledger could not write: {why or type(error).__name__}"
        log.error("nothing was accepted", events=sum(len(one.events) for one in deliveries), error=reason)
        for delivery in deliveries:
            _answer(delivery, IntakeClosed(reason))

    @staticmethod
    def _new_unread(conn: Connection, deliveries: list[_Delivery]) -> list[Unreadable]:
        """What cannot be read and is not parked already: a sender that is not answered in time sends it again."""
        found = {e.event_id: e for delivery in deliveries for e in delivery.events if isinstance(e, Unreadable)}
        if not found:
            return []
        known = journal.known(conn, list(found))
        return [event for event_id, event in found.items() if event_id not in known]

    def _tell(self, deliveries: list[_Delivery], new: int, unread: list[Unreadable]) -> None:
        if new:
            self.arrived.set()
            self._feed.tell("accepted", new)
        if any(
            isinstance(event, ChangeEvent) and not event.complete
            for delivery in deliveries
            for event in delivery.events
        ):
            for wake in self._incomplete:
                wake.set()
        for event in unread:
            log.warning("an event could not be read and is parked", event_id=event.event_id, reason=event.error)
            self._feed.tell("parked", 1, event.error)
        if unread:
            self._feed.tell("settled", len(unread))


def _answer(delivery: _Delivery, answer: int | IntakeClosed) -> None:
    """Tells whoever waits; a web request may have been given up meanwhile, which takes nothing back."""
    if not delivery.done.set_running_or_notify_cancel():
        return
    if isinstance(answer, IntakeClosed):
        delivery.done.set_exception(answer)
    else:
        delivery.done.set_result(answer)
