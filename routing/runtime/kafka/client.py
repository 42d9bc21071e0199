"""How the client libraries are told about one Kafka: for kafka-python, and for Faust with its aiokafka. Nothing here connects."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from aiokafka.record.util import calc_crc32c
from kafka.record import default_records

from routing.runtime.kafka.settings import KafkaMisconfigured, KafkaSettings

if TYPE_CHECKING:  # only a worker needs Faust
    from faust.types.auth import CredentialsT

# kafka-python sums the bytes of each batch in plain Python, 4 ms for 16 kB: half of what a worker or a gateway would do all day.
# aiokafka brings the same sum in C.
default_records.calc_crc32c = calc_crc32c

# A broker that is there answers at once; one that is not is asked again in a moment. A process that is to end waits no longer, either.
CONNECT_SECONDS = 3.0


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """What TLS is to trust and to show; None without TLS. Reads the files named. Raises KafkaMisconfigured."""
    if settings.security_protocol not in ("SSL", "SASL_SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise KafkaMisconfigured(
            f"kafka.ca_file {settings.ca_file} cannot be used: {error}. It must hold PEM certificates."
        ) from error
    context.check_hostname = settings.verify_hostname
    if settings.cert_file:
        try:
            # Without a password: a key that needs one must not make us ask for it on a terminal.
            context.load_cert_chain(settings.cert_file, settings.key_file, password="")
        except (OSError, ssl.SSLError) as error:
            raise KafkaMisconfigured(
                f"kafka.cert_file {settings.cert_file} and kafka.key_file {settings.key_file} cannot be used: {error}. They must "
                "be PEM, belong together, and the key must not be encrypted."
            ) from error
    return context


def python_options(settings: KafkaSettings) -> dict[str, Any]:
    """Options that every client of kafka-python takes: where, who, and how. Raises KafkaMisconfigured."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.servers,
        "client_id": settings.client_id,
        "security_protocol": settings.security_protocol,
        "ssl_context": ssl_context(settings),
        # A broker that comes back after minutes is to be noticed within a second or two.
        "reconnect_backoff_max_ms": 1000,
        "bootstrap_timeout_ms": int(CONNECT_SECONDS * 1000),
    }
    if settings.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.username
        options["sasl_plain_password"] = settings.password.reveal()
    return options


def reason(error: BaseException) -> str:
    """An error in a few words, without what was sent."""
    words = str(error).strip().split(": Request '")[0]  # kafka-python quotes whole requests
    kind = type(error).__name__
    return words if words.startswith(kind) else f"{kind}: {words}" if words else kind


def faust_broker(settings: KafkaSettings) -> list[str]:
    """The ``broker`` of a Faust app."""
    return [f"kafka://{server}" for server in settings.servers]


def faust_credentials(settings: KafkaSettings) -> CredentialsT | None:
    """The ``broker_credentials`` of a Faust app; None for a Kafka that asks for none. Raises KafkaMisconfigured."""
    from faust import SASLCredentials, SSLCredentials

    context = ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        return SASLCredentials(
            username=settings.username,
            password=settings.password.reveal(),
            ssl_context=context,
            mechanism=settings.sasl_mechanism,
        )
    return SSLCredentials(context) if context else None
