"""From settings to connections: which systems there are, and how each one's changes reach us."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from connectors.contract import Connection, Source
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
    if settings.salesforce is None and settings.hubspot is None and settings.marketo is None:
        raise SettingsError(
            "No system is configured: add a section 'salesforce', 'hubspot' or 'marketo' to the settings."
        )

    def systems(policies: Policies) -> Sequence[System]:
        made = []
        if settings.salesforce is not None:
            made.append(_salesforce(settings.salesforce, policies, clock))
        if settings.hubspot is not None:
            made.append(_hubspot(settings.hubspot, policies, clock))
        if settings.marketo is not None:
            made.append(_marketo(settings.marketo, policies, clock))
        return made

    return systems


def connections(settings: Settings, policy: Policy, clock: Clock = utcnow) -> list[Connection]:
    """The configured connections with a policy's fields, for whoever only wants to look. Nothing is contacted yet."""
    made: list[Connection] = []
    if settings.salesforce is not None:
        made.append(SalesforceConnection(settings.salesforce, lambda: entity_maps(policy, "salesforce"), clock))
    if settings.hubspot is not None:
        made.append(HubSpotConnection(settings.hubspot, lambda: entity_maps(policy, "hubspot"), clock))
    if settings.marketo is not None:
        made.append(MarketoConnection(settings.marketo, lambda: entity_maps(policy, "marketo"), clock))
    return made


def _salesforce(settings: SalesforceSettings, policies: Policies, clock: Clock) -> System:
    connection = SalesforceConnection(settings, lambda: policies.maps("salesforce"), clock)
    maps = partial(policies.maps, "salesforce")
    if settings.changes == "poll":
        sources: list[Source] = [SalesforcePolling(connection, maps, clock)]
    else:
        sources = [SalesforceSource(connection, maps, clock, topic) for topic in settings.topics]
    return System(connection, sources, tally=connection.client.budget, calls_today=connection.calls_today)


def _hubspot(settings: HubSpotSettings, policies: Policies, clock: Clock) -> System:
    connection = HubSpotConnection(settings, lambda: policies.maps("hubspot"), clock)
    maps = partial(policies.maps, "hubspot")
    sources: list[Source] = [connection.search] if settings.changes in ("search", "both") else []
    if settings.changes == "journal":
        sources.append(HubSpotJournal(settings, maps, clock))
    # Without webhooks no public address is needed, nor a secret to verify them with.
    hooks = [HubSpotWebhook(settings, maps)] if settings.changes in ("webhooks", "both") else []
    return System(connection, sources, hooks, calls_today=connection.calls_today)


def _marketo(settings: MarketoSettings, policies: Policies, clock: Clock) -> System:
    connection = MarketoConnection(settings, lambda: policies.maps("marketo"), clock)
    hooks = [MarketoWebhook(settings, lambda: policies.maps("marketo"))] if settings.webhook_secret else []
    return System(connection, sources=[connection.source], webhooks=hooks)
