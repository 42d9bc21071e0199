"""``fingerpost people off``, ``pause``, ``resume`` and ``list`` as somebody at a terminal meets them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from routing.cli.app import app
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
