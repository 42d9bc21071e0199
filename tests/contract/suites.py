"""What every connector must do, written once. A connector's own test module subclasses a suite and gives it a ``stand``.

A ``Stand`` is one system that really answers (a sandbox over loopback), the connector under test pointed at it, and a
second pair of eyes on the system itself (``held``, ``times_written``), so that outcomes are checked where a user would
look and not in the connector's own words. A gap is marked ``xfail(strict=True)`` with its reason in the subclass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import pytest

from connectors.contract import Connection
from connectors.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectorError,
    Misconfigured,
    RateLimited,
    RecordRejected,
    Transient,
)
from connectors.sandbox.faults import Fault, Faults
from routing.core.model import Values, Write

# Other scripts, what languages of queries and markup give a meaning to, and as long as a field takes.
ANY_TEXT = ("Ünïcödé 株式会社 🦊 مرحبا", 'O\'Brien "&" <b>Söhne</b>; \\ %41 {{x}}', "null", "0", "x" * 255)


class Stand(Protocol):
    """One system under test. ``entity`` is the canonical entity the suite works on; field names are canonical."""

    system: str
    connection: Connection
    faults: Faults
    entity: str
    text_field: str  # a plain text field that may be written
    other_field: str  # another one
    owner_field: str
    owners: Sequence[str]  # two ids of people who may own a record
    write_operation: str  # the fault operation of ``Sink.write``
    read_operation: str  # the fault operation of ``Reader.read``

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

    def missing_id(self) -> str:
        """A well-formed id of a record that never existed."""
        ...


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

    def test_a_busy_system_is_transient(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "a"})
        stand.faults.add(Fault(system=stand.system, operation=stand.read_operation, kind="unavailable"))
        with pytest.raises(Transient) as caught:
            stand.connection.read(stand.entity, [record], [stand.text_field])
        assert not caught.value.outcome_unknown
        assert record in stand.connection.read(stand.entity, [record], [stand.text_field])

    def test_a_limit_tells_how_long_to_wait(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "a"})
        stand.faults.add(
            Fault(system=stand.system, operation=stand.read_operation, kind="rate_limited", retry_after=7.0)
        )
        with pytest.raises(RateLimited) as caught:
            stand.connection.read(stand.entity, [record], [stand.text_field])
        assert caught.value.retry_after == 7.0

    def test_backfill_delivers_every_record_once_as_snapshots(self, stand: Stand) -> None:
        made = {stand.create({stand.text_field: f"row {n}"}) for n in range(3)}
        events = [event for page in stand.connection.backfill([stand.entity]) for event in page]
        assert {event.kind for event in events} == {"snapshot"}
        assert {event.entity for event in events} == {stand.entity}
        ids = [event.record_id for event in events]
        assert made <= set(ids)
        assert len(ids) == len(set(ids))


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

    def test_a_busy_system_wrote_nothing_and_says_so(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="unavailable"))
        with pytest.raises(Transient) as caught:
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert not caught.value.outcome_unknown
        assert stand.held(record)[stand.text_field] == "old"

    def test_a_limit_is_rate_limited(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(
            Fault(system=stand.system, operation=stand.write_operation, kind="rate_limited", retry_after=3.0)
        )
        with pytest.raises(RateLimited) as caught:
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert caught.value.retry_after == 3.0

    def test_a_failure_inside_the_system_may_have_happened(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="broken"))
        with pytest.raises(Transient) as caught:
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert caught.value.outcome_unknown
        assert stand.times_written(record) == 0

    def test_the_end_of_the_days_calls_is_a_limit(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="daily_limit"))
        with pytest.raises(RateLimited) as caught:
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert not caught.value.outcome_unknown
        assert stand.held(record)[stand.text_field] == "old"

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

    @pytest.mark.parametrize(("kind", "committed"), [("timeout", False), ("timeout_after_commit", True)])
    def test_silence_after_sending_is_an_unknown_outcome_and_not_sent_again(
        self, stand: Stand, kind: Any, committed: bool
    ) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.connection.read(stand.entity, [record], [stand.text_field])
        before = stand.connection.calls
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind=kind))
        with pytest.raises(ConnectorError) as caught:
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert caught.value.outcome_unknown
        assert stand.connection.calls - before == 1
        assert stand.held(record)[stand.text_field] == ("new" if committed else "old")
        assert stand.times_written(record) == int(committed)

    def test_an_unknown_field_is_an_error_of_that_write_alone(self, stand: Stand) -> None:
        one, two = stand.create({stand.text_field: "old"}), stand.create({stand.text_field: "old"})
        results = stand.connection.write(
            [write_of(stand, one, no_such_field="x"), write_of(stand, two, **{stand.text_field: "new"})]
        )
        assert isinstance(results[0].error, ConnectorError)
        assert "no_such_field" in str(results[0].error)
        assert results[1].error is None

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

    def test_a_session_that_stays_refused_is_an_authentication_failure(self, stand: Stand) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="expired_session", times=9))
        with pytest.raises(AuthenticationFailed):
            stand.connection.write([write_of(stand, record, **{stand.text_field: "new"})])
        assert stand.times_written(record) == 0
