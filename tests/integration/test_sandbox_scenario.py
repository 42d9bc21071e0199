"""A running sandbox is driven by a scenario file: traffic, faults, deeds; and says what is wrong with a bad one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

import connectors.sandbox
from connectors.sandbox.scenario import read_scenario
from connectors.sandbox.server import SandboxOptions, SandboxServer
from connectors.sandbox.world import PersonSeed
from routing.cli.app import app
from routing.runtime.clock import monotonic, utcnow

SHIPPED = sorted((Path(connectors.sandbox.__file__).parent / "scenarios").glob("*.yaml"))


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    made = SandboxServer([PersonSeed("Ana Diaz", "ana@example.com")], utcnow, monotonic, SandboxOptions(accounts=20))
    made.start()
    yield made
    made.stop()


def load(server: SandboxServer, path: Path, *more: str) -> Any:
    return CliRunner().invoke(app, ["sandbox", "load", "--scenario", str(path), "--admin", server.admin_url, *more])


def test_steps_happen_in_order(server: SandboxServer, tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(
        """
scenario: A small one
steps:
  - traffic: {leads: 4, rate: null, hubspot_share: 1.0}
    faults: [{system: hubspot, operation: search, kind: slow, seconds: 0.1, times: 2}]
  - at: 0.5
    deeds:
      - {system: hubspot, do: update, with: {kind: contacts, record_id: newest, properties: {city: Rome}, user: ana@example.com}}
      - {system: hubspot, do: impose, with: {values: {search_lag: 30}}}
      - {system: salesforce, do: create, with: {name: Lead, fields: {LastName: Bruni, Company: Acme}}}
  - at: 0.6
    clear_faults: true
    webhook: {mischief: {lose_every: 2}}
""",
        "utf-8",
    )
    done = load(server, path, "--wait")
    assert done.exit_code == 0, done.output
    assert done.output == "A small one: 3 of 3 steps done.\n"
    assert [item for item in server.hubspot.items("contacts") if item.properties.get("city") == "Rome"]
    assert [row for row in server.salesforce.records("Lead") if row["LastName"] == "Bruni"]
    state = requests.get(f"{server.admin_url}/state", timeout=30).json()
    assert state["leads"]["hubspot"] == 4
    assert state["faults"] == []
    assert server.hubspot.webhooks.mischief.lose_every == 2


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_ships_can_be_played(server: SandboxServer, path: Path) -> None:
    assert read_scenario(path).steps
    done = load(server, path, "--wait")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scenario: x\nsteps: []", "at least one"),
        ("scenario: x\nsteps: [{at: 5}, {at: 1}]", "step 2 is at 1 s"),
        ("scenario: x\nsteps: [{att: 5}]", "att"),
        ("scenario: [", "not YAML"),
        ("scenario: x\nsteps: [{deeds: [{system: hubspot, do: fly}]}]", "no deed 'fly'"),
        ("scenario: x\nsteps: [{deeds: [{system: sap, do: update}]}]", "no sandbox is called 'sap'"),
    ],
)
def test_a_bad_file_is_refused_with_what_is_wrong(server: SandboxServer, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, "utf-8")
    refused = load(server, path)
    assert refused.exit_code == 2
    assert says in refused.output
    assert "bad.yaml" in refused.output


def test_a_step_that_fails_ends_it_and_says_which(server: SandboxServer, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "scenario: x\nsteps:\n  - deeds: [{system: hubspot, do: delete, with: {kind: contacts, record: '1'}}]\n",
        "utf-8",
    )
    ended = load(server, path, "--wait")
    assert ended.exit_code == 1
    assert "step 1 at 0 s: hubspot delete" in ended.output
    assert "it takes: kind, record_id, user" in ended.output


def test_one_deed_by_hand(server: SandboxServer) -> None:
    deed = {"system": "hubspot", "do": "create", "with": {"kind": "contacts", "properties": {"city": "Lima"}}}
    assert requests.post(f"{server.admin_url}/do", json=deed, timeout=30).status_code == 200
    assert [item for item in server.hubspot.items("contacts") if item.properties.get("city") == "Lima"]
    gone = {"system": "hubspot", "do": "delete", "with": {"kind": "contacts", "record_id": "1"}}
    refused = requests.post(f"{server.admin_url}/do", json=gone, timeout=30)
    assert (refused.status_code, refused.json()["error"]) == (400, "resource not found: 1")
