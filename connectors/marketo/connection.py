"""One Marketo subscription as the daemon holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from connectors.contract import SAME, CallsToday, Finding, Maps, Snapshot, WriteResult, left_out
from connectors.errors import ConnectorError, Misconfigured, advice
from connectors.marketo.catalogue import Catalogue
from connectors.marketo.client import Client
from connectors.marketo.quota import Quota
from connectors.marketo.reader import MarketoReader
from connectors.marketo.settings import SYSTEM, MarketoSettings
from connectors.marketo.sink import MarketoSink
from connectors.marketo.source import MarketoSource
from connectors.marketo.values import lead_map
from connectors.patience import UNWELL, Hold
from routing.core.model import ChangeEvent, Write

_SKEW = 60.0  # seconds
_FIELDS = "leads: every mapped field is there"
_ACTIVITIES = "activities: every mapped kind is there"
_LOGIN = "Marketo answers and accepts the service"
_CALLS = "calls are left today"
_REFUSED = {
    _LOGIN: "Check host, client_id, client_secret and the API user's role.",
    _CALLS: "Look at Admin, Web Services, in Marketo.",
    _FIELDS: "Correct fields.yaml.",
    _ACTIVITIES: "Check the API user's role, and fields.yaml.",
}
_LIMIT = (
    "All API users of the subscription share its calls: Admin, Integration, Web Services shows who made them. The day's begin anew at midnight in "
    "Chicago, other limits are over in seconds; the daemon goes on by itself."
)


class MarketoConnection:
    """``contract.Connection`` for Marketo. Safe to use from several threads. ``source`` is a ``contract.Source`` over the same account."""

    system = SYSTEM
    batch_size = look_size = MarketoSink.batch_size  # no request reads more

    def __init__(self, settings: MarketoSettings, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client = Client(settings, clock)
        self._maps, self._clock = maps, clock
        self._quota = Quota(self._client, clock)
        self._reader = MarketoReader(self._client, self._quota, maps, clock)
        self._sink = MarketoSink(self._client, maps, self._reader)
        self._catalogue = Catalogue(self._client, maps, clock)
        self.source = MarketoSource(self._client, self._quota, self._catalogue, maps, clock)

    @property
    def calls(self) -> int:
        """Requests made so far, refused ones included, logins not."""
        return self._client.calls

    def calls_today(self) -> CallsToday | None:
        """The subscription's calls of today, as Marketo last told it."""
        return self._quota.calls_today()

    @property
    def holds(self) -> list[Hold]:
        """What the account asked to wait with."""
        return [self._client.hold, self._client.export_hold, self._quota.hold]

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        """See ``contract.Reader``; 300 ids a request."""
        self._require(entity)
        return self._reader.read(ids, fields)

    def merged_into(self, entity: str, ids: Sequence[str]) -> dict[str, str]:
        """See ``contract.Reader``: only its activities tell of merges."""
        del entity, ids
        return {}

    def backfill(self, entities: Sequence[str], after: Mapping[str, str] | None = None) -> Iterator[list[ChangeEvent]]:
        """See ``contract.Reader``: bulk exports, minutes each."""
        entity = lead_map(self._maps()).entity
        if entity in entities:
            yield from self._reader.backfill((after or {}).get(entity, ""))

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        """See ``contract.Sink``."""
        return self._sink.write(writes)

    def created(self, writes: Sequence[Write], since: datetime) -> dict[str, str]:  # noqa: ARG002 - looked for by what is unique
        """See ``contract.Sink.created``."""
        return self._sink.created(writes)

    def check(self) -> list[Finding]:
        """See ``contract.Connection``."""
        looks = {_LOGIN: self._login, _CALLS: self._limits, _FIELDS: self._fields, _ACTIVITIES: self._activities}
        network = (
            f"Check host ({self._client.settings.host}), DNS, proxy and firewall, or try again once Marketo is well."
        )
        findings: list[Finding] = []
        left = list(looks)
        for what, look in looks.items():
            left.remove(what)
            try:
                findings += look()
            except ConnectorError as error:
                what_to_do = advice(error, limit=_LIMIT, network=network, refused=_REFUSED[what])
                findings.append(Finding(what, False, str(error), what_to_do))
                if what != _CALLS or isinstance(error, UNWELL):  # how many calls are left is a right of its own
                    findings += left_out(left, SAME)
                    break
        return [*findings, self._webhook()]

    def _login(self) -> Iterator[Finding]:
        self._client.login()
        yield Finding(_LOGIN, True, self._client.settings.host)

    def _limits(self) -> Iterator[Finding]:
        used, most = self._quota.used(), self._quota.limit
        fine = used <= most * 0.9
        to_do = "" if fine else "Find what else uses the quota; raise poll_seconds."
        yield Finding(_CALLS, fine, f"{used} of {most} are used", to_do)
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
        there = {one.rest.name: one.rest for one in self._catalogue.fields()}
        missing = sorted(remote for remote in set(found.fields.values()) if remote not in there)
        to_do = (
            "Correct their REST names in fields.yaml (Admin, Field Management, Export Field Names)." if missing else ""
        )
        detail = f"missing: {', '.join(missing)}" if missing else f"{len(found.fields)} fields"
        yield Finding(_FIELDS, not missing, detail, to_do)
        locked = sorted(
            field
            for field, remote in found.fields.items()
            if field not in found.read_only and remote in there and there[remote].read_only
        )
        if locked:
            to_do = "Mark them read_only in fields.yaml, so that nothing tries to write them."
            yield Finding("leads: mapped fields can be written", False, ", ".join(locked), to_do)

    def _activities(self) -> Iterator[Finding]:
        known = self._catalogue.known()
        heard = ", ".join(["merge leads", *sorted(known.kinds.values())])
        to_do = "Correct their names in fields.yaml (a lead's activity log shows them)." if known.troubles else ""
        yield Finding(_ACTIVITIES, not known.troubles, "; ".join(known.troubles) or heard, to_do)
        writable = ", ".join(sorted(set(known.told) - known.found.read_only))
        if writable:
            to_do = "Mark them read_only in fields.yaml: what happened cannot be written."
            yield Finding("activities: nothing would write them", False, writable, to_do)

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
