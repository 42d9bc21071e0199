"""Whatever happens in two CRMs, in whatever order it is told: the loop decides the same however it is cut into batches,
ends every event once, and a crash or a redelivery changes nothing."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as on
from sqlalchemy.exc import OperationalError

from routing.core.model import ChangeEvent, derived_id
from routing.ledger import journal, outbox, timers
from routing.ledger.engine import Ledger
from routing.runtime.backfill import store_snapshots
from routing.runtime.feed import Feed
from routing.runtime.loop import Loop
from routing.runtime.policy_folder import read_folder
from rules.policy import Policy, compile_policy
from tests import pool_ledger
from tests.conftest import START, ManualClock
from tests.processes import POLICY

SF, HS = "salesforce", "hubspot"
TABLES = ("journal", "decision", "pool", "pool_member", "pool_entry", "outbox", "mirror", "mirror_key", "timer")
HOLD_SECONDS = 300
MARKETING = ("zoe.campbell@example.com", "mateusz.nowak@example.com", "aisha.rahman@example.com")
DACH = ("jonas.keller@example.com", "miriam.vogel@example.com")
QUEUE = "00G000000000001AAA"


def _policies() -> tuple[Policy, Policy]:
    """The example, and the same where a new status routes a lead again: then our own echoes would be tempting."""
    files = read_folder(POLICY)
    return compile_policy(files), compile_policy(files | {"engagement.yaml": widened(files["engagement.yaml"])})


def widened(engagement: bytes) -> bytes:
    """The ladder with more ways in."""
    entry = b'  - event.kind in ("created", "restored")\n'
    assert entry in engagement
    return engagement.replace(
        entry, entry + b'  - event.changed contains "status"\n  - event.changed contains "country"\n'
    )


POLICIES = _policies()
USERS = {key: {SF: f"005{n:012d}AAA", HS: str(7000 + n)} for n, key in enumerate(sorted(POLICIES[0].people))}


class Op(NamedTuple):
    """One thing a CRM tells: ``again`` repeats an earlier event word for word, ``values`` are of the record's entity."""

    system: str
    entity: str
    number: int
    kind: str
    at: int
    sequence: int
    values: dict[str, Any]
    again: int | None = None


class Phase(NamedTuple):
    """Events that come in; before them the writes owed go out, and come back as ``echoes`` says; time passes."""

    ops: list[Op]
    echoes: list[int]  # of each write: 0 none, 1 one event, 2 one a field, 3 one, and a person who sets the same
    echoes_first: bool


def _person(system: str) -> st.SearchStrategy[str | None]:
    ids = [USERS[key][system] for key in (*DACH, MARKETING[0])]
    return st.sampled_from([*ids, QUEUE if system == SF else None, None])


def _lead(system: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "email": st.sampled_from(["kim@acme.example", " Kim@ACME.example", "pat@gmail.com", "no address", None]),
            "country": st.sampled_from(["Deutschland", "DE", "CU", "France", "", None]),
            "company": st.sampled_from([" Acme  GmbH", "Acme GmbH", None]),
            "website": st.sampled_from(["https://acme.example/x", "beta.example", None]),
            "employees": st.sampled_from([5, 5000.0, None]),
            "status": st.sampled_from(["New", "Open"]),
            "owner": _person(system),
        },
    )


_ACCOUNT = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["Acme GmbH", "Beta AG"]),
        "website": st.sampled_from(["acme.example", "beta.example", None]),
        "type": st.sampled_from(["Customer", "Prospect", None]),
        "csm": _person(SF),
        "country": st.sampled_from(["Germany", "DE"]),
        "parent": st.sampled_from(["001A0", "001A1", None]),
    },
)
_OPPORTUNITY = st.fixed_dictionaries(
    {},
    optional={"account": st.sampled_from(["001A0", "001A1"]), "closed": st.booleans(), "owner": _person(SF)},
)
_LEAD_KINDS = st.sampled_from(
    ["created", "created", "created", "updated", "updated", "updated", "deleted", "restored", "merged", "snapshot"]
)
_OTHER_KINDS = st.sampled_from(["created", "updated", "updated", "deleted", "restored"])


def _op(
    system: str, entity: str, records: int, kinds: st.SearchStrategy[str], values: st.SearchStrategy[dict[str, Any]]
) -> st.SearchStrategy[Op]:
    numbers, at, sequence = st.integers(0, records - 1), st.integers(0, 20), st.integers(0, 2)
    return st.builds(Op, st.just(system), st.just(entity), numbers, kinds, at, sequence, values)


_OPS = st.one_of(
    _op(SF, "lead", 3, _LEAD_KINDS, _lead(SF)),
    _op(HS, "lead", 3, st.one_of(_LEAD_KINDS, st.just("erased")), _lead(HS)),
    _op(SF, "account", 2, _OTHER_KINDS, _ACCOUNT),
    _op(SF, "opportunity", 2, _OTHER_KINDS, _OPPORTUNITY),
    _op(
        SF,
        "person",
        len(USERS),
        st.just("updated"),
        st.fixed_dictionaries({"active": st.booleans()}),
    ).map(lambda op: op._replace(number=(0, 1, 2, 2)[op.number % 4])),
    st.builds(lambda n: Op(SF, "lead", 0, "created", 0, 0, {}, again=n), st.integers(0, 30)),
)
_PHASES = st.lists(
    st.builds(Phase, st.lists(_OPS, max_size=14), st.lists(st.integers(0, 3), max_size=6), st.booleans()),
    min_size=1,
    max_size=3,
)
_SIZES = st.lists(st.integers(1, 7), min_size=1, max_size=4)
_IDS = {"lead": {SF: "00QL", HS: "9"}, "account": {SF: "001A"}, "opportunity": {SF: "006O"}}


def _record_id(op: Op) -> str:
    if op.entity == "person":
        return USERS[(*DACH, MARKETING[0])[op.number]][op.system]
    return f"{_IDS[op.entity][op.system]}{op.number}"


def _event(op: Op, name: str, clock: ManualClock) -> ChangeEvent:
    told = {} if op.kind in ("deleted", "merged", "erased") else op.values
    return ChangeEvent(
        event_id=derived_id("test", name),
        system=op.system,
        entity=op.entity,  # type: ignore[arg-type]
        record_id=_record_id(op),
        kind=op.kind,  # type: ignore[arg-type]
        occurred_at=clock() - timedelta(seconds=20 - op.at),
        observed_at=clock(),
        changed=tuple(told),
        values=told,
        sequence=op.sequence,
    )


class Death(BaseException):
    """The process dies here."""


class Crashes:
    """Lets the n-th statement or commit fail, for each ``n`` in turn, counted anew after each."""

    def __init__(self, ledger: Ledger, after: Sequence[int], death: bool) -> None:
        self._left, self._seen, self._death, self.on = list(after), 0, death, False
        self.happened = 0
        on.listen(ledger.engine, "before_cursor_execute", lambda *_: self._step())
        on.listen(ledger.engine, "commit", lambda _conn: self._step())

    def _step(self) -> None:
        if not self.on or not self._left:
            return
        self._seen += 1
        if self._seen > self._left[0]:
            self._left.pop(0)
            self._seen = 0
            self.happened += 1
            raise Death if self._death else OperationalError("statement", {}, Exception("disk I/O error"))


class Play:
    """One history on one ledger."""

    def __init__(
        self, template: Path, folder: Path, policy: Policy, sizes: Sequence[int], crashes: Sequence[int], death: bool
    ) -> None:
        file = folder / "ledger.db"
        for old in folder.glob("ledger.db*"):
            old.unlink()
        shutil.copy(template, file)
        self.ledger = Ledger(f"sqlite:///{file}")
        self.clock, self._sizes, self._turn = ManualClock(), sizes, 0
        self._policy = policy
        self._crashes = Crashes(self.ledger, crashes, death)
        self._born()
        self.told: list[ChangeEvent] = []

    def _born(self) -> None:
        self.loop = Loop(self.ledger, SimpleNamespace(current=self._policy), self.clock, Feed())  # type: ignore[arg-type]

    def run(self, phases: Sequence[Phase]) -> None:
        for number, phase in enumerate(phases):
            echoes = self._deliver(phase.echoes)
            self.clock.advance(HOLD_SECONDS + 1)
            ops = [self._tell(op, f"{number}-{index}") for index, op in enumerate(phase.ops)]
            with self.ledger.write() as conn:
                timers.fire(conn, self.clock())
                journal.accept(conn, echoes + ops if phase.echoes_first else ops + echoes, self.clock())
            self.told += echoes + ops
            self.settle()

    def _tell(self, op: Op, name: str) -> ChangeEvent:
        if op.again is not None and self.told:
            return self.told[op.again % len(self.told)]
        return _event(op, name, self.clock)

    def settle(self) -> None:
        """Works everything off, dying on the way as ordered and being born again."""
        while True:
            size = self._sizes[self._turn % len(self._sizes)]
            self._turn += 1
            self._crashes.on = True
            try:
                if not self.loop.work_off(size):
                    return
            except (Death, OperationalError):
                self._born()
            finally:
                self._crashes.on = False

    def _deliver(self, how: Sequence[int]) -> list[ChangeEvent]:
        """The CRMs take every write; what they tell of it."""
        found: list[ChangeEvent] = []
        self.clock.advance(60)
        for system in (SF, HS):
            while True:
                with self.ledger.write() as conn:
                    owed = outbox.claim(conn, system, 100, self.clock())
                    outbox.end(conn, [outbox.Fate(one.seq, "confirmed") for one in owed], self.clock())
                if not owed:
                    break
                for one in owed:
                    found += self._echo(one, how[len(found) % len(how)] if how else 0)
        return found

    def _echo(self, owed: outbox.Owed, how: int) -> list[ChangeEvent]:
        write = owed.write
        whole = ChangeEvent(
            event_id=derived_id("echo", write.write_id),
            system=write.system,
            entity=write.entity,
            record_id=write.record_id,
            kind="updated",
            occurred_at=self.clock(),
            observed_at=self.clock(),
            changed=tuple(write.fields),
            values=write.fields,
        )

        def like(name: str, **more: Any) -> ChangeEvent:
            return msgspec.structs.replace(whole, event_id=derived_id("echo", write.write_id, name), **more)

        if how == 0:
            return []
        if how == 2:
            return [like(field, changed=(field,), values={field: value}) for field, value in write.fields.items()]
        return [whole, like("a person", sequence=5)] if how == 3 else [whole]

    def redeliver(self) -> int:
        with self.ledger.write() as conn:
            new = journal.accept(conn, self.told, self.clock())
        self.settle()
        return new

    def left(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the ledger."""
        with self.ledger.read() as conn:
            return {
                name: [tuple(row) for row in conn.exec_driver_sql(f"SELECT * FROM {name} ORDER BY 1, 2")]
                for name in TABLES
            }

    def close(self) -> None:
        self.ledger.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger whose mirror knows the people, to be copied."""
    file = tmp_path_factory.mktemp("template") / "ledger.db"
    ledger = Ledger(f"sqlite:///{file}")
    ledger.upgrade()
    people = [
        ChangeEvent(
            event_id=derived_id("person", key, system),
            system=system,
            entity="person",
            record_id=ids[system],
            kind="snapshot",
            occurred_at=START - timedelta(days=1),
            observed_at=START,
            values={"email": key, "name": key.split("@")[0], "active": True},
        )
        for key, ids in USERS.items()
        for system in (SF, HS)
    ]
    with ledger.write() as conn:
        store_snapshots(conn, people)
    ledger.close()
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("play")


def play(
    template: Path,
    folder: Path,
    phases: Sequence[Phase],
    sizes: Sequence[int],
    *,
    wide: bool = False,
    crashes: Sequence[int] = (),
    death: bool = True,
) -> dict[str, list[tuple[Any, ...]]]:
    """What is left of a history; redelivers it whole at the end, which must not change a byte."""
    made = Play(template, folder, POLICIES[wide], sizes, crashes, death)
    try:
        made.run(phases)
        left = made.left()
        with made.ledger.read() as conn:
            pool_ledger.check(conn)
        assert made.redeliver() == 0
        assert made.left() == left
        return left
    finally:
        made.close()


def check_sound(left: dict[str, list[tuple[Any, ...]]], wide: bool) -> None:
    """What must hold of every ledger in which nothing waits."""
    states = Counter(row[4] for row in left["journal"])
    assert set(states) <= {"applied", "skipped"}, [row for row in left["journal"] if row[4] == "parked"]
    per_event = Counter(row[1] for row in left["decision"])
    assert not [seq for seq, n in per_event.items() if n > 1], "an event was decided twice"
    applied = {row[0] for row in left["journal"] if row[4] == "applied"}
    assert per_event.keys() <= applied
    _check_holds(left)
    _check_leads(left, wide)


def _check_holds(left: dict[str, list[tuple[Any, ...]]]) -> None:
    """Whoever waits has one timer; nobody else has one."""
    waits = Counter(row[2] for row in left["timer"])
    on_hold = {row[0] for row in left["mirror"] if _flag(row[2], "on_hold") and not _flag(row[2], "deleted")}
    assert waits == Counter(on_hold)


def _flag(body: str, name: str) -> bool:
    return bool(json.loads(body).get(name))


def _check_leads(left: dict[str, list[tuple[Any, ...]]], wide: bool) -> None:
    """A lead that was created and never went away was decided on: once for its creation, however often that was told."""
    for ref in {row[2] for row in left["journal"] if ":lead:" in row[2]}:
        kinds = Counter(row[3] for row in left["journal"] if row[2] == ref)
        if not kinds["created"] or kinds["deleted"] or kinds["merged"] or kinds["erased"]:
            continue
        created = {row[0] for row in left["journal"] if row[2] == ref and row[3] == "created"}
        made = [row for row in left["decision"] if row[2] == ref and row[1] in created and row[3] != "none"]
        assert made, f"{ref} was created and nothing was decided"
        assert wide or len(made) == 1, f"{ref} was created and has {len(made)} decisions for it"


SETTINGS = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@SETTINGS
@given(phases=_PHASES, sizes=_SIZES, wide=st.booleans())
def test_the_size_of_batches_changes_nothing(
    template: Path, folder: Path, phases: list[Phase], sizes: list[int], wide: bool
) -> None:
    one_by_one = play(template, folder, phases, [1], wide=wide)
    check_sound(one_by_one, wide)
    assert play(template, folder, phases, [500], wide=wide) == one_by_one
    assert play(template, folder, phases, sizes, wide=wide) == one_by_one


@SETTINGS
@given(
    phases=_PHASES,
    sizes=_SIZES,
    wide=st.booleans(),
    crashes=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    death=st.booleans(),
)
def test_a_crash_at_any_call_changes_nothing(
    template: Path, folder: Path, phases: list[Phase], sizes: list[int], wide: bool, crashes: list[int], death: bool
) -> None:
    calm = play(template, folder, phases, [500], wide=wide)
    assert play(template, folder, phases, sizes, wide=wide, crashes=crashes, death=death) == calm


@pytest.mark.faults
@pytest.mark.timeout(3600)
@settings(SETTINGS, max_examples=5000)
@given(
    phases=_PHASES,
    sizes=_SIZES,
    wide=st.booleans(),
    crashes=st.lists(st.integers(0, 40), max_size=6),
    death=st.booleans(),
)
def test_a_long_search(
    template: Path, folder: Path, phases: list[Phase], sizes: list[int], wide: bool, crashes: list[int], death: bool
) -> None:
    one_by_one = play(template, folder, phases, [1], wide=wide)
    check_sound(one_by_one, wide)
    assert play(template, folder, phases, [500], wide=wide) == one_by_one
    assert play(template, folder, phases, sizes, wide=wide, crashes=crashes, death=death) == one_by_one
