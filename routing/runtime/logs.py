"""Log lines: structlog, one JSON object a line (or plain text for a person at a terminal), never a secret."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

# Under these names nothing is ever logged, whoever logs it.
SECRET_NAMES = ("secret", "token", "password", "authorization", "private_key", "session_id")


def hide_secrets(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last barrier, not the first: whoever logs should not hand secrets over at all."""
    for name in line:
        if any(word in name.lower() for word in SECRET_NAMES):
            line[name] = "(hidden)"
    return line


def configure(stream: TextIO, *, plain: bool = False) -> None:
    """Sends all log lines to ``stream``. Libraries' own loggers are kept to warnings: some print requests at debug level."""
    renderer: Any = structlog.dev.ConsoleRenderer(colors=False) if plain else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
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
    logging.basicConfig(stream=stream, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", force=True)
