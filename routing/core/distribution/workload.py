"""Which records are open work, and whose: what load balanced pools and caps on open leads count, and what clocks run for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING

from msgspec import Struct

from routing.core.correct import normalised
from routing.core.directory import Directory
from routing.core.distribution.values import amount
from routing.core.model import Record
from routing.core.shape import shape_of
from routing.core.times import parse_instant
from rules.language.condition import Condition
from rules.pools.work import COUNTED
from rules.values import fold

if TYPE_CHECKING:
    from rules.policy import Policy

# How the statuses begin that CRMs give to what is done with: Salesforce's "Closed - Not Converted", HubSpot's UNQUALIFIED.
_DONE = ("closed", "converted", "unqualified", "disqualified")
_ANY_TIME = datetime.min.replace(tzinfo=UTC)  # ``open_when`` cannot ask for the time


class Open(Struct, frozen=True, gc=False, omit_defaults=True):
    """An open record: ``owner`` is a person's key (whom we chose), or the CRM's id of whoever has it; ``numbers`` its number fields;
    ``kinds`` the pools that gave it last, with the kind of lead that it was to each."""

    system: str
    owner: str
    numbers: dict[str, float]
    kinds: tuple[tuple[str, str], ...] = ()


def open_of(record: Record, policy: Policy | None = None) -> Open | None:
    """What is counted of a record; None when it is gone, waiting, nobody's, or done with: converted, or as ``open_when`` of the
    policy says. Where that says nothing (of this kind of record), its status does."""
    if record.entity not in COUNTED or record.deleted or record.on_hold:
        return None
    values = record.values
    owner = record.decided_owner or str(values.get("owner") or "")
    if not owner or values.get("converted") is True or not _is_open(record, policy):
        return None
    numbers = {name: float(value) for name, value in values.items() if type(value) in (int, float)}
    return Open(record.system, owner, numbers, tuple([(pool, kind) for pool, kind, _ in record.turns if kind]))


class Done(Struct, frozen=True):
    """How a record was done with, as a sentence without its end, and when; None where that is not known."""

    why: str
    at: datetime | None


def done_with(record: Record, policy: Policy, since: datetime | None) -> Done | None:
    """How a record was done with: it was converted, or is no open work any more. None where it was not; nor where nothing that says so
    changed since it was routed or its clock began, as that was known then.

    What was told since counts (``Record.changed_since``), whenever it happened: the CRM's clock and ours are never compared. Only for a
    record of an older version, of which that was not kept, counts what happened after ``since``. Records of other kinds than are
    counted say so by a field ``closed``.
    """
    if record.values.get("converted") is True:
        return Done("it was converted", _changed(record, "converted"))
    if _is_open(record, policy):
        return None
    told = record.changed_since
    found = [
        (at, name)
        for name in _asked(record.entity, policy)
        if (at := _changed(record, name)) and (name in told if told is not None else since is not None and at > since)
    ]
    if not found:
        return None
    at, field = max(found)
    # Of fields that ``open_when`` asks for no value is told but the status: it may be anything of a person.
    what = (
        f"its status is {record.values[field]}"
        if field == "status" and record.values.get(field)
        else f"{field} changed"
    )
    return Done(f"it was closed: {what}" if record.entity in COUNTED else "it was closed", at)


def _changed(record: Record, field: str) -> datetime | None:
    at = record.changed_at.get(field)
    return parse_instant(at) if at else None


def _asked(entity: str, policy: Policy | None) -> list[str]:
    """The fields that say whether a record of that kind is open."""
    condition = _condition(entity, policy)
    if condition is not None:
        return [path.split(".")[1] for path, _ in condition.reads]
    return ["status" if entity in COUNTED else "closed"]


def _condition(entity: str, policy: Policy | None) -> Condition | None:
    if policy is None or policy.open_when is None or entity not in COUNTED:
        return None
    return policy.open_when.of.get(entity)


def _is_open(record: Record, policy: Policy | None) -> bool:
    values, condition = record.values, _condition(record.entity, policy)
    if record.entity not in COUNTED:
        return values.get("closed") is not True
    if policy is None or policy.open_when is None or condition is None:
        status = values.get("status")
        return not (isinstance(status, str) and fold(status).startswith(_DONE))
    # No more is put into its normal form than is asked for.
    seen = {name: values.get(name) for name in ("country", *_asked(record.entity, policy))}
    facts = {record.entity: seen | normalised(seen, shape_of(policy).fixers[record.entity])}
    return condition.holds(facts, policy.open_when.on_roster, _ANY_TIME)


def rule_of(policy: Policy) -> bytes:
    """What ``open_when`` asks, as a fingerprint: of a policy that asks something else it is another one; empty where it asks nothing."""
    if policy.open_when is None:
        return b""
    asked = sorted((kind, repr(condition.tree)) for kind, condition in policy.open_when.of.items())
    return blake2b(repr(asked).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def counting(policy: Policy) -> bool:
    """Whether the policy asks for open work at all."""
    pools = policy.pools.values()
    caps = [cap for pool in pools for cap in (*pool.caps, *pool.member_caps)]
    caps += [cap for pool in pools for member in pool.members for cap in member.caps]
    caps += [cap for person in policy.people.values() for cap in person.caps]
    return any(pool.method == "load balanced" for pool in pools) or any(cap.per == "open" for cap in caps)


class Workload:
    """Open work by person: their number under "", the sum of each field that a pool balances by under its name, and the number
    that is of a kind of lead of a pool, where a cap asks for that."""

    def __init__(self, policy: Policy, directory: Directory) -> None:
        self._directory = directory
        self._fields = {pool.balance.rpartition(".")[2] for pool in policy.pools.values() if pool.balance}
        self._by: dict[str | tuple[str, str], dict[str, float]] = {name: {} for name in ("", *self._fields)}
        for pool in policy.pools.values():
            own = [cap for member in pool.members for cap in member.caps]
            kinds = {cap.kind for cap in (*pool.caps, *pool.member_caps, *own) if cap.per == "open" and cap.kind}
            self._by |= {(pool.name, kind): {} for kind in kinds}

    def add(self, one: Open | None, sign: int = 1) -> str:
        """Counts a record in, or (-1) out. Returns whose it is, "" when it is nobody's that we know."""
        if one is None:
            return ""
        person = one.owner if "@" in one.owner else self._directory.key_of(one.system, one.owner)
        if person:
            amounts: dict[str | tuple[str, str], float] = {
                name: amount(one.numbers.get(name, 0.0)) for name in self._fields
            }
            amounts |= {of: 1.0 for of in one.kinds if of in self._by} | {"": 1.0}
            for of, much in amounts.items():
                sums = self._by[of]
                sums[person] = sums.get(person, 0.0) + sign * much
        return person

    def add_all(self, records: Iterable[Open]) -> None:
        for one in records:
            self.add(one)

    def of(self, balance: str) -> Mapping[str, float]:
        """By person: the sum of that field (``lead.amount``), or with "" the number."""
        return self._by[balance.rpartition(".")[2]]

    def of_kind(self, pool: str, kind: str) -> Mapping[str, float]:
        """By person: the number of that pool's leads of that kind, "" for whatever is open."""
        return self._by[(pool, kind) if kind else ""]

    def differs(self, other: Workload) -> set[str]:
        """Who has more or less than they have there."""
        pairs = [(sums, other._by.get(of, {})) for of, sums in self._by.items()]
        return {who for one, two in pairs for who in one.keys() | two.keys() if one.get(who, 0.0) != two.get(who, 0.0)}
