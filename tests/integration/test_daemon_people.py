"""Days off, pauses and presence, as reps and their leads meet them in a running daemon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import requests

from tests.integration.stage import TOKEN, Stage, stage

JONAS, MIRIAM = "jonas.keller@example.com", "miriam.vogel@example.com"  # the pool MM-DACH


@pytest.fixture(scope="module")
def one_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("people"), accounts=60) as made:
        yield made


@pytest.fixture
def world(one_stage: Stage) -> Iterator[Stage]:
    """The stage, and afterwards everybody back at work."""
    yield one_stage
    for person in (JONAS, MIRIAM):
        one_stage.command("people", "resume", person, exit_code=None)
        report(one_stage, person=person, available=True)
    one_stage.settle()


def report(world: Stage, token: str = TOKEN, **fields: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.post(f"{world.url}/presence", json=fields, headers=headers, timeout=10)


def listed(world: Stage, *words: str) -> list[dict[str, Any]]:
    lines = world.command("people", "list", *words, "--json").stdout.splitlines()
    return [msgspec.json.decode(line) for line in lines]


def given(world: Stage, leads: int = 4) -> list[str]:
    """To whom some new leads from Germany go."""
    made = [world.lead() for _ in range(leads)]
    world.settle()
    return [world.owner(lead) for lead in made]


def test_whoever_is_off_gets_nothing_and_the_decision_says_so(world: Stage) -> None:
    said = world.command(
        "people", "off", "Jonas Keller", "--to", "2099-12-31", "--because", "surgery", "--by", "Lena"
    ).output
    assert "Jonas Keller is off from" in said
    assert "to 2100-01-01 00:00 (Europe/Zurich)" in said
    lead = world.lead()
    world.settle()
    assert world.owner(lead) == MIRIAM
    told = world.command("decisions", "show", lead).stdout
    assert "Jonas Keller is off until 2100-01-01 00:00 (Europe/Zurich)" in told
    assert "surgery" not in told
    (row,) = listed(world, "Jonas Keller")
    assert (row["available"], row["why"]) == (False, "Jonas Keller is off until 2100-01-01 00:00 (Europe/Zurich)")
    (entry,) = [one for one in row["entries"] if one["ended_at"] is None]
    assert (entry["absence"]["author"], entry["absence"]["reason"]) == ("Lena", "surgery")
    assert row["person"] in [one["person"] for one in listed(world, "--away")]


def test_leads_that_wait_are_given_out_the_moment_somebody_resumes(world: Stage) -> None:
    world.command("people", "pause", JONAS)
    entries = len(listed(world, JONAS)[0]["entries"])
    assert "already, by entry" in world.command("people", "pause", "Jonas Keller").output
    assert len(listed(world, JONAS)[0]["entries"]) == entries  # once is enough
    assert "nobody is left in the pool MM-DACH" in world.command("people", "pause", MIRIAM).output
    leads = [world.lead() for _ in range(3)]
    world.settle()
    assert {world.decision(lead).outcome for lead in leads} == {"hold"}
    assert "Jonas Keller is paused" in world.decision(leads[0]).reason
    said = world.command("people", "resume", "miriam vogel").output
    assert "Miriam Vogel can be given leads" in said
    world.until("their owners", lambda: {world.owner(lead) for lead in leads} == {MIRIAM})


def test_a_planned_absence_begins_and_ends_by_itself(world: Stage) -> None:
    start = world.clock() + timedelta(seconds=100)
    end = start + timedelta(seconds=100)
    world.command("people", "off", JONAS, "--from", start.isoformat(), "--to", end.isoformat())
    assert JONAS in given(world)
    world.clock.advance(110)
    assert set(given(world)) == {MIRIAM}
    world.clock.advance(110)
    assert JONAS in given(world)


def test_an_entry_that_is_to_come_is_taken_back_by_its_number(world: Stage) -> None:
    said = world.command("people", "off", JONAS, "--from", "2098-01-01", "--to", "2098-02-01").output
    number = said.rpartition("entry ")[2].split(".")[0]
    assert world.command("people", "resume", JONAS, exit_code=1).output.count("nothing was changed") == 1
    world.command("people", "resume", JONAS, "--entry", number)
    (row,) = listed(world, JONAS)
    assert number not in [str(one["entry"]) for one in row["absences"]]
    assert world.command("people", "resume", JONAS, "--entry", number, exit_code=1).output.count("no entry") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["off", "Jonas", "--to", "2099-01-01"], "people.csv has nobody called 'Jonas'"),
        (["off", JONAS, "--to", "tomorrow"], "'tomorrow' is no moment"),
        (["off", JONAS, "--to", "2020-01-01"], "nothing was entered"),
        (["off", JONAS, "--from", "2099-01-02", "--to", "2099-01-01"], "nothing was entered"),
        (["pause", JONAS, "--until", "2020-01-01"], "nothing was entered"),
    ],
)
def test_a_slip_of_the_pen_changes_nothing(world: Stage, words: list[str], said: str) -> None:
    assert said in world.command("people", *words, exit_code=2).output
    (row,) = listed(world, JONAS)
    assert row["available"]


def test_who_is_reported_away_gets_nothing_until_they_are_reported_back(world: Stage) -> None:
    assert report(world, person=JONAS, available=False, status="on the phone").json() == {"reports": 1, "new": 1}
    assert report(world, person="Miriam Vogel", available=False).status_code == 200
    lead = world.lead()
    world.settle()
    made = world.decision(lead)
    assert made.outcome == "hold"
    assert "Jonas Keller is not available, telephony reports: on the phone" in made.reason
    assert report(world, person=JONAS, available=True).json() == {"reports": 1, "new": 1}
    world.until("an owner", lambda: world.owner(lead) == JONAS)


def test_a_report_of_absence_is_over_after_twelve_hours(world: Stage) -> None:
    report(world, person=JONAS, available=False)
    assert set(given(world)) == {MIRIAM}
    world.clock.advance(12 * 3600 + 1)
    assert JONAS in given(world)


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"person": "nobody@example.com", "available": True}, 404, "nobody@example.com"),
        ({"person": JONAS}, 400, "available"),
        ({"person": JONAS, "available": "no"}, 400, "bool"),
        ({"person": JONAS, "available": False, "untill": "2026-01-01T00:00:00Z"}, 400, "untill"),
        ({"person": JONAS, "available": False, "until": "2099-01-01T00:00:00"}, 400, "timezone"),
        ({"person": JONAS, "available": False, "until": "2099-01-01T00:00:00Z"}, 400, "people off"),
    ],
)
def test_a_report_that_makes_no_sense_is_refused_with_a_reason(
    world: Stage, fields: dict[str, Any], status: int, said: str
) -> None:
    answer = report(world, **fields)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text
    (row,) = listed(world, JONAS)
    assert row["available"]


@pytest.mark.parametrize("path", ["/presence", "/claims", "/answers"])
@pytest.mark.parametrize("body", ["", "not json", '"text"', "null", "{}", '{"by": 5}', "\xff", "{}, {}"])
def test_a_body_that_cannot_be_read_is_answered_with_one_that_can(world: Stage, path: str, body: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = requests.post(world.url + path, data=body.encode("latin-1"), headers=headers, timeout=10)
    assert answer.status_code == 400
    assert "One that can: {" in answer.json()["error"]


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1]])
def test_nobody_reports_without_the_token(world: Stage, token: str) -> None:
    assert report(world, token, person=JONAS, available=False).status_code == 401
    (row,) = listed(world, JONAS)
    assert row["available"]


def test_several_reports_are_taken_together_or_not_at_all(world: Stage) -> None:
    def send(*reports: dict[str, Any]) -> requests.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return requests.post(f"{world.url}/presence", json=list(reports), headers=headers, timeout=10)

    away = {"person": JONAS, "available": False}
    assert send(away, {"person": "nobody", "available": False}).status_code == 404
    assert listed(world, JONAS)[0]["available"]
    assert send(away, {"person": MIRIAM, "available": False}).json() == {"reports": 2, "new": 2}
    assert send().json() == {"reports": 0, "new": 0}
    assert send(*[away] * 1001).status_code == 413
