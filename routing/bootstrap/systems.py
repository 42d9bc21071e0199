"""From settings to connections: which systems there are, and how each one's changes reach us."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from connectors.contract import Connection
from connectors.hubspot.connection import HubSpotConnection
from connectors.hubspot.settings import HubSpotSettings
from connectors.hubspot.webhook import HubSpotWebhook
from connectors.salesforce.connection import SalesforceConnection
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.source import SalesforceSource
from routing.bootstrap.reading import System
from routing.bootstrap.settings import Settings, SettingsError
from routing.runtime.clock import Clock, utcnow
from routing.runtime.policies import Policies, entity_maps
from rules.policy import Policy


def connect(settings: Settings, clock: Clock = utcnow) -> Callable[[Policies], Sequence[System]]:
    """What ``Daemon`` needs to make its systems. Nothing is contacted yet. Raises SettingsError when there is no system."""
    if settings.salesforce is None and settings.hubspot is None:
        raise SettingsError("No system is configured: add a section 'salesforce' or 'hubspot' to the settings.")

    def systems(policies: Policies) -> Sequence[System]:
        made = []
        if settings.salesforce is not None:
            made.append(_salesforce(settings.salesforce, policies, clock))
        if settings.hubspot is not None:
            made.append(_hubspot(settings.hubspot, policies, clock))
        return made

    return systems


def connections(settings: Settings, policy: Policy, clock: Clock = utcnow) -> list[Connection]:
    """The configured connections with a policy's fields, for whoever only wants to look. Nothing is contacted yet."""
    made: list[Connection] = []
    if settings.salesforce is not None:
        made.append(SalesforceConnection(settings.salesforce, lambda: entity_maps(policy, "salesforce"), clock))
    if settings.hubspot is not None:
        made.append(HubSpotConnection(settings.hubspot, lambda: entity_maps(policy, "hubspot"), clock))
    return made


def _salesforce(settings: SalesforceSettings, policies: Policies, clock: Clock) -> System:
    connection = SalesforceConnection(settings, lambda: policies.maps("salesforce"), clock)
    source = SalesforceSource(connection, lambda: policies.maps("salesforce"), clock)
    return System(connection, sources=[source])


def _hubspot(settings: HubSpotSettings, policies: Policies, clock: Clock) -> System:
    connection = HubSpotConnection(settings, lambda: policies.maps("hubspot"), clock)
    return System(connection, webhooks=[HubSpotWebhook(settings, lambda: policies.maps("hubspot"))])
