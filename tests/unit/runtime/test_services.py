"""A part that fails ends the daemon; a ledger that is lost is waited for, but not for ever."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import structlog
from sqlalchemy.exc import OperationalError

from connectors.errors import Misconfigured
from routing.ledger.engine import Ledger
from routing.runtime import services as module
from routing.runtime.feed import Feed, Happening
from routing.runtime.services import Services
from tests.conftest import START, ManualClock
from tests.processes import wait_for


def lost() -> OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return OperationalError("INSERT", {}, error)


class Patient:
    """A ledger whose probe fails while it is ``away``."""

    def __init__(self) -> None:
        self.away = False
        self.on_lost: Any = None

    def probe(self) -> None:
        if self.away:
            raise lost()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_growing", lambda _state: 0.01)
    with structlog.testing.capture_logs():
        yield


def services(ledger: Patient | Ledger, patience: float = 30, told: list[Happening] | None = None) -> Services:
    feed = Feed()
    feed.watch((told if told is not None else []).append)
    return Services(ledger, ManualClock(), feed, patience)  # type: ignore[arg-type]


def test_a_part_that_fails_ends_everything(stop: threading.Event) -> None:
    made = services(Patient())

    def fails(_stop: threading.Event) -> None:
        raise KeyError("gone")

    made.start("group", "part", fails)
    assert made.failed.wait(10)
    assert made.failure == "part failed: KeyError: 'gone'"


@pytest.mark.parametrize("error", [Misconfigured("no object Leed in fields.yaml", system="salesforce"), KeyError("x")])
def test_a_mistake_in_the_settings_is_told_without_a_traceback(error: Exception) -> None:
    made = services(Patient())

    def fails(_stop: threading.Event) -> None:
        raise error

    with structlog.testing.capture_logs() as logs:
        made.start("group", "part", fails)
        assert made.failed.wait(10)
    [line] = logs
    assert (line["log_level"], line["why"]) == ("critical", str(error))
    assert line["exc_info"] is (None if isinstance(error, Misconfigured) else error)


def test_a_part_that_lost_the_ledger_goes_on_when_it_is_back() -> None:
    ledger, told = Patient(), list[Happening]()
    made = services(ledger, told=told)
    runs = []

    def part(stop: threading.Event) -> None:
        runs.append(1)
        if ledger.away or len(runs) == 1:
            raise lost()
        stop.wait()

    ledger.away = True
    made.start("group", "part", part)
    assert made.ledger is not None
    wait_for("the loss", lambda: made.ledger is not None and made.ledger.since == START)
    assert made.ledger.why == "database or disk is full"
    assert len(runs) == 1  # it is not begun again in vain
    ledger.away = False
    wait_for("the part", lambda: len(runs) == 2)
    assert made.ledger.since is None
    assert made.stop("group") == []
    assert made.failure == ""
    assert [one.detail for one in told] == ["The ledger is lost: database or disk is full", "The ledger is back."]


def test_who_waits_for_the_ledger_stops_when_asked() -> None:
    ledger = Patient()
    ledger.away = True
    made = services(ledger)

    def part(_stop: threading.Event) -> None:
        raise lost()

    made.start("group", "part", part)
    wait_for("the loss", lambda: made.ledger is not None and made.ledger.since is not None)
    assert made.stop("group") == []
    assert made.failure == ""


def test_a_ledger_that_stays_lost_ends_everything() -> None:
    ledger = Patient()
    ledger.away = True
    made = services(ledger, patience=0.2)
    ledger.on_lost(lost())  # somebody met it: no part has to fail for that
    assert made.failed.wait(10)
    assert made.failure == "The ledger was lost at 09:00:00 UTC and did not come back: database or disk is full"


def test_a_part_that_loses_it_again_and_again_ends_everything() -> None:
    """The ledger takes the small probe, and nothing else: waiting longer will not help."""
    made = services(Patient(), patience=0.2)

    def part(_stop: threading.Event) -> None:
        raise lost()

    made.start("group", "part", part)
    assert made.failed.wait(10)
    assert made.failure.startswith("part failed: OperationalError")


def test_two_outages_in_a_row_are_not_counted_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shorter than our patience, both together longer: a part that hardly ran in between is begun anew all the same."""
    ledger, now = Patient(), [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    made = services(ledger, patience=120)
    assert made.ledger is not None
    runs, going, waiting = list[float](), threading.Event(), made.ledger.wait

    def outage(stop: threading.Event) -> bool:
        now[0] += 80
        ledger.away = False
        return waiting(stop)

    def part(stop: threading.Event) -> None:
        runs.append(now[0])
        if len(runs) < 4:
            ledger.away = True
            raise lost()
        going.set()
        stop.wait()

    monkeypatch.setattr(made.ledger, "wait", outage)
    made.start("group", "part", part)
    wait_for("the part, or its end", lambda: going.is_set() or made.failed.is_set())
    assert made.stop("group") == []
    assert (made.failure, runs) == ("", [0, 80, 160, 240])


def test_a_part_that_another_stood_in_the_way_of_begins_anew() -> None:
    """A deadlock or a serialization failure: the ledger is well, and nobody is told that it is lost."""
    told, runs, again = list[Happening](), list[str](), threading.Event()
    made = services(Patient(), told=told)

    def part(stop: threading.Event) -> None:
        for state in ("40P01", "40001"):
            if state not in runs:
                runs.append(state)
                error = psycopg.errors.lookup(state)()
                raise OperationalError("UPDATE", {}, error)
        again.set()
        stop.wait()

    made.start("group", "part", part)
    assert again.wait(10)
    assert made.stop("group") == []
    assert (made.failure, told) == ("", [])


def test_every_failed_transaction_of_a_real_ledger_is_noticed(ledger: Ledger) -> None:
    made = services(ledger)
    with pytest.raises(OperationalError), ledger.write() as conn:
        conn.exec_driver_sql("PRAGMA max_page_count = 1")
        conn.exec_driver_sql("INSERT INTO position SELECT 'a', value, zeroblob(9000), 1 FROM generate_series(1, 999)")
    assert made.ledger is not None
    wait_for("being well again", lambda: made.ledger is not None and made.ledger.since is None)
