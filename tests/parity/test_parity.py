"""The embedded runtime and the distributed one make the same decisions of the same events."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.compare import assert_identical, assert_one_owner, assert_same_but_for_turns
from tests.parity.runs import Made, distributed, embedded
from tests.parity.stream import Stream
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres


def _assert_parity(
    folder: Path, kafka: Kafka, postgres: Postgres, stream: Stream, forms: list[tuple[int, int]]
) -> None:
    alone = embedded(folder / "embedded", stream)
    _assert_good(alone, stream)
    for workers, partitions in forms:
        name = f"{workers}-{partitions}"
        made = distributed(folder / name, stream, kafka, postgres.fresh(), workers=workers, partitions=partitions)
        if partitions == 1:
            assert_identical(alone, made)
        else:
            assert_same_but_for_turns(alone, made, stream.events)
        _assert_good(made, stream)
        assert sorted(made.announced.values()) == [1] * len(made.decisions)
        assert sum(made.shares.values()) == len(stream.events)


def _assert_good(made: Made, stream: Stream) -> None:
    assert {event.event_id for event in stream.events} <= made.ends.keys()
    assert {state for _, state, _ in made.ends.values()} <= {"applied", "skipped", "parked"}
    assert assert_one_owner(made, stream) > 0


@pytest.mark.timeout(400)
def test_the_same_events_lead_to_the_same_decisions(tmp_path: Path, kafka: Kafka, postgres: Postgres) -> None:
    stream = Stream(leads=1500, scenes=3, accounts=80)
    _assert_parity(tmp_path, kafka, postgres, stream, [(1, 1), (4, 12)])


@pytest.mark.faults
@pytest.mark.timeout(5400)
def test_twenty_thousand_events_through_every_form(tmp_path: Path, kafka: Kafka, postgres: Postgres) -> None:
    stream = Stream(leads=20_000, scenes=12, accounts=400)
    assert len(stream.events) >= 20_000
    _assert_parity(tmp_path, kafka, postgres, stream, [(1, 1), (4, 1), (1, 12), (4, 12)])
