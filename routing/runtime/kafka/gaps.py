"""Gaps in what a worker was given: the missing range is read from Kafka anew, past Faust, with a client of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from routing.core.model import Unreadable, derived_id
from routing.ledger.schema import to_ms
from routing.runtime.clock import Clock, monotonic
from routing.runtime.received import Received

log = structlog.get_logger()

# The system of what stands in for events that are gone: nothing of it can be tried again.
LOST = "fingerpost"
# So many messages are put in front at once; what is still missing behind them is a gap of its own, and is read next.
MOST = 5000
# A broker that gives nothing for so long is asked anew later.
PATIENCE_SECONDS = 30.0


class GapFiller:
    """Reads ranges of one topic. Blocks; a broker that does not answer raises KafkaError."""

    def __init__(
        self,
        topic: str,
        options: Callable[[], Mapping[str, Any]],
        decode: Callable[[int, int, bytes | None], Received],
        clock: Clock,
    ) -> None:
        """``options`` are kafka-python's, such as where the brokers are."""
        self._topic, self._options, self._decode, self._clock = topic, options, decode, clock

    def __call__(self, partition: int, start: int, end: int) -> Sequence[Received]:
        """What stands at [start, end), with stand-ins for what does not stand there any more. May return a front part only."""
        here = TopicPartition(self._topic, partition)
        consumer = KafkaConsumer(**self._options(), group_id=None, enable_auto_commit=False, max_poll_records=500)
        try:
            consumer.assign([here])
            kept_from = int(consumer.beginning_offsets([here])[here])
            found: list[Received] = []
            if kept_from > start:
                until = min(kept_from, end)
                found.append(self._lost(partition, start, until))
                start = until
            if start < end:
                consumer.seek(here, start)
                found += self._read(consumer, partition, start, end)
            return found
        finally:
            consumer.close(autocommit=False)

    def _read(self, consumer: KafkaConsumer, partition: int, start: int, end: int) -> Iterator[Received]:
        expected, patient_until = start, monotonic() + PATIENCE_SECONDS
        while expected < end and expected - start < MOST:
            polled = consumer.poll(timeout_ms=1000)
            for message in (one for some in polled.values() for one in some):
                stop_at = min(message.offset, end)
                if stop_at > expected:
                    # Compaction and the markers of transactions leave holes in which nothing was ever to be decided.
                    yield Received(partition, stop_at - 1, None, 0, first=expected)
                    expected = stop_at
                if message.offset >= end:
                    return
                yield self._decode(partition, message.offset, message.value)
                expected = message.offset + 1
            if not polled and monotonic() > patient_until:
                raise KafkaError(f"the brokers gave nothing of partition {partition} from offset {expected} on")

    def _lost(self, partition: int, start: int, end: int) -> Received:
        """Retention was faster than we: what was in there is gone. It is told, parked, and the log goes on behind it."""
        log.critical(
            "events were lost: the log was cleared before they were decided",
            topic=self._topic,
            partition=partition,
            first=start,
            last=end - 1,
            advice="look at `fingerpost parked list`, and give the topic a longer retention",
        )
        error = (
            f"Lost: {end - start} event(s) of partition {partition}, offsets {start} to {end - 1}, were removed from the topic "
            f"{self._topic} by its retention before they were decided. Their records are still in the CRMs: look there for leads "
            "of that time without an owner, give the topic a longer retention, and discard this."
        )
        event = Unreadable(
            event_id=derived_id("lost", self._topic, str(partition), str(start), str(end)),
            system=LOST,
            error=error,
            raw=b"",
            observed_at=self._clock(),
        )
        return Received(partition, end - 1, event, to_ms(event.observed_at), first=start)
