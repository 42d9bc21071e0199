"""Pub/Sub of the sandbox: the gRPC service ``eventbus.v1.PubSub`` over TLS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from time import monotonic
from typing import Any, NoReturn

import grpc

from connectors.salesforce import pubsub_pb2 as pb
from connectors.sandbox.faults import Faults
from connectors.sandbox.salesforce.bus import EventBus, event_number, replay_id
from connectors.sandbox.salesforce.day import RollingDay

_ERRORS = "sfdc.platform.eventbus.grpc."
MOST_OUTSTANDING = 100  # events a subscriber may have asked for, as the real service caps it
_SOON = 0.01  # seconds; the least time to wait for an event that is late
STREAMS = 16  # subscriptions at once; each holds a thread


class PubSubServer:
    """Serves an ``EventBus``. ``token_ok`` says whether an access token is a live session; ``delivered`` counts the events, and ends them."""

    def __init__(
        self,
        bus: EventBus,
        faults: Faults,
        token_ok: Callable[[str], bool],
        org_id: str,
        keepalive_seconds: float,
        delivered: RollingDay,
    ) -> None:
        self._delivered = delivered
        self._bus = bus
        self._faults = faults
        self._token_ok = token_ok
        self._org_id = org_id
        self._keepalive = keepalive_seconds
        self._server: grpc.Server | None = None

    def start(self, port: int, certificate: bytes, key: bytes) -> int:
        """Listens on loopback and returns the port."""
        self._bus.closed = False
        self._server = grpc.server(
            ThreadPoolExecutor(STREAMS, thread_name_prefix="sandbox-pubsub"),
            options=[("grpc.so_reuseport", 0), ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000)],
        )
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Subscribe": grpc.stream_stream_rpc_method_handler(
                self._subscribe, pb.FetchRequest.FromString, pb.FetchResponse.SerializeToString
            ),
            "GetSchema": grpc.unary_unary_rpc_method_handler(
                self._get_schema, pb.SchemaRequest.FromString, pb.SchemaInfo.SerializeToString
            ),
            "GetTopic": grpc.unary_unary_rpc_method_handler(
                self._get_topic, pb.TopicRequest.FromString, pb.TopicInfo.SerializeToString
            ),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("eventbus.v1.PubSub", handlers),))
        bound = self._server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([(key, certificate)]))
        self._server.start()
        return bound

    def stop(self) -> None:
        """Ends all streams and stops listening; blocks until it is done."""
        self._bus.close()
        if self._server is not None:
            self._server.stop(grace=0.5).wait()

    def _refuse(self, context: grpc.ServicerContext, status: grpc.StatusCode, code: str, words: str) -> NoReturn:
        context.set_trailing_metadata((("error-code", _ERRORS + code), ("rpc-id", "sandbox")))
        context.abort(status, f"{words} rpcId: sandbox")
        raise AssertionError("abort raises")

    def _authenticate(self, context: grpc.ServicerContext) -> None:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        if not self._token_ok(metadata.get("accesstoken", "")) or metadata.get("tenantid") != self._org_id:
            self._refuse(
                context,
                grpc.StatusCode.UNAUTHENTICATED,
                "service.auth.error",
                "Authentication exception occurred: the session is expired, or the tenant is another.",
            )

    def _get_topic(self, request: pb.TopicRequest, context: grpc.ServicerContext) -> pb.TopicInfo:
        self._authenticate(context)
        topic = request.topic_name
        schema_id = ""
        if self._bus.entities(topic) is None:
            self._refuse(context, grpc.StatusCode.NOT_FOUND, "topic.not.found", f"No topic {topic}.")
        for definition in self._bus.objects.values():
            if topic == f"/data/{definition.event}":
                schema_id = definition.schema_id
        return pb.TopicInfo(
            topic_name=topic, tenant_guid=self._org_id, can_subscribe=True, schema_id=schema_id, rpc_id="sandbox"
        )

    def _get_schema(self, request: pb.SchemaRequest, context: grpc.ServicerContext) -> pb.SchemaInfo:
        self._authenticate(context)
        text = self._bus.schemas.get(request.schema_id)
        if text is not None:
            return pb.SchemaInfo(schema_json=text, schema_id=request.schema_id, rpc_id="sandbox")
        self._refuse(context, grpc.StatusCode.NOT_FOUND, "schema.not.found", f"No schema {request.schema_id}.")

    def _subscribe(
        self, requests: Iterator[pb.FetchRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.FetchResponse]:
        self._authenticate(context)
        self._fail_on_demand(context)
        first = next(requests, None)
        if first is None:
            return
        if first.num_requested < 1:
            self._refuse(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                "subscription.fetch.requested.events.invalid",
                "Ask for at least one event.",
            )
        subscription = _Subscription(
            self._bus, first.topic_name, self._start_after(first, context), first.num_requested, self._delivered
        )
        context.add_callback(subscription.end)
        threading.Thread(target=subscription.listen, args=(requests,), daemon=True).start()
        yield subscription.response([])  # the position is known before the first event
        yield from subscription.responses(self._keepalive)
        if subscription.exhausted:
            self._refuse_deliveries(context)
        if not self._bus.closed and context.is_active():
            self._refuse(context, grpc.StatusCode.UNAVAILABLE, "service.unavailable", "The stream was reset.")

    def _fail_on_demand(self, context: grpc.ServicerContext) -> None:
        fault = self._faults.take("salesforce", "subscribe")
        if fault is None:
            return
        if fault.kind == "expired_session":
            self._refuse(context, grpc.StatusCode.UNAUTHENTICATED, "service.auth.error", "The session is expired.")
        if fault.kind == "forbidden":
            words = "The user has no permission to read the channel."
            self._refuse(context, grpc.StatusCode.PERMISSION_DENIED, "service.permission.denied", words)
        if fault.kind == "rate_limited":
            self._refuse_deliveries(context)
        self._refuse(context, grpc.StatusCode.UNAVAILABLE, "service.unavailable", "The service is unavailable.")

    def _refuse_deliveries(self, context: grpc.ServicerContext) -> None:
        self._refuse(
            context,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "subscription.limit.exceeded",
            "You have exceeded the event delivery limit for your org.",
        )

    def _start_after(self, first: pb.FetchRequest, context: grpc.ServicerContext) -> int:
        with self._bus.changed:
            oldest, newest, shown = self._bus.first, self._bus.last, self._bus.newest()
        if first.replay_preset == pb.LATEST:
            return shown
        if first.replay_preset == pb.EARLIEST:
            return oldest - 1
        number = event_number(first.replay_id)
        if number is None or not oldest - 1 <= number <= newest:
            self._refuse(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                "subscription.fetch.replayid.corrupted",
                "The Replay ID validation failed. Ensure that the Replay ID is valid.",
            )
        return number


class _Subscription:
    """One open stream: how much was asked for, and how far it has come."""

    def __init__(self, bus: EventBus, topic: str, after: int, asked: int, delivered: RollingDay) -> None:
        self._bus, self._delivered = bus, delivered
        self.exhausted = False  # ended since no more events may be delivered today
        self._topic = topic
        self._at = after
        self._credit = min(asked, MOST_OUTSTANDING)
        self._generation = bus.generation
        self._ended = False

    def listen(self, requests: Iterator[Any]) -> None:
        """Adds up what the subscriber asks for, until it hangs up."""
        try:
            for request in requests:
                with self._bus.changed:
                    self._credit = min(self._credit + request.num_requested, MOST_OUTSTANDING)
                    self._bus.changed.notify_all()
        except grpc.RpcError:
            pass  # the stream is over; ``responses`` sees it too
        self.end()

    def end(self) -> None:
        """The subscriber is gone."""
        with self._bus.changed:
            self._ended = True
            self._bus.changed.notify_all()

    def _over(self) -> bool:
        return self._ended or self._bus.generation != self._generation

    def response(self, events: list[pb.ConsumerEvent]) -> pb.FetchResponse:
        """A response at the place reached."""
        return pb.FetchResponse(
            events=events,
            latest_replay_id=replay_id(self._at),
            rpc_id="sandbox",
            pending_num_requested=self._credit,
        )

    def _wait(self, seconds: float) -> None:
        """Until there is something to deliver that was asked for, or the stream is over. Hold ``changed``."""
        end = monotonic() + seconds
        while not self._over() and (left := end - monotonic()) > 0:
            due = self._bus.due_after(self._at) if self._credit else inf
            if due <= 0:
                return
            self._bus.changed.wait(min(left, max(due, _SOON)))

    def responses(self, keepalive: float) -> Iterator[pb.FetchResponse]:
        """Events as they are published and asked for; an empty response after ``keepalive`` seconds of silence."""
        bus = self._bus
        while True:
            with bus.changed:
                self._wait(keepalive)
                if self._over():
                    return
                most = min(self._credit, self._delivered.left())
                if self._credit and not most:
                    self.exhausted = True
                    return
                taken, self._at = bus.take(self._at, self._topic, most) if most else ([], self._at)
                self._credit = max(0, self._credit - len(taken))
                self._delivered.count(len(taken))
            yield self.response(
                [
                    pb.ConsumerEvent(
                        event=pb.ProducerEvent(id=f"{number:032x}", schema_id=event.schema_id, payload=event.payload),
                        replay_id=replay_id(number),
                    )
                    for number, event in taken
                ]
            )
