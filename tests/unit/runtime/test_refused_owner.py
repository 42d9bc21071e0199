"""A CRM that refuses whom we chose as the owner: the record goes to somebody else at once, as if the first had never been asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta

import msgspec
import pytest
import structlog

from connectors.contract import WriteResult
from connectors.errors import OwnerRefused, RecordRejected
from routing.core.model import Decision, Write
from routing.delivery.courier import Courier
from routing.ledger import mirror, outbox, people, policies, reports, timers
from routing.ledger.engine import Ledger
from routing.ledger.schema import ref_of
from routing.runtime.feed import Feed
from routing.runtime.pooling import Desk as PoolDesk
from routing.runtime.replay import Replay, Span
from tests.conftest import ManualClock
from tests.unit.core import policy as example
from tests.unit.core.policy import policy
from tests.unit.delivery.test_courier import FakeCrm
from tests.unit.runtime.test_sla_loop import FILES, POOLS, Desk

REF = ref_of("salesforce", "lead", "00Q1")
QUEUE, OTHER_QUEUE = "00G000000000009AAA", "00G000000000010AAA"


class Crm(FakeCrm):
    """It lets nobody own a lead who is ``inactive`` there, whatever we have heard."""

    system = "salesforce"

    def __init__(self) -> None:
        super().__init__()
        self.inactive: set[str] = set()
        self.whole = False  # whether one refusal fails its whole call
        self.rejects = ""  # why it takes no record

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        refused = [one for one in writes if one.fields.get("owner") in self.inactive]
        error = OwnerRefused("INACTIVE_OWNER_OR_USER: operation performed with inactive user", system="salesforce")
        if refused and self.whole:
            raise error
        if self.rejects:
            raise RecordRejected(self.rejects, system="salesforce")
        self.apply([one for one in writes if one not in refused])
        return [WriteResult(one.write_id, error if one in refused else None) for one in writes]


class Branch(Desk):
    """A loop and its courier."""

    def __init__(self, ledger: Ledger, clock: ManualClock, **files: str) -> None:
        super().__init__(ledger, clock, policy(**FILES | files))
        self.crm, self.stop = Crm(), threading.Event()
        self.courier = Courier(self.crm, ledger, clock, Feed())
        self.adopt(**files)

    def adopt(self, **files: str) -> None:
        """Another policy is live from now on."""
        self.policies.current = policy(**FILES | files)
        written = {"fields": example.FIELDS, "corrections": example.CORRECTIONS, "matching": example.MATCHING} | FILES
        named = {f"{n}.{'csv' if n == 'people' else 'yaml'}": text.encode() for n, text in (written | files).items()}
        with self.ledger.write() as conn:
            policies.publish(conn, self.policies.current.digest, named, self.clock())

    def lead(self, record: str = "00Q1", **values: str | int) -> None:
        self.crm.records[record] = {"owner": QUEUE, "status": "New", "email": f"{record.lower()}@acme.example"} | values
        self.play(self.event("created", record, **self.crm.records[record]))

    def deliver(self) -> None:
        """Until nothing is owed, and what came of it is decided."""
        self.clock.advance(60)
        while self.courier.deliver_some(self.stop):
            self.play()
            self.clock.advance(60)

    def states(self) -> list[str]:
        with self.ledger.read() as conn:
            return [one["state"] for made in self.made() for one in outbox.of_decision(conn, made.decision_id)]

    def refused(self) -> list[tuple[str, str]]:
        """Whose turns were given back, and why."""
        with self.ledger.read() as conn:
            rows = conn.exec_driver_sql("SELECT person, why FROM pool_entry WHERE what = 'refused' ORDER BY seq").all()
        return [(person, why) for person, why in rows]

    def last(self) -> Decision:
        return self.made()[-1]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def branch(ledger: Ledger, clock: ManualClock) -> Branch:
    return Branch(ledger, clock)


@pytest.mark.parametrize("whole", [False, True])
def test_a_lead_whose_owner_is_refused_goes_to_somebody_else_at_once(branch: Branch, whole: bool) -> None:
    branch.crm.inactive, branch.crm.whole = {"005ANA"}, whole
    branch.lead()
    branch.deliver()
    assert [one.owner for one in branch.made()] == ["ana@example.com", "bo@example.com"]
    assert branch.crm.records["00Q1"]["owner"] == "005BO"
    assert branch.states() == ["superseded", "confirmed"]  # nothing is parked for a person to look at
    assert branch.last().trace[0].note == (
        "Salesforce refused Ana Diaz as the owner: INACTIVE_OWNER_OR_USER: operation performed with inactive user"
    )
    assert branch.refused() == [("ana@example.com", "Salesforce refused Ana Diaz as the owner")]
    ana, bo = branch.clocks()
    assert (ana.person, ana.state, ana.why) == ("ana@example.com", "ended", "Bo Li has it now")
    assert (bo.person, bo.state) == ("bo@example.com", "running")
    assert {one.verdict for one in Replay(branch.ledger).run(Span())} == {"identical"}


def speed(branch: Branch) -> list[tuple[str, int, int, int, int, int, int]]:
    """By person: leads, waiting, untouched, moved, refused, written."""
    day = timedelta(days=1)
    with branch.ledger.read() as conn:
        rows = reports.speed(conn, branch.clock() - day, branch.clock() + day, "person", UTC)
    return [(one.key, one.leads, one.waiting, one.untouched, one.moved, one.refused, one.confirmed.n) for one in rows]


def test_a_refused_owner_was_never_given_the_lead_as_the_report_tells(branch: Branch) -> None:
    branch.crm.inactive = {"005ANA"}
    branch.lead()
    branch.lead("00Q2")
    branch.deliver()
    assert speed(branch) == [("bo@example.com", 1, 0, 1, 0, 0, 1), ("cem@example.com", 1, 0, 1, 0, 1, 1)]


def test_a_lead_whose_owner_cannot_be_written_waits_as_the_report_tells(ledger: Ledger, clock: ManualClock) -> None:
    branch = Branch(ledger, clock, sla="clocks: {}")
    branch.crm.inactive = {"005ANA", "005BO", "005CEM"}
    branch.lead()
    branch.deliver()
    assert speed(branch) == [("(nobody)", 1, 1, 0, 0, 1, 0)]
    branch.crm.inactive.clear()
    branch.crm.rejects = "a validation rule says no"
    branch.lead("00Q2")
    branch.deliver()
    with ledger.read() as conn:
        assert outbox.count(conn, ("parked",)) == 1
    assert speed(branch) == [("(nobody)", 2, 2, 0, 0, 2, 0)]


def test_each_of_several_is_refused_once_and_the_turns_are_made_up_for(branch: Branch) -> None:
    """The CRM knows of it before we do: leads still go to her first until we hear of it, and each moves on."""
    branch.crm.inactive = {"005ANA"}
    for n in range(1, 7):
        branch.lead(f"00Q{n}")
    branch.deliver()
    owners = sorted(one["owner"] for one in branch.crm.records.values())
    assert owners == ["005BO"] * 3 + ["005CEM"] * 3
    with branch.ledger.read() as conn:
        assert outbox.count(conn, ("parked",)) == 0
    # Who comes back is owed what she was refused, as after any turn given back.
    branch.crm.inactive = set()
    branch.lead("00Q7")
    branch.deliver()
    assert branch.crm.records["00Q7"]["owner"] == "005ANA"


def test_whoever_never_had_it_counts_for_no_limit_and_does_not_get_it_later(branch: Branch) -> None:
    branch.crm.inactive = {"005ANA"}
    branch.lead()
    branch.deliver()
    branch.crm.inactive = set()
    for hours in (2, 1, 1):
        branch.wait(hours)
    # The clock allows one move, from Bo to Cem: that Ana was to have it is none.
    assert branch.last().owner == "cem@example.com"
    for hours in (2, 1, 1):
        branch.wait(hours)
    assert "it was moved 1 time, the most that 'First touch' allows" in str(branch.last().trace)
    assert {one.verdict for one in Replay(branch.ledger).run(Span())} == {"identical"}


def test_where_everybody_is_refused_it_waits_and_says_why(ledger: Ledger, clock: ManualClock) -> None:
    branch = Branch(ledger, clock, sla="clocks: {}")
    branch.crm.inactive = {"005ANA", "005BO", "005CEM"}
    branch.lead()
    branch.deliver()
    assert (branch.last().outcome, branch.last().reason) == (
        "hold",
        "nobody in the pool Small can take it (Salesforce refused Ana Diaz as the owner; "
        "Salesforce refused Bo Li as the owner; Salesforce refused Cem Kaya as the owner)",
    )
    assert branch.record().on_hold
    assert branch.states() == ["superseded"] * 3
    with ledger.read() as conn:
        assert timers.count(conn) == 1


def test_what_else_the_refused_write_held_is_written_with_the_next(ledger: Ledger, clock: ManualClock) -> None:
    fixes = "lead:\n  country: country\n"
    branch = Branch(ledger, clock, corrections=fixes)
    branch.crm.inactive = {"005ANA"}
    branch.lead(country="germany")
    branch.deliver()
    assert branch.crm.records["00Q1"]["owner"] == "005BO"
    assert branch.crm.records["00Q1"]["country"] == "DE"


def test_a_queue_that_is_refused_waits_for_the_operator(ledger: Ledger, clock: ManualClock) -> None:
    ladder = FILES["engagement"].replace("otherwise: pool Small", "otherwise: queue Triage")
    branch = Branch(ledger, clock, engagement=ladder)
    branch.crm.inactive = {QUEUE}
    branch.crm.records["00Q1"] = {"owner": "005MIA"}
    branch.play(branch.event("created", email="kim@acme.example", owner="005MIA"))
    branch.deliver()
    assert branch.states() == ["parked"]


def retry(branch: Branch) -> None:
    with branch.ledger.write() as conn:
        outbox.retry_parked(conn, None, branch.clock())
    branch.deliver()


def test_once_the_policy_names_another_queue_a_retry_gives_it_to_that_one(ledger: Ledger, clock: ManualClock) -> None:
    ladder = FILES["engagement"].replace("otherwise: pool Small", "otherwise: queue Triage")
    branch = Branch(ledger, clock, engagement=ladder, corrections="lead:\n  country: country\n")
    branch.crm.inactive = {QUEUE}
    branch.lead(owner="005MIA", country="germany")
    branch.deliver()
    retry(branch)  # nothing was put right
    assert branch.states() == ["superseded", "parked"]
    branch.adopt(engagement=ladder.replace(QUEUE, OTHER_QUEUE), corrections="lead:\n  country: country\n")
    retry(branch)
    assert branch.states() == ["superseded", "superseded", "confirmed"]
    assert (branch.crm.records["00Q1"]["owner"], branch.crm.records["00Q1"]["country"]) == (OTHER_QUEUE, "DE")
    assert branch.last().trace[0].note == (
        "Salesforce refused the queue as the owner: INACTIVE_OWNER_OR_USER: operation performed with inactive user"
    )
    assert {one.verdict for one in Replay(ledger).run(Span())} == {"identical"}


def test_a_queue_that_is_put_right_in_the_crm_gets_it_by_a_retry(ledger: Ledger, clock: ManualClock) -> None:
    ladder = FILES["engagement"].replace("otherwise: pool Small", "otherwise: queue Triage")
    branch = Branch(ledger, clock, engagement=ladder)
    branch.crm.inactive = {QUEUE}
    branch.lead(owner="005MIA")
    branch.deliver()
    branch.crm.inactive = set()
    retry(branch)
    assert branch.states() == ["confirmed"]
    assert branch.crm.records["00Q1"]["owner"] == QUEUE


def test_a_parked_owner_is_not_written_after_a_newer_decision_that_had_nothing_to_write(
    ledger: Ledger, clock: ManualClock
) -> None:
    branch = Branch(ledger, clock)
    branch.crm.rejects = "a validation rule said no"
    branch.lead(owner="005MIA")
    branch.deliver()
    assert (branch.states(), branch.last().owner) == (["parked"], "ana@example.com")
    branch.adopt(engagement=FILES["engagement"].replace("otherwise: pool Small", "otherwise: pool Big"))
    branch.answer("rejected", "ana")
    assert branch.last().owner == "mia@example.com"  # who has it there
    branch.crm.rejects = ""
    retry(branch)
    assert branch.crm.records["00Q1"]["owner"] == "005MIA"
    with ledger.read() as conn:
        [ended] = [one["detail"] for made in branch.made() for one in outbox.of_decision(conn, made.decision_id)]
    assert ended == f"superseded: decision {branch.last().decision_id} was made since"


TO_BIG = """
clocks:
  First touch:
    start: assigned
    stop: accepted
    within: 4 hours
    time: always
    steps: [{at: 100 %, reassign: pool Big}]
    reassignments: 3
"""
BIG = POOLS.replace("[Mia Wolf]", "[Mia Wolf, Cem Kaya]")


def test_what_a_clock_sent_to_a_pool_goes_to_others_of_that_pool_and_then_down_the_ladder(
    ledger: Ledger, clock: ManualClock
) -> None:
    branch = Branch(ledger, clock, sla=TO_BIG, pools=BIG)
    branch.lead()
    branch.deliver()
    branch.crm.inactive = {"005MIA"}
    branch.wait(4)
    branch.deliver()
    assert branch.reasons()[1:] == [
        "Mia Wolf is next in the pool Big: First touch",
        "Cem Kaya is next in the pool Big: First touch",
    ]
    branch.answer("rejected", "cem")
    assert branch.last().reason == "Bo Li is next in the pool Small: Otherwise"
    assert {one.verdict for one in Replay(ledger).run(Span())} == {"identical"}


def test_what_a_clock_sent_to_a_pool_that_is_away_waits_for_that_pool(ledger: Ledger, clock: ManualClock) -> None:
    branch = Branch(ledger, clock, sla=TO_BIG)
    with ledger.write() as conn:
        off = people.enter(conn, "mia@example.com", "pause", "2020-01-01", "", author="t", reason="", now=clock())
    branch.lead()
    for hours in (4, 1, 1):
        branch.wait(hours)
    assert [(one.outcome, one.pool) for one in branch.made()] == [("assign", "Small"), ("hold", "Big")]
    assert branch.ended()[-1][1] == "still on hold: nobody in the pool Big can take it (Mia Wolf is paused)"
    with ledger.write() as conn:
        people.end(conn, [off], author="t", reason="", now=clock())
    branch.wait(1)
    assert branch.last().reason == "Mia Wolf is next in the pool Big: First touch"
    assert {one.verdict for one in Replay(ledger).run(Span())} == {"identical"}


def test_what_a_clock_sent_to_a_pool_in_which_all_had_it_goes_down_the_ladder(
    ledger: Ledger, clock: ManualClock
) -> None:
    branch = Branch(ledger, clock, sla=TO_BIG)
    branch.lead()
    for hours in (4, 4, 1):
        branch.wait(hours)
    assert [(one.outcome, one.owner, one.pool) for one in branch.made()] == [
        ("assign", "ana@example.com", "Small"),
        ("assign", "mia@example.com", "Big"),
        ("hold", "", "Big"),
        ("assign", "bo@example.com", "Small"),
    ]
    assert {one.verdict for one in Replay(ledger).run(Span())} == {"identical"}


def test_what_a_clock_sent_to_a_pool_that_the_policy_has_no_more_goes_down_the_ladder(
    ledger: Ledger, clock: ManualClock
) -> None:
    branch = Branch(ledger, clock, sla=TO_BIG)
    with ledger.write() as conn:
        people.enter(conn, "mia@example.com", "pause", "2020-01-01", "", author="t", reason="", now=clock())
    branch.lead()
    branch.wait(4)
    gone = POOLS.replace("Big:", "Bigger:")
    branch.adopt(
        pools=gone,
        sla=TO_BIG.replace("Big", "Bigger"),
        engagement=FILES["engagement"].replace("pool Big", "pool Bigger"),
    )
    branch.wait(1)
    assert branch.last().reason == "Bo Li is next in the pool Small: Otherwise"


@pytest.mark.parametrize(
    "end",
    [
        "steps: [{at: 100 %, escalate: queue Triage}]",
        "steps: [{at: 100 %, reassign: yes}]\n    reassignments: 0\n    then: queue Triage",
    ],
)
def test_a_queue_that_a_clock_chose_and_the_crm_refuses_stays_the_clock_s_choice(
    ledger: Ledger, clock: ManualClock, end: str
) -> None:
    """Each retry that is refused waits for the operator again; nobody gets it down the ladder whose turns are over."""
    sla = TO_BIG.replace("steps: [{at: 100 %, reassign: pool Big}]\n    reassignments: 3", end)
    branch = Branch(ledger, clock, sla=sla)
    branch.lead()
    branch.deliver()
    branch.crm.inactive = {QUEUE}
    branch.wait(4)
    branch.deliver()
    for _ in range(2):
        retry(branch)
    assert branch.states() == ["confirmed", "superseded", "superseded", "parked"]
    assert {one.reason for one in branch.made()[1:]} == {"it goes to the queue Triage: First touch"}
    assert branch.last().trace[0].note.startswith("Salesforce refused the queue as the owner: INACTIVE_OWNER")
    assert branch.crm.records["00Q1"]["owner"] == "005ANA"
    branch.adopt(sla=sla, engagement=FILES["engagement"].replace(QUEUE, OTHER_QUEUE))
    retry(branch)
    assert branch.crm.records["00Q1"]["owner"] == OTHER_QUEUE
    assert {one.verdict for one in Replay(ledger).run(Span())} == {"identical"}


def test_a_refusal_that_comes_after_another_decision_changes_nothing(branch: Branch) -> None:
    branch.crm.inactive = {"005ANA"}
    branch.lead()
    branch.clock.advance(60)
    branch.courier.deliver_some(branch.stop)
    news = branch.event("updated", owner="005MIA")  # a person was faster
    with branch.ledger.write() as conn:
        found = mirror.load(conn, {REF})[REF]
        mirror.save(
            conn, [(msgspec.structs.replace(found, decided_owner="", values=found.values | news.values), frozenset())]
        )
    branch.play()
    assert len(branch.made()) == 1
    assert branch.ended()[-1] == (
        "skipped",
        "Salesforce refused Ana Diaz as the owner, but it was decided otherwise since",
    )


def test_of_a_refused_lead_the_caps_count_one_less_for_whom_it_was_and_one_more_for_who_got_it(
    ledger: Ledger, clock: ManualClock
) -> None:
    branch = Branch(ledger, clock, pools=POOLS.replace("members: [Ana", "member_caps: 3 a month, members: [Ana"))

    def used() -> list[tuple[int, str]]:
        with ledger.read() as conn:
            view = PoolDesk(conn, branch.policies.current, ["Small"], clock()).view("Small")
        return [(one.assigned, *one.caps) for one in view.members]

    for n in range(1, 6):
        branch.lead(f"00Q{n}")
    branch.deliver()
    assert used() == [(2, "2 of 3 this month"), (2, "2 of 3 this month"), (1, "1 of 3 this month")]
    branch.crm.inactive = {"005CEM"}
    branch.lead("00Q6")
    assert used()[2] == (2, "2 of 3 this month")
    branch.deliver()
    assert branch.made("00Q6")[-1].owner == "ana@example.com"
    assert used() == [(3, "3 of 3 this month"), (2, "2 of 3 this month"), (2, "1 of 3 this month")]
    assert {one.verdict for one in Replay(ledger).run(Span())} == {"identical"}
