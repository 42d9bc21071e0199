"""What every process is made of, whichever role it has: the ledger, the policy, the systems, the threads and their health."""

from __future__ import annotations

import fcntl
import gc
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import structlog
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from connectors.contract import Webhook
from routing.bootstrap.reading import System
from routing.core.places import country
from routing.core.sla.planning import looks
from routing.delivery.courier import Courier
from routing.ledger import journal, match_index, outbox, timers
from routing.ledger.engine import Ledger, LedgerError, is_lost
from routing.runtime import tallies
from routing.runtime.clock import Clock, monotonic, utcnow
from routing.runtime.feed import Feed
from routing.runtime.housekeeping import EVIDENCE_DAYS, Housekeeping
from routing.runtime.intake import Intake
from routing.runtime.metrics import Metrics
from routing.runtime.policies import Policies
from routing.runtime.services import PATIENCE_SECONDS, Services

log = structlog.get_logger()

TIMER_SECONDS = 0.25
# After a start the clocks wait this long, and until no more than this many events wait to be decided: what happened during an
# outage, and may have stopped them, is heard first.
CLOCKS_WAIT_SECONDS = 10.0
BACKLOG = 100
# In this order groups of threads are stopped: nothing more comes in, the batch at hand ends, then the writes.
GROUPS = ("sources", "web", "deciding", "delivery", "intake")


class Process:
    """The parts that all runtimes share. ``start`` of each runtime starts them; ``stop`` ends them in order."""

    def __init__(
        self,
        ledger_url: str,
        policy_folder: Path,
        systems: Callable[[Policies], Sequence[System]],
        clock: Clock = utcnow,
        *,
        alone: bool,
        patience: float = PATIENCE_SECONDS,
        keep_evidence_days: float = EVIDENCE_DAYS,
    ) -> None:
        """Opens the ledger and compiles the policy; nothing runs yet. ``alone``: no other process works on this ledger.
        ``patience``: how many seconds a lost ledger is waited for. ``keep_evidence_days``: for how long decisions can be made again.

        ``systems`` makes the connections, given the policies whose field maps they use. Raises LedgerError, PolicyError,
        PolicyFolderError.
        """
        self.clock = clock
        self.feed, self.metrics = Feed(), Metrics()
        self.feed.watch(self.metrics.watch)
        self.ledger = Ledger(ledger_url)
        self._lock = only_one(self.ledger)
        self.ledger.upgrade()
        match_index.ensure(self.ledger)
        self.services = Services(self.ledger, clock, self.feed, patience)
        self.housekeeping = Housekeeping(self.ledger, clock, keep_evidence_days)
        self.policies = Policies(policy_folder, self.ledger, clock, self.feed, follow=not alone)
        self.systems = {system.name: system for system in systems(self.policies)}
        self.ready = threading.Event()
        self.owing = {name: threading.Event() for name in self.systems}
        counted = ("events", "writes", "parked_events", "parked_writes", "timers", "timer_late_seconds")
        self._backlog = dict.fromkeys(counted, 0)
        self.intake: Intake | None = None

    @property
    def webhooks(self) -> list[Webhook]:
        """The webhooks that this process serves."""
        return [webhook for system in self.systems.values() for webhook in system.webhooks]

    def start(self) -> None:
        """Starts everything and returns; ``ready`` is set once it works."""
        raise NotImplementedError

    # -- what several roles do --------------------------------------------------------------------------------------------

    def tell_couriers(self) -> None:
        """Writes may be owed: the couriers of this process look at once, others soon."""
        for event in self.owing.values():
            event.set()

    def look(self) -> None:
        """Something was stored that may decide what waits: whoever decides in this process looks at once."""
        if self.intake is not None:
            self.intake.wake()

    def keep_tallies(self) -> None:
        """What this process calls counts with what others call, and with what was called before it started."""
        for name, system in self.systems.items():
            if system.tally is not None:
                run = partial(tallies.keep, system.tally, name, self.ledger, self.clock)
                self.services.start("delivery", f"{name} count of calls", run)

    def start_couriers(self) -> None:
        for name, system in self.systems.items():
            courier = Courier(system.connection, self.ledger, self.clock, self.feed)
            self.services.start("delivery", f"{name} courier", _courier_run(courier, self.owing[name]))

    def run_timers(self, stop: threading.Event) -> None:
        """Turns timers that are due into events, until ``stop``. Any number of processes may do so."""
        began, wait = monotonic(), TIMER_SECONDS
        purposes: tuple[str, ...] = (timers.HOLD,)
        while not stop.wait(wait):
            fired, now = 0, self.clock()
            with self.ledger.read() as conn:
                if purposes != timers.PURPOSES and monotonic() - began >= CLOCKS_WAIT_SECONDS:
                    purposes = purposes if journal.at_least(conn, BACKLOG) else timers.PURPOSES
                due = timers.due(conn, now, purposes)
            if due:
                first = looks(self.policies.current, self.systems)
                with self.ledger.write() as conn:
                    fired = timers.fire(conn, now, purposes=purposes, looks=first)
                if fired:
                    self.feed.tell("accepted", fired)
                    self.look()
            wait = 0.0 if fired == timers.FIRED else TIMER_SECONDS

    # -- how it is --------------------------------------------------------------------------------------------------------

    def backlog(self) -> dict[str, int]:
        """Events not settled, writes not ended, timers waiting; as last known while the ledger is lost."""
        assert self.services.ledger is not None
        if self.services.ledger.since is None:
            try:
                self._backlog = self._counted()
            except SQLAlchemyError as error:
                if not is_lost(error):
                    raise
        return self._backlog

    def _counted(self) -> dict[str, int]:
        with self.ledger.read() as conn:
            return {
                "events": journal.count(conn, journal.OPEN),
                "writes": outbox.count(conn, outbox.OPEN),
                "parked_events": journal.count(conn, ("parked",)),
                "parked_writes": outbox.count(conn, ("parked",)),
                "timers": timers.count(conn),
                "timer_late_seconds": round(timers.late(conn, self.clock())),
            }

    def health(self) -> Mapping[str, object]:
        """What ``/healthz`` shows; ``/metrics`` is brought up to date by it."""
        backlog = self.backlog()
        self.metrics.backlog.set(backlog["events"])
        self.metrics.outbox.set(backlog["writes"])
        self.metrics.timer_late.set(backlog["timer_late_seconds"])
        closed = self.intake.closed if self.intake is not None else ""
        assert self.services.ledger is not None
        lost = self.services.ledger.since
        self.metrics.ledger_lost.set((self.clock() - lost).total_seconds() if lost else 0)
        return {
            "ok": self.ready.is_set() and not self.services.failed.is_set() and not closed and lost is None,
            "ready": self.ready.is_set(),
            "failure": self.services.failure,
            "intake_closed": closed,
            "ledger_lost_since": None if lost is None else lost.isoformat(timespec="seconds"),
            "ledger_lost_why": self.services.ledger.why,
            "policy": self.policies.current.digest,
            "policy_refused": self.policies.refused,
            "backlog": backlog,
        }

    # -- its end ----------------------------------------------------------------------------------------------------------

    def stop(self) -> list[str]:
        """Stops taking events, finishes the batches at hand, closes. Returns the parts that did not end in time."""
        late = [name for group in GROUPS for name in self.services.stop(group)]
        for system in self.systems.values():
            system.connection.close()
        self.ledger.close()
        if self._lock is not None:
            self._lock.close()
        return late


def warm_up() -> None:
    """What the first lead would otherwise wait for, and the garbage collector told what stays for good."""
    country("Deutschland")  # names of countries in other languages are loaded on first use: 0.3 s
    gc.collect()
    gc.freeze()
    # Events leave few cycles behind; looking for them at Python's usual pace costs an eighth of all time. The loop has it done
    # between batches, and one batch makes less than this.
    gc.set_threshold(250_000, 20, 50)


def _courier_run(courier: Courier, owing: threading.Event) -> Callable[[threading.Event], None]:
    return lambda stop: courier.run(owing, stop)


def only_one(ledger: Ledger) -> IO[str] | None:
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
