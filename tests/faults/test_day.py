"""A day in the life of the daemon, in minutes: tokens end, the day's calls run out and come back, both CRMs restart."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from connectors import patience
from connectors.sandbox.salesforce.bus import ALL_CHANGES, event_number
from routing.delivery import retrying
from routing.ledger import journal
from tests.faults.report import storm
from tests.integration.stage import STREAM, Stage, stage
from tests.processes import PATIENCE, wait_for

HOUR = 3600
STEP = 60.0  # seconds by which the clock jumps
AN_HOUR_OF_LEADS = 4
FOLLOWED = ("Lead", "Account", "Contact", "Opportunity")


@contextmanager
def waits_by(world: Stage) -> Iterator[None]:
    """What the daemon sleeps because a CRM is unwell, it sleeps by the clock of the stage."""

    def sleeping(event: threading.Event) -> Callable[[float], None]:
        def sleep(seconds: float) -> None:
            end = world.clock().timestamp() + seconds
            while world.clock().timestamp() < end and not event.wait(0.01):
                pass

        return sleep

    with (
        patch.object(retrying, "sleep_using_event", sleeping),
        patch.object(patience, "sleep_using_event", sleeping),
        patch.object(retrying, "NEWS_SECONDS", STEP),  # a wait in pieces would take a jump of the clock for each
    ):
        yield


class Day:
    """The stage, its people at work, and the records they made."""

    def __init__(self, world: Stage) -> None:
        self.world = world
        self.leads: list[str] = []
        self.contacts: list[str] = []
        self.since = self._reached()
        self.reached = [self.since]
        self.cities: dict[str, str] = {}

    def pass_by(self, seconds: float) -> None:
        """Time passes, in jumps that leave the daemon a moment each."""
        for _ in range(round(seconds / STEP)):
            self.world.clock.advance(STEP)
            PATIENCE.wait(0.01)

    def quiet(self) -> None:
        """Time passes until all is settled."""

        def settled() -> bool:
            self.world.clock.advance(STEP)
            return self.world._settled()

        wait_for("the day's work to be done", settled, 90, pause=0.05)

    def work(self, hour: int) -> None:
        """An hour of leads, and of people who change some of them."""
        world = self.world
        for n in range(AN_HOUR_OF_LEADS):
            self.leads.append(world.lead(Country="Germany"))
            self.contacts.append(world.contact(country="Germany"))
            if len(self.leads) > n + 3:
                lead, contact, city = self.leads[-n - 3], self.contacts[-n - 3], f"City {hour}.{n}"
                world.salesforce.update("Lead", lead, {"City": city}, actor=world.world.users[1]["Id"])
                world.hubspot.update("contacts", contact, {"city": city})
                self.cities |= {lead: city, contact: city}
            self.pass_by(HOUR / AN_HOUR_OF_LEADS)
        self.reached.append(self._reached())

    def _reached(self) -> int:
        """The last event of Salesforce's bus that the ledger knows."""
        with self.world.daemon.ledger.read() as conn:
            position = journal.get_position(conn, "salesforce", STREAM)
        return event_number(position or b"") or 0

    def assert_nothing_lost(self) -> None:
        """Everything that happened is in the journal once, settled, and everything decided is in the CRM once."""
        world = self.world
        assert self.reached == sorted(self.reached)
        assert self.reached[-1] <= world.salesforce.bus.last
        states = Counter(row["state"] for row in world.rows("SELECT state FROM journal"))
        assert set(states) <= {"applied", "skipped"}, states
        assert {row["state"] for row in world.rows("SELECT state FROM outbox")} == {"confirmed"}
        assert world.parked() == []
        owed = Counter(row["ref"].rsplit(":", 1)[1] for row in world.rows("SELECT ref FROM outbox"))
        for record in (*self.leads, *self.contacts):
            made = world.decision(record)
            assert made.outcome == "assign", (record, made.outcome, made.reason)
            assert world.owner(record) == made.owner, record
            assert world.times_written(record) == owed[record] == 1, record
        for record, city in self.cities.items():
            [row] = world.rows("SELECT body FROM mirror WHERE ref LIKE ?", f"%:{record}")
            assert city in row["body"], record
        self.assert_contiguous()
        paused = {happening.detail.split(" waits ")[0] for happening in world.happenings if happening.what == "paused"}
        assert paused == {"salesforce", "hubspot"}, "each was unwell for a while"
        assert world.salesforce.sessions.logins >= 3

    def assert_contiguous(self) -> None:
        """No event of Salesforce's bus about records that we follow was passed over."""
        bodies = [row["body"] for row in self.world.rows("SELECT body FROM journal WHERE ref LIKE ?", "salesforce:%")]
        heard = {event_number(bytes.fromhex(cursor)) for cursor in map(_cursor, bodies) if cursor}
        told, _ = self.world.salesforce.bus.take(self.since, ALL_CHANGES, 1_000_000)
        assert len(told) > 2 * len(self.leads), "each lead was made, given away, and some were changed"
        assert {number for number, event in told if event.entity in FOLLOWED} == heard


def _cursor(body: str) -> str:
    """The replay id of an event; "" where it was not heard but read."""
    cursor = str(msgspec.json.decode(body).get("cursor", ""))
    return cursor if len(cursor) == 20 and set(cursor) <= set("0123456789abcdef") else ""


LIMIT = 100_000


def happenings() -> dict[int, list[Callable[[Stage], Any]]]:
    """What goes wrong at the beginning of which hour of the day."""
    return {
        1: [lambda w: w.salesforce.expire_sessions()],
        2: [lambda w: w.salesforce.use_up(LIMIT, LIMIT)],
        3: [lambda w: w.salesforce.use_up(0, LIMIT)],
        4: [lambda w: w.salesforce.go_down(), lambda w: w.salesforce.expire_sessions()],
        5: [lambda w: w.salesforce.come_back(), lambda w: w.hubspot.impose({"used_today": 650_000})],
        6: [lambda w: w.hubspot.impose({"used_today": 0})],
        7: [lambda w: w.hubspot.go_down()],
        8: [lambda w: w.hubspot.come_back()],
    }


def live_through(folder: Path, hours: int) -> None:
    plan = happenings()
    with storm(f"{hours} hours by a clock that jumps") as line, stage(folder, accounts=60) as world, waits_by(world):
        day = Day(world)
        for hour in range(hours):
            for happens in plan.get(hour % (len(plan) + 1), []):
                happens(world)
            day.work(hour)
        world.hubspot.impose({"used_today": 0})
        day.quiet()
        day.assert_nothing_lost()
        line.accepted = line.settled = len(world.rows("SELECT seq FROM journal"))
        line.times = f"{hours} h"


def test_nine_hours_of_a_bad_day(tmp_path: Path) -> None:
    live_through(tmp_path, 9)


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_whole_day(tmp_path: Path) -> None:
    live_through(tmp_path, 24)
