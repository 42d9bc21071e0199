from __future__ import annotations

import threading

import pytest
from tenacity import RetryCallState, Retrying, retry_if_exception

from connectors.errors import AuthenticationFailed, ConnectorError, RateLimited, Transient
from routing.delivery import retrying
from routing.ledger.engine import Ledger
from routing.runtime.feed import Feed
from routing.runtime.pause_board import PauseBoard


class Refusing:
    """Collects the waits of a run of failures, one after the other, and then succeeds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, errors: list[ConnectorError]) -> None:
        # The jitter is left out: what remains is the bound that it is drawn below.
        monkeypatch.setattr(retrying, "_growing", lambda s: min(60, 0.25 * 2 ** (s.attempt_number - 1)))
        monkeypatch.setattr(retrying, "_slowly", lambda s: min(600, 10 * 2 ** (s.attempt_number - 1)))
        self.waits: list[float] = []
        self._errors = errors

    def run(self) -> list[float]:
        tries = Retrying(
            retry=retry_if_exception(retrying.pauses),
            wait=self._wait,
            sleep=lambda _seconds: None,
        )
        tries(self._call)
        return self.waits

    def _wait(self, state: RetryCallState) -> float:
        self.waits.append(retrying.wait_as_asked(state))
        return self.waits[-1]

    def _call(self) -> None:
        if self._errors:
            raise self._errors.pop(0)


def test_an_outage_is_waited_out_with_growing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Refusing(monkeypatch, [Transient("503", system="s") for _ in range(4)]).run() == [0.25, 0.5, 1, 2]


def test_a_limit_is_waited_for_as_long_as_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Refusing(monkeypatch, [RateLimited("429", system="s", retry_after=7)]).run() == [7]


def test_one_kind_of_failure_does_not_lengthen_the_waits_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [RateLimited("429", system="s") for _ in range(8)]
    waits = Refusing(
        monkeypatch, [*limits, Transient("503", system="s"), AuthenticationFailed("401", system="s")]
    ).run()
    assert waits[7] == 32
    assert waits[8:] == [0.25, 0.25]


def test_a_refused_login_is_tried_again_at_once_and_then_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Refusing(monkeypatch, [AuthenticationFailed("401", system="s") for _ in range(3)]).run()
    assert waits == [0.25, 20, 40]


def test_after_a_lost_answer_the_crm_gets_a_second_to_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Transient("no answer", system="s", outcome_unknown=True)
    assert Refusing(monkeypatch, [lost]).run() == [1]


class Waiting:
    """One who tries again after an error, for whom time passes in pieces; after the third another gets through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ledger: Ledger, seconds: float, another: bool = True) -> None:
        monkeypatch.setattr(retrying, "_growing", lambda _state: seconds)
        monkeypatch.setattr(retrying, "sleep_using_event", lambda _event: self._pass_by)
        self.board, self._another = PauseBoard(ledger), another
        self.slept: list[float] = []

    def _pass_by(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == 3 and self._another:
            self.board.post_well("s")

    def meets(self, error: ConnectorError) -> float:
        """Returns for how many seconds it waited."""
        left = [error]

        def call() -> None:
            if left:
                raise left.pop()

        retrying.until_well(threading.Event(), Feed(), "writing", self.board, call)
        return sum(self.slept)


def test_who_waits_out_an_outage_tries_at_once_when_another_got_through(
    any_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Waiting(monkeypatch, any_ledger, 60).meets(Transient("503", system="s")) == 3
    # What was posted before it began to wait is no news.
    assert Waiting(monkeypatch, any_ledger, 60, another=False).meets(Transient("503", system="s")) == 60
    assert Waiting(monkeypatch, any_ledger, 60).meets(Transient("503", system="another")) == 60


@pytest.mark.parametrize(
    "error",
    [
        Transient("503", system="s", retry_after=60),
        RateLimited("429", system="s", retry_after=60),
        RateLimited("429", system="s"),
    ],
)
def test_that_another_got_through_shortens_no_other_wait(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, error: ConnectorError
) -> None:
    assert Waiting(monkeypatch, ledger, 60).meets(error) == 60


@pytest.mark.parametrize(("seconds", "told"), [(2.5, True), (0.5, False)])
def test_who_got_through_tells_so_where_others_may_be_waiting_for_long(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, seconds: float, told: bool
) -> None:
    one = Waiting(monkeypatch, ledger, seconds, another=False)
    assert one.meets(Transient("503", system="s")) == seconds
    assert (one.board.well_since("s") is not None) == told
