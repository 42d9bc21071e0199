"""Records merged into one of a new id, where the old and the new one lie on partitions of two workers: what hangs on them goes on
there exactly once, whoever comes first, and wherever the other comes in between."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from routing.core.model import ChangeEvent, Decision
from routing.ledger import clocks, decisions, mirror, outbox
from routing.ledger.check import examine
from routing.ledger.engine import Ledger
from routing.ledger.schema import ref_of
from routing.runtime.feed import Feed
from routing.runtime.loop import Loop
from tests import pool_ledger
from tests.conftest import ManualClock
from tests.integration.interleaving import POINTS, Director
from tests.integration.test_interleavings import Table, Worker, changed
from tests.integration.test_interleavings import director as director
from tests.integration.test_interleavings import ledger as ledger
from tests.integration.test_interleavings import ledger_of_all as ledger_of_all
from tests.integration.test_interleavings import quiet as quiet
from tests.unit.runtime.test_sla_loop import USERS, clocked

QUEUE = "00G000000000009AAA"
CRM_ID = {"ana@example.com": "005ANA", "bo@example.com": "005BO", "cem@example.com": "005CEM"}
EVERY_POINT = ("start", *POINTS)


class Merge:
    """The old record on the first worker's partition, the new one and another old one on the second's."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.table = Table(ledger, clock)
        self.ledger, self.clock = ledger, clock
        with ledger.write() as conn:
            mirror.save(conn, [(user, frozenset()) for user in USERS])
        self.old, self.other, self.new = self.table.name(0), self.table.name(1), self.table.name(1)
        self.one, self.two = Worker(self.table, 0), Worker(self.table, 1)
        for worker in (self.one, self.two):
            worker.loop = Loop(ledger, SimpleNamespace(current=clocked()), clock, Feed())  # type: ignore[arg-type]

    def told(self, record: str, kind: str, seconds: float, **values: Any) -> ChangeEvent:
        return changed(record, kind, seconds, **values)

    def created(self) -> ChangeEvent:
        return self.told(self.old, "created", 0, email="kim@acme.example", status="New", owner=QUEUE)

    def begin(self) -> None:
        """Both old ones are routed: each has an owner, a clock, and a write that the CRM was not told yet."""
        self.one.settling(self.created())()
        self.two.settling(self.told(self.other, "created", 1, email="kim@home.example", status="New", owner=QUEUE))()

    def merging(self, **values: Any) -> Callable[[], None]:
        """What tells of the new record."""
        made = {"email": "kim@acme.example", "status": "New", "owner": QUEUE} | values
        told = self.told(self.new, "created", 600, **made)
        return self.two.settling(replace(told, continues=(self.old, self.other), origin="read back"))

    def gone(self) -> Callable[[], None]:
        return self.one.settling(replace(self.told(self.old, "merged", 600), into=self.new))

    def decided(self, record: str) -> list[Decision]:
        with self.ledger.read() as conn:
            return [one for one in decisions.of_record(conn, record) if one.outcome != "none"]

    def comes_to(self) -> dict[str, Any]:
        """All that hangs on the three, as who looks at them would see it."""
        refs = {name: ref_of("salesforce", "lead", getattr(self, name)) for name in ("old", "other", "new")}
        names = {ref: name for name, ref in refs.items()} | {getattr(self, name): name for name in refs}
        with self.ledger.read() as conn:
            records = mirror.load(conn, set(refs.values()))
            open_clocks = clocks.load(conn, set(refs.values()))
            waiting = conn.exec_driver_sql("SELECT ref, state, body FROM outbox ORDER BY ref, body").all()
            due = conn.exec_driver_sql("SELECT purpose, ref FROM timer ORDER BY 1, 2").all()
            given = conn.exec_driver_sql("SELECT ref, person FROM assignment ORDER BY 1, 2").all()
            pool_ledger.check(conn)
        return {
            "records": {
                names[ref]: (
                    one.deleted,
                    one.values.get("owner"),
                    one.values.get("status"),
                    one.decided_owner,
                    one.turns,
                )
                for ref, one in records.items()
            },
            "clocks": sorted(
                (names[ref], one.name, one.person, one.state) for ref, some in open_clocks.items() for one in some
            ),
            "writes": [
                (names[ref], state, names[write.record_id], write.fields.get("owner"))
                for ref, state, body in waiting
                for write in [outbox.decode(body)]
            ],
            "timers": [(purpose, names[record]) for purpose, record in due],
            "given": sorted((names[ref], person) for ref, person in given),
            "decisions": {name: len(self.decided(getattr(self, name))) for name in refs},
        }

    def is_sound(self) -> None:
        """One clock of one person, one owner to be written, both under the new id, and nothing on those that went."""
        found = self.comes_to()
        assert [one[0] for one in found["clocks"]] == ["new"], found
        owed = [one for one in found["writes"] if one[1] == "pending"]
        assert [(one[0], one[2]) for one in owed] == [("new", "new")], found
        assert CRM_ID[found["clocks"][0][2]] == owed[0][3], "the clock is that of whom the CRM is told"
        assert (found["records"]["old"][0], found["records"]["other"][0]) == (True, True)
        assert [one[1] for one in found["timers"]] == ["new"]
        assert {one.name for one in examine(self.ledger, self.clock()).findings} <= {"writes waiting"}


@pytest.fixture
def merge(ledger: Ledger, clock: ManualClock) -> Merge:
    return Merge(ledger, clock)


def late(merge: Merge, what: str) -> Callable[[], None]:
    """What the old record's worker may just be at."""
    if what == "gone":
        return merge.gone()
    values = {"a new address": {"email": "kim2@acme.example"}, "another field": {"company": "Acme"}}[what]
    return merge.one.settling(merge.told(merge.old, "updated", 300, **values))


@pytest.mark.parametrize("merge_first", [True, False])
@pytest.mark.parametrize("what", ["another field", "a new address", "gone"])
@pytest.mark.parametrize("point", EVERY_POINT)
def test_a_merge_while_the_old_record_changes_ends_as_if_they_had_taken_turns(
    merge: Merge, director: Director, what: str, point: str, merge_first: bool
) -> None:
    merge.begin()
    before = [merge.decided(record) for record in (merge.old, merge.other)]
    director.interleave(merge.merging(), late(merge, what), point, swapped=not merge_first)
    merge.is_sound()
    assert [merge.decided(record) for record in (merge.old, merge.other)] == before
    assert merge.decided(merge.new) == [], "nobody is routed anew"


@pytest.mark.parametrize("merge_first", [True, False])
@pytest.mark.parametrize("point", EVERY_POINT)
def test_a_merge_while_the_old_record_is_routed_gives_one_owner(
    merge: Merge, director: Director, point: str, merge_first: bool
) -> None:
    director.interleave(merge.merging(), merge.one.settling(merge.created()), point, swapped=not merge_first)
    merge.gone()()
    found = merge.comes_to()
    assert found["decisions"]["old"] + found["decisions"]["new"] == 1, found
    assert [one[0] for one in found["clocks"]] == ["new"], found
    assert [(one[0], one[2]) for one in found["writes"] if one[1] == "pending"] == [("new", "new")], found
    assert len(found["given"]) == 1


@pytest.mark.parametrize("merge_first", [True, False])
@pytest.mark.parametrize("point", EVERY_POINT)
def test_two_merges_of_one_record_at_the_same_time_hand_it_on_once(
    merge: Merge, director: Director, point: str, merge_first: bool
) -> None:
    merge.begin()
    newer = merge.table.name(0)
    told = merge.told(newer, "created", 900, email="kim@acme.example", status="New", owner=QUEUE)
    again = replace(told, continues=(merge.old, merge.other, merge.new), origin="read back")
    director.interleave(merge.merging(), merge.one.settling(again), point, swapped=not merge_first)
    with merge.ledger.read() as conn:
        left = clocks.load(conn, {ref_of("salesforce", "lead", one) for one in (merge.new, newer)})
        owed = conn.exec_driver_sql("SELECT ref FROM outbox WHERE state = 'pending'").scalars().all()
    assert [ref for ref, some in left.items() for _ in some] == [ref_of("salesforce", "lead", newer)]
    assert owed == [ref_of("salesforce", "lead", newer)]
    assert merge.decided(merge.new) == merge.decided(newer) == []


@pytest.mark.parametrize("erased_first", [True, False])
@pytest.mark.parametrize("point", EVERY_POINT)
def test_an_erasure_takes_along_what_the_old_records_worker_is_just_at(
    merge: Merge, director: Director, point: str, erased_first: bool
) -> None:
    merge.begin()
    merge.merging()()
    erasure = merge.two.settling(replace(merge.told(merge.new, "erased", 900), values={}))
    director.interleave(erasure, late(merge, "a new address"), point, swapped=not erased_first)
    for kept in ("mirror", "journal", "outbox", "decision"):
        of_them = f"SELECT * FROM {kept} WHERE ref IN ('{ref_of('salesforce', 'lead', merge.old)}')"
        assert "kim" not in str(merge.table.rows(of_them)), kept
