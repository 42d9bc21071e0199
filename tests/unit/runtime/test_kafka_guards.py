"""The worker's guards: the circuit of a partition, and the watchdog."""

from __future__ import annotations

import pytest

from routing.core.model import ChangeEvent, Unreadable
from routing.runtime.feed import Feed
from routing.runtime.kafka.circuit import ASIDE_SECONDS, LEAST_PARKED, Circuit
from routing.runtime.kafka.settler import Progress
from routing.runtime.kafka.watchdog import Stuck, Watchdog
from routing.runtime.received import Received
from tests.conftest import START


def _bad(partition: int, count: int) -> list[Received]:
    event = Unreadable(event_id="bad", system="kafka", error="broken", raw=b"", observed_at=START)
    return [Received(partition, n, event, 0) for n in range(count)]


def _good(partition: int, count: int, event_id: str = "good") -> list[Received]:
    event = ChangeEvent(
        event_id=event_id,
        system="salesforce",
        entity="lead",
        record_id="1",
        kind="created",
        occurred_at=START,
        observed_at=START,
    )
    return [Received(partition, n, event, 0) for n in range(count)]


class Guarded:
    def __init__(self) -> None:
        self.now = 1000.0
        self.feed = Feed()
        self.circuit = Circuit(self.feed, lambda: self.now)

    def watch(self, done: list[Received], parked: frozenset[str] = frozenset()) -> None:
        if parked or any(isinstance(one.event, Unreadable) for one in done):
            self.feed.tell("parked", 1, "why")
        self.circuit.watch(done, lambda _ids: parked)


def test_a_partition_most_of_whose_events_are_parked_is_set_aside_alone() -> None:
    guarded = Guarded()
    guarded.watch(_bad(3, LEAST_PARKED) + _good(4, 100))
    assert guarded.circuit.aside() == {3}


def test_events_that_could_not_be_decided_count_as_well_as_those_that_could_not_be_read() -> None:
    guarded = Guarded()
    guarded.watch(_good(1, LEAST_PARKED, "undecidable"), frozenset({"undecidable"}))
    assert guarded.circuit.aside() == {1}


def test_a_few_parked_events_or_a_small_part_of_all_set_nothing_aside() -> None:
    guarded = Guarded()
    guarded.watch(_bad(1, LEAST_PARKED - 1))
    guarded.watch(_good(2, 1000) + _bad(2, LEAST_PARKED))
    assert guarded.circuit.aside() == frozenset()


def test_what_was_parked_long_ago_is_forgotten() -> None:
    guarded = Guarded()
    guarded.watch(_bad(1, LEAST_PARKED - 1))
    guarded.now += 61
    guarded.watch(_bad(1, 1))
    assert guarded.circuit.aside() == frozenset()


def test_it_is_tried_again_after_a_while_and_told_once() -> None:
    guarded = Guarded()
    guarded.watch(_bad(1, LEAST_PARKED))
    assert guarded.circuit.due() == frozenset()
    guarded.now += ASIDE_SECONDS
    assert guarded.circuit.due() == {1}
    assert guarded.circuit.due() == frozenset()
    assert guarded.circuit.aside() == frozenset()


class Watched:
    def __init__(self) -> None:
        self.progress = {0: Progress(10, 0.0), 1: Progress(10, 0.0)}
        self.excused: frozenset[int] | None = frozenset()
        self.settled = {0: 10, 1: 10}
        self.dog = Watchdog(
            "changes", dict, lambda: self.progress, lambda: self.excused, lambda _log: dict(self.settled), str
        )


def test_lag_without_progress_for_a_minute_bites() -> None:
    watched = Watched()
    watched.dog.look({0: 12, 1: 10}, 59.0)
    assert watched.dog.lag == {0: 2, 1: 0}
    with pytest.raises(Stuck, match=r"2 event\(s\) of partition 0"):
        watched.dog.look({0: 12, 1: 10}, 60.0)


def test_no_lag_no_bite_and_the_minute_begins_with_the_lag() -> None:
    watched = Watched()
    watched.dog.look({0: 10, 1: 10}, 500.0)
    watched.dog.look({0: 11, 1: 10}, 555.0)
    with pytest.raises(Stuck):
        watched.dog.look({0: 11, 1: 10}, 560.0)


def test_a_partition_that_waits_while_others_move_is_given_longer() -> None:
    watched = Watched()
    watched.progress[1] = Progress(500, 99.0)
    watched.dog.look({0: 12, 1: 600}, 100.0)
    watched.progress[1] = Progress(900, 599.0)
    with pytest.raises(Stuck):
        watched.dog.look({0: 12, 1: 1000}, 600.0)


@pytest.mark.parametrize("excused", [None, frozenset({0, 1})])
def test_who_is_excused_may_stand_still(excused: frozenset[int] | None) -> None:
    watched = Watched()
    watched.excused = excused
    watched.dog.look({0: 12, 1: 12}, 1000.0)
    watched.excused = frozenset()
    watched.dog.look({0: 12, 1: 12}, 1059.0)


def test_a_worker_without_partitions_ends_when_nobody_settles_what_waits() -> None:
    watched = Watched()
    watched.progress = {}
    watched.dog.look_on({0: 10, 1: 10}, "", 0.0)
    watched.dog.look_on({0: 10, 1: 10}, "", 100.0)  # nothing waits
    watched.dog.look_on({0: 15, 1: 10}, "", 101.0)
    watched.settled[0] = 12  # somebody is at it
    watched.dog.look_on({0: 15, 1: 11}, "", 150.0)
    watched.dog.look_on({0: 15, 1: 11}, "", 209.0)
    with pytest.raises(Stuck, match=r"4 event\(s\) wait, .* for 60 s, and this worker was given no partition"):
        watched.dog.look_on({0: 15, 1: 11}, "", 210.0)


def test_a_worker_without_partitions_waits_for_a_lost_ledger() -> None:
    watched = Watched()
    watched.progress, watched.excused = {}, None
    watched.dog.look_on({0: 15}, "", 0.0)
    watched.dog.look_on({0: 15}, "", 1000.0)
    watched.excused = frozenset()
    watched.dog.look_on({0: 15}, "", 1059.0)


def test_another_topic_of_the_same_name_bites_at_once() -> None:
    watched = Watched()
    watched.dog.same_log(watched.progress, {0: 10, 1: 10}, "one", "one", 0.0)
    watched.dog.same_log(watched.progress, {0: 10, 1: 10}, "", "one", 0.0)  # settled by an older version
    watched.dog.same_log(watched.progress, {0: 10, 1: 10}, "one", "", 0.0)  # brokers that tell no ids
    with pytest.raises(Stuck, match="was made anew"):
        watched.dog.same_log(watched.progress, {0: 99, 1: 99}, "one", "two", 0.0)


def test_a_log_that_stays_shorter_than_what_was_settled_of_it_bites() -> None:
    watched = Watched()
    watched.dog.same_log(watched.progress, {0: 9, 1: 10}, "one", "one", 0.0)
    watched.dog.same_log(watched.progress, {0: 10, 1: 10}, "one", "one", 5.0)  # a new leader had not known yet
    watched.dog.same_log(watched.progress, {0: 9, 1: 10}, "one", "one", 9.0)
    watched.dog.same_log(watched.progress, {0: 9, 1: 10}, "one", "one", 18.9)
    with pytest.raises(Stuck, match=r"ends before what was settled of it, in partition\(s\) 0"):
        watched.dog.same_log(watched.progress, {0: 9, 1: 10}, "one", "one", 19.0)
