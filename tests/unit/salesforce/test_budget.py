"""The day's API calls: our share, the reserve for people, who waits first, and when it will all be used up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import RateLimited
from connectors.salesforce.budget import ApiBudget, Urgency

START = datetime(2026, 11, 23, 9, tzinfo=UTC)


class Day:
    """A budget with a clock that is moved by hand."""

    def __init__(self, share: float = 0.5, reserve: float = 0.1) -> None:
        self.now = START
        self.budget = ApiBudget(share, reserve, lambda: self.now)

    def call(self, urgency: Urgency = Urgency.URGENT, times: int = 1) -> None:
        for _ in range(times):
            self.budget.spend(urgency)

    def refused(self, urgency: Urgency) -> float:
        with pytest.raises(RateLimited) as caught:
            self.budget.spend(urgency)
        assert caught.value.retry_after is not None
        return caught.value.retry_after


def test_before_salesforce_told_its_limit_everything_goes() -> None:
    day = Day()
    day.call(Urgency.BACKGROUND, 1000)
    assert day.budget.spent() is None


def test_background_waits_first_and_urgent_writes_last() -> None:
    day = Day(share=0.5)
    day.budget.heard(0, 200)
    day.call(Urgency.BACKGROUND, 70)
    day.refused(Urgency.BACKGROUND)
    day.call(Urgency.NORMAL, 20)
    day.refused(Urgency.NORMAL)
    day.call(Urgency.URGENT, 10)
    assert day.refused(Urgency.URGENT) <= 900
    spent = day.budget.spent()
    assert spent is not None
    assert (spent.ours, spent.share) == (100, 100)


def test_a_share_comes_back_after_a_day() -> None:
    day = Day(share=0.5)
    day.budget.heard(0, 20)
    day.call(times=10)
    day.now += timedelta(hours=23)
    day.refused(Urgency.URGENT)
    day.now += timedelta(hours=1, minutes=30)
    day.budget.heard(0, 20)
    day.call(times=10)


def test_who_waits_for_the_budget_is_told_once_until_calls_go_again() -> None:
    day = Day(reserve=0.1)
    day.budget.heard(900, 1000)
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            day.refused(Urgency.NORMAL)
            day.now += timedelta(minutes=5)
            day.call(Urgency.NORMAL)  # to hear how things are
        trouble = day.budget.holds[Urgency.NORMAL].trouble()
        assert trouble is not None
        assert "100 of 1,000 calls of the day are left" in trouble.why
        assert day.budget.holds[Urgency.BACKGROUND].trouble() is None
        day.budget.heard(10, 1000)
        day.call(Urgency.NORMAL)
    assert [one["event"] for one in said] == ["a system keeps us waiting", "a system is well again"]
    assert day.budget.holds[Urgency.NORMAL].trouble() is None


def test_in_the_reserve_nothing_goes_but_one_call_to_hear_how_things_are() -> None:
    day = Day(reserve=0.1)
    day.budget.heard(900, 1000)
    assert day.refused(Urgency.URGENT) == 300
    day.now += timedelta(seconds=100)
    assert day.refused(Urgency.URGENT) == 200
    day.now += timedelta(seconds=200)
    day.call()
    day.budget.heard(950, 1000)
    day.refused(Urgency.URGENT)
    day.now += timedelta(minutes=5)
    day.call()
    assert day.refused(Urgency.URGENT) == 300  # the one is not answered yet
    day.budget.heard(300, 1000)
    day.call(Urgency.BACKGROUND, 20)


def test_until_the_answer_to_that_one_call_comes_no_other_goes() -> None:
    day = Day(share=1.0, reserve=0.1)
    day.budget.heard(900, 1000)
    for _ in range(3):  # the first answers get lost
        day.now += timedelta(minutes=5)
        day.call(Urgency.BACKGROUND)
        assert day.refused(Urgency.URGENT) == 300
        day.now += timedelta(seconds=30)
        assert day.refused(Urgency.BACKGROUND) == 270
        day.now -= timedelta(seconds=30)
    day.budget.heard(300, 1000)
    day.call(Urgency.URGENT, 20)


def test_it_is_told_ahead_when_nothing_will_be_left() -> None:
    day = Day(reserve=0.1)
    for minute in range(31):
        day.now = START + timedelta(minutes=minute)
        day.budget.heard(1000 + 10 * minute, 10_000)
    spent = day.budget.spent()
    assert spent is not None
    # 600 calls an hour; 7,700 are left above the reserve of 1,000.
    assert spent.exhausted_at == day.now + timedelta(seconds=7700 / 600 * 3600)
    quiet = Day()
    quiet.budget.heard(1000, 10_000)
    quiet.now += timedelta(minutes=30)
    quiet.budget.heard(1001, 10_000)
    spent = quiet.budget.spent()
    assert spent is not None
    assert spent.exhausted_at is None


@given(
    st.lists(st.tuples(st.sampled_from(list(Urgency)), st.integers(0, 3600)), max_size=200),
    st.integers(10, 100),
    st.floats(0.05, 1),
)
def test_never_more_than_the_share_within_a_day(calls: list[tuple[Urgency, int]], limit: int, share: float) -> None:
    day = Day(share=share, reserve=0)
    made: list[datetime] = []
    day.budget.heard(0, limit)
    for urgency, seconds in calls:
        day.now += timedelta(seconds=seconds)
        try:
            day.budget.spend(urgency)
        except RateLimited:
            continue
        made.append(day.now)
        assert sum(day.now - at < timedelta(hours=24) for at in made) <= int(limit * share)


class Ledger:
    """What several budgets share."""

    def __init__(self) -> None:
        self.total: dict[str, int] = {}

    def add(self, counted: Mapping[str, int]) -> Mapping[str, int]:
        for at, number in counted.items():
            self.total[at] = self.total.get(at, 0) + number
        return dict(self.total)


def test_what_was_called_before_a_restart_and_by_others_counts() -> None:
    ledger, before, other = Ledger(), Day(), Day()
    before.call(times=30)
    before.budget.exchange(ledger.add)
    other.now += timedelta(minutes=20)
    other.call(times=20)
    other.budget.exchange(ledger.add)
    after = Day()
    after.now += timedelta(hours=1)
    after.budget.exchange(ledger.add)
    after.budget.heard(50, 104)
    after.call(times=2)
    after.budget.exchange(ledger.add)
    after.refused(Urgency.URGENT)
    spent = after.budget.spent()
    assert spent is not None
    assert (spent.ours, spent.share) == (52, 52)
    after.now = START + timedelta(hours=24, minutes=16)  # those of the first quarter are a day old
    after.call()
    after.budget.exchange(ledger.add)
    assert (after.budget.spent() or spent).ours == 23


def test_what_could_not_be_stored_is_not_forgotten() -> None:
    day, ledger = Day(), Ledger()
    day.call(times=3)

    def lost(_counted: Mapping[str, int]) -> Mapping[str, int]:
        raise OSError("the ledger is away")

    with pytest.raises(OSError, match="away"):
        day.budget.exchange(lost)
    day.call()
    day.budget.exchange(ledger.add)
    day.budget.exchange(ledger.add)
    assert sum(ledger.total.values()) == 4


def test_the_end_of_the_calls_is_foretold_once_an_hour() -> None:
    day, ledger = Day(share=1.0), Ledger()
    with structlog.testing.capture_logs() as said:
        for minute in range(0, 130, 5):
            day.now = START + timedelta(minutes=minute)
            day.budget.heard(10_000 + 100 * minute, 100_000)
            day.budget.exchange(ledger.add)
    told = [one for one in said if one["event"] == "salesforce_calls_run_out"]
    assert len(told) == 3
    assert told[0]["none_left_at"] == "2026-11-23T22:20+00:00"  # 79,500 calls until the reserve, 100 a minute


@pytest.mark.parametrize(("share", "each", "ends"), [(0.5, 400, 125), (0.1, 40, 250)])
def test_the_end_of_our_own_share_is_foretold_where_that_comes_first(share: float, each: int, ends: int) -> None:
    day, ledger = Day(share=share), Ledger()
    with structlog.testing.capture_logs() as said:
        for minute in range(45):
            day.now = START + timedelta(minutes=minute)
            for _ in range(each):
                day.budget.spend(Urgency.URGENT)
            day.budget.heard(each * (minute + 1), 100_000)
            day.budget.exchange(ledger.add)
    spent = day.budget.spent()
    assert spent is not None
    assert spent.exhausted_at is not None
    assert abs(spent.exhausted_at - (START + timedelta(minutes=ends))) < timedelta(minutes=12)
    told = [one for one in said if one["event"] == "salesforce_calls_run_out"]
    assert len(told) == 1
    assert "daily_share" in told[0]["advice"]
