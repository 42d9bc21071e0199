"""How a connector waits: as long as the system wants, or ever longer where it does not say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from email.utils import mktime_tz, parsedate_tz
from threading import Event
from typing import Any, Protocol

import structlog
from msgspec import Struct
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event

from connectors.errors import ConnectorError, RateLimited

log = structlog.get_logger(__name__)
_SHORTEST = 0.05  # seconds
LONGEST_ASKED = 3600.0  # seconds; what asks for more is asked again then
_SKEW = 5.0  # seconds; by how much the clocks of two machines may differ
_SECONDS = re.compile(r"[0-9]{1,300}(\.[0-9]{1,9})?")


def wait_asked(headers: Mapping[str, str], system: str) -> float | None:
    """The seconds that an answer's Retry-After asks for, None where it asks for nothing that can be read (RFC 9110: seconds, or a date).

    At most an hour: then ``system`` is asked again, which costs one request, where a slip of whoever sends it would stop all writes.
    """
    told = {name.lower(): value.strip() for name, value in headers.items()}
    text = told.get("retry-after", "")
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        until, now = parsedate_tz(text), parsedate_tz(told.get("date", ""))  # by their clock: ours may be another
        if until is None or now is None:
            return None
        try:
            seconds = max(0.0, float(mktime_tz(until) - mktime_tz(now)))
        except (ValueError, OverflowError):
            return None
    if seconds > LONGEST_ASKED:
        log.warning("a system asks for a very long wait", system=system, asked=text[:40], seconds=LONGEST_ASKED)
    return min(seconds, LONGEST_ASKED)


class Asked(Struct, frozen=True):
    """That a system asked ``at`` an instant for so many ``seconds`` without requests."""

    at: datetime
    seconds: float

    def left(self, now: datetime) -> float:
        """For how many seconds it still holds: 0 when it is over, or says nothing, since a clock was set back."""
        since = (now - self.at).total_seconds()
        return self.seconds - since if -_SKEW <= since < self.seconds else 0.0


class Board(Protocol):
    """Where the processes that share a connection tell each other what it asked of one of them."""

    def asked(self, name: str) -> Asked | None:
        """What was posted last under the name; None for nothing."""
        ...

    def post(self, name: str, asked: Asked) -> None:
        """Tells the others, unless what they know lasts longer."""
        ...


class Hold:
    """The wait that a system asked one of us for holds for all who share the connection: the threads of this process, and all processes
    that have the same ``board``. Safe to use from several threads."""

    def __init__(self, system: str, clock: Callable[[], datetime], of: str = "") -> None:
        """``of``: which of the system's requests, where some have a limit of their own."""
        self._system, self._clock = system, clock
        self.name = f"{system} {of}".rstrip()
        self.board: Board | None = None
        self._asked: Asked | None = None

    @contextmanager
    def heeded(self, but: str = "") -> Iterator[None]:
        """Around each request. Raises RateLimited while the system wants none; notes what a failure within asks for, ``but`` one of that
        code, which says nothing of other requests."""
        self._refuse_early()
        try:
            yield
        except ConnectorError as error:
            if error.retry_after is not None and (not but or error.code != but):
                asked = Asked(self._clock(), error.retry_after)
                if self._asked is None or self._asked.left(asked.at) < asked.seconds:
                    self._asked = asked
                if self.board is not None:
                    self.board.post(self.name, asked)
            raise

    def _refuse_early(self) -> None:
        posted = self.board.asked(self.name) if self.board is not None else None
        now = self._clock()
        left, asked = max(((one.left(now), one.seconds) for one in (self._asked, posted) if one), default=(0.0, 0.0))
        if left > 0:
            raise RateLimited(
                f"{self._system} asked for {asked:g} s without requests; they are not over yet",
                system=self._system,
                retry_after=left,
            )

    def release(self) -> None:
        """Forgets what this process was asked for."""
        self._asked = None


def patient(
    stop: Event, source: str, errors: tuple[type[ConnectorError], ...], first: float, longest: float, **more: Any
) -> Retrying:
    """Tries again after one of ``errors`` until ``stop`` is set; each wait is logged with the name of the ``source``.

    ``first`` and ``longest`` (seconds) bound the growing waits. ``more`` goes to tenacity: what happens once it is stopped.
    """
    growing = wait_random_exponential(multiplier=first, max=longest)

    def wait(state: RetryCallState) -> float:
        error = _error(state)
        asked = error.retry_after if isinstance(error, ConnectorError) else None
        return max(_SHORTEST, asked) if asked is not None else float(growing(state))

    def tell(state: RetryCallState) -> None:
        seconds = state.next_action.sleep if state.next_action else 0.0
        log.warning("a source waits", source=source, reason=str(_error(state)), seconds=round(seconds, 2))

    return Retrying(
        retry=retry_if_exception_type(errors),
        stop=stop_when_event_set(stop),
        wait=wait,
        sleep=sleep_using_event(stop),
        before_sleep=tell,
        **more,
    )


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
