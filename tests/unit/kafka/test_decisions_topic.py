"""What is written for the readers of the decisions topic is what is sent."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

import routing.runtime.kafka
from routing.core.model import Correction, Decision
from routing.ledger.announcements import Announced
from routing.runtime.kafka.announcer import DecisionMessage, message_of
from tests.conftest import START

PAGE = Path(str(routing.runtime.kafka.__path__[0])) / "README.md"


def decision(n: int = 1, record_id: str = "00Q1") -> Decision:
    return Decision(
        decision_id=f"d-{n}",
        event_id=f"e-{n}",
        system="salesforce",
        entity="lead",
        record_id=record_id,
        outcome="assign",
        owner="ana@example.com",
        pool="Inbound",
        rung="Territory",
        rule="territories.csv:3",
        reason="Ana is next",
        account_id="",
        corrections=(Correction("country", "germny", "DE", "a misspelling"),),
        candidates=(),
        trace=(),
        members=(),
        facts={"email": "secret@example.com"},
        policy="abc",
        decided_at=START,
    )


def told(made: Decision, seq: int = 7) -> dict[str, object]:
    body = msgspec.json.encode(made).decode()
    found: dict[str, object] = json.loads(
        message_of(Announced(made.decision_id, seq, "salesforce:lead:00Q1", body)).value
    )
    return found


def test_the_page_shows_the_schema_of_what_is_sent() -> None:
    shown = re.search(r"```json\n(.*?)\n```", PAGE.read_text("utf-8"), re.DOTALL)
    assert shown is not None
    assert json.loads(shown[1]) == json.loads(msgspec.json.encode(msgspec.json.schema(DecisionMessage)))


def test_every_field_is_always_sent_and_nothing_else() -> None:
    sent = told(decision())
    assert set(sent) == {field.encode_name for field in msgspec.structs.fields(DecisionMessage)}
    assert sent["corrections"] == [
        {"field": "country", "old": "germny", "new": "DE", "reason": "a misspelling", "write": True}
    ]
    assert sent["seq"] == 7
    assert "secret@example.com" not in json.dumps(sent)


def test_the_header_names_the_decision() -> None:
    body = msgspec.json.encode(decision()).decode()
    message = message_of(Announced("d-1", 7, "salesforce:lead:00Q1", body))
    assert message.headers == (("decision_id", b"d-1"),)
    assert message.ref == "salesforce:lead:00Q1"
