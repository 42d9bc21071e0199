"""The door stays a door whatever is thrown at it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from routing.core.model import ChangeEvent, Unreadable, derived_id
from routing.ledger import journal
from routing.ledger.engine import Ledger
from routing.runtime.feed import Feed, Happening
from routing.runtime.intake import Intake, IntakeClosed
from tests.conftest import START, ManualClock


def event(name: str, **more: Any) -> ChangeEvent:
    return ChangeEvent(
        event_id=derived_id("test", name),
        system="fake",
        entity="lead",
        record_id=name,
        kind="created",
        occurred_at=START,
        observed_at=START,
        **more,
    )


class Door:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.stop, self.feed = ledger, threading.Event(), Feed()
        self.told: list[Happening] = []
        self.feed.watch(self.told.append)
        self.intake = Intake(ledger, ManualClock(), self.feed)
        self.thread = threading.Thread(target=self.intake.run, args=(self.stop,))

    def run(self) -> None:
        """Works off what is queued, then closes."""
        self.stop.set()
        self.thread.start()
        self.thread.join()

    def counts(self) -> dict[str, int]:
        with self.ledger.read() as conn:
            return journal.counts(conn)

    def total(self, what: str) -> int:
        return sum(told.count for told in self.told if told.what == what)


@pytest.fixture
def door(ledger: Ledger) -> Door:
    return Door(ledger)


def test_one_delivery_that_cannot_be_written_does_not_take_the_others_along(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = journal.accept

    def refuses(conn: Any, events: Any, now: Any) -> int:
        if any(one.record_id == "poison" for one in events):
            raise TypeError("a value that no JSON can hold")
        return accept(conn, events, now)

    monkeypatch.setattr(journal, "accept", refuses)
    waiting = [door.intake.submit([event(name)]) for name in ("a", "poison", "b")]
    door.run()
    assert [waiting[0].result(), waiting[2].result()] == [1, 1]
    with pytest.raises(IntakeClosed, match="TypeError"):
        waiting[1].result()
    assert door.counts() == {"accepted": 2}


def test_a_request_given_up_while_it_waited_stops_nobody(door: Door) -> None:
    """The web server gives requests up when it is told to end."""
    given_up, other = door.intake.submit([event("a")]), door.intake.submit([event("b")])
    assert given_up.cancel()
    door.run()
    assert other.result() == 1
    assert door.counts() == {"accepted": 2}


def test_after_the_end_nobody_waits_in_vain(door: Door) -> None:
    waiting = door.intake.submit([event("a")])
    door.run()
    assert waiting.result(timeout=0) == 1
    with pytest.raises(IntakeClosed, match="stopping"):
        door.intake.submit([event("b")])


def test_half_a_character_is_parked_and_can_be_retried(door: Door) -> None:
    waiting = door.intake.submit([event("a", values={"company": "Caf\ud83d", "tags": ["\udc00x"]}), event("b")])
    door.run()
    assert waiting.result() == 2
    with door.ledger.write() as conn:
        [row] = journal.parked(conn)
        assert "half a character" in row["reason"]
        assert journal.retry_parked(conn, None) == 1
        [entry] = journal.next_entries(conn, "incomplete", 10)
    assert entry.event.values == {"company": "Caf\ufffd", "tags": ["\ufffdx"]}


def test_what_cannot_be_read_is_told_once_however_often_it_comes(door: Door) -> None:
    bad = Unreadable(event_id=derived_id("bad"), system="fake", error="not JSON", raw=b"{", observed_at=START)
    for _ in range(3):
        door.intake.submit([bad])
    door.run()
    assert (door.total("parked"), door.total("settled"), door.total("accepted")) == (1, 1, 1)


def test_many_senders_while_it_ends_each_get_an_answer(door: Door) -> None:
    answers: list[str] = []

    def send(sender: int) -> None:
        for n in range(50):
            try:
                door.intake.accept([event(f"{sender}-{n}")])
                answers.append("accepted")
            except IntakeClosed:
                answers.append("closed")

    senders = [threading.Thread(target=send, args=(n,)) for n in range(6)]
    door.thread.start()
    for sender in senders:
        sender.start()
    while "accepted" not in answers:
        door.stop.wait(0.001)
    door.stop.set()
    for sender in senders:
        sender.join(20)
        assert not sender.is_alive(), "it waits for an answer that never comes"
    door.thread.join()
    assert len(answers) == 300
    assert door.counts().get("accepted", 0) == answers.count("accepted")
