"""The ledger goes away under a working daemon: what is accepted was accepted, the rest is refused, and afterwards everything goes on."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from sqlalchemy import event

from tests.integration.stage import Stage, stage
from tests.servers.postgres import Postgres

LEADS = 12
NUMBERS = itertools.count(1000, 100)


def many(world: Stage, contact: str) -> bytes:
    """A webhook that tells a lot of a contact, which needs room."""
    first = next(NUMBERS)
    told = {
        "subscriptionId": 1,
        "portalId": 1,
        "occurredAt": round(world.clock().timestamp() * 1000),
        "subscriptionType": "contact.creation",
        "objectId": int(contact),
    }
    return msgspec.json.encode([told | {"eventId": first + number} for number in range(100)])


def health(world: Stage) -> dict[str, Any]:
    answer = requests.get(f"{world.url}/healthz", timeout=30)
    found: dict[str, Any] = answer.json()
    assert (answer.status_code == 200) == found["ok"]
    return found


def play(world: Stage, take_away: Callable[[], None], give_back: Callable[[], None]) -> None:
    """Leads before, while and after the ledger is away: all are decided and written once."""
    before = [world.lead(), world.contact()]
    world.settle()
    take_away()
    # A file that may not grow has a little room left.
    world.until("a refusal", lambda: world.hooks(many(world, before[1])) == 503)
    world.until("the loss to be told", lambda: health(world)["ledger_lost_since"] is not None)
    assert not health(world)["ok"]
    assert "fingerpost_ledger_lost_seconds" in requests.get(f"{world.url}/metrics", timeout=30).text
    during = [made() for _ in range(LEADS // 2) for made in (world.lead, world.contact)]
    assert world.hooks(many(world, before[1])) == 503, "nothing can be accepted, so nothing may be acknowledged"
    give_back()
    world.until("the ledger", lambda: health(world)["ledger_lost_since"] is None, 60)
    after = [world.lead(), world.contact()]
    everyone = before + during + after
    world.until("all decisions", lambda: all(world.decisions(record) for record in everyone), 60)
    world.settle(60)
    for record in everyone:
        assert world.times_written(record) == 1, world.owed(record)
        assert world.owner(record)
    assert health(world)["ok"]
    assert world.daemon.services.failure == ""
    assert world.parked() == []
    assert [told.detail.split(":")[0] for told in world.happenings if told.what == "ledger"][
        -1
    ] == "The ledger is back."


@pytest.mark.parametrize("how", ["stopped", "killed", "read-only"])
def test_a_postgresql_that_goes_away_and_comes_back(
    tmp_path: Path, postgres: Postgres, postgres_url: str, how: str
) -> None:
    database = postgres_url.rsplit("/", 1)[1]

    def read_only(on: str) -> None:
        postgres.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = {on}")
        postgres.cut(postgres_url)

    away = {"stopped": postgres.stop, "killed": postgres.kill, "read-only": lambda: read_only("on")}[how]
    back = (lambda: read_only("off")) if how == "read-only" else postgres.start
    with stage(tmp_path, accounts=60, ledger=postgres_url) as world:
        play(world, away, back)  # type: ignore[arg-type]


def test_connections_cut_again_and_again(tmp_path: Path, postgres: Postgres, postgres_url: str) -> None:
    with stage(tmp_path, accounts=60, ledger=postgres_url) as world:
        done = threading.Event()
        cuts = 0

        def cut() -> None:
            nonlocal cuts
            while not done.wait(0.2):
                cuts += min(1, postgres.cut(postgres_url))

        cutter = threading.Thread(target=cut)
        cutter.start()
        try:
            leads = []
            while cuts < 5:
                leads.append(world.lead())
                world.until("a decision", lambda: decided(world, leads[-1]), 60)
            world.until("all decisions", lambda: all(decided(world, lead) for lead in leads), 60)
        finally:
            done.set()
            cutter.join()
        world.until("the ledger", lambda: health(world)["ledger_lost_since"] is None)
        world.settle(60)
        assert [world.times_written(lead) for lead in leads] == [1] * len(leads)


def decided(world: Stage, lead: str) -> bool:
    try:
        return bool(world.decisions(lead))
    except Exception:  # noqa: BLE001 - our own question may have been cut off
        return False


@contextmanager
def spoiled(world: Stage) -> Iterator[dict[str, str]]:
    """What is put into the result is said to each of the daemon's connections before it is used."""
    orders: dict[str, str] = {}

    @event.listens_for(world.daemon.ledger.engine, "checkout")
    def order(dbapi: Any, _record: Any, _proxy: Any) -> None:
        for name, value in list(orders.items()):
            dbapi.execute(f"PRAGMA {name} = {value}")

    yield orders


@pytest.mark.parametrize("how", ["disk full", "read-only"])
def test_an_sqlite_file_that_cannot_be_written_for_a_while(tmp_path: Path, how: str) -> None:
    pragma, bad, good = {
        "disk full": ("max_page_count", "1", "4294967294"),  # SQLite makes it the present number of pages
        "read-only": ("query_only", "on", "off"),
    }[how]
    with stage(tmp_path, accounts=60) as world, spoiled(world) as orders:
        play(world, lambda: orders.update({pragma: bad}), lambda: orders.update({pragma: good}))
