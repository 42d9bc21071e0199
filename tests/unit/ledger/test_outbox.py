"""What a courier writes down counts only for what it still holds."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import text

from routing.core.model import Entity, Write
from routing.ledger import echoed, outbox
from routing.ledger.engine import Ledger
from routing.ledger.outbox import Fate
from routing.runtime.echo import under_way
from tests.conftest import ManualClock

REF = "salesforce:lead:00Q1"


@pytest.fixture
def ledger(any_ledger: Ledger) -> Ledger:
    return any_ledger


@pytest.fixture
def claimed(ledger: Ledger, clock: ManualClock) -> int:
    """The number of a write that the courier ``one`` has claimed."""
    write = Write(
        write_id="w",
        decision_id="d",
        system="salesforce",
        entity="lead",
        record_id="00Q1",
        fields={"owner": "005A", "country": "FR"},
        guard={"owner": "005Q", "country": "F"},
    )
    with ledger.write() as conn:
        outbox.add(conn, [(write, 0, 0)], clock())
        [owed] = outbox.claim(conn, "salesforce", 10, clock(), "one")
    return owed.seq


def state(ledger: Ledger) -> tuple[str, str, list[str]]:
    with ledger.read() as conn:
        [(state, courier)] = conn.execute(text("SELECT state, courier FROM outbox")).all()
        waiting = echoed.unechoed(conn, {REF}).get(REF, [])
    return state, courier, [name for one in waiting for name in one.fields]


def test_what_was_not_sent_does_not_come_back(ledger: Ledger, clock: ManualClock, claimed: int) -> None:
    with ledger.write() as conn:
        outbox.end(conn, [Fate(claimed, "confirmed", sent=("owner",))], clock(), "one")
    assert state(ledger) == ("confirmed", "one", ["owner"])


@pytest.mark.parametrize("again", [True, False])
def test_a_write_taken_from_a_courier_is_not_its_to_end(
    ledger: Ledger, clock: ManualClock, claimed: int, again: bool
) -> None:
    """It was thought dead: its write waits as doubtful, or another has it already; the echo of its try may still come."""
    with ledger.write() as conn:
        assert outbox.recover(conn, clock(), 0, "salesforce", "one") == 1
        if again:
            assert len(outbox.claim(conn, "salesforce", 10, clock(), "two")) == 1
        outbox.end(conn, [Fate(claimed, "superseded", sent=())], clock(), "one")
    assert state(ledger) == (("sending", "two") if again else ("pending", "one")) + (["owner", "country"],)


def owe(ledger: Ledger, clock: ManualClock, above: str, *records: str, entity: Entity = "contact") -> None:
    """A change owed to each record, all below one account."""
    writes = [
        Write(
            write_id=f"w {one}",
            decision_id="d",
            system="salesforce",
            entity=entity,
            record_id=one,
            fields={"owner": "005A"},
            guard={},
        )
        for one in records
    ]
    with ledger.write() as conn:
        outbox.add(conn, [(one, 0, 0) for one in writes], clock(), {one.write_id: above for one in writes if above})


def claim(ledger: Ledger, clock: ManualClock, courier: str, limit: int = 10) -> list[str]:
    with ledger.write() as conn:
        return [one.write.record_id for one in outbox.claim(conn, "salesforce", limit, clock(), courier)]


def finish(ledger: Ledger, clock: ManualClock, courier: str, state: str = "confirmed") -> None:
    with ledger.write() as conn:
        rows = conn.execute(text("SELECT seq FROM outbox WHERE state = 'sending' AND courier = :c"), {"c": courier})
        outbox.end(conn, [Fate(seq, state) for (seq,) in rows.all()], clock(), courier)


@pytest.mark.parametrize("state", ["confirmed", "pending"])
def test_children_of_one_parent_are_sent_by_one_courier_at_a_time(
    ledger: Ledger, clock: ManualClock, state: str
) -> None:
    owe(ledger, clock, "salesforce:account:001A", "003A", "003B", "003C")
    owe(ledger, clock, "salesforce:account:001B", "003D")
    assert claim(ledger, clock, "one", 2) == ["003A", "003B"]
    assert claim(ledger, clock, "two") == ["003D"]
    finish(ledger, clock, "one", state)
    assert claim(ledger, clock, "two")[-1] == "003C"


def test_a_record_and_what_hangs_on_it_are_sent_by_one_courier_at_a_time(ledger: Ledger, clock: ManualClock) -> None:
    owe(ledger, clock, "", "001A", entity="account")
    owe(ledger, clock, "salesforce:account:001A", "003A")
    assert claim(ledger, clock, "one", 1) == ["001A"]
    assert claim(ledger, clock, "two") == []
    finish(ledger, clock, "one")
    assert claim(ledger, clock, "two") == ["003A"]


def test_who_went_into_another_account_hangs_on_that_one(ledger: Ledger, clock: ManualClock) -> None:
    owe(ledger, clock, "salesforce:account:001A", "003A")
    owe(ledger, clock, "salesforce:account:001B", "003B")
    with ledger.write() as conn:
        outbox.follow(conn, "salesforce:account:001A", "001B", "salesforce:account:001B", clock(), heir=False)
    assert claim(ledger, clock, "one", 1) == ["003A"]
    assert claim(ledger, clock, "two") == []


def correct(ledger: Ledger, clock: ManualClock, *records: str) -> None:
    """A correction owed to each lead."""
    with ledger.write() as conn:
        for one in records:
            told = {"write_id": f"c {one}", "decision_id": "d", "system": "salesforce", "entity": "lead"}
            write = Write(**told, record_id=one, fields={"country": "FR"}, guard={})  # type: ignore[arg-type]
            outbox.add(conn, [(write, 0, 0)], clock())


def test_a_lead_gets_its_owner_before_a_backlog_of_corrections(ledger: Ledger, clock: ManualClock) -> None:
    correct(ledger, clock, "00Q1", "00Q2", "00Q3")
    owe(ledger, clock, "", "00Q9", entity="lead")
    assert claim(ledger, clock, "one", 2) == ["00Q9", "00Q1"]


def test_what_goes_before_the_owner_of_a_record_is_as_urgent(ledger: Ledger, clock: ManualClock) -> None:
    correct(ledger, clock, "00Q1", "00Q2", "00Q9")
    owe(ledger, clock, "", "00Q9", entity="lead")
    assert claim(ledger, clock, "one", 1) == ["00Q9"]
    finish(ledger, clock, "one")
    assert claim(ledger, clock, "one", 1) == ["00Q9"]
    with ledger.read() as conn:
        ended = conn.execute(text("SELECT write_id FROM outbox WHERE state = 'confirmed'")).scalar()
    assert ended == "c 00Q9"


WHY = "superseded: owner had been changed before this was sent (decision 7)"


def given_up(ledger: Ledger) -> list[dict[str, str]]:
    with ledger.read() as conn:
        rows = conn.execute(text("SELECT body FROM outbox ORDER BY seq")).scalars()
        return [msgspec.json.decode(body)["given_up"] for body in rows]


def test_what_is_given_up_while_it_is_sent_is_known_to_its_courier_and_whoever_takes_over(
    ledger: Ledger, clock: ManualClock, claimed: int
) -> None:
    with ledger.write() as conn:
        outbox.give_up(conn, {claimed: {"owner": WHY}})
        found = outbox.claimed(conn, [claimed, 99], "one")
        assert {seq: write.given_up for seq, write in found.items()} == {claimed: {"owner": WHY}}
        assert outbox.claimed(conn, [claimed], "two") == {}
        [waiting] = echoed.unechoed(conn, {REF})[REF]
    # It may have been written already, and then comes back; nobody counts on it.
    assert (waiting.given_up, waiting.fields) == ({"owner"}, {"owner": "005A", "country": "FR"})
    assert (waiting.unheard, waiting.may_yet) == (waiting.fields, {"owner": "005A"})
    assert under_way([waiting], {"owner": "005Q", "country": "F"}) == {"country": "FR"}
    with ledger.write() as conn:
        outbox.recover(conn, clock(), 0, "salesforce", "one")
        [again] = outbox.claim(conn, "salesforce", 10, clock(), "two")
    assert again.write.given_up == {"owner": WHY}


def test_what_has_ended_is_not_given_up(ledger: Ledger, clock: ManualClock, claimed: int) -> None:
    with ledger.write() as conn:
        outbox.end(conn, [Fate(claimed, "confirmed")], clock(), "one")
        outbox.give_up(conn, {claimed: {"owner": WHY}})
    assert given_up(ledger) == [{}]


def test_what_is_parked_is_given_up_and_says_so_once_it_is_tried_again(
    ledger: Ledger, clock: ManualClock, claimed: int
) -> None:
    with ledger.write() as conn:
        outbox.end(conn, [Fate(claimed, "parked", "refused", doubtful=True)], clock(), "one")
        [before] = echoed.unechoed(conn, {REF})[REF]
        outbox.give_up(conn, {claimed: {"owner": WHY}})
        [after] = echoed.unechoed(conn, {REF})[REF]
        assert outbox.retry_parked(conn, None, clock()) == 1
        [again] = outbox.claim(conn, "salesforce", 10, clock(), "one")
    assert before.parked == {"owner": "005A", "country": "FR"}
    assert before.parked_guard.keys() == before.parked.keys()
    assert after.parked == {"country": "FR"}
    assert again.write.given_up == {"owner": WHY}


def test_nothing_is_kept_of_why_once_the_person_is_erased(ledger: Ledger, claimed: int) -> None:
    with ledger.write() as conn:
        outbox.give_up(conn, {claimed: {"owner": WHY}})
        outbox.erase(conn, REF)
    assert given_up(ledger) == [{}]
