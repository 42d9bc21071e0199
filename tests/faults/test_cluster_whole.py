"""The storms over a cluster, whole: `make faults`, or one alone with `python -m pytest tests/faults -m faults -k kills_ -s`.

``STORM_SHARE=0.2`` in the environment plays a fifth of each.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.faults import storms
from tests.faults.report import storm
from tests.faults.storms import Stage, stage
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres

SHARE = float(os.environ.get("STORM_SHARE", "1"))
pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

Make = Callable[..., AbstractContextManager[Stage]]
SETTLES_WITHIN = 900.0


def part(n: int) -> int:
    return max(2, round(n * SHARE))


@pytest.fixture
def make(tmp_path: Path, kafka: Kafka, postgres: Postgres) -> Make:
    """Makes a stage of the test's own."""

    def made(seed: int, **more: Any) -> AbstractContextManager[Stage]:
        return stage(tmp_path, seed, kafka, postgres, **more)

    return made


def test_kills_over_all_roles(make: Make) -> None:
    with storm("kill -9 over all roles") as line, make(41) as world:
        storms.kills(world, line, times=part(100), leads=part(21_000), rate=60, most_seconds=6)
        world.ends_alike(line, SETTLES_WITHIN)


def test_joins_and_leaves(make: Make) -> None:
    with storm("workers join and leave") as line, make(42) as world:
        storms.joins_and_leaves(world, line, times=part(30), leads=part(6_000), rate=25)
        world.ends_alike(line, SETTLES_WITHIN)


def test_broker_away(make: Make) -> None:
    with storm("broker stopped, then restarted") as line, make(43) as world:
        storms.broker_away(world, line, seconds=300 * SHARE, leads=part(3_500), rate=10)
        world.ends_alike(line, SETTLES_WITHIN)


def test_broker_killed(make: Make) -> None:
    with storm("broker killed, then restarted") as line, make(44) as world:
        storms.broker_away(world, line, seconds=30 * SHARE, leads=part(1_500), rate=25, how="kill")
        world.ends_alike(line, SETTLES_WITHIN)


def test_postgresql_restarted(make: Make) -> None:
    with storm("PostgreSQL restarted and killed") as line, make(45) as world:
        storms.ledger_restarts(world, line, times=part(12), leads=part(4_000), rate=50, most_seconds=10)
        world.ends_alike(line, SETTLES_WITHIN)


def test_postgresql_failed_over(make: Make) -> None:
    with storm("PostgreSQL failed over, cut off") as line, make(46, through_proxy=True) as world:
        storms.ledger_cut(world, line, times=part(6), leads=part(3_000), rate=40, seconds=4)
        world.ends_alike(line, SETTLES_WITHIN)


def test_ledger_read_only(make: Make) -> None:
    with storm("ledger read-only") as line, make(47) as world:
        storms.ledger_refuses(world, line, world.read_only, times=part(5), leads=part(3_000), rate=40, seconds=8)
        world.ends_alike(line, SETTLES_WITHIN)


def test_disk_full(make: Make) -> None:
    with storm("disk of PostgreSQL full") as line, make(50) as world:
        storms.ledger_refuses(world, line, world.disk_full, times=part(5), leads=part(3_000), rate=40, seconds=8)
        world.ends_alike(line, SETTLES_WITHIN)


def test_crms_down(make: Make) -> None:
    most_owed = part(5_000)
    with storm("CRMs down") as line, make(48, most_owed=most_owed) as world:
        storms.crm_down(world, line, leads=part(12_000), rate=200, most_owed=most_owed, seconds=60 * SHARE)
        world.ends_alike(line, SETTLES_WITHIN)


def test_poison_in_one_partition(make: Make) -> None:
    with storm("poison in one partition") as line, make(49) as world:
        storms.poison(world, line, count=part(1_500), leads=part(3_000), rate=50, wait=True)
        world.ends_alike(line, SETTLES_WITHIN)
