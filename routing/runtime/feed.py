"""What happens, told to whoever watches in this process: the live screen, metrics, tests. Never the truth: that is the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from msgspec import Struct

log = structlog.get_logger()


class Happening(Struct, frozen=True):
    """One thing that happened. ``what``: accepted, decided, applied, skipped, parked, settled (however it ended), confirmed,
    superseded, retried, paused, filling, policy, intake, ledger, deviation.

    ``detail`` holds the objects themselves (a Decision, a Fate, a text), by ``what``.
    """

    what: str
    count: int = 1
    detail: Any = None


Watcher = Callable[[Happening], None]


class Feed:
    """Hands each happening to all watchers at once, in the thread where it happened."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []

    def watch(self, watcher: Watcher) -> None:
        """Calls ``watcher`` from now on. It must be quick and may be called from several threads."""
        self._watchers = [*self._watchers, watcher]

    def tell(self, what: str, count: int = 1, detail: Any = None) -> None:
        """A watcher that fails is logged and left out from then on: watching must not stop the work."""
        happening = Happening(what, count, detail)
        for watcher in self._watchers:
            try:
                watcher(happening)
            except Exception:
                log.exception("a watcher of the feed failed and is left out from now on")
                self._watchers = [one for one in self._watchers if one is not watcher]
