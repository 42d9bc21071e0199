"""What a ledger needs while it is worked on: its write-ahead log copied back, and old evidence let go."""

from __future__ import annotations

import threading
from datetime import timedelta

import structlog

from routing.ledger import evidence
from routing.ledger.engine import Ledger
from routing.runtime.clock import Clock, monotonic

log = structlog.get_logger()

# A little over a year, so that last year's season can be decided again.
EVIDENCE_DAYS = 400.0
CHECKPOINT_SECONDS = 0.2
SWEEP_SECONDS = 3600.0


class Housekeeping:
    """One thread of a process that decides. Any number may run on one ledger."""

    def __init__(self, ledger: Ledger, clock: Clock, keep_evidence_days: float) -> None:
        """``keep_evidence_days``: for how long decisions can be made again; 0: for ever."""
        self._ledger, self._clock, self._days = ledger, clock, keep_evidence_days
        self._swept: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Works until ``stop``. Raises SQLAlchemyError when the ledger fails; may be called again then."""
        while not stop.wait(CHECKPOINT_SECONDS):
            self._ledger.checkpoint()
            if self._days and (self._swept is None or monotonic() - self._swept > SWEEP_SECONDS):
                self.sweep(stop)
                self._swept = monotonic()

    def sweep(self, stop: threading.Event) -> int:
        """Forgets what is older than it is to be kept, a page a transaction. Returns of how many decisions."""
        before = self._clock() - timedelta(days=self._days)
        forgotten = 0
        while not stop.is_set():
            with self._ledger.write() as conn:
                page = evidence.forget(conn, before)
            if not page:
                break
            forgotten += page
        if forgotten:
            log.info("old evidence is forgotten", decisions=forgotten, older_than_days=self._days)
        return forgotten
