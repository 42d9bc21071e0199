"""Workers that settle at the same time on one PostgreSQL: whatever comes in between, it ends as if they had taken turns."""

from __future__ import annotations

import random
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog

from connectors.contract import Snapshot
from routing.core.model import ChangeEvent, Decision, derived_id
from routing.ledger import decisions, evidence, journal, locks, mirror, shares
from routing.ledger.engine import Ledger
from routing.ledger.schema import metadata, ref_of, slot_of
from routing.ledger.shares import Fenced, Share
from routing.runtime.backfill import Backfill
from routing.runtime.feed import Feed
from routing.runtime.loop import Loop
from routing.runtime.received import Received
from tests import pool_ledger
from tests.conftest import START, ManualClock
from tests.integration.interleaving import POINTS, Director
from tests.servers.postgres import Postgres
from tests.unit.core.policy import USERS, person, policy

TOPIC = "changes"
POLICY = policy()
NOW_MS = round(START.timestamp() * 1000)
PEOPLE = (*USERS, person("hubspot", "88", "bo@example.com", "Bo Li"))


class Table:
    """The log's partitions and the ledger, and a worker for each pair of hands."""

    def __init__(self, ledger: Ledger, clock: ManualClock, partitions: int = 2) -> None:
        self.ledger, self.clock, self.partitions = ledger, clock, partitions
        self.ends: dict[int, int] = defaultdict(int)
        self._numbers = iter(range(1_000_000))
        with ledger.write() as conn:
            mirror.save(conn, [(one, frozenset()) for one in PEOPLE])

    def name(self, partition: int, system: str = "salesforce", entity: str = "lead") -> str:
        """A new record's id, on that partition."""
        for n in self._numbers:
            if slot_of(ref_of(system, entity, f"R{n}")) % self.partitions == partition:
                return f"R{n}"
        raise AssertionError

    def put(self, *events: ChangeEvent, at: int | None = None) -> list[Received]:
        """``at``: on that partition, though it is not theirs."""
        made = []
        for one in events:
            own = slot_of(ref_of(one.system, one.entity, one.record_id)) % self.partitions
            partition = own if at is None else at
            made.append(Received(partition, self.ends[partition], one, NOW_MS))
            self.ends[partition] += 1
        return made

    def decided(self, record_id: str) -> list[Decision]:
        with self.ledger.read() as conn:
            return [one for one in decisions.of_record(conn, record_id) if one.outcome != "none"]

    def the(self, record_id: str) -> Decision:
        """The only decision on a record."""
        [made] = self.decided(record_id)
        return made

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.ledger.read() as conn:
            return [tuple(row) for row in conn.exec_driver_sql(query)]

    def reached(self) -> dict[int, int]:
        with self.ledger.read() as conn:
            return {p: share.next_offset for p, share in shares.positions(conn, TOPIC).items()}

    def check_pools(self) -> None:
        """Every lead that a pool gave away counts, once, and each pick followed from the one before."""
        with self.ledger.read() as conn:
            pool_ledger.check(conn)


class Worker:
    """A loop on a thread of its own, with its partitions."""

    def __init__(self, table: Table, *partitions: int) -> None:
        self.table = table
        self.loop = Loop(table.ledger, SimpleNamespace(current=POLICY), table.clock, Feed())  # type: ignore[arg-type]
        self.held: dict[int, Share] = {}
        self.claim(*partitions)

    def claim(self, *partitions: int) -> None:
        with self.table.ledger.write() as conn:
            self.held |= shares.claim(conn, TOPIC, partitions, "worker", self.table.clock())

    def settle(self, received: Sequence[Received]) -> None:
        while received:
            received = received[self.loop.settle_received(received, self.held) :]

    def settling(self, *events: ChangeEvent) -> Callable[[], None]:
        received = self.table.put(*events)
        return lambda: self.settle(received)

    def work_off(self) -> None:
        while self.loop.work_off(500, self.held, self.table.partitions):
            pass


def changed(record_id: str, kind: str = "created", seconds: float = 0, **values: Any) -> ChangeEvent:
    system, entity = values.pop("system", "salesforce"), values.pop("entity", "lead")
    return ChangeEvent(
        event_id=derived_id(system, entity, record_id, kind, str(seconds)),
        system=system,
        entity=entity,
        record_id=record_id,
        kind=kind,  # type: ignore[arg-type]
        occurred_at=START + timedelta(seconds=seconds),
        observed_at=START,
        changed=tuple(values),
        values=values,
    )


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture(scope="module")
def ledger_of_all(postgres: Postgres) -> Iterator[Ledger]:
    url = postgres.fresh()
    postgres.execute(f"ALTER DATABASE {url.rsplit('/', 1)[1]} SET synchronous_commit = off")
    made = Ledger(url)
    yield made
    made.close()


@pytest.fixture
def ledger(ledger_of_all: Ledger) -> Ledger:
    """Empty. A database of its own for each test takes longer than the test."""
    with ledger_of_all.write() as conn:
        for table in reversed(metadata.sorted_tables):
            conn.execute(table.delete())
    return ledger_of_all


@pytest.fixture
def table(ledger: Ledger, clock: ManualClock) -> Table:
    return Table(ledger, clock)


@pytest.fixture
def director(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Director]:
    made = Director(ledger, monkeypatch)
    yield made
    made.leave()


@pytest.fixture
def one(table: Table) -> Worker:
    return Worker(table, 0)


@pytest.fixture
def two(table: Table) -> Worker:
    return Worker(table, 1)


@pytest.mark.parametrize("systems", [("salesforce", "hubspot"), ("hubspot", "salesforce")])
def test_a_person_in_two_systems_goes_to_one_owner(
    table: Table, director: Director, one: Worker, two: Worker, systems: tuple[str, str]
) -> None:
    for n, point in enumerate(POINTS):
        first, second = table.name(0, systems[0]), table.name(1, systems[1])
        waited = director.interleave(
            one.settling(changed(first, system=systems[0], email=f"P{n}@acme.example")),
            two.settling(changed(second, system=systems[1], email=f"p{n}@acme.example")),
            point,
        )
        assert waited == (point != "before email")
        found = table.the(first), table.the(second)
        assert found[0].owner == found[1].owner
        assert [made.rung for made in found].count("Same person") == 1
        assert (found[1].rung == "Same person") == waited
    table.check_pools()


@pytest.mark.parametrize("entity", ["lead", "contact"])
@pytest.mark.parametrize("asked", ["old", "new"])
def test_an_address_that_changes_is_the_old_one_or_the_new_one(
    table: Table, director: Director, one: Worker, two: Worker, asked: str, entity: str
) -> None:
    for n, point in enumerate(("before email", "after email", "commit")):
        first, second = table.name(0, entity=entity), table.name(1, "hubspot")
        one.settling(changed(first, entity=entity, email=f"old{n}@acme.example", owner="005BO"))()
        waited = director.interleave(
            one.settling(changed(first, "updated", 5, entity=entity, email=f"new{n}@acme.example")),
            two.settling(changed(second, system="hubspot", email=f"{asked}{n}@acme.example")),
            point,
        )
        # A contact's new address is of no account to itself: who is being decided meanwhile may go before.
        assert waited == (point != "before email" and (entity == "lead" or asked == "old"))
        met = (asked == "new") == waited
        assert (table.the(second).facts["counterpart"] is not None) == met
        assert (table.the(second).rung == "Same person") == met


def test_two_leads_for_one_pool_take_turns_also_for_the_first_time(
    table: Table, director: Director, one: Worker, two: Worker
) -> None:
    for new in (True, False):
        for n, point in enumerate(POINTS):
            if new:
                with table.ledger.write() as conn:
                    for gone in ("pool", "pool_member", "pool_entry"):
                        conn.exec_driver_sql(f"DELETE FROM {gone}")
                    conn.exec_driver_sql("DELETE FROM decision")
            waited = director.interleave(
                one.settling(*(changed(table.name(0), email=f"a{n}{k}{new}@b{k}.example") for k in range(3))),
                two.settling(*(changed(table.name(1), email=f"c{n}{k}{new}@d{k}.example") for k in range(3))),
                point,
            )
            assert waited == (point in ("after pool", "commit"))
            table.check_pools()
    assert table.rows("SELECT count(*) FROM decision") == [(36,)]


def test_leads_of_an_account_whose_owner_changes_go_to_the_old_one_or_the_new_one(
    table: Table, director: Director, one: Worker, two: Worker
) -> None:
    for n, point in enumerate(POINTS):
        company = table.name(0, entity="account")
        known: dict[str, Any] = {"entity": "account", "website": f"c{n}.example", "type": "Customer", "csm": "005BO"}
        one.settling(changed(company, **known))()
        leads = [table.name(1) for _ in range(4)]
        ana = one.settling(changed(company, "updated", 5, entity="account", csm="005000000000001AAA"))
        director.interleave(two.settling(*(changed(lead, email=f"p@c{n}.example") for lead in leads[:2])), ana, point)
        two.settling(*(changed(lead, email=f"p@c{n}.example") for lead in leads[2:]))()
        owners = [table.the(lead).owner for lead in leads]
        assert owners[2:] == ["ana@example.com"] * 2
        assert set(owners[:2]) <= {"ana@example.com", "bo@example.com"}
        for lead in leads:
            assert table.the(lead).facts["account"]["csm"] == table.the(lead).owner


@pytest.mark.parametrize("entity", ["lead", "contact"])
@pytest.mark.parametrize("erased_first", [True, False])
@pytest.mark.parametrize("moved", [True, False])
def test_an_erased_person_is_not_remembered_by_who_was_decided_meanwhile(
    table: Table, director: Director, one: Worker, two: Worker, entity: str, erased_first: bool, moved: bool
) -> None:
    for n, point in enumerate(("before email", "after email", "after pool", "commit")):
        gone, other = table.name(0, entity=entity), table.name(1, "hubspot")
        told: dict[str, Any] = {"entity": entity, "email": f"p{n}@a.example", "company": "Secret"}
        one.settling(changed(gone, **told))()
        events = [msgspec.structs.replace(changed(gone, "erased", 9, entity=entity), values={})]
        if moved:
            events.insert(0, changed(gone, "updated", 5, entity=entity, email=f"q{n}@a.example"))
        order = (
            one.settling(*events),
            two.settling(changed(other, system="hubspot", email=f"p{n}@a.example")),
        )
        director.interleave(*order, point, swapped=not erased_first)
        for kept in ("SELECT body FROM decision", "SELECT evidence FROM decision", "SELECT body FROM mirror"):
            assert "Secret" not in str(table.rows(kept))
        assert table.the(other).outcome == "assign"


@pytest.mark.parametrize("erased_first", [True, False])
def test_an_erased_user_is_on_no_list_of_who_was_there(
    table: Table, director: Director, one: Worker, two: Worker, erased_first: bool
) -> None:
    for n, point in enumerate(("before people", "after people", "commit")):
        gone, left = table.name(0, entity="person"), table.name(1)
        one.settling(changed(gone, entity="person", email=f"secret{n}@x.example", name="Secret", active=True))()
        order = (
            one.settling(msgspec.structs.replace(changed(gone, "erased", 9, entity="person"), values={})),
            two.settling(changed(left, email=f"p{n}@x.example")),
        )
        director.interleave(*order, point, swapped=not erased_first)
        assert table.the(left).outcome == "assign"
        rosters = [zlib.decompress(body) for (body,) in table.rows("SELECT body FROM roster")]
        assert rosters
        assert "Secret" not in str(rosters)


@pytest.mark.parametrize("read_first", [True, False])
def test_people_read_anew_count_from_the_next_batch_on(
    table: Table, director: Director, one: Worker, two: Worker, read_first: bool
) -> None:
    [bo] = [user for user in USERS if user.record_id == "005BO"]

    def read(active: bool) -> None:
        with table.ledger.write() as conn:
            shares.hold_all(conn)
            mirror.save(conn, [(msgspec.structs.replace(bo, values={**bo.values, "active": active}), frozenset())])

    for n, point in enumerate(("commit",) if read_first else ("before email", "after email", "commit")):
        read(active=True)
        first = table.name(0)
        order = partial(read, active=False), one.settling(changed(first, country="GB", email=f"f{n}@x.example"))
        waited = director.interleave(*order, point, swapped=not read_first)
        assert waited
        assert (table.the(first).owner == "bo@example.com") == (not read_first)
        later = table.name(1)
        two.settling(changed(later, country="GB", email=f"l{n}@x.example"))()
        assert table.the(later).owner != "bo@example.com"


def test_who_takes_a_partition_over_waits_for_what_is_being_committed(
    table: Table, director: Director, one: Worker, two: Worker
) -> None:
    for n, point in enumerate(POINTS):
        received = table.put(*(changed(table.name(0), email=f"p{n}{k}@x.example") for k in range(3)))
        new = two if one.held else one
        old = one if one.held else two
        old.held = {p: share for p, share in old.held.items() if p == 0}
        assert director.interleave(lambda o=old, r=received: o.settle(r), lambda w=new: w.claim(0), point)  # type: ignore[misc]
        assert new.held[0].next_offset == table.ends[0]
        with pytest.raises(Fenced):
            old.settle(table.put(changed(table.name(0), email=f"late{n}@x.example")))
        table.ends[0] -= 1
        old.held = {}
    assert table.rows("SELECT count(*) FROM decision") == [(15,)]


def test_a_worker_claimed_over_before_it_looks_commits_nothing(
    table: Table, director: Director, one: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = shares.check

    def checked(*args: Any) -> dict[int, int]:
        director.pass_by("before check")
        return check(*args)

    monkeypatch.setattr(shares, "check", checked)
    held = director.hold(one.settling(changed(table.name(0), email="p@x.example")), "before check")
    new = Worker(table, 0)
    held.go.set()
    with pytest.raises(Fenced):
        held.result()
    assert (table.rows("SELECT * FROM journal"), table.reached()) == ([], {0: 0})
    assert new.held[0].next_offset == 0


@pytest.mark.parametrize("point", POINTS)
def test_an_event_on_two_partitions_is_decided_once(
    table: Table, director: Director, one: Worker, two: Worker, point: str
) -> None:
    twice = changed(table.name(0), email="p@x.example")
    others = [changed(table.name(p), email=f"o{p}@y.example") for p in (0, 1)]
    received = [table.put(twice, others[0], at=0), table.put(others[1], twice, at=1)]
    director.interleave(lambda: one.settle(received[0]), lambda: two.settle(received[1]), point)
    assert sorted(table.rows("SELECT event_id, state FROM journal")) == sorted(
        (event.event_id, "applied") for event in (twice, *others)
    )
    assert table.the(twice.record_id).outcome == "assign"
    assert table.reached() == {0: 2, 1: 2}
    table.check_pools()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("complete", [True, False])
def test_an_event_that_came_past_the_log_meanwhile_is_decided_once(
    table: Table, director: Director, one: Worker, point: str, complete: bool
) -> None:
    told = changed(table.name(0), email="p@x.example")

    def accept() -> None:
        with table.ledger.write() as conn:
            journal.accept(conn, [told if complete else msgspec.structs.replace(told, complete=False)], START)

    director.interleave(one.settling(told), accept, point)
    one.work_off()
    assert table.rows("SELECT state FROM journal") == [("applied",)]
    assert table.the(told.record_id).outcome == "assign"
    assert table.reached() == {0: 1}
    table.check_pools()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("ended", [True, False])
def test_what_is_read_back_while_its_values_come_through_the_log_ends_once(
    table: Table, director: Director, one: Worker, point: str, ended: bool
) -> None:
    told = changed(table.name(0), email="p@x.example")
    one.settling(msgspec.structs.replace(told, complete=False))()
    [(seq,)] = table.rows("SELECT seq FROM journal")

    def read_back() -> None:
        with table.ledger.write() as conn:
            if ended:
                journal.settle(conn, [journal.Ending(seq, "skipped", "it is gone")], START)
            else:
                journal.complete(conn, [(seq, changed(told.record_id, email="q@x.example"))])

    assert director.interleave(one.settling(told), read_back, point)
    one.work_off()
    assert table.rows("SELECT state, reason FROM journal") == [("applied", "")]
    assert table.the(told.record_id).facts["lead"]["email"] == "p@x.example"
    assert "q@x.example" not in str(table.rows("SELECT body FROM journal"))


class Crm:
    """Holds one page of records, and tells them when asked for all it has."""

    system = "salesforce"

    def __init__(self, *page: ChangeEvent) -> None:
        self._page = list(page)

    def read(self, _entity: str, ids: Sequence[str], _fields: Sequence[str]) -> dict[str, Snapshot]:
        return {one: Snapshot(values={}) for one in ids}

    def backfill(self, _entities: Sequence[str]) -> Iterator[list[ChangeEvent]]:
        yield self._page


def reading(table: Table, *page: ChangeEvent) -> Backfill:
    crm: Any = Crm(*page)
    return Backfill(crm, table.ledger, SimpleNamespace(current=POLICY), table.clock, Feed())  # type: ignore[arg-type]


@pytest.mark.parametrize("read_first", [True, False])
def test_a_record_read_again_after_a_gap_while_it_comes_is_routed_once(
    table: Table, director: Director, one: Worker, read_first: bool
) -> None:
    for n, point in enumerate(("commit",) if read_first else POINTS):
        told = changed(table.name(0), email=f"p{n}@x.example", company="Old")
        newer = changed(told.record_id, "snapshot", 5, email=f"p{n}@x.example", company="New")
        order = partial(reading(table, newer).reconcile, "lead"), one.settling(told)
        assert director.interleave(*order, point, swapped=not read_first)
        one.work_off()
        assert [made.outcome for made in table.decided(told.record_id)] == ["assign"]
        with table.ledger.read() as conn:
            name = ref_of("salesforce", "lead", told.record_id)
            assert mirror.load(conn, [name])[name].values["company"] == "New"


def test_whoever_stands_in_a_circle_begins_anew(table: Table, director: Director, one: Worker) -> None:
    with table.ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql(f"ALTER DATABASE {table.ledger.engine.url.database} SET deadlock_timeout = '20ms'")
    table.ledger.engine.dispose()
    lead = table.name(0)
    with table.ledger.write() as conn:
        conn.exec_driver_sql("SET LOCAL deadlock_timeout = '60s'")
        locks.take(conn, ["pool:Small"])
        task = director.as_far(one.settling(changed(lead, email="p@x.example")))
        locks.take(conn, ["email:p@x.example"])
    task.result()
    assert table.the(lead).outcome == "assign"
    table.check_pools()


def stream(rng: random.Random, table: Table) -> tuple[list[ChangeEvent], dict[str, list[str]]]:
    """Some 300 changes of people in two systems, of accounts and of users; and whose addresses stay, by address."""
    companies = [f"A{n}" for n in range(6)]
    events = [
        changed(name, entity="account", website=f"{name}.example", type=rng.choice(["Customer", "Lost"]), csm="005BO")
        for name in companies
    ]
    stay: dict[str, list[str]] = {}
    for n in range(55):
        domain = rng.choice([*(f"{name}.example" for name in companies), *["x.example", "gmail.com"] * 4])
        steady = f"p{n}@{domain}".lower()
        if domain[0] != "A":  # else the account's owner of that moment decides
            stay[steady] = [f"S{n}", f"H{n}"]
        events.append(changed(f"S{n}", email=steady, country=rng.choice(["FR", "GB", "US"])))
        events.append(changed(f"H{n}", system="hubspot", email=steady.upper()))
        if rng.random() < 0.4:
            events.append(changed(f"S{n}", "updated", 5, status="again"))
    for n in range(35):
        of = rng.randrange(12)
        events.append(changed(f"M{n}", system=rng.choice(["salesforce", "hubspot"]), email=f"m{of}@x.example"))
        events.append(changed(f"M{n}", "updated", 3, email=f"m{rng.randrange(12)}@x.example", status="moved"))
    for n in range(12):
        company = rng.choice(companies)
        events.append(
            changed(company, "updated", n + 1, entity="account", csm=rng.choice(["005BO", "005000000000001AAA"]))
        )
        events.append(changed("005BO", "updated", n + 1, entity="person", name=f"Bo Li {n}"))
    assert table.partitions == 12
    rng.shuffle(events)
    events += [rng.choice(events) for _ in range(12)]  # told twice
    return events, stay


@pytest.mark.parametrize("seed", [1, 2])
def test_many_at_once_end_as_if_they_had_taken_turns(ledger: Ledger, clock: ManualClock, seed: int) -> None:
    rng = random.Random(seed)
    table = Table(ledger, clock, partitions=12)
    events, stay = stream(rng, table)
    received: dict[int, list[Received]] = defaultdict(list)
    for one in table.put(*events):
        received[one.partition % 4].append(one)
    together = threading.Barrier(5)

    def work(hand: int) -> Worker:
        mine, sizes = received[hand], random.Random(f"{seed} {hand}")
        worker = Worker(table, *(p for p in range(12) if p % 4 == hand))
        together.wait(30)
        while mine:
            some = mine[: sizes.randint(1, 12)]
            mine = mine[worker.loop.settle_received(some, worker.held) :]
        return worker

    def read_again() -> None:
        together.wait(30)
        for of_all in range(5):
            first = {e.record_id: e for e in events if e.kind == "created" and e.record_id.startswith("S")}
            page = [changed(name, "snapshot", **e.values) for name, e in list(first.items())[of_all::5]]
            reading(table, *page).reconcile("lead")

    with ThreadPoolExecutor(5) as hands:
        again = hands.submit(read_again)
        workers = list(hands.map(work, range(4)))
        again.result()
    for worker in workers:
        worker.work_off()
    ends = dict(table.rows("SELECT event_id, state FROM journal WHERE body NOT LIKE '%%read back%%'"))
    assert ends.keys() == {event.event_id for event in events}
    assert set(dict(table.rows("SELECT event_id, state FROM journal")).values()) == {"applied", "skipped"}
    assert table.reached() == {p: table.ends[p] for p in range(12)}
    table.check_pools()
    with ledger.read() as conn:
        refs = {ref_of(s, "lead", f"{n}{i}") for s, n in (("salesforce", "S"), ("hubspot", "H")) for i in range(55)}
        records = mirror.load(conn, refs).values()
        assert len(evidence.recorded(conn, 0, limit=1000)) >= len(stay) * 2
    owners = defaultdict(set)
    for record in records:
        owners[str(record.values["email"]).lower()].add(record.decided_owner)
    assert {address: len(owners[address]) for address in stay} == dict.fromkeys(stay, 1)
