"""The gateway's door on a real broker: what is answered is in the log, in order; what is not in the log is not answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import msgspec
import pytest

from routing.core.model import ChangeEvent, Unreadable, derived_id
from routing.ledger import journal
from routing.ledger.engine import Ledger
from routing.runtime.clock import utcnow
from routing.runtime.feed import Feed
from routing.runtime.intake import IntakeClosed
from routing.runtime.kafka import messages
from routing.runtime.kafka.intake import KafkaIntake
from routing.runtime.kafka.settings import KafkaSettings
from routing.runtime.services import Services
from tests.processes import wait_for
from tests.servers.kafka import Kafka
from tests.servers.reading import read_all


def event(record_id: str, n: int = 0, **more: object) -> ChangeEvent:
    made = ChangeEvent(
        event_id=derived_id("fake", record_id, str(n)),
        system="fake",
        entity="lead",
        record_id=record_id,
        kind="updated",
        occurred_at=utcnow(),
        observed_at=utcnow(),
        sequence=n,
    )
    return msgspec.structs.replace(made, **more)


class Door:
    """An intake that runs, and what the topic holds."""

    def __init__(self, kafka: Kafka, ledger: Ledger, **more: object) -> None:
        self.kafka, self.ledger, self.feed = kafka, ledger, Feed()
        self.topic = kafka.topic(4, **more)
        self.settings = KafkaSettings(
            bootstrap_servers=kafka.bootstrap, changes_topic=self.topic, delivery_timeout_seconds=4
        )
        self.accepted = 0
        self.feed.watch(self._count)
        self.services = Services()
        self.intake = KafkaIntake(self.settings, ledger, utcnow, self.feed)
        self.services.start("intake", "intake", self.intake.run)
        wait_for("the door to open", lambda: not self.intake.closed, 30)

    def _count(self, happening: object) -> None:
        if happening.what == "accepted":  # type: ignore[attr-defined]
            self.accepted += happening.count  # type: ignore[attr-defined]

    def log(self) -> list[ChangeEvent | Unreadable]:
        """Every event of the topic, partition by partition, in order."""
        found = []
        for partition, offset, value in read_all(self.kafka, self.topic):
            one = messages.receive(self.topic, partition, offset, value, 0).event
            assert one is not None
            assert messages.partition_of(messages.ref_of_event(one), 4) == partition or one.system == "kafka"
            found.append(one)
        return found

    def ids(self) -> list[str]:
        return [one.event_id for one in self.log()]


@pytest.fixture
def door(kafka: Kafka, ledger: Ledger) -> Iterator[Door]:
    made = Door(kafka, ledger)
    yield made
    assert made.services.stop("intake") == []
    assert not made.services.failed.is_set()


def test_what_was_answered_is_in_the_log_in_the_order_of_each_record(door: Door) -> None:
    sent = [event(f"r{n % 7}", n) for n in range(500)]
    waiting = [door.intake.submit(sent[n : n + 5]) for n in range(0, 500, 5)]
    assert [one.result(10) for one in waiting] == [5] * 100
    found = door.log()
    assert sorted(one.event_id for one in found) == sorted(one.event_id for one in sent)
    for record in range(7):
        numbers = [one.sequence for one in found if one.record_id == f"r{record}"]  # type: ignore[union-attr]
        assert numbers == sorted(numbers)
    assert door.accepted == 500


def test_the_position_is_stored_once_the_events_are_in_the_log(door: Door) -> None:
    assert door.intake.accept([event("a")], ("fake", "stream", b"7")) == 1
    with door.ledger.read() as conn:
        assert journal.get_position(conn, "fake", "stream") == b"7"
        assert journal.counts(conn) == {}


def test_a_position_that_cannot_be_stored_is_no_acknowledgement(door: Door) -> None:
    with door.ledger.write() as conn:
        conn.exec_driver_sql("ALTER TABLE position RENAME TO elsewhere")
    with pytest.raises(IntakeClosed, match="position"):
        door.intake.accept([event("a")], ("fake", "stream", b"7"))
    assert door.intake.accept([event("b")]) == 1  # what needs no position is still taken


def test_what_nobody_could_read_travels_with_its_bytes(door: Door) -> None:
    odd = Unreadable(event_id=derived_id("odd"), system="fake", error="odd", raw=b"\x00\xff{", observed_at=utcnow())
    assert door.intake.accept([odd]) == 1
    assert door.log() == [odd]


def test_an_event_too_large_for_the_log_leaves_a_notice(door: Door) -> None:
    huge = event("huge", values={"description": "x" * messages.MOST_BYTES})
    assert door.intake.accept([event("a"), huge, event("b")]) == 3
    (notice,) = [one for one in door.log() if isinstance(one, Unreadable)]
    assert (notice.event_id, notice.record_id) == (huge.event_id, "huge")
    assert "8,388,608" in notice.error
    assert door.accepted == 3


def test_an_event_too_large_for_the_topic_leaves_a_notice(kafka: Kafka, ledger: Ledger) -> None:
    door = Door(kafka, ledger, max_message_bytes=20_000)
    small = [event(f"s{n}", values={"description": "y" * 1000}) for n in range(50)]
    huge = event("huge", values={"description": "x" * 50_000})
    assert door.intake.accept([*small[:25], huge, *small[25:]]) == 51
    found = door.log()
    assert {one.event_id for one in found} == {one.event_id for one in [*small, huge]}
    assert [one.record_id for one in found if isinstance(one, Unreadable)] == ["huge"]
    assert door.services.stop("intake") == []


def test_the_broker_stopped_and_started_again(door: Door) -> None:
    assert door.intake.accept([event("before")]) == 1
    threads = threading.active_count()
    door.kafka.kill()
    with pytest.raises(IntakeClosed, match="Kafka"):
        door.intake.accept([event("during")], ("fake", "stream", b"1"))
    wait_for("the door to close", lambda: "Kafka" in door.intake.closed)
    with pytest.raises(IntakeClosed):
        door.intake.submit([event("refused at once")])
    with door.ledger.read() as conn:
        assert journal.get_position(conn, "fake", "stream") is None
    door.kafka.start()
    wait_for("the door to open again", lambda: not door.intake.closed, 30)
    assert door.intake.accept([event("after")], ("fake", "stream", b"2")) == 1
    ids = door.ids()
    assert event("before").event_id in ids
    assert event("after").event_id in ids
    assert event("refused at once").event_id not in ids
    assert threading.active_count() <= threads, "a given-up connection left its thread behind"


def test_acknowledged_is_in_the_log_however_the_broker_dies(door: Door) -> None:
    """Deliveries go on while the broker is killed; the ones refused come again until they are taken, as from a CRM."""
    taken: list[str] = []
    stop = threading.Event()

    def deliver(sender: int) -> None:
        n = 0
        while not stop.is_set():
            one = event(f"s{sender}", n)
            try:
                door.intake.accept([one])
            except IntakeClosed:
                stop.wait(0.05)
                continue
            taken.append(one.event_id)
            n += 1

    threads = [threading.Thread(target=deliver, args=(sender,)) for sender in range(4)]
    for thread in threads:
        thread.start()
    wait_for("a hundred deliveries", lambda: len(taken) >= 100)
    door.kafka.kill()
    door.kafka.start()
    reached = len(taken)
    wait_for("a hundred more", lambda: len(taken) >= reached + 100)
    stop.set()
    for thread in threads:
        thread.join(20)
    found = door.log()
    assert set(taken) <= {one.event_id for one in found}
    for sender in range(4):
        # The first time each event appears is in order, whatever came twice.
        firsts = list(dict.fromkeys(one.sequence for one in found if one.record_id == f"s{sender}"))  # type: ignore[union-attr]
        assert firsts == sorted(firsts)


def test_a_gateway_may_start_before_its_broker_and_before_its_topic(kafka: Kafka, ledger: Ledger) -> None:
    kafka.kill()
    topic = f"late-{derived_id(str(utcnow()))}"
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap, changes_topic=topic)
    services = Services()
    intake = KafkaIntake(settings, ledger, utcnow, Feed())
    services.start("intake", "intake", intake.run)
    wait_for("the refusal", lambda: "cannot be reached" in intake.closed, 30)
    with pytest.raises(IntakeClosed):
        intake.accept([event("a")])
    kafka.start()
    wait_for("the missing topic to be told", lambda: "topics check" in intake.closed, 30)
    kafka.topic(3, topic)
    wait_for("the door to open", lambda: not intake.closed, 30)
    assert intake.accept([event("a")]) == 1
    assert services.stop("intake") == []


def test_what_waits_for_its_values_wakes_the_completer(door: Door) -> None:
    wake = door.intake.wake_when_incomplete()
    answer: Future[int] = door.intake.submit([event("a", complete=False)])
    assert answer.result(10) == 1
    assert wake.wait(5)
