"""A turn is given back once: credited by hand, or by whoever rejects the lead; and taken again by whoever keeps it after all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import Result
from msgspec.structs import replace
from sqlalchemy import Connection
from typer.testing import CliRunner

from routing.cli.app import app
from routing.core.distribution.entries import PoolEntry
from routing.ledger import pools
from routing.ledger.engine import Ledger
from routing.runtime.crediting import bad_lead, return_turn
from routing.runtime.pool_view import MemberLine
from routing.runtime.replay import Replay, Span
from tests.conftest import ManualClock
from tests.unit.runtime.test_readdressed import moved
from tests.unit.runtime.test_sharing import PEOPLE, Shop, quiet

__all__ = ["quiet"]  # a fixture

BO_OFF = PEOPLE.replace("bo@example.com,UTC,", "bo@example.com,UTC,Sat 9:00-10:00")
CAPPED = "P: {members: [Ana Diaz, Bo Li], member_caps: 2 in any hour}"


@pytest.fixture
def ledger(any_ledger: Ledger) -> Ledger:
    return any_ledger


@pytest.fixture(autouse=True)
def commands_go_by_the_clock(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing.cli.pools.utcnow", clock)


def credit(shop: Shop, lead: str, *more: str, name: str = "Ana Diaz", exit_code: int = 0) -> str:
    """What the command says."""
    words = ("pools", "credit", "P", name, "--lead", lead, "--because", "spam", "--by", "Kim", *more)
    result: Result = CliRunner().invoke(app, [*words, "--ledger", shop.ledger.url], env={"COLUMNS": "250"})
    assert result.exit_code == exit_code, result.output
    return " ".join(result.output.split())


def members(shop: Shop) -> list[MemberLine]:
    with shop.ledger.read() as conn:
        return list(shop.desk(conn).view("P").members)


def claims(shop: Shop) -> list[PoolEntry]:
    """The entries that moved a claim, or would have, the newest first."""
    with shop.ledger.read() as conn:
        return [one for one in pools.entries(conn, "P", 50) if one.what in ("credit", "debit", "refused")]


def answer(shop: Shop, kind: str, lead: str = "00Q1", by: str = "ana") -> None:
    shop.play(shop.event(kind, lead, by=f"{by}@example.com", because="no budget" if kind == "rejected" else ""))


def test_a_lead_is_credited_once_until_that_is_taken_back(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, CAPPED)
    for n in (1, 2, 3):
        shop.lead(n)
    credit(shop, "00Q1")
    before = members(shop)
    again = credit(shop, "00Q1", exit_code=1)
    [entry] = claims(shop)
    assert (
        f"the lead 00Q1 is credited already: by Kim, {entry.at:%Y-%m-%d %H:%M} UTC; each turn is given back once."
        in again
    )
    assert members(shop) == before
    assert (before[0].credits, before[0].caps) == (1, ("1 of 2 in the last hour",))
    credit(shop, "00Q1", "--leads", "-1")
    assert (members(shop)[0].credits, members(shop)[0].caps) == (0, ("2 of 2 in the last hour",))
    said = credit(shop, "00Q1", "--leads", "-1", exit_code=1)
    assert "the lead 00Q1 is not credited to Ana Diaz: there is nothing to take back" in said
    credit(shop, "00Q1")
    assert (members(shop)[0].credits, members(shop)[0].caps) == (1, ("1 of 2 in the last hour",))
    shop.sound()


def test_of_two_who_credit_a_lead_at_the_same_time_one_does(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, CAPPED)
    shop.lead(1)

    def enter(author: str) -> str:
        def work(conn: Connection) -> str:
            desk = shop.desk(conn, locked=True)
            bad = bad_lead(desk, "P", "ana@example.com", "00Q1")
            return_turn(desk, "P", "ana@example.com", bad, author=author, reason="spam")
            return ""

        try:
            return ledger.repeated(work)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(8) as several:
        said = list(several.map(enter, [f"p{n}" for n in range(8)]))
    [entry] = claims(shop)
    assert [one for one in said if not one] == [""]
    assert {one.partition(", ")[0] for one in said if one} == {f"the lead 00Q1 is credited already: by {entry.author}"}
    assert members(shop)[0].credits == 1


def test_a_lead_that_was_credited_and_is_rejected_goes_to_somebody_else_and_gives_no_second_turn(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop = Shop(ledger, clock, CAPPED)
    for n in (1, 2, 3):
        shop.lead(n)
    assert shop.owners(1, 2, 3) == ["ana", "bo", "ana"]
    credit(shop, "00Q1")
    owed = members(shop)[0].shortfall
    answer(shop, "rejected")
    assert shop.owner(1) == "bo"
    ana = members(shop)[0]
    assert (ana.credits, ana.caps) == (1, ("1 of 2 in the last hour",))
    assert ana.shortfall == pytest.approx(owed)
    refused, credited = claims(shop)
    already = f"credited already: by Kim, {credited.at:%Y-%m-%d %H:%M} UTC"
    assert (refused.leads, refused.why) == (0, f"Ana Diaz gave it back; {already}: no second turn")
    (step,) = [one for one in shop.decisions("00Q1")[-1].trace if "given back once" in one.note]
    assert step.note == f"the turn is given back once: {already}"
    shop.sound()


def test_a_lead_that_was_rejected_is_not_credited_too(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, CAPPED, BO_OFF)
    shop.lead(1)
    answer(shop, "rejected")
    assert shop.record("00Q1").on_hold
    before = members(shop)
    assert before[0].caps == ("0 of 2 in the last hour",)
    said = credit(shop, "00Q1", exit_code=1)
    assert "the lead 00Q1 is given back already: Ana Diaz gave it back, " in said
    assert "there is nothing to take back" in credit(shop, "00Q1", "--leads", "-1", exit_code=1)
    assert members(shop) == before
    shop.sound()


def test_who_accepts_what_they_gave_back_has_had_the_turn_again(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, CAPPED, BO_OFF)
    shop.lead(1)
    given = members(shop)
    for _ in range(2):  # whoever cannot make up their mind
        answer(shop, "rejected")
        assert shop.record("00Q1").on_hold
        assert members(shop)[0].caps == ("0 of 2 in the last hour",)
        answer(shop, "accepted")
        ana = members(shop)[0]
        assert (ana.credits, ana.caps) == (0, ("1 of 2 in the last hour",))
        assert ana.shortfall == pytest.approx(given[0].shortfall)
    assert [(one.what, one.why) for one in claims(shop)[:2]] == [
        ("debit", "Ana Diaz accepted it"),
        ("refused", "Ana Diaz gave it back"),
    ]
    answer(shop, "accepted")  # as she has it already, that takes nothing
    assert len(claims(shop)) == 4
    credit(shop, "00Q1")
    assert (members(shop)[0].credits, members(shop)[0].caps) == (1, ("0 of 2 in the last hour",))
    shop.sound()


def test_a_credit_by_hand_is_not_taken_back_by_whoever_accepts_the_lead_after_all(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop = Shop(ledger, clock, CAPPED, BO_OFF)
    shop.lead(1)
    credit(shop, "00Q1")
    answer(shop, "rejected")
    answer(shop, "accepted")
    assert (members(shop)[0].credits, members(shop)[0].caps) == (1, ("0 of 2 in the last hour",))
    shop.sound()


def test_in_a_pool_of_one_a_bad_lead_owes_no_turn_and_its_place_is_free(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz], member_caps: 1 in any hour}")
    for n in (1, 2):
        shop.lead(n)
    assert shop.owners(1, 2) == ["ana", ""]
    said = credit(shop, "00Q1")
    assert said.startswith("No turn is owed for it, as nobody but Ana Diaz had a share of the pool P: entry ")
    assert said.endswith("In their caps the place of 00Q1 is free again.")
    [entry] = claims(shop)
    assert entry.why == "spam (no turn is owed for it: nobody else had a share of the pool)"
    assert (members(shop)[0].shortfall, members(shop)[0].credits) == (pytest.approx(0), 0)
    assert "is credited already: by Kim" in credit(shop, "00Q1", exit_code=1)
    shop.fire()
    assert shop.owner(2) == "ana"
    shop.live("P: {members: [Ana Diaz, Bo Li], member_caps: 1 in any hour}")
    before = [one.shortfall for one in members(shop)]
    said = credit(shop, "00Q1", "--leads", "-1")
    assert said.startswith("No turn is taken back for it, as nobody but Ana Diaz had a share of the pool P: entry ")
    after = members(shop)
    assert [one.shortfall for one in after] == pytest.approx(before), "no turn was owed, so none is taken back"
    assert after[0].caps == ("2 of 1 in the last hour",)
    shop.sound()


def test_in_a_pool_of_one_a_rejection_owes_no_turn_and_none_is_taken_again(ledger: Ledger, clock: ManualClock) -> None:
    caps = "member_caps: 2 in any hour"
    shop = Shop(ledger, clock, f"P: {{members: [Ana Diaz], {caps}}}")
    shop.lead(1)
    answer(shop, "rejected")
    assert shop.record("00Q1").on_hold
    [entry] = claims(shop)
    said = "Ana Diaz gave it back (no turn is owed for it: nobody else had a share of the pool)"
    assert (entry.leads, entry.why) == (0, said)
    [ana] = members(shop)
    assert (ana.credits, ana.shortfall, ana.caps) == (0, pytest.approx(0), ("0 of 2 in the last hour",))
    assert "given back already" in credit(shop, "00Q1", exit_code=1)
    shop.live(f"P: {{members: [Ana Diaz, Bo Li], {caps}}}")
    shop.lead(2)
    before = members(shop)
    answer(shop, "accepted")
    after = members(shop)
    assert [one.shortfall for one in after] == pytest.approx([one.shortfall for one in before])
    assert [one.credits for one in after] == [0, 0]
    assert int(after[0].caps[0][0]) == int(before[0].caps[0][0]) + 1
    shop.sound()


def test_of_two_who_reject_one_lead_each_has_their_turn_back(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, CAPPED.replace("Bo Li", "Bo Li, Cem Kaya"))
    shop.lead(1)
    answer(shop, "rejected")
    assert shop.owner(1) == "bo"
    answer(shop, "rejected", by="bo")
    assert shop.owner(1) == "cem"
    assert [(one.person, one.leads) for one in claims(shop)] == [("bo@example.com", 1), ("ana@example.com", 1)]
    assert [one.credits for one in members(shop)] == [1, 1, 0]
    assert [one.caps[0][:6] for one in members(shop)] == ["0 of 2", "0 of 2", "1 of 2"]
    shop.sound()


def test_a_record_that_goes_on_for_others_keeps_what_became_of_their_turn(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, CAPPED, BO_OFF)
    for n in (1, 2):
        shop.lead(n)
    credit(shop, "00Q1")
    for n in (1, 2):
        shop.play(replace(shop.event("created", f"00Q{n}9", 50, email=f"l{n}@b{n}.example"), continues=(f"00Q{n}",)))
        shop.play(shop.event("updated", f"00Q{n}9", 60, email=f"l{n}@c{n}.example"))
    before = members(shop)[0]
    assert "is credited already: by Kim" in credit(shop, "00Q19", exit_code=1)
    answer(shop, "rejected", "00Q19")
    assert members(shop)[0].credits == before.credits == 1
    answer(shop, "rejected", "00Q29")
    assert members(shop)[0].credits == 2
    said = credit(shop, "00Q19", "--leads", "-1", exit_code=1)
    assert "Ana Diaz gave the lead 00Q19 back since, so the turn stays returned" in said
    answer(shop, "accepted", "00Q19")  # and keeps it after all, with the credit
    credit(shop, "00Q19", "--leads", "-1")
    assert members(shop)[0].credits == 1
    shop.sound()


def test_a_credit_by_mistake_is_taken_back_when_somebody_else_has_the_lead(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, CAPPED)
    for n in (1, 2, 3):
        shop.lead(n)
    before = members(shop)
    credit(shop, "00Q1")
    shop.play(shop.event("updated", "00Q1", owner="005bo"))
    said = credit(shop, "00Q1", "--leads", "-1", name="Bo Li", exit_code=1)
    assert "the lead 00Q1 is not credited to Bo Li: there is nothing to take back" in said
    said = credit(shop, "00Q1", "--leads", "-1")
    assert "In their caps the place of 00Q1 is taken again." in said
    ana = members(shop)[0]
    assert (ana.credits, ana.caps) == (0, before[0].caps)
    assert "00Q1 is not credited to Ana Diaz" in credit(shop, "00Q1", "--leads", "-1", exit_code=1)
    shop.sound()


def test_a_credit_is_not_taken_back_from_who_gave_the_lead_back_since(ledger: Ledger, clock: ManualClock) -> None:
    """The turn was returned once, by the credit; the lead that took it went to somebody else all the same."""
    shop = Shop(ledger, clock, CAPPED)
    for n in (1, 2, 3):
        shop.lead(n)
    credit(shop, "00Q1")
    answer(shop, "rejected")
    assert shop.owner(1) == "bo"
    before = members(shop)
    said = credit(shop, "00Q1", "--leads", "-1", exit_code=1)
    assert "Ana Diaz gave the lead 00Q1 back since, so the turn stays returned: there is nothing to take back" in said
    assert members(shop) == before
    credit(shop, "00Q1", name="Bo Li")  # whose turn is another one
    credit(shop, "00Q1", "--leads", "-1", name="Bo Li")
    shop.sound()


def test_a_credit_is_taken_back_under_another_address(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, CAPPED)
    shop.lead(1)
    credit(shop, "00Q1")
    moved(shop, CAPPED)
    shop.play(shop.event("updated", "00Q1", owner="005bo"))
    credit(shop, "00Q1", "--leads", "-1")
    assert (members(shop)[0].credits, members(shop)[0].caps) == (0, ("1 of 2 in the last hour",))
    shop.sound()


def test_whoever_left_the_pool_and_comes_back_has_no_credits(ledger: Ledger, clock: ManualClock) -> None:
    """Neither those of before, nor for what they reject in between."""
    shop = Shop(ledger, clock, CAPPED)
    for n in (1, 2, 3):
        shop.lead(n)
    credit(shop, "00Q1")
    shop.live(CAPPED.replace("Ana Diaz", "Cem Kaya"))
    shop.lead(4)
    answer(shop, "rejected", "00Q3")
    refused = claims(shop)[0]
    assert (refused.leads, refused.why) == (0, "Ana Diaz gave it back (no turn is owed for it: no longer in the pool)")
    with ledger.read() as conn:
        [settled] = [one for one in pools.entries(conn, "P", 50) if one.what == "settled"]
    assert settled.why == "left with their share of leads: what they have of credits, or of value, is let go"
    shop.live(CAPPED)
    ana = members(shop)[0]
    assert (ana.name, ana.credits, ana.shortfall) == ("Ana Diaz", 0, pytest.approx(0))
    assert ana.caps == ("0 of 2 in the last hour",), "their places are free all the same"
    shop.sound()


def test_leads_of_one_moment_each_free_their_own_place(ledger: Ledger, clock: ManualClock) -> None:
    kinds = "kinds: {Large: lead.employees >= 1000}, member_caps: [4 in any hour, 2 in any hour of Large]"
    shop = Shop(ledger, clock, f"P: {{members: [Ana Diaz, Bo Li], {kinds}}}", BO_OFF)
    sizes = {1: 5, 2: 5, 3: 5000, 4: 5000}
    shop.play(*[shop.event("created", f"00Q{n}", email=f"l{n}@b{n}.example", employees=sizes[n]) for n in sizes])
    assert len({shop.record(f"00Q{n}").given_at for n in sizes}) == 1

    def caps() -> tuple[str, ...]:
        with ledger.read() as conn:
            return shop.desk(conn).view("P", "Large").members[0].caps

    assert caps() == ("4 of 4 in the last hour", "2 of 2 of Large in the last hour")
    credit(shop, "00Q1")
    assert caps() == ("3 of 4 in the last hour", "2 of 2 of Large in the last hour")
    assert "credited already" in credit(shop, "00Q1", exit_code=1)
    assert "00Q2 is not credited" in credit(shop, "00Q2", "--leads", "-1", exit_code=1)
    credit(shop, "00Q3")
    assert caps() == ("2 of 4 in the last hour", "1 of 2 of Large in the last hour")
    answer(shop, "rejected", "00Q3")
    assert caps() == ("2 of 4 in the last hour", "1 of 2 of Large in the last hour")
    answer(shop, "rejected", "00Q4")
    assert caps() == ("1 of 4 in the last hour", "0 of 2 of Large in the last hour")
    credit(shop, "00Q2")
    assert caps() == ("0 of 4 in the last hour", "0 of 2 of Large in the last hour")


def test_in_pools_within_pools_only_the_turn_that_was_credited_is_not_given_back_again(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop = Shop(ledger, clock, "P: {members: [pool Q, Cem Kaya]}\nQ: {members: [Ana Diaz, Bo Li]}")
    shop.lead(1)
    assert [pool for pool, _, _ in shop.record("00Q1").turns] == ["P", "Q"]
    credit(shop, "00Q1", name="pool Q")
    answer(shop, "rejected")
    with ledger.read() as conn:
        found = {name: [one for one in pools.entries(conn, name, 20) if one.what == "refused"] for name in ("P", "Q")}
    assert [[one.leads for one in found[name]] for name in ("P", "Q")] == [[0.0], [1.0]]
    assert {one.verdict for one in Replay(ledger).run(Span())} == {"identical"}


KEEPS = """route: lead
entry: ['event.kind = "created"']
hold: {retry: 2 days}
ladder:
  - {rung: Nobody needs it, when: lead.status = "Junk", reject: Nobody needs it}
  - otherwise: pool P
"""


def test_a_lead_that_stays_with_whoever_rejected_it_gives_their_turn_back_once(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop = Shop(ledger, clock, CAPPED, engagement=KEEPS)
    shop.lead(1)
    shop.play(shop.event("updated", "00Q1", 1, owner="005ana"))
    shop.play(shop.event("updated", "00Q1", 2, status="Junk"))
    for _ in range(2):
        answer(shop, "rejected")
        assert shop.decisions("00Q1")[-1].outcome == "reject"
        assert members(shop)[0].credits == 1
    assert "given back already" in credit(shop, "00Q1", exit_code=1)
    answer(shop, "accepted")
    assert (members(shop)[0].credits, members(shop)[0].caps) == (0, ("1 of 2 in the last hour",))
    shop.sound()


def test_a_turn_of_which_nothing_is_known_any_more_is_given_back_once_too(ledger: Ledger, clock: ManualClock) -> None:
    """The oldest records say neither when their turns were given nor by what."""
    shop = Shop(ledger, clock, CAPPED, BO_OFF)
    shop.lead(1)
    with ledger.write() as conn:
        for name in ("given_by", "given_at"):
            body = f"UPDATE mirror SET body = replace(body, '\"{name}\"', '\"{name} that we do not know\"')"
            assert conn.exec_driver_sql(body).rowcount
    answer(shop, "rejected")
    assert shop.record("00Q1").on_hold
    shop.play(shop.event("updated", "00Q1", 1, owner="005ana"))  # somebody gives it to her again
    clock.advance(2 * 86400)
    shop.fire()
    answer(shop, "rejected")
    assert members(shop)[0].credits == 1
    shop.sound()
