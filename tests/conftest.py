"""What several layers of tests share."""

from __future__ import annotations

import gc
import os
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest

from routing.ledger.engine import Ledger
from tests.faults.report import LINES, Line, table
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres

# `make test` says the same of the same code each time; `make faults` looks in new places each time, and prints how to come back.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


# The folders whose tests talk to servers and processes in real time.
REAL_TIME = ("contract", "faults", "integration", "parity")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that talks to servers has a second try, as a crowded machine may stand still for longer than any patience; the summary
    lists who needed it."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in REAL_TIME:
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes that share the tests hands the storms that it saw to the one that prints them."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["storms"] = msgspec.to_builtins(LINES)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process that shares the tests has ended."""
    LINES.extend(msgspec.convert(getattr(node, "workeroutput", {}).get("storms", []), list[Line]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the table of the storms when all tests have ended."""
    if LINES:
        terminalreporter.section("storms")
        for line in table():
            terminalreporter.write_line(line)


class ManualClock:
    """A clock that moves when told."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sqlite_ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    made.upgrade()
    yield made
    made.close()


@pytest.fixture
def ledger(sqlite_ledger: Ledger) -> Ledger:
    """What most tests take. A module whose tests are about the ledger gives it the name of ``any_ledger``."""
    return sqlite_ledger


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's PostgreSQL, started when a test first asks for it. A test that stops or kills it starts it again."""
    server = Postgres()
    yield server.start()
    server.close()


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """A new database of that server with the ledger's schema."""
    return postgres.fresh()


@pytest.fixture
def postgres_ledger(postgres_url: str) -> Iterator[Ledger]:
    made = Ledger(postgres_url)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def any_ledger(request: pytest.FixtureRequest) -> Ledger:
    """A test that takes this runs on both databases."""
    found: Ledger = request.getfixturevalue("sqlite_ledger" if request.param == "sqlite" else "postgres_ledger")
    return found


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(scope="session")
def kafka_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("kafka") / "broker") as made:
        yield made


@pytest.fixture
def kafka(kafka_of_the_session: Kafka, request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """A broker that runs, whatever the test before did to it. Each test makes topics of its own."""
    # kafka-python forgets to close the socket of a connection that was refused; the collector does, with a warning.
    request.node.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))
    kafka_of_the_session.start()
    yield kafka_of_the_session
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
