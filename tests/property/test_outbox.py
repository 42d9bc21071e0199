"""The outbox and its courier against a CRM on its worst days, with people at work in it: every write comes to an end, is
done once, in order, and never over what a person did."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import pytest
import structlog
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from msgspec import Struct

from connectors.contract import Finding, Snapshot, WriteResult
from connectors.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectorError,
    MalformedAnswer,
    PermissionDenied,
    RateLimited,
    RecordRejected,
    Transient,
)
from routing.core.model import ChangeEvent, Write, derived_id
from routing.delivery import retrying
from routing.delivery.courier import Courier
from routing.delivery.keeping import GRACE_MS
from routing.ledger import echoed, outbox
from routing.ledger.engine import Ledger
from routing.runtime.feed import Feed, Happening
from tests.conftest import ManualClock

RECORDS = ("r0", "r1", "r2")
FIELDS = ("owner", "country")
VALUES = ("a", "b", "c")
BATCH = 3
TRIES = 80  # of everything that is owed, at the end
ENDS = {"confirmed", "superseded", "parked"}


class Touch(Struct, frozen=True):
    """One change of one field of a record: ``by`` a write's id, or "" for a person."""

    record: str
    field: str
    before: str
    after: str
    by: str


class Death(BaseException):
    """The process dies here."""


class Crm:
    """Holds records, keeps their history, and fails as ordered: one order a call, well when there is none."""

    system = "fake"
    batch_size = BATCH
    look_size = 2 * BATCH  # one look serves two batches
    calls = 0

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self.records = {record: dict.fromkeys(FIELDS, "queue") for record in RECORDS}
        self.history: list[Touch] = []
        self.arrivals: list[Write] = []
        self.mixed: list[Sequence[Write]] = []  # calls with a record in them twice
        self.writing: list[str] = []
        self.reading: list[str] = []
        self.between: list[tuple[str, str, str]] = []  # what a person does before the next read

    def set(self, record: str, fields: dict[str, str], by: str) -> None:
        for field, value in fields.items():
            self.history.append(Touch(record, field, self.records[record][field], value, by))
            self.records[record][field] = value

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        while self.between:
            record, field, value = self.between.pop()
            if record in self.records:
                self.set(record, {field: value}, "")
        self._maybe(self.reading.pop(0) if self.reading else "well")
        return {i: Snapshot(values={f: self.records[i][f] for f in fields}) for i in ids if i in self.records}

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        assert 0 < len(writes) <= BATCH
        if len({write.record_id for write in writes}) < len(writes):
            self.mixed.append(writes)
        order = self.writing.pop(0) if self.writing else "well"
        if order == "lost after":
            self._apply(writes)
            raise Transient("no answer", system=self.system, outcome_unknown=True)
        if order == "lost between":
            self._apply(writes[: len(writes) // 2])
            raise Transient("no answer", system=self.system, outcome_unknown=True)
        if order == "strange":
            self._apply(writes)
            raise MalformedAnswer("an answer nobody understands", system=self.system, outcome_unknown=True)
        if order == "strange before":
            raise MalformedAnswer("a page", system=self.system, outcome_unknown=True)
        if order == "our bug after":
            self._apply(writes)
            raise KeyError("a bug of ours")
        if order == "death after":
            self._apply(writes)
            raise Death
        if order in ("locks", "refuses", "unsure"):
            return self._some(writes, order)
        if order == "batch refused" and len(writes) > 1:
            raise RecordRejected("400: one of them is bad", system=self.system)
        self._maybe(order)
        return self._apply(writes)

    def _some(self, writes: Sequence[Write], order: str) -> list[WriteResult]:
        """The first record fails alone."""
        first, rest = writes[0], writes[1:]
        error: ConnectorError
        if order == "locks":
            error = Conflict("row locked", system=self.system)
        elif order == "refuses":
            error = RecordRejected("refused", system=self.system)
        else:  # it happened, and nobody says so
            self._apply([first])
            error = RecordRejected("neither confirmed nor refused", system=self.system, outcome_unknown=True)
        return [WriteResult(first.write_id, error), *self._apply(rest)]

    def _maybe(self, order: str) -> None:
        errors: dict[str, BaseException] = {
            "503": Transient("503", system=self.system),
            "429": RateLimited("429", system=self.system, retry_after=1),
            "401": AuthenticationFailed("401", system=self.system),
            "403": PermissionDenied("403", system=self.system),
            "lost before": Transient("no answer", system=self.system, outcome_unknown=True),
            "our bug": TypeError("a bug of ours"),
            "death": Death(),
        }
        if order == "stop":
            self._stop.set()
            raise Transient("503", system=self.system)
        if order in errors:
            raise errors[order]

    def _apply(self, writes: Sequence[Write]) -> list[WriteResult]:
        for write in writes:
            self.arrivals.append(write)
            if write.record_id in self.records:
                self.set(write.record_id, dict(write.fields), write.write_id)
        return [WriteResult(write.write_id) for write in writes]

    def created(self, writes: Sequence[Write], since: datetime) -> dict[str, str]:
        return {}

    def backfill(self, entities: Sequence[str]) -> Iterator[list[ChangeEvent]]:
        return iter(())

    def check(self) -> list[Finding]:
        return []

    def close(self) -> None:
        pass


_WRITING = (
    "well", "503", "429", "401", "403", "lost before", "lost after", "lost between", "strange", "strange before", "our bug", "our bug after",
    "death", "death after", "locks", "refuses", "unsure", "batch refused", "stop",
)  # fmt: skip
_READING = ("well", "503", "lost before", "403", "our bug", "death", "stop")
_RECORD, _FIELD, _VALUE = st.sampled_from(RECORDS), st.sampled_from(FIELDS), st.sampled_from(VALUES)


class Outbox(RuleBasedStateMachine):
    """Writes are owed, the CRM misbehaves, people edit, the process dies: at the end the promises are checked."""

    template: Path  # an empty ledger

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.folder / "ledger.db")
        self.ledger = Ledger(f"sqlite:///{self.folder / 'ledger.db'}")
        self.clock, self.stop, self.feed = ManualClock(), threading.Event(), Feed()
        self.feed.watch(self._hear)
        self.crm = Crm(self.stop)
        self.owed: dict[str, Write] = {}
        self.parked_once: set[str] = set()
        self._born()

    def _hear(self, happening: Happening) -> None:
        if happening.what == "parked":
            self.parked_once.add(happening.detail[0].write.write_id)

    def _born(self) -> None:
        self.courier = Courier(self.crm, self.ledger, self.clock, self.feed)
        with self.ledger.write() as conn:
            outbox.recover(conn, self.clock(), GRACE_MS)

    # What happens

    @rule(record=_RECORD, values=st.dictionaries(_FIELD, _VALUE, min_size=1))
    def decide(self, record: str, values: dict[str, str]) -> None:
        """As the loop does: guarded by what the record should hold by then."""
        if record not in self.crm.records:
            return
        expected = dict(self.crm.records[record])
        for write_id, ref, state, _, _ in self._rows():
            if ref.endswith(record) and state in outbox.OPEN:
                expected |= self.owed[write_id].fields
        number = str(len(self.owed))
        write = Write(
            write_id=derived_id("write", number),
            decision_id=derived_id("decision", number),
            system="fake",
            entity="lead",
            record_id=record,
            fields=values,
            guard={field: expected[field] for field in values},
        )
        self.owed[write.write_id] = write
        with self.ledger.write() as conn:
            outbox.add(conn, [(write, 0, 0)], self.clock())

    @rule(record=_RECORD, field=_FIELD, value=st.one_of(_VALUE, st.just("queue")))
    def person(self, record: str, field: str, value: str) -> None:
        if record in self.crm.records:
            self.crm.set(record, {field: value}, "")

    @rule(record=_RECORD, field=_FIELD, value=_VALUE)
    def person_between_our_tries(self, record: str, field: str, value: str) -> None:
        self.crm.between.append((record, field, value))

    @rule(record=_RECORD)
    def deleted(self, record: str) -> None:
        if len(self.crm.records) > 1:
            self.crm.records.pop(record, None)

    @rule(orders=st.lists(st.sampled_from(_WRITING), max_size=4))
    def trouble_writing(self, orders: list[str]) -> None:
        self.crm.writing = orders

    @rule(orders=st.lists(st.sampled_from(_READING), max_size=3))
    def trouble_reading(self, orders: list[str]) -> None:
        self.crm.reading = orders

    @rule()
    def deliver(self) -> None:
        self.clock.advance(40)
        try:
            self.courier.deliver_some(self.stop)
        except Death:
            self._born()
        finally:
            self.stop.clear()

    @rule()
    def killed_after_claiming(self) -> None:
        self.clock.advance(40)
        with self.ledger.write() as conn:
            outbox.claim(conn, "fake", BATCH, self.clock())
        self._born()

    @precondition(lambda self: "parked" in self._states())
    @rule()
    def operator_retries(self) -> None:
        with self.ledger.write() as conn:
            outbox.retry_parked(conn, None, self.clock())

    # What must hold

    def _rows(self) -> list[tuple[str, str, str, str, bool]]:
        with self.ledger.read() as conn:
            found = conn.exec_driver_sql("SELECT write_id, ref, state, detail, doubtful FROM outbox ORDER BY seq").all()
        return [tuple(row) for row in found]

    def _states(self) -> set[str]:
        return {state for _, _, state, _, _ in self._rows()}

    @invariant()
    def nothing_stays_claimed(self) -> None:
        assert "sending" not in self._states()

    @invariant()
    def no_person_was_overruled(self) -> None:
        """A write changes a field only from the value it expected (or sets its own once more)."""
        for touch in self.crm.history:
            if touch.by:
                write = self.owed[touch.by]
                assert touch.before in (write.guard[touch.field], write.fields[touch.field]), touch

    @invariant()
    def nothing_was_done_twice(self) -> None:
        """Each field of a write takes effect at most once. Left out are fields that somebody set back to exactly what was
        expected: after a lost answer nobody can tell that from a write that never happened."""
        times = Counter(
            (touch.by, touch.field) for touch in self.crm.history if touch.by and touch.before != touch.after
        )
        for (write_id, field), n in times.items():
            assert n == 1 or self._set_back(self.owed[write_id], field), f"{field} was written {n} times"

    def _set_back(self, write: Write, field: str) -> bool:
        back = (write.record_id, field, write.guard[field])
        return any(t.by != write.write_id and (t.record, t.field, t.after) == back for t in self.crm.history)

    @invariant()
    def the_writes_of_a_record_arrived_in_order(self) -> None:
        """Except for those that an operator wanted tried again later."""
        assert self.crm.mixed == [], "two writes to one record went out in one call"
        numbers = {write_id: number for number, write_id in enumerate(self.owed)}
        for record in RECORDS:
            ids = [write.write_id for write in self.crm.arrivals if write.record_id == record]
            order = [numbers[write_id] for write_id in ids if write_id not in self.parked_once]
            assert order == sorted(order)

    @invariant()
    def every_effect_will_be_known_as_ours_when_it_comes_back(self) -> None:
        with self.ledger.read() as conn:
            waiting = echoed.unechoed(conn, {f"fake:lead:{record}" for record in RECORDS})
            ids = dict(conn.exec_driver_sql("SELECT seq, write_id FROM outbox").all())
        known = {(ids[one.seq], field) for found in waiting.values() for one in found for field in one.fields}
        effects = {(t.by, t.field) for t in self.crm.history if t.by and t.before != t.after}
        assert effects <= known
        # And nothing else, where there is no doubt: it would swallow what a person does.
        certain = {
            write_id for write_id, _, state, _, doubtful in self._rows() if state == "confirmed" and not doubtful
        }
        touched = {(touch.by, touch.field) for touch in self.crm.history}
        assert {one for one in known if one[0] in certain} <= touched

    def teardown(self) -> None:
        try:
            self._end_well()
        finally:
            self.ledger.close()
            shutil.rmtree(self.folder)

    def _end_well(self) -> None:
        """The CRM recovers: everything comes to an end, and what is confirmed was in the CRM."""
        self.crm.writing, self.crm.reading = [], []
        for _ in range(TRIES):
            if self._states() <= ENDS:
                break
            self.deliver()
        assert self._states() <= ENDS
        self.no_person_was_overruled()
        self.nothing_was_done_twice()
        self.the_writes_of_a_record_arrived_in_order()
        self.every_effect_will_be_known_as_ours_when_it_comes_back()
        held = {(touch.record, touch.field, touch.after) for touch in self.crm.history}
        held |= {(record, field, "queue") for record in RECORDS for field in FIELDS}
        for write_id, _, state, detail, _ in self._rows():
            assert detail or state == "confirmed"
            if state == "confirmed":
                write = self.owed[write_id]
                for field, value in write.fields.items():
                    assert (write.record_id, field, value) in held or f"{field} is now" in detail


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "ledger.db"
    ledger = Ledger(f"sqlite:///{file}")
    ledger.upgrade()
    ledger.close()
    return file


def play(template: Path, examples: int, steps: int) -> None:
    Outbox.template = template
    with patch.object(retrying, "wait_as_asked", lambda _state: 0.0), structlog.testing.capture_logs():
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Outbox, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
        )


def test_every_write_ends_once_in_order_and_never_over_a_person(template: Path) -> None:
    play(template, examples=50, steps=25)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_a_long_search(template: Path) -> None:
    play(template, examples=5000, steps=50)
