"""The Faust half of a worker: membership in the group, the assignment of partitions, and one agent that hands over what was read.

What Faust is used for, and what not:

- The ledger says where to read on, not Kafka's committed offset: after each assignment the partitions are claimed in the ledger and
  the consumer is put to where each was left. Offsets are committed from the ledger too, as a hint for those who measure lag.
- Nothing is acknowledged through Faust's streams, so nothing can be acknowledged that was not settled.
- Messages travel through the agent's channel in the portions in which they were fetched. Faust's own path of one message at a time
  (``take_events`` included) does its bookkeeping for each message; a portion needs it once.
- No tables, no web server, no leader, no producer, no logging set-up.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

import faust
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from faust.app.base import BootStrategy
from faust.channels import Channel
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.utils.queues import ThrowableQueue
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from routing.runtime.kafka.client import reason
from routing.runtime.kafka.settings import KafkaRefused, KafkaUnwell
from routing.runtime.kafka.settler import Settler

log = structlog.get_logger()

# Portions of at most BATCH messages that wait between the fetcher and the agent.
PORTIONS = 2
MOST_POLLED = 500
# A broker answers once it has so much, or after so long: each answer costs the time of a few decisions, be there one message in it
# or hundreds.
FETCH_LEAST = 65_536
FETCH_WAIT_MS = 40
COMMIT_SECONDS = 5.0
LOOK_SECONDS = 0.1
# A batch at hand is finished within this time, or abandoned: the ledger then has none of it.
DRAIN_SECONDS = 6.0
LEAVE_SECONDS = 3.0


class _Portions(Channel[Any]):
    """A channel whose queue Faust does not empty at a rebalance: what is stale in it is known by its offsets."""

    @property
    def queue(self) -> ThrowableQueue[Any]:
        if self._queue is None:
            self._queue = ThrowableQueue(maxsize=self.maxsize, flow_control=self.app.flow_control)
        return self._queue


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        consumer = super()._create_consumer(loop)
        consumer._fetch_min_bytes = FETCH_LEAST
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class _Consumer(driver.Consumer):
    app: _App

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        """Fetches portions and puts them onto the agent's channel until stopped."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                records, _ = await self._wait_next_records(timeout=1.0)
                for tp, found in (records or {}).items():
                    await self.app.portions.put(cast(Any, (tp.partition, found)))
                await asyncio.sleep(0)
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise

    async def perform_seek(self) -> None:
        """After an assignment: claims the partitions, and reads each from where the ledger has it."""
        held = {tp.partition for tp in self.assignment() if tp.topic == self.app.settler.topic}
        there = len(self._thread._ensure_consumer().partitions_for_topic(self.app.settler.topic) or held)
        of = min(there, self.app.partitions)
        log_id = await asyncio.to_thread(self.app.log_id)
        positions = await asyncio.to_thread(self.app.settler.claim, held, of, log_id)
        await self.seek_to({p: offset for p, offset in positions.items() if p in held})

    async def seek_to(self, positions: Mapping[int, int]) -> None:
        """Reads on from there. A log that ends before what was settled of it lost data: it is read from its start."""
        topic = self.app.settler.topic
        wanted = {TP(topic, partition): offset for partition, offset in positions.items()}
        if not wanted:
            return
        ends = await self.highwaters(*wanted)
        for tp in [tp for tp, offset in wanted.items() if ends.get(tp, offset) < offset]:
            starts = await self.earliest_offsets(tp)
            log.critical(
                "the log is shorter than what was settled of it: it is read from its start",
                topic=topic,
                partition=tp.partition,
                settled=wanted[tp],
                end=ends[tp],
                advice="the brokers lost data, or the topic was made anew; what comes twice is known by its id",
            )
            wanted[tp] = starts[tp]
            await asyncio.to_thread(self.app.settler.rewind, tp.partition, starts[tp])
        begins = await self.earliest_offsets(*wanted)
        for tp in [tp for tp, offset in wanted.items() if begins.get(tp, offset) > offset]:
            # Nothing may come behind it that would show the gap.
            await asyncio.to_thread(self.app.settler.cleared, tp.partition, begins[tp])
            wanted[tp] = begins[tp]
        await self.seek_wait(wanted)

    async def commit(self, *_what: Any, **_how: Any) -> bool:
        """Tells Kafka how far the ledger is. Only a hint: when it fails, the next one will do."""
        assigned = {tp.partition for tp in self.assignment()}
        offsets = {
            TopicPartition(self.app.settler.topic, partition): one.next_offset
            for partition, one in self.app.settler.progress().items()
            if partition in assigned
        }
        if not offsets:
            return False
        try:
            await self._thread.call_thread(self._thread._ensure_consumer().commit, offsets)
        except KafkaError as error:
            log.info("the position could not be told to Kafka; the ledger has it", error=repr(error))
            return False
        return True

    def raise_refusal(self) -> None:
        """Raises KafkaError when the group's coordinator gave up, or a broker refuses the topic: aiokafka keeps that for those who
        fetch by its own means, which Faust does not, and waits in silence."""
        consumer: Any = self._thread and self._thread._consumer
        topic = self.app.settler.topic
        if consumer is None or consumer._coordinator is None:
            return  # just being started, or ended
        if topic in consumer._client.cluster.unauthorized_topics:
            raise TopicAuthorizationFailedError(topic)
        # It belongs to another thread's loop, and is only looked at.
        gave_up, task = consumer._coordinator._pending_exception, consumer._coordinator._coordination_task
        if gave_up is None and task.done() and not task.cancelled():
            gave_up = task.exception()
        if gave_up is not None:
            raise gave_up

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: our watchdog looks after progress, with a client of its own."""


class _Transport(driver.Transport):
    Consumer = _Consumer


class _Boot(BootStrategy):
    enable_kafka_producer = False
    enable_web = False
    enable_sensors = False


class _App(faust.App):
    """Faust's application, reduced to a consumer of one topic."""

    BootStrategy = _Boot
    settler: Settler
    portions: _Portions
    partitions: int
    log_id: Callable[[], str]

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)

    async def _producer_flush(self, logger: Any) -> None:
        """There is no producer."""


class Worker:
    """Takes part in the group until stopped, and lets ``settler`` settle what its partitions hold."""

    def __init__(
        self,
        settler: Settler,
        group: str,
        options: Callable[[], Mapping[str, Any]],
        why_not: Callable[[], str],
        refused: Callable[[BaseException], str],
        partitions: int,
        log_id: Callable[[], str],
    ) -> None:
        """``options`` are Faust's: brokers, credentials, session time-out. ``why_not`` asks the brokers why they do not let us in;
        ``refused`` says of an error what to do about it when it stays, "" when it may pass.
        ``partitions``: so many of the topic are written to at most; others that it has stay empty. ``log_id`` asks which log it is."""
        self._settler, self._group, self._options, self._why_not = settler, group, options, why_not
        self._refused = refused
        self._partitions, self._log_id = partitions, log_id
        self.unreachable = "Kafka is being connected to"  # why no broker lets us in, "" once one did

    def run(self, stop: threading.Event) -> None:
        """Works until ``stop``, then finishes the batch at hand, tells Kafka its position and leaves the group.

        Waits as long as no broker answers. Raises KafkaRefused when the brokers refuse us the group or the topic, whatever Faust
        failed with otherwise.
        """
        with tempfile.TemporaryDirectory(prefix="fingerpost-faust-") as folder:
            asyncio.run(self._serve(folder, stop))

    async def _serve(self, folder: str, stop: threading.Event) -> None:
        async def pause(seconds: float) -> None:
            await asyncio.to_thread(stop.wait, seconds)

        waits = AsyncRetrying(
            retry=retry_if_exception_type((KafkaError, KafkaUnwell)),
            wait=wait_random_exponential(multiplier=0.5, max=15),
            stop=lambda _state: stop.is_set(),
            sleep=pause,
            before_sleep=self._tell,
            retry_error_callback=lambda _state: None,
        )
        await waits(self._take_part, folder, stop)

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self.unreachable = str(error) if isinstance(error, KafkaUnwell) else reason(error) if error else ""
        log.error("this worker is not in its group; trying again", why=self.unreachable)

    async def _take_part(self, folder: str, stop: threading.Event) -> None:
        try:
            await self._be_member(folder, stop)
        except KafkaError as error:
            why = self._refused(error)
            if not why:
                raise
            raise KafkaRefused(f"{why[0].upper()}{why[1:]}. Then start this worker again.") from error

    async def _be_member(self, folder: str, stop: threading.Event) -> None:
        # Faust itself would only say that it found no broker, in pages of tracebacks.
        self.unreachable = await asyncio.to_thread(self._why_not)
        if self.unreachable:
            raise KafkaUnwell(self.unreachable)
        app = self._make(folder)
        starting = asyncio.ensure_future(app.start())
        try:
            while not stop.is_set() and not app.should_stop:
                await asyncio.sleep(LOOK_SECONDS)
                if app._consumer is not None:
                    cast(_Consumer, app._consumer).raise_refusal()
                if starting.done():
                    starting.result()
                    await self._look_after(app)
            if not stop.is_set():
                raise app.crash_reason or RuntimeError("Faust stopped by itself")
        finally:
            await self._leave(app, starting, stop)

    async def _look_after(self, app: _App) -> None:
        """Pauses partitions that were set aside, and reads on those whose time is over."""
        consumer, circuit = cast(_Consumer, app.consumer), self._settler.circuit
        held = self._settler.progress()
        again = circuit.due() & held.keys()
        if again:
            await consumer.seek_to({p: held[p].next_offset for p in again})
            consumer.resume_partitions({TP(self._settler.topic, p) for p in again})
        aside = {TP(self._settler.topic, p) for p in circuit.aside() & held.keys()}
        if aside - consumer._paused_partitions:
            consumer.pause_partitions(aside)

    async def _leave(self, app: _App, starting: asyncio.Future[None], stop: threading.Event) -> None:
        """Lets the batch at hand end, then goes. Whoever takes over does not wait for a session to time out."""
        if stop.is_set():  # else settling goes on, and whoever takes over fences it
            await asyncio.to_thread(self._settler.idle.wait, DRAIN_SECONDS)
        starting.cancel()
        try:
            await asyncio.wait_for(app.stop(), LEAVE_SECONDS)
        except (TimeoutError, asyncio.CancelledError):
            log.warning("leaving the group took too long; the others will take over when the session times out")

    def _make(self, folder: str) -> _App:
        settler = self._settler
        app = _App(
            self._group,
            **self._options(),
            datadir=folder,
            store="memory://",
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            key_serializer="raw",
            value_serializer="raw",
            consumer_auto_offset_reset="earliest",
            broker_max_poll_records=MOST_POLLED,
            broker_commit_interval=COMMIT_SECONDS,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
        )
        app.settler, app.partitions, app.log_id = settler, self._partitions, self._log_id
        app.portions = _Portions(app, maxsize=PORTIONS)

        async def settle(portions: Any) -> None:
            async for partition, records in portions:
                room = settler.offer(partition, [(record.offset, record.value) for record in records])
                if not room.done():
                    await asyncio.wrap_future(room)

        app.agent(app.portions, name="settle", concurrency=1)(settle)
        app.topics.add(app.topic(settler.topic, value_serializer="raw", key_serializer="raw"))

        def revoked(_app: Any, *found: Any, **_more: Any) -> None:
            settler.let_go({tp.partition for tp in found[0]})

        cast(Any, app.on_partitions_revoked).connect(revoked, weak=False)
        return app
