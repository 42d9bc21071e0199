"""What is entered about people's days: nothing is changed afterwards, and everybody who decides learns of it."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Literal

import pytest

from routing.core.availability.known import Absence, Known
from routing.ledger import people
from routing.ledger.engine import Ledger
from tests.conftest import START

ANA, BO = "ana@example.com", "bo@example.com"


def enter(
    ledger: Ledger,
    person: str,
    begins: str,
    ends: str = "",
    kind: Literal["off", "pause"] = "off",
    now: datetime = START,
) -> Absence:
    with ledger.write() as conn:
        return people.enter(conn, person, kind, begins, ends, author="ops", reason="why", now=now)


def end(ledger: Ledger, *entries: Absence, now: datetime = START) -> int:
    with ledger.write() as conn:
        return people.end(conn, entries, author="lead", reason="back", now=now)


def known(ledger: Ledger, now: datetime = START) -> Known:
    with ledger.read() as conn:
        return people.known(conn, now)


def report(
    ledger: Ledger,
    available: bool,
    at: datetime = START,
    status: str = "",
    until: datetime | None = None,
    now: datetime = START + timedelta(days=1),
) -> bool:
    with ledger.write() as conn:
        return people.report(conn, ANA, available, status, until, "chat", at, now)


def test_what_is_entered_counts_until_it_is_over_wherever_the_person_is(ledger: Ledger) -> None:
    entry = enter(ledger, ANA, "2026-11-23", "2026-11-24")
    assert known(ledger).absences == (entry,)
    assert (entry.author, entry.reason, entry.at) == ("ops", "why", START)
    assert known(ledger, START + timedelta(days=2)).absences == (entry,)
    assert known(ledger, START + timedelta(days=4)).absences == ()


def test_a_pause_counts_until_it_is_ended_and_both_stay_to_be_seen(ledger: Ledger) -> None:
    entry = enter(ledger, ANA, "2026-11-22T09:00:00Z", kind="pause")
    other = enter(ledger, BO, "2026-11-22T09:00:00Z", kind="pause")
    assert known(ledger, START + timedelta(days=900)).absences == (entry, other)
    assert end(ledger, entry, now=START + timedelta(hours=1)) == 1
    assert known(ledger, START + timedelta(hours=1)).absences == (other,)
    with ledger.read() as conn:
        (told,) = people.history(conn, ANA)
    assert told == people.Entry(entry, "lead", START + timedelta(hours=1), "back")


def test_an_absence_is_ended_once_whoever_comes_second(ledger: Ledger) -> None:
    entry = enter(ledger, ANA, "2026-12-24", "2026-12-31")
    assert end(ledger, entry) == 1
    assert end(ledger, entry) == 0
    with ledger.read() as conn:
        assert len(people.history(conn, ANA)) == 1


def test_what_was_known_then_is_told_as_it_was_known_then(ledger: Ledger) -> None:
    entry = enter(ledger, ANA, "2026-11-20", "2026-11-30")
    end(ledger, entry, now=START + timedelta(hours=2))
    report(ledger, False, START + timedelta(hours=3), until=START + timedelta(hours=9))
    with ledger.read() as conn:
        assert people.known_then(conn, START - timedelta(hours=1)) == Known()
        assert people.known_then(conn, START + timedelta(hours=1)).absences == (entry,)
        assert people.known_then(conn, START + timedelta(hours=1)).presence == ()
        assert people.known_then(conn, START + timedelta(hours=3)).absences == ()
        assert len(people.known_then(conn, START + timedelta(hours=3)).presence) == 1


def test_a_clock_that_went_back_does_not_hide_what_was_entered(ledger: Ledger) -> None:
    pause = enter(ledger, ANA, "2026-11-22T09:00:00Z", kind="pause")
    assert known(ledger, START - timedelta(hours=1)).absences == (pause,)
    end(ledger, pause)
    assert known(ledger, START - timedelta(hours=1)).absences == ()


def test_everything_that_changes_raises_the_version_and_nothing_else_does(ledger: Ledger) -> None:
    def version() -> int:
        with ledger.read() as conn:
            return people.version(conn)

    assert version() == 0
    entry = enter(ledger, ANA, "2026-12-24", "2026-12-31")
    assert version() == entry.number == known(ledger).version == 1
    end(ledger, entry)
    assert version() == 2
    end(ledger, entry)
    assert version() == 2
    assert report(ledger, False, until=START + timedelta(hours=1))
    assert version() == 3
    assert not report(
        ledger, False, START + timedelta(seconds=9), until=START + timedelta(hours=1)
    )  # the same once more
    assert version() == 3


def test_of_presence_the_newest_report_counts_in_whatever_order_they_come(ledger: Ledger) -> None:
    assert report(ledger, False, START, "at lunch", START + timedelta(hours=1))
    assert not report(ledger, True, START - timedelta(minutes=5))
    assert [one.status for one in known(ledger).presence] == ["at lunch"]
    assert report(ledger, True, START + timedelta(minutes=40))
    assert [one.available for one in known(ledger).presence] == [True]


def test_what_is_reported_after_the_clock_was_set_back_counts_at_once(ledger: Ledger) -> None:
    back = START - timedelta(hours=1)
    assert report(ledger, True, now=START)
    assert report(ledger, False, back + timedelta(minutes=1), now=back + timedelta(minutes=1))
    assert [one.available for one in known(ledger, back).presence] == [False]
    assert not report(ledger, True, back, now=back + timedelta(minutes=2))  # seen before that


def test_a_text_that_is_no_moment_is_not_stored(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="is no moment"):
        enter(ledger, ANA, "2026-12-24", "next week")
    assert known(ledger) == Known()


def test_forgetting_a_person_leaves_nothing_of_them(ledger: Ledger) -> None:
    enter(ledger, BO, "2026-12-24", "2026-12-31")
    end(ledger, enter(ledger, ANA, "2026-12-24", "2026-12-31"))
    report(ledger, False, until=START + timedelta(hours=1))
    with ledger.write() as conn:
        people.forget(conn, ANA)
        assert people.history(conn, ANA) == []
    assert [one.person for one in known(ledger).absences] == [BO]
    assert known(ledger).presence == ()


def test_entries_made_at_the_same_time_all_get_numbers_of_their_own(ledger: Ledger) -> None:
    def many(person: str) -> None:
        for _ in range(5):
            ledger.repeated(
                lambda conn: people.enter(
                    conn, person, "off", "2026-12-24", "2026-12-31", author="", reason="", now=START
                )
            )

    threads = [threading.Thread(target=many, args=(f"p{n}@example.com",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.number for one in known(ledger).absences] == list(range(1, 21))


def test_a_late_report_does_not_overrule_what_was_seen_again_since(ledger: Ledger) -> None:
    def seen(available: bool, seconds: int) -> bool:
        return report(ledger, available, START + timedelta(seconds=seconds))

    assert seen(True, 10)
    assert not seen(True, 50)  # the same again is no news, but it is what was seen last
    assert not seen(False, 30)
    (now,) = known(ledger).presence
    assert (now.available, now.at) == (True, START + timedelta(seconds=50))
    assert seen(False, 60)
    assert not seen(True, 55)
