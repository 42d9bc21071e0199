"""The account's limits are heeded before they are hit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.errors import RateLimited
from connectors.hubspot.quota import Quota, spent_at
from connectors.sandbox.hubspot.limits import Limits

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Clock:
    now = NOON

    def __call__(self) -> datetime:
        return self.now


def headers(left: int = 100, today: int = 600_000) -> dict[str, str]:
    names = {"Remaining": left, "Max": 190, "Daily-Remaining": today, "Daily": 650_000}
    return {f"X-HubSpot-RateLimit-{name}": str(value) for name, value in names.items()}


def test_nothing_is_held_back_before_anything_was_told_or_while_enough_is_left() -> None:
    quota = Quota(Clock(), 0.1)
    quota.check(urgent=False)
    quota.note(headers())
    quota.check(urgent=False)
    quota.note({"Content-Type": "text/html"})
    quota.check(urgent=False)


@pytest.mark.parametrize(("processes", "apart"), [(1, 0.033), (1, 0.005), (3, 0.02)])
def test_who_asks_for_more_than_the_ten_seconds_hold_is_slowed_down_and_never_refused(
    processes: int, apart: float
) -> None:
    """``apart``: seconds between one process's answer and its next request. Each sees the others only in the answers."""
    clock = Clock()
    account, quotas = Limits(clock), [Quota(clock, 0.1) for _ in range(processes)]
    due = dict.fromkeys(range(processes), NOON)
    waits: list[float] = []
    sent = {}
    while (now := min(due.values())) < NOON + timedelta(minutes=1):
        one = min(due, key=lambda n: due[n])
        clock.now = now
        if one not in sent:
            quotas[one].check(urgent=True)
            sent[one] = quotas[one].turn()
            waits.append(sent[one])
            due[one] = now + timedelta(seconds=sent[one])
            continue
        del sent[one]
        broken, headers = account.take()
        assert broken == "", f"refused {(now - NOON).total_seconds()} s after noon"
        quotas[one].note(headers)
        due[one] = now + timedelta(seconds=apart)
    assert max(waits) < 0.5
    assert waits[: 95 // processes] == [0.0] * (95 // processes)
    assert len(waits) > 6 * 170


def test_a_trickle_waits_for_nothing() -> None:
    clock = Clock()
    account, quota = Limits(clock), Quota(clock, 0.1)
    for _ in range(500):
        assert quota.turn() == 0.0
        quota.note(account.take()[1])
        clock.now += timedelta(seconds=0.11)


def test_when_few_are_left_one_a_second_goes() -> None:
    clock = Clock()
    quota = Quota(clock, 0.1)
    quota.note(headers(left=2))
    with pytest.raises(RateLimited) as caught:
        quota.check(urgent=True)
    assert caught.value.retry_after == 1.0
    clock.now += timedelta(seconds=1)
    quota.check(urgent=True)


def test_the_days_reserve_is_for_what_cannot_wait() -> None:
    clock = Clock()
    quota = Quota(clock, 0.1)
    quota.note(headers(today=64_999))
    quota.check(urgent=True)
    with pytest.raises(RateLimited, match="64999 of 650000"):
        quota.check(urgent=False)
    clock.now += timedelta(minutes=15)  # what was told may be of yesterday
    quota.check(urgent=False)


@pytest.mark.parametrize(
    ("used", "end"),
    [(400_000, NOON.replace(hour=19, minute=30)), (325_000, None), (0, None), (650_000, NOON)],
)
def test_projected_exhaustion(used: int, end: datetime | None) -> None:
    assert spent_at(used, 650_000, NOON) == end


def test_too_early_to_say() -> None:
    assert spent_at(300_000, 650_000, NOON.replace(hour=0, minute=40)) is None
