"""The disk of the one-machine form runs full: what cannot be kept is refused, nothing is lost, and with room again all goes on."""

from __future__ import annotations

from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit

import pytest

from tests.faults.report import storm
from tests.processes import PATIENCE, Outcome, Run, assert_same, wait_for

LEFT = 1_000_000  # bytes: no file grows beyond that, as if the disk had no more


def fill_up(run: Run, seconds: float) -> None:
    """No room for a while: the sandbox's webhooks are refused, and none is acknowledged."""
    left = max(LEFT, run.log_file.stat().st_size + LEFT // 4)
    refused = run.webhook_answers("503")
    prlimit(run.pid, RLIMIT_FSIZE, (left, RLIM_INFINITY))
    wait_for("the loss to be told", lambda: run.health().get("ledger_lost_since") is not None, 60)
    wait_for("a refusal", lambda: run.webhook_answers("503") > refused, 60)
    taken = run.webhook_answers("200")
    PATIENCE.wait(seconds)
    assert run.webhook_answers("200") == taken, "nothing was acknowledged that could not be kept"
    prlimit(run.pid, RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))
    wait_for("the ledger", lambda: run.health().get("ok", False), 60)


def play(folder: Path, seed: int, leads: int, rate: float, times: int, seconds: float) -> Outcome:
    """A run of ``leads`` in which the disk is full so many times."""
    run = Run(folder, seed)
    try:
        run.start()
        run.await_ready()
        run.traffic(leads, rate)
        for _ in range(times):
            PATIENCE.wait(seconds)
            fill_up(run, seconds)
        run.await_settled()
        assert run.alive()
        return run.outcome()
    finally:
        run.close()


def compare(name: str, folder: Path, leads: int, rate: float, times: int, seconds: float) -> None:
    with storm(name) as line:
        line.times = f"{times} times {seconds:.0f} s"
        full = play(folder / "full", 23, leads, rate, times, seconds)
        ended = sum(n for state, n in full.journal.items() if state in ("applied", "skipped", "parked"))
        line.enter(full, sum(full.journal.values()), ended)
        assert_same(full, play(folder / "calm", 23, leads, 400, 0, 0))


@pytest.mark.timeout(300)
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    compare("disk full, one process (short)", tmp_path, leads=300, rate=30, times=1, seconds=1)


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_a_disk_that_is_full_again_and_again(tmp_path: Path) -> None:
    compare("disk full, one process", tmp_path, leads=4_000, rate=40, times=6, seconds=8)
