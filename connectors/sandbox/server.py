"""The sandbox as one process: the CRMs over one world, and an address from which tests and the daemon drive it.

| request | does |
|---|---|
| GET / | what all of these take: see ``manual`` |
| GET /state | counts: leads made, whether done, webhooks pending, faults armed |
| POST /traffic | starts the lead generator; body as ``TrafficOrder`` |
| POST /faults | arms a ``Fault`` (or a list of them); ``{"clear": true}`` disarms all |
| POST /webhook | ``{"url": …}`` where webhooks go from now on; ``{"mischief": {…}}`` what goes wrong with them |
| POST /do | one deed (or a list of them: all or none) of a person or an administrator; body as ``scenario.Deed`` |
| POST /scenario | plays a ``Scenario`` |
| GET /records?system=&object= | what the CRM holds, one JSON object a line: id, owner, fields, writes per field by us |
| POST /stop | ends the process |
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.faults import check as check_fault
from connectors.sandbox.hubspot import HubSpotSandbox
from connectors.sandbox.hubspot.journal import CLIENT_ID
from connectors.sandbox.hubspot.properties import PROPERTIES, Refusal
from connectors.sandbox.hubspot.server import summary
from connectors.sandbox.hubspot.webhooks import PORTAL_ID
from connectors.sandbox.manual import manual
from connectors.sandbox.marketo import MarketoSandbox
from connectors.sandbox.marketo.store import Refusal as MarketoRefusal
from connectors.sandbox.salesforce import SalesforceSandbox
from connectors.sandbox.salesforce.checks import SaveError
from connectors.sandbox.scenario import FORMS, Deed, Player, Step, WebhookOrder, carry_out, check, decode
from connectors.sandbox.serving import Served
from connectors.sandbox.together import check_together, whole
from connectors.sandbox.traffic import Traffic, TrafficOrder
from connectors.sandbox.wording import one_of, take
from connectors.sandbox.world import PersonSeed, World

WEBHOOK_SECRET = "sandbox-webhook-secret"  # noqa: S105 - it opens nothing but this sandbox

# What differs between two runs that did the same.
_VOLATILE = frozenset({"CreatedDate", "LastModifiedDate", "SystemModstamp", "LastModifiedById", "CreatedById"})


class SandboxOptions(Struct, frozen=True, kw_only=True):
    """How the sandbox is set up. Port 0 takes a free one; fixed ports let daemon and sandbox restart independently."""

    seed: int = 1
    accounts: int = 2000
    salesforce_port: int = 0
    pubsub_port: int = 0
    hubspot_port: int = 0
    marketo_port: int = 0
    admin_port: int = 0
    webhook_url: str = ""
    hubspot_ten_seconds: int = 190  # requests; the limit of a HubSpot account


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
        self.marketo = MarketoSandbox(clock, self.faults, self.options.marketo_port)
        self.traffic = Traffic(self.world, self.options.seed, self.salesforce, self.hubspot, clock, monotonic)
        self.player = Player(self._act)
        self._served = Served(self._app(), self.options.admin_port, "sandbox-admin")

    def start(self) -> None:
        """Serves in threads of its own; returns once everything answers. Raises OSError when a port is taken."""
        self.salesforce.start()
        self.hubspot.start()
        self.marketo.start()
        self._served.start()

    @property
    def admin_url(self) -> str:
        """Where it is driven from; "" before it was started."""
        return self._served.url

    def stop(self) -> None:
        """Ends traffic, both CRMs and the admin address. Webhooks not yet delivered stay unsent."""
        self.stopped.set()
        self.player.stop()
        self.traffic.stop()
        self.hubspot.stop()
        self.salesforce.stop()
        self.marketo.stop()
        self._served.stop()

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
                "client_id": CLIENT_ID,
                "client_secret": WEBHOOK_SECRET,
                "portal_id": PORTAL_ID,
                "webhook_url": hubspot.webhook_url,
            },
            "marketo": {
                "host": self.marketo.url,
                "client_id": self.marketo.client_id,
                "client_secret": self.marketo.client_secret,
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
            "marketo": {"requests": self.marketo.requests},
            "hasty": [msgspec.to_builtins(one) for one in self.faults.hasty],
            "faults": [msgspec.to_builtins(fault) for fault in self.faults.all()],
            "scenario": self.player.state(),
        }

    def records(self, system: str, name: str) -> Iterator[dict[str, Any]]:
        """The CRM's final state by id, without what differs from run to run. Raises ValueError for unknown names."""
        if system == "salesforce" and name in self.salesforce.store.objects:
            yield from self._salesforce_records(name)
        elif system == "hubspot" and name in PROPERTIES:
            for item in self.hubspot.store.page(name, 0, 10**18)[0]:
                fields = dict(item.properties)
                yield {"id": item.id, "owner": fields.get("hubspot_owner_id"), "fields": fields, "writes": item.writes}
        elif system == "marketo" and name in ("", "leads"):
            for lead in self.marketo.store.leads.values():
                yield {"id": str(lead.id), "owner": None, "fields": dict(lead.values), "writes": lead.writes}
        else:
            known: dict[str, Iterable[str]] = {
                "salesforce": self.salesforce.store.objects,
                "hubspot": PROPERTIES,
                "marketo": ["leads"],
            }
            if system not in known:
                raise ValueError(f"no sandbox is called {system!r}; {one_of(system, known)}")
            raise ValueError(f"{system} has no object {name!r}; {one_of(name, sorted(known[system]))}")

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

        async def get_manual(_: Request) -> Response:
            return Response(manual(), media_type="text/plain")

        routes = [
            Route("/", get_manual, methods=["GET"]),
            Route("/state", get_state, methods=["GET"]),
            Route("/records", get_records, methods=["GET"]),
            Route("/traffic", self._order(self._traffic), methods=["POST"]),
            Route("/faults", self._order(self._arm), methods=["POST"]),
            Route("/webhook", self._order(self._aim), methods=["POST"]),
            Route("/do", self._order(self._do), methods=["POST"]),
            Route("/scenario", self._order(self._play), methods=["POST"]),
            Route("/stop", self._order(self._end), methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def _order(self, carry_out: Callable[[bytes], dict[str, Any] | None]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                told = carry_out(await request.body() or b"{}") or {}
            except (msgspec.DecodeError, ValueError, SaveError, Refusal, MarketoRefusal) as error:
                return _json({"error": str(error)}, 400)
            return _json(self.state() | told)

        return endpoint

    def _traffic(self, body: bytes) -> None:
        self.traffic.start(take(msgspec.json.decode(body), TrafficOrder, {"": TrafficOrder}))

    def _arm(self, body: bytes) -> None:
        given = msgspec.json.decode(body)
        if isinstance(given, dict) and given.get("clear"):
            self.faults.clear()
            return
        faults = take(given, list[Fault], {"": Fault}) if isinstance(given, list) else [take(given, Fault, {"": Fault})]
        for fault in faults:
            check_fault(fault)
        for fault in faults:
            self.faults.add(fault)

    def _aim(self, body: bytes) -> None:
        self._aim_at(take(msgspec.json.decode(body), WebhookOrder, {**FORMS, "": WebhookOrder}))

    def _aim_at(self, order: WebhookOrder) -> None:
        if order.url is not None:
            self.hubspot.webhook_url = order.url
        if order.mischief is not None:
            self.hubspot.webhooks.mischief = order.mischief
        if order.object_names is not None:
            self.hubspot.webhooks.object_names = order.object_names
        if order.drop_refused is not None:
            self.hubspot.webhooks.drop_refused = order.drop_refused

    def _do(self, body: bytes) -> dict[str, Any]:
        given = msgspec.json.decode(body)
        deeds = take(given, list[Deed], {"": Deed}) if isinstance(given, list) else [take(given, Deed, {"": Deed})]
        for deed in deeds:
            check(deed)
        check_together(deeds)
        with whole(self.salesforce, self.hubspot, self.marketo) if len(deeds) > 1 else nullcontext():
            return {"did": [self._carry_out(deed) for deed in deeds]}

    def _play(self, body: bytes) -> None:
        self.player.start(decode(msgspec.json.decode(body), "the scenario"))

    def _act(self, step: Step) -> None:
        """One step of a scenario."""
        if step.clear_faults:
            self.faults.clear()
        for fault in step.faults:
            self.faults.add(fault)
        if step.webhook is not None:
            self._aim_at(step.webhook)
        if step.traffic is not None:
            self.traffic.start(step.traffic)
        for deed in step.deeds:
            self._carry_out(deed)

    def _carry_out(self, deed: Deed) -> Any:
        sandboxes = {"salesforce": self.salesforce, "hubspot": self.hubspot, "marketo": self.marketo}
        return carry_out(deed, sandboxes, self._newest)

    def _newest(self, system: str, name: str, which: str) -> str:
        """The record made last (or first) of an object. Raises ValueError when there is none."""
        if system == "hubspot":
            dated = [(item.created_at.isoformat(), item.id) for item in self.hubspot.store.page(name, 0, 10**18)[0]]
        elif system == "marketo":
            dated = [(one.created_at.isoformat(), str(one.id)) for one in self.marketo.store.leads.values()]
        else:
            dated = [(str(row["CreatedDate"]), str(row["Id"])) for row in self.salesforce.records(name)]
        if not dated:
            raise ValueError(f"{system} has no {name or 'object'} that could be the {which}")
        return (max if which == "newest" else min)(dated)[1]

    def _end(self, _: bytes) -> None:
        self.stopped.set()


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
