"""The outbox is bounded: while the CRMs take nothing, what is decided does not pile up without end."""

from __future__ import annotations

import structlog

from routing.ledger import outbox
from routing.ledger.engine import Ledger
from routing.runtime.clock import monotonic
from routing.runtime.feed import Feed

log = structlog.get_logger()

MOST_OWED = 200_000
# The outbox is counted this often; deciding goes on again once it has shrunk to this part of the limit.
COUNT_SECONDS = 1.0
SHRUNK = 0.9


class Bound:
    """Says whether deciding must pause. ``full`` is asked by the thread that decides; the rest may be read by anybody."""

    def __init__(self, ledger: Ledger, feed: Feed, most_owed: int) -> None:
        """``most_owed``: with so many writes in the outbox nothing more is decided until the CRMs have taken some."""
        self._ledger, self._feed, self._most_owed = ledger, feed, most_owed
        self._counted = 0.0
        self.paused = ""  # why nothing is decided at the moment, "" while all is well

    def full(self) -> bool:
        """Whether the CRMs owe us an answer to more writes than the outbox may hold. Raises SQLAlchemyError."""
        now = monotonic()
        if now - self._counted < COUNT_SECONDS:
            return bool(self.paused)
        with self._ledger.read() as conn:
            owed = outbox.count(conn, outbox.OPEN)
        self._counted = now
        if owed >= self._most_owed and not self.paused:
            self.paused = (
                f"{owed} writes wait for the CRMs, and {self._most_owed} are the most that may: nothing is decided until "
                "they took some. What comes in is accepted and waits"
            )
            log.error("deciding pauses", owed=owed, most=self._most_owed)
            self._feed.tell("paused", 1, self.paused)
        elif self.paused and owed <= SHRUNK * self._most_owed:
            self.paused = ""
            log.info("deciding goes on", owed=owed)
        return bool(self.paused)
