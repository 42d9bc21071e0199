"""What every connector must do, written once. A connector's own test module subclasses a suite and gives it a ``stand``.

A ``Stand`` is one system that really answers (a sandbox over loopback), the connector under test pointed at it, and a
second pair of eyes on the system itself (``held``, ``times_written``), so that outcomes are checked where a user would
look and not in the connector's own words. A gap is marked ``xfail(strict=True)`` with its reason in the subclass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import pytest

from connectors.contract import Connection
from connectors.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectorError,
    MalformedAnswer,
    Misconfigured,
    OwnerRefused,
    PermissionDenied,
    RateLimited,
    RecordRejected,
    Transient,
)
from connectors.patience import Hold
from connectors.sandbox.faults import Fault, FaultKind, Faults
from routing.core.model import Values, Write

# Other scripts, what languages of queries and markup give a meaning to, and as long as a field takes.
ANY_TEXT = ("Ünïcödé 株式会社 🦊 مرحبا", 'O\'Brien "&" <b>Söhne</b>; \\ %41 {{x}}', "null", "0", "x" * 255)

# What happens to a call, the row of ``errors.py`` that it is, and of a write: may it have been done (as far as anybody can tell), was it.
ROWS: Sequence[tuple[FaultKind, type[ConnectorError], bool, bool]] = (
    ("unavailable", Transient, False, False),
    ("broken", Transient, True, False),
    ("broken_after_commit", Transient, True, True),
    ("timeout", Transient, True, False),
    ("timeout_after_commit", Transient, True, True),
    ("rate_limited", RateLimited, False, False),
    ("daily_limit", RateLimited, False, False),
    ("expired_session", AuthenticationFailed, False, False),
    ("forbidden", PermissionDenied, False, False),
    ("nonsense", MalformedAnswer, True, True),
    ("page", MalformedAnswer, True, False),
)
each_row = pytest.mark.parametrize(("kind", "row", "unknown", "done"), ROWS, ids=[row[0] for row in ROWS])


class Stand(Protocol):
    """One system under test. ``entity`` is the canonical entity the suite works on; field names are canonical.

    ``exempt`` says in words why the system cannot do what a test needs: by the name of the hook or of the attribute that it would be.
    """

    system: str
    connection: Connection
    faults: Faults
    entity: str
    text_field: str  # a plain text field that may be written
    other_field: str  # another one
    owner_field: str
    owners: Sequence[str]  # two ids of people who may own a record
    departed: str  # the id of somebody who may not any more
    person: str  # who ``change`` is done by, as ``Snapshot.modified_by`` tells
    secrets: Sequence[str]  # what no error may show
    exempt: Mapping[str, str]
    write_operation: str  # the fault operation of ``Sink.write``
    read_operation: str  # the fault operation of ``Reader.read``
    create_operation: str  # the fault operation of ``Sink.write`` where it makes records

    def create(self, values: Values) -> str:
        """Makes a record as a person would, and gives its id. Missing required fields are filled in."""
        ...

    def change(self, record_id: str, values: Values) -> None:
        """Changes a record as a person would."""
        ...

    def delete(self, record_id: str) -> None: ...

    def held(self, record_id: str) -> Values:
        """What the system itself holds, by canonical names."""
        ...

    def times_written(self, record_id: str) -> int:
        """How often the integration wrote this record."""
        ...

    def lose(self, field: str) -> str:
        """An administrator takes a field away. What the system calls it."""
        ...

    def regain(self, field: str) -> None:
        """And gives it back, as it was."""
        ...

    def missing_id(self) -> str:
        """A well-formed id of a record that never existed."""
        ...

    def creation(self, email: str) -> Values:
        """The fields with which the integration can make a record of that address."""
        ...

    def with_email(self, email: str) -> Sequence[str]:
        """The ids of the records that the system holds with that address."""
        ...


def unless_exempt(stand: Any, hook: str) -> None:
    """Skips the test with the stand's reason, where it has one."""
    if hook in stand.exempt:
        pytest.skip(stand.exempt[hook])


def said(error: BaseException | None) -> Iterator[str]:
    """All that an error shows of itself, and what caused it."""
    while error is not None:
        yield from (str(error), repr(error))
        error = error.__cause__


def write_of(stand: Stand, record_id: str, **fields: Any) -> Write:
    """One write of the stand's entity."""
    return Write(
        write_id=f"w-{record_id}",
        decision_id=f"d-{record_id}",
        system=stand.system,
        entity=stand.entity,  # type: ignore[arg-type]
        record_id=record_id,
        fields=fields,
        guard={},
    )


class ReaderSuite:
    """``Reader``: what is read is what the system holds, in canonical form."""

    def test_reads_the_fields_asked_for(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "Ångström & Söhne", stand.owner_field: stand.owners[0]})
        snapshots = stand.connection.read(stand.entity, [record], [stand.text_field, stand.owner_field])
        assert snapshots[record].values == {
            stand.text_field: "Ångström & Söhne",
            stand.owner_field: stand.owners[0],
        }

    def test_says_when_the_record_was_last_changed(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "a"})
        modified = stand.connection.read(stand.entity, [record], [stand.text_field])[record].modified_at
        assert modified is not None
        assert modified.tzinfo is not None

    def test_missing_and_deleted_records_are_absent(self, stand: Stand) -> None:
        gone, there = stand.create({stand.text_field: "a"}), stand.create({stand.text_field: "b"})
        stand.delete(gone)
        assert set(stand.connection.read(stand.entity, [gone, there, stand.missing_id()], [stand.text_field])) == {
            there
        }

    def test_no_ids_need_no_call(self, stand: Stand) -> None:
        before = stand.connection.calls
        assert stand.connection.read(stand.entity, [], [stand.text_field]) == {}
        assert stand.connection.calls == before

    def test_reads_more_ids_than_fit_one_request(self, stand: Stand) -> None:
        ids = [stand.create({stand.text_field: f"row {n}"}) for n in range(450)]
        snapshots = stand.connection.read(stand.entity, ids, [stand.text_field])
        assert [snapshots[one].values[stand.text_field] for one in ids] == [f"row {n}" for n in range(450)]

    @each_row
    def test_every_failure_is_a_row_of_the_table(
        self, stand: Stand, kind: FaultKind, row: type[ConnectorError], unknown: bool, done: bool
    ) -> None:
        del unknown, done  # of a question nothing is left behind
        record = stand.create({stand.text_field: "a"})
        stand.faults.add(Fault(system=stand.system, operation=stand.read_operation, kind=kind, times=9))
        with pytest.raises(ConnectorError) as caught:
            stand.connection.read(stand.entity, [record], [stand.text_field])
        assert (type(caught.value), caught.value.outcome_unknown) == (row, False)
        assert caught.value.system == stand.system
        assert not [text for text in said(caught.value) if any(secret in text for secret in stand.secrets)]
        stand.faults.clear()
        if caught.value.retry_after is None:  # nobody asked us to wait
            assert record in stand.connection.read(stand.entity, [record], [stand.text_field])

    def test_a_limit_tells_how_long_to_wait(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "a"})
        stand.faults.add(
            Fault(system=stand.system, operation=stand.read_operation, kind="rate_limited", retry_after=7.0)
        )
        with pytest.raises(RateLimited) as caught:
            stand.connection.read(stand.entity, [record], [stand.text_field])
        assert caught.value.retry_after == 7.0

    def test_a_field_that_is_gone_is_refused_or_left_out_and_never_empty(self, stand: Stand) -> None:
        unless_exempt(stand, "lose")
        record = stand.create({stand.text_field: "a", stand.other_field: "b"})
        remote, both = stand.lose(stand.other_field), [stand.text_field, stand.other_field]
        told, refused = [], []
        try:
            assert stand.connection.read(stand.entity, [record], both[:1])[record].values == {stand.text_field: "a"}
            for ask in (
                lambda: [stand.connection.read(stand.entity, [record], both)[record].values],
                lambda: [event.values for page in stand.connection.backfill([stand.entity]) for event in page],
            ):
                try:
                    told += ask()
                except Misconfigured as error:
                    refused.append(str(error))
        finally:
            stand.regain(stand.other_field)
        assert [values for values in told if stand.other_field in values] == []
        assert [words for words in refused if remote not in words] == []  # the operator is told which
        assert stand.connection.read(stand.entity, [record], both)[record].values == dict(zip(both, "ab", strict=True))

    def test_backfill_delivers_every_record_once_as_snapshots(self, stand: Stand) -> None:
        made = {stand.create({stand.text_field: f"row {n}"}) for n in range(3)}
        events = [event for page in stand.connection.backfill([stand.entity, "castle"]) for event in page]
        assert {event.kind for event in events} == {"snapshot"}
        assert {event.entity for event in events} == {stand.entity}
        ids = [event.record_id for event in events]
        assert made <= set(ids)
        assert len(ids) == len(set(ids))


def unwell_until_a_write_is_answered(stand: Stand, hold: Hold) -> None:
    """Of a system that refuses writes and answers reads; ``hold`` is that of its connection."""
    record = stand.create({stand.text_field: "old"})
    stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="unavailable"))
    with pytest.raises(Transient):
        stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
    stand.connection.read(stand.entity, [record], [stand.text_field])
    assert hold.trouble(look=False) is not None
    stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
    assert hold.trouble(look=False) is None


class SinkSuite:
    """``Sink``: each write is confirmed or refused on its own, and never happens twice."""

    def test_a_confirmed_write_is_in_the_system(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old", stand.owner_field: stand.owners[0]})
        fields = {stand.text_field: "new", stand.owner_field: stand.owners[1]}
        [result] = stand.connection.write([write_of(stand, record, **fields)])
        assert result.write_id == f"w-{record}"
        assert result.error is None
        held = stand.held(record)
        assert {name: held[name] for name in fields} == fields
        assert stand.times_written(record) == 1

    def test_a_full_batch_is_one_call_and_keeps_its_order(self, stand: Stand) -> None:
        size = stand.connection.batch_size
        ids = [stand.create({stand.text_field: "old"}) for _ in range(size)]
        stand.connection.read(stand.entity, ids[:1], [stand.text_field])  # logged in
        before = stand.connection.calls
        results = stand.connection.write([write_of(stand, one, **{stand.text_field: f"new {one}"}) for one in ids])
        assert stand.connection.calls - before == 1
        assert [result.write_id for result in results] == [f"w-{one}" for one in ids]
        assert all(result.error is None for result in results)
        assert [stand.held(one)[stand.text_field] for one in ids] == [f"new {one}" for one in ids]

    def test_none_empties_a_field(self, stand: Stand) -> None:
        record = stand.create({stand.other_field: "old"})
        [result] = stand.connection.write([write_of(stand, record, **{stand.other_field: None})])
        assert result.error is None
        assert not stand.held(record).get(stand.other_field)

    @pytest.mark.parametrize("text", ANY_TEXT)
    def test_any_text_comes_back_as_it_went(self, stand: Stand, text: str) -> None:
        record = stand.create({stand.text_field: "old"})
        [result] = stand.connection.write([write_of(stand, record, **{stand.text_field: text})])
        assert result.error is None
        assert stand.held(record)[stand.text_field] == text
        read = stand.connection.read(stand.entity, [record], [stand.text_field])
        assert read[record].values == {stand.text_field: text}

    def test_one_refused_record_does_not_hold_up_the_others(self, stand: Stand) -> None:
        good, gone, fine = (stand.create({stand.text_field: "old"}) for _ in range(3))
        stand.delete(gone)
        writes = [write_of(stand, one, **{stand.text_field: "new"}) for one in (good, gone, fine)]
        results = stand.connection.write(writes)
        assert results[0].error is None
        assert results[2].error is None
        assert isinstance(results[1].error, RecordRejected)
        assert not results[1].error.outcome_unknown
        assert [stand.held(one)[stand.text_field] for one in (good, fine)] == ["new", "new"]

    def test_a_lock_on_some_records_is_a_conflict_of_those(self, stand: Stand) -> None:
        ids = [stand.create({stand.text_field: "old"}) for _ in range(4)]
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="lock", share=0.5))
        results = stand.connection.write([write_of(stand, one, **{stand.text_field: "new"}) for one in ids])
        locked = [one for one, result in zip(ids, results, strict=True) if isinstance(result.error, Conflict)]
        assert len(locked) == 2
        for one, result in zip(ids, results, strict=True):
            assert stand.held(one)[stand.text_field] == ("old" if one in locked else "new")
            assert stand.times_written(one) == (0 if one in locked else 1)
            assert (result.error is None) == (one not in locked)

    def test_partial_failures_are_told_record_by_record(self, stand: Stand) -> None:
        ids = [stand.create({stand.text_field: "old"}) for _ in range(10)]
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="partial", share=0.3))
        results = stand.connection.write([write_of(stand, one, **{stand.text_field: "new"}) for one in ids])
        refused = [one for one, result in zip(ids, results, strict=True) if result.error is not None]
        assert len(refused) == 3
        assert [stand.held(one)[stand.text_field] for one in ids] == ["old" if i in refused else "new" for i in ids]
        for error in (result.error for result in results if result.error is not None):
            assert type(error) is RecordRejected
            assert "sandbox said no" in str(error)  # the vendor's own words

    def test_who_may_not_own_a_record_is_refused_as_its_owner(self, stand: Stand) -> None:
        unless_exempt(stand, "departed")
        one, two = (stand.create({stand.owner_field: stand.owners[0]}) for _ in range(2))
        given = ((one, stand.departed), (two, stand.owners[1]))
        results = stand.connection.write([write_of(stand, each, **{stand.owner_field: to}) for each, to in given])
        assert isinstance(results[0].error, OwnerRefused)
        assert results[1].error is None
        assert [stand.held(each)[stand.owner_field] for each in (one, two)] == [stand.owners[0], stand.owners[1]]

    @each_row
    def test_every_failure_of_a_call_is_a_row_of_the_table(
        self, stand: Stand, kind: FaultKind, row: type[ConnectorError], unknown: bool, done: bool
    ) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.connection.read(stand.entity, [record], [stand.text_field])  # logged in
        before = stand.connection.calls
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind=kind, times=9))
        with pytest.raises(ConnectorError) as caught:
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        error = caught.value
        assert (type(error), error.outcome_unknown, error.system) == (row, unknown, stand.system)
        assert not [text for text in said(error) if any(secret in text for secret in stand.secrets)]
        assert kind == "expired_session" or stand.connection.calls - before == 1  # never sent again by itself
        assert error.__cause__ is not None or not kind.startswith("timeout")
        assert stand.held(record)[stand.text_field] == ("new" if done else "old")
        assert stand.times_written(record) == int(done)

    def test_a_limit_is_rate_limited(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(
            Fault(system=stand.system, operation=stand.write_operation, kind="rate_limited", retry_after=3.0)
        )
        with pytest.raises(RateLimited) as caught:
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert caught.value.retry_after == 3.0

    def test_a_slow_answer_is_waited_for(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="slow", seconds=0.05))
        [result] = stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert result.error is None
        assert stand.times_written(record) == 1

    def test_a_person_at_the_same_moment_is_no_error_of_ours(self, stand: Stand) -> None:
        one, two = (stand.create({stand.text_field: "old"}) for _ in range(2))
        kind = Fault(system=stand.system, operation=stand.write_operation, kind="person_edits", share=0.5)
        stand.faults.add(kind)
        results = stand.connection.write([write_of(stand, each, **{stand.text_field: "new"}) for each in (one, two)])
        assert [result.error for result in results] == [None, None]
        assert [stand.times_written(each) for each in (one, two)] == [1, 1]

    def test_an_unknown_field_is_an_error_of_that_write_alone(self, stand: Stand) -> None:
        one, two = stand.create({stand.text_field: "old"}), stand.create({stand.text_field: "old"})
        results = stand.connection.write(
            [write_of(stand, one, no_such_field="x"), write_of(stand, two, **{stand.text_field: "new"})]
        )
        assert isinstance(results[0].error, Misconfigured)
        assert "no_such_field" in str(results[0].error)
        assert results[1].error is None

    def test_what_it_has_no_such_thing_as_is_refused_and_holds_up_nothing(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        castle = msgspec.structs.replace(write_of(stand, "castle", name="x"), entity="castle", kind="create")
        results = stand.connection.write([castle, write_of(stand, record, **{stand.text_field: "new"})])
        assert isinstance(results[0].error, Misconfigured)
        assert results[1].error is None
        assert stand.held(record)[stand.text_field] == "new"

    def test_a_merge_is_made_or_refused_and_never_taken_for_a_change(self, stand: Stand) -> None:
        keeps, goes, other = (stand.create({stand.text_field: "old"}) for _ in range(3))
        merge = msgspec.structs.replace(write_of(stand, keeps, merged=[goes]), kind="merge")
        results = stand.connection.write([merge, write_of(stand, other, **{stand.text_field: "new"})])
        assert results[1].error is None
        assert stand.held(other)[stand.text_field] == "new"
        there = set(stand.connection.read(stand.entity, [keeps, goes], [stand.text_field]))
        if results[0].error is None:
            assert there == {keeps}
        else:
            assert isinstance(results[0].error, Misconfigured)
            assert "merge" in str(results[0].error)
            assert there == {keeps, goes}


class SessionSuite:
    """Systems with sessions: an expired one is renewed, once, without losing or repeating the write."""

    def test_an_expired_session_is_renewed_and_the_write_happens_once(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="expired_session"))
        [result] = stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert result.error is None
        assert stand.times_written(record) == 1
