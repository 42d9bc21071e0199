"""What a process serves over HTTP: webhooks, health and metrics, and the JSON API for whoever has a token."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.applications import Starlette

from connectors.salesforce.settings import Secret
from routing.bootstrap.process import Process
from routing.web.answers import answers_route
from routing.web.app import build_app
from routing.web.claims import claims_route
from routing.web.presence import presence_route


def app_of(process: Process, tokens: Mapping[str, Secret]) -> Starlette:
    """The app of a process. Without ``tokens`` it has no API."""
    api = []
    if tokens:
        ledger, clock, look = process.ledger, process.clock, process.look
        api = [
            presence_route(ledger, lambda: process.policies.current, clock, tokens, look),
            claims_route(ledger, lambda: process.policies.current, clock, tokens, look),
            answers_route(ledger, lambda: process.policies.current, clock, tokens, look),
        ]
    return build_app(process.webhooks, process.intake, process.clock, process.health, process.metrics.registry, api)
