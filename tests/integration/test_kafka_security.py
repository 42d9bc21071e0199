"""Passwords and certificates, with both client libraries, on a broker that insists on them."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.salesforce.settings import Secret
from routing.runtime.kafka import topics
from routing.runtime.kafka.client import faust_credentials, python_options
from routing.runtime.kafka.sender import Outgoing, Sender
from routing.runtime.kafka.settings import KafkaMisconfigured, KafkaSettings, KafkaUnwell
from tests.servers.kafka import PASSWORD, USER, Kafka

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
SCRAM_PASSWORD = "battery-staple"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("secure") / "broker", secure=True) as made:
        _make_scram_user(made)
        yield made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def _make_scram_user(broker: Kafka) -> None:
    from kafka.admin import KafkaAdminClient, ScramMechanism, UserScramCredentialUpsertion

    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion("scram-user", ScramMechanism.SCRAM_SHA_512, SCRAM_PASSWORD)]
    )
    admin.close()


def settings(broker: Kafka, protocol: str, **more: Any) -> KafkaSettings:
    base: dict[str, Any] = {"bootstrap_servers": broker.addresses[protocol], "security_protocol": protocol}
    base |= {"replication": 1, "partitions": 1, "delivery_timeout_seconds": 5}
    if protocol.startswith("SASL"):
        base |= {"sasl_mechanism": "PLAIN", "username": USER, "password": Secret(PASSWORD)}
    if protocol.endswith("SSL"):
        base |= {"ca_file": broker.file("ca.pem")}
        base |= {"cert_file": broker.file("client.pem"), "key_file": broker.file("client.key")}
    return KafkaSettings(**(base | more))


WAYS: list[tuple[str, dict[str, Any]]] = [
    ("SASL_PLAINTEXT", {}),
    (
        "SASL_PLAINTEXT",
        {"sasl_mechanism": "SCRAM-SHA-512", "username": "scram-user", "password": Secret(SCRAM_PASSWORD)},
    ),
    ("SASL_SSL", {}),
    ("SSL", {}),
]


@pytest.mark.parametrize(("protocol", "more"), WAYS)
def test_both_libraries_get_in(broker: Kafka, protocol: str, more: dict[str, Any]) -> None:
    made = settings(broker, protocol, **more)
    topics.create(made)
    sender = Sender(made, made.changes_topic)
    sender.connect()
    assert sender.write([Outgoing("fake:lead:1", b"hello")]) == [None]
    sender.close()
    assert asyncio.run(_read_as_faust_does(made)) == b"hello"


async def _read_as_faust_does(made: KafkaSettings) -> bytes | None:
    from aiokafka import AIOKafkaConsumer, TopicPartition
    from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

    auth = credentials_to_aiokafka_auth(faust_credentials(made), None)
    consumer = AIOKafkaConsumer(bootstrap_servers=made.servers, auto_offset_reset="earliest", **auth)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(made.changes_topic, 0)])
        message = await asyncio.wait_for(consumer.getone(), 20)
        value: bytes | None = message.value
        return value
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    ("protocol", "more", "why"),
    [
        ("SASL_PLAINTEXT", {"password": Secret("wrong-horse")}, "password"),
        ("SASL_SSL", {"ca_file": ""}, "certificate verify failed"),  # an authority that nobody on this machine knows
        ("SSL", {"cert_file": "", "key_file": ""}, "certificate"),
    ],
)
def test_who_has_no_right_is_told_why_without_the_password(
    broker: Kafka, protocol: str, more: dict[str, Any], why: str
) -> None:
    made = settings(broker, protocol, **more)
    with pytest.raises(KafkaUnwell) as refused:
        Sender(made, "changes").connect()
    with pytest.raises(KafkaUnwell) as refused_too:
        topics.check(made)
    for text in (str(refused.value), str(refused_too.value)):
        assert why in text
        assert "horse" not in text


def test_no_secret_is_shown(broker: Kafka) -> None:
    made = settings(broker, "SASL_PLAINTEXT")
    assert PASSWORD not in repr(made)
    assert PASSWORD not in repr(faust_credentials(made))
    with pytest.raises(TypeError):
        msgspec.json.encode(made)


def test_files_that_cannot_be_used_are_named(broker: Kafka, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(KafkaMisconfigured, match=r"kafka\.ca_file .*empty\.pem"):
        python_options(settings(broker, "SSL", ca_file=str(tmp_path / "empty.pem")))
    with pytest.raises(KafkaMisconfigured, match=r"kafka\.cert_file .*nowhere"):
        python_options(settings(broker, "SSL", cert_file="nowhere", key_file="nowhere"))
