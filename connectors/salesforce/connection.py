"""One Salesforce org as the daemon holds it: reading, writing, and the checks of doctor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from connectors.contract import CallsToday, Finding, Maps, Snapshot, WriteResult
from connectors.salesforce.budget import Spent
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import SYSTEM
from connectors.salesforce.reader import SalesforceReader
from connectors.salesforce.settings import SalesforceSettings
from connectors.salesforce.sink import BATCH, SalesforceSink
from connectors.salesforce.stream import PubSubStub
from routing.core.model import ChangeEvent, Write


class SalesforceConnection:
    """``contract.Connection`` for one org. Safe to use from several threads. Nothing is sent before the first call."""

    system = SYSTEM
    batch_size = BATCH
    look_size = 3 * BATCH  # one request would tell of 2,000, but they could not be written while that is fresh

    def __init__(self, settings: SalesforceSettings, maps: Maps, clock: Callable[[], datetime]) -> None:
        self.settings = settings
        self.client = SalesforceClient(settings, clock)
        self._maps = maps
        self._clock = clock
        self.reader = SalesforceReader(self.client, maps, clock)
        self._sink = SalesforceSink(self.client, maps, clock)
        self._lock = threading.Lock()
        self._stub: PubSubStub | None = None

    @property
    def calls(self) -> int:
        """REST requests sent so far, logins among them."""
        return self.client.transport.calls

    @property
    def spent(self) -> Spent | None:
        """API calls of the last 24 hours, the org's and ours; None before the first answer."""
        return self.client.budget.spent()

    def calls_today(self) -> CallsToday | None:
        """See ``contract.CallsToday``; as the last answer and the daily share say, None before the first answer."""
        spent = self.spent
        return None if spent is None else CallsToday(spent.used, spent.limit, spent.exhausted_at)

    @property
    def user_id(self) -> str:
        """Who we are in the org: the CRM id that our own writes carry. Logs in when needed. Raises ConnectorError."""
        return self.client.session().user_id

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        """See ``contract.Reader.read``."""
        return self.reader.read(entity, ids, fields)

    def merged_into(self, entity: str, ids: Sequence[str]) -> dict[str, str]:
        """See ``contract.Reader.merged_into``; a call for 200. Salesforce knows for as long as they are in the recycle bin: 15 days."""
        return self.reader.merged_into(entity, ids)

    def backfill(self, entities: Sequence[str], after: Mapping[str, str] | None = None) -> Iterator[list[ChangeEvent]]:
        """See ``contract.Reader.backfill``."""
        return self.reader.backfill(entities, after)

    def write(self, writes: Sequence[Write]) -> list[WriteResult]:
        """See ``contract.Sink.write``."""
        return self._sink.write(writes)

    def created(self, writes: Sequence[Write], since: datetime) -> dict[str, str]:
        """See ``contract.Sink.created``."""
        return self._sink.created(writes, since)

    def check(self) -> list[Finding]:
        """See ``contract.Connection.check``."""
        from connectors.salesforce.doctor import examine  # here, because doctor needs this class

        return examine(self, self._maps(), self._clock)

    def pubsub(self) -> PubSubStub:
        """The Pub/Sub channel, opened on first use. Raises Misconfigured for an unreadable ``ca_file``."""
        with self._lock:
            if self._stub is None:
                self._stub = PubSubStub(self.settings)
            return self._stub

    def close(self) -> None:
        """Closes all connections; an open subscription ends."""
        with self._lock:
            if self._stub is not None:
                self._stub.close()
                self._stub = None
        self.client.close()
