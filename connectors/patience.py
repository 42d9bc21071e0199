"""How a connector waits: as long as the system wants, or ever longer where it does not say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import mktime_tz, parsedate_tz
from threading import Event, Lock
from typing import Any, Protocol

import structlog
from msgspec import Struct
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event

from connectors.errors import AuthenticationFailed, ConnectorBug, ConnectorError, RateLimited, Transient

log = structlog.get_logger(__name__)
_SHORTEST = 0.05  # seconds
LONGEST_ASKED = 3600.0  # seconds; what asks for more is asked again then
_SKEW = 5.0  # seconds; by how much the clocks of two machines may differ
_WORTH_TELLING = 15.0  # seconds; shorter troubles are every day's
_WRITES_AGAIN = (
    180.0  # seconds; within this whoever owes a refused write has tried it again: a minute at most, and the time-outs
)
# What says of a system that it is not well, or does not let us in.
UNWELL = (Transient, RateLimited, AuthenticationFailed)
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
    """That a system asked ``at`` an instant for so many ``seconds`` without requests, and ``why``."""

    at: datetime
    seconds: float
    why: str = ""

    def left(self, now: datetime) -> float:
        """For how many seconds it still holds: 0 when it is over, or says nothing, since a clock was set back."""
        since = (now - self.at).total_seconds()
        return self.seconds - since if -_SKEW <= since < self.seconds else 0.0


class Trouble(Struct, frozen=True):
    """A system that does not do what it is asked, or wants not to be asked: since when, and why as it last said. ``until``: when it is
    asked again at the earliest; None where that is tried again and again."""

    name: str
    why: str
    since: datetime
    until: datetime | None = None

    def told(self) -> dict[str, str | None]:
        """For people, in UTC."""
        until = None if self.until is None else self.until.isoformat(timespec="seconds")
        return {"system": self.name, "why": self.why, "since": self.since.isoformat(timespec="seconds"), "until": until}


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
    that have the same ``board``. Knows, from how requests end, whether the system is well (``trouble``), and logs one line when it is not and
    one when it is again. One that refuses writes and answers reads (as while it is maintained) is not well: that ends with a write that is
    answered, or when nobody has one to make any more. Safe to use from several threads."""

    def __init__(self, system: str, clock: Callable[[], datetime], of: str = "") -> None:
        """``of``: which of the system's requests, where some have a limit of their own."""
        self._system, self._clock = system, clock
        self.name = f"{system} {of}".rstrip()
        self.board: Board | None = None
        self._asked: Asked | None = None
        self._trouble: Trouble | None = None
        self._told = False  # whether the log says so
        self._refused: datetime | None = None  # when the trouble was last met by a write
        self._lock = Lock()

    @contextmanager
    def heeded(self, but: str = "", *, writing: bool = False) -> Iterator[None]:
        """Around each request. Raises RateLimited while the system wants none; notes what a failure within asks for, ``but`` one of that
        code, which says nothing of other requests. ``writing``: the request may change something."""
        self._refuse_early()
        try:
            yield
        except ConnectorError as error:
            if not but or error.code != but:
                self.failed(error, writing=writing)
            raise
        self.answered(writing=writing)

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Around what lets requests through or holds them back for a reason of ours: nobody waits because of it, but all are told."""
        try:
            yield
        except ConnectorError as error:
            self.unwell(error)
            raise
        self.answered()

    def failed(self, error: ConnectorError, *, writing: bool = False) -> None:
        """A request failed so. Of the record or the settings that says something, and of the system that it answers."""
        if error.retry_after is not None:
            asked = Asked(self._clock(), error.retry_after, str(error))
            if self._asked is None or self._asked.left(asked.at) < asked.seconds:
                self._asked = asked
            if self.board is not None:
                self.board.post(self.name, asked)
        if isinstance(error, UNWELL):
            self.unwell(error, writing=writing)
        elif not isinstance(error, ConnectorBug):  # who knows who that was
            self.answered(writing=writing)

    def unwell(self, error: ConnectorError, *, writing: bool = False) -> None:
        """The system does not do what it is asked, for this reason."""
        now, wait = self._clock(), error.retry_after or 0.0
        until = now + timedelta(seconds=wait) if wait else None
        with self._lock:
            since = self._trouble.since if self._trouble is not None else now
            self._trouble = Trouble(self.name, str(error), since, until)
            if writing and isinstance(error, Transient):  # limits and logins are the same for reads
                self._refused = now
            tell = not self._told and max((now - since).total_seconds(), wait) >= _WORTH_TELLING
            self._told = self._told or tell
        if tell:
            ends = until.isoformat(timespec="seconds") if until else "it is tried again and again"
            log.warning("a system keeps us waiting", system=self.name, why=str(error), until=ends)

    def answered(self, *, writing: bool = False) -> None:
        """A request was answered. One that was on its way when others were refused says nothing."""
        if self._trouble is None:
            return
        now = self._clock()
        with self._lock:
            if self._trouble is None or (self._asked is not None and self._asked.left(now) > 0):
                return
            if not writing and self._refused is not None and (now - self._refused).total_seconds() < _WRITES_AGAIN:
                return
            since, told, self._trouble, self._told = self._trouble.since, self._told, None, False
            self._refused = None
        if told:
            log.info("a system is well again", system=self.name, seconds=round((now - since).total_seconds()))

    def trouble(self, *, look: bool = True) -> Trouble | None:
        """What is not well, as far as this process knows, or another one was told; None while all is. ``look``: at the board, too."""
        posted, now = self._posted() if look else None, self._clock()
        if self._trouble is None and posted is not None and posted.left(now) > 0:
            return Trouble(self.name, posted.why, posted.at, posted.at + timedelta(seconds=posted.seconds))
        return self._trouble

    def _posted(self) -> Asked | None:
        return self.board.asked(self.name) if self.board is not None else None

    def _refuse_early(self) -> None:
        posted, now = self._posted(), self._clock()
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
    """Tries again after one of ``errors`` until ``stop`` is set; the first wait of several is logged with the name of the ``source``.

    ``first`` and ``longest`` (seconds) bound the growing waits. ``more`` goes to tenacity: what happens once it is stopped.
    """
    growing = wait_random_exponential(multiplier=first, max=longest)

    def wait(state: RetryCallState) -> float:
        error = _error(state)
        asked = error.retry_after if isinstance(error, ConnectorError) else None
        return max(_SHORTEST, asked) if asked is not None else float(growing(state))

    def tell(state: RetryCallState) -> None:
        seconds = state.next_action.sleep if state.next_action else 0.0
        record = log.warning if state.attempt_number == 1 else log.debug  # nobody reads a line a try through a night
        record("a source waits", source=source, reason=str(_error(state)), seconds=round(seconds, 2))

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
