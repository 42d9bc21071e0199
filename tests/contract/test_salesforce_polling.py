"""Salesforce's changes found by asking for them pass the suite of sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import NoReturn

import msgspec
import pytest

from connectors.salesforce.connection import SalesforceConnection
from connectors.salesforce.polling import LATE, SWEEP, SalesforcePolling
from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce import SalesforceSandbox
from routing.core.model import Values
from routing.runtime.clock import utcnow
from tests.contract.heard import Heard, Running
from tests.contract.listening import SourceSuite
from tests.contract.salesforce_stand import MAPS, SalesforceStand, SmallWorld
from tests.processes import wait_for


class PollingStand(SalesforceStand):
    """An org whose clock, and ours, goes on with all that happens: its stamps count whole seconds, and what happens within the same one as
    a question is told by it; getUpdated counts minutes. With a deletion it goes on until deletions are asked for again.
    """

    follow_operation = "query"
    exempt: Mapping[str, str] = {
        "deliver_garbage": "a row is garbage only where a field has another type, which is a test of its own",
        "reordering": "a question tells what records hold, not what happened to them",
        "forget": "a question finds what records hold, however long ago it was asked last; tests/integration/test_salesforce_polling.py "
        "has deletions that are too old to be asked for",
    }

    def __init__(self) -> None:
        self.ahead = timedelta()
        self.faults = Faults()
        self.sandbox = SalesforceSandbox(SmallWorld(), self.now, self.faults)
        self.sandbox.start()
        self.person, self.secrets = self.sandbox.admin_user_id, (self.sandbox.client_secret,)
        self.connection = self.connect()
        self.source = SalesforcePolling(self.connection, lambda: MAPS, self.now)  # type: ignore[assignment]
        self.source._seconds = 0.02  # type: ignore[attr-defined] - the settings allow no such haste
        self.passes()  # so that what the org was made with is old

    def connect(self, **changes: object) -> SalesforceConnection:
        settings = self.settings(changes="poll", **changes)
        return SalesforceConnection(settings, lambda: MAPS, self.now)

    def now(self) -> datetime:
        return utcnow() + self.ahead

    def passes(self, span: timedelta = timedelta(seconds=90)) -> None:
        self.ahead += span

    def create(self, values: Values) -> str:
        made = super().create(values)
        self.passes()
        return made

    def change(self, record_id: str, values: Values) -> None:
        super().change(record_id, values)
        self.passes()

    def delete(self, record_id: str) -> None:
        super().delete(record_id)
        self.passes(SWEEP)

    def break_streams(self) -> None:
        self.sandbox.expire_sessions()
        self.faults.add(Fault(system="salesforce", operation="query", kind="unavailable", times=2))

    def deliver_twice(self) -> NoReturn:
        raise NotImplementedError

    def forget(self, position: bytes) -> NoReturn:
        raise NotImplementedError


@pytest.fixture
def stand() -> Iterator[PollingStand]:
    made = PollingStand()
    yield made
    made.close()


class TestSource(SourceSuite):
    """A change comes as a gap that carries what the record holds: what of it is new is seen by whoever knows the record."""

    def test_a_creation_and_a_change_arrive_in_order_with_their_values(  # type: ignore[override]
        self, stand: PollingStand, heard: Heard
    ) -> None:
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.passes()  # what is made within the second of the first question may be old
            record = stand.create({"company": "first", "owner": stand.owners[0]})
            heard.until(lambda: len(heard.events) == 1)
            stand.change(record, {"company": "second"})
            heard.until(lambda: len(heard.events) == 2)
        created, changed = heard.events
        assert (created.kind, created.complete, changed.kind, changed.complete) == ("created", True, "gap", False)
        assert created.record_id == changed.record_id == record
        assert (created.values["company"], created.values["owner"]) == ("first", stand.owners[0])
        assert {**created.values, "company": "second"} == changed.values
        assert changed.actor == stand.person
        assert created.occurred_at < changed.occurred_at

    def test_an_emptied_field_arrives_as_none(self, stand: PollingStand, heard: Heard) -> None:  # type: ignore[override]
        record = stand.create({"title": "something"})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.change(record, {"title": None})
            heard.until(lambda: bool(heard.events))
        assert heard.events[0].values["title"] is None
        assert "title" in heard.events[0].values

    def test_resumes_after_the_position_with_the_same_ids(self, stand: PollingStand, heard: Heard) -> None:  # type: ignore[override]
        """What may have become visible late is asked for again: so the last ten minutes are told again."""
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.create({"company": "seen"})
            heard.until(lambda: len(heard.events) == 1)
        stand.create({"company": "missed"})  # while nobody listened
        again, rest = Heard(), Heard()
        for position, ear in ((heard.positions[0], again), (heard.positions[-1], rest)):
            with Running(stand.source, position, ear):
                ear.until(lambda ear=ear: len(ear.events) >= 2)  # type: ignore[misc]
            assert [event.values["company"] for event in ear.events] == ["seen", "missed"]
        assert [event.event_id for event in again.events] == [event.event_id for event in rest.events]
        assert again.events[0].event_id == heard.events[0].event_id

    def test_a_repeated_delivery_has_the_same_id(self, stand: PollingStand, heard: Heard) -> None:  # type: ignore[override]
        """Nobody tells a row twice but we ourselves, from an older position, and as long as one may come late."""
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.create({"company": "twice"})
            heard.until(lambda: bool(heard.events))
            assert len(heard.events) == 1
        for position in (heard.positions[0], heard.positions[-1]):
            again = Heard()
            with Running(stand.source, position, again):
                again.until(lambda again=again: bool(again.events))  # type: ignore[misc]
            assert again.events[0].event_id == heard.events[0].event_id

    def test_a_field_that_goes_while_we_listen_loses_nothing(self, stand: PollingStand, heard: Heard) -> None:  # type: ignore[override]
        """Records go on without it, and it is told aside; once it is seen again, what changed meanwhile is read again, and is nothing new."""
        record, text, other = stand.create({}), stand.text_field, stand.other_field
        aside = stand.source.aside  # type: ignore[attr-defined]
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.passes()
            remote = stand.lose(other)
            made = stand.create({text: "made meanwhile"})
            stand.change(record, {text: "changed meanwhile"})
            heard.until(lambda: {record, made} == {event.record_id for event in heard.events})
            assert all(other not in event.values for event in heard.events)
            wait_for("the field to be told", lambda: aside.why)
            [(field, why)] = aside.why.items()
            assert (field, remote in why) == (f"lead.{other}", True)
            stand.passes(2 * LATE)  # after that long nobody asks again for what was told
            later = stand.create({text: "long after"})
            heard.until(lambda: heard.events[-1].record_id == later)
        assert [event.kind for event in heard.events if event.record_id == made] == ["created"]
        stand.regain(other)
        source = SalesforcePolling(stand.connection, lambda: MAPS, stand.now)  # that it was hidden outlives a restart
        source._seconds = 0.02
        again = Heard()
        with Running(source, heard.positions[-1], again):
            again.until(lambda: {record, made} <= {event.record_id for event in again.events if other in event.values})
            wait_for("it to be forgotten", lambda: b'"hidden":{"' not in (again.positions[-1] or b""))
            stand.change(record, {text: "later"})
            again.until(lambda: again.events[-1].values.get(text) == "later")
        assert {event.kind for event in again.events} == {"gap"}
        assert source.aside.why == {}

    def test_an_object_that_goes_keeps_no_other_one_waiting(self, stand: PollingStand, heard: Heard) -> None:
        account = salesforce_id("001", 1)
        away = {**MAPS, "lead": msgspec.structs.replace(MAPS["lead"], remote="Gone__c")}
        source = SalesforcePolling(stand.connection, lambda: away, stand.now)
        source._seconds = 0.02
        with Running(source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.sandbox.update("Account", account, {"BillingCity": "Rome"})
            wait_for("the refusal to be told", lambda: source.aside.why and heard.events)
        assert {event.record_id for event in heard.events} == {account}
        [(entity, why)] = source.aside.why.items()
        assert (entity, "Gone__c" in why) == ("lead", True)
