"""The promise to readers of the decisions topic: whoever drops duplicates by decision id sees each decision exactly once."""

from __future__ import annotations

import random
from collections import defaultdict

import msgspec
import pytest

from routing.core.model import Decision
from routing.ledger import announcements, decisions
from routing.ledger.engine import Ledger
from routing.runtime.kafka import announcer as module
from routing.runtime.kafka.announcer import Announcer, DecisionMessage
from routing.runtime.kafka.settings import KafkaSettings, KafkaUnwell
from routing.runtime.services import Services
from tests.processes import wait_for
from tests.servers.kafka import Kafka
from tests.servers.reading import read_headers
from tests.unit.kafka.test_decisions_topic import decision


class Stage:
    """A topic, a ledger with decisions to be told of, and a reader that drops duplicates."""

    def __init__(self, kafka: Kafka, ledger: Ledger) -> None:
        self.kafka, self.ledger, self.made = kafka, ledger, 0
        self.topic = kafka.topic(3)
        self.settings = KafkaSettings(
            bootstrap_servers=kafka.bootstrap, decisions_topic=self.topic, delivery_timeout_seconds=3
        )

    def decide(self, count: int) -> None:
        made: list[tuple[int, Decision]] = []
        for _ in range(count):
            self.made += 1
            made.append((self.made, decision(self.made, f"r{self.made % 5}")))
        with self.ledger.write() as conn:
            decisions.save(conn, made)
            announcements.add(conn, made)

    def waiting(self) -> int:
        with self.ledger.read() as conn:
            return announcements.count(conn)

    def read(self) -> tuple[dict[str, DecisionMessage], int]:
        """What a deduplicating reader sees, and how many messages that took."""
        seen: dict[str, bytes] = {}
        messages = 0
        where: dict[str, int] = {}
        for partition, key, headers, value in read_headers(self.kafka, self.topic):
            messages += 1
            name = headers["decision_id"].decode()
            assert seen.setdefault(name, value) == value, "told again, and differently"
            found = msgspec.json.decode(value, type=DecisionMessage)
            assert found.decision_id == name
            assert key == f"salesforce:lead:{found.record_id}".encode()
            assert where.setdefault(found.record_id, partition) == partition
        return {name: msgspec.json.decode(value, type=DecisionMessage) for name, value in seen.items()}, messages

    def assert_each_once(self) -> int:
        """Also in order; returns how many messages there were."""
        found, messages = self.read()
        assert set(found) == {f"d-{n}" for n in range(1, self.made + 1)}
        of_record: dict[str, list[int]] = defaultdict(list)
        for one in found.values():
            of_record[one.record_id].append(one.seq)
        assert all(numbers == sorted(numbers) for numbers in of_record.values())
        return messages


@pytest.fixture
def stage(kafka: Kafka, any_ledger: Ledger) -> Stage:
    return Stage(kafka, any_ledger)


def test_each_decision_is_told_once_and_then_taken_out(stage: Stage) -> None:
    services = Services()
    services.start("a", "announcer", Announcer(stage.settings, stage.ledger).run)
    stage.decide(700)
    stage.decide(1)
    wait_for("all to be told", lambda: stage.waiting() == 0, 30)
    assert services.stop("a") == []
    assert not services.failed.is_set()
    assert stage.assert_each_once() == 701


def test_crashes_between_telling_and_noting_it_lose_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    chance, crashes = random.Random(7), 0

    class Crash(Exception):
        pass

    def remove(conn: object, told: list[str]) -> None:
        nonlocal crashes
        if chance.random() < 0.5:
            crashes += 1
            raise Crash
        announcements_remove(conn, told)  # type: ignore[arg-type]

    announcements_remove = announcements.remove
    monkeypatch.setattr(module.announcements, "remove", remove)
    while stage.made < 60 or stage.waiting():
        if stage.made < 60:
            stage.decide(10)
        process = Announcer(stage.settings, stage.ledger)  # a new process each time
        try:
            process.announce_some()
        except Crash:
            pass
        finally:
            process._sender.close()
    assert crashes >= 2
    assert stage.assert_each_once() > 60, "no crash came between"


def test_while_kafka_is_away_decisions_wait_in_the_ledger(kafka: Kafka, ledger: Ledger) -> None:
    stage = Stage(kafka, ledger)
    process = Announcer(stage.settings, stage.ledger)
    stage.decide(10)
    assert process.announce_some() == 10
    stage.decide(10)
    kafka.kill()
    with pytest.raises(KafkaUnwell):
        process.announce_some()
    with pytest.raises(KafkaUnwell, match="cannot be reached"):
        process.announce_some()
    assert stage.waiting() == 10
    kafka.start()
    services = Services()
    services.start("a", "announcer", process.run)
    wait_for("the rest to be told", lambda: stage.waiting() == 0, 30)
    assert services.stop("a") == []
    stage.assert_each_once()


def test_one_of_several_works_at_a_time_and_another_takes_over(kafka: Kafka, postgres_ledger: Ledger) -> None:
    stage, services = Stage(kafka, postgres_ledger), Services()
    for group in ("first", "second"):
        services.start(group, group, Announcer(stage.settings, stage.ledger).run)
    stage.decide(50)
    wait_for("fifty", lambda: stage.waiting() == 0, 30)
    assert services.stop("first") == []
    stage.decide(50)
    wait_for("fifty more", lambda: stage.waiting() == 0, 30)
    assert services.stop("second") == []
    assert stage.assert_each_once() == 100
