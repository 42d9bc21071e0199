"""``fingerpost report`` and ``fingerpost leads`` as an operator types them, on a ledger of some leads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import Result
from typer.testing import CliRunner

from routing.cli.app import app
from routing.ledger import policies
from routing.ledger.engine import Ledger
from tests import pool_ledger
from tests.conftest import ManualClock
from tests.unit.core import policy as example
from tests.unit.core.policy import policy
from tests.unit.runtime.test_sla_loop import FILES, Desk, routed

DAY = ("--from", "2026-11-22", "--to", "2026-11-22")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def desk(ledger: Ledger, clock: ManualClock) -> Desk:
    """Ana was given a lead and did nothing for it; Bo called theirs after an hour."""
    made = routed(ledger, clock)
    made.play(made.event("created", "00Q2", email="<b>lee</b>@brook.example", status="New"))
    made.clock.advance(3600)
    made.play(made.event("updated", "00Q2", status="Working"))
    for hours in (1, 1, 1):
        made.wait(hours)
    return made


def run(desk: Desk, *words: str, exit_code: int = 0) -> Result:
    done = CliRunner().invoke(app, [*words, "--ledger", desk.ledger.url], env={"COLUMNS": "200"})
    assert done.exit_code == exit_code, done.output
    return done


def test_speed_counts_a_lead_for_whom_it_was_with(desk: Desk) -> None:
    rows = {
        row["key"]: row for row in json.loads(run(desk, "report", "speed", "--by", "person", *DAY, "--json").stdout)
    }
    assert {key: (row["leads"], row["untouched"], row["moved"]) for key, row in rows.items()} == {
        "bo@example.com": (1, 0, 0),
        "cem@example.com": (1, 1, 1),  # Ana had it first
    }
    assert rows["bo@example.com"]["touched"]["p50"] == 3600
    hours = json.loads(run(desk, "report", "speed", "--by", "hour", "--zone", "Asia/Kolkata", *DAY, "--json").stdout)
    assert [(row["key"], row["leads"]) for row in hours] == [("14:00", 2)]


def test_clocks_are_told_as_met_or_lost(desk: Desk) -> None:
    rows = json.loads(run(desk, "report", "sla", "--by", "person", *DAY, "--json").stdout)
    assert {row["key"]: (row["met"], row["lost"], row["open"], row["attained"]) for row in rows} == {
        "ana@example.com": (0, 1, 0, 0.0),
        "bo@example.com": (1, 0, 0, 1.0),
        "cem@example.com": (0, 0, 1, None),
    }
    assert "First touch" in run(desk, "report", "sla", *DAY).stdout


@pytest.mark.parametrize("words", [("speed", "--by", "person", *DAY), ("sla", "--by", "person", *DAY), ("fairness",)])
def test_a_page_needs_nothing_else_and_shows_names_as_they_are(
    desk: Desk, tmp_path: Path, words: tuple[str, ...]
) -> None:
    page = tmp_path / "page.html"
    run(desk, "report", *words, "--html", str(page))
    text = page.read_text()
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert '<td class="text">bo@example.com</td>' in text
    assert text.count("<svg") >= 1


def live(desk: Desk, pools: str = FILES["pools"]) -> None:
    """Puts a policy with these pools into the ledger, as a daemon does."""
    named = {"fields": example.FIELDS, "corrections": example.CORRECTIONS, "matching": example.MATCHING} | FILES
    named["pools"] = pools
    files = {f"{name}.{'csv' if name == 'people' else 'yaml'}": text.encode() for name, text in named.items()}
    with desk.ledger.write() as conn:
        policies.publish(conn, policy(**FILES | {"pools": pools}).digest, files, desk.clock())


@pytest.mark.parametrize("words", [("speed", "--by", "person", *DAY), ("sla", "--by", "person", *DAY), ("fairness",)])
def test_tables_and_pages_call_people_by_their_names(desk: Desk, tmp_path: Path, words: tuple[str, ...]) -> None:
    live(desk)
    page = tmp_path / "page.html"
    run(desk, "report", *words, "--html", str(page))
    for told in (page.read_text(), run(desk, "report", *words).stdout):
        assert "Bo Li" in told
        assert "@example.com" not in told


def test_a_pool_beyond_its_alarm_is_told_by_the_report_as_by_the_pool_itself(desk: Desk) -> None:
    live(desk)
    assert "nobody is further from the fair share than 0.33.\n" in run(desk, "report", "fairness", "Small").stdout
    with desk.ledger.write() as conn:
        pool_ledger.give_back(conn, policy(**FILES), "Small", "ana@example.com", 3, desk.clock())
    told = run(desk, "report", "fairness", "Small", exit_code=1).stdout
    assert " That is beyond 1.1, from where on it is told" in told
    assert "leads, which is beyond its alarm of 1.1" in run(desk, "pools", "show", "Small").stdout
    (worst,) = {
        row["bound"] for row in json.loads(run(desk, "report", "fairness", "Small", "--json", exit_code=1).stdout)
    }
    assert worst == 1.1


def test_a_credit_by_hand_is_no_unfairness(desk: Desk) -> None:
    live(desk)
    run(desk, "pools", "credit", "Small", "Ana Diaz", "--leads", "3", "--because", "three of hers were students")
    told = run(desk, "report", "fairness", "Small").stdout
    assert "nobody is further from the fair share than 0.00, but for credits by hand, which turns make up for." in told


@pytest.mark.parametrize(
    ("setting", "bound"), [("alarm: 3", 3.0), ("method: load balanced", None), ("method: pull", None)]
)
def test_the_report_goes_by_the_alarm_of_the_live_policy(desk: Desk, setting: str, bound: float | None) -> None:
    live(desk)
    run(desk, "pools", "credit", "Small", "Ana Diaz", "--leads", "3", "--because", "three of hers were students")
    live(desk, f"Small: {{members: [Ana Diaz, Bo Li, Cem Kaya], {setting}}}\nBig: {{members: [Mia Wolf]}}\n")
    rows = json.loads(run(desk, "report", "fairness", "Small", "--json").stdout)
    assert {row["bound"] for row in rows} == {bound}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("speed", "--from", "yesterday"), "'yesterday' is no date"),
        (("speed", "--from", "2026-11-23", "--to", "2026-11-22"), "is not before --to"),
        (("sla", "--zone", "Mars/Olympus"), "There is no time zone 'Mars/Olympus'"),
        (("speed", "--by", "weather"), "weather"),
        (("speed", *DAY, "--html", "/nowhere/page.html"), "cannot be written"),
    ],
)
def test_a_slip_of_the_pen_is_told(desk: Desk, words: tuple[str, ...], says: str) -> None:
    assert says in " ".join(run(desk, "report", *words, exit_code=2).output.split())


def test_a_time_in_which_nothing_happened_is_told(desk: Desk) -> None:
    then = ("--from", "2025-01-01", "--to", "2025-01-02")
    assert "No lead was routed then." in run(desk, "report", "speed", *then, exit_code=1).output
    assert json.loads(run(desk, "report", "sla", *then, "--json", exit_code=1).stdout) == []


def test_an_answer_is_written_down_for_the_daemon_and_a_wrong_one_is_refused(desk: Desk) -> None:
    assert "No policy is live" in run(desk, "leads", "accept", "00Q2", "--by", "Bo Li", exit_code=2).output
    live(desk)
    said = run(desk, "leads", "accept", "00Q2", "--by", "Bo Li", "--wait", "0")
    assert said.stdout == "Written down; the daemon will take it up.\n"
    desk.play()
    assert desk.made("00Q2")[-1].reason == "Bo Li accepted it"
    for words, says in (
        (("accept", "00Q9", "--by", "bo@example.com"), "Nothing was ever decided for '00Q9'"),
        (("accept", "00Q2", "--by", "Bo"), "people.csv has nobody called 'Bo'"),
        (("reject", "00Q2", "--by", "bo@example.com", "--because", " "), "needs a reason"),
    ):
        assert says in " ".join(run(desk, "leads", *words, exit_code=1).output.split())
