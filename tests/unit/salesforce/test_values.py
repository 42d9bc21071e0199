"""What Salesforce tells of a field, by the type that fields.yaml gives it: read, or refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.mapping import Unconvertible
from connectors.salesforce.reader import values_of
from connectors.salesforce.values import reader_of
from tests.contract.salesforce_stand import LEAD


@pytest.mark.parametrize(
    ("kind", "told", "read"),
    [
        ("number", 250.0, 250),
        ("number", "250.0", 250),  # a bulk job's, or a text field's
        ("money", 0.5, 0.5),
        ("boolean", True, True),
        ("boolean", "false", False),
        ("date", "2026-11-23", "2026-11-23"),
        ("date", 1763856000000, "2025-11-23"),
        ("datetime", "2026-11-23T08:00:00.000+0000", "2026-11-23T08:00:00.000Z"),
        ("datetime", "2026-11-23T09:00:00+01:00", "2026-11-23T08:00:00.000Z"),
        ("datetime", "2026-11-23", "2026-11-23T00:00:00.000Z"),
        ("list", "A;B", ["A", "B"]),
        ("text", "a few", "a few"),
        ("choice", 5.0, "5"),
        ("text", True, "true"),
    ],
)
def test_what_fits_is_read(kind: str, told: Any, read: Any) -> None:
    found = reader_of(kind)(told)
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("kind", "told", "why"),
    [
        ("number", "a few", "is not a number"),
        ("number", True, "is not a number"),
        ("money", float("inf"), "is not a finite number"),
        ("boolean", "maybe", "is neither true nor false"),
        ("boolean", 1, "is neither true nor false"),
        ("date", "soon", "is not a date"),
        ("date", 10**20, "is not a date"),
        ("datetime", "soon", "is not a date and time"),
        ("datetime", 10**20, "is not a date and time"),
        ("list", 5, "is not a list of choices"),
        ("text", {"city": "Rome"}, "is not a text"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(kind: str, told: Any, why: str) -> None:
    with pytest.raises(Unconvertible, match=why):
        reader_of(kind)(told)


def test_a_value_that_does_not_fit_is_left_out_and_named() -> None:
    row = {"Company": "Acme", "NumberOfEmployees": "a few", "Title": None}
    values, troubles = values_of(LEAD, ("company", "employees", "title"), row)
    assert values == {"company": "Acme", "title": None}
    assert troubles == ["field NumberOfEmployees is not a number, but fields.yaml calls lead.employees a number"]
