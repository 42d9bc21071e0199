"""What each class of connector error does. The one place where that is decided."""

from __future__ import annotations

from enum import Enum

from connectors.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectorBug,
    ConnectorError,
    MalformedAnswer,
    RateLimited,
    Transient,
)


class Verdict(Enum):
    """PAUSE: nothing more goes to this system for a while, the same batch is tried again; for ever, with growing waits.
    AGAIN: this write alone is tried again later. PARK: this write waits for the operator."""

    PAUSE = "pause"
    AGAIN = "again"
    PARK = "park"


# A lock that is still there after this many tries, which with the courier's waits is most of an hour, is not going away by itself:
# somebody's import may hold an account for minutes. Nor does what stands between us and the CRM let a write through that it has
# answered so often in the CRM's place.
MOST_ATTEMPTS = 30
# What fails alone so often, each time with others getting through since the last, is to blame itself: where a CRM fails three calls of
# ten, one write in two million would be taken for that wrongly.
MOST_ALONE = 12


def verdict(error: ConnectorError, attempts: int = 0, alone: int = 0) -> Verdict:
    """What to do about ``error`` after ``attempts`` tries of the same write, of which ``alone`` failed alone while others got through."""
    if isinstance(error, Transient) and alone >= MOST_ALONE:
        return Verdict.PARK
    if isinstance(error, MalformedAnswer) and error.outcome_unknown and attempts >= MOST_ATTEMPTS:
        return Verdict.PARK
    if isinstance(error, Transient | RateLimited | AuthenticationFailed):
        return Verdict.PAUSE
    # What may have been done is looked at before anybody is asked to; but our own mistakes do not go away.
    if isinstance(error, Conflict) or (error.outcome_unknown and not isinstance(error, ConnectorBug)):
        return Verdict.AGAIN if attempts < MOST_ATTEMPTS else Verdict.PARK
    return Verdict.PARK
