"""Bitmaps of changed fields: what Salesforce writes is read exactly, and what cannot be is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.salesforce.bitmap import BitmapError, Bits, parse, positions
from connectors.salesforce.layout import EventSchema
from connectors.sandbox.salesforce.changes import bitmaps
from connectors.sandbox.salesforce.objects import build_objects

LEAD = build_objects({})["Lead"]
SCHEMA = EventSchema(LEAD.schema_json)
CARRIED = [name for name, field in LEAD.fields.items() if field.place]


@pytest.mark.parametrize(
    ("element", "fields"),
    [("0x650004E0", [5, 6, 7, 10, 24, 26, 29, 30]), ("0x10", [4]), ("0x06", [1, 2]), ("0x0", [])],
)
def test_top_level_bits_count_from_the_least_significant(element: str, fields: list[int]) -> None:
    assert positions(parse([element], [0] * 40).top) == fields


def test_a_list_of_compound_elements_alone_is_legal() -> None:
    assert parse(["2-0x3", "4-0x01"], [0, 0, 5, 0, 2]) == Bits(0, {2: 0b11, 4: 0b1})


def test_elements_add_up() -> None:
    assert parse(["0x1", "0x4", "1-0x1", "1-0x2"], [0, 3, 0]) == Bits(0b101, {1: 0b11})


@pytest.mark.parametrize(
    "element",
    [
        "0x20",
        "1-0x8",
        "0-0x1",
        "9-0x1",
        "",
        "0x",
        "xyz",
        "0xZZ",
        "-0x1",
        "1-",
        "1-1-0x1",
        "0x1 ",
        "0x1\n",
        "0x" + "F" * 600,
    ],
)
def test_what_cannot_be_is_an_error(element: str) -> None:
    with pytest.raises(BitmapError):
        parse([element], [0, 3, 0, 0, 0])


@given(st.sets(st.sampled_from(CARRIED)))
def test_what_the_sandbox_encodes_names_the_same_fields(names: set[str]) -> None:
    bits = SCHEMA.bits(bitmaps(LEAD.fields, sorted(names)))
    told = {(place,) for place in positions(bits.top)}
    told |= {(parent, inner) for parent, inside in bits.inside.items() for inner in positions(inside)}
    assert told == {LEAD.fields[name].place for name in names}
