"""People whose e-mail address changes from one policy to the next: they go on in pools, absences, SLA clocks and reports."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from msgspec.structs import replace

from routing.core.readdressed import readdressed
from routing.ledger import people, reports
from routing.ledger.engine import Ledger
from routing.runtime.crediting import bad_lead
from routing.runtime.going_live import go_live
from routing.runtime.loop import Loop
from rules.pools.model import Person
from tests.conftest import ManualClock
from tests.unit.core.policy import policy
from tests.unit.runtime.test_refused_owner import Branch
from tests.unit.runtime.test_sharing import PEOPLE, Shop, quiet
from tests.unit.runtime.test_sla_loop import FILES

__all__ = ["quiet"]

NEW = "ana.diaz@example.org"
MOVED = PEOPLE.replace("ana@example.com", NEW)


@pytest.fixture
def ledger(any_ledger: Ledger) -> Ledger:
    return any_ledger


def moved(shop: Shop, pool: str, people: str = MOVED, email: str = NEW) -> None:
    """Ana has another address in people.csv and in the CRM."""
    shop.live(pool, people)
    shop.play(replace(shop.event("updated", "005ana", 5, email=email), entity="person"))


def test_a_rotation_goes_on_for_somebody_with_another_address(ledger: Ledger, clock: ManualClock) -> None:
    pool = "P: {members: [Ana Diaz, Bo Li, Cem Kaya], member_caps: 3 a day}"
    shop = Shop(ledger, clock, pool)
    for n in range(4):
        shop.lead(n)
    assert shop.owners(*range(4)) == ["ana", "bo", "cem", "ana"]
    before = lines(shop)
    moved(shop, pool)
    assert shop.said == (
        f"Ana Diaz is {NEW} now, no longer ana@example.com, and goes on in pools, absences and reports.",
    )
    assert lines(shop) == before
    for n in range(4, 10):
        shop.lead(n)
    # Her third of the day fills her cap, which counts what she had under the old address.
    assert shop.owners(*range(4, 10)) == ["bo", "cem", "ana.diaz", "bo", "cem", ""]
    moved(shop, pool, PEOPLE, "ana@example.com")  # and back
    assert [line[:2] for line in lines(shop)] == [("Ana Diaz", 3), ("Bo Li", 3), ("Cem Kaya", 3)]
    shop.sound()


def lines(shop: Shop) -> list[tuple[str, int, float]]:
    with shop.ledger.read() as conn:
        return [(one.name, one.assigned, round(one.shortfall, 9)) for one in shop.desk(conn).view("P").members]


def test_what_a_process_gave_that_did_not_know_yet_costs_nobody_their_turn(ledger: Ledger, clock: ManualClock) -> None:
    pool = "P: {members: [Ana Diaz, Bo Li]}"
    shop = Shop(ledger, clock, pool)
    late = Loop(ledger, shop.loop._policies, clock, shop.loop._feed)
    for n in range(3):
        shop.lead(n)
    moved(shop, pool)
    current, shop.loop = shop.loop, late
    shop.lead(3)
    shop.loop = current
    for n in range(4, 20):
        shop.lead(n)
    given = [shop.owner(n) for n in range(20)]
    assert abs(given.count("bo") - 10) <= 1
    moved(shop, pool, PEOPLE, "ana@example.com")
    shop.lead(20)
    shop.sound()


def test_absences_accounts_and_reports_go_on(ledger: Ledger, clock: ManualClock) -> None:
    pool = "P: {method: sticky, members: [Ana Diaz, Bo Li], sticky: contact}"
    shop = Shop(ledger, clock, pool)
    shop.lead(1)
    with ledger.write() as conn:
        people.enter(conn, "ana@example.com", "pause", "2020-01-01", "", author="t", reason="", now=clock())
        people.report(conn, "ana@example.com", True, "online", None, "chat", clock(), clock())
    moved(shop, pool)
    with ledger.read() as conn:
        known = people.known(conn, clock())
        assert [one.person for one in (*known.absences, *known.presence)] == [NEW, NEW]
    shop.lead(2)
    assert shop.owner(2) == "bo"
    with ledger.read() as conn:
        day = timedelta(days=1)
        speed = reports.speed(conn, clock() - day, clock() + day, "person", UTC)
    assert {row.key: row.leads for row in speed} == {NEW: 1, "bo@example.com": 1}


def test_who_had_a_lead_does_not_get_it_again_and_its_clock_goes_on(ledger: Ledger, clock: ManualClock) -> None:
    sla = FILES["sla"].replace("reassignments: 1", "reassignments: 9")
    branch = Branch(ledger, clock, sla=sla)
    branch.lead()
    for hours in (2, 1, 1, 1):  # taken from Ana after four, Bo has had it for one
        branch.wait(hours)
    files = FILES | {
        "sla": sla,
        "people": FILES["people"].replace("bo@example.com", "bo@example.org").replace("ana@example.com", NEW),
    }
    after = policy(**files)
    named = {f"{n}.{'csv' if n == 'people' else 'yaml'}": text.encode() for n, text in files.items()}
    with ledger.write() as conn:
        assert len(go_live(conn, after, named, clock()).said) == 2
    branch.policies.current = after
    for user, email in (("005ANA", NEW), ("005BO", "bo@example.org")):
        branch.play(replace(branch.event("updated", user, email=email), entity="person"))
    branch.wait(1)
    assert branch.made()[-1].effects[0].target == "bo@example.org"  # his reminder, after two hours as before
    for hours in (1, 1, 2, 1, 1):
        branch.wait(hours)
    assert [one.owner for one in branch.made() if one.outcome == "assign"] == [
        "ana@example.com",
        "bo@example.com",
        "cem@example.com",
        "",
    ]
    assert [(one.person, one.state) for one in branch.clocks()] == [
        ("ana@example.com", "ended"),
        ("bo@example.org", "ended"),
        ("cem@example.com", "ended"),
    ]


def test_a_lead_of_before_is_given_back_by_whoever_has_another_address_now(ledger: Ledger, clock: ManualClock) -> None:
    """It is at no clock and not on hold: all that is known of it is that she was given it."""
    pool = "P: {members: [Ana Diaz, Bo Li], member_caps: 2 in any hour}"
    people = (
        "name,email,time_zone,hours,salesforce_id\nAna Diaz,ana@example.com,UTC,,005ana\nBo Li,bo@example.com,UTC,,\n"
    )
    shop = Shop(ledger, clock, pool, people)
    for n in (1, 2, 3):
        shop.lead(n)
    assert shop.owners(1, 2, 3) == ["ana", "bo", "ana"]
    moved(shop, pool, people.replace("ana@example.com", NEW))
    assert [one.turns[-1][2] for one in map(shop.record, ("00Q1", "00Q2", "00Q3"))] == [NEW, "bo@example.com", NEW]
    shop.play(shop.event("rejected", "00Q1", by=NEW, because="no budget"))
    assert shop.owner(1) == "bo"
    with ledger.read() as conn:
        ana, bo = shop.desk(conn).view("P").members
        assert bad_lead(shop.desk(conn), "P", NEW, "00Q3").kind == ""
    assert (ana.credits, ana.caps, bo.caps) == (1, ("1 of 2 in the last hour",), ("2 of 2 in the last hour",))
    shop.sound()


def person(key: str, name: str = "Ana Diaz", **ids: str) -> Person:
    return Person(key, name, ids=ids)


def told(before: list[Person], after: list[Person]) -> tuple[dict[str, str], int]:
    found = readdressed({one.key: one for one in before}, {one.key: one for one in after})
    return found.now, len(found.said) - len(found.now)


def test_who_is_the_same_goes_by_the_crm_user_then_by_the_name() -> None:
    assert told([person("a@x.de")], [person("b@x.de")]) == ({"a@x.de": "b@x.de"}, 0)
    assert told([person("a@x.de")], [person("b@x.de", "ANA diaz")]) == ({"a@x.de": "b@x.de"}, 0)
    # Married: the user stayed. As a report shows its id, and as the API does.
    old, new = (
        person("a@x.de", salesforce="0055e000001AbCd"),
        person("b@x.de", "Ana Ruiz", salesforce="0055e000001AbCdAAK"),
    )
    assert told([old], [new]) == ({"a@x.de": "b@x.de"}, 0)
    # The user decides, whoever else has the name.
    assert told(
        [person("a@x.de", salesforce="1"), person("c@x.de", salesforce="2")],
        [person("b@x.de", salesforce="2"), person("d@x.de", salesforce="1")],
    ) == ({"a@x.de": "d@x.de", "c@x.de": "b@x.de"}, 0)


def test_another_user_or_another_name_is_somebody_else() -> None:
    assert told([person("a@x.de")], [person("b@x.de", "Bo Li")]) == ({}, 0)
    assert told([person("a@x.de", salesforce="1")], [person("b@x.de", salesforce="2")]) == ({}, 0)
    assert told([person("a@x.de")], [person("a@x.de"), person("b@x.de")]) == ({}, 0)  # she is there still: a namesake


def test_what_cannot_be_told_is_said_and_nobody_is_taken_for_another() -> None:
    assert told([person("a@x.de"), person("b@x.de")], [person("c@x.de")]) == ({}, 1)
    assert told([person("a@x.de")], [person("b@x.de"), person("c@x.de")]) == ({}, 2)
    both = person("c@x.de", salesforce="1", hubspot="2")
    assert told([person("a@x.de", salesforce="1"), person("b@x.de", hubspot="2")], [both]) == ({}, 1)
