"""HubSpot's privacyDeletion is a legal erasure: afterwards nothing in the ledger says who the person was."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec
import pytest

from tests.integration.stage import Stage, stage


class Person:
    """Somebody like nobody else on the stage."""

    def __init__(self, number: int) -> None:
        self.name = f"Quast{chr(97 + number)}"
        self.phone = f"0171 55501{number:02}"
        self.email = f"{self.name.lower()}@privat{number}.example"
        self.words = (self.name.lower(), self.phone, f"+4917155501{number:02}", f"privat{number}.example")

    def properties(self, **more: str) -> dict[str, str]:
        """As they filled a form in: with something to correct."""
        given = {"email": self.email, "firstname": "wilhelmina", "lastname": self.name.upper(), "phone": self.phone}
        return {**given, "country": "Germany", **more}


_numbers = itertools.count()


@pytest.fixture
def person() -> Person:
    return Person(next(_numbers))


@pytest.fixture(scope="module")
def one_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("erasure"), accounts=60) as made:
        yield made


@pytest.fixture
def world(one_stage: Stage) -> Iterator[Stage]:
    yield one_stage
    one_stage.faults.clear()


def said(world: Stage, person: Person) -> list[str]:
    """Every cell of every table that still speaks of the person, as table.column: cell."""
    found = []
    tables = [row["name"] for row in world.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert {"journal", "mirror", "mirror_key", "decision", "outbox", "policy"} <= set(tables)
    for table in tables:
        for row in world.rows(f"SELECT * FROM {table}"):
            for column, cell in row.items():
                text = bytes(cell).decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
                if any(word in text.lower() for word in person.words):
                    found.append(f"{table}.{column}: {text}")
    return found


def test_nothing_is_left_of_an_erased_person_but_that_there_was_one(world: Stage, person: Person) -> None:
    contact = world.contact(**person.properties())
    world.settle()
    world.hubspot.update("contacts", contact, {"phone": f"{person.phone} x2"}, user="zoe.campbell@example.com")
    world.settle()
    assert said(world, person), "before, there is something to erase"
    owner = world.decisions(contact)[0].owner
    world.hubspot.erase(contact)
    world.settle()
    assert said(world, person) == []
    made, *_ = world.decisions(contact)
    assert (made.outcome, made.owner) == ("assign", owner), "that and how it was decided stays"
    assert world.command("decisions", "show", contact).exit_code == 0
    assert all(event["state"] in ("applied", "skipped") for event in world.events(contact))


@pytest.mark.parametrize("gap", ["about all", "about one"])
def test_who_was_merged_while_nobody_could_tell_us_goes_with_the_lead_that_is_left(
    world: Stage, person: Person, gap: str
) -> None:
    stays = world.lead()
    merged = world.lead(LastName=person.name, Email=person.email, Phone=person.phone)
    world.settle()
    assert said(world, person), "before, there is something to erase"
    if gap == "about all":
        world.close()
        world.salesforce.merge("Lead", stays, [merged])
        world.salesforce.expire_events()
        world.open()
    else:
        world.salesforce.spoil_next("missing", 2)
        world.salesforce.merge("Lead", stays, [merged])
        world.salesforce.gap("Lead", [merged], "GAP_DELETE")
    heard = 'SELECT 1 FROM journal WHERE ref LIKE ? AND body LIKE \'%"kind":"merged"%\''
    world.until("the merge to be heard of", lambda: world.rows(heard, f"%{merged}"))
    world.settle()
    world.command("erase", stays, "--yes")
    assert said(world, person) == []


def test_erased_before_it_was_even_decided(world: Stage, person: Person) -> None:
    world.hold_up("hubspot", "batch_read")
    contact = world.contact(**person.properties())
    world.until("the event", lambda: world.events(contact))
    world.hubspot.update("contacts", contact, {"city": "Ulm", "company": f"{person.name} KG"})
    world.hubspot.erase(contact)
    world.faults.clear()
    world.settle()
    assert said(world, person) == []


def test_changed_and_erased_in_one_batch(world: Stage, person: Person) -> None:
    contact = world.contact(**person.properties())
    world.settle()
    world.close()
    world.hubspot.update("contacts", contact, {"phone": "030 20930", "lastname": f"{person.name.upper()}-MEIER"})
    world.hubspot.erase(contact)
    world.open()
    world.settle()
    assert said(world, person) == []


def test_erased_while_a_write_is_owed(world: Stage, person: Person) -> None:
    world.hold_up("hubspot", "batch_update")
    contact = world.contact(**person.properties())
    world.until("a decision", lambda: world.decisions(contact))
    world.hubspot.erase(contact)
    world.until(
        "the erasure", lambda: ("erased", "applied") in [(e["kind"], e["state"]) for e in world.events(contact)]
    )
    world.faults.clear()
    world.settle()
    assert said(world, person) == []
    assert world.parked() == [], "nobody need look after a write to nobody"
    assert [owed["state"] for owed in world.owed(contact)] == ["superseded"]


def test_erased_after_a_person_was_faster_than_our_correction(world: Stage, person: Person) -> None:
    world.hold_up("hubspot", "batch_update")
    contact = world.contact(**person.properties())
    world.until("a decision", lambda: world.decisions(contact))
    world.clock.advance(10)
    world.hubspot.update("contacts", contact, {"lastname": f"{person.name}-Elf", "phone": f"{person.phone} 99"})
    world.faults.clear()
    world.settle()
    assert "superseded" in str(world.owed(contact))
    world.hubspot.erase(contact)
    world.settle()
    assert said(world, person) == []


def test_events_that_arrive_after_the_erasure_do_not_bring_the_person_back(world: Stage, person: Person) -> None:
    contact = world.contact(**person.properties())
    world.settle()
    earlier = round(world.clock().timestamp() * 1000)
    world.hubspot.erase(contact)
    world.settle()
    late = {
        "eventId": 77,
        "subscriptionId": 2_000_099,
        "occurredAt": earlier,
        "subscriptionType": "contact.propertyChange",
        "attemptNumber": 1,
        "objectId": int(contact),
        "propertyName": "email",
        "propertyValue": person.email,
    }
    assert world.hooks(msgspec.json.encode([late])) == 200
    world.settle()
    assert said(world, person) == []


def test_a_parked_event_of_an_erased_person_is_erased_as_well(world: Stage, person: Person) -> None:
    contact = world.contact(**person.properties())
    world.settle()
    strange = {
        "eventId": 78,
        "subscriptionId": 2_000_099,
        "occurredAt": round(world.clock().timestamp() * 1000),
        "subscriptionType": "contact.whatever",
        "objectId": int(contact),
        "propertyName": "email",
        "propertyValue": person.email,
    }
    assert world.hooks(msgspec.json.encode([strange])) == 200
    assert len(world.parked()) == 1
    world.hubspot.erase(contact)
    world.settle()
    assert said(world, person) == []
    assert world.parked() == []


def test_a_lead_of_salesforce_is_erased_by_command_with_what_was_merged_into_it(world: Stage, person: Person) -> None:
    """One of them wrote twice; a colleague merged the two, and then they asked to be forgotten."""
    fields = {"LastName": person.name.upper(), "Phone": person.phone, "Country": "Germany"}
    gone, kept = (world.lead(Email=email, **fields) for email in (person.email, f"2.{person.email}"))
    world.settle()
    world.salesforce.merge("Lead", kept, [gone])
    world.settle()
    owner = world.decisions(gone)[0].owner
    told = world.command("erase", kept, exit_code=1)
    assert f"salesforce:lead:{kept} and what was merged into it: salesforce:lead:{gone}" in told.output
    assert said(world, person), "it is only told"
    world.salesforce.erase("Lead", kept)
    assert "Erased." in world.command("erase", kept, "--yes").output
    world.settle()
    assert said(world, person) == []
    assert world.decisions(gone)[0].owner == owner
    assert world.command("ledger", "check").stdout.endswith("All is well.\n")
    assert "Nothing is known of" in world.command("erase", "00Q000000000nobody", "--yes", exit_code=1).output


def test_what_was_merged_while_salesforce_could_not_tell_is_erased_too(world: Stage, person: Person) -> None:
    fields = {"LastName": person.name.upper(), "Phone": person.phone, "Country": "Germany"}
    gone, kept = (world.lead(Email=email, **fields) for email in (person.email, f"2.{person.email}"))
    world.settle()
    world.close()
    world.salesforce.merge("Lead", kept, [gone])
    world.salesforce.expire_events()
    world.open()
    world.until("the merge", lambda: "merged" in [event["kind"] for event in world.events(gone)])
    world.settle()
    assert f"what was merged into it: salesforce:lead:{gone}" in world.command("erase", kept, exit_code=1).output
    world.salesforce.erase("Lead", kept)
    world.command("erase", kept, "--yes")
    world.settle()
    assert said(world, person) == []


def test_another_record_of_the_erased_person_forgets_what_it_borrowed(world: Stage, person: Person) -> None:
    """A lead of the same person in Salesforce stays: it is another system's record. What was read of the contact goes."""
    contact = world.contact(**person.properties(email="shared@address.example"))
    world.settle()
    lead = world.lead(Email="shared@address.example")
    world.settle()
    assert world.owner(lead) == world.owner(contact)
    world.hubspot.erase(contact)
    world.settle()
    assert said(world, person) == []
    assert world.decisions(lead)[0].facts["lead"]["email"] == "shared@address.example"
