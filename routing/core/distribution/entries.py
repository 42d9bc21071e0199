"""What happens to a rotation, one entry at a time, and a rotation written down."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Literal

from msgspec import Struct

# assigned: a turn was given. stands: a member's weight, or why they cannot receive, is another one (joined, left, full and weight
# say which, for readers). credit, refused (leads given back) and debit move a claim by ``leads``; load sets the open leads counted.
# closed: why the whole pool takes nothing, "" when it does again. settled: what somebody who left the pool was owed is let go.
# renamed: the member ``person`` has the key ``why`` from then on.
What = Literal[
    "assigned",
    "joined",
    "left",
    "full",
    "weight",
    "credit",
    "debit",
    "refused",
    "load",
    "closed",
    "settled",
    "renamed",
]
STANDS: frozenset[What] = frozenset(("joined", "left", "full", "weight"))
CLAIMS: frozenset[What] = frozenset(("credit", "debit", "refused"))
COUNTED: frozenset[What] = frozenset(("assigned", "credit", "debit", "refused"))  # by caps

State = Literal["out", "in", "full"]

LEFT = "no longer in the pool"  # why, of a member whom the policy took out of it


class PoolEntry(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One entry of the pool ledger. ``seq`` counts within pool and kind, from 1. Entries are added, never changed.

    ``person`` is a member's key: an e-mail, or ``pool NAME`` for a pool within the pool; "" where the whole pool is meant.
    ``among`` has bit n set for each member n who could have had this lead, "" when all in turn could (hexadecimal); of a claim that is
    moved, for each out of whose turns it comes, "" when out of those of all in turn. ``given`` is when a lead that is given back, or
    credited, was given, ``turn`` the turn that it took, by the decision that gave it; None and "" where no lead is named.
    ``why`` is the reason, for people; ``author`` who entered it by hand.
    """

    pool: str
    kind: str
    seq: int
    person: str
    what: What
    at: datetime
    leads: float = 0.0
    weight: float = 0.0
    value: float = 0.0
    among: str = ""
    why: str = ""
    author: str = ""
    decision_id: str = ""
    given: datetime | None = None
    turn: str = ""


class Standing(Struct, frozen=True, gc=False, array_like=True):
    """One member of a rotation, as it is stored. ``mark`` is the claim in leads while out, else where on the virtual time it is 0.
    ``granted`` is what of the claim was credited by hand."""

    person: str
    weight: float
    state: State
    mark: float
    assigned: int
    credits: float
    load: float
    value: float
    why: str
    granted: float = 0.0


class Snapshot(Struct, frozen=True, array_like=True):
    """A rotation after the entry ``seq``: everything that later entries build on."""

    pool: str
    kind: str
    seq: int
    virtual: float
    total: float
    surplus: float
    value: float
    closed: str
    members: tuple[Standing, ...]


@lru_cache(maxsize=1_000)
def mask_of(members: tuple[int, ...]) -> str:
    """Member numbers, each at most once, as one hexadecimal number with a bit for each."""
    return f"{sum([1 << n for n in members]):x}"


@lru_cache(maxsize=1_000)
def members_of(mask: str) -> tuple[int, ...]:
    """The member numbers of such a mask, in order."""
    bits = bin(int(mask, 16))
    return tuple([n for n, bit in enumerate(reversed(bits[2:])) if bit == "1"])
