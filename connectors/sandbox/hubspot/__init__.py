"""A stand-in for HubSpot: REST, rate limits, and a sender of signed webhooks."""

from connectors.sandbox.hubspot.server import HubSpotSandbox

__all__ = ["HubSpotSandbox"]
