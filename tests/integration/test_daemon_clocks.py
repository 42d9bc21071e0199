"""A clock that nobody stopped as far as was told: the record is read before anybody loses it."""

from __future__ import annotations

from collections.abc import Iterator

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
      - {at: 50 %, reassign: yes}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("clocks"), accounts=60, daemon=False) as made:
        (made.policy / "sla.yaml").write_text(SLA)
        made.open()
        yield made


def call(world: Stage, lead: str) -> None:
    """Somebody logs a call: Salesforce works LastActivityDate out, and change data capture tells nobody."""
    with world.salesforce.store.lock:
        row = world.salesforce.store.find("Lead", lead)
        assert row is not None
        row["LastActivityDate"] = world.clock().date().isoformat()


def test_who_called_keeps_the_lead_and_who_did_not_loses_it(world: Stage) -> None:
    called, forgotten = world.lead(), world.lead()
    world.settle()
    had = world.owner(called), world.owner(forgotten)
    call(world, called)
    world.clock.advance(2 * 3600 + 60)
    world.until("the other to have it", lambda: world.owner(forgotten) not in (had[1], ""))
    world.settle()
    assert world.owner(called) == had[0]
    assert {had[1], world.owner(forgotten)} == {JONAS, MIRIAM}
    told = " ".join(world.command("decisions", "show", called).stdout.split())
    assert "2 hours of 4 hours: stopped: last_touch changed" in told
    assert "First touch" in world.command("report", "sla", "--by", "person").stdout
    assert world.command("ledger", "check").stdout.endswith("All is well.\n")


def test_what_a_rep_closes_in_the_crm_is_taken_from_nobody(world: Stage) -> None:
    """Reopened, it stays with them; and it has a clock again once it is given anew."""
    lead = world.lead()
    world.settle()
    had, made = world.owner(lead), len(world.decisions(lead))
    world.clock.advance(60)
    world.salesforce.update("Lead", lead, {"Status": "Closed - Not Converted"}, actor=world.world.user_id(had))
    world.settle()
    world.clock.advance(8 * 3600)
    world.settle()
    assert (world.owner(lead), len(world.decisions(lead))) == (had, made)
    told = " ".join(world.command("decisions", "show", lead).stdout.split())
    assert "1 minute of 4 hours: ended: it was closed: its status is Closed - Not Converted" in told
    world.salesforce.update("Lead", lead, {"Status": "Working - Contacted"}, actor=world.world.user_id(had))
    world.settle()
    world.clock.advance(8 * 3600)
    world.settle()
    assert (world.owner(lead), len(world.decisions(lead))) == (had, made)
