"""The intake of Marketo's flow step "Call Webhook": known by a secret in a header, read as {"id": lead id}. Does no I/O."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime

import msgspec

from connectors.contract import Maps
from connectors.errors import Misconfigured, SignatureRefused
from connectors.marketo.settings import SYSTEM, MarketoSettings
from connectors.marketo.values import is_lead_id, lead_map
from routing.core.model import ChangeEvent, Unreadable, derived_id


class _Body(msgspec.Struct, frozen=True):
    """What the webhook's template in Marketo must send: {"id": {{lead.Id}}, "step": "any text"}."""

    id: int | str
    step: str | None = None  # an empty token of the template is null


class MarketoWebhook:
    """``contract.Webhook`` for Marketo. The lead is read back: what the flow knew may be old by the time it calls.

    Marketo neither signs nor repeats its calls, and waits 30 seconds for the answer. Raises Misconfigured at once without a secret.
    """

    system = SYSTEM

    def __init__(self, settings: MarketoSettings, maps: Maps) -> None:
        settings.require_webhook()
        self.path = settings.path
        self._secret, self._header = settings.webhook_secret.encode(), settings.webhook_header.lower()
        self._maps = maps

    def receive(
        self,
        method: str,  # noqa: ARG002 - of the contract
        path: str,  # noqa: ARG002
        query: str,  # noqa: ARG002
        headers: Mapping[str, str],
        body: bytes,
        now: datetime,
    ) -> list[ChangeEvent | Unreadable]:
        """See ``contract.Webhook``."""
        given = headers.get(self._header)
        if not given:
            raise SignatureRefused(f"the header {self._header} is missing: add it to the webhook in Marketo")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._secret):
            raise SignatureRefused(f"the header {self._header} does not hold webhook_secret")
        try:
            return list(self.reread(body, now))
        except Misconfigured as error:
            text = body.decode("utf-8", "backslashreplace")
            event_id = derived_id(SYSTEM, "unreadable", text)
            return [Unreadable(event_id=event_id, system=SYSTEM, error=str(error), raw=body, observed_at=now)]

    def reread(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        """As ``Source.reread``. Raises Misconfigured."""
        try:
            said = msgspec.json.decode(raw, type=_Body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Misconfigured(
                'the body is not {"id": …}: correct the payload template of the webhook in Marketo', system=SYSTEM
            ) from None
        record_id, step = str(said.id), said.step or ""
        if not is_lead_id(record_id):
            raise Misconfigured('the body\'s "id" is no lead id: put {{lead.Id}} there', system=SYSTEM)
        # A call has no id of its own. What comes twice within a second is the same news.
        at = observed_at.replace(microsecond=0)
        return [
            ChangeEvent(
                event_id=derived_id(SYSTEM, "flow", record_id, step, at.isoformat()),
                system=SYSTEM,
                entity=lead_map(self._maps()).entity,
                record_id=record_id,
                kind="updated",
                occurred_at=observed_at,
                observed_at=observed_at,
                origin=f"flow {step}".strip(),
                cursor=f"flow at {at.isoformat()}",
                complete=False,
            )
        ]
