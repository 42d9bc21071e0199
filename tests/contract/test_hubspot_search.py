"""HubSpot's changes found by searching pass the suite of sources, and do what only they must."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from connectors.hubspot import search as module
from connectors.hubspot.connection import HubSpotConnection
from connectors.sandbox.faults import Fault
from routing.runtime.clock import utcnow
from tests.contract.hubspot_stand import MAPS, HubSpotStand, hubspot_stand
from tests.contract.suites import Heard, Running, SourceSuite


class SearchStand(HubSpotStand):
    """A stand whose source searches without pause, in an index that is up to date."""

    def __init__(self, stand: HubSpotStand, lag: float = 0.0) -> None:
        super().__init__(stand.sandbox, stand.world, stand.faults)
        self.connection.close()
        self.settings = type(self.settings)(
            access_token=stand.sandbox.access_token,
            host=stand.sandbox.url,
            changes="search",
            search_seconds=0.05,
            deletions_seconds=0.0,
            index_lag_seconds=lag,
        )
        self.connection = HubSpotConnection(self.settings, lambda: MAPS, utcnow)
        self.source = self.connection.search

    def break_streams(self) -> None:
        self.faults.add(Fault(system="hubspot", operation="search", kind="unavailable", times=2))

    def deliver_garbage(self) -> None:
        self.create({"employees": "a few"})


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


def test_a_merge_tells_who_went_and_what_the_other_gained(stand: SearchStand) -> None:
    stays, goes = stand.create({"company": "x"}), stand.create({"city": "Oslo"})
    start, heard = Heard(), Heard()
    with Running(stand.source, None, start):
        start.until(lambda: bool(start.positions))
    stand.sandbox.merge("contacts", stays, [goes])
    with Running(stand.source, start.positions[0], heard):
        heard.until(lambda: len(heard.events) >= 2)
    found = {(event.kind, event.record_id): event for event in heard.events}
    assert ("merged", goes) in found
    assert found["updated", stays].values == {"city": "Oslo"}


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


def test_a_limit_on_searches_is_waited_out(stand: SearchStand) -> None:
    heard = Heard()
    stand.faults.add(Fault(system="hubspot", operation="search", kind="rate_limited", retry_after=0.3, times=2))
    with Running(stand.source, None, heard):
        heard.until(lambda: bool(heard.positions))
        stand.create({"company": "x"})
        heard.until(lambda: bool(heard.events))
    assert stand.faults.all() == []


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
