"""What is installed can do what a checkout can: each file that the code or its user reads is in the package."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

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


def test_coming_up_again_takes_nothing_back_and_leaves_nothing_away() -> None:
    """`docker compose up` runs after each reboot, and to start one worker more: a policy that was published since must stay."""
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))["services"]
    [script] = services["setup"]["command"]
    commands = [line.partition(" --")[0] for line in script.splitlines()]
    assert commands == ["fingerpost ledger upgrade", "fingerpost topics create"]
    assert [name for name, one in services.items() if "restart" not in one] == ["setup"]
