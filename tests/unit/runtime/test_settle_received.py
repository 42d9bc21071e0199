"""What comes out of the shared log is settled once, in order, by whoever holds the partition, on both databases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog
from sqlalchemy import event as sql_event

from routing.core.model import ChangeEvent, Decision, Unreadable, derived_id
from routing.ledger import announcements, decisions, journal, mirror, shares, timers
from routing.ledger.engine import Ledger
from routing.ledger.schema import ref_of, slot_of
from routing.ledger.shares import Fenced, Share
from routing.runtime import taking
from routing.runtime.feed import Feed, Happening
from routing.runtime.loop import Loop
from routing.runtime.received import Gap, Received
from tests.conftest import START, ManualClock
from tests.unit.core.policy import USERS, policy

TOPIC = "changes"
POLICY = policy()
NOW_MS = round(START.timestamp() * 1000)


class Log:
    """The shared log: each partition's messages, in order."""

    def __init__(self, partitions: int = 3) -> None:
        self.partitions: dict[int, list[ChangeEvent | Unreadable]] = defaultdict(list)
        self.count = partitions

    def put(self, *events: ChangeEvent | Unreadable) -> list[Received]:
        made = []
        for event in events:
            partition = slot_of(ref_of(event.system, event.entity, event.record_id)) % self.count
            self.partitions[partition].append(event)
            made.append(Received(partition, len(self.partitions[partition]) - 1, event, NOW_MS))
        return made


class Worker:
    """A loop of its own on the ledger, holding partitions."""

    def __init__(self, ledger: Ledger, clock: ManualClock, name: str = "one", partitions: int = 3) -> None:
        self.ledger, self.clock, self.name = ledger, clock, name
        self.told: list[Happening] = []
        feed = Feed()
        feed.watch(self.told.append)
        self.loop = Loop(ledger, SimpleNamespace(current=POLICY), clock, feed)  # type: ignore[arg-type]
        self.held: dict[int, Share] = {}
        self.partitions = partitions

    def claim(self, *partitions: int) -> Worker:
        with self.ledger.write() as conn:
            self.held |= shares.claim(conn, TOPIC, partitions, self.name, self.clock())
        return self

    def settle(self, received: list[Received]) -> list[int]:
        """Settles all of them. Returns how many at a time."""
        steps = []
        while received:
            steps.append(self.loop.settle_received(received, self.held))
            received = received[steps[-1] :]
        return steps

    def work_off(self) -> int:
        return self.loop.work_off(500, self.held, self.partitions)

    def count(self, what: str) -> int:
        return sum(one.count for one in self.told if one.what == what)


def test_what_others_are_told_of_is_flushed_before_they_are(
    sqlite_ledger: Ledger, clock: ManualClock, log: Log
) -> None:
    """A decision that was published must not be taken back by a power cut; one that only waits for a courier may be."""
    with sqlite_ledger.write() as conn:
        mirror.save(conn, [(user, frozenset()) for user in USERS])
        journal.accept(conn, [lead(1)], clock())
    said: list[str] = []

    @sql_event.listens_for(sqlite_ledger.engine, "before_cursor_execute")
    def hear(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "synchronous" in statement:
            said.append(statement.rpartition("=")[2])

    worker = Worker(sqlite_ledger, clock)
    worker.loop.work_off(500)
    assert said == ["NORMAL"]
    worker.claim(0, 1, 2).settle(log.put(lead(2)))
    assert said == ["NORMAL", "FULL", "FULL"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def ledger(any_ledger: Ledger) -> Ledger:
    with any_ledger.write() as conn:
        mirror.save(conn, [(user, frozenset()) for user in USERS])
    return any_ledger


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def worker(ledger: Ledger, clock: ManualClock) -> Worker:
    return Worker(ledger, clock).claim(0, 1, 2)


def lead(n: int, kind: str = "created", seconds: float = 0, record: str = "", **values: Any) -> ChangeEvent:
    values = values or {"email": f"p{n}@acme.example", "country": "FR"}
    return ChangeEvent(
        event_id=derived_id("shared", str(n), kind, str(seconds)),
        system="salesforce",
        entity="lead",
        record_id=record or f"00Q{n}",
        kind=kind,  # type: ignore[arg-type]
        occurred_at=START + timedelta(seconds=seconds),
        observed_at=START,
        changed=tuple(values),
        values=values,
    )


def rows(ledger: Ledger, columns: str = "kind, state") -> list[tuple[Any, ...]]:
    with ledger.read() as conn:
        return [tuple(row) for row in conn.exec_driver_sql(f"SELECT {columns} FROM journal ORDER BY seq")]


def made(ledger: Ledger, record: str) -> list[Decision]:
    with ledger.read() as conn:
        return decisions.of_record(conn, record)


def reached(ledger: Ledger) -> dict[int, int]:
    with ledger.read() as conn:
        return {p: share.next_offset for p, share in shares.positions(conn, TOPIC).items()}


def announced(ledger: Ledger) -> list[str]:
    with ledger.write() as conn:
        return [one.decision_id for one in announcements.claim(conn, 100)]


def test_events_are_decided_with_their_position_and_announced(worker: Worker, log: Log) -> None:
    worker.settle(log.put(*(lead(n) for n in range(20))))
    assert set(rows(worker.ledger)) == {("created", "applied")}
    assert reached(worker.ledger) == {p: len(log.partitions[p]) for p in range(3)}
    found = [made(worker.ledger, f"00Q{n}")[0] for n in range(20)]
    assert {one.outcome for one in found} == {"assign"}
    assert sorted(announced(worker.ledger)) == sorted(one.decision_id for one in found)
    assert (worker.count("settled"), worker.count("decided")) == (20, 20)


def test_what_is_received_again_changes_nothing(worker: Worker, log: Log) -> None:
    received = log.put(*(lead(n) for n in range(6)))
    worker.settle(received)
    before = rows(worker.ledger, "event_id, state, settled_ms"), reached(worker.ledger)
    worker.clock.advance(10)
    assert worker.settle(received) == [6]
    assert (rows(worker.ledger, "event_id, state, settled_ms"), reached(worker.ledger)) == before
    assert len(announced(worker.ledger)) == 6


def test_an_event_that_stands_twice_in_the_log_is_decided_once(worker: Worker, log: Log) -> None:
    first, again = lead(1), lead(1)
    worker.settle(log.put(first, again, lead(2), first))
    assert rows(worker.ledger) == [("created", "applied"), ("created", "applied")]
    assert len(made(worker.ledger, "00Q1")) == 1
    worker.settle(log.put(again))  # in a later batch
    assert len(rows(worker.ledger)) == 2
    assert reached(worker.ledger) == {p: len(log.partitions[p]) for p in range(3)}


def test_a_gap_settles_nothing_and_says_where(ledger: Ledger, clock: ManualClock) -> None:
    log, worker = Log(1), Worker(ledger, clock).claim(0)
    received = log.put(*(lead(n) for n in range(6)))
    assert worker.settle(received[:2]) == [2]
    with pytest.raises(Gap) as gap:
        worker.settle(received[4:])
    assert (gap.value.partition, gap.value.expected, gap.value.found) == (0, 2, 4)
    assert reached(ledger) == {0: 2}
    assert worker.settle(received[2:]) == [4]
    assert reached(ledger) == {0: 6}


def test_what_stands_before_a_gap_is_settled(ledger: Ledger, clock: ManualClock) -> None:
    log, worker = Log(1), Worker(ledger, clock).claim(0)
    received = log.put(*(lead(n) for n in range(6)))
    assert worker.loop.settle_received([*received[:2], *received[4:]], worker.held) == 2


def test_a_range_that_is_gone_is_stood_in_for(ledger: Ledger, clock: ManualClock) -> None:
    """Markers of transactions leave holes that nothing was lost in; what retention removed is parked for the operator."""
    log, worker = Log(1), Worker(ledger, clock).claim(0)
    received = log.put(*(lead(n) for n in range(8)))
    loss = Unreadable(
        event_id=derived_id("loss"), system="", error="offsets 5 and 6 are gone", raw=b"", observed_at=START
    )
    hole, lost = Received(0, 3, None, NOW_MS, first=2), Received(0, 6, loss, NOW_MS, first=5)
    assert worker.settle([*received[:2], hole, received[4], lost, received[7]]) == [6]
    assert reached(ledger) == {0: 8}
    assert sorted(rows(ledger)) == [*[("created", "applied")] * 4, ("unreadable", "parked")]
    assert worker.count("parked") == 1


def test_a_worker_that_lost_a_partition_commits_nothing(ledger: Ledger, clock: ManualClock, log: Log) -> None:
    old, new = Worker(ledger, clock, "old").claim(0, 1, 2), Worker(ledger, clock, "new")
    received = log.put(*(lead(n) for n in range(9)))
    new.claim(1)
    with pytest.raises(Fenced) as fenced:
        old.settle(received)
    assert fenced.value.partitions == {1}
    assert (rows(ledger), set(reached(ledger).values())) == ([], {0})
    del old.held[1]
    with pytest.raises(Fenced):  # not held at all
        old.settle([one for one in received if one.partition == 1])
    old.settle([one for one in received if one.partition != 1])
    new.settle([one for one in received if one.partition == 1])
    assert rows(ledger) == [("created", "applied")] * 9


def test_events_without_values_wait_in_the_journal_for_them(worker: Worker, log: Log) -> None:
    waiting = msgspec.structs.replace(lead(1), complete=False, values={}, changed=())
    worker.settle(log.put(waiting, lead(2)))
    assert rows(worker.ledger) == [("created", "incomplete"), ("created", "applied")]
    worker.settle(log.put(waiting))  # told again, it still waits
    assert rows(worker.ledger)[0] == ("created", "incomplete")
    with worker.ledger.write() as conn:
        [entry] = journal.next_entries(conn, "incomplete", 10)
        journal.complete(conn, [(entry.seq, lead(1))])
    assert worker.work_off() == 1
    assert rows(worker.ledger)[0] == ("created", "applied")
    assert [one.outcome for one in made(worker.ledger, "00Q1")] == ["assign"]


def test_values_that_come_through_the_log_complete_what_waited(worker: Worker, log: Log) -> None:
    worker.settle(log.put(msgspec.structs.replace(lead(1), complete=False, values={}, changed=())))
    worker.settle(log.put(lead(1)))
    assert rows(worker.ledger) == [("created", "applied")]
    assert "acme" in rows(worker.ledger, "body")[0][0]
    assert worker.work_off() == 0


def test_what_cannot_be_read_is_parked_and_told_once(worker: Worker, log: Log) -> None:
    bad = Unreadable(event_id=derived_id("bad"), system="hubspot", error="not JSON", raw=b"\x00{", observed_at=START)
    received = log.put(lead(1), bad, lead(2))
    worker.settle(received)
    worker.settle(received)
    assert sorted(rows(worker.ledger)) == [("created", "applied"), ("created", "applied"), ("unreadable", "parked")]
    assert (worker.count("parked"), worker.count("settled")) == (1, 3)


def test_a_bad_event_is_parked_alone(worker: Worker, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    from routing.core.plan import plan

    def poisoned(event: ChangeEvent, *rest: Any) -> Any:
        if event.record_id == "00Q7":
            raise ValueError("poison")
        return plan(event, *rest)

    monkeypatch.setattr(taking, "plan", poisoned)
    worker.settle(log.put(*(lead(n) for n in range(20))))
    assert sorted(rows(worker.ledger)) == [*[("created", "applied")] * 19, ("created", "parked")]
    assert reached(worker.ledger) == {p: len(log.partitions[p]) for p in range(3)}


@pytest.mark.parametrize("spoilt", [{"email": "a\x00b@acme.example"}, {"company": "half \ud800"}, {"note": "\x00"}])
def test_an_event_that_a_database_cannot_hold_is_parked_alone(worker: Worker, log: Log, spoilt: dict[str, str]) -> None:
    worker.settle(log.put(lead(1), lead(2, "created", 0, "", **spoilt), lead(3)))
    states = dict(rows(worker.ledger, "ref, state"))
    assert (states["salesforce:lead:00Q1"], states["salesforce:lead:00Q3"]) == ("applied", "applied")
    assert states["salesforce:lead:00Q2"] in ("applied", "parked")
    assert reached(worker.ledger) == {p: len(log.partitions[p]) for p in range(3)}


@pytest.mark.parametrize("record", ["00Q\x001", "00Q" + "9" * 9000, "half \ud800"])
def test_a_record_whose_very_name_cannot_be_held_does_not_stop_the_others(
    worker: Worker, log: Log, record: str
) -> None:
    worker.settle(log.put(lead(1), lead(2, record=record), lead(3)))
    assert len(rows(worker.ledger)) == 3
    assert reached(worker.ledger) == {p: len(log.partitions[p]) for p in range(3)}


def test_each_worker_works_off_the_journal_entries_of_its_own_partitions(ledger: Ledger, clock: ManualClock) -> None:
    log = Log()
    one, two = Worker(ledger, clock, "one").claim(0), Worker(ledger, clock, "two").claim(1, 2)
    held = [lead(n, country="CU") for n in range(12)]
    received = log.put(*held)
    one.settle([r for r in received if r.partition == 0])
    two.settle([r for r in received if r.partition != 0])
    clock.advance(301)
    with ledger.write() as conn:
        assert timers.fire(conn, clock()) == 12
    mine = len(log.partitions[0])
    assert (one.work_off(), one.work_off()) == (mine, 0)
    assert (two.work_off(), two.work_off()) == (12 - mine, 0)
    three = Worker(ledger, clock, "three").claim(0)
    with ledger.write() as conn:
        journal.accept(conn, [lead(n, "updated", 5, phone="1") for n in range(12)], clock())
    with pytest.raises(Fenced):
        one.work_off()
    assert three.work_off() == mine


@pytest.mark.parametrize("together", [True, False])
def test_an_erasure_forgets_what_came_before_it_in_the_same_batch(
    ledger: Ledger, clock: ManualClock, together: bool
) -> None:
    log, worker = Log(1), Worker(ledger, clock).claim(0)
    waiting = msgspec.structs.replace(lead(7, "updated", 1, "00Q1", phone="secret"), complete=False)
    bad = Unreadable(event_id=derived_id("x"), system="salesforce", error="?", raw=b"00Q1 secret", observed_at=START)
    gone = msgspec.structs.replace(lead(1, "erased", 5), values={}, changed=())
    late = lead(1, "updated", 2, email="secret@acme.example")
    received = log.put(lead(1, email="secret@acme.example", country="FR"), waiting, bad, gone, late, lead(3))
    if together:
        worker.settle(received)
    else:
        for one in received:
            worker.settle([one])
    for column in ("body", "raw"):
        assert "secret" not in str(rows(ledger, column))
    assert made(ledger, "00Q3")[0].outcome == "assign"


def test_people_changed_by_one_process_are_known_to_the_others(ledger: Ledger, clock: ManualClock) -> None:
    log = Log(1)
    other, worker = Worker(ledger, clock, "other"), Worker(ledger, clock).claim(0)
    worker.settle(log.put(*(lead(n) for n in range(10))))
    assert {made(ledger, f"00Q{n}")[0].owner for n in range(10)} == {"ana@example.com", "bo@example.com"}
    [bo] = [user for user in USERS if user.record_id == "005BO"]
    with other.ledger.write() as conn:
        mirror.save(conn, [(msgspec.structs.replace(bo, values={**bo.values, "active": False}), frozenset())])
    worker.settle(log.put(*(lead(n) for n in range(10, 20))))
    assert {made(ledger, f"00Q{n}")[0].owner for n in range(10, 20)} == {"ana@example.com"}


def test_what_nobody_could_read_is_parked_whatever_its_error_says(worker: Worker, log: Log) -> None:
    odd = Unreadable(
        event_id="odd", system="s\0", error="no \0, no \ud800", raw=b"\0", observed_at=START, record_id="\ud800"
    )
    assert worker.settle(log.put(odd)) == [1]
    with worker.ledger.read() as conn:
        assert journal.parked(conn)[0]["reason"] == "no \ufffd, no \ufffd"
