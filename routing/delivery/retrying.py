"""How a connection waits and tries again: tenacity, with the waits that the error or the number of tries ask for."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any

import structlog
from tenacity import RetryCallState, Retrying, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event

from connectors.errors import AuthenticationFailed, ConnectorBug, ConnectorError, Transient
from routing.delivery.verdicts import Verdict, verdict
from routing.runtime.feed import Feed
from routing.runtime.pause_board import PauseBoard
from routing.runtime.waits import after_tries

log = structlog.get_logger()

# After a lost answer the CRM may still be committing: a look sooner than this would find the old value.
LATE_SECONDS = 1.0
# Who waits for longer than this looks so often whether another got through meanwhile.
NEWS_SECONDS = 1.0
_growing = wait_random_exponential(multiplier=0.25, max=60)
# A refused login may lock the account when it is tried often.
_slowly = wait_random_exponential(multiplier=10, max=600)


def wait_as_asked(state: RetryCallState) -> float:
    """Seconds to wait: what the system asked for (Retry-After), otherwise growing while the same kind of failure goes on."""
    error = state.outcome.exception() if state.outcome else None
    streak = _streak(state, type(error).__name__)
    if isinstance(error, ConnectorError) and error.retry_after is not None:
        return max(0.05, error.retry_after)
    if isinstance(error, ConnectorError) and error.outcome_unknown:
        return max(LATE_SECONDS, _growing(streak))
    # The first refusal of a login is often an expired session: it is tried again at once.
    if isinstance(error, AuthenticationFailed) and streak.attempt_number > 1:
        return _slowly(streak)
    return _growing(streak)


def _streak(state: RetryCallState, kind: str) -> RetryCallState:
    """The state as if only the failures of this kind in a row had happened: after eight short limits, the first outage is
    not to be waited out for a minute."""
    counts = state.retry_object.statistics
    counts["streak"] = counts.get("streak", 0) + 1 if counts.get("kind") == kind else 1
    counts["kind"] = kind
    return after_tries(counts["streak"])


def pauses(error: BaseException) -> bool:
    """Whether the whole connection has to wait because of this."""
    return isinstance(error, ConnectorError) and verdict(error) is Verdict.PAUSE


def patiently(stop: threading.Event, feed: Feed, what: str, board: PauseBoard) -> Retrying:
    """Tries for as long as the system is unwell, until ``stop``; then the last error is raised as it is.

    Blocks in its waits, but wakes when ``stop`` is set, and out of an outage when another thread or process posts on the ``board`` that it got
    through. Errors that do not pause the connection are raised at once.
    """
    # The system that is down, what stood on the board then, and whether the wait is so long that others may wait, too.
    down, posted, waited = "", None, False

    def again(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if error is None and waited:
            board.post_well(down)
        return error is not None and pauses(error)

    def note(state: RetryCallState) -> None:
        nonlocal down, posted, waited
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        system = getattr(error, "system", "")
        down = system if isinstance(error, Transient) and error.retry_after is None else ""
        waited = bool(down) and (waited or pause > NEWS_SECONDS)
        posted = board.well_since(down) if waited else None
        # Of several failures of one kind the first is told; that the system is well again, the connection tells.
        record = log.warning if state.retry_object.statistics.get("streak", 1) == 1 else log.debug
        record("a connection waits", system=system, doing=what, error=str(error), seconds=round(pause, 2))
        feed.tell("paused", 1, f"{system} waits {pause:.1f} s while {what}: {error}")

    def sleep(seconds: float) -> None:
        while seconds > 0 and not stop.is_set():
            sleep_using_event(stop)(min(seconds, NEWS_SECONDS))
            seconds -= NEWS_SECONDS
            if waited and seconds > 0 and board.well_since(down) != posted:
                return

    return Retrying(
        retry=again,
        wait=wait_as_asked,
        stop=stop_when_event_set(stop),
        sleep=sleep,
        before_sleep=note,
        reraise=True,
    )


def as_bug(error: Exception, system: str, doing: str) -> ConnectorBug:
    """What no connector should have raised, in the form that the table of errors knows. Personal data stays out of it."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    bug = ConnectorBug(
        f"{doing} failed: {type(error).__name__} at {where.filename.rsplit('/', 1)[-1]}:{where.lineno}. "
        "Please report it; `fingerpost parked retry` tries again.",
        system=system,
        outcome_unknown=True,
    )
    bug.__cause__ = error
    return bug


def until_well(stop: threading.Event, feed: Feed, what: str, board: PauseBoard, call: Callable[[], Any]) -> Any:
    """Calls until it works; see ``patiently``."""
    return patiently(stop, feed, what, board)(call)
