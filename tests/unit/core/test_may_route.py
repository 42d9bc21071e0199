"""Which changes need their surroundings, and that leaving these out changes nothing."""

from __future__ import annotations

import pytest

from routing.core.case import may_route
from rules.policy import compile_policy
from tests.unit.core.policy import (
    CORRECTIONS,
    ENGAGEMENT,
    FIELDS,
    MATCHING,
    PEOPLE,
    POOLS,
    account,
    event,
    lead,
    policy,
    view,
)
from tests.unit.core.test_decisions import decide

OURS = lead(email="ana@acme.example", company="Acme", country="U.S.A.", status="New")
ACME = account("001A", name="Acme", website="acme.example", type="Customer", csm="005BO")


def test_a_change_that_the_entry_criteria_do_not_let_in_needs_no_surroundings() -> None:
    asked = policy()
    assert not may_route(event(OURS, "updated", changed=("company",)), asked)
    assert may_route(event(OURS, "updated", changed=("status",)), asked)
    assert may_route(event(OURS), asked)
    assert may_route(event(OURS, "tick"), asked)
    assert not may_route(event(OURS, "deleted"), asked)


@pytest.mark.parametrize(
    "entry", ['account.type = "Customer"', 'lead.country = "US"', 'match.band = "ask"', "counterpart.owner is active"]
)
def test_criteria_that_ask_for_more_than_the_event_have_everything_looked_up(entry: str) -> None:
    asked = policy(engagement=ENGAGEMENT.replace('event.changed contains "status"', entry))
    assert may_route(event(OURS, "updated", changed=("company",)), asked)


@pytest.mark.parametrize(("stop", "looked_up"), [('lead.status = "Open"', False), ('account.type = "Customer"', True)])
def test_a_clock_that_asks_for_the_account_has_it_looked_up(stop: str, looked_up: bool) -> None:
    sla = f"clocks: {{Worked: {{start: assigned, stop: '{stop}', within: 2 hours}}}}"
    texts = {
        "fields.yaml": FIELDS,
        "engagement.yaml": ENGAGEMENT,
        "people.csv": PEOPLE,
        "pools.yaml": POOLS,
        "corrections.yaml": CORRECTIONS,
        "matching.yaml": MATCHING,
        "sla.yaml": sla,
    }
    asked = compile_policy({name: text.encode() for name, text in texts.items()})
    assert may_route(event(OURS, "updated", changed=("company",)), asked) is looked_up


def test_what_is_decided_is_the_same_with_and_without_surroundings() -> None:
    change = event(OURS, "updated", changed=("country",))
    without, within = decide(change, view(OURS)).decision, decide(change, view(OURS, ACME)).decision
    assert without is not None
    assert without == within
    assert [one.new for one in without.corrections] == ["US"]
