"""The daemon's threads: started in groups, stopped in groups, and the death of one is the death of all.

A thread that ends with an error must not leave a daemon that looks alive: everything stops and the process ends with a
non-zero code, so that its supervisor restarts it. What was not settled is still in the ledger.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger()

Run = Callable[[threading.Event], None]


class Services:
    """Named threads in groups; each group has a stop event of its own."""

    def __init__(self) -> None:
        self._threads: dict[str, list[threading.Thread]] = {}
        self._stops: dict[str, threading.Event] = {}
        self.failed = threading.Event()
        self.failure = ""

    def stop_event(self, group: str) -> threading.Event:
        """The event that stops a group; shared with helpers that must stop along with it."""
        return self._stops.setdefault(group, threading.Event())

    def start(self, group: str, name: str, run: Run) -> None:
        """Runs ``run(stop)`` in a thread."""
        stop = self.stop_event(group)

        def guarded() -> None:
            try:
                run(stop)
            except BaseException as error:
                log.critical("a part of the daemon failed; stopping", part=name, exc_info=error)
                self.failure = f"{name} failed: {type(error).__name__}: {error}"
                self.failed.set()

        thread = threading.Thread(target=guarded, name=f"fingerpost-{name}", daemon=True)
        self._threads.setdefault(group, []).append(thread)
        thread.start()

    def stop(self, group: str, seconds: float = 10.0) -> list[str]:
        """Stops a group and waits up to ``seconds`` for it. Returns the names of threads that did not end."""
        self.stop_event(group).set()
        late = []
        for thread in self._threads.get(group, []):
            thread.join(seconds)
            if thread.is_alive():
                late.append(thread.name)
        return late
