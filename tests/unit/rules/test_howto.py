"""The page of how-tos: each edit of it fits the example policy, and sends the leads where the page says."""

from __future__ import annotations

import csv
import io
import re

import pytest

from routing.runtime.policy_tests import compile_tested
from rules.model import PolicyError
from rules.policy import compile_policy
from rules.source import render
from tests.unit.rules.samples import EXAMPLE, NOW, shared_example

PAGE = (EXAMPLE.parents[1] / "HOWTO.md").read_text()
INDEX, *_ = PAGE.split("\n## ")
SECTIONS = dict(section.split("\n", 1) for section in re.split(r"\n### ", PAGE)[1:])
_FENCE = re.compile(r"^```(\w*) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`(\w+\.(?:yaml|csv))`")


def edited(section: str) -> tuple[dict[str, str], str]:
    """The files of the example after the edits of a section, and the tests that it gives."""
    files = {name: data.decode() for name, data in shared_example().items()}
    tests, name, done = "", "", 0
    for fence in _FENCE.finditer(section):
        mentioned = _FILE.findall(section[done : fence.start()])
        name, done = (mentioned[-1] if mentioned else name), fence.end()
        kind, whole, text = fence.groups()
        if kind == "diff":
            files[name] = patched(files[name], text)
        elif kind in ("yaml", "csv") and whole:
            files[whole] = text
            if whole == "engagement.yaml":  # another ladder: what the example expects of its own is over
                files["tests.yaml"] = "tests:\n"
        elif kind == "yaml":
            tests += text
    for table in ("territories.csv", "people.csv"):
        files[table] = squared(files[table])
    return files, tests


def squared(table: str) -> str:
    """Every row as long as the header, as a spreadsheet saves it."""
    rows = list(csv.reader(table.splitlines()))
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([*row, *[""] * (len(rows[0]) - len(row))] for row in rows)
    return out.getvalue()


def patched(text: str, diff: str) -> str:
    lines = diff.splitlines()
    assert all(line[:1] in ("", " ", "-", "+") for line in lines), diff
    before = "".join(line[1:] + "\n" for line in lines if line[:1] != "+")
    after = "".join(line[1:] + "\n" for line in lines if line[:1] != "-")
    assert ("\n" + text).count("\n" + before) == 1, f"this is not once in the file:\n{before}"
    return ("\n" + text).replace("\n" + before, "\n" + after)[1:]


def with_tests(files: dict[str, str], tests: str) -> dict[str, bytes]:
    indented = "".join(f"  {line}\n" if line else "\n" for line in tests.splitlines())
    return {name: (text + (indented if name == "tests.yaml" else "")).encode() for name, text in files.items()}


@pytest.mark.parametrize("title", SECTIONS)
def test_an_edit_does_what_the_page_says(title: str) -> None:
    files, tests = edited(SECTIONS[title].split("\n## ")[0])
    try:
        if files["tests.yaml"] == "tests:\n" and not tests:
            compile_policy(with_tests(files, tests))
        else:
            compile_tested(with_tests(files, tests), NOW)
    except PolicyError as error:
        pytest.fail(render(error.problems))
    if tests:
        plain = {name: data.decode() for name, data in shared_example().items()}
        with pytest.raises(PolicyError):  # the test tells the policy with the edit from the one without
            compile_tested(with_tests(plain, tests), NOW)


def test_the_index_names_every_section_once() -> None:
    links = re.findall(r"\[([^\]]+)\]\(#([^)]+)\)", INDEX)
    assert [title for title, _ in links] == list(SECTIONS)
    assert all(anchor == re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title, anchor in links)
    assert len(links) >= 30
