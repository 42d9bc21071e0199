"""The storms over a cluster, small: what `make faults` does for minutes, in seconds.

One stage for all, in this order: putting it up takes longer than most of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import storms
from tests.faults.report import storm
from tests.faults.storms import Stage, stage
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.timeout(300)  # seconds for each on a quiet machine
MOST_OWED = 100


@pytest.fixture(scope="module")
def one_stage(
    tmp_path_factory: pytest.TempPathFactory, kafka_of_the_session: Kafka, postgres: Postgres
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("storms")
    with stage(folder, 31, kafka_of_the_session, postgres, through_proxy=True, most_owed=MOST_OWED) as made:
        yield made


@pytest.fixture
def world(one_stage: Stage, kafka: Kafka) -> Stage:
    return one_stage


def test_roles_are_killed(world: Stage) -> None:
    with storm("kill -9 over all roles (short)") as line:
        storms.kills(world, line, times=6, leads=240, rate=30, most_seconds=2.5)
        world.ends_alike(line)


def test_workers_join_and_leave(world: Stage) -> None:
    with storm("workers join and leave (short)") as line:
        storms.joins_and_leaves(world, line, times=2, leads=60, rate=10)
        world.ends_alike(line)


def test_the_broker_is_away(world: Stage) -> None:
    with storm("broker stopped, then restarted (short)") as line:
        storms.broker_away(world, line, seconds=8, leads=60, rate=6)
        world.ends_alike(line)


def test_postgresql_is_restarted(world: Stage) -> None:
    with storm("PostgreSQL restarted (short)") as line:
        storms.ledger_restarts(world, line, times=2, leads=60, rate=20, most_seconds=2)
        world.ends_alike(line)


def test_the_ledger_is_cut_off(world: Stage) -> None:
    with storm("PostgreSQL failed over, cut off (short)") as line:
        storms.ledger_cut(world, line, times=1, leads=60, rate=20, seconds=1)
        world.ends_alike(line)


def test_the_ledger_is_read_only(world: Stage) -> None:
    with storm("ledger read-only (short)") as line:
        storms.ledger_refuses(world, line, world.read_only, times=1, leads=60, rate=15, seconds=1)
        world.ends_alike(line)


def test_the_ledgers_disk_is_full(world: Stage) -> None:
    with storm("disk of PostgreSQL full (short)") as line:
        storms.ledger_refuses(world, line, world.disk_full, times=1, leads=60, rate=15, seconds=1)
        world.ends_alike(line)


def test_the_crms_are_down(world: Stage) -> None:
    with storm("CRMs down (short)") as line:
        storms.crm_down(world, line, leads=240, rate=80, most_owed=MOST_OWED, seconds=1)
        world.ends_alike(line)


def test_a_partition_is_poisoned(world: Stage) -> None:
    with storm("poison in one partition (short)") as line:
        storms.poison(world, line, count=300, leads=60, rate=60, wait=False)
        world.ends_alike(line)
