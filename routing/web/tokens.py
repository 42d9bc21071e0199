"""Who calls the JSON API: the name that the settings give the bearer token."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from starlette.requests import Request

from connectors.salesforce.settings import Secret


def caller(request: Request, tokens: Mapping[str, Secret]) -> str | None:
    """The name of whoever sent the request, by its bearer token; None for a wrong one. Takes as long whichever is sent."""
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    found = None
    for name, token in tokens.items():
        same = hmac.compare_digest(sent.strip().encode("utf-8", "replace"), token.reveal().encode())
        if same and token and scheme.lower() == "bearer":
            found = name
    return found
