"""What can be typed, set or watched is documented, or a test fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from prometheus_client import generate_latest

from connectors.hubspot.settings import HubSpotSettings
from connectors.marketo.settings import MarketoSettings
from connectors.salesforce.settings import SalesforceSettings
from routing.bootstrap.settings import Settings
from routing.cli.app import app
from routing.runtime.kafka.settings import KafkaSettings
from routing.runtime.metrics import Metrics

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def commands() -> list[str]:
    group = typer.main.get_command(app)
    found = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        found += [f"{name} {sub}" for sub in below] if below else [name]
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_stands_in_the_readme(command: str) -> None:
    assert f"`{command}" in README or f"fingerpost {command}" in README


@pytest.mark.parametrize("shape", [Settings, SalesforceSettings, HubSpotSettings, MarketoSettings, KafkaSettings])
def test_every_setting_is_named_in_the_operators_page(shape: type) -> None:
    page = (ROOT / "deploy" / "README.md").read_text("utf-8")
    missing = [name for name in shape.__struct_fields__ if f"`{name}`" not in page]  # type: ignore[attr-defined]
    assert missing == []


def test_metrics_are_named_in_the_operators_pages_as_they_are_served() -> None:
    """An alarm on a name that is not served never goes off."""
    text = generate_latest(Metrics().registry).decode()
    served = {name for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) if not name.endswith("_created")}
    named = {
        page.name: set(re.findall(r"\bfingerpost_[a-z_]+", page.read_text("utf-8")))
        for page in (ROOT / "deploy").glob("*.md")
    }
    assert served <= named["README.md"]
    assert {page: names - served for page, names in named.items()} == {page: set() for page in named}


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [page for page in ROOT.rglob("*.md") if ".venv" not in page.parts]
    assert len(pages) >= 8
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} points to {target}"


def test_no_file_names_a_registry() -> None:
    hosts = ("pypi" + ".org", "pythonhosted" + ".org", "repo1.maven" + ".org", "registry.npmjs" + ".org")
    for path in (ROOT / "requirements.lock", ROOT / "pyproject.toml", ROOT / "Makefile"):
        assert not any(host in path.read_text("utf-8") for host in hosts)
