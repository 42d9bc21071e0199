"""Change events, decoded without a network: the sandbox's encoder writes them, the connector reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import ConnectorBug, Transient
from connectors.salesforce.decode import ALL_RECORDS, EventDecoder, RawEvent, SchemaUnknown
from connectors.salesforce.layout import EventSchema, rest_name
from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce.changes import bitmaps, encode, header_of
from connectors.sandbox.salesforce.objects import build_objects
from routing.core.model import ChangeEvent, EntityMap, Unreadable
from tests.contract.salesforce_stand import ANA, MAPS, SmallWorld

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
AT = datetime(2026, 11, 22, 9, 29, 58, 123000, tzinfo=UTC)
OBJECTS = build_objects({"Account": SmallWorld().accounts})
ONE, TWO = salesforce_id("00Q", 1), salesforce_id("00Q", 2)
BEYOND_FLOATS = 2**53 + 1


def schema_json(schema_id: str) -> str:
    for definition in OBJECTS.values():
        if definition.schema_id == schema_id:
            return definition.schema_json
    raise SchemaUnknown(schema_id)


def decoder(maps: Mapping[str, EntityMap] = MAPS) -> EventDecoder:
    made = EventDecoder(lambda: maps, schema_json)
    made.refresh()
    return made


def raw_event(
    change_type: str,
    row: dict[str, Any],
    *,
    entity: str = "Lead",
    ids: Sequence[str] = (ONE,),
    nulled: Sequence[str] = (),
    number: int = BEYOND_FLOATS,
    **header: Any,
) -> RawEvent:
    definition = OBJECTS[entity]
    if change_type == "UPDATE":
        header = {
            "changedFields": bitmaps(definition.fields, [*row, *nulled]),
            "nulledFields": bitmaps(definition.fields, nulled),
        } | header
    made = header_of(entity, ids, change_type, number=number, at=AT, commitUser=ANA, **header)
    return RawEvent(definition.schema_id, b"\x00\x07", encode(definition, made, row, list(row)))


def events(raw: RawEvent, maps: Mapping[str, EntityMap] = MAPS) -> list[ChangeEvent]:
    found = list(decoder(maps).decode(raw, NOW).items)
    assert all(isinstance(item, ChangeEvent) for item in found), found
    return found  # type: ignore[return-value]


def unreadable(raw: RawEvent) -> Unreadable:
    [item] = decoder().decode(raw, NOW).items
    assert isinstance(item, Unreadable)
    return item


def test_a_creation_carries_canonical_names_and_values() -> None:
    [event] = events(
        raw_event(
            "CREATE",
            {
                "FirstName": "Zoë",
                "LastName": "Müller",
                "Company": "Acme",
                "City": "Köln",
                "NumberOfEmployees": 250,
                "AnnualRevenue": 1_500_000.0,
                "HasOptedOutOfEmail": False,
                "OwnerId": ANA,
                "CreatedDate": "2026-11-22T09:29:58.000+0000",
                "ConvertedDate": "2026-11-21",
            },
        )
    )
    assert (event.kind, event.entity, event.record_id, event.actor) == ("created", "lead", ONE, ANA)
    assert event.values == {
        "name": "Zoë Müller",
        "first_name": "Zoë",
        "last_name": "Müller",
        "company": "Acme",
        "city": "Köln",
        "employees": 250,
        "annual_revenue": 1_500_000,
        "opted_out": False,
        "owner": ANA,
        "created_at": "2026-11-22T09:29:58.000Z",
        "converted_on": "2026-11-21",
    }
    assert set(event.changed) == set(event.values)
    assert event.complete
    assert event.occurred_at == AT


def test_an_update_names_only_what_the_bitmaps_name() -> None:
    [event] = events(raw_event("UPDATE", {"City": "Bonn", "OwnerId": ANA, "Phone": "1"}))
    assert set(event.changed) == {"city", "owner"}
    assert event.values == {"city": "Bonn", "owner": ANA}


def test_an_emptied_field_is_none_inside_a_compound_too() -> None:
    [event] = events(raw_event("UPDATE", {"Company": "Acme"}, nulled=["Title", "City"]))
    assert event.values == {"company": "Acme", "title": None, "city": None}
    assert set(event.changed) == {"company", "title", "city"}


def test_a_bit_for_a_whole_compound_means_all_its_parts() -> None:
    position = OBJECTS["Lead"].fields["City"].place[0]
    raw = raw_event("UPDATE", {"City": "Bonn", "Country": "DE"}, changedFields=[f"0x{1 << position:X}"])
    assert events(raw)[0].values == {"city": "Bonn", "country": "DE"}


def test_two_addresses_are_kept_apart() -> None:
    [event] = events(
        raw_event(
            "UPDATE", {"BillingCity": "Bonn", "ShippingCity": "Rom"}, entity="Account", ids=[salesforce_id("001", 1)]
        )
    )
    assert event.values == {"city": "Bonn", "shipping_city": "Rom"}


def test_an_account_name_is_plain_text_and_a_list_a_list() -> None:
    raw = raw_event("UPDATE", {"Name": "Acme", "Segments__c": "A;B"}, entity="Account", ids=[salesforce_id("001", 1)])
    assert events(raw)[0].values == {"name": "Acme", "segments": ["A", "B"]}


def test_a_name_in_parts_is_read_back_whole() -> None:
    [event] = events(raw_event("UPDATE", {"FirstName": "Zoë"}))
    assert set(event.changed) == {"name", "first_name"}
    assert event.values == {"first_name": "Zoë"}
    assert not event.complete


def test_a_text_sent_as_a_patch_is_read_back() -> None:
    patch = bitmaps(OBJECTS["Lead"].fields, ["Description"])
    [event] = events(raw_event("UPDATE", {"Description": "@@ -1 +1 @@"}, diffFields=patch))
    assert event.changed == ("description",)
    assert event.values == {}
    assert not event.complete


def test_equal_changes_of_several_records_become_several_events() -> None:
    found = events(raw_event("UPDATE", {"OwnerId": ANA}, ids=[ONE, TWO]))
    assert [event.record_id for event in found] == [ONE, TWO]
    assert found[0].event_id != found[1].event_id


def test_the_same_position_gives_the_same_ids() -> None:
    assert (
        events(raw_event("UPDATE", {"City": "a"}))[0].event_id == events(raw_event("UPDATE", {"City": "b"}))[0].event_id
    )


def test_commit_numbers_beyond_a_float_keep_their_order() -> None:
    first, second = (
        events(raw_event("UPDATE", {"City": "x"}, number=BEYOND_FLOATS, sequence=n))[0].sequence for n in (1, 2)
    )
    assert second == first + 1
    assert first > 2**53


def test_a_change_of_nothing_that_is_mapped_is_no_event() -> None:
    assert events(raw_event("UPDATE", {"Phone": "1", "LastModifiedById": ANA})) == []


def test_an_entity_that_is_not_mapped_is_no_event() -> None:
    assert events(raw_event("CREATE", {"Subject": "Call"}, entity="Task", ids=[salesforce_id("00T", 1)])) == []


def test_a_new_policy_is_taken_up() -> None:
    live = {"lead": MAPS["lead"]}
    made = EventDecoder(lambda: live, schema_json)
    raw = raw_event("UPDATE", {"Phone": "1"})
    made.refresh()
    assert made.decode(raw, NOW).items == []
    lead = MAPS["lead"]
    live = {"lead": msgspec.structs.replace(lead, fields=lead.fields | {"phone": "Phone"})}
    made.refresh()
    [event] = made.decode(raw, NOW).items
    assert isinstance(event, ChangeEvent)
    assert event.values == {"phone": "1"}


def test_deletions_and_restorations() -> None:
    assert events(raw_event("DELETE", {}))[0].kind == "deleted"
    [restored] = events(raw_event("UNDELETE", {"Company": "Acme"}))
    assert (restored.kind, restored.complete) == ("restored", False)


@pytest.mark.parametrize("change_type", ["GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"])
def test_a_gap_is_to_be_read_back(change_type: str) -> None:
    [event] = events(raw_event(change_type, {}))
    assert (event.kind, event.complete, event.record_id, event.values) == ("gap", False, ONE, {})


@pytest.mark.parametrize("record_id", ["000000000000000AAA", "00Q*"])
def test_a_gap_without_a_record_is_about_all_of_them(record_id: str) -> None:
    [event] = events(raw_event("GAP_OVERFLOW", {}, ids=[record_id]))
    assert (event.kind, event.record_id) == ("gap", ALL_RECORDS)


def test_an_unknown_schema_is_kept_with_its_bytes_and_read_later() -> None:
    good = raw_event("UPDATE", {"City": "Bonn"})
    kept = unreadable(msgspec.structs.replace(good, schema_id="unheard-of"))
    assert "unheard-of" in kept.error
    known = EventDecoder(lambda: MAPS, lambda _: OBJECTS["Lead"].schema_json)
    [event] = known.reread(kept.raw, NOW)
    assert event.values == {"city": "Bonn"}
    with pytest.raises(ConnectorBug, match="unheard-of"):
        decoder().reread(kept.raw, NOW)


def test_an_impossible_bitmap_is_kept_and_says_so() -> None:
    kept = unreadable(raw_event("UPDATE", {"City": "x"}, changedFields=["0x1" + "0" * 40]))
    assert "changed fields" in kept.error
    assert (kept.entity, kept.record_id) == ("Lead", ONE)


def test_an_impossible_bitmap_of_an_unmapped_entity_is_kept_too() -> None:
    raw = raw_event("UPDATE", {"Subject": "x"}, entity="Task", ids=[salesforce_id("00T", 1)], changedFields=["7-0x1"])
    assert "changed fields" in unreadable(raw).error


def test_a_schema_that_cannot_be_had_just_now_is_no_unreadable_event() -> None:
    def down(_: str) -> str:
        raise Transient("down", system="salesforce")

    with pytest.raises(Transient):
        EventDecoder(lambda: MAPS, down).decode(raw_event("DELETE", {}), NOW)


def test_a_number_that_is_none_is_refused() -> None:
    assert unreadable(raw_event("UPDATE", {"AnnualRevenue": float("nan")})).error


def test_foreign_bytes_are_not_read_again() -> None:
    with pytest.raises(ConnectorBug):
        decoder().reread(b"\xff not ours", NOW)


GOOD = raw_event("UPDATE", {"City": "Bonn", "OwnerId": ANA, "Company": "Acme"})


@given(st.integers(0, len(GOOD.payload) - 1), st.binary(max_size=12), st.booleans())
def test_damaged_payloads_never_raise(position: int, noise: bytes, cut: bool) -> None:
    tail = b"" if cut else GOOD.payload[position + len(noise) :]
    damaged = msgspec.structs.replace(GOOD, payload=GOOD.payload[:position] + noise + tail)
    for item in decoder().decode(damaged, NOW).items:
        assert isinstance(item, (ChangeEvent, Unreadable))
        msgspec.json.encode(item)  # can be stored


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (["null", {"type": "record", "name": "A", "fields": [{"name": "x", "type": "string"}]}], ["x"]),
        (["string", {"type": "record", "name": "B", "fields": [{"name": "x", "type": "string"}]}], ["x"]),
        (["null", "string", {"type": "record", "name": "C", "fields": [{"name": "x", "type": "string"}]}], ["x"]),
        (["null", "string"], []),
    ],
)
def test_compound_types_in_every_union(kind: Any, parts: list[str]) -> None:
    header = {"name": "ChangeEventHeader", "type": "string"}
    schema = EventSchema(json.dumps({"type": "record", "name": "E", "fields": [header, {"name": "F", "type": kind}]}))
    assert schema.parts[1] == parts


@pytest.mark.parametrize(
    ("compound", "part", "expected"),
    [
        ("Name", "FirstName", "FirstName"),
        ("Address", "City", "City"),
        ("BillingAddress", "City", "BillingCity"),
        ("Where__c", "Latitude", "Where__Latitude__s"),
    ],
)
def test_parts_have_the_names_that_rest_gives_them(compound: str, part: str, expected: str) -> None:
    assert rest_name(compound, part) == expected
