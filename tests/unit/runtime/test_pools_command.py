"""``fingerpost pools show``, ``simulate``, ``credit`` and ``claim`` as somebody at a terminal meets them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from click.testing import Result
from sqlalchemy import func, select
from typer.testing import CliRunner

from routing.cli.app import app
from routing.core.model import Record
from routing.ledger import mirror
from routing.ledger.engine import Ledger
from routing.ledger.schema import pool_entry
from tests import pool_ledger
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
    assert " ".join(table["Cem"][2:]).endswith("Cem Kaya has the weight 0: gets no leads")
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
    assert (bo["assigned"], cem["available"], cem["why"]) == (1, False, "Cem Kaya has the weight 0: gets no leads")
    (coming,) = view["next"]
    assert (coming["system"], coming["people"][:3]) == ("", ["ana@example.com", "bo@example.com", "ana@example.com"])
    assert (ana["next"], bo["next"], cem["next"]) == ({"": 1}, {"": 2}, {})
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
        ["20", "20.00", "+0.00", "+0.00"],
        ["10", "10.00", "+0.00", "+0.00"],
        ["0", "0.00", "+0.00", "+0.00"],
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


def test_a_date_as_the_end_is_that_whole_day(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, WEIGHTED, PEOPLE.replace("UTC,\n", "UTC,Mon 12:00-24:00\n"))

    def longest_wait(start: str, end: str) -> float:
        said = pools(shop, "simulate", "P", "--leads", "24", "--from", start, "--to", end, "--json").stdout
        return float(json.loads(said)["longest_wait"])

    assert longest_wait("2026-12-07", "2026-12-07") == 12 * 3600.0  # the first of one an hour, from midnight to noon
    assert longest_wait("2026-12-07T00:00", "2026-12-08T00:00Z") == 12 * 3600.0
    # Half an hour between the leads of these twelve hours, and nobody there on Tuesday.
    assert longest_wait("2026-12-07T12:00", "2026-12-07") == 0.0


def simulated(shop: Shop, *words: str) -> Any:
    return json.loads(
        pools(shop, "simulate", "P", *words, "--from", "2026-12-07", "--to", "2026-12-07", "--json").stdout
    )


def test_a_simulation_tells_what_overflows_instead_of_waiting(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(
        ledger,
        clock,
        "P: {members: [Ana Diaz, Bo Li], member_caps: 2 a day, overflow: Q}\nQ: {members: [Cem Kaya]}",
    )
    found = simulated(shop, "--leads", "30")
    assert (found["overflowed"], found["overflow"], found["waited"], found["left"]) == (26, "the pool Q", 0, 0)
    said = pools(shop, "simulate", "P", "--leads", "30", "--from", "2026-12-07", "--to", "2026-12-07").stderr
    assert "26 found nobody and went to the pool Q" in said


def test_what_a_simulation_gave_counts_as_open(ledger: Ledger, clock: ManualClock) -> None:
    balanced = Shop(ledger, clock, f"P: {{method: load balanced, members: {ALL}}}")
    found = simulated(balanced, "--leads", "30")
    assert (set(found["given"].values()), found["worst"]) == ({10}, None)
    said = pools(balanced, "simulate", "P", "--leads", "3").stderr
    assert "do not go by turns" in said
    balanced.live("P: {members: [Ana Diaz], member_caps: 4 open}")
    found = simulated(balanced, "--leads", "30")
    assert (found["given"], found["left"]) == ({"ana@example.com": 4}, 26)


def test_a_simulation_goes_on_from_what_members_are_owed(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li]}")
    pools(shop, "credit", "P", "Bo Li", "--leads", "3", "--because", "make-up")
    found = simulated(shop, "--leads", "10")
    assert found["owed"] == pytest.approx({"ana@example.com": -1.5, "bo@example.com": 1.5})
    assert found["worst"] < 1  # a credit is meant
    said = "leads from their share, but for credits by hand, which turns make up for."
    assert said in " ".join(pools(shop, "simulate", "P", "--leads", "40").stderr.split())
    assert (
        abs(found["owed"]["bo@example.com"] + found["ideal"]["bo@example.com"] - found["given"]["bo@example.com"]) < 1
    )


def test_a_pool_within_that_has_nobody_is_not_there_and_not_next(ledger: Ledger, clock: ManualClock) -> None:
    away = PEOPLE.replace("Bo Li,bo@example.com,UTC,", "Bo Li,bo@example.com,UTC,Sun 0:00-0:01")
    shop = Shop(ledger, clock, "P: {members: [pool Q, Ana Diaz]}\nQ: {members: [Bo Li]}", away)
    view = next(one for one in shown(shop, "P") if one["pool"] == "P")
    inner, ana = view["members"]
    assert (inner["available"], inner["why"], ana["available"]) == (
        False,
        "nobody in the pool Q can take a lead",
        True,
    )
    assert {person for coming in view["next"] for person in coming["people"]} == {"ana@example.com"}
    assert "Next: nobody: nobody is in turn; they wait." in pools(shop, "show", "Q").stdout


def test_nobody_is_next_in_a_pool_that_takes_nothing(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li], caps: 1 open}")
    shop.lead(1)
    said = pools(shop, "show", "P").stdout
    assert "Closed: the people of the pool P have 1 open lead together, the cap is 1." in said
    assert "Next:" not in said
    (view,) = shown(shop, "P")
    why = "the people of the pool P have 1 open lead together, the cap is 1"
    assert view["next"] == [{"system": "", "people": [], "because": why}]
    assert [one["next"] for one in view["members"]] == [{}, {}]


def test_whom_one_crm_keeps_out_is_not_shown_as_available_for_its_leads(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li]}")
    known = [
        Record(system="hubspot", entity="person", record_id=str(n), values={"email": f"{name}@example.com"})
        for n, name in enumerate(("ana", "bo"))
    ]
    gone = [
        Record(
            system="salesforce", entity="person", record_id=user, values={"email": "bo@example.com", "active": False}
        )
        for user in ("005bo", "005BO")
    ]
    with ledger.write() as conn:
        mirror.save(conn, [(one, frozenset()) for one in (*known, *gone)])
    said = " ".join(pools(shop, "show", "P").stdout.split())
    assert "available; not for Salesforce leads: Bo Li's user is deactivated in Salesforce" in said
    ana, bo = shown(shop, "P")[0]["members"]
    assert (ana["not_for"], bo["available"], list(bo["not_for"])) == ({}, True, ["salesforce"])
    listed = CliRunner().invoke(app, ["people", "list", "--ledger", shop.ledger.url], env={"COLUMNS": "250"})
    assert "available; not for Salesforce leads: Bo Li's user is deactivated" in " ".join(listed.stdout.split())
    assert "not for HubSpot leads: Cem Kaya has no active user in HubSpot" in listed.stdout


def knows(shop: Shop, system: str, *names: str, active: bool = True) -> None:
    """Beside those of the shop: all three in Salesforce, Ana in HubSpot."""
    users = [
        Record(
            system=system, entity="person", record_id=user, values={"email": f"{name}@example.com", "active": active}
        )
        for name in names
        for user in (f"005{name}", f"005{name.upper()}")
    ]
    with shop.ledger.write() as conn:
        mirror.save(conn, [(one, frozenset()) for one in users])


def from_hubspot(shop: Shop, n: int) -> None:
    lead = shop.event("created", f"{n}", email=f"l{n}@b{n}.example")
    shop.play(msgspec.structs.replace(lead, system="hubspot"))


def test_who_is_next_is_told_by_crm_where_one_keeps_somebody_out(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li]}")
    knows(shop, "salesforce", "ana", active=False)
    said = pools(shop, "show", "P").stdout
    assert "Next for HubSpot leads: Ana Diaz: with the next lead their fair share is 1.00; given so far: 0." in said
    assert "Next for Salesforce leads: Bo Li: with the next lead their fair share is 1.00; given so far: 0." in said
    (view,) = shown(shop, "P")
    assert [(one["system"], set(one["people"])) for one in view["next"]] == [
        ("hubspot", {"ana@example.com"}),
        ("salesforce", {"bo@example.com"}),
    ]
    assert [one["next"] for one in view["members"]] == [{"hubspot": 1}, {"salesforce": 1}]
    assert "Ana Diaz (HubSpot), Bo Li (Salesforce)" in pools(shop, "show").stdout


@pytest.mark.parametrize(("overflow", "then"), [("", "they wait"), (", overflow: Q", "they go to the pool Q")])
def test_nobody_is_next_for_the_only_crm_that_leads_come_from(
    ledger: Ledger, clock: ManualClock, overflow: str, then: str
) -> None:
    """Ana, whom HubSpot has, is nobody to those that wait."""
    shop = Shop(ledger, clock, f"P: {{members: [Ana Diaz]{overflow}}}\nQ: {{method: pull, members: [Bo Li]}}")
    shop.lead(0)
    knows(shop, "salesforce", "ana", active=False)
    shop.lead(1)
    assert shop.owners(0, 1) == ["ana", ""]
    why = "Ana Diaz's user is deactivated in Salesforce"
    said = pools(shop, "show", "P").stdout
    assert f"Next: nobody: {why}; {then}." in said
    assert f"available; not for Salesforce leads: {why}" in " ".join(said.split())
    view = shown(shop, "P")[0]
    assert view["next"] == [{"system": "", "people": [], "because": f"{why}; {then}"}]
    (ana,) = view["members"]
    assert (ana["available"], ana["not_for"], ana["next"]) == (True, {"salesforce": why}, {})


def test_a_pool_within_counts_for_the_leads_that_its_people_may_have(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [pool Q, Ana Diaz]}\nQ: {members: [Bo Li]}")
    view = next(one for one in shown(shop, "P") if one["pool"] == "P")
    assert {one["system"]: set(one["people"]) for one in view["next"]} == {
        "hubspot": {"ana@example.com"},
        "salesforce": {"pool Q", "ana@example.com"},
    }
    assert view["members"][0]["not_for"] == {"hubspot": "nobody in the pool Q can take a lead"}


@pytest.mark.parametrize(
    ("gave", "given", "kept_out"),
    [
        ("salesforce", {"ana@example.com": 0, "bo@example.com": 20}, {"ana@example.com": ["salesforce"]}),
        ("hubspot", {"ana@example.com": 20, "bo@example.com": 0}, {"bo@example.com": ["hubspot"]}),
        (
            "both",
            {"ana@example.com": 10, "bo@example.com": 10},
            {"ana@example.com": ["salesforce"], "bo@example.com": ["hubspot"]},
        ),
        ("", {"ana@example.com": 10, "bo@example.com": 10}, {}),
    ],
)
def test_a_simulation_gives_nobody_what_their_crm_would_not(
    ledger: Ledger, clock: ManualClock, gave: str, given: dict[str, int], kept_out: dict[str, list[str]]
) -> None:
    """Its leads are like those that the pool gave; where it gave none, only who is in no CRM at all is left out."""
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li, Cem Kaya]}")
    knows(shop, "salesforce", "ana", "cem", active=False)
    if gave in ("salesforce", "both"):
        shop.lead(1)
    if gave in ("hubspot", "both"):
        from_hubspot(shop, 1)
    result = simulated(shop, "--leads", "20")
    found = result
    nowhere = {"cem@example.com": [one for one in ("hubspot", "salesforce") if gave in (one, "both", "")]}
    assert found["given"] == {**given, "cem@example.com": 0}
    assert {who: sorted(whys) for who, whys in found["kept_out"].items()} == {**kept_out, **nowhere}
    assert found["left"] == 0
    said = pools(shop, "simulate", "P", "--leads", "20").stderr
    assert "Cem Kaya could have no leads of " in said
    assert ("They are like the last" in said) == bool(gave)


def test_leads_of_one_crm_do_not_wait_for_those_of_another(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz]}")
    shop.lead(1)
    from_hubspot(shop, 1)
    knows(shop, "salesforce", "ana", active=False)
    found = simulated(shop, "--leads", "20")
    assert (found["given"], found["left"], found["waited"]) == ({"ana@example.com": 10}, 10, 0)
    assert found["systems"] == {"hubspot": 10, "salesforce": 10}
    found = simulated(shop, "--leads", "20", "--value", "event.system=hubspot")
    assert (found["given"], found["left"]) == ({"ana@example.com": 20}, 0)
    said = pools(shop, "simulate", "P", "--value", "event.system=hubspt", exit_code=2).stderr
    assert "fields.yaml has no CRM 'hubspt': did you mean 'hubspot'?" in said


def test_a_simulation_keeps_accounts_together_as_the_daemon_does(ledger: Ledger, clock: ManualClock) -> None:
    """The people whose leads came last come again: each to whom they were given."""
    shop = Shop(ledger, clock, "P: {method: sticky, sticky: contact, members: [Ana Diaz, Bo Li, Cem Kaya]}")
    for n in range(6):
        shop.lead(n)
    had = [shop.owners(*range(6)).count(name) for name in ("ana", "bo", "cem")]
    found = simulated(shop, "--leads", "60")
    assert list(found["given"].values()) == [10 * leads for leads in had]
    assert (found["sticky"], found["like"]) == ("", 6)


def test_what_was_credited_by_hand_takes_no_pool_beyond_its_alarm(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, f"P: {{members: {ALL}, alarm: 1}}")
    pools(shop, "credit", "P", "Bo Li", "--leads", "3", "--because", "make-up")
    said = " ".join(pools(shop, "show", "P").stdout.split())
    assert "from their share: 0.00 leads, but for credits by hand, which turns make up for (alarm: 1)." in said
    for n in range(3):
        shop.lead(n)
    assert shop.owners(0, 1, 2) == ["bo", "bo", "bo"]
    said = " ".join(pools(shop, "show", "P").stdout.split())
    assert "from their share: 0.00 leads (alarm: 1)." in said
    with ledger.write() as conn:
        pool_ledger.give_back(conn, shop.policy, "P", "bo@example.com", 3, clock())
    said = " ".join(pools(shop, "show", "P").stdout.split())
    assert "from their share: 2.00 leads, which is beyond its alarm of 1 (it evens out as" in said


def test_a_simulation_says_that_made_up_leads_have_nothing_to_be_kept_together_by(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop = Shop(ledger, clock, f"P: {{method: sticky, sticky: contact, members: {ALL}}}")
    said = pools(shop, "simulate", "P", "--leads", "6").stderr
    assert "Made-up leads have no contact: none was kept with whoever had it before, all went in turn." in said


def test_what_a_pool_goes_by_is_shown(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {method: load balanced, members: [Ana Diaz, Bo Li]}")
    shop.lead(1)
    shown_now = pools(shop, "show", "P").stdout
    assert "open" in shown_now
    assert [one["load"] for one in shown(shop, "P")[0]["members"]] == [1, 0]


def test_the_decision_of_a_load_balanced_pool_shows_what_each_had_to_do(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {method: load balanced, balance: lead.employees, members: [Ana Diaz, Bo Li]}")
    shop.lead(1, employees=500)
    shop.lead(2, employees=20)
    shop.lead(3, employees=30)
    said = CliRunner().invoke(app, ["decisions", "show", "00Q3", "--ledger", shop.ledger.url], env={"COLUMNS": "250"})
    assert "Bo Li has the lowest sum of lead.employees over open leads in the pool P: Otherwise" in said.stdout
    assert "a sum of lead.employees of 20 for a weight of 1: nobody who can have it has less for theirs" in said.stdout
    assert "Ana Diaz: 1 given, fair share 1.50, 500 open" in said.stdout
    assert "Bo Li: 1 given, fair share 1.50, 20 open" in said.stdout


def test_a_credit_for_a_lead_that_was_bad_frees_the_place_of_that_lead(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li], member_caps: 2 in any hour}")
    shop.lead(1)
    clock.advance(3000)
    for n in (2, 3):
        shop.lead(n)
    assert shop.owners(1, 2, 3) == ["ana", "bo", "ana"]
    pools(shop, "credit", "P", "Ana Diaz", "--lead", "00Q1", "--because", "spam")
    clock.advance(660)  # an hour and a minute after it was given
    with ledger.read() as conn:
        assert [one.caps for one in shop.desk(conn).view("P").members] == [("1 of 2 in the last hour",)] * 2
    (entry,) = shown(shop, "P", "--entries", "1")[0]["entries"]
    assert (entry["what"], entry["given"][:19]) == ("credit", shop.decisions("00Q1")[0].decided_at.isoformat()[:19])
    again = pools(shop, "credit", "P", "Ana Diaz", "--lead", "00Q3", "--because", "spam").stderr
    assert again.endswith("In their caps the place of 00Q3 is free again.\n")
    assert rows(shop, "P")["Ana"][9:13] == ["0", "of", "2", "in"]
    undone = pools(
        shop, "credit", "P", "Ana Diaz", "--lead", "00Q3", "--leads", "-1", "--because", "it was none"
    ).stderr
    assert undone.endswith("In their caps the place of 00Q3 is taken again.\n")
    with ledger.read() as conn:
        assert shop.desk(conn).view("P").members[0].caps == ("1 of 2 in the last hour",)
    refused = pools(shop, "credit", "P", "Bo Li", "--lead", "00Q1", "--because", "spam", exit_code=1).stderr
    assert "the lead 00Q1 was not last given to Bo Li by the pool P" in refused
    twice = ("credit", "P", "Ana Diaz", "--lead", "00Q1", "--leads", "2", "--because", "spam")
    assert "leave --leads out" in pools(shop, *twice, exit_code=2).stderr


def test_a_cap_on_open_leads_has_no_end_by_the_clock(ledger: Ledger, clock: ManualClock) -> None:
    leaves = PEOPLE.replace("time_zone,hours", "time_zone,end_date").replace(
        "Ana Diaz,ana@example.com,UTC,", "Ana Diaz,ana@example.com,UTC,2027-01-29"
    )
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li], member_caps: 1 open}", leaves)
    shop.lead(1)
    ana = shown(shop, "P")[0]["members"][0]
    assert (ana["why"], ana["until"]) == ("Ana Diaz has 1 open lead, the cap is 1", None)


def test_who_was_taken_out_of_the_pool_is_not_told_to_be_far_from_their_share(
    ledger: Ledger, clock: ManualClock
) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li]}")
    pools(shop, "credit", "P", "Bo Li", "--leads", "-3", "--because", "it was none")
    assert shown(shop, "P")[0]["members"][1]["shortfall"] == pytest.approx(-1.5)
    shop.live("P: {members: [Ana Diaz, Cem Kaya]}")
    for n in range(12):
        shop.lead(n)
    assert shown(shop, "P")[0]["deviation"] < 1.1
    assert max(abs(one["shortfall"]) for one in shown(shop, "P")[0]["members"]) < 1.1


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


@pytest.mark.parametrize(
    ("caps", "said"),
    [
        ("", ""),
        (", member_caps: 9 in any hour", " In their caps the place of 00Q1 is free again."),
        (", caps: 9 a day", " In their caps the place of 00Q1 is free again."),
        (", member_caps: 9 open", " In caps on open leads 00Q1 counts as long as it is open."),
        (
            ", member_caps: [9 in any hour, 9 open]",
            " In their caps the place of 00Q1 is free again. In caps on open leads 00Q1 counts as long as it is open.",
        ),
        (", kinds: {Large: lead.employees >= 1000}, member_caps: 9 a day of Large", ""),
    ],
)
def test_a_credit_for_a_lead_says_what_becomes_of_the_caps_that_there_are(
    ledger: Ledger, clock: ManualClock, caps: str, said: str
) -> None:
    shop = Shop(ledger, clock, f"P: {{members: {ALL}{caps}}}")
    shop.lead(1)
    told = " ".join(pools(shop, "credit", "P", "Ana Diaz", "--lead", "00Q1", "--because", "spam").stderr.split())
    assert told.partition(": entry ")[2].partition(".")[2] == said


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
    assert view["next"][0]["people"][0] == "bo@example.com"
    read = " ".join(pools(shop, "show", "P", "--entries", "2").stdout.split())
    assert "credit +1 Bo Li Lena a bad lead" in read
    (made,) = shop.decisions("00Q1")
    assert f"assigned +1 Ana Diaz {made.decision_id[:8]}" in read
    pools(shop, "credit", "P", "bo@example.com", "--leads", "-1", "--because", "it was none", "--by", "Lena")
    assert shown(shop, "P")[0]["deviation"] == pytest.approx(2 / 3)  # as before: Ana has had the one lead


@pytest.mark.parametrize("name", ["bo li", "BO@example.com", "005BO"])
def test_a_member_is_named_by_name_address_or_crm_user(ledger: Ledger, clock: ManualClock, name: str) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz, Bo Li]}")
    assert "Bo Li is now owed +0.50" in pools(shop, "credit", "P", name, "--because", "make-up").stderr
    assert "Ana Diaz is now owed" in pools(shop, "credit", "P", "005ana", "--because", "make-up").stderr


def test_a_credit_that_could_come_out_of_nobody_s_turns_is_not_entered(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {members: [Ana Diaz]}")
    assert "nobody but Ana Diaz has a share of the pool P" in pools(
        shop, "credit", "P", "Ana Diaz", "--because", "x", exit_code=1
    ).stderr.replace("\n", " ")
    assert shown(shop, "P")[0]["members"][0]["credits"] == 0


def test_a_credit_says_what_it_cannot_change(ledger: Ledger, clock: ManualClock) -> None:
    shop = Shop(ledger, clock, "P: {method: load balanced, members: [Ana Diaz, Bo Li]}")
    assert "decides between equals at most" in pools(shop, "credit", "P", "Bo Li", "--because", "x").stderr


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
        (("simulate", "P", "--from", "tomorrow"), "--from 'tomorrow' is no date or time: write it as 2026-11-22"),
        (("simulate", "P", "--from", "2026-12-02", "--to", "2026-12-01"), "--to must be after --from."),
        (("simulate", "P", "--value", "country"), "'country' gives no field a value: write it as lead.country=DE."),
        (("simulate", "P", "--value", "lead.contry=DE"), "fields.yaml has no field 'lead.contry':"),
        (("simulate", "P", "--value", "lead.employees=many"), "lead.employees is a number, and 'many' is none."),
        (("credit", "P", "Bo", "--because", "x"), "people.csv has nobody called 'Bo':"),
        (("credit", "P", "Bo Li", "--because", " "), "Say why, with --because."),
        (
            ("credit", "P", "Bo Li", "--leads", "0", "--because", "x"),
            "--leads 0 cannot be credited: say how many leads",
        ),
        (("credit", "P", "Bo Li", "--leads", "nan", "--because", "x"), "--leads nan cannot be credited: say how many"),
        (("credit", "P", "Bo Li", "--leads", "-1e-6", "--because", "x"), "and more than 0.000001: less would change"),
        (("credit", "P", "Bo Li", "--leads", "1000.5", "--because", "x"), "up to 1000 more or fewer"),
        (
            ("credit", "P", "Bo Li", "--kind", "Large", "--because", "x"),
            "The pool P has no kind 'Large'; its kinds: none.",
        ),
        (("claim", "P", "--as", "Nobody"), "people.csv has nobody called 'Nobody':"),
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
