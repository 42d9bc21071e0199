"""``tests.yaml``, ``fingerpost policy test`` and ``explain``: what an ops admin reads of one lead."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from routing.cli.policy import app
from routing.runtime.policy_tests import compile_tested
from rules.model import PolicyError
from tests.unit.rules.samples import EXAMPLE, NOW, errors, shared_example


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example policy that a test may spoil."""
    return shutil.copytree(EXAMPLE, tmp_path / "policy")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_the_tests_of_the_example_pass() -> None:
    assert "11 of 11 tests passed." in run("test", EXAMPLE)


def test_a_failing_test_tells_what_happened_instead_step_by_step(folder: Path) -> None:
    replace(folder / "territories.csv", "pool ENT-West,", "pool ENT-East,")
    told = run("test", folder, code=1)
    assert "✗ A large company in California, badly spelled" in told
    assert "pool is ENT-East, not ENT-West" in told
    assert 'lead.country is "US", account.country is blank, lead.state is "CA"' in told
    assert "10 of 11 tests passed." in told


def test_a_failing_test_keeps_a_policy_from_going_live(folder: Path) -> None:
    replace(folder / "territories.csv", "pool ENT-West,", "pool ENT-East,")
    told = run("check", folder, code=1)
    line = next(n for n, text in enumerate((folder / "tests.yaml").read_text().split("\n"), 1) if "ENT-West" in text)
    assert f"tests.yaml:{line}:13: error: the test 'A large company in California, badly spelled' fails" in told
    assert "cannot go live: 1 error, 0 warnings." in told
    with pytest.raises(PolicyError, match="badly spelled"):
        compile_tested({one.name: one.read_bytes() for one in folder.iterdir()}, NOW)


HEAD = "tests:\n  - test: One\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "    lead: {contry: DE}\n    expect: {outcome: hold}\n",
            "3:12 lead has no field 'contry' | did you mean 'country'?",
        ),
        ("    lead: {employees: many}\n    expect: {outcome: hold}\n", "3:23 lead.employees is a number, not 'many'"),
        (
            "    lead: {free_email: yes}\n    expect: {outcome: hold}\n",
            "3:12 lead.free_email is worked out by the daemon",
        ),
        (
            "    lead: {created_at: 3 days}\n    expect: {outcome: hold}\n",
            "3:24 lead.created_at is a date, not '3 days'",
        ),
        ("    lead: {status: Opn}\n    expect: {outcome: hold}\n", "did you mean 'Open'?"),
        ("    lead: {owner: Ana Dias}\n    expect: {outcome: hold}\n", "3:19 'Ana Dias' is not in people.csv"),
        ("    lead: {country: DE}\n    expect: {rung: The rang}\n", "4:20 there is no rung 'The rang' | did you mean"),
        ("    lead: {country: DE}\n    expect: {outcome: helt}\n", "4:23 'helt' is no outcome"),
        ("    lead: {country: DE}\n", "2:11 this test expects nothing"),
        ("    expect: {outcome: hold}\n", "2:5 there is no record to route here"),
        (
            "    lead: {country: DE}\n    account: {name: A}\n    expect: {outcome: hold}\n",
            "nothing leads from this lead",
        ),
        ("    lead: {country: DE}\n    roster: {Ana Diaz: gone}\n    expect: {outcome: hold}\n", "'gone' is neither"),
    ],
)
def test_a_mistake_in_the_tests_is_told_with_its_place(text: str, told: str) -> None:
    assert any(told in one for one in errors(tests=HEAD + text)), errors(tests=HEAD + text)


def test_why_a_rule_or_a_person_did_not_get_a_lead(tmp_path: Path) -> None:
    lead = tmp_path / "lead.yaml"
    lead.write_text("{email: ada@brookmill.example, country: France, employees: 40}\n")
    told = run("explain", EXAMPLE, "--lead", lead, "--why-not", "DACH", "--why-not", "Jonas Keller")
    assert told.startswith("This lead goes to Giulia Romano")
    wanted = 'lead.country or account.country is "FR"; it would have to be "AT" or "CH" or "DE" or "LI"'
    assert f"territories.csv line 15 (DACH) does not hold:\n    {wanted}" in told
    assert "Jonas Keller is in the pool MM-DACH." in told


def test_why_a_pool_did_not_get_a_lead(tmp_path: Path) -> None:
    lead = tmp_path / "lead.yaml"
    lead.write_text("{email: ada@brookmill.example, country: DE, employees: 40}\n")
    pools = ("MM-DACH", "pool ent-west", "Inbound")
    told = run("explain", EXAMPLE, "--lead", lead, *(one for pool in pools for one in ("--why-not", pool)))
    assert "The pool MM-DACH had it: Jonas Keller is next" in told
    assert "territories.csv line 4 (Enterprise West) → pool ENT-West: lead.country or account.country is" in told
    assert "What LATAM cannot give away overflows there." in told
    assert "is asked first, and decided. It would have to fail." in told


def test_explain_as_json_and_with_surroundings(tmp_path: Path) -> None:
    lead = tmp_path / "lead.json"
    lead.write_text('{"lead": {"email": "a@b.example"}, "account": {"type": "Customer", "csm": "Sven Hoffmann"}}')
    told = json.loads(run("explain", EXAMPLE, "--lead", lead, "--json"))
    assert (told["decision"]["owner"], told["decision"]["rung"]) == (
        "sven.hoffmann@example.com",
        "A customer goes to its CSM",
    )


def test_an_unknown_name_is_told_with_the_nearest(tmp_path: Path) -> None:
    lead = tmp_path / "lead.yaml"
    lead.write_text("country: DE\n")
    assert "Did you mean 'Territory'?" in " ".join(
        run("explain", EXAMPLE, "--lead", lead, "--why-not", "Teritory", code=2).split()
    )


def test_the_example_passes_its_own_tests_before_it_goes_live() -> None:
    assert compile_tested(shared_example(), NOW).tests


def test_what_a_change_means_with_leads_that_go_elsewhere(folder: Path) -> None:
    assert "Both policies mean the same." in run("diff", EXAMPLE, folder)
    replace(folder / "territories.csv", '"DE, AT, CH, LI",,,,pool MM-DACH', '"DE, AT, LI",,,,pool MM-DACH')
    told = run("diff", EXAMPLE, folder, code=1)
    assert "changed  row territories.csv: DACH" in told
    assert 'country "CH": pool MM-DACH → pool Inbound' in told
