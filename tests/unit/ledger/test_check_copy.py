"""What `ledger check` finds, and that a copied ledger goes on as the old one would have."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from routing.bootstrap.process import only_one
from routing.cli.app import app
from routing.core.model import Write, derived_id
from routing.ledger import journal, outbox, policies
from routing.ledger.check import examine
from routing.ledger.copy import copy
from routing.ledger.engine import Ledger, LedgerError
from routing.ledger.schema import metadata, to_ms
from routing.ledger.seats import Seat
from tests.conftest import START, ManualClock
from tests.servers.postgres import Postgres
from tests.unit.runtime.test_loop import Desk

NOW = START
LONG_AGO = to_ms(START - timedelta(hours=1))
EVENTS = 40


@pytest.fixture
def desk(any_ledger: Ledger, clock: ManualClock) -> Desk:
    return Desk(any_ledger, clock)


@pytest.fixture
def empty(postgres: Postgres, tmp_path: Path) -> Iterator[Callable[[str], Ledger]]:
    made: list[Ledger] = []

    def make(kind: str) -> Ledger:
        url = postgres.fresh(migrated=False) if kind == "postgres" else f"sqlite:///{tmp_path / f'{len(made)}.db'}"
        made.append(Ledger(url))
        return made[-1]

    yield make
    for one in made:
        one.close()


def names(ledger: Ledger) -> list[str]:
    return [found.name for found in examine(ledger, NOW).findings]


def change(ledger: Ledger, statement: str, **values: Any) -> None:
    with ledger.write() as conn:
        conn.execute(text(statement), values)


def owe(ledger: Ledger, courier: str | None = None) -> None:
    write = Write(
        write_id=derived_id("w"),
        decision_id=derived_id("d"),
        system="salesforce",
        entity="lead",
        record_id="00Q1",
        fields={"owner": "x"},
        guard={},
    )
    with ledger.write() as conn:
        conn.execute(
            text(
                "INSERT INTO decision (decision_id, seq, ref, outcome, owner, pool, rung, corrections, policy, decided_ms, body) "
                "SELECT :id, min(seq), 'a', 'none', '', '', '', 0, '', 0, '{}' FROM journal"
            ),
            {"id": derived_id("d")},
        )
        outbox.add(conn, [(write, 0, 0)], NOW)
        if courier is not None:
            outbox.claim(conn, "salesforce", 10, NOW, courier)


# -- check ----------------------------------------------------------------------------------------------------------------


def test_a_ledger_in_use_is_well(desk: Desk) -> None:
    desk.play(*(desk.event("created", f"00Q{n}", email=f"a{n}@b.example", country="FR") for n in range(5)))
    report = examine(desk.ledger, NOW)
    assert report.findings == ()
    assert report.events == {"applied": 5}
    assert report.tables["decision"] == 5


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE journal SET state = 'accepted', accepted_ms = :ago, settled_ms = NULL", "events waiting"),
        ("UPDATE journal SET state = 'reread', accepted_ms = :ago, settled_ms = NULL", "events incomplete"),
        ("UPDATE journal SET state = 'parked'", "events parked"),
        ("UPDATE journal SET state = 'lost'", "events in no state"),
        ("UPDATE journal SET settled_ms = NULL", "events half ended"),
        ("UPDATE outbox SET state = 'pending', not_before_ms = :ago", "writes waiting"),
        ("UPDATE outbox SET state = 'parked', ended_ms = :ago", "writes parked"),
        ("UPDATE outbox SET decision_id = 'x'", "writes without decision"),
        ("UPDATE decision SET seq = 999", "decisions without event"),
        ("UPDATE journal SET state = 'skipped'", "decisions on events not applied"),
        # Its write went with it.
        ("DELETE FROM decision WHERE outcome = 'assign'", "assignments without decision"),
        ("DELETE FROM decision WHERE outcome = 'assign'", "turns without decision"),
        ("INSERT INTO announcement VALUES ('x', 1)", "announcements without decision"),
        ("INSERT INTO timer VALUES ('x', 'hold', 'a:lead:b', :ago, 0, 0)", "timers overdue"),
        ("DELETE FROM mirror WHERE entity = 'lead'", "keys without record"),
        ("DROP INDEX journal_ref", "drift"),
        ("UPDATE alembic_version SET version_num = '0001'", "schema"),
    ],
)
def test_what_is_wrong_is_found_and_comes_with_advice(desk: Desk, statement: str, found: str) -> None:
    desk.play(desk.event("created", email="kim@b.example", country="FR"))
    owe(desk.ledger)
    change(desk.ledger, "UPDATE outbox SET state = 'confirmed', ended_ms = 1")
    assert names(desk.ledger) == []
    change(desk.ledger, statement, **({"ago": LONG_AGO} if ":ago" in statement else {}))
    findings = {one.name: one for one in examine(desk.ledger, NOW).findings}
    assert found in findings
    assert findings[found].what.endswith(".")
    assert findings[found].advice.endswith(".")


def test_writes_whose_courier_is_gone_are_told_apart_from_those_under_way(postgres_ledger: Ledger) -> None:
    desk = Desk(postgres_ledger, ManualClock())
    desk.play(desk.event("created", email="kim@b.example", country="FR"))
    owe(postgres_ledger, "courier:one")
    seat = Seat(postgres_ledger, "courier:one")
    assert seat.take()
    assert "writes abandoned" not in names(postgres_ledger)
    seat.leave()
    assert "writes abandoned" in names(postgres_ledger)


def test_partitions_that_nobody_works_on_are_told(postgres_ledger: Ledger, postgres: Postgres) -> None:
    change(postgres_ledger, "INSERT INTO share VALUES ('changes', 0, 5, 1, 'somebody', 0)")
    assert names(postgres_ledger) == ["shares without holder"]
    other = Ledger(postgres_ledger.url)
    with other.read():
        assert names(postgres_ledger) == []
    other.close()


def test_the_command_says_what_to_do(empty: Callable[[str], Ledger]) -> None:
    ledger = empty("sqlite")

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["ledger", *words, "--ledger", ledger.url], env={"COLUMNS": "200"})
        return done.exit_code, done.output

    assert run("upgrade") == (0, f"The ledger is up to date: schema {examine(ledger, NOW).head}.\n")
    assert run("check")[0] == 0
    change(ledger, "INSERT INTO timer VALUES ('x', 'hold', 'a:lead:b', :ago, 0, 0)", ago=LONG_AGO)
    code, said = run("check")
    assert code == 1
    assert "1 timers have been due for over 5 minutes." in said
    report = msgspec.json.decode(run("check", "--json")[1])
    assert [found["name"] for found in report["findings"]] == ["timers overdue"]


# -- copy -----------------------------------------------------------------------------------------------------------------


def stream(desk: Desk, first: int, last: int) -> None:
    """Events that meet each other: the same people twice, pools, holds, timers, a policy, what cannot be read."""
    for n in range(first, last):
        desk.clock.advance(7)
        person = n % 25
        record = f"00Q{n}" if n % 3 else f"00Q{person}"
        event = desk.event(
            "created" if n % 4 else "updated", record, n, email=f"p{person}@acme{n % 7}.example", country="FR"
        )
        # The number is the stream's, not the desk's, which begins anew on the copy.
        desk.play(msgspec.structs.replace(event, event_id=derived_id("stream", str(n))))
        if n % 10 == 0:
            desk.tick()
            desk.work()


def holdings(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    with ledger.read() as conn:
        return {
            one.name: sorted((tuple(row) for row in conn.execute(one.select())), key=repr)
            for one in metadata.sorted_tables
        }


@pytest.mark.parametrize(("here", "there"), [("sqlite", "postgres"), ("postgres", "sqlite")])
def test_the_second_half_on_the_copy_is_decided_as_if_nothing_had_happened(
    empty: Callable[[str], Ledger], here: str, there: str
) -> None:
    undisturbed, old, new = empty(here), empty(here), empty(there)
    clocks = [ManualClock(), ManualClock()]
    for ledger in (undisturbed, old):
        ledger.upgrade()
    whole, first = Desk(undisturbed, clocks[0]), Desk(old, clocks[1])
    for one in (whole, first):
        with one.ledger.write() as conn:
            journal.set_position(conn, "salesforce", "changes", b"\x00\xff", NOW)
            policies.publish(conn, "abc", {"a.csv": b"\x00"}, NOW)
        stream(one, 0, EVENTS // 2)
    assert copy(old, new)["decision"] > 0
    assert holdings(old) == holdings(new)
    whole, second = Desk(undisturbed, clocks[0]), Desk(new, clocks[1])
    stream(whole, EVENTS // 2, EVENTS)
    stream(second, EVENTS // 2, EVENTS)
    assert holdings(undisturbed) == holdings(new)
    # Nobody delivers here, so writes wait; everything else adds up.
    assert [found.name for found in examine(new, clocks[1]()).findings] == ["writes waiting"]


def test_a_number_that_was_given_once_is_not_given_again(empty: Callable[[str], Ledger]) -> None:
    old, new, back = empty("sqlite"), empty("postgres"), empty("sqlite")
    old.upgrade()
    desk = Desk(old, ManualClock())
    desk.play(*(desk.event("created", f"00Q{n}", email=f"a{n}@b.example", country="FR") for n in range(3)))
    change(old, "DELETE FROM journal")
    change(old, "DELETE FROM outbox")
    copy(old, new)
    copy(new, back)
    for ledger in (new, back):
        again = Desk(ledger, ManualClock())
        again.accept(msgspec.structs.replace(again.event("updated"), event_id=derived_id("new")))
        with ledger.read() as conn:
            assert conn.scalar(text("SELECT seq FROM journal")) == 4


def test_only_an_empty_ledger_is_copied_into_and_only_from_one_at_rest(
    desk: Desk, empty: Callable[[str], Ledger]
) -> None:
    desk.play(desk.event("created", email="kim@b.example", country="FR"))
    new = empty("sqlite")
    copy(desk.ledger, new)
    with pytest.raises(LedgerError, match=r"is not empty: there are rows in .*journal"):
        copy(desk.ledger, new)
    change(desk.ledger, "UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(LedgerError, match=r"has schema 0001, this version needs .* Run `fingerpost ledger upgrade`"):
        copy(desk.ledger, empty("sqlite"))


def test_what_the_new_database_cannot_hold_leaves_it_empty(empty: Callable[[str], Ledger]) -> None:
    ledger, new = empty("sqlite"), empty("postgres")
    ledger.upgrade()
    change(ledger, "INSERT INTO position VALUES ('fine', 'x', x'00', 1)")
    change(ledger, "INSERT INTO mirror VALUES ('a' || char(0) || 'b', 'lead', '{}')")
    with pytest.raises(LedgerError, match="mirror holds what cannot be stored"):
        copy(ledger, new)
    assert all(rows == [] for rows in holdings(new).values())


def test_the_command_refuses_while_somebody_works_on_either(
    empty: Callable[[str], Ledger], postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = empty("sqlite")
    ledger.upgrade()
    monkeypatch.setattr("routing.ledger.copy.GONE_SECONDS", 0.3)
    target = postgres.fresh()

    def run() -> tuple[int, str]:
        words = ["ledger", "copy", "--ledger", ledger.url, "--to", target]
        done = CliRunner().invoke(app, words, env={"COLUMNS": "300"})
        return done.exit_code, done.output + str(done.exception or "")

    daemon = only_one(ledger)
    assert daemon is not None
    assert "Another daemon is already working on this ledger" in run()[1]
    daemon.close()
    worker = Ledger(target)
    with worker.read() as conn:
        conn.execute(text("SELECT 1"))
        refused = run()[1]
        assert "Somebody is working on the ledger" in refused
        assert f"fingerpost, process {os.getpid()} on " in refused, "an operator must learn what to stop"
    worker.close()
    monkeypatch.setattr("routing.ledger.copy.GONE_SECONDS", 30.0)  # the server may list it a while longer
    code, said = run()
    assert (code, "rows were copied, and compared with what arrived." in said) == (0, True), said
