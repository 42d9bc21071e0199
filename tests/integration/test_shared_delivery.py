"""Several processes deliver to one CRM: what one of them is told or finds out is known to all, and their batches do not stand in each other's way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from tenacity import RetryCallState

from connectors.errors import RateLimited
from connectors.patience import Asked, Hold
from connectors.salesforce.budget import Urgency
from connectors.sandbox.faults import Fault
from connectors.sandbox.ids import salesforce_id
from routing.core.model import Write
from routing.delivery import courier, retrying
from routing.delivery.courier import Courier
from routing.ledger import outbox
from routing.ledger.engine import Ledger
from routing.runtime.clock import utcnow
from routing.runtime.feed import Feed
from routing.runtime.pause_board import PauseBoard
from routing.runtime.services import Services
from tests.contract.hubspot_stand import HubSpotStand, hubspot_stand
from tests.contract.salesforce_stand import ANA, BEN, SalesforceStand, salesforce_stand
from tests.processes import wait_for

ACCOUNTS = [salesforce_id("001", n) for n in range(1, 4)]


@pytest.fixture
def stand() -> Iterator[SalesforceStand]:
    with salesforce_stand() as stand:
        yield stand


class Process:
    """What another process has: a ledger that it opened itself (nobody else does with SQLite), and a connection."""

    def __init__(self, stand: SalesforceStand, ledger: Ledger, size: int = 200) -> None:
        """``size``: how many writes and records a call takes."""
        self.ledger = ledger if ledger.is_sqlite else Ledger(ledger.url)
        self.connection = stand.with_more()
        self.connection.client.hold.board = PauseBoard(self.ledger)
        self.connection.batch_size = self.connection.look_size = size
        self._shared = ledger

    def close(self) -> None:
        self.connection.close()
        if self.ledger is not self._shared:
            self.ledger.close()


@pytest.fixture
def start(stand: SalesforceStand) -> Iterator[Callable[..., Process]]:
    """Starts processes that are ended with the test."""
    with ExitStack() as running:

        def make(ledger: Ledger, size: int = 200) -> Process:
            made = Process(stand, ledger, size)
            running.callback(made.close)
            return made

        yield make


def owner(entity: Any, record: str) -> Write:
    return Write(
        write_id=f"w {record}",
        decision_id="d",
        system="salesforce",
        entity=entity,
        record_id=record,
        fields={"owner": BEN},
        guard={"owner": ANA},
    )


def call_back(record: str) -> Write:
    name = f"t {record}"
    fields = {"subject": "Call", "owner": BEN, "about_entity": "contact", "about": record}
    return Write(
        write_id=name,
        decision_id="d",
        system="salesforce",
        entity="task",
        record_id=name,
        fields=fields,
        guard={},
        kind="create",
    )


@contextmanager
def delivering(ledger: Ledger, processes: Sequence[Process]) -> Iterator[None]:
    """A courier in each."""
    services = Services(ledger)
    for number, one in enumerate(processes):
        made = Courier(one.connection, one.ledger, utcnow, Feed())
        services.start("delivery", f"courier {number}", lambda stop, c=made: c.run(threading.Event(), stop))  # type: ignore[misc]
    yield
    assert services.failure == ""
    assert services.stop("delivery") == []


def all_ended(ledger: Ledger) -> bool:
    with ledger.read() as conn:
        return not outbox.count(conn, outbox.OPEN)


@pytest.mark.parametrize("known", [True, False])
def test_our_own_batches_do_not_lock_each_other_out(
    any_ledger: Ledger,
    stand: SalesforceStand,
    start: Callable[..., Process],
    monkeypatch: pytest.MonkeyPatch,
    known: bool,
) -> None:
    """Changes of contacts and tasks about them, below three accounts, by three couriers. Where nobody knew the accounts, they would."""
    monkeypatch.setattr(courier, "SMALLEST", 8)
    people: dict[str, str] = {}
    for n in range(96):
        account = ACCOUNTS[n % 3]
        row = {"LastName": "Doe", "OwnerId": ANA, "AccountId": account}
        people[stand.sandbox.create("Contact", row)] = f"salesforce:account:{account}"
    writes = [owner("contact", one) for one in people] + [call_back(one) for one in people]
    locks = {one.write_id: people[one.about[1]] for one in writes if known}
    with any_ledger.write() as conn:
        outbox.add(conn, [(one, 0, 0) for one in writes], utcnow(), locks)
    stand.sandbox.impose({"save_seconds": 0.03})
    with delivering(any_ledger, [start(any_ledger, 8) for _ in range(1 if any_ledger.is_sqlite else 3)]):
        wait_for("all writes", lambda: all_ended(any_ledger))
    assert {row["OwnerId"] for row in stand.sandbox.records("Contact")} == {BEN}
    assert len(stand.sandbox.records("Task")) == len(people)
    alone = known or any_ledger.is_sqlite
    assert (stand.sandbox.store.collisions == 0) == alone
    with any_ledger.read() as conn:
        tries = conn.exec_driver_sql("SELECT max(attempts) FROM outbox").scalar()
    assert (tries == 1) == alone


def test_what_one_process_claims_no_other_can_claim_a_sibling_of_at_the_same_moment(postgres_ledger: Ledger) -> None:
    """The second waits for the first's claim to be committed, and sees it."""
    with postgres_ledger.write() as conn:
        siblings = [(owner("contact", f"003{n}"), 0, 0) for n in range(2)]
        outbox.add(conn, siblings, utcnow(), {one.write_id: "salesforce:account:1" for one, _, _ in siblings})
    second: list[outbox.Owed] = []

    def claim() -> None:
        with postgres_ledger.write() as conn:
            second.extend(outbox.claim(conn, "salesforce", 1, utcnow(), "two"))

    other = threading.Thread(target=claim)
    with postgres_ledger.write() as conn:
        [first] = outbox.claim(conn, "salesforce", 1, utcnow(), "one")
        other.start()
        wait_for("the other's turn", lambda: _waits_for_a_lock(postgres_ledger))
    other.join()
    assert first.write.record_id == "0030"
    assert second == []


def _waits_for_a_lock(ledger: Ledger) -> bool:
    with ledger.read() as conn:
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool(conn.exec_driver_sql(waiting).scalar())


# Waits


def test_owners_are_written_while_our_share_is_too_short_for_corrections(
    sqlite_ledger: Ledger, stand: SalesforceStand, start: Callable[..., Process]
) -> None:
    """A courier that cannot send the corrections does not wait with them."""
    stand.sandbox.use_up(0, limit=1000)
    one = start(sqlite_ledger, 5)
    leads = [stand.create({"owner": ANA}) for _ in range(12)]
    corrected = [msgspec.structs.replace(owner("lead", lead), fields={"title": "CEO"}, guard={}) for lead in leads[:10]]
    with sqlite_ledger.write() as conn:
        outbox.add(conn, [(write, 0, 0) for write in corrected], utcnow())
    one.connection.read("lead", leads[:1], ["owner"])
    budget = one.connection.client.budget
    for _ in range(460 - budget.spent().ours):  # nine tenths of its half
        budget.spend(Urgency.URGENT)
    with delivering(sqlite_ledger, [one]):
        wait_for("the corrections to be put off", lambda: _tries(sqlite_ledger) == {("pending", 1)})
        with sqlite_ledger.write() as conn:
            outbox.add(conn, [(owner("lead", lead), 0, 0) for lead in leads[10:]], utcnow())
        wait_for("the owners", lambda: {stand.held(lead)["owner"] for lead in leads[10:]} == {BEN})
        wait_for("the end of that", lambda: _tries(sqlite_ledger) == {("pending", 1), ("confirmed", 1)})
    assert {stand.held(lead)["title"] for lead in leads} == {None}


def _tries(ledger: Ledger) -> set[tuple[str, int]]:
    with ledger.read() as conn:
        return {(state, tries) for state, tries in conn.exec_driver_sql("SELECT state, attempts FROM outbox")}


def test_a_wait_that_one_process_is_asked_for_holds_for_the_others_and_after_a_restart(
    any_ledger: Ledger, stand: SalesforceStand, start: Callable[..., Process]
) -> None:
    first, second = start(any_ledger).connection, start(any_ledger).connection
    lead = stand.create({})
    for one in (first, second):
        one.read("lead", [lead], ["company"])
    stand.faults.add(Fault(system="salesforce", operation="query", kind="rate_limited", retry_after=600.0))
    with pytest.raises(RateLimited):
        first.read("lead", [lead], ["company"])
    before = stand.sandbox.api_requests
    for one in (second, start(any_ledger).connection):
        with pytest.raises(RateLimited, match="not over yet") as caught:
            one.read("lead", [lead], ["company"])
        assert 590 < (caught.value.retry_after or 0) <= 600
        with pytest.raises(RateLimited):
            one.write([owner("lead", lead)])
    assert stand.sandbox.api_requests == before
    assert stand.faults.hasty == []


def test_couriers_of_several_processes_all_wait_as_one_of_them_was_asked(
    postgres_ledger: Ledger, stand: SalesforceStand, start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a wait is posted no request of anybody is let through until it is over; one that was let through before cannot be called
    back."""
    posted: list[tuple[datetime, datetime]] = []  # from when on each wait was known to all, and its end
    let_through: list[tuple[datetime, datetime]] = []  # before and after each question whether a request may go
    post, refuse_early = PauseBoard.post, Hold._refuse_early

    def posts(board: PauseBoard, name: str, asked: Asked) -> None:
        post(board, name, asked)
        posted.append((utcnow(), asked.at + timedelta(seconds=asked.seconds)))

    def lets_through(hold: Hold) -> None:
        began = utcnow()
        refuse_early(hold)
        let_through.append((began, utcnow()))

    monkeypatch.setattr(PauseBoard, "post", posts)
    monkeypatch.setattr(Hold, "_refuse_early", lets_through)
    leads = [stand.create({"owner": ANA}) for _ in range(60)]
    processes = [start(postgres_ledger, 5) for _ in range(3)]
    for one in processes:
        one.connection.read("lead", leads[:1], ["owner"])
    with postgres_ledger.write() as conn:
        outbox.add(conn, [(owner("lead", one), 0, 0) for one in leads], utcnow())
    for kind in ("collections", "query"):
        stand.faults.add(Fault(system="salesforce", operation=kind, kind="rate_limited", retry_after=0.7, times=2))
    with delivering(postgres_ledger, processes):
        wait_for("all writes", lambda: all_ended(postgres_ledger))
    assert {stand.held(one)["owner"] for one in leads} == {BEN}
    assert {stand.times_written(one) for one in leads} == {1}
    assert len(posted) == stand.faults.asked_to_wait == 4
    early = [(known, one, end) for known, end in posted for one in let_through if known < one[0] and one[1] < end]
    assert early == []


def test_a_process_that_gets_through_after_an_outage_has_the_others_try_at_once(
    postgres_ledger: Ledger, stand: SalesforceStand, start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is over once both have met it. Who did first looks again every 2 s, the other in an hour."""
    met: list[str] = []
    one_by_one = threading.Lock()

    def wait(_state: RetryCallState) -> float:
        name = threading.current_thread().name
        with one_by_one:
            if name in met:
                return 2.0
            met.append(name)
            if len(met) == 1:
                return 2.0
            stand.faults.clear()
            return 3600.0

    monkeypatch.setattr(retrying, "_growing", wait)
    leads = [stand.create({"owner": ANA}) for _ in range(40)]
    processes = [start(postgres_ledger, 5) for _ in range(2)]
    for one in processes:
        one.connection.read("lead", leads[:1], ["owner"])
    with postgres_ledger.write() as conn:
        outbox.add(conn, [(owner("lead", one), 0, 0) for one in leads], utcnow())
    stand.faults.add(Fault(system="salesforce", operation="query", kind="unavailable", times=1000))
    with delivering(postgres_ledger, processes):
        wait_for("all writes", lambda: all_ended(postgres_ledger))
    assert len(met) == 2
    assert {stand.held(one)["owner"] for one in leads} == {BEN}


def test_a_limit_of_searches_is_shared_and_stops_nothing_else(sqlite_ledger: Ledger) -> None:
    with hubspot_stand() as stand:
        first, second = stand.connection, HubSpotStand(stand.sandbox, stand.world, stand.faults).connection
        for connection in (first, second):
            for hold in connection.holds:
                hold.board = PauseBoard(sqlite_ledger)
        contact = stand.create({"email": "a@acme.example"})
        stand.faults.add(Fault(system="hubspot", operation="search", kind="rate_limited", retry_after=600.0))
        body: dict[str, Any] = {"filterGroups": [], "limit": 1}
        refused = []
        for connection in (first, second):
            client = connection._client
            with pytest.raises(RateLimited) as caught:
                client.call("a search", client.search.do_search, "contacts", body)
            refused.append(str(caught.value))
            assert contact in connection.read("lead", [contact], ["email"])
        second.close()
        assert "not over yet" in refused[1]
