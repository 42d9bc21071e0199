"""What a process has to do, and what is not well: for ``/healthz``, ``/metrics`` and the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from connectors.patience import Trouble
from routing.bootstrap.reading import System
from routing.ledger import announcements, journal, outbox, timers
from routing.ledger.engine import Ledger, is_lost
from routing.runtime import filling
from routing.runtime.bound import Bound
from routing.runtime.clock import Clock
from routing.runtime.ledger_watch import LedgerWatch
from routing.runtime.metrics import Metrics

T = TypeVar("T")
_COUNTED = ("events", "writes", "announcements", "parked_events", "parked_writes", "timers", "timer_late_seconds")


class Health:
    """Asks the ledger and the systems; of a ledger that is lost it tells what was known last."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        systems: Mapping[str, System],
        metrics: Metrics,
        watch: LedgerWatch,
        bound: Bound,
    ) -> None:
        self._ledger, self._clock, self._systems = ledger, clock, systems
        self._metrics, self._watch, self._bound = metrics, watch, bound
        self._backlog = dict.fromkeys(_COUNTED, 0)
        self._unfilled: dict[str, str] | None = None

    def backlog(self) -> dict[str, int]:
        """Events not settled, writes not ended, timers waiting."""
        self._backlog = self._known(self._count, self._backlog)
        return self._backlog

    def filling(self) -> dict[str, str]:
        """The systems whose first fill is not done, and how far each is."""
        if self._unfilled != {}:
            self._unfilled = self._known(self._left_to_fill, self._unfilled)
        return self._unfilled or {}

    def told(self) -> dict[str, object]:
        """The part of ``/healthz`` that is found by asking; ``/metrics`` is brought up to date by it."""
        backlog, troubles = self.backlog(), self._troubles()
        not_read = {name: system.not_read() for name, system in self._systems.items()}
        self._measure(backlog, troubles, not_read)
        lost = self._watch.since
        return {
            "filling": self.filling(),
            "crms_wait": [one.told() for one in troubles],
            "ledger_lost_since": None if lost is None else lost.isoformat(timespec="seconds"),
            "ledger_lost_why": self._watch.why,
            "paused": self._bound.paused,
            "not_read": {name: why for name, why in not_read.items() if why},
            "backlog": backlog,
        }

    def _known(self, ask: Callable[[], T], before: T) -> T:
        if self._watch.since is None:
            try:
                return ask()
            except SQLAlchemyError as error:
                if not is_lost(error):
                    raise
        return before

    def _left_to_fill(self) -> dict[str, str] | None:
        with self._ledger.read() as conn:
            return filling.unfilled(conn, self._systems)

    def _count(self) -> dict[str, int]:
        with self._ledger.read() as conn:
            counts = (
                journal.count(conn, journal.OPEN),
                outbox.count(conn, outbox.OPEN),
                announcements.count(conn),
                journal.count(conn, ("parked",)),
                outbox.count(conn, ("parked",)),
                timers.count(conn),
                round(timers.late(conn, self._clock())),
            )
        return dict(zip(_COUNTED, counts, strict=True))

    def _troubles(self) -> list[Trouble]:
        """What the CRMs keep us waiting with."""
        look = self._watch.since is None
        found = [hold.trouble(look=look) for system in self._systems.values() for hold in system.holds]
        return [one for one in found if one is not None]

    def _measure(
        self, backlog: Mapping[str, int], troubles: Sequence[Trouble], not_read: Mapping[str, Mapping[str, str]]
    ) -> None:
        now, metrics, lost = self._clock(), self._metrics, self._watch.since
        metrics.backlog.set(backlog["events"])
        metrics.outbox.set(backlog["writes"])
        metrics.deciding_paused.set(1 if self._bound.paused else 0)
        metrics.announcements.set(backlog["announcements"])
        metrics.timer_late.set(backlog["timer_late_seconds"])
        metrics.ledger_lost.set((now - lost).total_seconds() if lost else 0)
        metrics.waits(troubles, now)
        for name, system in self._systems.items():
            metrics.not_read.labels(name).set(len(not_read[name]))
            calls = system.calls_today()
            if calls is not None:
                metrics.calls(name, calls, now)
