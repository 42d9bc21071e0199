"""HubSpot's webhooks journal passes the suite of sources, and does what only it must."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from connectors.contract import Finding
from connectors.errors import AuthenticationFailed, Misconfigured
from connectors.hubspot import journal
from connectors.hubspot.connection import HubSpotConnection
from connectors.hubspot.journal import HubSpotJournal
from connectors.hubspot.settings import HubSpotSettings
from connectors.sandbox.faults import Fault, FaultKind
from connectors.sandbox.hubspot.journal import CLIENT_ID
from connectors.sandbox.hubspot.store import Event
from connectors.sandbox.hubspot.webhooks import PORTAL_ID
from routing.runtime.clock import utcnow
from tests.conftest import ManualClock
from tests.contract.heard import Heard, Running
from tests.contract.hubspot_stand import MAPS, SECRET, HubSpotStand, hubspot_stand
from tests.contract.listening import NewsSuite


class JournalStand(HubSpotStand):
    """A stand whose source fetches the journal without pause."""

    follow_operation = "journal"
    exempt: Mapping[str, str] = {}

    def __init__(self, stand: HubSpotStand, secret: str = SECRET) -> None:
        super().__init__(stand.sandbox, stand.world, stand.faults)
        self.settings = HubSpotSettings(
            access_token=stand.sandbox.access_token,
            client_id=CLIENT_ID,
            client_secrets=(secret,),
            portal_id=PORTAL_ID,
            host=stand.sandbox.url,
            changes="journal",
            journal_seconds=0.02,
        )
        self.source = HubSpotJournal(self.settings, lambda: MAPS, utcnow)

    def break_streams(self) -> None:
        self.sandbox.journal.expire_tokens()
        self.faults.add(Fault(system="hubspot", operation="journal", kind="unavailable", times=2))
        self.faults.add(Fault(system="hubspot", operation="journal_file", kind="timeout"))

    def deliver_garbage(self) -> None:
        self.sandbox.journal.publish([{"action": "BREW", "occurredAt": "2026-11-23T00:00:00Z", "objectTypeId": "0-1"}])

    @contextmanager
    def reordering(self) -> Iterator[None]:
        store, held = self.sandbox.store, list[list[Event]]()
        announce, store.announce = store.announce, held.append
        yield
        store.announce = announce
        for events in reversed(held):
            announce(events)

    def forget(self, position: bytes) -> bytes:
        self.sandbox.forget_journal()
        return position


@pytest.fixture(scope="module")
def running() -> Iterator[HubSpotStand]:
    with hubspot_stand() as stand:
        yield stand


@pytest.fixture
def stand(running: HubSpotStand) -> Iterator[JournalStand]:
    running.faults.clear()
    made = JournalStand(running)
    yield made
    made.connection.close()


class TestSource(NewsSuite):
    def test_a_creation_and_a_change_arrive_in_order_with_their_values(  # type: ignore[override]
        self, stand: JournalStand, heard: Heard
    ) -> None:
        """The journal tells that a record is new, not what is in it: that is read back."""
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            record = stand.create({"company": "first"})
            stand.change(record, {"company": "second"})
            heard.until(lambda: len(heard.events) >= 2)
        created, changed = heard.events
        assert (created.kind, created.complete, changed.kind) == ("created", False, "updated")
        assert created.record_id == changed.record_id == record
        assert changed.values == {"company": "second"}
        assert changed.actor.startswith("userId:")
        assert created.occurred_at < changed.occurred_at

    def test_a_repeated_delivery_has_the_same_id(self, stand: JournalStand, heard: Heard) -> None:  # type: ignore[override]
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.change(record, {"company": "twice"})
            stand.sandbox.journal.repeat()
            heard.until(lambda: len(heard.events) == 2)
        assert heard.events[0].event_id == heard.events[1].event_id

    def test_what_cannot_be_read_is_kept_and_the_rest_goes_on(  # type: ignore[override]
        self, stand: JournalStand, heard: Heard
    ) -> None:
        record = stand.create({})
        with Running(stand.source, None, heard):
            heard.until(lambda: bool(heard.positions))
            stand.deliver_garbage()
            stand.change(record, {"company": "readable"})
            heard.until(lambda: bool(heard.unreadable) and bool(heard.events))
        [kept] = heard.unreadable
        assert "does not know the journal's action 'BREW'" in kept.error
        assert heard.events[-1].values == {"company": "readable"}
        with pytest.raises(Misconfigured):
            stand.source.reread(kept.raw, utcnow())


def test_every_kind_of_end_arrives_as_what_it_is(stand: JournalStand) -> None:
    stays, merged, erased, back = (stand.create({"city": f"Town {n}"}) for n in range(4))
    heard, sandbox = Heard(), stand.sandbox
    with Running(stand.source, None, heard):
        heard.until(lambda: bool(heard.positions))
        new = sandbox.merge("contacts", stays, [merged])
        sandbox.erase(erased)
        sandbox.delete("contacts", back)
        sandbox.restore("contacts", back)
        heard.until(lambda: len(heard.events) >= 8)
    told = [(event.kind, event.record_id, event.complete) for event in heard.events]
    assert told == [
        ("created", new, False),
        ("merged", stays, True),
        ("merged", merged, True),
        ("updated", new, False),
        ("deleted", merged, True),
        ("erased", erased, True),
        ("deleted", back, True),
        ("restored", back, False),
    ]


def test_what_happens_in_other_accounts_of_the_app_is_not_ours(stand: JournalStand) -> None:
    record, heard = stand.create({}), Heard()
    with Running(stand.source, None, heard):
        heard.until(lambda: bool(heard.positions))
        stand.sandbox.journal.publish(
            [
                {"action": "DELETE", "occurredAt": "2026-11-23T00:00:00Z", "objectTypeId": "0-1", "objectId": 1}
                | {"portalId": PORTAL_ID + 1}
            ]
        )
        stand.change(record, {"company": "ours"})
        heard.until(lambda: bool(heard.events))
    assert [event.record_id for event in heard.events] == [record]


DAY = 24 * 3600


@pytest.mark.parametrize("files", [0, 1], ids=["while there was none", "behind a file"])
def test_what_hubspot_forgot_while_nobody_looked_is_a_gap(stand: JournalStand, files: int) -> None:
    stand.sandbox.forget_journal()
    clock, before, after = ManualClock(), Heard(), Heard()
    source = HubSpotJournal(stand.settings, lambda: MAPS, clock)
    with Running(source, None, before):
        before.until(lambda: bool(before.positions))
        for _ in range(files):
            stand.create({})
        before.until(lambda: len(before.events) == files)
    stand.create({})
    stand.sandbox.forget_journal()
    clock.advance(3 * DAY)
    with Running(source, before.positions[-1], after):
        after.until(lambda: bool(after.events))
        record = stand.create({})
        after.until(lambda: after.events[-1].record_id == record)
    gaps = [one.entity for one in after.events if one.kind == "gap"]
    assert "lead" in gaps
    assert len(gaps) == len(set(gaps)) == len(after.events) - 1  # each is told once


def test_what_came_first_into_an_empty_journal_is_read_within_the_three_days(stand: JournalStand) -> None:
    stand.sandbox.forget_journal()
    clock, before, after = ManualClock(), Heard(), Heard()
    source = HubSpotJournal(stand.settings, lambda: MAPS, clock)
    with Running(source, None, before):
        before.until(lambda: bool(before.positions))
    record = stand.create({})
    clock.advance(2 * DAY)
    with Running(source, before.positions[-1], after):
        after.until(lambda: bool(after.events))
    assert [(one.kind, one.record_id) for one in after.events] == [("created", record)]


def test_an_empty_journal_that_is_looked_at_all_the_time_is_no_gap(stand: JournalStand) -> None:
    stand.sandbox.forget_journal()
    clock, heard = ManualClock(), Heard()
    with Running(HubSpotJournal(stand.settings, lambda: MAPS, clock), None, heard):
        for n in range(5):
            heard.until(lambda n=n: len(heard.positions) > n)  # type: ignore[misc]
            clock.advance(DAY)
    assert heard.events == []


@pytest.mark.parametrize("kind", ["nonsense", "timeout", "unavailable"])
def test_whatever_comes_instead_of_a_file_the_file_is_read(stand: JournalStand, kind: FaultKind) -> None:
    heard = Heard()
    with Running(stand.source, None, heard):
        heard.until(lambda: bool(heard.positions))
        stand.faults.add(Fault(system="hubspot", operation="journal_file", kind=kind, times=2))
        records = [stand.create({}) for _ in range(3)]
        heard.until(lambda: len(heard.events) == 3)
    assert [one.record_id for one in heard.events] == records
    assert heard.unreadable == []


def test_a_wrong_secret_is_told_without_showing_it(running: HubSpotStand) -> None:
    stand = JournalStand(running, secret="not the secret")
    with Running(stand.source, None, Heard()) as run:
        run.join()
    stand.connection.close()
    assert isinstance(run.error, AuthenticationFailed), run.error
    assert "not the secret" not in str(run.error)


@pytest.mark.parametrize("position", [None, b""])
def test_an_account_without_a_journal_is_told_in_words(
    stand: JournalStand, monkeypatch: pytest.MonkeyPatch, position: bytes | None
) -> None:
    monkeypatch.setattr(journal, "_BASE", "/nothing-there")
    with Running(stand.source, position, Heard()) as run:
        run.join()
    assert isinstance(run.error, Misconfigured), run.error
    assert "check portal_id" in str(run.error)
    finding = journal_finding(stand)
    assert (finding.ok, "check portal_id" in finding.detail) == (False, True)


def journal_finding(stand: JournalStand) -> Finding:
    connection = HubSpotConnection(stand.settings, lambda: MAPS, utcnow)
    [finding] = [one for one in connection.check() if one.check == "the webhooks journal can be read"]
    connection.close()
    stand.connection.close()
    return finding


def test_doctor_logs_in_to_the_journal(running: HubSpotStand) -> None:
    assert journal_finding(JournalStand(running)).ok
    wrong = journal_finding(JournalStand(running, "not the secret"))
    assert not wrong.ok
    assert "client_id" in wrong.advice
    assert "not the secret" not in wrong.detail


def test_settings_that_miss_something_are_refused_in_words() -> None:
    with pytest.raises(Misconfigured, match="without client_id and portal_id and client_secrets"):
        HubSpotJournal(HubSpotSettings(access_token="x", changes="journal"), lambda: MAPS, utcnow)
