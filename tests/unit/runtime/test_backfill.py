"""The first fill of the mirror goes on where it was cut off; reading all again after a gap finds what is new and what is gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.contract import Snapshot
from connectors.errors import Misconfigured
from routing.core.model import ChangeEvent, Record, derived_id
from routing.ledger import journal, mirror
from routing.ledger.engine import Ledger
from routing.ledger.schema import ref_of
from routing.runtime.backfill import Backfill, watch_from
from routing.runtime.feed import Feed
from tests.conftest import START, ManualClock


class Crm:
    """Records r00, r01, … in pages of ten; ``fails_at`` is the number of the page that does not come."""

    system = "fake"

    def __init__(self, records: int) -> None:
        self.ids = [f"r{n:02d}" for n in range(records)]
        self.fails_at: int | None = None
        self.hidden: set[str] = set()  # on no page, but there
        self.pages = 0

    def backfill(self, entities: Sequence[str], after: Mapping[str, str] | None = None) -> Iterator[list[ChangeEvent]]:
        for entity in entities:
            behind = (after or {}).get(entity, "")
            left = [one for one in self.ids if one > behind and one not in self.hidden]
            for start in range(0, len(left), 10):
                if self.fails_at == self.pages:
                    raise Misconfigured("no access", system=self.system)
                self.pages += 1
                yield [self.event(entity, one) for one in left[start : start + 10]]

    def event(self, entity: str, record_id: str) -> ChangeEvent:
        return ChangeEvent(
            event_id=derived_id(entity, record_id),
            system=self.system,
            entity=entity,
            record_id=record_id,
            kind="snapshot",
            occurred_at=START,
            observed_at=START,
            values={"title": "x"},
        )

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        return {one: Snapshot(values={}) for one in ids if one in self.ids}


class Desk:
    def __init__(self, ledger: Ledger, crm: Crm) -> None:
        self.ledger, self.crm, self.clock = ledger, crm, ManualClock()
        policies: Any = SimpleNamespace(current=None, maps=lambda _system: {"lead": None, "contact": None})
        connection: Any = crm
        self.backfill = Backfill(connection, ledger, policies, self.clock, Feed())
        watch_from(ledger, crm.system, self.clock())

    def mirrored(self, entity: str) -> list[str]:
        with self.ledger.read() as conn:
            return sorted(mirror.living(conn, "fake", entity))

    def told(self) -> list[tuple[str, str]]:
        with self.ledger.read() as conn:
            entries = journal.next_entries(conn, "accepted", 1000)
        return [(entry.event.kind, entry.event.record_id) for entry in entries]

    def know(self, *ids: str) -> None:
        records = [Record(system="fake", entity="lead", record_id=one, values={"title": "x"}) for one in ids]
        with self.ledger.write() as conn:
            mirror.save(conn, [(record, ()) for record in records])


def test_a_fill_that_was_cut_off_goes_on_behind_the_last_page(ledger: Ledger) -> None:
    desk = Desk(ledger, Crm(35))
    desk.crm.fails_at = 6  # contacts are whole (4 pages), of the leads two pages came
    with pytest.raises(Misconfigured):
        desk.backfill.once(threading.Event())
    assert len(desk.mirrored("lead")) == 20
    desk.crm.fails_at, desk.crm.pages = None, 0
    desk.backfill.once(threading.Event())
    assert desk.crm.pages == 2
    assert desk.mirrored("lead") == desk.mirrored("contact") == desk.crm.ids
    desk.backfill.once(threading.Event())
    assert desk.crm.pages == 2  # done once and for all


def test_reading_all_again_finds_what_is_new_and_what_is_gone(ledger: Ledger) -> None:
    desk = Desk(ledger, Crm(12))
    desk.know(*desk.crm.ids[1:], "gone")
    desk.crm.hidden = {"r05"}  # made while the pages were read: on none of them
    desk.backfill.reconcile("lead")
    assert desk.told() == [("created", "r00"), ("deleted", "gone")]


def test_records_that_nobody_may_see_any_more_are_not_taken_for_deleted(ledger: Ledger) -> None:
    desk = Desk(ledger, Crm(10))
    desk.know(*desk.crm.ids, *(f"hidden{n}" for n in range(30)))
    desk.backfill.reconcile("lead")
    assert desk.told() == []
    with ledger.read() as conn:
        assert not mirror.load(conn, {ref_of("fake", "lead", "hidden1")})["fake:lead:hidden1"].deleted
