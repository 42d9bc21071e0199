"""Leads that nobody can take, and policies that change while the daemon runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from rules.policy import compile_policy
from tests.integration.stage import Stage, stage

JONAS, MIRIAM = "jonas.keller@example.com", "miriam.vogel@example.com"  # the pool MM-DACH
FIONA, ERIK = "fiona.macleod@example.com", "erik.sandberg@example.com"
NADIA, BEN = "nadia.petrova@example.com", "ben.okafor@example.com"  # the pool Inbound
RETRY = 301  # seconds; the example policy tries leads on hold again every five minutes

DACH_POOL = "  members: [Jonas Keller, Miriam Vogel]"
JONAS_ROW = 'Jonas Keller,jonas.keller@example.com,"Account executive, mid-market",EMEA,Europe/Zurich,2021-10-01,'
MARKETING = """    when: event.system = "hubspot"
    assign: pool Marketing desk"""


@pytest.fixture(scope="module")
def one_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("policy"), accounts=60) as made:
        yield made


@pytest.fixture
def world(one_stage: Stage) -> Iterator[Stage]:
    """The stage, and afterwards the policy and everybody as they were."""
    files = {path.name: path.read_bytes() for path in one_stage.policy.iterdir()}
    good = compile_policy(files).digest
    yield one_stage
    one_stage.faults.clear()
    for name, content in files.items():
        (one_stage.policy / name).write_bytes(content)
    one_stage.activate(JONAS, True)
    one_stage.activate(MIRIAM, True)
    one_stage.until(
        "the good policy",
        lambda: one_stage.daemon.policies.current.digest == good and not one_stage.daemon.policies.refused,
    )
    one_stage.clock.advance(RETRY)
    one_stage.until("nobody waiting", lambda: not one_stage.rows("SELECT 1 FROM timer"))
    one_stage.settle()


@pytest.fixture
def empty(world: Stage) -> Stage:
    """Nobody in the pool MM-DACH can receive a Salesforce lead."""
    world.activate(JONAS, False)
    world.activate(MIRIAM, False)
    world.settle()
    return world


def health(world: Stage) -> tuple[int, dict[str, Any]]:
    answer = requests.get(f"{world.url}/healthz", timeout=10)
    return answer.status_code, answer.json()


def waits(world: Stage, lead: str) -> bool:
    return bool(world.rows("SELECT 1 FROM timer WHERE ref LIKE ?", f"%:{lead}"))


def tick(world: Stage, lead: str) -> None:
    """Lets the time until the next try pass."""

    def ticks() -> int:
        return sum(event["kind"] == "tick" for event in world.events(lead))

    before = ticks()
    world.clock.advance(RETRY)
    world.until("the tick", lambda: ticks() > before)
    world.settle()


# On hold


def test_a_lead_that_nobody_can_take_waits_and_says_why(empty: Stage) -> None:
    lead = empty.lead(Country="Deutschland")
    empty.settle()
    made = empty.decision(lead)
    assert made.outcome == "hold"
    assert "Jonas Keller's user is deactivated in Salesforce" in made.reason
    assert empty.field(lead, "OwnerId") == empty.salesforce.integration_user_id
    assert empty.field(lead, "Country") == "DE", "its fields are corrected all the same"
    assert waits(empty, lead)
    assert f"lead {lead} in salesforce is on hold" in empty.command("decisions", "show", lead).stdout


def test_a_waiting_lead_is_tried_again_until_somebody_is_there(empty: Stage) -> None:
    lead = empty.lead()
    empty.settle()
    tick(empty, lead)
    assert [made.outcome for made in empty.decisions(lead)] == ["hold"], "waiting on is no new decision"
    assert waits(empty, lead)
    empty.activate(MIRIAM, True)
    # Not at the next tick, but the moment she is there.
    empty.until("an owner", lambda: empty.owner(lead) == MIRIAM)
    empty.settle()
    assert [made.outcome for made in empty.decisions(lead)] == ["hold", "assign"]
    assert not waits(empty, lead)
    assert empty.times_written(lead) == 1


def test_a_waiting_contact_is_tried_again_as_well(world: Stage) -> None:
    for name in ("Zoe Campbell", "Mateusz Nowak", "Aisha Rahman"):
        row = next(line for line in (world.policy / "people.csv").read_text("utf-8").splitlines() if name in line)
        world.publish("people.csv", row, row.removesuffix("yes") + "no")
    contact = world.contact()
    world.settle()
    assert world.decision(contact).outcome == "hold"
    row = next(line for line in (world.policy / "people.csv").read_text("utf-8").splitlines() if "Zoe" in line)
    world.publish("people.csv", row, row.removesuffix("no") + "yes")
    world.until("an owner", lambda: world.owner(contact) == "zoe.campbell@example.com")


def test_a_person_activated_in_the_policy_gets_the_waiting_leads(world: Stage) -> None:
    world.publish("people.csv", JONAS_ROW + "yes", JONAS_ROW + "no")
    world.publish("pools.yaml", DACH_POOL, "  members: [Jonas Keller]")
    leads = [world.lead() for _ in range(3)]
    world.settle()
    assert {world.decision(lead).outcome for lead in leads} == {"hold"}
    assert "Jonas Keller is inactive in people.csv" in world.decision(leads[0]).reason
    world.publish("people.csv", JONAS_ROW + "no", JONAS_ROW + "yes")
    # A new policy is tried at once, not at the next tick.
    world.until("owners", lambda: {world.owner(lead) for lead in leads} == {JONAS})
    world.settle()
    assert world.rows("SELECT 1 FROM timer") == []


def test_a_pool_that_is_filled_gets_the_waiting_leads(empty: Stage) -> None:
    lead = empty.lead()
    empty.settle()
    empty.publish("pools.yaml", DACH_POOL, "  members: [Jonas Keller, Miriam Vogel, Fiona MacLeod]")
    empty.until("an owner", lambda: empty.owner(lead) == FIONA)
    empty.settle()
    held, assigned = empty.decisions(lead)
    assert held.policy != assigned.policy == empty.daemon.policies.current.digest


def test_a_person_who_takes_a_waiting_lead_keeps_it(empty: Stage) -> None:
    lead = empty.lead()
    empty.settle()
    empty.give(lead, FIONA, by=ERIK)
    empty.settle()
    empty.activate(JONAS, True)
    empty.until("a decision", lambda: len(empty.decisions(lead)) == 2)
    empty.settle()
    assert empty.owner(lead) == FIONA
    assert empty.writes(lead) == []
    held, taken = empty.decisions(lead)
    assert (held.outcome, taken.outcome) == ("hold", "none")
    assert taken.reason == "Fiona MacLeod took it while it was on hold; an owner set by somebody else is kept"
    assert not waits(empty, lead)


def test_a_person_who_takes_a_waiting_lead_while_it_is_given_to_another_keeps_it(empty: Stage) -> None:
    lead = empty.lead()
    empty.settle()
    empty.hold_up("salesforce", "query")
    empty.activate(JONAS, True)
    empty.until("a decision", lambda: len(empty.decisions(lead)) == 2)
    empty.give(lead, FIONA, by=ERIK)
    empty.faults.clear()
    empty.settle()
    assert empty.owner(lead) == FIONA
    assert [owed["state"] for owed in empty.owed(lead)] == ["superseded"]


def test_a_lead_deleted_while_it_waits_waits_no_longer(empty: Stage) -> None:
    lead = empty.lead()
    empty.settle()
    empty.salesforce.delete("Lead", lead)
    empty.settle()
    assert not waits(empty, lead)
    assert len(empty.decisions(lead)) == 1


def test_what_waits_outlives_the_daemon(empty: Stage) -> None:
    lead = empty.lead()
    empty.settle()
    empty.close()
    empty.activate(JONAS, True)  # while nobody listens
    empty.open()
    empty.settle()
    empty.clock.advance(RETRY)
    empty.until("an owner", lambda: empty.owner(lead) == JONAS)


# Policies that change


def test_one_changed_line_moves_the_next_leads(world: Stage) -> None:
    before = world.contact()
    world.settle()
    world.publish("engagement.yaml", MARKETING, MARKETING.replace("Marketing desk", "Inbound"))
    after = world.contact()
    world.settle()
    assert world.decision(before).pool == "Marketing desk"
    assert world.decision(after).pool == "Inbound"
    assert world.owner(after) in (NADIA, BEN)
    assert world.owner(before) == world.decision(before).owner, "what was decided stays decided"


def test_a_policy_that_does_not_compile_leaves_the_last_good_one_live(world: Stage) -> None:
    good = world.daemon.policies.current.digest
    world.edit("engagement.yaml", MARKETING, MARKETING.replace("pool Marketing desk", "pool Marketing dusk"))
    world.until("the refusal", lambda: world.daemon.policies.refused)
    status, told = health(world)
    assert (status, told["ok"], told["policy"]) == (200, True, good)
    assert "engagement.yaml" in told["policy_refused"]
    assert "Marketing dusk" in told["policy_refused"]
    assert "Marketing desk" in told["policy_refused"], "it names the nearest pool there is"
    contact = world.contact()
    world.settle()
    assert world.decision(contact).pool == "Marketing desk"
    assert world.decision(contact).policy == good
    # Mended, and other than before.
    world.publish("engagement.yaml", "pool Marketing dusk", "pool Inbound")
    assert health(world)[1]["policy_refused"] == ""
    mended = world.contact()
    world.settle()
    assert world.decision(mended).pool == "Inbound"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("engagement.yaml", b"route: [lead"),
        ("engagement.yaml", b"\xff\xfe\x00r\x00o"),
        ("engagement.yaml", b""),
        ("people.csv", b"name\nAna Diaz\n"),
        ("pools.yaml", b"Inbound: &a [*a]"),
        ("territories.csv", b"territory,assign\n=cmd(),pool Inbound\n"),
    ],
)
def test_whatever_lands_in_the_folder_the_daemon_stays_up(world: Stage, name: str, content: bytes) -> None:
    good, path = world.daemon.policies.current.digest, world.policy / name
    right = path.read_bytes()
    path.write_bytes(content)
    world.until("the refusal", lambda: name in world.daemon.policies.refused)
    lead = world.lead()
    world.settle()
    assert world.decision(lead).policy == good
    path.write_bytes(right)
    world.until("the good one again", lambda: world.daemon.policies.refused == "")
    assert world.daemon.policies.current.digest == good


def test_a_folder_that_is_gone_for_a_while_changes_nothing(world: Stage) -> None:
    good, away = world.daemon.policies.current.digest, world.policy.with_name("away")
    world.policy.rename(away)
    world.until("the refusal", lambda: "There is no policy folder" in world.daemon.policies.refused)
    lead = world.lead()
    world.settle()
    assert world.decision(lead).outcome == "assign"
    away.rename(world.policy)
    world.until("the folder again", lambda: world.daemon.policies.refused == "")
    assert world.daemon.policies.current.digest == good
