"""A cluster as it would run, under a supervisor that starts again what ended; and its books, to be compared with a calm run's."""

from __future__ import annotations

import signal
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import yaml
from sqlalchemy.engine import make_url

from routing.core.model import Decision
from routing.ledger import announcements
from routing.ledger.engine import Ledger
from routing.runtime.clock import monotonic
from routing.runtime.kafka.messages import receive
from tests.processes import PATIENCE, Outcome, Roles, Run
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.servers.proxy import Proxy
from tests.servers.reading import read_all, read_headers

PARTITIONS = 6
LOOK_SECONDS = 0.1
AGAIN_SECONDS = 0.5  # systemd waits 0.1 s by default, our unit longer
OWNER = {"salesforce": "OwnerId", "hubspot": "hubspot_owner_id"}
ENTITIES = {"Lead": "lead", "Contact": "contact", "contacts": "lead"}


class Made(msgspec.Struct, frozen=True):
    """A decision, without what may differ between two runs that did the same."""

    outcome: str
    pool: str
    rung: str
    rule: str
    account_id: str
    corrected: tuple[tuple[str, Any, Any], ...]
    owner: str


class Books(msgspec.Struct):
    """What came in, and what became of it."""

    accepted: int  # events on the log, each counted once
    settled: int  # of these
    decided: int
    announced: int  # decisions that other programs were told of, each counted once
    unknown: int  # decisions that they were told of and the ledger does not have


class Cluster(Roles):
    """Roles as processes. What ends is started again, unless it was told to ``leave``; ``fell`` names what ended by itself."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        kafka: Kafka,
        postgres: Postgres,
        *,
        through_proxy: bool = False,
        most_owed: int = 200_000,
    ) -> None:
        """``through_proxy``: the processes reach the ledger by ``proxy`` only."""
        topic = kafka.topic(PARTITIONS)
        kafka.topic(PARTITIONS, f"{topic}-decisions")
        super().__init__(folder, seed, kafka.bootstrap, topic, postgres.fresh(), PARTITIONS, delivery_timeout_seconds=3)
        self.kafka, self.postgres, self.topic = kafka, postgres, topic
        self.proxy = Proxy(postgres.port) if through_proxy else None
        settings = yaml.safe_load(self._settings.read_text("utf-8"))
        settings["most_owed"] = most_owed
        if self.proxy is not None:
            settings["ledger"] = make_url(self.ledger_url).set(port=self.proxy.port).render_as_string()
        self._settings.write_text(yaml.safe_dump(settings), "utf-8")
        self.fell: list[str] = []
        self.killed = 0
        self._wanted: set[str] = set()
        self._turn = threading.RLock()
        self._over = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._supervisor.start()

    # -- processes ----------------------------------------------------------------------------------------------------

    def join(self, *names: str) -> None:
        """Starts processes, and keeps them running from now on."""
        with self._turn:
            for name in names:
                self.begin(name)
                self._wanted.add(name)

    def leave(self, name: str, seconds: float = 30) -> int:
        """Asks a process to stop and lets it be; its exit code."""
        with self._turn:
            self._wanted.discard(name)
            child = self.processes.pop(name)
        child.terminate()
        return child.wait(seconds)

    def lose(self, name: str) -> None:
        """SIGKILL, and nobody starts it again."""
        with self._turn:
            self._wanted.discard(name)
            child = self.processes.pop(name)
            child.kill()
            child.wait()

    def kill(self, name: str) -> None:
        """SIGKILL. The supervisor starts it again."""
        with self._turn:
            child = self.processes[name]
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                child.wait()
                self.killed += 1

    def _supervise(self) -> None:
        since: dict[str, int] = defaultdict(int)  # looks
        while not self._over.wait(LOOK_SECONDS):
            with self._turn:
                for name in sorted(self._wanted):
                    code = self.processes[name].poll()
                    if code is None:
                        continue
                    since[name] += 1
                    if since[name] * LOOK_SECONDS >= AGAIN_SECONDS:
                        since[name] = 0
                        if code != -signal.SIGKILL:
                            self.fell.append(f"{name} ended with {code}: {self.said(name)[-2000:]}")
                        self.begin(name)

    @property
    def workers(self) -> list[str]:
        with self._turn:
            return sorted(name for name in self._wanted if name.startswith("worker"))

    def _is_ready(self, name: str) -> bool:
        # One that ended is started again.
        return self.processes[name].poll() is None and bool(self.health_of(name).get("ready"))

    def await_ready_or_not(self, name: str, seconds: float) -> None:
        """Waits until a process works, no longer than so many seconds."""
        end = monotonic() + seconds
        while monotonic() < end and not self._is_ready(name):
            PATIENCE.wait(LOOK_SECONDS)

    def await_steady(self) -> None:
        """Every process is well and every partition held."""
        self.await_ready()
        self.await_shares(*self.workers)

    def close(self) -> None:
        self._over.set()
        self._supervisor.join(30)
        super().close()
        if self.proxy is not None:
            self.proxy.close()

    # -- books --------------------------------------------------------------------------------------------------------

    def settled(self) -> bool:
        if not super().settled():
            return False
        ledger = Ledger(self.ledger_url)
        with ledger.read() as conn:
            left = announcements.count(conn)
        ledger.close()
        return left == 0

    def now_ms(self) -> int:
        """What the clock of the ledger's rows shows."""
        return int(self.ask("SELECT extract(epoch FROM clock_timestamp()) * 1000")[0][0])

    def ask(self, query: str) -> Any:
        """What the ledger answers, past the proxy."""
        return self.postgres.execute(query, self.ledger_url.rsplit("/", 1)[1])

    def books(self) -> Books:
        """Reads both topics from their beginning."""
        accepted = set()
        for partition, offset, value in read_all(self.kafka, self.topic):
            event = receive(self.topic, partition, offset, value, 0).event
            assert event is not None
            accepted.add(event.event_id)
        ended = {
            row[0] for row in self.ask("SELECT event_id FROM journal WHERE state IN ('applied', 'skipped', 'parked')")
        }
        made = {row[0] for row in self.ask("SELECT decision_id FROM decision")}
        told = {
            headers["decision_id"].decode() for _, _, headers, _ in read_headers(self.kafka, f"{self.topic}-decisions")
        }
        return Books(
            accepted=len(accepted),
            settled=len(accepted & ended),
            decided=len(made),
            announced=len(told & made),
            unknown=len(told - made),
        )


def made_in(run: Run) -> dict[str, list[Made]]:
    """The decisions of a run by record, in order."""
    ledger = Ledger(run.ledger_url)
    with ledger.read() as conn:
        rows = conn.exec_driver_sql("SELECT ref, body FROM decision ORDER BY seq, decision_id").all()
    ledger.close()
    found: dict[str, list[Made]] = defaultdict(list)
    decode = msgspec.json.Decoder(Decision).decode
    for ref, body in rows:
        one = decode(body)
        corrected = tuple((c.field, c.old, c.new) for c in one.corrections)
        found[ref].append(Made(one.outcome, one.pool, one.rung, one.rule, one.account_id, corrected, one.owner))
    return found


def assert_alike(run: Run, outcome: Outcome, calm: Run, expected: Outcome, parked: int = 0) -> None:
    """Every record was decided as in the calm run and stands in the CRM as decided. Whose turn it was in a pool depends on
    the order of arrival, which several workers do not share; how many each of a pool got does not."""
    made, calmly = made_in(run), made_in(calm)
    users = _users(expected, calmly)
    assert made.keys() == calmly.keys()
    for ref, decisions in calmly.items():
        assert [_but_turn(one) for one in made[ref]] == [_but_turn(one) for one in decisions], ref
    assert outcome.records.keys() == expected.records.keys()
    for name, row in expected.records.items():
        ref = _ref(name)
        assert _but_owner(outcome.records[name], ref) == _but_owner(row, ref), f"{name} differs"
        assert set(row["writes"].values()) <= {1}, f"{name} was written twice in the calm run"
        assigned = [one.owner for one in made.get(ref, ()) if one.outcome == "assign"]
        if assigned:
            assert outcome.records[name]["owner"] == users[ref.split(":")[0], assigned[-1]], (
                f"{name} is somebody else's"
            )
        else:
            assert outcome.records[name]["owner"] == row["owner"], name
    assert outcome.pools == expected.pools
    assert outcome.decided == expected.decided
    assert outcome.writes == expected.writes
    assert outcome.writes.keys() <= {"confirmed"}
    assert outcome.journal.keys() <= {"applied", "skipped", "parked"}
    assert outcome.journal["applied"] == expected.journal["applied"]
    assert outcome.journal.get("parked", 0) == parked


def _ref(name: str) -> str:
    system, kind, record_id = name.split(" ")
    return f"{system}:{ENTITIES[kind]}:{record_id}"


def _users(outcome: Outcome, made: dict[str, list[Made]]) -> dict[tuple[str, str], str]:
    """The CRM's id of each person, learned from a run."""
    found: dict[tuple[str, str], str] = {}
    for name, row in outcome.records.items():
        ref = _ref(name)
        for one in made.get(ref, ())[-1:]:
            if one.outcome == "assign":
                key = ref.split(":")[0], one.owner
                assert found.setdefault(key, row["owner"]) == row["owner"], f"{name} is not {one.owner}'s"
    return found


def _but_turn(one: Made) -> Made:
    return msgspec.structs.replace(one, owner="") if one.pool else one


def _but_owner(row: dict[str, Any], ref: str) -> dict[str, Any]:
    field = OWNER[ref.split(":")[0]]
    return {**row, "owner": "", "fields": {**row["fields"], field: ""}}
