"""One HubSpot account as the daemon holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from connectors.contract import CallsToday, Finding, Maps, Snapshot, WriteResult
from connectors.hubspot.client import Client
from connectors.hubspot.doctor import Doctor
from connectors.hubspot.reader import HubSpotReader
from connectors.hubspot.search import HubSpotSearch
from connectors.hubspot.settings import SYSTEM, HubSpotSettings
from connectors.hubspot.sink import BATCH, HubSpotSink
from connectors.patience import Hold
from routing.core.model import ChangeEvent, Write


class HubSpotConnection:
    """``contract.Connection`` for HubSpot. Safe to use from several threads. ``search`` is a ``contract.Source`` over the same account."""

    system = SYSTEM
    batch_size = look_size = BATCH  # no request that is always current reads more

    def __init__(self, settings: HubSpotSettings, maps: Maps, clock: Callable[[], datetime]) -> None:
        self._client = Client(settings, clock)
        self._reader = HubSpotReader(self._client, maps, clock)
        self._sink = HubSpotSink(self._client, maps, clock)
        self._doctor = Doctor(self._client, self._reader, maps, clock)
        self.search = HubSpotSearch(self._client, maps, clock)

    @property
    def calls(self) -> int:
        """Requests made so far, refused ones included."""
        return self._client.calls

    @calls.setter
    def calls(self, value: int) -> None:
        self._client.calls = value

    def calls_today(self) -> CallsToday | None:
        """See ``contract.CallsToday``; as the last answer said."""
        return self._client.quota.calls_today()

    @property
    def holds(self) -> list[Hold]:
        """What the account asked to wait with."""
        return [self._client.hold, self._client.search_hold, self._client.spare_hold]

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        """See ``contract.Reader``; 100 ids a request."""
        return self._reader.read(entity, ids, fields)

    def last_changes(self, entity: str, field: str, ids: Sequence[str]) -> dict[str, Snapshot]:
        """See ``contract.Historian``; 50 records a request."""
        return self._reader.last_changes(entity, field, ids)

    def merged_into(self, entity: str, ids: Sequence[str]) -> dict[str, str]:
        """See ``contract.Reader``: ``read`` answers for what was merged."""
        del entity, ids
        return {}

    def backfill(self, entities: Sequence[str], after: Mapping[str, str] | None = None) -> Iterator[list[ChangeEvent]]:
        """See ``contract.Reader``; 100 records a request, owners 500."""
        return self._reader.backfill(entities, after)

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        """See ``contract.Sink``."""
        return self._sink.write(writes)

    def created(self, writes: Sequence[Write], since: datetime) -> dict[str, str]:  # noqa: ARG002 - looked for by what is unique
        """See ``contract.Sink.created``."""
        return self._sink.created(writes)

    def check(self) -> list[Finding]:
        """See ``contract.Connection``."""
        return self._doctor.check()

    def close(self) -> None:
        """Lets go of the connections; the object is not to be used afterwards."""
        self._client.close()
