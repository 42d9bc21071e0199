"""Decisions as they were made, with their whole trace."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, Table, select, update

from routing.core.evidence import Evidence
from routing.core.model import Decision, Step
from routing.ledger.evidence import columns
from routing.ledger.schema import assignment, decision, journal, pool_entry, ref_of, to_ms
from routing.ledger.sql import add_rows, chunks

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Decision).decode


def save(
    conn: Connection, decisions: Sequence[tuple[int, Decision]], kept: Mapping[str, Evidence] = {}, people: str = ""
) -> None:
    """Stores decisions with the number of the event each was made for, and what they were made from: ``kept`` by decision id,
    with the digest of the ``people`` known."""
    add_rows(
        conn,
        decision,
        [
            {"seq": seq, "body": _encode(made).decode()}
            | columns_of(made)
            | columns(kept.get(made.decision_id), people)
            for seq, made in decisions
        ],
    )


def columns_of(made: Decision) -> dict[str, Any]:
    """What of a decision stands in columns of its own, to be found and counted by."""
    return {
        "decision_id": made.decision_id,
        "ref": ref_of(made.system, made.entity, made.record_id),
        "outcome": made.outcome,
        "owner": made.owner,
        "pool": made.pool,
        "rung": made.rung,
        "corrections": len(made.corrections),
        "policy": made.policy,
        "decided_ms": to_ms(made.decided_at),
    }


def get(conn: Connection, decision_id: str) -> Decision | None:
    """One decision, by its id or by an unambiguous beginning of it."""
    where = decision.c.decision_id.startswith(decision_id, autoescape=True)
    rows = conn.execute(select(decision.c.body).where(where).limit(2)).all()
    return _decode(rows[0][0]) if len(rows) == 1 else None


def owner_of(conn: Connection, decision_id: str) -> str:
    """The key of the person whom that decision chose; "" for nobody, a queue, or a decision that is not there."""
    return conn.scalar(select(decision.c.owner).where(decision.c.decision_id == decision_id)) or ""


def of_record(conn: Connection, record_id: str) -> list[Decision]:
    """All decisions for a CRM record id, in any system, oldest first."""
    where = decision.c.ref.endswith(":" + record_id, autoescape=True)
    return [_decode(body) for body in conn.scalars(select(decision.c.body).where(where).order_by(decision.c.seq))]


def refs_of(conn: Connection, record_id: str) -> list[str]:
    """The records with that CRM id for which something was decided, or for those that they go on for, in any system."""
    return sorted(
        {ref for table in (decision, assignment) for ref in conn.scalars(_named(table.c.ref, table, record_id))}
    )


def ids_of(conn: Connection, record_id: str) -> set[str]:
    """The ids of the decisions for these."""
    return {
        one for table in (decision, assignment) for one in conn.scalars(_named(table.c.decision_id, table, record_id))
    }


def _named(column: ColumnElement[str], table: Table, record_id: str) -> Select[str]:
    return select(column).where(table.c.ref.endswith(":" + record_id, autoescape=True)).distinct()


def of_event(conn: Connection, event_id: str) -> Decision | None:
    """The decision that an event led to, None when it led to none."""
    seq = select(journal.c.seq).where(journal.c.event_id == event_id).scalar_subquery()
    body = conn.scalar(select(decision.c.body).where(decision.c.seq == seq))
    return None if body is None else _decode(body)


def recent(
    conn: Connection, limit: int, *, outcome: str = "", owner: str = "", pool: str = "", before_seq: int | None = None
) -> list[Decision]:
    """The newest decisions first, narrowed by what is given."""
    query: Select[str] = select(decision.c.body).order_by(decision.c.seq.desc()).limit(limit)
    for column, wanted in ((decision.c.outcome, outcome), (decision.c.owner, owner), (decision.c.pool, pool)):
        if wanted:
            query = query.where(column == wanted)
    if before_seq is not None:
        query = query.where(decision.c.seq < before_seq)
    return [_decode(body) for body in conn.scalars(query)]


def given_by(conn: Connection, pool: str, limit: int) -> list[Decision]:
    """The newest decisions by which that pool gave something, the newest first; also those of a pool that it is within."""
    return [_decode(body) for body in conn.scalars(_given_by(pool, limit, decision.c.body))]


def refs_given_by(conn: Connection, pool: str, limit: int) -> list[str]:
    """The records of the same."""
    return list(conn.scalars(_given_by(pool, limit, decision.c.ref)))


def _given_by(pool: str, limit: int, column: ColumnElement[str]) -> Select[str]:
    turns = select(column).join(pool_entry, pool_entry.c.decision_id == decision.c.decision_id)
    turns = turns.where(pool_entry.c.pool == pool, pool_entry.c.what == "assigned")
    return turns.order_by(pool_entry.c.at_ms.desc(), pool_entry.c.seq.desc()).limit(limit)


def erase(conn: Connection, ref: str) -> int:
    """Forgets the personal data in a record's decisions (a legal erasure): facts, values and candidates; the choice stays."""
    rows = conn.execute(
        select(decision.c.decision_id, decision.c.body)
        .where(decision.c.ref == ref)
        .order_by(decision.c.decision_id)
        .with_for_update()
    ).all()
    for decision_id, body in rows:
        made = _decode(body)
        bare = msgspec.structs.replace(
            made,
            facts={},
            corrections=(),
            candidates=(),
            trace=tuple(msgspec.structs.replace(step, values={}, note="") for step in made.trace),
        )
        where = decision.c.decision_id == decision_id
        conn.execute(update(decision).where(where).values(body=_encode(bare).decode(), corrections=0))
    return len(rows)


def erase_borrowed(conn: Connection, refs: Collection[str]) -> int:
    """Forgets what the decisions on those records had read of the same person's record in the other system."""
    changed = 0
    for some in chunks(list(refs)):
        for decision_id, body in conn.execute(
            select(decision.c.decision_id, decision.c.body)
            .where(decision.c.ref.in_(some))
            .order_by(decision.c.decision_id)
            .with_for_update()
        ).all():
            made = _decode(body)
            if made.facts.get("counterpart"):
                bare = msgspec.structs.replace(
                    made, facts={**made.facts, "counterpart": None}, trace=tuple(_own(step) for step in made.trace)
                )
                where = decision.c.decision_id == decision_id
                conn.execute(update(decision).where(where).values(body=_encode(bare).decode()))
                changed += 1
    return changed


def _own(step: Step) -> Step:
    own = {name: value for name, value in step.values.items() if not name.startswith("counterpart.")}
    return msgspec.structs.replace(step, values=own)
