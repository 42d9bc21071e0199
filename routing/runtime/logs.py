"""Log lines: structlog, one JSON object a line (or plain text for a person at a terminal), never a secret."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from routing.runtime.clock import monotonic

# Under these names nothing is ever logged, whoever logs it.
SECRET_NAMES = ("secret", "token", "password", "authorization", "private_key", "session_id")


def hide_secrets(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last barrier, not the first: whoever logs should not hand secrets over at all."""
    for name in line:
        if any(word in name.lower() for word in SECRET_NAMES):
            line[name] = "(hidden)"
    return line


# While the brokers are away their clients say so several times a second.
REPEAT_SECONDS = 30.0


class _Libraries(logging.Handler):
    """Takes what libraries log into our own lines. The same from the same place is told once in ``REPEAT_SECONDS``."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._log = structlog.get_logger()
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging``, in any thread, under the handler's lock."""
        place, now = (record.name, str(record.msg)), monotonic()
        since, silent = self._told.get(place, (0.0, 0))
        if since and now - since < REPEAT_SECONDS:
            self._told[place] = (since, silent + 1)
            return
        self._told[place] = (now, 0)
        more: dict[str, Any] = {"repeated": silent} if silent else {}
        if record.exc_info and record.exc_info[1] is not None:
            more["exc_info"] = record.exc_info[1]
        self._log.log(record.levelno, record.getMessage(), library=record.name, **more)


def configure(stream: TextIO, *, plain: bool = False, **every: Any) -> None:
    """Sends all log lines to ``stream``, each with what ``every`` names. Libraries are kept to warnings: some print requests at
    debug level."""
    renderer: Any = structlog.dev.ConsoleRenderer(colors=False) if plain else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            lambda _logger, _method, line: {**every, **line},
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            hide_secrets,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)
