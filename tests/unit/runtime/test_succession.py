"""Records merged into one of a new id: everything that hangs on them goes on there, whatever is told first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import permutations

import pytest
import structlog
from msgspec.structs import replace

from routing.core.model import ChangeEvent, Record, Write, derived_id
from routing.core.sla.model import ClockState
from routing.ledger import clocks, decisions, holding, match_corrections, mirror, outbox, timers
from routing.ledger.check import examine
from routing.ledger.engine import Ledger
from routing.ledger.match_corrections import Correction
from routing.ledger.schema import metadata, ref_of
from tests.conftest import ManualClock
from tests.unit.core.policy import policy
from tests.unit.runtime.test_sla_loop import ENDS, ENGAGEMENT, FILES, SLA, Desk, clocked

OLD, OTHER, NEW = "00Q1", "00Q2", "00Q9"
WITH_HOLD = ENGAGEMENT.replace(
    "ladder:\n", 'ladder:\n  - rung: Legal\n    when: lead.country = "CU"\n    hold: ask Legal\n'
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def desk(ledger: Ledger, clock: ManualClock) -> Desk:
    return two_leads(ledger, clock)


def two_leads(ledger: Ledger, clock: ManualClock, sla: str = SLA) -> Desk:
    """The first is Ana's as the CRM shows, the second was given to Bo, which the CRM was not told yet."""
    made = Desk(ledger, clock, clocked(sla))
    made.play(made.event("created", OLD, email="kim@acme.example", status="New", owner="00G000000000009AAA"))
    clock.advance(1)
    made.play(made.event("updated", OLD, owner="005ANA"))
    made.play(made.event("created", OTHER, email="kim@home.example", status="New"))
    clock.advance(3600)
    return made


def ref(record: str) -> str:
    return ref_of("salesforce", "lead", record)


def merged(desk: Desk, owner: str = "005ANA", of: Sequence[str] = (OLD, OTHER), new: str = NEW) -> list[ChangeEvent]:
    """What may be told of one merge, each in a way of its own."""
    values = {"email": "kim@acme.example", "status": "New", "owner": owner}
    told = [
        replace(desk.event("created", new, **values), continues=tuple(of), origin="read back"),
        replace(desk.event("updated", new, **values), continues=tuple(of), origin="read back"),
    ]
    for one in of:
        told += [desk.event("deleted", one), replace(desk.event("merged", one), into=new)]
    return told


def record(desk: Desk, name: str = NEW) -> Record:
    with desk.ledger.read() as conn:
        return mirror.load(conn, {ref(name)})[ref(name)]


def open_clocks(desk: Desk, name: str = NEW) -> tuple[ClockState, ...]:
    with desk.ledger.read() as conn:
        return clocks.load(conn, {ref(name)}).get(ref(name), ())


def owed(desk: Desk) -> list[tuple[str, str]]:
    with desk.ledger.read() as conn:
        rows = conn.exec_driver_sql("SELECT ref, body FROM outbox WHERE state = 'pending' ORDER BY seq").all()
    return [(one.rsplit(":", 1)[1], outbox.decode(body).record_id) for one, body in rows]


ORDERS = [order for order in permutations(range(6)) if order[0] < order[-1] and (order[0] + order[2]) % 3 == 0]


@pytest.mark.parametrize("order", ORDERS[::24], ids=str)
@pytest.mark.parametrize("at_once", [True, False])
def test_the_new_record_goes_on_where_its_owners_was(desk: Desk, order: tuple[int, ...], at_once: bool) -> None:
    before = {name: desk.made(name) for name in (OLD, OTHER)}
    [first] = open_clocks(desk, OLD)
    told = merged(desk)
    for some in [[told[n] for n in order]] if at_once else [[told[n]] for n in order]:
        desk.play(*some)
    assert {name: desk.made(name) for name in (OLD, OTHER)} == before
    assert desk.made(NEW) == [], "nobody is routed anew"
    now = record(desk)
    assert (now.values["owner"], now.deleted, now.announced) == ("005ANA", False, True)
    assert (record(desk, OLD).into, record(desk, OTHER).into) == ((NEW,), (NEW,))
    assert (now.turns, now.decided_at) == (record(desk, OLD).turns, record(desk, OLD).decided_at)
    assert record(desk, OLD).deleted
    assert record(desk, OTHER).deleted
    [clock] = open_clocks(desk)
    assert (clock.person, clock.started_at, clock.limit) == (first.person, first.started_at, first.limit)
    assert abs((clock.due_at or clock.since) - (first.due_at or first.since)) < timedelta(seconds=2)
    assert (open_clocks(desk, OLD), open_clocks(desk, OTHER)) == ((), ())
    assert owed(desk) == [(NEW, NEW)], "what was owed to the one is owed to it; the other's owner is not"
    desk.wait(1)
    assert [made.outcome for made in desk.made(NEW)] == ["none"], "the reminder, for what Ana had the whole time"
    assert desk.made(NEW)[0].effects[0].target == first.person
    assert {one.name for one in examine(desk.ledger, desk.clock()).findings} <= {"writes waiting"}


def test_where_the_other_ones_owner_has_it_that_ones_clock_goes_on(desk: Desk) -> None:
    [second] = open_clocks(desk, OTHER)
    bo = {"ana@example.com": "005ANA", "bo@example.com": "005BO", "cem@example.com": "005CEM"}[second.person]
    desk.play(desk.event("updated", OTHER, owner=bo))  # by now the CRM shows it
    desk.play(*merged(desk, owner=bo))
    assert [clock.person for clock in open_clocks(desk)] == [second.person]
    assert [clock.started_at for clock in open_clocks(desk)] == [second.started_at]


def test_whose_it_is_by_somebodys_hand_begins_anew_for_them(desk: Desk) -> None:
    desk.play(*merged(desk, owner="005CEM"))
    assert (record(desk).decided_owner, desk.made(NEW)) == ("", [])
    assert {clock.person for clock in open_clocks(desk)} == {"cem@example.com"}


def test_a_rep_gives_back_what_came_under_a_new_id(desk: Desk) -> None:
    owner = open_clocks(desk, OLD)[0].person
    desk.play(*merged(desk))
    desk.play(desk.event("rejected", NEW, by=owner, because="not mine"))
    [made] = desk.made(NEW)
    assert (made.outcome, made.owner != owner) == ("assign", True)


@pytest.mark.parametrize("gone_first", [True, False])
def test_what_waits_waits_on_under_the_new_id(ledger: Ledger, clock: ManualClock, gone_first: bool) -> None:
    desk = Desk(ledger, clock, policy(**FILES | {"engagement": WITH_HOLD}))
    for name in (OLD, OTHER):
        desk.play(desk.event("created", name, email=f"{name}@acme.example", status="New", country="CU", owner=None))
    since = record(desk, OLD).held_since
    clock.advance(60)
    told = merged(desk, owner="")
    desk.play(*(told[::-1] if gone_first else told))
    assert (record(desk).on_hold, record(desk).held_since) == (True, since)
    desk.wait(0)
    assert (desk.made(NEW), record(desk).on_hold) == ([], True), "it still waits"
    desk.play(desk.event("updated", NEW, country="US"))
    desk.wait(1)
    assert [made.outcome for made in desk.made(NEW)] == ["assign"]
    with desk.ledger.read() as conn:
        assert holding.lengths(conn) == {}
        assert not timers.due(conn, clock(), (timers.HOLD,))


def test_what_people_said_of_its_account_holds(desk: Desk, clock: ManualClock) -> None:
    said = Correction(ref(OLD), "salesforce:account:001", True, "Ana Diaz", "I asked them", clock())
    with desk.ledger.write() as conn:
        match_corrections.add(conn, said, "")
    desk.play(*merged(desk))
    with desk.ledger.read() as conn:
        assert match_corrections.all_made(conn) == [replace(said, ref=ref(NEW))]
        assert list(match_corrections.find(conn, [ref(OLD), ref(NEW)])) == [ref(NEW)]


def test_an_account_under_a_new_id_keeps_its_corrections_and_its_sticky_owner(desk: Desk, clock: ManualClock) -> None:
    desk.play(*(replace(desk.event("created", one, name="Acme"), entity="account") for one in ("001", "002")))
    with desk.ledger.write() as conn:
        match_corrections.add(conn, Correction(ref(OLD), "salesforce:account:001", True, "Ana", "", clock()), "")
        conn.exec_driver_sql("INSERT INTO pool_bond VALUES ('Small', 'account:001', 'bo@example.com')")
    new = replace(desk.event("updated", "009", name="Acme"), entity="account", continues=("001", "002"))
    desk.play(*(replace(desk.event("merged", one), entity="account", into="009") for one in ("002", "001")), new)
    with desk.ledger.read() as conn:
        assert [one.account for one in match_corrections.all_made(conn)] == ["salesforce:account:009"]
        bonds = conn.exec_driver_sql("SELECT key, person FROM pool_bond WHERE key = 'account:009'").all()
    assert [tuple(bond) for bond in bonds] == [("account:009", "bo@example.com")]


def test_a_merge_of_what_was_merged_goes_on_once_more(desk: Desk) -> None:
    [first] = open_clocks(desk, OLD)
    desk.play(*merged(desk))
    desk.play(desk.event("created", "00Q3", email="k@acme.example", status="New"))
    desk.play(*merged(desk, of=(OLD, OTHER, NEW, "00Q3"), new="00QA"))
    assert desk.made("00QA") == []
    assert [clock.started_at for clock in open_clocks(desk, "00QA")] == [first.started_at]
    assert record(desk, NEW).deleted


def assert_nothing_is_left(desk: Desk) -> None:
    with desk.ledger.read() as conn:
        for table in metadata.tables:
            if table not in ("policy", "absence"):
                assert "kim" not in str(conn.exec_driver_sql(f"SELECT * FROM {table}").all()), table
        assert open_clocks(desk, OLD) == open_clocks(desk, OTHER) == ()


def test_an_erasure_takes_along_what_the_record_was_made_of(desk: Desk) -> None:
    desk.play(*merged(desk))
    desk.play(desk.event("erased", NEW))
    assert_nothing_is_left(desk)


SURVIVORS = {
    "one into the other": [("merged", OLD, OTHER), ("erased", OTHER, "")],
    "by way of a third": [("merged", OLD, "00Q3"), ("merged", "00Q3", OTHER), ("erased", OTHER, "")],
    "told as a deletion first": [("deleted", OLD, ""), ("merged", OLD, OTHER), ("erased", OTHER, "")],
    "erased before the merge is told": [("erased", OTHER, ""), ("merged", OLD, OTHER), ("updated", OLD, "")],
}


@pytest.mark.parametrize("told", SURVIVORS.values(), ids=SURVIVORS.keys())
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
def test_who_is_erased_is_erased_under_the_ids_that_went_into_the_one_that_stayed(
    desk: Desk, told: list[tuple[str, str, str]], at_once: bool
) -> None:
    """As Salesforce merges: the survivor keeps its id, and only those that went say where."""
    desk.play(desk.event("created", "00Q3", email="kim@third.example", status="New"))
    desk.play(desk.event("updated", OLD, country="US", email="kim@once.example"))
    if ("merged", OLD, OTHER) in told:
        desk.play(desk.event("erased", "00Q3"))
    with desk.ledger.write() as conn:
        said = Correction(ref(OLD), "salesforce:account:001", True, "Ana", "kim told me", desk.clock())
        match_corrections.add(conn, said, "")
    events = []
    for kind, name, into in told:
        desk.clock.advance(1)
        values = {"email": "kim@acme.example"} if kind == "updated" else {}
        events.append(replace(desk.event(kind, name, **values), into=into))
    for some in [events] if at_once else [[one] for one in events]:
        desk.play(*some)
    assert_nothing_is_left(desk)


def test_what_was_merged_and_restored_is_no_part_of_the_one_it_went_into(desk: Desk, clock: ManualClock) -> None:
    desk.play(replace(desk.event("merged", OLD), into=OTHER))
    clock.advance(1)
    desk.play(desk.event("restored", OLD, email="kim@acme.example"))
    clock.advance(1)
    desk.play(desk.event("erased", OTHER))
    assert record(desk, OLD).values["email"] == "kim@acme.example"
    assert record(desk, OTHER).values == {}


def test_of_records_that_nobody_told_us_of_the_new_one_is_routed(desk: Desk) -> None:
    told = merged(desk, of=("00Q7", "00Q8"), owner="00G000000000009AAA")
    desk.play(*told)
    desk.play(*(replace(one, event_id=derived_id(one.event_id, "again")) for one in told))
    assert [made.outcome for made in desk.made(NEW)] == ["assign"]


def into_one_that_stays(desk: Desk, stays: str, goes: str, **values: object) -> list[ChangeEvent]:
    """What Marketo tells of a merge, which keeps one of the ids."""
    survivor = replace(desk.event("updated", stays, **values), continues=(goes,), origin="read back")
    return [replace(desk.event("merged", goes), into=stays), survivor, desk.event("deleted", goes)]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("at_once", [True, False])
def test_where_one_of_the_ids_stays_its_own_life_goes_on_and_the_other_ends(
    desk: Desk, clock: ManualClock, order: tuple[int, ...], at_once: bool
) -> None:
    [first] = open_clocks(desk, OLD)
    assert open_clocks(desk, OTHER)
    said = Correction(ref(OTHER), "salesforce:account:001", True, "Ana Diaz", "I asked them", clock())
    with desk.ledger.write() as conn:
        match_corrections.add(conn, said, "")
    told, before = into_one_that_stays(desk, OLD, OTHER, status="New", owner="005ANA"), len(desk.made(OLD))
    for some in [[told[n] for n in order]] if at_once else [[told[n]] for n in order]:
        desk.play(*some)
    assert (len(desk.made(OLD)), record(desk, OLD).values["owner"]) == (before, "005ANA"), "nobody is routed anew"
    assert (record(desk, OLD).took_over, record(desk, OLD).deleted) == ((OTHER,), False)
    assert record(desk, OTHER).deleted
    assert [one.started_at for one in open_clocks(desk, OLD)] == [first.started_at]
    assert open_clocks(desk, OTHER) == ()
    assert (OTHER, OTHER) not in owed(desk), "what was owed to the one that went is given up"
    with desk.ledger.read() as conn:
        assert match_corrections.all_made(conn) == [replace(said, ref=ref(OLD))]
    assert {one.name for one in examine(desk.ledger, desk.clock()).findings} <= {"writes waiting"}


def test_where_the_owner_of_the_one_that_went_has_it_that_ones_life_goes_on_in_the_one_that_stays(desk: Desk) -> None:
    [first], turns = open_clocks(desk, OLD), record(desk, OLD).turns
    made = len(desk.made(OTHER))
    for again in range(2):  # told twice, it is the same
        told = into_one_that_stays(desk, OTHER, OLD, status="New", owner="005ANA")
        desk.play(*(replace(one, event_id=derived_id(one.event_id, str(again))) for one in told))
    assert len(desk.made(OTHER)) == made, "nobody is routed anew"
    assert [(one.person, one.started_at) for one in open_clocks(desk, OTHER)] == [(first.person, first.started_at)]
    assert record(desk, OTHER).turns == turns
    assert owed(desk) == [(OTHER, OTHER)], (
        "what was owed to the one that went on; Bo, whom it was to have, does not get it"
    )
    assert {one.name for one in examine(desk.ledger, desk.clock()).findings} <= {"writes waiting"}


def test_what_was_closed_under_the_id_that_stays_is_taken_from_nobody(ledger: Ledger, clock: ManualClock) -> None:
    """That it was closed was told of the one record, and the clock is that of the other."""
    desk = two_leads(ledger, clock, ENDS)
    desk.play(desk.event("updated", OTHER, status="Unqualified"))
    clock.advance(60)
    told = into_one_that_stays(desk, OTHER, OLD, owner="005ANA")
    desk.play(*told)
    made = len(desk.made(OTHER))
    desk.wait(10)
    assert (len(desk.made(OTHER)), open_clocks(desk, OTHER), desk.tasks()) == (made, (), [])


def test_an_erasure_of_the_one_that_stayed_takes_along_those_that_went_into_it(desk: Desk) -> None:
    desk.play(*into_one_that_stays(desk, OTHER, OLD, status="New"))
    desk.play(desk.event("created", "00Q3", email="k@home.example", status="New"))
    desk.play(*into_one_that_stays(desk, "00Q3", OTHER, status="New"))
    desk.play(desk.event("erased", "00Q3"))
    with desk.ledger.read() as conn:
        for table in ("mirror", "journal", "outbox", "decision"):
            bodies = str(conn.exec_driver_sql(f"SELECT * FROM {table}").all())
            assert "kim@" not in bodies, table


def test_a_record_that_was_there_already_lives_its_own_life(desk: Desk) -> None:
    """As Salesforce merges: one of the records stays."""
    [second] = open_clocks(desk, OTHER)
    desk.play(replace(desk.event("merged", OLD), into=OTHER))
    desk.play(replace(desk.event("updated", OTHER, status="New"), continues=(OLD,)))
    assert open_clocks(desk, OTHER) == (second,)


def test_both_databases_hand_over_alike(any_ledger: Ledger, clock: ManualClock) -> None:
    desk = two_leads(any_ledger, clock)
    [first] = open_clocks(desk, OLD)
    desk.play(*merged(desk))
    assert [clock.started_at for clock in open_clocks(desk)] == [first.started_at]
    assert owed(desk) == [(NEW, NEW)]


def test_a_write_that_is_just_being_sent_is_heard_back_under_the_new_id(desk: Desk, clock: ManualClock) -> None:
    """It was the other record's, and given up for the owner whom the new one has, who has it back."""
    with desk.ledger.write() as conn:
        claimed = outbox.claim(conn, "salesforce", 10, clock())
    assert claimed
    desk.play(*merged(desk, owner="005ANA"))
    write: Write = claimed[-1].write
    with desk.ledger.write() as conn:
        outbox.end(conn, [outbox.Fate(claimed[-1].seq, "confirmed")], clock())
    desk.play(desk.event("updated", NEW, **write.fields))
    with desk.ledger.read() as conn:
        made = decisions.of_record(conn, NEW)[-1]
    assert [(c.field, c.old, c.new) for c in made.corrections] == [("owner", write.fields["owner"], "005ANA")]
    assert "our own write, sent before that was told, replaced it" in made.reason
