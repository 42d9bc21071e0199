"""Pools in the daemon: hours, caps, the queue of those who wait, credits, claims, what is given back; and all of it decided again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog

from routing.core.distribution.entries import LEFT
from routing.core.model import Record
from routing.ledger import holding, mirror, people, pools, timers
from routing.ledger.engine import Ledger
from routing.runtime.crediting import adjust, bad_lead, return_turn
from routing.runtime.feed import Feed
from routing.runtime.going_live import go_live
from routing.runtime.loop import Loop
from routing.runtime.metrics import Metrics
from routing.runtime.policies import Policies
from routing.runtime.pooling import Desk as PoolDesk
from routing.runtime.replay import Replay, Span
from rules.policy import Policy, compile_policy
from tests import pool_ledger
from tests.conftest import START, ManualClock
from tests.unit.core import policy as example
from tests.unit.runtime.test_loop import Desk
from tests.unit.runtime.test_statements import counted

PEOPLE = """name,email,time_zone,hours
Ana Diaz,ana@example.com,UTC,
Bo Li,bo@example.com,UTC,
Cem Kaya,cem@example.com,UTC,
"""
ENGAGEMENT = "route: lead\nentry: ['event.kind = \"created\"']\nhold: {retry: 2 days}\nladder:\n  - otherwise: pool P\n"
NAMES = ("ana", "bo", "cem")


class Shop(Desk):
    """A loop with one pool, P."""

    def __init__(
        self, ledger: Ledger, clock: ManualClock, pools: str, people: str = PEOPLE, engagement: str = ENGAGEMENT
    ) -> None:
        super().__init__(ledger, clock)
        self.live(pools, people, engagement)
        users = [
            Record(
                system="salesforce", entity="person", record_id=f"005{name}", values={"email": f"{name}@example.com"}
            )
            for name in NAMES
        ]
        with ledger.write() as conn:
            mirror.save(conn, [(user, frozenset()) for user in users])

    def live(self, pools: str, people: str = PEOPLE, engagement: str = ENGAGEMENT) -> None:
        files = {
            "fields.yaml": example.FIELDS,
            "engagement.yaml": engagement,
            "people.csv": people,
            "pools.yaml": pools,
        }
        data = {name: text.encode() for name, text in files.items()}
        self.policy = compile_policy(data)
        with self.ledger.write() as conn:
            self.said = go_live(conn, self.policy, data, self.clock()).said
            timers.hurry(conn, "hold", self.clock())
        self.loop._policies = SimpleNamespace(current=self.policy)  # type: ignore[assignment]

    def lead(self, n: int, **values: Any) -> None:
        self.play(self.event("created", f"00Q{n}", email=f"l{n}@b{n}.example", **values))

    def fire(self) -> None:
        """What is due now."""
        with self.ledger.write() as conn:
            timers.fire(conn, self.clock())
        self.work()

    def owner(self, n: int) -> str:
        """The first name of whoever was given the lead; "" while it waits."""
        made = [one for one in self.decisions(f"00Q{n}") if one.outcome == "assign"]
        return made[-1].owner.partition("@")[0] if made else ""

    def owners(self, *numbers: int) -> list[str]:
        return [self.owner(n) for n in numbers]

    def due(self) -> datetime:
        from routing.ledger.schema import from_ms

        with self.ledger.read() as conn:
            return from_ms(conn.exec_driver_sql("SELECT min(due_ms) FROM timer").scalar_one())

    def desk(self, conn: Any, locked: bool = False) -> PoolDesk:
        return PoolDesk(conn, self.policy, ["P"], self.clock(), locked=locked)

    def sound(self) -> None:
        """Every turn follows from the entries, and every decision is made again byte for byte."""
        with self.ledger.read() as conn:
            pool_ledger.check(conn, 2)
        assert {one.verdict: one.said for one in Replay(self.ledger).run(Span())}.keys() <= {"identical"}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def ledger(any_ledger: Ledger) -> Ledger:
    return any_ledger


def test_who_works_elsewhere_gets_leads_in_their_hours_and_those_that_waited_come_first_by_age(
    ledger: Ledger, clock: ManualClock
) -> None:
    opens = START.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
    hours = f"{opens:%a} {opens.hour}:00-{opens.hour + 1}:00"
    shop = Shop(
        ledger, clock, "P: {members: [Ana Diaz], member_caps: 2 a day}", PEOPLE.replace("UTC,\nBo", f"UTC,{hours}\nBo")
    )
    for n in (1, 2, 3):
        shop.lead(n)
        clock.advance(1)
    assert shop.owners(1, 2, 3) == ["", "", ""]
    assert "Ana Diaz" in shop.decisions("00Q1")[0].reason
    assert shop.due() == opens
    clock.advance((opens - clock()).total_seconds())
    shop.fire()
    assert shop.owners(1, 2, 3) == ["ana", "ana", ""]
    assert shop.due() > opens
    shop.sound()


def test_the_queue_empties_itself_by_priority_the_moment_somebody_is_back(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz], member_caps: 2 a day, priority: lead.employees}")
    with ledger.write() as conn:
        off = people.enter(conn, "ana@example.com", "pause", "2020-01-01", "", author="t", reason="", now=clock())
    for n, size in ((1, 5), (2, 500), (3, 50)):
        shop.lead(n, employees=size)
    assert shop.owners(1, 2, 3) == ["", "", ""]
    with ledger.read() as conn:
        assert [one.ref[-1] for one in holding.waiting(conn, "P")] == ["2", "3", "1"]
    with ledger.write() as conn:
        people.end(conn, [off], author="t", reason="", now=clock())
        holding.hurry(conn, ["P"], clock())
    shop.fire()
    assert shop.owners(1, 2, 3) == ["", "ana", "ana"]
    with ledger.read() as conn:
        assert holding.lengths(conn) == {"P": 1}
    shop.sound()


def test_an_edit_of_the_policy_keeps_how_everybody_stands(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li]}")
    shop.lead(1)
    shop.live("P: {method: weighted, members: {Ana Diaz: 1, Bo Li: 1, Cem Kaya: 1}}")
    for n in range(2, 7):
        shop.lead(n)
    assert shop.owners(1, 2) == ["ana", "bo"]
    given = shop.owners(*range(1, 7))
    assert sorted(given) == ["ana", "ana", "bo", "bo", "cem", "cem"]
    shop.sound()


def test_a_credit_is_an_entry_and_is_made_up_for(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li]}")
    shop.lead(1)
    shop.lead(2)
    with ledger.write() as conn:
        adjust(shop.desk(conn, locked=True), "P", "", "bo@example.com", 2, author="Kim", reason="two were spam")
    for n in range(3, 7):
        shop.lead(n)
    assert sorted(shop.owners(3, 4, 5, 6)) == ["ana", "bo", "bo", "bo"]
    with ledger.read() as conn:
        (entry,) = pools.entries(conn, "P", 10, by_hand=True)
        assert (entry.what, entry.leads, entry.author, entry.why) == ("credit", 2.0, "Kim", "two were spam")
        line = next(one for one in shop.desk(conn).view("P").members if one.person == "bo@example.com")
    assert (line.credits, line.assigned) == (2.0, 4)
    shop.sound()


def test_a_pool_that_leaves_its_bound_is_told_once_and_measured(ledger: Ledger, clock: ManualClock) -> None:
    shop, metrics = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li], alarm: 2}"), Metrics()
    shop.loop._feed.watch(metrics.watch)

    def told(lead: int) -> list[tuple[str, float, float]]:
        with structlog.testing.capture_logs() as lines:
            shop.lead(lead)
        return [(one["pool"], one["leads"], one["bound"]) for one in lines if "out of its bound" in one["event"]]

    def measured(name: str) -> float:
        found = metrics.registry.get_sample_value(f"fingerpost_pool_{name}_leads", {"pool": "P", "kind": ""})
        assert found is not None
        return found

    assert (told(1), measured("deviation"), measured("bound")) == ([], 0.5, 2)
    with ledger.write() as conn:
        pool_ledger.give_back(conn, shop.policy, "P", "bo@example.com", 6, clock())
    assert told(2) == [("P", 3.0, 2)]  # half of them is his own share to give; he has just had a lead
    assert measured("deviation") > measured("bound")
    assert told(3) == []  # still out: said once
    assert [told(n) for n in range(4, 7)] == [[], [], []]
    assert measured("deviation") <= 1
    with ledger.write() as conn:
        pool_ledger.give_back(conn, shop.policy, "P", "ana@example.com", 8, clock())
    assert len(told(7)) == 1  # it had come back


def test_what_was_credited_by_hand_is_no_unfairness_and_tells_nobody_while_it_is_made_up_for(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop, metrics = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li], alarm: 1}"), Metrics()
    shop.loop._feed.watch(metrics.watch)
    shop.lead(1)
    with ledger.write() as conn:
        adjust(shop.desk(conn, locked=True), "P", "", "bo@example.com", 6, author="Kim", reason="six were spam")
    with structlog.testing.capture_logs() as lines:
        for n in range(2, 12):
            shop.lead(n)
            far = metrics.registry.get_sample_value("fingerpost_pool_deviation_leads", {"pool": "P", "kind": ""})
            assert far is not None
            assert far < 1
    assert [one for one in lines if "out of its bound" in one["event"]] == []
    assert shop.owners(*range(1, 12)) == ["ana", *["bo"] * 7, "ana", "bo", "ana"]
    shop.sound()


def test_a_queue_is_claimed_from_and_caps_hold(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {method: pull, members: [Ana Diaz, Bo Li], member_caps: 1 a day}")
    for n in (1, 2):
        shop.lead(n)
        clock.advance(1)
    assert shop.owners(1, 2) == ["", ""]
    with ledger.write() as conn:
        refs = [shop.desk(conn, locked=True).claim("P", f"{who}@example.com") for who in ("bo", "ana", "ana")]
        assert [one and one.ref for one in refs] == ["salesforce:lead:00Q1", "salesforce:lead:00Q2", None]
    shop.work()
    assert shop.owners(1, 2) == ["bo", "ana"]
    assert "Bo Li claimed it out of the pool P" in shop.decisions("00Q1")[-1].reason
    shop.lead(3)
    with ledger.write() as conn, pytest.raises(ValueError, match="Bo Li had 1 lead today, the cap is 1"):
        shop.desk(conn, locked=True).claim("P", "bo@example.com")


@pytest.mark.parametrize("size", [1, 500])
def test_open_leads_are_counted_as_they_come_and_go_whatever_the_batches(
    ledger: Ledger, clock: ManualClock, size: int
) -> None:
    shop = Shop(ledger, clock, "P: {method: load balanced, members: [Ana Diaz, Bo Li], member_caps: 3 open}")
    events = [shop.event("created", f"00Q{n}", email=f"l{n}@b{n}.example") for n in range(4)]
    events += [shop.event("updated", "00Q0", 5, status="Closed - Not Converted")]
    events += [shop.event("updated", "00Q2", 5, status="Closed - Converted")]
    events += [shop.event("created", f"00Q{n}", email=f"l{n}@b{n}.example") for n in (4, 5, 6, 7, 8)]
    shop.play(*events, size=size)
    assert shop.owners(*range(9)) == ["ana", "bo", "ana", "bo", "ana", "ana", "bo", "ana", ""]
    assert "has 3 open leads, the cap is 3" in shop.decisions("00Q8")[-1].reason
    shop.play(shop.event("updated", "00Q1", 9, status="Closed - Converted"), size=size)
    shop.fire()
    assert shop.owner(8) == "bo"


def test_open_is_what_the_policy_says_also_of_what_was_there_before(ledger: Ledger, clock: ManualClock) -> None:
    pool = "P: {method: load balanced, members: [Ana Diaz, Bo Li]}"
    shop = Shop(ledger, clock, pool)
    for n in range(4):
        shop.lead(n)
    shop.play(shop.event("updated", "00Q0", 5, status="Nurture"), shop.event("updated", "00Q2", 5, status="Nurture"))
    shop.lead(4)
    assert shop.owners(0, 1, 2, 3, 4) == ["ana", "bo", "ana", "bo", "ana"]
    shop.live(f"open_when: lead.status != 'Nurture' or lead.status is blank\n{pool}")
    Counting(ledger, shop.policy)._count_open_work()
    shop.lead(5)
    assert shop.owner(5) == "ana"  # has one open, Bo two
    shop.play(shop.event("updated", "00Q1", 9, status="Nurture"), shop.event("updated", "00Q3", 9, status="Nurture"))
    for n in (6, 7):
        shop.lead(n)
    assert shop.owners(6, 7) == ["bo", "bo"]


class Counting(Policies):
    """What a daemon does once a policy is live."""

    def __init__(self, ledger: Ledger, policy: Policy) -> None:
        self._ledger, self.current = ledger, policy


def test_several_processes_take_turns(ledger: Ledger, clock: ManualClock) -> None:
    """What another process gave is known: the rotation in memory is only good while the ledger says so."""
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li, Cem Kaya], member_caps: 2 a day}")
    one = shop.loop
    other = Loop(ledger, one._policies, clock, Feed())
    for n in range(7):
        shop.loop = (one, other)[n % 2]
        shop.lead(n)
    assert shop.owners(*range(7)) == ["ana", "bo", "cem", "ana", "bo", "cem", ""]
    shop.sound()


def test_a_deactivation_in_the_crm_in_the_middle_of_a_batch_counts_from_then_on(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li]}")
    users = [shop.event("updated", user, 3, active=False) for user in ("005bo", "005BO")]
    gone = [msgspec.structs.replace(user, entity="person") for user in users]
    leads = [shop.event("created", f"00Q{n}", email=f"l{n}@b{n}.example") for n in range(4)]
    shop.play(leads[0], leads[1], *gone, leads[2], leads[3])
    assert shop.owners(*range(4)) == ["ana", "bo", "ana", "ana"]
    assert "deactivated" in shop.decisions("00Q3")[0].members[1].unavailable
    shop.sound()


def test_who_is_active_again_in_the_crm_gets_what_waits_at_once(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz]}\nQ: {members: [Bo Li], overflow: P}")

    def active(user: str, is_active: bool) -> None:
        shop.play(msgspec.structs.replace(shop.event("updated", user, active=is_active), entity="person"))

    active("005ana", False)
    shop.lead(1)
    due = shop.due()
    assert due > clock()
    active("005bo", False)
    active("005bo", True)  # no lead waits for him
    shop.fire()
    assert (shop.owner(1), shop.due()) == ("", due)
    active("005ana", True)
    assert shop.due() == clock()
    shop.fire()
    assert shop.owner(1) == "ana"
    shop.sound()


NAMED = """route: lead
entry: ['event.kind = "created"']
hold: {retry: 2 days}
ladder:
  - {rung: Ana has the small ones, when: lead.employees < 100, assign: Ana Diaz%s}
  - otherwise: pool P
"""


def at_work(clock: ManualClock) -> tuple[datetime, str]:
    """When Ana begins, two hours from now, and the roster that says so."""
    opens = clock().replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
    hours = f"{opens:%a} {opens.hour}:00-{opens.hour + 1}:00"
    return opens, PEOPLE.replace("UTC,\nBo", f"UTC,{hours}\nBo")


def test_a_person_named_by_a_rung_gets_the_lead_while_away_and_the_decision_says_so(
    ledger: Ledger, clock: ManualClock
) -> None:
    opens, people = at_work(clock)
    shop = Shop(ledger, clock, "P: {members: [Bo Li]}", people, NAMED % "")
    shop.lead(1, employees=5)
    (made,) = shop.decisions("00Q1")
    assert (made.outcome, made.owner) == ("assign", "ana@example.com")
    then = f"{opens:%Y-%m-%d %H:%M} (UTC)"
    assert made.reason == (
        f"Ana Diaz, named by Ana has the small ones; Ana Diaz is outside working hours until {then}, and gets it all the same"
    )
    clock.advance((opens - clock()).total_seconds())
    shop.lead(2, employees=5)
    assert shop.decisions("00Q2")[0].reason == "Ana Diaz, named by Ana has the small ones"
    shop.sound()


def test_a_rung_may_wait_for_the_person_it_names(ledger: Ledger, clock: ManualClock) -> None:
    opens, people = at_work(clock)
    shop = Shop(ledger, clock, "P: {members: [Bo Li]}", people, NAMED % ", when_away: hold")
    shop.lead(1, employees=5)
    shop.lead(2, employees=500)
    assert shop.owners(1, 2) == ["", "bo"]
    (made,) = shop.decisions("00Q1")
    assert (made.outcome, made.rung) == ("hold", "Ana has the small ones")
    assert made.reason.startswith("Ana Diaz is outside working hours until ")
    assert made.reason.endswith("; it waits for them: Ana has the small ones")
    assert shop.due() == opens
    clock.advance((opens - clock()).total_seconds())
    shop.fire()
    assert shop.owner(1) == "ana"
    shop.sound()


def test_a_rung_may_give_to_a_pool_while_the_person_it_names_is_away(ledger: Ledger, clock: ManualClock) -> None:
    opens, people = at_work(clock)
    shop = Shop(ledger, clock, "P: {members: [Bo Li]}\nQ: {members: [Cem Kaya]}", people, NAMED % ", when_away: pool Q")
    shop.lead(1, employees=5)
    (made,) = shop.decisions("00Q1")
    assert (made.owner, made.pool) == ("cem@example.com", "Q")
    assert made.reason.startswith("Ana Diaz is outside working hours until ")
    assert made.reason.endswith("; Cem Kaya is next in the pool Q: Ana has the small ones")
    clock.advance((opens - clock()).total_seconds())
    shop.lead(2, employees=5)
    assert shop.owner(2) == "ana"
    shop.sound()


def test_a_lead_that_is_rejected_frees_its_own_place_in_a_cap_also_for_who_reads_the_ledger_anew(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz], member_caps: 2 in any hour}")
    shop.lead(1)
    shop.play(shop.event("updated", "00Q1", 1, owner="005ana"))  # the CRM shows what we wrote
    clock.advance(3000)
    shop.lead(2)
    clock.advance(300)
    shop.play(shop.event("rejected", "00Q1", by="ana@example.com", because="no budget"))
    for loop in (shop.loop, Loop(ledger, shop.loop._policies, clock, Feed())):
        shop.loop = loop
        clock.advance(240)
        with ledger.read() as conn:
            (line,) = shop.desk(conn).view("P").members
        assert line.caps == ("1 of 2 in the last hour",)
    shop.lead(3)
    shop.lead(4)
    assert shop.owners(3, 4) == ["ana", ""]
    clock.advance(3600 - 3000 - 780 + 3000 - 60)  # over an hour since the first, less than one since the second
    shop.fire()
    assert shop.owner(4) == ""
    clock.advance(120)
    shop.fire()
    assert shop.owner(4) == "ana"
    shop.sound()


def test_a_lead_given_back_by_a_record_of_an_older_version_frees_the_newest_place(
    ledger: Ledger, clock: ManualClock
) -> None:
    """It was not kept then when its turns were given."""
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz], member_caps: 2 in any hour}")
    for n in (1, 2):
        shop.lead(n)
    with ledger.write() as conn:
        body = "UPDATE mirror SET body = replace(body, '\"given_at\"', '\"a field that we do not know\"')"
        assert conn.exec_driver_sql(body).rowcount
    assert (shop.record("00Q1").given_at, len(shop.record("00Q1").turns)) == ("", 1)
    shop.play(shop.event("rejected", "00Q1", by="ana@example.com", because="no budget"))
    shop.lead(3)
    shop.lead(4)
    assert shop.owners(3, 4) == ["ana", ""]
    shop.sound()


def test_whoever_was_handed_a_lead_by_a_person_and_rejects_it_gives_nobody_s_turn_back(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li, Cem Kaya]}")
    shop.lead(1)
    shop.play(shop.event("updated", "00Q1", 1, owner="005bo"))
    shop.play(shop.event("rejected", "00Q1", by="bo@example.com", because="not mine"))
    with ledger.read() as conn:
        assert [one.credits for one in shop.desk(conn).view("P").members] == [0, 0, 0]
    assert shop.decisions("00Q1")[-1].owner != "bo@example.com"
    shop.sound()


def test_a_turn_is_given_back_once(ledger: Ledger, clock: ManualClock) -> None:
    off = PEOPLE.replace("bo@example.com,UTC,", "bo@example.com,UTC,Sat 9:00-10:00")
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li]}", off)
    shop.lead(1)
    shop.play(shop.event("rejected", "00Q1", by="ana@example.com", because="no budget"))
    assert shop.record("00Q1").on_hold
    shop.play(shop.event("updated", "00Q1", 1, owner="005ana"))  # somebody gives it to her again
    clock.advance(2 * 86400)
    shop.fire()
    assert not shop.record("00Q1").on_hold
    shop.play(shop.event("rejected", "00Q1", by="ana@example.com", because="still not"))
    with ledger.read() as conn:
        assert [one.credits for one in shop.desk(conn).view("P").members] == [1, 0]


def test_a_turn_that_is_given_back_while_everybody_is_away_comes_out_of_the_turns_of_all(
    ledger: Ledger, clock: ManualClock
) -> None:
    opens = START.replace(minute=0, second=0, microsecond=0)
    hours = f"{opens:%a} {opens.hour}:00-{opens.hour + 1}:00"
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li, Cem Kaya]}", PEOPLE.replace("UTC,\n", f"UTC,{hours}\n"))
    shop.lead(1)
    assert shop.owner(1) == "ana"
    clock.advance(3 * 3600)
    shop.play(shop.event("rejected", "00Q1", by="ana@example.com", because="no budget"))
    with ledger.read() as conn:
        found = [one.shortfall for one in shop.desk(conn).view("P").members]
    assert found == pytest.approx([0, 0, 0])  # as before the lead: a third of it was the share of each
    assert shop.owner(1) == "ana"
    shop.sound()


def test_what_somebody_who_left_was_owed_is_let_go_and_stands_in_the_pool_ledger(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li, Cem Kaya]}")
    for n in (1, 2):
        shop.lead(n)
    shop.live("P: {members: [Bo Li, Cem Kaya]}")
    with ledger.read() as conn:
        before = shop.desk(conn).view("P")
        assert [one.shortfall for one in before.members] == pytest.approx([-1 / 3, 1 / 3])
    shop.lead(3)
    assert shop.owner(3) == "cem"
    with ledger.read() as conn:
        view = shop.desk(conn).view("P", entries=3)
        assert sum(one.shortfall for one in view.members) == pytest.approx(0)
        _, settled, left = view.entries
        assert (left.person, left.what) == ("ana@example.com", "left")
        assert (settled.person, settled.what, settled.leads) == ("ana@example.com", "settled", pytest.approx(1 / 3))
        assert settled.why == "left 0.33 leads ahead of their share: those furthest behind theirs go without as much"
    shop.live("P: {members: [Ana Diaz, Bo Li, Cem Kaya]}")
    with ledger.read() as conn:
        ana = shop.desk(conn).view("P").members[0]
    assert (ana.shortfall, ana.assigned) == (0, 1)  # starts as somebody new
    for n in range(4, 10):
        shop.lead(n)
    given = shop.owners(*range(4, 10))
    assert sorted(given) == ["ana", "ana", "bo", "bo", "cem", "cem"]
    shop.sound()


def test_who_left_a_pool_in_an_older_version_is_settled_too(ledger: Ledger, clock: ManualClock) -> None:
    """Then what they were owed stayed theirs for good."""
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li]}")
    shop.lead(1)
    with ledger.write() as conn:
        desk = shop.desk(conn, locked=True)
        rotation = desk.opened.rotations["P", ""]
        desk.pools.enter(rotation, "ana@example.com", "left", clock(), weight=1.0, why=LEFT)
        pools.save(conn, desk.opened, desk.pools.entries)
    shop.live("P: {members: [Bo Li, Cem Kaya]}")
    with ledger.read() as conn:
        assert sum(one.shortfall for one in shop.desk(conn).view("P").members) == pytest.approx(0)
    for n in (2, 3):
        shop.lead(n)
    with ledger.read() as conn:
        written = [(one.what, one.person) for one in pools.entries(conn, "P", 10)]
    assert written.count(("left", "ana@example.com")) == 1 == written.count(("settled", "ana@example.com"))
    shop.sound()


ASKED = """route: lead
entry: ['event.kind = "created"']
hold: {retry: 5 minutes}
ladder:
  - {rung: Is this the right account?, when: lead.country = "DE", hold: somebody should look}
  - otherwise: pool P
"""


def test_what_waits_for_a_person_s_answer_does_not_wait_for_the_pool(ledger: Ledger, clock: ManualClock) -> None:
    off = PEOPLE.replace("ana@example.com,UTC,", "ana@example.com,UTC,Sat 9:00-10:00")
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz]}", off, ASKED)

    def waiting() -> int:
        with ledger.read() as conn:
            return shop.desk(conn).view("P").waiting

    shop.lead(1)
    shop.lead(2)
    shop.lead(3, country="DE")
    assert waiting() == 2
    shop.play(shop.event("updated", "00Q1", 1, country="DE"))
    clock.advance(301)
    shop.fire()
    assert shop.record("00Q1").on_hold
    assert waiting() == 1
    shop.play(shop.event("updated", "00Q1", 2, country="FR"))
    clock.advance(301)
    shop.fire()
    assert waiting() == 2


def test_a_lead_that_is_rejected_makes_room_at_once_for_one_that_waits(ledger: Ledger, clock: ManualClock) -> None:
    """Also where it overflowed from another pool."""
    shop = Shop(ledger, clock, "P: {members: [], overflow: Q}\nQ: {members: [Ana Diaz, Bo Li], member_caps: 1 a month}")
    for n in (1, 2, 3):
        shop.lead(n)
    assert shop.owners(1, 2, 3) == ["ana", "bo", ""]
    shop.play(shop.event("rejected", "00Q1", by="ana@example.com", because="no budget"))
    assert shop.record("00Q1").on_hold  # Bo has as many as he may
    shop.fire()
    assert shop.owner(3) == "ana"
    shop.sound()


def test_a_credit_makes_room_at_once_also_for_what_overflows_to_the_pool(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [], overflow: Q}\nQ: {members: [Ana Diaz, Bo Li], member_caps: 1 a month}")
    for n in (1, 2, 3):
        shop.lead(n)
    with ledger.write() as conn:
        desk = PoolDesk(conn, shop.policy, ["Q"], clock(), locked=True)
        bad = bad_lead(desk, "Q", "bo@example.com", "00Q2")
        return_turn(desk, "Q", "bo@example.com", bad, author="Kim", reason="it was spam")
    shop.fire()
    assert shop.owner(3) == "bo"


def test_whoever_gets_a_user_in_the_crm_gets_at_once_what_waits_for_their_pool(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz]}")
    off = msgspec.structs.replace(shop.event("updated", "005ana", 1, active=False), entity="person")
    both = [off, msgspec.structs.replace(off, event_id="other", record_id="005ANA")]  # there is one of another test's
    shop.play(*both)
    shop.lead(1)
    shop.lead(2)
    assert shop.owners(1, 2) == ["", ""]
    shop.fire()
    assert shop.due() > clock()
    shop.play(msgspec.structs.replace(shop.event("updated", "005ana", 2, active=True), entity="person"))
    shop.fire()
    assert shop.owners(1, 2) == ["ana", "ana"]
    shop.sound()


def test_what_overflows_to_a_queue_is_claimed_from_there_in_the_order_of_the_queue(
    ledger: Ledger, clock: ManualClock
) -> None:
    queue = "Q: {method: pull, members: [Ana Diaz, Bo Li], priority: lead.employees}"
    shop = Shop(ledger, clock, f"P: {{members: [Cem Kaya], member_caps: 1 a month, overflow: Q}}\n{queue}")
    for n, size in ((1, 1), (2, 5), (3, 500)):
        shop.lead(n, employees=size)
    assert shop.owners(1, 2, 3) == ["cem", "", ""]
    assert "it waits in the queue Q until somebody claims it" in shop.decisions("00Q2")[0].reason
    with ledger.write() as conn:
        desk = PoolDesk(conn, shop.policy, ["P", "Q"], clock(), locked=True)
        assert [desk.view(name).waiting for name in ("P", "Q")] == [0, 2]
        claimed = desk.claim("Q", "bo@example.com")
    assert claimed is not None
    assert claimed.ref == "salesforce:lead:00Q3"
    shop.work()
    assert shop.owner(3) == "bo"
    assert "Bo Li claimed it out of the pool Q after P had nobody" in shop.decisions("00Q3")[-1].reason
    assert {one.verdict for one in Replay(ledger).run(Span())} == {"identical"}


def test_nobody_claims_again_what_they_gave_back_and_it_keeps_nobody_from_the_others(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop = Shop(ledger, clock, "P: {method: pull, members: [Ana Diaz, Bo Li]}")

    def claim(who: str, record: str = "") -> str:
        clock.advance(1)
        with ledger.write() as conn:
            found = shop.desk(conn, locked=True).claim("P", f"{who}@example.com", record)
        shop.work()
        return "" if found is None else found.ref[-4:]

    for n in (1, 2):
        shop.lead(n)
        clock.advance(1)
    assert claim("ana") == "00Q1"
    shop.play(shop.event("rejected", "00Q1", by="ana@example.com", because="no budget"))
    assert claim("ana") == "00Q2"
    with pytest.raises(ValueError, match="Ana Diaz had it already"):
        claim("ana", "00Q1")
    with pytest.raises(ValueError, match="Ana Diaz had it already"):
        claim("ana")
    assert claim("bo") == "00Q1"
    assert shop.owners(1, 2) == ["bo", "ana"]


def test_a_claim_asks_the_ledger_as_often_however_many_are_not_for_them(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {method: pull, members: [Ana Diaz, Bo Li]}")
    asked = []
    for first, refused in ((0, 1), (100, 12)):
        for n in range(first, first + refused + 1):
            shop.lead(n)
            clock.advance(1)
        for n in range(first, first + refused):
            with ledger.write() as conn:
                assert shop.desk(conn, locked=True).claim("P", "ana@example.com", f"00Q{n}") is not None
            shop.play(shop.event("rejected", f"00Q{n}", by="ana@example.com", because="no budget"))
        with ledger.write() as conn:
            desk = shop.desk(conn, locked=True)
            with counted(ledger) as said:
                claimed = desk.claim("P", "ana@example.com")
        assert claimed is not None
        assert claimed.ref == f"salesforce:lead:00Q{first + refused}"
        shop.work()
        asked.append(said)
    assert len(asked[0]) == len(asked[1])
