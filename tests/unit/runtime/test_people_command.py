"""``fingerpost people off``, ``pause``, ``resume`` and ``list`` as somebody at a terminal meets them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from routing.cli.app import app
from routing.core.model import Record
from routing.ledger import mirror
from routing.ledger.engine import Ledger
from tests.conftest import ManualClock
from tests.unit.runtime.test_sharing import PEOPLE, Shop, quiet

__all__ = ["quiet"]  # a fixture

ZONES = PEOPLE.replace("bo@example.com,UTC", "bo@example.com,Asia/Kathmandu").replace(
    "cem@example.com,UTC", "cem@example.com,Australia/Lord_Howe"
)
# Long after any clock of a machine that runs these.
DAY = "2098-12-24"


@pytest.fixture
def shop(sqlite_ledger: Ledger, clock: ManualClock) -> Shop:
    return Shop(sqlite_ledger, clock, "P: {members: [Ana Diaz, Bo Li, Cem Kaya]}", ZONES)


def people(shop: Shop, *words: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["people", *words, "--ledger", shop.ledger.url], env={"COLUMNS": "250"})
    assert result.exit_code == exit_code, result.output
    return result


def entries(shop: Shop, name: str) -> list[dict[str, Any]]:
    (row,) = [json.loads(line) for line in people(shop, "list", name, "--json").stdout.splitlines()]
    return list(row["entries"])


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("Ana Diaz", ("--from", DAY, "--to", DAY), "from 2098-12-24 00:00 (UTC) to 2098-12-25 00:00 (UTC)"),
        ("Bo Li", ("--from", f"{DAY} pm", "--to", DAY), "from 2098-12-24 12:00 (Asia/Kathmandu) to 2098-12-25 00:00 (Asia/Kathmandu)"),
        ("bo@example.com", ("--from", f"{DAY} AM", "--to", f"{DAY} am"), "from 2098-12-24 00:00 (Asia/Kathmandu) to 2098-12-24 12:00 (Asia/Kathmandu)"),
        ("005bo", ("--from", f"{DAY}T10:00Z", "--to", f"{DAY} 20:15"), "from 2098-12-24 15:45 (Asia/Kathmandu) to 2098-12-24 20:15 (Asia/Kathmandu)"),
        # Half an hour is how far the clocks of Lord Howe move, in April back from UTC+11 to UTC+10:30.
        ("cem kaya", ("--from", "2026-04-05T00:00+11:00", "--to", "2098-04-05"), "from 2026-04-05 00:00 (Australia/Lord_Howe) to 2098-04-06 00:00 (Australia/Lord_Howe)"),
    ],
)  # fmt: skip
def test_days_halves_and_times_are_those_of_the_person(
    shop: Shop, name: str, words: tuple[str, ...], said: str
) -> None:
    assert f"is off {said}: entry 1." in people(shop, "off", name, *words).stderr
    assert f"is off {said} already, by entry 1; nothing was entered." in people(shop, "off", name, *words).stderr
    assert len(entries(shop, name)) == 1


def test_what_lies_within_an_entry_is_there_already_and_how_to_end_it_sooner_is_said(shop: Shop) -> None:
    people(shop, "pause", "Bo Li")
    again = people(shop, "pause", "Bo Li").stderr
    assert "until `fingerpost people resume` already, by entry 1; nothing was entered.\n" in again
    sooner = people(shop, "pause", "Bo Li", "--until", DAY).stderr
    assert "is paused from" in sooner
    assert (
        "already, by entry 1; nothing was entered. To end it sooner: `fingerpost people resume 'Bo Li' --entry 1`"
        in sooner
    )
    people(shop, "off", "Bo Li", "--from", DAY, "--to", "2098-12-31")  # another thing
    assert "by entry 2" in people(shop, "off", "Bo Li", "--from", "2098-12-26", "--to", "2098-12-27 am").stderr
    assert (
        "entry 3." in people(shop, "off", "Bo Li", "--from", "2098-12-30", "--to", "2099-01-02").stderr
    )  # goes on beyond
    assert [one["absence"]["number"] for one in entries(shop, "Bo Li")] == [3, 2, 1]
    assert "Bo Li is paused" in people(shop, "list", "--away").stdout


def test_what_was_ended_may_be_entered_again(shop: Shop) -> None:
    people(shop, "pause", "Ana Diaz")
    people(shop, "resume", "Ana Diaz")
    assert "entry 3." in people(shop, "pause", "Ana Diaz").stderr
    assert [bool(one["ended_by"]) for one in entries(shop, "Ana Diaz")] == [False, True]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("off", "Bo", "--to", DAY), "nobody called 'Bo': did you mean 'Bo Li'?"),
        (("off", "Anna Diaz", "--to", DAY), "did you mean 'Ana Diaz'?"),
        (("pause", "Zed"), "`fingerpost people list` shows everybody"),
        (("list", "kaya"), "did you mean 'Cem Kaya'?"),
        (
            ("off", "Bo Li", "--from", f"{DAY} pm", "--to", f"{DAY} am"),
            "over when it begins, at 2098-12-24 12:00 (Asia/Kathmandu); nothing was entered",
        ),
        (("off", "Bo Li", "--from", DAY, "--to", "24.12.2098"), "'24.12.2098' is no moment: write 2026-12-24"),
        (("off", "Bo Li", "--from", "2098-02-29", "--to", DAY), "'2098-02-29' is no moment"),
    ],
)
def test_a_slip_of_the_pen_is_told(shop: Shop, words: tuple[str, ...], said: str) -> None:
    assert said in people(shop, *words, exit_code=2).stderr
    assert not entries(shop, "Bo Li")


def crms_know(shop: Shop, *users: tuple[str, str, bool]) -> None:
    """Beside those of the shop: all three in Salesforce, Ana in HubSpot."""
    records = [
        Record(
            system=system,
            entity="person",
            record_id=crm_id,
            values={"email": f"{name}@example.com", "active": active},
        )
        for system, name, active in users
        for crm_id in (f"005{name}", f"005{name.upper()}")
    ]
    with shop.ledger.write() as conn:
        mirror.save(conn, [(one, frozenset()) for one in records])


NOT_IN_HUBSPOT = "Bo Li has no active user in HubSpot with the e-mail address bo@example.com"
LEFT_SALESFORCE = "Bo Li's user is deactivated in Salesforce"


@pytest.mark.parametrize(
    ("users", "said"),
    [
        ([("hubspot", "bo", True)], "Bo Li can be given leads."),
        ([], f"Bo Li can be given leads; not for HubSpot leads: {NOT_IN_HUBSPOT}."),
        ([("salesforce", "bo", False)], f"{NOT_IN_HUBSPOT}; {LEFT_SALESFORCE}."),
    ],
)
def test_who_is_back_is_told_whose_leads_they_can_be_given(
    shop: Shop, users: list[tuple[str, str, bool]], said: str
) -> None:
    crms_know(shop, *users)
    people(shop, "pause", "Bo Li")
    assert people(shop, "resume", "Bo Li").stderr.splitlines()[-1] == said


def test_who_resumes_is_told_what_is_still_to_come(shop: Shop) -> None:
    people(shop, "off", "Bo Li", "--from", DAY, "--to", DAY)
    said = people(shop, "resume", "Bo Li", exit_code=1).stderr.splitlines()
    assert said[:2] == [
        "Nothing entered here keeps Bo Li out now; nothing was changed.",
        f"Entry 1 is still to come, from {DAY} 00:00 (Asia/Kathmandu); "
        "`fingerpost people resume 'Bo Li' --entry 1` ends it.",
    ]
    people(shop, "pause", "Bo Li")
    told = people(shop, "resume", "Bo Li").stderr.splitlines()
    assert (told[0], told[1]) == ("1 entry of Bo Li ended.", said[1])
    assert people(shop, "resume", "Bo Li", "--entry", "1").stderr.startswith("1 entry of Bo Li ended.\nBo Li can")


def test_who_has_no_user_and_is_off_is_told_both(shop: Shop) -> None:
    crms_know(shop, ("salesforce", "bo", False))
    people(shop, "off", "Bo Li", "--to", DAY)
    people(shop, "pause", "Bo Li")
    said = people(shop, "resume", "Bo Li", "--entry", "2").stderr.splitlines()[-1]
    assert said.startswith(f"{NOT_IN_HUBSPOT}; {LEFT_SALESFORCE}; Bo Li is off until ")


def test_whom_no_crm_knows_any_more_is_not_left_in_the_pool(shop: Shop) -> None:
    crms_know(shop, ("salesforce", "bo", False), ("salesforce", "cem", False))
    assert people(shop, "pause", "Ana Diaz").stderr.endswith("Then nobody is left in the pool P.\n")


def test_where_no_crm_told_its_users_yet_people_csv_says_who_can_be_given_leads(shop: Shop) -> None:
    header, ana, bo, cem = ZONES.splitlines()
    shop.live("P: {members: [Ana Diaz]}", "\n".join([f"{header},active", f"{ana},yes", f"{bo},no", f"{cem},yes", ""]))
    with shop.ledger.write() as conn:
        conn.exec_driver_sql("DELETE FROM mirror")
    people(shop, "pause", "Bo Li")
    assert people(shop, "resume", "Bo Li").stderr.endswith("Bo Li is inactive in people.csv.\n")
    people(shop, "pause", "Ana Diaz")
    assert people(shop, "resume", "Ana Diaz").stderr.endswith("Ana Diaz can be given leads.\n")
