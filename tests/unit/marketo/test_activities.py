"""What Marketo's activities mean, in the shapes that its log has them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.mapping import Unconvertible
from connectors.marketo.activities import MERGE, Known, Told, read, told_by_activities
from connectors.marketo.values import lead_map
from routing.core.model import ChangeEvent, EntityMap

FIELDS = {"city": "city", "score": "leadScore", "form": "activity Fill Out Form", "form_at": "activity Fill Out Form"}
WHOLE = EntityMap("marketo", "lead", "leads", FIELDS, {"score": "number", "form_at": "datetime"})
KNOWN = Known(lead_map({"lead": WHOLE}), told_by_activities(WHOLE), {2: "fill out form"}, {"12": "leadScore"})
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def heard(**given: Any) -> list[ChangeEvent]:
    told: dict[str, Any] = {"id": 7, "marketoGUID": "7", "leadId": 1001, "activityDate": "2026-11-22T09:00:00Z"}
    return read(msgspec.json.encode(told | given), KNOWN, NOW)


def attributes(**values: Any) -> list[dict[str, Any]]:
    return [{"name": name.replace("_", " "), "value": value} for name, value in values.items()]


@pytest.mark.parametrize("ids", ["[1002, 1003]", "1002,1003", "1002; 1003", [1002, 1003], "[1002, 1003, 1001, 1003]"])
def test_a_merge_names_its_leads_however_the_list_is_written(ids: object) -> None:
    one, other, survivor = heard(activityTypeId=MERGE, attributes=attributes(Merge_IDs=ids))
    assert [(event.kind, event.record_id, event.into) for event in (one, other)] == [
        ("merged", "1002", "1001"),
        ("merged", "1003", "1001"),
    ]
    assert (survivor.record_id, survivor.continues, survivor.complete) == ("1001", ("1002", "1003"), False)


@pytest.mark.parametrize(
    "given", [{}, {"attributes": attributes(Merge_IDs="")}, {"attributes": attributes(Merge_IDs="[1001]")}]
)
def test_a_merge_of_nothing_cannot_be_read(given: dict[str, Any]) -> None:
    with pytest.raises(Unconvertible, match="merge into lead 1001"):
        heard(activityTypeId=MERGE, **given)


@given(st.lists(st.integers(1, 2**53), min_size=1, max_size=20, unique=True).filter(lambda ids: 1001 not in ids))
def test_every_lead_of_a_merge_has_an_event_of_its_own(ids: list[int]) -> None:
    events = heard(activityTypeId=MERGE, attributes=attributes(Merge_IDs=str(ids)))
    assert len({event.event_id for event in events}) == len(ids) + 1
    assert events[-1].continues == tuple(map(str, ids))


@pytest.mark.parametrize("number", [12, "12"])
def test_a_score_is_known_by_its_fields_number(number: object) -> None:
    about = {"primaryAttributeValueId": number, "primaryAttributeValue": "Person Score"}
    [event] = heard(activityTypeId=22, **about, attributes=attributes(Old_Value="40", New_Value="45"))
    assert (event.kind, event.values) == ("updated", {"score": 45})
    assert heard(activityTypeId=22, primaryAttributeValueId=99, attributes=attributes(New_Value="45")) == []


def test_a_form_is_told_by_name_and_time_and_what_nobody_mapped_is_nothing() -> None:
    about = {"primaryAttributeValueId": 5, "primaryAttributeValue": "Contact us"}
    [event] = heard(activityTypeId=2, **about, activityDate="2026-11-22T09:00:00+0000")
    assert event.values == {"form": "Contact us", "form_at": "2026-11-22T09:00:00.000Z"}
    assert heard(activityTypeId=11, **about) == []


@pytest.mark.parametrize(
    ("remote", "told"),
    [
        ("activity Fill Out Form", Told(("fill out form",))),
        ("activity  Fill  Out Form / Referrer URL", Told(("fill out form",), "Referrer URL")),
        ("activity Click Email or Fill Out Form", Told(("click email", "fill out form"))),
        ("activity Attend A/B Test / Yes / No", Told(("attend a/b test",), "Yes / No")),
    ],
)
def test_how_fields_yaml_names_activities(remote: str, told: Told) -> None:
    assert told_by_activities(EntityMap("marketo", "lead", "leads", {"x": remote, "y": "activityScore"}, {})) == {
        "x": told
    }
