"""What the sandboxes answer where a client errs or the day is bad: each in its CRM's own shape."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests

from connectors.sandbox.faults import Fault, FaultKind
from connectors.sandbox.server import SandboxOptions, SandboxServer
from connectors.sandbox.world import PersonSeed
from routing.runtime.clock import monotonic, utcnow


class Sandboxes:
    """All three, and a clock that can be set forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        people = [PersonSeed("Ana Diaz", "ana@example.com")]
        self.server = SandboxServer(people, self.now, monotonic, SandboxOptions(accounts=5))
        self.server.start()

    def now(self) -> datetime:
        return utcnow() + self.ahead

    def log_in(self, system: str) -> requests.Response:
        if system == "salesforce":
            org = self.server.salesforce
            form = {"grant_type": "client_credentials", "client_id": org.client_id, "client_secret": org.client_secret}
            return requests.post(
                f"{org.rest_url}/services/oauth2/token",
                data=form,
                timeout=30,
                verify=org.ca_file,
                allow_redirects=False,
            )
        marketo = self.server.marketo
        asked = {"client_id": marketo.client_id, "client_secret": marketo.client_secret}
        return requests.get(
            f"{marketo.url}/identity/oauth/token", {"grant_type": "client_credentials", **asked}, timeout=30
        )

    def ask(self, system: str, method: str, path: str, *, known: bool = True) -> requests.Response:
        """A request, with a fresh token where ``known``."""
        server = self.server
        url = {"salesforce": server.salesforce.rest_url, "hubspot": server.hubspot.url, "marketo": server.marketo.url}
        token = server.hubspot.access_token if system == "hubspot" else self.log_in(system).json()["access_token"]
        verify: Any = server.salesforce.ca_file if system == "salesforce" else True
        headers = {"Authorization": f"Bearer {token}"} if known else {}
        return requests.request(method, url[system] + path, headers=headers, timeout=30, verify=verify)


@pytest.fixture(scope="module")
def crms() -> Iterator[Sandboxes]:
    made = Sandboxes()
    yield made
    made.server.stop()


@pytest.fixture(autouse=True)
def calm(crms: Sandboxes) -> Iterator[None]:
    yield
    crms.server.faults.clear()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/services/data/v66.0/nosuch", 404, "NOT_FOUND"),
        ("PUT", "/services/data/v66.0/limits/", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/services/data/v66.0/sobjects/Lead", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_salesforce_refuses_what_it_does_not_serve_in_its_shape(
    crms: Sandboxes, method: str, path: str, status: int, code: str
) -> None:
    answer = crms.ask("salesforce", method, path)
    assert (answer.status_code, [one["errorCode"] for one in answer.json()]) == (status, [code])
    assert "Sforce-Limit-Info" in answer.headers
    assert "Date" in answer.headers
    stranger = crms.ask("salesforce", method, path, known=False)
    assert (stranger.status_code, stranger.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nosuch", 404), ("POST", "/crm/v3/objects/contacts/batch/archive", 404), ("PUT", "/crm/v3/owners", 405)],
)
def test_hubspot_refuses_what_it_does_not_serve_in_its_shape(
    crms: Sandboxes, method: str, path: str, status: int
) -> None:
    answer = crms.ask("hubspot", method, path)
    said = answer.json()
    assert (answer.status_code, said["status"]) == (status, "error")
    assert said["message"]
    assert said["correlationId"]
    assert "X-HubSpot-RateLimit-Remaining" in answer.headers


def test_an_answer_of_hubspot_is_told_from_another_by_its_correlation_id(crms: Sandboxes) -> None:
    ids = {crms.ask("hubspot", "GET", "/nosuch").json()["correlationId"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/rest/v1/nosuch.json", "610"), ("DELETE", "/rest/v1/leads.json", "605")],
)
def test_marketo_refuses_what_it_does_not_serve_in_its_shape(
    crms: Sandboxes, method: str, path: str, code: str
) -> None:
    answers = [crms.ask("marketo", method, path) for _ in range(2)]
    for answer in answers:
        said = answer.json()
        assert (answer.status_code, said["success"]) == (200, False)
        assert [one["code"] for one in said["errors"]] == [code]
    assert answers[0].json()["requestId"] != answers[1].json()["requestId"]
    assert crms.ask("marketo", method, path, known=False).json()["errors"][0]["code"] == "600"


def test_marketo_takes_the_login_as_it_is_documented(crms: Sandboxes) -> None:
    answer = crms.log_in("marketo")
    assert answer.status_code == 200
    assert answer.json()["access_token"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [("slow", 200), ("unavailable", 503), ("broken", 500), ("broken_after_commit", 500), ("rate_limited", None)],
)
@pytest.mark.parametrize("system", ["salesforce", "marketo"])
def test_a_fault_at_the_login_does_what_its_kind_says(
    crms: Sandboxes, system: str, kind: FaultKind, status: int | None
) -> None:
    crms.server.faults.add(Fault(system=system, operation="login", kind=kind, seconds=0.05, retry_after=7))
    answer = crms.log_in(system)
    status = status or {"salesforce": 400, "marketo": 429}[system]
    assert answer.status_code == status
    assert ("access_token" in answer.json()) == (kind == "slow")
    assert answer.json().get("error") not in ("invalid_grant", "invalid_client"), "nobody's password was refused"
    assert answer.headers["Retry-After"] == "7"


@pytest.mark.parametrize("kind", ["timeout", "timeout_after_commit"])
@pytest.mark.parametrize("system", ["salesforce", "marketo"])
def test_the_answer_to_a_login_can_be_lost(crms: Sandboxes, system: str, kind: FaultKind) -> None:
    crms.server.faults.add(Fault(system=system, operation="login", kind=kind))
    with pytest.raises(requests.ConnectionError):
        crms.log_in(system)
    assert crms.log_in(system).status_code == 200


def test_what_was_done_before_an_error_stays_done(crms: Sandboxes) -> None:
    lead = crms.server.salesforce.create("Lead", {"LastName": "Bruni", "Company": "Acme"})
    for kind, title in (("broken", None), ("broken_after_commit", "x")):
        crms.server.faults.add(Fault(system="salesforce", operation="collections", kind=kind))  # type: ignore[arg-type]
        org = crms.server.salesforce
        row = {"attributes": {"type": "Lead"}, "id": lead, "Title": "x"}
        answer = requests.patch(
            f"{org.rest_url}/services/data/v66.0/composite/sobjects",
            json={"allOrNone": False, "records": [row]},
            headers={"Authorization": f"Bearer {crms.log_in('salesforce').json()['access_token']}"},
            timeout=30,
            verify=org.ca_file,
        )
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (500, "UNKNOWN_EXCEPTION")
        assert (org.record("Lead", lead) or {})["Title"] == title


def test_salesforces_day_is_the_last_24_hours(crms: Sandboxes) -> None:
    org = crms.server.salesforce
    org.impose({"used_today": 0, "daily": org.rest.usage[0] + 1})
    limits = "/services/data/v66.0/limits"
    statuses = [crms.ask("salesforce", "GET", limits).status_code for _ in range(2)]
    assert statuses == [200, 403]
    crms.ahead += timedelta(hours=23)
    assert crms.ask("salesforce", "GET", limits).status_code == 403
    crms.ahead += timedelta(hours=1, minutes=2)
    assert crms.ask("salesforce", "GET", limits).status_code == 200
    org.impose({"used_today": 7, "daily": 100_000})
    assert org.rest.usage[0] == 8
    crms.ahead += timedelta(hours=24, minutes=2)
    assert org.rest.usage[0] == 0


def test_marketos_day_ends_at_midnight_in_chicago(crms: Sandboxes) -> None:
    marketo, usage = crms.server.marketo, "/rest/v1/stats/usage.json"
    at_noon = datetime.fromisoformat("2030-01-15T18:00:00+00:00")  # twelve o'clock there
    crms.ahead = at_noon - utcnow()
    marketo.impose({"used_today": 0, "daily": 1})
    try:
        assert crms.ask("marketo", "GET", usage).json()["success"]
        crms.ahead += timedelta(hours=8)  # the 16th in Europe
        assert crms.ask("marketo", "GET", usage).json()["errors"][0]["code"] == "607"
        crms.ahead += timedelta(hours=4, minutes=1)
        [day] = crms.ask("marketo", "GET", usage).json()["result"]
        assert (day["date"], day["total"]) == ("2030-01-16", 1)
    finally:
        marketo.impose({"daily": 50_000})
