"""What an operator tells us about their Kafka."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from connectors.salesforce.settings import NO_SECRET, Secret

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_MOST_HOURS = 1_000_000  # a century, for whoever wants to keep everything


class KafkaMisconfigured(Exception):
    """The settings of Kafka cannot be used; says which, and what to do."""


class KafkaUnwell(Exception):
    """Kafka did not do it (or perhaps did: nobody knows). The text says why."""


class KafkaRefused(Exception):
    """Kafka lets us in and refuses what we need of it; the same again will not do. The text says what, and what to do."""


class KafkaSettings(Struct, frozen=True, kw_only=True):
    """One Kafka. Names are Kafka's own where it has one; times are in the unit that the name ends in.

    ``bootstrap_servers``: ``host:port``, several with commas. ``min_insync_replicas`` 0 stands for one less than
    ``replication``, so that one broker may be away. The certificate of ours (``cert_file``, ``key_file``, PEM) is needed only where
    the brokers ask for one; ``ca_file`` replaces the machine's trusted roots. ``delivery_timeout_seconds`` is how long a delivery
    may wait for the brokers before its sender is told to come again. ``session_timeout_seconds``: a worker that was not heard of for
    so long is dead, and its partitions go to the others; the brokers allow 6 and more.
    """

    bootstrap_servers: str
    changes_topic: str = "changes"
    decisions_topic: str = "decisions"
    partitions: int = 12
    replication: int = 3
    min_insync_replicas: int = 0
    changes_retention_hours: float = 168.0
    decisions_retention_hours: float = 168.0
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = ""
    password: Secret = NO_SECRET
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    verify_hostname: bool = True
    client_id: str = "fingerpost"
    group: str = "fingerpost"
    delivery_timeout_seconds: float = 10.0
    session_timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Raises ValueError, in a sentence that can follow ``kafka:``."""
        if not self.servers or not all(_is_address(one) for one in self.servers):
            raise ValueError(
                f"bootstrap_servers is {self.bootstrap_servers!r}; write host:port, and several with commas between them"
            )
        if self.partitions < 1 or self.replication < 1:
            raise ValueError("partitions and replication must be at least 1")
        if self.min_insync_replicas < 0:
            raise ValueError("min_insync_replicas must be at least 1 (or 0, for one less than replication)")
        if self.min_insync_replicas > self.replication:
            raise ValueError("min_insync_replicas cannot be more than replication: nothing could ever be written")
        for topic in (self.changes_topic, self.decisions_topic):
            if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
                raise ValueError(
                    f"Kafka takes no topic of the name {topic!r}: write letters, digits, '.', '_' and '-', 249 at most"
                )
        if not self.client_id or not self.group:
            raise ValueError("client_id and group must not be empty")
        if self.changes_topic == self.decisions_topic:
            raise ValueError("changes_topic and decisions_topic must be two topics")
        if not all(0 < kept <= _MOST_HOURS for kept in (self.changes_retention_hours, self.decisions_retention_hours)):
            raise ValueError(
                f"changes_retention_hours and decisions_retention_hours must be above 0 and at most {_MOST_HOURS:,}"
            )
        if not 1 <= self.delivery_timeout_seconds <= 3600:
            raise ValueError("delivery_timeout_seconds must be from 1 to 3600")
        # Brokers refuse less (group.min.session.timeout.ms), and Faust more than what it waits for an answer (broker_request_timeout).
        if not 6 <= self.session_timeout_seconds <= 90:
            raise ValueError("session_timeout_seconds must be from 6 to 90")
        if self.security_protocol.startswith("SASL") and not (self.username and self.password):
            raise ValueError(f"{self.security_protocol} needs username and password")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file belong together: give both or none")

    @property
    def servers(self) -> list[str]:
        """The bootstrap servers, one by one."""
        return [one.strip() for one in self.bootstrap_servers.split(",") if one.strip()]

    @property
    def insync(self) -> int:
        """How many replicas must have a message before it counts as written."""
        return self.min_insync_replicas or max(1, self.replication - 1)


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65536
