"""The daemon: every part of Fingerpost, wired, started in order and stopped in order."""

from __future__ import annotations

import fcntl
import gc
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import structlog
from sqlalchemy.engine import make_url
from tenacity import Retrying, retry_if_exception_type, stop_when_event_set
from tenacity.nap import sleep_using_event

from connectors.contract import Connection, Source, Webhook
from connectors.errors import ConnectorError
from routing.core.model import ChangeEvent, Unreadable
from routing.core.places import country
from routing.delivery.courier import GRACE_MS, Courier
from routing.delivery.retrying import wait_as_asked
from routing.ledger import journal, outbox, timers
from routing.ledger.engine import Ledger, LedgerError
from routing.runtime.backfill import PEOPLE_SECONDS, Backfill, watch_from
from routing.runtime.breaker import Breaker
from routing.runtime.clock import Clock, utcnow
from routing.runtime.completer import Completer
from routing.runtime.feed import Feed
from routing.runtime.intake import Intake, IntakeClosed
from routing.runtime.loop import Loop
from routing.runtime.metrics import Metrics
from routing.runtime.policies import Policies
from routing.runtime.services import Services

log = structlog.get_logger()

TIMER_SECONDS = 0.5
SOURCE_SECONDS = 0.25  # before a source that had worked is started again


class System:
    """One configured CRM: its connection, and how its changes reach us."""

    def __init__(
        self, connection: Connection, sources: Sequence[Source] = (), webhooks: Sequence[Webhook] = ()
    ) -> None:
        self.connection, self.sources, self.webhooks = connection, sources, webhooks
        self.name = connection.system


class Daemon:
    """The embedded runtime: every part of Fingerpost in one process, on one ledger."""

    def __init__(
        self,
        ledger_url: str,
        policy_folder: Path,
        systems: Callable[[Policies], Sequence[System]],
        clock: Clock = utcnow,
    ) -> None:
        """Opens the ledger and compiles the policy; nothing runs yet.

        ``systems`` makes the connections, given the policies whose field maps they use. Raises LedgerError, PolicyError,
        PolicyFolderError.
        """
        self.clock = clock
        self.feed, self.metrics, self.services = Feed(), Metrics(), Services()
        self.feed.watch(self.metrics.watch)
        self.ledger = Ledger(ledger_url)
        self._lock = _only_one(self.ledger)
        self.ledger.upgrade()
        self.policies = Policies(policy_folder, self.ledger, clock, self.feed)
        self.breaker = Breaker(self.feed)
        self.intake = Intake(self.ledger, clock, self.feed, self.breaker.why)
        self.systems = {system.name: system for system in systems(self.policies)}
        self.loop = Loop(self.ledger, self.policies, clock, self.feed)
        self.ready = threading.Event()
        self.owing = {name: threading.Event() for name in self.systems}

    @property
    def webhooks(self) -> list[Webhook]:
        """All webhooks, for the web server."""
        return [webhook for system in self.systems.values() for webhook in system.webhooks]

    def start(self) -> None:
        """Starts everything and returns; ``ready`` is set once the mirror is filled and events are being decided."""
        with self.ledger.write() as conn:
            doubtful = outbox.recover(conn, self.clock(), GRACE_MS)
        if doubtful:
            log.warning("writes were on their way when the last process ended; they are checked first", writes=doubtful)
        for name in self.systems:
            watch_from(self.ledger, name, self.clock())
        self.services.start("intake", "intake", self.intake.run)
        self.services.start("deciding", "policy watcher", self.policies.run)
        for system in self.systems.values():
            for source in system.sources:
                self.services.start("sources", f"{system.name} source", self._follow(source))
        self.services.start("deciding", "start-up", self._open)

    def _open(self, stop: threading.Event) -> None:
        """Waits until every source stands, fills the mirror, then starts deciding and delivering."""
        for system in self.systems.values():
            self._await_positions(system, stop)
            try:
                self._backfill(system).once(stop)
            except ConnectorError:
                if stop.is_set():
                    return  # asked to stop while the CRM was unwell: it is read at the next start
                raise
        if stop.is_set():
            return
        _warm_up()
        start = self.services.start
        for name, system in self.systems.items():
            start("deciding", f"{name} completer", self._complete(system))
        start("deciding", "loop", lambda s: self.loop.run(self.intake, self._tell_couriers, s))
        start("deciding", "timers", self._run_timers)
        start("deciding", "people", self._renew_people)
        for name, system in self.systems.items():
            courier = Courier(system.connection, self.ledger, self.clock, self.feed)
            start("delivery", f"{name} courier", _courier_run(courier, self.owing[name]))
        self.ready.set()
        log.info("ready", systems=sorted(self.systems))

    def _backfill(self, system: System) -> Backfill:
        return Backfill(system.connection, self.ledger, self.policies, self.clock, self.feed, self.loop.forget_people)

    def _complete(self, system: System) -> Callable[[threading.Event], None]:
        completer = Completer(
            self.ledger,
            self.clock,
            self.feed,
            system.connection,
            [source.reread for source in system.sources] + [webhook.reread for webhook in system.webhooks],
            lambda: self.policies.maps(system.name),
            self._backfill(system),
        )
        return lambda stop: completer.run(self.intake, stop)

    def _tell_couriers(self) -> None:
        for event in self.owing.values():
            event.set()

    def _await_positions(self, system: System, stop: threading.Event) -> None:
        """A snapshot taken before the stream stands would miss what changed in between."""
        for source in system.sources:
            while not stop.is_set():
                with self.ledger.read() as conn:
                    if journal.get_position(conn, source.system, source.stream) is not None:
                        break
                stop.wait(0.05)

    def _follow(self, source: Source) -> Callable[[threading.Event], None]:
        worked = False

        def accept(events: Sequence[ChangeEvent | Unreadable], position: bytes | None) -> None:
            nonlocal worked
            self.intake.accept(events, (source.system, source.stream, position) if position is not None else None)
            worked = True

        def follow() -> None:
            nonlocal worked
            worked = False
            with self.ledger.read() as conn:
                position = journal.get_position(conn, source.system, source.stream)
            try:
                source.run(position, accept, stop)
            except (ConnectorError, IntakeClosed) as error:
                if not worked:
                    raise
                self._source_waits(source, error)

        stop = self.services.stop_event("sources")

        def run(_stop: threading.Event) -> None:
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
                again(follow)
                if not worked:
                    return  # asked to stop, or it came to its end

        return run

    def _source_waits(self, source: Source, error: BaseException | None) -> None:
        log.error("a source stopped and will be started again", system=source.system, error=str(error))
        self.feed.tell("paused", 1, f"{source.system} source: {error}")

    def _run_timers(self, stop: threading.Event) -> None:
        while not stop.wait(TIMER_SECONDS):
            with self.ledger.read() as conn:
                if not timers.due(conn, self.clock()):
                    continue
            with self.ledger.write() as conn:
                fired = timers.fire(conn, self.clock())
            if fired:
                self.feed.tell("accepted", fired)
                self.intake.arrived.set()

    def _renew_people(self, stop: threading.Event) -> None:
        while not stop.wait(PEOPLE_SECONDS):
            for system in self.systems.values():
                try:
                    self._backfill(system).people()
                except ConnectorError as error:
                    log.warning("people could not be read again", system=system.name, error=str(error))

    def backlog(self) -> dict[str, int]:
        """Events not settled, writes not ended, timers waiting."""
        with self.ledger.read() as conn:
            return {
                "events": journal.count(conn, journal.OPEN),
                "writes": outbox.count(conn, outbox.OPEN),
                "parked_events": journal.count(conn, ("parked",)),
                "parked_writes": outbox.count(conn, ("parked",)),
                "timers": timers.count(conn),
            }

    def health(self) -> Mapping[str, object]:
        """What ``/healthz`` shows."""
        backlog = self.backlog()
        self.metrics.backlog.set(backlog["events"])
        self.metrics.outbox.set(backlog["writes"])
        closed = self.intake.closed
        return {
            "ok": self.ready.is_set() and not self.services.failed.is_set() and not closed,
            "ready": self.ready.is_set(),
            "failure": self.services.failure,
            "intake_closed": closed,
            "policy": self.policies.current.digest,
            "policy_refused": self.policies.refused,
            "backlog": backlog,
        }

    def stop(self) -> list[str]:
        """Stops taking events, finishes the batches at hand, closes. Returns the parts that did not end in time."""
        late = self.services.stop("sources")
        late += self.services.stop("web")
        late += self.services.stop("deciding")
        late += self.services.stop("delivery")
        late += self.services.stop("intake")
        for system in self.systems.values():
            system.connection.close()
        self.ledger.close()
        if self._lock is not None:
            self._lock.close()
        return late


def _warm_up() -> None:
    """What the first lead would otherwise wait for, and the garbage collector told what stays for good."""
    country("Deutschland")  # names of countries in other languages are loaded on first use: 0.3 s
    gc.collect()
    gc.freeze()
    # Events leave few cycles behind; looking for them at Python's usual pace costs an eighth of all time.
    gc.set_threshold(50_000, 20, 50)


def _courier_run(courier: Courier, owing: threading.Event) -> Callable[[threading.Event], None]:
    return lambda stop: courier.run(owing, stop)


def _only_one(ledger: Ledger) -> IO[str] | None:
    """Two daemons on one SQLite ledger would both deliver: the second refuses to start."""
    if not ledger.is_sqlite:
        return None
    path = f"{make_url(ledger.url).database}.lock"
    lock = open(path, "w")  # noqa: SIM115 - held open, and so locked, for the life of the process
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise LedgerError(
            f"Another daemon is already working on this ledger ({path} is locked). Stop it first."
        ) from None
    return lock
