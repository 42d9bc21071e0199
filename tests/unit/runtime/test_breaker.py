"""A flood of what cannot be used stops at the door."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import structlog

from routing.core.model import ChangeEvent, Unreadable, derived_id
from routing.ledger import journal
from routing.ledger.engine import Ledger
from routing.runtime.breaker import CLOSED_SECONDS, LEAST_PARKED, WINDOW_SECONDS, Breaker
from routing.runtime.feed import Feed, Happening
from routing.runtime.intake import Intake, IntakeClosed
from tests.conftest import START, ManualClock


class Watched:
    """A breaker, a feed to play on, and what it said."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.feed = Feed()
        self.breaker = Breaker(self.feed, lambda: self.now)
        self.said: list[str] = []
        self.feed.watch(self._hear)

    def _hear(self, happening: Happening) -> None:
        if happening.what == "intake":
            self.said.append(happening.detail)

    def end(self, parked: int, well: int = 0) -> None:
        for _ in range(parked):
            self.feed.tell("parked", 1, "a reason")
        self.feed.tell("settled", parked + well)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_all_is_well_while_events_end_well(watched: Watched) -> None:
    watched.end(parked=LEAST_PARKED - 1, well=0)
    watched.end(parked=0, well=10_000)
    assert watched.breaker.why() == ""
    watched.end(parked=LEAST_PARKED, well=0)
    assert watched.breaker.why() == "", "many, but few of all"


def test_a_flood_closes_and_says_so_once(watched: Watched) -> None:
    with structlog.testing.capture_logs() as logs:
        watched.end(parked=LEAST_PARKED, well=LEAST_PARKED)
        watched.end(parked=LEAST_PARKED)
    assert "50 of the last 100 events" in watched.breaker.why()
    assert "fingerpost parked list" in watched.breaker.why()
    assert len(watched.said) == 1
    assert [line["log_level"] for line in logs] == ["error"]


def test_what_was_parked_long_ago_counts_no_more(watched: Watched) -> None:
    for _ in range(LEAST_PARKED):
        watched.end(parked=1)
        watched.now += WINDOW_SECONDS / LEAST_PARKED * 2
    assert watched.breaker.why() == ""


def test_parked_writes_are_another_matter(watched: Watched) -> None:
    watched.feed.tell("parked", LEAST_PARKED, ("owed", "fate", 0))
    watched.feed.tell("settled", 1)
    assert watched.breaker.why() == ""


def test_it_opens_by_itself_for_a_trial_and_stays_open_when_the_flood_is_over(watched: Watched) -> None:
    watched.end(parked=LEAST_PARKED)
    watched.now += CLOSED_SECONDS - 1
    assert watched.breaker.why()
    watched.now += 1
    assert watched.breaker.why() == ""
    watched.end(parked=1, well=1)
    assert watched.breaker.why() == ""
    assert len(watched.said) == 2


def test_it_closes_again_when_the_flood_goes_on(watched: Watched) -> None:
    for _ in range(5):
        watched.end(parked=LEAST_PARKED)
        assert watched.breaker.why()
        watched.now += CLOSED_SECONDS
        assert watched.breaker.why() == ""
    assert len(watched.said) == 10


class Door:
    def __init__(self, ledger: Ledger) -> None:
        self.watched = Watched()
        self.ledger, self.stop = ledger, threading.Event()
        self.intake = Intake(ledger, ManualClock(), self.watched.feed, self.watched.breaker.why)
        self.thread = threading.Thread(target=self.intake.run, args=(self.stop,))
        self.thread.start()

    def garbage(self, n: int, first: int = 0) -> list[ChangeEvent | Unreadable]:
        return [
            Unreadable(event_id=derived_id("bad", str(i)), system="fake", error="not JSON", raw=b"{", observed_at=START)
            for i in range(first, first + n)
        ]


@pytest.fixture
def door(ledger: Ledger) -> Iterator[Door]:
    made = Door(ledger)
    yield made
    made.stop.set()
    made.thread.join()


def test_the_intake_refuses_with_the_reason_and_takes_things_again_later(door: Door) -> None:
    assert door.intake.accept(door.garbage(LEAST_PARKED)) == LEAST_PARKED
    with pytest.raises(IntakeClosed, match="could not be used"):
        door.intake.accept(door.garbage(1, first=1000))
    with door.ledger.read() as conn:
        assert journal.counts(conn) == {"parked": LEAST_PARKED}
    door.watched.now += CLOSED_SECONDS
    assert door.intake.accept(door.garbage(1, first=1000)) == 1


def test_the_same_garbage_over_and_over_is_no_flood(door: Door) -> None:
    """A sender that is not answered in time repeats itself; that is parked once."""
    for _ in range(LEAST_PARKED * 2):
        door.intake.accept(door.garbage(1))
    assert door.intake.closed == ""
