"""The daemon's matching: right by the very next event, the same however batches are cut, and what a person said is obeyed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog
from sqlalchemy import func, select

from routing.core.matching.index import FETCH
from routing.core.model import ChangeEvent, Decision, derived_id
from routing.ledger import decisions, journal, match_index, mirror
from routing.ledger.check import examine
from routing.ledger.engine import Ledger
from routing.ledger.schema import decision, evidence_person, match_key, match_record, position
from routing.runtime.feed import Feed
from routing.runtime.loop import Loop
from routing.runtime.replay import Replay, Span
from routing.runtime.said import labels, say
from tests.conftest import START, ManualClock
from tests.unit.core.policy import FIELDS, USERS, policy

MORE = FIELDS.replace(
    "    email: {type: text, salesforce: Email}\n    owner",
    "    email: {type: text, salesforce: Email}\n    first_name: {type: text, salesforce: FirstName}\n"
    "    last_name: {type: text, salesforce: LastName}\n    account: {type: reference, to: account, salesforce: AccountId}\n    owner",
)
LADDER = """
route: lead
entry: event.kind in ("created", "updated", "restored")
ladder:
  - rung: Known person
    when: match.person = "link" or match.duplicate
    hold: we know this person
  - rung: Ask
    when: match.band = "ask"
    hold: which company is it
  - rung: Customer
    when: account.type = "Customer"
    assign: person Bo Li
  - otherwise: pool Small
"""
POLICY = policy(fields=MORE, engagement=LADDER)


class Stand:
    """A loop on a ledger; ``tell`` makes an event."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.ledger, self.clock, self._n = ledger, clock, 0
        self.loop = Loop(ledger, SimpleNamespace(current=POLICY), clock, Feed())  # type: ignore[arg-type]
        with ledger.write() as conn:
            mirror.save(conn, [(user, frozenset()) for user in USERS])

    def tell(self, entity: str, record: str, kind: str = "created", **values: Any) -> ChangeEvent:
        self._n += 1
        return ChangeEvent(
            event_id=derived_id("live", str(self._n)),
            system="salesforce",
            entity=entity,
            record_id=record,
            kind=kind,  # type: ignore[arg-type]
            occurred_at=START + timedelta(seconds=self._n),
            observed_at=START,
            changed=tuple(values),
            values=values,
        )

    def play(self, *events: ChangeEvent, size: int = 500) -> None:
        with self.ledger.write() as conn:
            journal.accept(conn, events, self.clock())
        while self.loop.work_off(size):
            pass

    def last(self, record: str) -> Decision:
        with self.ledger.read() as conn:
            return decisions.of_record(conn, record)[-1]

    def lead(self, record: str, **values: Any) -> Decision:
        """A new lead, decided."""
        self.play(self.tell("lead", record, **values))
        return self.last(record)

    def say(self, lead: str, account: str, same: bool) -> None:
        with self.ledger.write() as conn:
            say(conn, lead, account, same, "Ana Diaz", "I asked them", self.clock())

    def publish(self) -> None:
        """The policy is live in the ledger, as a daemon has it."""
        from routing.ledger import policies
        from tests.unit.core import policy as of

        files = {"fields.yaml": MORE, "engagement.yaml": LADDER, "people.csv": of.PEOPLE, "pools.yaml": of.POOLS}
        files |= {"corrections.yaml": of.CORRECTIONS, "matching.yaml": of.MATCHING}
        with self.ledger.write() as conn:
            policies.publish(conn, POLICY.digest, {n: text.encode() for n, text in files.items()}, self.clock())

    def replayed(self) -> set[str]:
        self.publish()
        return {one.verdict for one in Replay(self.ledger).run(Span())}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def stand(any_ledger: Ledger, clock: ManualClock) -> Stand:
    return Stand(any_ledger, clock)


ZENITH = {"name": "Zenith Baugesellschaft mbH", "website": "zenith-bau.de", "country": "DE", "type": "Customer"}


def test_an_account_is_found_by_the_event_behind_the_one_that_made_it_and_not_by_the_one_before(stand: Stand) -> None:
    stand.play(
        stand.tell("lead", "00Q1", email="a@zenith-bau.de"),
        stand.tell("account", "001", **ZENITH),
        stand.tell("lead", "00Q2", email="b@zenith-bau.de"),
        stand.tell("account", "001", "updated", website="quartz.example", name="Quartz Medical Imaging"),
        stand.tell("lead", "00Q3", email="c@zenith-bau.de", company="Zenith Baugesellschaft"),
        stand.tell("lead", "00Q4", email="d@quartz.example"),
        stand.tell("account", "001", "merged"),
        stand.tell("lead", "00Q5", email="e@quartz.example"),
        stand.tell("account", "001", "restored"),
        stand.tell("lead", "00Q6", email="f@quartz.example"),
    )
    assert [stand.last(f"00Q{n}").account_id for n in range(1, 7)] == ["", "001", "", "001", "", "001"]
    assert stand.last("00Q2").rung == "Customer"
    assert stand.replayed() == {"identical"}


def test_another_worker_sees_the_account_at_once(stand: Stand) -> None:
    stand.play(stand.tell("account", "001", **ZENITH))
    other = Stand(stand.ledger, stand.clock)
    other._n = 1000
    assert other.lead("00Q1", email="a@zenith-bau.de").account_id == "001"


def test_a_name_with_a_slip_is_found_and_the_decision_tells_why(stand: Stand) -> None:
    stand.play(stand.tell("account", "001", **ZENITH), stand.tell("account", "002", name="Zenit Optik AG"))
    made = stand.lead("00Q1", company="ZENITH Baugeselschaft", country="DE", website="www.zenith-bau.de/kontakt")
    assert made.account_id == "001"
    assert made.facts["match"]["band"] == "match"
    assert made.candidates[0].probability > 0.9
    assert any("website zenith-bau.de" in words for words in made.candidates[0].evidence)
    (step,) = [one for one in made.trace if one.stage == "match"]
    assert step.held
    assert "sure" in step.note


def test_in_doubt_no_account_is_taken_and_a_rule_may_ask(stand: Stand) -> None:
    twin = {"name": "Zenith Hochbau", "website": "zenith-bau.de", "country": "AT"}
    stand.play(stand.tell("account", "001", **ZENITH), stand.tell("account", "002", **twin))
    made = stand.lead("00Q1", email="a@zenith-bau.de")
    assert (made.outcome, made.rung, made.account_id) == ("hold", "Ask", "")
    assert made.facts["match"]["band"] == "ask"
    assert made.facts["account"] is None
    assert {one.account_id for one in made.candidates} == {"001", "002"}
    assert {one.passed_over for one in made.candidates} == {"a person is asked"}


def test_what_a_person_said_is_obeyed_by_the_next_event_of_the_lead_and_of_its_company(stand: Stand) -> None:
    stand.publish()
    stand.play(
        stand.tell("account", "001", **ZENITH), stand.tell("account", "002", name="Quartz Imaging", country="US")
    )
    assert stand.lead("00Q1", email="a@zenith-bau.de", company="Zenith Baugesellschaft").account_id == "001"
    stand.say("00Q1", "001", same=False)
    stand.play(stand.tell("lead", "00Q1", "updated", status="New"))
    made = stand.last("00Q1")
    assert made.account_id == ""
    assert made.candidates[0].passed_over == "a person said that it is not this account"
    assert "Ana Diaz said of this record" in made.candidates[0].evidence[0]
    stand.say("00Q1", "002", same=True)
    stand.play(stand.tell("lead", "00Q1", "updated", status="Open"))
    made = stand.last("00Q1")
    assert (made.account_id, made.facts["match"]["corrected"]) == ("002", True)
    # Another lead of the company, and one of another company.
    assert stand.lead("00Q2", email="b@zenith-bau.de", company="Zenith Baugesellschaft").account_id == "002"
    assert stand.lead("00Q3", email="c@zenith-bau.de").account_id == "001"
    assert stand.replayed() == {"identical"}
    with stand.ledger.read() as conn:
        rows = list(labels(conn))
    assert [(row["lead.company"], row["account.name"], row["same"]) for row in rows] == [
        ("Zenith Baugesellschaft", "Zenith Baugesellschaft mbH", False),
        ("Zenith Baugesellschaft", "Quartz Imaging", True),
    ]


@pytest.mark.parametrize("size", [1, 500])
def test_what_was_said_of_an_account_that_is_merged_holds_for_the_one_it_goes_into(stand: Stand, size: int) -> None:
    stand.publish()
    stand.play(
        stand.tell("account", "001", **ZENITH),
        stand.tell("account", "002", name="Quartz Imaging", country="US"),
        stand.tell("account", "003", name="Oyster Optics", country="US"),
    )
    zenith = {"email": "a@zenith-bau.de", "company": "Zenith Baugesellschaft"}
    stand.lead("00Q1", **zenith)
    stand.say("00Q1", "002", same=True)
    merged = msgspec.structs.replace(stand.tell("account", "002", "merged"), into="003")
    # Also those whose leads come in the same batch as the merge; and what is said later of the third goes before.
    stand.play(stand.tell("lead", "00Q2", **zenith), merged, stand.tell("lead", "00Q3", **zenith), size=size)
    assert (stand.last("00Q2").account_id, stand.last("00Q3").account_id) == ("002", "003")
    assert "Ana Diaz said of this company" in stand.last("00Q3").candidates[0].evidence[0]
    with stand.ledger.read() as conn:
        assert [(row["account.id"], row["same"]) for row in labels(conn)] == [("003", True)]
    stand.clock.advance(1)
    stand.say("00Q3", "001", same=True)
    stand.say("00Q3", "003", same=False)
    again = msgspec.structs.replace(stand.tell("account", "003", "merged"), into="001")
    stand.play(again, again, stand.tell("lead", "00Q3", "updated", status="Open"), size=size)
    assert stand.last("00Q3").account_id == "001"
    assert stand.replayed() == {"identical"}


def test_a_known_contact_leads_to_its_account_and_is_the_same_person(stand: Stand) -> None:
    anna = {"first_name": "Anna", "last_name": "Weiss", "email": "anna.weiss@gmail.com"}
    stand.play(stand.tell("account", "001", **ZENITH), stand.tell("contact", "003C", account="001", **anna))
    made = stand.lead("00Q1", first_name="Annie", last_name="Weiss", email="annaweiss+news@gmail.com")
    assert (made.rung, made.facts["match"]["person"], made.facts["match"]["contact"]) == (
        "Known person",
        "link",
        "003C",
    )
    assert stand.lead("00Q2", email="anna.weiss@gmail.com").account_id == "001"
    stand.play(stand.tell("contact", "003C", "deleted"))
    gone = stand.lead("00Q3", email="anna.weiss@gmail.com")
    assert gone.account_id == ""
    assert stand.replayed() == {"identical"}


def test_a_second_lead_of_a_person_is_a_duplicate_of_the_first_and_a_colleague_is_not(stand: Stand) -> None:
    person = {"first_name": "William", "last_name": "Okafor", "phone": "+49 30 901820", "company": "Zenith"}
    first = stand.lead("00Q1", email="w.okafor@zenith-bau.de", **person)
    assert first.facts["match"]["person"] == "new"
    again = stand.lead("00Q2", email="will@okafor.example", **{**person, "first_name": "Bill"})
    assert (again.facts["match"]["person"], again.facts["match"]["duplicate_of"]) == ("duplicate", "00Q1")
    colleague = stand.lead(
        "00Q3", email="c.blau@zenith-bau.de", **{**person, "first_name": "Carla", "last_name": "Blau"}
    )
    assert colleague.facts["match"]["person"] == "new"
    assert stand.replayed() == {"identical"}


def test_who_was_compared_is_forgotten_with_the_person(stand: Stand) -> None:
    person = {"first_name": "William", "last_name": "Okafor", "phone": "+49 30 901820"}
    stand.lead("00Q1", email="w.okafor@zenith-bau.de", **person)
    stand.lead("00Q2", email="will@okafor.example", **person)
    with stand.ledger.read() as conn:
        assert conn.scalars(select(evidence_person.c.ref)).all() == ["salesforce:lead:00Q1"]
    stand.play(stand.tell("lead", "00Q1", "erased"))
    with stand.ledger.read() as conn:
        assert set(conn.scalars(select(decision.c.evidence))) == {b""}
        left = {ref for (ref,) in conn.execute(select(match_record.c.ref))}
    assert left == {"salesforce:lead:00Q2"}


def history(stand: Stand, seed: int) -> list[ChangeEvent]:
    """Accounts that come, change and go among leads that ask for them; more of one name than are read of a key."""
    rng, events = random.Random(seed), list[ChangeEvent]()
    names = ("Zenith Baugesellschaft", "Zenit Bau", "Quartz Medical Imaging", "Quarz Imaging", "Orbital Freight")
    for n in range(FETCH + 6):
        events.append(stand.tell("account", f"T{n:03}", name="Orbital Freight Services", country="US"))
    for n in range(60):
        account = f"00{rng.randrange(6)}"
        chance = rng.random()
        if chance < 0.35:
            values = {"name": rng.choice(names), "website": rng.choice(("zenith-bau.de", "quartz.example", ""))}
            events.append(stand.tell("account", account, "updated", **values))
        elif chance < 0.45:
            events.append(stand.tell("account", rng.choice((account, f"T{rng.randrange(FETCH):03}")), "deleted"))
        elif chance < 0.55:
            contact = {"account": account, "email": f"k{rng.randrange(3)}@zenith-bau.de", "last_name": "Kern"}
            events.append(stand.tell("contact", f"003{rng.randrange(3)}", "updated", **contact))
        else:
            lead = {
                "company": rng.choice((*names, "Orbital Freight Services")),
                "last_name": rng.choice(("Kern", "Ott")),
            }
            mail = f"k{rng.randrange(3)}@{rng.choice(('zenith-bau.de', 'gmail.com'))}"
            events.append(stand.tell("lead", f"00Q{n}", first_name="Ida", email=mail, **lead))
    return events


@pytest.mark.parametrize("seed", range(4))
def test_however_batches_are_cut_the_decisions_are_the_same(
    ledger: Ledger, clock: ManualClock, seed: int, tmp_path: Any
) -> None:
    whole = Stand(ledger, clock)
    events = history(whole, seed)
    whole.play(*events)
    made = _all(ledger)
    assert any(one.account_id for one in made)
    for size in (1, 7):
        other = Ledger(f"sqlite:///{tmp_path / f'{size}.db'}")
        other.upgrade()
        Stand(other, clock).play(*events, size=size)
        assert _all(other) == made
        with other.read() as conn, ledger.read() as mine:
            assert _rows(conn) == _rows(mine)
        other.close()
    assert whole.replayed() == {"identical"}


def _all(ledger: Ledger) -> Sequence[Decision]:
    with ledger.read() as conn:
        found = decisions.recent(conn, 1000)
    return sorted((msgspec.structs.replace(one, decided_at=START) for one in found), key=lambda one: one.event_id)


def _rows(conn: Any) -> list[Any]:
    return sorted(map(tuple, conn.execute(select(match_key)))) + sorted(map(tuple, conn.execute(select(match_record))))


def test_an_index_made_anew_is_the_one_that_grew(stand: Stand) -> None:
    stand.play(*history(stand, 9))
    with stand.ledger.read() as conn:
        before = _rows(conn)
        assert conn.scalar(select(func.count()).select_from(match_key))
    assert match_index.ensure(stand.ledger) > 0
    with stand.ledger.read() as conn:
        assert _rows(conn) == before
        assert conn.scalar(select(position.c.cursor).where(position.c.stream == "match index"))
    assert match_index.ensure(stand.ledger) == 0
    assert [one.name for one in examine(stand.ledger, stand.clock()).findings] == []
