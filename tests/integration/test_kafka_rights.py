"""A broker that grants each user only some rights: those that `deploy/README.md` lists are enough, and who lacks one is told which."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import errors as aio
from kafka import KafkaConsumer
from kafka import errors as plain
from typer.testing import CliRunner

from connectors.salesforce.settings import Secret
from routing.bootstrap.deciding import Deciding
from routing.bootstrap.process import Process
from routing.cli.app import app
from routing.ledger import journal
from routing.ledger.engine import Ledger
from routing.runtime.clock import utcnow
from routing.runtime.filling import DONE
from routing.runtime.kafka.refusal import refused
from routing.runtime.kafka.sender import Outgoing, Sender
from routing.runtime.kafka.settings import KafkaSettings, KafkaUnwell
from tests.processes import POLICY, wait_for
from tests.servers.kafka import Kafka

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
# A Faust that crashes leaves threads and coroutines as they are; the process that it was in ends.
crashing = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
PASSWORD = "battery-staple"
Rights = tuple[tuple[str, str, tuple[str, ...]], ...]  # (kind, name without its end, operations)
CHANGES, DECISIONS, GROUP = ("TOPIC", "changes"), ("TOPIC", "decisions"), ("GROUP", "group")
# As deploy/README.md lists them.
GATEWAY: Rights = ((*CHANGES, ("WRITE",)),)
WORKER: Rights = ((*CHANGES, ("READ",)), (*GROUP, ("READ",)))
DELIVERY: Rights = ((*DECISIONS, ("WRITE",)),)
CHECK: Rights = ((*CHANGES, ("DESCRIBE", "DESCRIBE_CONFIGS")), (*DECISIONS, ("DESCRIBE", "DESCRIBE_CONFIGS")))
CREATE: Rights = ((*CHANGES, ("CREATE",)), (*DECISIONS, ("CREATE",)))
UPDATE: Rights = ((*CHANGES, ("ALTER_CONFIGS",)), (*DECISIONS, ("ALTER_CONFIGS",)))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("rights") / "broker", secure=True) as made:
        yield made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class User:
    """Somebody with a topic of changes, a topic of decisions and a group of their own, and the rights that a test gives them."""

    def __init__(self, broker: Kafka, *rights: Rights, made: bool = True) -> None:
        """``made``: whether the topics are there."""
        self._broker = broker
        self.end = broker.topic().removeprefix("topic")
        for name in ("changes", "decisions") if made else ():
            broker.topic(2, f"{name}{self.end}")
        self.name = f"user{self.end}"
        broker.user(self.name, PASSWORD)
        for some in rights:
            self.grant(some)
        self.kafka: dict[str, Any] = {
            "bootstrap_servers": broker.addresses["SASL_PLAINTEXT"],
            "security_protocol": "SASL_PLAINTEXT",
            "username": self.name,
            "changes_topic": f"changes{self.end}",
            "decisions_topic": f"decisions{self.end}",
            "group": f"group{self.end}",
            "replication": 1,
            "partitions": 2,
            "delivery_timeout_seconds": 5,
            "session_timeout_seconds": 6,
        }
        self.settings = KafkaSettings(**self.kafka, password=Secret(PASSWORD))

    def grant(self, rights: Rights) -> None:
        for kind, name, operations in rights:
            self._broker.grant(self.name, kind, f"{name}{self.end}", *operations)

    def revoke(self, rights: Rights) -> None:
        for kind, name, operations in rights:
            self._broker.revoke(self.name, kind, f"{name}{self.end}", *operations)

    @contextmanager
    def worker(self, folder: Path) -> Iterator[tuple[Process, Deciding]]:
        process = Process(f"sqlite:///{folder}/ledger.db", POLICY, lambda _policies: [], alone=False)
        deciding = Deciding(process, self.settings)
        process.services.start("deciding", "start-up", deciding.open)
        try:
            yield process, deciding
        finally:
            assert process.stop() == []

    def sends(self, topic: str) -> str:
        """What comes of sending: "" when the topic took it."""
        sender = Sender(self.settings, topic)
        try:
            sender.connect()
            return str(sender.write([Outgoing("fake:lead:1", b"{}")])[0] or "")
        except KafkaUnwell as unwell:
            return str(unwell)
        finally:
            sender.close()

    def types(self, folder: Path, *words: str) -> tuple[int, str]:
        """What a command says to them."""
        (folder / "password").write_text(PASSWORD)
        file = folder / "fingerpost.yaml"
        kafka = self.kafka | {"password": {"file": "password"}}
        file.write_text(yaml.safe_dump({"policy": str(POLICY), "ledger": "ledger.db", "kafka": kafka}), "utf-8")
        result = CliRunner().invoke(app, [*words, "--config", str(file)])
        return result.exit_code, " ".join(f"{result.output}{result.exception or ''}".split())


def holds_all(deciding: Deciding) -> bool:
    return deciding.health()["partitions"] == [0, 1]


# -- what is listed is enough -----------------------------------------------------------------------------------------


def test_a_gateway_and_a_delivery_need_no_more_than_to_write(broker: Kafka) -> None:
    gateway, delivery = User(broker, GATEWAY), User(broker, DELIVERY)
    assert gateway.sends(gateway.settings.changes_topic) == ""
    assert delivery.sends(delivery.settings.decisions_topic) == ""


def test_a_worker_needs_no_more_than_to_read(broker: Kafka, tmp_path: Path) -> None:
    user = User(broker, WORKER)
    with user.worker(tmp_path) as (process, deciding):
        wait_for("its partitions", lambda: holds_all(deciding), 60)
        wait_for("the log's ends", lambda: deciding.watchdog.lag.keys() == {0, 1}, 60)
        assert process.services.failure == ""
        assert deciding.unreachable == ""


def test_whoever_looks_after_the_topics_needs_no_more_than_is_listed(broker: Kafka, tmp_path: Path) -> None:
    user = User(broker, CHECK, CREATE, made=False)
    assert user.types(tmp_path, "topics", "create")[0] == 0
    code, said = user.types(tmp_path, "topics", "check")
    assert code == 0, said
    user.kafka["changes_retention_hours"] = 12
    code, said = user.types(tmp_path, "topics", "create", "--update")
    assert (code, "was not changed" in said, "the right AlterConfigs on it" in said) == (1, True, True), said
    user.grant(UPDATE)
    code, said = user.types(tmp_path, "topics", "create", "--update")
    assert (code, "retention.ms was 604800000, is 43200000 now" in said) == (0, True), said


@pytest.mark.parametrize("lacking", ["DESCRIBE", "DESCRIBE_CONFIGS"])
def test_who_may_not_look_at_the_topics_is_told_so(broker: Kafka, tmp_path: Path, lacking: str) -> None:
    user = User(broker, ((*CHANGES, ("DESCRIBE",)), (*DECISIONS, ("DESCRIBE",))) if lacking != "DESCRIBE" else ())
    code, said = user.types(tmp_path, "topics", "check")
    assert code != 0
    assert f"grant {'Describe and ' if lacking == 'DESCRIBE' else ''}DescribeConfigs on it" in said


# -- who lacks one is told which --------------------------------------------------------------------------------------

LACKING: list[tuple[Rights, str]] = [
    ((), "the topic 'changes{}': grant Describe and Read on it"),
    (((*CHANGES, ("DESCRIBE",)), (*GROUP, ("READ",))), "the topic 'changes{}': grant Describe and Read on it"),
    (((*CHANGES, ("READ",)),), "the group 'group{}': grant Read on it"),
]


@crashing
@pytest.mark.parametrize(("rights", "said"), LACKING)
def test_a_worker_that_lacks_a_right_ends_and_says_which(
    broker: Kafka, tmp_path: Path, rights: Rights, said: str
) -> None:
    user = User(broker, rights)
    with user.worker(tmp_path) as (process, _):
        wait_for("the end", process.services.failed.is_set, 60)
        assert f"The brokers refuse {user.name} {said.format(user.end)}" in process.services.failure
        assert process.metrics.registry.get_sample_value("fingerpost_kafka_refusals_total") == 1


@crashing
@pytest.mark.parametrize(
    ("taken", "what"), [(WORKER[:1], "the topic 'changes{}'"), (WORKER[1:], "the group 'group{}'")]
)
def test_a_worker_whose_right_is_taken_away_while_it_works_ends_and_says_which(
    broker: Kafka, tmp_path: Path, taken: Rights, what: str
) -> None:
    user = User(broker, WORKER)
    with user.worker(tmp_path) as (process, deciding):
        wait_for("its partitions", lambda: holds_all(deciding), 60)
        user.revoke(taken)
        wait_for("the end", process.services.failed.is_set, 60)
        assert f"The brokers refuse {user.name} {what.format(user.end)}" in process.services.failure


@crashing
def test_a_group_that_another_program_uses_is_told(broker: Kafka, tmp_path: Path) -> None:
    user = User(broker, WORKER)
    other = KafkaConsumer(user.settings.changes_topic, bootstrap_servers=broker.bootstrap, group_id=user.settings.group)
    try:
        wait_for("the other to be a member", lambda: other.poll(100) or other.assignment(), 60)
        with user.worker(tmp_path) as (process, _):
            wait_for("the end", lambda: other.poll(100) or process.services.failed.is_set(), 60)
            assert "has members that are no workers of Fingerpost: set kafka.group" in process.services.failure
    finally:
        other.close(autocommit=False)


@pytest.mark.parametrize("rights", [(), ((*CHANGES, ("DESCRIBE",)),)])
def test_who_may_not_write_is_told_so(broker: Kafka, rights: Rights) -> None:
    user = User(broker, rights)
    topic = user.settings.changes_topic
    assert f"the brokers refuse {user.name} the topic '{topic}': grant Describe and Write on it" in user.sends(topic)


def test_a_refused_worker_ends_with_1_for_its_supervisor(broker: Kafka, tmp_path: Path, postgres_url: str) -> None:
    user = User(broker, WORKER[:1])
    (tmp_path / "password").write_text(PASSWORD)
    config = tmp_path / "fingerpost.yaml"
    settings = {
        "policy": str(POLICY),
        "ledger": postgres_url,
        "worker": {"port": 0},
        "kafka": user.kafka | {"password": {"file": "password"}},
        "salesforce": {"login_url": "https://127.0.0.1:1", "client_id": "us"},
    }
    config.write_text(yaml.safe_dump(settings), "utf-8")
    ledger = Ledger(postgres_url)
    with ledger.write() as conn:
        journal.set_position(conn, "salesforce", DONE, b"", utcnow())
    ledger.close()
    command = [sys.executable, "-m", "routing.cli.app", "worker", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1, done.stderr
    assert "grant Read on it, or correct kafka.group" in " ".join(done.stderr.split()[-40:])
    assert PASSWORD not in done.stderr


FOR_GOOD = [
    ("TopicAuthorizationFailedError", "grant Describe and Read on it"),
    ("GroupAuthorizationFailedError", "grant Read on it, or correct kafka.group"),
    ("ClusterAuthorizationFailedError", "IdempotentWrite on the cluster"),
    ("InconsistentGroupProtocolError", "set kafka.group to a name that no other program uses"),
    ("InvalidGroupIdError", "correct kafka.group"),
    ("InvalidSessionTimeoutError", "kafka.session_timeout_seconds (10)"),
]


@pytest.mark.parametrize("library", [aio, plain])
@pytest.mark.parametrize(("name", "said"), FOR_GOOD)
def test_what_stays_is_told_alike_of_both_libraries_and_what_passes_is_not(library: Any, name: str, said: str) -> None:
    settings = KafkaSettings(bootstrap_servers="kafka:9092")
    assert said in refused(settings, getattr(library, name)(), "changes", "Read")
    assert refused(settings, library.NotLeaderForPartitionError(), "changes", "Read") == ""
