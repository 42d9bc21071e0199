"""Every connector answers every rule of ``connectors/quality.yaml``, and what it calls done is shown by a test that exists."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CONNECTORS = Path(__file__).parents[2] / "connectors"
GRADES = ("bronze", "silver", "gold")
RULES: dict[str, dict[str, str]] = yaml.safe_load((CONNECTORS / "quality.yaml").read_text("utf-8"))
# A connector is a folder with a connection; the sandbox is none.
FOLDERS = sorted(path.parent for path in CONNECTORS.glob("*/connection.py"))


def answers(folder: Path) -> dict[str, dict[str, Any]]:
    return yaml.safe_load((folder / "quality.yaml").read_text("utf-8")) or {}


def marks(thing: Any) -> Iterator[str]:
    found = getattr(thing, "pytestmark", [])
    yield from (mark.name for mark in (found if isinstance(found, list) else [found]))


def find(node: str) -> list[Any]:
    """Module, classes and function of a pytest node id. Raises AssertionError in words."""
    path, *names = node.partition("[")[0].split("::")
    assert (CONNECTORS.parent / path).is_file(), f"{node}: there is no file {path}"
    assert names, f"{node}: names a file, not a test"
    assert names[-1].startswith("test_"), f"{node}: {names[-1]} is no test"
    found = [importlib.import_module(path.removesuffix(".py").replace("/", "."))]
    for name in names:
        assert hasattr(found[-1], name), f"{node}: there is no {name}"
        found.append(getattr(found[-1], name))
    return found


def test_rules_have_a_grade_and_a_meaning() -> None:
    assert RULES
    for name, rule in RULES.items():
        assert rule["grade"] in GRADES, name
        assert rule["means"], name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
class TestConnector:
    def test_answers_each_rule_once(self, folder: Path) -> None:
        given = answers(folder)
        assert set(given) == set(RULES), {"missing": set(RULES) - set(given), "unknown": set(given) - set(RULES)}

    def test_each_rule_is_done_or_exempt_with_a_reason(self, folder: Path) -> None:
        for name, answer in answers(folder).items():
            assert answer, f"{name}: neither done nor exempt"
            assert set(answer) <= {"done", "exempt"}, name
            assert "exempt" not in answer or len(str(answer["exempt"])) > 20, f"{name}: a reason in a sentence"
            assert "done" not in answer or answer["done"], f"{name}: done by no test"

    def test_what_is_done_is_shown_by_a_test_that_exists_and_is_expected_to_pass(self, folder: Path) -> None:
        wrong = []
        for name, answer in answers(folder).items():
            for node in answer.get("done", ()):
                try:
                    found = find(node)
                except AssertionError as error:
                    wrong.append(f"{name}: {error}")
                    continue
                if any(mark in ("xfail", "skip") for thing in found for mark in marks(thing)):
                    wrong.append(f"{name}: {node} is not expected to pass")
        assert wrong == []

    def test_nothing_of_bronze_is_missing(self, folder: Path) -> None:
        assert [
            name
            for name, answer in answers(folder).items()
            if "done" not in answer and RULES[name]["grade"] == "bronze"
        ] == []
