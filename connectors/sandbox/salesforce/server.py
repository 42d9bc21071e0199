"""The stand-in for Salesforce: REST over TLS and Pub/Sub over gRPC, both on loopback, over an org in memory."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from connectors.sandbox.faults import Faults
from connectors.sandbox.listening import listen
from connectors.sandbox.salesforce.bulk import BulkJobs
from connectors.sandbox.salesforce.org import Org, SalesforceSeed
from connectors.sandbox.salesforce.pubsub import PubSubServer
from connectors.sandbox.salesforce.replication import Replication
from connectors.sandbox.salesforce.rest import RestApi
from connectors.sandbox.salesforce.sessions import Sessions
from connectors.sandbox.salesforce.tls import make_certificate
from connectors.sandbox.wording import check_conditions

_STARTUP_SECONDS = 20.0

# What can be imposed: whose attribute it is, and of which type.
CONDITIONS: dict[str, Callable[[Any], tuple[Any, str, Callable[[float], float]]]] = {
    "daily": lambda org: (org.rest.day, "most", int),  # calls that the org may make in 24 hours
    "used_today": lambda org: (org.rest.day, "others", int),  # those that somebody else made
    "deliveries": lambda org: (org.rest.delivered, "most", int),  # events that may be delivered in 24 hours
    "latency": lambda org: (org.rest, "latency", float),  # seconds until any answer of REST
    # Seconds that a save of Collections takes; what it and others lock is refused to others meanwhile (UNABLE_TO_LOCK_ROW).
    "save_seconds": lambda org: (org.store, "save_seconds", float),
    "session_minutes": lambda org: (org.sessions, "minutes", float),  # until a session ends; 0: only on demand
    "most_ids": lambda org: (org.replication, "most_ids", int),  # that getUpdated and getDeleted answer
    "bulk_looks": lambda org: (org.bulk, "slow", int),  # how many looks a bulk job takes
    "late_seconds": lambda org: (org.bus, "late_seconds", float),  # how late every event comes
    "reorder_every": lambda org: (org.bus, "reorder_every", int),  # which events are overtaken by the next one
    "retained": lambda org: (org.bus, "retained", int),  # events that the bus keeps
}


class _Protocol(HttpToolsProtocol):
    """Hands the transport to the application, so that an armed fault can drop the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["fingerpost.transport"] = self.transport  # type: ignore[typeddict-unknown-key]

    def shutdown(self) -> None:
        # A TLS farewell would wait for the client beyond the life of the loop. First of all, because a second close (the
        # first was for idleness) makes asyncio's transport deaf to it.
        self.transport.abort()
        super().shutdown()


class SalesforceSandbox(Org):
    """One Salesforce org on this machine.

    ``rest_url`` and ``pubsub_address`` are known once ``start`` returned; ``ca_file`` is the root that clients must trust.
    ``port`` and ``pubsub_port`` of 0 choose free ones. ``api_requests`` counts calls as the daily limit does.
    """

    def __init__(
        self,
        world: SalesforceSeed,
        clock: Callable[[], datetime],
        faults: Faults,
        port: int = 0,
        pubsub_port: int = 0,
        keepalive_seconds: float = 30.0,
    ) -> None:
        super().__init__(world, clock)
        self._ports = (port, pubsub_port)
        self._folder = Path(tempfile.mkdtemp(prefix="fingerpost-sandbox-"))
        self._certificate, self._key = make_certificate(self._folder)
        self.ca_file = str(self._certificate)
        self.client_id, self.client_secret = "3MVG9.sandbox.app", "sandbox-client-secret"
        self.sessions = Sessions(
            self.org_id, self.integration_user_id, self.client_id, self.client_secret, self.username, clock
        )
        self.rest = RestApi(self.store, self.sessions, faults, clock, self.integration_user_id, self.org_id)
        self._pubsub = PubSubServer(
            self.bus, faults, self.sessions.live, self.org_id, keepalive_seconds, self.rest.delivered
        )
        self.rest_url = ""
        self.pubsub_address = ""
        self._web: uvicorn.Server | None = None
        self._web_thread: threading.Thread | None = None

    def start(self) -> None:
        """Serves in threads of its own; returns once both ports answer. Raises OSError when a port is taken."""
        listener = listen(self._ports[0])
        port = int(listener.getsockname()[1])
        self.rest_url = f"https://127.0.0.1:{port}"
        self.rest.base_url = self.rest_url
        config = uvicorn.Config(
            self.rest.app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,  # the application sends the sandbox's own time
            server_header=False,
            ssl_certfile=str(self._certificate),
            ssl_keyfile=str(self._key),
            timeout_graceful_shutdown=1,
        )
        self._web = uvicorn.Server(config)
        self._web_thread = threading.Thread(
            target=self._web.run, args=([listener],), name="sandbox-salesforce", daemon=True
        )
        self._web_thread.start()
        bound = self._pubsub.start(self._ports[1], self._certificate.read_bytes(), self._key.read_bytes())
        self.pubsub_address = f"127.0.0.1:{bound}"
        self._ports = port, bound
        waited = threading.Event()
        for _ in range(int(_STARTUP_SECONDS / 0.01)):
            if self._web.started:
                return
            waited.wait(0.01)
        raise OSError(f"the sandbox Salesforce did not start on {self.rest_url} within {_STARTUP_SECONDS:g} s")

    def go_down(self) -> None:
        """Ends all streams and connections and answers no more, as in a restart; what people do goes on."""
        self._pubsub.stop()
        if self._web is not None and self._web_thread is not None:
            self._web.should_exit = True
            self._web_thread.join(_STARTUP_SECONDS)

    def come_back(self) -> None:
        """Answers again, at the same addresses. Raises OSError when somebody else took a port."""
        self.start()

    def stop(self) -> None:
        """Ends all streams and connections, and removes the certificate."""
        self.go_down()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def api_requests(self) -> int:
        """REST calls answered so far."""
        return self.rest.requests

    # Lasting conditions

    def impose(self, values: Mapping[str, Any]) -> None:
        """Lasting conditions, see ``CONDITIONS``. Raises ValueError."""
        check_conditions("salesforce", values, CONDITIONS)
        for name, value in values.items():
            owner, attribute, kind = CONDITIONS[name](self)
            setattr(owner, attribute, kind(value))

    def use_up(self, calls: int, limit: int | None = None) -> None:
        """Others made so many API calls today; ``limit`` changes how many the org has."""
        self.rest.day.others = calls
        self.rest.day.most = limit or self.rest.day.most

    @property
    def replication(self) -> Replication:
        """What getUpdated and getDeleted know."""
        return self.rest.reading.replication

    @property
    def bulk(self) -> BulkJobs:
        """The query jobs of Bulk API 2.0."""
        return self.rest.reading.bulk

    def expire_sessions(self) -> None:
        """Ends every session: the next call is answered with INVALID_SESSION_ID."""
        self.sessions.expire()
