"""The sandbox as one process: both CRMs over one world, and an address from which tests and the daemon drive it.

| request | does |
|---|---|
| GET /state | counts: leads made, whether done, webhooks pending, faults armed |
| POST /traffic | starts the lead generator; body as ``TrafficOrder`` |
| POST /faults | arms a ``Fault`` (or a list of them); ``{"clear": true}`` disarms all |
| POST /webhook | ``{"url": …}`` where webhooks go from now on; ``{"mischief": {…}}`` what goes wrong with them |
| GET /records?system=&object= | what the CRM holds, one JSON object a line: id, owner, fields, writes per field by us |
| POST /stop | ends the process |
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
import uvicorn
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.hubspot import HubSpotSandbox
from connectors.sandbox.hubspot.properties import PROPERTIES
from connectors.sandbox.hubspot.server import summary
from connectors.sandbox.hubspot.webhooks import Mischief
from connectors.sandbox.listening import listen
from connectors.sandbox.salesforce import SalesforceSandbox
from connectors.sandbox.traffic import Traffic, TrafficOrder
from connectors.sandbox.world import PersonSeed, World

WEBHOOK_SECRET = "sandbox-webhook-secret"  # noqa: S105 - it opens nothing but this sandbox
_START_SECONDS = 10.0

# What differs between two runs that did the same.
_VOLATILE = frozenset({"CreatedDate", "LastModifiedDate", "SystemModstamp", "LastModifiedById", "CreatedById"})


class SandboxOptions(Struct, frozen=True, kw_only=True):
    """How the sandbox is set up. Port 0 takes a free one; fixed ports let daemon and sandbox restart independently."""

    seed: int = 1
    accounts: int = 2000
    salesforce_port: int = 0
    pubsub_port: int = 0
    hubspot_port: int = 0
    admin_port: int = 0
    webhook_url: str = ""
    hubspot_ten_seconds: int = 190  # requests; the limit of a HubSpot account


class _WebhookOrder(Struct):
    url: str | None = None
    mischief: Mischief | None = None


class SandboxServer:
    """Both sandboxes and the admin address. ``stopped`` is set once somebody asked for the end."""

    def __init__(
        self,
        people: list[PersonSeed],
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        options: SandboxOptions | None = None,
    ) -> None:
        self.options = options or SandboxOptions()
        self.stopped = threading.Event()
        self.faults = Faults()
        self.world = World(self.options.seed, people, self.options.accounts)
        self.salesforce = SalesforceSandbox(
            self.world, clock, self.faults, port=self.options.salesforce_port, pubsub_port=self.options.pubsub_port
        )
        self.hubspot = HubSpotSandbox(
            self.world,
            clock,
            self.faults,
            self.options.webhook_url,
            WEBHOOK_SECRET,
            port=self.options.hubspot_port,
            ten_seconds=self.options.hubspot_ten_seconds,
        )
        self.traffic = Traffic(self.world, self.options.seed, self.salesforce, self.hubspot, clock, monotonic)
        self.admin_url = ""
        self._web: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serves in threads of its own; returns once everything answers. Raises OSError when a port is taken."""
        self.salesforce.start()
        self.hubspot.start()
        listener = listen(self.options.admin_port)
        self.admin_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            self._app(),
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._web = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener)), name="sandbox-admin", daemon=True
        )
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(_START_SECONDS / 0.01)):
            if self._web.started:
                return
            waited.wait(0.01)
        raise OSError(f"the sandbox's admin address {self.admin_url} did not start within {_START_SECONDS:g} s")

    async def _serve(self, listener: socket.socket) -> None:
        assert self._web is not None
        await self._web.serve(sockets=[listener])

    def stop(self) -> None:
        """Ends traffic, both CRMs and the admin address. Webhooks not yet delivered stay unsent."""
        self.stopped.set()
        self.traffic.stop()
        self.hubspot.stop()
        self.salesforce.stop()
        if self._web is not None and self._thread is not None:
            self._web.should_exit = True
            self._thread.join(_START_SECONDS)

    def settings(self) -> dict[str, Any]:
        """Everything a daemon or a test needs to talk to it. The secrets in it open only this sandbox."""
        salesforce, hubspot = self.salesforce, self.hubspot
        return {
            "ready": True,
            "seed": self.options.seed,
            "admin_url": self.admin_url,
            "salesforce": {
                "rest_url": salesforce.rest_url,
                "login_url": salesforce.rest_url,
                "pubsub_address": salesforce.pubsub_address,
                "ca_file": salesforce.ca_file,
                "client_id": salesforce.client_id,
                "client_secret": salesforce.client_secret,
                "username": salesforce.username,
                "org_id": salesforce.org_id,
                "integration_user_id": salesforce.integration_user_id,
            },
            "hubspot": {
                "host": hubspot.url,
                "access_token": hubspot.access_token,
                "client_secret": WEBHOOK_SECRET,
                "webhook_url": hubspot.webhook_url,
            },
        }

    def state(self) -> dict[str, Any]:
        """What GET /state answers."""
        traffic = self.traffic
        return {
            "leads": {"salesforce": traffic.created["salesforce"], "hubspot": traffic.created["hubspot"]},
            "leads_total": traffic.created.total(),
            "refused": traffic.refused,
            "churned": traffic.churned,
            "running": traffic.running,
            "done": traffic.done,
            "error": traffic.error,
            "webhooks_pending": self.hubspot.webhooks.pending,
            "salesforce": {"requests": self.salesforce.api_requests},
            "hubspot": summary(self.hubspot),
            "faults": [msgspec.to_builtins(fault) for fault in self.faults.all()],
        }

    def records(self, system: str, name: str) -> Iterator[dict[str, Any]]:
        """The CRM's final state by id, without what differs from run to run. Raises ValueError for unknown names."""
        if system == "salesforce" and name in self.salesforce.store.objects:
            yield from self._salesforce_records(name)
        elif system == "hubspot" and name in PROPERTIES:
            for item in self.hubspot.items("contacts" if name == "contacts" else "companies"):
                fields = dict(item.properties)
                yield {"id": item.id, "owner": fields.get("hubspot_owner_id"), "fields": fields, "writes": item.writes}
        else:
            raise ValueError(
                f"no object {name!r} in system {system!r}: salesforce Lead, Account …; hubspot contacts, companies"
            )

    def _salesforce_records(self, name: str) -> Iterator[dict[str, Any]]:
        for row in sorted(self.salesforce.records(name), key=lambda row: str(row["Id"])):
            fields = {key: value for key, value in row.items() if key not in _VOLATILE and value is not None}
            writes: Counter[str] = Counter()
            for entry in self.salesforce.history(name, row["Id"]):
                if entry.kind == "update" and entry.actor == self.salesforce.integration_user_id:
                    writes.update(list(entry.fields))
            yield {"id": row["Id"], "owner": row.get("OwnerId"), "fields": fields, "writes": dict(writes)}

    # -- the admin address ----------------------------------------------------------------------------------------

    def _app(self) -> Starlette:
        async def get_state(_: Request) -> Response:
            return _json(self.state())

        async def get_records(request: Request) -> Response:
            asked = request.query_params
            try:
                lines = [
                    msgspec.json.encode(row) for row in self.records(asked.get("system", ""), asked.get("object", ""))
                ]
            except ValueError as error:
                return _json({"error": str(error)}, 400)
            return Response(b"".join(line + b"\n" for line in lines), media_type="application/x-ndjson")

        routes = [
            Route("/state", get_state, methods=["GET"]),
            Route("/records", get_records, methods=["GET"]),
            Route("/traffic", self._order(self._traffic), methods=["POST"]),
            Route("/faults", self._order(self._arm), methods=["POST"]),
            Route("/webhook", self._order(self._aim), methods=["POST"]),
            Route("/stop", self._order(self._end), methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def _order(self, carry_out: Callable[[bytes], None]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                carry_out(await request.body() or b"{}")
            except (msgspec.DecodeError, ValueError) as error:
                return _json({"error": str(error)}, 400)
            return _json(self.state())

        return endpoint

    def _traffic(self, body: bytes) -> None:
        self.traffic.start(msgspec.json.decode(body, type=TrafficOrder))

    def _arm(self, body: bytes) -> None:
        given = msgspec.json.decode(body)
        if isinstance(given, dict) and given.get("clear"):
            self.faults.clear()
            return
        for fault in msgspec.convert(given if isinstance(given, list) else [given], list[Fault]):
            self.faults.add(fault)

    def _aim(self, body: bytes) -> None:
        order = msgspec.json.decode(body, type=_WebhookOrder)
        if order.url is not None:
            self.hubspot.webhook_url = order.url
        if order.mischief is not None:
            self.hubspot.webhooks.mischief = order.mischief

    def _end(self, _: bytes) -> None:
        self.stopped.set()


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
