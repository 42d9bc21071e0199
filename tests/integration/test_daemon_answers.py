"""Accepting and rejecting, as reps and their leads meet them in a running daemon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import requests

from tests.integration.stage import TOKEN, Stage, stage

JONAS, MIRIAM = "jonas.keller@example.com", "miriam.vogel@example.com"  # the pool MM-DACH


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("answers"), accounts=60) as made:
        yield made


def answer(world: Stage, token: str = TOKEN, **fields: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.post(f"{world.url}/answers", json=fields, headers=headers, timeout=10)


def test_a_lead_that_is_given_back_goes_to_the_other_one_in_the_crm(world: Stage) -> None:
    lead = world.lead()
    world.settle()
    had = world.owner(lead)
    other = {JONAS: MIRIAM, MIRIAM: JONAS}[had]
    said = answer(world, record=lead, by=had, answer="rejected", because="speaks no German")
    assert said.status_code in (200, 202)
    world.settle()
    assert world.owner(lead) == other
    told = world.command("decisions", "show", lead).stdout
    assert "rejected it: speaks no German" in told
    late = answer(world, record=lead, by=had, answer="accepted")
    assert (late.status_code, "cannot answer for it" in late.json()["reason"]) == (409, True)


def test_a_rep_answers_on_the_command_line(world: Stage) -> None:
    lead = world.lead()
    world.settle()
    had = world.owner(lead)
    name = {JONAS: "Jonas Keller", MIRIAM: "Miriam Vogel"}[had]
    said = world.command("leads", "accept", lead, "--by", name, "--json").stdout
    assert msgspec.json.decode(said)["state"] == "applied"
    assert world.owner(lead) == had
    nobody = world.command("leads", "reject", lead, "--by", "nobody@example.com", "--because", "no", exit_code=1)
    assert "cannot answer for it" in nobody.output
    assert world.command("report", "speed", "--by", "person", "--json").stdout


@pytest.mark.parametrize("called", ["name", "user"])
def test_who_answers_may_be_called_by_name_or_by_the_id_of_their_user(world: Stage, called: str) -> None:
    lead = world.lead()
    world.settle()
    had = world.owner(lead)
    name = {JONAS: "Jonas Keller", MIRIAM: "Miriam Vogel"}[had]
    user = next(row["Id"] for row in world.world.users if row["Email"] == had)
    said = answer(world, record=lead, by=user if called == "user" else name.upper(), answer="accepted")
    assert (said.status_code in (200, 202), world.owner(lead)) == (True, had), said.text
    assert lead in world.command("decisions", "list", "--owner", user if called == "user" else name).stdout
    assert answer(world, record=lead, by=name.split()[0], answer="accepted").status_code == 404


@pytest.mark.parametrize(
    ("fields", "token", "status", "says"),
    [
        ({"record": "00Q1", "by": JONAS, "answer": "accepted"}, "", 401, "Bearer"),
        ({"record": "nowhere", "by": JONAS, "answer": "accepted"}, TOKEN, 404, "Nothing was ever decided"),
        (
            {"record": "nowhere", "by": "Jonas", "answer": "accepted"},
            TOKEN,
            404,
            "people.csv has nobody called 'Jonas'",
        ),
        ({"record": "nowhere", "by": JONAS, "answer": "perhaps"}, TOKEN, 400, "Invalid enum value"),
        ({"record": "nowhere", "by": JONAS, "answer": "rejected"}, TOKEN, 400, "needs a reason (because)"),
    ],
)
def test_a_wrong_answer_is_refused(world: Stage, fields: dict[str, str], token: str, status: int, says: str) -> None:
    said = answer(world, token, **fields)
    assert (said.status_code, says in said.json()["error"]) == (status, True)
