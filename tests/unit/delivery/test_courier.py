from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import msgspec
import pytest
import structlog

from connectors.contract import Finding, Snapshot, WriteResult
from connectors.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectorError,
    MalformedAnswer,
    Misconfigured,
    RateLimited,
    RecordRejected,
    Transient,
)
from routing.core.model import ChangeEvent, Write, derived_id
from routing.delivery import look, retrying, verdicts
from routing.delivery.courier import Courier
from routing.ledger import echoed, outbox
from routing.ledger.engine import Ledger
from routing.runtime.feed import Feed
from tests.conftest import ManualClock


class FakeCrm:
    """A CRM in memory that fails as told: each of ``script`` is called with the writes of one call."""

    system = "fake"
    batch_size = look_size = 200
    calls = 0

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.applied: list[Write] = []
        self.script: list[Callable[[Sequence[Write]], list[WriteResult]]] = []
        self.reads = 0
        self.asked = 0

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        self.reads += 1
        return {i: Snapshot(values={f: self.records[i].get(f) for f in fields}) for i in ids if i in self.records}

    def created(self, writes: Sequence[Write], since: datetime) -> dict[str, str]:
        self.asked += len(writes)
        return {write.write_id: f"T{write.write_id}" for write in writes if write.write_id in self.records}

    def backfill(self, entities: Sequence[str]) -> Iterator[list[ChangeEvent]]:
        return iter(())

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        assert len({write.record_id for write in writes}) == len(writes) <= self.batch_size
        return self.script.pop(0)(writes) if self.script else self.apply(writes)

    def apply(self, writes: Sequence[Write]) -> list[WriteResult]:
        for write in writes:
            self.records.setdefault(write.record_id, {}).update(write.fields)
            self.applied.append(write)
        return [WriteResult(one.write_id, record_id="" if one.kind == "update" else "T1") for one in writes]

    def check(self) -> list[Finding]:
        return []

    def close(self) -> None:
        pass


class Bench:
    """A courier with everything around it."""

    def __init__(self, ledger: Ledger, clock: ManualClock, stop: threading.Event) -> None:
        self.ledger, self.clock, self.stop, self.crm = ledger, clock, stop, FakeCrm()
        self.courier = Courier(self.crm, ledger, clock, Feed())

    def owe(self, record: str, owner: str, expected: str = "queue", **more: Any) -> None:
        self.crm.records.setdefault(record, {"owner": "queue"})
        n = len(self.fates())
        write = Write(
            write_id=derived_id(record, owner, str(n)),
            decision_id=derived_id("d", record, str(n)),
            system="fake",
            entity="lead",
            record_id=record,
            fields={"owner": owner},
            guard={"owner": expected},
        )
        with self.ledger.write() as conn:
            outbox.add(conn, [(msgspec.structs.replace(write, **more), 0, 0)], self.clock())

    def remind(self, record: str, owner: str, **more: Any) -> None:
        """Owes a task about a record."""
        fields = {"subject": "Call", "owner": owner, "about_entity": "lead", "about": record}
        name = f"task {record} {owner}"
        given = {"entity": "task", "record_id": name, "write_id": name, "kind": "create", "fields": fields, "guard": {}}
        self.owe(record, owner, **given | more)

    def details(self) -> list[tuple[str, str]]:
        with self.ledger.read() as conn:
            return [tuple(row) for row in conn.exec_driver_sql("SELECT state, detail FROM outbox ORDER BY seq")]

    def deliver(self) -> int:
        """One batch, after long enough for anything to be due."""
        self.clock.advance(60)
        return self.courier.deliver_some(self.stop)

    def fates(self) -> list[tuple[str, str]]:
        with self.ledger.read() as conn:
            rows = conn.exec_driver_sql("SELECT ref, state FROM outbox ORDER BY seq").all()
        return [(ref.rsplit(":", 1)[1], state) for ref, state in rows]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A traceback drawn for a terminal takes seconds."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def bench(ledger: Ledger, clock: ManualClock, stop: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(retrying, "wait_as_asked", lambda _state: 0.0)
    return Bench(ledger, clock, stop)


def fails(error: ConnectorError) -> Callable[[Sequence[Write]], list[WriteResult]]:
    def answer(_writes: Sequence[Write]) -> list[WriteResult]:
        raise error

    return answer


def test_writes_reach_the_crm_in_one_call_and_are_confirmed(bench: Bench) -> None:
    for n in range(5):
        bench.owe(f"r{n}", "ana")
    assert bench.deliver() == 5
    assert {r["owner"] for r in bench.crm.records.values()} == {"ana"}
    assert bench.crm.reads == 1
    assert [state for _, state in bench.fates()] == ["confirmed"] * 5
    assert bench.deliver() == 0


def test_writes_wait_a_moment_for_company(bench: Bench) -> None:
    bench.owe("r1", "ana")
    assert bench.courier.deliver_some(bench.stop) == 0
    assert bench.deliver() == 1


def test_two_writes_to_one_record_go_one_after_the_other(bench: Bench) -> None:
    bench.owe("r1", "ana")
    bench.owe("r1", "ben", expected="ana")
    assert bench.deliver() == 1
    assert bench.deliver() == 1
    assert [write.fields["owner"] for write in bench.crm.applied] == ["ana", "ben"]


def test_a_time_out_after_the_commit_is_found_out_and_not_written_twice(bench: Bench) -> None:
    def commits_and_times_out(writes: Sequence[Write]) -> list[WriteResult]:
        bench.crm.apply(writes)
        raise Transient("no answer", system="fake", outcome_unknown=True)

    bench.crm.script = [commits_and_times_out]
    bench.owe("r1", "ana")
    bench.deliver()
    assert len(bench.crm.applied) == 1
    assert bench.fates() == [("r1", "confirmed")]


def test_a_time_out_before_the_commit_is_sent_again(bench: Bench) -> None:
    bench.crm.script = [fails(Transient("no answer", system="fake", outcome_unknown=True))]
    bench.owe("r1", "ana")
    bench.deliver()
    assert [write.record_id for write in bench.crm.applied] == ["r1"]
    assert bench.fates() == [("r1", "confirmed")]


@pytest.mark.parametrize(
    "error",
    [
        Transient("503", system="fake"),
        RateLimited("429", system="fake", retry_after=1),
        AuthenticationFailed("401", system="fake"),
    ],
)
def test_an_unwell_crm_delays_but_loses_nothing(bench: Bench, error: ConnectorError) -> None:
    bench.crm.script = [fails(error), fails(error), fails(error)]
    bench.owe("r1", "ana")
    bench.deliver()
    assert bench.fates() == [("r1", "confirmed")]
    assert len(bench.crm.applied) == 1


def test_a_refused_record_is_parked_alone(bench: Bench) -> None:
    def refuses_one(writes: Sequence[Write]) -> list[WriteResult]:
        good = [write for write in writes if write.record_id != "bad"]
        bench.crm.apply(good)
        refusal = RecordRejected("ENTITY_IS_DELETED: entity is deleted", system="fake")
        return [WriteResult(w.write_id, refusal if w.record_id == "bad" else None) for w in writes]

    bench.crm.script = [refuses_one]
    bench.owe("good", "ana")
    bench.owe("bad", "ana")
    bench.deliver()
    assert bench.fates() == [("good", "confirmed"), ("bad", "parked")]
    with bench.ledger.read() as conn:
        assert "ENTITY_IS_DELETED" in outbox.parked(conn)[0]["detail"]


def test_one_record_that_makes_the_crm_refuse_the_batch_does_not_take_the_others_along(bench: Bench) -> None:
    def all_or_nothing(writes: Sequence[Write]) -> list[WriteResult]:
        if any(write.record_id == "bad" for write in writes):
            raise RecordRejected("400: invalid batch", system="fake")
        return bench.crm.apply(writes)

    bench.crm.script = [all_or_nothing] * 50
    for n in range(20):
        bench.owe(f"r{n}", "ana")
    bench.owe("bad", "ana")
    bench.deliver()
    fates = dict(bench.fates())
    assert fates.pop("bad") == "parked"
    assert set(fates.values()) == {"confirmed"}
    assert len(bench.crm.applied) == 20


def test_a_locked_record_is_tried_again_by_itself_and_parked_in_the_end(bench: Bench) -> None:
    def locked(writes: Sequence[Write]) -> list[WriteResult]:
        return [WriteResult(w.write_id, Conflict("UNABLE_TO_LOCK_ROW", system="fake")) for w in writes]

    bench.owe("r1", "ana")
    bench.crm.script = [locked]
    bench.deliver()
    assert bench.fates() == [("r1", "pending")]
    bench.deliver()
    assert bench.fates() == [("r1", "confirmed")]

    bench.owe("r2", "ana")
    bench.crm.script = [locked] * 50
    for _ in range(300):
        bench.deliver()
    assert bench.fates()[1] == ("r2", "parked")


def test_a_human_change_in_between_wins(bench: Bench) -> None:
    bench.owe("r1", "ana")
    bench.crm.records["r1"]["owner"] = "manager"
    bench.deliver()
    assert bench.crm.applied == []
    assert bench.fates() == [("r1", "superseded")]


def test_stopping_gives_the_batch_back(bench: Bench) -> None:
    def stops(_writes: Sequence[Write]) -> list[WriteResult]:
        bench.stop.set()
        raise Transient("503", system="fake", outcome_unknown=True)

    bench.crm.script = [stops]
    bench.owe("r1", "ana")
    bench.deliver()
    assert bench.fates() == [("r1", "pending")]
    bench.stop.clear()
    bench.deliver()
    assert bench.fates() == [("r1", "confirmed")]


def test_what_was_on_its_way_when_the_process_died_is_read_first(bench: Bench) -> None:
    bench.owe("r1", "ana")
    with bench.ledger.write() as conn:
        [owed] = outbox.claim(conn, "fake", 10, bench.clock())
    bench.crm.apply([owed.write])  # it did arrive; the process died before it could know
    with bench.ledger.write() as conn:
        assert outbox.recover(conn, bench.clock(), 2000) == 1
    assert bench.courier.deliver_some(bench.stop) == 0  # not before the grace is over
    bench.deliver()
    assert len(bench.crm.applied) == 1
    assert bench.fates() == [("r1", "confirmed")]


def test_a_person_who_is_faster_while_a_write_waits_for_the_crm_keeps_the_record(bench: Bench) -> None:
    """Whatever was read for the decision: before each try it is looked again."""

    def refused(_writes: Sequence[Write]) -> list[WriteResult]:
        bench.crm.records["r1"]["owner"] = "a person"
        raise Transient("unavailable", system="fake")

    bench.crm.script = [refused]
    bench.owe("r1", "ana")
    bench.deliver()
    assert bench.crm.records["r1"]["owner"] == "a person"
    assert bench.fates() == [("r1", "superseded")]
    assert bench.crm.reads == 2


@pytest.mark.parametrize("heard", [True, False])
def test_what_is_given_up_while_its_courier_waits_for_the_crm_does_not_go_out(bench: Bench, heard: bool) -> None:
    """It had the write in hand; whether its try had happened nobody heard. A later write of the record still goes after it."""

    def given_up(writes: Sequence[Write]) -> list[WriteResult]:
        with bench.ledger.write() as conn:
            outbox.give_up(conn, {1: {"owner": "superseded: owner had been changed (decision 7)"}})
        raise Transient("503", system="fake", outcome_unknown=not heard)

    bench.owe("r", "ana")
    bench.owe("s", "ana")
    bench.owe("r", "cem", ours={"owner": "ana"})
    bench.crm.script = [given_up]
    bench.deliver()
    assert [(one.record_id, one.fields) for one in bench.crm.applied] == [("s", {"owner": "ana"})]
    assert bench.details()[0] == ("superseded", "superseded: owner had been changed (decision 7)")
    with bench.ledger.read() as conn:
        left = echoed.unechoed(conn, {"fake:lead:r"})["fake:lead:r"]
    assert [(one.seq, one.sent) for one in left] == ([(3, False)] if heard else [(1, True), (3, False)])
    bench.deliver()
    assert bench.crm.records["r"] == {"owner": "cem"}


def test_what_was_given_up_before_it_was_ever_sent_costs_no_look(bench: Bench) -> None:
    bench.owe("r", "ana", given_up={"owner": "superseded: owner had been changed (decision 7)"})
    assert bench.deliver() == 1
    assert (bench.crm.reads, bench.crm.applied) == (0, [])
    assert bench.details() == [("superseded", "superseded: owner had been changed (decision 7)")]


def test_what_is_erased_while_its_courier_waits_for_the_crm_does_not_go_out(bench: Bench) -> None:
    def erased(_writes: Sequence[Write]) -> list[WriteResult]:
        with bench.ledger.write() as conn:
            outbox.erase(conn, "fake:lead:r")
        raise Transient("503", system="fake")

    bench.owe("r", "ana")
    bench.remind("r", "ana", record_id="r", write_id="task")
    bench.crm.script = [erased]
    bench.deliver()
    bench.deliver()
    assert bench.crm.applied == []
    assert bench.details() == [("superseded", "the person was erased at their request")] * 2


def test_a_parked_write_can_be_tried_again(bench: Bench) -> None:
    bench.crm.script = [lambda writes: [WriteResult(w.write_id, RecordRejected("no", system="fake")) for w in writes]]
    bench.owe("r1", "ana")
    bench.deliver()
    with bench.ledger.write() as conn:
        assert outbox.retry_parked(conn, None, bench.clock()) == 1
    bench.deliver()
    assert bench.fates() == [("r1", "confirmed")]


def test_after_an_answer_nobody_understands_nothing_is_sent_again_unread(bench: Bench) -> None:
    def strange(writes: Sequence[Write]) -> list[WriteResult]:
        bench.crm.apply(writes)
        raise MalformedAnswer("another number of results", system="fake", outcome_unknown=True)

    bench.crm.script = [strange]
    for n in range(4):
        bench.owe(f"r{n}", "ana")
    bench.deliver()
    assert len(bench.crm.applied) == 4
    assert [state for _, state in bench.fates()] == ["confirmed"] * 4


PAGE = MalformedAnswer("a web page came", system="fake", outcome_unknown=True)


def test_a_write_that_a_gateway_answers_is_looked_for_and_sent_again(bench: Bench) -> None:
    bench.crm.script = [fails(PAGE)]
    bench.owe("r1", "ana")
    bench.deliver()
    assert bench.details() == [("pending", "a web page came")]
    bench.deliver()
    assert bench.fates() == [("r1", "confirmed")]
    assert len(bench.crm.applied) == 1
    assert bench.crm.reads == 2


def test_what_a_gateway_never_lets_through_is_parked_in_the_end(bench: Bench) -> None:
    bench.crm.script = [fails(PAGE)] * 40
    bench.owe("r1", "ana")
    for _ in range(300):
        bench.deliver()
    [(state, detail)] = bench.details()
    assert (state, detail.startswith("tried 30 times: a web page came. ")) == ("parked", True)
    assert "`fingerpost parked retry`" in detail
    assert len(bench.crm.script) == 40 - verdicts.MOST_ATTEMPTS


def test_pages_to_what_is_read_are_waited_out_however_often_they_come(bench: Bench) -> None:
    asked, read = 0, bench.crm.read

    def pages(*args: Any) -> dict[str, Snapshot]:
        nonlocal asked
        asked += 1
        if asked <= 100:
            raise MalformedAnswer("a web page came", system="fake")
        return read(*args)

    bench.crm.read = pages  # type: ignore[method-assign]
    bench.owe("r1", "ana")
    bench.deliver()
    assert (asked, bench.fates()) == (101, [("r1", "confirmed")])


def test_an_outage_that_answers_with_pages_costs_a_call_a_wait_and_parks_nothing(bench: Bench) -> None:
    sizes: list[int] = []

    def page(writes: Sequence[Write]) -> list[WriteResult]:
        sizes.append(len(writes))
        raise PAGE

    bench.crm.script = [page] * 6
    for n in range(200):
        bench.owe(f"r{n}", "ana")
    bench.deliver()
    assert sizes == [200, 50, 12, 3, 1, 1]
    assert [state for _, state in bench.fates()].count("pending") == 2  # those that were answered so alone
    bench.deliver()
    assert {state for _, state in bench.fates()} == {"confirmed"}
    assert len(bench.crm.applied) == 200


def test_one_write_that_a_gateway_does_not_like_stands_alone_and_holds_up_nobody(bench: Bench) -> None:
    calls = 0

    def choosy(writes: Sequence[Write]) -> list[WriteResult]:
        nonlocal calls
        calls += 1
        if any(write.record_id == "r130" for write in writes):
            raise PAGE
        return bench.crm.apply(writes)

    bench.crm.script = [choosy] * 100
    for n in range(200):
        bench.owe(f"r{n}", "ana")
    bench.deliver()
    fates = dict(bench.fates())
    assert fates.pop("r130") == "pending"
    assert set(fates.values()) == {"confirmed"}
    assert len(bench.crm.applied) == 199
    assert calls < 25


def poisoned(bench: Bench, record: str, error: ConnectorError) -> list[int]:
    """From now on the CRM fails on whatever holds that record; the sizes of what it is sent."""
    sizes: list[int] = []
    apply = bench.crm.apply

    def failing(writes: Sequence[Write]) -> list[WriteResult]:
        sizes.append(len(writes))
        if any(write.record_id == record for write in writes):
            raise error
        return apply(writes)

    bench.crm.apply = failing  # type: ignore[method-assign]
    return sizes


DOWN = Transient("500: internal error", system="fake", outcome_unknown=True)


@pytest.mark.parametrize("error", [DOWN, Transient("503", system="fake")])
def test_a_record_that_the_crm_fails_on_is_parked_in_the_end_and_the_others_go_on(
    bench: Bench, error: ConnectorError
) -> None:
    sizes = poisoned(bench, "r130", error)
    for n in range(200):
        bench.owe(f"r{n}", "ana")
    bench.deliver()
    fates = dict(bench.fates())
    assert fates.pop("r130") == "pending"
    assert set(fates.values()) == {"confirmed"}
    assert len(sizes) < 50
    for n in range(20):
        bench.clock.advance(300)
        bench.owe(f"s{n}", "ana")
        sizes.clear()
        bench.deliver()
        assert sizes in ([1], [1, 1])  # who comes later does not wait for it
    state, detail = bench.details()[130]
    assert state == "parked"
    assert "saving lead r130 sets off there" in detail
    assert {state for record, state in bench.fates() if record != "r130"} == {"confirmed"}


@pytest.mark.parametrize("how_many", [1, 7, 60])
def test_an_outage_however_long_parks_nothing_and_sends_less_and_less(bench: Bench, how_many: int) -> None:
    sizes: list[int] = []

    def down(writes: Sequence[Write]) -> list[WriteResult]:
        sizes.append(len(writes))
        raise DOWN

    bench.crm.script = [down] * 300
    for n in range(how_many):
        bench.owe(f"r{n}", "ana")
    for n in range(8):
        bench.owe(f"later{n}", "ana", still={"owner": "queue"})
        bench.deliver()
    while bench.deliver():
        pass
    assert bench.crm.script == []
    assert sizes[50:] == [1] * 250
    assert {state for _, state in bench.fates()} == {"confirmed"}
    assert len(bench.crm.applied) == how_many + 8


def test_what_comes_after_a_single_record_that_the_crm_fails_on_gets_its_turn(bench: Bench) -> None:
    tried = 0

    def failing(writes: Sequence[Write]) -> list[WriteResult]:
        nonlocal tried
        tried += 1
        if tried == 3:
            bench.owe("next", "ben")
            bench.clock.advance(1)
        raise DOWN

    bench.owe("bad", "ana")
    bench.crm.script = [failing] * 8
    bench.deliver()
    assert bench.fates() == [("bad", "pending"), ("next", "pending")]
    poisoned(bench, "bad", DOWN)
    bench.deliver()
    assert bench.fates() == [("bad", "pending"), ("next", "confirmed")]


def test_in_a_storm_nothing_is_parked(bench: Bench) -> None:
    dice = Random(7)
    applies = bench.crm.apply

    def stormy(writes: Sequence[Write]) -> list[WriteResult]:
        if dice.random() < 0.3:
            raise DOWN
        results = applies(writes)
        if dice.random() < 0.1:
            raise DOWN
        return results

    bench.crm.apply = stormy  # type: ignore[method-assign]
    for n in range(1000):
        bench.owe(f"r{n % 500}", f"v{n // 500}", expected="queue" if n < 500 else "v0")
    for _ in range(100):
        bench.deliver()
    assert {state for _, state in bench.fates()} == {"confirmed"}
    assert len(bench.crm.applied) == 1000


def test_a_record_that_the_crm_fails_on_by_itself_in_every_answer_is_parked_in_the_end(bench: Bench) -> None:
    """Where it judges each record on its own: nobody else is kept waiting, but neither is this one tried for ever."""
    apply = bench.crm.apply

    def judged(writes: Sequence[Write]) -> list[WriteResult]:
        good = {one.write_id for one in apply([write for write in writes if write.record_id != "bad"])}
        return [WriteResult(one.write_id, None if one.write_id in good else DOWN) for one in writes]

    bench.crm.apply = judged  # type: ignore[method-assign]
    bench.owe("bad", "ana")
    for n in range(60):
        bench.owe(f"r{n}", "ana")
        bench.clock.advance(300)
        bench.deliver()
    fates = dict(bench.fates())
    assert fates.pop("bad") == "parked"
    assert set(fates.values()) == {"confirmed"}


def test_stopping_while_pages_come_gives_back_what_is_left(bench: Bench) -> None:
    def stops(_writes: Sequence[Write]) -> list[WriteResult]:
        bench.stop.set()
        raise PAGE

    bench.crm.script = [stops]
    for n in range(3):
        bench.owe(f"r{n}", "ana")
    bench.deliver()
    assert [state for _, state in bench.fates()] == ["pending"] * 3
    bench.stop.clear()
    bench.deliver()
    assert [state for _, state in bench.fates()] == ["confirmed"] * 3


def test_a_write_that_our_own_code_fails_on_is_parked_alone(bench: Bench) -> None:
    def fails_on_one(writes: Sequence[Write]) -> list[WriteResult]:
        if any(write.record_id == "bad" for write in writes):
            raise KeyError("a bug of ours")
        return bench.crm.apply(writes)

    bench.crm.script = [fails_on_one] * 50
    for n in range(6):
        bench.owe(f"r{n}", "ana")
    bench.owe("bad", "ana")
    bench.deliver()
    fates = dict(bench.fates())
    assert fates.pop("bad") == "parked"
    assert set(fates.values()) == {"confirmed"}
    with bench.ledger.read() as conn:
        assert "KeyError" in outbox.parked(conn)[0]["detail"]


def test_one_locked_record_with_a_long_queue_does_not_hold_the_others_up(bench: Bench) -> None:
    bench.crm.batch_size = bench.crm.look_size = 5
    bench.owe("locked", "v0")
    bench.crm.script = [lambda w: [WriteResult(w[0].write_id, Conflict("UNABLE_TO_LOCK_ROW", system="fake"))]]
    bench.deliver()
    for n in range(1, 30):
        bench.owe("locked", f"v{n}", expected=f"v{n - 1}")
    bench.owe("free", "ana")
    with bench.ledger.write() as conn:
        conn.exec_driver_sql("UPDATE outbox SET not_before_ms = not_before_ms + 3600000 WHERE attempts > 0")
    assert bench.deliver() == 1
    assert dict(bench.fates())["free"] == "confirmed"


def waiting(bench: Bench, record: str = "r1") -> dict[str, Any]:
    """What is expected to come back from the CRM for a record."""
    with bench.ledger.read() as conn:
        found = echoed.unechoed(conn, {f"fake:lead:{record}"}).values()
    return {field: value for writes in found for one in writes for field, value in one.fields.items()}


def test_what_was_not_sent_is_not_expected_back(bench: Bench) -> None:
    """Or a person who sets the same later would be taken for our echo."""
    bench.owe("r1", "ana")
    bench.crm.records["r1"]["owner"] = "ana"  # somebody did it already
    bench.deliver()
    assert bench.fates() == [("r1", "confirmed")]
    assert waiting(bench) == {}


def test_only_the_fields_that_were_sent_are_expected_back(bench: Bench) -> None:
    bench.crm.records["r1"] = {"owner": "queue", "country": "DE", "state": "BY"}
    fields, guard = (
        {"owner": "ana", "country": "DE", "state": "BE"},
        {"owner": "queue", "country": "Germany", "state": ""},
    )
    bench.owe("r1", "ana", fields=fields, guard=guard)
    bench.deliver()
    assert waiting(bench) == {"owner": "ana"}


def test_a_write_that_happened_unheard_is_expected_back_however_it_ended(bench: Bench) -> None:
    def commits_and_a_person_follows(writes: Sequence[Write]) -> list[WriteResult]:
        bench.crm.apply(writes)
        bench.crm.records["r1"]["owner"] = "manager"
        raise Transient("no answer", system="fake", outcome_unknown=True)

    bench.crm.script = [commits_and_a_person_follows]
    bench.owe("r1", "ana")
    bench.deliver()
    assert bench.fates() == [("r1", "superseded")]
    assert waiting(bench) == {"owner": "ana"}


def test_who_works_a_record_while_it_is_taken_away_keeps_it_and_the_loop_is_told(bench: Bench) -> None:
    bench.crm.records["1"] = {"owner": "ana", "status": "Working"}
    bench.owe("1", "bo", "ana", still={"status": "New"})
    bench.deliver()
    assert bench.fates() == [("1", "superseded")]
    assert bench.crm.records["1"]["owner"] == "ana"
    with bench.ledger.read() as conn:
        rows = conn.exec_driver_sql("SELECT state, ref, kind FROM journal").all()
    assert [tuple(row) for row in rows] == [("incomplete", "fake:lead:1", "updated")]


def test_a_task_is_created_after_the_owner_was_written_and_only_while_they_have_the_record(bench: Bench) -> None:
    bench.owe("r1", "ana")
    bench.remind("r1", "ana", still={"owner": "ana"})
    bench.owe("r2", "ana")
    bench.remind("r2", "ana", still={"owner": "ana"})
    assert bench.deliver() == 2
    bench.crm.records["r2"]["owner"] = "ben"  # by hand
    assert bench.deliver() == 2
    assert [one.record_id for one in bench.crm.applied] == ["r1", "r2", "task r1 ana"]
    states = bench.details()
    assert states[1] == ("confirmed", "created as T1")
    assert states[3] == ("superseded", "superseded: owner is now 'ben', not 'ana'")
    assert bench.crm.asked == 0


def test_a_task_that_expects_nothing_costs_no_read(bench: Bench) -> None:
    bench.remind("r1", "ana")
    bench.remind("r2", "ana")
    assert bench.deliver() == 2
    assert (bench.crm.reads, [state for state, _ in bench.details()]) == (0, ["confirmed"] * 2)


def test_a_task_whose_answer_was_lost_is_looked_for_before_it_is_made_again(bench: Bench) -> None:
    def commits_one_and_times_out(writes: Sequence[Write]) -> list[WriteResult]:
        bench.crm.apply(writes[:1])
        raise Transient("no answer", system="fake", outcome_unknown=True)

    bench.remind("r1", "ana", still={"owner": "queue"})
    bench.remind("r2", "ana")
    bench.crm.script = [commits_one_and_times_out]
    assert bench.deliver() == 2
    assert [one.record_id for one in bench.crm.applied] == ["task r1 ana", "task r2 ana"]
    assert [state for state, _ in bench.details()] == ["confirmed"] * 2
    assert bench.details()[0][1] == "it was created already, as Ttask r1 ana"


def test_a_task_that_was_made_when_the_process_died_is_not_made_again(bench: Bench) -> None:
    bench.remind("r1", "ana", still={"owner": "queue"})
    bench.clock.advance(60)
    with bench.ledger.write() as conn:
        (owed,) = outbox.claim(conn, "fake", 10, bench.clock(), "courier")
    bench.crm.apply([owed.write])
    with bench.ledger.write() as conn:
        assert outbox.recover(conn, bench.clock(), 0) == 1
    bench.crm.records["r1"]["owner"] = "ben"  # that it would not be made any more does not undo it
    assert bench.deliver() == 1
    assert (bench.crm.asked, len(bench.crm.applied)) == (1, 1)
    assert bench.details() == [("confirmed", "it was created already, as Ttask r1 ana")]


def test_locks_make_batches_smaller_until_they_are_gone(bench: Bench) -> None:
    sizes: list[int] = []

    def locked(writes: Sequence[Write]) -> list[WriteResult]:
        sizes.append(len(writes))
        first = WriteResult(writes[0].write_id, Conflict("UNABLE_TO_LOCK_ROW", system="fake"))
        return [first, *bench.crm.apply(writes[1:])]

    def well(writes: Sequence[Write]) -> list[WriteResult]:
        sizes.append(len(writes))
        return bench.crm.apply(writes)

    bench.crm.batch_size = bench.crm.look_size = 40
    for n in range(200):
        bench.owe(f"r{n}", "ana")
    bench.crm.script = [locked, locked, locked, well, well, well]
    for _ in range(6):
        bench.deliver()
    assert sizes == [40, 20, 10, 10, 20, 40]


def test_a_single_write_waits_as_long_as_it_was_told(bench: Bench) -> None:
    def not_now(writes: Sequence[Write]) -> list[WriteResult]:
        limited = RateLimited("no calls left for this", system="fake", retry_after=600)
        return [WriteResult(writes[0].write_id, limited), *bench.crm.apply(writes[1:])]

    bench.owe("r1", "ana")
    bench.owe("r2", "ana")
    bench.crm.script = [not_now]
    bench.deliver()
    assert bench.fates() == [("r1", "pending"), ("r2", "confirmed")]
    bench.clock.advance(500)
    assert bench.courier.deliver_some(bench.stop) == 0
    bench.clock.advance(120)
    assert bench.courier.deliver_some(bench.stop) == 1
    assert bench.fates()[0] == ("r1", "confirmed")


def in_batches_of(bench: Bench, size: int, looked_at: int) -> list[int]:
    """The sizes of the writes that will arrive."""
    sizes: list[int] = []
    apply = bench.crm.apply

    def told(writes: Sequence[Write]) -> list[WriteResult]:
        sizes.append(len(writes))
        return apply(writes)

    bench.crm.apply = told  # type: ignore[method-assign]
    bench.crm.batch_size, bench.crm.look_size = size, looked_at
    return sizes


def test_one_look_serves_the_batches_that_are_sent_right_after_it(bench: Bench) -> None:
    sizes = in_batches_of(bench, 20, 60)
    for n in range(110):
        bench.owe(f"r{n}", "ana")
    assert (bench.deliver(), bench.deliver(), bench.deliver()) == (60, 50, 0)
    assert sizes == [20, 20, 20, 20, 20, 10]
    assert bench.crm.reads == 2
    assert {state for _, state in bench.fates()} == {"confirmed"}


def test_nothing_is_sent_by_an_old_look(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CRM takes its time over the first batch; meanwhile a person takes a record of the second."""
    now = 0.0
    monkeypatch.setattr(look, "monotonic", lambda: now)

    def slow(writes: Sequence[Write]) -> list[WriteResult]:
        nonlocal now
        now += look.FRESH_SECONDS + 0.1
        bench.crm.records["r30"]["owner"] = "a person"
        return bench.crm.apply(writes)

    in_batches_of(bench, 20, 60)
    bench.crm.script = [slow]
    for n in range(60):
        bench.owe(f"r{n}", "ana")
    assert bench.deliver() == 60
    assert bench.crm.reads == 2
    assert bench.crm.records["r30"]["owner"] == "a person"
    assert dict(bench.fates())["r30"] == "superseded"


@pytest.mark.parametrize(
    "error",
    [Transient("503", system="fake"), RecordRejected("400: invalid batch", system="fake"), KeyError("a bug of ours")],
)
def test_after_a_failure_all_that_is_left_is_looked_at_anew(bench: Bench, error: Exception) -> None:
    def refused(_writes: Sequence[Write]) -> list[WriteResult]:
        for record in ("r30", "r50"):
            bench.crm.records[record]["owner"] = "a person"
        raise error

    in_batches_of(bench, 20, 60)
    bench.crm.script = [bench.crm.apply, refused]
    for n in range(60):
        bench.owe(f"r{n}", "ana")
    bench.deliver()
    left = {record for record, state in bench.fates() if state == "superseded"}
    assert left == {"r30", "r50"}
    assert {record for record, row in bench.crm.records.items() if row["owner"] == "a person"} == left


def test_locks_make_also_the_batches_of_one_look_smaller(bench: Bench) -> None:
    def locked(writes: Sequence[Write]) -> list[WriteResult]:
        first = WriteResult(writes[0].write_id, Conflict("UNABLE_TO_LOCK_ROW", system="fake"))
        return [first, *bench.crm.apply(writes[1:])]

    sizes = in_batches_of(bench, 40, 120)
    bench.crm.script = [locked]
    for n in range(120):
        bench.owe(f"r{n}", "ana")
    bench.deliver()
    assert sizes == [39, 20, 40, 20]


def test_stopping_between_two_batches_gives_the_rest_back(bench: Bench) -> None:
    def stops(writes: Sequence[Write]) -> list[WriteResult]:
        bench.stop.set()
        return bench.crm.apply(writes)

    in_batches_of(bench, 20, 60)
    bench.crm.script = [stops]
    for n in range(60):
        bench.owe(f"r{n}", "ana")
    bench.deliver()
    assert [state for _, state in bench.fates()] == ["confirmed"] * 20 + ["pending"] * 40
    bench.stop.clear()
    bench.deliver()
    assert {state for _, state in bench.fates()} == {"confirmed"}
    assert len(bench.crm.applied) == 60


def test_who_may_have_been_taken_for_dead_sends_nothing_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    in_batches_of(bench, 20, 60)
    for n in range(60):
        bench.owe(f"r{n}", "ana")
    monkeypatch.setattr(bench.courier._seat, "held", lambda: False)
    bench.deliver()
    assert len(bench.crm.applied) == 20


def test_a_lost_answer_to_part_of_a_batch_is_given_time_before_it_is_looked_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CRM may still be at it: a look right away would find the old value, and the write would be made twice."""
    monkeypatch.setattr(bench.courier, "_jitter", lambda _state: 0.0)
    late: list[Write] = []

    def lost(writes: Sequence[Write]) -> list[WriteResult]:
        late.append(writes[0])
        unknown = Transient("no answer to one request of two", system="fake", outcome_unknown=True)
        return [WriteResult(writes[0].write_id, unknown), *bench.crm.apply(writes[1:])]

    bench.crm.script = [lost]
    bench.owe("r1", "ana")
    bench.owe("r2", "ana")
    bench.deliver()
    bench.clock.advance(0.9)
    assert bench.courier.deliver_some(bench.stop) == 0
    bench.crm.apply(late)  # now it has happened
    bench.clock.advance(0.2)
    assert bench.courier.deliver_some(bench.stop) == 1
    assert bench.fates() == [("r1", "confirmed"), ("r2", "confirmed")]
    assert [write.record_id for write in bench.crm.applied].count("r1") == 1


def test_a_parent_that_an_import_holds_for_long_parks_nothing(bench: Bench) -> None:
    def locked(writes: Sequence[Write]) -> list[WriteResult]:
        return [WriteResult(one.write_id, Conflict("UNABLE_TO_LOCK_ROW", system="fake")) for one in writes]

    began = bench.clock()
    bench.owe("r1", "ana")
    while bench.clock() - began < timedelta(minutes=10):
        bench.crm.script = [locked]
        bench.clock.advance(1)
        bench.courier.deliver_some(bench.stop)
    assert bench.fates() == [("r1", "pending")]
    bench.crm.script = []
    bench.clock.advance(300)
    bench.courier.deliver_some(bench.stop)
    assert bench.fates() == [("r1", "confirmed")]


def test_a_person_who_is_faster_than_the_next_try_of_a_locked_record_keeps_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However soon that is."""
    monkeypatch.setattr(bench.courier, "_jitter", lambda _state: 0.0)

    def locked(writes: Sequence[Write]) -> list[WriteResult]:
        bench.crm.records["r1"]["owner"] = "a person"
        return [WriteResult(one.write_id, Conflict("UNABLE_TO_LOCK_ROW", system="fake")) for one in writes]

    bench.crm.script = [locked]
    bench.owe("r1", "ana")
    bench.deliver()
    bench.courier.deliver_some(bench.stop)
    assert bench.fates() == [("r1", "superseded")]
    assert bench.crm.records["r1"]["owner"] == "a person"


def test_a_record_that_cannot_be_looked_at_takes_none_along_that_is_sent_before_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = bench.crm.read

    def unreadable(entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        if "bad" in ids:
            raise Misconfigured("no such object", system="fake")
        return read(entity, ids, fields)

    monkeypatch.setattr(bench.crm, "read", unreadable)
    in_batches_of(bench, 1, 3)
    for record in ("r1", "r2", "bad"):
        bench.owe(record, "ana")
    bench.deliver()
    assert bench.fates() == [("r1", "confirmed"), ("r2", "confirmed"), ("bad", "parked")]
