"""``fingerpost route``: files in, decisions out, every lead accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from routing.cli.route import route
from tests.bench.leads import accounts, companies, leads
from tests.unit.core.policy import CORRECTIONS, ENGAGEMENT, FIELDS, MATCHING, PEOPLE, POOLS

app = typer.Typer()
app.command()(route)

ACCOUNTS = "id,name,website,country,type,parent_id,owner,csm,colour\nA1,Acme,https://www.acme.com,US,Customer,,Ana Diaz,Bo Li,red\n"
LEADS = "id,email,first_name,company,country,phone,employees\n"


class Desk:
    """A folder with a policy, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy = folder / "policy"
        self.policy.mkdir()
        texts = {
            "fields.yaml": FIELDS,
            "engagement.yaml": ENGAGEMENT,
            "people.csv": PEOPLE,
            "pools.yaml": POOLS,
            "corrections.yaml": CORRECTIONS,
            "matching.yaml": MATCHING,
        }
        for name, text in texts.items():
            (self.policy / name).write_text(text, encoding="utf-8")

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    def route(
        self, leads: str | bytes, accounts: str | bytes = ACCOUNTS, *more: str, suffix: str = ".csv"
    ) -> tuple[Result, list[dict[str, Any]]]:
        given = [
            *("--policy", str(self.policy), "--now", "2026-11-22T18:00:00Z"),
            *("--accounts", str(self.file("accounts" + suffix, accounts))),
            *("--leads", str(self.file("leads" + suffix, leads))),
        ]
        result = CliRunner().invoke(app, [*given, *more])
        return result, [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_decides_each_lead_with_its_whole_trace(desk: Desk) -> None:
    result, lines = desk.route(
        LEADS + "L1,ANA@acme.com,ZOE,Acme,U.S.A.,+1 (415) 555-2671,20\nL2,b@gmail.com,Bo,Solo,,,\n"
    )
    assert result.exit_code == 0
    first, second = lines
    assert list(first) == [
        *("lead_id", "outcome", "owner", "pool", "rung", "rule", "account_id", "reason", "corrections", "candidates"),
        *("trace", "decision_id", "policy"),
    ]
    assert (first["lead_id"], first["outcome"], first["owner"], first["rung"]) == (
        "L1",
        "assign",
        "bo@example.com",
        "Customer",
    )
    assert first["account_id"] == "A1"
    assert {c["field"]: c["new"] for c in first["corrections"]} == {
        "email": "ana@acme.com",
        "first_name": "Zoe",
        "country": "US",
        "phone": "+14155552671",
    }
    assert (second["outcome"], second["pool"], second["account_id"]) == ("assign", "Small", "")
    assert "2 (100.0%)" in result.stderr
    assert "columns that fields.yaml does not declare are ignored: colour" in result.stderr


def test_the_same_input_gives_the_same_bytes_to_a_file_and_to_stdout(desk: Desk) -> None:
    rows = LEADS + "".join(f"L{n},x{n}@acme{n % 3}.com,ANA,Acme,UK,0{n},\n" for n in range(50))
    to_stdout, _ = desk.route(rows)
    out = desk.folder / "out.jsonl"
    out.write_text("what was there before")
    to_file, nothing = desk.route(rows, ACCOUNTS, "--out", str(out), "--json")
    assert out.read_text() == to_stdout.stdout
    assert nothing == []
    assert json.loads(to_file.stderr.splitlines()[-1])["leads"] == 50
    assert list(desk.folder.glob("*.part")) == []


def test_jsonl_decides_as_csv_does(desk: Desk) -> None:
    _, from_csv = desk.route(LEADS + "L1,ana@acme.com,Ana,Acme,US,,20\n")
    account = {"id": "A1", "name": "Acme", "website": "acme.com", "country": "US", "type": "Customer", "csm": "Bo Li"}
    lead = {
        "id": "L1",
        "email": "ana@acme.com",
        "first_name": "Ana",
        "company": "Acme",
        "country": "US",
        "employees": 20,
    }
    _, from_json = desk.route(json.dumps(lead), json.dumps(account), suffix=".jsonl")
    assert from_json[0]["owner"] == from_csv[0]["owner"] == "bo@example.com"
    assert from_json[0]["decision_id"] == from_csv[0]["decision_id"]


def test_a_byte_order_mark_semicolons_and_empty_lines_are_fine(desk: Desk) -> None:
    result, lines = desk.route("\ufeffid;email\r\nL1;a@b.de\r\n\r\nL2;c@d.de\r\n")
    assert result.exit_code == 0
    assert [line["lead_id"] for line in lines] == ["L1", "L2"]


def test_without_an_id_column_rows_are_numbered(desk: Desk) -> None:
    result, lines = desk.route("email\na@b.de\nc@d.de\n")
    assert [line["lead_id"] for line in lines] == ["row-1", "row-2"]
    assert "has no column 'id'" in result.stderr


@pytest.mark.parametrize(
    ("row", "lead_id", "reason"),
    [
        ("L1,a@b.de,Ana,=cmd|' /C calc'!A0,US,,", "L1", "leads.csv:2: column 4 (company) holds a spreadsheet formula"),
        ("L1,a@b.de,Ana,@SUM(1+1),US,,", "L1", "column 4 (company) holds a spreadsheet formula"),
        ("L1,a@b.de,Ana,Acme,US,,about 50", "L1", "column 7 (employees): 'about 50' is not a number"),
        ("L1,a@b.de,Ana,Acme,US,,nan", "L1", "'nan' is not a number"),
        ("L1,a@b.de,Ana,Acme", "L1", "the row has 4 cells, the header has 7 columns"),
        (",a@b.de,Ana,Acme,US,,", "row-1", "the row has no id"),
        ('L1,a@b.de,"Ana"x,Acme,US,,', "row-1", "the row cannot be read"),
        ('L1,a@b.de,"Ana,Acme,US,,', "row-1", "the row cannot be read"),
    ],
)
def test_a_row_that_cannot_be_read_is_parked_and_the_others_go_on(
    desk: Desk, row: str, lead_id: str, reason: str
) -> None:
    result, lines = desk.route(LEADS + row + "\nL2,c@d.de,Bo,Solo,DE,+49 30 901820,12\nL3,e@f.de,Bo,-,,@home,-5\n")
    assert result.exit_code == 1
    assert [line["outcome"] for line in lines] == ["parked", "assign", "assign"]
    assert lines[0]["lead_id"] == lead_id
    assert reason in lines[0]["reason"]
    assert "1 (33.3%)" in result.stderr


def test_rows_of_jsonl_that_cannot_be_read_are_parked(desk: Desk) -> None:
    account = '{"id": "A1", "name": "Acme"}\n'
    rows = [
        '{"id": "L1", "email": "a@b.de"}',
        '{"id": "L2", "email": ',
        "[1]",
        '{"email": "a@b.de"}',
        '{"id": "L5", "email": {"work": "a@b.de"}}',
        '{"id": "L6", "employees": "many"}',
        '{"id": "L7", "employees": 1e999}',
        '{"id": 8, "email": "a@b.de", "unheard_of": 1}',
        "[" * 5_000,
    ]
    result, lines = desk.route("\n".join(rows), account, suffix=".jsonl")
    assert result.exit_code == 1
    assert [line["outcome"] for line in lines] == ["assign", *["parked"] * 6, "assign", "parked"]
    assert lines[7]["lead_id"] == "8"
    assert "unheard_of" in result.stderr


@pytest.mark.parametrize(
    ("leads", "accounts", "says"),
    [
        (LEADS.encode() + b"L1,a@b.de,Andr\xe9,Acme,FR,,\n", ACCOUNTS, "leads.csv:2:15: the byte 0xe9 is not UTF-8"),
        (LEADS.encode() + b"L1,a@b.de,A\0,Acme,FR,,\n", ACCOUNTS, "leads.csv:2:12: there is a NUL byte"),
        (LEADS.encode() + "L1,é".encode()[:-1], ACCOUNTS, "ends in the middle of a character"),
        ("id,e_mail\nL1,a@b.de\n", ACCOUNTS, "there is no column 'email' or 'company'. Did you mean 'e_mail'?"),
        ("id,email,email\nL1,a,b\n", ACCOUNTS, "the column 'email' is there twice"),
        ("", ACCOUNTS, "leads.csv:1:1: the file is empty"),
        (LEADS, "id,website\nA1,acme.com\n", "accounts.csv:1: there is no column 'name'"),
        (LEADS, "id,name\nA1,=1+1\n", "accounts.csv:2: column 2 (name) holds a spreadsheet formula"),
        (LEADS, "id,name\nA1,Acme\nA1,Bcme\n", "accounts.csv:3: the id 'A1' is there twice, first on line 2"),
    ],
)
def test_a_file_that_cannot_be_used_stops_at_once(desk: Desk, leads: str | bytes, accounts: str, says: str) -> None:
    result, lines = desk.route(leads, accounts)
    assert result.exit_code == 2
    assert lines == []
    assert says in " ".join(result.stderr.split())


def test_other_calls_that_cannot_work(desk: Desk) -> None:
    result, _ = desk.route('[{"id": 1}]', suffix=".json")
    assert "Write one object a line" in result.stderr
    result, _ = desk.route(LEADS, ACCOUNTS, "--out", str(desk.folder / "leads.csv"))
    assert (result.exit_code, "is one of the files to be read" in " ".join(result.stderr.split())) == (2, True)
    assert (desk.folder / "leads.csv").read_text() == LEADS
    result, _ = desk.route(LEADS, ACCOUNTS, "--now", "yesterday")
    assert result.exit_code == 2
    missing = CliRunner().invoke(
        app,
        [
            "--policy",
            str(desk.policy),
            "--accounts",
            str(desk.folder / "none.csv"),
            "--leads",
            str(desk.folder / "leads.csv"),
        ],
    )
    assert (missing.exit_code, "There is no file" in missing.stderr) == (2, True)


def test_an_unclosed_quote_costs_one_lead_not_the_rest(desk: Desk) -> None:
    rows = [f"L{n},x@y{n}.de,Ana,Acme,US,," for n in range(2_000)]
    rows[3] = 'L3,x@y.de,"Ana,Acme,US,,'
    result, lines = desk.route(LEADS + "\n".join(rows) + "\n")
    assert len(lines) == 2_000
    assert [n for n, line in enumerate(lines) if line["outcome"] == "parked"] == [3]
    assert result.exit_code == 1


def test_dirty_leads_in_bulk_are_all_decided_and_fairly(desk: Desk) -> None:
    import csv
    import io

    rows = companies(None, 300)

    def text(made: Any) -> str:
        made = list(made)
        sheet = io.StringIO()
        writer = csv.DictWriter(sheet, made[0])
        writer.writeheader()
        writer.writerows(made)
        return sheet.getvalue()

    result, lines = desk.route(text(leads(rows, 1_500, 3)), text(accounts(rows, 3)), "--json")
    summary = json.loads(result.stderr.splitlines()[-1])
    assert len(lines) == summary["leads"] == 1_500
    assert summary["parked"] == 0
    assert summary["matched"] > 700
    assert summary["assigned"] + summary["held"] + summary["kept"] + summary["rejected"] == 1_500
    assert all(share["deviation"] < 1 for share in summary["pools"].values())
