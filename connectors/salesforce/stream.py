"""The Pub/Sub API over gRPC: one channel, and streams that can be ended from outside."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

from connectors.errors import Misconfigured
from connectors.salesforce import pubsub_pb2 as pb
from connectors.salesforce.client import ApiSession
from connectors.salesforce.errors import SYSTEM
from connectors.salesforce.settings import SalesforceSettings

MOST_OUTSTANDING = 100  # events asked for at once; Salesforce treats more as 100
_OPTIONS = [
    # A dead peer is noticed within a minute, also where no event flows.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),  # 100 events of up to 1 MB never reach it in practice
]


class PubSubStub:
    """The three calls we make. Blocking; raises grpc.RpcError."""

    def __init__(self, settings: SalesforceSettings) -> None:
        self._timeout = settings.timeout_seconds
        address = settings.pubsub_address
        options = list(_OPTIONS)
        if address.startswith(("127.0.0.1:", "localhost:")):
            options.append(("grpc.enable_http_proxy", 0))
        credentials = grpc.ssl_channel_credentials(_roots(settings.ca_file))
        self._channel = grpc.secure_channel(address, credentials, options=options)
        service = "/eventbus.v1.PubSub/"
        self._get_topic: Any = self._channel.unary_unary(
            service + "GetTopic", pb.TopicRequest.SerializeToString, pb.TopicInfo.FromString
        )
        self._get_schema: Any = self._channel.unary_unary(
            service + "GetSchema", pb.SchemaRequest.SerializeToString, pb.SchemaInfo.FromString
        )
        self._subscribe: Any = self._channel.stream_stream(
            service + "Subscribe", pb.FetchRequest.SerializeToString, pb.FetchResponse.FromString
        )

    def topic(self, name: str, session: ApiSession) -> pb.TopicInfo:
        """What Salesforce knows of a topic."""
        info: pb.TopicInfo = self._get_topic(
            pb.TopicRequest(topic_name=name), metadata=_metadata(session), timeout=self._timeout
        )
        return info

    def schema(self, schema_id: str, session: ApiSession) -> str:
        """The JSON of an Avro schema."""
        info: pb.SchemaInfo = self._get_schema(
            pb.SchemaRequest(schema_id=schema_id), metadata=_metadata(session), timeout=self._timeout
        )
        return str(info.schema_json)

    def subscribe(self, requests: FetchRequests, session: ApiSession) -> Any:
        """Opens a stream: an iterator of FetchResponse with ``cancel``."""
        return self._subscribe(requests, metadata=_metadata(session))

    def close(self) -> None:
        """Closes the channel and everything on it."""
        self._channel.close()


def gathered(
    call: Iterator[pb.FetchResponse], patience: Callable[[], float | None]
) -> Iterator[list[pb.FetchResponse]]:
    """The responses of a stream, each time all that have arrived by now: a response often holds a single event, and
    whoever stores them wants to store many at once. None of them once nothing came for ``patience`` seconds, where it says any.
    Raises what the stream raises, after what came before it.

    A thread reads ahead; it ends with the stream, and is held back by the number of events that were asked for.
    """
    arrived: queue.SimpleQueue[pb.FetchResponse | BaseException] = queue.SimpleQueue()

    def read() -> None:
        try:
            for response in call:
                arrived.put(response)
            arrived.put(StopIteration())
        except BaseException as error:  # noqa: BLE001 - raised where the responses are consumed
            arrived.put(error)

    threading.Thread(target=read, name="salesforce-stream", daemon=True).start()
    while True:
        batch: list[pb.FetchResponse] = []
        try:
            item = arrived.get(timeout=patience())
        except queue.Empty:
            yield []
            continue
        while isinstance(item, pb.FetchResponse):
            batch.append(item)
            try:
                item = arrived.get_nowait()
            except queue.Empty:
                break
        if batch:
            yield batch
        if isinstance(item, StopIteration):
            return
        if isinstance(item, BaseException):
            raise item


class FetchRequests(Iterator[pb.FetchRequest]):
    """The requests of one stream: the first says where to start, later ones ask for more."""

    def __init__(self, topic: str, preset: int, replay_id: bytes) -> None:
        self._queue: queue.SimpleQueue[pb.FetchRequest | None] = queue.SimpleQueue()
        self._topic = topic
        self._queue.put(
            pb.FetchRequest(
                topic_name=topic,
                replay_preset=preset,  # type: ignore[arg-type]
                replay_id=replay_id,
                num_requested=MOST_OUTSTANDING,
            )
        )

    def more(self, count: int) -> None:
        """Asks for ``count`` further events."""
        self._queue.put(pb.FetchRequest(topic_name=self._topic, num_requested=count))

    def close(self) -> None:
        """Nothing more will be asked."""
        self._queue.put(None)

    def __next__(self) -> pb.FetchRequest:
        request = self._queue.get()
        if request is None:
            raise StopIteration
        return request


def _metadata(session: ApiSession) -> tuple[tuple[str, str], ...]:
    return (
        ("accesstoken", session.token),
        ("instanceurl", session.instance_url),
        ("tenantid", session.org_id),
    )


def _roots(ca_file: str) -> bytes | None:
    if not ca_file:
        return None
    try:
        return Path(ca_file).read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"The file of trusted roots {ca_file} cannot be read: {error.strerror}. Correct ca_file.", system=SYSTEM
        ) from error
