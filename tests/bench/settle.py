"""How long the embedded runtime takes for a batch: 500 events of the journal, settled in one transaction on SQLite."""

from __future__ import annotations

import threading
from pathlib import Path
from statistics import median

from routing.bootstrap.process import warm_up
from routing.ledger import journal
from routing.ledger.engine import Ledger
from routing.runtime.clock import monotonic, utcnow
from routing.runtime.feed import Feed
from routing.runtime.housekeeping import Housekeeping
from routing.runtime.loop import BATCH, Loop
from routing.runtime.policies import Policies
from tests.bench.inbound import fill, leads
from tests.bench.report import Line
from tests.processes import POLICY

EVENTS = 10_000


def run(folder: Path) -> list[Line]:
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    ledger.upgrade()
    feed = Feed()
    policies = Policies(POLICY, ledger, utcnow, feed)
    fill(ledger)
    with ledger.write() as conn:
        journal.accept(conn, leads(EVENTS), utcnow())
    loop = Loop(ledger, policies, utcnow, feed)
    warm_up()
    stop = threading.Event()
    keeping = threading.Thread(target=Housekeeping(ledger, utcnow, 0).run, args=[stop])
    keeping.start()
    taken = []
    while True:
        began = monotonic()
        settled = loop.work_off(BATCH)
        if not settled:
            break
        if settled == BATCH:
            taken.append((monotonic() - began) * 1000)
    stop.set()
    keeping.join()
    ledger.close()
    return [
        Line(f"a batch of {BATCH} settled, median of {len(taken)}", median(taken), "ms", 150, at_least=False),
        Line("the slowest of them", max(taken), "ms"),
    ]
