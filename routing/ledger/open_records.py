"""Open records and whose they are, kept as the mirror changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
from sqlalchemy import Connection, bindparam, delete, select

from routing.core.directory import Directory
from routing.core.distribution.workload import Open, Workload, counting, open_of, rule_of
from routing.core.model import Record
from routing.ledger.schema import mirror, open_record, position, ref_of
from routing.ledger.sql import chunks, one_of, upsert
from rules.policy import Policy
from rules.pools.work import COUNTED

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Open).decode
_record = msgspec.json.Decoder(Record).decode

_CLEAR = delete(open_record).where(one_of(open_record.c.ref, "refs"))
_OF = select(open_record.c.body).where(one_of(open_record.c.owner, "owners"))
_RULE = select(position.c.cursor).where(position.c.system == "fingerpost", position.c.stream == "open_when")
_ROWS = 1000
_NEXT = (
    select(mirror.c.ref, mirror.c.body)
    .where(mirror.c.ref > bindparam("behind"), mirror.c.entity.in_(COUNTED))
    .order_by(mirror.c.ref)
    .limit(_ROWS)
)


def counted_by(conn: Connection, policy: Policy) -> bool:
    """Whether open work is counted by this policy's ``open_when``."""
    return (conn.scalar(_RULE) or b"") == rule_of(policy)


def count_again(conn: Connection, policy: Policy, behind: str = "") -> str:
    """Judges some of the mirror's records anew, in the order of their refs, from behind that one. Returns the last one's ref; "" once
    all are done, and then it is written down. ``shares.hold_all`` goes before."""
    rows = conn.execute(_NEXT, {"behind": behind}).all()
    save(conn, [_record(row.body) for row in rows], policy)
    if len(rows) == _ROWS:
        return str(rows[-1].ref)
    place = {"system": "fingerpost", "stream": "open_when", "cursor": rule_of(policy), "updated_ms": 0}
    upsert(conn, position, [place])
    return ""


def save(conn: Connection, records: Iterable[Record], policy: Policy | None = None) -> None:
    """Takes in what these records are now. Without a policy their status says whether they are open."""
    rows, gone = [], []
    for record in records:
        if record.entity not in COUNTED:
            continue
        ref, now = ref_of(record.system, record.entity, record.record_id), open_of(record, policy)
        if now is None:
            gone.append(ref)
        else:
            rows.append({"ref": ref, "owner": now.owner, "body": _encode(now).decode()})
    upsert(conn, open_record, rows)
    for some in chunks(sorted(gone)):
        conn.execute(_CLEAR, {"refs": some})


def workload(conn: Connection, policy: Policy, directory: Directory, names: Collection[str]) -> Workload:
    """The open work of the members of these pools; of nobody where the policy asks for none."""
    found = Workload(policy, directory)
    if not counting(policy):
        return found
    systems = {system for entity in policy.entities.values() for system in entity.remote}
    people = {member.who for name in names for member in policy.pools[name].members if not member.is_pool}
    ids = {directory.crm_id(system, person) for system in systems for person in people}
    for some in chunks(sorted(people | {one for one in ids if one})):
        for (body,) in conn.execute(_OF, {"owners": some}):
            found.add(_decode(body))
    return found
