"""What waits in Kafka: how far the log reaches, compared with how far the ledger is, whoever holds the partitions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from msgspec import Struct

from connectors.contract import Finding
from routing.ledger import shares
from routing.ledger.engine import Ledger
from routing.runtime.kafka.client import CONNECT_SECONDS, python_options, reason
from routing.runtime.kafka.refusal import why_not
from routing.runtime.kafka.settings import KafkaSettings, KafkaUnwell
from routing.runtime.kafka.topics import changes_log

# Workers settle several times a second whatever there is; a minute without is none that works.
QUIET = timedelta(minutes=1)
SHOWN = 20


class Lag(Struct, frozen=True):
    """``waiting``: events of each partition that are not settled. ``moved_at``: when the ledger's position changed last, None for
    never. ``short``: partitions that end before what was settled of them. ``cleared``: events of each partition that the brokers
    removed before they were settled, and nobody has told of. ``anew``: the topic is another one than was settled, and no worker has
    begun with it."""

    topic: str
    waiting: dict[int, int]
    moved_at: datetime | None
    short: tuple[int, ...] = ()
    cleared: Mapping[int, int] = {}
    anew: bool = False

    @property
    def events(self) -> int:
        """How many wait in all."""
        return sum(self.waiting.values())


def lag_of(settings: KafkaSettings, ledger: Ledger) -> Lag:
    """Asks the brokers first and the ledger then, so that what is settled meanwhile is not counted. Blocks for seconds at most.

    Raises KafkaUnwell, SQLAlchemyError.
    """
    (begins, ends), log_id = _reach(settings), changes_log(settings)
    with ledger.read() as conn:
        settled = shares.positions(conn, settings.changes_topic)
        moved_at = shares.moved_at(conn, settings.changes_topic)
    reached = {p: settled[p].next_offset if p in settled and settled[p].counts_in(log_id) else 0 for p in sorted(ends)}
    return Lag(
        settings.changes_topic,
        {p: max(0, ends[p] - max(at, begins[p])) for p, at in reached.items()},
        moved_at,
        short=tuple(p for p, at in reached.items() if ends[p] < at),
        cleared={p: begins[p] - at for p, at in reached.items() if begins[p] > at},
        anew=any(not one.counts_in(log_id) for one in settled.values()),
    )


def same_log(one: KafkaSettings, other: KafkaSettings) -> bool:
    """Whether both name one topic of changes, by whatever address of its brokers. Raises KafkaUnwell."""
    if one.changes_topic != other.changes_topic:
        return False
    if set(one.servers) == set(other.servers):
        return True
    known = changes_log(one)
    return bool(known) and known == changes_log(other)


def finding(lag: Lag, now: datetime) -> Finding:
    """The same for a person."""
    if lag.short:
        ends = f"the topic {lag.topic} ends before what was settled of it, in partition(s) {', '.join(map(str, lag.short))}"
        advice = "The brokers lost data. Workers notice within seconds, end, and once started anew read such partitions from the start."
        return Finding("log", False, ends, advice)
    if lag.cleared:
        gone = f"{sum(lag.cleared.values()):,} events of the topic {lag.topic} were cleared before they were settled, in partition(s)"
        advice = "Start a worker: it tells of them in `fingerpost parked list`. Give the topic a longer retention."
        return Finding("log", False, f"{gone} {', '.join(map(str, lag.cleared))}", advice)
    if not lag.events:
        return Finding("log", True, f"everything in the topic {lag.topic} is settled")
    behind = [f"{p} ({n:,})" for p, n in lag.waiting.items() if n]
    more = f" and {len(behind) - SHOWN} more" if len(behind) > SHOWN else ""
    anew = ", which was made anew" if lag.anew else ""
    detail = (
        f"{lag.events:,} events wait in the topic {lag.topic}{anew}, in partition(s) {', '.join(behind[:SHOWN])}{more}"
    )
    if lag.moved_at is not None and now - lag.moved_at < QUIET:
        return Finding("log", True, f"{detail}; they are being settled")
    since = f"since {lag.moved_at.isoformat(timespec='seconds')}" if lag.moved_at else "so far"
    advice = (
        "Does a worker run? Its `/healthz` and its log say what keeps it. Nothing is lost within the topic's retention."
    )
    return Finding("log", False, f"{detail}; none was settled {since}", advice)


def _reach(settings: KafkaSettings) -> tuple[dict[int, int], dict[int, int]]:
    """The first offset of each partition, and the one behind its last."""
    try:
        consumer = KafkaConsumer(**python_options(settings), group_id=None, enable_auto_commit=False)
    except (KafkaError, OSError) as error:
        raise KafkaUnwell(f"Kafka cannot be asked what waits: {why_not(settings) or reason(error)}.") from error
    try:
        there = [
            TopicPartition(settings.changes_topic, p) for p in consumer.partitions_for_topic(settings.changes_topic)
        ]
        wait = int(CONNECT_SECONDS * 1000)
        found = [ask(there, wait) if there else {} for ask in (consumer.beginning_offsets, consumer.end_offsets)]
    except (KafkaError, OSError) as error:
        raise KafkaUnwell(f"Kafka cannot be asked what waits in {settings.changes_topic}: {reason(error)}.") from error
    finally:
        consumer.close(autocommit=False)
    begins, ends = ({here.partition: int(at) for here, at in one.items()} for one in found)
    return begins, ends
