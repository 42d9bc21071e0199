"""``fingerpost match is``, ``is-not`` and ``labels``: what an admin types, and what they are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from routing.cli.app import app
from routing.ledger.engine import Ledger
from tests.conftest import ManualClock
from tests.unit.runtime.test_matching_live import ZENITH, Stand

SAY = ["--by", "Ana Diaz", "--because", "I asked them"]


@pytest.fixture
def stand(ledger: Ledger, clock: ManualClock) -> Stand:
    made = Stand(ledger, clock)
    made.publish()
    made.play(made.tell("account", "001", **ZENITH), made.tell("account", "002", name="Quartz Imaging"))
    assert made.lead("00Q1", email="a@zenith-bau.de", company="Zenith Baugesellschaft").account_id == "001"
    return made


def run(stand: Stand, *words: str) -> tuple[int, str]:
    url = stand.ledger.engine.url.render_as_string()
    result = CliRunner().invoke(app, ["match", *words, "--ledger", url])
    return result.exit_code, result.output


def test_what_is_typed_is_obeyed_and_comes_out_as_labels(stand: Stand, tmp_path: Path) -> None:
    code, said = run(stand, "is-not", "00Q1", "001", *SAY)
    assert (code, "does not belong to salesforce:account:001" in said) == (0, True)
    code, said = run(stand, "is", "salesforce:lead:00Q1", "002", *SAY)
    assert (code, "belongs to salesforce:account:002" in said) == (0, True)
    assert stand.lead("00Q2", email="b@zenith-bau.de", company="Zenith Baugesellschaft").account_id == "002"
    out = tmp_path / "labels.jsonl"
    code, said = run(stand, "labels", "--out", str(out))
    assert (code, "2 labels written" in said) == (0, True)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["account.id"], row["same"]) for row in rows] == [("001", False), ("002", True)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("is", "00Q9", "001", *SAY), "The ledger knows no lead or contact '00Q9'"),
        (("is", "00Q1", "00Q1", *SAY), "The ledger knows no account '00Q1'"),
        (("is", "00Q1", "001", "--by", " ", "--because", "x"), "whoever reads the decision later"),
    ],
)
def test_what_cannot_be_stored_is_told(stand: Stand, words: tuple[str, ...], told: str) -> None:
    code, said = run(stand, *words)
    assert code == 2
    assert told in " ".join(said.replace("│", " ").split())


def test_nobody_said_anything_yet(stand: Stand) -> None:
    code, said = run(stand, "labels")
    assert (code, "Nobody said anything" in said) == (1, True)
