"""``make bench``: the figures we promise, measured on this machine. Names a part to run it alone: ``python -m tests.bench daemon``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    check,
    daemon,
    kafka,
    matching,
    matching_people,
    mirror,
    pools,
    route,
    rules,
    salesforce,
    settle,
    tables,
    timers,
    webhooks,
    writes,
)
from tests.bench.report import Line, show

PARTS: dict[str, Callable[[Path], list[Line]]] = {
    "route": route.run,
    "daemon": daemon.throughput,
    "latency": daemon.latency,
    "burst": daemon.burst,
    "webhooks": webhooks.run,
    "start": mirror.run,
    "tables": tables.run,
    "settle": settle.run,
    "timers": timers.run,
    "pools": pools.run,
    "salesforce": salesforce.run,
    "writes": writes.run,
    "kafka": kafka.against_faust,
    "workers": kafka.two_workers,
    "arrival": kafka.arrival,
    "backlog": kafka.backlog,
    "rules": rules.run,
    "check": check.run,
    "match": matching.run,
    "people": matching_people.run,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    good = True
    for name in names or list(PARTS):
        with tempfile.TemporaryDirectory(prefix="fingerpost-bench-") as folder:
            good &= show(name, PARTS[name](Path(folder)))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
