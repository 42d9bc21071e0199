"""Writing to one topic so that nothing is taken for written that is not, and one record's messages stay in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, RecordListTooLargeError
from msgspec import Struct

from routing.runtime.clock import monotonic
from routing.runtime.kafka.client import CONNECT_SECONDS, python_options, reason
from routing.runtime.kafka.messages import MOST_BYTES, key_of, partition_of
from routing.runtime.kafka.refusal import refused, why_not
from routing.runtime.kafka.settings import KafkaSettings, KafkaUnwell

log = structlog.get_logger()

BATCH_BYTES = 256 * 1024
# Room for the key, the headers and Kafka's own framing.
FRAME_BYTES = 64 * 1024
CLOSE_SECONDS = 5.0


class TooLargeForTopic(Exception):
    """The topic takes no message of this size; it never will."""


class Outgoing(Struct, frozen=True):
    """A message of a record."""

    ref: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Sender:
    """A producer of one topic, for one thread. After any failure it is closed, and ``connect`` makes a new one: what the old one
    still held is not sent late, behind the back of whoever was told that it failed."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        """Connects to nothing yet. Raises KafkaMisconfigured."""
        self._settings, self._options, self.topic = settings, python_options(settings), topic
        self._seconds = settings.delivery_timeout_seconds
        self._producer: KafkaProducer | None = None
        self._partitions = 0

    @property
    def connected(self) -> bool:
        """Whether the last thing that Kafka was asked for worked."""
        return self._producer is not None

    def connect(self) -> None:
        """Connects unless connected. Raises KafkaUnwell after a few seconds."""
        if self._producer is not None:
            return
        producer = self._produce()
        try:
            self._partitions = min(len(producer.partitions_for(self.topic) or ()), self._settings.partitions)
        except KafkaError as error:
            _discard(producer)
            why = self._refused(error) or f"{reason(error)}; `fingerpost topics check` says more"
            raise KafkaUnwell(f"the topic {self.topic} cannot be used: {why}") from error
        self._producer = producer

    def _produce(self) -> KafkaProducer:
        milliseconds = int(self._seconds * 1000)
        try:
            return KafkaProducer(
                **self._options,
                acks="all",
                # With it a partition has one batch on its way at a time, and a batch that is sent again is not stored again.
                enable_idempotence=True,
                allow_auto_create_topics=False,
                batch_size=BATCH_BYTES,
                max_request_size=MOST_BYTES + FRAME_BYTES,
                max_block_ms=int(CONNECT_SECONDS * 1000),
                request_timeout_ms=max(500, milliseconds // 2),
                delivery_timeout_ms=milliseconds,
                metrics_enabled=False,
            )
        except (KafkaError, OSError) as error:
            raise KafkaUnwell(f"Kafka cannot be reached: {why_not(self._settings) or reason(error)}") from error

    def write(self, messages: Sequence[Outgoing]) -> list[Exception | None]:
        """Sends, and waits until the brokers have each message on all in-sync replicas, at most ``delivery_timeout_seconds``.

        One answer a message: None once it is safe, else TooLargeForTopic or KafkaUnwell.
        """
        answers = self._write(messages)
        large = [n for n, answer in enumerate(answers) if isinstance(answer, TooLargeForTopic)]
        if large and len(messages) > 1:
            # The library takes one message too large for a fatal error of all that wait with it: who is it?
            suspects = [messages[n] for n in large]
            middle = (len(suspects) + 1) // 2
            found = self.write(suspects[:middle]) + (self.write(suspects[middle:]) if suspects[middle:] else [])
            for n, answer in zip(large, found, strict=True):
                answers[n] = answer
        return answers

    def _write(self, messages: Sequence[Outgoing]) -> list[Exception | None]:
        producer, end = self._producer, monotonic() + self._seconds
        if producer is None:
            return [KafkaUnwell("Kafka cannot be reached") for _ in messages]
        answers = [self._answer_of(future, end) for future in [self._send(producer, one) for one in messages]]
        if any(answers):
            self.close()
        if any(isinstance(answer, TooLargeForTopic) for answer in answers):
            try:
                self.connect()
            except KafkaUnwell as unwell:
                return [answer and unwell for answer in answers]
        return answers

    def _send(self, producer: KafkaProducer, message: Outgoing) -> Any:
        try:
            return producer.send(
                self.topic,
                message.value,
                key=key_of(message.ref),
                headers=list(message.headers),
                partition=partition_of(message.ref, self._partitions),
            )
        except KafkaError as error:
            return error

    def _answer_of(self, future: Any, end: float) -> Exception | None:
        """Waits for one message until ``end``."""
        try:
            if isinstance(future, Exception):
                raise future
            # What the library itself gives up after the same time it must be able to say: a moment longer.
            future.get(timeout=max(0.0, end - monotonic()) + 0.5)
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            return TooLargeForTopic(f"the topic takes no message of that size ({reason(error)})")
        except (KafkaError, OSError) as error:
            return KafkaUnwell(f"Kafka did not take it: {self._refused(error) or reason(error)}")
        return None

    def _refused(self, error: BaseException) -> str:
        return refused(self._settings, error, self.topic, "Write")

    def close(self) -> None:
        """Closes the connection; what was not acknowledged is given up. ``connect`` may be called again."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            _discard(producer)


def _discard(producer: KafkaProducer) -> None:
    # close() alone waits for what cannot be sent, raises, and leaves its thread running for ever (kafka-python 3.0.12).
    producer._sender.force_close()
    try:
        producer.close(timeout=CLOSE_SECONDS)
    except KafkaTimeoutError:
        log.warning("a connection to Kafka could not be closed in time")
