"""People whose e-mail address is another one now: what is kept under the old one goes on under the new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Table, case, delete, select, update

from routing.core.distribution.workload import Open
from routing.core.model import Record
from routing.core.sla.model import OPEN, ClockState
from routing.ledger import clocks, people, pools, shares
from routing.ledger.schema import absence, assignment, clock, holding, mirror, open_record, pool_bond, presence
from routing.ledger.sql import chunks, upsert

_clock = msgspec.json.Decoder(ClockState).decode
_record = msgspec.json.Decoder(Record).decode
_open = msgspec.json.Decoder(Open).decode


def follow(conn: Connection, now: Mapping[str, str], at: datetime) -> None:
    """Lets those people go on: their turns, absences, accounts, SLA clocks and reports. ``now`` is the new key by the old one. Waits
    until no batch is being settled. Decisions stay as they were made.
    """
    if not now:
        return
    shares.hold_all(conn)
    pools.rename(conn, now, at)
    people.changed(conn)
    for some in chunks(sorted(now)):
        _open_clocks(conn, some, now)
        _open_work(conn, some, now)
        _records_at_work(conn, some, now)
        # What is known of the new one already was reported later.
        taken = select(presence.c.person).where(presence.c.person.in_([now[old] for old in some]))
        told = {old for new in conn.scalars(taken) for old in some if now[old] == new}
        conn.execute(delete(presence).where(presence.c.person.in_(told)))
        for table in (absence, presence, pool_bond, assignment, clock):
            _rename(conn, table, some, now)


def _rename(conn: Connection, table: Table, olds: Sequence[str], now: Mapping[str, str]) -> None:
    person = table.c.person
    new = case({old: now[old] for old in olds}, value=person)
    conn.execute(update(table).where(person.in_(olds)).values(person=new))


def _open_clocks(conn: Connection, olds: Sequence[str], now: Mapping[str, str]) -> None:
    bodies = conn.scalars(select(clock.c.body).where(clock.c.state.in_(OPEN), clock.c.person.in_(olds))).all()
    states = map(_clock, bodies)
    clocks.save(conn, [msgspec.structs.replace(state, person=now[state.person]) for state in states])


def _records_at_work(conn: Connection, olds: Sequence[str], now: Mapping[str, str]) -> None:
    """Of records with an open clock, or on hold, and those that these people were given: who had them and does not get them again, and whose
    turns they took."""
    at_work = select(clock.c.ref).where(clock.c.state.in_(OPEN))
    refs = at_work.union(select(holding.c.ref), select(assignment.c.ref).where(assignment.c.person.in_(olds)))
    for old in olds:
        named = mirror.c.body.contains(f'"{old}"', autoescape=True)
        rows = conn.execute(select(mirror).where(mirror.c.ref.in_(refs), named)).all()
        upsert(conn, mirror, [{"ref": row.ref, "entity": row.entity, "body": _told(row.body, now)} for row in rows])


def _told(body: str, now: Mapping[str, str]) -> str:
    record = _record(body)
    after = msgspec.structs.replace(
        record,
        decided_owner=now.get(record.decided_owner, record.decided_owner),
        passed=tuple([now.get(one, one) for one in record.passed]),
        never_had=tuple([now.get(one, one) for one in record.never_had]),
        turns=tuple([(pool, kind, now.get(member, member)) for pool, kind, member in record.turns]),
    )
    return msgspec.json.encode(after).decode()


def _open_work(conn: Connection, olds: Sequence[str], now: Mapping[str, str]) -> None:
    rows = conn.execute(select(open_record).where(open_record.c.owner.in_(olds))).all()
    mine = [(row.ref, msgspec.structs.replace(_open(row.body), owner=now[row.owner])) for row in rows]
    upsert(
        conn,
        open_record,
        [{"ref": ref, "owner": one.owner, "body": msgspec.json.encode(one).decode()} for ref, one in mine],
    )
