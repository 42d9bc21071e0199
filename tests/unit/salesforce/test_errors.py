"""Salesforce's errors in our terms: class, known or unknown outcome, and nothing secret or personal in the words."""

from __future__ import annotations

from unittest.mock import create_autospec

import grpc
import pytest
import requests
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceError
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from connectors import errors
from connectors.salesforce.errors import from_network, from_response, from_rpc, from_soap, login_error, save_error


def rest_error(status: int, code: str, message: str = "words") -> SalesforceError:
    return SalesforceError("https://x.example", status, "query", [{"errorCode": code, "message": message}])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "code", "expected", "unknown"),
    [
        (401, "INVALID_SESSION_ID", errors.AuthenticationFailed, False),
        (403, "REQUEST_LIMIT_EXCEEDED", errors.RateLimited, False),
        (403, "API_DISABLED_FOR_ORG", errors.PermissionDenied, False),
        (403, "SOMETHING_NEW", errors.PermissionDenied, False),
        (404, "NOT_FOUND", errors.Misconfigured, False),
        (400, "INVALID_FIELD", errors.Misconfigured, False),
        (400, "MALFORMED_QUERY", errors.ConnectorBug, False),
        (400, "SOMETHING_NEW", errors.ConnectorBug, False),
        (412, "", errors.Conflict, False),
        (429, "", errors.RateLimited, False),
        (503, "SERVER_UNAVAILABLE", errors.Transient, False),
        (500, "UNKNOWN_EXCEPTION", errors.Transient, True),
        (502, "", errors.Transient, True),
    ],
)
def test_answers(status: int, code: str, expected: type[errors.ConnectorError], unknown: bool) -> None:
    made = from_response(rest_error(status, code), "a write", writing=True, retry_after=4.0)
    assert type(made) is expected
    assert made.outcome_unknown is unknown
    assert made.retry_after == 4.0
    assert "a write" in str(made)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(403, errors.MalformedAnswer), (404, errors.MalformedAnswer), (401, errors.AuthenticationFailed)],
)
def test_a_page_is_nobodys_word_on_what_became_of_a_write(status: int, expected: type[errors.ConnectorError]) -> None:
    page = SalesforceError("https://acme.example", status, "", "<html>Please log in</html>")
    made = from_response(page, "a write", writing=True, retry_after=None)
    assert (type(made), made.outcome_unknown) == (expected, expected is errors.MalformedAnswer)
    soap = from_soap(status, "", "it is no XML", "a merge", None)
    assert (type(soap), soap.outcome_unknown) == (expected, expected is errors.MalformedAnswer)


def test_reading_never_has_an_unknown_outcome() -> None:
    assert not from_response(rest_error(500, ""), "a read", writing=False, retry_after=None).outcome_unknown
    assert not from_network(requests.ReadTimeout(), "a read", writing=False).outcome_unknown


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("UNABLE_TO_LOCK_ROW", errors.Conflict),
        ("ENTITY_IS_DELETED", errors.RecordRejected),
        ("INACTIVE_OWNER_OR_USER", errors.OwnerRefused),
        ("INVALID_CROSS_REFERENCE_KEY", errors.RecordRejected),
        ("DUPLICATES_DETECTED", errors.RecordRejected),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", errors.RecordRejected),
        ("NEVER_SEEN_BEFORE", errors.RecordRejected),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", errors.PermissionDenied),
        ("INVALID_FIELD", errors.Misconfigured),
        ("", errors.ConnectorBug),
    ],
)
def test_save_results(code: str, expected: type[errors.ConnectorError]) -> None:
    made = save_error("00Q1", "lead", [{"statusCode": code, "message": "why", "fields": []}])
    assert type(made) is expected
    assert made.code == code
    assert "00Q1" in str(made)


@pytest.mark.parametrize(("fields", "expected"), [(["OwnerId"], errors.OwnerRefused), (["Id"], errors.RecordRejected)])
def test_an_owner_that_is_nobody_is_a_matter_of_the_owner(
    fields: list[str], expected: type[errors.ConnectorError]
) -> None:
    said = {"statusCode": "INVALID_CROSS_REFERENCE_KEY", "message": "id value of incorrect type", "fields": fields}
    assert type(save_error("00Q1", "lead", [said])) is expected


def test_a_save_result_without_errors_is_not_understood() -> None:
    assert type(save_error("00Q1", "lead", [])) is errors.ConnectorBug


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (requests.ConnectTimeout(), False),
        (requests.ConnectionError(MaxRetryError(None, "/", NewConnectionError(None, "refused"))), False),  # type: ignore[arg-type]
        (requests.exceptions.ProxyError(), False),
        (requests.ReadTimeout(), True),
        (requests.ConnectionError(ProtocolError("Connection aborted.")), True),
        (requests.exceptions.ChunkedEncodingError(), True),
    ],
)
def test_only_what_was_never_sent_has_a_known_outcome(error: requests.RequestException, unknown: bool) -> None:
    made = from_network(error, "a write", writing=True)
    assert type(made) is errors.Transient
    assert made.outcome_unknown is unknown


def test_a_certificate_that_is_not_trusted_is_a_setting() -> None:
    assert type(from_network(requests.exceptions.SSLError("bad"), "x", writing=True)) is errors.Misconfigured


def test_personal_data_in_the_vendors_words_is_masked() -> None:
    made = save_error(
        "00Q1", "lead", [{"statusCode": "INVALID_EMAIL_ADDRESS", "message": "Email: bad: zoe@private.example"}]
    )
    assert "zoe" not in str(made)
    assert len(str(save_error("00Q1", "lead", [{"statusCode": "X", "message": "long " * 500}]))) < 500


def test_a_refused_login_is_an_authentication_failure() -> None:
    made = from_response(SalesforceAuthenticationFailed("invalid_grant", "no"), "x", writing=False, retry_after=None)
    assert type(made) is errors.AuthenticationFailed


def test_events_that_are_no_longer_delivered_today_are_told_with_what_to_do() -> None:
    class Refused(grpc.RpcError, grpc.Call):
        """What grpc raises: both at once."""

    refused = create_autospec(Refused, instance=True)
    refused.code.return_value = grpc.StatusCode.RESOURCE_EXHAUSTED
    code = "sfdc.platform.eventbus.grpc.subscription.limit.exceeded"
    refused.trailing_metadata.return_value = (("error-code", code),)
    refused.details.return_value = "You have exceeded the event delivery limit for your org. " * 9
    error = from_rpc(refused, "the subscription")
    assert isinstance(error, errors.RateLimited)
    assert error.code == code
    assert str(error).endswith("Select fewer objects for Change Data Capture, or set changes: poll.")


def test_the_flow_that_works_on_the_own_domain_alone_is_told_so() -> None:
    error = login_error("invalid_grant", "request not supported on this domain")
    assert isinstance(error, errors.AuthenticationFailed), "what is owed waits until it is set right"
    assert "set login_url to https://NAME.my.salesforce.com" in str(error)
