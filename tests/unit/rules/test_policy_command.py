"""``fingerpost policy check`` and the reading of a policy folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from routing.cli.policy import app
from routing.runtime.policy_folder import PolicyFolderError, read_folder
from rules.source import MAX_BYTES
from tests.unit.rules.samples import EXAMPLE, shared_example


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example policy that a test may spoil."""
    copy = tmp_path / "policy"
    shutil.copytree(EXAMPLE, copy)
    return copy


def spoil(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_sound_policy_is_fine() -> None:
    result = CliRunner().invoke(app, ["check", str(EXAMPLE)])
    assert result.exit_code == 0
    assert "is fine: 40 people" in result.stdout


def test_errors_are_shown_with_their_lines_and_counted(folder: Path) -> None:
    spoil(folder, "engagement.yaml", "pool Marketing desk", "pool Marketing dsk")
    spoil(folder, "people.csv", "Europe/Zurich", "Zurich time")
    result = CliRunner().invoke(app, ["check", str(folder)])
    assert result.exit_code == 1
    assert "    assign: pool Marketing dsk\n" in result.stdout
    assert "did you mean 'Marketing desk'?" in result.stdout
    assert "cannot go live: 2 errors, 0 warnings." in result.stdout


def test_warnings_alone_let_it_go_live(folder: Path) -> None:
    (folder / "spare.csv").write_text("name,assign\n")
    result = CliRunner().invoke(app, ["check", str(folder)])
    assert result.exit_code == 0
    assert "spare.csv:1:1: warning:" in result.stdout


def test_mistakes_in_its_tests_hide_nothing_about_the_policy(folder: Path) -> None:
    spoil(folder, "tests.yaml", "rung: Otherwise", "rung: Otherwize")
    spoil(
        folder,
        "engagement.yaml",
        'event.system = "hubspot"',
        'event.system = "hubspot" and event.system = "salesforce"',
    )
    result = CliRunner().invoke(app, ["check", str(folder)])
    assert result.exit_code == 1
    assert "there is no rung 'Otherwize'" in result.stdout
    assert "with what stands before it, this can never hold" in result.stdout


def test_a_folder_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "There is no policy folder" in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_json_holds_every_problem_with_its_place(folder: Path) -> None:
    spoil(folder, "pools.yaml", "Renee Tremblay: 0.5", "Renee Tremblay: lots")
    result = CliRunner().invoke(app, ["check", str(folder), "--json"])
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (told["ok"], told["errors"], told["warnings"]) == (False, 1, 0)
    problem = told["problems"][0]
    line = (folder / "pools.yaml").read_text(encoding="utf-8").split("\n")[problem["line"] - 1]
    assert line[problem["column"] - 1 :][: problem["length"]] == "lots"


def test_only_the_visible_yaml_and_csv_files_of_a_folder_are_read(folder: Path) -> None:
    (folder / ".hidden.yaml").write_text("x")
    (folder / "notes.txt").write_text("x")
    (folder / "~$people.xlsx").write_text("x")
    (folder / "sub.csv").mkdir()
    (folder / "link.csv").symlink_to(folder / "people.csv")
    assert read_folder(folder) == shared_example()


def test_of_an_oversized_file_no_more_is_read_than_shows_it(folder: Path) -> None:
    with (folder / "huge.csv").open("wb") as file:
        file.truncate(MAX_BYTES * 2)
    assert len(read_folder(folder)["huge.csv"]) == MAX_BYTES + 1


def test_a_folder_without_policy_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(PolicyFolderError, match="holds no YAML, CSV or XLSX files"):
        read_folder(tmp_path)
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(PolicyFolderError, match="is a file"):
        read_folder(tmp_path / "a.csv")
