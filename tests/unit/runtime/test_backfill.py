"""The first fill of the mirror goes on where it was cut off; reading all again after a gap finds what is new and what is gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from connectors.contract import Page, Snapshot
from connectors.errors import Misconfigured
from routing.core.merge import DELETED
from routing.core.model import ChangeEvent, Record, Write, derived_id
from routing.ledger import journal, mirror, outbox
from routing.ledger.engine import Ledger
from routing.ledger.schema import ref_of
from routing.runtime import backfill, filling
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
        self.at = START
        self.into: dict[str, str] = {}  # merged into
        self.values: dict[str, dict[str, Any]] = {}  # of those that hold something else than the others

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
            event_id=derived_id(entity, record_id, self.at.isoformat()),
            system=self.system,
            entity=entity,
            record_id=record_id,
            kind="snapshot",
            occurred_at=self.at,
            observed_at=self.at,
            values=self.values.get(record_id, {"title": "x"}),
        )

    def read(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Snapshot]:
        return {one: Snapshot(values={}) for one in ids if one in self.ids}

    def merged_into(self, entity: str, ids: Sequence[str]) -> dict[str, str]:
        assert not set(ids) & set(self.ids), "these are there"
        return {one: self.into[one] for one in ids if one in self.into}


class Desk:
    def __init__(self, ledger: Ledger, crm: Crm) -> None:
        self.ledger, self.crm, self.clock = ledger, crm, ManualClock()
        policies: Any = SimpleNamespace(current=None, maps=lambda _system: {"lead": None, "contact": None})
        connection: Any = crm
        self.feed = Feed()
        self.backfill = Backfill(connection, ledger, policies, self.clock, self.feed)
        watch_from(ledger, crm.system, self.clock())

    def mirrored(self, entity: str) -> list[str]:
        with self.ledger.read() as conn:
            return sorted(mirror.living(conn, "fake", entity))

    def told(self) -> list[tuple[str, str]]:
        with self.ledger.read() as conn:
            entries = journal.next_entries(conn, "accepted", 1000)
        return [(entry.event.kind, entry.event.record_id) for entry in entries]

    def known(self, record_id: str) -> Record:
        with self.ledger.read() as conn:
            name = ref_of("fake", "lead", record_id)
            return mirror.load(conn, {name})[name]

    def write(self, record_id: str, **fields: str) -> None:
        """A write of ours, sent and confirmed, that has not come back."""
        write = Write(
            write_id=derived_id("write", record_id),
            decision_id=derived_id("decision", record_id),
            system="fake",
            entity="lead",
            record_id=record_id,
            fields=fields,
            guard={},
        )
        with self.ledger.write() as conn:
            outbox.add(conn, [(write, 0, 0)], START)
            claimed = outbox.claim(conn, "fake", 1, START)
            outbox.end(conn, [outbox.Fate(owed.seq, "confirmed") for owed in claimed], START)

    def know(self, *ids: str, **more: Any) -> None:
        records = [Record(system="fake", entity="lead", record_id=one, values={"title": "x"}, **more) for one in ids]
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
    desk.know(*desk.crm.ids[1:], "gone", "merged")
    desk.crm.hidden = {"r05"}  # made while the pages were read: on none of them
    desk.crm.into = {"merged": "r03"}
    desk.backfill.reconcile("lead")
    assert desk.told() == [("created", "r00"), ("deleted", "gone"), ("merged", "merged")]


def test_what_was_merged_during_a_gap_is_told_with_what_is_left_of_it(ledger: Ledger) -> None:
    desk = Desk(ledger, Crm(3))
    desk.know(*desk.crm.ids, "gone", "merged")
    desk.crm.into = {"merged": "r01"}
    desk.backfill.reconcile("lead")
    with ledger.read() as conn:
        told = [entry.event for entry in journal.next_entries(conn, "accepted", 9)]
    assert [(one.kind, one.record_id, one.into) for one in told] == [
        ("deleted", "gone", ""),
        ("merged", "merged", "r01"),
    ]


def test_what_changed_during_a_gap_is_told_like_any_other_change_and_once(ledger: Ledger) -> None:
    desk = Desk(ledger, Crm(4))
    desk.know(*desk.crm.ids)
    desk.crm.values["r02"] = {"title": "Boss", "country": "Germany"}
    assert desk.backfill.reconcile("lead") == (4, 0, 1)
    with ledger.read() as conn:
        [event] = [entry.event for entry in journal.next_entries(conn, "accepted", 9)]
    assert (event.kind, event.record_id, event.complete) == ("updated", "r02", True)
    assert event.values == {"title": "Boss", "country": "Germany"}
    assert set(event.changed) == {"title", "country"}
    assert desk.backfill.reconcile("lead") == (4, 0, 0)  # it is written down, though not decided yet


def test_what_is_only_spelled_differently_or_older_is_no_change(ledger: Ledger) -> None:
    desk = Desk(ledger, Crm(3))
    later = (START + timedelta(hours=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    desk.know("r00", "r01")
    desk.know("r02", changed_at={"title": later})
    desk.crm.values["r00"] = {"title": "x", "company": "", "topics": None}
    desk.crm.values["r01"] = {"title": "x "}
    desk.crm.values["r02"] = {"title": "of before"}
    assert desk.backfill.reconcile("lead") == (3, 0, 0)
    assert desk.told() == []


def test_a_field_that_was_never_read_before_is_no_change_of_every_record(ledger: Ledger) -> None:
    desk = Desk(ledger, Crm(3))
    desk.backfill.once(threading.Event())
    for one in desk.crm.ids:
        desk.crm.values[one] = {"title": "x", "industry": f"of {one}"}
    assert desk.backfill.reconcile("lead") == (3, 0, 0)
    assert "of r01" in str(desk.known("r01").values)  # it is known from now on
    desk.crm.at = START + timedelta(hours=1)
    desk.crm.values["r01"] = {"title": "x", "industry": "another"}
    assert desk.backfill.reconcile("lead") == (3, 0, 1)


def test_our_own_writes_are_no_change_and_what_somebody_did_beside_them_is(ledger: Ledger) -> None:
    desk = Desk(ledger, Crm(2))
    desk.know(*desk.crm.ids)
    desk.crm.values = {one: {"title": "x", "owner": "ours"} for one in desk.crm.ids}
    desk.crm.values["r01"] |= {"title": "Boss"}
    for one in desk.crm.ids:
        desk.write(one, owner="ours")
    desk.crm.at = START + timedelta(days=2)  # the last change is not ours
    assert desk.backfill.reconcile("lead") == (2, 0, 1)
    with ledger.read() as conn:
        [event] = [entry.event for entry in journal.next_entries(conn, "accepted", 9)]
    assert (event.record_id, event.changed) == ("r01", ("title",))
    assert desk.known("r00").values["owner"] == "ours"


def test_a_value_that_was_ours_once_and_is_somebodys_choice_now_is_a_change(ledger: Ledger) -> None:
    desk = Desk(ledger, Crm(1))
    desk.write("r00", owner="ours")
    told = (START + timedelta(hours=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    desk.know("r00", changed_at={"owner": told})  # after our write somebody cleared it
    desk.crm.values["r00"] = {"title": "x", "owner": "ours"}
    desk.crm.at = START + timedelta(days=2)
    assert desk.backfill.reconcile("lead") == (1, 0, 1)


def test_what_came_back_from_the_recycling_bin_during_a_gap_is_told_as_restored(ledger: Ledger) -> None:
    desk = Desk(ledger, Crm(1))
    desk.know("r00", deleted=True, changed_at={DELETED: "2020-01-01T00:00:00.000Z"})
    assert desk.backfill.reconcile("lead") == (1, 0, 1)
    assert desk.told() == [("restored", "r00")]


def test_records_that_nobody_may_see_any_more_are_not_taken_for_deleted(ledger: Ledger) -> None:
    desk = Desk(ledger, Crm(10))
    desk.know(*desk.crm.ids, *(f"hidden{n}" for n in range(30)))
    desk.backfill.reconcile("lead")
    assert desk.told() == []
    with ledger.read() as conn:
        assert not mirror.load(conn, {ref_of("fake", "lead", "hidden1")})["fake:lead:hidden1"].deleted


class Months(Crm):
    """Leads in pages that say where they are; most are empty, as months in which none was made."""

    def backfill(self, entities: Sequence[str], after: Mapping[str, str] | None = None) -> Iterator[list[ChangeEvent]]:
        for entity in entities:
            for month in range(int((after or {}).get(entity, "0")), 12):
                if self.fails_at == month:
                    raise Misconfigured("no access", system=self.system)
                self.pages += 1
                found = [self.event(entity, f"r{month}")] if month == 9 else []
                yield Page(found, cursor=str(month + 1), reached=f"month {month + 1}")


def test_pages_without_records_are_not_asked_for_again_after_a_restart(ledger: Ledger) -> None:
    desk = Desk(ledger, Months(0))
    desk.crm.fails_at = 5
    with pytest.raises(Misconfigured):
        desk.backfill.once(threading.Event())
    with ledger.read() as conn:
        assert filling.unfilled(conn, ["fake"]) == {"fake": "0 records so far, now contact, month 5"}
    again = Desk(ledger, Months(0))
    again.backfill.once(threading.Event())
    assert again.crm.pages == 7 + 12  # the other months of contacts, all those of leads
    assert again.mirrored("contact") == again.mirrored("lead") == ["r9"]
    with ledger.read() as conn:
        assert filling.unfilled(conn, ["fake", "other"]) == {"other": "nothing is read yet"}


def test_how_far_a_fill_is_is_told_once_a_minute_and_counted_through_restarts(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0

    def passing() -> float:
        nonlocal now
        now += 25.0  # between two pages
        return now

    monkeypatch.setattr(backfill, "monotonic", passing)
    desk = Desk(ledger, Crm(65))
    desk.crm.fails_at = 3
    with pytest.raises(Misconfigured):
        desk.backfill.once(threading.Event())
    desk.crm.fails_at = None
    shown: list[Any] = []
    desk.feed.watch(lambda happening: shown.append(happening.detail) if happening.what == "filling" else None)
    with structlog.testing.capture_logs() as said:
        desk.backfill.once(threading.Event())
    told = [one["so_far"] for one in said if one["event"] == "the mirror is being filled"]
    so_far = [(40, "contact"), (65, "contact"), (95, "lead"), (125, "lead")]
    assert told == [f"{records} records so far, now {entity}" for records, entity in so_far]
    assert shown == [f"fake: {one}" for one in told]
