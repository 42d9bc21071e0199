"""Which records are open work, and whose: what load balanced pools and caps on open leads count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from routing.core.directory import Directory
from routing.core.model import Record
from rules.values import fold

if TYPE_CHECKING:
    from rules.policy import Policy

# Of these a rep has many at a time; what else may have a ladder is not worked off.
COUNTED = frozenset({"lead", "contact"})
# How the statuses begin that CRMs give to what is done with: Salesforce's "Closed - Not Converted", HubSpot's UNQUALIFIED.
_DONE = ("closed", "converted", "unqualified", "disqualified")


class Open(Struct, frozen=True, gc=False):
    """An open record: ``owner`` is a person's key (whom we chose), or the CRM's id of whoever has it; ``numbers`` its number fields."""

    system: str
    owner: str
    numbers: dict[str, float]


def open_of(record: Record) -> Open | None:
    """What is counted of a record; None when it is done with, gone, waiting, or nobody's."""
    if record.entity not in COUNTED or record.deleted or record.on_hold:
        return None
    values = record.values
    owner = record.decided_owner or str(values.get("owner") or "")
    status = values.get("status")
    if not owner or values.get("converted") is True or (isinstance(status, str) and fold(status).startswith(_DONE)):
        return None
    numbers = {name: float(value) for name, value in values.items() if type(value) in (int, float)}
    return Open(record.system, owner, numbers)


def counting(policy: Policy) -> bool:
    """Whether the policy asks for open work at all."""
    pools = policy.pools.values()
    caps = [cap for pool in pools for cap in (*pool.caps, *pool.member_caps)]
    caps += [cap for pool in pools for member in pool.members for cap in member.caps]
    caps += [cap for person in policy.people.values() for cap in person.caps]
    return any(pool.method == "load balanced" for pool in pools) or any(cap.per == "open" for cap in caps)


class Workload:
    """Open work by person: their number under "", and the sum of each field that a pool balances by."""

    def __init__(self, policy: Policy, directory: Directory) -> None:
        self._directory = directory
        self._fields = {pool.balance.rpartition(".")[2] for pool in policy.pools.values() if pool.balance}
        self.by_field: dict[str, dict[str, float]] = {name: {} for name in ("", *self._fields)}

    def add(self, one: Open | None, sign: int = 1) -> str:
        """Counts a record in, or (-1) out. Returns whose it is, "" when it is nobody's that we know."""
        if one is None:
            return ""
        person = one.owner if "@" in one.owner else self._directory.key_of(one.system, one.owner)
        if person:
            for name, sums in self.by_field.items():
                amount = one.numbers.get(name, 0.0) if name else 1.0
                sums[person] = sums.get(person, 0.0) + sign * amount
        return person

    def add_all(self, records: Iterable[Open]) -> None:
        for one in records:
            self.add(one)

    def of(self, balance: str) -> Mapping[str, float]:
        """By person: the sum of that field (``lead.amount``), or with "" the number."""
        return self.by_field[balance.rpartition(".")[2]]
