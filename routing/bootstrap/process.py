"""What every process is made of, whichever role it has: the ledger, the policy, the systems, the threads and their health."""

from __future__ import annotations

import fcntl
import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import structlog
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from connectors.contract import Webhook
from routing.bootstrap.health import Health
from routing.bootstrap.reading import System
from routing.core.places import country
from routing.core.sla.planning import looks, next_due
from routing.delivery.courier import Courier
from routing.ledger import journal, match_index, timers
from routing.ledger.check import current_revision, head_revision
from routing.ledger.engine import Ledger, LedgerAway, LedgerError, is_lost, is_turned_away, reason
from routing.ledger.seats import Seat
from routing.runtime import tallies
from routing.runtime.bound import MOST_OWED, Bound
from routing.runtime.clock import Clock, monotonic, utcnow
from routing.runtime.feed import Feed
from routing.runtime.housekeeping import EVIDENCE_DAYS, Housekeeping
from routing.runtime.intake import Intake
from routing.runtime.metrics import Metrics
from routing.runtime.pause_board import PauseBoard
from routing.runtime.policies import Policies
from routing.runtime.services import PATIENCE_SECONDS, Services

log = structlog.get_logger()

TIMER_SECONDS = 0.25
CATCH_UP_SECONDS = 0.02
# After a start the clocks wait this long, and until no more than this many events wait to be decided: what happened during an
# outage, and may have stopped them, is heard first.
CLOCKS_WAIT_SECONDS = 10.0
BACKLOG = 100
# Who may work on a PostgreSQL ledger is looked at this often; a connection that broke keeps its place for some 20 seconds at most.
PLACE_LOOK_SECONDS = 5.0
PLACE_SECONDS = 30.0
# In this order groups of threads are stopped: nothing more comes in, the batch at hand ends, then the writes.
GROUPS = ("sources", "web", "deciding", "delivery", "intake")
# For all groups, one after another; and for each that had no time left because one before it hangs.
STOP_SECONDS, LAST_SECONDS = 8.5, 0.2


def timers_wait(before: float, fired: int, *, due: bool) -> float:
    """For how many seconds to wait, after ``before``, until timers are looked at again.

    What is ``due`` and did not fire waits for a step that did: done in milliseconds as a rule, but in up to a minute where its record
    must be read and the CRM is away. So each look in vain doubles the wait, up to the usual one.
    """
    if not due or fired == timers.FIRED:
        return 0.0 if due else TIMER_SECONDS
    return CATCH_UP_SECONDS if fired else min(max(2 * before, CATCH_UP_SECONDS), TIMER_SECONDS)


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
        most_owed: int = MOST_OWED,
    ) -> None:
        """Opens the ledger and compiles the policy; nothing runs yet. ``alone``: no other process works on this ledger.
        ``patience``: how many seconds a lost ledger is waited for. ``keep_evidence_days``: for how long decisions can be made again.
        ``most_owed``: how many writes may wait for the CRMs before nothing more is decided.

        ``systems`` makes the connections, given the policies whose field maps they use. Raises LedgerError (LedgerAway where its
        server does not answer now: then nothing is left behind, and the same may be tried again), PolicyError, PolicyFolderError.
        """
        self.clock = clock
        self.feed, self.metrics = Feed(), Metrics()
        self.feed.watch(self.metrics.watch)
        self.ledger = Ledger(ledger_url)
        self._lock = only_one(self.ledger)
        # On PostgreSQL: one embedded daemon, or any number of roles.
        self._place = Seat(self.ledger, "runtime", shared=not alone)
        with self._opening():
            self._open_ledger(alone)
            self.policies = Policies(policy_folder, self.ledger, clock, self.feed, follow=not alone)
        self.services = Services(self.ledger, clock, self.feed, patience)
        self.bound = Bound(self.ledger, self.feed, most_owed)
        self.housekeeping = Housekeeping(self.ledger, clock, keep_evidence_days)
        self.systems = {system.name: system for system in systems(self.policies)}
        board = PauseBoard(self.ledger)
        for system in self.systems.values():
            for hold in system.holds:
                hold.board = board
        self.ready = threading.Event()
        self.owing = {name: threading.Event() for name in self.systems}
        self.intake: Intake | None = None
        self.waits_for = ""  # what it waits for before it can begin its work
        assert self.services.ledger is not None
        self._health = Health(self.ledger, clock, self.systems, self.metrics, self.services.ledger, self.bound)

    @property
    def webhooks(self) -> list[Webhook]:
        """The webhooks that this process serves."""
        return [webhook for system in self.systems.values() for webhook in system.webhooks]

    def start(self) -> None:
        """Starts everything and returns; ``ready`` is set once it works."""
        raise NotImplementedError

    def _open_ledger(self, alone: bool) -> None:
        if not alone:
            refuse_to_migrate(self.ledger)
        self._take_place(threading.Event())
        self.ledger.upgrade()
        match_index.ensure(self.ledger)

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """What fails within leaves nothing open. Raises LedgerError; LedgerAway when its server does not answer now."""
        try:
            yield
        except (SQLAlchemyError, LedgerError) as error:
            self._close_ledger()
            cause = error.__cause__ if isinstance(error, LedgerError) else error
            if self.ledger.is_sqlite or cause is None or not is_lost(cause):
                raise
            if is_turned_away(cause):
                raise LedgerError(
                    f"The ledger {self.ledger.name} does not let us in: {reason(cause)}. Look at 'ledger' in the settings: its user, "
                    "password, database and sslmode."
                ) from error
            raise LedgerAway(f"the ledger {self.ledger.name}, which cannot be reached: {reason(cause)}") from error
        except BaseException:
            self._close_ledger()
            raise

    def _take_place(self, stop: threading.Event) -> None:
        """Raises LedgerError when others keep us out for longer than a connection that broke may linger."""
        end = monotonic() + PLACE_SECONDS
        # A seat whose connection was lost says so once, and is taken anew.
        while not (self._place.take() or self._place.take()):
            if monotonic() > end:
                raise LedgerError(
                    f"Others already work on the ledger {self.ledger.name}, and both would decide and write the same. Either one "
                    "`fingerpost run` works on a ledger, or any number of gateways, workers, deliveries and `fingerpost run --runtime "
                    "kafka`. Stop those that should not run."
                )
            log.warning("others work on this ledger; waiting for them to go", ledger=self.ledger.name)
            if stop.wait(1.0):
                return

    def keep_place(self) -> None:
        """Sees to it that nobody who must not work on the ledger at the same time can start, also after its connections broke."""

        def stay(stop: threading.Event) -> None:
            while not stop.wait(PLACE_LOOK_SECONDS):
                self._take_place(stop)

        self.services.start("delivery", "place", stay)

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
                policy = self.policies.current
                first, following = looks(policy, self.systems), partial(next_due, policy=policy)
                with self.ledger.write() as conn:
                    fired = timers.fire(conn, now, purposes=purposes, looks=first, next_due=following)
                if fired:
                    self.feed.tell("accepted", fired)
                    self.look()
            wait = timers_wait(wait, fired, due=due)

    # -- how it is --------------------------------------------------------------------------------------------------------

    def backlog(self) -> dict[str, int]:
        """Events not settled, writes not ended, timers waiting; as last known while the ledger is lost."""
        return self._health.backlog()

    @property
    def needs_ledger(self) -> bool:
        """Whether it can do nothing of its work while the ledger is lost."""
        return True

    def health(self) -> Mapping[str, object]:
        """What ``/healthz`` shows; ``/metrics`` is brought up to date by it. ``ok`` stays while a CRM keeps us waiting: a restart, or
        another process, would not mend that."""
        assert self.services.ledger is not None
        told, lost = self._health.told(), self.services.ledger.since
        closed = self.intake.closed if self.intake is not None else ""
        works = self.ready.is_set() and not self.services.failed.is_set() and not closed
        return {
            "ok": works and (lost is None or not self.needs_ledger),
            "ready": self.ready.is_set(),
            "waits_for": self.waits_for,
            "failure": self.services.failure,
            "intake_closed": closed,
            "policy": self.policies.current.digest,
            "policy_refused": self.policies.refused,
            **told,
        }

    # -- its end ----------------------------------------------------------------------------------------------------------

    def stop(self) -> list[str]:
        """Stops taking events, finishes the batches at hand, closes, within ten seconds. Returns the parts that did not end in time:
        then nothing is closed, since they may be using it."""
        give_up = monotonic() + STOP_SECONDS
        for group in GROUPS:
            self.services.stop(group, max(0.0, give_up - monotonic()))
        if late := [name for group in GROUPS for name in self.services.stop(group, LAST_SECONDS)]:
            return late
        for system in self.systems.values():
            system.connection.close()
        self._close_ledger()
        return []

    def _close_ledger(self) -> None:
        self._place.leave()
        self.ledger.close()
        if self._lock is not None:
            self._lock.close()


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


def refuse_to_migrate(ledger: Ledger) -> None:
    """Others of the older version may work on a shared ledger at this moment. Raises LedgerError, SQLAlchemyError."""
    has, needs = current_revision(ledger), head_revision()
    if not ledger.is_sqlite and has not in ("", needs):
        raise LedgerError(
            f"The ledger {ledger.name} has schema {has}, and this version needs {needs}. Stop all gateways, workers and deliveries, then "
            "run `fingerpost ledger upgrade` with the newest version that is installed."
        )


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
