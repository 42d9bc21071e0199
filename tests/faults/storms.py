"""The storms over a cluster, of any size; each ends with the same comparison. Short ones are played in one test run, whole ones alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from random import Random
from signal import SIGTERM
from typing import Any

import msgspec
import requests
from kafka import KafkaProducer

from routing.core.model import ChangeEvent, derived_id
from routing.ledger import schema
from routing.runtime.clock import monotonic, utcnow
from routing.runtime.kafka.messages import encode, partition_of, ref_of_event
from tests.cluster import PARTITIONS, Cluster, assert_alike
from tests.faults.report import Line
from tests.processes import PATIENCE, Run, wait_for
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres

ROLES = ("gateway", "worker", "worker2", "delivery")
DOWN = [{"system": system, "kind": "unavailable", "times": 10**9} for system in ("salesforce", "hubspot")]
POISONED = 0  # the partition


_FULL = "fingerpost.disk_full"
_NO_ROOM = """
CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'could not extend file: No space left on device';
END $$
"""
_NO_ROOM_IN = f"""
CREATE OR REPLACE TRIGGER no_room BEFORE INSERT OR UPDATE ON {{}}
WHEN (current_setting('{_FULL}', true) = 'on') EXECUTE FUNCTION no_room()
"""


class Stage:
    """A cluster, and the calm run beside it: one process on SQLite, which is given the same leads and left alone."""

    def __init__(self, folder: Path, seed: int, kafka: Kafka, postgres: Postgres, **more: Any) -> None:
        self.cluster = Cluster(folder / "cluster", seed, kafka, postgres, **more)
        self.kafka, self.postgres = kafka, postgres
        self._folder, self._seed = folder, seed
        self._calm: Run | None = None
        self._orders: list[int] = []
        self._today = utcnow().date().isoformat()
        self._since = self._before = 0
        self._poison = 0

    def up(self) -> None:
        self.cluster.join(*ROLES)
        self.cluster.await_steady()

    def leads(self, count: int, rate: float | None) -> None:
        """So many leads come in; returns at once."""
        self._since = self._since or self.cluster.now_ms()
        self._orders.append(count)
        self.cluster.traffic(count, rate, today=self._today)

    def await_all_made(self) -> None:
        wait_for("the leads to be made", lambda: self.cluster.admin("/state").json()["done"], 1800)

    def ends_alike(self, line: Line, seconds: float = 90) -> None:
        """Waits until nothing is left to do, then compares everything with the calm run."""
        cluster = self.cluster
        cluster.await_settled(seconds)
        outcome, books = cluster.look(self._since), cluster.books()
        line.enter(outcome, books.accepted - self._before, books.settled - self._before)
        self._since, self._before = 0, books.accepted
        calm = self._calm = self._calm or self._begin()
        for count in self._orders:
            calm.traffic(count, None, today=self._today)
            calm.await_settled(600)
        self._orders.clear()
        assert cluster.fell == [], cluster.fell
        assert books.settled == books.accepted
        assert books.announced == books.decided
        assert books.unknown == 0
        assert outcome.twice == 0
        assert_alike(cluster, outcome, calm, calm.look(), self._poison)

    def _begin(self) -> Run:
        calm = Run(self._folder / "calm", self._seed)
        calm.start()
        calm.await_ready()
        return calm

    def close(self) -> None:
        self.cluster.close()
        if self._calm is not None:
            self._calm.close()

    # -- what is asked of it ------------------------------------------------------------------------------------------

    def decided(self) -> int:
        return int(self.cluster.ask("SELECT count(*) FROM decision")[0][0])

    def owed(self) -> int:
        return int(self.cluster.ask("SELECT count(*) FROM outbox WHERE state IN ('pending', 'sending')")[0][0])

    def read_only(self, on: bool) -> None:
        """The ledger takes no more writes, or takes them again, on whatever connection."""
        self._set_for_all("default_transaction_read_only", on)

    def disk_full(self, on: bool) -> None:
        """The ledger has no more room, or has it again: whatever adds to it fails with what PostgreSQL says then."""
        database = self.cluster.ledger_url.rsplit("/", 1)[1]
        for statement in (_NO_ROOM, *(_NO_ROOM_IN.format(name) for name in schema.metadata.tables)):
            self.postgres.execute(statement, database)
        self._set_for_all(_FULL, on)

    def _set_for_all(self, setting: str, on: bool) -> None:
        database = self.cluster.ledger_url.rsplit("/", 1)[1]
        self.postgres.execute(f"ALTER DATABASE {database} SET {setting} = {'on' if on else 'off'}")
        self.postgres.cut(self.cluster.ledger_url)

    def poison(self, count: int) -> None:
        """Floods one partition: with bytes that are no message, and with events on which deciding fails."""
        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap)
        for value in islice(_poison(self._poison), count):
            producer.send(self.cluster.topic, value=value, key=b"poison", partition=POISONED)
            self._poison += 1
        producer.flush()
        producer.close()


@contextmanager
def stage(folder: Path, seed: int, kafka: Kafka, postgres: Postgres, **more: Any) -> Iterator[Stage]:
    """A cluster that stands, and is taken down at the end."""
    kafka.start()
    made = Stage(folder, seed, kafka, postgres, **more)
    try:
        made.up()
        yield made
    finally:
        made.close()


def _poison(start: int) -> Iterator[bytes]:
    """In turns: no message at all, an event on which deciding fails, and now and then one that the ledger refuses."""
    n = start * 100
    while True:
        n += 1
        event = ChangeEvent(
            event_id=derived_id("poison", str(n)),
            system="salesforce",
            entity="lead",
            record_id=f"00Q{n:012}BAD",
            kind="restored",  # a creation would count as a lead that came in
            changed=("owner",),
            values={"owner": ["nobody"], "last_name": "Poison"},
            occurred_at=utcnow(),
            observed_at=utcnow(),
        )
        if partition_of(ref_of_event(event), PARTITIONS) != POISONED:
            continue
        yield b"poison %d" % n
        yield encode(event, 1)
        if n % 10 == 0:
            later = msgspec.structs.replace(
                event, event_id=derived_id("refused", str(n)), values={"last_name": "Poison"}
            )
            yield encode(later, 2**63)


def pause(seconds: float) -> None:
    """Lets things go on, watching nothing."""
    PATIENCE.wait(seconds)


# -- the storms -----------------------------------------------------------------------------------------------------------


def kills(stage: Stage, line: Line, times: int, leads: int, rate: float, most_seconds: float, seed: int = 1) -> None:
    """``kill -9`` of any role: mostly in full flight, now and then while it starts."""
    chance, bag, before = Random(seed), list[str](), stage.cluster.killed
    stage.leads(leads, rate)
    while stage.cluster.killed - before < times:
        pause(chance.uniform(0.2, most_seconds))
        bag = bag or chance.sample(ROLES, len(ROLES))
        if chance.random() < 0.8:
            stage.cluster.await_ready_or_not(bag[-1], 30)
        stage.cluster.kill(bag.pop())
    line.times = f"{stage.cluster.killed - before} kills"
    stage.cluster.await_ready()


def joins_and_leaves(stage: Stage, line: Line, times: int, leads: int, rate: float, seed: int = 1) -> None:
    """Workers come, and others go: mostly asked to, some without a word; now and then before the partitions are shared out."""
    chance, cluster = Random(seed), stage.cluster
    stage.leads(leads, rate)
    for n in range(times):
        cluster.join(f"worker{3 + n}")
        if n % 3 != 2:
            cluster.await_shares(*cluster.workers)
        who = chance.choice(cluster.workers)
        if n % 4 == 3:
            cluster.lose(who)
        else:
            code = cluster.leave(who)
            # One that has just been started may not listen for signals yet: it has taken no part.
            assert code == 0 or (code == -SIGTERM and n % 3 == 2 and who == f"worker{3 + n}")
    line.times = f"{times} joins, {times} leaves"
    cluster.await_steady()


def broker_away(stage: Stage, line: Line, seconds: float, leads: int, rate: float, how: str = "stop") -> None:
    """The broker goes for a while: what cannot be promised is refused. Then it goes and comes at once."""
    stage.leads(leads, rate)
    refused = stage.cluster.webhook_answers("503")
    stage.kafka.stop() if how == "stop" else stage.kafka.kill()
    end = monotonic() + seconds
    wait_for("a refusal", lambda: stage.cluster.webhook_answers("503") > refused, 60)
    taken = stage.cluster.webhook_answers("200")
    pause(end - monotonic())
    assert stage.cluster.webhook_answers("200") == taken, "nothing was acknowledged that could not be promised"
    stage.kafka.start()
    wait_for("webhooks to be taken", lambda: stage.cluster.webhook_answers("200") > taken, 60)
    stage.kafka.restart()
    line.times = f"away {seconds:.0f} s, restarted"


def ledger_restarts(stage: Stage, line: Line, times: int, leads: int, rate: float, most_seconds: float) -> None:
    """PostgreSQL is restarted in order, or dies and comes back."""
    chance = Random(times)
    stage.leads(leads, rate)
    for n in range(times):
        pause(chance.uniform(0.3, most_seconds))
        if n % 2 == 0:
            stage.postgres.restart()
        else:
            stage.postgres.kill()
            stage.postgres.start()
    line.times = f"{times} restarts"


def ledger_cut(stage: Stage, line: Line, times: int, leads: int, rate: float, seconds: float) -> None:
    """The way to PostgreSQL breaks, and leads to a server that came up anew; then connections are ended by the server."""
    proxy = stage.cluster.proxy
    assert proxy is not None
    stage.leads(leads, rate)
    for _ in range(times):
        pause(seconds)
        assert proxy.cut() > 0
        stage.postgres.kill()
        stage.postgres.start()
        pause(seconds)
        proxy.open()
        pause(seconds)
        wait_for("somebody to cut off", lambda: stage.postgres.cut(stage.cluster.ledger_url) > 0, 60)
    line.times = f"{times} failovers, {times} cuts"


def ledger_refuses(
    stage: Stage, line: Line, how: Callable[[bool], None], times: int, leads: int, rate: float, seconds: float
) -> None:
    """The ledger takes no writes: webhooks are still taken, for the log keeps them; nothing is decided until it does again.
    ``how``: ``stage.read_only`` or ``stage.disk_full``."""
    stage.leads(leads, rate)
    for _ in range(times):
        pause(seconds)
        how(True)
        try:
            wait_for("the loss to be told", lambda: _lost(stage.cluster), 30)
            wait_for("the gateway to tell of it, and to stay open", lambda: _open_without(stage.cluster, "gateway"), 60)
            decided = stage.decided()
            pause(seconds)
            assert stage.decided() == decided
        finally:
            how(False)
    line.times = f"{times} times"


def _open_without(cluster: Cluster, name: str) -> bool:
    health = cluster.health_of(name)
    return bool(health.get("ledger_lost_since") and health["ok"])


def _lost(cluster: Cluster) -> bool:
    return all(cluster.health_of(name).get("ledger_lost_since") for name in cluster.workers)


def poison(stage: Stage, line: Line, count: int, leads: int, rate: float, wait: bool) -> None:
    """One partition is flooded with what cannot be used: it is set aside, the others go on. ``wait``: until it is tried again by
    itself; otherwise the operator restarts the worker."""
    cluster = stage.cluster
    stage.poison(count)
    wait_for("the partition to be set aside", lambda: _aside(cluster) == {POISONED}, 60)
    stage.leads(leads, rate)
    stage.await_all_made()
    if not wait:
        wait_for("the others to go on", lambda: _left(stage) == set() and _aside(cluster) == {POISONED}, 50)
        holder = next(name for name in cluster.workers if POISONED in cluster.held(name))
        assert cluster.leave(holder) == 0
        cluster.join(holder)
    line.times = f"{count} events"


def _aside(cluster: Cluster) -> set[int]:
    return {p for name in cluster.workers for p in cluster.health_of(name).get("log", {}).get("set_aside", ())}


def _left(stage: Stage) -> set[int]:
    """Partitions in which something waits, but for the poisoned one."""
    return {p for p, left in stage.cluster.lag().items() if left} - {POISONED}


def crm_down(stage: Stage, line: Line, leads: int, rate: float | None, most_owed: int, seconds: float) -> None:
    """Both CRMs answer nothing but 503: deciding goes on until as many writes are owed as may be, and says so."""
    cluster = stage.cluster
    cluster.admin("/faults", DOWN)
    stage.leads(leads, rate)
    wait_for("deciding to pause", lambda: any(_paused(cluster)), 120)
    wait_for("deciding to have paused everywhere", lambda: all(_paused(cluster)), 10)
    assert f"and {most_owed} are the most that may" in _paused(cluster)[0]
    port = cluster.port_of(cluster.workers[0])
    assert "fingerpost_deciding_paused 1.0" in requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    owed = stage.owed()
    assert owed >= most_owed
    pause(seconds)
    assert stage.owed() == owed, "the outbox grew over its bound"
    cluster.admin("/faults", {"clear": True})
    line.times = f"{seconds:.0f} s at the bound of {most_owed:,}"


def _paused(cluster: Cluster) -> list[str]:
    return [str(cluster.health_of(name).get("paused", "")) for name in cluster.workers]
