"""The whole way of a lead in virtual time: two CRMs, people at work in them, the log, loop, ledger, outbox and couriers; and all that
can go wrong. However it went, once calm returns every promise must have been kept.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import event as on

from routing.core.model import ChangeEvent
from routing.delivery.courier import Courier
from routing.delivery.keeping import GRACE_MS
from routing.ledger import journal, outbox, policies, shares, timers
from routing.ledger.engine import Ledger
from routing.ledger.schema import ref_of
from routing.runtime.backfill import Backfill
from routing.runtime.completer import Completer
from routing.runtime.echo import same
from routing.runtime.feed import Feed
from routing.runtime.loop import Loop
from routing.runtime.policies import entity_maps
from routing.runtime.replay import Replay, Span
from tests import pool_ledger
from tests.conftest import ManualClock
from tests.property import test_loop, test_outbox
from tests.property.simulated import Crm2, Doom, OurClock, people
from tests.property.test_loop import DACH, HS, MARKETING, POLICIES, QUEUE, SF, USERS
from tests.property.test_outbox import _READING, _WRITING, Touch

DEATHS = (test_loop.Death, test_outbox.Death)
ENDS = ("applied", "skipped", "parked")
CALM_ROUNDS = 60
# routing/core/distribution: for a fixed roster, and with people coming and going.
FIXED, MOVING = 1.0, 1.3

SYSTEM = st.sampled_from([SF, HS])
_EMAILS = st.sampled_from(
    ["kim@acme.example", " Kim@ACME.example", "pat@gmail.com", "lee@beta.example", "no address", None]
)
_COUNTRIES = st.sampled_from(["Deutschland", "DE", "DE", "CU", "France", "", None])
_PERSON = st.sampled_from([*DACH, MARKETING[0], "queue", "nobody"])

_LEAD = st.fixed_dictionaries(
    {"email": _EMAILS, "country": _COUNTRIES, "owner": st.sampled_from(["queue", "queue", DACH[0]])},
    optional={"employees": st.sampled_from([5, 5000.0]), "company": st.sampled_from([" Acme  GmbH", "Beta AG"])},
)


def _id(person: str, system: str) -> str | None:
    if person in ("queue", "nobody"):
        return QUEUE if person == "queue" and system == SF else None
    return USERS[person][system]


_ACTS = st.tuples(
    st.sampled_from(["hear", "hear", "complete", "decide", "decide", "deliver", "deliver", "tick"]), st.integers(1, 9)
)
WORK = st.lists(_ACTS, min_size=4, max_size=14)


class Worker:
    """Who decides. With the shared log it holds partitions, as it believes, and reads each from a position on."""

    def __init__(self, ledger: Ledger, clock: OurClock, feed: Feed, policy: Any) -> None:
        self.policies = SimpleNamespace(current=policy)
        self.loop = Loop(ledger, self.policies, clock, feed)  # type: ignore[arg-type]
        self.held: dict[int, shares.Share] = {}
        self.reads: dict[int, int] = {}


class Simulation(RuleBasedStateMachine):
    """The embedded runtime: the journal is the log."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.folder / "ledger.db")
        self.ledger = Ledger(f"sqlite:///{self.folder / 'ledger.db'}")
        on.listen(self.ledger.engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA synchronous=OFF"))
        self.looking = sqlite3.connect(self.folder / "ledger.db", isolation_level=None)
        self.true, self.stop, self.feed = ManualClock(), threading.Event(), Feed()
        self.clock = OurClock(self.true)
        self.crms = {system: Crm2(system, self.true, self.stop) for system in (SF, HS)}
        self.users = people(self.true)
        self.doom = Doom(self.ledger, (), death=True)
        self.live = POLICIES[0]
        self.accepted: dict[str, ChangeEvent] = {}  # acknowledged to the CRMs
        self.ended: dict[int, str] = {}
        self.retried: set[str] = set()  # writes that an operator wanted tried again
        self.roster_fixed = True
        self.numbers = {SF: 0, HS: 0}
        for record, (_, values) in self.users.items():
            self.crms[SF].records[record] = dict(values)
            self.crms[SF].entities[record] = "person"
        for policy in POLICIES:
            self._publish(policy)
        self._publish(POLICIES[0])
        self.born()

    def _publish(self, policy: Any) -> None:
        with self.ledger.write() as conn:
            policies.publish(conn, policy.digest, FILES[policy.digest], self.clock())
            timers.hurry(conn, "hold", self.clock())
        self.live = policy

    def born(self) -> None:
        """Every process starts, for the first time or again."""
        self.workers = [Worker(self.ledger, self.clock, self.feed, self.live) for _ in range(self.workers_wanted)]
        maps = {system: entity_maps(self.live, system) for system in (SF, HS)}
        namespace: Any = SimpleNamespace(current=self.live, maps=lambda system: maps[system])
        self.couriers, self.completers = {}, {}
        for system, crm in self.crms.items():
            crm_: Any = crm
            self.couriers[system] = Courier(crm_, self.ledger, self.clock, self.feed)
            fill = Backfill(crm_, self.ledger, namespace, self.clock, self.feed)
            maps_of: Callable[[], Any] = lambda system=system: maps[system]  # noqa: E731
            self.completers[system] = Completer(self.ledger, self.clock, self.feed, crm_, (), maps_of, fill)
        with self.ledger.write() as conn:
            outbox.recover(conn, self.clock(), GRACE_MS)

    workers_wanted = 1
    misses = 0

    def attempt(self, act: Callable[[], Any]) -> Any:
        """Does something that the process may die of."""
        self.doom.on = True
        try:
            return act()
        except DEATHS:
            self.doom.on = False
            self.born()
            return None
        finally:
            self.doom.on = False
            self.stop.clear()

    # What people and CRMs do

    @rule(system=SYSTEM, leads=st.lists(_LEAD, min_size=1, max_size=3))
    def new_leads(self, system: str, leads: list[dict[str, Any]]) -> None:
        for lead in leads:
            self.numbers[system] += 1
            record = f"{'00QL' if system == SF else '9'}{self.numbers[system]}"
            self.crms[system].create("lead", record, lead | {"status": "New", "owner": _id(lead["owner"], system)})

    @rule(number=st.integers(0, 1), kind=st.sampled_from(["Customer", "Prospect"]), csm=_PERSON)
    def account(self, number: int, kind: str, csm: str) -> None:
        crm, record = self.crms[SF], f"001A{number}"
        values = {"type": kind, "csm": _id(csm, SF)}
        if record in crm.records:
            crm.set(record, values, "")
        else:
            website = ("acme.example", "beta.example")[number]
            crm.create("account", record, {"name": "Acme GmbH", "website": website, "country": "DE", **values})

    def _lead(self, system: str, pick: int) -> str | None:
        crm = self.crms[system]
        leads = sorted(record for record in crm.records if crm.entities[record] == "lead")
        return leads[pick % len(leads)] if leads else None

    @rule(
        system=SYSTEM,
        pick=st.integers(0, 9),
        field=st.sampled_from(["owner", "owner", "country", "status", "email"]),
        data=st.data(),
    )
    def a_person_changes_something(self, system: str, pick: int, field: str, data: st.DataObject) -> None:
        record = self._lead(system, pick)
        if record is not None:
            choices: dict[str, st.SearchStrategy[Any]] = {
                "owner": _PERSON.map(lambda person: _id(person, system)),
                "country": _COUNTRIES,
                "status": st.sampled_from(["New", "Open"]),
                "email": _EMAILS,
            }
            self.crms[system].set(record, {field: data.draw(choices[field])}, "")

    @rule(pick=st.integers(0, 9), kind=st.sampled_from(["deleted", "erased"]))
    def a_lead_goes(self, pick: int, kind: str) -> None:
        system = HS if kind == "erased" else SF
        record = self._lead(system, pick)
        if record is not None:
            self.crms[system].remove(record, kind)

    @rule(person=st.sampled_from([*DACH, MARKETING[0]]))
    def a_rep_leaves_or_returns(self, person: str) -> None:
        crm, record = self.crms[SF], USERS[person][SF]
        self.roster_fixed = False
        crm.set(record, {"active": not crm.records[record]["active"]}, "")

    # What time does

    @rule(off=st.sampled_from([-200.0, -2.0, 0.0, 2.0, 200.0]))
    def our_clock_jumps(self, off: float) -> None:
        for crm in self.crms.values():
            crm.land(whenever=True)  # nothing is under way for as long as we wait by a clock that jumped
        self.clock.off = off

    @rule(wide=st.booleans())
    def another_policy(self, wide: bool) -> None:
        if self.live is not POLICIES[wide]:
            self._publish(POLICIES[wide])
            self.workers[0].policies.current = self.live

    # What we do

    @rule(acts=WORK)
    def work(self, acts: list[tuple[str, int]]) -> None:
        self._work(acts)

    @rule(
        acts=WORK,
        system=SYSTEM,
        writing=st.lists(st.sampled_from(_WRITING), min_size=1, max_size=3),
        reading=st.lists(st.sampled_from(_READING), max_size=2),
    )
    def work_in_trouble(self, acts: list[tuple[str, int]], system: str, writing: list[str], reading: list[str]) -> None:
        """``writing`` and ``reading`` say what the CRM answers to our next calls."""
        self.crms[system].writing, self.crms[system].reading = writing, reading
        self._work(acts)

    @rule(system=SYSTEM, pick=st.integers(0, 9))
    def a_lead_is_corrected_again_before_its_first_write_gets_through(self, system: str, pick: int) -> None:
        """Its CRM has it locked."""
        record, crm = self._lead(system, pick), self.crms[system]
        for field, value in (("email", " Kim@ACME.example"), ("country", "Deutschland")) if record else ():
            crm.set(record, {field: value}, "")
            crm.writing, crm.reading = ["locks"], []
            self._through(system, deliveries=1)

    @rule(system=SYSTEM, lead=_LEAD)
    def we_die_while_a_write_is_under_way(self, system: str, lead: dict[str, Any]) -> None:
        """Whoever starts next has a look at once."""
        self.new_leads(system, [lead])
        self.crms[system].writing, self.crms[system].reading = ["death under way"], []
        self._through(system, deliveries=2)

    @rule(system=SYSTEM, pick=st.integers(0, 9), person=_PERSON)
    def a_person_has_a_lead_for_a_moment(self, system: str, pick: int, person: str) -> None:
        """We hear of it, and then they set its owner back; what we owe it waits."""
        record, crm = self._lead(system, pick), self.crms[system]
        if record is not None:
            before = crm.records[record]["owner"]
            crm.set(record, {"owner": _id(person, system)}, "")
            self._through(system, deliveries=0)
            crm.set(record, {"owner": before}, "")

    def _through(self, system: str, deliveries: int) -> None:
        """What a system has to tell goes the whole way, without a long wait."""
        hs = system == HS
        on_the_way = [("hear", 8 + hs), ("complete", 8 + hs), ("decide", 8), ("decide", 9)]
        self._work([*on_the_way, *[("deliver", 6 - 3 * hs)] * deliveries])

    @rule(acts=WORK, after=st.integers(0, 60))
    def work_and_die(self, acts: list[tuple[str, int]], after: int) -> None:
        """At that many statements or commits from here."""
        self.doom.order(after)
        self._work(acts)

    def _work(self, acts: list[tuple[str, int]]) -> None:
        """The parts of the daemon do a little each, in some order, and time passes."""
        for act, pick in acts:
            self.true.advance(0.1)
            system = (SF, HS)[pick % 2]
            if act == "hear":
                coming = self.crms[system].coming([(pick * 7 + n) % 10 for n in range(pick)])
                self.attempt(lambda system=system, coming=coming: self._hear(system, coming))
            elif act == "complete":
                self.attempt(lambda system=system: self.completers[system].complete_some(self.stop))
            elif act == "decide":
                self.attempt(lambda pick=pick: self.decide(pick))
            elif act == "deliver":
                self.true.advance((0.2, 3, 40)[pick % 3])
                self.attempt(lambda system=system: self.couriers[system].deliver_some(self.stop))
            else:
                self.true.advance(301)
                self.attempt(self._fire)

    def decide(self, size: int) -> None:
        self.workers[0].loop.work_off(size)

    def _fire(self) -> None:
        with self.ledger.write() as conn:
            timers.fire(conn, self.clock())

    def _hear(self, system: str, events: Sequence[ChangeEvent]) -> None:
        self.intake(events)
        self.accepted |= {event.event_id: event for event in events}
        self.crms[system].acknowledged(events)

    def intake(self, events: Sequence[ChangeEvent]) -> None:
        with self.ledger.write() as conn:
            journal.accept(conn, events, self.clock())

    @rule(system=SYSTEM, start=st.integers(0, 30), n=st.integers(1, 5))
    def heard_again(self, system: str, start: int, n: int) -> None:
        told = [event for event in self.crms[system].told if event.event_id in self.accepted]
        self.attempt(lambda: self.intake(told[start : start + n]))

    @precondition(lambda self: "parked" in {*self.ended.values(), *self._outbox_states()})
    @rule()
    def an_operator_retries(self) -> None:
        self._retry()

    def _retry(self) -> None:
        with self.ledger.write() as conn:
            self.retried |= set(conn.exec_driver_sql("SELECT write_id FROM outbox WHERE state = 'parked'").scalars())
            parked = conn.exec_driver_sql("SELECT seq FROM journal WHERE state = 'parked'").scalars().all()
            journal.retry_parked(conn, None)
            outbox.retry_parked(conn, None, self.clock())
        for seq in parked:
            self.ended.pop(seq, None)

    # What must hold at every moment

    def rows(self, query: str) -> list[Any]:
        return self.looking.execute(query).fetchall()

    def _outbox_states(self) -> set[str]:
        return {state for (state,) in self.rows("SELECT DISTINCT state FROM outbox")}

    @invariant()
    def sound(self) -> None:
        self.an_end_is_an_end()
        self.one_decision_an_event_one_write_a_decision()
        self.the_rotation_is_fair()
        self.writes_are_done_once_in_order_and_never_over_a_person()

    def an_end_is_an_end(self) -> None:
        """Whoever was acknowledged is written down, and what has ended once ends no second time."""
        found = self.rows("SELECT seq, event_id, state, kind FROM journal")
        self.check_written_down({event_id for _, event_id, _, _ in found})
        for seq, _, state, _ in found:
            before = self.ended.get(seq)
            assert before in (None, state), f"event {seq} was {before} and is {state}"
            if state in ENDS:
                self.ended[seq] = state
        assert self.ended.keys() <= {seq for seq, _, _, _ in found}

    def check_written_down(self, known: set[str]) -> None:
        assert self.accepted.keys() <= known, "an acknowledged event is lost"

    def one_decision_an_event_one_write_a_decision(self) -> None:
        made = self.rows("SELECT d.seq, j.state FROM decision d LEFT JOIN journal j ON j.seq = d.seq")
        assert len({seq for seq, _ in made}) == len(made), "an event was decided twice"
        assert {state for _, state in made} <= {"applied"}
        assert self.rows("SELECT count(*) FROM decision WHERE evidence IS NOT NULL") == [(len(made),)]
        assert not self.rows("SELECT decision_id FROM outbox GROUP BY decision_id HAVING count(*) > 1")

    def the_rotation_is_fair(self) -> None:
        with self.ledger.read() as conn:
            pool_ledger.check(conn, FIXED if self.roster_fixed else MOVING)

    def _given_out(self) -> list[tuple[tuple[str, str], int]]:
        query = "SELECT pool, owner, count(*) FROM decision WHERE outcome = 'assign' AND pool <> '' GROUP BY 1, 2"
        return [((pool, owner), n) for pool, owner, n in self.rows(query)]

    def writes_are_done_once_in_order_and_never_over_a_person(self) -> None:
        numbers = dict(self.rows("SELECT write_id, seq FROM outbox"))
        for crm in self.crms.values():
            assert crm.overruled == []
            assert crm.mixed == [], "two writes to one record went out in one call"
            assert crm.blind == [], "it was sent again without a look whether it had happened"
            times = Counter((t.by, t.field) for t in crm.history if t.by)
            for (write_id, field), n in times.items():
                assert n == 1 or self._set_back(crm, write_id, field), f"{field} of {write_id} was written {n} times"
            orders: dict[str, list[int]] = {}
            for write in crm.arrivals:
                if write.write_id not in self.retried:
                    orders.setdefault(write.record_id, []).append(numbers[write.write_id])
            for record, order in orders.items():
                assert order == sorted(order), f"the writes of {record} arrived as {order}"

    @staticmethod
    def _set_back(crm: Crm2, write_id: str, field: str) -> bool:
        """Somebody set it to exactly what was expected: after a lost answer nobody can tell that from a write that never came."""
        write = crm.written[write_id]
        return any(
            t.by != write_id and (t.record, t.field) == (write.record_id, field) and same(t.after, write.guard[field])
            for t in crm.history
        )

    # The end

    def teardown(self) -> None:
        try:
            self.calm()
            self.check_all()
        finally:
            self.looking.close()
            self.ledger.close()
            shutil.rmtree(self.folder)

    def calm(self) -> None:
        """Nothing goes wrong any more, until nothing is left to be done."""
        self.doom.call_off()
        self.misses = 0
        self.clock.off = 0.0
        for crm in self.crms.values():
            crm.land(whenever=True)
            crm.writing, crm.reading = [], []
        self._retry()
        for _ in range(CALM_ROUNDS):
            self.true.advance(40)
            self._fire()
            for system, crm in self.crms.items():
                self._hear(system, list(crm.pending))
                self.completers[system].complete_some(self.stop)
            self.decide_all()
            for courier in self.couriers.values():
                courier.deliver_some(self.stop)
            if self._at_rest():
                return
        raise AssertionError(f"it does not come to rest: {self.rows('SELECT state, count(*) FROM journal GROUP BY 1')}")

    def decide_all(self) -> None:
        while self.workers[0].loop.work_off(500):
            pass

    def _at_rest(self) -> bool:
        open_ones = self.rows("SELECT seq FROM journal WHERE state NOT IN ('applied', 'skipped', 'parked')")
        return (
            not open_ones
            and not any(crm.pending for crm in self.crms.values())
            and not self._outbox_states() & {*outbox.OPEN}
        )

    def check_all(self) -> None:
        self.sound()
        told = {event.event_id for crm in self.crms.values() for event in crm.told}
        assert self.accepted.keys() == told
        parked = self.rows("SELECT reason FROM journal WHERE state = 'parked'")
        assert parked == [], parked
        self._check_the_mirror()
        self._check_the_leads()
        self._check_the_owners()
        replay = Replay(self.ledger)
        replay._compiled |= {policy.digest: policy for policy in POLICIES}  # to compile them takes longer than all else
        differing = [
            (one.verdict, one.said) for one in replay.run(Span()) if one.verdict not in ("identical", "erased")
        ]
        assert not differing, differing

    def _check_the_mirror(self) -> None:
        """We know of every record what its CRM holds, and nothing of those that are gone."""
        found = {ref: json.loads(body) for ref, body in self.rows("SELECT ref, body FROM mirror")}
        for crm in self.crms.values():
            for record, entity in crm.entities.items():
                known = found.get(ref_of(crm.system, entity, record), {})
                held = crm.records.get(record)
                if held is None:
                    assert known.get("deleted") or not known, f"{record} is gone"
                    assert record not in crm.erased or not known.get("values")
                    continue
                assert not known.get("deleted")
                values = known.get("values", {})
                wrong = {n: (values.get(n), v) for n, v in held.items() if not same(values.get(n), v)}
                assert not wrong, f"{record}: (known, held) {wrong}"

    def _check_the_leads(self) -> None:
        """A lead that stayed was decided on, once for its creation; whoever waits has one timer, nobody else has one."""
        made = self.rows("SELECT d.ref, j.kind, d.outcome FROM decision d JOIN journal j ON j.seq = d.seq")
        created = Counter(ref for ref, kind, outcome in made if kind == "created" and outcome != "none")
        for crm in self.crms.values():
            for record in crm.records:
                if crm.entities[record] == "lead":
                    assert created[ref_of(crm.system, "lead", record)] == 1, f"{record} was not routed once"
        waits = Counter(ref for (ref,) in self.rows("SELECT ref FROM timer"))
        bodies = self.rows("SELECT ref, body FROM mirror WHERE entity = 'lead'")
        on_hold = [
            ref for ref, body in bodies if json.loads(body).get("on_hold") and not json.loads(body).get("deleted")
        ]
        assert waits == Counter(on_hold)

    def _check_the_owners(self) -> None:
        """Each lead's owner is who we last chose, unless a person had the last word, or the write waits for the operator. Who was run over by a write that was under way when its sender died is put back, unless more was decided since."""
        last = {}
        query = "SELECT d.ref, d.owner, d.decision_id, o.state FROM decision d LEFT JOIN outbox o USING (decision_id)"
        for ref, *chosen in self.rows(f"{query} WHERE d.outcome = 'assign' ORDER BY d.rowid"):
            last[ref] = chosen
        for crm in self.crms.values():
            for record, held in crm.records.items():
                owner, decision, state = last.get(ref_of(crm.system, "lead", record), ("", "", ""))
                if not owner or state == "parked":
                    continue
                hands: list[Touch] = []
                for touch in (t for t in crm.history if (t.record, t.field) == (record, "owner")):
                    if hands and hands[-1] in crm.run_over and same(touch.after, hands[-1].before):
                        hands.pop()  # what was run over is put back
                    else:
                        hands.append(touch)
                ran = [crm.written[touch.by].decision_id for touch in hands[-1:] if touch in crm.run_over]
                assert ran != [decision], f"{record} was taken from whom a person gave it to"
                said = [touch for touch in hands[-1:] if not touch.by]
                assert said or held["owner"] == USERS[owner][crm.system], (
                    f"{record} is not {owner}'s, and no person said so"
                )


def _files() -> dict[str, dict[str, bytes]]:
    from routing.runtime.policy_folder import read_folder
    from tests.processes import POLICY

    files = read_folder(POLICY)
    wide = files | {"engagement.yaml": test_loop.widened(files["engagement.yaml"])}
    return {policy.digest: its for policy, its in zip(POLICIES, (files, wide), strict=True)}


FILES = _files()
