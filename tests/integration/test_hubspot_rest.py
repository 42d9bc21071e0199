"""The sandbox answers as HubSpot does: shapes, limits, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hubspot
import pytest
import requests

from connectors.hubspot.reader import HISTORY_LIMIT
from tests.contract.hubspot_stand import HubSpotStand, hubspot_stand


@pytest.fixture(scope="module")
def stand() -> Iterator[HubSpotStand]:
    with hubspot_stand() as stand:
        yield stand


@pytest.fixture
def session(stand: HubSpotStand) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {stand.sandbox.access_token}"
        yield session


def objects(stand: HubSpotStand, path: str = "") -> str:
    return f"{stand.sandbox.url}/crm/v3/objects/contacts{path}"


def update(stand: HubSpotStand, session: requests.Session, *inputs: dict[str, Any]) -> requests.Response:
    return session.post(objects(stand, "/batch/update"), json={"inputs": inputs}, timeout=10)


def test_without_a_token_nothing_is_said(stand: HubSpotStand) -> None:
    answer = requests.get(objects(stand), timeout=10)
    assert answer.status_code == 401
    assert answer.json()["category"] == "INVALID_AUTHENTICATION"
    assert {"status", "message", "correlationId", "category"} == set(answer.json())


def test_every_answer_tells_about_the_limits(stand: HubSpotStand, session: requests.Session) -> None:
    headers = session.get(objects(stand), timeout=10).headers
    assert int(headers["X-HubSpot-RateLimit-Remaining"]) < int(headers["X-HubSpot-RateLimit-Max"])
    assert int(headers["X-HubSpot-RateLimit-Daily-Remaining"]) < int(headers["X-HubSpot-RateLimit-Daily"])


def test_beyond_the_ten_second_limit_it_is_429_and_nothing_happens() -> None:
    with hubspot_stand(ten_seconds=2) as stand:
        record = stand.create({"company": "old"})
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {stand.sandbox.access_token}"
        answers = [
            update(stand, session, {"id": record, "properties": {"company": str(n)}}).status_code for n in range(3)
        ]
        session.close()
        assert answers == [200, 200, 429]
        assert stand.held(record)["company"] == "1"


@pytest.mark.parametrize("properties", [{"company": 5}, {"company": None}, "company"])
def test_values_that_are_no_strings_fail_the_whole_batch(
    stand: HubSpotStand, session: requests.Session, properties: Any
) -> None:
    good = stand.create({"company": "old"})
    answer = update(
        stand, session, {"id": good, "properties": {"company": "new"}}, {"id": "1", "properties": properties}
    )
    assert answer.status_code == 400
    assert stand.held(good)["company"] == "old"


def test_without_trace_ids_one_bad_input_fails_all_of_them(stand: HubSpotStand, session: requests.Session) -> None:
    good, bad = stand.create({"company": "old"}), stand.create({"company": "old"})
    answer = update(
        stand,
        session,
        {"id": good, "properties": {"company": "new"}},
        {"id": bad, "properties": {"hubspot_owner_id": "1"}},
    )
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "INVALID_OWNER"
    assert stand.held(good)["company"] == "old"


def test_without_trace_ids_a_missing_record_is_a_207_that_names_nobody(
    stand: HubSpotStand, session: requests.Session
) -> None:
    answer = update(stand, session, {"id": stand.missing_id(), "properties": {"company": "new"}})
    assert answer.status_code == 207
    assert answer.json()["results"] == []
    assert "errors" not in answer.json()


def test_a_repeated_id_or_too_many_inputs_fail_the_batch(stand: HubSpotStand, session: requests.Session) -> None:
    record = stand.create({"company": "old"})
    twice = {"id": record, "properties": {"company": "new"}}
    assert update(stand, session, twice, twice).status_code == 400
    many = [{"id": str(n), "properties": {}} for n in range(101)]
    assert update(stand, session, *many).status_code == 400
    assert stand.held(record)["company"] == "old"


def test_histories_name_who_did_what_and_only_fifty_may_be_asked_for(
    stand: HubSpotStand, session: requests.Session
) -> None:
    record = stand.create({"company": "a"})
    stand.change(record, {"company": "b"})
    update(stand, session, {"id": record, "properties": {"company": "c"}})
    body: dict[str, Any] = {"inputs": [{"id": record}], "properties": [], "propertiesWithHistory": ["company"]}
    [found] = session.post(objects(stand, "/batch/read"), json=body, timeout=10).json()["results"]
    history = found["propertiesWithHistory"]["company"]
    assert [(entry["value"], entry["sourceType"]) for entry in history] == [
        ("c", "INTEGRATION"),
        ("b", "CRM_UI"),
        ("a", "FORM"),
    ]
    assert history[1]["sourceId"] == f"userId:{history[1]['updatedByUserId']}"
    body["inputs"] = [{"id": str(n)} for n in range(HISTORY_LIMIT + 1)]
    answer = session.post(objects(stand, "/batch/read"), json=body, timeout=10)
    assert answer.status_code == 400
    assert "50" in answer.json()["message"]


def test_records_can_be_made_read_changed_found_and_deleted(stand: HubSpotStand, session: requests.Session) -> None:
    made = session.post(objects(stand), json={"properties": {"email": " New@X.example "}}, timeout=10)
    assert made.status_code == 201
    record = made.json()["id"]
    assert made.json()["properties"]["email"] == "new@x.example"
    again = session.post(objects(stand), json={"properties": {"email": "NEW@x.example"}}, timeout=10)
    assert (again.status_code, again.json()["category"]) == (409, "CONFLICT")
    assert record in again.json()["message"]
    body = {"properties": {"city": "Rome"}}
    assert session.patch(objects(stand, f"/{record}"), json=body, timeout=10).status_code == 200
    read = session.get(objects(stand, f"/{record}?properties=city,email"), timeout=10).json()["properties"]
    assert (read["city"], read["email"]) == ("Rome", "new@x.example")
    search = {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "EQ", "value": "new@x.example"}]}]}
    found = session.post(objects(stand, "/search"), json=search, timeout=10).json()
    assert [row["id"] for row in found["results"]] == [record]
    assert session.delete(objects(stand, f"/{record}"), timeout=10).status_code == 204
    assert session.get(objects(stand, f"/{record}"), timeout=10).status_code == 404


def test_lists_come_in_pages_without_gap_or_repeat(stand: HubSpotStand, session: requests.Session) -> None:
    seen: list[str] = []
    after = ""
    while True:
        page = session.get(objects(stand, f"?limit=37{after}"), timeout=10).json()
        seen += [row["id"] for row in page["results"]]
        if "paging" not in page:
            break
        after = f"&after={page['paging']['next']['after']}"
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, key=int)
    assert {row["id"] for row in stand.world.contacts_hubspot} <= set(seen)


@pytest.mark.parametrize(
    "path", ["/crm/v3/objects/deals", "/crm/v3/objects/contacts?limit=101", "/crm/v3/owners/?limit=x"]
)
def test_questions_that_make_no_sense_are_refused(stand: HubSpotStand, session: requests.Session, path: str) -> None:
    answer = session.get(stand.sandbox.url + path, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"


def test_hubspots_own_models_read_what_creating_and_associating_answer(stand: HubSpotStand) -> None:
    """The library's generated classes convert every answer, and refuse those of another shape."""
    from hubspot.crm.associations.v4 import BatchInputPublicDefaultAssociationMultiPost as Pairs
    from hubspot.crm.objects import BatchInputSimplePublicObjectBatchInputForCreate as Creations
    from hubspot.crm.objects import BatchInputSimplePublicObjectBatchInputUpsert as Upserts
    from hubspot.crm.objects import PublicObjectSearchRequest

    crm = hubspot.HubSpot(access_token=stand.sandbox.access_token, host=stand.sandbox.url, retry=False).crm
    contact = stand.create({"company": "x"})
    company = stand.sandbox.create("companies", {"name": "Acme"})
    primary = [{"to": {"id": contact}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 578}]}]
    lead = {"properties": {"hs_lead_name": "Big"}, "associations": primary, "objectWriteTraceId": "one"}
    nameless = {"properties": {}, "associations": primary, "objectWriteTraceId": "two"}

    made = crm.objects.batch_api.create("leads", Creations(inputs=[lead, nameless]))
    assert [one.properties["hs_lead_name"] for one in made.results] == ["Big"]
    assert made.num_errors == 1
    assert made.errors[0].context == {"objectWriteTraceId": ["two"]}

    both = [{"id": f"{n}@example.com", "idProperty": "email", "properties": {"city": "Rome"}} for n in ("new", "new2")]
    upserted = crm.objects.batch_api.upsert("contacts", Upserts(inputs=both))
    assert [one.new for one in upserted.results] == [True, True]

    pair = Pairs(inputs=[{"from": {"id": contact}, "to": {"id": company}}])
    assert crm.associations.v4.batch_api.create_default("contacts", "companies", pair).status == "COMPLETE"
    [linked] = crm.associations.v4.basic_api.get_page("contacts", contact, "companies").results
    assert linked.to_object_id == company
    assert linked.association_types[0].type_id == 279

    since = str(round(made.results[0].created_at.timestamp() * 1000))
    recent = [{"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": since}]
    asked = PublicObjectSearchRequest(filter_groups=[{"filters": recent}], limit=10, properties=["hs_lead_name"])
    found = crm.objects.search_api.do_search("leads", asked)
    assert [one.id for one in found.results] == [made.results[0].id]
    assert found.total == 1


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([("numemployees", "GT", "9")], ["b", "c"]),
        ([("city", "IN", ["rome", "OSLO"])], ["a", "c"]),
        ([("city", "NOT_IN", ["rome"])], ["b", "c"]),
        ([("city", "NEQ", "Rome")], ["b", "c"]),
        ([("city", "EQ", "rome"), ("company", "EQ", "A")], ["a"]),
        ([("phone", "NOT_HAS_PROPERTY", "")], ["a", "b", "c"]),
        ([("hs_object_id", "BETWEEN", ("0", "99999999999999"))], ["a", "b", "c"]),
    ],
)
def test_search_filters(stand: HubSpotStand, session: requests.Session, filters: list[Any], found: list[str]) -> None:
    mark = f"search {len(filters)} {filters[0][:2]}"
    for name, city, employees in (("a", "Rome", "5"), ("b", "Lima", "90"), ("c", "Oslo", "95")):
        stand.sandbox.create("contacts", {"company": name, "city": city, "numemployees": employees, "address": mark})
    given = [{"propertyName": "address", "operator": "EQ", "value": mark}]
    for name, operator, value in filters:
        one = {"propertyName": name, "operator": operator}
        if isinstance(value, list):
            one["values"] = value  # type: ignore[assignment]
        elif isinstance(value, tuple):
            one["value"], one["highValue"] = value
        else:
            one["value"] = value
        given.append(one)
    asked = {"filterGroups": [{"filters": given}], "properties": ["company"], "limit": 50}
    sort = [{"propertyName": "company", "direction": "DESCENDING"}]
    stand.sandbox.impose({"searches": 1000})
    answer = session.post(objects(stand, "/search"), json={**asked, "sorts": sort}, timeout=10).json()
    assert [one["properties"]["company"] for one in answer["results"]] == found[::-1]


def test_the_search_lags_when_told_to_and_has_limits_of_its_own(stand: HubSpotStand, session: requests.Session) -> None:
    record = stand.create({"company": "late"})
    equal = {"propertyName": "hs_object_id", "operator": "EQ", "value": record}
    asked = {"filterGroups": [{"filters": [equal]}]}

    def total() -> int:
        return int(session.post(objects(stand, "/search"), json=asked, timeout=10).json()["total"])

    stand.sandbox.impose({"search_lag": 60, "searches": 1000})
    assert total() == 0
    stand.sandbox.impose({"search_lag": 0})
    assert total() == 1
    many = {"filterGroups": [{"filters": [equal] * 11}]}
    assert session.post(objects(stand, "/search"), json=many, timeout=10).status_code == 400
    stand.sandbox.impose({"searches": 0})
    refused = session.post(objects(stand, "/search"), json=asked, timeout=10)
    stand.sandbox.impose({"searches": 1000})
    assert (refused.status_code, refused.json()["policyName"]) == (429, "SECONDLY")
    assert not [name for name in refused.headers if "RateLimit" in name]


@pytest.mark.parametrize("values", [{"search_lag": -1}, {"weather": 1}, {"daily": "many"}])
def test_a_condition_that_there_is_not_is_refused(stand: HubSpotStand, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="there are search_lag"):
        stand.sandbox.impose(values)
