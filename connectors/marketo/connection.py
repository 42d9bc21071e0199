"""One Marketo subscription as the daemon holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from connectors.contract import Finding, Maps, Snapshot, WriteResult
from connectors.errors import ConnectorError, Misconfigured
from connectors.marketo.client import Client, used_today
from connectors.marketo.reader import MarketoReader
from connectors.marketo.settings import SYSTEM, MarketoSettings
from connectors.marketo.sink import MarketoSink
from connectors.marketo.source import MarketoSource
from connectors.marketo.values import lead_map
from routing.core.model import ChangeEvent, Write

_SKEW = 60.0  # seconds
_FIELDS = "leads: every mapped field is there"
_LOGIN_ADVICE = "Check host, client_id, client_secret and the API user's role."


class _Rest(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    read_only: bool = False


class _Field(msgspec.Struct, frozen=True):
    rest: _Rest = _Rest()


class _Fields(msgspec.Struct, frozen=True):
    result: list[_Field] = []


class MarketoConnection:
    """``contract.Connection`` for Marketo. Safe to use from several threads. ``source`` is a ``contract.Source`` over the same account."""

    system = SYSTEM
    batch_size = MarketoSink.batch_size

    def __init__(self, settings: MarketoSettings, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client = Client(settings, clock)
        self._maps, self._clock = maps, clock
        self._reader = MarketoReader(self._client, maps, clock)
        self._sink = MarketoSink(self._client, maps, self._reader)
        self.source = MarketoSource(self._client, maps, clock)

    @property
    def calls(self) -> int:
        """Requests made so far, refused ones included, logins not."""
        return self._client.calls

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        """See ``contract.Reader``; 300 ids a request."""
        self._require(entity)
        return self._reader.read(ids, fields)

    def backfill(self, entities: Sequence[str], after: Mapping[str, str] | None = None) -> Iterator[list[ChangeEvent]]:
        """See ``contract.Reader``: bulk exports, minutes each."""
        entity = lead_map(self._maps()).entity
        if entity in entities:
            yield from self._reader.backfill((after or {}).get(entity, ""))

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        """See ``contract.Sink``."""
        return self._sink.write(writes)

    def created(self, writes: Sequence[Write]) -> dict[str, str]:
        """See ``contract.Sink.created``."""
        return self._sink.created(writes)

    def check(self) -> list[Finding]:
        """See ``contract.Connection``."""
        looks = (
            ("Marketo answers and accepts the service", _LOGIN_ADVICE, self._login),
            ("calls are left today", "Look at Admin, Web Services, in Marketo.", self._limits),
            (_FIELDS, "Correct fields.yaml, or try again once Marketo is well.", self._fields),
        )
        findings: list[Finding] = []
        for what, advice, look in looks:
            try:
                findings += look()
            except ConnectorError as error:
                findings.append(Finding(what, False, str(error), advice))
                if look == self._login:
                    break  # nothing else can be asked
        return [*findings, self._webhook()]

    def _login(self) -> Iterator[Finding]:
        self._client.login()
        yield Finding("Marketo answers and accepts the service", True, self._client.settings.host)

    def _limits(self) -> Iterator[Finding]:
        used, most = used_today(self._client), self._client.settings.daily_calls
        fine = used <= most * 0.9
        advice = "" if fine else "Find what else uses the quota; raise poll_seconds."
        yield Finding("calls are left today", fine, f"{used} of {most} are used", advice)
        try:
            skew = (self._clock() - parsedate_to_datetime(self._client.date).astimezone(UTC)).total_seconds()
        except ValueError:
            return  # a proxy's idea of a date; then there is nothing to compare
        fine = abs(skew) <= _SKEW
        yield Finding(
            "the clocks agree",
            fine,
            f"this machine is {skew:+.0f} s from Marketo",
            "" if fine else "Set the clock (NTP).",
        )

    def _fields(self) -> Iterator[Finding]:
        found = lead_map(self._maps())
        described = self._client.get("the fields of leads", "/rest/v1/leads/describe.json", _Fields).result
        there = {one.rest.name: one.rest for one in described}
        missing = sorted(remote for remote in set(found.fields.values()) if remote not in there)
        advice = (
            "Correct their REST names in fields.yaml (Admin, Field Management, Export Field Names)." if missing else ""
        )
        detail = f"missing: {', '.join(missing)}" if missing else f"{len(found.fields)} fields"
        yield Finding(_FIELDS, not missing, detail, advice)
        locked = sorted(
            field
            for field, remote in found.fields.items()
            if field not in found.read_only and remote in there and there[remote].read_only
        )
        if locked:
            advice = "Mark them read_only in fields.yaml, so that nothing tries to write them."
            yield Finding("leads: mapped fields can be written", False, ", ".join(locked), advice)

    def _webhook(self) -> Finding:
        settings = self._client.settings
        if not settings.webhook_secret:
            return Finding("flow webhooks", True, "not used; changes are asked for")
        try:
            settings.require_webhook()
        except Misconfigured as error:
            return Finding("flow webhooks", False, str(error), "Set it, then restart.")
        return Finding("flow webhooks", True, f"known by the header {settings.webhook_header}")

    def _require(self, entity: str) -> None:
        if entity != lead_map(self._maps()).entity:
            raise Misconfigured(
                f"fields.yaml gives {entity} no name in Marketo: add one, or remove the use of it", system=SYSTEM
            )

    def close(self) -> None:
        """Lets go of the connections; the object is not to be used afterwards."""
        self._client.close()
