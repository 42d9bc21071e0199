"""The same scenes through the embedded runtime, and through Kafka with any number of workers; and what each left in its ledger.

``python -m tests.parity.runs FOLDER BOOTSTRAP TOPIC LEDGER COUNT`` is so many workers, each a process, that look at a clock of ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from select import select as select_ready
from typing import Any, NoReturn

import msgspec
from kafka import KafkaProducer
from msgspec import Struct
from sqlalchemy import Table, select

from routing.bootstrap.daemon import Daemon
from routing.bootstrap.deciding import Deciding
from routing.bootstrap.process import Process
from routing.core.distribution.entries import Snapshot
from routing.core.model import Decision
from routing.ledger import announcements, journal, pools, schema, shares, timers
from routing.ledger.engine import Ledger
from routing.ledger.schema import from_ms, to_ms
from routing.runtime.backfill import store_snapshots
from routing.runtime.kafka.announcer import Announcer
from routing.runtime.kafka.messages import encode, key_of, partition_of, ref_of_event
from routing.runtime.kafka.settings import KafkaSettings
from tests import pool_ledger
from tests.conftest import START
from tests.parity.stream import Event, Scene, Stream, portions
from tests.processes import POLICY, wait_for
from tests.servers.kafka import Kafka
from tests.servers.reading import read_headers

# Longer than a lead that is on hold waits for its next try.
WAIT = timedelta(seconds=301)
BEGIN = START + timedelta(hours=1)
SECONDS = 600.0
# Deciding never waits for the CRMs here: there are none.
MOST_OWED = 10_000_000


class SharedClock:
    """A clock for several processes: it stands until somebody moves it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        if not file.exists():
            self.set(BEGIN)

    def __call__(self) -> datetime:
        return from_ms(int(self._file.read_bytes()))

    def set(self, now: datetime) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(to_ms(now)))
        fresh.replace(self._file)


class Made(Struct):
    """What a run left. All in the order of the journal; numbers that only count rows are left out."""

    decisions: dict[str, Decision]  # by the id of the event
    bodies: dict[str, str]  # the same as they are stored
    ends: dict[str, tuple[str, str, str]]  # by the id of the event: its kind, how it ended, and why
    mirror: dict[str, str]
    writes: dict[str, str]
    evidence: dict[str, bytes]
    timers: dict[str, int]
    pools: dict[str, Snapshot]  # by pool and kind
    announced: Counter[str]
    shares: dict[str, int]  # how much of the log each worker settled, by its name


def embedded(folder: Path, stream: Stream) -> Made:
    """One process, SQLite, the journal as the log."""
    folder.mkdir(parents=True)
    clock = SharedClock(folder / "clock")
    daemon = Daemon(f"sqlite:///{folder / 'ledger.db'}", POLICY, lambda _policies: [], clock)
    _fill(daemon.ledger, stream)
    daemon.start()
    try:

        def bring(events: Sequence[Event]) -> None:
            for some in portions(events):
                daemon.intake.accept(some)

        def check() -> None:
            assert daemon.services.failure == ""

        _play(stream.scenes, daemon.ledger, clock, bring, lambda: True, check)
        made = _made(daemon.ledger)
    finally:
        assert daemon.stop() == []
    return made


def distributed(folder: Path, stream: Stream, kafka: Kafka, ledger_url: str, *, workers: int, partitions: int) -> Made:
    """Kafka, PostgreSQL, and workers in processes of their own."""
    folder.mkdir(parents=True)
    clock = SharedClock(folder / "clock")
    topic = kafka.topic(partitions)
    kafka.topic(partitions, f"{topic}-decisions")
    ledger, sent = Ledger(ledger_url), Counter[int]()
    _fill(ledger, stream)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, linger_ms=5)

    def bring(events: Sequence[Event]) -> None:
        for event in events:
            ref = ref_of_event(event)
            partition = partition_of(ref, partitions)
            producer.send(topic, key=key_of(ref), value=encode(event, to_ms(clock())), partition=partition)
            sent[partition] += 1
        producer.flush()

    def through() -> bool:
        with ledger.read() as conn:
            found = shares.positions(conn, topic)
        return all(found[partition].next_offset == n for partition, n in sent.items())

    try:
        with _workers(folder, kafka, topic, ledger_url, workers) as check:
            _await_shares(ledger, topic, min(workers, partitions), partitions)
            _play(stream.scenes, ledger, clock, bring, through, check)
            wait_for("every decision to be announced", lambda: _announced(ledger), SECONDS)
            made = _made(ledger)
            made.shares = _holders(ledger, topic)
        told = [headers["decision_id"].decode() for _, _, headers, _ in read_headers(kafka, f"{topic}-decisions")]
        made.announced = Counter(told)
    finally:
        producer.close()
        ledger.close()
    return made


def _fill(ledger: Ledger, stream: Stream) -> None:
    with ledger.write() as conn:
        store_snapshots(conn, stream.stage)


def _play(scenes: Sequence[Scene], ledger: Ledger, clock: SharedClock, bring: Any, through: Any, check: Any) -> None:
    def settled() -> bool:
        check()
        if not through():
            return False
        with ledger.read() as conn:
            return journal.count(conn, journal.OPEN) == 0 and not timers.due(conn, clock())

    for n, scene in enumerate(scenes):
        bring(scene.events)
        wait_for(f"scene {n}", settled, SECONDS, pause=0.02)
        if scene.wait:
            clock.set(clock() + WAIT)
            wait_for(f"the timers after scene {n}", settled, SECONDS, pause=0.02)


@contextmanager
def _workers(folder: Path, kafka: Kafka, topic: str, ledger_url: str, count: int) -> Iterator[Any]:
    words = [sys.executable, "-m", "tests.parity.runs", str(folder), kafka.bootstrap, topic, ledger_url, str(count)]
    said = folder / "workers.log"
    with said.open("wb") as log:
        # Standard input is what they live by: closed by us when all is done, or by our death.
        running = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def check() -> None:
        assert running.poll() is None, f"a worker ended:\n{said.read_text('utf-8', 'replace')[-3000:]}"

    assert running.stdin is not None
    try:
        yield check
    finally:
        running.stdin.close()
        assert running.wait(60) == 0, said.read_text("utf-8", "replace")[-3000:]


def _await_shares(ledger: Ledger, topic: str, workers: int, partitions: int) -> None:
    def shared() -> bool:
        with ledger.read() as conn:
            rows = conn.execute(select(schema.share.c.holder).where(schema.share.c.topic == topic)).scalars().all()
        return len(rows) == partitions and len(set(rows)) == workers

    wait_for("every worker to hold its share", shared, 60)


def _announced(ledger: Ledger) -> bool:
    with ledger.read() as conn:
        return announcements.count(conn) == 0


def _holders(ledger: Ledger, topic: str) -> dict[str, int]:
    found = Counter[str]()
    with ledger.read() as conn:
        for row in conn.execute(select(schema.share).where(schema.share.c.topic == topic)):
            found[row.holder] += row.next_offset
    return dict(found)


def _made(ledger: Ledger) -> Made:
    with ledger.read() as conn:
        pool_ledger.check(conn)
        events = {row.seq: row for row in conn.execute(select(schema.journal).order_by(schema.journal.c.seq))}
        made = conn.execute(select(schema.decision.c.seq, schema.decision.c.body).order_by(schema.decision.c.seq)).all()
        bodies = {events[row.seq].event_id: row.body for row in made}
        assert len(bodies) == len(made), "an event was decided twice"
        read = msgspec.json.Decoder(Decision).decode

        def all_of(table: Table, key: str, value: str) -> dict[str, Any]:
            return {row[0]: row[1] for row in conn.execute(select(table.c[key], table.c[value]))}

        return Made(
            decisions={event_id: read(body) for event_id, body in bodies.items()},
            bodies=bodies,
            ends={row.event_id: (row.kind, row.state, row.reason) for row in events.values()},
            mirror=all_of(schema.mirror, "ref", "body"),
            writes=all_of(schema.outbox, "decision_id", "body"),
            evidence=all_of(schema.decision, "decision_id", "evidence"),
            timers=all_of(schema.timer, "ref", "due_ms"),
            pools={f"{one.pool}/{one.kind}": one.snapshot() for one in pools.rotations(conn)},
            announced=Counter(),
            shares={},
        )


def workers(folder: str, bootstrap: str, topic: str, ledger_url: str, count: str) -> int:
    """So many workers. They are forked from here: to load a program takes longer than what they are to do."""
    children = []
    for _ in range(int(count)):
        child = os.fork()
        if child == 0:
            worker(folder, bootstrap, topic, ledger_url)
        children.append(child)
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


def worker(folder: str, bootstrap: str, topic: str, ledger_url: str) -> NoReturn:
    """Decides until its standard input is closed. Exits with an error when a part of it fails."""
    process = Process(
        ledger_url, POLICY, lambda _policies: [], SharedClock(Path(folder) / "clock"), alone=False, most_owed=MOST_OWED
    )
    kafka = KafkaSettings(
        bootstrap_servers=bootstrap,
        changes_topic=topic,
        decisions_topic=f"{topic}-decisions",
        replication=1,
        group=topic,
        session_timeout_seconds=8,
    )
    deciding = Deciding(process, kafka)
    process.services.start("deciding", "start-up", deciding.open)
    process.services.start("delivery", "announcer", Announcer(kafka, process.ledger).run)
    while not process.services.failed.is_set() and not select_ready([sys.stdin], [], [], 0.1)[0]:
        continue
    late = process.stop()
    sys.exit(process.services.failure or ", ".join(late) or 0)


if __name__ == "__main__":
    sys.exit(workers(*sys.argv[1:]))
