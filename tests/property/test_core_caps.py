"""Leads given and given back, in any order and of any kind: caps count those that were not given back, at the times they were given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.core.distribution.caps import Given
from routing.core.distribution.entries import PoolEntry

KINDS = ("", "Large", "Small")
PEOPLE = ("ana", "bo")
NINE = datetime(2026, 11, 23, 9, 0, 0, 123_456, tzinfo=UTC)

# Minutes since the step before (the clock may go back), whose lead, its kind, and which of the leads is given back instead of that.
STEPS = st.lists(
    st.tuples(st.integers(-90, 1_000), st.sampled_from(PEOPLE), st.sampled_from(KINDS), st.none() | st.integers(0, 50)),
    max_size=60,
)


def entry(seq: int, person: str, what: str, kind: str, at: datetime, given_at: datetime | None = None) -> PoolEntry:
    return PoolEntry(pool="P", kind=kind, seq=seq, person=person, what=what, at=at, leads=1.0, given=given_at)  # type: ignore[arg-type]


def as_stored(moment: datetime | None) -> datetime | None:
    """The ledger keeps milliseconds."""
    return None if moment is None else datetime.fromtimestamp(round(moment.timestamp() * 1000) / 1000, UTC)


@settings(deadline=None, max_examples=150)
@given(STEPS)
def test_caps_count_exactly_the_leads_that_were_not_given_back(steps: list[tuple[int, str, str, int | None]]) -> None:
    live, now, left = Given(), NINE, list[tuple[str, str, datetime]]()
    entries: list[PoolEntry] = []
    for seq, (minutes, person, kind, which) in enumerate(steps):
        now += timedelta(minutes=minutes)
        if which is None or not left:
            left.append((person, kind, now))
            entries.append(entry(seq, person, "assigned", kind, now))
        else:
            person, kind, given_at = left.pop(which % len(left))
            entries.append(entry(seq, person, "refused", kind, now, given_at))
        live.add(entries[-1])
    again = Given()
    for one in sorted(entries, key=lambda one: (max(one.at, one.given or one.at), one.kind, one.seq)):  # as it is read
        stored = {"at": as_stored(one.at), "given": as_stored(one.given)}
        again.add(PoolEntry(**{name: getattr(one, name) for name in PoolEntry.__struct_fields__} | stored))
    for person in PEOPLE:
        for kind in KINDS:
            expected = sorted(at for who, of, at in left if who == person and kind in ("", of))
            assert live.of(person, kind) == expected
            assert again.of(person, kind) == [as_stored(at) for at in expected]
    for kind in KINDS:
        expected = sorted(at for _, of, at in left if kind in ("", of))
        assert live.of_all(kind) == expected
        assert again.of_all(kind) == [as_stored(at) for at in expected]
