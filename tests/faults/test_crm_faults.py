"""CRMs on bad days: writes are delayed, never doubled, never dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import get_ident
from time import monotonic
from typing import Any
from unittest.mock import patch

import pytest
from tenacity import wait_random_exponential
from urllib3.connectionpool import HTTPConnectionPool

from connectors.sandbox.faults import Fault, FaultKind, Faults
from routing.delivery import retrying
from tests.faults.report import storm
from tests.integration.stage import Stage, stage

MOST = 6  # leads, and contacts, of a short test
ASKED = 0.6  # seconds that a storm asks to wait: longer than any other wait of it


@contextmanager
def eavesdropping() -> Iterator[list[str]]:
    """Every request of the daemon that a thread sent before the wait was over that it had itself been told of. A thread that has
    the refusal in its hands knows of it: nothing is excused as having been under way."""
    found: list[str] = []
    until: dict[tuple[int, object, bool], float] = {}
    really = HTTPConnectionPool.urlopen

    def urlopen(pool: HTTPConnectionPool, method: str, url: str, *args: Any, **more: Any) -> Any:
        limited = get_ident(), pool.port, url.endswith("/search")  # HubSpot's search has a limit of its own
        early = until.get(limited, 0.0) - monotonic()
        if early > SLACK:
            found.append(f"{method} {url}: {early:.2f} s too early")
        answer = really(pool, method, url, *args, **more)
        if "Retry-After" in answer.headers:
            until[limited] = monotonic() + float(answer.headers["Retry-After"])
        return answer

    with patch.object(HTTPConnectionPool, "urlopen", urlopen):
        yield found


SLACK = 0.05  # seconds, between the clock here and the daemon's


class Weather(Faults):
    """Faults by chance, the same for the same seed and order of requests, once ``bad`` is set.

    5xx for 30 in 100 requests (two thirds 503, the others 500, half of them with the work done), a lost answer after the commit for
    10, a few locks and ended sessions; now and then a storm of refusals for too many requests.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.bad = False
        self.struck = 0
        self._chance = Random(seed)
        self._storm: dict[str, int] = {}

    def _next(self, system: str, operation: str, body: bytes) -> Fault | None:
        if not self.bad:
            return super()._next(system, operation, body)
        found = self._strike(system, operation)
        self.struck += found is not None
        return found

    def _strike(self, system: str, operation: str) -> Fault | None:
        def fault(kind: FaultKind, **more: float) -> Fault:
            return Fault(system=system, kind=kind, operation=operation, **more)  # type: ignore[arg-type]

        chance, left = self._chance.random(), self._storm.get(system, 0)
        if operation == "login":
            # Any other answer to a login is a refusal, after which the daemon rightly waits for minutes.
            return fault("unavailable") if chance < 0.30 else None
        if left or chance > 0.98:
            self._storm[system] = left - 1 if left else 5
            return fault("rate_limited", retry_after=ASKED)
        if chance < 0.20:
            return fault("unavailable")
        if chance < 0.30:
            return fault("broken" if chance < 0.25 else "broken_after_commit")
        if chance < 0.40:
            return fault("timeout_after_commit")
        if chance < 0.43:
            return fault("timeout")
        if chance < 0.48 and operation in ("collections", "batch_update"):
            return fault("lock", share=0.2)
        if chance < 0.485 and system == "salesforce":
            return fault("expired_session")
        return None


def assert_each_written_once(world: Stage, records: Sequence[str]) -> None:
    """Every record has the owner that was decided, by one write."""
    for record in records:
        made = world.decision(record)
        assert made.outcome == "assign"
        assert world.owner(record) == made.owner, record
        assert world.times_written(record) == 1, record
        assert [owed["state"] for owed in world.owed(record)] == ["confirmed"]
    assert world.parked() == []


@pytest.fixture(scope="module")
def one_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("faults"), accounts=60) as made:
        yield made


@pytest.fixture
def world(one_stage: Stage) -> Iterator[Stage]:
    yield one_stage
    one_stage.faults.clear()
    one_stage.settle()
    if one_stage.parked():
        one_stage.command("parked", "discard", "--all", "--reason", "the test is over")


def arrive(world: Stage) -> list[str]:
    """Leads and contacts, all with something to correct."""
    leads = [world.lead(Country="Germany") for _ in range(MOST)]
    return leads + [world.contact(country="Germany") for _ in range(MOST)]


@pytest.mark.parametrize(
    "kind", ["unavailable", "rate_limited", "timeout", "timeout_after_commit", "expired_session", "lock"]
)
def test_each_write_is_made_once_whatever_the_answer_was(world: Stage, kind: FaultKind) -> None:
    retry_after = 0.2 if kind == "rate_limited" else None
    for system, operations in (("salesforce", ("query", "collections")), ("hubspot", ("batch_read", "batch_update"))):
        for operation in operations:
            if kind != "lock" or operation in ("collections", "batch_update"):  # reads find nothing locked
                world.fault(system, kind, operation, retry_after=retry_after, share=0.5)
    records = arrive(world)
    world.settle()
    assert world.faults.all() == [], "every fault struck"
    assert_each_written_once(world, records)


def test_one_bad_thing_after_the_other(world: Stage) -> None:
    for kind in ("unavailable", "expired_session", "timeout_after_commit"):
        world.fault("salesforce", kind, "collections")
    for kind in ("unavailable", "rate_limited", "timeout_after_commit"):
        world.fault("hubspot", kind, "batch_update", retry_after=0.1)
    records = arrive(world)
    world.settle()
    assert world.faults.all() == []
    assert_each_written_once(world, records)


def test_we_wait_as_long_as_we_are_asked(world: Stage) -> None:
    world.fault("salesforce", "rate_limited", "collections", retry_after=0.7)
    world.fault("hubspot", "rate_limited", "batch_update", retry_after=0.9)
    world.happenings.clear()
    records = arrive(world)
    world.settle()
    paused = [happening.detail for happening in world.happenings if happening.what == "paused"]
    assert any(told.startswith("salesforce waits 0.7 s") for told in paused)
    assert any(told.startswith("hubspot waits 0.9 s") for told in paused)
    assert_each_written_once(world, records)


def test_a_renewed_session_keeps_the_headers(world: Stage) -> None:
    world.hold_up("salesforce", "collections")
    leads = [world.lead() for _ in range(3)]
    world.until("decisions", lambda: all(world.decisions(lead) for lead in leads))
    logins = world.salesforce.sessions.logins
    world.salesforce.expire_sessions()
    world.faults.clear()
    world.settle()
    assert world.salesforce.sessions.logins > logins
    for lead in leads:
        [write] = world.writes(lead)
        # Without Sforce-Auto-Assign: FALSE the org's own rule would have taken the lead.
        assert write.fields["OwnerId"] == world.world.user_id(world.decision(lead).owner)
        assert write.client == "fingerpost"
    assert_each_written_once(world, leads)


def test_a_login_that_fails_for_a_while_delays_and_loses_nothing(world: Stage) -> None:
    world.fault("salesforce", "unavailable", "login", times=2)
    world.salesforce.expire_sessions()
    records = arrive(world)
    world.settle()
    assert_each_written_once(world, records)


def test_a_stream_that_cannot_be_opened_for_a_while_loses_nothing(world: Stage) -> None:
    for kind in ("unavailable", "rate_limited", "expired_session"):
        world.fault("salesforce", kind, "subscribe")
    world.salesforce.break_streams()
    records = arrive(world)
    world.settle()
    assert world.faults.all() == []
    assert_each_written_once(world, records)


def test_a_refused_record_is_parked_alone_and_written_once_the_operator_says_so(world: Stage) -> None:
    world.hold_up("salesforce", "query")
    world.hold_up("hubspot", "batch_update")
    records = arrive(world)
    world.until("decisions", lambda: all(world.decisions(record) for record in records))
    world.faults.clear()
    world.fault("salesforce", "partial", "collections", share=0.5)
    world.fault("hubspot", "partial", "batch_update", share=0.5)
    world.settle()
    parked = world.parked()
    assert len(parked) == MOST, "half of them"
    for row in parked:
        assert row["what"] == "write"
        assert "A validation rule of the sandbox said no" in row["why"], "the vendor's words"
    refused = {row["record"].rsplit(":", 1)[1] for row in parked}
    assert all(world.times_written(record) == (record not in refused) for record in records)
    world.command("parked", "retry", "--all")
    world.settle()
    assert_each_written_once(world, records)


def test_a_crm_that_is_down_holds_up_only_its_own_writes(world: Stage) -> None:
    world.hold_up("salesforce", "*")
    contacts, lead = [world.contact() for _ in range(3)], world.lead()
    world.until("the contacts' owners", lambda: all(world.owner(contact) for contact in contacts))
    assert world.writes(lead) == []
    world.faults.clear()
    world.settle()
    assert_each_written_once(world, [*contacts, lead])


def weather_over_both_crms(
    folder: Path, seed: int, leads: int, rate: float | None, seconds: float, strikes: int
) -> None:
    """``leads`` at a time come in, until so many requests were struck."""
    weather = Weather(seed)
    # With the waits of real life the storm would be over before much had gone wrong.
    short = wait_random_exponential(multiplier=0.05, max=ASKED / 2)
    with (
        storm(f"both CRMs unwell, one process (seed {seed})") as line,
        eavesdropping() as hasty,
        patch.object(retrying, "_growing", short),
        patch.object(retrying, "_slowly", short),
        stage(folder, seed=seed, faults=weather) as world,
    ):
        weather.bad = True
        while weather.struck < strikes or not weather.asked_to_wait:
            world.flow(leads, rate=rate, seconds=seconds)
        weather.bad = False
        report = {
            row["state"]: row["n"] for row in world.rows("SELECT state, count(*) AS n FROM outbox GROUP BY state")
        }
        line.times = f"{weather.struck} requests failed, {weather.asked_to_wait} asked to wait"
        ends = {row["state"]: row["n"] for row in world.rows("SELECT state, count(*) AS n FROM journal GROUP BY state")}
        line.accepted, line.settled = sum(ends.values()), sum(ends.get(state, 0) for state in ("applied", "skipped"))
        assert hasty == []
        assert set(report) == {"confirmed"}
        assert world.parked() == []
        decided = world.rows("SELECT ref, outcome, owner FROM decision")
        assert len(decided) == world.traffic.created.total() > 0
        owed = {row["ref"] for row in world.rows("SELECT ref FROM outbox")}
        for row in decided:
            record = row["ref"].rsplit(":", 1)[1]
            assert world.times_written(record) == (row["ref"] in owed), row["ref"]
            if row["outcome"] == "assign":
                assert world.owner(record) == row["owner"], row["ref"]


@pytest.mark.timeout(300)
def test_a_shower_over_both_crms(tmp_path: Path) -> None:
    weather_over_both_crms(tmp_path, 20, 40, None, 90, strikes=20)


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [21, 22])
def test_a_storm_over_both_crms(tmp_path: Path, seed: int) -> None:
    weather_over_both_crms(tmp_path, seed, 10_000, 60, 900, strikes=100)
