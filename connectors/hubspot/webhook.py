"""The intake of HubSpot's webhooks: signature, then payload. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from connectors.contract import Maps
from connectors.errors import Misconfigured
from connectors.hubspot.objects import Target, targets
from connectors.hubspot.payload import Unknown, read_batch, read_one
from connectors.hubspot.settings import SYSTEM, HubSpotSettings
from connectors.hubspot.signature import called_uri, verify
from routing.core.model import ChangeEvent, EntityMap, Unreadable


class HubSpotWebhook:
    """``contract.Webhook`` for HubSpot. Raises Misconfigured at once when the settings could not verify anything."""

    system = SYSTEM

    def __init__(self, settings: HubSpotSettings, maps: Maps) -> None:
        settings.require_webhook()
        self.path = settings.path
        self._settings = settings
        self._secrets = tuple(secret for secret in settings.client_secrets if secret)
        self._maps = maps
        self._seen: tuple[Mapping[str, EntityMap], dict[str, Target]] | None = None

    def receive(
        self,
        method: str,
        path: str,  # noqa: ARG002 - HubSpot signs the public address, whatever a proxy made of the path
        query: str,
        headers: Mapping[str, str],
        body: bytes,
        now: datetime,
    ) -> list[ChangeEvent | Unreadable]:
        """See ``contract.Webhook``. 10 to 20 µs an event."""
        uri = called_uri(self._settings.public_url, query)
        verify(self._secrets, method, uri, headers, body, now, self._settings.oldest_signature)
        return read_batch(body, self._targets(), now)

    def reread(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        """Reads one event, or a whole body, that was kept as ``Unreadable``. Raises Misconfigured when it still is."""
        if raw.lstrip()[:1] == b"[":
            found = read_batch(raw, self._targets(), observed_at)
            for one in found:
                if isinstance(one, Unreadable):
                    raise Misconfigured(one.error, system=SYSTEM)
            return [one for one in found if isinstance(one, ChangeEvent)]
        try:
            return read_one(raw, self._targets(), observed_at)
        except Unknown as error:
            raise Misconfigured(str(error), system=SYSTEM) from error

    def _targets(self) -> dict[str, Target]:
        """Kept until a new policy brings other maps."""
        maps = self._maps()
        if self._seen is None or self._seen[0] is not maps:
            self._seen = (maps, targets(maps))
        return self._seen[1]
