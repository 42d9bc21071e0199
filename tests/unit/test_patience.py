"""What connectors make of a Retry-After, and of the words of a refusal."""

from __future__ import annotations

import json

import pytest
import structlog

from connectors.errors import ConnectorError, RateLimited
from connectors.hubspot import errors as hubspot
from connectors.marketo import errors as marketo
from connectors.patience import LONGEST_ASKED, wait_asked
from connectors.salesforce import errors as salesforce

DATE = "Mon, 23 Nov 2026 18:59:18 GMT"


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7.0),
        (" 0.05 ", 0.05),
        ("Mon, 23 Nov 2026 19:00:00 GMT", 42.0),
        ("Mon, 23 Nov 2026 18:00:00 GMT", 0.0),  # it has passed
        ("86400000", LONGEST_ASKED),
        ("99999999999", LONGEST_ASKED),
        ("Mon, 23 Nov 2099 19:00:00 GMT", LONGEST_ASKED),
        ("Mon, 23 Nov 99999 19:00:00 GMT", None),
        ("9" * 400, None),
        ("-5", None),
        ("inf", None),
        ("nan", None),
        ("\u0667", None),
        ("7, 8", None),
        ("soon", None),
        ("", None),
    ],
)
def test_what_is_asked_for_is_read_as_seconds_or_as_a_date_and_never_stops_us_for_good(
    asked: str, seconds: float | None
) -> None:
    assert wait_asked({"Retry-After": asked, "Date": DATE}, "x") == seconds


def test_whoever_asks_for_too_long_is_told_in_the_log() -> None:
    with structlog.testing.capture_logs() as said:
        wait_asked({"retry-after": "86400000"}, "hubspot")
        wait_asked({"retry-after": "60"}, "hubspot")
    assert [(one["system"], one["asked"]) for one in said] == [("hubspot", "86400000")]


@pytest.mark.parametrize("asked", ["99999999999", "Mon, 23 Nov 2026 19:00:00 GMT", "inf", "-5"])
def test_no_answer_can_make_a_wait_that_cannot_be_waited(asked: str) -> None:
    headers = {"Retry-After": asked, "Date": DATE}
    for error in (
        hubspot.of_status(429, b"{}", headers, "writing", writing=True),
        marketo.of_status(429, headers, "writing", writing=True),
    ):
        assert isinstance(error, RateLimited)
        assert error.retry_after is not None
        assert 0 <= error.retry_after <= LONGEST_ASKED


def refusals(words: str) -> list[ConnectorError]:
    told = {"status": "error", "message": words, "category": "VALIDATION_ERROR"}
    return [
        hubspot.of_status(400, json.dumps(told).encode(), {}, "updating 1 contacts", writing=True),
        hubspot.of_input(hubspot.read_body(json.dumps(told)), "17"),
        marketo.of_record([marketo.Said("1003", words)], "17"),
        marketo.of_code(marketo.Said("1003", words), "writing", writing=True),
        salesforce.save_error("00Q", "lead", [{"statusCode": "INVALID_EMAIL_ADDRESS", "message": words}]),
    ]


def test_no_refusal_quotes_an_e_mail_address() -> None:
    """They are logged, and shown by ``parked list``."""
    for error in refusals("Email address jane.roe+x@firm.example is invalid. Name: Jane <j.r@firm.example>"):
        assert "@" not in str(error)
        assert "(an e-mail address) is invalid" in str(error)


def test_a_refusal_ends_as_a_sentence_does() -> None:
    for error in refusals("An unexpected error occurred."):
        assert ".." not in str(error)
