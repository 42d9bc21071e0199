"""Sets of atoms as runs and as ints say the same, and a condition read by its pattern is what the grammar makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rules.analysis.masks import Runs, bits_of, inside, lowest, runs_of, touches, union
from rules.language.checking import Checker
from rules.language.grammar import parse
from rules.language.mistakes import ConditionError
from rules.pools.people import People
from tests.unit.rules.test_ruleset import SCOPE

MASKS = st.integers(0, 2**12 - 1)
TEXTS = st.sampled_from(('"a"', "'DE'", '"b c"', '""', '"2026-01-01"'))
NUMBERS = st.sampled_from(("0", "7", "1000", "2.5"))
SHAPES = st.sampled_from(
    (
        "lead.country = {} and lead.employees in {}..{} and not lead.postal_code starts with {}",
        "lead.country in ({}, {}) or lead.employees >= {}",
        "lead.employees / {} > {} and lead.country = {}",
        "first(lead.employees, account.employees) in ({}, ..{}) and lead.created_at before {}",
        "lead.status changed from {} to {} or lead.score crossed {}",
        "lead.created_at within 30 days and lead.company matches {}",
    )
)


@given(MASKS, MASKS)
def test_runs_and_ints_are_the_same_sets(one: int, other: int) -> None:
    some, more = Runs.of(one), Runs.of(other)
    for made, meant in (
        (some & more, one & other), (some | more, one | other), (some & ~more, one & ~other), (some & other, one & other),
        (one | more, one | other), (~(~some), one), (~(~some | ~more), one & other), (union((some, more)), one | other),
    ):  # fmt: skip
        assert made == Runs.of(meant)
        assert (bool(made), made.bit_count(), made.bit_length()) == (bool(meant), meant.bit_count(), meant.bit_length())
        assert list(bits_of(made)) == list(bits_of(meant))
        assert runs_of(made) == runs_of(meant)
    assert touches(some, more) == touches(one, other) == bool(one & other)
    assert inside(some, more) == inside(one, other) == (one & other == one)
    assert not one or lowest(some) == lowest(one)


@given(
    SHAPES, st.lists(st.tuples(TEXTS, NUMBERS), min_size=4, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4)
)
def test_a_condition_of_a_known_pattern_is_read_as_if_it_were_the_first(
    shape: str, values: list[tuple[str, str]], kinds: list[bool]
) -> None:
    usual = ("0", "7", "9", "8") if shape.startswith("lead.employees") else ('"DE"', "7", "9", '"1"')
    texts = [shape.format(*usual), shape.format(*(value[kind] for value, kind in zip(values, kinds, strict=True)))]
    checker = Checker(SCOPE, People())
    for text in texts:
        fresh = Checker(SCOPE, People())
        expected = _told(lambda complain, fresh=fresh, text=text: fresh.check(parse(text), complain))
        assert _told(lambda complain, text=text: (read := checker.read(text, complain)) and read.tree) == expected


def _told(read: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    """The tree, and what was complained about."""
    said: list[Any] = []
    try:
        return read(lambda *flaw: said.append(flaw)), said
    except ConditionError as error:
        return None, [error.span, error.message, error.hint]
