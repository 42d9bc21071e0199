"""Checking large policies: 5,000 rungs, and tables of named accounts and postal codes, quickly and exactly."""

from __future__ import annotations

import gc
import random
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from structlog.testing import capture_logs

from routing.ledger.engine import Ledger
from routing.ledger.report import percentile
from routing.runtime.clock import utcnow
from routing.runtime.feed import Feed
from routing.runtime.policies import Policies, beside_events
from rules.analysis.analyse import analyse
from rules.language.grammar import parse
from rules.policy import compile_policy
from tests.bench.report import Line
from tests.bench.rules import Rule, leads_of, rules_of
from tests.bench.tables import accounts, codes, csv, mixed, ranges
from tests.unit.rules.samples import NOW, facts, ladder, policy_files

RUNGS = 5_000
OTHERWISE = "otherwise: pool Everyone"


def rungs_of(rules: list[Rule], chance: random.Random) -> str:
    """An engagement.yaml of these rules."""
    does = ("assign: pool Everyone", "assign: Ana Diaz", "assign: Ben Okafor", "hold: ask Legal")
    texts = [f"rung: Rule {number}\nwhen: {rule.ours()}\n{chance.choice(does)}" for number, rule in enumerate(rules)]
    return ladder(*texts, OTHERWISE)


def large_policies() -> dict[str, dict[str, bytes]]:
    """Policies by what is large about them."""
    chance = random.Random(4)
    lookup = ladder("rung: Table\nlookup: table.csv", OTHERWISE)
    return {
        f"{RUNGS:,} rungs": policy_files(engagement=rungs_of(rules_of(RUNGS, chance), chance)),
        "5,000 territories": policy_files(engagement=lookup, table=csv(mixed(5_000))),
        "20,000 named accounts": policy_files(engagement=lookup, table=csv(accounts(20_000))),
        "20,000 ranges of codes": policy_files(engagement=lookup, table=csv(ranges(20_000))),
        "40,000 postal codes": policy_files(engagement=lookup, table=csv(codes(40_000))),
    }


def swap(files: dict[str, bytes], folder: Path) -> list[Line]:
    """Decides one lead a millisecond while the daemon's own code reads a changed folder, compiles and tests it, makes it live and
    frees the old one: what is late.

    For comparison the same beside a loop that does nothing: what is late there, the machine and Python's lock make late.
    """
    policy = folder / "policy"
    policy.mkdir()
    for name, data in files.items():
        (policy / name).write_bytes(data)
    (policy / "tests.yaml").write_text("tests: [{test: One, lead: {country: XX}, expect: {pool: Everyone}}]\n")
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    ledger.upgrade()
    live = Policies(policy, ledger, utcnow, Feed())
    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 50)  # both as routing.bootstrap.process does

    def refresh() -> None:
        with (policy / "engagement.yaml").open("ab") as file:
            file.write(b"# changed\n")
        assert live.refresh()
        live.refresh()  # a second later: frees what is not used any more

    def idle() -> None:
        end = time.process_time() + 1
        with beside_events():
            while time.process_time() < end:
                pass

    lines = []
    with capture_logs():
        for what, work in ((f"{RUNGS:,} rungs swapped", refresh), ("beside an idle loop", idle)):
            late = _late(live, work)
            lines.append(Line(f"{what}: a lead is late by, p50", (percentile(late, 50) or 0) / 1e3, "ms"))
            promised = 50 if work is refresh else None
            for share in (99, 100):
                name = f"{what}: a lead is late by, {'p99' if share == 99 else 'at most'}"
                lines.append(Line(name, (percentile(late, share) or 0) / 1e3, "ms", promised, at_least=False))
    gc.set_threshold(*before)
    gc.unfreeze()
    ledger.close()
    return lines


def _late(live: Policies, work: Callable[[], None]) -> list[int]:
    """By how many microseconds leads were late while ``work`` was done in another thread, in order."""
    leads = [facts(one["lead"]) for one in leads_of(2_000, random.Random(3))]
    late: list[int] = []
    other = threading.Thread(target=work)
    other.start()
    number = 0
    while other.is_alive():
        start = time.perf_counter()
        time.sleep(0.001)
        live.current.walk(leads[number % len(leads)], lambda _: None, NOW)
        late.append(int((time.perf_counter() - start - 0.001) * 1e6))
        number += 1
    other.join()
    return sorted(late)


def run(folder: Path) -> list[Line]:
    """Seconds of CPU and the memory of one exact look."""
    compile_policy(policy_files())  # the grammar itself is made once in a process
    parse('lead.country = "DE"')
    lines: list[Line] = []
    for what, files in large_policies().items():
        took: list[float] = []
        for _ in range(3):
            gc.collect()
            gc.disable()  # as `policy check` and the daemon do
            start = time.process_time()
            policy = compile_policy(files)
            took.append(time.process_time() - start)
            gc.enable()
        promised = 1 if what.startswith(f"{RUNGS:,}") else None
        lines.append(Line(f"{what}: read and compiled", min(took), "s", promised, at_least=False))
        start = time.process_time()
        analyse(policy, files, NOW)
        quick = 2 if what.startswith(f"{RUNGS:,}") else None
        lines.append(Line(f"{what}: quick checks", time.process_time() - start, "s", quick, at_least=False))
        start = time.process_time()
        found = analyse(policy, files, NOW, exact=True)
        lines.append(Line(f"{what}: exact checks", time.process_time() - start, "s", 60, at_least=False))
        lines.append(Line(f"{what}: warnings", len(found.problems), ""))
        lines.append(Line(f"{what}: undecided", found.undecided, "rules"))
        tracemalloc.start()
        analyse(policy, files, NOW)
        lines.append(
            Line(f"{what}: memory of the quick checks, highest", tracemalloc.get_traced_memory()[1] / 1e6, "MB")
        )
        tracemalloc.stop()
        if what.endswith("rungs"):
            lines += swap(files, folder)
    return lines
