"""What the loop must not lose, double or get stuck on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog
from sqlalchemy.exc import IntegrityError

from connectors.contract import Snapshot
from routing.core.model import ChangeEvent, Decision, Record, derived_id
from routing.delivery.guard import check
from routing.ledger import decisions, journal, mirror, outbox, timers
from routing.ledger.engine import Ledger
from routing.runtime import working_set
from routing.runtime.backfill import store_snapshots
from routing.runtime.feed import Feed, Happening
from routing.runtime.loop import Loop
from tests.conftest import START, ManualClock
from tests.unit.core.policy import USERS, policy
from tests.unit.core.test_effects import OWN

POLICY = policy()


class Desk:
    """A loop on a ledger, with the people in the mirror."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.ledger, self.clock, self.feed = ledger, clock, Feed()
        self.told: list[Happening] = []
        self.feed.watch(self.told.append)
        self.loop = Loop(ledger, SimpleNamespace(current=POLICY), clock, self.feed)  # type: ignore[arg-type]
        self._n = 0
        with ledger.write() as conn:
            mirror.save(conn, [(user, frozenset()) for user in USERS])

    def event(self, kind: str, record: str = "00Q1", seconds: float = 0, **values: Any) -> ChangeEvent:
        self._n += 1
        return ChangeEvent(
            event_id=derived_id("test", str(self._n)),
            system="salesforce",
            entity="lead",
            record_id=record,
            kind=kind,  # type: ignore[arg-type]
            occurred_at=START + timedelta(seconds=seconds),
            observed_at=self.clock(),
            changed=tuple(values),
            values=values,
        )

    def accept(self, *events: ChangeEvent) -> None:
        with self.ledger.write() as conn:
            journal.accept(conn, events, self.clock())

    def work(self, size: int = 500) -> None:
        while self.loop.work_off(size):
            pass

    def play(self, *events: ChangeEvent, size: int = 500) -> None:
        self.accept(*events)
        self.work(size)

    def decisions(self, record: str = "00Q1") -> list[Decision]:
        with self.ledger.read() as conn:
            return decisions.of_record(conn, record)

    def states(self) -> list[tuple[str, str]]:
        with self.ledger.read() as conn:
            rows = conn.exec_driver_sql("SELECT state, reason FROM journal ORDER BY seq").all()
        return [(state, reason) for state, reason in rows]

    def timers(self) -> int:
        with self.ledger.read() as conn:
            return timers.count(conn)

    def record(self, record: str = "00Q1") -> Record:
        name = f"salesforce:lead:{record}"
        with self.ledger.read() as conn:
            return mirror.load(conn, {name})[name]

    def tick(self) -> None:
        self.clock.advance(301)
        with self.ledger.write() as conn:
            timers.fire(conn, self.clock())


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A traceback drawn for a terminal takes seconds."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def ledger(any_ledger: Ledger) -> Ledger:
    return any_ledger


@pytest.fixture
def desk(ledger: Ledger, clock: ManualClock) -> Desk:
    return Desk(ledger, clock)


def test_a_lead_that_a_snapshot_showed_before_its_creation_was_told_is_routed(desk: Desk) -> None:
    """Created while the mirror was being filled: the page had it already, as it is now."""
    values = {"email": "kim@acme.example", "country": "FR"}
    with desk.ledger.write() as conn:
        store_snapshots(conn, [desk.event("snapshot", seconds=5, **values)])
    desk.play(desk.event("created", seconds=3, **values))
    assert [made.outcome for made in desk.decisions()] == ["assign"]


def test_a_lead_whose_fields_were_told_before_its_creation_is_routed(desk: Desk) -> None:
    """HubSpot tells each property of a new contact by itself, and those need not be read back first."""
    desk.play(desk.event("updated", email="kim@acme.example"), desk.event("updated", country="FR"))
    desk.play(desk.event("created", email="kim@acme.example", country="FR"))
    assert [made.outcome for made in desk.decisions()] == ["assign"]


@pytest.mark.parametrize("size", [1, 500])
def test_a_creation_told_twice_is_no_second_assignment(desk: Desk, size: int) -> None:
    first = desk.event("created", email="kim@acme.example", country="FR")
    once_more = desk.event("created", seconds=2, email="kim@acme.example", country="FR", phone="1")
    desk.play(first, once_more, size=size)
    assert [made.outcome for made in desk.decisions()] == ["assign"]
    assert desk.record().values["phone"] == "1"


def test_what_a_power_cut_takes_back_is_decided_again_just_so(
    sqlite_ledger: Ledger, clock: ManualClock, tmp_path: Path
) -> None:
    """Copied is what SQLite promises to be on the disk: the journal. The batch had not been flushed by then."""
    desk = Desk(sqlite_ledger, clock)
    desk.accept(*[desk.event("created", f"00Q{n}", email=f"p{n}@a{n}.example", country="FR") for n in range(9)])
    on_disk = (tmp_path / "ledger.db-wal").stat().st_size
    desk.work()
    assert (tmp_path / "ledger.db-wal").stat().st_size > on_disk
    (tmp_path / "after").mkdir()
    for name, length in (("ledger.db", None), ("ledger.db-wal", on_disk)):
        (tmp_path / "after" / name).write_bytes((tmp_path / name).read_bytes()[:length])
    after = Desk(Ledger(f"sqlite:///{tmp_path / 'after' / 'ledger.db'}"), clock)
    try:
        assert {state for state, _ in after.states()} == {"accepted"}
        after.work()
        assert after.states() == desk.states()
        for n in range(9):
            assert [msgspec.json.encode(one) for one in after.decisions(f"00Q{n}")] == [
                msgspec.json.encode(one) for one in desk.decisions(f"00Q{n}")
            ]
            assert len(after.decisions(f"00Q{n}")) == 1
    finally:
        after.ledger.close()


def test_leads_that_were_there_before_we_watched_are_not_routed_when_their_creation_is_replayed(desk: Desk) -> None:
    """After a gap, Salesforce replays three days of changes, also those from before our first start."""
    values = {"email": "kim@acme.example", "country": "FR"}
    with desk.ledger.write() as conn:
        store_snapshots(conn, [desk.event("snapshot", **values)], since=START + timedelta(days=1))
    desk.play(desk.event("created", seconds=-5, **values))
    assert desk.decisions() == []


def test_retrying_a_parked_event_decides_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from routing.runtime import taking

    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    with monkeypatch.context() as patched:
        patched.setattr(taking, "plan", broken)
        desk.play(desk.event("created", country="FR"), desk.event("created", "00Q2", country="FR"))
    assert [state for state, _ in desk.states()] == ["parked", "parked"]
    with desk.ledger.write() as conn:
        assert journal.retry_parked(conn, None) == 2
        entries = journal.next_entries(conn, "incomplete", 10)
        journal.complete(conn, [(entry.seq, entry.event) for entry in entries])
    desk.work()
    assert desk.states() == [("applied", ""), ("applied", "")]
    assert [made.outcome for made in desk.decisions()] == ["assign"]


def test_an_event_that_the_preparation_of_a_batch_fails_on_is_parked_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = working_set.wanted

    def poisoned(record: Record) -> Any:
        if record.record_id == "00Q7":
            raise ValueError("poison")
        return wanted(record)

    monkeypatch.setattr(working_set, "wanted", poisoned)
    desk.play(*(desk.event("created", f"00Q{n}", country="FR") for n in range(20)))
    states = [state for state, _ in desk.states()]
    assert states.pop(7) == "parked"
    assert set(states) == {"applied"}
    assert sum(told.count for told in desk.told if told.what == "settled") == 20
    assert sum(told.count for told in desk.told if told.what == "parked") == 1


def test_an_event_whose_rows_the_ledger_refuses_is_parked_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    save = decisions.save

    def refuses(conn: Any, made: Any, *from_what: Any) -> None:
        if any(one.record_id == "00Q3" for _, one in made):
            raise IntegrityError("insert", {}, Exception("UNIQUE constraint failed"))
        save(conn, made, *from_what)

    monkeypatch.setattr(decisions, "save", refuses)
    desk.play(*(desk.event("created", f"00Q{n}", country="FR") for n in range(8)))
    states = [state for state, _ in desk.states()]
    assert states.pop(3) == "parked"
    assert set(states) == {"applied"}


@pytest.mark.parametrize("size", [1, 500])
def test_a_lead_on_hold_that_is_deleted_and_restored_waits_with_a_timer(desk: Desk, size: int) -> None:
    desk.play(desk.event("created", country="CU"))
    assert (desk.record().on_hold, desk.timers()) == (True, 1)
    desk.play(desk.event("deleted", seconds=5), desk.event("restored", seconds=6, country="CU"), size=size)
    assert (desk.record().on_hold, desk.timers()) == (True, 1)


def test_a_tick_that_comes_late_does_not_leave_two_timers(desk: Desk) -> None:
    desk.play(desk.event("created", country="CU"))
    desk.tick()  # waits in the journal, behind nothing yet
    with desk.ledger.write() as conn:
        conn.exec_driver_sql("UPDATE journal SET seq = seq + 100 WHERE kind = 'tick'")
        if desk.ledger.is_sqlite:
            conn.exec_driver_sql("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'journal'")
    desk.play(desk.event("deleted", seconds=5), desk.event("restored", seconds=6, country="CU"))
    assert desk.timers() == 1


def test_our_own_echo_does_not_take_a_lead_off_hold(desk: Desk) -> None:
    desk.play(desk.event("created", country="FR"))
    with desk.ledger.write() as conn:
        [owed] = outbox.claim(conn, "salesforce", 10, desk.clock())
        outbox.end(conn, [outbox.Fate(owed.seq, "confirmed")], desk.clock())
    desk.play(desk.event("updated", seconds=1, country="CU", status="Open"))
    assert desk.record().on_hold
    echo = msgspec.structs.replace(desk.event("updated", seconds=2), changed=("owner",), values=owed.write.fields)
    desk.play(echo)
    assert not desk.record().taken
    desk.tick()
    desk.work()
    assert [made.outcome for made in desk.decisions()] == ["assign", "hold"]


@pytest.mark.parametrize(
    ("kind", "reference", "size"),
    [
        ("opportunity", "account", 1),
        ("opportunity", "account", 500),
        ("case", "customer", 500),
        ("renewal", "customer", 500),
    ],
)
def test_a_record_of_another_kind_is_routed_by_its_own_account(
    desk: Desk, kind: str, reference: str, size: int
) -> None:
    desk.loop = Loop(desk.ledger, SimpleNamespace(current=OWN), desk.clock, desk.feed)  # type: ignore[arg-type]

    def of(entity: str, record: str, **values: Any) -> ChangeEvent:
        return msgspec.structs.replace(desk.event("created", record, **values), entity=entity)

    desk.play(of("account", "001P", type="Customer"), of("account", "001B", owner="005BO", parent="001P"), size=size)
    desk.play(of(kind, "006A", **{reference: "001B"}), of(kind, "006B", **{reference: "001X"}), size=size)
    with desk.ledger.read() as conn:
        found = [decisions.of_record(conn, record)[0] for record in ("006A", "006B")]
    assert [(one.outcome, one.owner, one.account_id) for one in found] == [
        ("assign", "bo@example.com", "001B"),
        ("hold", "", ""),
    ]


def test_a_write_says_what_it_locks_beside_its_record(desk: Desk) -> None:
    desk.loop = Loop(desk.ledger, SimpleNamespace(current=OWN), desk.clock, desk.feed)  # type: ignore[arg-type]

    def of(entity: str, record: str, **values: Any) -> ChangeEvent:
        return msgspec.structs.replace(desk.event("created", record, **values), entity=entity)

    desk.play(of("account", "001P", type="Customer"), of("account", "001B", owner="005BO", parent="001P"))
    desk.play(*(of("opportunity", f"006{n}", account="001B") for n in range(2)))
    with desk.ledger.read() as conn:
        rows = conn.exec_driver_sql("SELECT ref, locks FROM outbox ORDER BY seq").all()
    assert [tuple(row) for row in rows] == [
        (f"salesforce:opportunity:006{n}", "salesforce:account:001B") for n in range(2)
    ]


def owed(desk: Desk) -> list[outbox.Owed]:
    with desk.ledger.write() as conn:
        return outbox.claim(conn, "salesforce", 10, desk.clock())


@pytest.mark.parametrize("size", [1, 500])
@pytest.mark.parametrize("claimed", [False, True])
def test_a_person_who_empties_the_owner_again_is_not_undone_by_an_older_write(
    desk: Desk, size: int, claimed: bool
) -> None:
    """The change of the lead overtakes its creation, which is still being read back. The record then holds what the write expects."""
    desk.play(desk.event("restored", seconds=2, email="kim@acme.example", country="FR"), size=size)
    if claimed:
        [before] = owed(desk)
    given = desk.event("created", owner="005BO", email="kim@acme.example", country="FR")
    desk.play(given, desk.event("updated", seconds=5, owner=None), size=size)
    if claimed:
        with desk.ledger.write() as conn:
            outbox.recover(conn, desk.clock(), 0)
    [after] = owed(desk)[:1]
    assert after.write.guard == {"owner": None}
    checked = check(after.write, Snapshot(values={"owner": None}))
    made = desk.decisions()[-1]
    assert (checked.write, checked.state) == (None, "superseded")
    assert checked.detail == f"superseded: owner had been changed before this was sent (decision {made.decision_id})"
    if claimed:
        assert before.seq == after.seq


@pytest.mark.parametrize("size", [1, 500])
def test_who_is_routed_again_after_a_write_was_given_up_gets_a_write_of_its_own(desk: Desk, size: int) -> None:
    """Also in the batch in which it is: nobody counts on what is not sent any more."""
    desk.play(desk.event("created", email="kim@acme.example", country="GB"))
    given, taken = desk.event("updated", seconds=3, owner="005AN"), desk.event("updated", seconds=4, owner=None)
    desk.play(given, taken, desk.event("updated", seconds=5, status="Open"), size=size)
    [first] = owed(desk)
    with desk.ledger.write() as conn:
        outbox.end(conn, [outbox.Fate(first.seq, "superseded", sent=())], desk.clock())
    [second] = owed(desk)
    assert first.write.given_up.keys() == {"owner"}
    assert (second.write.fields, second.write.guard) == (first.write.fields, {"owner": None})
    assert second.write.given_up == {}
    assert second.write.decision_id == desk.decisions()[-1].decision_id != first.write.decision_id


def test_a_correction_that_a_person_has_overtaken_is_given_up_and_what_else_is_owed_is_not(desk: Desk) -> None:
    desk.play(desk.event("created", email=" Kim@ACME.example", country="FR"))
    seen = {name: " Kim@ACME.example" if name == "email" else None for name in ("email", "owner")}
    desk.play(desk.event("updated", seconds=1, email="pat@acme.example"))
    desk.play(desk.event("updated", seconds=2, email=" Kim@ACME.example"))
    first = owed(desk)[0].write
    assert first.fields.keys() == {"email", "owner"}
    checked = check(first, Snapshot(values=seen))
    assert checked.write is not None
    assert checked.write.fields.keys() == {"owner"}
    assert "email had been changed" in checked.detail
    assert "pat@acme.example" not in checked.detail


def test_what_is_parked_is_not_written_over_a_hand_once_it_is_tried_again(desk: Desk) -> None:
    """A person set the owner, and took it back: the record then holds what the parked write expects."""
    desk.play(desk.event("created", email="kim@acme.example", country="FR"))
    [first] = owed(desk)
    with desk.ledger.write() as conn:
        outbox.end(conn, [outbox.Fate(first.seq, "parked", "refused", sent=())], desk.clock())
    desk.play(desk.event("updated", seconds=3, owner="005BO"))
    desk.play(desk.event("updated", seconds=4, owner=None))
    with desk.ledger.write() as conn:
        outbox.retry_parked(conn, None, desk.clock())
    again = next(one for one in owed(desk) if one.seq == first.seq)
    checked = check(again.write, Snapshot(values={"owner": None}))
    assert (checked.write, checked.state) == (None, "superseded")
    assert "owner had been changed" in checked.detail


def test_what_our_own_writes_leave_gives_nothing_up(desk: Desk) -> None:
    """Two owners one after the other, each heard back; the lead changes in between."""
    desk.play(desk.event("created", email="kim@acme.example", country="FR"))
    desk.play(desk.event("updated", seconds=1, country="DE", status="Open"))
    for write in (one for _ in range(2) for one in owed(desk)):
        values = {**write.write.fields}
        with desk.ledger.write() as conn:
            outbox.end(conn, [outbox.Fate(write.seq, "confirmed")], desk.clock())
        echo = msgspec.structs.replace(desk.event("updated", seconds=3), changed=tuple(values), values=values)
        desk.play(echo, desk.event("updated", seconds=4, phone=str(write.seq)))
    assert [write for write in owed(desk) if write.write.given_up] == []
