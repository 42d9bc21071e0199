"""Writes that Salesforce itself compares with what we saw: If-Unmodified-Since on each row of a Composite call."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from connectors.contract import Snapshot
from connectors.errors import Conflict, ConnectorError, RecordRejected, Transient
from connectors.salesforce.connection import SalesforceConnection
from connectors.sandbox.faults import Fault
from routing.core.model import Write
from routing.runtime.clock import utcnow
from tests.contract.salesforce_stand import ANA, BEN, MAPS, SalesforceStand, salesforce_stand
from tests.contract.suites import write_of


@pytest.fixture
def stand() -> Iterator[SalesforceStand]:
    with salesforce_stand() as stand:
        yield stand


@pytest.fixture
def connection(stand: SalesforceStand) -> Iterator[SalesforceConnection]:
    compared = {name: msgspec.structs.replace(one, guard="conditional") for name, one in MAPS.items()}
    connection = SalesforceConnection(stand.settings(), lambda: compared, utcnow)
    yield connection
    connection.close()


def seen(stand: SalesforceStand, record_id: str, at: datetime, **fields: Any) -> Write:
    return msgspec.structs.replace(write_of(stand, record_id, **fields), seen_at=at)


def look(connection: SalesforceConnection, record_id: str) -> Snapshot:
    return connection.read("lead", [record_id], ["owner"])[record_id]


def test_what_nobody_touched_is_written(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    lead = stand.create({"owner": ANA})
    at = look(connection, lead).modified_at
    assert at is not None
    [result] = connection.write([seen(stand, lead, at, owner=BEN, title="Chef de cuisine")])
    assert result.error is None
    assert (stand.held(lead)["owner"], stand.held(lead)["title"]) == (BEN, "Chef de cuisine")


def test_what_was_changed_after_we_looked_is_left_alone(
    stand: SalesforceStand, connection: SalesforceConnection
) -> None:
    lead, other = stand.create({"owner": ANA}), stand.create({"owner": ANA})
    now = utcnow()
    results = connection.write(
        [
            seen(stand, lead, now - timedelta(minutes=1), owner=BEN),
            seen(stand, other, now + timedelta(minutes=1), owner=BEN),
        ]
    )
    assert isinstance(results[0].error, Conflict)  # tried again: the guard then reads who was faster
    assert "somebody changed it since it was looked at" in str(results[0].error)
    assert results[1].error is None
    assert (stand.held(lead)["owner"], stand.held(other)["owner"]) == (ANA, BEN)


def test_the_orgs_own_rules_are_kept_out_of_each_row(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    lead = stand.create({"owner": ANA})
    connection.write([seen(stand, lead, utcnow() + timedelta(minutes=1), owner=BEN)])
    assert stand.held(lead)["owner"] == BEN  # and not the assignment rule's


def test_thirty_rows_take_two_calls_and_are_judged_apart(
    stand: SalesforceStand, connection: SalesforceConnection
) -> None:
    leads = [stand.create({"owner": ANA}) for _ in range(30)]
    stand.delete(leads[3])
    connection.read("lead", leads[:1], ["owner"])
    later = utcnow() + timedelta(minutes=1)
    before = stand.sandbox.api_requests
    results = connection.write([seen(stand, lead, later, title="x") for lead in leads])
    assert stand.sandbox.api_requests - before == 2
    assert [index for index, one in enumerate(results) if one.error is not None] == [3]
    assert isinstance(results[3].error, RecordRejected)


@pytest.mark.parametrize(("kind", "error"), [("lock", Conflict), ("partial", RecordRejected)])
def test_refusals_of_some_rows_are_of_those(
    stand: SalesforceStand, connection: SalesforceConnection, kind: Any, error: type[ConnectorError]
) -> None:
    leads = [stand.create({}) for _ in range(4)]
    stand.faults.add(Fault(system="salesforce", operation="composite", kind=kind, share=0.5))
    later = utcnow() + timedelta(minutes=1)
    results = connection.write([seen(stand, lead, later, title="x") for lead in leads])
    assert [type(one.error) for one in results] == [error, type(None), error, type(None)]


def test_silence_leaves_the_outcome_open(stand: SalesforceStand, connection: SalesforceConnection) -> None:
    lead = stand.create({})
    stand.faults.add(Fault(system="salesforce", operation="composite", kind="timeout_after_commit"))
    with pytest.raises(Transient) as caught:
        connection.write([seen(stand, lead, utcnow() + timedelta(minutes=1), title="x")])
    assert caught.value.outcome_unknown
    assert stand.held(lead)["title"] == "x"
