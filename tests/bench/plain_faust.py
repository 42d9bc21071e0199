"""The plainest Faust agent: one event at a time, one update of a table, one message out. What a worker is measured beside.

Written as Faust's own tutorial would have it, and spared what it need not do: the values stay bytes, the table lives in memory (with its
changelog in Kafka, as tables have), and there is no web server.

``python -m tests.bench.plain_faust BOOTSTRAP TOPIC PARTITIONS COUNT`` works off so many messages and says how long that took.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from typing import Any

import faust

from routing.runtime.clock import monotonic


class Pace:
    """How many messages were processed, from when to when."""

    def __init__(self) -> None:
        self.count, self.first, self.last = 0, 0.0, 0.0

    def step(self) -> None:
        self.last = monotonic()
        self.first = self.first or self.last
        self.count += 1


def build(bootstrap: str, topic: str, partitions: int, folder: str, pace: Pace) -> faust.App:
    app = faust.App(
        f"plain-{topic}",
        broker=f"kafka://{bootstrap}",
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        datadir=folder,
        web_enabled=False,
        topic_partitions=partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
    )
    changes = app.topic(topic)
    decisions = app.topic(f"{topic}-plain")
    seen = app.Table("seen", key_type=bytes, value_type=int, default=int, partitions=partitions)

    async def decide(stream: Any) -> None:
        async for key, value in stream.items():
            seen[key] += 1
            await decisions.send(key=key, value=value)
            pace.step()

    app.agent(changes)(decide)
    return app


async def drain(bootstrap: str, topic: str, partitions: int, count: int) -> Pace:
    """Works until so many were processed."""
    pace = Pace()
    with tempfile.TemporaryDirectory() as folder:
        app = build(bootstrap, topic, partitions, folder, pace)
        await app.start()
        while pace.count < count:
            await asyncio.sleep(0.05)
        await app.stop()
    return pace


if __name__ == "__main__":
    found = asyncio.run(drain(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    print(found.count, found.last - found.first)
