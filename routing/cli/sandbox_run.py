"""The sandbox as ``fingerpost run --sandbox`` uses it: a child process, and settings that point the daemon at it."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import msgspec
import requests
import yaml

from routing.bootstrap.settings import Settings, SettingsError, load
from routing.cli.output import SANDBOX_LEDGER
from routing.ledger.engine import Ledger
from routing.ledger.report import leads_in
from routing.web.app import listen

START_SECONDS = 30.0
HOOK = "/hooks/hubspot"
BROKERS = "FINGERPOST_KAFKA"


def write_settings(
    folder: Path, address: dict[str, Any], policy: Path, intake_port: int, ledger: str, **sections: dict[str, Any]
) -> Path:
    """Writes a settings file, and the secrets beside it, for a sandbox at ``address`` (its own JSON line).

    ``sections`` are put in as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    salesforce, hubspot = address["salesforce"], address["hubspot"]
    secrets = {
        "salesforce_client_secret": salesforce["client_secret"],
        "hubspot_access_token": hubspot["access_token"],
        "hubspot_client_secret": hubspot["client_secret"],
    }
    for name, value in secrets.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(value, "utf-8")
    settings = {
        "policy": str(policy.resolve()),
        "ledger": ledger,
        "intake": {"host": "127.0.0.1", "port": intake_port},
        "salesforce": {
            "login_url": salesforce["login_url"],
            "client_id": salesforce["client_id"],
            "client_secret": {"file": "salesforce_client_secret"},
            "pubsub_address": salesforce["pubsub_address"],
            "ca_file": salesforce["ca_file"],
        },
        "hubspot": {
            "host": hubspot["host"],
            "access_token": {"file": "hubspot_access_token"},
            "client_secrets": [{"file": "hubspot_client_secret"}],
            "public_url": f"http://127.0.0.1:{intake_port}{HOOK}",
            "path": HOOK,
        },
        **sections,
    }
    config = folder / "fingerpost.yaml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")
    return config


class SandboxRun:
    """The child process, from ``with`` to its end. ``settings`` are the daemon's; ``listening`` is its open intake port."""

    settings: Settings
    listening: socket.socket

    def __init__(self, policy: Path, seed: int, kafka: bool = False) -> None:
        """``kafka``: the settings name topics of this run's own at the brokers of the environment's FINGERPOST_KAFKA."""
        self._policy, self._seed = policy, seed
        self._sections = {"kafka": _brokers()} if kafka else {}
        self._folder = SANDBOX_LEDGER.parent
        self._child: subprocess.Popen[bytes] | None = None
        self._admin = ""

    def __enter__(self) -> SandboxRun:
        """Starts it. Raises SettingsError when it does not come up; the message says why."""
        _empty(self._folder)
        self.listening = listen("127.0.0.1", 0)
        port = self.listening.getsockname()[1]
        address = self._spawn(f"http://127.0.0.1:{port}{HOOK}")
        self._admin = address["admin_url"]
        ledger = str(SANDBOX_LEDGER.resolve())
        self.settings = load(write_settings(self._folder, address, self._policy, port, ledger, **self._sections))
        if self.settings.kafka is not None:
            from routing.runtime.kafka.topics import create

            create(self.settings.kafka)
        return self

    def _spawn(self, hook: str) -> dict[str, Any]:
        people, ready = self._policy / "people.csv", self._folder / "sandbox.json"
        command = [sys.executable, "-m", "routing.cli.app", "sandbox", "serve", "--with-parent"]
        command += ["--people", str(people), "--fields", str(self._policy / "fields.yaml"), "--seed", str(self._seed)]
        command += ["--webhook-url", hook, "--settings-out", str(ready)]
        with (self._folder / "sandbox.log").open("wb") as log:
            # A session of its own: Ctrl-C is for the daemon, which still needs the CRMs to finish what it is at.
            self._child = subprocess.Popen(  # noqa: S603 - our own module
                command, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
            )
        patience = threading.Event()
        for _ in range(int(START_SECONDS / 0.05)):
            if ready.exists():
                found: dict[str, Any] = msgspec.json.decode(ready.read_bytes())
                return found
            if self._child.poll() is not None:
                break
            patience.wait(0.05)
        said = (self._folder / "sandbox.log").read_text("utf-8", "replace").strip()
        self._end()
        raise SettingsError(f"The sandbox did not start: {said or 'it was silent for 30 s'}")

    def start_traffic(self, leads: int | None, rate: float, systems: Collection[str]) -> None:
        """Lets leads come in, of those ``systems`` that the policy knows leads of."""
        order: dict[str, Any] = {"leads": leads, "rate": rate}
        if len({"salesforce", "hubspot"}.intersection(systems)) == 1:
            order["hubspot_share"] = float("hubspot" in systems)
        requests.post(f"{self._admin}/traffic", json=order, timeout=10).raise_for_status()

    def all_arrived(self, ledger: Ledger) -> bool:
        """Whether no more leads will come and every one that was made is in the journal."""
        state = requests.get(f"{self._admin}/state", timeout=10).json()
        if not state["done"] or state["webhooks_pending"]:
            return False
        with ledger.read() as conn:
            return leads_in(conn) >= int(state["leads_total"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listening.close()
        self._end()

    def _end(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self._child.kill()


def _brokers() -> dict[str, Any]:
    """Each run begins with an empty ledger, which would decide all again that other runs left in the same topic."""
    servers = os.environ.get(BROKERS, "")
    if not servers:
        raise SettingsError(
            f"The sandbox has no Kafka of its own: name one in the environment, {BROKERS}=127.0.0.1:9092."
        )
    run = uuid4().hex[:8]
    names = {"changes_topic": f"sandbox-{run}-changes", "decisions_topic": f"sandbox-{run}-decisions"}
    hours = {"changes_retention_hours": 1, "decisions_retention_hours": 1}
    return {"bootstrap_servers": servers, "replication": 1, "group": f"sandbox-{run}", **names, **hours}


def _empty(folder: Path) -> None:
    """The sandbox's CRMs start anew each time; an old ledger would speak of records that they do not have."""
    lock = Path(f"{SANDBOX_LEDGER}.lock")
    if lock.exists():
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SettingsError("A sandbox run is going on in this folder already. Stop it first.") from None
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
