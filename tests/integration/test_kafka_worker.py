"""A worker on a real broker and a real PostgreSQL, in this process: where it reads on, what it does about gaps and poison."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import yaml
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from sqlalchemy import update
from typer.testing import CliRunner

from routing.bootstrap.deciding import Deciding
from routing.bootstrap.process import Process
from routing.cli.app import app
from routing.core.model import ChangeEvent, Write, derived_id
from routing.ledger import journal, outbox, schema, shares
from routing.ledger.engine import Ledger
from routing.runtime.clock import utcnow
from routing.runtime.kafka import circuit, lag, messages
from routing.runtime.kafka.client import python_options
from routing.runtime.kafka.gaps import GapFiller
from routing.runtime.kafka.messages import encode, partition_of, receive, ref_of_event
from routing.runtime.kafka.sender import Outgoing, Sender
from routing.runtime.kafka.settings import KafkaSettings
from routing.runtime.kafka.settler import Settler
from routing.runtime.received import Received
from tests.processes import POLICY, wait_for
from tests.servers.kafka import Kafka

PARTITIONS = 2


class Log:
    """A topic, and a ledger that follows it."""

    def __init__(self, kafka: Kafka, url: str) -> None:
        topic = kafka.topic(PARTITIONS)
        kafka.topic(PARTITIONS, f"{topic}-decisions")
        self.topic, self.url, self.bootstrap = topic, url, kafka.bootstrap
        self.settings = KafkaSettings(
            bootstrap_servers=kafka.bootstrap,
            changes_topic=topic,
            decisions_topic=f"{topic}-decisions",
            replication=1,
            group=topic,
            session_timeout_seconds=6,
        )

    def send(self, *values: tuple[int, bytes]) -> None:
        producer = KafkaProducer(bootstrap_servers=self.bootstrap)
        for partition, value in values:
            producer.send(self.topic, value=value, partition=partition)
        producer.flush()
        producer.close()

    def leads(self, partition: int, count: int, begin: int = 0) -> None:
        """So many new leads of a partition, behind the first ``begin`` that there are."""
        self.send(*[(partition, encode(event, 1)) for event in _leads(partition, begin + count)[begin:]])

    @contextmanager
    def worker(self, most_owed: int = 1000) -> Iterator[Deciding]:
        """A worker as it is."""
        with self._process(most_owed) as (process, deciding):
            process.services.start("deciding", "start-up", deciding.open)
            yield deciding

    @contextmanager
    def settling(self) -> Iterator[Settler]:
        """Its settling half alone: the test says what was read."""
        with self._process(1000) as (process, deciding):
            process.services.start("deciding", "settling", deciding.settler.run)
            yield deciding.settler

    @contextmanager
    def _process(self, most_owed: int) -> Iterator[tuple[Process, Deciding]]:
        process = Process(self.url, POLICY, lambda _policies: [], alone=False, most_owed=most_owed)
        try:
            yield process, Deciding(process, self.settings)
            assert process.services.failure == ""
        finally:
            assert process.stop() == []

    def states(self) -> dict[str, int]:
        ledger = Ledger(self.url)
        with ledger.read() as conn:
            found = journal.counts(conn)
        ledger.close()
        return found

    def await_settled(self, count: int) -> None:
        wait_for("the log to be settled", lambda: sum(self.states().values()) >= count, 30)


def _write(n: int) -> Write:
    return Write(
        write_id=f"w{n}",
        decision_id="d",
        system="salesforce",
        entity="lead",
        record_id=str(n),
        fields={"owner": "somebody"},
        guard={},
    )


def _leads(partition: int, count: int) -> list[ChangeEvent]:
    found: list[ChangeEvent] = []
    n = 0
    while len(found) < count:
        n += 1
        values = {
            "last_name": f"Lead {n}",
            "email": f"lead.{partition}.{n}@firm.example",
            "company": "Firm",
            "country": "US",
        }
        event = ChangeEvent(
            event_id=derived_id("test", str(n)),
            system="salesforce",
            entity="lead",
            record_id=f"00Q{n:012}AAA",
            kind="created",
            changed=tuple(values),
            values=values,
            occurred_at=utcnow(),
            observed_at=utcnow(),
        )
        if partition_of(ref_of_event(event), PARTITIONS) == partition:
            found.append(event)
    return found


@pytest.fixture
def log(kafka: Kafka, postgres_url: str) -> Log:
    return Log(kafka, postgres_url)


def test_a_committed_offset_that_ran_ahead_loses_nothing(log: Log) -> None:
    log.leads(0, 10)
    consumer = KafkaConsumer(bootstrap_servers=log.bootstrap, group_id=log.settings.group, enable_auto_commit=False)
    here = TopicPartition(log.topic, 0)
    consumer.assign([here])
    consumer.seek(here, 10)
    consumer.commit()
    consumer.close(autocommit=False)
    with log.worker() as deciding:
        log.await_settled(10)
        assert deciding.settler.gaps == 0
    assert log.states() == {"applied": 10}


def test_a_worker_that_comes_back_reads_on_where_the_ledger_is(log: Log) -> None:
    log.leads(0, 5)
    with log.worker():
        log.await_settled(5)
    log.send(*[(1, encode(event, 1)) for event in _leads(1, 5)])
    with log.worker() as deciding:
        log.await_settled(10)
        wait_for("both partitions", lambda: sum(p.next_offset for p in deciding.settler.progress().values()) == 10)
    assert log.states() == {"applied": 10}


def test_what_retention_removed_is_told_and_parked_and_the_rest_goes_on(log: Log) -> None:
    log.leads(0, 10)
    admin = KafkaAdminClient(bootstrap_servers=log.bootstrap)
    admin.delete_records({TopicPartition(log.topic, 0): 4})
    admin.close()
    with log.worker() as deciding:
        log.await_settled(7)
        assert deciding.settler.lost == 4
        assert deciding.health()["lost"] == 4
    assert log.states() == {"applied": 6, "parked": 1}
    ledger = Ledger(log.url)
    with ledger.read() as conn:
        assert "4 event(s) of partition 0, offsets 0 to 3" in journal.parked(conn)[0]["reason"]
    ledger.close()


def test_a_jump_in_what_is_read_is_filled_from_kafka(log: Log) -> None:
    log.leads(0, 10)
    values = [encode(event, 1) for event in _leads(0, 10)]
    with log.settling() as settler:
        settler.claim([0, 1], PARTITIONS)
        settler.offer(0, [(0, values[0]), (1, values[1])])
        log.await_settled(2)
        settler.offer(0, [(8, values[8]), (9, values[9])])
        log.await_settled(10)
        assert settler.gaps == 1
        assert settler.lost == 0
    assert log.states() == {"applied": 10}


def test_a_worker_that_lost_its_partition_settles_no_more_of_it(log: Log) -> None:
    values = [encode(event, 1) for event in _leads(0, 2)]
    with log.settling() as settler:
        settler.claim([0, 1], PARTITIONS)
        ledger = Ledger(log.url)
        with ledger.write() as conn:
            shares.claim(conn, log.topic, [0], "another worker", utcnow())
        settler.offer(0, [(0, values[0]), (1, values[1])])
        wait_for("the partition to be let go", lambda: settler.progress().keys() == {1})
        with ledger.read() as conn:
            assert shares.positions(conn, log.topic)[0].next_offset == 0
        ledger.close()
    assert log.states() == {}


def command(log: Log, folder: Path, *words: str) -> tuple[int, str]:
    """An operator's command, with settings that name the log and its ledger."""
    kafka = {
        "bootstrap_servers": log.bootstrap,
        "changes_topic": log.topic,
        "decisions_topic": f"{log.topic}-decisions",
    }
    kafka |= {"replication": 1, "partitions": PARTITIONS}
    file = folder / "fingerpost.yaml"
    # A secret that only the daemon may read keeps nobody from looking.
    hidden = {"client_id": {"file": "/run/credentials/nowhere"}}
    file.write_text(
        yaml.safe_dump({"policy": str(POLICY), "ledger": log.url, "kafka": kafka, "salesforce": hidden}), "utf-8"
    )
    gc.collect()  # a command's connections end with its process
    result = CliRunner().invoke(app, [*words, "--config", str(file)])
    return result.exit_code, f"{result.output}{result.exception or ''}"


def test_what_waits_in_kafka_is_told_to_who_asks_and_not_left_behind(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "QUIET", timedelta(0))  # nobody settles
    log.leads(0, 3)
    log.leads(1, 4)
    for words in (("topics", "check"), ("ledger", "check")):
        code, said = command(log, tmp_path, *words)
        assert code == 1
        assert (
            f"7 events wait in the topic {log.topic}, in partition(s) 0 (3), 1 (4); none was settled so far"
            in _flat(said)
        )
    code, said = command(log, tmp_path, "ledger", "copy", "--to", f"sqlite:///{tmp_path}/back.db")
    assert code != 0
    assert "7 events wait" in said
    for elsewhere, refused in ((f"{log.topic}-new", True), (log.topic, False)):
        # The same broker by another of its names: what counts is the log.
        kafka = {"bootstrap_servers": log.bootstrap.replace("127.0.0.1", "localhost"), "changes_topic": elsewhere}
        new = {"policy": str(POLICY), "ledger": f"{tmp_path}/{elsewhere}.db", "kafka": kafka}
        (tmp_path / "new.yaml").write_text(yaml.safe_dump(new), "utf-8")
        code, said = command(log, tmp_path, "ledger", "copy", "--to-config", str(tmp_path / "new.yaml"))
        assert (code != 0) == refused, said
        there = f"7 events wait in the topic {log.topic}, and the copy would go on with the topic {elsewhere} of another log"
        assert (there in _flat(said)) == refused
    with log.worker():
        log.await_settled(7)
    assert f"everything in the topic {log.topic} is settled" in _flat(command(log, tmp_path, "topics", "check")[1])
    assert f"everything in the topic {log.topic} is settled" in _flat(command(log, tmp_path, "ledger", "check")[1])
    code, said = command(log, tmp_path, "ledger", "copy", "--to", f"sqlite:///{tmp_path}/back.db")
    assert code == 0, said


def _flat(said: str) -> str:
    return " ".join(said.split())


def test_partitions_that_are_added_stay_empty_until_the_settings_say_so(log: Log) -> None:
    log.settings = msgspec.structs.replace(log.settings, partitions=PARTITIONS)
    admin = KafkaAdminClient(bootstrap_servers=log.bootstrap)
    admin.create_partitions({log.topic: 2 * PARTITIONS})
    admin.wait_for_topics([log.topic])
    admin.close()
    events = [*_leads(0, 10), *_leads(1, 10)]
    sender = Sender(log.settings, log.topic)
    sender.connect()
    assert sender.write([Outgoing(ref_of_event(event), encode(event, 1)) for event in events]) == [None] * 20
    sender.close()
    with log.worker() as deciding:
        log.await_settled(20)

        def reached() -> dict[int, int]:
            return {p: one.next_offset for p, one in deciding.settler.progress().items()}

        wait_for("all partitions", lambda: reached() == {0: 10, 1: 10, 2: 0, 3: 0}, 30)
    assert log.states() == {"applied": 20}


def test_a_worker_whose_topic_is_not_there_says_so(log: Log) -> None:
    log.settings = msgspec.structs.replace(log.settings, changes_topic=f"{log.topic}-misspelt")
    with log.worker() as deciding:
        wait_for("the reason", lambda: "run `fingerpost topics create`" in str(deciding.health()["unreachable"]), 30)


def test_deciding_pauses_while_the_outbox_is_full(log: Log) -> None:
    ledger = Ledger(log.url)
    with ledger.write() as conn:
        outbox.add(conn, [(_write(n), 0, 0) for n in range(3)], utcnow())
    log.leads(0, 5)
    with log.worker(most_owed=3) as deciding:
        process = deciding._process
        wait_for("the pause", lambda: process.bound.paused != "")
        wait_for("the lag to be known", lambda: sum(deciding.watchdog.lag.values()) == 5)
        assert log.states() == {}
        assert "3 writes wait for the CRMs" in str(process.health()["paused"])
        with ledger.write() as conn:
            conn.execute(update(schema.outbox).values(state="confirmed"))
        log.await_settled(5)
        assert process.bound.paused == ""
    ledger.close()
    assert log.states() == {"applied": 5}


def test_a_range_is_read_again_whole_and_in_order(log: Log) -> None:
    log.leads(0, 10)

    def decode(partition: int, offset: int, value: bytes | None) -> Received:
        return receive(log.topic, partition, offset, value, 1)

    filler = GapFiller(log.topic, lambda: python_options(log.settings), decode, utcnow)
    assert [one.offset for one in filler(0, 2, 7)] == [2, 3, 4, 5, 6]


def test_a_log_that_is_shorter_than_what_was_settled_is_read_from_its_start(log: Log) -> None:
    log.leads(0, 3)
    ledger = Ledger(log.url)
    with ledger.write() as conn:
        shares.claim(conn, log.topic, [0], "somebody", utcnow())
        shares.advance(conn, log.topic, {0: 1000}, utcnow())
    ledger.close()
    with log.worker():
        log.await_settled(3)
    assert log.states() == {"applied": 3}


def test_a_topic_that_was_made_anew_is_read_from_its_start_however_long_it_is_by_then(log: Log, kafka: Kafka) -> None:
    log.leads(0, 3)
    with log.worker():
        log.await_settled(3)
    remake(log, kafka)
    ledger = Ledger(log.url)
    log.leads(0, 8, begin=3)
    found = lag.lag_of(log.settings, ledger)
    assert (found.waiting, found.short) == ({0: 8, 1: 0}, ())
    assert "8 events wait in the topic" in (said := lag.finding(found, utcnow()).detail)
    assert ", which was made anew, in partition(s) 0 (8)" in said
    with log.worker():
        log.await_settled(11)
    assert (log.states(), lag.lag_of(log.settings, ledger).anew) == ({"applied": 11}, False)
    ledger.close()


def test_a_worker_whose_topic_is_made_anew_meanwhile_ends(log: Log, kafka: Kafka) -> None:
    """What is in the new one would be taken for settled. Its supervisor starts it anew."""
    log.leads(0, 3)
    with pytest.raises(AssertionError, match="was made anew; the process ends"), log.worker() as deciding:
        log.await_settled(3)
        remake(log, kafka)
        wait_for("the end", lambda: deciding._process.services.failure != "", 60)
    log.leads(0, 8, begin=3)
    with log.worker():
        log.await_settled(11)


def remake(log: Log, kafka: Kafka) -> None:
    """Deletes the topic, and makes one of the same name."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.delete_topics([log.topic])
    wait_for("the topic to go", lambda: admin.describe_topics([log.topic])[0]["error_code"] == 3)
    admin.close()
    kafka.topic(PARTITIONS, log.topic)


def test_what_the_brokers_cleared_to_the_very_end_is_told_as_lost(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiet partition after a long outage: no message comes that would show the gap."""
    monkeypatch.setattr(lag, "QUIET", timedelta(0))
    log.leads(0, 3)
    with log.worker():
        log.await_settled(3)
    log.leads(0, 8, begin=3)
    admin = KafkaAdminClient(bootstrap_servers=log.bootstrap)
    admin.delete_records({TopicPartition(log.topic, 0): 11})
    admin.close()
    code, said = command(log, tmp_path, "topics", "check")
    assert code == 1
    assert f"8 events of the topic {log.topic} were cleared before they were settled, in partition(s) 0" in _flat(said)
    with log.worker() as deciding:
        log.await_settled(4)
        assert deciding.settler.lost == 8
    assert log.states() == {"applied": 3, "parked": 1}
    code, said = command(log, tmp_path, "parked", "list", "--json")
    [notice] = [json.loads(line) for line in said.splitlines() if line]
    assert notice["why"].startswith(
        f"Lost: 8 event(s) of partition 0, offsets 3 to 10, were removed from the topic {log.topic}"
    )
    assert notice["since"].startswith(f"{utcnow():%Y-}")
    code, said = command(log, tmp_path, "parked", "retry", notice["id"])
    assert (code, log.states()) == (1, {"applied": 3, "parked": 1})
    assert "so there is nothing to try again. Look at the records in the CRM, then discard it." in _flat(said)
    assert f"everything in the topic {log.topic} is settled" in _flat(command(log, tmp_path, "topics", "check")[1])


def test_a_message_that_a_newer_version_wrote_is_read_once_that_runs(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer, garbage = encode(_leads(0, 1)[0], 1).replace(b'"v":1', b'"v":2'), b"hello"
    log.send((0, newer), (0, garbage))
    with log.worker():
        log.await_settled(2)
        code, said = command(log, tmp_path, "parked", "retry", "--all")
        assert (code, log.states()) == (1, {"parked": 2})
        assert "is of version 2, and this worker knows up to 1" in _flat(said)
        monkeypatch.setattr(messages, "VERSION", 2)
        code, said = command(log, tmp_path, "parked", "retry", "--all")
        assert code == 0
        assert "cannot be read by this version either: the message is not one of ours" in _flat(said)
        log.await_settled(3)
        wait_for("the lead", lambda: log.states() == {"applied": 1, "parked": 1, "skipped": 1})


def test_a_poisoned_partition_is_set_aside_and_tried_again_while_the_other_goes_on(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit, "ASIDE_SECONDS", 2)
    log.send(*[(0, b"poison")] * 60)
    with log.worker() as deciding:
        wait_for("the partition to be set aside", lambda: deciding.settler.circuit.aside() == {0})
        log.leads(0, 5)
        log.leads(1, 5)
        log.await_settled(65)
        assert log.states() == {"parked": 60, "applied": 5}
        log.await_settled(70)
        assert deciding.settler.gaps == 0
    assert log.states() == {"parked": 60, "applied": 10}
