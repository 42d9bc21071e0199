"""What connectors make of a Retry-After, and of the words of a refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
import structlog

from connectors.errors import AuthenticationFailed, ConnectorError, RateLimited, RecordRejected, Transient
from connectors.hubspot import errors as hubspot
from connectors.marketo import errors as marketo
from connectors.patience import LONGEST_ASKED, Asked, Hold, wait_asked
from connectors.salesforce import errors as salesforce
from routing.ledger.engine import Ledger
from routing.runtime.pause_board import PauseBoard
from tests.conftest import START, ManualClock

DATE = "Mon, 23 Nov 2026 18:59:18 GMT"


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7.0),
        (" 0.05 ", 0.05),
        ("Mon, 23 Nov 2026 19:00:00 GMT", 42.0),
        ("Mon, 23 Nov 2026 18:00:00 GMT", 0.0),  # it has passed
        ("86400000", LONGEST_ASKED),
        ("99999999999", LONGEST_ASKED),
        ("Mon, 23 Nov 2099 19:00:00 GMT", LONGEST_ASKED),
        ("Mon, 23 Nov 99999 19:00:00 GMT", None),
        ("9" * 400, None),
        ("-5", None),
        ("inf", None),
        ("nan", None),
        ("\u0667", None),
        ("7, 8", None),
        ("soon", None),
        ("", None),
    ],
)
def test_what_is_asked_for_is_read_as_seconds_or_as_a_date_and_never_stops_us_for_good(
    asked: str, seconds: float | None
) -> None:
    assert wait_asked({"Retry-After": asked, "Date": DATE}, "x") == seconds


def test_whoever_asks_for_too_long_is_told_in_the_log() -> None:
    with structlog.testing.capture_logs() as said:
        wait_asked({"retry-after": "86400000"}, "hubspot")
        wait_asked({"retry-after": "60"}, "hubspot")
    assert [(one["system"], one["asked"]) for one in said] == [("hubspot", "86400000")]


@pytest.mark.parametrize("asked", ["99999999999", "Mon, 23 Nov 2026 19:00:00 GMT", "inf", "-5"])
def test_no_answer_can_make_a_wait_that_cannot_be_waited(asked: str) -> None:
    headers = {"Retry-After": asked, "Date": DATE}
    for error in (
        hubspot.of_status(429, b"{}", headers, "writing", writing=True),
        marketo.of_status(429, headers, "writing", writing=True),
    ):
        assert isinstance(error, RateLimited)
        assert error.retry_after is not None
        assert 0 <= error.retry_after <= LONGEST_ASKED


def refusals(words: str) -> list[ConnectorError]:
    told = {"status": "error", "message": words, "category": "VALIDATION_ERROR"}
    return [
        hubspot.of_status(400, json.dumps(told).encode(), {}, "updating 1 contacts", writing=True),
        hubspot.of_input(hubspot.read_body(json.dumps(told)), "17"),
        marketo.of_record([marketo.Said("1003", words)], "17"),
        marketo.of_code(marketo.Said("1003", words), "writing", writing=True),
        salesforce.save_error("00Q", "lead", [{"statusCode": "INVALID_EMAIL_ADDRESS", "message": words}]),
    ]


def test_no_refusal_quotes_an_e_mail_address() -> None:
    """They are logged, and shown by ``parked list``."""
    for error in refusals("Email address jane.roe+x@firm.example is invalid. Name: Jane <j.r@firm.example>"):
        assert "@" not in str(error)
        assert "(an e-mail address) is invalid" in str(error)


def test_a_refusal_ends_as_a_sentence_does() -> None:
    for error in refusals("An unexpected error occurred."):
        assert ".." not in str(error)


# What several processes know of a wait


class Process:
    """What one process knows; its ledger is the one that all share."""

    def __init__(self, ledger: Ledger) -> None:
        self.clock = ManualClock()
        self.hold = Hold("s", self.clock)
        self.board = self.hold.board = PauseBoard(ledger)

    def asked(self, seconds: float, code: str = "") -> None:
        """The system refuses a request of it."""
        with pytest.raises(RateLimited), self.hold.heeded(but="ours"):
            raise RateLimited("not now", system="s", code=code, retry_after=seconds)

    def left(self) -> float:
        """How long it waits before its next request."""
        try:
            with self.hold.heeded():
                return 0.0
        except RateLimited as error:
            return error.retry_after or 0.0


@pytest.fixture
def two(any_ledger: Ledger) -> Iterator[tuple[Process, Process]]:
    other = any_ledger if any_ledger.is_sqlite else Ledger(any_ledger.url)
    yield Process(any_ledger), Process(other)
    other.close()


def test_a_wait_is_known_to_all_until_it_is_over(two: tuple[Process, Process]) -> None:
    one, other = two
    one.asked(20)
    assert (one.left(), other.left()) == (20, 20)
    other.clock.advance(19)
    assert other.left() == 1
    other.clock.advance(1)
    assert other.left() == 0


def test_of_two_waits_the_one_that_ends_later_holds(two: tuple[Process, Process]) -> None:
    one, other = two
    one.asked(20)
    one.clock.advance(1)
    other.clock.advance(1)
    other.board.post("s", Asked(other.clock(), 3))  # a request that was under way is refused, too
    assert (one.left(), other.left()) == (19, 19)


def test_a_wait_that_says_nothing_of_other_requests_is_told_nobody(two: tuple[Process, Process]) -> None:
    one, other = two
    one.asked(20, "ours")
    assert (one.left(), other.left()) == (0, 0)


@pytest.mark.parametrize(("ahead", "left"), [(-5, 25), (-6, 0), (3, 17), (20, 0)])
def test_a_clock_that_is_a_little_behind_still_waits_and_one_set_back_does_not_for_ever(
    ahead: float, left: float
) -> None:
    clock = ManualClock()
    clock.advance(ahead)
    assert Asked(START, 20).left(clock()) == left


def test_while_the_ledger_is_away_each_knows_its_own_waits() -> None:
    away = Ledger("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=1")
    told: list[BaseException] = []
    away.on_lost = told.append
    one = Process(away)
    one.asked(20)
    assert one.left() == 20
    assert told
    away.close()


# Whether a system is well


@pytest.fixture
def crm() -> tuple[Hold, ManualClock]:
    clock = ManualClock()
    return Hold("s", clock), clock


def fail(hold: Hold, error: ConnectorError, *, writing: bool = False) -> None:
    with pytest.raises(type(error)), hold.heeded(writing=writing):
        raise error


def answer(hold: Hold, *, writing: bool = False) -> None:
    with hold.heeded(writing=writing):
        pass


def test_a_long_wait_is_one_line_at_its_start_and_one_at_its_end(crm: tuple[Hold, ManualClock]) -> None:
    hold, clock = crm
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            fail(hold, RateLimited("the day's calls are used up", system="s", retry_after=60))
            trouble = hold.trouble()
            assert trouble is not None
            assert (trouble.why, trouble.since, trouble.until) == (
                "the day's calls are used up", START, clock() + timedelta(seconds=60)
            )  # fmt: skip
            clock.advance(60)
        answer(hold)
    assert [(one["event"], one["system"]) for one in said] == [
        ("a system keeps us waiting", "s"),
        ("a system is well again", "s"),
    ]
    assert said[1]["seconds"] == 180
    assert hold.trouble() is None


def test_an_outage_is_told_once_it_lasts_and_a_moment_s_is_not(crm: tuple[Hold, ManualClock]) -> None:
    hold, clock = crm
    away = Transient("no answer", system="s")
    with structlog.testing.capture_logs() as said:
        fail(hold, away)
        assert hold.trouble() is not None
        clock.advance(5)
        answer(hold)
        assert hold.trouble() is None
        assert said == []
        for _ in range(5):
            fail(hold, away)
            clock.advance(10)
        fail(hold, RecordRejected("this lead is refused", system="s"))  # the system answers
    assert [one["event"] for one in said] == ["a system keeps us waiting", "a system is well again"]
    assert hold.trouble() is None


def test_a_system_that_answers_reads_and_refuses_writes_is_unwell_since_the_first_refusal(
    crm: tuple[Hold, ManualClock],
) -> None:
    """Read-only while it is maintained: each try of a write looks first whether the record still stands as it did, which works."""
    hold, clock = crm
    with structlog.testing.capture_logs() as said:
        for _ in range(12):
            answer(hold)
            fail(hold, Transient("read-only", system="s"), writing=True)
            clock.advance(60)
            trouble = hold.trouble()
            assert trouble is not None
            assert (trouble.why, trouble.since) == ("read-only", START)
        answer(hold)
        assert hold.trouble() is not None
        answer(hold, writing=True)
    assert hold.trouble() is None
    assert [one["event"] for one in said] == ["a system keeps us waiting", "a system is well again"]
    assert said[1]["seconds"] == 720


def test_writes_that_nobody_owes_any_more_keep_no_system_unwell(crm: tuple[Hold, ManualClock]) -> None:
    """A person was faster meanwhile: the refused write is not made again."""
    hold, clock = crm
    fail(hold, Transient("read-only", system="s"), writing=True)
    clock.advance(170)
    answer(hold)
    assert hold.trouble() is not None
    clock.advance(20)
    answer(hold)
    assert hold.trouble() is None


@pytest.mark.parametrize("writing", [False, True])
def test_a_login_that_is_let_in_again_ends_the_wait_whoever_asked(crm: tuple[Hold, ManualClock], writing: bool) -> None:
    hold, _ = crm
    fail(hold, AuthenticationFailed("refused", system="s"), writing=writing)
    answer(hold)
    assert hold.trouble() is None


def test_an_answer_that_was_on_its_way_when_others_were_refused_ends_no_wait(crm: tuple[Hold, ManualClock]) -> None:
    hold, clock = crm
    with hold.heeded():
        fail(hold, RateLimited("not now", system="s", retry_after=60))
    assert hold.trouble() is not None
    clock.advance(60)
    answer(hold)
    assert hold.trouble() is None


def test_another_process_tells_why_it_waits(two: tuple[Process, Process]) -> None:
    one, other = two
    one.asked(20)
    trouble = other.hold.trouble()
    assert trouble is not None
    assert (trouble.name, trouble.why, trouble.until) == ("s", "not now", START + timedelta(seconds=20))
    assert other.hold.trouble(look=False) is None
    other.clock.advance(20)
    assert other.hold.trouble() is None
