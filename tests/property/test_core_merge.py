"""The mirror ends the same whatever the order in which changes arrive, and however often."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.core.merge import merge
from routing.core.model import ChangeEvent, Record

START = datetime(2026, 11, 22, tzinfo=UTC)

CHANGES = st.lists(
    st.tuples(
        st.integers(1, 4),  # the instant: few, so that many fall together
        st.integers(0, 3),  # the sequence
        st.sampled_from(["updated", "updated", "updated", "deleted", "restored", "merged", "snapshot"]),
        st.dictionaries(
            st.sampled_from(["email", "status", "owner"]), st.sampled_from(["a", "b", None, 7]), max_size=3
        ),
    ),
    max_size=8,
)


def change(number: int, second: int, sequence: int, kind: Any, values: dict[str, Any]) -> ChangeEvent:
    at = START + timedelta(seconds=second)
    return ChangeEvent(
        event_id=str(number),
        system="salesforce",
        entity="lead",
        record_id="1",
        kind=kind,
        occurred_at=at,
        observed_at=at,
        values=values,
        changed=tuple(values),
        sequence=sequence,
        into=str(second) if kind == "merged" else "",
    )


def arrive(events: list[ChangeEvent]) -> Record:
    record, _ = merge(None, change(-1, 0, 0, "created", {"email": "first", "status": "first", "owner": "first"}))
    for event in events:
        before = dict(record.values)
        after, changed = merge(record, event)
        assert record.values == before
        assert {name for name in after.values if after.values[name] != before.get(name)} == changed - {"(deleted)"}
        record = after
    return record


@settings(deadline=None, max_examples=150)
@given(CHANGES, st.integers())
def test_every_order_of_arrival_ends_in_the_same_record(changes: list[Any], seed: int) -> None:
    events = [change(n, *one) for n, one in enumerate(changes)]
    shuffled = events + events[::2]
    random.Random(seed).shuffle(shuffled)
    one, other = arrive(events), arrive(shuffled)
    assert (one.values, one.changed_at, one.deleted) == (other.values, other.changed_at, other.deleted)
    assert one.into == other.into
