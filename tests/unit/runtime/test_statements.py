"""A batch asks the ledger as often for many events as for few: what asks once an event costs more than deciding does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest
from sqlalchemy import event as events

from routing.core.model import ChangeEvent
from routing.ledger import outbox
from routing.ledger.engine import Ledger
from routing.ledger.outbox import Fate
from tests.conftest import ManualClock
from tests.unit.runtime.test_loop import Desk

FEW, MANY = 3, 30


@pytest.fixture
def desk(ledger: Ledger, clock: ManualClock) -> Desk:
    return Desk(ledger, clock)


@contextmanager
def counted(ledger: Ledger) -> Iterator[list[str]]:
    """The statements that are executed meanwhile."""
    said: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_more: object) -> None:
        said.append(statement)

    events.listen(ledger.engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        events.remove(ledger.engine, "before_cursor_execute", note)


def _leads(desk: Desk, first: int, n: int) -> list[ChangeEvent]:
    return [
        desk.event("created", f"00Q{k}", k, email=f"ana@firm{k}.example", company=f"Firm{k} Works", country="DE")
        for k in range(first, first + n)
    ]


def _about(desk: Desk, entity: str, first: int, n: int, kind: str = "created") -> list[ChangeEvent]:
    found = []
    for k in range(first, first + n):
        of = {"account": {"name": f"Acme{k} Industries", "website": f"acme{k}.example"}}.get(entity) or {
            "account": f"001{k}",
            "email": f"bo@other{k}.example",
        }
        found.append(msgspec.structs.replace(desk.event(kind, f"{entity}{k}", k, **of), entity=entity))
    return found


def _changes(desk: Desk, first: int, n: int) -> list[ChangeEvent]:
    desk.play(*_leads(desk, first, n))
    return [desk.event("updated", f"00Q{k}", 900 + k, title="CEO") for k in range(first, first + n)]


def _echoes(desk: Desk, first: int, n: int) -> list[ChangeEvent]:
    """What our writes to so many leads come back as."""
    desk.play(*_leads(desk, first, n))
    with desk.ledger.write() as conn:
        owed = outbox.claim(conn, "salesforce", 1000, desk.clock())
        outbox.end(conn, [Fate(one.seq, "confirmed") for one in owed], desk.clock())
    assert len(owed) == n
    return [
        msgspec.structs.replace(
            desk.event("updated", one.write.record_id, **one.write.fields), occurred_at=desk.clock()
        )
        for one in owed
    ]


def _overtaken(desk: Desk, first: int, n: int) -> list[ChangeEvent]:
    """People who give leads to themselves before our writes went out."""
    desk.play(*_leads(desk, first, n))
    return [desk.event("updated", f"00Q{k}", 900 + k, owner="005BO") for k in range(first, first + n)]


KINDS: dict[str, Callable[[Desk, int, int], list[ChangeEvent]]] = {
    "leads": _leads,
    "changes of leads": _changes,
    "echoes": _echoes,
    "owners set over our heads": _overtaken,
    "accounts": lambda desk, first, n: _about(desk, "account", first, n),
    "contacts": lambda desk, first, n: _about(desk, "contact", first, n),
    "opportunities": lambda desk, first, n: _about(desk, "opportunity", first, n),
    "pages of a fill": lambda desk, first, n: _about(desk, "contact", first, n, "snapshot"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_takes_as_many_statements_for_many_events_as_for_few(desk: Desk, kind: str) -> None:
    taken = []
    for first, n in ((0, 1), (100, FEW), (200, MANY)):  # one first: pools are opened, people written down
        desk.accept(*KINDS[kind](desk, first, n))
        with counted(desk.ledger) as said:
            assert desk.loop.work_off(500) == n
        taken.append(said)
    few, many = taken[1:]
    assert len(many) == len(few), sorted(many)
    assert {state for state, _ in desk.states()} <= {"applied", "skipped"}


def test_echoes_are_known_for_what_they_are(desk: Desk) -> None:
    """Or the count of them above would be of something else."""
    desk.play(*_echoes(desk, 0, MANY))
    assert desk.states()[-MANY:] == [("skipped", "echo of our own write")] * MANY
