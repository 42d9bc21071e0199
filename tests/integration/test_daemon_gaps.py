"""What changed while a CRM could not tell: it is planned like any other change, and what did not change stays quiet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest

from connectors.contract import CallsToday
from routing.core.model import ChangeEvent, Record, derived_id
from routing.ledger import journal
from tests.integration.stage import Stage, stage


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("gaps"), accounts=20) as made:
        made.publish(
            "engagement.yaml",
            '  - event.kind in ("created", "restored")\n',
            '  - event.kind in ("created", "restored")\n  - lead.status changed to "MQL"\n',
        )
        yield made


decode = msgspec.json.Decoder(ChangeEvent).decode


def told_after(world: Stage, seq: int) -> list[tuple[str, str]]:
    """What reading again found to be news, since the journal's entry of that number."""
    query = "SELECT ref, kind FROM journal WHERE seq > ? AND kind <> 'gap' AND body LIKE '%\"origin\":\"read back\"%' ORDER BY seq"
    return [(row["ref"], row["kind"]) for row in world.rows(query, seq)]


def last(world: Stage) -> int:
    return int(world.rows("SELECT max(seq) AS seq FROM journal")[0]["seq"])


def test_a_lead_that_changed_while_the_replay_id_expired_is_routed_and_corrected(world: Stage) -> None:
    lead, other = world.lead(Country="DE", City="Bonn"), world.lead(Country="DE")
    world.settle()
    assert len(world.decisions(lead)) == 1
    seq, corrected = last(world), len(world.writes(lead))
    world.close()
    by = world.world.users[1]["Id"]
    world.salesforce.update("Lead", lead, {"Country": "Germany", "Status": "MQL"}, actor=by)
    world.salesforce.expire_events()
    world.open()
    world.until("the second decision", lambda: len(world.decisions(lead)) == 2)
    world.settle()
    assert world.field(lead, "Country") == "DE"
    assert len(world.writes(lead)) > corrected
    assert [made.outcome for made in world.decisions(other)] == ["assign"]
    assert [ref for ref, _ in told_after(world, seq)] == [f"salesforce:lead:{lead}"]


def test_the_calls_of_the_day_are_measured(world: Stage) -> None:
    world.hubspot.create("contacts", {"email": "someone@visitor.example"})
    world.settle()
    told: list[str] = []
    metrics = world.daemon.metrics.registry

    def measured() -> bool:
        world.daemon.health()
        told[:] = [
            f"{name}{system}"
            for name in ("used", "limit", "left_seconds")
            for system in ("salesforce", "hubspot")
            if metrics.get_sample_value(f"fingerpost_crm_calls_{name}", {"system": system})
        ]
        return len(told) == 6

    world.until("the calls of both", measured)
    limit = metrics.get_sample_value("fingerpost_crm_calls_limit", {"system": "salesforce"})
    used = metrics.get_sample_value("fingerpost_crm_calls_used", {"system": "salesforce"})
    assert used is not None
    assert limit is not None
    assert 0 < used < limit
    # How long they will do is foretold from the pace (``ApiBudget``); here only that it arrives.
    now = world.clock()
    world.daemon.metrics.calls("salesforce", CallsToday(9, 10, now + timedelta(minutes=5)), now)
    assert metrics.get_sample_value("fingerpost_crm_calls_left_seconds", {"system": "salesforce"}) == 300


def test_reading_everything_again_tells_nothing_where_everything_was_told(world: Stage) -> None:
    """However streams, webhooks and queries spell the same values; our own writes among them."""
    world.flow(15)
    seq, now = last(world), world.clock()
    stars = [
        ChangeEvent(
            event_id=derived_id("a gap of everything", system, entity),
            system=system,
            entity=entity,
            record_id="*",
            kind="gap",
            occurred_at=now,
            observed_at=now,
            complete=False,
        )
        for system in ("salesforce", "hubspot")
        for entity in world.daemon.policies.maps(system)
    ]
    with world.daemon.ledger.write() as conn:
        journal.accept(conn, stars, now)
    world.settle()
    ends = world.rows("SELECT ref, state, reason FROM journal WHERE seq > ? AND kind = 'gap'", seq)
    assert len(ends) == len(stars)
    assert {row["state"] for row in ends} == {"applied"}, ends
    assert told_after(world, seq) == []


def test_in_one_look_our_own_write_and_a_persons_edit_are_told_apart(world: Stage) -> None:
    """Only that something happened to the record is told: the echo of our write is lost, and somebody changed another field."""
    world.hold_up("salesforce", "collections")
    lead = world.lead()
    world.until("a decision", lambda: world.decisions(lead))
    before = world.owner(lead)
    world.salesforce.deselect("Lead")
    world.faults.clear()
    world.until("our write", lambda: world.owner(lead) != before)
    by, seq = world.world.users[1]["Id"], last(world)
    world.salesforce.update("Lead", lead, {"City": "Ulm"}, actor=by)
    world.salesforce.select("Lead")
    world.salesforce.gap("Lead", [lead])
    world.settle()
    told = world.rows(
        "SELECT state, reason, body FROM journal WHERE ref = ? AND seq > ?", f"salesforce:lead:{lead}", seq
    )
    theirs, *ours = [(row["state"], row["reason"], decode(row["body"]).changed) for row in told]
    assert theirs == ("applied", "", ("city",))
    assert [(state, reason) for state, reason, _ in ours] == [("skipped", "echo of our own write")] * len(ours)
    assert {field for *_, changed in ours for field in changed} >= {"owner"}
    [held] = world.rows("SELECT body FROM mirror WHERE ref = ?", f"salesforce:lead:{lead}")
    mirrored = msgspec.json.decode(held["body"], type=Record)
    assert mirrored.values["owner"] == world.field(lead, "OwnerId"), "the mirror has what we wrote"
