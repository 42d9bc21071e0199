"""The door of a gateway: what comes in is written to the topic of changes instead of the ledger's journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog
from sqlalchemy.exc import SQLAlchemyError

from routing.core.model import ChangeEvent, Unreadable
from routing.ledger import journal
from routing.ledger.engine import Ledger
from routing.ledger.schema import to_ms
from routing.runtime.clock import Clock, monotonic
from routing.runtime.feed import Feed
from routing.runtime.intake import Intake, IntakeClosed, _answer, _Delivery
from routing.runtime.kafka.messages import TooLarge, encode, ref_of_event, too_large
from routing.runtime.kafka.sender import Outgoing, Sender, TooLargeForTopic
from routing.runtime.kafka.settings import KafkaSettings, KafkaUnwell

log = structlog.get_logger()

AGAIN_SECONDS = 1.0
_CONNECTING = "Kafka is being connected to"


class KafkaIntake(Intake):
    """An Intake whose log is Kafka. A delivery is answered once every event of it is on all in-sync replicas, and the position of
    its source is in the ledger; the number in the answer is that of its events (which of them are new only the workers know).

    While Kafka cannot be reached nothing is accepted; it is asked once a second, and the door opens again by itself. A delivery
    that failed may be in the log nevertheless: it comes again, and the workers know its events by their ids. A source waits for
    its answer before it brings more.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        ledger: Ledger,
        clock: Clock,
        feed: Feed,
        closing: Callable[[], str] = lambda: "",
    ) -> None:
        """The ledger is only used for positions: webhooks are accepted without it. Raises KafkaMisconfigured."""
        super().__init__(ledger, clock, feed, closing)
        self._sender = Sender(settings, settings.changes_topic)
        self._unwell = _CONNECTING
        self._connect_at = 0.0

    @property
    def closed(self) -> str:
        """Why nothing is accepted at the moment, "" while all is well."""
        return super().closed or self._unwell

    def _between(self) -> None:
        """Connects when it is time to."""
        if self._sender.connected or monotonic() < self._connect_at:
            return
        try:
            self._sender.connect()
        except KafkaUnwell as unwell:
            self._close_door(str(unwell))
            self._connect_at = monotonic() + AGAIN_SECONDS
            return
        log.info("the log can be written", topic=self._sender.topic)
        self._unwell = ""

    def _close_door(self, why: str) -> None:
        if self._unwell in ("", _CONNECTING):
            log.error("the log cannot be written; nothing is accepted until it can", why=why)
        self._unwell = why

    def _commit(self, deliveries: list[_Delivery]) -> None:
        try:
            failures = self._write([event for delivery in deliveries for event in delivery.events])
        except Exception as error:
            if len(deliveries) > 1:  # it may be the fault of one: then the others must not suffer for it
                for delivery in deliveries:
                    self._commit([delivery])
                return
            log.exception("a delivery could not be written")
            failures = [error] * max(1, len(deliveries[0].events))
        start, refused = 0, set()
        for delivery in deliveries:
            end = start + len(delivery.events)
            stream = delivery.position and delivery.position[:2]
            failed = next((failure for failure in failures[start:end] if failure), None)
            if failed is None and stream in refused:
                failed = KafkaUnwell("what came before it was not taken")  # its position would skip that
            start = end
            answer = self._conclude(delivery, failed)
            if stream and isinstance(answer, IntakeClosed):
                refused.add(stream)
            _answer(delivery, answer)

    def _write(self, events: Sequence[ChangeEvent | Unreadable]) -> list[Exception | None]:
        """Writes events; what is too large is replaced by a notice. One answer an event."""
        accepted_ms = to_ms(self._clock())
        answers = self._sender.write([_outgoing(event, accepted_ms) for event in events])
        large = [n for n, answer in enumerate(answers) if isinstance(answer, TooLargeForTopic)]
        if large:
            notices = [too_large(events[n], str(answers[n])) for n in large]
            again = self._sender.write([_outgoing(notice, accepted_ms) for notice in notices])
            for n, answer in zip(large, again, strict=True):
                answers[n] = answer
        if not self._sender.connected:
            why = next(
                (str(answer) for answer in answers if isinstance(answer, KafkaUnwell)), "Kafka cannot be reached"
            )
            self._close_door(why)
        return answers

    def _conclude(self, delivery: _Delivery, failed: Exception | None) -> int | IntakeClosed:
        """The answer to a delivery. Its position is stored only now that all of it is safe."""
        if failed is not None:
            return IntakeClosed(str(failed) if isinstance(failed, KafkaUnwell) else type(failed).__name__)
        why = self._store(delivery.position) if delivery.position else ""
        if why:
            return IntakeClosed(why)
        if delivery.events:
            self._feed.tell("accepted", len(delivery.events))
        if any(isinstance(event, ChangeEvent) and not event.complete for event in delivery.events):
            for wake in self._incomplete:
                wake.set()
        return len(delivery.events)

    def _store(self, position: tuple[str, str, bytes]) -> str:
        """Why the position could not be stored, "" once it is."""
        try:
            with self._ledger.write() as conn:
                journal.set_position(conn, *position, self._clock())
        except SQLAlchemyError as error:
            # Not the whole of an SQL error: it shows what was to be written.
            why = f"the ledger could not write the position: {getattr(error, 'orig', None) or type(error).__name__}"
        else:
            return ""
        log.error("nothing was accepted", system=position[0], stream=position[1], error=why)
        return why

    def run(self, stop: threading.Event) -> None:
        """Writes until ``stop``; what is queued then is still written."""
        try:
            super().run(stop)
        finally:
            self._sender.close()


def _outgoing(event: ChangeEvent | Unreadable, accepted_ms: int) -> Outgoing:
    try:
        value = encode(event, accepted_ms)
    except TooLarge as large:
        log.warning("an event is too large for the log", event_id=event.event_id, why=str(large))
        value = encode(too_large(event, str(large)), accepted_ms)
    return Outgoing(ref_of_event(event), value)
