"""Notices that the ledger cannot be written, and asks it until it can again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

import structlog
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from routing.ledger.engine import Ledger, is_lost, reason
from routing.runtime.clock import Clock
from routing.runtime.feed import Feed

log = structlog.get_logger()

LOOK_SECONDS = 0.1
_growing = wait_random_exponential(multiplier=0.1, max=3)


class LedgerWatch:
    """Whoever meets a lost ledger says so, in whatever thread; while it is lost one thread tries to write to it."""

    def __init__(
        self, ledger: Ledger, clock: Clock, feed: Feed, patience: float, give_up: Callable[[str], None]
    ) -> None:
        """Hears of every failed transaction of ``ledger`` from now on. ``give_up`` is called after ``patience`` seconds."""
        self._ledger, self._clock, self._feed = ledger, clock, feed
        self._patience, self._give_up = patience, give_up
        self._lock = threading.Lock()
        self._well = threading.Event()
        self._well.set()
        self.since: datetime | None = None  # None while all is well
        self.why = ""
        ledger.on_lost = self.lost

    def lost(self, error: BaseException) -> None:
        """Somebody could not use the ledger. Returns at once."""
        with self._lock:
            if self.since is not None:
                return
            self.since, self.why = self._clock(), reason(error)
            self._well.clear()
        log.error("the ledger is lost; nothing is accepted or decided until it is back", why=self.why)
        self._feed.tell("ledger", 1, f"The ledger is lost: {self.why}")
        threading.Thread(target=self._watch, name="fingerpost-ledger watch", daemon=True).start()

    def _watch(self) -> None:
        since = self.since
        asking = Retrying(
            retry=retry_if_exception(is_lost), wait=_growing, stop=stop_after_delay(self._patience), reraise=True
        )
        try:
            asking(self._ledger.probe)
        except Exception as error:
            log.critical("the ledger stays lost; stopping", why=self.why, exc_info=error)
            self._give_up(f"The ledger was lost at {since:%H:%M:%S} UTC and did not come back: {self.why}")
            return
        with self._lock:
            self.since, self.why = None, ""
            self._well.set()
        log.warning("the ledger is back")
        self._feed.tell("ledger", 1, "The ledger is back.")

    def wait(self, stop: threading.Event) -> bool:
        """Waits until the ledger is well. False when ``stop`` was set first."""
        while not self._well.wait(LOOK_SECONDS):
            if stop.is_set():
                return False
        return not stop.is_set()
