"""The role worker: takes its share of the log and settles it and fires timers."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import uuid4

import structlog

from routing.bootstrap.process import Process, warm_up
from routing.ledger.schema import to_ms
from routing.runtime import filling
from routing.runtime.kafka.client import faust_broker, faust_credentials, python_options
from routing.runtime.kafka.gaps import GapFiller
from routing.runtime.kafka.messages import receive
from routing.runtime.kafka.refusal import refused, why_not
from routing.runtime.kafka.settings import KafkaRefused, KafkaSettings
from routing.runtime.kafka.settler import Settler
from routing.runtime.kafka.topics import changes_log
from routing.runtime.kafka.watchdog import Watchdog
from routing.runtime.kafka.worker import Worker
from routing.runtime.loop import Loop
from routing.runtime.received import Received

log = structlog.get_logger()

FILLED_SECONDS = 0.2
LATE_SECONDS = 10.0


class Deciding:
    """The parts of a worker. ``open`` starts them in the threads of a process."""

    def __init__(self, process: Process, kafka: KafkaSettings) -> None:
        self._process, self._kafka = process, kafka
        options = partial(python_options, kafka)
        loop = Loop(process.ledger, process.policies, process.clock, process.feed)
        self.settler = Settler(
            kafka.changes_topic,
            f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}",
            process.ledger,
            loop,
            self._receive,
            GapFiller(kafka.changes_topic, options, self._receive, process.clock),
            process.clock,
            process.feed,
            bound=process.bound,
            settled=process.tell_couriers,
        )
        refusal = partial(refused, kafka, topic=kafka.changes_topic, right="Read")
        self._worker = Worker(
            self.settler,
            kafka.group,
            self._faust_options,
            partial(why_not, kafka),
            refusal,
            kafka.partitions,
            partial(changes_log, kafka),
        )
        self.watchdog = Watchdog(
            kafka.changes_topic,
            options,
            self.settler.progress,
            self._excused,
            self.settler.settled_by_all,
            self.settler.log_id,
        )

    def _receive(self, partition: int, offset: int, value: bytes | None) -> Received:
        return receive(self._kafka.changes_topic, partition, offset, value, to_ms(self._process.clock()))

    def _faust_options(self) -> dict[str, Any]:
        session = self._kafka.session_timeout_seconds
        return {
            "broker": faust_broker(self._kafka),
            "broker_credentials": faust_credentials(self._kafka),
            "broker_client_id": self._kafka.client_id,
            "broker_session_timeout": session,
            "broker_heartbeat_interval": session / 4,
        }

    def _excused(self) -> frozenset[int] | None:
        watch = self._process.services.ledger
        if self._process.bound.paused or (watch is not None and watch.since is not None):
            return None
        return frozenset(self.settler.circuit.aside())

    def open(self, stop: threading.Event) -> None:
        """Waits until the mirror of every system is filled, then takes part: before, a lead would meet nobody it knows."""
        if not self._filled(stop):
            return
        warm_up()
        start = self._process.services.start
        start("deciding", "settling", self.settler.run)
        start("deciding", "membership", self._take_part)
        start("deciding", "watchdog", self.watchdog.run)
        start("deciding", "timers", self._process.run_timers)
        start("deciding", "housekeeping", self._process.housekeeping.run)
        self._process.ready.set()
        log.info("ready", systems=sorted(self._process.systems))

    def _take_part(self, stop: threading.Event) -> None:
        try:
            self._worker.run(stop)
        except KafkaRefused:
            self._process.metrics.refused.inc()
            raise

    def _filled(self, stop: threading.Event) -> bool:
        missing, process = set(self._process.systems), self._process
        while missing and not stop.is_set():
            with process.ledger.read() as conn:
                missing = {name for name in missing if not filling.done(conn, name)}
            if missing:
                if not process.waits_for:
                    log.info("waiting until a gateway has read what the CRMs hold", systems=sorted(missing))
                process.waits_for = f"a gateway that has read what the CRMs hold: {', '.join(sorted(missing))}"
                stop.wait(FILLED_SECONDS)
        process.waits_for = ""
        return not stop.is_set()

    @property
    def unreachable(self) -> str:
        """Why no broker answers us, "" while one does."""
        return self._worker.unreachable or self.watchdog.unreachable

    @property
    def cut_off(self) -> bool:
        """Whether that is more than a busy broker's late answer."""
        return bool(self._worker.unreachable) or self.watchdog.lost_seconds() > LATE_SECONDS

    def health(self) -> Mapping[str, object]:
        """Which part of the log is ours, and how far we are; brings the metrics up to date."""
        lag, held = dict(self.watchdog.lag), sorted(self.settler.progress())
        metrics = self._process.metrics
        metrics.partitions.set(len(held))
        metrics.lag.clear()
        for partition in lag.keys() & set(held):  # none while nobody knows
            metrics.lag.labels(str(partition)).set(lag[partition])
        metrics.brokers_lost.set(self.watchdog.lost_seconds())
        metrics.set_aside.set(len(self.settler.circuit.aside()))
        metrics.gaps.set(self.settler.gaps)
        metrics.lost.set(self.settler.lost)
        return {
            "partitions": held,
            "lag": {str(partition): lag.get(partition) for partition in held},
            "set_aside": sorted(self.settler.circuit.aside()),
            "unreachable": self.unreachable,
            "gaps": self.settler.gaps,
            "lost": self.settler.lost,
        }
