"""Turns that an older version gave are given back one by one after an upgrade, also those of one moment."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import msgspec
import pytest
from alembic import command
from sqlalchemy import Connection, MetaData, Table, insert, inspect, select, text

from routing.core.distribution.entries import PoolEntry
from routing.ledger import mirror, pools
from routing.ledger.check import examine
from routing.ledger.engine import Ledger
from routing.ledger.schema import metadata
from routing.ledger.schema import mirror as mirror_table
from tests.conftest import ManualClock
from tests.property.test_returns import Day
from tests.unit.ledger.test_migrations import empty
from tests.unit.runtime.test_crediting import BO_OFF, answer, commands_go_by_the_clock, credit, members
from tests.unit.runtime.test_readdressed import NEW, moved
from tests.unit.runtime.test_sharing import Shop, quiet

__all__ = ["commands_go_by_the_clock", "empty", "quiet"]  # fixtures

CAPPED = "P: {members: [Ana Diaz, Bo Li], member_caps: 6 in any hour}"
KEPT_SINCE = ("given_by", "gave_back")  # of a record, since turns have names


def written_down(shop: Shop, old: Ledger, revision: str) -> None:
    """All that the shop's ledger holds, as the version with that schema wrote it."""
    command.upgrade(old._alembic(), revision)
    columns = {name: {one["name"] for one in inspect(old.engine).get_columns(name)} for name in metadata.tables}
    with shop.ledger.read() as conn, old.write() as there:
        for table in metadata.sorted_tables:
            rows = [dict(row._mapping) for row in conn.execute(select(table))]
            for row in rows:
                if table.name == "pool_entry" and row["given_ms"] is not None:
                    row["turn"] = f"{row['given_ms']} {row['person']}"
                if table.name == "mirror":
                    body = msgspec.json.decode(row["body"])
                    row["body"] = msgspec.json.encode({n: v for n, v in body.items() if n not in KEPT_SINCE}).decode()
            kept = [{name: value for name, value in row.items() if name in columns[table.name]} for row in rows]
            before = Table(table.name, MetaData(), autoload_with=there)
            if kept:
                there.execute(insert(before), kept)
        if not old.is_sqlite:
            for name in ("journal", "outbox"):
                there.execute(
                    text(
                        f"SELECT setval(pg_get_serial_sequence('{name}', 'seq'), (SELECT coalesce(max(seq), 1) FROM {name}))"
                    )
                )


def upgraded(shop: Shop, old: Ledger, pool: str, people: str) -> Shop:
    """The shop as it goes on in that ledger."""
    old.upgrade()
    assert examine(old, shop.clock()).findings == ()
    now = Shop(old, shop.clock, pool, people)  # type: ignore[arg-type]
    now._n = shop._n
    return now


def in_one_batch(ledger: Ledger, clock: ManualClock, leads: int, people: str) -> Shop:
    shop = Shop(ledger, clock, CAPPED, people)
    shop.play(*[shop.event("created", f"00Q{n}", email=f"l{n}@b{n}.example") for n in range(1, leads + 1)])
    clock.advance(60)
    return shop


@pytest.mark.parametrize("revision", ["0008", "0009"])
def test_leads_of_one_moment_are_each_credited_or_given_back(
    sqlite_ledger: Ledger, empty: Ledger, clock: ManualClock, revision: str
) -> None:
    before = in_one_batch(sqlite_ledger, clock, 3, BO_OFF)
    assert before.owners(1, 2, 3) == ["ana", "ana", "ana"]
    assert len({before.record(f"00Q{n}").given_at for n in (1, 2, 3)}) == 1
    written_down(before, empty, revision)
    shop = upgraded(before, empty, CAPPED, BO_OFF)
    credit(shop, "00Q1")
    credit(shop, "00Q3")
    answer(shop, "rejected", "00Q2")
    assert (members(shop)[0].credits, members(shop)[0].caps) == (3, ("0 of 6 in the last hour",))
    assert "the lead 00Q1 is credited already: by Kim" in credit(shop, "00Q1", exit_code=1)
    answer(shop, "rejected", "00Q3")
    assert members(shop)[0].credits == 3
    credit(shop, "00Q1", "--leads", "-1")
    assert (members(shop)[0].credits, members(shop)[0].caps) == (2, ("1 of 6 in the last hour",))


def test_what_was_returned_before_stays_returned_and_nothing_else_is(
    sqlite_ledger: Ledger, empty: Ledger, clock: ManualClock
) -> None:
    """Which of several leads of one moment was credited by hand was not kept: it is one that was closed."""
    before = in_one_batch(sqlite_ledger, clock, 5, BO_OFF)
    before.play(before.event("updated", "00Q3", 100, status="Closed - Not Converted"))
    credit(before, "00Q3")
    answer(before, "rejected", "00Q2")
    for leads in ("1", "-1"):  # by mistake
        credit(before, "00Q5", "--leads", leads)
    written_down(before, empty, "0008")
    shop = upgraded(before, empty, CAPPED, BO_OFF)
    assert (members(shop)[0].credits, members(shop)[0].caps) == (2, ("3 of 6 in the last hour",))
    assert "is credited already: by Kim" in credit(shop, "00Q3", exit_code=1)
    assert "is given back already: Ana Diaz gave it back" in credit(shop, "00Q2", exit_code=1)
    for n in (1, 4, 5):
        credit(shop, f"00Q{n}")
    assert (members(shop)[0].credits, members(shop)[0].caps) == (5, ("0 of 6 in the last hour",))
    credit(shop, "00Q3", "--leads", "-1")
    assert (members(shop)[0].credits, members(shop)[0].caps) == (4, ("1 of 6 in the last hour",))


def test_whose_address_changed_meanwhile_has_had_their_turn_back(
    sqlite_ledger: Ledger, empty: Ledger, clock: ManualClock
) -> None:
    before = in_one_batch(sqlite_ledger, clock, 2, BO_OFF)
    new = BO_OFF.replace("ana@example.com", NEW)
    moved(before, CAPPED, new)
    credit(before, "00Q1")
    before.play(before.event("updated", "00Q1", 100, status="Closed - Not Converted"))
    written_down(before, empty, "0008")
    shop = upgraded(before, empty, CAPPED, new)
    assert "is credited already: by Kim" in credit(shop, "00Q1", exit_code=1)
    credit(shop, "00Q2")
    credit(shop, "00Q1", "--leads", "-1")
    assert members(shop)[0].credits == 1


def test_a_record_that_goes_on_for_others_gives_back_the_turn_that_one_of_them_took(
    sqlite_ledger: Ledger, empty: Ledger, clock: ManualClock
) -> None:
    before = in_one_batch(sqlite_ledger, clock, 2, BO_OFF)
    into = before.event("created", "00Q9", 50, email="l1@b1.example")
    before.play(msgspec.structs.replace(into, continues=("00Q1",)))
    assert before.record("00Q9").turns
    written_down(before, empty, "0008")
    shop = upgraded(before, empty, CAPPED, BO_OFF)
    credit(shop, "00Q2")
    credit(shop, "00Q9")
    assert "is credited already: by Kim" in credit(shop, "00Q9", exit_code=1)
    credit(shop, "00Q9", "--leads", "-1")
    assert members(shop)[0].credits == 1


@pytest.mark.parametrize("seed", range(3))
def test_after_any_days_each_turn_is_known_by_its_decision(
    sqlite_ledger: Ledger, empty: Ledger, clock: ManualClock, seed: int
) -> None:
    day = Day(sqlite_ledger, clock, seed)
    day.play()
    with sqlite_ledger.read() as conn:
        before = pools.entries(conn, "P", 10_000, kind="")
        given_by = {ref: record.given_by for ref, record in mirror.load(conn, leads(conn)).items()}
    written_down(day.shop, empty, "0008")
    empty.upgrade()
    with empty.read() as conn:
        after = pools.entries(conn, "P", 10_000, kind="")
        assert {ref: record.given_by for ref, record in mirror.load(conn, leads(conn)).items()} == given_by
    assert [(one.seq, one.turn) for one in after if one.decision_id] == [
        (one.seq, one.turn) for one in before if one.decision_id
    ]
    assert returns_by_moment(after) == returns_by_moment(before)


def leads(conn: Connection) -> list[str]:
    return [ref for ref in conn.scalars(select(mirror_table.c.ref)) if ":lead:" in ref]


def returns_by_moment(entries: list[PoolEntry]) -> dict[tuple[datetime | None, str], int]:
    """How many turns of one moment each member has back."""
    found = Counter[tuple[datetime | None, str]]()
    for one in entries:
        if one.turn:
            found[one.given, one.person] += -1 if one.what == "debit" else 1
    return found
