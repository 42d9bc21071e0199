"""What decisions were made from, kept in their rows, so that each can be made again; and the people they knew."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from routing.core.evidence import Evidence
from routing.core.roster import Roster
from routing.ledger import locks, mirror
from routing.ledger.schema import decision, evidence_person, journal, position, ref_of, roster, to_ms
from routing.ledger.sql import add_new, add_rows, chunks, upsert

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Evidence).decode
_decode_roster = msgspec.json.Decoder(Roster).decode

# What stands for evidence that was erased: that there was some must stay known, or its loss would look like a defect.
ERASED = b""
PAGE = 500
# How exactly it is known when a roster was last used: no row is written for each batch.
_SEEN_EVERY = timedelta(days=1)
# How far ``forget`` has come: the number of the last decision's event.
_FORGETTING = {"system": "fingerpost", "stream": "evidence"}
_FORGOTTEN = select(position.c.cursor).where(position.c.system == "fingerpost", position.c.stream == "evidence")


class Recorded(Struct, frozen=True):
    """One decision as it is stored, with what is needed to make it again.

    ``evidence`` is None where none was kept (a decision of an older version) and ``ERASED`` where it was erased. ``columns`` are those of
    its row by which decisions are found and counted.
    """

    seq: int
    decision_id: str
    ref: str
    body: str
    event: str
    policy: str
    roster: str
    evidence: bytes | None
    columns: Mapping[str, Any]


def save(conn: Connection, kept: Mapping[str, Evidence], people: Roster, digest: str, now: datetime) -> bool:
    """Stores what does not stand in the decisions' own rows: the people all of them knew (whose ``digest`` is handed in, since it is
    dear), and whose records were compared. ``kept`` is the evidence by decision id.

    Returns whether these people are new here. Then nobody changes people until the transaction ends; if somebody did after they
    were read, it must not be committed: one of them may have been erased.
    """
    if not kept:
        return False
    new = not _seen(conn, digest, now)
    if new:
        mirror.hold_people(conn)
        row = {"digest": digest, "body": zlib.compress(_encode(people)), "seen_ms": to_ms(now)}
        add_new(conn, roster, [row], "digest")
    shown = {
        (ref_of(p.system, p.entity, p.record_id), decision_id) for decision_id, one in kept.items() for p in one.people
    }
    add_rows(conn, evidence_person, [{"ref": ref, "decision_id": decision_id} for ref, decision_id in sorted(shown)])
    return new


def _seen(conn: Connection, digest: str, now: datetime) -> bool:
    """Whether the ledger has these people, who are remembered as used now."""
    seen_ms = conn.scalar(select(roster.c.seen_ms).where(roster.c.digest == digest))
    if seen_ms is None:
        return False
    if to_ms(now - _SEEN_EVERY) < seen_ms:
        return True
    return conn.execute(update(roster).where(roster.c.digest == digest).values(seen_ms=to_ms(now))).rowcount == 1


def columns(one: Evidence | None, digest: str) -> dict[str, Any]:
    """The evidence as it stands in a decision's row; ``digest`` is of the people it knew."""
    if one is None:
        return {"evidence": None, "roster": None, "counterpart": None}
    other = one.counterpart
    return {
        "evidence": _encode(one),
        "roster": digest,
        "counterpart": None if other is None else ref_of(other.system, other.entity, other.record_id),
    }


def load(body: bytes) -> Evidence:
    """The evidence of a ``Recorded``. Raises msgspec.DecodeError when somebody spoilt it."""
    return _decode(body)


def load_roster(conn: Connection, digest: str) -> Roster | None:
    """The people of that digest, None when the ledger does not have them."""
    body = conn.scalar(select(roster.c.body).where(roster.c.digest == digest))
    return None if body is None else _decode_roster(zlib.decompress(body))


def erase(conn: Connection, ref: str, same_person: Collection[str] = ()) -> set[str]:
    """Forgets what decisions were made from, where it holds the values of that record (a legal erasure), be it their own record,
    the same person's in another system, or one that was compared with theirs. Returns the refs of those whose decisions
    borrowed from it.

    ``same_person`` are records whose decisions forget whatever they borrowed: they can no longer be made again either.
    """
    compared = select(evidence_person.c.decision_id).where(evidence_person.c.ref == ref)
    borrowed = set(conn.scalars(select(decision.c.ref).where(decision.c.counterpart == ref)))
    # One by one: each reads an index.
    for where in (decision.c.ref == ref, decision.c.counterpart == ref, decision.c.decision_id.in_(compared)):
        _erase(conn, where)
    for some in chunks(sorted((borrowed | set(same_person)) - {ref})):
        _erase(conn, decision.c.ref.in_(some) & decision.c.counterpart.is_not(None))
    return (borrowed | set(same_person)) - {ref}


def _erase(conn: Connection, where: ColumnElement[bool]) -> None:
    there = where & decision.c.evidence.is_not(None)
    conn.execute(update(decision).where(there).values(evidence=ERASED, counterpart=None))


def erase_person(conn: Connection, system: str, record_id: str) -> int:
    """Takes a user of a CRM out of every roster (a legal erasure). Returns out of how many."""
    mirror.hold_people(conn)  # who writes a roster down just now is done then, or will look again
    changed = 0
    for digest, body in conn.execute(select(roster.c.digest, roster.c.body)).all():
        known = _decode_roster(zlib.decompress(body))
        left = tuple(one for one in known.people if (one.system, one.record_id) != (system, record_id))
        if len(left) < len(known.people):
            fresh = zlib.compress(_encode(Roster(left, erased=True)))
            conn.execute(update(roster).where(roster.c.digest == digest).values(body=fresh))
            changed += 1
    return changed


def forget(conn: Connection, before: datetime, limit: int = PAGE) -> int:
    """Drops the evidence of up to ``limit`` decisions made before that moment, oldest first; of none that it came past before. With the
    last of them go the rosters that nobody needs any more. Returns how many decisions it came past.
    """
    locks.take(conn, ["evidence"])  # one process at a time
    after = int(conn.scalar(_FORGOTTEN) or 0)
    rows = conn.execute(
        select(decision.c.seq, decision.c.decision_id, decision.c.decided_ms)
        .where(decision.c.seq > after)
        .order_by(decision.c.seq)
        .limit(limit)
    ).all()
    old = list(takewhile(lambda row: row.decided_ms < to_ms(before), rows))
    if not old:
        conn.execute(delete(roster).where(roster.c.seen_ms < to_ms(before - _SEEN_EVERY)))
        return 0
    for some in chunks([row.decision_id for row in old]):
        gone = columns(None, "")
        conn.execute(update(decision).where(decision.c.decision_id.in_(some)).values(gone))
        conn.execute(delete(evidence_person).where(evidence_person.c.decision_id.in_(some)))
    upsert(conn, position, [{**_FORGETTING, "cursor": str(old[-1].seq).encode(), "updated_ms": 0}])
    return len(old)


def recorded(
    conn: Connection,
    after: int,
    *,
    until: int | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    record_id: str = "",
    limit: int = PAGE,
) -> list[Recorded]:
    """The next decisions in the order in which their events were accepted, after the event of number ``after``.

    ``until`` is the last event's number; ``since_ms`` and ``until_ms`` bound when they were decided, both included.
    """
    query = (
        select(
            decision.c.seq,
            decision.c.decision_id,
            decision.c.ref,
            decision.c.body,
            journal.c.body.label("event"),
            decision.c.policy,
            func.coalesce(decision.c.roster, "").label("roster"),
            decision.c.evidence,
            decision.c.outcome,
            decision.c.owner,
            decision.c.pool,
            decision.c.rung,
            decision.c.corrections,
            decision.c.decided_ms,
        )
        .join(journal, journal.c.seq == decision.c.seq)
        .where(decision.c.seq > after)
        .order_by(decision.c.seq)
        .limit(limit)
    )
    if until is not None:
        query = query.where(decision.c.seq <= until)
    if since_ms is not None:
        query = query.where(decision.c.decided_ms >= since_ms)
    if until_ms is not None:
        query = query.where(decision.c.decided_ms <= until_ms)
    if record_id:
        query = query.where(decision.c.ref.endswith(":" + record_id, autoescape=True))
    return [
        Recorded(
            row.seq,
            row.decision_id,
            row.ref,
            row.body,
            row.event,
            row.policy,
            row.roster,
            row.evidence,
            dict(row._mapping),
        )
        for row in conn.execute(query)
    ]


def seq_of(conn: Connection, decision_id: str) -> list[int]:
    """The numbers of the events of the (at most two) decisions whose id begins so."""
    where = decision.c.decision_id.startswith(decision_id, autoescape=True)
    return list(conn.scalars(select(decision.c.seq).where(where).limit(2)))
