"""Polling Salesforce: everything that changes is told once, whatever was late, passed over, too much or too old."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import structlog

from connectors.errors import Transient
from connectors.salesforce.connection import SalesforceConnection
from connectors.salesforce.decode import ALL_RECORDS
from connectors.salesforce.polling import Mark, SalesforcePolling
from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce import SalesforceSandbox
from routing.core.model import ChangeEvent, Unreadable
from tests.contract.salesforce_stand import ANA, BEN, LEAD, MAPS, SalesforceStand, SmallWorld

START = datetime(2026, 11, 23, 9, tzinfo=UTC)


class Org(SalesforceStand):
    """A sandbox org and a poller that is asked round by round, on one clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = START
        self.faults = Faults()
        self.sandbox = SalesforceSandbox(SmallWorld(), lambda: self.now, self.faults)
        self.sandbox.start()
        self.maps = {"lead": LEAD, "person": MAPS["person"]}
        self.connection = SalesforceConnection(self.settings(changes="poll"), lambda: self.maps, lambda: self.now)
        self.position: bytes | None = None
        self.source = self.poller()

    def poller(self) -> SalesforcePolling:
        return SalesforcePolling(self.connection, lambda: self.maps, lambda: self.now)

    def ask(self, source: SalesforcePolling | None = None) -> list[ChangeEvent]:
        """One more round, or the first one of a new process' ``source``; what it told, in order."""
        told: list[ChangeEvent] = []
        stop = threading.Event()

        def accept(items: Sequence[ChangeEvent | Unreadable], position: bytes | None) -> None:
            told.extend(item for item in items if isinstance(item, ChangeEvent))
            self.position = position or self.position

        def once(seconds: float | None = None) -> bool:
            stop.set()
            return True

        if source is None:
            marks = msgspec.json.decode(self.position, type=dict[str, Mark]) if self.position else {}
            self.source.ask(marks, accept)
        else:
            stop.wait = once  # type: ignore[method-assign]
            source.run(self.position, accept, stop)
        return told

    def begin(self) -> None:
        """The first round, a minute after all that the org holds was last changed."""
        self.now += timedelta(minutes=1)
        assert self.ask() == []

    def later(self, **delta: float) -> list[ChangeEvent]:
        """Time passes, and then one round."""
        self.now += timedelta(**delta)
        return self.ask()


@pytest.fixture
def org() -> Iterator[Org]:
    org = Org()
    yield org
    org.close()


def told(events: Sequence[ChangeEvent]) -> list[tuple[str, str]]:
    return [(event.kind, event.record_id) for event in events]


def test_from_now_on_means_that_nothing_old_is_told(org: Org) -> None:
    org.create({"title": "old"})
    org.begin()
    assert org.position is not None
    assert org.later(minutes=1) == []


def test_creations_come_whole_and_changes_with_all_their_values(org: Org) -> None:
    old = org.create({"title": "old"})
    org.begin()
    org.now += timedelta(seconds=10)
    new = org.create({"title": "new", "owner": ANA})
    org.change(old, {"title": "changed"})
    events = {event.record_id: event for event in org.later(seconds=30)}
    assert (events[new].kind, events[new].complete, events[new].values["title"]) == ("created", True, "new")
    assert (events[old].kind, events[old].complete, events[old].values["title"]) == ("gap", False, "changed")
    assert events[old].actor == org.sandbox.admin_user_id
    assert org.later(seconds=30) == []  # once
    assert org.later(hours=3) == []  # also after a long quiet time
    org.change(new, {"title": "newer"})
    assert told(org.later(seconds=30)) == [("gap", new)]


def test_the_account_that_a_lead_was_saved_with_comes_before_it(org: Org) -> None:
    org.maps |= {"account": MAPS["account"]}
    org.begin()
    org.now += timedelta(seconds=10)
    lead, account = org.sandbox.together(
        [
            {"kind": "create", "object": "Lead", "fields": {"LastName": "Doe", "Company": "Nova AG"}},
            {"kind": "create", "object": "Account", "fields": {"Name": "Nova AG"}},
        ]
    )
    assert told(org.later(seconds=30)) == [("created", account), ("created", lead)]


def test_two_changes_within_a_second_are_both_told(org: Org) -> None:
    lead = org.create({"title": "a"})
    org.begin()
    org.now += timedelta(seconds=30)
    org.change(lead, {"title": "b"})
    first = org.ask()
    org.change(lead, {"title": "c"})  # the same second, the same SystemModstamp
    second = org.ask()
    assert [event.values["title"] for event in (*first, *second)] == ["b", "c"]
    assert first[0].event_id != second[0].event_id


def test_a_row_that_becomes_visible_late_is_seen_all_the_same(org: Org) -> None:
    late, other = org.create({"title": "a"}), org.create({"title": "a"})
    org.begin()
    org.now += timedelta(minutes=1)
    org.change(late, {"title": "late"})
    row = org.sandbox.store.find("Lead", late)
    assert row is not None
    hidden, row["SystemModstamp"] = (
        row["SystemModstamp"],
        "2020-01-01T00:00:00.000+0000",
    )  # its transaction is still open
    org.now += timedelta(minutes=2)
    org.change(other, {"title": "b"})
    assert told(org.ask()) == [("gap", other)]
    row["SystemModstamp"] = hidden
    assert told(org.later(minutes=1)) == [("gap", late)]


def test_what_no_question_showed_is_swept_up(org: Org) -> None:
    lead = org.create({"title": "a"})
    org.begin()
    org.sandbox.replication.busy_since = org.now
    org.now += timedelta(minutes=1)
    org.change(lead, {"title": "b"})
    row = org.sandbox.store.find("Lead", lead)
    assert row is not None
    hidden, row["SystemModstamp"] = row["SystemModstamp"], "2020-01-01T00:00:00.000+0000"
    newer = org.create({})
    org.later(minutes=20)
    org.create({})
    org.later(minutes=1)  # the window of late rows has moved on
    row["SystemModstamp"] = hidden
    org.sandbox.replication.busy_since = None
    events = org.later(minutes=6)
    assert ("gap", lead) in told(events)
    assert ("gap", newer) not in told(events)  # that one was told


def test_deletions_and_merges_are_told_apart(org: Org) -> None:
    master, loser, gone = (org.create({}) for _ in range(3))
    org.begin()
    org.now += timedelta(minutes=2)
    org.sandbox.merge("Lead", master, [loser])
    org.delete(gone)
    events = org.later(minutes=6)
    assert set(told(events)) == {("merged", loser), ("deleted", gone), ("gap", master)}
    assert all(event.occurred_at == START + timedelta(minutes=3) for event in events if event.kind != "gap")
    assert {event.record_id: event.into for event in events} == {loser: master, gone: "", master: ""}
    assert {event.event_id for event in org.later(minutes=6)} <= {event.event_id for event in events}


def test_deletions_are_told_though_the_question_after_them_fails(org: Org, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they were merged into could not be asked: the same marks are asked with again, in one process."""
    gone = org.create({})
    org.begin()
    org.now += timedelta(minutes=2)
    org.delete(gone)
    org.now += timedelta(minutes=8)
    assert org.position is not None
    marks, events = msgspec.json.decode(org.position, type=dict[str, Mark]), list[ChangeEvent | Unreadable]()
    asked, failing = org.connection.client.call, iter([True])

    def call(method: str, path: str, **more: Any) -> Any:
        if path.startswith("queryAll") and next(failing, False):
            raise Transient("Salesforce is away", system="salesforce")
        return asked(method, path, **more)

    monkeypatch.setattr(org.connection.client, "call", call)
    for _ in range(2):
        with suppress(Transient):
            org.source.ask(marks, lambda items, _position: events.extend(items))
    assert next(failing, None) is None, "nothing failed"
    assert told([one for one in events if isinstance(one, ChangeEvent)]) == [("deleted", gone)]


def test_a_delete_log_that_was_purged_means_reading_everything(org: Org) -> None:
    org.begin()
    org.sandbox.replication.purged = org.now + timedelta(minutes=4)
    events = org.later(minutes=6)
    assert told(events) == [("gap", ALL_RECORDS)]
    assert not events[0].complete
    assert org.later(minutes=6) == []


def test_what_is_too_much_or_too_old_to_be_told_is_a_warning_and_no_bug(org: Org) -> None:
    org.begin()
    org.now += timedelta(minutes=2)
    for lead in [org.create({}) for _ in range(3)]:
        org.delete(lead)
    org.sandbox.replication.most_ids = 2
    with structlog.testing.capture_logs() as logs:
        assert ("gap", ALL_RECORDS) in told(org.later(minutes=3))
    [lost] = [line for line in logs if line["event"] == "salesforce_changes_lost"]
    assert (lost["log_level"], lost["entity"]) == ("warning", "lead")
    assert "more happened" in lost["reason"]
    assert "read again now" in lost["advice"]


@pytest.mark.parametrize("ahead", [-240, -30, 15, 60, 240])
def test_with_a_clock_that_is_off_everything_is_told_from_the_first_question_on(org: Org, ahead: int) -> None:
    org.source = SalesforcePolling(org.connection, lambda: org.maps, lambda: org.now + timedelta(seconds=ahead))
    old = org.create({})
    org.begin()
    org.now += timedelta(seconds=10)
    new, gone = org.create({"title": "new"}), org.create({})
    events = org.later(seconds=50)
    assert told(events) == [("created", new), ("created", gone)]
    org.delete(gone)
    assert ("deleted", gone) in told([event for _ in range(12) for event in org.later(minutes=1)])
    assert old not in {event.record_id for event in events}


def test_too_many_ids_are_asked_for_in_smaller_windows(org: Org) -> None:
    org.sandbox.replication.most_ids = 3
    org.begin()
    leads = []
    for _ in range(6):
        org.now += timedelta(minutes=4)
        leads.append(org.create({}))
    for lead in leads:
        org.now += timedelta(minutes=4)
        org.delete(lead)
    gone: list[ChangeEvent] = []
    for _ in range(12):
        gone += [event for event in org.later(minutes=6) if event.kind == "deleted"]
    assert {event.record_id for event in gone} == set(leads)


def test_a_long_list_is_turned_page_by_page(org: Org) -> None:
    org.begin()
    org.now += timedelta(minutes=1)
    leads = [org.create({}) for _ in range(2100)]  # all in one second
    events = org.later(minutes=1)
    assert [event.record_id for event in events] == leads
    assert {event.kind for event in events} == {"created"}


def test_after_a_restart_nothing_is_lost_and_what_is_told_again_has_the_same_id(org: Org) -> None:
    org.begin()
    org.now += timedelta(minutes=1)
    first = org.create({})
    before = org.ask()
    org.now += timedelta(minutes=1)
    second = org.create({})
    again = org.ask(org.poller())  # a new process
    assert told(again)[-1] == ("created", second)
    assert [event.event_id for event in again if event.record_id == first] in ([], [before[0].event_id])


def test_what_accept_refuses_is_told_again(org: Org) -> None:
    org.begin()
    org.now += timedelta(minutes=1)
    lead = org.create({})

    def refuse(items: Sequence[ChangeEvent | Unreadable], position: bytes | None) -> None:
        if items:
            raise OSError("the ledger is away")

    with pytest.raises(OSError, match="away"):
        org.source.run(org.position, refuse, threading.Event())
    assert told(org.ask(org.source)) == [("created", lead)]
    assert told(org.ask()) == []


class Passing(threading.Event):
    """Whoever waits for it lets the org's time pass."""

    def __init__(self, org: Org) -> None:
        super().__init__()
        self._org = org

    def wait(self, timeout: float | None = None) -> bool:
        self._org.now += timedelta(seconds=timeout or 0)
        return self.is_set()


def test_trouble_is_waited_out(org: Org) -> None:
    org.begin()
    org.now += timedelta(minutes=1)
    lead = org.create({})
    org.faults.add(Fault(system="salesforce", operation="query", kind="rate_limited", retry_after=7))
    heard: list[ChangeEvent | Unreadable] = []
    stop, asked = Passing(org), org.now

    def accept(items: Sequence[ChangeEvent | Unreadable], position: bytes | None) -> None:
        heard.extend(items)
        if items:
            stop.set()

    org.source.run(org.position, accept, stop)
    assert [item.record_id for item in heard] == [lead]
    assert org.now - asked >= timedelta(seconds=7)
    with pytest.raises(Transient):
        org.faults.add(Fault(system="salesforce", operation="query", kind="unavailable"))
        org.connection.read("lead", [lead], ["owner"])


def test_people_are_polled_too(org: Org) -> None:
    org.begin()
    org.now += timedelta(minutes=1)
    org.sandbox.update("User", BEN, {"IsActive": False})
    [event] = org.later(minutes=1)
    assert (event.entity, event.record_id, event.values["active"]) == ("person", BEN, False)
    assert salesforce_id("005", 2) == BEN
