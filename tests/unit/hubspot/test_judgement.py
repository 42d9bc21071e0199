"""What a batch update's answer means for each of its writes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.errors import ConnectorError, MalformedAnswer, RecordRejected
from connectors.hubspot.client import Answer
from connectors.hubspot.sink import _judge
from routing.core.model import Write

WRITES = [
    Write(
        write_id=f"w{n}", decision_id="d", system="hubspot", entity="lead", record_id=str(n), fields={}, guard={}
    )
    for n in (1, 2, 3)
]  # fmt: skip


def judge(status: int, **body: Any) -> dict[str, ConnectorError | None]:
    return _judge(Answer(status, {}, json.dumps(body).encode()), WRITES, "updating")


def test_results_without_trace_ids_are_known_by_their_record() -> None:
    assert judge(200, results=[{"id": str(n)} for n in (3, 1, 2)]) == {"w1": None, "w2": None, "w3": None}


def test_a_record_merged_meanwhile_is_known_by_its_trace_id() -> None:
    results = [{"id": "900", "objectWriteTraceId": "w2"}, {"id": "1"}, {"id": "3"}]
    assert judge(200, results=results) == {"w1": None, "w2": None, "w3": None}


def test_errors_are_found_by_trace_id_and_by_record_id() -> None:
    said = [
        {"message": "no", "category": "VALIDATION_ERROR", "context": {"objectWriteTraceId": ["w1"]}},
        {"message": "gone", "category": "OBJECT_NOT_FOUND", "context": {"ids": ["3"]}},
    ]
    verdicts = judge(207, results=[{"id": "2"}], errors=said, numErrors=2)
    assert verdicts["w2"] is None
    assert isinstance(verdicts["w1"], RecordRejected)
    assert isinstance(verdicts["w3"], RecordRejected)
    assert "gone" in str(verdicts["w3"])


def test_an_input_named_nowhere_is_neither_done_nor_lost() -> None:
    verdicts = judge(207, results=[{"id": "1"}])
    assert verdicts["w1"] is None
    for name in ("w2", "w3"):
        error = verdicts[name]
        assert isinstance(error, RecordRejected)
        assert error.outcome_unknown


def test_an_error_that_names_no_input_is_passed_on_to_those_unaccounted_for() -> None:
    verdicts = judge(207, results=[{"id": "1"}, {"id": "2"}], errors=[{"message": "who knows", "context": {}}])
    assert "who knows" in str(verdicts["w3"])


@pytest.mark.parametrize("body", [b"<html>", b"", b'{"results": "all of them"}'])
def test_an_answer_in_another_shape_leaves_the_outcome_open(body: bytes) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        _judge(Answer(200, {}, body), WRITES, "updating")
    assert caught.value.outcome_unknown
