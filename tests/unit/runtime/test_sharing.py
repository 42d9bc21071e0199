"""Pools in the daemon: hours, caps, the queue of those who wait, credits, claims, what is given back; and all of it decided again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog

from routing.core.model import Record
from routing.ledger import holding, mirror, people, policies, pools, timers
from routing.ledger.engine import Ledger
from routing.runtime.feed import Feed
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
            policies.publish(conn, self.policy.digest, data, self.clock())
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
        shop.desk(conn, locked=True).adjust("P", "", "bo@example.com", 2, author="Kim", reason="two were spam")
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
        shop.desk(conn, locked=True).adjust("P", "", "bo@example.com", 6, author="Kim", reason="six were spam")
    assert told(2) == [("P", 3.0, 2)]  # half of the credit is his own share to give; he has just had a lead
    assert measured("deviation") > measured("bound")
    assert told(3) == []  # still out: said once
    assert [told(n) for n in range(4, 7)] == [[], [], []]
    assert measured("deviation") <= 1
    with ledger.write() as conn:
        shop.desk(conn, locked=True).adjust("P", "", "ana@example.com", 8, author="Kim", reason="eight were spam")
    assert len(told(7)) == 1  # it had come back


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
