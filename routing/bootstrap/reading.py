"""Bringing one system's changes in: its streams, the first fill of the mirror, what must be read back, its people.

Only one process at a time does this for a system; webhooks come in at any.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_when_event_set
from tenacity.nap import sleep_using_event

from connectors.contract import Asking, CallsToday, Connection, Source, Tally, Webhook
from connectors.errors import ConnectorError
from connectors.patience import Hold
from routing.core.model import ChangeEvent, Unreadable
from routing.delivery.retrying import wait_as_asked
from routing.ledger import journal
from routing.ledger.engine import Ledger
from routing.ledger.seats import Seat, seated
from routing.runtime.backfill import PEOPLE_SECONDS, Backfill, watch_from
from routing.runtime.clock import Clock
from routing.runtime.completer import LOOK_SECONDS, Completer
from routing.runtime.feed import Feed
from routing.runtime.intake import Intake, IntakeClosed
from routing.runtime.policies import Policies
from routing.runtime.services import Run, Services

log = structlog.get_logger()

SOURCE_SECONDS = 0.25  # before a source that had worked is started again
SEAT_SECONDS = 1.0  # how often a seat is asked for, and whether it is still ours


class System:
    """One configured CRM: its connection, and how its changes reach us."""

    def __init__(
        self,
        connection: Connection,
        sources: Sequence[Source] = (),
        webhooks: Sequence[Webhook] = (),
        tally: Tally | None = None,
        calls_today: Callable[[], CallsToday | None] = lambda: None,
        holds: Sequence[Hold] = (),
    ) -> None:
        """``tally``: its count of calls, where several processes share a limit that it does not keep for them. ``calls_today`` is what
        it last told of the day's. ``holds``: what it was asked to wait with, to be known to all processes."""
        self.holds = holds
        self.calls_today = calls_today
        self.connection, self.sources, self.webhooks, self.tally = connection, sources, webhooks, tally
        self.name = connection.system
        self.down: dict[str, str] = {}  # the sources that do not run, by stream, and why

    def not_read(self) -> dict[str, str]:
        """The sources that are down, and the kinds of records that one is refused, each with why."""
        asides = [source.aside.why for source in self.sources if isinstance(source, Asking)]
        return {**self.down, **{entity: why for aside in asides for entity, why in aside.items()}}


class Reading:
    """The parts that read one system; each is run in a thread of its own."""

    def __init__(
        self,
        system: System,
        ledger: Ledger,
        policies: Policies,
        clock: Clock,
        feed: Feed,
        intake: Intake,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """``look_seconds``: how often the completer looks, where what it is to complete is written down by other processes."""
        self.system, self.name = system, system.name
        self._ledger, self._policies, self._clock, self._feed = ledger, policies, clock, feed
        self._intake, self._look_seconds = intake, look_seconds
        self._backfill = Backfill(system.connection, ledger, policies, clock, feed)
        self.sources: dict[str, Run] = {_named(source): self._follow(source) for source in system.sources}

    def watch(self) -> None:
        """Remembers from when on the system is listened to; before its sources are started."""
        watch_from(self._ledger, self.name, self._clock())

    def open(self, stop: threading.Event) -> bool:
        """Waits until every source stands, then fills the mirror unless that was done. False when stopped meanwhile."""
        self._await_positions(stop)
        try:
            self._backfill.once(stop)
        except ConnectorError:
            if not stop.is_set():
                raise
            # Asked to stop while the CRM was unwell: it is read at the next start.
        return not stop.is_set()

    def complete(self, stop: threading.Event) -> None:
        """Reads back what came without values, and fills gaps, until ``stop``."""
        completer = Completer(
            self._ledger,
            self._clock,
            self._feed,
            self.system.connection,
            [source.reread for source in self.system.sources] + [webhook.reread for webhook in self.system.webhooks],
            lambda: self._policies.maps(self.name),
            self._backfill,
            self._look_seconds,
        )
        completer.run(self._intake, stop)

    def renew_people(self, stop: threading.Event) -> None:
        """Reads the system's people again from time to time until ``stop``."""
        while not stop.wait(PEOPLE_SECONDS):
            try:
                self._backfill.people()
            except ConnectorError as error:
                log.warning("people could not be read again", system=self.name, error=str(error))

    def _await_positions(self, stop: threading.Event) -> None:
        """A snapshot taken before the stream stands would miss what changed in between."""
        for source in self.system.sources:
            while not stop.is_set():
                with self._ledger.read() as conn:
                    if journal.get_position(conn, source.system, source.stream) is not None:
                        break
                stop.wait(0.05)

    def _follow(self, source: Source) -> Run:
        worked = False

        def accept(events: Sequence[ChangeEvent | Unreadable], position: bytes | None) -> None:
            nonlocal worked
            self.system.down.pop(source.stream, None)
            self._intake.accept(events, (source.system, source.stream, position) if position is not None else None)
            worked = True

        def follow(stop: threading.Event) -> None:
            nonlocal worked
            worked = False
            with self._ledger.read() as conn:
                position = journal.get_position(conn, source.system, source.stream)
            try:
                source.run(position, accept, stop)
            except (ConnectorError, IntakeClosed) as error:
                if not worked:
                    raise
                self._source_waits(source, error)

        def run(stop: threading.Event) -> None:
            # Returns where a source stopped that had worked: the waits begin anew.
            while not stop.wait(SOURCE_SECONDS if worked else 0):
                again = Retrying(
                    retry=retry_if_exception_type((ConnectorError, IntakeClosed)),
                    wait=wait_as_asked,
                    stop=stop_when_event_set(stop),
                    sleep=sleep_using_event(stop),
                    before_sleep=lambda state: self._source_waits(
                        source, state.outcome.exception() if state.outcome else None
                    ),
                    retry_error_callback=lambda _state: None,
                )
                again(follow, stop)
                if not worked:
                    return  # asked to stop, or it came to its end

        return run

    def _source_waits(self, source: Source, error: BaseException | None) -> None:
        self.system.down[source.stream] = str(error)
        log.error("a source stopped and will be started again", system=self.name, error=str(error))
        self._feed.tell("paused", 1, f"{self.name} source: {error}")


def _named(source: Source) -> str:
    """The service that runs a source; the stream tells several of one system apart."""
    return f"{source.system} source {source.stream.removeprefix(source.system).strip(':/')}".strip()


class Tenure:
    """Reads a system for as long as this process has its seat ``reader:<system>``, of all processes that would."""

    def __init__(self, reading: Reading, ledger: Ledger, services: Services) -> None:
        self._reading, self._ledger, self._services = reading, ledger, services
        self._number = 0
        self.seated = False

    def run(self, stop: threading.Event) -> None:
        """Waits for the seat, reads while it is ours, and waits for it again, until ``stop``."""
        while not stop.is_set():
            with seated(self._ledger, f"reader:{self._reading.name}", stop, SEAT_SECONDS) as seat:
                if seat is not None:
                    self._read(seat, stop)

    def _read(self, seat: Seat, stop: threading.Event) -> None:
        reading = self._reading
        log.info("this process reads the system now", system=reading.name)
        reading.watch()
        self._number += 1
        group = f"{reading.name} reader {self._number}"
        self.seated = True
        try:
            for name, run in reading.sources.items():
                self._services.start(group, name, run)
            self._services.start(group, f"{reading.name} start-up", lambda s: self._open(group, s))
            while not stop.wait(SEAT_SECONDS) and seat.held():
                pass
        finally:
            self.seated = False
            late = self._services.stop(group)
        if not stop.is_set():
            log.warning("this process lost its seat; another one reads the system", system=reading.name, late=late)

    def _open(self, group: str, stop: threading.Event) -> None:
        reading = self._reading
        if reading.open(stop):
            self._services.start(group, f"{reading.name} completer", reading.complete)
            self._services.start(group, f"{reading.name} people", reading.renew_people)
