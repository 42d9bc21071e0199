"""``fingerpost topics`` as an operator meets it, on a real broker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from routing.cli.app import app, main
from tests.servers.kafka import Kafka


class Operator:
    """A settings file whose topics nobody has, and the command."""

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.kafka, self.file = kafka, folder / "fingerpost.yaml"
        name = uuid.uuid4().hex[:8]
        self.changes, self.decisions = f"changes-{name}", f"decisions-{name}"
        self.set()

    def set(self, **more: Any) -> None:
        settings = {"bootstrap_servers": self.kafka.bootstrap, "replication": 1, "partitions": 3}
        settings |= {"changes_topic": self.changes, "decisions_topic": self.decisions} | more
        self.file.write_text(f"policy: policy\nkafka: {json.dumps(settings)}\n", "utf-8")

    def run(self, *words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["topics", *words, "--config", str(self.file)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    def partitions(self) -> Sequence[int]:
        from kafka.admin import KafkaAdminClient

        client = KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        try:
            return [len(one["partitions"]) for one in client.describe_topics([self.changes, self.decisions])]
        finally:
            client.close()


@pytest.fixture
def operator(kafka: Kafka, tmp_path: Path) -> Operator:
    return Operator(kafka, tmp_path)


def test_topics_are_made_once(operator: Operator) -> None:
    code, text = operator.run("check")
    assert code == 1
    assert text.count("is not there") == 2
    assert "fingerpost topics create" in text
    code, text = operator.run("create")
    assert (code, text.count("Made the topic")) == (0, 2)
    assert operator.partitions() == [3, 3]
    code, text = operator.run("create")
    assert (code, text.count("Made the topic")) == (0, 0)
    assert operator.run("check")[0] == 0


def test_a_changed_retention_is_told_and_set_when_asked(operator: Operator) -> None:
    operator.run("create")
    operator.set(changes_retention_hours=1)
    code, text = operator.run("create")
    assert code == 1
    assert "retention.ms is 604800000, the settings ask for 3600000" in text
    assert "--update" in text
    code, text = operator.run("create", "--update")
    assert code == 0
    assert f"{operator.changes}: retention.ms was 604800000, is 3600000 now" in text
    assert operator.run("check")[0] == 0
    assert operator.partitions() == [3, 3]


def test_more_partitions_are_never_added_by_us_and_the_danger_is_explained(operator: Operator) -> None:
    operator.run("create")
    operator.set(partitions=6)
    code, text = operator.run("create", "--update")
    assert code == 1
    assert "has 3 partitions, the settings say 6" in text
    assert "Set kafka.partitions to 3 for now" in text
    assert "stop the gateways, wait until `fingerpost topics check` says that everything is settled" in text
    assert operator.partitions() == [3, 3]


def test_a_topic_with_more_partitions_than_the_settings_say_works(operator: Operator) -> None:
    operator.run("create")
    operator.set(partitions=2)
    code, text = operator.run("check", "--json")
    assert code == 0
    found = [json.loads(line) for line in text.splitlines()]
    assert all("stay empty until the settings say more" in one["detail"] for one in found[:2])


def test_too_few_copies_are_told(operator: Operator) -> None:
    operator.run("create")
    operator.set(replication=3)
    code, text = operator.run("check")
    assert code == 1
    assert "is kept 1 times, the settings say 3" in text
    assert "cannot be written in partition(s) 0, 1, 2" in text


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"bootstrap_servers": "127.0.0.1:1"}, "127.0.0.1:1"),
        ({"replication": 3, "min_insync_replicas": 1}, "set kafka.replication (3) to what you have"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_a_sentence(
    operator: Operator,
    setting: dict[str, Any],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    operator.set(**setting)
    monkeypatch.setattr("sys.argv", ["fingerpost", "topics", "create", "--config", str(operator.file)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = " ".join(capsys.readouterr().err.lower().split())
    assert said in told
    assert "password" not in told
    assert "request(" not in told
