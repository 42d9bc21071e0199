"""Both sandboxes and the whole daemon in one process, small and quick, for tests to play scenes on."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import structlog
from click.testing import Result
from typer.testing import CliRunner

from connectors.salesforce.settings import Secret
from connectors.sandbox.faults import Fault, FaultKind, Faults
from connectors.sandbox.hubspot import HubSpotSandbox
from connectors.sandbox.people import read_people
from connectors.sandbox.salesforce import SalesforceSandbox
from connectors.sandbox.salesforce.bus import event_number
from connectors.sandbox.salesforce.store import HistoryEntry
from connectors.sandbox.traffic import Traffic, TrafficOrder
from connectors.sandbox.world import World
from routing.bootstrap.daemon import Daemon
from routing.bootstrap.settings import load
from routing.bootstrap.systems import connect
from routing.cli.app import app
from routing.cli.sandbox_run import HOOK, write_settings
from routing.core.model import Decision
from routing.ledger import decisions, journal
from routing.runtime import policies
from routing.runtime.clock import monotonic, utcnow
from routing.web.api import app_of
from routing.web.app import Server, listen
from tests.processes import POLICY, wait_for

SECRET = "the secret of the stage's webhooks"
TOKEN = "the token of the stage's telephony"
STREAM = "salesforce:/data/ChangeEvents"
WAIT = 30.0


class StageClock:
    """The wall clock, until a test puts it forward. CRMs and daemon look at the same one."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return utcnow() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


class Stage:
    """``open`` and ``close`` start and stop the daemon; the CRMs live from ``with stage(…)`` to its end."""

    def __init__(self, folder: Path, seed: int, accounts: int, faults: Faults | None = None, ledger: str = "") -> None:
        self.ledger = ledger  # its URL, when it is not the file
        self.folder, self.policy = folder, folder / "policy"
        shutil.copytree(POLICY, self.policy)
        self.clock = StageClock()
        self.faults = faults or Faults()
        self.world = World(seed, read_people(self.policy / "people.csv"), accounts)
        self._listening = listen("127.0.0.1", 0)
        self.port = int(self._listening.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.salesforce = SalesforceSandbox(self.world, self.clock, self.faults)
        self.hubspot = HubSpotSandbox(
            self.world, self.clock, self.faults, self.url + HOOK, SECRET, ten_seconds=1_000_000
        )
        self.traffic = Traffic(self.world, seed, self.salesforce, self.hubspot, self.clock, monotonic)
        self._numbers = itertools.count(1)
        self._emails = {row["Id"]: row["Email"] for row in self.world.users}
        self._emails |= {row["id"]: row["email"] for row in self.world.owners}
        self._daemon: Daemon | None = None
        self.happenings: list[Any] = []
        self.logs: Sequence[Any] = ()  # every log line so far

    # -- the play ---------------------------------------------------------------------------------------------------

    def raise_curtain(self) -> None:
        self.salesforce.start()
        self.hubspot.start()
        self.config = self.write_settings(self.folder)

    def write_settings(self, folder: Path, **changes: dict[str, str]) -> Path:
        """A settings file in ``folder`` that leads here; ``salesforce`` and ``hubspot`` change what it says of them."""
        address = {
            "salesforce": {
                "login_url": self.salesforce.rest_url,
                "client_id": self.salesforce.client_id,
                "client_secret": self.salesforce.client_secret,
                "pubsub_address": self.salesforce.pubsub_address,
                "ca_file": self.salesforce.ca_file,
            },
            "hubspot": {
                "host": self.hubspot.url,
                "access_token": self.hubspot.access_token,
                "client_secret": SECRET,
            },
        }
        for system, told in changes.items():
            address[system] |= told
        return write_settings(folder, address, self.policy, self.port, self.ledger or str(self.ledger_file))

    @property
    def ledger_file(self) -> Path:
        return self.folder / "ledger.db"

    def open(self) -> None:
        """Starts the daemon and waits until it decides."""
        settings = load(self.config)
        self._daemon = daemon = Daemon(settings.ledger, settings.policy, connect(settings, self.clock), self.clock)
        if self._listening.fileno() < 0:
            self._listening = listen("127.0.0.1", self.port)
        web = app_of(daemon, {"telephony": Secret(TOKEN)})
        daemon.feed.watch(self.happenings.append)
        daemon.services.start("web", "web server", Server(web, self._listening).run)
        daemon.start()
        self.until("the daemon", daemon.ready.is_set)

    def leave_port(self) -> None:
        """Nobody listens where the webhooks go."""
        self._listening.close()

    def close(self) -> None:
        """Stops the daemon, which must stop in time and must not have failed."""
        if self._daemon is None:
            return
        daemon, self._daemon = self._daemon, None
        late = daemon.stop()
        self._listening.close()
        assert late == []
        assert daemon.services.failure == "", daemon.services.failure

    def lower_curtain(self) -> None:
        self.traffic.stop()
        try:
            self.close()
        finally:
            self._listening.close()
            self.hubspot.stop()
            self.salesforce.stop()

    @property
    def daemon(self) -> Daemon:
        assert self._daemon is not None, "the daemon is not running"
        return self._daemon

    # -- waiting ----------------------------------------------------------------------------------------------------

    def until(self, what: str, true: Any, seconds: float = WAIT) -> None:
        """Waits for a condition; a daemon that fails meanwhile is told at once."""

        def looked() -> bool:
            if self._daemon is not None:
                assert self._daemon.services.failure == "", self._daemon.services.failure
            return bool(true())

        wait_for(what, looked, seconds, pause=0.02)

    def settle(self, seconds: float = WAIT) -> None:
        """Waits until everything that happened in the CRMs is settled, what that caused is written, and the echoes are heard."""
        self.until("everything to settle", self._settled, seconds)

    def _settled(self) -> bool:
        before = self._told()
        if before is None:
            return False
        backlog = self.daemon.backlog()
        return backlog["events"] == 0 and backlog["writes"] == 0 and self._told() == before

    def _told(self) -> tuple[int, int] | None:
        """How much the CRMs have told, None while some of it is still on its way into the journal."""
        told = self.salesforce.bus.last, self.hubspot.webhooks.delivered
        with self.daemon.ledger.read() as conn:
            position = journal.get_position(conn, "salesforce", STREAM)
        if self.hubspot.webhooks.pending or position is None or event_number(position) != told[0]:
            return None
        return told

    def flow(self, leads: int, rate: float | None = None, seconds: float = 90) -> None:
        """Lets ``leads`` of the world's own stream come in, as fast as they can or ``rate`` a second, until all are settled."""
        self.traffic.start(TrafficOrder(leads=leads, rate=rate))
        self.until("the traffic", lambda: self.traffic.done, seconds)
        assert self.traffic.error == ""
        self.settle(seconds)

    # -- the CRMs ---------------------------------------------------------------------------------------------------

    def lead(self, actor: str = "", **fields: Any) -> str:
        """A Salesforce lead from a German company that nobody knows, unless ``fields`` say otherwise; its id."""
        n = next(self._numbers)
        given = {
            "FirstName": "Pat",
            "LastName": f"Visitor {n}",
            "Company": f"Visitor {n} GmbH",
            "Email": f"pat{n}@visitor{n}.example",
            "Country": "DE",
            "OwnerId": self.salesforce.integration_user_id,
        }
        return self.salesforce.create("Lead", {**given, **fields}, actor)

    def contact(self, **properties: str) -> str:
        """A HubSpot contact likewise."""
        n = next(self._numbers)
        given = {
            "firstname": "Kim",
            "lastname": f"Guest {n}",
            "email": f"kim{n}@guest{n}.example",
            "company": f"Guest {n} GmbH",
            "country": "DE",
        }
        return self.hubspot.create("contacts", {**given, **properties})

    def field(self, lead: str, name: str) -> Any:
        row = self.salesforce.record("Lead", lead)
        assert row is not None
        return row[name]

    def give(self, lead: str, email: str, by: str) -> None:
        """Somebody changes the owner of a Salesforce lead by hand."""
        user = self.world.user_id
        self.salesforce.update("Lead", lead, {"OwnerId": user(email)}, actor=user(by))

    def owner(self, record: str) -> str:
        """The e-mail address of who owns a lead or contact in its CRM, "" for nobody."""
        if record.startswith("00Q"):
            return str(self._emails.get(self.field(record, "OwnerId"), ""))
        properties = self.hubspot.record("contacts", record) or {}
        return str(self._emails.get(properties.get("hubspot_owner_id", ""), ""))

    def writes(self, lead: str) -> list[HistoryEntry]:
        """What the daemon wrote to a Salesforce lead, oldest first."""
        us = self.salesforce.integration_user_id
        return [e for e in self.salesforce.history("Lead", lead) if e.kind == "update" and e.actor == us]

    def times_written(self, record: str) -> int:
        """How often the daemon wrote any one field of a lead or contact."""
        if record.startswith("00Q"):
            return len(self.writes(record))
        return max(self.hubspot.writes("contacts", record).values(), default=0)

    def fault(self, system: str, kind: FaultKind, operation: str = "*", **more: Any) -> None:
        self.faults.add(Fault(system=system, kind=kind, operation=operation, **more))

    def hold_up(self, system: str, operation: str) -> None:
        """Everything of that kind has to wait until ``faults.clear``: a rate limit with a short Retry-After."""
        self.fault(system, "rate_limited", operation, times=1_000_000, retry_after=0.05)

    def hooks(self, body: bytes, **more: Any) -> int:
        """Sends a webhook body of our own making; the status of the answer."""
        return self.hubspot.webhooks.send_raw(body, **more)

    # -- what the ledger and the operator see -----------------------------------------------------------------------

    def decisions(self, record: str) -> list[Decision]:
        """All decisions on a record, oldest first."""
        with self.daemon.ledger.read() as conn:
            return decisions.of_record(conn, record)

    def decision(self, record: str) -> Decision:
        """The one decision on a record."""
        found = self.decisions(record)
        assert len(found) == 1, [(made.outcome, made.reason) for made in found]
        return found[0]

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """What a query finds in the ledger."""
        query = query.replace("?", "%s") if self.ledger else query
        with self.daemon.ledger.read() as conn:
            return [dict(row._mapping) for row in conn.exec_driver_sql(query, values)]

    def events(self, record: str) -> list[dict[str, Any]]:
        """The journal's entries of a record: kind, state, reason."""
        return self.rows("SELECT kind, state, reason FROM journal WHERE ref LIKE ? ORDER BY seq", f"%:{record}")

    def owed(self, record: str) -> list[dict[str, Any]]:
        """The outbox's entries of a record: state and detail."""
        return self.rows("SELECT state, detail, attempts FROM outbox WHERE ref LIKE ? ORDER BY seq", f"%:{record}")

    def parked(self) -> list[dict[str, Any]]:
        """What ``fingerpost parked list`` shows."""
        lines = self.command("parked", "list", "--json").stdout.splitlines()
        return [msgspec.json.decode(line) for line in lines]

    def command(self, *words: str, exit_code: int | None = 0, config: Path | None = None) -> Result:
        """Runs ``fingerpost`` as an operator would, on this stage's settings."""
        result = CliRunner().invoke(app, [*words, "--config", str(config or self.config)], env={"COLUMNS": "200"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert exit_code is None or result.exit_code == exit_code, result.output
        return result

    # -- the policy -------------------------------------------------------------------------------------------------

    def edit(self, name: str, old: str, new: str) -> None:
        """Changes a file of the policy as an editor does: whole, at once."""
        path = self.policy / name
        text = path.read_text("utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        fresh = path.with_name(f".{name}.new")
        fresh.write_text(text.replace(old, new), "utf-8")
        fresh.replace(path)

    def publish(self, name: str, old: str, new: str) -> None:
        """The same, and waits until it is live."""
        before = self.daemon.policies.current
        self.edit(name, old, new)
        self.until("the new policy", lambda: self.daemon.policies.current is not before)

    def activate(self, email: str, active: bool) -> None:
        """Somebody's Salesforce user is switched on or off."""
        self.salesforce.update("User", self.world.user_id(email), {"IsActive": active})


@contextmanager
def stage(
    folder: Path,
    *,
    seed: int = 7,
    accounts: int = 200,
    faults: Faults | None = None,
    daemon: bool = True,
    ledger: str = "",
) -> Iterator[Stage]:
    """A stage with its daemon running (without ``daemon`` only the CRMs), until the end of the block."""
    made = Stage(folder, seed, accounts, faults, ledger)
    with structlog.testing.capture_logs() as made.logs, patch.object(policies, "LOOK_SECONDS", 0.05):
        try:
            made.raise_curtain()
            if daemon:
                made.open()
            else:
                made.leave_port()
            yield made
        finally:
            made.lower_curtain()
        said = repr(made.logs)
        for secret in (SECRET, TOKEN, made.salesforce.client_secret, made.hubspot.access_token, "!sandbox."):
            assert secret not in said, "a secret was logged"
        assert "@visitor" not in said, "an e-mail address was logged"
