"""``kill -9`` at any moment, then a start: the CRMs end as if nothing had happened, fairness included."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.report import storm
from tests.processes import PATIENCE, Outcome, Run, assert_same


def play(folder: Path, seed: int, leads: int, rate: float, kills: int) -> Outcome:
    """A run of ``leads``; with ``kills`` the daemon dies that often, at moments that the seed decides."""
    chance = random.Random(seed)
    run = Run(folder, seed)
    try:
        run.start()
        run.await_ready()
        run.traffic(leads, rate)
        done = 0
        while done < kills and not run.settled():
            # Sometimes before it is ready again, sometimes in full flight.
            PATIENCE.wait(chance.uniform(0.3, 2.5))
            assert run.alive(), "the daemon ended by itself"
            run.kill()
            done += 1
            run.start()
        run.await_settled()
        outcome = run.outcome()
        outcome.kills = done
    finally:
        run.close()
    return outcome


def compare(name: str, killed: Outcome, calm: Outcome) -> None:
    with storm(name) as line:
        ended = sum(n for state, n in killed.journal.items() if state in ("applied", "skipped", "parked"))
        line.times = f"{killed.kills} kills"
        line.enter(killed, sum(killed.journal.values()), ended)
        assert_same(killed, calm)


@pytest.mark.timeout(170)
def test_a_few_kills_change_nothing(tmp_path: Path) -> None:
    calm = play(tmp_path / "calm", seed=5, leads=300, rate=100, kills=0)
    killed = play(tmp_path / "killed", seed=5, leads=300, rate=60, kills=4)
    assert killed.kills == 4
    compare("kill -9, one process (short)", killed, calm)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [11, 12])
def test_a_storm_of_kills_changes_nothing(tmp_path: Path, seed: int) -> None:
    calm = play(tmp_path / "calm", seed=seed, leads=5000, rate=400, kills=0)
    killed = play(tmp_path / "killed", seed=seed, leads=5000, rate=100, kills=24)
    assert killed.kills >= 20
    compare(f"kill -9, one process (seed {seed})", killed, calm)
