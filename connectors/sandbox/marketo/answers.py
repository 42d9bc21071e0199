"""What the handlers of Marketo's REST API share: what they are asked with, and how they refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from connectors.sandbox.faults import Fault

PAGE = 300  # records in one call
PER_RECORD = ("partial", "lock", "person_edits")  # faults of single records

Query = Mapping[str, str]
Handler = Callable[[Query, bytes, Fault | None], Any]


class Failure(Exception):
    """A whole request refused: a code in an answer of status 200."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


FAILURES = {
    "unavailable": Failure("608", "API Temporarily Unavailable"),
    **dict.fromkeys(("broken", "broken_after_commit"), Failure("611", "System error")),
    "rate_limited": Failure("606", "Max rate limit '100' exceeded with in '20' secs"),
    "daily_limit": Failure("607", "Daily quota reached"),
    "forbidden": Failure("603", "Access denied"),
    "at_once": Failure("615", "Concurrent access limit reached"),
}


def refusing(failure: Failure) -> Handler:
    """A handler that does nothing else."""

    def handler(_query: Query, _body: bytes, _: Fault | None) -> Any:
        raise failure

    return handler
