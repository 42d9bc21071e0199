"""The daemon's HTTP side: webhooks in, health and metrics out."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog
import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from connectors.contract import Webhook
from connectors.errors import SignatureRefused
from routing.runtime.clock import Clock
from routing.runtime.intake import Intake, IntakeClosed

log = structlog.get_logger()

MOST_BYTES = 5 * 1024 * 1024
# A sender that dribbles its body would hold a connection for ever.
BODY_SECONDS = 10.0
RETRY_AFTER_SECONDS = "5"


class BodyTooLarge(Exception):
    """The body is over MOST_BYTES."""


async def read_body(request: Request) -> bytes:
    """The raw body, read no further than the limit whatever the headers claim.

    Raises BodyTooLarge; TimeoutError or ClientDisconnect when it does not arrive in time.
    """

    async def read() -> bytes:
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > MOST_BYTES:
                raise BodyTooLarge
            parts.append(part)
        return b"".join(parts)

    return await asyncio.wait_for(read(), BODY_SECONDS)


def refuse(status: int, why: str, **headers: str) -> Response:
    """An answer that says why; ``headers`` with ``_`` for ``-``."""
    return JSONResponse({"error": why}, status, headers={name.replace("_", "-"): v for name, v in headers.items()})


def misread(error: msgspec.DecodeError, example: str) -> Response:
    """The answer to a body that is not what was asked for, with one that is."""
    return refuse(400, f"The body cannot be taken: {str(error).rstrip('.')}. One that can: {example}")


def webhook_route(webhook: Webhook, intake: Intake, clock: Clock) -> Route:
    """The route of one system's webhooks: verified, read, and answered 2xx only once the events are durable."""

    async def receive(request: Request) -> Response:
        try:
            body = await read_body(request)
        except BodyTooLarge:
            log.warning("a webhook was refused", system=webhook.system, why="body over 5 MB")
            # Closing spares us the rest of the body.
            return refuse(413, "The body is over 5 MB.", connection="close")
        except (TimeoutError, ClientDisconnect):
            return refuse(408, "The body did not arrive in time.", connection="close")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers.raw}
        try:
            events = webhook.receive(request.method, request.url.path, request.url.query, headers, body, clock())
        except SignatureRefused as refused:
            log.warning("a webhook was refused", system=webhook.system, why=str(refused))
            return refuse(401, f"The signature was refused: {refused}.")
        try:
            new = await asyncio.wrap_future(intake.submit(events))
        except IntakeClosed as closed:
            return refuse(503, f"Nothing was accepted: {closed}.", retry_after=RETRY_AFTER_SECONDS)
        return JSONResponse({"accepted": len(events), "new": new})

    return Route(webhook.path, receive, methods=["POST"])


def build_app(
    webhooks: Sequence[Webhook],
    intake: Intake | None,
    clock: Clock,
    health: Callable[[], Mapping[str, object]],
    registry: CollectorRegistry,
    api: Sequence[Route] = (),
) -> Starlette:
    """``health`` answers what ``/healthz`` shows, and brings the metrics up to date; ``ok`` in it decides between 200 and 503.

    ``/livez`` answers 200 always. ``intake`` may be None where there are no webhooks. ``api`` are further routes.
    """

    async def healthz(_request: Request) -> Response:
        state = await asyncio.to_thread(health)
        return JSONResponse(dict(state), 200 if state["ok"] else 503)

    async def metrics(_request: Request) -> Response:
        await asyncio.to_thread(health)
        text = await asyncio.to_thread(generate_latest, registry)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def livez(_request: Request) -> Response:
        return JSONResponse({"alive": True})  # who serves at all lives: what else is wrong, a restart would not mend

    routes = [webhook_route(webhook, intake, clock) for webhook in webhooks] if intake is not None else []
    own = [Route("/healthz", healthz), Route("/livez", livez), Route("/metrics", metrics)]
    return Starlette(routes=[*routes, *own, *api])


def listen(host: str, port: int) -> socket.socket:
    """Opens a port, any free one for 0. Raises OSError when it is taken or not allowed."""
    # The protocol is named: without it asyncio leaves Nagle's algorithm on, and each answer waits 40 ms for an ACK.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(256)
    except OSError:
        listening.close()
        raise
    return listening


class Server:
    """Serves an app on an open port, from a thread of its own."""

    def __init__(self, app: Starlette, listening: socket.socket) -> None:
        self._socket = listening
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5)
        self._server = uvicorn.Server(config)

    def run(self, stop: threading.Event) -> None:
        """Serves until ``stop``; requests at hand are answered first."""
        asyncio.run(self._serve(stop))

    async def _serve(self, stop: threading.Event) -> None:
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not serving.done() and not stop.is_set():
            await asyncio.sleep(0.05)
        self._server.should_exit = True
        await serving
