"""HubSpot's changes found by searching pass the suite of sources, and do what only they must."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from email.utils import format_datetime
from typing import Any, NoReturn

import msgspec
import pytest

from connectors.hubspot import queries as module
from connectors.hubspot.connection import HubSpotConnection
from connectors.sandbox.faults import Fault
from connectors.sandbox.hubspot.store import Entry, Source
from routing.core.merge import merge
from routing.core.model import ChangeEvent, Unreadable, Values
from routing.runtime.clock import utcnow
from tests.contract.heard import Heard, Running
from tests.contract.hubspot_stand import MAPS, HubSpotStand, hubspot_stand
from tests.contract.listening import SourceSuite
from tests.contract.suites import write_of
from tests.processes import wait_for


class SearchStand(HubSpotStand):
    """A stand whose source searches without pause, in an index that is up to date.

    What it does is over when it returns: HubSpot counts whole milliseconds, and a source that starts within the same one hears of it.
    """

    follow_operation = "search"
    exempt: Mapping[str, str] = {
        "reordering": "histories are read whole, and handed on by time",
        "forget": "a search finds what records hold and held, however long ago it was asked last",
    }

    def __init__(self, stand: HubSpotStand, lag: float = 0.0) -> None:
        super().__init__(stand.sandbox, stand.world, stand.faults)
        self.connection.close()
        self.settings = type(self.settings)(
            access_token=stand.sandbox.access_token,
            host=stand.sandbox.url,
            changes="search",
            search_seconds=0.05,
            deletions_seconds=0.001,
            index_lag_seconds=lag,
        )
        self.connection = HubSpotConnection(self.settings, lambda: MAPS, utcnow)
        self.source = self.connection.search

    def create(self, values: Values) -> str:
        return _over(super().create(values))

    def change(self, record_id: str, values: Values) -> None:
        _over(super().change(record_id, values))

    def delete(self, record_id: str) -> None:
        _over(super().delete(record_id))

    def break_streams(self) -> None:
        self.faults.add(Fault(system="hubspot", operation="search", kind="unavailable", times=2))

    def deliver_garbage(self) -> None:
        self.create({"employees": "a few"})

    def reordering(self) -> NoReturn:
        raise NotImplementedError

    def forget(self, position: bytes) -> NoReturn:
        raise NotImplementedError


def _over(done: Any) -> Any:
    """Waits for the millisecond after the next: a second change within one is stamped as the next one's."""
    time.sleep(0.003)
    return done


def _meanwhile(stand: SearchStand, monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[Any], Any]) -> None:
    """Something happens once, after the next answer to ``name`` (a method of the client's API) was made, and before it is read."""
    client = stand.source._client
    real, left = client.call, [happens]

    def call(what: str, function: Any, *args: Any, **options: Any) -> Any:
        answer = real(what, function, *args, **options)
        return left.pop()(answer) if left and function.__name__ == name else answer

    monkeypatch.setattr(client, "call", call)


@pytest.fixture(scope="module")
def running() -> Iterator[HubSpotStand]:
    with hubspot_stand() as stand:
        yield stand


@pytest.fixture
def stand(running: HubSpotStand) -> Iterator[SearchStand]:
    running.faults.clear()
    running.sandbox.impose({"search_lag": 0, "searches": 1000})
    made = SearchStand(running)
    yield made
    made.connection.close()


class TestSource(SourceSuite):
    def test_a_repeated_delivery_has_the_same_id(self, stand: SearchStand, heard: Heard) -> None:  # type: ignore[override]
        """Nobody delivers a search twice but we ourselves, from an older position; see the test of positions too."""
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            record = stand.create({"company": "one"})
            stand.change(record, {"company": "two"})
            heard.until(lambda: len(heard.events) == 2)
        again = Heard()
        with Running(stand.source, heard.positions[0], again):
            again.until(lambda: len(again.events) == 2)
        assert [event.event_id for event in again.events] == [event.event_id for event in heard.events]


def test_a_change_that_the_index_shows_late_is_found_all_the_same(running: HubSpotStand) -> None:
    stand = SearchStand(running, lag=2.0)
    running.sandbox.impose({"search_lag": 0.8})
    heard = Heard()
    with Running(stand.source, None, heard):
        heard.until(lambda: bool(heard.positions))
        early = stand.create({"company": "early"})
        heard.until(lambda: bool(heard.events))
        late = stand.create({"company": "late"})
        heard.until(lambda: len(heard.events) == 2)
    stand.connection.close()
    assert [event.record_id for event in heard.events] == [early, late]
    assert len({event.event_id for event in heard.events}) == 2


def test_every_change_between_two_looks_comes_on_its_own_with_who_did_it(stand: SearchStand) -> None:
    heard, start = Heard(), Heard()
    with Running(stand.source, None, start):
        start.until(lambda: bool(start.positions))
    record = stand.create({"company": "a"})
    stand.change(record, {"company": "b"})
    stand.change(record, {"city": "Rome", "owner": stand.owners[1]})
    with Running(stand.source, start.positions[0], heard):
        heard.until(lambda: len(heard.events) == 3)
    created, one, two = heard.events
    ana = next(owner["userId"] for owner in stand.world.owners if owner["email"].startswith("ana."))
    assert created.values["company"] == "a"
    assert one.values == {"company": "b"}
    assert two.values == {"city": "Rome", "owner": stand.owners[1]}
    assert (one.actor, one.origin) == (f"userId:{ana}", "CRM_UI")
    assert created.occurred_at < one.occurred_at < two.occurred_at


def test_a_merge_tells_who_went_and_which_record_goes_on_for_them(stand: SearchStand) -> None:
    stays, goes = stand.create({"company": "x"}), stand.create({"city": "Oslo"})
    start, heard = Heard(), Heard()
    with Running(stand.source, None, start):
        start.until(lambda: bool(start.positions))
    new = stand.sandbox.merge("contacts", stays, [goes])
    with Running(stand.source, start.positions[0], heard):
        heard.until(lambda: len(heard.events) >= 3)
        stand.change(new, {"city": "Rome"})
        heard.until(lambda: len(heard.events) >= 4)
    told = [(event.kind, event.record_id, event.into, event.continues, event.complete) for event in heard.events]
    assert told == [
        ("created", new, "", (stays, goes), False),
        ("merged", stays, new, (), True),
        ("merged", goes, new, (), True),
        ("updated", new, "", (), True),
    ]
    assert heard.events[-1].values == {"city": "Rome"}
    for asked in ([stays], [goes], [stays, goes, new]):
        found = stand.connection.read("lead", asked, ["company", "city"])
        assert {one.values["company"] for one in found.values()} == {"x"}
        assert {one: snapshot.into for one, snapshot in found.items()} == {
            one: "" if one == new else new for one in asked
        }


@pytest.mark.parametrize("from_the_start", [False, True])
def test_an_object_that_is_refused_keeps_no_other_waiting_and_loses_nothing(
    stand: SearchStand, from_the_start: bool
) -> None:
    heard, aside = Heard(), stand.connection.search.aside
    if from_the_start:
        stand.sandbox.withdraw("crm.objects.contacts.read")
    try:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            if not from_the_start:
                stand.sandbox.withdraw("crm.objects.contacts.read")
            contact = stand.create({"company": "x"})
            company = stand.sandbox.create("companies", {"name": "Acme"})
            heard.until(lambda: bool(heard.events))
            wait_for("the refusal to be told", lambda: "lead" in aside.why)
            assert [event.record_id for event in heard.events] == [company]
            assert "scope" in aside.why["lead"]
            assert set(aside.why) == {"lead"}
            stand.sandbox.grant("crm.objects.contacts.read")
            heard.until(lambda: len(heard.events) == 2)
            wait_for("it to be taken back", lambda: not aside.why)
    finally:
        stand.sandbox.grant("crm.objects.contacts.read")
    assert heard.events[-1].record_id == contact


def test_what_a_workflow_takes_back_is_told_after_our_own_write(stand: SearchStand) -> None:
    heard = Heard()
    record = stand.create({"company": "x"})
    stand.sandbox.add_workflow(stand.owners[0])
    with Running(stand.source, None, heard):
        heard.until(lambda: bool(heard.positions))
        [result] = stand.connection.write([write_of(stand, record, owner=stand.owners[1])])
        heard.until(lambda: len(heard.events) >= 2)
    stand.sandbox.add_workflow("")
    assert result.error is None
    assert stand.held(record)["owner"] == stand.owners[0]
    ours, theirs = heard.events
    assert (ours.values, ours.origin) == ({"owner": stand.owners[1]}, "INTEGRATION")
    assert (theirs.values, theirs.origin, theirs.actor) == ({"owner": stand.owners[0]}, "AUTOMATION_PLATFORM", "")
    assert ours.occurred_at < theirs.occurred_at


@pytest.mark.parametrize("dated", [True, False], ids=["dated", "undated"])
def test_a_record_that_left_the_recycling_bin_is_restored(stand: SearchStand, dated: bool) -> None:
    """Told once the source knows the bin with the record in it; from a position of that time as well."""
    gone, erased = stand.create({"company": "x"}), stand.create({"company": "y"})
    first, again, heard = Heard(), Heard(), Heard()
    with Running(stand.source, None, first):
        first.until(lambda: bool(first.positions))
        stand.delete(gone)
        stand.delete(erased)
        first.until(lambda: len(first.events) >= 2)
    store = stand.sandbox.store
    with store.lock:  # one of them leaves the bin for good, as after ninety days
        del store._items["contacts"][erased]
        store._order["contacts"].remove(int(erased))
        item = store._items["contacts"][gone]
        before = item.updated_at
    stand.sandbox.restore("contacts", gone)
    if not dated:
        item.updated_at = before
    for ear in (heard, again):
        with Running(stand.source, first.positions[-1], ear):
            ear.until(lambda ear=ear: any(event.kind == "restored" for event in ear.events))  # type: ignore[misc]
    [back] = [event for event in heard.events if event.kind == "restored"]
    assert (back.record_id, back.complete) == (gone, False)
    assert back.event_id in [event.event_id for event in again.events]
    record = None
    for event in (*first.events, *heard.events):
        if event.record_id == gone:
            record, _ = merge(record, event)
    assert record is not None
    assert not record.deleted
    assert erased not in [event.record_id for event in heard.events]


@pytest.mark.parametrize("one_moment", [False, True])
def test_more_records_than_a_page_holds_are_all_found_once(
    stand: SearchStand, monkeypatch: pytest.MonkeyPatch, one_moment: bool
) -> None:
    monkeypatch.setattr(module, "PAGE", 5)
    start, heard = Heard(), Heard()
    with Running(stand.source, None, start):
        start.until(lambda: bool(start.positions))
    made = [stand.create({"company": f"row {n}"}) for n in range(17)]
    if one_moment:  # as an import does
        store = stand.sandbox.store
        at = max(item.updated_at for item in stand.sandbox.items("contacts")) + timedelta(milliseconds=5)
        for record in made:
            item = store.get("contacts", record)
            assert item is not None
            item.updated_at = item.created_at = at
            item.changes = {}
    with Running(stand.source, start.positions[0], heard):
        heard.until(lambda: len(heard.events) >= 17)
    assert sorted(event.record_id for event in heard.events) == sorted(made)


def test_doctor_does_not_ask_for_webhooks_that_nobody_uses(stand: SearchStand) -> None:
    assert [finding.detail for finding in stand.connection.check() if not finding.ok] == []


def test_our_clock_may_be_ahead_of_hubspots(stand: SearchStand) -> None:
    ahead = HubSpotConnection(stand.settings, lambda: MAPS, lambda: utcnow() + timedelta(seconds=40))
    heard = Heard()
    with Running(ahead.search, None, heard):
        heard.until(lambda: bool(heard.positions))
        record = stand.create({"company": "x"})
        heard.until(lambda: record in [event.record_id for event in heard.events])
    ahead.close()


def test_a_change_after_a_slow_answer_was_made_is_not_lost(stand: SearchStand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header Date tells when the answer left, which may be long after the index was asked."""
    late = [timedelta()]
    connection = HubSpotConnection(stand.settings, lambda: MAPS, lambda: utcnow() + late[0])
    slow, heard = stand, Heard()
    slow.source = connection.search

    def five_seconds(answer: Any) -> Any:
        stand.create({"company": "meanwhile"})
        late[0] = timedelta(seconds=5)
        headers = {**answer.headers, "Date": format_datetime(utcnow() + late[0], usegmt=True)}
        return msgspec.structs.replace(answer, headers=headers)

    with Running(slow.source, None, heard):
        heard.until(lambda: bool(heard.positions))
        _meanwhile(slow, monkeypatch, "do_search", five_seconds)
        heard.until(lambda: "meanwhile" in [event.values.get("company") for event in heard.events])
    connection.close()


def test_a_stop_within_an_import_skips_nothing_of_what_came_after_it(
    stand: SearchStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 5)
    start, heard = Heard(), Heard()
    with Running(stand.source, None, start):
        start.until(lambda: bool(start.positions))
    imported = [stand.create({"company": f"row {n}"}) for n in range(7)]
    at = max(item.updated_at for item in stand.sandbox.items("contacts"))
    for item in stand.sandbox.items("contacts"):
        if item.id in imported:
            item.updated_at = item.created_at = at
            item.changes = {}
    after = [stand.create({"company": f"later {n}"}) for n in range(3)]

    class Enough(Exception):
        pass

    def killed(items: Sequence[ChangeEvent | Unreadable], position: bytes | None) -> None:
        heard(items, position)
        if len(heard.events) >= 7:
            raise Enough

    with Running(stand.source, start.positions[0], killed) as running:
        running.join()
    assert isinstance(running.error, Enough)
    with Running(stand.source, heard.positions[-1], heard):
        heard.until(lambda: set(after) <= {event.record_id for event in heard.events})
    assert {event.record_id for event in heard.events} == {*imported, *after}


def test_a_deletion_while_the_list_of_them_is_read_is_not_lost(
    stand: SearchStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ARCHIVE_PAGE", 1)
    early, one, two, late = (stand.create({"company": "x"}) for _ in range(4))
    stand.delete(one)
    stand.delete(two)
    heard = Heard()

    def two_more(answer: Any) -> Any:
        """The first of them stands before the page that was read, the other behind it."""
        stand.delete(early)
        stand.delete(late)
        return answer

    with Running(stand.source, None, heard):
        heard.until(lambda: bool(heard.positions))
        _meanwhile(stand, monkeypatch, "get_page", two_more)
        heard.until(lambda: len(heard.events) >= 2)
    assert sorted(event.record_id for event in heard.events) == [early, late]


def test_a_value_stamped_before_its_record_is_told_and_nothing_twice(running: HubSpotStand) -> None:
    stand = SearchStand(running, lag=30.0)
    heard = Heard()
    with Running(stand.source, None, heard):
        heard.until(lambda: bool(heard.positions))
        record = stand.create({"company": "a"})
        heard.until(lambda: len(heard.events) == 1)
        store = stand.sandbox.store
        with store.lock:
            item = store.get("contacts", record)
            assert item is not None
            before, item.updated_at = item.updated_at, item.updated_at + timedelta(milliseconds=2)
            item.properties["city"] = "Oslo"
            item.changes["city"] = [Entry("Oslo", before - timedelta(milliseconds=1), Source("CALCULATED"))]
        stand.change(record, {"company": "b"})
        heard.until(lambda: len(heard.events) >= 3)
    stand.connection.close()
    told = [(event.kind, event.values) for event in heard.events]
    assert told[0][0] == "created"
    assert sorted(told[1:], key=str) == [("updated", {"city": "Oslo"}), ("updated", {"company": "b"})]
