"""The pools outside of the loop: to be looked at, and claimed from. ``simulating`` tries them out, ``crediting`` corrects them by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection

from routing.core.availability.people import Availability
from routing.core.directory import Directory
from routing.core.distribution.ask import Ask
from routing.core.distribution.attendance import Attendance
from routing.core.distribution.pools import Pools
from routing.core.model import ChangeEvent, derived_id
from routing.ledger import holding, journal, mirror, open_records, people, pools
from routing.ledger.holding import Waiting
from routing.ledger.pools import Opened
from routing.ledger.schema import split_ref
from routing.runtime.pool_view import RotationView, view_of
from rules.policy import Policy

_LOOKED_AT = 100  # of those who wait in a queue, for one that a member may claim
CLAIM = "claim"  # how the tick of a record that somebody claimed is marked


class Claimed(Struct, frozen=True):
    """A record that was taken out of a queue, and the event by which it will be decided."""

    ref: str
    event_id: str


class Desk:
    """One look at the pools of the live policy, as of ``now``. With ``locked`` it can be changed: that takes a write transaction."""

    def __init__(
        self, conn: Connection, policy: Policy, names: Iterable[str], now: datetime, *, locked: bool = False
    ) -> None:
        self.conn, self.policy, self.now = conn, policy, now
        records = mirror.people(conn)
        # A CRM whose users are not known yet says nothing against anybody.
        self.systems = sorted({record.system for record in records})
        self.directory = Directory.build(policy, records)
        available = Availability(policy, people.known(conn, now))
        self.attendance = Attendance(policy, self.directory, available, self.systems)
        shelf, wanted = pools.Shelf(), pools.closure(policy, names)
        self.opened: Opened = (shelf.take if locked else shelf.look)(conn, policy, wanted, now)
        self.attendance.given = self.opened.given
        self.attendance.workload = open_records.workload(conn, policy, self.directory, wanted)
        self.pools = Pools(policy, self.directory, self.attendance, self.opened.rotations, silent=True)

    def view(self, name: str, kind: str = "", entries: int = 0) -> RotationView:
        """How a pool stands now."""
        return view_of(self, name, kind, entries)

    def kinds(self, name: str) -> list[str]:
        """The kinds of a pool that have given leads, or may."""
        known = [kind for pool, kind in self.opened.rotations if pool == name]
        return sorted({"", *known, *(kind.name for kind in self.policy.pools[name].kinds)})

    def claim(self, name: str, member: str, record_id: str = "") -> Claimed | None:
        """Takes the first record that a member may have (or that one) out of a queue: it is decided with the next batch. None when none
        waits.

        Raises ValueError with the reason when the member cannot claim now, or none of those that wait.
        """
        pool = self.policy.pools[name]
        if pool.method != "pull":
            message = f"nobody claims from the pool {name}: its leads are shared by {pool.method}"
            raise ValueError(message)
        if member not in self.pools.rotation(pool, "", self.now).number:
            message = f"{self.directory.name(member)} is not in the pool {name}"
            raise ValueError(message)
        waiting = holding.waiting(self.conn, name, _LOOKED_AT, record_id)
        if not waiting:
            return None
        whys = []
        for mine in waiting:
            whys.append(self._why_not(name, member, mine))
            if not whys[-1]:
                break
        else:
            message = (
                whys[0]
                if len(set(whys)) == 1
                else f"none of the {len(whys)} that wait first: {'; '.join(dict.fromkeys(whys))}"
            )
            raise ValueError(message)
        system, entity, found = split_ref(mine.ref)
        holding.clear(self.conn, [mine.ref])  # nobody else gets it meanwhile
        tick = ChangeEvent(
            event_id=derived_id(CLAIM, mine.ref, member, self.now.isoformat()),
            system=system,
            entity=entity,
            record_id=found,
            kind="tick",
            occurred_at=self.now,
            observed_at=self.now,
            origin=CLAIM,
            values={"claim": member},
        )
        journal.accept(self.conn, [tick], self.now)
        return Claimed(mine.ref, tick.event_id)

    def _why_not(self, name: str, member: str, waits: Waiting) -> str:
        """Why a member cannot claim that record, by what it was held with; "" when they can."""
        ask = Ask(
            system=split_ref(waits.ref)[0],
            facts=waits.facts,
            now=self.now,
            exclude=frozenset(waits.passed),
            refused=frozenset(waits.never_had),
            claim=member,
            waited=max((self.now - waits.since).total_seconds(), 0.0),
        )
        return self.pools.why_not(name, ask)
