"""A rung that adds leads to a campaign of Salesforce."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.sandbox.faults import FaultKind
from tests.integration.stage import Stage, stage

RUNG = """ladder:
  - rung: From Chile
    when: lead.country = "CL"
    assign: Miriam Vogel
    campaign: {id: CAMPAIGN, status: Responded}

"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("campaigns"), accounts=20, daemon=False) as made:
        campaign = made.salesforce.create("Campaign", {"Name": "Fair"})
        made.edit("engagement.yaml", "ladder:\n", RUNG.replace("CAMPAIGN", campaign))
        made.open()
        yield made


def members(world: Stage, lead: str) -> list[str]:
    """With which status the lead is in the campaign, as often as it is."""
    return [row["Status"] for row in world.salesforce.records("CampaignMember") if row["LeadId"] == lead]


def test_the_leads_of_a_rung_become_members_and_others_do_not(world: Stage) -> None:
    lead, other = world.lead(Country="CL"), world.lead(Country="DE")
    world.settle()
    assert (members(world, lead), members(world, other)) == (["Responded"], [])
    assert world.owner(lead) == "miriam.vogel@example.com"
    assert {one["state"] for one in world.owed(lead)} == {"confirmed"}
    shown = world.command("decisions", "show", lead).stdout
    assert "added to the campaign 701" in shown
    assert "as Responded: confirmed" in shown


@pytest.mark.parametrize("kind", ["timeout_after_commit", "timeout"])
def test_a_member_whose_answer_was_lost_is_made_once(world: Stage, kind: FaultKind) -> None:
    world.fault("salesforce", kind, "collections", times=3)
    lead = world.lead(Country="CL")
    world.settle(60)
    assert members(world, lead) == ["Responded"]
    assert world.parked() == []


def test_whom_a_person_was_quicker_to_add_stays_as_they_are(world: Stage) -> None:
    [campaign] = world.salesforce.records("Campaign")
    world.hold_up("salesforce", "collections")
    lead = world.lead(Country="CL")
    world.until("it to be decided", lambda: world.decisions(lead))
    world.salesforce.create("CampaignMember", {"CampaignId": campaign["Id"], "LeadId": lead, "Status": "Sent"})
    world.faults.clear()
    world.settle()
    assert members(world, lead) == ["Sent"]
    assert {one["state"] for one in world.owed(lead)} == {"confirmed"}


def test_a_lead_of_hubspot_is_added_to_none_and_that_is_said(world: Stage) -> None:
    contact = world.contact(country="CL")
    world.settle()
    assert world.owner(contact) == "miriam.vogel@example.com"
    assert "only Salesforce has campaigns" in world.command("decisions", "show", contact).stdout
    assert world.parked() == []


def test_doctor_says_that_the_integration_user_may_not_make_members(world: Stage) -> None:
    shown = world.command("doctor", exit_code=None).stdout
    assert "creating CampaignMember records" in shown
    world.salesforce.forbid_creations("CampaignMember")
    try:
        assert "the policy has CampaignMember records made" in world.command("doctor", exit_code=1).stdout
    finally:
        world.salesforce.store.closed.clear()
