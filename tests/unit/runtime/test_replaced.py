"""A person changes what our own write replaces a moment later, unseen: it is told, and put back, in both runtimes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import structlog

from connectors.contract import Snapshot
from routing.core.model import ChangeEvent, Write
from routing.delivery.guard import check
from routing.ledger import outbox, policies
from routing.ledger.engine import Ledger
from routing.runtime.replay import Replay, Span
from tests.conftest import START, ManualClock
from tests.unit.core import policy as core
from tests.unit.runtime.test_loop import Desk
from tests.unit.runtime.test_settle_received import Log, Worker

NAMED = ("FIELDS", "ENGAGEMENT", "POOLS", "CORRECTIONS", "MATCHING")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


class Embedded:
    """Events come in by the journal."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.desk = Desk(ledger, clock)

    def play(self, *events: ChangeEvent) -> None:
        self.desk.play(*events)


class Shared(Embedded):
    """Events come in by the shared log."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        super().__init__(ledger, clock)
        self._worker, self._log = Worker(ledger, clock).claim(0, 1, 2), Log()

    def play(self, *events: ChangeEvent) -> None:
        self._worker.settle(self._log.put(*events))


class Office:
    """A desk, and a CRM with one lead that holds ``held``."""

    def __init__(self, runtime: Embedded) -> None:
        self.runtime, self.desk = runtime, runtime.desk
        self.held: dict[str, Any] = {}

    def create(self, **values: Any) -> None:
        self.held |= values
        self.runtime.play(self.desk.event("created", **values))

    def told(self, seconds: float, by: str = "", **values: Any) -> ChangeEvent:
        return msgspec.structs.replace(self.desk.event("updated", seconds=seconds, **values), actor=by)

    def sends(self, seconds: float, meanwhile: dict[str, Any] | None = None) -> list[ChangeEvent]:
        """The courier looks, a person sets ``meanwhile``, the courier writes: what the CRM tells of both."""
        with self.desk.ledger.write() as conn:
            [owed] = outbox.claim(conn, "salesforce", 10, self.desk.clock())
            checked = check(owed.write, Snapshot(values={name: self.held.get(name) for name in owed.write.fields}))
            sent = dict(checked.write.fields) if checked.write is not None else {}
            state = checked.state or "confirmed"
            self.desk.clock.advance(seconds - (self.desk.clock() - START).total_seconds())
            heard = None if owed.doubtful else tuple(sent)
            fate = outbox.Fate(owed.seq, state, checked.detail, doubtful=owed.doubtful, sent=heard)
            outbox.end(conn, [fate], self.desk.clock())
        self.held |= (meanwhile or {}) | sent
        theirs = [self.told(seconds - 0.5, "005person", **meanwhile)] if meanwhile else []
        return [*theirs, *([self.told(seconds, **sent)] if sent else [])]

    def loses(self) -> Write:
        """The courier sends a write and hears nothing of it: it may still land."""
        with self.desk.ledger.write() as conn:
            [owed] = outbox.claim(conn, "salesforce", 10, self.desk.clock())
            outbox.end(conn, [outbox.Fate(owed.seq, "pending", "no answer", doubtful=True)], self.desk.clock())
        return owed.write

    def lands(self, seconds: float, write: Write) -> ChangeEvent:
        """What was lost arrives after all, over whatever the record holds by now."""
        changed = {name: value for name, value in write.fields.items() if self.held.get(name) != value}
        self.held |= changed
        return self.told(seconds, **changed)

    def open(self) -> list[Write]:
        with self.desk.ledger.read() as conn:
            bodies = conn.exec_driver_sql("SELECT body FROM outbox WHERE state = 'pending' ORDER BY seq").scalars()
            return [msgspec.json.decode(body, type=Write) for body in bodies]

    def replays(self) -> list[str]:
        written = {f"{name.lower()}.yaml": getattr(core, name) for name in NAMED} | {"people.csv": core.PEOPLE}
        files = {name: text.encode() for name, text in written.items()}
        with self.desk.ledger.write() as conn:
            policies.publish(conn, core.policy().digest, files, self.desk.clock())
        return [one.verdict for one in Replay(self.desk.ledger).run(Span())]


@pytest.fixture(params=[Embedded, Shared])
def office(request: pytest.FixtureRequest, any_ledger: Ledger, clock: ManualClock) -> Office:
    return Office(request.param(any_ledger, clock))


def last(office: Office) -> Any:
    return office.desk.decisions()[-1]


def at(seconds: float) -> str:
    moment = START + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} UTC"


@pytest.mark.parametrize("order", ["together", "one by one", "ours first"])
def test_an_owner_whom_a_person_set_a_moment_before_our_write_is_put_back(office: Office, order: str) -> None:
    office.create(country="FR")
    [ours] = office.open()
    events = office.sends(3, {"owner": "005CEM"})
    for some in {"together": [events], "one by one": [[one] for one in events]}.get(order, [[events[1]], [events[0]]]):
        office.runtime.play(*some)
    made = last(office)
    assert (made.outcome, [(c.field, c.old, c.new) for c in made.corrections]) == (
        "none",
        [("owner", ours.fields["owner"], "005CEM")],
    )
    assert f"owner was set to Cem Kaya at {at(2.5)}; our own write" in made.reason
    assert f"replaced it at {at(3)}: it is put back" in made.reason
    office.runtime.play(*office.sends(4))
    assert office.held["owner"] == "005CEM"
    assert office.desk.record().values["owner"] == "005CEM"
    assert office.open() == []
    assert office.replays() == ["identical", "identical"]


def test_a_person_who_was_faster_than_the_putting_back_keeps_the_record(office: Office) -> None:
    office.create(country="FR")
    office.runtime.play(*office.sends(3, {"owner": "005CEM"}))
    office.held["owner"] = "005BO"
    assert office.sends(4) == []
    assert office.held["owner"] == "005BO"


def test_what_was_decided_on_the_replaced_change_stands_and_is_told(office: Office) -> None:
    """The policy corrects what the person typed to what our write had set: nothing is put back, and nothing is called theirs."""
    office.create(country="FR", website="HTTPS://acme.example/")
    corrected = office.open()[0].fields["website"]
    events = office.sends(3, {"website": "HTTPS://ACME.example/"})
    office.runtime.play(*events)
    about = [made for made in office.desk.decisions() if "what was decided on that change stands" in made.reason]
    assert [made.corrections for made in about] == [()]
    assert office.sends(4) == []
    assert office.held["website"] == corrected
    with office.desk.ledger.read() as conn:
        [write] = outbox.of_decision(conn, office.desk.decisions()[1].decision_id)
    assert write["state"] == "confirmed"
    assert "an earlier write of ours had put it there" in write["detail"]


def test_what_was_decided_on_the_replaced_change_is_written_over_our_own_write(office: Office) -> None:
    """What the record holds by then is neither theirs nor what was expected, but nobody else's either."""
    office.create(country="FR", website="HTTPS://acme.example/")
    office.runtime.play(*office.sends(3, {"website": "HTTPS://other.example/"}))
    office.runtime.play(*office.sends(4))
    assert office.held["website"] == "other.example"
    assert office.open() == []


def test_a_person_over_whom_a_write_lands_that_was_given_up_for_them_is_put_back(office: Office) -> None:
    office.create(country="FR")
    lost = office.loses()
    office.held["owner"] = "005CEM"
    office.runtime.play(office.told(2, "005person", owner="005CEM"))
    office.sends(4)  # the country only
    office.runtime.play(office.lands(9, lost))
    assert f"owner was set to Cem Kaya at {at(2)}; our own write" in last(office).reason
    office.sends(10)
    assert (office.held["owner"], office.open()) == ("005CEM", [])


def test_our_newest_write_is_put_back_where_an_older_one_lands_after_it(office: Office) -> None:
    office.create(country="FR", website="HTTPS://acme.example/")
    lost = office.loses()
    office.held["website"] = "HTTPS://other.example/"
    office.runtime.play(office.told(2, "005person", website="HTTPS://other.example/"))
    office.runtime.play(*office.sends(3))  # what is left of the lost one
    office.runtime.play(*office.sends(4))
    assert office.held["website"] == "other.example"
    office.runtime.play(office.lands(9, lost))
    assert office.held["website"] == "acme.example"
    assert last(office).reason.endswith("it is put back")
    office.runtime.play(*office.sends(10))
    assert (office.held["website"], office.open()) == ("other.example", [])


@pytest.mark.parametrize("sent", [False, True])
def test_a_person_for_whom_all_of_ours_was_given_up_is_put_back(office: Office, sent: bool) -> None:
    """An older write lands over them; that the newer one was to set something else counts no more, ended or not."""
    office.create(country="FR", website="HTTPS://acme.example/")
    lost = office.loses()
    for seconds, website in ((2, "HTTPS://other.example/"), (3, "third.example")):
        office.held["website"] = website
        office.runtime.play(office.told(seconds, "005person", website=website))
    office.runtime.play(*office.sends(4))  # what is left of the lost one
    if sent:
        office.sends(5)
    office.runtime.play(office.lands(9, lost))
    for seconds in range(10, 10 + len(office.open())):
        office.runtime.play(*office.sends(seconds))
    assert (office.held["website"], office.open()) == ("third.example", [])


def test_what_was_heard_back_is_not_sent_again_over_whoever_set_it_back(office: Office) -> None:
    """No answer to it came; its echo did, and then a person undid it."""
    office.create(country="FR")
    office.runtime.play(office.lands(2, office.loses()))
    office.held["owner"] = None
    office.runtime.play(office.told(3, "005person", owner=None))
    assert office.sends(4) == []
    assert (office.held["owner"], office.open()) == (None, [])


def test_an_older_change_that_is_told_late_was_seen_and_is_not_put_back(office: Office) -> None:
    """They changed their mind, and then we decided; the first change is told last."""
    office.create(country="FR")
    office.desk.clock.advance(60)
    office.runtime.play(*office.sends(61))
    before = len(office.desk.decisions())
    office.runtime.play(office.told(30, "005person", owner="005CEM"))
    assert (len(office.desk.decisions()), office.open()) == (before, [])


@pytest.mark.parametrize("answered", [True, False])
def test_a_person_who_changed_it_after_our_write_was_not_replaced_though_ours_is_told_last(
    office: Office, answered: bool
) -> None:
    office.create(country="FR")
    ours = office.sends(3) if answered else [office.lands(3, office.loses())]
    office.held["owner"] = "005CEM"
    office.runtime.play(office.told(5, "005person", owner="005CEM"))
    if not answered:
        office.sends(6)
    before = len(office.desk.decisions())
    office.runtime.play(*ours)
    assert (len(office.desk.decisions()), office.open()) == (before, [])
    assert office.desk.record().values["owner"] == "005CEM"


def test_what_only_we_changed_is_an_echo_and_nothing_else(office: Office) -> None:
    office.create(country="FR")
    office.runtime.play(*office.sends(3))
    assert len(office.desk.decisions()) == 1
    assert office.open() == []
