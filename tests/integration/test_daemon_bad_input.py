"""What comes in is not always what it claims to be: it is refused or parked, nothing is lost, and the daemon goes on deciding."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import requests

from connectors.sandbox.hubspot.webhooks import Mischief
from connectors.sandbox.salesforce.bus import Spoil
from routing.cli.sandbox_run import HOOK
from tests.integration.stage import Stage, stage

JONAS_OR_MIRIAM = ("jonas.keller@example.com", "miriam.vogel@example.com")
FIONA, ERIK = "fiona.macleod@example.com", "erik.sandberg@example.com"
OVERFLOW = "000000000000000AAA"  # the record id of a gap about every record of an entity


@pytest.fixture(scope="module")
def one_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("bad-input"), accounts=60) as made:
        yield made


@pytest.fixture
def world(one_stage: Stage) -> Iterator[Stage]:
    """The stage; afterwards the daemon still decides, in both systems, and nothing stays parked."""
    yield one_stage
    one_stage.hubspot.webhooks.mischief = Mischief()
    one_stage.settle()
    lead, contact = one_stage.lead(), one_stage.contact()
    one_stage.settle()
    assert one_stage.owner(lead) in JONAS_OR_MIRIAM
    assert one_stage.owner(contact)
    if one_stage.parked():
        one_stage.command("parked", "discard", "--all", "--reason", "the test is over")


@contextmanager
def unheard(world: Stage) -> Iterator[None]:
    """What happens in Salesforce in this block, its event bus does not tell."""
    world.settle()
    store = world.salesforce.store
    told, store.announce = store.announce, lambda _: None
    try:
        yield
    finally:
        store.announce = told


def hook(**more: Any) -> dict[str, Any]:
    """One event as HubSpot sends it: a contact that changed its city."""
    return {
        "eventId": 1,
        "subscriptionId": 2,
        "portalId": 3,
        "appId": 4,
        "occurredAt": 1_760_000_000_000,
        "subscriptionType": "contact.propertyChange",
        "attemptNumber": 0,
        "objectId": 70_000_000_000,
        "propertyName": "city",
        "propertyValue": "Ulm",
        "changeSource": "CRM_UI",
    } | more


def body(*hooks: dict[str, Any]) -> bytes:
    return msgspec.json.encode(hooks)


def journaled(world: Stage) -> int:
    return int(world.rows("SELECT count(*) AS n FROM journal")[0]["n"])


# Who sent it?


def test_only_what_hubspot_signed_just_now_is_taken(world: Stage) -> None:
    world.settle()
    before = journaled(world)
    assert world.hooks(body(hook()), secret="another secret") == 401
    assert world.hooks(body(hook()), shift=-301) == 401
    assert world.hooks(body(hook()), shift=301) == 401
    unsigned = requests.post(world.url + HOOK, data=body(hook()), timeout=10)
    assert unsigned.status_code == 401
    assert "missing" in unsigned.json()["error"]
    assert journaled(world) == before
    assert world.hooks(body(hook()), shift=-299) == 200
    assert journaled(world) == before + 1


def test_a_body_over_five_megabytes_is_refused(world: Stage) -> None:
    before = journaled(world)
    big = b"[" + b" " * (5 * 1024 * 1024) + b"]"
    answer = requests.post(world.url + HOOK, data=big, timeout=10)
    assert answer.status_code == 413
    assert journaled(world) == before


# Signed, and still wrong


UNREADABLE = [
    (b"\xff\xfe not json", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b"", "not JSON"),
    (b'{"objectId": 1}', "not an array"),
    (b'"text"', "not an array"),
    (body(hook(objectId=None)), "does not say which record"),
    (body({"objectId": 5}), "not shaped as HubSpot's are"),
    (body(hook(objectId=[1])), "not shaped as HubSpot's are"),
    (body(hook(subscriptionType="ticket.creation")), "no entity in fields.yaml is HubSpot's 'tickets'"),
    (body(hook(subscriptionType="object.creation", objectTypeId="2-99")), "no entity in fields.yaml is HubSpot's"),
    (body(hook(subscriptionType="contact.explosion")), "does not know the event type"),
    (body(hook(occurredAt=10**18)), "is not a time"),
    (b"[7]", "not shaped as HubSpot's are"),
]


def test_signed_bodies_that_cannot_be_read_are_parked(world: Stage) -> None:
    for raw, _ in UNREADABLE:
        assert world.hooks(raw) == 200, "an answer of 4xx would make HubSpot forget it"
    rows = world.parked()
    assert len(rows) == len(UNREADABLE)
    for (raw, why), row in zip(UNREADABLE, rows, strict=True):
        assert why in row["why"], raw[:60]
        assert row["what"] == "event"


def test_what_is_right_in_a_body_is_used_and_what_is_wrong_is_parked(world: Stage) -> None:
    contact = world.contact()
    world.settle()
    moved = hook(objectId=int(contact), occurredAt=round(world.clock().timestamp() * 1000))
    assert world.hooks(body(moved, hook(eventId=5, subscriptionType="contact.explosion"))) == 200
    world.settle()
    assert world.events(contact)[-1]["state"] == "applied"
    assert len(world.parked()) == 1


def test_the_operator_lists_retries_and_discards_what_is_parked(world: Stage) -> None:
    world.hooks(
        body(hook(subscriptionType="company.propertyChange", propertyName="annualrevenue", propertyValue="lots"))
    )
    world.hooks(b"neither this")
    listed = world.command("parked", "list").stdout
    assert "annualrevenue" in listed
    revenue, rubbish = world.parked()
    assert revenue["why"].endswith(
        "but fields.yaml calls account.annual_revenue a money: correct the type there and retry"
    )
    assert "the body is not JSON" in rubbish["why"]
    assert revenue["id"] in listed
    # Nothing has changed: both are parked again, with the reason.
    world.command("parked", "retry", "--all")
    world.settle()
    assert len(world.parked()) == 2
    # Once the cause is gone, the event is read.
    money = "annual_revenue: {type: money,"
    world.publish("fields.yaml", money, money.replace("money", "text"))
    world.command("parked", "retry", revenue["id"][:8])
    world.settle()
    assert world.events("70000000000")[-1]["state"] in ("applied", "skipped")
    assert [row["id"] for row in world.parked()] == [rubbish["id"]]
    # What nobody will ever read is given up, with who and why.
    world.command("parked", "discard", rubbish["id"], "--reason", "a test of our proxy")
    assert "Nothing is parked" in world.command("parked", "list").stderr
    [row] = world.rows("SELECT state, reason FROM journal WHERE event_id = ?", rubbish["id"])
    assert row == {"state": "skipped", "reason": f"discarded by {getpass.getuser()}: a test of our proxy"}
    world.publish("fields.yaml", money.replace("money", "text"), money)


def test_the_operator_cannot_act_on_what_is_not_there(world: Stage) -> None:
    world.hooks(b"unreadable")
    for words in (("retry", "ffffffff"), ("retry",), ("discard", "--reason", " ", "--all")):
        world.command("parked", *words, exit_code=2)
    assert len(world.parked()) == 1


def test_webhooks_that_come_twice_in_disorder_and_among_forged_ones_are_decided_once(world: Stage) -> None:
    world.hubspot.webhooks.mischief = Mischief(
        duplicate_every=2, reorder=True, bad_signature_every=3, stale_every=4, future_every=5
    )
    contacts = [world.contact(country="Germany", phone="030 2093 0") for _ in range(40)]
    world.settle()
    for contact in contacts:
        assert world.decision(contact).owner == world.owner(contact)
        assert world.times_written(contact) == 1
    assert world.parked() == []


# Salesforce's event bus on a bad day


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("unknown_schema", "Salesforce knows no schema"),
        ("corrupt", "its payload does not fit its schema"),
        ("impossible_bitmap", "its list of changed fields is impossible"),
    ],
)
def test_a_change_event_that_cannot_be_read_is_parked(world: Stage, spoil: Spoil, why: str) -> None:
    world.salesforce.spoil_next(spoil)
    lost = world.lead()
    next_one = world.lead()
    world.settle()
    [row] = world.parked()
    assert why in row["why"]
    assert world.owner(next_one) in JONAS_OR_MIRIAM
    world.command("parked", "retry", "--all")
    world.settle()
    assert len(world.parked()) == 1
    # The lead itself is not lost: told of by a gap, it is read back and routed.
    assert world.decisions(lost) == []
    world.salesforce.gap("Lead", [lost], "GAP_CREATE")
    world.settle()
    assert world.owner(lost) in JONAS_OR_MIRIAM


def test_a_change_event_delivered_twice_is_decided_once(world: Stage) -> None:
    world.salesforce.spoil_next("duplicate", 2)
    leads = [world.lead(), world.lead()]
    world.settle()
    for lead in leads:
        assert world.decision(lead).owner == world.owner(lead)
        assert world.times_written(lead) == 1


def test_a_stream_that_breaks_loses_nothing(world: Stage) -> None:
    leads = []
    for _ in range(4):
        leads.append(world.lead())
        world.salesforce.break_streams()
    world.settle()
    for lead in leads:
        assert world.decision(lead).owner == world.owner(lead)


def test_a_gap_about_a_record_we_know_is_filled_without_a_second_decision(world: Stage) -> None:
    lead = world.lead()
    world.settle()
    with unheard(world):
        world.give(lead, FIONA, by=ERIK)
        world.salesforce.update("Lead", lead, {"City": "Ulm"})
    world.salesforce.gap("Lead", [lead])
    world.settle()
    assert len(world.decisions(lead)) == 1
    assert world.owner(lead) == FIONA
    [row] = world.rows("SELECT body FROM mirror WHERE ref = ?", f"salesforce:lead:{lead}")
    assert msgspec.json.decode(row["body"])["values"]["city"] == "Ulm"


def test_a_gap_about_a_record_that_is_gone_deletes_it(world: Stage) -> None:
    lead = world.lead()
    world.settle()
    with unheard(world):
        world.salesforce.delete("Lead", lead)
    world.salesforce.gap("Lead", [lead], "GAP_DELETE")
    world.settle()
    [row] = world.rows("SELECT body FROM mirror WHERE ref = ?", f"salesforce:lead:{lead}")
    assert msgspec.json.decode(row["body"])["deleted"] is True


def test_leads_created_in_a_gap_about_everything_are_routed(world: Stage) -> None:
    known = world.lead()
    world.settle()
    with unheard(world):
        leads = [world.lead(Country="Deutschland") for _ in range(5)]
        world.give(known, FIONA, by=ERIK)
    world.salesforce.gap("Lead", [OVERFLOW], "GAP_OVERFLOW")
    world.settle()
    for lead in leads:
        assert world.decision(lead).owner == world.owner(lead)
        assert world.field(lead, "Country") == "DE"
    assert world.owner(known) == FIONA
    assert len(world.decisions(known)) == 1


def test_leads_created_while_the_daemon_was_down_too_long_are_routed(world: Stage) -> None:
    world.settle()
    world.close()
    leads = [world.lead() for _ in range(3)]
    world.salesforce.expire_events()  # as after 72 hours
    world.open()
    world.until("decisions", lambda: all(world.decisions(lead) for lead in leads))
    world.settle()
    for lead in leads:
        assert world.decision(lead).owner == world.owner(lead)
        assert world.times_written(lead) == 1
