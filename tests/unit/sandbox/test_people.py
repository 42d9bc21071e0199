"""Who the sandbox's users are."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sandbox.people import read_people


def test_reads_the_columns_it_needs(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(
        "\ufeffname,email,role,region,active,shoe\nAna Diaz,Ana@x.example,CSM,AMER,,44\nBo,b@x.example,,,no,\n"
    )
    ana, bo = read_people(file)
    assert (ana.name, ana.email, ana.role, ana.region, ana.active) == ("Ana Diaz", "Ana@x.example", "CSM", "AMER", True)
    assert not bo.active


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name,mail\n", "people.csv:1: the column email"),
        (b"name,email\nAna,\n", "people.csv:2: a person needs"),
        (b"name,email\nA,a@x.example\nB,A@x.example\n", "stands in it twice"),
        (b"name,email,active\nA,a@x.example,no\n", "nobody in it is active"),
        (b"name,email\n\xff\xfe,a@x.example\n", "not UTF-8"),
        (b"", "column email and name"),
    ],
)
def test_a_file_that_cannot_serve_says_where_and_why(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_people(file)
