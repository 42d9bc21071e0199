"""``fingerpost pools show``, ``simulate``, ``credit`` and ``claim`` as somebody at a terminal meets them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import func, select
from typer.testing import CliRunner

from routing.cli.app import app
from routing.ledger.engine import Ledger
from routing.ledger.schema import pool_entry
from tests.conftest import ManualClock
from tests.unit.runtime.test_sharing import PEOPLE, Shop, quiet

__all__ = ["quiet"]  # a fixture

WEIGHTED = "P: {method: weighted, members: {Ana Diaz: 2, Bo Li: 1, Cem Kaya: 0}, member_caps: 40 a month}"
ALL = "[Ana Diaz, Bo Li, Cem Kaya]"


@pytest.fixture
def ledger(sqlite_ledger: Ledger) -> Ledger:
    return sqlite_ledger


def pools(shop: Shop, *words: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["pools", *words, "--ledger", shop.ledger.url], env={"COLUMNS": "250"})
    assert result.exit_code == exit_code, result.output
    return result


def shown(shop: Shop, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in pools(shop, "show", *words, "--json").stdout.splitlines()]


def rows(shop: Shop, *words: str) -> dict[str, list[str]]:
    """The table's lines by the first name they begin with."""
    lines = pools(shop, "show", *words).stdout.splitlines()
    return {line.split()[0]: line.split() for line in lines if line.strip()}


def counted(shop: Shop) -> int:
    with shop.ledger.read() as conn:
        return conn.scalar(select(func.count()).select_from(pool_entry)) or 0


def test_a_pool_shows_each_member_s_standing_and_who_is_next_and_why(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, WEIGHTED)
    for n in range(4):
        shop.lead(n)
    table = rows(shop, "p")  # case does not matter
    assert table["P"] == ["P", "weighted"]
    # weight, share, ideal, given, shortfall, next
    assert table["Ana"][2:8] == ["2", "66.7%", "2.67", "3", "-0.33", "2"]
    assert table["Bo"][2:8] == ["1", "33.3%", "1.33", "1", "+0.33", "1"]
    assert " ".join(table["Cem"][2:]).endswith("weight 0: gets no leads")
    assert "40 this month" in " ".join(table["Ana"])
    said = pools(shop, "show", "P").stdout
    assert "Next: Bo Li: with the next lead their fair share is 1.67; given so far: 1." in said
    assert "Furthest from their share: 0.33 leads (alarm: 1.1). Waiting: 0." in said


def test_a_pool_as_json_and_its_newest_entries(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, WEIGHTED)
    for n in range(3):
        shop.lead(n)
    (view,) = shown(shop, "P", "--entries", "2")
    ana, bo, cem = view["members"]
    assert (ana["ideal"], ana["assigned"], ana["shortfall"], ana["available"]) == (2.0, 2, 0.0, True)
    assert (bo["assigned"], cem["available"], cem["why"]) == (1, False, "weight 0: gets no leads")
    assert view["next"][:3] == ["ana@example.com", "bo@example.com", "ana@example.com"]
    assert [(one["what"], one["seq"]) for one in view["entries"]] == [("assigned", 6), ("assigned", 5)]


def test_every_pool_and_every_kind_has_a_line(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(
        ledger, clock, f"P: {{members: {ALL}, kinds: {{Large: lead.employees >= 1000}}}}\nQ: {{members: [Ana Diaz]}}"
    )
    shop.lead(1, employees=5000)
    assert [(view["pool"], view["kind"], sum(one["assigned"] for one in view["members"])) for view in shown(shop)] == [
        ("P", "", 0),
        ("P", "Large", 1),
        ("Q", "", 0),
    ]
    said = pools(shop, "show").stdout
    assert "3 of 3" in said
    assert "Large" in said


def test_who_cannot_receive_leads_is_shown_with_the_reason_and_until_when(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(
        ledger,
        clock,
        f"P: {{members: {ALL}}}",
        PEOPLE.replace("Bo Li,bo@example.com,UTC,", "Bo Li,bo@example.com,UTC,Mon 0:00-0:01"),
    )
    bo = next(one for one in shown(shop, "P")[0]["members"] if one["name"] == "Bo Li")
    assert not bo["available"]
    assert bo["why"].startswith("Bo Li is outside working hours until ")
    assert bo["until"]


def test_a_simulation_shares_made_up_leads_and_stores_nothing(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, WEIGHTED)
    before = counted(shop)
    result = pools(shop, "simulate", "P", "--leads", "30", "--from", "2026-12-01", "--to", "2026-12-02")
    table = {line.split()[0]: line.split()[2:] for line in result.stdout.splitlines() if line.strip()}
    assert (table["Ana"], table["Bo"], table["Cem"]) == (
        ["20", "20.00", "+0.00"],
        ["10", "10.00", "+0.00"],
        ["0", "0.00", "+0.00"],
    )
    assert "30 leads to the pool P: 0 had to wait, the longest 0:00:00; 0 are still waiting." in result.stderr
    assert counted(shop) == before


def test_a_simulation_keeps_hours_and_caps_and_says_who_waited(ledger: Ledger, clock: ManualClock) -> None:
    hours = PEOPLE.replace("Ana Diaz,ana@example.com,UTC,", "Ana Diaz,ana@example.com,UTC,Mon-Fri 9:00-17:00")
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz], member_caps: 10 a day}", hours)
    found = json.loads(
        pools(shop, "simulate", "P", "--leads", "24", "--from", "2026-12-05", "--to", "2026-12-06", "--json").stdout
    )
    assert (found["given"], found["left"]) == ({"ana@example.com": 0}, 24)  # a Saturday
    found = json.loads(
        pools(
            shop, "simulate", "P", "--leads", "12", "--from", "2026-12-07T00:00Z", "--to", "2026-12-07T12:00Z", "--json"
        ).stdout
    )
    assert found["given"] == {"ana@example.com": 10}
    assert (found["left"], found["longest_wait"]) == (2, 9 * 3600.0)  # from midnight until Ana begins


def test_a_simulated_lead_may_have_fields(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(
        ledger,
        clock,
        f"P: {{members: {ALL}, kinds: {{Large: lead.employees >= 1000}}, member_caps: 1 a month of Large}}",
    )
    week = ("--from", "2026-12-01", "--to", "2026-12-08", "--json")
    small = json.loads(pools(shop, "simulate", "P", "--leads", "6", "--value", "lead.employees=5", *week).stdout)
    large = json.loads(pools(shop, "simulate", "P", "--leads", "6", "--value", "lead.employees=5000", *week).stdout)
    assert (sum(small["given"].values()), sum(large["given"].values())) == (6, 3)


def test_a_queue_that_is_claimed_from_is_not_simulated(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, f"P: {{method: pull, members: {ALL}}}")
    said = pools(shop, "simulate", "P", exit_code=2)
    assert "wait until somebody claims them: there is nothing to simulate" in " ".join(said.output.split())


def test_a_credit_is_an_entry_with_author_and_reason(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, f"P: {{members: {ALL}}}")
    shop.lead(1)
    said = pools(shop, "credit", "P", "Bo Li", "--because", "a bad lead", "--by", "Lena").stderr
    assert (
        "Bo Li is now owed +1.00 leads in the pool P (+0.33 before; credits come out of the turns of all): entry 5."
        in said
    )
    (view,) = shown(shop, "P", "--entries", "1")
    assert [(one["what"], one["author"], one["why"], one["leads"]) for one in view["entries"]] == [
        ("credit", "Lena", "a bad lead", 1.0)
    ]
    assert view["next"][0] == "bo@example.com"
    read = " ".join(pools(shop, "show", "P", "--entries", "2").stdout.split())
    assert "credit +1 Bo Li Lena a bad lead" in read
    (made,) = shop.decisions("00Q1")
    assert f"assigned +1 Ana Diaz {made.decision_id[:8]}" in read
    pools(shop, "credit", "P", "bo@example.com", "--leads", "-1", "--because", "it was none", "--by", "Lena")
    assert shown(shop, "P")[0]["deviation"] == pytest.approx(2 / 3)  # as before: Ana has had the one lead


def test_a_record_is_claimed_out_of_a_queue(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {method: pull, members: [Ana Diaz, Bo Li]}")
    for n in (1, 2):
        shop.lead(n)
        clock.advance(1)
    assert "Waiting: 2." in pools(shop, "show", "P").stdout
    assert "salesforce:lead:00Q2 is claimed." in pools(shop, "claim", "P", "--as", "Bo Li", "--lead", "00Q2").stderr
    assert "salesforce:lead:00Q1 is claimed." in pools(shop, "claim", "P", "--as", "ana@example.com").stderr
    shop.work()
    assert shop.owners(1, 2) == ["ana", "bo"]
    assert "Nothing waits in the pool P." in pools(shop, "claim", "P", "--as", "Bo Li", exit_code=1).stderr
    assert "does not wait there" in pools(shop, "claim", "P", "--as", "Bo Li", "--lead", "00Q2", exit_code=1).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "Pe"), "The live policy has no pool 'Pe':"),
        (("simulate", "P", "--from", "tomorrow"), "'tomorrow' is no date or time: write it as 2026-12-01"),
        (("simulate", "P", "--from", "2026-12-02", "--to", "2026-12-01"), "--to must be after --from."),
        (("simulate", "P", "--value", "country"), "'country' gives no field a value: write it as lead.country=DE."),
        (("credit", "P", "Bo", "--because", "x"), "'Bo' is no member of the pool P:"),
        (("credit", "P", "Bo Li", "--because", " "), "Say why, with --because."),
        (("credit", "P", "Bo Li", "--leads", "0", "--because", "x"), "Say how many leads, and why."),
        (("credit", "P", "Bo Li", "--kind", "Large", "--because", "x"), "The pool P has no kind 'Large'."),
        (("claim", "P", "--as", "Nobody"), "'Nobody' is no member of the pool P:"),
    ],
)
def test_what_cannot_be_done_is_said(ledger: Ledger, clock: ManualClock, words: tuple[str, ...], said: str) -> None:
    shop = Shop(ledger, clock, f"P: {{members: {ALL}}}")
    assert said in " ".join(pools(shop, *words, exit_code=2).stderr.split())
    assert counted(shop) == 0


def test_a_claim_is_for_pools_that_are_claimed_from(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, f"P: {{members: {ALL}}}")
    said = pools(shop, "claim", "P", "--as", "Bo Li", exit_code=1).stderr
    assert "nobody claims from the pool P: its leads are shared by round robin." in said


def test_without_a_policy_there_are_no_pools(ledger: Ledger) -> None:
    result = CliRunner().invoke(app, ["pools", "show", "--ledger", ledger.url])
    assert result.exit_code == 2
    assert "No policy is live in this ledger yet" in result.stderr
