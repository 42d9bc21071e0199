"""From settings to sources: one for each Salesforce topic, or one that asks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from connectors.salesforce.polling import SalesforcePolling
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.source import SalesforceSource
from routing.bootstrap.reading import Reading, System
from routing.bootstrap.settings import Settings
from routing.bootstrap.systems import connect

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
