"""Under which keys a record is filed, so that what is like it is found: accounts for a lead, and others of the same person.

Nothing here depends on the policy: an index stays good when the policy changes.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from routing.core import normalise
from routing.core.keys import address_of
from routing.core.matching.features import account_features
from routing.core.matching.index import INDEX_VERSION, account_keys, number_of
from routing.core.matching.model import AccountFeatures
from routing.core.matching.people import PERSON_FIELDS, person, person_keys
from routing.core.model import Record

# An index that was made otherwise is made anew (see ``ledger.match_index``).
FILING_VERSION = f"{INDEX_VERSION}.1"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AccountFeatures).decode


# A record of this kind is filed by these fields alone; one of another kind by whatever it holds.
_READ = {"lead": PERSON_FIELDS, "contact": (*PERSON_FIELDS, "account")}


class Filed(Struct, frozen=True, gc=False):
    """Where a record is filed. ``body`` is what is compared of an account, and the account's id of a contact."""

    keys: frozenset[int]
    body: bytes = b""


NOWHERE = Filed(frozenset())


def filed(record: Record | None) -> Filed:
    """Where to file the record; nowhere when it was deleted or is nothing that is looked for."""
    if record is None or record.deleted:
        return NOWHERE
    values = record.values
    if record.entity == "account":
        features = account_features(record.record_id, values)
        return Filed(frozenset(account_keys(features)), _encode(features))
    if record.entity == "lead":
        return Filed(people_keys(record))
    if record.entity == "contact":
        account = str(values.get("account") or "")
        found = people_keys(record)
        if account:
            address = address_of(values.get("email"))
            domain = normalise.email_domain(address) if address else None
            found |= {contact_key(address)} if address else frozenset()
            found |= {contact_key(domain)} if domain else frozenset()
        return Filed(found, account.encode())
    return NOWHERE


def stays(before: Record, after: Record) -> bool:
    """Whether both states of a record are surely filed in the same place: nothing changed by which it is filed."""
    if before.values is after.values:
        return before.deleted == after.deleted
    if before.deleted != after.deleted:
        return False
    read = _READ.get(after.entity)
    if read is None:
        return before.values == after.values
    was, now = before.values.get, after.values.get
    return all(was(name) == now(name) for name in read)


def people_keys(record: Record) -> frozenset[int]:
    """By which a person's other records are found."""
    return frozenset([number_of(f"person:{key}") for key in person_keys(person(record.values))])


def contact_key(address_or_domain: str) -> int:
    """Where the contacts of accounts are filed: by their address, and by the domain of it."""
    return number_of(f"contact:{address_or_domain}")


def features_of(body: bytes) -> AccountFeatures:
    """What is compared of an account, out of the ``body`` it was filed with. Raises msgspec.DecodeError."""
    return _decode(body)
