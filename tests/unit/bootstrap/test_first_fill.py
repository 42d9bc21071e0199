"""A daemon before it decides: all systems are read at the same time, and whoever asks is told how far each is and what it waits for."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.contract import Finding, Page
from connectors.errors import RateLimited
from connectors.patience import Hold
from routing.bootstrap.daemon import Daemon
from routing.bootstrap.reading import System
from routing.cli.app import app
from routing.core.model import ChangeEvent, derived_id
from routing.runtime.clock import utcnow
from tests.conftest import START
from tests.processes import POLICY, wait_for


class Crm:
    """Holds five leads on one page; what comes behind it waits for ``go_on``."""

    batch_size = look_size = 10
    calls = 0

    def __init__(self, system: str) -> None:
        self.system = system
        self.asked, self.go_on = threading.Event(), threading.Event()
        self.hold = Hold(system, utcnow)

    def backfill(self, entities: Sequence[str], after: Mapping[str, str] | None = None) -> Iterator[list[ChangeEvent]]:
        if "lead" in entities:
            events = [
                ChangeEvent(
                    event_id=derived_id(self.system, str(n)),
                    system=self.system,
                    entity="lead",
                    record_id=f"{self.system} {n}",
                    kind="snapshot",
                    occurred_at=START - timedelta(days=9),
                    observed_at=START,
                    values={"company": "x"},
                )
                for n in range(5)
            ]
            yield Page(events, cursor="c", reached="those made until 2024-03-01")
            self.asked.set()
            assert self.go_on.wait(30)

    def check(self) -> list[Finding]:
        return []

    def close(self) -> None:
        self.go_on.set()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Daemon, Crm, Crm]]:
    crms: Any = [Crm("salesforce"), Crm("hubspot")]
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    daemon = Daemon(url, POLICY, lambda _policies: [System(crm, holds=[crm.hold]) for crm in crms])
    yield daemon, *crms
    for crm in crms:
        crm.go_on.set()
    daemon.stop()


def test_all_systems_are_read_at_the_same_time_and_health_says_how_far_each_is(two: tuple[Daemon, Crm, Crm]) -> None:
    daemon, one, other = two
    daemon.start()
    assert one.asked.wait(30)
    assert other.asked.wait(30), "the second system waits for the first"
    so_far = "5 records so far, now lead, those made until 2024-03-01"
    assert daemon.health()["filling"] == {"hubspot": so_far, "salesforce": so_far}
    assert not daemon.health()["ok"]
    other.go_on.set()
    wait_for("one system to be read", lambda: daemon.health()["filling"] == {"salesforce": so_far})
    assert not daemon.ready.is_set(), "a lead would not meet the one that the same person is in the other system"
    one.go_on.set()
    assert daemon.ready.wait(30)
    health = daemon.health()
    assert (health["filling"], health["waits_for"], health["ok"]) == ({}, "", True)


def test_doctor_says_how_far_the_first_fill_is(
    two: tuple[Daemon, Crm, Crm], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "t")
    daemon, one, other = two
    daemon.start()
    assert one.asked.wait(30)
    assert other.asked.wait(30)
    config = tmp_path / "fingerpost.yaml"
    config.write_text(
        f"policy: {POLICY}\nledger: {daemon.ledger.url}\nhubspot: {{access_token: {{env: TOKEN}}, host: 'http://127.0.0.1:1', changes: search}}\n"
    )
    result = CliRunner().invoke(app, ["doctor", "--config", str(config)])
    said = " ".join(result.output.split())
    assert "hubspot: first fill not done (5 records so far, now lead, those made until 2024-03-01)" in said


def test_a_system_that_wants_no_requests_is_told_with_why_and_until_when_and_all_is_well(
    two: tuple[Daemon, Crm, Crm],
) -> None:
    daemon, one, other = two
    one.go_on.set()
    other.go_on.set()
    daemon.start()
    assert daemon.ready.wait(30)
    assert daemon.health()["crms_wait"] == []
    with pytest.raises(RateLimited), other.hold.heeded():
        raise RateLimited("the day's requests are used up", system="hubspot", retry_after=60.0)
    health: Any = daemon.health()
    [told] = health["crms_wait"]
    assert (told["system"], told["why"]) == ("hubspot", "the day's requests are used up")
    assert told["until"] > told["since"]
    assert health["ok"], "a restart would not mend it"
    assert daemon.metrics.registry.get_sample_value("fingerpost_crm_waits_seconds", {"system": "hubspot"}) is not None
    assert daemon.metrics.registry.get_sample_value("fingerpost_crm_waits_seconds", {"system": "salesforce"}) is None
