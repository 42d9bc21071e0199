"""Faults on demand: what a real CRM does on a bad day, armed by a test or by an operator who practises.

A fault is armed for one system and operation and is used up after ``times`` answers. Both sandboxes ask ``take`` once
per request, before they do anything.

| kind | Salesforce | HubSpot |
|---|---|---|
| unavailable | 503 SERVER_UNAVAILABLE | 503 |
| rate_limited | 403 REQUEST_LIMIT_EXCEEDED | 429 |
| timeout | nothing is committed, the connection is closed without an answer | the same |
| timeout_after_commit | everything is committed, then the connection is closed without an answer | the same |
| partial | ``share`` of the records of the batch is refused, the rest is committed | the same |
| expired_session | 401 INVALID_SESSION_ID, and the session really is over | 401 |
| lock | ``share`` of the records fails with UNABLE_TO_LOCK_ROW | a conflict per record |
| slow | the answer comes ``seconds`` late | the same |
| broken | 500 UNKNOWN_EXCEPTION | 500 |
| daily_limit | the day's requests are used up | 429 of the daily policy |
| person_edits | a person changes the same fields of ``share`` of the records a moment before the write | the same |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

FaultKind = Literal[
    "unavailable",
    "rate_limited",
    "timeout",
    "timeout_after_commit",
    "partial",
    "expired_session",
    "lock",
    "slow",
    "broken",
    "daily_limit",
    "person_edits",
]

# What a fault can be armed for; "*" stands for any of a system's operations.
OPERATIONS: dict[str, tuple[str, ...]] = {
    "salesforce": (
        "login",
        "query",
        "read",
        "collections",
        "describe",
        "limits",
        "subscribe",
        "composite",
        "soap",
        "bulk",
    ),
    "hubspot": (
        "batch_update",
        "batch_create",
        "batch_upsert",
        "batch_read",
        "associate",
        "associations",
        "search",
        "list",
        "owners",
        "journal",
        "journal_file",
        "journal_token",
    ),
    "marketo": ("login", "read", "write", "describe", "usage", "activities", "export"),
}


class Fault(Struct, frozen=True, kw_only=True):
    """One thing to go wrong, ``times`` times. ``retry_after`` is in seconds; None leaves the header out. ``seconds`` is for slow ones."""

    system: str
    kind: FaultKind
    operation: str = "*"
    times: int = 1
    retry_after: float | None = None
    share: float = 1.0
    seconds: float = 1.0

    def hits(self, index: int) -> bool:
        """Whether record number ``index`` (from 0) of a batch is hit: evenly spread, the first one always."""
        return math.ceil((index + 1) * self.share) > math.ceil(index * self.share)


class Hasty(Struct, frozen=True):
    """A request that came ``seconds`` before the wait was over that the last refusal of its kind had asked for, ``after`` seconds
    since that refusal. One that came right after it may have been under way already: nobody can call that back."""

    system: str
    operation: str
    seconds: float
    after: float


class Faults:
    """The faults that are armed, and in ``hasty`` who did not wait as asked. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """``clock`` counts seconds; it is what a Retry-After is measured by."""
        self._lock = Lock()
        self._armed: list[Fault] = []
        self._clock = clock
        self._refused: dict[tuple[str, str], tuple[float, float]] = {}  # when, and for how long
        self.asked_to_wait = 0  # answers that carried a Retry-After
        self.hasty: list[Hasty] = []

    def add(self, fault: Fault) -> None:
        """Arms a fault. Raises ValueError for a system or operation that no sandbox would ever ask for."""
        known = OPERATIONS.get(fault.system)
        if known is None:
            raise ValueError(f"no sandbox is called {fault.system!r}; there are: {', '.join(OPERATIONS)}")
        if fault.operation != "*" and fault.operation not in known:
            raise ValueError(f"{fault.system} has no operation {fault.operation!r}; it has: *, {', '.join(known)}")
        if fault.times < 1:
            raise ValueError(f"a fault happens at least once; times is {fault.times}")
        with self._lock:
            self._armed.append(fault)

    def take(self, system: str, operation: str) -> Fault | None:
        """The oldest fault armed for this operation, with one use taken off; None when there is none."""
        with self._lock:
            refused, wait = self._refused.pop((system, operation), (0.0, 0.0))
            after = self._clock() - refused
            if after < wait:
                self.hasty.append(Hasty(system, operation, wait - after, after))
            fault = self._next(system, operation)
            if fault is not None and fault.retry_after is not None:
                self._refused[system, operation] = self._clock(), fault.retry_after
                self.asked_to_wait += 1
            return fault

    def _next(self, system: str, operation: str) -> Fault | None:
        for position, fault in enumerate(self._armed):
            if fault.system == system and fault.operation in ("*", operation):
                if fault.times == 1:
                    del self._armed[position]
                else:
                    self._armed[position] = replace(fault, times=fault.times - 1)
                return fault
        return None

    def all(self) -> list[Fault]:
        """What is still armed, oldest first; ``times`` are those left."""
        with self._lock:
            return list(self._armed)

    def clear(self) -> None:
        """Disarms everything."""
        with self._lock:
            self._armed.clear()
