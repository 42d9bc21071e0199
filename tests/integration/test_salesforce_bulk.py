"""Filling the mirror by Bulk API 2.0: when it is worth it, from where it goes on, and what happens when it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from connectors.errors import RateLimited, Transient
from connectors.salesforce import bulk, reader
from connectors.salesforce.connection import SalesforceConnection
from connectors.sandbox.faults import Fault, FaultKind
from routing.core.model import ChangeEvent
from tests.contract.salesforce_stand import ANA, SalesforceStand, salesforce_stand

LEADS = 95


@pytest.fixture(scope="module")
def filled() -> Iterator[SalesforceStand]:
    with salesforce_stand() as stand:
        for n in range(LEADS):
            stand.create({"title": f"No. {n}", "owner": ANA})
        yield stand


@pytest.fixture
def connection(filled: SalesforceStand, monkeypatch: pytest.MonkeyPatch) -> Iterator[SalesforceConnection]:
    """Pages of 20 by query, of 30 by bulk, handed on ten at a time; 50 records are many."""
    monkeypatch.setattr(reader, "PAGE", 20)
    monkeypatch.setattr(bulk, "ROWS", 30)
    monkeypatch.setattr(bulk, "STEP", 10)
    monkeypatch.setattr(bulk, "_FIRST_LOOK", 0.01)
    connection = filled.connect(bulk_from=50)
    connection.user_id  # noqa: B018 - logged in
    yield connection
    connection.close()
    filled.faults.clear()


def ids(pages: list[list[ChangeEvent]]) -> list[str]:
    return [event.record_id for page in pages for event in page]


def all_leads(stand: SalesforceStand) -> list[str]:
    return sorted(str(row["Id"]) for row in stand.sandbox.records("Lead"))


def test_many_records_come_by_a_job_and_each_once(filled: SalesforceStand, connection: SalesforceConnection) -> None:
    before = filled.sandbox.api_requests
    pages = list(connection.backfill(["lead"]))
    assert sorted(ids(pages)) == all_leads(filled)
    assert [len(page) for page in pages] == [20, 10, 10, 10, 10, 10, 10, 10, 5]
    # One page by query, one count, a job made and looked at twice, three pages of its result.
    assert filled.sandbox.api_requests - before == 8


def test_a_row_means_the_same_whichever_way_it_came(filled: SalesforceStand, connection: SalesforceConnection) -> None:
    told = {
        "first_name": 'Žofia "Zo"\nNováková,',
        "title": "true",
        "city": "",
        "employees": 250,
        "annual_revenue": 1_500_000.5,
        "opted_out": True,
        "description": "a,b;\r\n" + "ö" * 200_000,
    }
    lead = filled.create(told)
    by_query, by_job = (
        {event.record_id: event for page in one.backfill(["lead"]) for event in page}[lead]
        for one in (filled.connection, connection)
    )
    filled.delete(lead)
    assert by_job.values == by_query.values
    assert by_job.event_id == by_query.event_id
    assert by_job.occurred_at == by_query.occurred_at
    assert by_job.values["employees"] == 250
    assert by_job.values["opted_out"] is True
    assert by_job.values["title"] == "true"


@pytest.mark.parametrize("stop_after", range(1, 9))
def test_a_fill_goes_on_behind_any_page(
    filled: SalesforceStand, connection: SalesforceConnection, stop_after: int
) -> None:
    pages = connection.backfill(["lead"])
    first = [next(pages) for _ in range(stop_after)]
    other = filled.connect(bulk_from=50)  # as after a restart: nothing is remembered
    rest = list(other.backfill(["lead"], {"lead": first[-1][-1].cursor}))
    other.close()
    found = ids([*first, *rest])
    assert sorted(found) == all_leads(filled)


def test_at_the_end_nothing_is_left(filled: SalesforceStand, connection: SalesforceConnection) -> None:
    last = list(connection.backfill(["lead"]))[-1][-1]
    assert list(connection.backfill(["lead"], {"lead": last.cursor})) == []


def test_few_records_take_no_job(filled: SalesforceStand, connection: SalesforceConnection) -> None:
    other = filled.connect(bulk_from=LEADS)
    filled.faults.add(Fault(system="salesforce", operation="bulk", kind="broken"))
    assert ids(list(other.backfill(["lead", "account"])))[:LEADS] == all_leads(filled)
    other.close()


def test_a_result_that_is_gone_is_read_anew(filled: SalesforceStand, connection: SalesforceConnection) -> None:
    pages = connection.backfill(["lead"])
    place = [next(pages) for _ in range(3)][-1][-1].cursor
    filled.sandbox.bulk.forget()
    with structlog.testing.capture_logs() as said:
        assert sorted(ids(list(connection.backfill(["lead"], {"lead": place})))) == all_leads(filled)
    assert "salesforce_bulk_job_gone" in {one["event"] for one in said}


@pytest.mark.parametrize("how", ["failed", "refused"])
def test_where_no_job_can_be_had_queries_do_it(
    filled: SalesforceStand, connection: SalesforceConnection, how: str
) -> None:
    if how == "failed":
        filled.sandbox.bulk.failing = "INVALIDENTITY: entity type Lead does not support query"
    else:
        filled.faults.add(Fault(system="salesforce", operation="bulk", kind="partial"))
    with structlog.testing.capture_logs() as said:
        found = ids(list(connection.backfill(["lead"])))
    assert found == all_leads(filled)
    assert [one["event"] for one in said] == ["salesforce_bulk_refused"]


LOST: list[FaultKind] = ["page", "nonsense", "timeout", "timeout_after_commit", "broken", "unavailable"]


@pytest.mark.parametrize("behind", [1, 2, 4, 7])
@pytest.mark.parametrize("kind", LOST)
def test_whatever_interrupts_a_fill_it_goes_on_where_it_was(
    filled: SalesforceStand, connection: SalesforceConnection, kind: FaultKind, behind: int
) -> None:
    pages: list[list[ChangeEvent]] = []
    interrupted = 0
    for _ in range(5):
        try:
            for page in connection.backfill(["lead"], {"lead": pages[-1][-1].cursor} if pages else None):
                pages.append(page)
                if len(pages) == behind:
                    filled.faults.add(Fault(system="salesforce", operation="bulk", kind=kind, times=2))
            break
        except Transient:
            interrupted += 1
    assert interrupted == 2
    assert sorted(ids(pages)) == all_leads(filled)


@pytest.mark.parametrize(("kind", "error"), [("unavailable", Transient), ("rate_limited", RateLimited)])
def test_a_bad_moment_costs_no_second_job(
    filled: SalesforceStand, connection: SalesforceConnection, kind: Any, error: type[Exception]
) -> None:
    pages = connection.backfill(["lead"])
    first = next(pages)
    filled.sandbox.bulk.slow = 3
    filled.faults.add(Fault(system="salesforce", operation="bulk", kind=kind))
    with pytest.raises(error):
        next(pages)
    filled.sandbox.bulk.slow = 1
    again = connection.backfill(["lead"], {"lead": first[-1].cursor})
    assert sorted(ids([first, *again])) == all_leads(filled)
