"""The users of the CRMs as decisions knew them: what ``Directory.build`` reads of their records, kept once for each state of them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from msgspec import Struct

from routing.core.model import Record, Value


class SeenPerson(Struct, frozen=True, array_like=True):
    """What the directory reads of a user of a CRM."""

    system: str
    record_id: str
    email: Value
    name: Value
    active: Value
    deleted: bool


class Roster(Struct, frozen=True, array_like=True):
    """The users of the CRMs as decisions knew them. ``erased``: somebody was taken out of it at their request."""

    people: tuple[SeenPerson, ...]
    erased: bool = False

    def records(self) -> list[Record]:
        """What ``Directory.build`` takes."""
        return [
            Record(
                system=one.system,
                entity="person",
                record_id=one.record_id,
                values={"email": one.email, "name": one.name, "active": one.active},
                deleted=one.deleted,
            )
            for one in self.people
        ]

    def digest(self) -> str:
        """The same for the same people on every machine."""
        return sha256(msgspec.json.encode(self)).hexdigest()


def roster_of(persons: Iterable[Record]) -> Roster:
    """The roster of the mirror's person records."""
    ordered = sorted(persons, key=lambda record: (record.system, record.record_id))
    return Roster(
        tuple(
            SeenPerson(
                r.system, r.record_id, r.values.get("email"), r.values.get("name"), r.values.get("active"), r.deleted
            )
            for r in ordered
        )
    )
