"""The daemon's metrics, all of them, in one commented list. Served by ``/metrics``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import inf
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from connectors.contract import CallsToday
from connectors.patience import Trouble
from routing.runtime.feed import Happening


class Metrics:
    """Counts what the feed tells. One instance a process, with a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        make: dict[str, Any] = {"registry": self.registry}
        # Events that became durable in the journal.
        self.accepted = Counter("fingerpost_events_accepted", "Events accepted into the journal", **make)
        # Events that ended, by how; accepted minus settled is the backlog.
        self.settled = Counter("fingerpost_events_settled", "Events that reached a terminal state", **make)
        # Parked events and writes: each waits for the operator. Anything above zero deserves a look.
        self.parked = Counter("fingerpost_parked", "Events and writes parked for the operator", **make)
        # Decisions by outcome: assign, keep, hold, reject, none.
        self.decided = Counter("fingerpost_decisions", "Decisions made", ["outcome"], **make)
        # Writes by how they ended: confirmed, superseded (a person was faster), parked; retried counts tries again.
        self.writes = Counter("fingerpost_writes", "Writes by what became of them", ["state"], **make)
        # How often a connection had to wait: rate limits, outages, refused logins.
        self.pauses = Counter("fingerpost_connection_pauses", "Times a connection had to wait", **make)
        # How often the intake closed itself, or opened again for a trial: a flood of events that could not be used.
        self.breaker = Counter("fingerpost_intake_changes", "Times the intake closed itself or opened again", **make)
        # Speed to lead as far as we are concerned: change in the CRM to confirmed write, seconds.
        self.latency = Histogram(
            "fingerpost_event_to_crm_seconds",
            "From the change in the CRM to the confirmed write",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300, 3600),
            **make,
        )
        # How far the member of a pool who is furthest from their fair share is from it.
        self.deviation = Gauge(
            "fingerpost_pool_deviation_leads", "Worst |assigned - ideal| of a pool's members", ["pool", "kind"], **make
        )
        # What that may come to: `alarm` in pools.yaml. None for pools that do not go by turns.
        self.bound = Gauge("fingerpost_pool_bound_leads", "What that may come to", ["pool", "kind"], **make)
        # SLA clocks whose limit was passed; `report sla` says with whom.
        self.breaches = Counter("fingerpost_clock_breaches", "SLA clocks that were not met", ["clock"], **make)
        # For how long the timer that is due longest has been due: steps of clocks, and records on hold, wait for it.
        self.timer_late = Gauge("fingerpost_timer_late_seconds", "How late the timer is that is due longest", **make)
        # Events waiting for a decision, and writes waiting for the CRM, at the time of asking.
        self.backlog = Gauge("fingerpost_backlog_events", "Events accepted and not settled", **make)
        self.outbox = Gauge("fingerpost_outbox_writes", "Writes owed and not ended", **make)
        # Where decisions are published for other programs: those that have not been.
        self.announcements = Gauge("fingerpost_announcements", "Decisions that are still to be published", **make)
        # Nothing is accepted or decided meanwhile; after the patience the process ends.
        self.ledger_lost = Gauge(
            "fingerpost_ledger_lost_seconds", "How long the ledger has been lost, 0 while it is well", **make
        )
        # API calls of the CRM's day, everybody's, as its last answer told; for how long they will do at the present pace.
        self.calls_used = Gauge("fingerpost_crm_calls_used", "API calls of the day, everybody's", ["system"], **make)
        self.calls_limit = Gauge("fingerpost_crm_calls_limit", "API calls that the day has", ["system"], **make)
        self.calls_left = Gauge(
            "fingerpost_crm_calls_left_seconds", "Seconds until no call is left for us at this pace", ["system"], **make
        )
        # While a CRM is down, refuses our login, or wants no requests; `/healthz` says why and until when.
        self.crm_waits = Gauge(
            "fingerpost_crm_waits_seconds",
            "For how long a CRM has kept us waiting; absent while well",
            ["system"],
            **make,
        )
        # The role worker: what it holds of the log, and how far it is.
        self.partitions = Gauge("fingerpost_partitions_held", "Partitions of the log that this worker decides", **make)
        self.brokers_lost = Gauge(
            "fingerpost_brokers_lost_seconds", "How long no broker has answered the worker, 0 while one does", **make
        )
        # The worker ends with it: seen by whoever asks before it does, and in the supervisor's count of restarts.
        self.refused = Counter(
            "fingerpost_kafka_refusals", "Times that Kafka refused this worker what it needs", **make
        )
        self.lag = Gauge("fingerpost_partition_lag", "Events of a partition not settled yet", ["partition"], **make)
        self.set_aside = Gauge("fingerpost_partitions_set_aside", "Partitions set aside for unusable events", **make)
        self.deciding_paused = Gauge("fingerpost_deciding_paused", "1 while the outbox is full", **make)
        self.not_read = Gauge(
            "fingerpost_not_read",
            "Sources of a CRM that are down, and kinds of records that it refuses them",
            ["system"],
            **make,
        )
        self.gaps = Gauge("fingerpost_log_gaps", "Gaps in what was read of the log, filled since the start", **make)
        self.lost = Gauge(
            "fingerpost_log_events_lost", "Events that retention removed undecided, since the start", **make
        )

    def calls(self, system: str, calls: CallsToday, now: datetime) -> None:
        """Takes in what a system last told of its day's calls."""
        self.calls_used.labels(system).set(calls.used)
        self.calls_limit.labels(system).set(calls.limit)
        left = inf if calls.none_left_at is None else max(0.0, (calls.none_left_at - now).total_seconds())
        self.calls_left.labels(system).set(left)

    def waits(self, troubles: Sequence[Trouble], now: datetime) -> None:
        """Takes in what the CRMs keep us waiting with."""
        self.crm_waits.clear()
        for one in troubles:
            self.crm_waits.labels(one.name).set(max(0.0, (now - one.since).total_seconds()))

    def watch(self, happening: Happening) -> None:
        """Counts one happening of the feed."""
        what, detail = happening.what, happening.detail
        if what == "deviation":
            pool, kind, leads, bound = detail
            self.deviation.labels(pool, kind).set(leads)
            if bound is not None:
                self.bound.labels(pool, kind).set(bound)
        elif what == "breached":
            self.breaches.labels(detail).inc()
        elif what == "accepted":
            self.accepted.inc(happening.count)
        elif what == "settled":
            self.settled.inc(happening.count)
        elif what == "decided":
            self.decided.labels(detail[1].outcome).inc()
        elif what == "paused":
            self.pauses.inc()
        elif what == "intake":
            self.breaker.inc()
        elif what in ("confirmed", "superseded", "retried", "parked"):
            if isinstance(detail, tuple):
                self.writes.labels(what).inc()
            if what == "parked":
                self.parked.inc()
            if what == "confirmed":
                owed, _fate, ended_ms = detail
                if owed.write.kind == "update":
                    self.latency.observe(max(0, ended_ms - owed.occurred_ms) / 1000)
