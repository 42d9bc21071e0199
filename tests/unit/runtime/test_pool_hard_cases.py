"""What becomes of a lead when it gets difficult, and what its decision says then: on both databases, and decided again from the ledger.

A user who is deactivated in the middle of a batch: tests/unit/runtime/test_sharing.py. A reassignment while the rep accepts: test_sla_loop.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from routing.ledger import holding
from routing.ledger.engine import Ledger
from rules.policy import PolicyError
from tests.conftest import ManualClock
from tests.unit.runtime.test_sharing import PEOPLE, Shop, quiet

__all__ = ["quiet"]  # a fixture

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ALL = "[Ana Diaz, Bo Li, Cem Kaya]"


@pytest.fixture
def ledger(any_ledger: Ledger) -> Ledger:
    return any_ledger


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


def people(*rows: str) -> str:
    """Ana, Bo and Cem with time zone and hours."""
    names = [row.rsplit(",UTC,", 1)[0] for row in PEOPLE.splitlines()[1:]]
    return "\n".join([PEOPLE.splitlines()[0], *(f"{name},{row}" for name, row in zip(names, rows, strict=True))]) + "\n"


def why(shop: Shop, n: int) -> tuple[str, str]:
    """Outcome and reason of the last decision about a lead."""
    made = shop.decisions(f"00Q{n}")[-1]
    return made.outcome, made.reason


def test_everyone_is_away(ledger: Ledger, clock: ManualClock) -> None:
    hours = people("UTC,Mon 13:00-14:00", "UTC,Mon 14:00-15:00", "Asia/Kathmandu,Tue 9:00-10:00")
    shop = Shop(ledger, clock, f"P: {{members: {ALL}}}", hours)
    shop.lead(1)
    assert why(shop, 1) == (
        "hold",
        "nobody in the pool P can take it (Ana Diaz is outside working hours until 2026-11-23 13:00 (UTC); "
        "Bo Li is outside working hours until 2026-11-23 14:00 (UTC); "
        "Cem Kaya is outside working hours until 2026-11-24 09:00 (Asia/Kathmandu))",
    )
    assert shop.due() == NOON + timedelta(hours=1)
    clock.advance(3600)
    shop.fire()
    assert (shop.owner(1), why(shop, 1)[0]) == ("ana", "assign")
    shop.sound()


def test_all_caps_are_full(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, f"P: {{members: {ALL}, member_caps: 1 a day}}")
    for n in range(5):
        shop.lead(n)
        clock.advance(1)
    assert shop.owners(0, 1, 2, 3, 4) == ["ana", "bo", "cem", "", ""]
    full = "; ".join(f"{name} had 1 lead today, the cap is 1" for name in ("Ana Diaz", "Bo Li", "Cem Kaya"))
    assert why(shop, 3) == ("hold", f"nobody in the pool P can take it ({full})")
    with ledger.read() as conn:
        assert holding.lengths(conn) == {"P": 2}
    assert shop.due() == NOON.replace(hour=0) + timedelta(days=1)
    clock.advance((shop.due() - clock()).total_seconds())
    shop.fire()
    assert shop.owners(3, 4) == ["ana", "bo"]
    shop.sound()


def test_all_caps_are_full_and_so_is_the_pool_it_overflows_to(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(
        ledger,
        clock,
        "P: {members: [Ana Diaz], member_caps: 1 a day, overflow: Q}\nQ: {members: [Bo Li], caps: 1 a day}",
    )
    for n in (1, 2, 3):
        shop.lead(n)
    assert shop.owners(1, 2, 3) == ["ana", "bo", ""]
    assert why(shop, 2) == ("assign", "Bo Li is next in the pool Q after P had nobody: Otherwise")
    assert why(shop, 3) == (
        "hold",
        "nobody in the pool P can take it (Ana Diaz had 1 lead today, the cap is 1); the pool Q had 1 lead today, the cap is 1",
    )
    shop.sound()


def test_two_pools_that_overflow_into_each_other(ledger: Ledger, clock: ManualClock) -> None:
    """The check refuses such a policy. Where one is live all the same, each is asked once."""
    with pytest.raises(PolicyError, match="overflow runs in a circle: P → Q → P"):
        Shop(ledger, clock, "P: {members: [Ana Diaz], overflow: Q}\nQ: {members: [Bo Li], overflow: P}")
    never = people("UTC,Tue 9:00-10:00", "UTC,Tue 9:00-10:00", "UTC,")
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz], overflow: Q}\nQ: {members: [Bo Li]}", never)
    shop.policy.pools["Q"] = msgspec.structs.replace(shop.policy.pools["Q"], overflow="P")
    shop.lead(1)
    made = shop.decisions("00Q1")[0]
    assert [step.name for step in made.trace if step.stage == "distribute"] == ["P", "Q"]
    assert why(shop, 1) == (
        "hold",
        "nobody in the pool P can take it (Ana Diaz is outside working hours until 2026-11-24 09:00 (UTC)); "
        "nobody in the pool Q can take it (Bo Li is outside working hours until 2026-11-24 09:00 (UTC))",
    )


def test_places_that_free_up_one_by_one_in_such_pools_go_to_who_waits_longest(
    ledger: Ledger, clock: ManualClock
) -> None:
    pools = "P: {members: [Ana Diaz], member_caps: 1 open, overflow: Q}\nQ: {members: [Bo Li], member_caps: 1 open}"
    shop = Shop(ledger, clock, pools)
    shop.policy.pools["Q"] = msgspec.structs.replace(shop.policy.pools["Q"], overflow="P")
    for n in range(1, 6):
        shop.lead(n, status="New")
        clock.advance(1)
    assert shop.owners(*range(1, 6)) == ["ana", "bo", "", "", ""]
    for n, given in ((2, ["bo", "", ""]), (3, ["bo", "bo", ""]), (1, ["bo", "bo", "ana"])):
        clock.advance(60)
        shop.play(shop.event("updated", f"00Q{n}", 1, status="Closed"))
        shop.fire()
        assert shop.owners(3, 4, 5) == given
    shop.sound()


def test_a_weight_of_zero(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {method: weighted, members: {Ana Diaz: 0, Bo Li: 1}}")
    for n in (1, 2):
        shop.lead(n)
    assert shop.owners(1, 2) == ["bo", "bo"]
    assert shop.decisions("00Q1")[0].members[0].unavailable == "Ana Diaz has the weight 0: gets no leads"
    shop.live("P: {method: weighted, members: {Ana Diaz: 0, Bo Li: 0}}")
    shop.lead(3)
    assert why(shop, 3) == (
        "hold",
        "nobody in the pool P can take it (Ana Diaz has the weight 0: gets no leads; Bo Li has the weight 0: gets no leads)",
    )
    shop.live("P: {method: weighted, members: {Ana Diaz: 1, Bo Li: 1}}")
    shop.fire()
    assert shop.owner(3) == "ana"
    shop.sound()


def test_a_negative_weight_is_refused_and_a_huge_one_is_a_share_like_others(ledger: Ledger, clock: ManualClock) -> None:
    with pytest.raises(PolicyError, match="a weight is a number from 0 to 1,000,000, not '-1'"):
        Shop(ledger, clock, "P: {method: weighted, members: {Ana Diaz: -1, Bo Li: 1}}")
    shop = Shop(ledger, clock, "P: {method: weighted, members: {Ana Diaz: 1000000, Bo Li: 1}}")
    for n in range(20):
        shop.lead(n)
    assert shop.owners(*range(20)) == ["ana"] * 20
    assert "20 leads now, the fair share is 20.00" in shop.decisions("00Q19")[0].trace[-1].note
    shop.sound()


def test_a_cap_that_is_lowered_below_what_somebody_has_already(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li], member_caps: 5 a day}")
    for n in range(4):
        shop.lead(n)
    shop.live("P: {members: [Ana Diaz, Bo Li], member_caps: 1 a day}")
    shop.lead(5)
    assert why(shop, 5) == (
        "hold",
        "nobody in the pool P can take it (Ana Diaz had 2 leads today, the cap is 1; Bo Li had 2 leads today, the cap is 1)",
    )
    assert shop.owners(0, 1, 2, 3) == ["ana", "bo", "ana", "bo"]  # nothing is taken away
    shop.live("P: {members: [Ana Diaz, Bo Li], member_caps: 3 a day}")
    shop.fire()
    assert shop.owner(5) == "ana"
    shop.sound()


def test_a_clock_that_is_moved_back_an_hour(ledger: Ledger, clock: ManualClock) -> None:
    hours = people("UTC,Mon 11:00-12:30", "UTC,", "UTC,")
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li], member_caps: 3 an hour}", hours)
    clock.advance(1860)
    shop.lead(1)
    assert shop.owner(1) == "bo"
    assert (
        shop.decisions("00Q1")[0].members[0].unavailable
        == "Ana Diaz is outside working hours until 2026-11-30 11:00 (UTC)"
    )
    for n in (2, 3):
        shop.lead(n)
    clock.advance(-3600)  # 11:31: Ana is there again, and what Bo has had by then is not forgotten
    for n in range(4, 8):
        shop.lead(n)
    assert shop.owners(*range(1, 8)) == ["bo", "bo", "bo", "ana", "ana", "ana", ""]
    assert why(shop, 7) == (
        "hold",
        "nobody in the pool P can take it (Ana Diaz had 3 leads this hour, the cap is 3; Bo Li had 3 leads this hour, the cap is 3)",
    )
    shop.sound()


def test_a_person_in_two_time_zones_on_one_day(ledger: Ledger, clock: ManualClock) -> None:
    """At noon (UTC) Ana flies from Tokyo, where it is 21:00, to New York, where it is 7:00 of the same day."""
    pool = "P: {members: [Ana Diaz], member_caps: 2 a day}"
    shop = Shop(ledger, clock, pool, people("Asia/Tokyo,Mon-Fri 9:00-22:00", "UTC,", "UTC,"))
    for n in (1, 2, 3):
        shop.lead(n)
    assert shop.owners(1, 2, 3) == ["ana", "ana", ""]
    assert why(shop, 3)[1] == "nobody in the pool P can take it (Ana Diaz had 2 leads today, the cap is 2)"
    assert shop.due() == NOON + timedelta(hours=1)  # her hours end, two hours before the day and the cap do
    shop.live(pool, people("America/New_York,Mon-Fri 9:00-22:00", "UTC,", "UTC,"))
    shop.lead(4)
    assert why(shop, 4)[1] == (
        "nobody in the pool P can take it (Ana Diaz is outside working hours until 2026-11-23 09:00 (America/New_York))"
    )
    clock.advance(2 * 3600)
    shop.fire()
    shop.lead(5)
    assert shop.owners(3, 4, 5) == ["", "", ""]  # her day goes on until midnight in New York, and the two count
    assert why(shop, 5)[1] == "nobody in the pool P can take it (Ana Diaz had 2 leads today, the cap is 2)"
    assert shop.due() == NOON + timedelta(hours=15)  # her hours end, two hours before the day does
    clock.advance(24 * 3600)
    shop.fire()
    assert sorted(shop.owners(3, 4, 5)) == ["", "ana", "ana"]
    shop.sound()
