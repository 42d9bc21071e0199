"""What a connector must do together with the courier that calls it, written once: guards, second tries, creations; see ``suites.py``.

The courier is the real one, with a ledger of its own: whether a person was faster, and whether a lost answer may be asked for again, is
decided there, by what the connector reads, and by what it says of an outcome.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from connectors.contract import WriteResult
from connectors.errors import ConnectorError, Misconfigured
from connectors.sandbox.faults import Fault, FaultKind
from routing.core.model import Write
from routing.delivery import retrying, verdicts
from routing.delivery.courier import Courier
from routing.ledger import outbox
from routing.ledger.engine import Ledger
from routing.runtime.clock import utcnow
from routing.runtime.feed import Feed
from tests.conftest import ManualClock
from tests.contract.suites import ANY_TEXT, Stand, unless_exempt, write_of

_TRIES = 20


class Post:
    """What is owed to the stand's system, and the courier that brings it there without waiting."""

    def __init__(self, stand: Stand, ledger: Ledger, clock: ManualClock) -> None:
        self._stand, self._ledger, self._clock = stand, ledger, clock
        self._courier = Courier(stand.connection, ledger, clock, Feed())

    def deliver(self, *writes: Write, until: int = 0) -> list[tuple[str, str]]:
        """Owes them, and delivers until nothing is pending, or so many are confirmed: state and detail of each."""
        with self._ledger.write() as conn:
            outbox.add(conn, [(write, 0, 0) for write in writes], self._clock())
        return self.go_on(until)

    def go_on(self, until: int = 0) -> list[tuple[str, str]]:
        """Delivers what is pending: state and detail of all that was ever owed."""
        for _ in range(_TRIES):
            self._clock.advance(60)
            self._courier.deliver_some(threading.Event())
            with self._ledger.read() as conn:
                rows = [tuple(row) for row in conn.exec_driver_sql("SELECT state, detail FROM outbox ORDER BY seq")]
            states = [state for state, _ in rows]
            if "pending" not in states or (until and states.count("confirmed") >= until):
                return rows  # type: ignore[return-value]
        raise AssertionError(f"still not delivered: {rows}")

    def retry_parked(self) -> list[tuple[str, str]]:
        """As the operator does with what was given up."""
        with self._ledger.write() as conn:
            outbox.retry_parked(conn, None, self._clock())
        return self.go_on()


def guarded(stand: Stand, record_id: str, guard: dict[str, Any], **fields: Any) -> Write:
    """A write that is only good while the record holds what ``guard`` says."""
    return msgspec.structs.replace(write_of(stand, record_id, **fields), guard=guard)


def creation(stand: Stand, email: str, **more: Any) -> Write:
    """A write that makes a record of that address."""
    write = write_of(stand, f"new-{email}", **{**stand.creation(email), **more})
    return msgspec.structs.replace(write, write_id=f"new-{email}", kind="create")


@pytest.fixture
def post(stand: Stand, ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Post:
    monkeypatch.setattr(retrying, "wait_as_asked", lambda _state: 0.0)
    return Post(stand, ledger, clock)


class DeliverySuite:
    """Whoever was faster keeps what they did, and nothing is done twice."""

    def test_what_nobody_touched_is_written_once(self, stand: Stand, post: Post) -> None:
        text, owner = stand.text_field, stand.owner_field
        record = stand.create({text: "old", owner: stand.owners[0]})
        expected = {text: "old", owner: stand.owners[0]}
        [(state, _)] = post.deliver(guarded(stand, record, expected, **{text: "new", owner: stand.owners[1]}))
        assert state == "confirmed"
        assert (stand.held(record)[text], stand.held(record)[owner]) == ("new", stand.owners[1])
        assert stand.times_written(record) == 1

    def test_a_person_who_was_faster_keeps_what_they_entered(self, stand: Stand, post: Post) -> None:
        record, other = (stand.create({stand.text_field: "old"}) for _ in range(2))
        stand.change(record, {stand.text_field: "theirs"})
        expected, ours = {stand.text_field: "old"}, {stand.text_field: "ours"}
        fates = post.deliver(*(guarded(stand, one, expected, **ours) for one in (record, other)))
        assert [state for state, _ in fates] == ["superseded", "confirmed"]
        assert "'theirs'" in fates[0][1]
        assert "person" in stand.exempt or stand.person in fates[0][1]
        assert (stand.held(record)[stand.text_field], stand.times_written(record)) == ("theirs", 0)
        assert (stand.held(other)[stand.text_field], stand.times_written(other)) == ("ours", 1)

    def test_where_a_person_changed_one_field_the_others_are_still_written(self, stand: Stand, post: Post) -> None:
        text, owner = stand.text_field, stand.owner_field
        record = stand.create({text: "old", owner: stand.owners[0]})
        stand.change(record, {text: "theirs"})
        expected = {text: "old", owner: stand.owners[0]}
        [(state, detail)] = post.deliver(guarded(stand, record, expected, **{text: "ours", owner: stand.owners[1]}))
        assert state == "confirmed"
        assert "'theirs'" in detail
        assert (stand.held(record)[text], stand.held(record)[owner]) == ("theirs", stand.owners[1])

    def test_what_it_holds_already_is_not_written_again(self, stand: Stand, post: Post) -> None:
        record = stand.create({stand.text_field: "new"})
        [(state, _)] = post.deliver(guarded(stand, record, {stand.text_field: "old"}, **{stand.text_field: "new"}))
        assert (state, stand.times_written(record)) == ("confirmed", 0)

    def test_a_record_that_is_gone_holds_up_nothing(self, stand: Stand, post: Post) -> None:
        gone, there = (stand.create({stand.text_field: "old"}) for _ in range(2))
        stand.delete(gone)
        expected, ours = {stand.text_field: "old"}, {stand.text_field: "ours"}
        fates = post.deliver(*(guarded(stand, one, expected, **ours) for one in (gone, there)))
        assert [state for state, _ in fates] == ["superseded", "confirmed"]
        assert "deleted" in fates[0][1]

    @pytest.mark.parametrize("text", [*ANY_TEXT, None])
    def test_any_value_is_known_again_as_what_was_expected(self, stand: Stand, post: Post, text: str | None) -> None:
        field = stand.other_field if text is None else stand.text_field  # the other one may be empty
        record = stand.create({field: text})
        [(state, _)] = post.deliver(guarded(stand, record, {field: text}, **{field: "new"}))
        assert (state, stand.held(record)[field]) == ("confirmed", "new")

    @pytest.mark.parametrize(
        "kind",
        [
            "timeout",
            "timeout_after_commit",
            "broken",
            "broken_after_commit",
            "unavailable",
            "expired_session",
            "lock",
            "nonsense",
            "page",
        ],
    )
    def test_whatever_goes_wrong_meanwhile_it_is_written_once(self, stand: Stand, post: Post, kind: FaultKind) -> None:
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind=kind))
        [(state, _)] = post.deliver(guarded(stand, record, {stand.text_field: "old"}, **{stand.text_field: "new"}))
        assert stand.faults.all() == []  # it did go wrong
        assert state == "confirmed"
        assert (stand.held(record)[stand.text_field], stand.times_written(record)) == ("new", 1)

    def test_a_person_between_a_lost_answer_and_the_next_try_wins(
        self, stand: Stand, post: Post, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record, write = stand.create({stand.text_field: "old"}), stand.connection.write

        def lost(writes: Sequence[Write]) -> list[WriteResult]:
            monkeypatch.undo()
            monkeypatch.setattr(retrying, "wait_as_asked", lambda _state: 0.0)
            try:
                return write(writes)
            finally:
                stand.change(record, {stand.text_field: "theirs"})

        monkeypatch.setattr(stand.connection, "write", lost)
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="timeout"))
        [(state, _)] = post.deliver(guarded(stand, record, {stand.text_field: "old"}, **{stand.text_field: "ours"}))
        assert (state, stand.held(record)[stand.text_field]) == ("superseded", "theirs")
        assert stand.times_written(record) == 0

    @pytest.mark.parametrize("operation", ["write_operation", "read_operation"])
    def test_pages_of_a_gateway_are_waited_out_and_nothing_is_given_up(
        self, stand: Stand, post: Post, operation: str
    ) -> None:
        records = [stand.create({stand.text_field: "old"}) for _ in range(3)]
        stand.faults.add(Fault(system=stand.system, operation=getattr(stand, operation), kind="page", times=6))
        guards, ours = {stand.text_field: "old"}, {stand.text_field: "new"}
        fates = post.deliver(*(guarded(stand, one, guards, **ours) for one in records))
        assert stand.faults.all() == []  # it did go wrong
        assert [state for state, _ in fates] == ["confirmed"] * 3
        assert [stand.times_written(one) for one in records] == [1] * 3

    def test_what_was_given_up_in_doubt_is_looked_at_before_it_is_sent_again(
        self, stand: Stand, post: Post, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(verdicts, "MOST_ATTEMPTS", 1)
        record = stand.create({stand.text_field: "old"})
        stand.faults.add(Fault(system=stand.system, operation=stand.write_operation, kind="nonsense"))
        [(state, _)] = post.deliver(guarded(stand, record, {stand.text_field: "old"}, **{stand.text_field: "new"}))
        assert state == "parked"
        [(state, _)] = post.retry_parked()
        assert (state, stand.times_written(record)) == ("confirmed", 1)

    @pytest.mark.parametrize("kind", ["broken", "unavailable", "timeout"])
    def test_a_record_that_the_system_fails_on_holds_up_no_other(
        self, stand: Stand, post: Post, kind: FaultKind, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As where a trigger fails: the same answer as in an outage, but whenever this record is saved."""
        monkeypatch.setattr(verdicts, "MOST_ALONE", 2)
        records = [stand.create({stand.text_field: "old"}) for _ in range(5)]
        stand.faults.add(
            Fault(system=stand.system, operation=stand.write_operation, kind=kind, times=500, record=records[1])
        )
        expected, ours = {stand.text_field: "old"}, {stand.text_field: "new"}
        fates = post.deliver(*(guarded(stand, one, expected, **ours) for one in records[:3]), until=2)
        assert [state for state, _ in fates] == ["confirmed", "pending", "confirmed"]
        fates = post.deliver(*(guarded(stand, one, expected, **ours) for one in records[3:]))
        assert [state for state, _ in fates] == ["confirmed", "parked", "confirmed", "confirmed", "confirmed"]
        assert records[1] in fates[1][1]
        assert "while other writes got through" in fates[1][1]
        assert stand.held(records[1])[stand.text_field] == "old"
        stand.faults.clear()
        assert [state for state, _ in post.retry_parked()] == ["confirmed"] * 5
        assert [stand.times_written(one) for one in records] == [1] * 5

    def test_a_field_that_is_gone_parks_only_what_writes_it(self, stand: Stand, post: Post) -> None:
        unless_exempt(stand, "lose")
        text, other = stand.text_field, stand.other_field
        one, two = stand.create({other: "old"}), stand.create({text: "old"})
        remote = stand.lose(other)
        try:
            writes = [
                guarded(stand, each, {name: "old"}, **{name: "new"}) for each, name in ((one, other), (two, text))
            ]
            fates = post.deliver(*writes)
        finally:
            stand.regain(other)
        assert [state for state, _ in fates] == ["parked", "confirmed"]
        assert remote in fates[0][1] or f"{stand.entity}.{other}" in fates[0][1]
        assert (stand.held(one)[other], stand.held(two)[text]) == ("old", "new")
        assert [state for state, _ in post.retry_parked()] == ["confirmed", "confirmed"]
        assert stand.held(one)[other] == "new"

    # -- making records -----------------------------------------------------------------------------------------------

    def test_what_is_made_holds_what_was_asked_and_its_id_comes_back(self, stand: Stand) -> None:
        unless_exempt(stand, "creation")
        writes = [creation(stand, f"made{n}@example.com", **{stand.text_field: f"row {n}"}) for n in range(3)]
        results = stand.connection.write(writes)
        assert [(result.write_id, result.error) for result in results] == [(one.write_id, None) for one in writes]
        for n, result in enumerate(results):
            assert stand.with_email(f"made{n}@example.com") == [result.record_id]
            assert stand.held(result.record_id)[stand.text_field] == f"row {n}"
            read = stand.connection.read(stand.entity, [result.record_id], [stand.text_field])
            assert read[result.record_id].values == {stand.text_field: f"row {n}"}

    def test_one_refused_creation_holds_up_neither_another_nor_a_change(self, stand: Stand) -> None:
        unless_exempt(stand, "creation")
        record = stand.create({stand.text_field: "old"})
        wrong = creation(stand, "wrong@example.com", no_such_field="x")
        good = creation(stand, "good@example.com")
        refused, made, changed = stand.connection.write(
            [wrong, good, write_of(stand, record, **{stand.text_field: "new"})]
        )
        assert isinstance(refused.error, Misconfigured)
        assert "no_such_field" in str(refused.error)
        assert (made.error, changed.error) == (None, None)
        assert [stand.with_email(f"{name}@example.com") for name in ("wrong", "good")] == [[], [made.record_id]]
        assert stand.held(record)[stand.text_field] == "new"

    def test_after_a_lost_answer_what_was_made_is_found_and_nothing_else(self, stand: Stand) -> None:
        unless_exempt(stand, "creation")
        lost, never = creation(stand, "lost@example.com"), creation(stand, "never@example.com")
        owed = utcnow()
        stand.faults.add(Fault(system=stand.system, operation=stand.create_operation, kind="timeout_after_commit"))
        with pytest.raises(ConnectorError) as caught:
            stand.connection.write([lost])
        assert caught.value.outcome_unknown
        [made] = stand.with_email("lost@example.com")
        assert stand.connection.created([lost, never], owed) == {lost.write_id: made}
        assert stand.with_email("never@example.com") == []  # looking makes nothing

    def test_nothing_to_look_for_needs_no_call(self, stand: Stand) -> None:
        before = stand.connection.calls
        assert stand.connection.created([], utcnow()) == {}
        assert stand.connection.calls == before

    @pytest.mark.parametrize(
        "kind", ["timeout", "timeout_after_commit", "broken", "broken_after_commit", "nonsense", "page"]
    )
    def test_whatever_is_lost_meanwhile_it_is_made_once(self, stand: Stand, post: Post, kind: FaultKind) -> None:
        unless_exempt(stand, "creation")
        email = f"{kind}@example.com"
        stand.faults.add(Fault(system=stand.system, operation=stand.create_operation, kind=kind))
        [(state, detail)] = post.deliver(creation(stand, email))
        [made] = stand.with_email(email)
        assert stand.faults.all() == []  # it did go wrong
        assert state == "confirmed"
        assert made in detail
