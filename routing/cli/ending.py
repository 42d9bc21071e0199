"""A process that is to end ends in time, whatever hangs: a database that answers nothing holds up threads that cannot be asked."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import typer

from routing.cli.output import problem

END_SECONDS = 10.0
SAFE = "What they were at is in the ledger, or where it came from, and will be taken up again."


@contextmanager
def in_time(who: str) -> Iterator[None]:
    """What stands in the block ends the process: with code 1, and a word of why, after END_SECONDS at the latest."""
    timer = threading.Timer(END_SECONDS, _end, [who])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def leave(code: int, late: Sequence[str] = ()) -> NoReturn:
    """Ends the process with ``code``. Raises typer.Exit, unless threads are ``late``, or a library left some that Python would wait
    for: those of Kafka's clients wait for brokers that may answer nothing."""
    main = threading.main_thread()
    if late or any(one is not main and not one.daemon for one in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise typer.Exit(code)


def _end(who: str) -> None:
    problem(
        f"{who} could not be closed within {END_SECONDS:.0f} seconds: something that it asked answers nothing. Nothing is lost by that."
    )
    sys.stderr.flush()
    os._exit(1)
