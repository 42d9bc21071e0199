"""Reading a whole topic, as a plain consumer sees it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.servers.kafka import Kafka


def read_all(kafka: Kafka, topic: str) -> Iterator[tuple[int, int, bytes | None]]:
    """(partition, offset, value) of all messages that the topic holds now, partition by partition."""
    for partition, message in _messages(kafka, topic):
        yield partition, message.offset, message.value


def read_headers(kafka: Kafka, topic: str) -> Iterator[tuple[int, bytes | None, dict[str, bytes], bytes]]:
    """(partition, key, headers, value) of all messages."""
    for partition, message in _messages(kafka, topic):
        yield partition, message.key, dict(message.headers), message.value


def _messages(kafka: Kafka, topic: str) -> Iterator[tuple[int, object]]:
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=None, auto_offset_reset="earliest")
    try:
        for number in sorted(consumer.partitions_for_topic(topic) or ()):
            here = TopicPartition(topic, number)
            consumer.assign([here])
            consumer.seek_to_beginning(here)
            end = consumer.end_offsets([here])[here]
            while consumer.position(here) < end:
                for message in consumer.poll(timeout_ms=1000).get(here, []):
                    yield number, message
    finally:
        consumer.close()
