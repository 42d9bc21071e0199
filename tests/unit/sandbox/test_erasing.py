"""What is erased in a CRM of the sandbox is gone: no bin, no history, no other id gives it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import asdict

from connectors.sandbox.hubspot.properties import Refusal
from connectors.sandbox.hubspot.store import Event, Source, Store
from connectors.sandbox.ids import salesforce_id
from connectors.sandbox.salesforce.checks import SaveError
from connectors.sandbox.salesforce.org import Org
from connectors.sandbox.salesforce.replication import Replication
from tests.conftest import ManualClock

NAME = "Wintersteller"
ADDRESS = "wintersteller@privat.example"
BY = Source("CRM_UI", "userId:1", 1)


def texts(thing: object) -> Iterator[str]:
    """Every text that a thing holds, however deep."""
    if isinstance(thing, Struct):
        thing = asdict(thing)
    if isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from texts(key)
            yield from texts(value)
    elif isinstance(thing, list | tuple | set | frozenset):
        for one in thing:
            yield from texts(one)
    elif isinstance(thing, str):
        yield thing


def left(store: object) -> list[str]:
    return [one for one in texts(vars(store)) if NAME in one or NAME.lower() in one]


@pytest.fixture
def hubspot(clock: ManualClock) -> Store:
    return Store(clock)


def contact(store: Store, **more: str) -> str:
    return store.create("contacts", {"lastname": NAME, "email": ADDRESS, **more}, BY).id


def test_an_erased_contact_is_not_in_hubspots_bin(hubspot: Store) -> None:
    told: list[Event] = []
    record = contact(hubspot)
    hubspot.update("contacts", record, {"lastname": f"{NAME}-Elf"}, BY)
    other = contact(hubspot, email="someone@else.example", lastname="Else")
    hubspot.announce = told.extend
    hubspot.erase("contacts", record, BY)
    assert left(hubspot) == []
    assert [(event.verb, event.object_id) for event in told] == [("privacyDeletion", record)]
    assert [item.id for item in hubspot.page("contacts", 0, 10, archived=True)[0]] == []
    assert [item.id for item in hubspot.page("contacts", 0, 10)[0]] == [other]
    with pytest.raises(Refusal, match="not found"):
        hubspot.end("contacts", record, "restore", BY)
    assert hubspot.create("contacts", {"email": ADDRESS}, BY, counted=True), "the address is free again"


def test_a_contact_in_the_bin_can_be_erased(hubspot: Store) -> None:
    record = contact(hubspot)
    hubspot.end("contacts", record, "deletion", BY)
    assert left(hubspot) != []
    hubspot.erase("contacts", record, BY)
    assert left(hubspot) == []


def test_what_was_merged_into_an_erased_contact_goes_along(hubspot: Store) -> None:
    old = [contact(hubspot), contact(hubspot, email=f"2.{ADDRESS}"), contact(hubspot, email=f"3.{ADDRESS}")]
    first = hubspot.merge("contacts", old[0], [old[1]], BY)
    second = hubspot.merge("contacts", first, [old[2]], BY)
    hubspot.erase("contacts", old[1], BY)  # an old id leads to the one that is left
    assert left(hubspot) == []
    assert [hubspot.get("contacts", one) for one in (*old, first, second)] == [None] * 5


@pytest.fixture
def org(clock: ManualClock) -> Org:
    world = SimpleNamespace(users=[], accounts=[], contacts=[], opportunities=[])
    made = Org(world, clock)
    made.store.announce = lambda _: None  # the bus keeps what it told for three days, as there
    return made


def lead(org: Org, **more: Any) -> str:
    return org.create("Lead", {"LastName": NAME, "Company": "Acme", "Email": ADDRESS, **more})


@pytest.mark.parametrize("binned", [True, False], ids=["out of the bin", "with the bin passed by"])
def test_an_erased_lead_is_not_in_salesforces_bin(org: Org, clock: ManualClock, binned: bool) -> None:
    record = lead(org)
    org.update("Lead", record, {"LastName": f"{NAME}-Elf"})
    if binned:
        org.delete("Lead", record)
        assert left(org.store) != []
    org.erase("Lead", record)
    assert left(org.store) == []
    assert org.store.find("Lead", record) is None
    with pytest.raises(SaveError) as refused:
        org.undelete("Lead", record)
    assert (refused.value.code, refused.value.message) == ("UNDELETE_FAILED", "Entity is not in the recycle bin")
    assert [entry.kind for entry in org.history("Lead", record)] == ["create", "update", "delete"]
    start, end = (clock() + timedelta(minutes=by) for by in (-5, 5))
    log = Replication(org.store).deleted("Lead", start.isoformat(), end.isoformat(), clock())
    assert [one["id"] for one in log["deletedRecords"]] == [record], "the delete log still tells that there was one"


def test_what_was_merged_into_an_erased_lead_goes_along(org: Org) -> None:
    one, other, third = lead(org), lead(org), lead(org)
    org.merge("Lead", one, [other])
    org.merge("Lead", third, [one])
    org.erase("Lead", third)
    assert left(org.store) == []


def test_only_what_is_in_the_bin_can_be_taken_out_of_it(org: Org) -> None:
    record = lead(org)
    for name in (record, salesforce_id("00Q", 77)):
        with pytest.raises(SaveError, match="not in the recycle bin"):
            org.undelete("Lead", name)
    org.delete("Lead", record)
    org.undelete("Lead", record)
    assert (org.record("Lead", record) or {})["LastName"] == NAME
