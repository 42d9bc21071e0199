"""Faults are used up in order, and hit the share they were armed for."""

from __future__ import annotations

import pytest

from connectors.sandbox.faults import Fault, Faults


def test_a_fault_is_used_up_by_its_operation_alone() -> None:
    faults = Faults()
    faults.add(Fault(system="salesforce", operation="query", kind="unavailable", times=2))
    assert faults.take("salesforce", "login") is None
    assert faults.take("hubspot", "search") is None
    taken = [faults.take("salesforce", "query") for _ in range(3)]
    assert [fault.kind if fault else None for fault in taken] == ["unavailable", "unavailable", None]
    assert faults.all() == []


def test_any_operation_and_clearing() -> None:
    faults = Faults()
    faults.add(Fault(system="hubspot", kind="timeout"))
    assert faults.take("hubspot", "owners") is not None
    faults.add(Fault(system="hubspot", kind="timeout"))
    faults.clear()
    assert faults.take("hubspot", "owners") is None


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.01, 2), (0.1, 20), (0.5, 100), (1.0, 200)])
def test_the_share_of_a_batch(share: float, count: int) -> None:
    fault = Fault(system="salesforce", kind="partial", share=share)
    hit = [index for index in range(200) if fault.hits(index)]
    assert len(hit) == count
    assert not hit or hit[0] == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(system="pipedrive", kind="timeout"),
        Fault(system="hubspot", operation="collections", kind="timeout"),
        Fault(system="hubspot", kind="timeout", times=0),
        Fault(system="hubspot", kind="partial", share=0.0),
        Fault(system="hubspot", kind="slow", seconds=-1),
        Fault(system="marketo", operation="login", kind="daily_limit"),
    ],
)
def test_a_fault_that_could_never_happen_is_refused(fault: Fault) -> None:
    with pytest.raises(ValueError, match=r"."):
        Faults().add(fault)


def test_a_fault_of_records_waits_for_an_operation_that_has_some() -> None:
    faults = Faults()
    faults.add(Fault(system="salesforce", kind="lock"))
    assert [faults.take("salesforce", operation) for operation in ("login", "query")] == [None, None]
    assert faults.take("salesforce", "collections") is not None


def test_who_does_not_wait_is_told_of_whatever_they_ask_of_the_same_account() -> None:
    now = 100.0
    faults = Faults(lambda: now)
    faults.add(Fault(system="hubspot", operation="batch_update", kind="rate_limited", retry_after=10))
    faults.take("hubspot", "batch_update")
    now += 4
    faults.take("hubspot", "search")  # has a limit of its own
    faults.take("salesforce", "query")
    assert faults.hasty == []
    faults.take("hubspot", "batch_read")
    faults.take("hubspot", "batch_update")
    assert [(one.operation, one.seconds, one.after) for one in faults.hasty] == [
        ("batch_read", 6.0, 4.0),
        ("batch_update", 6.0, 4.0),
    ]
    now += 6
    faults.take("hubspot", "batch_read")
    assert len(faults.hasty) == 2
