"""The sandbox org, seen through plain simple-salesforce: it behaves as the real one does in the ways that hurt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceError,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce import SalesforceSandbox
from connectors.sandbox.salesforce.checks import Operation, locks_of
from routing.runtime.clock import utcnow
from tests.contract.salesforce_stand import ANA, SmallWorld
from tests.processes import wait_for


class Org:
    """A running sandbox and a plain client of it."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.sandbox = SalesforceSandbox(SmallWorld(), utcnow, self.faults)
        self.sandbox.start()
        self.http = requests.Session()
        self.http.trust_env = False  # REQUESTS_CA_BUNDLE would win over the root below
        self.http.verify = self.sandbox.ca_file
        self.client = self.log_in()

    def log_in(self) -> Any:
        sandbox = self.sandbox
        answer = self.http.post(
            f"{sandbox.rest_url}/services/oauth2/token",
            {
                "grant_type": "client_credentials",
                "client_id": sandbox.client_id,
                "client_secret": sandbox.client_secret,
            },
        ).json()
        return Salesforce(
            instance_url=answer["instance_url"], session_id=answer["access_token"], session=self.http, version="66.0"
        )

    def save(self, records: list[dict[str, Any]], **body: Any) -> Any:
        return self.client.restful("composite/sobjects", method="PATCH", json={"records": records, **body})


@pytest.fixture(scope="module")
def running() -> Iterator[Org]:
    org = Org()
    yield org
    org.http.close()
    org.sandbox.stop()


@pytest.fixture
def org(running: Org) -> Iterator[Org]:
    yield running
    running.faults.clear()


def lead(org: Org, **fields: Any) -> str:
    return org.sandbox.create("Lead", {"LastName": "Doe", "Company": "Acme", **fields})


def record(lead_id: str, kind: str = "Lead", **fields: Any) -> dict[str, Any]:
    return {"attributes": {"type": kind}, "id": lead_id, **fields}


def refusal(error: SalesforceError) -> tuple[int, str]:
    content: Any = error.content
    return error.status, content[0]["errorCode"]


def test_rows_can_be_made_read_changed_and_deleted(org: Org) -> None:
    made = org.client.Lead.create({"LastName": "Doe", "Company": "Acme"}, headers={"Sforce-Auto-Assign": "FALSE"})
    assert (made["success"], made["errors"]) == (True, [])
    row = org.client.Lead.get(made["id"])
    assert row["attributes"]["type"] == "Lead"
    assert (row["Name"], row["OwnerId"]) == ("Doe", org.sandbox.integration_user_id)
    assert org.client.Lead.update(made["id"], {"FirstName": "Zoë"}, headers={"Sforce-Auto-Assign": "FALSE"}) == 204
    assert org.client.Lead.get(made["id"])["Name"] == "Zoë Doe"
    assert org.client.Lead.delete(made["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound) as caught:
        org.client.Lead.get(made["id"])
    assert refusal(caught.value) == (404, "ENTITY_IS_DELETED")
    kinds = [entry.kind for entry in org.sandbox.history("Lead", made["id"])]
    assert kinds == ["create", "update", "delete"]


@pytest.mark.parametrize("headers", [None, {"Sforce-Auto-Assign": "TRUE"}])
def test_the_assignment_rule_runs_unless_it_is_told_not_to(org: Org, headers: Any) -> None:
    row = lead(org, OwnerId=ANA)
    org.client.Lead.update(row, {"Title": "CEO"}, headers=headers)
    assert org.client.Lead.get(row)["OwnerId"] == org.sandbox.assignment_rule_owner_id


def test_results_of_a_collection_come_in_order_each_on_its_own(org: Org) -> None:
    good, gone, fine = lead(org), lead(org), lead(org)
    org.sandbox.delete("Lead", gone)
    results = org.save(
        [
            record(good, Title="a"),
            record(gone, Title="a"),
            record("", Title="a"),
            record(fine, Shoe="a"),
            record(good, Title="again"),
            record(fine, Title="b"),
        ],
        allOrNone=False,
    )
    assert [result["success"] for result in results] == [True, False, False, False, False, False]
    assert [result["errors"][0]["statusCode"] for result in results[1:]] == [
        "ENTITY_IS_DELETED",
        "MISSING_ARGUMENT",
        "INVALID_FIELD",
        "DUPLICATE_VALUE",
        "DUPLICATE_VALUE",
    ]
    assert set(results[1]["errors"][0]) == {"statusCode", "message", "fields"}


def test_all_or_none_rolls_the_good_ones_back(org: Org) -> None:
    good, gone = lead(org), lead(org)
    org.sandbox.delete("Lead", gone)
    results = org.save([record(good, Title="a"), record(gone, Title="a")], allOrNone=True)
    assert results[0]["errors"][0]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert org.sandbox.record("Lead", good)["Title"] is None  # type: ignore[index]


def test_a_collection_has_its_limits(org: Org) -> None:
    for records in ([record("x")] * 201, [record("x", "Lead"), record("x", "Contact")] * 6):
        with pytest.raises(SalesforceMalformedRequest):
            org.save(records)


def test_queries_come_in_pages_that_do_not_move(org: Org) -> None:
    made = [lead(org, Company=f"Paged {n:03}") for n in range(450)]
    query = "SELECT Id, Company FROM Lead WHERE Company LIKE 'Paged%' ORDER BY Company"
    first = org.client.query(query, headers={"Sforce-Query-Options": "batchSize=200"})
    assert (first["totalSize"], first["done"], len(first["records"])) == (450, False, 200)
    org.sandbox.delete("Lead", made[-1])
    second = org.client.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    assert second["records"][-1]["Id"] == made[-1]
    assert len(org.client.query_all(query)["records"]) == 449


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT Id FROM Lead WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE Owner.Name = 'x'", "MALFORMED_QUERY"),
        ("SELECT Id, FROM Lead", "MALFORMED_QUERY"),
        ("DELETE FROM Lead", "MALFORMED_QUERY"),
        ('SELECT Id FROM Lead WHERE Company = "x"', "MALFORMED_QUERY"),
        ("SELECT Shoe FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Shoe__c", "INVALID_TYPE"),
    ],
)
def test_what_it_cannot_query_is_refused_as_salesforce_does(org: Org, query: str, expected: str) -> None:
    with pytest.raises(SalesforceMalformedRequest) as caught:
        org.client.query(query)
    assert refusal(caught.value) == (400, expected)


def test_a_guarded_row_is_not_overwritten(org: Org) -> None:
    row = lead(org)
    before = datetime.now(UTC) - timedelta(hours=1)  # noqa: TID251 - compared with the clock of the sandbox
    headers = {"If-Unmodified-Since": before.strftime("%a, %d %b %Y %H:%M:%S GMT"), "Sforce-Auto-Assign": "FALSE"}
    with pytest.raises(SalesforceError) as caught:
        org.client.Lead.update(row, {"Title": "x"}, headers=headers)
    assert caught.value.status == 412


def test_an_expired_session_is_401_until_the_next_login(org: Org) -> None:
    org.faults.add(Fault(system="salesforce", operation="query", kind="expired_session"))
    for _ in range(2):
        with pytest.raises(SalesforceExpiredSession) as caught:
            org.client.query("SELECT Id FROM Lead LIMIT 1")
        assert refusal(caught.value) == (401, "INVALID_SESSION_ID")
    org.client = org.log_in()
    assert org.client.query("SELECT Id FROM User LIMIT 1")["totalSize"] == 1


def test_a_limit_is_403_and_every_answer_tells_the_usage(org: Org) -> None:
    org.faults.add(Fault(system="salesforce", operation="limits", kind="rate_limited", retry_after=5))
    with pytest.raises(SalesforceRefusedRequest) as caught:
        org.client.limits()
    assert refusal(caught.value) == (403, "REQUEST_LIMIT_EXCEEDED")
    used = org.sandbox.api_requests
    limits = org.client.limits()
    assert org.client.api_usage["api-usage"].used == used + 1
    assert limits["DailyApiRequests"]["Max"] - limits["DailyApiRequests"]["Remaining"] == used + 1


def test_a_dropped_connection_after_the_commit_has_committed(org: Org) -> None:
    row = lead(org)
    for kind, expected in (("timeout", None), ("timeout_after_commit", "x")):
        org.faults.add(Fault(system="salesforce", operation="collections", kind=kind))  # type: ignore[arg-type]
        with pytest.raises(requests.ConnectionError):
            org.save([record(row, Title="x")])
        assert org.sandbox.record("Lead", row)["Title"] == expected  # type: ignore[index]


def test_unknown_addresses_and_bodies_are_errors_not_crashes(org: Org) -> None:
    for path, method, content in (
        ("sobjects/Shoe__c/describe", "GET", None),
        (f"sobjects/Lead/{salesforce_id('00Q', 1)}", "GET", None),
        ("composite/sobjects", "PATCH", "{"),
        ("composite/sobjects", "PATCH", "[]"),
        ("composite/sobjects", "PATCH", '{"records": [1]}'),
        ("composite/sobjects", "PATCH", '{"records": [{"attributes": 5}]}'),
        ("query/01gnone-2000", "GET", None),
    ):
        with pytest.raises((SalesforceMalformedRequest, SalesforceResourceNotFound)):
            org.client.restful(path, method=method, data=content)


@pytest.mark.parametrize(
    "fields",
    [{"Title": {}}, {"NumberOfEmployees": "many"}, {"DoNotCall": "no"}, {"NumberOfEmployees": 1.5}, {"OwnerId": 5}],
)
def test_values_of_the_wrong_kind_are_refused_and_tell_nobody(org: Org, fields: dict[str, Any]) -> None:
    row = lead(org)
    published = org.sandbox.bus.last
    [result] = org.save([record(row, **fields)])
    assert result["errors"][0]["statusCode"] == "JSON_PARSER_ERROR"
    assert org.sandbox.bus.last == published


def test_describe_tells_types_and_permissions(org: Org) -> None:
    described = org.client.Account.describe()
    fields = {field["name"]: field for field in described["fields"]}
    assert fields["CSM__c"]["custom"]  # learned from the seed
    assert fields["BillingCity"]["updateable"]
    assert not fields["LastModifiedDate"]["updateable"]


def test_the_library_can_ask_what_was_changed_and_what_was_deleted(org: Org) -> None:
    kept, gone = lead(org), lead(org)
    org.sandbox.delete("Lead", gone)
    start, end = utcnow() - timedelta(minutes=10), utcnow() + timedelta(minutes=2)
    updated = org.client.Lead.updated(start, end)
    deleted = org.client.Lead.deleted(start, end)
    assert kept in updated["ids"]
    assert gone not in updated["ids"]
    assert gone in [one["id"] for one in deleted["deletedRecords"]]
    assert updated["latestDateCovered"].endswith(":00.000+0000")  # seconds are cut off
    assert refusal_of(lambda: org.client.Lead.updated(end, start)) == (400, "INVALID_REPLICATION_DATE")
    assert refusal_of(lambda: org.client.Lead.updated(start - timedelta(days=40), end)) == (
        400,
        "INVALID_REPLICATION_DATE",
    )


def test_a_merged_record_names_the_one_it_went_into(org: Org) -> None:
    master, loser = lead(org), lead(org)
    org.sandbox.merge("Lead", master, [loser])
    query = f"SELECT Id, MasterRecordId FROM Lead WHERE IsDeleted = true AND MasterRecordId != null AND Id = '{loser}'"
    [row] = org.client.query_all(query, include_deleted=True)["records"]
    assert row["MasterRecordId"] == master
    assert org.client.query_all(query)["records"] == []


def test_setup_is_asked_through_the_tooling_api(org: Org) -> None:
    query = "SELECT SelectedEntity FROM PlatformEventChannelMember WHERE EventChannel = 'ChangeEvents'"
    selected = [row["SelectedEntity"] for row in org.client.toolingexecute("query/", params={"q": query})["records"]]
    assert {"LeadChangeEvent", "Deal__ChangeEvent"} <= set(selected)
    assert "GroupChangeEvent" not in selected
    assert refusal_of(lambda: org.client.query(query)) == (400, "INVALID_TYPE")


def test_the_days_calls_come_to_an_end(org: Org) -> None:
    org.sandbox.use_up(0, limit=org.sandbox.api_requests + 1)
    try:
        org.client.query("SELECT Id FROM Lead LIMIT 1")
        assert refusal_of(lambda: org.client.query("SELECT Id FROM Lead LIMIT 1")) == (403, "REQUEST_LIMIT_EXCEEDED")
    finally:
        org.sandbox.use_up(0, limit=100_000)


def refusal_of(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(SalesforceError) as caught:
        call()
    return refusal(caught.value)


# Conditions that last


def test_what_is_imposed_lasts(org: Org) -> None:
    org.sandbox.impose({"daily": org.sandbox.api_requests + 500, "used_today": 498})
    org.client.query("SELECT Id FROM Lead")
    org.client.query("SELECT Id FROM Lead")
    with pytest.raises(SalesforceRefusedRequest, match="REQUEST_LIMIT_EXCEEDED"):
        org.client.query("SELECT Id FROM Lead")
    org.sandbox.impose({"used_today": 0, "daily": 100_000})
    org.client.query("SELECT Id FROM Lead")


def test_a_session_ends_by_itself(org: Org) -> None:
    sessions = org.sandbox.sessions
    org.sandbox.impose({"session_minutes": 30})
    org.client.query("SELECT Id FROM Lead")
    sessions._clock = lambda: utcnow() + timedelta(minutes=31)
    with pytest.raises(SalesforceExpiredSession):
        org.client.query("SELECT Id FROM Lead")
    sessions._clock = utcnow
    org.sandbox.impose({"session_minutes": 0})


def test_a_short_memory_of_the_bus_makes_positions_too_old(org: Org) -> None:
    org.sandbox.impose({"retained": 2})
    first = org.sandbox.bus.last + 1
    for _ in range(4):
        org.sandbox.create("Lead", {"LastName": "Doe", "Company": "Acme"})
    assert org.sandbox.bus.first == first + 2


@pytest.mark.parametrize("values", [{"gravity": 1}, {"daily": -1}, {"daily": True}, {"latency": "long"}])
def test_what_cannot_be_imposed_is_refused_with_what_can(org: Org, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"There are: daily, used_today|is no number from 0 to"):
        org.sandbox.impose(values)


def test_two_saves_below_one_account_at_once_lock_each_other_out(org: Org) -> None:
    account = salesforce_id("001", 1)
    people = [org.sandbox.create("Contact", {"LastName": "Doe", "AccountId": account}) for _ in range(3)]
    elsewhere = org.sandbox.create("Contact", {"LastName": "Roe"})
    about = {"attributes": {"type": "Task"}, "Subject": "Call", "WhoId": people[2]}
    first: list[Any] = []
    org.sandbox.impose({"save_seconds": 0.5})
    try:
        slow = Thread(target=lambda: first.extend(org.save([record(people[0], "Contact", Title="a")])))
        slow.start()
        wait_for("the first save", lambda: org.sandbox.store.held)
        others = [record(people[1], "Contact", Title="b"), record(elsewhere, "Contact", Title="b")]
        second = org.save([*others, record(account, "Account", Website="x.example")])
        slow.join()
        third = org.save([others[0]])
    finally:
        org.sandbox.impose({"save_seconds": 0})
    assert [one["success"] for one in first] == [True]
    assert [one["success"] for one in second] == [False, True, False]
    assert {one["errors"][0]["statusCode"] for one in second if one["errors"]} == {"UNABLE_TO_LOCK_ROW"}
    assert [one["success"] for one in third] == [True]
    assert org.sandbox.store.collisions == 2
    operation = Operation("create", "Task", fields=about)
    assert locks_of(org.sandbox.store, operation) == {people[2][:15], account[:15]}


def test_collections_tell_of_many_records_and_of_those_that_are_not_there(org: Org) -> None:
    there, gone = lead(org, Company="Acme"), lead(org)
    org.sandbox.delete("Lead", gone)
    asked = {"ids": [there, gone, salesforce_id("00Q", 999_999)], "fields": ["Id", "Company", "IsDeleted"]}
    rows = org.client.restful("composite/sobjects/Lead", method="POST", json=asked)
    assert [row and (row["Id"], row["IsDeleted"]) for row in rows] == [(there, False), (gone, True), None]
    for wrong in ({"ids": [there]}, {"ids": [there], "fields": ["Shoe"]}, {"ids": [there] * 2001, "fields": ["Id"]}):
        with pytest.raises(SalesforceMalformedRequest):
            org.client.restful("composite/sobjects/Lead", method="POST", json=wrong)
