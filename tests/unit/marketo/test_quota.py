"""The calls of Marketo's day: told ahead when they run out, and no reason to stop where they are not told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import structlog

from connectors.errors import ConnectorError, PermissionDenied, RateLimited, Transient
from connectors.marketo.quota import Quota
from connectors.marketo.settings import MarketoSettings
from tests.conftest import ManualClock


class Subscription:
    """A client whose subscription has used so many calls, ours and everybody's."""

    settings = MarketoSettings(host="https://x.example", client_id="c", client_secret="s", daily_calls=10_000)

    def __init__(self) -> None:
        self.used, self.asked = 0, 0
        self.refuses: ConnectorError | None = None

    def get(self, _what: str, _path: str, shape: type[Any]) -> Any:
        self.asked += 1
        if self.refuses is not None:
            raise self.refuses
        return msgspec.convert({"result": [{"date": "2026-11-22", "total": self.used, "users": []}]}, shape)


@pytest.fixture
def there() -> Subscription:
    return Subscription()


@pytest.fixture
def quota(there: Subscription, clock: ManualClock) -> Quota:
    return Quota(there, clock)  # type: ignore[arg-type]


def at_midnight(clock: ManualClock) -> None:
    """In Chicago, where the day begins, it is winter."""
    clock.now = clock.now.replace(hour=6, minute=0, second=0, microsecond=0)


def test_it_is_asked_for_a_few_times_an_hour(there: Subscription, quota: Quota, clock: ManualClock) -> None:
    assert quota.calls_today() is None
    for _ in range(60):
        quota.look()
        clock.advance(60)
    assert there.asked == 4


def test_that_the_day_will_not_do_is_told_ahead(there: Subscription, quota: Quota, clock: ManualClock) -> None:
    at_midnight(clock)
    quota.look()
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            clock.advance(3600)
            there.used += 1_000
            quota.look()
    told = quota.calls_today()
    assert told is not None
    assert (told.used, told.limit, told.none_left_at) == (2_000, 10_000, clock.now + timedelta(hours=8))
    assert {one["event"] for one in logs} == {"marketo_calls_run_out"}


@pytest.mark.parametrize("an_hour", [0, 400])
def test_where_they_last_until_midnight_nothing_is_told(
    there: Subscription, quota: Quota, clock: ManualClock, an_hour: int
) -> None:
    at_midnight(clock)
    with structlog.testing.capture_logs() as logs:
        for _ in range(23):
            quota.look()
            clock.advance(3600)
            there.used += an_hour
    assert logs == []
    told = quota.calls_today()
    assert told is not None
    assert told.none_left_at is None


def test_a_new_day_begins_anew(there: Subscription, quota: Quota, clock: ManualClock) -> None:
    for used in (8_000, 9_900, 5):
        there.used = used
        quota.look()
        clock.advance(3600)
    told = quota.calls_today()
    assert told is not None
    assert (told.used, told.none_left_at) == (5, None)


def test_where_it_is_not_told_all_else_goes_on(there: Subscription, quota: Quota) -> None:
    there.refuses = PermissionDenied("no", system="marketo")
    with structlog.testing.capture_logs() as logs:
        quota.look()
        quota.look()
    assert [one["event"] for one in logs] == ["marketo_calls_not_told"]


@pytest.mark.parametrize("kind", [Transient, RateLimited])
def test_what_passes_is_left_to_whoever_waits(there: Subscription, quota: Quota, kind: type[ConnectorError]) -> None:
    there.refuses = kind("not now", system="marketo")
    for _ in range(2):
        with pytest.raises(kind):
            quota.look()
