"""The sandbox answers as HubSpot does: shapes, limits, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
