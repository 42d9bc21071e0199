"""How fast workers are, from Kafka to decisions committed in PostgreSQL: a backlog, beside the plainest Faust agent on the same broker;
two workers beside one; a steady stream; memory over a long backlog.

``python -m tests.bench.kafka BOOTSTRAP TOPIC LEDGER COUNT`` is so many workers, each a process of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from statistics import median
from typing import Any, NoReturn

from kafka import KafkaProducer

from routing.bootstrap.deciding import Deciding
from routing.bootstrap.process import Process
from routing.core.model import ChangeEvent
from routing.ledger import journal, schema, shares
from routing.ledger.engine import Ledger
from routing.ledger.report import percentile
from routing.runtime.clock import monotonic
from routing.runtime.kafka.messages import encode, key_of, partition_of, ref_of_event
from routing.runtime.kafka.settings import KafkaSettings
from tests.bench.inbound import fill, leads
from tests.bench.report import Line
from tests.processes import PATIENCE, POLICY
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres

PARTITIONS = 12
EVENTS = 15_000
ROUNDS = 3
RATE, ARRIVING = 200, 4_000  # events a second, and in all
CORES = 6
BACKLOG = int(os.environ.get("BACKLOG", "50000"))
# The plainest agent does no more than hand the event on; deciding is held to twice its pace.
AT_LEAST, AIM = 1.0, 2.0


class Bench:
    """A broker and a PostgreSQL, for one part."""

    def __init__(self, kafka: Kafka, postgres: Postgres) -> None:
        self.kafka, self.postgres = kafka, postgres

    def topic(self, events: int) -> str:
        """A topic with so many events."""
        topic = self.kafka.topic(PARTITIONS)
        for more in ("decisions", "plain"):
            self.kafka.topic(PARTITIONS, f"{topic}-{more}")
        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap, linger_ms=20, batch_size=200_000)
        for at in range(0, events, 5000):
            for event in leads(min(5000, events - at), at):
                _send(producer, topic, event)
        producer.flush()
        producer.close()
        return topic

    def agent(self, topic: str, count: int) -> float:
        """Events a second of the plainest agent."""
        words = [sys.executable, "-m", "tests.bench.plain_faust", self.kafka.bootstrap, topic, str(PARTITIONS)]
        said = subprocess.run([*words, str(count)], stdout=subprocess.PIPE, text=True, check=True).stdout
        done, seconds = said.splitlines()[-1].split()
        return float(done) / float(seconds)

    @contextmanager
    def workers(self, topic: str, count: int = 1) -> Iterator[Crew]:
        url = self.postgres.fresh()
        ledger = Ledger(url)
        fill(ledger)
        ledger.close()
        crew = Crew(self.kafka.bootstrap, topic, url, count)
        try:
            yield crew
        finally:
            crew.close()
            self.postgres.drop(url)


def _send(producer: KafkaProducer, topic: str, event: ChangeEvent) -> Any:
    ref = ref_of_event(event)
    return producer.send(topic, key=key_of(ref), value=encode(event, 0), partition=partition_of(ref, PARTITIONS))


class Crew:
    """Workers at work, watched through the ledger: what stands there is committed."""

    def __init__(self, bootstrap: str, topic: str, url: str, count: int) -> None:
        self._ledger, self._topic, self._count = Ledger(url), topic, count
        words = [sys.executable, "-m", "tests.bench.kafka", bootstrap, topic, url, str(count)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def positions(self) -> dict[int, int]:
        """Next offsets, by partition."""
        assert self._process.poll() is None, "a worker ended"
        with self._ledger.read() as conn:
            return {p: one.next_offset for p, one in shares.positions(conn, self._topic).items()}

    def await_shares(self) -> None:
        """Every worker holds its part."""
        while True:
            with self._ledger.read() as conn:
                held = conn.execute(schema.share.select().where(schema.share.c.topic == self._topic)).all()
            if len(held) == PARTITIONS and len({row.holder for row in held}) == self._count:
                return
            PATIENCE.wait(0.02)

    def drained(self, count: int, look: Callable[[int], None] = lambda _done: None) -> float:
        """Waits until ``count`` events are settled. Returns events a second since all were at work; ``look`` is told how many are."""
        self.await_shares()
        begun = done = sum(self.positions().values())
        while (done := sum(self.positions().values())) == begun:
            PATIENCE.wait(0.005)
        began, begun = monotonic(), done
        while done < count:
            PATIENCE.wait(0.02)
            done = sum(self.positions().values())
            look(done)
        taken = monotonic() - began
        with self._ledger.read() as conn:
            states = journal.counts(conn)
        assert set(states) <= {"applied", "skipped"}
        assert sum(states.values()) == count
        return (done - begun) / taken

    def memory(self) -> float:
        """Of the largest worker now, in MB."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return max(_resident_mb(int(pid)) for pid in children)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._ledger.close()


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


# -- the parts ------------------------------------------------------------------------------------------------------------


@contextmanager
def _bench(folder: Path) -> Iterator[Bench]:
    server = Postgres().start()
    try:
        with Kafka(folder / "kafka") as kafka:
            yield Bench(kafka, server)
    finally:
        server.close()


def against_faust(folder: Path) -> list[Line]:
    """A backlog drained by one worker, and by the plainest agent, in turns on the same broker."""
    plain, ours = [], []
    with _bench(folder) as bench:
        for _ in range(ROUNDS):
            topic = bench.topic(EVENTS)
            plain.append(bench.agent(topic, EVENTS))
            with bench.workers(topic) as crew:
                ours.append(crew.drained(EVENTS))
    ratio = median(one / other for one, other in zip(ours, plain, strict=True))
    return [
        Line("the plainest Faust agent, one event at a time", median(plain), "events/s"),
        Line("a worker, from Kafka to decisions in PostgreSQL", median(ours), "events/s"),
        Line("worker to agent, run by run", ratio, "times", AT_LEAST),
        Line("of what we aim for", ratio / AIM, "times"),
    ]


def two_workers(folder: Path) -> list[Line]:
    """The same backlog drained by one worker and by two. All of it, broker and database too, shares this machine's cores."""
    found: dict[int, list[float]] = {1: [], 2: []}
    with _bench(folder) as bench:
        for _ in range(ROUNDS):
            topic = bench.topic(2 * EVENTS)
            for count, rates in found.items():
                with bench.workers(topic, count) as crew:
                    rates.append(crew.drained(2 * EVENTS))
    ratio = median(two / one for one, two in zip(found[1], found[2], strict=True))
    cores = len(os.sched_getaffinity(0))
    # A worker, the database and the broker keep about two cores busy together; another worker needs cores of its own.
    too_few = "" if cores >= CORES else f" (too few: 1.6 is promised from {CORES} on)"
    return [
        Line("one worker", median(found[1]), "events/s"),
        Line("two workers", median(found[2]), "events/s"),
        Line(f"two to one, on {cores} cores{too_few}", ratio, "times", None if too_few else 1.6),
    ]


def arrival(folder: Path) -> list[Line]:
    """Events come in one by one; how long after a producer sent each is its decision committed?"""
    with _bench(folder) as bench:
        topic = bench.topic(0)
        with bench.workers(topic) as crew:
            crew.await_shares()
            waits = _waits(bench.kafka, topic, crew)
    return [
        Line(f"sent to committed at {RATE} events/s, p50", percentile(waits, 50) or 0, "ms"),
        Line(f"sent to committed at {RATE} events/s, p99", percentile(waits, 99) or 0, "ms", 300, at_least=False),
    ]


def _waits(kafka: Kafka, topic: str, crew: Crew) -> list[int]:
    """Milliseconds, sorted. The first events pay for what a worker loads when it is first used, as after any start: they are left out."""
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    sent: dict[int, list[float]] = {p: [] for p in range(PARTITIONS)}
    done = dict.fromkeys(range(PARTITIONS), 0)
    ended, waits, first = threading.Event(), list[tuple[float, int]](), monotonic()

    def watch() -> None:
        while not ended.is_set() or any(done[p] < len(times) for p, times in sent.items()):
            found, now = crew.positions(), monotonic()
            for p, offset in found.items():
                waits.extend((time, round((now - time) * 1000)) for time in sent[p][done[p] : offset])
                done[p] = offset
            PATIENCE.wait(0.002)

    watching = threading.Thread(target=watch)
    watching.start()
    for n, event in enumerate(leads(ARRIVING)):
        PATIENCE.wait(max(0.0, first + n / RATE - monotonic()))
        partition = partition_of(ref_of_event(event), PARTITIONS)
        sent[partition].append(monotonic())
        _send(producer, topic, event)
    producer.flush()
    ended.set()
    watching.join()
    producer.close()
    return sorted(ms for time, ms in waits if time > first + 2)


def backlog(folder: Path, events: int = BACKLOG) -> list[Line]:
    """A long backlog: memory must not grow with it. ``BACKLOG=500000 python -m tests.bench backlog`` for a really long one."""
    seen: list[tuple[int, float]] = []
    with _bench(folder) as bench:
        topic = bench.topic(events)
        with bench.workers(topic) as crew:

            def look(done: int) -> None:
                if done >= len(seen) * events / 20:
                    seen.append((done, crew.memory()))

            pace = crew.drained(events, look)
    print("  settled and MB: " + ", ".join(f"{done:,} {mb:.0f}" for done, mb in seen))
    early = max(mb for done, mb in seen if done <= 0.25 * events)
    late = max(mb for done, mb in seen if done >= 0.75 * events)
    return [
        Line(f"a backlog of {events:,} events", pace, "events/s"),
        Line("memory of the worker, highest", max(mb for _, mb in seen), "MB", 600, at_least=False),
        Line("memory in the last quarter to the first", late / early, "times", 1.25, at_least=False),
    ]


# -- the workers ------------------------------------------------------------------------------------------------------------


def work(bootstrap: str, topic: str, url: str, count: str) -> None:
    """So many workers, forked from here, until standard input is closed."""
    children = []
    for _ in range(int(count)):
        child = os.fork()
        if child == 0:
            _work(bootstrap, topic, url)
        children.append(child)
    ended = os.waitpid(-1, 0)[0]
    for child in children:
        if child != ended:
            os.kill(child, signal.SIGTERM)
    sys.exit(0)


def _work(bootstrap: str, topic: str, url: str) -> NoReturn:
    process = Process(url, POLICY, lambda _policies: [], alone=False, most_owed=10_000_000)
    settings = KafkaSettings(
        bootstrap_servers=bootstrap,
        changes_topic=topic,
        decisions_topic=f"{topic}-decisions",
        replication=1,
        group=f"{topic}-{url.rsplit('/', 1)[-1]}",
        session_timeout_seconds=6,
    )
    deciding = Deciding(process, settings)
    process.services.start("deciding", "start-up", deciding.open)
    while not process.services.failed.is_set() and not select([sys.stdin], [], [], 0.1)[0]:
        continue
    process.stop()
    sys.exit(process.services.failure or 0)


if __name__ == "__main__":
    work(*sys.argv[1:])
