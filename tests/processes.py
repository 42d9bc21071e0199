"""A sandbox and a daemon as processes of their own, to be killed and compared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import requests
import yaml
from kafka import KafkaConsumer, TopicPartition

import rules
from routing.cli.sandbox_run import HOOK, write_settings
from routing.ledger import journal, outbox, shares
from routing.ledger.engine import Ledger
from routing.ledger.pools import rotations
from routing.runtime.clock import monotonic
from tests.servers.kafka import free_ports

POLICY = Path(rules.__file__).parent / "examples" / "inbound"
LONGEST_STOP = (
    "SELECT max(pause) FROM (SELECT settled_ms - lag(settled_ms) OVER (ORDER BY settled_ms) AS pause "
    "FROM journal WHERE settled_ms >= {}) AS pauses"
)
PATIENCE = threading.Event()  # never set: waits that poll


def free_port() -> int:
    """One that is still free when its process was away for a while."""
    return free_ports(1)[0]


class Outcome(msgspec.Struct):
    """What is left at the end of a run: the CRMs' records, and the ledger's own account."""

    records: dict[str, dict[str, Any]]
    pools: list[tuple[str, str, int, float]]
    journal: dict[str, int]
    writes: dict[str, int]
    decided: int
    longest_stop: float = 0.0  # seconds in which nothing was settled
    kills: int = 0

    @property
    def twice(self) -> int:
        """How many fields of records were written more than once."""
        return sum(n > 1 for row in self.records.values() for n in row["writes"].values())


class Run:
    """One run. The sandbox lives through it; the daemon is killed and started again at will."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        policy: Path = POLICY,
        sandbox: Sequence[str] = (),
        ledger_url: str = "",
        **sections: dict[str, Any],
    ) -> None:
        """``sections`` are put into the settings."""
        self._folder, self._port = folder, free_port()
        self.ledger_url = ledger_url or f"sqlite:///{self.ledger_file}"
        folder.mkdir(parents=True, exist_ok=True)
        self._log = self.log_file.open("ab")
        self._daemon: subprocess.Popen[bytes] | None = None
        self._sandbox = self._spawn_sandbox(seed, policy, sandbox)
        self._settings = write_settings(folder, self.address, policy, self._port, self.ledger_url, **sections)

    def _spawn_sandbox(self, seed: int, policy: Path, more: Sequence[str]) -> subprocess.Popen[bytes]:
        ready = self._folder / "sandbox.json"
        command = [sys.executable, "-m", "routing.cli.app", "sandbox", "serve", "--with-parent", "--seed", str(seed)]
        command += ["--people", str(policy / "people.csv"), "--settings-out", str(ready)]
        command += ["--webhook-url", f"http://127.0.0.1:{self._port}{HOOK}", *more]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self._log)
        try:
            wait_for("the sandbox", lambda: ready.exists() or child.poll() is not None)
        except BaseException:
            child.kill()  # nobody else knows it yet
            child.wait()
            raise
        self.address: dict[str, Any] = msgspec.json.decode(ready.read_bytes())
        return child

    def admin(self, path: str, order: Any = None) -> Any:
        url = f"{self.address['admin_url']}{path}"
        answer = requests.get(url, timeout=30) if order is None else requests.post(url, json=order, timeout=30)
        answer.raise_for_status()
        return answer

    def start(self) -> None:
        """Starts the daemon and returns at once."""
        command = [sys.executable, "-m", "routing.cli.app", "run", "--quiet", "--config", str(self._settings)]
        self._daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self._log)

    def await_ready(self) -> None:
        wait_for("the daemon", lambda: self.health().get("ready", False))

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is flushed."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGKILL)
        self._daemon.wait()

    def alive(self) -> bool:
        return self._daemon is not None and self._daemon.poll() is None

    def health(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = requests.get(f"http://127.0.0.1:{self._port}/healthz", timeout=5).json()
        except requests.RequestException:
            return {}
        return found

    def traffic(self, leads: int, rate: float | None, **more: Any) -> None:
        self.admin("/traffic", {"leads": leads, "rate": rate, **more})

    @property
    def ledger_file(self) -> Path:
        return self._folder / "ledger.db"

    @property
    def log_file(self) -> Path:
        return self._folder / "daemon.log"

    def webhook_answers(self, status: str) -> int:
        """How many webhooks were answered so."""
        found: dict[str, int] = self.admin("/state").json()["hubspot"]["webhook_answers"]
        return found.get(status, 0)

    @property
    def pid(self) -> int:
        assert self._daemon is not None
        return self._daemon.pid

    def settled(self) -> bool:
        """Whether every lead has arrived and nothing is left to do."""
        health, state = self.health(), self.admin("/state").json()
        assert not state["error"], state["error"]
        if not health.get("ready") or not state["done"] or state["webhooks_pending"]:
            return False
        backlog = health["backlog"]
        return backlog["events"] == 0 and backlog["writes"] == 0 and self.leads_in() >= state["leads_total"]

    def leads_in(self) -> int:
        from routing.ledger.report import leads_in

        ledger = Ledger(self.ledger_url)
        with ledger.read() as conn:
            found = leads_in(conn)
        ledger.close()
        return found

    def await_settled(self, seconds: float = 180) -> None:
        """Settled, and still so a moment later: an echo may be on its way."""
        looks = Counter[bool]()

        def still() -> bool:
            settled = self.settled()
            looks[True] = looks[True] + 1 if settled else 0
            return looks[True] >= 3

        wait_for("everything to settle", still, seconds, pause=0.2)

    def outcome(self) -> Outcome:
        """Asks the CRMs and the ledger. Stops the daemon first."""
        self.stop_daemon()
        return self.look()

    def look(self, since_ms: int = 0) -> Outcome:
        """Asks the CRMs and the ledger as they are now. ``since_ms``: from when on stops count."""
        records: dict[str, dict[str, Any]] = {}
        for system, name in (("salesforce", "Lead"), ("salesforce", "Contact"), ("hubspot", "contacts")):
            for line in self.admin(f"/records?system={system}&object={name}").iter_lines():
                row = msgspec.json.decode(line)
                records[f"{system} {name} {row['id']}"] = row
        ledger = Ledger(self.ledger_url)
        with ledger.read() as conn:
            ask = conn.exec_driver_sql
            outcome = Outcome(
                records=records,
                pools=[
                    (one.pool, person, one.assigned[n], round(one.claim(n), 6))
                    for one in rotations(conn)
                    for n, person in sorted(enumerate(one.people), key=lambda member: member[1])
                ],
                journal=dict(tuple(row) for row in ask("SELECT state, count(*) FROM journal GROUP BY state")),
                writes=dict(tuple(row) for row in ask("SELECT state, count(*) FROM outbox GROUP BY state")),
                decided=ask("SELECT count(*) FROM decision").scalar_one(),
                longest_stop=(ask(LONGEST_STOP.format(since_ms)).scalar_one() or 0) / 1000,
            )
            twice = ask("SELECT seq FROM decision GROUP BY seq HAVING count(*) > 1").all()
        ledger.close()
        assert twice == [], "an event was decided twice"
        return outcome

    def stop_daemon(self) -> int:
        assert self._daemon is not None
        if self._daemon.poll() is None:
            self._daemon.terminate()
        return self._daemon.wait(30)

    def close(self) -> None:
        for child in (self._daemon, self._sandbox):
            if child is not None and child.poll() is None:
                child.terminate()
                try:
                    child.wait(15)
                except subprocess.TimeoutExpired:
                    os.kill(child.pid, signal.SIGKILL)
                    child.wait()
        self._log.close()


class Roles(Run):
    """A run of the distributed runtime: each role in processes of its own, on one broker and one PostgreSQL."""

    def __init__(
        self, folder: Path, seed: int, bootstrap: str, topic: str, ledger_url: str, partitions: int, **more: Any
    ) -> None:
        """``topic`` exists; the one for decisions is ``<topic>-decisions``. ``more`` goes into the section ``kafka``."""
        kafka = {"bootstrap_servers": bootstrap, "replication": 1, "partitions": partitions, "changes_topic": topic}
        kafka |= {"decisions_topic": f"{topic}-decisions", "group": topic, "session_timeout_seconds": 6, **more}
        super().__init__(folder, seed, ledger_url=ledger_url, kafka=kafka)
        self._bootstrap, self._topic, self._partitions = bootstrap, topic, partitions
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, int] = {}

    def begin(self, name: str) -> None:
        """Starts a process; its role is its name up to a digit (``worker2``)."""
        former = self.processes.get(name)
        if former is not None and former.poll() is None:  # of a scene that failed, and is played once more
            former.kill()
            former.wait()
        role = name.rstrip("0123456789")
        settings = yaml.safe_load(self._settings.read_text("utf-8"))
        port = self._ports[name] = self._port if name == "gateway" else free_port()
        section = "intake" if role == "gateway" else role
        settings[section] = {**settings.get(section, {}), "host": "127.0.0.1", "port": port}
        config = self._folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(settings), "utf-8")
        command = [sys.executable, "-m", "routing.cli.app", role, "--config", str(config)]
        with (self._folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)

    def end(self, name: str, how: signal.Signals = signal.SIGTERM, seconds: float = 30) -> int:
        """Signals a process and waits for it; its exit code."""
        child = self.processes.pop(name)
        if child.poll() is None:
            child.send_signal(how)
        return child.wait(seconds)

    def said(self, name: str) -> str:
        """What a process logged so far."""
        return (self._folder / f"{name}.log").read_text("utf-8", "replace")

    def port_of(self, name: str) -> int:
        return self._ports[name]

    def health_of(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = requests.get(f"http://127.0.0.1:{self._ports[name]}/healthz", timeout=5).json()
        except requests.RequestException:
            return {}
        return found

    def await_ready(self) -> None:
        wait_for("the roles", lambda: all(self._is_ready(name) for name in self.processes))

    def _is_ready(self, name: str) -> bool:
        assert self.processes[name].poll() is None, f"{name} ended:\n{self.said(name)[-3000:]}"
        return bool(self.health_of(name).get("ready"))

    def held(self, name: str) -> list[int]:
        """The partitions that a worker holds."""
        found: list[int] = self.health_of(name).get("log", {}).get("partitions", [])
        return found

    def await_shares(self, *names: str) -> None:
        """All partitions are held by these workers, each of which has some."""
        everything = list(range(self._partitions))

        def shared() -> bool:
            found = [self.held(name) for name in names]
            return all(found) and sorted(partition for held in found for partition in held) == everything

        wait_for("every partition to be held", shared)

    def lag(self) -> dict[int, int]:
        """Messages of the log that are not settled in the ledger, by partition."""
        consumer = KafkaConsumer(bootstrap_servers=self._bootstrap, group_id=None)
        ends = consumer.end_offsets([TopicPartition(self._topic, p) for p in range(self._partitions)])
        consumer.close()
        ledger = Ledger(self.ledger_url)
        with ledger.read() as conn:
            done = shares.positions(conn, self._topic)
        ledger.close()
        return {
            tp.partition: int(end) - (done[tp.partition].next_offset if tp.partition in done else 0)
            for tp, end in ends.items()
        }

    def settled(self) -> bool:
        state = self.admin("/state").json()
        assert not state["error"], state["error"]
        if not state["done"] or state["webhooks_pending"] or self.leads_in() < state["leads_total"]:
            return False
        ledger = Ledger(self.ledger_url)
        with ledger.read() as conn:
            left = journal.count(conn, journal.OPEN) + outbox.count(conn, outbox.OPEN)
        ledger.close()
        return left == 0 and not any(self.lag().values())

    def stop_daemon(self) -> int:
        return max((self.end(name) for name in list(self.processes)), default=0)

    def close(self) -> None:
        for name in list(self.processes):
            self.end(name, signal.SIGKILL)
        super().close()


def wait_for(what: str, true: Any, seconds: float = 60, pause: float = 0.05) -> None:
    """Polls until ``true()``; fails saying what was waited for."""
    end = monotonic() + seconds
    while not true():
        assert monotonic() < end, f"waited {seconds:.0f} s for {what} in vain"
        PATIENCE.wait(pause)


def assert_same(disturbed: Outcome, calm: Outcome) -> None:
    """The same end state, every event settled once, every record written as often as in the calm run."""
    assert disturbed.records.keys() == calm.records.keys()
    for name, row in calm.records.items():
        assert disturbed.records[name] == row, f"{name} differs"
        assert set(row["writes"].values()) <= {1}, f"{name} was written twice"
    assert sum(bool(row["writes"]) for row in calm.records.values()) > 0.5 * calm.decided
    assert disturbed.pools == calm.pools
    assert disturbed.decided == calm.decided
    for outcome in (disturbed, calm):
        assert set(outcome.journal) <= {"applied", "skipped"}
        assert set(outcome.writes) <= {"confirmed"}
    assert disturbed.journal["applied"] == calm.journal["applied"]
    assert disturbed.writes == calm.writes
