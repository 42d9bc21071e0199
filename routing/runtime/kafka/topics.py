"""The topics we need: made once, compared with the settings whenever somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import (
    AuthorizationError,
    InvalidReplicationFactorError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from msgspec import Struct

from connectors.contract import Finding
from routing.runtime.kafka.client import python_options, reason
from routing.runtime.kafka.messages import MOST_BYTES
from routing.runtime.kafka.refusal import why_not
from routing.runtime.kafka.sender import FRAME_BYTES
from routing.runtime.kafka.settings import KafkaSettings, KafkaUnwell

_HOUR_MS = 3_600_000
_MISSING = 3  # Kafka's error code of a topic that is not there
_GROW = (
    "More partitions move records to other partitions (a record's is its slot modulo their number), so events of one record that "
    "still wait in the old one could be decided after newer ones in the new one. Set kafka.partitions to {there} for now. To have "
    "more: stop the gateways, wait until `fingerpost topics check` says that everything is settled, stop the rest, add the partitions "
    "with Kafka's own tools, set kafka.partitions, start again."
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
    try:
        client = KafkaAdminClient(**python_options(settings))
        yield client
    except (KafkaError, OSError) as error:
        if client is None and (why := why_not(settings)):
            raise KafkaUnwell(f"Kafka cannot be asked: {why}.") from error
        raise KafkaUnwell(
            f"Kafka at {', '.join(settings.servers)} did not do it: {reason(error)}. See the brokers' own logs for more."
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
            answer = client.create_topics({topic.name: order}, wait_for_metadata=False, raise_errors=False)["topics"][0]
            if answer["error_code"] == TopicAlreadyExistsError.errno:
                continue  # somebody was faster
            if answer["error_code"]:
                raise KafkaUnwell(f"The topic {topic.name} was not made. {_refused(answer, topic, settings)}")
            client.wait_for_topics([topic.name])
            made.append(topic.name)
    return made


def _refused(answer: dict[str, Any], topic: Topic, settings: KafkaSettings) -> str:
    """The brokers' own words, and what to do."""
    error = for_code(answer["error_code"])
    said = f"Kafka says: {(answer['error_message'] or error.description or error.__name__).rstrip('.')}."
    if issubclass(error, InvalidReplicationFactorError):
        return f"{said} Set kafka.replication ({topic.replication}) to what you have: 1 for a Kafka of one broker."
    if issubclass(error, AuthorizationError):
        return (
            f"{said} Give {settings.username or 'the user of our certificate'} the right to create and describe topics."
        )
    return f"{said} Change what it names in the section kafka of the settings, or ask who looks after the brokers."


def log_id(client: KafkaAdminClient, topic: str) -> str:
    """Kafka's id of a topic, another one whenever a topic of that name is made anew; "" where there is none, or the brokers (before
    2.8) know no ids. Raises KafkaError."""
    [found] = client.describe_topics([topic])
    told = found.get("topic_id")
    return str(told) if told and UUID(str(told)).int else ""


def changes_log(settings: KafkaSettings) -> str:
    """The same of the topic of changes. Raises KafkaUnwell."""
    with admin(settings) as client:
        return log_id(client, settings.changes_topic)


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
                order = ConfigResource(ConfigResourceType.TOPIC, topic.name, dict(changed))
                answer = client.alter_configs([order])["topic"][topic.name]
                if answer != "OK":
                    raise KafkaUnwell(
                        f"The topic {topic.name} was not changed. Kafka says: {answer}. It takes the right AlterConfigs on it; or "
                        f"have it done with Kafka's own tools: {', '.join(f'{name}={value}' for name, value in changed.items())}."
                    )
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
        if code == TopicAuthorizationFailedError.errno:
            raise KafkaUnwell(
                f"The brokers refuse us the topic {topic['name']}: grant Describe and DescribeConfigs on it."
            )
        if code not in (0, _MISSING):
            raise for_code(code)(f"topic {topic['name']}")
        if code == 0:
            found[topic["name"]] = topic["partitions"]
    return found


def _configs(client: KafkaAdminClient, topic: Topic) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, list(topic.configs))
    answer = client.describe_configs([resource], config_filter="all")
    if not answer["topic"][topic.name]:  # the library passes over the brokers' refusal
        raise KafkaUnwell(f"The brokers do not show how the topic {topic.name} is kept: grant DescribeConfigs on it.")
    return {name: str(one["value"]) for name, one in answer["topic"][topic.name].items()}


def _partitions(what: str, topic: Topic, there: int) -> Iterator[Finding]:
    if there > topic.partitions:
        yield Finding(
            what,
            True,
            f"has {there} partitions, the settings say {topic.partitions}. That works: the others stay empty until the settings say "
            "more. Raise kafka.partitions only while nothing waits (RUNBOOK.md, More partitions): records move to other partitions then",
        )
    elif there < topic.partitions:
        detail = f"has {there} partitions, the settings say {topic.partitions}"
        yield Finding(what, False, detail, _GROW.format(there=there))


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
