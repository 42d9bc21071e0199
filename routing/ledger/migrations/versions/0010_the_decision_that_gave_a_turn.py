"""Every turn has the name of the decision that gave it, also that of a record of before: so of the leads of one moment each gives back its own.

Until now such a turn was named by moment and member, which the leads of one batch share. The decision is the newest that gave the record to
somebody; an entry that returned a turn was made by a decision on the same record. A credit by hand did not say which of several leads of
one moment it was for: it goes to one that is no open work any more, as bad leads are, and among equals to the first; what takes a credit back
to the last.
"""

from collections import defaultdict
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_CHUNK = 500

_RECORDS = sa.text(
    "SELECT ref, body FROM mirror WHERE ref > :after AND body LIKE '%\"turns\"%' ORDER BY ref LIMIT :most"
)
# What was merged has its assignments under the ref of the record that it went into; the oldest decisions have none.
_GAVE = sa.text("""
SELECT a.ref, d.decision_id, d.decided_ms, d.seq FROM assignment a JOIN decision d ON d.decision_id = a.decision_id
WHERE d.outcome = 'assign' AND a.ref IN :refs
UNION SELECT d.ref, d.decision_id, d.decided_ms, d.seq FROM decision d WHERE d.outcome = 'assign' AND d.ref IN :refs
ORDER BY 3, 4
""").bindparams(sa.bindparam("refs", expanding=True))
# Those that a decision made, of which it is known what they are about, before those by hand.
_BY_MOMENT = sa.text("""
SELECT pool, kind, seq, person, what, decision_id, given_ms FROM pool_entry
WHERE turn LIKE '% %' ORDER BY CASE decision_id WHEN '' THEN 2 ELSE 1 END, pool, kind, seq
""")
_RENAMED = sa.text(
    "SELECT pool, kind, seq, person, why FROM pool_entry WHERE what = 'renamed' ORDER BY pool, kind, seq"
)
_THEN = sa.text("""
SELECT e.seq, e.person, e.decision_id, coalesce(a.ref, d.ref) AS ref, o.ref IS NOT NULL AS is_open FROM pool_entry e
JOIN decision d ON d.decision_id = e.decision_id LEFT JOIN assignment a ON a.decision_id = e.decision_id
LEFT JOIN open_record o ON o.ref = coalesce(a.ref, d.ref)
WHERE e.pool = :pool AND e.kind = :kind AND e.at_ms = :at_ms AND e.what = 'assigned' ORDER BY e.seq
""")
_REF = sa.text("""
SELECT coalesce(a.ref, d.ref) FROM decision d LEFT JOIN assignment a ON a.decision_id = d.decision_id WHERE d.decision_id = :id
""")
_NAME = sa.text("UPDATE pool_entry SET turn = :turn WHERE pool = :pool AND kind = :kind AND seq = :seq")


def upgrade() -> None:
    conn = op.get_bind()
    _records(conn)
    _entries(conn)


def _records(conn: sa.Connection) -> None:
    after = ""
    while rows := conn.execute(_RECORDS, {"after": after, "most": _CHUNK}).all():
        after = rows[-1].ref
        bodies = {row.ref: msgspec.json.decode(row.body) for row in rows}
        bodies = {ref: body for ref, body in bodies.items() if body.get("turns") and not body.get("given_by")}
        changed = [
            {"ref": row.ref, "body": msgspec.json.encode(bodies[row.ref] | {"given_by": row.decision_id}).decode()}
            for row in (conn.execute(_GAVE, {"refs": list(bodies)}) if bodies else ())
            if bodies[row.ref].get("given_at", "") == "" or _ms(bodies[row.ref]["given_at"]) == row.decided_ms
        ]
        if changed:  # the newest decision of each last
            conn.execute(sa.text("UPDATE mirror SET body = :body WHERE ref = :ref"), changed)


def _entries(conn: sa.Connection) -> None:
    renamed = defaultdict[Any, list[Any]](list)
    for row in conn.execute(_RENAMED):
        renamed[row.pool, row.kind].append(row)
    now: dict[tuple[str, str, str], tuple[str, int]] = {}  # what returned a turn last, or took it again, and its number
    for row in conn.execute(_BY_MOMENT).all():
        turns = {
            (row.pool, row.kind, one.decision_id): one for one in _given_then(conn, row, renamed[row.pool, row.kind])
        }
        credited = {now[turn][1]: turn for turn in turns if turn in now and now[turn][0] == "credit"}
        if not turns:
            continue
        if row.what == "debit" and credited:
            turn = credited[max(credited)]
        else:
            standing = [turn for turn in turns if turn not in now or now[turn][0] == "debit"]
            turn = min(standing or turns, key=lambda turn: (turns[turn].is_open, turns[turn].seq))
        now[turn] = row.what, row.seq
        conn.execute(_NAME, {"turn": turn[-1], "pool": row.pool, "kind": row.kind, "seq": row.seq})


def _given_then(conn: sa.Connection, row: Any, renamed: list[Any]) -> list[Any]:
    """The turns that the entry may be about: of that member and moment and, where a decision made the entry, of its record."""
    who = _called(row.person, row.seq, renamed)
    then = conn.execute(_THEN, {"pool": row.pool, "kind": row.kind, "at_ms": row.given_ms})
    turns = [one for one in then if _called(one.person, one.seq, renamed) == who]
    ref = conn.scalar(_REF, {"id": row.decision_id}) if row.decision_id else None
    return [one for one in turns if one.ref == ref] or turns


def _called(person: str, seq: int, renamed: list[Any]) -> str:
    """The key by now of whoever was ``person`` at the entry ``seq``."""
    for row in renamed:
        if row.seq > seq and person == row.person:
            person = row.why
    return person


def _ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
