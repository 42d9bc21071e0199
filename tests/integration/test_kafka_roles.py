"""The distributed runtime as its operator runs it: gateway, workers and delivery as processes of their own.

One stage for all scenes, in their order: putting it up takes longer than playing on it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from kafka.admin import KafkaAdminClient

from routing.ledger import journal, outbox, shares
from routing.ledger.engine import Ledger
from tests.processes import Roles, wait_for
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres

PARTITIONS = 6
LEADS = 15


class Scene:
    """The stage, and how many leads were made on it so far."""

    def __init__(self, roles: Roles, bootstrap: str, group: str) -> None:
        self.roles, self._bootstrap, self.group = roles, bootstrap, group

    def leads(self) -> None:
        """So many leads come in."""
        self.roles.traffic(LEADS, 30.0)

    def members(self) -> int:
        """How many workers the broker counts in the group."""
        admin = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        found = admin.describe_groups([self.group])[self.group]
        admin.close()
        return len(found["members"])

    def ends_well(self) -> None:
        """Everything that came in is decided once and written once."""
        self.roles.await_settled(90)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, kafka_of_the_session: Kafka, postgres: Postgres) -> Iterator[Scene]:
    kafka_of_the_session.start()
    topic = kafka_of_the_session.topic(PARTITIONS)
    kafka_of_the_session.topic(PARTITIONS, f"{topic}-decisions")
    folder = tmp_path_factory.mktemp("roles")
    roles = Roles(folder, 7, kafka_of_the_session.bootstrap, topic, postgres.fresh(), PARTITIONS)
    for name in ("gateway", "worker", "delivery"):
        roles.begin(name)
    try:
        roles.await_ready()
        yield Scene(roles, kafka_of_the_session.bootstrap, topic)
    finally:
        roles.close()


def test_a_leads_whole_way_through_the_three_roles(scene: Scene) -> None:
    scene.leads()
    scene.ends_well()
    assert scene.roles.held("worker") == list(range(PARTITIONS))
    health = scene.roles.health_of("worker")
    assert health["ok"]
    assert health["roles"] == ["worker"]
    assert health["log"]["lag"].keys() == {"0", "1", "2", "3", "4", "5"}
    assert scene.roles.health_of("gateway")["reads"] == ["hubspot", "salesforce"]
    port = scene.roles.port_of("worker")
    metrics = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    assert re.search(r"^fingerpost_partitions_held 6\.0$", metrics, re.M)
    assert '"role": "worker"' in scene.roles.said("worker")


def test_a_second_worker_takes_its_share_and_gives_it_back(scene: Scene) -> None:
    scene.roles.begin("worker2")
    scene.leads()
    scene.roles.await_shares("worker", "worker2")
    scene.ends_well()
    assert scene.roles.end("worker2") == 0
    scene.roles.await_shares("worker")


def test_a_worker_that_is_asked_to_stop_finishes_and_leaves(scene: Scene) -> None:
    scene.roles.begin("worker2")
    scene.roles.await_shares("worker", "worker2")
    scene.leads()
    assert scene.members() == 2
    assert scene.roles.end("worker") == 0
    assert scene.members() == 1, "the others will wait for its session to time out: it did not leave"
    scene.roles.await_shares("worker2")
    scene.ends_well()


@pytest.mark.parametrize("name", ["worker2", "delivery", "gateway"])
def test_a_role_is_killed_and_started_again(scene: Scene, name: str) -> None:
    scene.leads()
    scene.roles.end(name, signal.SIGKILL)
    scene.roles.begin(name)
    scene.roles.await_ready()
    scene.ends_well()


def test_another_gateway_reads_on_when_one_dies(scene: Scene) -> None:
    scene.roles.begin("gateway2")
    scene.roles.await_ready()
    assert scene.roles.health_of("gateway2")["reads"] == []
    scene.roles.end("gateway", signal.SIGKILL)
    wait_for(
        "the seats to be taken", lambda: scene.roles.health_of("gateway2").get("reads") == ["hubspot", "salesforce"], 60
    )
    scene.roles.begin("gateway")
    scene.roles.await_ready()
    scene.leads()
    scene.ends_well()
    scene.roles.end("gateway2")


@pytest.mark.timeout(300)
def test_all_roles_in_one_process_take_leads_the_whole_way(kafka_of_the_session: Kafka, tmp_path: Path) -> None:
    kafka_of_the_session.start()
    command = [
        sys.executable,
        "-m",
        "routing.cli.app",
        "run",
        "--runtime",
        "kafka",
        "--sandbox",
        "--leads",
        "12",
        "--rate",
        "20",
    ]
    done = subprocess.run(
        [*command, "--until-idle", "--json"],
        cwd=tmp_path,
        env=os.environ | {"FINGERPOST_KAFKA": kafka_of_the_session.bootstrap},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ledger = Ledger(f"sqlite:///{tmp_path}/.fingerpost/sandbox/ledger.db")
    with ledger.read() as conn:
        states, writes = journal.counts(conn), outbox.counts(conn)
        assert shares.followed(conn)
    ledger.close()
    assert set(states) <= {"applied", "skipped"}
    assert states["applied"] >= 12
    assert set(writes) == {"confirmed"}


def test_roles_that_are_to_end_do_while_the_database_hangs(scene: Scene, postgres: Postgres) -> None:
    names = sorted(scene.roles.processes)
    with postgres.hanging():
        for name in names:
            scene.roles.processes[name].terminate()
        for name in names:
            assert scene.roles.processes.pop(name).wait(20) in (0, 1)  # ten of their own, on a busy machine
    for name in names:
        said = scene.roles.said(name)
        assert "could not be closed within 10 seconds" in said or "Did not stop in time: " in said, said[-2000:]
        scene.roles.begin(name)
    scene.roles.await_ready()
    scene.leads()
    scene.ends_well()


def test_a_worker_that_is_to_end_does_while_the_broker_hangs(scene: Scene, kafka_of_the_session: Kafka) -> None:
    name = next(name for name in scene.roles.processes if name.startswith("worker"))
    with kafka_of_the_session.hanging():
        assert scene.roles.end(name, seconds=20) == 0
    scene.roles.begin(name)
    scene.roles.await_ready()
    scene.leads()
    scene.ends_well()


def test_in_the_end_everything_was_decided_once_and_written_once(scene: Scene) -> None:
    outcome = scene.roles.outcome()
    assert set(outcome.journal) <= {"applied", "skipped"}
    assert set(outcome.writes) <= {"confirmed"}
    assert outcome.decided >= 9 * LEADS
    assert all(n <= 1 for row in outcome.records.values() for n in row["writes"].values())
