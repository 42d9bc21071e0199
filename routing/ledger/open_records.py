"""Open records and whose they are, kept as the mirror changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
from sqlalchemy import Connection, delete, select

from routing.core.directory import Directory
from routing.core.distribution.workload import COUNTED, Open, Workload, counting, open_of
from routing.core.model import Record
from routing.ledger.schema import open_record, ref_of
from routing.ledger.sql import chunks, one_of, upsert
from rules.policy import Policy

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Open).decode

_CLEAR = delete(open_record).where(one_of(open_record.c.ref, "refs"))
_OF = select(open_record.c.body).where(one_of(open_record.c.owner, "owners"))


def save(conn: Connection, records: Iterable[Record]) -> None:
    """Takes in what these records are now."""
    rows, gone = [], []
    for record in records:
        if record.entity not in COUNTED:
            continue
        ref, now = ref_of(record.system, record.entity, record.record_id), open_of(record)
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
