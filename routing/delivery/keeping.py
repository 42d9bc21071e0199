"""The seat that a courier holds while it works, and what others left under way when theirs fell vacant."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from routing.ledger import outbox
from routing.ledger.engine import Ledger
from routing.ledger.seats import Seat, vacant
from routing.runtime.clock import Clock, monotonic

log = structlog.get_logger()

# How long an effect may still come after the process that sent it died (a request on the wire).
GRACE_MS = 2_000
# How often a courier looks whether others left something behind …
RECOVER_SECONDS = 2.0
# … and how long a seat must have been vacant: who only lost the connection to the ledger is back on it by then.
VACANT_SECONDS = 5.0
KEEP_SECONDS = 1.0


class Keeper:
    """Keeps the seat of one courier to ``system``."""

    def __init__(self, ledger: Ledger, clock: Clock, system: str) -> None:
        self._ledger, self._clock, self._system = ledger, clock, system
        # On SQLite nobody else delivers: what the last process left behind is ours.
        self.seat = Seat(ledger, "courier" if ledger.is_sqlite else f"courier:{uuid4()}")
        self._vacant: dict[str, float] = {}  # seats of others, and since when we have seen them vacant
        self._looked = 0.0

    @contextmanager
    def on_duty(self) -> Iterator[None]:
        """While the courier works: the seat is kept, and left at the end. What an earlier run, that lost the ledger before it could write
        down what became of it, had under way is taken up first."""
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(ended,), name="fingerpost-courier seat", daemon=True)
        keeper.start()
        try:
            self._recover({self.seat.name})
            self._looked = monotonic()
            yield
        finally:
            ended.set()
            keeper.join()
            self.seat.leave()

    def take_over(self) -> None:
        """Every few seconds: what others left behind is owed again."""
        if monotonic() - self._looked >= RECOVER_SECONDS:
            self._looked = monotonic()
            self._recover(self._left_behind())

    def _keep(self, ended: threading.Event) -> None:
        """Takes the seat again when the ledger was away: also during a long call to the CRM nobody must think us dead."""
        while not ended.wait(KEEP_SECONDS):
            try:
                self.seat.take()
            except SQLAlchemyError:
                continue  # the courier itself meets the same, and says so

    def _left_behind(self) -> set[str]:
        """Seats that have been vacant for long enough, with something still claimed from them."""
        with self._ledger.read() as conn:
            others = outbox.couriers(conn, self._system) - {self.seat.name}
            now = monotonic()
            self._vacant = {name: self._vacant.get(name, now) for name in others if vacant(conn, name)}
        wait = 0 if self._ledger.is_sqlite else VACANT_SECONDS
        return {name for name, since in self._vacant.items() if now - since >= wait}

    def _recover(self, seats: Collection[str]) -> None:
        if not seats:
            return
        with self._ledger.write() as conn:
            n = sum(
                outbox.recover(conn, self._clock(), GRACE_MS, self._system, name)
                for name in sorted(seats)
                if name == self.seat.name or vacant(conn, name)
            )
        if n:
            log.warning("writes were on their way when their courier was lost; they are checked first", writes=n)
