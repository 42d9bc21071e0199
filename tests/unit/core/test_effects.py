"""What a rung does beside choosing an owner, queues, holdouts, and what an event changed, from event to write."""

from __future__ import annotations

import msgspec

from routing.core.model import Decision, Record
from routing.core.view import AccountView
from rules.model import Effect
from tests.unit.core.policy import ANA_ID, FIELDS, PEOPLE, account, event, lead, policy, view
from tests.unit.core.test_decisions import decide, made


def ladder(*rungs: str) -> str:
    return (
        'entry: [\'event.kind in ("created", "updated")\']\nqueues: {Intake: {salesforce: 00G1}}\nladder:\n'
        + "\n".join(f"  - {rung}" for rung in rungs)
    )


SET = policy(engagement=ladder("{otherwise: Ana Diaz, set: {status: Working, company: account.name}, task: Call}"))
QUEUE = policy(engagement=ladder("{otherwise: queue Intake}"))
HELD_OUT = policy(engagement=ladder("{rung: Control, holdout: 99.9999 %}", "{otherwise: Ana Diaz}"))


def test_fields_that_a_rung_sets_are_written_with_the_owner() -> None:
    record = lead(email="a@acme.com", status="Open", company="acme")
    settled = decide(event(record), view(record, account("001A", name="Acme Inc", website="acme.com")), SET)
    write, task = settled.writes
    assert write.fields["owner"] == ANA_ID
    assert (task.kind, task.entity, task.record_id, task.about) == ("create", "task", task.write_id, ("lead", "00Q1"))
    assert (task.fields["subject"], task.fields["owner"], task.still) == ("Call", ANA_ID, {"owner": ANA_ID})
    assert (write.fields["status"], write.fields["company"]) == ("Working", "Acme Inc")
    assert write.guard["status"] == "Open"
    assert made(settled).effects == (
        Effect("set", "lead.status", "Working"), Effect("set", "lead.company", "Acme Inc"), Effect("task", "owner", "Call"),
    )  # fmt: skip


def test_a_task_is_due_when_the_rung_says_and_not_made_for_somebody_who_is_not_in_that_crm() -> None:
    record = lead()
    told = policy(
        engagement=ladder(
            "{otherwise: Ana Diaz, task: {subject: Call, for: owner, due: 2 hours}, notify: [Dana Fox, Mo Ahn]}",
        ),
        people=PEOPLE + "Mo Ahn,mo@example.com,,yes,\n",
    )
    settled = decide(event(record), view(record), told)
    tasks = [one for one in settled.writes if one.kind == "create"]
    assert [(one.fields["owner"], one.fields.get("due"), one.still) for one in tasks] == [
        (ANA_ID, "2026-11-22T20:00:00.000Z", {"owner": ANA_ID}),
        ("005DANA", "2026-11-22T18:00:00.000Z", {}),
    ]
    assert tasks[1].fields["subject"] == made(settled).reason == "Ana Diaz, named by Otherwise"
    missed = made(settled).trace[-1]
    assert (missed.stage, missed.held, missed.note) == (
        "task", False, "Mo Ahn has no user in Salesforce: no task was made",
    )  # fmt: skip


def test_what_is_there_already_is_not_written() -> None:
    record = lead(status="Working", owner=ANA_ID)
    settled = decide(
        event(record), view(record), policy(engagement=ladder("{otherwise: Ana Diaz, set: {status: Working}}"))
    )
    assert settled.writes == ()


def test_nothing_is_set_while_nobody_takes_it_unless_the_rung_itself_holds() -> None:
    record = lead(status="Open")
    waiting = policy(engagement=ladder("{otherwise: pool Nobody, set: {status: Working}}"))
    settled = decide(event(record), view(record), waiting)
    assert (made(settled).outcome, settled.writes, made(settled).effects) == ("hold", (), ())
    holding = policy(engagement=ladder("{otherwise: hold Ask Legal, set: {status: With Legal}}"))
    (write,) = decide(event(record), view(record), holding).writes
    assert write.fields == {"status": "With Legal"}


def test_a_queue_gets_the_record_by_its_id() -> None:
    record = lead()
    settled = decide(event(record), view(record), QUEUE)
    assert (made(settled).outcome, made(settled).owner) == ("assign", "")
    assert made(settled).reason == "it goes to the queue Intake: Otherwise"
    assert settled.writes[0].fields["owner"] == "00G1"


def test_a_queue_without_an_id_in_that_system_holds_the_record_and_says_why() -> None:
    record = lead(system="hubspot")
    settled = decide(event(record), view(record), QUEUE)
    assert (made(settled).outcome, settled.on_hold) == ("hold", True)
    assert "Intake has no id in HubSpot" in made(settled).reason


def test_what_is_held_out_is_left_as_it_is() -> None:
    record = lead(country="U.S.A.")
    settled = decide(event(record), view(record), HELD_OUT)
    assert (made(settled).outcome, settled.writes, settled.timers) == ("none", (), ())
    assert made(settled).reason == "held out: Control (Control): it is left as it is"
    assert made(settled).facts["event"]["record_id"] == record.record_id


def test_decisions_without_effects_are_stored_as_before() -> None:
    record = lead(country="US")
    told = made(decide(event(record), view(record)))
    assert b"effects" not in msgspec.json.encode(told)
    assert "record_id" not in told.facts["event"]
    assert "before" not in told.facts["event"]
    with_effects = made(decide(event(record), view(record), SET))
    assert msgspec.json.decode(msgspec.json.encode(with_effects), type=Decision).effects == with_effects.effects


def test_old_values_are_seen_as_the_policy_sees_values() -> None:
    asks = policy(
        engagement='entry: [\'lead.country changed from "DE" to "US"\', \'lead.owner changed from "Ana Diaz"\']\nladder:\n  - otherwise: Bo Li'
    )
    record = lead(country="U.S.A.", owner="")
    update = event(record, kind="updated", changed=("country",))
    seen = msgspec.structs.replace(view(record), before={"country": "Germany"})
    assert made(decide(update, seen, asks)).facts["event"]["before"] == {"country": "DE"}
    assert made(decide(update, seen, asks)).rung == "Otherwise"
    handed = event(record, kind="updated", changed=("owner",))
    seen = msgspec.structs.replace(view(record), before={"owner": ANA_ID})
    assert made(decide(handed, seen, asks)).rung == "Otherwise"
    assert decide(handed, msgspec.structs.replace(seen, before={"owner": "0051"}), asks).decision is None


def test_every_kind_of_record_with_a_ladder_is_routed() -> None:
    deals = (
        FIELDS
        + "deal:\n  in: {salesforce: Deal__c}\n  fields:\n    size: {type: number, salesforce: Size__c}\n    owner: {type: person, salesforce: OwnerId}\n"
    )
    both = policy(
        fields=deals,
        engagement="""
ladders:
  lead: {entry: ['event.kind = "created"'], ladder: [{otherwise: pool Small}]}
  deal: {entry: ['event.kind = "created"'], ladder: [{rung: Big, when: size > 5, assign: Ana Diaz}, {otherwise: hold small}]}
  contact: {entry: ['event.kind = "created"'], ladder: [{rung: Customer, when: account.type = "Customer", assign: account.csm}]}
""",
    )
    deal = msgspec.structs.replace(lead(size=9), entity="deal")
    settled = decide(event(deal), view(deal), both)
    assert (made(settled).rung, settled.writes[0].entity, settled.writes[0].fields) == (
        "Big",
        "deal",
        {"owner": ANA_ID},
    )
    assert made(settled).facts["deal"]["size"] == 9
    contact = msgspec.structs.replace(lead(email="x@acme.com"), entity="contact")
    customer = account("001A", website="acme.com", type="Customer", csm=ANA_ID)
    assert made(decide(event(contact), view(contact, customer), both)).owner == "ana@example.com"
    assert decide(event(deal), view(deal), policy()).decision is None


OWN = policy(
    **{
        "fields": FIELDS.replace(
            "opportunity:\n  in: {salesforce: Opportunity}\n  fields:\n",
            "opportunity:\n  in: {salesforce: Opportunity}\n  fields:\n    owner: {type: person, salesforce: OwnerId}\n",
        )
        + "".join(
            f"{kind}:\n  in: {{salesforce: {name}}}\n  fields:\n    owner: {{type: person, salesforce: OwnerId}}\n"
            f"    customer: {{type: reference, to: account, salesforce: {reference}}}\n"
            for kind, name, reference in (("case", "Case", "AccountId"), ("renewal", "Renewal__c", "Customer__c"))
        )
    },
    engagement="""
ladders:
  lead:
    entry: [event.kind = "created"]
    ladder: [{otherwise: Ana Diaz}]
"""
    + "".join(
        f"""
  {kind}:
    entry: [event.kind = "created"]
    ladder:
      - rung: The owner of the account
        when: account.parent.type = "Customer"
        assign: account.owner
      - otherwise: hold Nobody owns the account
"""
        for kind in ("opportunity", "case", "renewal")
    ),
)


def test_an_opportunity_knows_its_own_account() -> None:
    deal = Record(system="salesforce", entity="opportunity", record_id="006", values={"account": "001B"})
    other = account("001A", name="Other", owner="005CEM")
    its_own = AccountView(account("001B", name="Acme", owner=ANA_ID), account("001P", type="Customer"))
    decision = made(decide(event(deal), view(deal, other, its_own), OWN))
    assert (decision.outcome, decision.owner, decision.account_id) == ("assign", "ana@example.com", "001B")
    assert [one.evidence for one in decision.candidates] == [("the opportunity names it",)]
    held = made(decide(event(deal), view(deal, other), OWN))
    assert (held.outcome, held.account_id) == ("hold", "")
