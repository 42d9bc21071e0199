"""What is installed can do what a checkout can: each file that the code or its user reads is in the package."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_READ = {".py", ".pyc", ".pyi", ".md", ".proto"}
FOR_DEVELOPERS = {"quality.yaml"}
WRITTEN_ANEW = ROOT / "rules/schema"  # by `fingerpost policy schema`


def test_every_file_of_data_is_installed() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]
    installed = {path for package, globs in told.items() for glob in globs for path in (ROOT / package).glob(glob)}
    data = {
        path
        for package in ("rules", "routing", "connectors")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in NOT_READ and path.name not in FOR_DEVELOPERS
    }
    assert {path for path in data if WRITTEN_ANEW not in path.parents} <= installed
    assert all(list((ROOT / package).glob(glob)) for package, globs in told.items() for glob in globs)
