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
from routing.bootstrap.deciding import Deciding
from routing.bootstrap.process import Process
from routing.runtime.kafka import refusal, topics
from routing.runtime.kafka.client import faust_credentials, python_options
from routing.runtime.kafka.sender import Outgoing, Sender
from routing.runtime.kafka.settings import KafkaMisconfigured, KafkaSettings, KafkaUnwell
from tests.processes import POLICY, wait_for
from tests.servers.kafka import PASSWORD, USER, Kafka

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
SCRAM_PASSWORD = "battery-staple"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("secure") / "broker", secure=True) as made:
        made.user("scram-user", SCRAM_PASSWORD)
        made.grant("scram-user", "TOPIC", "changes", "DESCRIBE", "READ", "WRITE")
        made.grant("scram-user", "TOPIC", "decisions", "DESCRIBE")
        yield made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


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


WRONG = Secret("wrong-horse")
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("SASL_PLAINTEXT", {"password": WRONG}, "refuses the login of 'fingerpost' by PLAIN (Authentication failed"),
    (
        "SASL_PLAINTEXT",
        {"sasl_mechanism": "SCRAM-SHA-512", "username": "scram-user", "password": WRONG},
        "refuses the login of 'scram-user' by SCRAM-SHA-512 (Authentication failed",
    ),
    ("SASL_PLAINTEXT", {"sasl_mechanism": "SCRAM-SHA-256"}, "does not know SCRAM-SHA-256"),
    ("SASL_PLAINTEXT", {"security_protocol": "PLAINTEXT"}, "it may expect another kafka.security_protocol"),
    ("SASL_SSL", {"password": WRONG}, "refuses the login of 'fingerpost' by PLAIN (Authentication failed"),
    # An authority that nobody on this machine knows.
    ("SASL_SSL", {"ca_file": ""}, "not to be trusted (unable to get local issuer certificate): look at kafka.ca_file"),
    ("SSL", {"cert_file": "", "key_file": ""}, "look at kafka.cert_file"),
    ("SSL", {"bootstrap_servers": "127.0.0.1:1"}, "127.0.0.1:1 cannot be reached (ConnectionRefusedError"),
]


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker of a crowded machine may answer late."""
    monkeypatch.setattr(refusal, "ASK_SECONDS", 30.0)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(("protocol", "more", "why"), REFUSED)
def test_who_is_not_let_in_is_told_why_without_the_password(
    broker: Kafka, protocol: str, more: dict[str, Any], why: str
) -> None:
    made = settings(broker, protocol, **more)
    said = refusal.why_not(made)
    assert said.startswith(f"{made.servers[0]} ")
    assert why in said
    assert "horse" not in said


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(("login", "door"), [("SASL_PLAINTEXT", "PLAINTEXT"), ("SASL_SSL", "SSL")])
def test_who_wants_to_log_in_where_nobody_does_is_told_which_setting_is_wrong(
    broker: Kafka, login: str, door: str
) -> None:
    doors = broker.addresses | {"PLAINTEXT": broker.bootstrap}
    said = refusal.why_not(settings(broker, login, bootstrap_servers=doors[door]))
    assert said == f"{doors[door]} takes no login: it expects another kafka.security_protocol than {login}"


@pytest.mark.usefixtures("patience")
def test_a_refused_login_is_told_by_all_that_write_and_ask(broker: Kafka) -> None:
    made = settings(broker, "SASL_PLAINTEXT", password=WRONG)
    with pytest.raises(KafkaUnwell, match="refuses the login of 'fingerpost' by PLAIN"):
        Sender(made, "changes").connect()
    with pytest.raises(KafkaUnwell, match="refuses the login of 'fingerpost' by PLAIN"):
        topics.check(made)


@pytest.mark.usefixtures("patience")
def test_who_is_let_in_by_one_broker_of_two_has_nothing_to_complain_of(broker: Kafka) -> None:
    two = f"127.0.0.1:1,{broker.addresses['SASL_PLAINTEXT']}"
    assert refusal.why_not(settings(broker, "SASL_PLAINTEXT", bootstrap_servers=two)) == ""
    wrong = refusal.why_not(settings(broker, "SASL_PLAINTEXT", bootstrap_servers=two, password=WRONG))
    assert "127.0.0.1:1 cannot be reached" in wrong
    assert "refuses the login" in wrong


@pytest.mark.usefixtures("patience")
def test_a_worker_tells_why_no_broker_lets_it_in_and_stops_when_told(broker: Kafka, tmp_path: Path) -> None:
    made = settings(broker, "SASL_PLAINTEXT", password=WRONG)
    process = Process(f"sqlite:///{tmp_path}/ledger.db", POLICY, lambda _policies: [], alone=False)
    deciding = Deciding(process, made)
    process.services.start("deciding", "start-up", deciding.open)
    wait_for("the reason", lambda: "refuses the login" in str(deciding.health()["unreachable"]), 60)
    assert process.stop() == []
    assert process.services.failure == ""


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
