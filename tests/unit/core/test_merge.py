"""The mirror's record after changes that come late, twice, or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from routing.core.merge import DELETED, merge
from routing.core.model import Record
from tests.unit.core.policy import NOW, QUEUE, event, lead


def change(seconds: float, kind: str = "updated", sequence: int = 0, **values: Any) -> Any:
    at = NOW + timedelta(seconds=seconds)
    return event(lead(**values), kind, occurred_at=at, sequence=sequence, changed=tuple(values))


def test_a_new_record_and_what_it_brings() -> None:
    record, changed = merge(None, change(0, "created", email="a@b.de", state=None))
    assert record.values == {"email": "a@b.de", "state": None}
    assert record.changed_at["email"] == "2026-11-22T18:00:00.000Z"
    assert changed == {"email"}


def test_a_late_change_loses_field_by_field() -> None:
    record, _ = merge(None, change(0, "created", email="a@b.de", state="CA"))
    record, _ = merge(record, change(10, email="new@b.de"))
    after, changed = merge(record, change(5, email="late@b.de", state="NY"))
    assert after.values == {"email": "new@b.de", "state": "NY"}
    assert changed == {"state"}


def test_a_repeated_event_changes_nothing_and_gives_back_the_same_record() -> None:
    record, _ = merge(None, change(0, "created", email="a@b.de"))
    after, changed = merge(record, change(0, "created", email="a@b.de"))
    assert after is record
    assert changed == frozenset()


def test_within_one_instant_the_sequence_decides() -> None:
    record, _ = merge(None, change(0, "created", status="Open"))
    record, _ = merge(record, change(1, sequence=7, status="Won"))
    after, changed = merge(record, change(1, sequence=6, status="Lost"))
    assert (after.values["status"], changed) == ("Won", frozenset())
    after, _ = merge(record, change(1, sequence=8, status="Lost"))
    assert after.values["status"] == "Lost"


def test_a_snapshot_never_overwrites_what_is_newer() -> None:
    record, _ = merge(None, change(10, status="Won"))
    after, changed = merge(record, change(5, "snapshot", status="Open", state="CA"))
    assert after.values == {"status": "Won", "state": "CA"}
    assert changed == {"state"}


def test_deletion_and_restoration_in_any_order() -> None:
    created, gone, back = change(0, "created", status="A"), change(1, "deleted"), change(2, "restored", status="B")
    for order in ([created, gone, back], [created, back, gone], [back, gone, created], [gone, back, created]):
        record: Record | None = None
        for one in order:
            record, _ = merge(record, one)
        assert record is not None
        assert not record.deleted
        assert record.values == {"status": "B"}
    record, changed = merge(merge(None, created)[0], gone)
    assert record.deleted
    assert changed == {DELETED}


def test_a_late_update_does_not_raise_the_dead() -> None:
    record, _ = merge(merge(None, change(0, "created", status="A"))[0], change(5, "deleted"))
    record, _ = merge(record, change(3, status="B"))
    assert record.deleted


def test_a_late_deletion_does_not_bury_what_changed_after_it() -> None:
    record, _ = merge(merge(None, change(0, "created", status="A"))[0], change(5, "snapshot", status="B"))
    record, changed = merge(record, change(3, "deleted"))
    assert (record.deleted, changed) == (False, frozenset())


def test_erasure_leaves_nothing_of_the_person() -> None:
    record, _ = merge(None, change(0, "created", email="a@b.de", first_name="Ana"))
    record, changed = merge(record, change(5, "erased"))
    assert record.deleted
    assert b"Ana" not in msgspec.json.encode(record)
    assert changed == {"email", "first_name", DELETED}
    for late in (change(1, email="a@b.de"), change(9, email="a@b.de"), change(9, "snapshot", email="a@b.de")):
        record, _ = merge(record, late)
        assert record.values == {}


def test_an_owner_set_in_the_crm_ends_our_claim() -> None:
    record, _ = merge(None, change(0, "created", owner=QUEUE))
    record.decided_owner, record.decided_at = "ana@example.com", "2026-11-22T18:00:01.000Z"
    untouched, _ = merge(record, change(1, status="B"))
    assert untouched.decided_owner == "ana@example.com"
    late, _ = merge(record, change(-1, owner="005BO"))
    assert late.decided_owner == "ana@example.com"
    after, _ = merge(record, change(2, owner="005BO"))
    assert (after.decided_owner, after.decided_at) == ("", "")
    assert record.decided_owner == "ana@example.com"


def test_a_record_on_hold_is_taken_by_a_person_but_not_by_a_queue() -> None:
    record, _ = merge(None, change(0, "created", owner=None))
    record.on_hold = True
    moved, _ = merge(record, change(1, owner=QUEUE))
    assert moved.on_hold
    assert not moved.taken
    taken, _ = merge(moved, change(2, owner="005BO"))
    assert taken.taken
    taken.on_hold = False
    later, _ = merge(taken, change(3, status="B"))
    assert not later.taken


def test_the_input_is_left_alone() -> None:
    record, _ = merge(None, change(0, "created", email="a@b.de", owner="x"))
    record.decided_owner = "ana@example.com"
    before = msgspec.json.encode(record)
    for kind in ("updated", "deleted", "restored", "merged", "erased", "snapshot", "gap", "tick"):
        merge(record, change(5, kind, 3, email="b@b.de", owner="y"))
    assert msgspec.json.encode(record) == before
