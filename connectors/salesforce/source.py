"""Change events from the Pub/Sub API, from a stored replay id on, for as long as the daemon runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event
from typing import Any

import grpc
import structlog
from msgspec import Struct
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event

from connectors.contract import Accept, Maps
from connectors.errors import AuthenticationFailed, ConnectorError
from connectors.patience import Hold
from connectors.salesforce import pubsub_pb2 as pb
from connectors.salesforce.client import ApiSession
from connectors.salesforce.connection import SalesforceConnection
from connectors.salesforce.decode import ALL_RECORDS, EventDecoder, RawEvent, SchemaUnknown
from connectors.salesforce.errors import REPLAY_TOO_OLD, SYSTEM, from_rpc, rpc_facts
from connectors.salesforce.masters import with_masters
from connectors.salesforce.stream import MOST_OUTSTANDING, FetchRequests, gathered
from connectors.salesforce.transactions import Item, Transactions
from routing.core.model import ChangeEvent, derived_id

log = structlog.get_logger(__name__)

ALL_CHANGES = "/data/ChangeEvents"
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 60.0  # seconds between attempts to reconnect
_WATCH = 0.25  # seconds between looks at the stop signal while nothing arrives


class _StreamLost(Exception):
    """A stream ended and is to be opened again; ``__cause__`` says why."""


class _NotHandedOn(_StreamLost):
    """The same, with something taken in that was not accepted."""


class _Place(Struct):
    """How far we are. ``replay_id`` None: at ``preset``."""

    replay_id: bytes | None
    preset: int = pb.LATEST
    heard: bool = False  # whether the stream that is open has brought anything


class SalesforceSource:
    """``contract.Source`` over Pub/Sub, for one topic: by default ``/data/ChangeEvents``, the channel of all selected objects.
    Several share the connection's one gRPC channel and its session; each has its own position.

    Events come in the order of their commits, those of one transaction in one ``accept`` and by what depends on what (``transactions.py``
    says within which bounds). An event that tells of several records becomes as many ChangeEvents.

    A replay id that Salesforce no longer keeps (72 hours) is answered with a ``gap`` event per mapped entity, with
    ``record_id`` "*": everything of it is to be read again; then the stream goes on from the earliest event kept.
    """

    system = SYSTEM

    def __init__(
        self, connection: SalesforceConnection, maps: Maps, clock: Callable[[], datetime], topic: str = ALL_CHANGES
    ) -> None:
        self._connection = connection
        self._maps = maps
        self._clock = clock
        self._settings = connection.settings
        self._decoder = EventDecoder(maps, self._fetch_schema)
        self._rereader = EventDecoder(
            maps, self._fetch_schema
        )  # of its own: another thread reads again while we listen
        self._topic = topic
        self.stream = f"{SYSTEM}:{topic}"
        self.hold = Hold(SYSTEM, clock, f"change events {topic}")

    def run(self, position: bytes | None, accept: Accept, stop: Event) -> None:
        """See ``contract.Source.run``. Waits of up to a minute between reconnects; each is logged."""
        place = _Place(position)
        reconnecting = Retrying(
            retry=retry_if_exception_type(_StreamLost),
            stop=stop_when_event_set(stop),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            sleep=sleep_using_event(stop),
            before_sleep=self._lost,
            reraise=True,
        )
        while not stop.is_set():
            try:
                # Returns where a stream was lost that had worked: the waits begin anew.
                reconnecting(self._listen, place, accept, stop)
            except _StreamLost:
                return  # asked to stop while reconnecting
            stop.wait(_FIRST_WAIT)

    def reread(self, raw: bytes, observed_at: datetime) -> list[ChangeEvent]:
        """See ``contract.Source.reread``. Asks Salesforce for the schema again; blocks for one call."""
        return self._rereader.reread(raw, observed_at)

    def _listen(self, place: _Place, accept: Accept, stop: Event) -> None:
        """One stream. Raises _StreamLost when it broke before it brought anything; what ``accept`` raises goes through."""
        place.heard = False
        session = self._session()
        preset = place.preset if place.replay_id is None else pb.CUSTOM
        requests = FetchRequests(self._topic, preset, place.replay_id or b"")
        call = self._connection.pubsub().subscribe(requests, session)
        watch = _Watch(call, stop, self._settings.silence_seconds)
        try:
            self._follow(call, requests, place, accept, watch)
        except grpc.RpcError as error:
            if stop.is_set():
                return
            self._handle(error, place, accept, session)
            if not place.heard:
                raise _StreamLost from error
            log.warning("salesforce_stream_lost", topic=self._topic, reason=str(from_rpc(error, "the subscription")))
        finally:
            watch.end()
            requests.close()
            call.cancel()

    def _follow(self, call: Any, requests: FetchRequests, place: _Place, accept: Accept, watch: _Watch) -> None:
        saved = Transactions()
        told: bytes | None = None  # so that each subscription tells where it stands

        def hand_on(items: Sequence[Item]) -> None:
            nonlocal told
            if items or saved.passed != told:
                try:
                    found = with_masters(self._connection.client, self._maps(), items, watch.stop)
                except ConnectorError as error:
                    # Which of them were merged cannot be had just now: all this is delivered again.
                    raise _NotHandedOn from error
                accept(found, saved.passed)
            told = saved.passed
            place.replay_id = told or place.replay_id

        try:
            for responses in gathered(call, lambda: saved.patience):
                if not responses:
                    hand_on(saved.release())
                    continue
                watch.heard()
                self.hold.answered()
                pending = responses[-1].pending_num_requested
                if pending < MOST_OUTSTANDING // 2:
                    # Asked for before these are worked on, so that the next ones are on their way meanwhile.
                    requests.more(MOST_OUTSTANDING - pending)
                hand_on(self._take(responses, saved))
                place.heard = place.heard or any(response.events for response in responses)
        except _NotHandedOn:
            raise  # what came after these must not go before them
        except (grpc.RpcError, _StreamLost):
            if not watch.stop.is_set():
                hand_on(saved.release())  # the rest of it may be long in coming
            raise
        hand_on(saved.release())

    def _take(self, responses: Sequence[pb.FetchResponse], saved: Transactions) -> list[Item]:
        """What of these and earlier responses is to be handed on. Raises _StreamLost, with nothing of these taken in."""
        self._decoder.refresh()
        observed_at = self._clock()
        events = [event for response in responses for event in response.events]
        try:
            decoded = [
                self._decoder.decode(RawEvent(one.event.schema_id, one.replay_id, one.event.payload), observed_at)
                for one in events
            ]
        except ConnectorError as error:
            # A schema cannot be had just now: all this is delivered again.
            raise _StreamLost from error
        items: list[Item] = []
        for event, one in zip(events, decoded, strict=True):
            items += saved.add(one, event.replay_id, len(event.event.payload), observed_at)
        if not responses[-1].events and responses[-1].pending_num_requested:
            items += saved.stand(responses[-1].latest_replay_id)
        return items

    def _handle(self, error: grpc.RpcError, place: _Place, accept: Accept, session: ApiSession) -> None:
        """What must happen before the stream is opened again."""
        status, code, _ = rpc_facts(error)
        if status is grpc.StatusCode.UNAUTHENTICATED:
            self._session(stale=session)
        elif code == REPLAY_TOO_OLD and place.replay_id is not None:
            log.error(
                "salesforce_events_lost",
                topic=self._topic,
                replay_id=place.replay_id.hex(),
                advice="Salesforce keeps change events for 72 hours; all records are read again.",
            )
            accept(self._gaps(place.replay_id), None)
            place.replay_id, place.preset = None, pb.EARLIEST

    def _lost(self, state: RetryCallState) -> None:
        """Before a wait. Of several in a row the first is told."""
        lost = state.outcome.exception() if state.outcome is not None else None
        cause = lost.__cause__ if lost is not None else None
        error = from_rpc(cause, "the subscription") if isinstance(cause, grpc.RpcError) else cause
        if isinstance(error, ConnectorError):
            self.hold.unwell(error)
        record = log.error if isinstance(error, AuthenticationFailed) else log.warning
        wait = state.next_action.sleep if state.next_action is not None else 0.0
        if state.attempt_number == 1:
            record(
                "salesforce_stream_lost", topic=self._topic, reason=str(error), next_attempt_in_seconds=round(wait, 2)
            )

    def _gaps(self, lost: bytes) -> Sequence[ChangeEvent]:
        """One gap per mapped entity; the same position gives the same events, should we die before the next one."""
        now = self._clock()
        return [
            ChangeEvent(
                event_id=derived_id(SYSTEM, lost.hex(), "lost", entity),
                system=SYSTEM,
                entity=entity_map.entity,
                record_id=ALL_RECORDS,
                kind="gap",
                occurred_at=now,
                observed_at=now,
                cursor=lost.hex(),
                complete=False,
            )
            for entity, entity_map in self._maps().items()
        ]

    def _session(self, stale: ApiSession | None = None) -> ApiSession:
        client = self._connection.client
        try:
            return client.session() if stale is None else client.renew(stale)
        except ConnectorError as error:
            raise _StreamLost from error

    def _fetch_schema(self, schema_id: str) -> str:
        session = self._session_or_error()
        stub = self._connection.pubsub()
        try:
            try:
                return stub.schema(schema_id, session)
            except grpc.RpcError as error:
                if rpc_facts(error)[0] is not grpc.StatusCode.UNAUTHENTICATED:
                    raise
                return stub.schema(schema_id, self._connection.client.renew(session))
        except grpc.RpcError as error:
            if rpc_facts(error)[0] in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT):
                raise SchemaUnknown(schema_id) from error
            raise from_rpc(error, f"the schema {schema_id}") from error

    def _session_or_error(self) -> ApiSession:
        return self._connection.client.session()


class _Watch:
    """Cancels a stream when we are asked to stop, or when it has been silent for too long."""

    def __init__(self, call: Any, stop: Event, silence_seconds: float) -> None:
        self._call = call
        self.stop = stop
        self._most = max(1, int(silence_seconds / _WATCH))
        self._silent = 0
        self._ended = Event()
        threading.Thread(target=self._watch, name="salesforce-watch", daemon=True).start()

    def _watch(self) -> None:
        while not self._ended.is_set():
            if self.stop.wait(_WATCH):
                break
            self._silent += 1
            if self._silent > self._most:
                log.warning("salesforce_stream_silent", advice="the connection is taken for dead and opened again")
                break
        self._call.cancel()

    def heard(self) -> None:
        self._silent = 0

    def end(self) -> None:
        self._ended.set()
