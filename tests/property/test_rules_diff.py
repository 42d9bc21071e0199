"""Generated changes of ladders: what a comparison says of them is so, asked of both ladders themselves."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.analysis.diff import compare
from rules.analysis.outline import describe
from rules.analysis.pairing import Part, moved, paired
from rules.policy import Policy, compile_policy
from tests.property.test_rules_analysis import CONDITIONS, LEADS
from tests.unit.rules.samples import NOW, can_receive, facts, ladder, policy_files

RUNGS = st.tuples(st.sampled_from("ABCDEF"), CONDITIONS, st.sampled_from(("pool Everyone", "Ana Diaz", "hold it")))
LADDERS = st.lists(RUNGS, min_size=1, max_size=5, unique_by=lambda rung: rung[0])


def policy(rungs: list[tuple[str, str, str]]) -> Policy:
    texts = [f"rung: {name}\nwhen: {when}\nassign: {does}" for name, when, does in rungs]
    return compile_policy(policy_files(engagement=ladder(*texts, "otherwise: Ben Okafor")))


def goes(one: Policy, record: dict[str, Any]) -> str:
    return describe(one.walk(record, can_receive, NOW).action, one)


@st.composite
def changes(draw: st.DrawFn) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """A ladder, and the same after some edits."""
    before = draw(LADDERS)
    after = list(draw(st.permutations(before))) if draw(st.booleans()) else list(before)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(after)))
        rung = draw(RUNGS)
        if rung[0] in {name for name, _, _ in after}:
            after = [rung if one[0] == rung[0] else one for one in after]
        else:
            after.insert(at, rung)
    return before, after


@given(changes())
@settings(deadline=None, max_examples=80)
def test_records_that_are_said_to_go_elsewhere_do(pair: tuple[list[Any], list[Any]]) -> None:
    old, new = policy(pair[0]), policy(pair[1])
    found = compare(old, new, NOW)
    for one in found.moved:
        lead = {path.removeprefix("lead."): value for path, value in one.values.items() if path.startswith("lead.")}
        record = facts({name: value for name, value in lead.items() if value is not None})
        assert (goes(old, record), goes(new, record)) == (one.before, one.after)
        assert one.before != one.after
    if pair[0] == pair[1]:
        assert found.changes == []
    if any(goes(old, facts(lead)) != goes(new, facts(lead)) for lead in LEADS):
        assert found.changes != []
        assert found.moved != []


@given(st.lists(st.integers(0, 9), unique=True, max_size=9), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_fewest_parts_are_said_to_have_moved(numbers: list[int], random: Any) -> None:
    before = [Part(str(number)) for number in numbers]
    after = [Part(str(number)) for number in random.sample(numbers, len(numbers))]
    out = {part.name for part in moved(before, paired(before, after, renamed=False))}
    rest = [part.name for part in after if part.name not in out]
    assert rest == [part.name for part in before if part.name not in out]
    longest = _longest([numbers.index(int(part.name)) for part in after])
    assert len(rest) == longest


def _longest(numbers: list[int]) -> int:
    best: list[int] = []
    for at, number in enumerate(numbers):
        best.append(1 + max((best[one] for one in range(at) if numbers[one] < number), default=0))
    return max(best, default=0)
