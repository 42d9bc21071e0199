from __future__ import annotations

import msgspec
import pytest

from routing.core.model import ChangeEvent, Unreadable, derived_id
from routing.ledger import journal
from routing.ledger.engine import Ledger, LedgerError
from routing.ledger.journal import Ending
from tests.conftest import START, ManualClock


def event(n: int, **more: object) -> ChangeEvent:
    base = ChangeEvent(
        event_id=derived_id("test", str(n)),
        system="salesforce",
        entity="lead",
        record_id=f"00Q{n}",
        kind="created",
        occurred_at=START,
        observed_at=START,
        values={"email": f"p{n}@acme.example", "employees": 12, "tags": ["a", "b"], "note": "żółć 日本"},
    )
    return msgspec.structs.replace(base, **more)


def test_an_event_comes_back_as_it_went_in_and_in_order(ledger: Ledger, clock: ManualClock) -> None:
    events = [event(n) for n in range(5)]
    with ledger.write() as conn:
        assert journal.accept(conn, events, clock()) == 5
    with ledger.read() as conn:
        assert [entry.event for entry in journal.next_entries(conn, "accepted", 10)] == events
        assert [entry.event for entry in journal.next_entries(conn, "accepted", 2)] == events[:2]


def test_a_redelivered_event_is_known(ledger: Ledger, clock: ManualClock) -> None:
    with ledger.write() as conn:
        assert journal.accept(conn, [event(1), event(2), event(1)], clock()) == 2
    with ledger.write() as conn:
        assert journal.accept(conn, [event(2), event(3)], clock()) == 1
        assert journal.counts(conn) == {"accepted": 3}


def test_what_cannot_be_read_is_parked_and_can_be_retried_or_discarded(ledger: Ledger, clock: ManualClock) -> None:
    bad = [
        Unreadable(event_id=f"{n}" * 36, system="hubspot", error="not JSON", raw=b"\x00{", observed_at=START)
        for n in range(2)
    ]
    with ledger.write() as conn:
        journal.accept(conn, bad, clock())
        assert [row["reason"] for row in journal.parked(conn)] == ["not JSON", "not JSON"]
        assert journal.retry_parked(conn, ["0" * 36]) == 1
        assert [entry.raw for entry in journal.next_raw(conn, 10, "hubspot")] == [b"\x00{"]
        assert journal.discard_parked(conn, ["1" * 36], "discarded by ops: test", clock()) == 1
        assert journal.discard_parked(conn, ["0" * 36], "not parked any more", clock()) == 0
        assert journal.counts(conn) == {"reread": 1, "skipped": 1}


def test_incomplete_events_wait_for_their_values(ledger: Ledger, clock: ManualClock) -> None:
    with ledger.write() as conn:
        journal.accept(conn, [event(1, complete=False, values={})], clock())
        assert journal.next_entries(conn, "accepted", 10) == []
        [entry] = journal.next_entries(conn, "incomplete", 10)
        journal.complete(conn, [(entry.seq, event(1))])
        assert [e.event for e in journal.next_entries(conn, "accepted", 10)] == [event(1)]


def test_a_failed_transaction_leaves_nothing_behind(ledger: Ledger, clock: ManualClock) -> None:
    with pytest.raises(RuntimeError), ledger.write() as conn:
        journal.accept(conn, [event(1)], clock())
        journal.set_position(conn, "salesforce", "s", b"7", clock())
        raise RuntimeError("crash")
    with ledger.read() as conn:
        assert journal.counts(conn) == {}
        assert journal.get_position(conn, "salesforce", "s") is None


def test_a_number_is_never_given_twice(ledger: Ledger, clock: ManualClock) -> None:
    with ledger.write() as conn:
        journal.accept(conn, [event(1)], clock())
        [first] = journal.next_entries(conn, "accepted", 1)
        conn.exec_driver_sql("DELETE FROM journal")
        journal.accept(conn, [event(2)], clock())
        [second] = journal.next_entries(conn, "accepted", 1)
    assert second.seq > first.seq


def test_erasure_leaves_a_stub(ledger: Ledger, clock: ManualClock) -> None:
    with ledger.write() as conn:
        journal.accept(conn, [event(1)], clock())
        [entry] = journal.next_entries(conn, "accepted", 1)
        journal.settle(conn, [Ending(entry.seq, "applied")], clock())
        assert journal.erase(conn, "salesforce:lead:00Q1", entry.seq) == 1
        bodies = conn.exec_driver_sql("SELECT body FROM journal").scalars().all()
    assert "acme" not in "".join(bodies)


def test_upgrade_can_be_repeated_and_refuses_a_newer_ledger(ledger: Ledger) -> None:
    ledger.upgrade()
    with ledger.write() as conn:
        conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="newer version"):
        ledger.upgrade()


def test_the_ledger_is_a_file_that_can_be_opened(tmp_path: object) -> None:
    with pytest.raises(LedgerError, match="must be a file"):
        Ledger("sqlite:///:memory:")
    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger("sqlite:////proc/nothing.db").upgrade()


def test_the_schema_and_the_migrations_agree(ledger: Ledger) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from routing.ledger.schema import metadata

    with ledger.read() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []


def test_reading_does_not_wait_for_a_writer(ledger: Ledger, clock: ManualClock) -> None:
    with ledger.write() as conn:
        journal.accept(conn, [event(1)], clock())
        with ledger.read() as other:
            assert journal.counts(other) == {}
