"""Tasks for reps and managers, as they find them in Salesforce."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.integration.stage import Stage, stage

JONAS, MIRIAM = "jonas.keller@example.com", "miriam.vogel@example.com"  # the pool MM-DACH
SLA = """
clocks:
  First touch:
    start: assigned
    stop: [first touch, accepted]
    within: 4 hours
    time: always
    steps:
      - {at: 50 %, remind: owner, text: Please call}
"""
RUNG = """ladder:
  - rung: From Chile
    when: lead.country = "CL"
    assign: pool MM-DACH
    task: {subject: Say hello, for: owner, due: 2 hours}
    notify: {who: Nadia Petrova, message: A lead from Chile}

"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("tasks"), accounts=60, daemon=False) as made:
        (made.policy / "sla.yaml").write_text(SLA)
        made.edit("engagement.yaml", "ladder:\n", RUNG)
        made.open()
        yield made


def tasks(world: Stage, lead: str) -> list[dict[str, Any]]:
    """The tasks of a lead, in the order in which they were made."""
    rows = world.salesforce.records("Task")
    return [row for row in rows if row["WhoId"] == lead]


def test_a_rung_puts_tasks_before_the_owner_and_whoever_is_to_know(world: Stage) -> None:
    lead = world.lead(Country="CL")
    world.settle()
    hello, told = sorted(tasks(world, lead), key=lambda row: str(row["Subject"]), reverse=True)
    owner, nadia = world.world.user_id(world.owner(lead)), world.world.user_id("nadia.petrova@example.com")
    assert (hello["Subject"], hello["OwnerId"], hello["IsClosed"]) == ("Say hello", owner, False)
    assert (told["Subject"], told["OwnerId"], told["Priority"]) == ("A lead from Chile", nadia, "High")
    assert {one["state"] for one in world.owed(lead)} == {"confirmed"}
    assert "a task for" in world.command("decisions", "show", lead).stdout


def test_a_rep_is_reminded_once_and_only_of_a_lead_that_they_have(world: Stage) -> None:
    kept, passed_on = world.lead(), world.lead()
    world.settle()
    # Nobody has told us yet that somebody else has it when the reminder is about to be made.
    had = world.owner(passed_on)
    world.hold_up("salesforce", "collections")
    world.clock.advance(2 * 3600 + 60)
    world.until("both reminders", lambda: len(world.owed(kept)) == len(world.owed(passed_on)) == 2)
    world.give(passed_on, {JONAS: MIRIAM, MIRIAM: JONAS}[had], by=had)
    world.faults.clear()
    world.settle()
    assert [row["Subject"] for row in tasks(world, kept)] == ["Please call"]
    assert tasks(world, passed_on) == []
    assert world.owed(passed_on)[-1]["detail"].startswith("superseded: owner is now")
    world.clock.advance(3600)
    world.settle()
    assert len(tasks(world, kept)) == 1


def test_a_task_whose_answer_was_lost_is_there_once(world: Stage) -> None:
    lead = world.lead(Country="CL")
    world.until("the owner", lambda: world.owner(lead) in (JONAS, MIRIAM))
    world.settle()
    n = len(tasks(world, lead))
    world.fault("salesforce", "timeout_after_commit", "collections", times=3)
    other = world.lead(Country="CL")
    world.settle(60)
    assert (n, len(tasks(world, other))) == (2, 2)


def test_in_hubspot_too_reps_are_reminded_once_and_whoever_is_to_know_is_told(world: Stage) -> None:
    def subjects() -> list[str]:
        return sorted(str(one.value("hs_task_subject")) for one in world.hubspot.items("tasks"))

    contact = world.contact(country="CL")
    world.settle()
    assert subjects() == ["A lead from Chile", "Say hello"]
    world.clock.advance(2 * 3600 + 60)
    world.until("the reminder", lambda: "Please call" in subjects())
    world.clock.advance(3600)
    world.settle()
    assert subjects() == ["A lead from Chile", "Please call", "Say hello"]
    mine = (world.hubspot.record("contacts", contact) or {})["hubspot_owner_id"]
    owners = {one.value("hs_task_subject"): one.value("hubspot_owner_id") for one in world.hubspot.items("tasks")}
    assert owners["Please call"] == owners["Say hello"] == mine
    assert {one["state"] for one in world.owed(contact)} == {"confirmed"}


def test_a_task_that_the_operator_has_tried_again_days_later_is_there_once(world: Stage) -> None:
    lead = world.lead(Country="CL")
    world.settle()
    # As if nobody had heard that they were made.
    with closing(sqlite3.connect(world.ledger_file)) as ledger, ledger:
        made = 'ref LIKE ? AND body LIKE \'%"kind":"create"}\''
        lost = ledger.execute(f"UPDATE outbox SET state = 'parked', doubtful = 1 WHERE {made}", (f"%:{lead}",))
        assert lost.rowcount == 2
    world.clock.advance(3 * 24 * 3600)
    world.command("parked", "retry", "--all")
    world.settle()
    subjects = sorted(row["Subject"] for row in tasks(world, lead) if not row["Subject"].startswith("Please call"))
    assert subjects == ["A lead from Chile", "Say hello"]
    assert "it was created already" in " ".join(one["detail"] for one in world.owed(lead))
