"""Keeps a connection's count of calls with that of the other processes, and with that from before the last start."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from connectors.contract import Tally
from routing.ledger import tallies
from routing.ledger.engine import Ledger
from routing.runtime.clock import Clock

SECONDS = 60.0


def keep(tally: Tally, system: str, ledger: Ledger, clock: Clock, stop: threading.Event) -> None:
    """Exchanges counts at once, once a minute and at the end. Blocks until ``stop``."""

    def add(counted: Mapping[str, int]) -> Mapping[str, int]:
        with ledger.write() as conn:
            return tallies.add(conn, system, counted, clock())

    while True:
        tally.exchange(add)
        if stop.wait(SECONDS):
            tally.exchange(add)
            return
