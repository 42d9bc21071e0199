"""A queue that reps claim from, as they meet it in a running daemon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.integration.stage import TOKEN, Stage, stage

JONAS, MIRIAM, QUEUE = "jonas.keller@example.com", "miriam.vogel@example.com", "Small leads"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("claims"), accounts=60, daemon=False) as made:
        pool = f"\n{QUEUE}: {{method: pull, members: [Jonas Keller, Miriam Vogel], member_caps: 1 a day}}\n"
        with (made.policy / "pools.yaml").open("a") as file:
            file.write(pool)
        made.edit(
            "engagement.yaml",
            "ladder:\n",
            f'ladder:\n  - rung: Q\n    when: lead.country = "CL"\n    assign: pool {QUEUE}\n\n',
        )
        made.open()
        yield made


def claim(world: Stage, token: str = TOKEN, **fields: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.post(f"{world.url}/claims", json=fields, headers=headers, timeout=10)


def test_reps_take_what_waits_the_longest_as_far_as_their_caps_allow(world: Stage) -> None:
    assert claim(world, pool=QUEUE, by=JONAS).status_code == 204
    leads = []
    for _ in range(3):
        leads.append(world.lead(Country="CL"))
        world.settle()
    assert {world.decision(lead).outcome for lead in leads} == {"hold"}
    said = claim(world, pool="small LEADS", by="Jonas Keller")
    assert said.status_code == 200, said.text
    assert {name: said.json()[name] for name in ("record", "outcome", "owner")} == {
        "record": leads[0], "outcome": "assign", "owner": JONAS,
    }  # fmt: skip
    world.settle()
    assert world.owner(leads[0]) == JONAS
    full = claim(world, pool=QUEUE, by=JONAS)
    assert (full.status_code, "the cap is 1" in full.text) == (409, True), full.text
    assert claim(world, pool=QUEUE, by=MIRIAM, record=leads[0]).status_code == 409  # it does not wait any more
    assert claim(world, pool=QUEUE, by=MIRIAM, record=leads[2]).json()["record"] == leads[2]
    world.settle()
    assert (world.owner(leads[2]), world.decisions(leads[1])[-1].outcome) == (MIRIAM, "hold")


@pytest.mark.parametrize(
    ("fields", "token", "status", "says"),
    [
        ({"pool": QUEUE, "by": JONAS}, "", 401, "Bearer"),
        ({"pool": QUEUE, "by": JONAS}, TOKEN + "x", 401, "Bearer"),
        ({"pool": "Nowhere", "by": JONAS}, TOKEN, 404, "no pool 'Nowhere'"),
        ({"pool": QUEUE, "by": "nobody@example.com"}, TOKEN, 404, "has nobody"),
        ({"pool": QUEUE}, TOKEN, 400, "by"),
        ({"pool": QUEUE, "by": JONAS, "lead": "00Q1"}, TOKEN, 400, "lead"),
        ({"pool": "MM-DACH", "by": JONAS}, TOKEN, 409, "nobody claims from the pool MM-DACH"),
        ({"pool": QUEUE, "by": "nadia.petrova@example.com"}, TOKEN, 409, "is not in the pool Small leads"),
    ],
)
def test_a_wrong_claim_is_refused_with_a_reason(
    world: Stage, fields: dict[str, str], token: str, status: int, says: str
) -> None:
    said = claim(world, token, **fields)
    assert (said.status_code, says in said.json()["error"]) == (status, True), said.text
