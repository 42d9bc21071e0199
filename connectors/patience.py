"""How a source that asks waits: as long as the system wants, or ever longer where it does not say."""

from __future__ import annotations

from threading import Event
from typing import Any

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event

from connectors.errors import ConnectorError

log = structlog.get_logger(__name__)
_SHORTEST = 0.05  # seconds


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
