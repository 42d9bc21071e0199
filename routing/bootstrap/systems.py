"""From settings to connections: which systems there are, and how each one's changes reach us."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from connectors.contract import Connection, Maps, Source
from connectors.hubspot.connection import HubSpotConnection
from connectors.hubspot.journal import HubSpotJournal
from connectors.hubspot.settings import HubSpotSettings
from connectors.hubspot.webhook import HubSpotWebhook
from connectors.marketo.connection import MarketoConnection
from connectors.marketo.settings import MarketoSettings
from connectors.marketo.webhook import MarketoWebhook
from connectors.salesforce.connection import SalesforceConnection
from connectors.salesforce.polling import SalesforcePolling
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.source import SalesforceSource
from routing.bootstrap.reading import System
from routing.bootstrap.settings import Settings, SettingsError
from routing.runtime.clock import Clock, utcnow
from routing.runtime.policies import Policies, entity_maps
from rules.policy import Policy


def connect(settings: Settings, clock: Clock = utcnow) -> Callable[[Policies], Sequence[System]]:
    """What ``Daemon`` needs to make its systems. Nothing is contacted yet. Raises SettingsError when there is no system."""
    if not configured(settings):
        raise SettingsError(f"No system is configured. {ADD_ONE}")

    def systems(policies: Policies) -> Sequence[System]:
        made = []
        for name, found in configured(settings).items():
            maps = partial(policies.maps, name)
            connecting, listening = SYSTEMS[name]
            made.append(listening(connecting(found, maps, clock), found, maps, clock))
        return made

    return systems


def connections(settings: Settings, policy: Policy, clock: Clock = utcnow) -> list[Connection]:
    """The configured connections with a policy's fields, for whoever only wants to look. Nothing is contacted yet."""
    return [
        SYSTEMS[name][0](found, partial(entity_maps, policy, name), clock)
        for name, found in configured(settings).items()
    ]


def configured(settings: Settings) -> dict[str, Any]:
    """The systems that have a section in the settings, with what it says."""
    return {name: found for name in SYSTEMS if (found := getattr(settings, name)) is not None}


def _salesforce(connection: SalesforceConnection, settings: SalesforceSettings, maps: Maps, clock: Clock) -> System:
    poll = settings.changes == "poll"
    streams = [] if poll else [SalesforceSource(connection, maps, clock, topic) for topic in settings.topics]
    return System(
        connection,
        [SalesforcePolling(connection, maps, clock)] if poll else streams,
        tally=connection.client.budget,
        calls_today=connection.calls_today,
        holds=[connection.client.hold, *(stream.hold for stream in streams), *connection.client.budget.holds.values()],
    )


def _hubspot(connection: HubSpotConnection, settings: HubSpotSettings, maps: Maps, clock: Clock) -> System:
    sources: list[Source] = [connection.search] if settings.changes in ("search", "both") else []
    holds = connection.holds
    if settings.changes == "journal":
        journal = HubSpotJournal(settings, maps, clock)
        sources.append(journal)
        holds.append(journal.hold)
    # Without webhooks no public address is needed, nor a secret to verify them with.
    hooks = [HubSpotWebhook(settings, maps)] if settings.changes in ("webhooks", "both") else []
    return System(connection, sources, hooks, calls_today=connection.calls_today, holds=holds)


def _marketo(connection: MarketoConnection, settings: MarketoSettings, maps: Maps, _: Clock) -> System:
    hooks = [MarketoWebhook(settings, maps)] if settings.webhook_secret else []
    return System(
        connection,
        sources=[connection.source],
        webhooks=hooks,
        calls_today=connection.calls_today,
        holds=connection.holds,
    )


# By the name of its section in the settings: what connects, and what listens over the connection.
SYSTEMS: Mapping[str, tuple[Callable[[Any, Maps, Clock], Connection], Callable[[Any, Any, Maps, Clock], System]]] = {
    "salesforce": (SalesforceConnection, _salesforce),
    "hubspot": (HubSpotConnection, _hubspot),
    "marketo": (MarketoConnection, _marketo),
}
ADD_ONE = f"Add a section {' or '.join(map(repr, SYSTEMS))} to the settings."
