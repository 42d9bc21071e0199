"""Fairness as a promise: for a fixed roster and any weights, nobody is a whole lead away from their share, ever."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.core.distribution import pick
from routing.core.model import PoolState
from rules.model import Pool

WEIGHTS = st.one_of(
    st.integers(1, 10).map(float),
    st.floats(1e-3, 1e3, allow_nan=False),
    st.sampled_from([1 / 3, 0.1, 1e-6, 1e6]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(WEIGHTS, min_size=1, max_size=15), st.integers(50, 300))
def test_a_fixed_roster_stays_within_one_lead_at_every_prefix(weights: list[float], turns: int) -> None:
    pool = Pool("P", "weighted", {f"p{n}": weight for n, weight in enumerate(weights)})
    total = sum(weights)
    state = PoolState("P")
    for turn in range(1, turns + 1):
        chosen, state, _ = pick(pool, state, {})
        assert chosen is not None
        for person, weight in pool.members.items():
            assert abs(state.assigned.get(person, 0) - turn * weight / total) < 1


@settings(deadline=None, max_examples=60)
@given(
    st.lists(WEIGHTS, min_size=2, max_size=8),
    st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=120),
)
def test_nobody_away_is_chosen_and_no_lead_is_lost_or_given_twice(
    weights: list[float], absences: list[set[int]]
) -> None:
    pool = Pool("P", "weighted", {f"p{n}": weight for n, weight in enumerate(weights)})
    state, given_out = PoolState("P"), 0
    for absent in absences:
        away = {f"p{n}": "away" for n in absent}
        chosen, state, views = pick(pool, state, away)
        assert [view.person for view in views] == list(pool.members)
        if chosen is None:
            assert set(pool.members) <= set(away)
        else:
            given_out += 1
            assert chosen not in away
    assert sum(state.assigned.values()) == given_out
    assert abs(sum(state.ideal.values()) - given_out) < 1e-6
