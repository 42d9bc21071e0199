"""The pool ledger: rotations, and every entry that made them what they are.

``pool_entry`` is the truth; ``pool`` and ``pool_member`` are what it adds up to, and a snapshot now and then spares going back to the
beginning. All of it is written in the transaction of the decisions, by whoever holds the locks of the pools.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Row, case, false, func, or_, select, true

from routing.core.distribution.caps import LONGEST, Given
from routing.core.distribution.entries import COUNTED, PoolEntry, Snapshot, Standing
from routing.core.distribution.rotation import Rotation
from routing.ledger import locks
from routing.ledger.schema import from_ms, pool, pool_bond, pool_entry, pool_member, pool_snapshot, to_ms
from routing.ledger.sql import add_new, add_rows, chunks, one_of, upsert
from rules.policy import Policy
from rules.pools.checks import pools_asked

_SNAPSHOT_EVERY = 500

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Snapshot).decode

_POOLS = select(pool).where(one_of(pool.c.pool, "names")).order_by(pool.c.pool, pool.c.kind)
_MEMBERS = (
    select(pool_member)
    .where(one_of(pool_member.c.pool, "names"))
    .order_by(pool_member.c.pool, pool_member.c.kind, pool_member.c.number)
)
_RETURNED = select(pool_entry).where(one_of(pool_entry.c.turn, "turns")).order_by(pool_entry.c.seq)
_BONDS = select(pool_bond).where(one_of(pool_bond.c.key, "keys"))

# A lead is given before it is given back, also where the clock was moved back in between.
_HAPPENED = case((pool_entry.c.given_ms > pool_entry.c.at_ms, pool_entry.c.given_ms), else_=pool_entry.c.at_ms)

Key = tuple[str, str]  # pool, kind


def closure(policy: Policy, names: Iterable[str]) -> set[str]:
    """These pools, those that they ask (``pools_asked``), and those that share somebody with a cap of their own over all pools: what must be locked
    together for a decision."""
    shared: dict[str, list[str]] = {}
    for name, one in policy.pools.items():
        for member in one.members:
            person = None if member.is_pool else policy.people.get(member.who)
            if person is not None and person.caps:
                shared.setdefault(member.who, []).append(name)
    found: set[str] = set()
    left = [name for name in names if name in policy.pools]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        left += pools_asked(policy.pools, [name])
        for member in policy.pools[name].members:
            left += [] if member.is_pool else shared.get(member.who, ())
    return found


class Opened(Struct):
    """Pools under their locks: to be changed, saved and, once that is committed, put back on the shelf."""

    rotations: dict[Key, Rotation]
    given: dict[str, Given]
    began: dict[Key, int]


class Shelf:
    """Rotations as they were last committed, kept in memory: a pool of hundreds is not read anew for every batch.

    One a thread. What was taken and not put back, because the transaction failed, is read from the ledger the next time.
    """

    def __init__(self) -> None:
        self._rotations: dict[str, dict[str, Rotation]] = {}
        self._given: dict[str, Given] = {}

    def take(self, conn: Connection, policy: Policy, names: Collection[str], now: datetime) -> Opened:
        """The rotations of these pools, locked until the transaction ends. A pool that nobody was given yet has none."""
        locks.take(conn, [f"pool:{name}" for name in names])
        opened = self.look(conn, policy, names, now)
        for one in opened.rotations.values():
            if one.seq == 0:  # carried over from before there were entries
                _snapshot(conn, [one])
        return opened

    def look(self, conn: Connection, policy: Policy, names: Collection[str], now: datetime) -> Opened:
        """As ``take``, without a lock: to be looked at, and not to be saved."""
        ordered = sorted(names)
        opened = Opened({}, {}, {})
        if not ordered:
            return opened
        heads: dict[str, dict[str, Row[Any]]] = {name: {} for name in ordered}
        for row in conn.execute(_POOLS, {"names": ordered}):
            heads[row.pool][row.kind] = row
        stale = []
        for name in ordered:
            known, given = self._rotations.pop(name, {}), self._given.pop(name, None)
            if {kind: one.seq for kind, one in known.items()} == {kind: row.seq for kind, row in heads[name].items()}:
                opened.rotations.update({(name, kind): one for kind, one in known.items()})
                if given is not None:
                    opened.given[name] = given
            else:
                stale.append(name)
        for one in _read(conn, stale, heads):
            opened.rotations[one.pool, one.kind] = one
        for name in ordered:
            if name in policy.pools and name not in opened.given and _counts(policy, name):
                opened.given[name] = _given(conn, name, now)
        opened.began = {key: one.seq for key, one in opened.rotations.items()}
        return opened

    def put(self, opened: Opened) -> None:
        """What was taken is committed as it is now."""
        for (name, kind), one in opened.rotations.items():
            self._rotations.setdefault(name, {})[kind] = one
        self._given.update(opened.given)


def _read(conn: Connection, names: Sequence[str], heads: Mapping[str, Mapping[str, Row[Any]]]) -> Iterator[Rotation]:
    members: dict[Key, list[Standing]] = {}
    for row in conn.execute(_MEMBERS, {"names": list(names)}) if names else ():
        members.setdefault((row.pool, row.kind), []).append(
            Standing(
                row.person,
                row.weight,
                row.state,
                row.mark,
                row.assigned,
                row.credits,
                row.load,
                row.value,
                row.why,
                row.granted,
            )
        )
    for name in names:
        for kind, row in heads[name].items():
            numbers = row.virtual, row.total, row.surplus, row.value
            yield Rotation.of(Snapshot(name, kind, row.seq, *numbers, row.closed, tuple(members.get((name, kind), ()))))


def _counts(policy: Policy, name: str) -> bool:
    """Whether some cap counts the leads of that pool over time."""
    one = policy.pools[name]
    caps = [*one.caps, *one.member_caps]
    for member in one.members:
        person = policy.people.get(member.who)
        caps += [*member.caps, *(person.caps if person is not None else ())]
    return any(cap.per != "open" for cap in caps)


def capped(policy: Policy) -> list[str]:
    """The pools whose leads some cap counts over time."""
    return [name for name in policy.pools if _counts(policy, name)]


def _given(conn: Connection, name: str, now: datetime) -> Given:
    given = Given()
    for entry in _counted(conn, name, now, true()):
        given.add(entry)
    return given


def counted_until(
    conn: Connection, name: str, after: Mapping[str, int], seen: Mapping[str, int], at: datetime
) -> Iterator[PoolEntry]:
    """What caps counted at a time gone by, of that pool: by kind behind the entry ``after``, up to the one that was ``seen`` then; of
    other kinds what happened before."""
    before = pool_entry.c.kind.not_in(seen) & (pool_entry.c.at_ms < to_ms(at))
    among = [(pool_entry.c.kind == kind) & (pool_entry.c.seq <= seq) for kind, seq in seen.items()]
    known = [(pool_entry.c.kind == kind) & (pool_entry.c.seq <= seq) for kind, seq in after.items()]
    return _counted(conn, name, at, or_(before, *among) & ~or_(false(), *known))


def _counted(conn: Connection, name: str, now: datetime, where: ColumnElement[bool]) -> Iterator[PoolEntry]:
    rows = conn.execute(
        select(pool_entry)
        .where(
            pool_entry.c.pool == name,
            pool_entry.c.at_ms >= to_ms(now - LONGEST),
            pool_entry.c.what.in_((*COUNTED, "renamed")),
            where,
        )
        .order_by(_HAPPENED, pool_entry.c.kind, pool_entry.c.seq)
    )
    return map(_entry, rows)


def save(conn: Connection, opened: Opened, entries: Sequence[PoolEntry]) -> None:
    """Stores what happened to pools that were taken, and what it adds up to."""
    if not entries:
        return
    add_rows(conn, pool_entry, [_row(one) for one in entries])
    changed = {(one.pool, one.kind): opened.rotations[one.pool, one.kind] for one in entries}
    upsert(
        conn,
        pool,
        [
            {
                "pool": one.pool,
                "kind": one.kind,
                "seq": one.seq,
                "virtual": one.virtual,
                "total": one.total,
                "surplus": one.surplus,
                "value": one.value,
                "closed": one.closed,
            }
            for one in changed.values()
        ],
    )
    upsert(conn, pool_member, [row for one in changed.values() for row in _members(one)])
    _snapshot(
        conn,
        [
            one
            for key, one in changed.items()
            if one.seq // _SNAPSHOT_EVERY > opened.began.get(key, 0) // _SNAPSHOT_EVERY
        ],
    )


def rename(conn: Connection, now: Mapping[str, str], at: datetime) -> None:
    """Members with another key go on as they stand. ``now`` is the new key by the old one."""
    found: set[str] = set()
    for some in chunks(sorted(now)):
        found.update(conn.scalars(select(pool_member.c.pool).where(pool_member.c.person.in_(some)).distinct()))
    locks.take(conn, [f"pool:{name}" for name in found])
    opened = Opened({(one.pool, one.kind): one for one in rotations(conn, found)}, {}, {})
    opened.began = {key: one.seq for key, one in opened.rotations.items()}
    entries = []
    for one in opened.rotations.values():
        for old in [person for person in one.people if person in now]:
            entry = PoolEntry(
                pool=one.pool, kind=one.kind, seq=one.seq + 1, person=old, what="renamed", why=now[old], at=at
            )
            one.apply(entry)
            entries.append(entry)
    for some in chunks(sorted(now)):
        conn.execute(pool_member.delete().where(pool_member.c.person.in_(some)))
    save(conn, opened, entries)


def _members(one: Rotation) -> Iterator[dict[str, Any]]:
    for n in one.changed():
        standing = msgspec.structs.asdict(one.standing(n))
        yield {"pool": one.pool, "kind": one.kind, "number": n, **standing}


def _row(one: PoolEntry) -> dict[str, Any]:
    row = msgspec.structs.asdict(one)
    given, turn = row.pop("given"), row.pop("turn") or None
    given_ms = None if given is None else to_ms(given)
    return row | {"at_ms": to_ms(row.pop("at")), "given_ms": given_ms, "turn": turn}


def _entry(row: Row[Any]) -> PoolEntry:
    fields = dict(row._mapping)
    at, given_ms, turn = from_ms(fields.pop("at_ms")), fields.pop("given_ms"), fields.pop("turn") or ""
    return PoolEntry(**fields, at=at, given=None if given_ms is None else from_ms(given_ms), turn=turn)


def _snapshot(conn: Connection, rotations: Iterable[Rotation]) -> None:
    rows = [
        {"pool": one.pool, "kind": one.kind, "seq": one.seq, "body": zlib.compress(_encode(one.snapshot()))}
        for one in rotations
    ]
    if rows:
        add_new(conn, pool_snapshot, rows, "pool", "kind", "seq")


def bonds(conn: Connection, keys: Collection[str]) -> dict[Key, str]:
    """Whose these accounts and contacts are, by pool and key."""
    if not keys:
        return {}
    return {(row.pool, row.key): row.person for row in conn.execute(_BONDS, {"keys": sorted(keys)})}


def save_bonds(conn: Connection, bound: Mapping[Key, str]) -> None:
    """Stores whose accounts and contacts are from now on."""
    upsert(conn, pool_bond, [{"pool": name, "key": key, "person": who} for (name, key), who in bound.items()])


def follow_bonds(conn: Connection, gone: str, into: str) -> None:
    """Whose the account behind the key ``gone`` is, the one behind ``into`` is, unless that is somebody's already."""
    rows = conn.execute(select(pool_bond).where(pool_bond.c.key == gone).order_by(pool_bond.c.pool)).all()
    add_new(conn, pool_bond, [{"pool": row.pool, "key": into, "person": row.person} for row in rows], "pool", "key")


def rotations(conn: Connection, names: Collection[str] | None = None) -> list[Rotation]:
    """Rotations as they stand, without a lock: for reports. None: of every pool that ever was."""
    found = conn.execute(select(pool).order_by(pool.c.pool, pool.c.kind)).all()
    heads: dict[str, dict[str, Row[Any]]] = {}
    for row in found:
        if names is None or row.pool in names:
            heads.setdefault(row.pool, {})[row.kind] = row
    return list(_read(conn, sorted(heads), heads))


def returned(conn: Connection, turns: Collection[str]) -> dict[tuple[str, str, str], PoolEntry]:
    """By pool, kind and turn: the newest entry by which one of these turns was given back, or taken again. Whoever asks in order to
    change that has the locks of the pools."""
    rows = conn.execute(_RETURNED, {"turns": sorted(turns)}) if turns else ()
    return {(row.pool, row.kind, row.turn): _entry(row) for row in rows}


def called(conn: Connection, one: PoolEntry) -> str:
    """The key by now of the member whom that entry is about."""
    where = (pool_entry.c.pool == one.pool) & (pool_entry.c.kind == one.kind) & (pool_entry.c.seq > one.seq)
    renamed = select(pool_entry.c.person, pool_entry.c.why).where(where, pool_entry.c.what == "renamed")
    person = one.person
    for old, new in conn.execute(renamed.order_by(pool_entry.c.seq)):
        person = new if person == old else person
    return person


def refused_since(conn: Connection, one: PoolEntry, decision_ids: Collection[str]) -> PoolEntry | None:
    """The entry after ``one`` by which a member of its rotation gave the lead of those decisions back; whoever it was."""
    where = (pool_entry.c.pool == one.pool) & (pool_entry.c.kind == one.kind) & (pool_entry.c.seq > one.seq)
    where &= (pool_entry.c.what == "refused") & pool_entry.c.decision_id.in_(sorted(decision_ids))
    row = conn.execute(select(pool_entry).where(where).order_by(pool_entry.c.seq).limit(1)).first()
    return None if row is None else _entry(row)


def entries(
    conn: Connection, name: str, limit: int, *, kind: str | None = None, by_hand: bool = False
) -> list[PoolEntry]:
    """The newest entries of a pool (None: of all its kinds), the newest first. ``by_hand``: only those with an author."""
    query = select(pool_entry).where(pool_entry.c.pool == name)
    if kind is None:
        query = query.order_by(pool_entry.c.at_ms.desc(), pool_entry.c.seq.desc())
    else:  # in the order in which they happened, also where the clock was moved back
        query = query.where(pool_entry.c.kind == kind).order_by(pool_entry.c.seq.desc())
    if by_hand:
        query = query.where(pool_entry.c.author != "")
    return [_entry(row) for row in conn.execute(query.limit(limit))]


class History:
    """Rotations as they stood after an entry. Asked for one after the other, each goes on from where the last one was."""

    def __init__(self) -> None:
        self._at: dict[Key, Rotation] = {}

    def at(self, conn: Connection, name: str, kind: str, seq: int) -> Rotation | None:
        """A copy of the rotation after the entry ``seq``; None when the ledger does not have what it takes."""
        known = self._at.get((name, kind))
        if known is None or known.seq > seq or seq - known.seq > 2 * _SNAPSHOT_EVERY:
            known = self._snapshot(conn, name, kind, seq)
        where = (pool_entry.c.pool == name) & (pool_entry.c.kind == kind)
        between = where & (pool_entry.c.seq > known.seq) & (pool_entry.c.seq <= seq)
        for row in conn.execute(select(pool_entry).where(between).order_by(pool_entry.c.seq)):
            known.apply(_entry(row))
        self._at[name, kind] = known
        return Rotation.of(known.snapshot()) if known.seq == seq else None

    @staticmethod
    def _snapshot(conn: Connection, name: str, kind: str, seq: int) -> Rotation:
        where = (pool_snapshot.c.pool == name) & (pool_snapshot.c.kind == kind) & (pool_snapshot.c.seq <= seq)
        body = conn.scalar(select(pool_snapshot.c.body).where(where).order_by(pool_snapshot.c.seq.desc()).limit(1))
        return Rotation(name, kind) if body is None else Rotation.of(_decode(zlib.decompress(body)))


def given_counts(conn: Connection) -> dict[str, int]:
    """Leads given by each pool since the beginning."""
    query = select(pool_member.c.pool, func.sum(pool_member.c.assigned)).group_by(pool_member.c.pool)
    return {name: int(leads or 0) for name, leads in conn.execute(query)}
