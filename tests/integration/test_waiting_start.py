"""A process that is started while PostgreSQL, or Kafka, is away: it says so, waits, and stops when told."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from sqlalchemy.engine import URL, make_url

from routing.bootstrap.process import Process
from routing.ledger.engine import LedgerError
from routing.runtime.clock import monotonic
from tests.processes import POLICY, free_port, wait_for
from tests.servers.postgres import Postgres
from tests.servers.proxy import Proxy

ROLES = ["gateway", "worker", "delivery", "run"]
SYSTEM = {"login_url": "https://127.0.0.1:1", "client_id": "us"}


class Starting:
    """One process. No broker and no CRM is ever there."""

    def __init__(self, folder: Path, role: str, ledger: URL) -> None:
        self.port = free_port()
        at = {"host": "127.0.0.1", "port": self.port}
        settings: dict[str, Any] = {
            "policy": str(POLICY),
            "ledger": ledger.render_as_string(hide_password=False),
            "kafka": {"bootstrap_servers": "127.0.0.1:1"},
            "salesforce": SYSTEM,
            "intake" if role in ("gateway", "run") else role: at,
        }
        config = folder / "fingerpost.yaml"
        config.write_text(yaml.safe_dump(settings), "utf-8")
        words = [role, "--config", str(config), *(["--runtime", "kafka"] if role == "run" else [])]
        with (folder / "log").open("wb") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "routing.cli.app", *words], stdout=log, stderr=log, cwd=folder
            )
        self._folder = folder

    def said(self) -> str:
        return " ".join((self._folder / "log").read_text("utf-8").split())

    def ask(self, path: str, method: str = "GET") -> requests.Response | None:
        assert self._child.poll() is None, self.said()
        try:
            return requests.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=10)
        except requests.ConnectionError:
            return None

    def health(self) -> dict[str, Any]:
        answer = self.ask("/healthz")
        found: dict[str, Any] = answer.json() if answer is not None else {}
        return found

    def await_waiting(self, what: str) -> None:
        wait_for(f"{what} to be waited for", lambda: what in self.health().get("waits_for", ""), 60)

    def stop(self) -> tuple[int, float]:
        """Its exit code, and how long it took."""
        began = monotonic()
        self._child.send_signal(signal.SIGTERM)
        return self._child.wait(60), monotonic() - began

    def end(self) -> int:
        return self._child.wait(60)

    def close(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Any]:
    made: list[Starting] = []

    def begin(role: str, ledger: URL) -> Starting:
        made.append(Starting(tmp_path, role, ledger))
        return made[-1]

    yield begin
    for one in made:
        one.close()


@pytest.mark.parametrize("role", ROLES)
def test_a_ledger_that_is_away_is_waited_for(begun: Any, postgres: Postgres, postgres_url: str, role: str) -> None:
    proxy = Proxy(postgres.port)
    proxy.cut()
    try:
        process = begun(role, make_url(postgres_url).set(port=proxy.port))
        process.await_waiting("Connection refused")
        waiting = process.health()
        assert (waiting["ok"], waiting["ready"]) == (False, False)
        assert waiting["ledger_lost_since"]
        assert [process.ask(path).status_code for path in ("/livez", "/healthz")] == [200, 503]
        hook = process.ask("/hooks/hubspot", "POST")
        assert (hook.status_code, hook.headers["Retry-After"]) == (503, "5"), "a CRM is to bring it again"
        assert "fingerpost_ledger_lost_seconds" in process.ask("/metrics").text
        proxy.open()
        wait_for("the ledger", lambda: process.health().get("policy", "") != "", 60)
        assert process.health()["ledger_lost_since"] is None
        if role in ("worker", "run"):
            process.await_waiting("a gateway that has read what the CRMs hold: salesforce")
        else:
            wait_for("readiness", lambda: process.health()["ready"], 60)
        if role in ("gateway", "run"):
            wait_for("Kafka to be missed", lambda: "Kafka cannot be reached" in process.health()["intake_closed"], 30)
        code, took = process.stop()
        assert code == 0, process.said()
        assert took < 10, "a supervisor kills what takes longer"
    finally:
        proxy.close()
    assert process.said().count("waiting before anything can begin") == 1
    assert "Traceback" not in process.said()


@pytest.mark.parametrize("role", ["worker", "run"])
def test_who_waits_for_a_server_that_says_nothing_stops_when_told(begun: Any, role: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = URL.create("postgresql+psycopg", "us", host="127.0.0.1", port=mute.getsockname()[1], database="ledger")
        process = begun(role, url)
        wait_for("the port", lambda: process.health() != {}, 60)
        with mute.accept()[0]:  # it has begun to knock
            code, took = process.stop()
    assert code == 0, process.said()
    assert took < 10


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"username": "who"}, 'role "who" does not exist'),
    ],
)
def test_whom_the_ledger_turns_away_ends_at_once_and_says_why(
    begun: Any, postgres_url: str, wrong: dict[str, str], said: str
) -> None:
    process = begun("worker", make_url(postgres_url).set(**wrong))
    assert process.end() == 2
    assert said in process.said()
    assert "Look at 'ledger' in the settings" in process.said()


@pytest.mark.parametrize("password", ["wrong-horse", None])
def test_a_wrong_password_is_no_reason_to_wait(password: str | None) -> None:
    server = Postgres(password_encryption="scram-sha-256")
    try:
        url = make_url(server.start().fresh())
        server.execute("CREATE USER guest PASSWORD 'right-horse'")
        rules = Path(server.execute("SHOW hba_file")[0][0])
        rules.write_text(f"host all guest 127.0.0.1/32 scram-sha-256\n{rules.read_text('utf-8')}", "utf-8")
        server.execute("SELECT pg_reload_conf()")
        with pytest.raises(LedgerError, match="does not let us in") as refused:
            Process(
                url.set(username="guest", password=password).render_as_string(hide_password=False),
                POLICY,
                lambda _policies: [],
                alone=False,
            )
    finally:
        server.close()
    assert "horse" not in str(refused.value)
