"""``fingerpost match`` and ``fingerpost match tune`` as somebody at a terminal meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from routing.cli.app import app
from routing.core.matching.score import Weights

ACCOUNTS = (
    "id,name,website,country,phone\n"
    "A1,Zephyrine Turbines GmbH,www.zephyrine.de,DE,+49 30 901820\n"
    "A2,Quillfeather Logistics Ltd,quillfeather.co.uk,GB,\n"
    "A3,Quillfeather Leasing Ltd,,GB,\n"
)
LEADS = "id,company,email,country\nL1,Zephyrine Turbines,ana@zephyrine.de,Germany\nL2,Nobody Knows Inc,x@gmail.com,\n"


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["match", *words], env={"COLUMNS": "200"})


def put(folder: Path, **files: str) -> dict[str, str]:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {name: str(folder / name) for name in files}


def matched(folder: Path, accounts: str = ACCOUNTS, leads: str = LEADS, *more: str) -> list[dict[str, Any]]:
    at = put(folder, accounts=accounts, leads=leads)
    found = run(folder, "--accounts", at["accounts"], "--leads", at["leads"], *more)
    assert found.exit_code == 0, found.output
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_every_lead_has_a_line_with_its_account_and_the_evidence(tmp_path: Path) -> None:
    first, second = matched(tmp_path)
    assert list(first) == ["lead_id", "account_id", "probability", "band", "evidence", "candidates"]
    assert (first["lead_id"], first["account_id"], first["band"]) == ("L1", "A1", "match")
    assert first["probability"] > 0.99
    assert {piece["kind"] for piece in first["evidence"]} >= {"mail_domain", "country_same"}
    assert all(piece["words"] for piece in first["evidence"])
    assert (second["account_id"], second["band"]) == (None, "none")


def test_the_same_files_give_the_same_bytes_whatever_the_order_of_accounts(tmp_path: Path) -> None:
    header, *rows = ACCOUNTS.splitlines(keepends=True)
    assert matched(tmp_path) == matched(tmp_path, "".join([header, *reversed(rows)]))


def test_top_says_how_many_candidates_are_told(tmp_path: Path) -> None:
    accounts = "id,name,country\nA1,Quillfeather Ltd,GB\nA2,Quillfeather Inc,US\n"
    leads = "id,company\nL1,Quillfeather\n"
    assert len(matched(tmp_path, accounts, leads)[0]["candidates"]) == 2
    assert len(matched(tmp_path, accounts, leads, "--top", "1")[0]["candidates"]) == 1


def test_the_policy_sets_where_doubt_begins(tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.mkdir()
    for file in Path("rules/examples/inbound").iterdir():
        if file.is_file():
            (policy / file.name).write_bytes(file.read_bytes())
    leads = "id,company,country\nL1,Quillfeather Logistik,\n"
    bands = {}
    for name, text in (("easy", "bands: {match: 1%, ask: 1%}"), ("strict", "bands: {match: 100%, ask: 100%}")):
        (policy / "matching.yaml").write_text(text)
        bands[name] = matched(tmp_path, ACCOUNTS, leads, "--policy", str(policy))[0]["band"]
    assert bands == {"easy": "match", "strict": "none"}


def test_a_lead_that_cannot_be_read_has_a_line_that_says_why(tmp_path: Path) -> None:
    at = put(tmp_path, accounts=ACCOUNTS, leads="id,company,email\nL1,Zephyrine Turbines\n")
    found = run(tmp_path, "--accounts", at["accounts"], "--leads", at["leads"])
    assert found.exit_code == 1
    line = json.loads(found.stdout)
    assert line["account_id"] is None
    assert line["problem"] == f"{at['leads']}:2: the row has 2 cells, the header has 3 columns"


def test_ids_that_several_leads_have_are_told_and_every_row_is_answered(tmp_path: Path) -> None:
    at = put(tmp_path, accounts=ACCOUNTS, leads=LEADS + "L1,Quillfeather Leasing,,\nL2,Zephyrine,,\n")
    found = run(tmp_path, "--accounts", at["accounts"], "--leads", at["leads"])
    assert [json.loads(line)["lead_id"] for line in found.stdout.splitlines()] == ["L1", "L2", "L1", "L2"]
    assert "leads:4: the id 'L1' is on line 2 already; 1 more rows repeat an id" in found.stderr


def test_a_file_without_accounts_is_refused_and_one_without_leads_is_told(tmp_path: Path) -> None:
    at = put(tmp_path, accounts=ACCOUNTS, leads=LEADS, nobody="id,name\n", nothing="id,company\n")
    found = run(tmp_path, "--accounts", at["nobody"], "--leads", at["leads"])
    assert (found.exit_code, "there is no account in it" in found.stderr) == (2, True)
    found = run(tmp_path, "--accounts", at["accounts"], "--leads", at["nothing"])
    assert (found.exit_code, found.stdout, "there is no lead in it" in found.stderr) == (0, "", True)


def test_a_cell_that_no_export_has_is_told_by_its_length(tmp_path: Path) -> None:
    at = put(tmp_path, accounts=ACCOUNTS, leads=f"id,company\nL1,{'x' * 1_000_001}\nL2,Zephyrine Turbines GmbH\n")
    found = run(tmp_path, "--accounts", at["accounts"], "--leads", at["leads"])
    broken, read = (json.loads(line) for line in found.stdout.splitlines())
    assert broken["problem"].endswith("leads:2: the row cannot be read: it is longer than 1,000,000 characters")
    assert (found.exit_code, read["candidates"][0]["account_id"]) == (1, "A1")


def test_broken_accounts_are_refused_by_line(tmp_path: Path) -> None:
    at = put(tmp_path, accounts=ACCOUNTS + "A1,Again,,,\n", leads=LEADS)
    found = run(tmp_path, "--accounts", at["accounts"], "--leads", at["leads"])
    assert found.exit_code == 2
    assert f"{at['accounts']}:5: the id 'A1' is there twice, first on line 2" in found.stderr


def test_what_is_read_is_never_overwritten(tmp_path: Path) -> None:
    at = put(tmp_path, accounts=ACCOUNTS, leads=LEADS)
    found = run(tmp_path, "--accounts", at["accounts"], "--leads", at["leads"], "--out", at["leads"])
    assert found.exit_code == 2
    assert "is one of the files to be read" in found.stderr
    assert (tmp_path / "leads").read_text() == LEADS


def test_without_files_it_says_what_to_name(tmp_path: Path) -> None:
    found = run(tmp_path)
    assert found.exit_code == 2
    assert "name the accounts with --accounts FILE" in found.stderr


HEADER = "lead.id,lead.company,lead.email,account.id,account.name,account.website,same\n"


def judged(count: int = 40) -> str:
    """Each lead with its own account and a stranger."""
    rows = []
    for n in range(count):
        company, stranger = f"Bramblewick{n} Systems", f"Oystercatch{n} Systems"
        rows.append(f"L{n},{company},a@bramblewick{n}.com,A{n},{company} Ltd,bramblewick{n}.com,yes\n")
        rows.append(f"L{n},{company},a@bramblewick{n}.com,B{n},{stranger},oystercatch{n}.com,no\n")
    return HEADER + "".join(rows)


def tuned(folder: Path, labels: str, *more: str) -> Result:
    at = put(folder, labels=labels)
    return run(folder, "tune", "--labels", at["labels"], "--out", str(folder / "weights.json"), *more)


def test_tune_reports_and_writes_weights_that_a_policy_can_name(tmp_path: Path) -> None:
    found = tuned(tmp_path, judged(), "--json")
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert report["leads"] == 40
    assert report["fitted"]["precision"] == report["fitted"]["recall"] == 1
    assert report["fitted"]["calibration_error"] < 0.1
    weights = Weights.of((tmp_path / "weights.json").read_bytes())
    assert weights.made_from == "40 leads with 80 judged accounts"


def test_tune_tells_a_person_what_changed_and_what_to_do_next(tmp_path: Path) -> None:
    found = tuned(tmp_path, judged())
    for words in ("40 leads, cross-validated", "precision from 50% on", "calibration error", "weights: weights.json"):
        assert words in found.output


def test_the_same_labels_give_the_same_file(tmp_path: Path) -> None:
    tuned(tmp_path, judged())
    first = (tmp_path / "weights.json").read_bytes()
    header, *rows = judged().splitlines(keepends=True)
    tuned(tmp_path, "".join([header, *reversed(rows)]))
    assert (tmp_path / "weights.json").read_bytes() == first


def test_labels_may_be_json_lines(tmp_path: Path) -> None:
    lines = []
    for row in judged().splitlines()[1:]:
        pair: dict[str, Any] = dict(zip(HEADER.strip().split(","), row.split(","), strict=True))
        lines.append(json.dumps(pair | {"same": pair["same"] == "yes"}) + "\n")
    tuned(tmp_path, judged())
    first = (tmp_path / "weights.json").read_bytes()
    assert tuned(tmp_path, "".join(lines)).exit_code == 0
    assert (tmp_path / "weights.json").read_bytes() == first


ROW = "L0,Bramblewick0 Systems,a@bramblewick0.com,A0,Bramblewick0 Systems Ltd,bramblewick0.com,"


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (HEADER + "L1,Acme,,A1,Acme Ltd,,perhaps\n", ":2: column 7 (same): 'perhaps' is neither yes nor no"),
        (HEADER + "L1,Acme,,A1,Acme Ltd,,\n", ":2: the column 'same' is blank: write yes or no"),
        (HEADER + "L1,,,A1,Acme Ltd,,no\n", ":2: nothing is said of the lead: fill a column such as 'lead.company'"),
        (HEADER + "L1,Acme,,A1,,,no\n", ":2: nothing is said of the account: fill a column such as 'account.name'"),
        (judged() + ROW + "no\n", ":82: the same pair as on line 2, where 'same' is yes: keep the right one"),
        (
            judged() + ROW.replace("Bramblewick0 Systems,", "Other,", 1) + "yes\n",
            ":82: the lead 'L0' has another company than on line 2: give each lead an id of its own",
        ),
        (judged().replace("same\n", "verdict\n"), "there is no column 'same'"),
        (judged(4), "there are 4 pairs of which 'same' is yes, and at least 10 are needed to fit weights"),
        ("", "the file is empty"),
    ],
)
def test_what_is_wrong_with_labels_is_told_by_line(tmp_path: Path, labels: str, told: str) -> None:
    found = tuned(tmp_path, labels)
    assert found.exit_code == 2
    assert told in found.stderr
    assert not (tmp_path / "weights.json").exists()


def test_weights_to_start_from_are_checked(tmp_path: Path) -> None:
    at = put(tmp_path, start='{"base": -5, "kinds": {"mail_domain": -3}}')
    found = tuned(tmp_path, judged(), "--from", at["start"])
    assert found.exit_code == 2
    assert f"{at['start']}: 'mail_domain' speaks for a match, so its weight cannot be -3" in found.stderr
