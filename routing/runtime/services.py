"""The daemon's threads: started in groups, stopped in groups, and the death of one is the death of all.

A thread that ends with an error must not leave a daemon that looks alive: everything stops and the process ends with a
non-zero code, so that its supervisor restarts it. What was not settled is still in the ledger.

One failure is waited out first: a ledger that cannot be written for a while (restarted, failed over, read-only, disk full). And a
part whose transaction was broken off because it stood in another's way simply begins anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from tenacity import wait_random_exponential

from connectors.errors import ConnectorError
from routing.ledger.engine import Ledger, is_conflict, is_lost, reason
from routing.runtime.clock import Clock, monotonic, utcnow
from routing.runtime.feed import Feed
from routing.runtime.ledger_watch import LedgerWatch
from routing.runtime.waits import after_tries

log = structlog.get_logger()

Run = Callable[[threading.Event], None]

# How long a lost ledger is waited for before the process ends; a PostgreSQL that fails over is back within a minute or so.
PATIENCE_SECONDS = 120.0
# A part that has run this long was well again, longer than a connection takes to fail.
STEADY_SECONDS = 20.0
_growing = wait_random_exponential(multiplier=0.1, max=5)


class Services:
    """Named threads in groups; each group has a stop event of its own."""

    def __init__(
        self,
        ledger: Ledger | None = None,
        clock: Clock = utcnow,
        feed: Feed | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """With a ``ledger``, a thread that loses it, or that another stood in the way of, is started again for up to ``patience``
        seconds; those in which all wait for the ledger are counted apart."""
        self._threads: dict[str, list[threading.Thread]] = {}
        self._stops: dict[str, threading.Event] = {}
        self._patience = patience
        self.failed = threading.Event()
        self.failure = ""
        # None when nobody watches over a ledger; ``ledger.since`` says since when it is lost.
        self.ledger = None if ledger is None else LedgerWatch(ledger, clock, feed or Feed(), patience, self._fail)

    def stop_event(self, group: str) -> threading.Event:
        """The event that stops a group; shared with helpers that must stop along with it."""
        return self._stops.setdefault(group, threading.Event())

    def start(self, group: str, name: str, run: Run) -> None:
        """Runs ``run(stop)`` in a thread; again when the ledger was lost and is back. ``run`` must bear to be begun anew."""
        stop = self.stop_event(group)

        def guarded() -> None:
            try:
                self._patiently(name, run, stop)
            except BaseException as error:
                told = isinstance(error, ConnectorError)  # for whoever runs it: nothing is wrong with the code
                log.critical(
                    "a part of the daemon failed; stopping", part=name, why=str(error), exc_info=None if told else error
                )
                self._fail(f"{name} failed: {type(error).__name__}: {error}")

        thread = threading.Thread(target=guarded, name=f"fingerpost-{name}", daemon=True)
        self._threads.setdefault(group, []).append(thread)
        thread.start()

    def _patiently(self, name: str, run: Run, stop: threading.Event) -> None:
        tries, first = 0, 0.0
        while True:
            began = monotonic()
            try:
                return run(stop)
            except Exception as error:
                now = monotonic()
                tries = 1 if now - began > STEADY_SECONDS else tries + 1
                first = now if tries == 1 else first
                lost = is_lost(error)
                if self.ledger is None or not (lost or is_conflict(error)) or now - first > self._patience:
                    raise
                if lost:
                    self.ledger.lost(error)
                log.warning("a part of the daemon begins anew, once the ledger is well", part=name, why=reason(error))
            if stop.wait(_growing(after_tries(tries))):
                return
            # While nobody can use the ledger it is the watch that loses patience: another outage soon after begins anew.
            waits = monotonic()
            if not self.ledger.wait(stop):
                return
            first += monotonic() - waits

    def _fail(self, why: str) -> None:
        self.failure = self.failure or why
        self.failed.set()

    def stop(self, group: str, seconds: float = 10.0) -> list[str]:
        """Stops a group and waits up to ``seconds`` for all of it. Returns the names of threads that did not end."""
        self.stop_event(group).set()
        late, give_up = [], monotonic() + seconds
        for thread in self._threads.get(group, []):
            thread.join(max(0.0, give_up - monotonic()))
            if thread.is_alive():
                late.append(thread.name)
        return late
