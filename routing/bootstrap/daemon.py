"""The daemon: every part of Fingerpost in one process, wired, started in order and stopped in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import structlog

from routing.bootstrap.process import Process, warm_up
from routing.bootstrap.reading import Reading, System
from routing.delivery.keeping import GRACE_MS
from routing.ledger import outbox, shares
from routing.runtime.bound import MOST_OWED
from routing.runtime.breaker import Breaker
from routing.runtime.clock import Clock, utcnow
from routing.runtime.housekeeping import EVIDENCE_DAYS
from routing.runtime.intake import Intake
from routing.runtime.loop import Loop
from routing.runtime.policies import Policies
from routing.runtime.services import PATIENCE_SECONDS

log = structlog.get_logger()


class Daemon(Process):
    """The embedded runtime: the ledger's own journal is the log."""

    intake: Intake

    def __init__(
        self,
        ledger_url: str,
        policy_folder: Path,
        systems: Callable[[Policies], Sequence[System]],
        clock: Clock = utcnow,
        patience: float = PATIENCE_SECONDS,
        keep_evidence_days: float = EVIDENCE_DAYS,
        most_owed: int = MOST_OWED,
    ) -> None:
        """As ``Process``."""
        super().__init__(
            ledger_url,
            policy_folder,
            systems,
            clock,
            alone=True,
            patience=patience,
            keep_evidence_days=keep_evidence_days,
            most_owed=most_owed,
        )
        self.breaker = Breaker(self.feed)
        self.intake = Intake(self.ledger, clock, self.feed, self.breaker.why)
        self.loop = Loop(self.ledger, self.policies, clock, self.feed)
        self._readings = [self._reading(system) for system in self.systems.values()]
        self._opening_lock, self._closed = threading.Lock(), set(self.systems)

    def _reading(self, system: System) -> Reading:
        return Reading(system, self.ledger, self.policies, self.clock, self.feed, self.intake)

    def start(self) -> None:
        """Starts everything and returns; ``ready`` is set once the mirror is filled and events are being decided."""
        with self.ledger.write() as conn:
            doubtful = outbox.recover(conn, self.clock(), GRACE_MS)
            if shares.followed(conn):
                log.warning(
                    "this ledger worked with Kafka before; what waits there is not decided here",
                    advice="`fingerpost topics check` with the settings of that time says whether anything does",
                )
        if doubtful:
            log.warning("writes were on their way when the last process ended; they are checked first", writes=doubtful)
        for reading in self._readings:
            reading.watch()
        self.keep_place()
        self.keep_tallies()
        self.services.start("intake", "intake", self.intake.run)
        self.services.start("deciding", "policy watcher", self.policies.run)
        for reading in self._readings:
            for name, run in reading.sources.items():
                self.services.start("sources", name, run)
        self.waits_for = "the CRMs: each one's changes are subscribed to, then what it holds is read"
        for reading in self._readings:
            self.services.start("deciding", f"{reading.name} start-up", partial(self._open, reading))
        if not self._readings:
            self._begin()

    def _open(self, reading: Reading, stop: threading.Event) -> None:
        """Waits until the system's sources stand, and fills the mirror with what it holds; all systems at the same time. Once all are
        read, deciding and delivering begin: before, a lead would not meet the one that the same person is in the other system."""
        if not reading.open(stop):
            return
        with self._opening_lock:
            self._closed.discard(reading.name)
            if not self._closed and not self.ready.is_set():
                self._begin()

    def _begin(self) -> None:
        self.waits_for = ""
        warm_up()
        start = self.services.start
        for reading in self._readings:
            start("deciding", f"{reading.name} completer", reading.complete)
            start("deciding", f"{reading.name} people", reading.renew_people)
        start("deciding", "loop", lambda s: self.loop.run(self.intake, self.tell_couriers, s, self.bound.full))
        start("deciding", "timers", self.run_timers)
        start("deciding", "housekeeping", self.housekeeping.run)
        self.start_couriers()
        self.ready.set()
        log.info("ready", systems=sorted(self.systems))
