"""The topics we need: made once, compared with the settings whenever somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from msgspec import Struct

from connectors.contract import Finding
from routing.runtime.kafka.client import last_failure, python_options, reason
from routing.runtime.kafka.messages import MOST_BYTES
from routing.runtime.kafka.sender import CONNECT_SECONDS, FRAME_BYTES
from routing.runtime.kafka.settings import KafkaSettings, KafkaUnwell

_HOUR_MS = 3_600_000
_MISSING = 3  # Kafka's error code of a topic that is not there
_GROW = (
    "More partitions move records to other partitions (a record's is its slot modulo their number), so events of one record that "
    "still wait in the old one could be decided after newer ones in the new one. It is safe only while nothing waits: stop the "
    "gateways, wait until the workers have settled everything, stop them, add the partitions with Kafka's own tools, start again."
)


class Topic(Struct, frozen=True):
    """A topic as it should be; ``configs`` are Kafka's own names and texts."""

    name: str
    partitions: int
    replication: int
    configs: dict[str, str]


def wanted(settings: KafkaSettings) -> list[Topic]:
    """The topics that the settings ask for."""
    hours = {
        settings.changes_topic: settings.changes_retention_hours,
        settings.decisions_topic: settings.decisions_retention_hours,
    }
    return [
        Topic(
            name,
            settings.partitions,
            settings.replication,
            {
                # Never compacted: the log of changes is every change, and decisions are told one by one.
                "cleanup.policy": "delete",
                "retention.ms": str(int(kept * _HOUR_MS)),
                "min.insync.replicas": str(settings.insync),
                "max.message.bytes": str(MOST_BYTES + FRAME_BYTES),
            },
        )
        for name, kept in hours.items()
    ]


@contextmanager
def admin(settings: KafkaSettings) -> Iterator[KafkaAdminClient]:
    """A client to ask and to change things with. Raises KafkaUnwell, also for what fails within the block."""
    client = None
    with last_failure() as failed:
        try:
            client = KafkaAdminClient(**python_options(settings), bootstrap_timeout_ms=int(CONNECT_SECONDS * 1000))
            yield client
        except (KafkaError, OSError) as error:
            why = failed.reason if client is None and failed.reason else reason(error)
            raise KafkaUnwell(
                f"Kafka at {', '.join(settings.servers)} did not do it: {why}. Check kafka.bootstrap_servers, that the brokers run, "
                "and that security_protocol, username, password and ca_file are what they expect."
            ) from error
        finally:
            if client is not None:
                client.close()


def create(settings: KafkaSettings) -> list[str]:
    """Makes the topics that are missing and leaves the others as they are. Returns the names of those made. Raises KafkaUnwell."""
    made = []
    with admin(settings) as client:
        there = _describe(client, [topic.name for topic in wanted(settings)])
        for topic in wanted(settings):
            if topic.name in there:
                continue
            order = {
                "num_partitions": topic.partitions,
                "replication_factor": topic.replication,
                "configs": topic.configs,
            }
            try:
                client.create_topics({topic.name: order}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                continue  # somebody was faster
            made.append(topic.name)
    return made


def update(settings: KafkaSettings) -> list[str]:
    """Sets retention and the like of topics that are there to what the settings say; never partitions or replication.

    Returns a sentence a change. Raises KafkaUnwell.
    """
    done = []
    with admin(settings) as client:
        for topic in wanted(settings):
            if topic.name not in _describe(client, [topic.name]):
                continue
            now = _configs(client, topic)
            changed = {name: value for name, value in topic.configs.items() if now.get(name) != value}
            if changed:
                client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, dict(changed))])
                done += [f"{topic.name}: {name} was {now.get(name)}, is {value} now" for name, value in changed.items()]
    return done


def check(settings: KafkaSettings) -> list[Finding]:
    """Compares the topics with the settings. Raises KafkaUnwell when nobody could be asked."""
    findings: list[Finding] = []
    with admin(settings) as client:
        there = _describe(client, [topic.name for topic in wanted(settings)])
        for topic in wanted(settings):
            what = f"topic {topic.name}"
            if topic.name not in there:
                findings.append(Finding(what, False, "is not there", "Run `fingerpost topics create`."))
                continue
            partitions = there[topic.name]
            wrong = [
                *_partitions(what, topic, len(partitions)),
                *_replicas(what, topic, partitions),
                *_differing(what, topic, _configs(client, topic)),
            ]
            findings += wrong or [
                Finding(
                    what, True, f"{len(partitions)} partitions, replication {topic.replication}, as the settings say"
                )
            ]
    return findings


def _describe(client: KafkaAdminClient, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The partitions of those topics that are there."""
    found: dict[str, list[dict[str, Any]]] = {}
    for topic in client.describe_topics(list(names)):
        code = topic["error_code"]
        if code not in (0, _MISSING):
            raise for_code(code)(f"topic {topic['name']}")
        if code == 0:
            found[topic["name"]] = topic["partitions"]
    return found


def _configs(client: KafkaAdminClient, topic: Topic) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, list(topic.configs))
    answer = client.describe_configs([resource], config_filter="all")
    return {name: str(one["value"]) for name, one in answer["topic"][topic.name].items()}


def _partitions(what: str, topic: Topic, there: int) -> Iterator[Finding]:
    if there > topic.partitions:
        yield Finding(
            what,
            True,
            f"has {there} partitions, the settings say {topic.partitions}. That works: what the topic has counts. Set "
            f"kafka.partitions to {there}, so that the next look finds them equal. If they were added while events waited, events of "
            "one record may have been decided out of order around that time",
        )
    elif there < topic.partitions:
        yield Finding(what, False, f"has {there} partitions, the settings say {topic.partitions}", _GROW)


def _replicas(what: str, topic: Topic, partitions: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    fewest = min(len(one["replica_nodes"]) for one in partitions)
    if fewest < topic.replication:
        yield Finding(
            what,
            False,
            f"is kept {fewest} times, the settings say {topic.replication}",
            "Add replicas with Kafka's own tools (kafka-reassign-partitions), or set kafka.replication to what you have.",
        )
    insync = int(topic.configs["min.insync.replicas"])
    short = sorted(one["partition_index"] for one in partitions if len(one["isr_nodes"]) < insync)
    if short:
        yield Finding(
            what,
            False,
            f"cannot be written in partition(s) {', '.join(map(str, short))}: fewer than {insync} replicas are in sync",
            "Bring the brokers that are away back; until then what comes in is refused, and comes again.",
        )


def _differing(what: str, topic: Topic, there: dict[str, str]) -> Iterator[Finding]:
    for name, value in topic.configs.items():
        if there.get(name) != value:
            yield Finding(
                what,
                False,
                f"{name} is {there.get(name)}, the settings ask for {value}",
                "Run `fingerpost topics create --update` to set it, or change the settings.",
            )
