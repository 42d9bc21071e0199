"""The SOQL that the sandbox understands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sandbox.salesforce.soql import MalformedQuery, parse, select

ROWS: list[dict[str, Any]] = [
    {"Id": "00Q000000000001AAA", "Name": "Ana's", "Size": 5, "At": "2026-01-01T00:00:00.000+0000", "On": True},
    {"Id": "00Q000000000002AAA", "Name": "ben", "Size": None, "At": "2026-03-01T00:00:00.000+0000", "On": False},
    {"Id": "00Q00000000000aAAA", "Name": None, "Size": 50, "At": None, "On": False},
]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Name = 'BEN'", [1]),
        ("Name = 'Ana\\'s'", [0]),
        ("Name != 'ben'", [0, 2]),
        ("Name = null", [2]),
        ("Name IN ('ben', 'x')", [1]),
        ("Name NOT IN ('ben')", [0, 2]),
        ("Name LIKE 'an%'", [0]),
        ("Size > 4 AND Size <= 50", [0, 2]),
        ("Size < 100", [0, 2]),
        ("Size = 5 OR Name = 'ben'", [0, 1]),
        ("NOT (Size = 5 OR Name = 'ben')", [2]),
        ("At >= 2026-02-01T00:00:00Z", [1]),
        ("On = TRUE", [0]),
        ("Id = '00Q00000000000aAAA'", [2]),
        ("Id = '00Q00000000000AAAA'", []),  # ids tell case apart
        ("Id IN ('00Q000000000001', '00Q000000000002AAA') AND Size = 5", [0]),
        ("Id IN ('00Q000000000001') OR Size = 50", [0, 2]),
    ],
)
def test_conditions(where: str, expected: list[int]) -> None:
    query = parse(f"SELECT Id FROM Lead WHERE {where}")
    assert [ROWS.index(row) for row in select(query, ROWS)] == expected
    if query.ids is not None:
        assert {ROWS[index]["Id"][:15] for index in expected} <= query.ids


def test_order_limit_offset_and_count() -> None:
    query = parse("select Name, Size from Lead order by Size desc, Name limit 2 offset 1")
    assert query.fields == ("Name", "Size")
    assert [row["Size"] for row in select(query, ROWS)] == [5, None]
    assert parse("SELECT COUNT() FROM Lead").count


@given(st.text(max_size=60))
def test_whatever_it_is_given_it_reads_or_refuses(text: str) -> None:
    for query in (text, f"SELECT Id FROM Lead WHERE {text}"):
        try:
            select(parse(query), ROWS)
        except MalformedQuery:
            pass
