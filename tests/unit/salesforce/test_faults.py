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
    ],
)
def test_a_fault_that_could_never_happen_is_refused(fault: Fault) -> None:
    with pytest.raises(ValueError, match=r"."):
        Faults().add(fault)
