"""From settings to sources: one for each Salesforce topic, or one that asks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.errors import RateLimited
from connectors.hubspot.settings import HubSpotSettings
from connectors.marketo.settings import MarketoSettings
from connectors.patience import Asked
from connectors.salesforce.polling import SalesforcePolling
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.source import SalesforceSource
from routing.bootstrap.process import Process
from routing.bootstrap.reading import Reading, System
from routing.bootstrap.settings import Settings
from routing.bootstrap.systems import connect
from routing.ledger.engine import Ledger
from routing.runtime.clock import utcnow
from routing.runtime.pause_board import PauseBoard
from routing.runtime.policies import Policies
from tests.processes import POLICY

POLICIES: Any = SimpleNamespace(maps=lambda _system: {})


def system(**given: Any) -> System:
    salesforce = SalesforceSettings(login_url="https://a.example", client_id="id", **given)
    [made] = connect(Settings(policy=Path("policy"), ledger="sqlite://", salesforce=salesforce))(POLICIES)
    return made


def test_each_topic_is_a_source_with_a_position_and_a_service_of_its_own() -> None:
    made = system(topics=("/data/LeadChangeEvent", "/data/Sales__chn"))
    assert all(isinstance(source, SalesforceSource) for source in made.sources)
    assert [source.stream for source in made.sources] == [
        "salesforce:/data/LeadChangeEvent",
        "salesforce:/data/Sales__chn",
    ]
    nothing: Any = None
    reading = Reading(made, nothing, POLICIES, nothing, nothing, nothing)
    assert len(reading.sources) == 2


def test_without_change_data_capture_one_source_asks() -> None:
    [source] = system(changes="poll").sources
    assert isinstance(source, SalesforcePolling)


def test_every_process_knows_what_any_of_them_was_asked_to_wait_for(tmp_path: Path) -> None:
    """Of each system, and of what has a limit of its own."""
    made: list[System] = []
    settings = Settings(
        policy=POLICY,
        ledger=f"sqlite:///{tmp_path / 'ledger.db'}",
        salesforce=SalesforceSettings(login_url="https://a.example", client_id="id"),
        hubspot=HubSpotSettings(access_token="t", changes="search"),
        marketo=MarketoSettings(host="https://a.example", client_id="id", client_secret="s"),
    )

    def systems(policies: Policies) -> list[System]:
        made.extend(connect(settings)(policies))
        return made

    process = Process(settings.ledger, POLICY, systems, alone=True)
    names = [hold.name for one in made for hold in one.holds]
    assert names == [
        "salesforce",
        "salesforce change events /data/ChangeEvents",
        *(f"salesforce {urgency} calls" for urgency in ("background", "normal", "urgent")),
        "hubspot",
        "hubspot searches",
        "hubspot requests that can wait",
        "marketo",
        "marketo exports",
        "marketo calls that can wait",
    ]
    for one in made:
        for hold in one.holds:
            with pytest.raises(RateLimited), hold.heeded():
                raise RateLimited("not now", system=one.name, retry_after=60.0)
    process.stop()
    ledger = Ledger(settings.ledger)
    board = PauseBoard(ledger)
    assert [(board.asked(name) or Asked(utcnow(), 0)).seconds for name in names] == [60.0] * len(names)
    ledger.close()
