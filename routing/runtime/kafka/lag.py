"""What waits in Kafka: how far the log reaches, compared with how far the ledger is, whoever holds the partitions."""

from __future__ import annotations

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

# Workers settle several times a second whatever there is; a minute without is none that works.
QUIET = timedelta(minutes=1)
SHOWN = 20


class Lag(Struct, frozen=True):
    """``waiting``: events of each partition that are not settled. ``moved_at``: when the ledger's position changed last, None for
    never."""

    topic: str
    waiting: dict[int, int]
    moved_at: datetime | None

    @property
    def events(self) -> int:
        """How many wait in all."""
        return sum(self.waiting.values())


def lag_of(settings: KafkaSettings, ledger: Ledger) -> Lag:
    """Asks the brokers first and the ledger then, so that what is settled meanwhile is not counted. Blocks for seconds at most.

    Raises KafkaUnwell, SQLAlchemyError.
    """
    ends = _ends(settings)
    with ledger.read() as conn:
        settled = shares.positions(conn, settings.changes_topic)
        moved_at = shares.moved_at(conn, settings.changes_topic)
    waiting = {p: max(0, end - (settled[p].next_offset if p in settled else 0)) for p, end in sorted(ends.items())}
    return Lag(settings.changes_topic, waiting, moved_at)


def finding(lag: Lag, now: datetime) -> Finding:
    """The same for a person."""
    if not lag.events:
        return Finding("log", True, f"everything in the topic {lag.topic} is settled")
    behind = [f"{p} ({n:,})" for p, n in lag.waiting.items() if n]
    more = f" and {len(behind) - SHOWN} more" if len(behind) > SHOWN else ""
    detail = f"{lag.events:,} events wait in the topic {lag.topic}, in partition(s) {', '.join(behind[:SHOWN])}{more}"
    if lag.moved_at is not None and now - lag.moved_at < QUIET:
        return Finding("log", True, f"{detail}; they are being settled")
    since = f"since {lag.moved_at.isoformat(timespec='seconds')}" if lag.moved_at else "so far"
    advice = (
        "Does a worker run? Its `/healthz` and its log say what keeps it. Nothing is lost within the topic's retention."
    )
    return Finding("log", False, f"{detail}; none was settled {since}", advice)


def _ends(settings: KafkaSettings) -> dict[int, int]:
    try:
        consumer = KafkaConsumer(**python_options(settings), group_id=None, enable_auto_commit=False)
    except (KafkaError, OSError) as error:
        raise KafkaUnwell(f"Kafka cannot be asked what waits: {why_not(settings) or reason(error)}.") from error
    try:
        there = [
            TopicPartition(settings.changes_topic, p) for p in consumer.partitions_for_topic(settings.changes_topic)
        ]
        found = consumer.end_offsets(there, int(CONNECT_SECONDS * 1000)) if there else {}
    except (KafkaError, OSError) as error:
        raise KafkaUnwell(f"Kafka cannot be asked what waits in {settings.changes_topic}: {reason(error)}.") from error
    finally:
        consumer.close(autocommit=False)
    return {here.partition: int(end) for here, end in found.items()}
