"""Strings there, typed values here."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hubspot.values import to_canonical, to_property
from connectors.mapping import Unconvertible


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        ("text", "  kept as it is ", "  kept as it is "),
        ("text", "", None),
        ("text", None, None),
        ("text", 12, "12"),
        ("number", "12", 12),
        ("number", "12.0", 12),
        ("number", "12.5", 12.5),
        ("number", "1-5", 1),
        ("number", "100–500", 100),
        ("number", "1000+", 1000),
        ("money", "1e3", 1000),
        ("boolean", "true", True),
        ("boolean", "False", False),
        ("boolean", True, True),
        ("date", "2026-11-22", "2026-11-22"),
        ("date", "1795305600000", "2026-11-22"),
        ("datetime", "2026-11-22T10:00:00Z", "2026-11-22T10:00:00.000Z"),
        ("datetime", "2026-11-22T10:00:00.5+02:00", "2026-11-22T08:00:00.500Z"),
        ("datetime", "1795341600120", "2026-11-22T10:00:00.120Z"),
        ("list", "a;b;;c", ["a", "b", "c"]),
        ("person", "41", "41"),
    ],
)
def test_reading(kind: str, raw: Any, value: Any) -> None:
    read = to_canonical(kind, raw)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [("number", "many"), ("number", "inf"), ("boolean", "yes"), ("date", "2026-13-01"), ("datetime", "soon"),
     ("datetime", "999999999999999999"), ("text", {"a": 1}), ("number", [1])],
)  # fmt: skip
def test_what_does_not_fit_says_so_without_the_value(kind: str, raw: Any) -> None:
    with pytest.raises(Unconvertible) as caught:
        to_canonical(kind, raw)
    assert str(raw) not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), ("x", "x"), (True, "true"), (7, "7"), (7.0, "7"), (7.25, "7.25"), (["a", "b"], "a;b"), ([], "")],
)
def test_writing(value: Any, text: str) -> None:
    assert to_property(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), ["a;b"], {"a": 1}, [1]])
def test_what_hubspot_could_not_hold_is_refused(value: Any) -> None:
    with pytest.raises(Unconvertible):
        to_property(value)


@given(st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_come_back_as_they_went(number: float) -> None:
    assert to_canonical("number", to_property(number)) == number


@given(st.sampled_from(["text", "number", "money", "boolean", "date", "datetime", "list", "person"]), st.text())
def test_no_text_breaks_the_reading(kind: str, text: str) -> None:
    try:
        to_canonical(kind, text)
    except Unconvertible:
        pass
