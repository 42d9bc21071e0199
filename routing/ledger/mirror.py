"""The mirror: what each CRM record held when we last heard of it, findable by key (e-mail, account)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache

import msgspec
from sqlalchemy import Connection, delete, func, select

from routing.core.keys import went_into
from routing.core.model import Record
from routing.ledger import locks, open_records
from routing.ledger.schema import mirror, mirror_key, position, ref_of, split_ref
from routing.ledger.sql import add_rows, chunks, one_of, upsert
from rules.policy import Policy

Key = tuple[str, str]  # ("email", "ana@acme.example"), see routing.core.keys

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode

# Statements with many values are built once: SQLAlchemy looks at every value of a list that is written into one.
_LOAD = select(mirror.c.ref, mirror.c.body).where(one_of(mirror.c.ref, "refs"))
_FIND = (
    select(mirror_key.c.key, mirror.c.ref, mirror.c.body)
    .join(mirror, mirror.c.ref == mirror_key.c.ref)
    .where(one_of(mirror_key.c.key, "keys"))
)
_DROP_KEYS = delete(mirror_key).where(one_of(mirror_key.c.ref, "refs"))
_PEOPLE = {"system": "fingerpost", "stream": "people"}
_VERSION = select(position.c.cursor).where(position.c.system == "fingerpost", position.c.stream == "people")


@lru_cache(4096)
def _known(body: str) -> Record:
    """Big accounts are found again and again, and nobody changes a record in place."""
    return _decode(body)


def ref(record: Record) -> str:
    """The record's name within the ledger."""
    return ref_of(record.system, record.entity, record.record_id)


def _text(key: Key) -> str:
    return f"{key[0]}:{key[1]}"


def load(conn: Connection, refs: Collection[str]) -> dict[str, Record]:
    """The records of ``refs`` that the mirror has."""
    found: dict[str, Record] = {}
    for some in chunks(list(refs)):
        for name, body in conn.execute(_LOAD, {"refs": some}).all():
            found[name] = _decode(body)
    return found


def find(conn: Connection, keys: Collection[Key]) -> dict[Key, dict[str, Record]]:
    """For each key the records that carry it, by ref."""
    names = {_text(key): key for key in keys}
    found: dict[Key, dict[str, Record]] = {}
    for some in chunks(list(names)):
        for name, record_ref, body in conn.execute(_FIND, {"keys": some}).all():
            found.setdefault(names[name], {})[record_ref] = _known(body)
    return found


def merged_into(conn: Connection, ref: str) -> dict[str, Record]:
    """The records that went into that one, directly or by way of others, by ref."""
    found: dict[str, Record] = {}
    behind = {ref}
    while behind:
        these = find(conn, {went_into(*split_ref(one)) for one in behind})
        new = {name: one for some in these.values() for name, one in some.items() if name not in found and name != ref}
        found |= new
        behind = set(new)
    return found


def named(conn: Connection, name: str, entities: Collection[str]) -> dict[str, Record]:
    """The records of these kinds that have this CRM id, in any system, or this ref. Looks through the whole mirror."""
    where = mirror.c.ref == name if name.count(":") >= 2 else mirror.c.ref.endswith(f":{name}", autoescape=True)
    found = {ref: _decode(body) for ref, body in conn.execute(select(mirror.c.ref, mirror.c.body).where(where))}
    return {ref: record for ref, record in found.items() if record.entity in entities}


def living(conn: Connection, system: str, entity: str) -> list[str]:
    """The ids of the records of that kind that are not deleted. Reads all of them."""
    front = ref_of(system, entity, "")
    rows = conn.execute(select(mirror.c.ref, mirror.c.body).where(mirror.c.entity == entity))
    return [ref.removeprefix(front) for ref, body in rows if ref.startswith(front) and not _decode(body).deleted]


def people(conn: Connection) -> list[Record]:
    """All users and owners of all systems."""
    rows = conn.execute(select(mirror.c.body).where(mirror.c.entity == "person").order_by(mirror.c.ref))
    return [_decode(body) for (body,) in rows]


def people_version(conn: Connection) -> bytes:
    """Something that is another one after each transaction that stored people, by whatever process."""
    return conn.scalar(_VERSION) or b""


def hold_people(conn: Connection) -> None:
    """Nobody else stores people until the transaction ends. Goes after all other locks."""
    locks.take(conn, ["people"])


def save(
    conn: Connection, records: Iterable[tuple[Record, Collection[Key] | None]], policy: Policy | None = None
) -> None:
    """Stores records with the keys by which they are found; None for keys that did not change. Open work is counted along, by the
    policy."""
    records = list(records)
    bodies: list[dict[str, str]] = []
    keyed: list[str] = []
    keys: list[dict[str, str]] = []
    of_people: list[str] = []
    for record, its_keys in records:
        name = ref(record)
        if record.entity == "person":
            of_people.append(name)
        bodies.append({"ref": name, "entity": record.entity, "body": _encode(record).decode()})
        if its_keys is not None:
            keyed.append(name)
            keys.extend({"key": _text(key), "ref": name} for key in its_keys)
    upsert(conn, mirror, bodies)
    open_records.save(conn, [record for record, _ in records], policy)
    for some in chunks(keyed):
        conn.execute(_DROP_KEYS, {"refs": some})
    add_rows(conn, mirror_key, keys)
    if of_people:
        hold_people(conn)
        version = int(people_version(conn) or 0) + 1
        upsert(conn, position, [{**_PEOPLE, "cursor": str(version).encode(), "updated_ms": 0}])


def counts(conn: Connection) -> dict[str, int]:
    """Records by entity."""
    rows = conn.execute(select(mirror.c.entity, func.count()).group_by(mirror.c.entity))
    return {entity: int(n) for entity, n in rows}
