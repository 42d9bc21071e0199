"""Faults on demand: what a real CRM does on a bad day, armed by a test or by an operator who practises.

A fault is armed for one system and operation and is used up after ``times`` answers. Both sandboxes ask ``take`` once
per request, before they do anything.

| kind | Salesforce | HubSpot | Marketo (HTTP 200 with a code) |
|---|---|---|---|
| unavailable | 503 SERVER_UNAVAILABLE | 503 | 608 |
| rate_limited | 403 REQUEST_LIMIT_EXCEEDED | 429 | 606 |
| timeout | nothing is committed, the connection is closed without an answer | the same | the same |
| timeout_after_commit | everything is committed, then the connection is closed without an answer | the same | the same |
| partial | ``share`` of the records of the batch is refused, the rest is committed | the same | the same |
| expired_session | 401 INVALID_SESSION_ID, and the session really is over | 401 | 602, and the tokens really are over |
| lock | ``share`` of the records fails with UNABLE_TO_LOCK_ROW | a conflict per record | 1022 per record |
| slow | the answer comes ``seconds`` late | the same | the same |
| broken | 500 UNKNOWN_EXCEPTION, and nothing is committed | 500 | 611 |
| broken_after_commit | everything is committed, then 500 UNKNOWN_EXCEPTION | 500 | 611 |
| daily_limit | the day's requests are used up | 429 of the daily policy | 607 |
| forbidden | 403 API_DISABLED_FOR_ORG: the integration user may not | 403 MISSING_SCOPES | 603 |
| nonsense | everything is committed, and something on the way answers 200 with a page of its own | the same | the same |
| page | nothing arrives: something on the way answers 200 with a page of its own | the same | the same |
| person_edits | a person changes the same fields of ``share`` of the records a moment before the write | the same | the same |

At the login, expired_session refuses the password; partial, lock and person_edits wait for an operation that has records.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from connectors.sandbox.wording import one_of

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
    "broken_after_commit",
    "daily_limit",
    "forbidden",
    "nonsense",
    "page",
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
    "marketo": ("login", "read", "write", "describe", "types", "usage", "activities", "export"),
}

_LONGEST = 86_400.0  # seconds
_APART = frozenset({"search", "export", "login", "subscribe", "journal", "journal_file", "journal_token"})


# Where records are judged one by one; other operations know nothing of such a fault.
_RECORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "lock": {
        "salesforce": ("read", "collections", "composite", "soap"),
        "hubspot": ("batch_update", "batch_create", "batch_upsert"),
        "marketo": ("write",),
    },
    "partial": {
        "salesforce": ("read", "collections", "composite", "soap", "bulk"),
        "hubspot": ("batch_update", "batch_create", "batch_upsert", "batch_read"),
        "marketo": ("write",),
    },
    "person_edits": {
        "salesforce": ("collections", "composite"),
        "hubspot": ("batch_update",),
        "marketo": ("write",),
    },
}

# No limit counts logins, and none needs a permission; the stream is no HTTP that a page could stand in for.
_NEVER: dict[str, tuple[str, ...]] = {
    "daily_limit": ("login",),
    "forbidden": ("login",),
    "nonsense": ("login", "subscribe"),
    "page": ("login", "subscribe"),
}


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing to go wrong, ``times`` times. ``retry_after`` is in seconds; None leaves the header out. ``seconds`` is for slow ones.
    ``record``: only requests whose body names the record of that id are hit; "" for all."""

    system: str
    kind: FaultKind
    operation: str = "*"
    times: int = 1
    retry_after: float | None = None
    share: float = 1.0
    seconds: float = 1.0
    record: str = ""

    def hits(self, index: int) -> bool:
        """Whether record number ``index`` (from 0) of a batch is hit: evenly spread, the first one always."""
        return math.ceil((index + 1) * self.share) > math.ceil(index * self.share)

    def names(self, body: bytes) -> bool:
        """Whether it is meant for a request of this body."""
        return not self.record or re.search(rf"(?<!\w){re.escape(self.record)}(?!\w)".encode(), body) is not None


class Hasty(Struct, frozen=True):
    """A request that came ``seconds`` before the wait was over that a refusal under the same limit had asked for, ``after`` seconds
    since that refusal. One that came right after it may have been under way already: nobody can call that back."""

    system: str
    operation: str
    seconds: float
    after: float


def check(fault: Fault) -> None:
    """Raises ValueError for a fault that could never happen, with what there is."""
    known = OPERATIONS.get(fault.system)
    if known is None:
        raise ValueError(f"no sandbox is called {fault.system!r}; {one_of(fault.system, OPERATIONS)}")
    if fault.operation != "*" and fault.operation not in known:
        raise ValueError(
            f"{fault.system} has no operation {fault.operation!r}; {one_of(fault.operation, ('*', *known))}"
        )
    if fault.operation != "*" and not _possible(fault, fault.operation):
        there = ", ".join(one for one in known if _possible(fault, one))
        raise ValueError(f"{fault.kind} cannot happen to {fault.operation} of {fault.system}; it can to: *, {there}")
    if fault.times < 1:
        raise ValueError(f"a fault happens at least once; times is {fault.times}")
    if not 0 < fault.share <= 1:
        raise ValueError(f"share is {fault.share:g}; it is a part of the records, above 0 and up to 1")
    for name, seconds in (("seconds", fault.seconds), ("retry_after", fault.retry_after or 0.0)):
        if not 0 <= seconds <= _LONGEST:
            raise ValueError(f"{name} is {seconds:g}; it is a number of seconds from 0 to {_LONGEST:g}")


def _possible(fault: Fault, operation: str) -> bool:
    if operation in _NEVER.get(fault.kind, ()):
        return False
    return operation in _RECORDS.get(fault.kind, {}).get(fault.system, (operation,))


class Faults:
    """The faults that are armed, and in ``hasty`` who did not wait as asked. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """``clock`` counts seconds; it is what a Retry-After is measured by."""
        self._lock = Lock()
        self._armed: list[Fault] = []
        self._clock = clock
        self._refused: dict[tuple[str, str], tuple[float, float]] = {}  # by limit: when, and for how long
        self.asked_to_wait = 0  # answers that carried a Retry-After
        self.hasty: list[Hasty] = []

    def add(self, fault: Fault) -> None:
        """Arms a fault. Raises ValueError for one that could never happen."""
        check(fault)
        with self._lock:
            self._armed.append(fault)

    def take(self, system: str, operation: str, body: bytes = b"") -> Fault | None:
        """The oldest fault armed for this operation, and for what the request's ``body`` names, with one use taken off; None when there
        is none."""
        with self._lock:
            # What an account asks for holds for all its requests, but those that have a limit of their own, or none.
            limit = system, operation if operation in _APART else ""
            refused, wait = self._refused.get(limit, (0.0, 0.0))
            after = self._clock() - refused
            if after < wait:
                self.hasty.append(Hasty(system, operation, wait - after, after))
            fault = self._next(system, operation, body)
            if fault is not None and fault.retry_after is not None:
                self._refused[limit] = self._clock(), fault.retry_after
                self.asked_to_wait += 1
            return fault

    def _next(self, system: str, operation: str, body: bytes) -> Fault | None:
        for position, fault in enumerate(self._armed):
            meant = fault.system == system and fault.operation in ("*", operation) and _possible(fault, operation)
            if meant and fault.names(body):
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
